//! Small chunks that are handed to a worker together: waking one costs more than decoding a few lines.

use std::sync::Arc;

use crate::event::Chunk;
use crate::pipeline::OrderedLane;

/// Chunks that are ready for a worker.
#[derive(Default)]
pub(super) struct JobBatch {
    chunks: Vec<(Arc<OrderedLane>, Chunk)>,
    bytes: usize,
}

impl JobBatch {
    pub(super) fn add(&mut self, lane: Arc<OrderedLane>, chunk: Chunk) {
        self.bytes = self.bytes.saturating_add(chunk.payload.len());
        self.chunks.push((lane, chunk));
    }

    /// Whether it is enough to wake a worker for.
    pub(super) fn is_enough(&self) -> bool {
        self.bytes >= ENOUGH_BYTES || self.chunks.len() >= ENOUGH_CHUNKS
    }

    pub(super) fn take(&mut self) -> Vec<(Arc<OrderedLane>, Chunk)> {
        self.bytes = 0;
        std::mem::take(&mut self.chunks)
    }
}

/// Work for a worker is at least so much, where there is more: waking one costs as much as a look at a file.
const ENOUGH_BYTES: usize = 512 * 1024;
const ENOUGH_CHUNKS: usize = 64;
