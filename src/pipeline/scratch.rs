//! One worker's buffers.

use super::labelling::LabelledOrigins;
use crate::decode::Scratch;
use crate::steps::RedactScratch;

/// One worker's buffers, reused from chunk to chunk.
#[derive(Debug, Default)]
pub(crate) struct WorkerScratch {
    /// Of the decoder.
    pub(super) decode: Scratch,
    /// Of what is redacted.
    pub(super) redact: RedactScratch,
    /// Of origins.
    pub(super) labelled: LabelledOrigins,
}
