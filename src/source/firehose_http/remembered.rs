//! The memory of what is remembered of requests, within the budget.

use std::sync::Arc;

use crate::event::Held;
use crate::sync::Lock;

/// How many bytes it takes.
#[derive(Debug)]
pub(super) struct RememberedBytes(Lock<Held>);

impl RememberedBytes {
    pub(super) fn new(held: Held) -> Arc<Self> {
        Arc::new(Self(Lock::new(held)))
    }

    pub(super) fn bytes(&self) -> u64 {
        self.0.lock().bytes()
    }

    pub(super) fn grow(&self, bytes: u64) {
        if bytes > 0 {
            let mut held = self.0.lock();
            let grown = held.bytes().saturating_add(bytes);
            held.resize(grown);
        }
    }

    pub(super) fn shrink(&self, bytes: u64) {
        if bytes > 0 {
            let mut held = self.0.lock();
            debug_assert!(held.bytes() >= bytes, "more is forgotten than was remembered");
            let shrunk = held.bytes().saturating_sub(bytes);
            held.resize(shrunk);
        }
    }
}
