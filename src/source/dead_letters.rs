//! The source of a replay: letters one by one into the pipeline, as memory and backpressures allow.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tracing::{error, warn};

use crate::batch::{BUFFER_BYTES, Output};
use crate::causes::with_causes;
use crate::daemon::generation::Generation;
use crate::daemon::replay::{Ledger, ReplayFile};
use crate::deadletter::{DeadLetter, LetterContent, LetterEntry, ReplayProgress};
use crate::destination::queue::{DestinationQueue, Ended};
use crate::destination::registry::RunningSink;
use crate::event::{
    AckGuard, Acknowledge, Backpressure, Block, Borders, Budget, Buffers, Chunk, Event, Held, Message,
    Origin, Piece, Record,
};
use crate::limits::MAX_RECORD_BYTES;
use crate::pipeline::{Intake, OrderedLane, WhenFullDestination};
use crate::source::Stop;

/// Who receives the letters.
pub(crate) enum ReplayTarget {
    /// A sink.
    Sink(Arc<RunningSink>),
    /// The decoding of the source with this name.
    Source(Arc<str>, Intake),
}

/// See the module.
pub(crate) struct Sender {
    target: ReplayTarget,
    lane: Option<Arc<OrderedLane>>,
    budget: Arc<Budget>,
    room_freed: Arc<Notify>,
    reasons: BTreeSet<String>,
    ledger: Arc<Ledger>,
    stop: Stop,
    buffers: Arc<Buffers>,
}

/// Files with letters under way, at the most: each is open and locked.
const MOST_OPEN: usize = 64;

/// How often to look whether there is room.
const LOOK: Duration = Duration::from_millis(50);

