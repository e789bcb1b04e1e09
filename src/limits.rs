//! Firehose's limits on what is put, and its unit of billing: constants for every stage that has to keep them.
//!
//! Source: <https://docs.aws.amazon.com/firehose/latest/dev/limits.html> and
//! <https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html>.

/// Most bytes in one record, before base64: 1,000 KiB.
pub const MAX_RECORD_BYTES: usize = 1_024_000;

/// Most bytes in one `PutRecordBatch` request, before base64: 4 MiB.
pub const MAX_REQUEST_BYTES: usize = 4 * 1024 * 1024;

/// Most records in one `PutRecordBatch` request.
pub const MAX_REQUEST_RECORDS: usize = 500;

/// Each record is billed as the next multiple of this many bytes.
pub const BILLING_STEP: usize = 5 * 1024;

/// What a record is filled to: whole billing steps, four of which make a request that is under 4 MB by any way of counting.
pub const TARGET_RECORD_BYTES: usize = 195 * BILLING_STEP;

/// What a request is filled to. AWS does not say whether its 4 MiB are counted in units of 1,000 or 1,024.
pub const TARGET_REQUEST_BYTES: usize = 4_000_000;

const _: () = assert!(TARGET_RECORD_BYTES <= MAX_RECORD_BYTES);
const _: () = assert!(4 * TARGET_RECORD_BYTES <= TARGET_REQUEST_BYTES);
const _: () = assert!(TARGET_REQUEST_BYTES <= MAX_REQUEST_BYTES);

/// What AWS bills for a record of `len` bytes.
#[must_use]
pub const fn billed(len: usize) -> usize {
    len.div_ceil(BILLING_STEP).saturating_mul(BILLING_STEP)
}
