//! What all connections of one source share.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::handshake::ForwardAdmission;
use super::large::LargeMemory;
use super::ledger::ChunkLedger;
use super::parts::PartsMemory;
use super::socket::shown;
use crate::connections::{PEER_LOG, PeerLog};
use crate::event::Origin;
use crate::pipeline::Intake;
use crate::source::peers::PeerSource;

/// What all connections share.
#[derive(Debug)]
pub(super) struct ForwardContext {
    pub(super) name: Arc<str>,
    /// Of every event, before its message tells more.
    pub(super) origin: Arc<Origin>,
    pub(super) intake: Intake,
    pub(super) ledger: Arc<ChunkLedger>,
    /// None: any sender is admitted.
    pub(super) admission: Option<ForwardAdmission>,
    /// For messages that are larger than any connection may hold.
    pub(super) large: LargeMemory,
    pub(super) parts: PartsMemory,
    /// A line in parts is joined up to so many bytes.
    pub(super) longest_line: usize,
    pub(super) log: PeerLog,
}

impl ForwardContext {
    /// Counts a connection that is ended or not accepted, and says whose it is.
    pub(super) fn cut(&self, (peer, name): (SocketAddr, &str), reason: &'static str, message: &str) {
        self.intake.metrics.error(reason);
        let Some(left_out) = self.log.lets_through(peer.ip(), Instant::now()) else { return };
        let source = &*self.name;
        tracing::warn!(target: PEER_LOG, source, peer = name, reason, message, left_out, "a connection was ended");
    }
}

impl PeerSource for ForwardContext {
    fn name(&self) -> &str {
        &self.name
    }

    fn intake(&self) -> &Intake {
        &self.intake
    }

    fn lag(&self, now: Instant) -> Duration {
        self.ledger.lag(now)
    }

    fn cut_peer(&self, peer: SocketAddr, reason: &'static str, message: &str) {
        self.cut((peer, &shown(peer)), reason, message);
    }
}
