//! One chunk's way through a worker: decode → route → encode → enqueue.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::enqueue::Enqueuer;
use super::intake::Job;
use super::routing::WorkerState;
use crate::decode::{Decoder, Scratch};
use crate::event::{Chunk, Events as _};
use crate::metrics::SourceMetrics;

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
    pub(crate) sources: BTreeMap<Arc<str>, Arc<SourceDecoder>>,
    /// The last step.
    pub(crate) enqueuer: Arc<Enqueuer>,
}

impl Processor {
    /// Takes a chunk from its source's bytes to its destinations' queues.
    pub(super) fn process(&self, job: Job, state: &mut WorkerState, scratch: &mut Scratch) {
        let Job { chunk, slot, admitted, undecodable } = job;
        let Chunk { origin, payload, piece, read_at, ack, mut held } = chunk;
        let Some(source) = self.sources.get(&origin.source) else {
            debug_assert!(false, "a chunk of a source that is not configured");
            // The ack guard is dropped unsettled: the chunk is given up, not lost.
            return;
        };
        // The decoder calls back for each event that it finds: see `Routing`, which routes it, and encodes it for its sinks.
        let mut routing = state.begin(read_at);
        match undecodable {
            None => source.decoder.decode_piece(scratch, &origin, &payload, piece, &mut routing),
            Some(reason) => {
                routing.origin(&origin);
                routing.undecodable(reason, &payload);
            }
        }
        let encoded = routing.finish();
        drop(payload);
        let written = encoded.bytes();
        slot.lane().learn(admitted, written);
        held.resize(written);
        ack.hold(held);
        // Chunks of one lane are encoded side by side, and enqueued one after the other.
        let (enqueuer, lane, source) =
            (Arc::clone(&self.enqueuer), Arc::clone(slot.lane()), Arc::clone(source));
        slot.commit(move || enqueuer.enqueue(encoded, &lane, ack, &source.metrics));
    }
}
