//! How the memory for what waits is shared among destinations, and what all of them are told at the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::event::Budget;

/// How the memory is shared among destinations.
#[derive(Debug)]
pub(crate) struct MemoryShares {
    budget: Arc<Budget>,
    destinations: AtomicUsize,
    /// How many there may come to be, up to what is known: a sink whose names depend on events may have any number.
    possible: AtomicUsize,
    /// Drain: nothing lingers any more.
    flushing: AtomicBool,
    /// The process is about to end: what is on disk stays there.
    closing: AtomicBool,
}

/// The least that a destination may hold, however many there are.
const LEAST_SHARE: usize = 1024 * 1024;

impl MemoryShares {
    /// Shares of a budget.
    #[must_use]
    pub(crate) fn new(budget: Arc<Budget>) -> Arc<Self> {
        Arc::new(Self {
            budget,
            destinations: AtomicUsize::new(0),
            possible: AtomicUsize::new(0),
            flushing: AtomicBool::new(false),
            closing: AtomicBool::new(false),
        })
    }

    /// Leaves what is on disk there from now on.
    pub(crate) fn close(&self) {
        self.flush();
        self.closing.store(true, Ordering::Release);
    }

    /// Sends what there is from now on, without waiting for more.
    pub(crate) fn flush(&self) {
        self.flushing.store(true, Ordering::Release);
    }

    /// Whether what there is goes out without waiting for more.
    pub(crate) fn is_flushing(&self) -> bool {
        self.flushing.load(Ordering::Acquire)
    }

    /// Whether the process is about to end.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// The memory of what waits.
    pub(crate) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// A sink more, which may have one destination, or any number of them.
    pub(super) fn announce(&self, has_one: bool) {
        let more = if has_one { 1 } else { 2 };
        if self.possible.fetch_add(more, Ordering::AcqRel).saturating_add(more) > 1 {
            self.budget.is_for_several();
        }
    }

    /// A destination more.
    pub(super) fn join(&self) {
        self.destinations.fetch_add(1, Ordering::AcqRel);
    }

    /// A destination less.
    pub(super) fn leave(&self) {
        self.destinations.fetch_sub(1, Ordering::AcqRel);
    }

    /// The most bytes that a destination may hold before its sources wait. A single one may hold everything if there cannot be another;
    /// several leave room for one more, and failing ones for twice as many.
    pub(super) fn most_held(&self, failing: bool) -> usize {
        let to_come = self.possible.load(Ordering::Acquire).min(2);
        let destinations = self.destinations.load(Ordering::Acquire).max(to_come);
        if destinations <= 1 {
            return self.total();
        }
        let parts = destinations.saturating_add(1).saturating_mul(if failing { 2 } else { 1 });
        (self.total() / parts).max(LEAST_SHARE)
    }

    /// The most bytes of records on disk that a destination keeps in memory as well: half of the memory, in equal parts, so that
    /// sources go on reading.
    pub(super) fn most_stored(&self) -> usize {
        let destinations = self.destinations.load(Ordering::Acquire).max(1);
        self.total() / 2 / destinations
    }

    /// What sources may have out: a destination that holds more of it keeps them from the others.
    fn total(&self) -> usize {
        usize::try_from(self.budget.for_sources()).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    /// What a destination may hold of 60 MiB that sources may have out, working and failing.
    #[track_caller]
    fn check(sinks: &[bool], destinations: usize, expected: (usize, usize)) {
        let shares = MemoryShares::new(Budget::new(80 << 20));
        for has_one in sinks {
            shares.announce(*has_one);
        }
        for _ in 0..destinations {
            shares.join();
        }
        assert_eq!((shares.most_held(false) / MIB, shares.most_held(true) / MIB), expected);
    }

    #[test]
    fn a_destination_leaves_room_for_those_that_are_to_come() {
        check(&[true], 1, (60, 60));
        check(&[true, true], 1, (20, 10));
        check(&[false], 1, (20, 10));
        check(&[false], 5, (10, 5));
        check(&[true, true], 2, (20, 10));
        check(&[false], 1_000, (1, 1));
    }
}
