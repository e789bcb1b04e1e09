//! What all requests of one endpoint share.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::admission::Admission;
use super::large_records::LargeRecords;
use super::limits::EndpointLimits;
use super::recent::RecentRequests;
use crate::connections::PeerLog;
use crate::pipeline::Intake;
use crate::source::peers::PeerSource;

/// What all requests share.
#[derive(Debug)]
pub(super) struct HttpContext {
    pub(super) name: Arc<str>,
    pub(super) host: Arc<str>,
    pub(super) intake: Intake,
    pub(super) admission: Admission,
    pub(super) recent: RecentRequests,
    pub(super) large_records: LargeRecords,
    pub(super) large_heads: Arc<Semaphore>,
    pub(super) timeout: Duration,
    pub(super) idle_timeout: Duration,
    pub(super) max_inflated: usize,
    pub(super) limits: EndpointLimits,
    pub(super) log: PeerLog,
}

impl PeerSource for HttpContext {
    fn name(&self) -> &str {
        &self.name
    }

    fn intake(&self) -> &Intake {
        &self.intake
    }

    fn lag(&self, now: Instant) -> Duration {
        self.recent.lag(now)
    }

    fn cut_peer(&self, peer: SocketAddr, reason: &'static str, message: &str) {
        self.cut(peer, reason, message);
    }
}
