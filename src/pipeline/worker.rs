//! The worker threads: they decode, route and write chunks, and do the sinks' compressing and hashing.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, never, select_biased};
use tokio::sync::{Semaphore, watch};

use crate::deadletter::{DeadLetter, DeadLetters, PendingDeadLetter, folder_of_source};
use crate::decode::{Decoder, Scratch};
use crate::destination::queue::Ended;
use crate::destination::registry::RunningSink;
use crate::event::{AckGuard, Buffers, Chunk, Origin, Timestamp};
use crate::health::{Activity, Watchdog};
use crate::metrics::{Fate, Metrics, SourceMetrics};
use crate::pipeline::process::{ProcessedChunk, Segment, Unfit, WorkerState};
use crate::pipeline::{CommitSlot, Job, Jobs, OrderedLane};
use crate::route::Router;
use crate::sink::OffloadTask;

/// One source, as the workers see it.
#[derive(Debug)]
pub(crate) struct SourceDecoder {
    /// How its payloads are decoded.
    pub(crate) decoder: Decoder,
    /// What it counts.
    pub(crate) metrics: SourceMetrics,
}

/// What the workers work with.
#[derive(Debug)]
pub(crate) struct Processor {
    /// Sources by name.
    pub(crate) decoders: BTreeMap<Arc<str>, SourceDecoder>,
    /// Sinks, by their place.
    pub(crate) sinks: Arc<[Arc<RunningSink>]>,
    /// The routes.
    pub(crate) router: Arc<Router>,
    /// For the counters of the routes.
    pub(crate) metrics: Metrics,
    /// Buffers for written events.
    pub(crate) blocks: Arc<Buffers>,
    /// Where what cannot be delivered goes.
    pub(crate) dead_letters: Arc<DeadLetters>,
}

/// The ends of the queues that workers take from.
#[derive(Clone, Debug)]
pub(crate) struct Queues {
    /// Chunks to decode.
    pub(crate) jobs: Receiver<Jobs>,
    /// A permit is given back for each job taken.
    pub(crate) places: Arc<Semaphore>,
    /// The sinks' work.
    pub(crate) tasks: Receiver<OffloadTask>,
    /// Closed to end the workers at once.
    pub(crate) kill_rx: Receiver<Infallible>,
    /// Dropped when the jobs have ended; the tasks may go on.
    pub(crate) decoding: watch::Receiver<()>,
}

/// Starts `count` workers. They end when both queues have, or when they are killed.
///
/// # Errors
/// When a thread cannot be started.
pub(crate) fn spawn(
    count: usize,
    processor: &Arc<Processor>,
    queues: &Queues,
    watchdog: &Watchdog,
) -> io::Result<()> {
    for number in 0..count {
        let (processor, queues, activity) = (Arc::clone(processor), queues.clone(), watchdog.activity());
        let body = move || run(&processor, queues, &activity);
        thread::Builder::new().name(format!("worker-{number}")).spawn(body)?;
    }
    Ok(())
}

fn run(processor: &Arc<Processor>, queues: Queues, activity: &Activity) {
    // What is declared last is dropped first: that decoding has ended is said when the jobs are gone.
    let Queues { decoding, mut jobs, places, mut tasks, kill_rx } = queues;
    let mut decoding = Some(decoding);
    let mut state =
        WorkerState::new(Arc::clone(&processor.router), Arc::clone(&processor.sinks), &processor.blocks);
    let mut scratch = Scratch::default();
    let mut tasks_open = true;
    while decoding.is_some() || tasks_open {
        // The sinks' work first: it frees memory.
        select_biased! {
            recv(kill_rx) -> _ => return,
            recv(tasks) -> task => match task {
                Ok(task) => {
                    activity.begin();
                    task();
                }
                Err(_ended) => (tasks, tasks_open) = (never(), false),
            },
            recv(jobs) -> next => match next {
                Ok(next) => {
                    activity.begin();
                    places.add_permits(1);
                    for job in next {
                        processor.work(job, &mut state, &mut scratch);
                    }
                }
                Err(_ended) => (jobs, decoding) = (never(), None),
            },
        }
        activity.end();
    }
}

impl Processor {
    fn work(self: &Arc<Self>, job: Job, state: &mut WorkerState, scratch: &mut Scratch) {
        let Job { chunk, slot, admitted } = job;
        let Chunk { origin, payload, piece, read_at, ack, mut held } = chunk;
        let Some(decoder) = self.decoders.get(&origin.source) else {
            // Every source is in the map; without one the chunk is given up, not lost.
            return;
        };
        let mut process = state.begin(read_at);
        decoder.decoder.decode_piece(scratch, &origin, &payload, piece, &mut process);
        let fate = process.finish();
        drop(payload);
        let blocks = fate.segments.iter().flat_map(|segment| &segment.blocks);
        let bytes = blocks.map(|block| &block.data).chain(fate.unfit.iter().map(|unfit| &unfit.bytes));
        let written = bytes.map(|bytes| bytes.len() as u64).sum();
        slot.lane().learn(admitted, written);
        held.resize(written);
        ack.hold(held);
        self.commit_in_order(slot, fate, ack, origin);
    }

