//! What all requests of one endpoint share.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::admission::Admission;
use super::recent::RecentRequests;
use crate::pipeline::Intake;

/// What all requests share.
#[derive(Debug)]
pub(super) struct HttpContext {
    pub(super) name: Arc<str>,
    pub(super) host: Arc<str>,
    pub(super) intake: Intake,
    pub(super) admission: Admission,
    pub(super) recent: RecentRequests,
    /// One permit a body being read: see [`READERS`].
    pub(super) readers: Semaphore,
    pub(super) timeout: Duration,
    pub(super) max_inflated: usize,
}

/// Bodies read at once. Each holds at most one record, about 2.4 MB, before that record's memory is admitted.
pub(super) const READERS: usize = 8;
