//! The last step of a chunk on a worker: each piece to the queue of its destination, or to the dead letters.

use std::sync::Arc;

use super::encoded::{EncodedChunk, EncodedSegment, Undeliverable};
use super::intake::OrderedLane;
use super::tapping::tap_segment;
use crate::deadletter::{DeadLetters, PendingDeadLetter, folder_of_source};
use crate::destination::queue::Ended;
use crate::destination::registry::{NoDestination, RunningSink};
use crate::event::AckGuard;
use crate::metrics::{ChunkCounts, Metrics, SourceMetrics};
use crate::route::Filtered;
use crate::tap::{TapHub, TapTarget};

/// Gives encoded chunks to their destinations.
#[derive(Debug)]
pub(crate) struct Enqueuer {
    /// Sinks, by their place.
    pub(crate) sinks: Arc<[Arc<RunningSink>]>,
    /// For the counters of the routes.
    pub(crate) metrics: Metrics,
    /// Where what cannot be delivered goes.
    pub(crate) dead_letters: Arc<DeadLetters>,
    /// Who looks at what passes.
    pub(crate) taps: Arc<TapHub>,
}

/// Whether a part of a chunk may be given up for want of room.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum RoomCheck {
    /// It is the first: nothing of the chunk is enqueued.
    First,
    /// Parts before it are enqueued.
    Begun,
}

impl Enqueuer {
    /// Gives each segment to its destination. Runs in the lane's order.
    pub(super) fn enqueue(
        &self,
        mut encoded: EncodedChunk,
        lane: &OrderedLane,
        ack: AckGuard,
        check: RoomCheck,
        source: &SourceMetrics,
    ) {
        if check == RoomCheck::First && lane.may_reject() && !self.has_room(&encoded, source) {
            // Dropped unsettled: the sender is told to send again.
            return;
        }
        self.count(&encoded, source);
        if self.taps.is_tapped() {
            self.tap(&encoded.segments);
        }
        let mut held = encoded.held.take();
        let mut segments = std::mem::take(&mut encoded.segments).into_iter().peekable();
        while let Some(segment) = segments.next() {
            let Some(sink) = self.sinks.get(segment.sink) else {
                debug_assert!(false, "a segment for a sink that is not configured");
                // Dropped unsettled: the chunk is given up, not lost.
                return;
            };
            // What one sink has delivered is given back, whatever the others do; the last has what is beside the events.
            let bytes = if segments.peek().is_some() { segment.bytes() } else { u64::MAX };
            let part = held.as_mut().map(|held| ack.part(held.split(bytes)));
            if let Err(undeliverable) = give(sink, lane, &segment, part.as_ref().unwrap_or(&ack)) {
                encoded.undeliverable.extend(undeliverable);
            }
            part.into_iter().for_each(AckGuard::settle);
        }
        for undeliverable in encoded.undeliverable {
            self.enqueue_letter(undeliverable, lane, &ack, source);
        }
        ack.settle();
    }

    /// Offers what is enqueued to who looks at its sinks.
    #[cold]
    fn tap(&self, segments: &[EncodedSegment]) {
        for segment in segments {
            let Some(sink) = self.sinks.get(segment.sink) else { continue };
            if let Some(taps) = self.taps.of(TapTarget::Sink, &sink.name) {
                let stream = sink.key(&segment.origin).map(|key| key.stream).unwrap_or_default();
                tap_segment(taps, segment, &stream);
            }
        }
    }

    /// Whether every destination of the chunk has room. It is asked before any has a part of the chunk: what is given up whole and
    /// sent again is not doubled at those that had room. A destination that fills up after this look takes the chunk all the same.
    fn has_room(&self, encoded: &EncodedChunk, source: &SourceMetrics) -> bool {
        let takes = |segment: &EncodedSegment| {
            let Some(sink) = self.sinks.get(segment.sink) else { return true };
            let has_room = match sink.destination(&segment.origin) {
                Ok(queue) => !queue.backpressure().is_full(),
                // A place may be free when the request comes again.
                Err(NoDestination::TooMany) => false,
                // What can have no destination becomes a dead letter.
                Err(NoDestination::MissingField) => true,
            };
            has_room && !sink.dead_letter_backpressure.is_full()
        };
        let letter_has_room = |undeliverable: &Undeliverable| {
            !self.dead_letters.backpressure(&self.folder(undeliverable, source)).is_full()
        };
        encoded.segments.iter().all(takes) && encoded.undeliverable.iter().all(letter_has_room)
    }

