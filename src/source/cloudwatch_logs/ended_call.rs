//! A call for a page that is over.

use bytes::Bytes;

use super::plan::PageAsk;
use super::service::PullFault;
use crate::event::Held;

/// A call that is over.
pub(super) struct EndedCall {
    /// The number of the log group that was asked for.
    pub(super) group: usize,
    /// What was asked.
    pub(super) ask: PageAsk,
    /// The page, or why there is none.
    pub(super) result: Result<Bytes, PullFault>,
    /// The memory of the page.
    pub(super) held: Held,
}
