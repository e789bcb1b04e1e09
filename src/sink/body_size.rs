//! How large the body of a `PutRecordBatch` request is.

use crate::limits::{MAX_REQUEST_RECORDS, TARGET_RECORD_BYTES, TARGET_REQUEST_BYTES};

/// Room for the body of any request that is filled to its target.
pub const BODY_BYTES: usize = most_bytes(TARGET_REQUEST_BYTES, MAX_REQUEST_RECORDS);

/// The body of a single record fits into a quarter of it: buffers come in this size, its half, and its quarter.
const _: () = assert!(most_bytes(TARGET_RECORD_BYTES, 1) <= BODY_BYTES / 4);

/// The most bytes that a body with this much payload in this many records has.
pub(super) const fn most_bytes(payload: usize, records: usize) -> usize {
    payload.div_ceil(3).saturating_mul(4).saturating_add(records.saturating_mul(24)).saturating_add(128)
}
