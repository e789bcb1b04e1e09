//! What an endpoint lets a sender do, beside what the configuration says. docs/firehose-http.md has the table.

use std::time::Duration;

/// Limits on time and pace; tests have shorter ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct EndpointLimits {
    /// Within so long a connection has to bring a request that is admitted.
    pub(super) first_request: Duration,
    /// An answer that its sender does not read for so long is given up with its connection.
    pub(super) write_stall: Duration,
    /// A body may take so long to arrive, however small it is.
    pub(super) body_grace: Duration,
    /// Bytes a second that a body has to bring beyond that, over all of its time.
    pub(super) body_rate: u64,
    /// A body that keeps others waiting for a large record may itself let wait for so long.
    pub(super) large_record_wait: Duration,
    /// Most records of a request: a body of 64 MiB that has more holds but a few bytes in each.
    pub(super) max_records: u64,
    /// How often a body that does not come is looked at.
    pub(super) look: Duration,
}

impl Default for EndpointLimits {
    fn default() -> Self {
        Self {
            first_request: Duration::from_secs(10),
            write_stall: Duration::from_secs(10),
            body_grace: Duration::from_secs(5),
            body_rate: 64 << 10,
            large_record_wait: Duration::from_secs(2),
            max_records: 1_000_000,
            look: Duration::from_millis(250),
        }
    }
}

/// Room for the headers: the common attributes alone may be 64 KB.
pub(super) const MAX_HEADERS: usize = 160 << 10;

/// The same of a connection that has not brought an admitted request yet, but for [`LARGE_HEADS`] at once.
pub(super) const SMALL_HEAD: usize = 16 << 10;
pub(super) const LARGE_HEADS: usize = 16;

/// The longest request id; Firehose's have 36 characters.
pub(super) const MAX_REQUEST_ID: usize = 128;

/// The longest ARN, as AWS limits them.
pub(super) const MAX_SOURCE_ARN: usize = 2_048;

/// Firehose's own limit of a body, before compression, and a margin.
pub(super) const MAX_BODY: u64 = (64 << 20) + (1 << 20);

/// A sender that is silent for so long in the middle of a body is given up.
pub(super) const SILENCE: Duration = Duration::from_secs(30);

/// Records in the making that are larger than [`SMALL_RECORD`], at once, over all bodies: one holds up to 2.4 MB.
pub(super) const LARGE_RECORDS: usize = 8;

/// As much of a record as any body may hold while it waits for the rest.
pub(super) const SMALL_RECORD: usize = 64 << 10;

/// Memory that a record takes while it is under way, beside its bytes.
pub(super) const RECORD_OVERHEAD: usize = 256;
