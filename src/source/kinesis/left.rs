//! The leases of a source that reads no more: they are kept until everything that was read has ended, and then written to and given
//! back.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::held_lease::HeldLease;

/// Leases that are to be left.
pub(super) struct LeftShards {
    pub(super) held: Vec<Arc<HeldLease>>,
    /// They renew leases, and write positions down.
    pub(super) keepers: JoinSet<Arc<str>>,
}

/// Writes under way.
const MOST_WRITES: usize = 32;

impl LeftShards {
    /// Writes all positions down, and gives the leases back unless they are kept for the next run.
    pub(super) async fn leave(mut self, within: Duration, is_kept: bool) -> Result<(), String> {
        // Of two writes side by side the older may come last.
        self.keepers.shutdown().await;
        let deadline = Instant::now() + within;
        let mut leaving = JoinSet::new();
        let mut failed = None;
        for lease in self.held {
            while leaving.len() >= MOST_WRITES {
                failed = failed.or(leaving.join_next().await.and_then(left));
            }
            leaving.spawn(async move {
                let written = lease.leave(deadline, is_kept).await;
                written.map_err(|failure| format!("shard `{}`: {failure}", lease.shard))
            });
        }
        while let Some(ended) = leaving.join_next().await {
            failed = failed.or(left(ended));
        }
        failed.map_or(Ok(()), Err)
    }
}

/// Why a lease was not left in order.
fn left(ended: Result<Result<(), String>, JoinError>) -> Option<String> {
    // A panic aborts the process.
    ended.ok().and_then(Result::err)
}