    fn count(&self, encoded: &EncodedChunk, source: &SourceMetrics) {
        let filtered: Vec<_> =
            encoded.filtered.iter().map(|(why, events)| (self.filtered(*why), *events)).collect();
        let undecodable = encoded.undeliverable.iter().filter(|undeliverable| undeliverable.sink.is_none());
        let undecodable: Vec<_> = undecodable.map(|undeliverable| (undeliverable.reason, 1)).collect();
        for (why, events) in &encoded.withheld {
            let route = why.route.map_or_else(String::new, |route| route.to_string());
            self.metrics.withheld(&route, why.reason.label(), *events);
        }
        source.redacted(&encoded.redacted);
        source.repaired.inc_by(encoded.repaired);
        source.unparsed("parse", encoded.unparsed);
        source.unparsed("timestamp", encoded.untimed);
        source.read(&ChunkCounts { routed: encoded.routed, filtered: &filtered, undecodable: &undecodable });
    }

    /// The counter of events that go to no sink for this reason.
    fn filtered(&self, why: Filtered) -> prometheus::IntCounter {
        let route = why.route.map_or_else(|| "none".to_owned(), |route| route.to_string());
        self.metrics.filtered(&route, why.reason.label())
    }

    /// Queues a dead letter; its part of the chunk is done once it is on disk.
    fn enqueue_letter(
        &self,
        undeliverable: Undeliverable,
        lane: &OrderedLane,
        ack: &AckGuard,
        source: &SourceMetrics,
    ) {
        let sink = self.sink(&undeliverable).map(Arc::clone);
        let folder = self.folder(&undeliverable, source);
        lane.feeds(&self.dead_letters.backpressure(&folder));
        let ack = ack.split();
        // What a sink cannot take was given to it, and ends there.
        if let Some(sink) = &sink {
            sink.metrics.accept(undeliverable.events);
        }
        let (reason, events) = (undeliverable.reason, undeliverable.events);
        let letter = undeliverable.letter(&ack);
        let done = move || {
            if let Some(sink) = sink {
                sink.metrics.dead_letter(reason, events);
            }
            ack.settle();
        };
        self.dead_letters.enqueue(PendingDeadLetter { folder, letter, done: Box::new(done) });
    }

    /// The sink that an event was for.
    fn sink(&self, undeliverable: &Undeliverable) -> Option<&Arc<RunningSink>> {
        self.sinks.get(undeliverable.sink?)
    }

    /// Where its dead letter goes.
    fn folder(&self, undeliverable: &Undeliverable, source: &SourceMetrics) -> Arc<str> {
        let of_source = || folder_of_source(source.name()).into();
        self.sink(undeliverable).map_or_else(of_source, |sink| sink.name.as_str().into())
    }
}

/// Gives a segment to its destination, or says why it cannot be given.
fn give(
    sink: &RunningSink,
    lane: &OrderedLane,
    segment: &EncodedSegment,
    ack: &AckGuard,
) -> Result<(), Vec<Undeliverable>> {
    loop {
        let found = sink.destination(&segment.origin);
        let queue = found.map_err(|why| Undeliverable::from_segment(segment, why))?;
        for backpressure in [queue.backpressure(), &sink.dead_letter_backpressure] {
            lane.feeds(backpressure);
        }
        match queue.push(&segment.blocks, &segment.origin, ack) {
            Ok(()) => return Ok(()),
            Err(Ended) => sink.forget(&queue),
        }
    }
}
