//! A payload's way to its destinations without the last step: decoded, routed and encoded as in a run, and enqueued nowhere.

use super::encoded::{EncodedChunk, Undeliverable};
use super::process::{Processor, decode};
use super::routing::WorkerState;
use super::scratch::WorkerScratch;
use super::step::{StepMemory, StepNeeds};
use crate::decode::Undecoded;
use crate::destination::key::DestinationKey;
use crate::destination::registry::NoDestination;
use crate::event::{Block, Chunk, CommitTurn};
use crate::route::Filtered;

/// What would become of a payload.
#[derive(Debug, Default)]
pub(crate) struct RehearsedChunk {
    /// What each destination would have, in order.
    pub(crate) delivered: Vec<RehearsedSegment>,
    /// Events that no sink would have, by why.
    pub(crate) filtered: Vec<(Filtered, u64)>,
    /// What would become dead letters.
    pub(crate) undeliverable: Vec<Undeliverable>,
}

/// Events for one destination.
#[derive(Debug)]
pub(crate) struct RehearsedSegment {
    /// The sink's place.
    pub(crate) sink: usize,
    /// The destination.
    pub(crate) key: DestinationKey,
    /// The events.
    pub(crate) blocks: Vec<Block>,
}

impl Processor {
    /// Takes a chunk as far as its encoding; none: its source is not configured, or there is not the memory to open it.
    pub(crate) fn rehearse(&self, chunk: Chunk, state: &mut WorkerState) -> Option<RehearsedChunk> {
        let Chunk { origin, payload, piece, read_at, ack, mut held } = chunk;
        let source = self.sources.get(&origin.source)?;
        let mut scratch = WorkerScratch::default();
        let origin = match &source.labeller {
            Some(labeller) => labeller.label(origin, &mut scratch.labelled),
            None => origin,
        };
        let (mut rehearsed, mut left) = (RehearsedChunk::default(), Some(Undecoded::new(payload, piece)));
        while let Some(undecoded) = left.take() {
            let mut needs = StepNeeds::default();
            let used = held.bytes();
            let turn = (&self.budget, CommitTurn::Now);
            let memory = StepMemory::new(turn, u64::MAX, (&mut held, used), &mut needs);
            let routing = state.begin(read_at, memory).of_chunk(source, &origin.source, &ack);
            let (rest, encoded) = decode(source, &origin, undecoded, routing, &mut scratch);
            if needs.lacks() {
                return None;
            }
            left = rest;
            self.add(encoded, &mut rehearsed);
        }
        Some(rehearsed)
    }

    /// Adds what a step made, by destination.
    fn add(&self, encoded: EncodedChunk, rehearsed: &mut RehearsedChunk) {
        rehearsed.filtered.extend(encoded.filtered);
        rehearsed.undeliverable.extend(encoded.undeliverable);
        for segment in encoded.segments {
            let key = self.enqueuer.sinks.get(segment.sink).and_then(|sink| sink.key(&segment.origin));
            if let Some(key) = key {
                let (sink, blocks) = (segment.sink, segment.blocks);
                rehearsed.delivered.push(RehearsedSegment { sink, key, blocks });
            } else {
                let lost = Undeliverable::from_segment(&segment, NoDestination::MissingField);
                rehearsed.undeliverable.extend(lost);
            }
        }
    }
}
