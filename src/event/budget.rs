//! The memory that payload bytes may take, over all sources and sinks.
//!
//! A source asks before it reads and waits while the budget is spent. What decoding then turns out to need is corrected
//! without waiting ([`Held::resize`]), so no stage after a source can wait for memory, and none can deadlock on it: an
//! overdraft delays the next admission instead.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::futures::Notified;
use tokio::sync::{Notify, Semaphore};

/// A byte budget with first-come, first-served admission.
#[derive(Debug)]
pub struct Budget {
    limit: u64,
    /// Bytes out at present; may exceed `limit` by what [`Held::resize`] added.
    used: AtomicU64,
    /// Of these, bytes that stay however much is delivered: who is admitted alone does not wait for them.
    standing: AtomicU64,
    /// One permit, with the one who waits at the head of the queue, so that a large request is not overtaken for ever.
    turn: Semaphore,
    freed: Notify,
    /// Told when somebody begins to wait.
    spent: Notify,
    /// The highest `used` so far. The lock covers only the comparison.
    peak: Mutex<u64>,
}

impl Budget {
    /// A budget of `limit` bytes.
    #[must_use]
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: AtomicU64::new(0),
            standing: AtomicU64::new(0),
            turn: Semaphore::new(1),
            freed: Notify::new(),
            spent: Notify::new(),
            peak: Mutex::new(0),
        })
    }

    /// The limit, in bytes.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Bytes out at present.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Acquire)
    }

    /// The most bytes that were ever out.
    #[must_use]
    pub fn peak(&self) -> u64 {
        *self.peak.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody waits for memory.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.turn.available_permits() == 0
    }

    /// Resolves when somebody begins to wait for memory after the call.
    pub fn spent(&self) -> Notified<'_> {
        self.spent.notified()
    }

    /// Waits until `bytes` fit. More than the whole budget is admitted alone, once everything else is back.
    pub async fn admit(self: &Arc<Self>, bytes: u64) -> Held {
        // A closed semaphore would only mean no queue; it is never closed.
        let _turn = self.turn.acquire().await.ok();
        loop {
            let freed = self.freed.notified();
            if let Some(held) = self.take(bytes) {
                return held;
            }
            self.spent.notify_waiters();
            freed.await;
        }
    }

    /// Admits `bytes` if they fit now and nobody waits: what comes later does not overtake.
    #[must_use]
    pub fn try_admit(self: &Arc<Self>, bytes: u64) -> Option<Held> {
        if self.is_spent() { None } else { self.take(bytes) }
    }

    /// Charges `bytes` without waiting, for what its holder bounds by itself: what goes beyond the limit delays the next
    /// admission.
    #[must_use]
    pub fn charge(self: &Arc<Self>, bytes: u64) -> Held {
        let mut held = Held { budget: Arc::clone(self), bytes: 0, is_standing: false };
        held.resize(bytes);
        held
    }

    /// Memory that is kept for long beside what flows, to be resized; without waiting.
    #[must_use]
    pub fn standing(self: &Arc<Self>) -> Held {
        Held { budget: Arc::clone(self), bytes: 0, is_standing: true }
    }

    fn take(self: &Arc<Self>, bytes: u64) -> Option<Held> {
        let standing = self.standing.load(Ordering::Acquire);
        let fits = |used: u64| {
            let wanted = used.saturating_add(bytes);
            (used <= standing || wanted <= self.limit).then_some(wanted)
        };
        let before = self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).ok()?;
        self.note_peak(before.saturating_add(bytes));
        Some(Held { budget: Arc::clone(self), bytes, is_standing: false })
    }

    fn note_peak(&self, used: u64) {
        let mut peak = self.peak.lock().unwrap_or_else(PoisonError::into_inner);
        *peak = (*peak).max(used);
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::AcqRel);
        self.freed.notify_one();
    }
}

/// Bytes admitted by a [`Budget`], given back on drop.
#[derive(Debug)]
pub struct Held {
    budget: Arc<Budget>,
    bytes: u64,
    is_standing: bool,
}

impl Held {
    /// How many bytes are held.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Corrects the amount to what is really held. Never waits: what goes beyond the limit delays the next admission.
    pub fn resize(&mut self, bytes: u64) {
        self.note_standing(bytes);
        if bytes > self.bytes {
            let more = bytes.saturating_sub(self.bytes);
            let before = self.budget.used.fetch_add(more, Ordering::AcqRel);
            self.budget.note_peak(before.saturating_add(more));
        } else {
            self.budget.give_back(self.bytes.saturating_sub(bytes));
        }
        self.bytes = bytes;
    }

    /// Takes part of what is held, at most all of it, to be given back by itself.
    #[must_use]
    pub fn split(&mut self, bytes: u64) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes = self.bytes.saturating_sub(bytes);
        Self { budget: Arc::clone(&self.budget), bytes, is_standing: self.is_standing }
    }

    fn note_standing(&self, bytes: u64) {
        if self.is_standing {
            self.budget.standing.fetch_add(bytes, Ordering::AcqRel);
            self.budget.standing.fetch_sub(self.bytes, Ordering::AcqRel);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.note_standing(0);
        self.budget.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn admission_waits_until_bytes_come_back() {
        let budget = Budget::new(100);
        let first = budget.admit(80).await;
        let second = budget.admit(40);
        tokio::pin!(second);
        let waited = tokio::time::timeout(Duration::from_secs(1), second.as_mut()).await;
        assert!(waited.is_err(), "40 more do not fit beside 80 of 100");
        drop(first);
        assert_eq!(second.await.bytes(), 40);
    }

    #[tokio::test]
    async fn more_than_the_whole_budget_is_admitted_alone() {
        let budget = Budget::new(100);
        let large = budget.admit(1_000).await;
        assert!(budget.try_admit(1).is_none());
        drop(large);
        assert!(budget.try_admit(1).is_some());
    }

    #[tokio::test]
    async fn a_part_of_what_is_held_is_given_back_by_itself() {
        let budget = Budget::new(100);
        let mut held = budget.admit(60).await;
        let part = held.split(20);
        assert_eq!((held.bytes(), part.bytes(), budget.used()), (40, 20, 60));
        drop(part);
        assert_eq!(budget.used(), 40);
        assert_eq!(held.split(1_000).bytes(), 40);
        drop(held);
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_later_does_not_overtake_who_waits() {
        let budget = Budget::new(100);
        let first = budget.admit(50).await;
        let large = budget.admit(90);
        tokio::pin!(large);
        assert!(tokio::time::timeout(Duration::from_secs(1), large.as_mut()).await.is_err());
        assert!(budget.try_admit(10).is_none(), "10 would fit, but 90 wait");
        drop(first);
        let large = large.await;
        assert!(budget.try_admit(10).is_some());
        drop(large);
    }

    #[tokio::test]
    async fn an_overdraft_delays_the_next_admission_only() {
        let budget = Budget::new(100);
        let mut held = budget.admit(60).await;
        held.resize(150);
        assert_eq!(budget.used(), 150);
        assert!(budget.try_admit(1).is_none());
        held.resize(10);
        assert!(budget.try_admit(90).is_some());
        assert_eq!(budget.peak(), 150);
    }

    #[test]
    fn who_is_admitted_alone_does_not_wait_for_what_stays() {
        let budget = Budget::new(100);
        let mut stays = budget.standing();
        stays.resize(10);
        assert!(budget.try_admit(95).is_some(), "nothing else is out");
        let _other = budget.try_admit(1).unwrap();
        assert!(budget.try_admit(95).is_none());
        drop(stays);
        assert_eq!(budget.used(), 1);
    }
}
