//! Dead letters, delivered again: letters one by one into the pipeline or to their sink, as memory and destinations allow.
//!
//! A letter's ack guard takes it out of its file. What fails again is written as a new letter before its ack guard is settled, so
//! that it is in the one file or in the other, whatever happens.

mod totals;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{error, warn};

use self::totals::note_often;
pub use self::totals::{ReplayFile, ReplayTotals, Replayed};
use super::lifecycle::{Source, SourceError, SourceFuture};
use super::stop::Stop;
use super::thread::on_thread;
use crate::batch::{BUFFER_BYTES, Output};
use crate::causes::with_causes;
use crate::deadletter::{DeadLetter, LetterContent, LetterEntry, ReplayProgress};
use crate::destination::queue::{DestinationQueue, Ended};
use crate::destination::registry::RunningSink;
use crate::event::{
    AckGuard, Acknowledge, Backpressure, Block, Borders, Buffers, Chunk, Event, Framing, Held, Message,
    Origin, Piece, Record,
};
use crate::limits::MAX_RECORD_BYTES;
use crate::pipeline::{Intake, OrderedLane, WhenFullDestination};

/// Who receives the letters.
#[derive(Clone)]
pub(crate) enum ReplayTarget {
    /// A sink.
    Sink(Arc<RunningSink>),
    /// The decoding of the source with this name, by the intake that the replay runs with.
    Source(Arc<str>),
}

/// A source of dead letters.
pub(crate) struct DeadLetterSource {
    target: ReplayTarget,
    files: Vec<ReplayFile>,
    /// Only letters with one of these reasons; none: all.
    reasons: BTreeSet<String>,
    totals: Arc<ReplayTotals>,
    /// What notes which letters were delivered, from the run to the finish; dropped to end it.
    noting: Option<oneshot::Sender<()>>,
    notes: JoinSet<()>,
}

impl DeadLetterSource {
    /// A source that is ready to run.
    pub(crate) fn new(
        target: ReplayTarget,
        files: Vec<ReplayFile>,
        reasons: BTreeSet<String>,
        totals: Arc<ReplayTotals>,
    ) -> Self {
        Self { target, files, reasons, totals, noting: None, notes: JoinSet::new() }
    }
}

impl Source for DeadLetterSource {
    fn run(&mut self, intake: Intake, stop: Stop) -> SourceFuture<'_> {
        let (noting, end) = oneshot::channel();
        self.noting = Some(noting);
        self.notes.spawn(note_often(Arc::clone(&self.totals), end));
        let target = self.target.clone();
        let sender = LetterSender::new(target, self.reasons.clone(), Arc::clone(&self.totals), intake, stop);
        let files = std::mem::take(&mut self.files);
        let sending =
            async move { sender.run(files).await.map_err(|error| SourceError::Other(Box::new(error))) };
        Box::pin(on_thread("replay", sending))
    }

    /// What was delivered is taken out of its file, what was not stays.
    fn finish(mut self: Box<Self>) -> SourceFuture<'static> {
        Box::pin(async move {
            drop(self.noting.take());
            while self.notes.join_next().await.is_some() {}
            self.totals.finish().await;
            Ok(())
        })
    }
}

/// A letter is whole as it is.
#[derive(Debug)]
pub(crate) struct WholeLetters;

impl Framing for WholeLetters {
    fn whole(&self, bytes: &[u8], _end: bool) -> usize {
        bytes.len()
    }
}

/// Sends letters.
struct LetterSender {
    target: ReplayTarget,
    lane: Arc<OrderedLane>,
    reasons: BTreeSet<String>,
    totals: Arc<ReplayTotals>,
    intake: Intake,
    stop: Stop,
    buffers: Arc<Buffers>,
}

/// Files with letters under way, at the most: each is open and locked.
const MOST_OPEN: usize = 64;

