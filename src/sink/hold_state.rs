//! Since when, and why, a destination is held.

use tokio::time::Instant;

/// The state of a held destination.
#[derive(Debug)]
pub(super) struct HoldState {
    pub(super) reason: &'static str,
    pub(super) attempts: u32,
    /// When it was held last.
    pub(super) since: Instant,
}
