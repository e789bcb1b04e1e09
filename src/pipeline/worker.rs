//! The worker threads: they decode, route and write chunks, and do the sinks' compressing and hashing.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, never, select_biased};
use tokio::sync::{Semaphore, watch};

use super::destination::Outlet;
use super::feed::Ended;
use super::pulse::{Pulse, Pulses};
use super::sorting::{Segment, Sorted, Sorter, Unfit};
use crate::deadletter::{Burial, DeadLetter, DeadLetters, folder_of_source};
use crate::decode::{Decoder, Scratch};
use crate::event::{Buffers, Chunk, Job, Jobs, Lane, Origin, Receipt, Task, Timestamp, Turn};
use crate::metrics::{Fate, Metrics, SourceMetrics};
use crate::route::Router;

/// One source, as the workers see it.
#[derive(Debug)]
pub(super) struct Inlet {
    /// How its payloads are decoded.
    pub(super) decoder: Decoder,
    /// What it counts.
    pub(super) metrics: SourceMetrics,
}

/// What the workers work with.
#[derive(Debug)]
pub(super) struct Works {
    /// Sources by name.
    pub(super) inlets: BTreeMap<Arc<str>, Inlet>,
    /// Sinks, by their place.
    pub(super) outlets: Arc<[Arc<Outlet>]>,
    /// The routes.
    pub(super) router: Arc<Router>,
    /// For the counters of the routes.
    pub(super) metrics: Metrics,
    /// Buffers for written events.
    pub(super) blocks: Arc<Buffers>,
    /// Where what cannot be delivered goes.
    pub(super) dead_letters: Arc<DeadLetters>,
}

/// The ends of the queues that workers take from.
#[derive(Clone, Debug)]
pub(super) struct Queues {
    /// Chunks to decode.
    pub(super) jobs: Receiver<Jobs>,
    /// A permit is given back for each job taken.
    pub(super) places: Arc<Semaphore>,
    /// The sinks' work.
    pub(super) tasks: Receiver<Task>,
    /// Closed to end the workers at once.
    pub(super) dismissed: Receiver<Infallible>,
    /// Dropped when the jobs have ended; the tasks may go on.
    pub(super) decoding: watch::Receiver<()>,
}

/// Starts `count` workers. They end when both queues have, or when they are dismissed.
///
/// # Errors
/// When a thread cannot be started.
pub(super) fn spawn(count: usize, works: &Arc<Works>, queues: &Queues, pulses: &Pulses) -> io::Result<()> {
    for number in 0..count {
        let (works, queues, pulse) = (Arc::clone(works), queues.clone(), pulses.pulse());
        let body = move || run(&works, queues, &pulse);
        thread::Builder::new().name(format!("worker-{number}")).spawn(body)?;
    }
    Ok(())
}

fn run(works: &Arc<Works>, queues: Queues, pulse: &Pulse) {
    // What is declared last is dropped first: that decoding has ended is said when the jobs are gone.
    let Queues { decoding, mut jobs, places, mut tasks, dismissed } = queues;
    let mut decoding = Some(decoding);
    let mut sorter = Sorter::new(Arc::clone(&works.router), Arc::clone(&works.outlets), &works.blocks);
    let mut scratch = Scratch::default();
    let mut tasks_open = true;
    while decoding.is_some() || tasks_open {
        // The sinks' work first: it frees memory.
        select_biased! {
            recv(dismissed) -> _ => return,
            recv(tasks) -> task => match task {
                Ok(task) => {
                    pulse.begin();
                    task();
                }
                Err(_ended) => (tasks, tasks_open) = (never(), false),
            },
            recv(jobs) -> next => match next {
                Ok(next) => {
                    pulse.begin();
                    places.add_permits(1);
                    for job in next {
                        works.work(job, &mut sorter, &mut scratch);
                    }
                }
                Err(_ended) => (jobs, decoding) = (never(), None),
            },
        }
        pulse.end();
    }
}

impl Works {
    fn work(self: &Arc<Self>, job: Job, sorter: &mut Sorter, scratch: &mut Scratch) {
        let Job { chunk, turn, admitted } = job;
        let Chunk { origin, payload, piece, read_at, receipt, mut held } = chunk;
        let Some(inlet) = self.inlets.get(&origin.source) else {
            // Every source is in the map; without one the chunk is given up, not lost.
            return;
        };
        let mut sorting = sorter.begin(read_at);
        inlet.decoder.decode_piece(scratch, &origin, (&payload, piece), &mut sorting);
        let fate = sorting.finish();
        drop(payload);
        let blocks = fate.segments.iter().flat_map(|segment| &segment.blocks);
        let bytes = blocks.map(|block| &block.data).chain(fate.unfit.iter().map(|unfit| &unfit.bytes));
        let written = bytes.map(|bytes| bytes.len() as u64).sum();
        turn.lane().learn(admitted, written);
        held.resize(written);
        receipt.hold(held);
        self.commit_in_turn(turn, fate, receipt, origin);
    }

