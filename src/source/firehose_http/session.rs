//! What the requests of one connection share.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::time::Instant;

use super::context::HttpContext;
use crate::connections::{ConnectionSlot, ConnectionState, PEER_LOG};
use crate::event::RequestNames;

/// One connection and its peer.
#[derive(Debug)]
pub(super) struct HttpSession {
    pub(super) context: Arc<HttpContext>,
    pub(super) peer: SocketAddr,
    pub(super) slot: ConnectionSlot,
    pub(super) state: Arc<ConnectionState>,
}

impl HttpSession {
    /// Counts a request that is not taken, and says whose it is.
    pub(super) fn refused(&self, names: &RequestNames, reason: &'static str, message: &str) {
        let HttpContext { name, intake, log, .. } = &*self.context;
        intake.metrics.error(reason);
        let Some(left_out) = log.lets_through(self.peer.ip(), Instant::now()) else { return };
        tracing::warn!(
            target: PEER_LOG,
            source = &**name,
            peer = %self.peer,
            request_id = &*names.request_id,
            source_arn = &*names.source_arn,
            reason,
            message,
            left_out,
            "a request failed"
        );
    }

    /// Counts a connection that is ended, and says whose it is.
    pub(super) fn cut(&self, reason: &'static str, message: &str) {
        self.context.cut(self.peer, reason, message);
    }
}

impl HttpContext {
    /// Counts a connection that is ended or not accepted, and says whose it is.
    pub(super) fn cut(&self, peer: SocketAddr, reason: &'static str, message: &str) {
        self.intake.metrics.error(reason);
        let Some(left_out) = self.log.lets_through(peer.ip(), Instant::now()) else { return };
        let source = &*self.name;
        tracing::warn!(target: PEER_LOG, source, %peer, reason, message, left_out, "a connection was ended");
    }
}
