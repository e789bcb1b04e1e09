//! Whether a destination takes more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Shut while a destination holds its share of the memory, so that a dead one cannot take the share of the others.
#[derive(Debug)]
pub struct Backpressure {
    shut: AtomicBool,
    busy: AtomicBool,
    /// Told when the backpressure opens; one for all backpressures, since a source may wait for any of them.
    opened: Arc<Notify>,
}

impl Backpressure {
    /// An open backpressure. `opened` is notified each time it opens again.
    #[must_use]
    pub fn new(opened: Arc<Notify>) -> Arc<Self> {
        Arc::new(Self { shut: AtomicBool::new(false), busy: AtomicBool::new(false), opened })
    }

    /// Whether the destination holds its share.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.shut.load(Ordering::Acquire)
    }

    /// Whether what can wait where it is had better wait: the destination works, and has as much as it can take at once.
    #[must_use]
    pub fn is_throttled(&self) -> bool {
        self.busy.load(Ordering::Acquire)
    }

    /// Shuts or opens the backpressure.
    pub fn set_full(&self, shut: bool) {
        self.set(&self.shut, shut);
    }

    /// Says whether the destination is busy.
    pub fn set_throttled(&self, busy: bool) {
        self.set(&self.busy, busy);
    }

    fn set(&self, flag: &AtomicBool, value: bool) {
        if flag.swap(value, Ordering::AcqRel) && !value {
            self.opened.notify_waiters();
        }
    }
}

impl Drop for Backpressure {
    /// A destination that ends holds up nobody: who waits for it is told, as when it opens.
    fn drop(&mut self) {
        self.set_full(false);
        self.set_throttled(false);
    }
}