    fn commit_in_order(
        self: &Arc<Self>,
        slot: CommitSlot,
        processed: ProcessedChunk,
        ack: AckGuard,
        origin: Arc<Origin>,
    ) {
        let processor = Arc::clone(self);
        let lane = Arc::clone(slot.lane());
        slot.commit(move || {
            if let Some(decoder) = processor.decoders.get(&origin.source) {
                processor.commit(&lane, processed, ack, &decoder.metrics);
            }
        });
    }

    /// Gives each segment to its destination. Runs in the lane's order.
    fn commit(
        &self,
        lane: &OrderedLane,
        mut processed: ProcessedChunk,
        ack: AckGuard,
        source: &SourceMetrics,
    ) {
        if lane.may_give_up() && !self.has_room(&processed, source) {
            // Dropped unsettled: the sender is told to send again.
            return;
        }
        self.count(&processed, source);
        for segment in std::mem::take(&mut processed.segments) {
            let Some(sink) = self.sinks.get(segment.sink) else { continue };
            if let Err(unfit) = give(sink, lane, &segment, &ack) {
                processed.unfit.extend(unfit);
            }
        }
        for unfit in processed.unfit {
            self.enqueue(unfit, lane, &ack, source);
        }
        ack.settle();
    }

    /// Whether every destination of the chunk has room. It is asked before any has a part of the chunk: what is given up whole and
    /// sent again is not doubled at those that had room. A backpressure that shuts after this look lets the chunk pass.
    fn has_room(&self, processed: &ProcessedChunk, source: &SourceMetrics) -> bool {
        let takes = |segment: &Segment| {
            let Some(sink) = self.sinks.get(segment.sink) else { return true };
            // What has no destination becomes a dead letter.
            let queue = sink.destination(&segment.origin).ok();
            !sink.dead_letter_backpressure.is_full()
                && queue.is_none_or(|queue| !queue.backpressure().is_full())
        };
        let buries = |unfit: &Unfit| !self.dead_letters.backpressure(&self.folder(unfit, source)).is_full();
        processed.segments.iter().all(takes) && processed.unfit.iter().all(buries)
    }

    fn count(&self, processed: &ProcessedChunk, source: &SourceMetrics) {
        let filtered: Vec<_> =
            processed.filtered.iter().map(|(route, events)| (self.route_counter(*route), *events)).collect();
        let undecodable = processed.unfit.iter().filter(|unfit| unfit.sink.is_none());
        let undecodable: Vec<_> = undecodable.map(|unfit| (unfit.reason, 1)).collect();
        source.read(&Fate { routed: processed.routed, filtered: &filtered, undecodable: &undecodable });
    }

    fn route_counter(&self, route: Option<usize>) -> prometheus::IntCounter {
        self.metrics.filtered(&route.map_or_else(|| "none".to_owned(), |route| route.to_string()))
    }

    /// Queues a dead letter; its part of the chunk is done once it is on disk.
    fn enqueue(&self, unfit: Unfit, lane: &OrderedLane, ack: &AckGuard, source: &SourceMetrics) {
        let sink = self.sink(&unfit).map(Arc::clone);
        let folder = self.folder(&unfit, source);
        lane.feeds(&self.dead_letters.backpressure(&folder));
        let ack = ack.split();
        // What a sink cannot take was given to it, and ends there.
        if let Some(sink) = &sink {
            sink.metrics.accept(unfit.events);
        }
        let (reason, events) = (unfit.reason, unfit.events);
        let letter = letter(unfit, ack.dead_lettered_at().unwrap_or_else(Timestamp::now));
        let done = move || {
            if let Some(sink) = sink {
                sink.metrics.dead_letter(reason, events);
            }
            ack.settle();
        };
        self.dead_letters.enqueue(PendingDeadLetter { folder, letter, done: Box::new(done) });
    }

    /// The sink that an event was for.
    fn sink(&self, unfit: &Unfit) -> Option<&Arc<RunningSink>> {
        self.sinks.get(unfit.sink?)
    }

    /// Where its dead letter goes.
    fn folder(&self, unfit: &Unfit, source: &SourceMetrics) -> Arc<str> {
        let of_source = || folder_of_source(source.name()).into();
        self.sink(unfit).map_or_else(of_source, |sink| sink.name.as_str().into())
    }
}

fn letter(unfit: Unfit, time: Timestamp) -> DeadLetter {
    DeadLetter {
        time,
        reason: unfit.reason.to_owned(),
        error: None,
        origin: unfit.origin,
        bytes: unfit.bytes,
        content: unfit.content,
        events: unfit.events,
        payload: None,
        timestamp: unfit.timestamp,
        id: unfit.id,
        ends: unfit.ends,
    }
}

/// Gives a segment to its destination, or says why it cannot be given.
fn give(sink: &RunningSink, lane: &OrderedLane, segment: &Segment, ack: &AckGuard) -> Result<(), Vec<Unfit>> {
    loop {
        let found = sink.destination(&segment.origin);
        let queue = found.map_err(|why| Unfit::from_segment(segment, why))?;
        for backpressure in [queue.backpressure(), &sink.dead_letter_backpressure] {
            lane.feeds(backpressure);
        }
        match queue.push(&segment.blocks, &segment.origin, ack) {
            Ok(()) => return Ok(()),
            Err(Ended) => sink.forget(&queue),
        }
    }
}