/// A letter that this target cannot take. It stays where it is.
struct Unfit(&'static str);

impl Sender {
    pub(crate) fn new(
        generation: &Generation,
        target: ReplayTarget,
        reasons: BTreeSet<String>,
        ledger: Arc<Ledger>,
        stop: Stop,
    ) -> Self {
        let lane = match &target {
            ReplayTarget::Sink(_) => None,
            ReplayTarget::Source(_, intake) => Some(intake.lane(WhenFullDestination::Wait)),
        };
        Self {
            target,
            lane,
            budget: Arc::clone(&generation.budget),
            room_freed: Arc::clone(&generation.room_freed),
            reasons,
            ledger,
            stop,
            buffers: Buffers::new(BUFFER_BYTES, 1),
        }
    }

    /// Sends the letters of every file, until a stop is asked for.
    pub(crate) async fn run(mut self, files: Vec<ReplayFile>) -> io::Result<()> {
        for ReplayFile { path, own } in files {
            let ledger = Arc::clone(&self.ledger);
            self.until(|| ledger.n_open() < MOST_OPEN).await;
            if self.stop.is_requested() {
                break;
            }
            let began = ReplayProgress::begin(&path, own);
            let file = match began {
                Ok(Some(file)) => Arc::new(file),
                Ok(None) => {
                    add(&self.ledger.taken);
                    continue;
                }
                Err(failed) => {
                    add(&self.ledger.broken);
                    error!(error = with_causes(&failed), "left out");
                    continue;
                }
            };
            self.ledger.open(Arc::clone(&file));
            if let Err(error) = self.send_file(&file).await {
                add(&self.ledger.broken);
                error!(path = %path.display(), %error, "cannot be read to its end");
            }
            file.set_read();
        }
        Ok(())
    }

    async fn send_file(&mut self, file: &Arc<ReplayProgress>) -> io::Result<()> {
        let mut reader = file.reader()?;
        while !self.stop.is_requested() {
            let Some(LetterEntry { number, letter, .. }) = reader.next_entry()? else { break };
            let Some(letter) = letter else {
                add(&self.ledger.damaged);
                continue;
            };
            let wanted = self.reasons.is_empty() || self.reasons.contains(&letter.reason);
            if wanted && file.set_out(number) {
                let owner = Arc::clone(file) as Arc<dyn Acknowledge>;
                let ack = AckGuard::reopen(owner, number, letter.time);
                self.send(letter, ack).await;
            }
        }
        Ok(())
    }

    /// Sends one letter; an ack guard that is dropped leaves it in its file.
    async fn send(&mut self, letter: DeadLetter, ack: AckGuard) {
        let admitted = self.budget.admit(letter.bytes.len() as u64);
        let mut stop = self.stop.clone();
        let held = tokio::select! {
            held = admitted => held,
            () = stop.requested() => return,
        };
        let reason = letter.reason.clone();
        let sent = match &self.target {
            ReplayTarget::Sink(sink) => {
                let sink = Arc::clone(sink);
                ack.hold(held);
                self.give_to_sink(&sink, letter, ack).await
            }
            ReplayTarget::Source(name, intake) => {
                let (name, intake) = (Arc::clone(name), intake.clone());
                self.give_to_source((name, intake), letter, ack, held).await
            }
        };
        match sent {
            Ok(()) => add(&self.ledger.sent),
            Err(Unfit(why)) => {
                add(&self.ledger.unfit);
                warn!(reason, why, "a letter stays where it is");
            }
        }
    }

    async fn give_to_sink(
        &mut self,
        sink: &RunningSink,
        letter: DeadLetter,
        ack: AckGuard,
    ) -> Result<(), Unfit> {
        let origin = Arc::clone(&letter.origin);
        if letter.content == LetterContent::Record {
            let mut record = record(letter, ack);
            while let Some(queue) = self.queue(sink, &origin).await? {
                match queue.push_record(record) {
                    Ok(()) => break,
                    Err(back) => record = back,
                }
                sink.forget(&queue);
            }
            return Ok(());
        }
        let blocks = self.blocks(sink, &letter)?;
        while let Some(queue) = self.queue(sink, &origin).await? {
            match queue.push(&blocks, &origin, &ack) {
                Ok(()) => {
                    ack.settle();
                    break;
                }
                Err(Ended) => sink.forget(&queue),
            }
        }
        Ok(())
    }

    /// The destination, once it has room; none at a stop.
    async fn queue(
        &mut self,
        sink: &RunningSink,
        origin: &Origin,
    ) -> Result<Option<Arc<DestinationQueue>>, Unfit> {
        let queue = sink.destination(origin).map_err(|why| Unfit(why.reason()))?;
        let backpressure: Arc<Backpressure> = Arc::clone(queue.backpressure());
        self.until(|| !backpressure.is_full()).await;
        Ok((!self.stop.is_requested()).then_some(queue))
    }

    /// The letter's events as the sink writes them now.
    fn blocks(&self, sink: &RunningSink, letter: &DeadLetter) -> Result<Vec<Block>, Unfit> {
        let mut output = Output::new(Arc::clone(&self.buffers));
        output.origin(&sink.encoder, &letter.origin);
        let written = match letter.content {
            LetterContent::Events => return block(letter).map(|block| vec![block]),
            LetterContent::Message => {
                let message = Message::Raw(&letter.bytes);
                let id = letter.id.as_deref().filter(|id| is_escaped(id));
                let event = Event { message, timestamp: letter.timestamp, id, part: None };
                sink.encoder.event(&event, letter.time, &mut output)
            }
            LetterContent::Envelope if sink.encoder.wants_envelopes() => {
                sink.encoder.envelope(&letter.bytes, &mut output)
            }
            LetterContent::Envelope => {
                return Err(Unfit("it is an envelope, and the sink's `encoding` is another"));
            }
            LetterContent::Payload => return Err(Unfit("it is a payload to decode; replay it as `_SOURCE`")),
            LetterContent::Record => return Err(Unfit("it is a record")),
        };
        written.map_err(|_too_large| Unfit("too_large"))?;
        Ok(output.take(&sink.encoder))
    }

    async fn give_to_source(
        &mut self,
        (name, intake): (Arc<str>, Intake),
        letter: DeadLetter,
        ack: AckGuard,
        held: Held,
    ) -> Result<(), Unfit> {
        // What Firehose itself kept names no source.
        let is_payload = letter.content == LetterContent::Payload || letter.origin.source.is_empty();
        let Some(lane) = self.lane.clone().filter(|_| is_payload) else {
            return Err(Unfit("it is no payload to decode; replay it to its sink"));
        };
        self.until(|| !lane.is_blocked()).await;
        if self.stop.is_requested() {
            return Ok(());
        }
        let origin = Arc::new(Origin { source: name, ..Origin::clone(&letter.origin) });
        let chunk =
            Chunk { origin, payload: letter.bytes, piece: Piece::default(), read_at: letter.time, ack, held };
        // A closed pipeline is a stop: the ack guard was dropped.
        intake.submit(&lane, chunk).await.ok();
        Ok(())
    }

    /// Waits until it is so, or a stop is asked for.
    async fn until(&mut self, is_so: impl Fn() -> bool) {
        while !is_so() {
            let opened = self.room_freed.notified();
            tokio::select! {
                () = self.stop.requested() => return,
                () = opened => {}
                () = sleep(LOOK) => {}
            }
        }
    }
}

fn record(letter: DeadLetter, ack: AckGuard) -> Record {
    let len = letter.bytes.len();
    Record {
        parts: vec![letter.bytes],
        len,
        payload: letter.payload.unwrap_or(len),
        compressed: letter.payload.is_some(),
        events: letter.events,
        acks: vec![ack],
        origin: letter.origin,
        since: Instant::now(),
    }
}

/// Events that were written before, each of which must fit into a record.
fn block(letter: &DeadLetter) -> Result<Block, Unfit> {
    let data: Bytes = letter.bytes.clone();
    let borders = match letter.ends.as_slice() {
        [] if data.ends_with(b"\n") => Borders::Newlines(memchr::memchr_iter(b'\n', &data).count() as u64),
        [] => Borders::Ends(vec![u32::try_from(data.len()).map_err(|_| Unfit("too_large"))?]),
        ends => Borders::Ends(ends.to_vec()),
    };
    let largest = match &borders {
        Borders::Newlines(_) => data.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::len).max(),
        Borders::Ends(ends) => {
            let starts = std::iter::once(0).chain(ends.iter().copied());
            starts.zip(ends).map(|(start, end)| end.saturating_sub(start) as usize).max()
        }
    };
    if largest.unwrap_or_default() > MAX_RECORD_BYTES {
        return Err(Unfit("too_large"));
    }
    Ok(Block { data, borders })
}

/// Whether the text is the inside of a JSON string.
fn is_escaped(id: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(&format!("\"{id}\"")).is_ok()
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::AcqRel);
}