/// A letter that this target cannot take. It stays where it is.
struct NotForTarget(&'static str);

impl LetterSender {
    fn new(
        target: ReplayTarget,
        reasons: BTreeSet<String>,
        totals: Arc<ReplayTotals>,
        intake: Intake,
        stop: Stop,
    ) -> Self {
        let lane = intake.lane(WhenFullDestination::Wait);
        Self { target, lane, reasons, totals, intake, stop, buffers: Buffers::new(BUFFER_BYTES, 1) }
    }

    /// Sends the letters of every file, until a stop is asked for.
    async fn run(mut self, files: Vec<ReplayFile>) -> io::Result<()> {
        let size = |file: &ReplayFile| fs::metadata(&file.path).map_or(0, |metadata| metadata.len());
        let sizes: Vec<u64> = files.iter().map(size).collect();
        self.totals.bytes.store(sizes.iter().sum(), Ordering::Release);
        let mut before: u64 = 0;
        for (file, size) in files.into_iter().zip(sizes) {
            let totals = Arc::clone(&self.totals);
            self.until(|| totals.n_open() < MOST_OPEN).await;
            if self.stop.is_requested() {
                break;
            }
            self.replay_file(file, before).await;
            before = before.saturating_add(size);
            self.totals.read_bytes.store(before, Ordering::Release);
        }
        Ok(())
    }

    /// Sends the letters of one file, which stands behind so many bytes of others.
    async fn replay_file(&mut self, ReplayFile { path, own }: ReplayFile, before: u64) {
        let file = match ReplayProgress::begin(&path, own) {
            Ok(Some(file)) => Arc::new(file),
            Ok(None) => return self.totals.set_taken(path),
            Err(failed) => {
                add(&self.totals.broken);
                error!(error = with_causes(&failed), "a file of dead letters was skipped");
                return;
            }
        };
        self.totals.open(Arc::clone(&file));
        if let Err(error) = self.send_file(&file, before).await {
            add(&self.totals.broken);
            file.set_unreadable();
            error!(path = %path.display(), %error, "a file of dead letters cannot be read completely");
        }
        file.set_read();
    }

    async fn send_file(&mut self, file: &Arc<ReplayProgress>, before: u64) -> io::Result<()> {
        let mut reader = file.reader()?;
        let mut read: u64 = 0;
        while !self.stop.is_requested() {
            let Some(LetterEntry { number, raw, letter }) = reader.next_entry()? else { break };
            // A compressed file is smaller than its letters.
            read = read.saturating_add(raw.len() as u64).saturating_add(1).min(file.size());
            self.totals.read_bytes.store(before.saturating_add(read), Ordering::Release);
            let Some(letter) = letter else {
                add(&self.totals.damaged);
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
        let (intake, mut stop) = (self.intake.clone(), self.stop.clone());
        let admitted = intake.admit(letter.bytes.len());
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
            ReplayTarget::Source(name) => {
                let name = Arc::clone(name);
                self.give_to_source(name, letter, ack, held).await
            }
        };
        match sent {
            Ok(()) => add(&self.totals.sent),
            Err(NotForTarget(why)) => {
                add(&self.totals.unfit);
                warn!(reason, why, "a letter was not replayed and stays in its file");
            }
        }
    }

    async fn give_to_sink(
        &mut self,
        sink: &RunningSink,
        letter: DeadLetter,
        ack: AckGuard,
    ) -> Result<(), NotForTarget> {
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
    ) -> Result<Option<Arc<DestinationQueue>>, NotForTarget> {
        let queue = sink.destination(origin).map_err(|why| NotForTarget(why.reason()))?;
        let backpressure: Arc<Backpressure> = Arc::clone(queue.backpressure());
        self.until(|| !backpressure.is_full()).await;
        Ok((!self.stop.is_requested()).then_some(queue))
    }

    /// The letter's events as the sink writes them now.
    fn blocks(&self, sink: &RunningSink, letter: &DeadLetter) -> Result<Vec<Block>, NotForTarget> {
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
                return Err(NotForTarget("it is an envelope, but the sink's `encoding` is not `envelope`"));
            }
            LetterContent::Payload => {
                return Err(NotForTarget("it is a payload to decode; replay it as `_SOURCE`"));
            }
            LetterContent::Record => return Err(NotForTarget("it is a record")),
        };
        written.map_err(|_too_large| NotForTarget("too_large"))?;
        Ok(output.take(&sink.encoder))
    }

    async fn give_to_source(
        &mut self,
        name: Arc<str>,
        letter: DeadLetter,
        ack: AckGuard,
        held: Held,
    ) -> Result<(), NotForTarget> {
        // What Firehose itself kept names no source.
        let is_payload = letter.content == LetterContent::Payload || letter.origin.source.is_empty();
        if !is_payload {
            return Err(NotForTarget("it is not a payload to decode; replay it to its sink"));
        }
        let lane = Arc::clone(&self.lane);
        self.until(|| !lane.is_blocked()).await;
        if self.stop.is_requested() {
            return Ok(());
        }
        let origin = Arc::new(Origin { source: name, ..Origin::clone(&letter.origin) });
        let chunk =
            Chunk { origin, payload: letter.bytes, piece: Piece::default(), read_at: letter.time, ack, held };
        // A closed pipeline is a stop: the ack guard was dropped.
        self.intake.submit(&lane, chunk).await.ok();
        Ok(())
    }

    /// Waits until it is so, or a stop is asked for.
    async fn until(&mut self, is_so: impl Fn() -> bool) {
        let intake = self.intake.clone();
        loop {
            let room_freed = intake.room_freed();
            if is_so() {
                return;
            }
            tokio::select! {
                () = self.stop.requested() => return,
                () = room_freed => {}
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
        is_piece: false,
        acks: vec![ack],
        origin: letter.origin,
        since: Instant::now(),
    }
}

/// Events that were written before, each of which must fit into a record.
fn block(letter: &DeadLetter) -> Result<Block, NotForTarget> {
    let data: Bytes = letter.bytes.clone();
    let borders = match letter.ends.as_slice() {
        [] if data.ends_with(b"\n") => Borders::Newlines(memchr::memchr_iter(b'\n', &data).count() as u64),
        [] => Borders::Ends(vec![u32::try_from(data.len()).map_err(|_| NotForTarget("too_large"))?]),
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
        return Err(NotForTarget("too_large"));
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