    fn commit_in_turn(self: &Arc<Self>, turn: Turn, sorted: Sorted, receipt: Receipt, origin: Arc<Origin>) {
        let works = Arc::clone(self);
        let lane = Arc::clone(turn.lane());
        turn.commit(move || {
            if let Some(inlet) = works.inlets.get(&origin.source) {
                works.commit(&lane, sorted, receipt, &inlet.metrics);
            }
        });
    }

    /// Gives each segment to its destination. Runs in the lane's order.
    fn commit(&self, lane: &Lane, mut sorted: Sorted, receipt: Receipt, source: &SourceMetrics) {
        if lane.may_give_up() && !self.has_room(&sorted, source) {
            // Dropped unsettled: the sender is told to send again.
            return;
        }
        self.count(&sorted, source);
        for segment in std::mem::take(&mut sorted.segments) {
            let Some(outlet) = self.outlets.get(segment.outlet) else { continue };
            if let Err(unfit) = give(outlet, lane, &segment, &receipt) {
                sorted.unfit.extend(unfit);
            }
        }
        for unfit in sorted.unfit {
            self.bury(unfit, lane, &receipt, source);
        }
        receipt.settle();
    }

    /// Whether every destination of the chunk has room. It is asked before any has a part of the chunk: what is given up whole and
    /// sent again is not doubled at those that had room. A gate that shuts after this look lets the chunk pass.
    fn has_room(&self, sorted: &Sorted, source: &SourceMetrics) -> bool {
        let takes = |segment: &Segment| {
            let Some(outlet) = self.outlets.get(segment.outlet) else { return true };
            // What has no destination becomes a dead letter.
            let feed = outlet.destination(&segment.origin).ok();
            !outlet.dead_letter_gate.is_shut() && feed.is_none_or(|feed| !feed.gate().is_shut())
        };
        let buries = |unfit: &Unfit| !self.dead_letters.gate(&self.folder(unfit, source)).is_shut();
        sorted.segments.iter().all(takes) && sorted.unfit.iter().all(buries)
    }

    fn count(&self, sorted: &Sorted, source: &SourceMetrics) {
        let filtered: Vec<_> =
            sorted.filtered.iter().map(|(route, events)| (self.route_counter(*route), *events)).collect();
        let undecodable = sorted.unfit.iter().filter(|unfit| unfit.outlet.is_none());
        let undecodable: Vec<_> = undecodable.map(|unfit| (unfit.reason, 1)).collect();
        source.read(&Fate { routed: sorted.routed, filtered: &filtered, undecodable: &undecodable });
    }

    fn route_counter(&self, route: Option<usize>) -> prometheus::IntCounter {
        self.metrics.filtered(&route.map_or_else(|| "none".to_owned(), |route| route.to_string()))
    }

    /// Queues a dead letter; its part of the chunk is done once it is on disk.
    fn bury(&self, unfit: Unfit, lane: &Lane, receipt: &Receipt, source: &SourceMetrics) {
        let outlet = self.outlet(&unfit).map(Arc::clone);
        let folder = self.folder(&unfit, source);
        lane.feeds(&self.dead_letters.gate(&folder));
        let receipt = receipt.split();
        // What a sink cannot take was given to it, and ends there.
        if let Some(outlet) = &outlet {
            outlet.metrics.accept(unfit.events);
        }
        let (reason, events) = (unfit.reason, unfit.events);
        let letter = letter(unfit, receipt.buried().unwrap_or_else(Timestamp::now));
        let done = move || {
            if let Some(outlet) = outlet {
                outlet.metrics.dead_letter(reason, events);
            }
            receipt.settle();
        };
        self.dead_letters.bury(Burial { folder, letter, done: Box::new(done) });
    }

    /// The sink that an event was for.
    fn outlet(&self, unfit: &Unfit) -> Option<&Arc<Outlet>> {
        self.outlets.get(unfit.outlet?)
    }

    /// Where its dead letter goes.
    fn folder(&self, unfit: &Unfit, source: &SourceMetrics) -> Arc<str> {
        let of_source = || folder_of_source(source.name()).into();
        self.outlet(unfit).map_or_else(of_source, |outlet| outlet.name.as_str().into())
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
fn give(outlet: &Outlet, lane: &Lane, segment: &Segment, receipt: &Receipt) -> Result<(), Vec<Unfit>> {
    loop {
        let found = outlet.destination(&segment.origin);
        let feed = found.map_err(|why| Unfit::from_segment(segment, why))?;
        for gate in [feed.gate(), &outlet.dead_letter_gate] {
            lane.feeds(gate);
        }
        match feed.push(&segment.blocks, &segment.origin, receipt) {
            Ok(()) => return Ok(()),
            Err(Ended) => outlet.forget(&feed),
        }
    }
}
