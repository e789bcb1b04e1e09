//! Records to their destination, until each one has ended.
//!
//! In:      records from a [`RecordQueue`](crate::sink::RecordQueue), as many as fit into one request.
//! Out:     settled ack guards: delivered, or a dead letter on disk.
//! Full:    takes no more than its window of requests.
//! Failure: see [`Answer`]; nothing is dropped, only what the service refuses by itself becomes a dead letter.
//! Stop:    ends when its record_queue has ended and is empty.

mod deliver;
mod fault;
mod flight;
mod pacing;
mod rate;
mod step;
mod parcel;
mod cut;
mod succession;
mod directory;
mod firehose;
mod gzip;
mod offload;
mod record_queue;
#[cfg(test)]
mod simulation;

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::deadletter::DeadLetters;
use crate::event::Buffers;
use crate::health::Status;

pub use deliver::Delivery;
pub use directory::Directory;
pub use firehose::{BODY_BYTES, Digester, Firehose};
pub use offload::{Offload, Task};
pub use record_queue::RecordQueue;
pub use succession::{Front, Passage, Turn};

/// The bytes of one record, in pieces.
pub type Parts = Vec<Bytes>;

/// What all destinations share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// The worker threads.
    pub offload: Offload,
    /// Memory for requests under way, in KiB.
    pub request_memory: Arc<Semaphore>,
    /// All of it, in KiB.
    pub request_memory_kib: u32,
    /// Buffers for the bodies of requests.
    pub bodies: Arc<Buffers>,
    /// Hashes the bodies of requests.
    pub digester: Arc<Digester>,
    /// Where refused records go.
    pub dead_letters: Arc<DeadLetters>,
    /// Where issues are shown.
    pub status: Arc<Status>,
}

/// One call to a destination.
pub trait Service: Send + Sync + 'static {
    /// Sends records in one request, which leaves in its turn.
    fn put(&self, records: Vec<Parts>, passage: Passage) -> impl Future<Output = Reply> + Send;

    /// Lets the next call ask for new credentials, since the destination is held for this.
    fn refresh_credentials(&self, hold: &Hold);

    /// Bytes of memory that a request of so many payload bytes takes while it is under way.
    fn request_bytes(&self, payload: usize) -> usize;

    /// Payload bytes that a request is best filled to where so many may be under way, if that is less than it may carry.
    fn best_request(&self, _concurrency: usize) -> Option<usize> {
        None
    }

    /// What a record of so many bytes is billed as.
    fn billed(&self, record: usize) -> usize;
}

/// An answer, and when its request was sent.
#[derive(Debug)]
pub struct Reply {
    /// The answer.
    pub answer: Answer,
    /// When the request left, after it was made and had waited for its turn.
    pub sent: Instant,
}

impl Reply {
    /// For a request that could not be made.
    #[must_use]
    pub fn unsent(message: String) -> Self {
        Self { answer: Answer::TryLater { outcome: "failed", message }, sent: Instant::now() }
    }
}

/// The reason of a hold that new credentials may end by themselves.
pub const EXPIRED_CREDENTIALS: &str = "expired_credentials";

/// The reason of a hold that a clock's correction may end by itself: the SDK learns the service's time from its answer.
pub const SIGNATURE: &str = "signature";

/// The reason of a hold since the credentials are not known, or no longer.
pub const UNRECOGNIZED_CREDENTIALS: &str = "unrecognized_credentials";

/// The outcome of a request that was too much at present.
pub const THROTTLED: &str = "throttled";

/// What a destination said to a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    /// Accepted, but for these records.
    Accepted(Vec<Rejected>),
    /// Too much at present, or a fault of the service or the network: send again later.
    TryLater {
        /// `throttled` or `failed`, for the metric.
        outcome: &'static str,
        /// The service's or the system's words.
        message: String,
    },
    /// Nothing will be accepted until a person fixes something, or credentials are renewed.
    Held(Hold),
    /// The request itself is not acceptable: some record in it is at fault.
    Refused {
        /// The error's code.
        code: String,
        /// The service's words.
        message: String,
    },
}

/// One record that was not accepted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rejected {
    /// Its place in the request.
    pub index: usize,
    /// The error's code.
    pub code: String,
}

/// Why a destination is held, and what ends it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hold {
    /// The metric's label, such as `access_denied`.
    pub reason: &'static str,
    /// What happened: the AWS action, who asked for it, and the service's words.
    pub message: String,
    /// What to do about it.
    pub fix: String,
}

impl Hold {
    /// Whether the next try may succeed without anybody's help: with new credentials, or by the service's clock.
    #[must_use]
    pub fn may_fix_itself(&self) -> bool {
        [EXPIRED_CREDENTIALS, SIGNATURE].contains(&self.reason)
    }

    /// Whether the credentials themselves were refused, rather than what was asked for with them.
    #[must_use]
    pub fn is_of_credentials(&self) -> bool {
        [EXPIRED_CREDENTIALS, SIGNATURE, UNRECOGNIZED_CREDENTIALS].contains(&self.reason)
    }
}
