//! The border between the delivery loop and what it delivers to.

use std::future::Future;

use bytes::Bytes;
use tokio::time::Instant;

use super::answer::{Answer, Hold};
use super::send_order::ReservedSend;

/// The bytes of one record, in pieces.
pub type RecordParts = Vec<Bytes>;

/// One call to a destination.
pub trait SinkService: Send + Sync + 'static {
    /// Sends records in one request, which leaves in its turn.
    fn put(
        &self,
        records: Vec<RecordParts>,
        reserved: ReservedSend,
    ) -> impl Future<Output = ServiceReply> + Send;

    /// Lets the next call ask for new credentials, since the destination is held for this.
    fn refresh_credentials(&self, hold: &Hold);

    /// Bytes of memory that a request with this much payload takes while it is under way.
    fn request_bytes(&self, payload: usize) -> usize;

    /// The payload bytes that a request is best filled to, if that is less than it may carry. `concurrency` is the most requests under
    /// way; `is_compressed`: its records are compressed on their way.
    fn best_request(&self, _concurrency: usize, _is_compressed: bool) -> Option<usize> {
        None
    }

    /// The bytes that a record of this length is billed as.
    fn billed(&self, record: usize) -> usize;
}

/// An answer, and when its request was sent.
#[derive(Debug)]
pub struct ServiceReply {
    /// The answer.
    pub answer: Answer,
    /// When the request left, after it was made and had waited for its turn.
    pub sent: Instant,
}

impl ServiceReply {
    /// For a request that could not be made.
    #[must_use]
    pub fn unsent(message: String) -> Self {
        Self { answer: Answer::TryLater { outcome: "failed", message }, sent: Instant::now() }
    }
}
