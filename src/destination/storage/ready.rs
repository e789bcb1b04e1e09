//! What a sink could take.

use tokio::time::Instant;

use crate::limits::{MAX_REQUEST_RECORDS, TARGET_RECORD_BYTES, TARGET_REQUEST_BYTES};

/// What a sink could take.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ReadyRecords {
    /// How many there are.
    pub(crate) records: usize,
    /// Their bytes.
    pub(crate) bytes: usize,
    /// When the first event of the first one came.
    pub(crate) oldest: Option<Instant>,
}

impl ReadyRecords {
    /// Whether a request made of them has no room for one more that is full.
    pub(crate) fn fill_a_request(&self) -> bool {
        self.bytes > TARGET_REQUEST_BYTES.saturating_sub(TARGET_RECORD_BYTES)
            || self.records >= MAX_REQUEST_RECORDS
    }
}
