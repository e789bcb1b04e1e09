//! Who may hold the beginning of a large record while the rest of it is still to come.
//!
//! A sender that is quick keeps its permit for moments. One that lets the others wait loses it, and its request with it.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};

/// The permits.
#[derive(Debug)]
pub(super) struct LargeRecords {
    permits: Semaphore,
    waiting: AtomicUsize,
    /// So many of those that wait were promised what somebody else gives up.
    promised: AtomicUsize,
}

/// The right to hold one.
#[derive(Debug)]
pub(super) struct LargeRecord<'a> {
    all: &'a LargeRecords,
    _permit: Option<SemaphorePermit<'a>>,
    is_promised: bool,
}

/// One that waits, until it has a permit or gives up. A promise ends with it, not before: nobody else is to give way as well.
struct WaitingCount<'a>(&'a LargeRecords);

impl Drop for WaitingCount<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
        // An error says that there was none.
        self.0
            .promised
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |promised| promised.checked_sub(1))
            .ok();
    }
}

impl LargeRecords {
    pub(super) fn new(most: usize) -> Self {
        Self { permits: Semaphore::new(most), waiting: AtomicUsize::new(0), promised: AtomicUsize::new(0) }
    }

    /// Waits for a permit.
    pub(super) async fn acquire(&self) -> LargeRecord<'_> {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        let _waiting = WaitingCount(self);
        // The semaphore is never closed.
        LargeRecord { all: self, _permit: self.permits.acquire().await.ok(), is_promised: false }
    }
}

impl LargeRecord<'_> {
    /// Whether somebody waits for it. It is then promised to that one, and has to be given up.
    pub(super) fn is_wanted(&mut self) -> bool {
        if self.is_promised {
            return true;
        }
        let waiting = self.all.waiting.load(Ordering::Acquire);
        let promise = |promised: usize| (promised < waiting).then(|| promised.saturating_add(1));
        let promised = self.all.promised.fetch_update(Ordering::AcqRel, Ordering::Acquire, promise);
        self.is_promised = promised.is_ok();
        self.is_promised
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn as_many_are_wanted_as_wait() {
        let all = LargeRecords::new(2);
        let (mut first, mut second) = (all.acquire().await, all.acquire().await);
        assert!(!first.is_wanted());
        let third = all.acquire();
        tokio::pin!(third);
        assert!(tokio::time::timeout(std::time::Duration::ZERO, third.as_mut()).await.is_err());
        assert!(first.is_wanted());
        assert!(!second.is_wanted(), "one waits, and one is promised");
        drop(first);
        let mut third = third.await;
        assert!(!third.is_wanted() && !second.is_wanted());
    }
}
