//! Counters that belong together, seen together.

use std::sync::{Arc, PoisonError, RwLock};

/// Makes counters that belong together move together: shared by those who count, exclusive for a scrape, so that at every
/// scrape what was read is what was routed, filtered or undecodable, and what was accepted is what was delivered, given to the
/// dead letters, dropped, or is in flight.
#[derive(Clone, Debug, Default)]
pub(super) struct ScrapeBarrier(Arc<RwLock<()>>);

impl ScrapeBarrier {
    /// Counts without a scrape in between.
    pub(super) fn together(&self, count: impl FnOnce()) {
        let _shared = self.0.read().unwrap_or_else(PoisonError::into_inner);
        count();
    }

    pub(super) fn scrape<T>(&self, scrape: impl FnOnce() -> T) -> T {
        let _alone = self.0.write().unwrap_or_else(PoisonError::into_inner);
        scrape()
    }
}
