//! The memory that payload bytes may take, over all sources and sinks.
//!
//! A source asks before it reads, and waits while its part of the budget is spent. A worker asks before it writes
//! ([`Budget::reserve`]); where there is nothing left, it pauses its job and goes on later from where it stood. Workers have a part
//! that sources cannot take, and a paused job may overdraw once only paused jobs hold anything: none can deadlock. One job does so at a
//! time, until what it overdrew is back: what many hold beyond the limit would have no bound. Where there are several sources, what one
//! of them has under way is bounded by what is free ([`SourceMemory`](super::SourceMemory)).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

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
    /// Of these, bytes of paused jobs, and of what they keep from being enqueued.
    paused: AtomicU64,
    /// Paused jobs that wait for memory.
    waiting: AtomicU64,
    /// Sources that share the budget.
    sources: AtomicU64,
    /// What is read goes to more than one place, or may.
    is_for_several: AtomicBool,
    /// Of their admissions, those that wait for they have their share.
    over_share: AtomicU64,
    /// A job holds more than there was.
    is_overdrawn: AtomicBool,
    /// One permit, with the one who waits at the head of the queue, so that a large request is not overtaken for ever.
    turn: Semaphore,
    freed: Notify,
    /// Told when a source's share may have grown.
    share_grown: Notify,
    /// Told when somebody begins to wait.
    spent: Notify,
    /// The highest `used` so far.
    peak: AtomicU64,
}

impl Budget {
    /// A budget of `limit` bytes.
    #[must_use]
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: AtomicU64::new(0),
            standing: AtomicU64::new(0),
            paused: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
            sources: AtomicU64::new(0),
            is_for_several: AtomicBool::new(false),
            over_share: AtomicU64::new(0),
            is_overdrawn: AtomicBool::new(false),
            turn: Semaphore::new(1),
            freed: Notify::new(),
            share_grown: Notify::new(),
            spent: Notify::new(),
            peak: AtomicU64::new(0),
        })
    }

    /// The limit, in bytes.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Of the limit, what sources may admit, in bytes.
    #[must_use]
    pub fn for_sources(&self) -> u64 {
        self.eighths(SOURCE_EIGHTHS)
    }

    /// Bytes out at present.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Acquire)
    }

    /// The most bytes that were ever out.
    #[must_use]
    pub fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }

    /// Whether somebody waits for memory.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.is_queued_for() || self.over_share.load(Ordering::Acquire) > 0
    }

    /// Whether somebody waits in the queue for memory, or a paused job does.
    fn is_queued_for(&self) -> bool {
        self.turn.available_permits() == 0 || self.is_wanted()
    }

    /// Whether a paused job waits for memory.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0
    }

    /// Resolves when somebody begins to wait for memory after the call.
    pub fn spent(&self) -> Notified<'_> {
        self.spent.notified()
    }

    /// Waits until `bytes` fit into the sources' part. More than that is admitted alone, once everything else is back.
    pub async fn admit(self: &Arc<Self>, bytes: u64) -> Held {
        loop {
            if let Some(held) = self.admit_while(bytes, || true).await {
                return held;
            }
        }
    }

    /// The same as long as `may` says so; none once it does not.
    pub(super) async fn admit_while(self: &Arc<Self>, bytes: u64, may: impl Fn() -> bool) -> Option<Held> {
        // A closed semaphore would only mean no queue; it is never closed.
        let _turn = self.turn.acquire().await.ok();
        loop {
            let freed = self.freed.notified();
            if !may() {
                return None;
            }
            if let Some(held) = self.take(bytes) {
                return Some(held);
            }
            self.spent.notify_waiters();
            freed.await;
        }
    }

    /// A source more shares the budget.
    pub(super) fn join(&self) {
        self.sources.fetch_add(1, Ordering::AcqRel);
    }

    /// A source less.
    pub(super) fn leave(&self) {
        self.sources.fetch_sub(1, Ordering::AcqRel);
        self.share_grown.notify_waiters();
    }

    /// What is read may go to several places, of which one may take nothing.
    pub fn is_for_several(&self) {
        self.is_for_several.store(true, Ordering::Release);
    }

    /// One of so many parts of what is free for sources, in bytes; none where nothing has to be left: there is one source, and one
    /// place for what it reads.
    #[must_use]
    pub fn part_of_free(&self, parts: u64) -> Option<u64> {
        let is_shared =
            self.is_for_several.load(Ordering::Acquire) || self.sources.load(Ordering::Acquire) > 1;
        is_shared.then(|| self.for_sources().saturating_sub(self.used()) / parts.max(1))
    }

    /// What one source may have under way, in bytes, with `more` of it: all if there is no other, and else twice what is free then.
    /// So there is always something left for one that comes: a third beside one that takes what it can, a fifth beside two of them.
    pub(super) fn source_share(&self, more: u64) -> u64 {
        if self.sources.load(Ordering::Acquire) <= 1 {
            return u64::MAX;
        }
        let used = self.used().saturating_add(more);
        self.for_sources().saturating_sub(used).saturating_mul(FREE_SHARE)
    }

    /// Notes that an admission waits, until it is dropped, for its source has its share.
    pub(super) fn wait_for_share(&self) -> ShareWait<'_> {
        self.over_share.fetch_add(1, Ordering::AcqRel);
        self.spent.notify_waiters();
        ShareWait(self)
    }

    /// Resolves when a source's share may have grown since the call.
    pub(super) fn share_grown(&self) -> Notified<'_> {
        self.share_grown.notified()
    }

    /// Admits `bytes` if they fit now and nobody waits: what comes later does not overtake.
    #[must_use]
    pub fn try_admit(self: &Arc<Self>, bytes: u64) -> Option<Held> {
        if self.is_queued_for() { None } else { self.take(bytes) }
    }

    /// Charges `bytes` without waiting, for what its holder bounds by itself: what goes beyond the limit delays the next
    /// admission.
    #[must_use]
    pub fn charge(self: &Arc<Self>, bytes: u64) -> Held {
        let mut held = Held::new(self, 0);
        held.resize(bytes);
        held
    }

    /// Memory that is kept for long beside what flows, to be resized; without waiting.
    #[must_use]
    pub fn keep(self: &Arc<Self>) -> Held {
        let mut held = Held::new(self, 0);
        held.is_standing = true;
        held
    }

    /// Takes `bytes` for what a worker is about to write, if there are so many; a job whose lane waits for it may overdraw once
    /// everything else that is out stays until paused jobs go on, and no other job has overdrawn. `held` is what the job has already.
    #[must_use]
    pub fn reserve(self: &Arc<Self>, bytes: u64, turn: CommitTurn, held: &Held) -> Option<Held> {
        match turn {
            CommitTurn::Now => self.fit(bytes).or_else(|| self.overdraw(bytes, held)),
            CommitTurn::Later => self.take_up_to(bytes, self.eighths(AHEAD_EIGHTHS), 0),
        }
    }

    /// Takes `bytes` if there are so many.
    #[must_use]
    pub fn fit(self: &Arc<Self>, bytes: u64) -> Option<Held> {
        self.take_up_to(bytes, self.limit, 0)
    }

    fn overdraw(self: &Arc<Self>, bytes: u64, held: &Held) -> Option<Held> {
        let overdraft = match held.overdraft.clone() {
            Some(overdraft) => overdraft,
            None => Overdraft::begin(self)?,
        };
        let stays = self.standing().saturating_add(self.paused.load(Ordering::Acquire));
        let mut more = self.take_up_to(bytes, 0, stays)?;
        more.overdraft = Some(overdraft);
        Some(more)
    }

    /// Notes that a job pauses which holds so many bytes. One that waits for memory is served before sources are.
    #[must_use]
    pub fn pause(self: &Arc<Self>, bytes: u64, waits_for_memory: bool) -> PausedBytes {
        self.paused.fetch_add(bytes, Ordering::AcqRel);
        self.waiting.fetch_add(u64::from(waits_for_memory), Ordering::AcqRel);
        if waits_for_memory {
            self.spent.notify_waiters();
        }
        PausedBytes { budget: Arc::clone(self), bytes, waits_for_memory }
    }

    fn take(self: &Arc<Self>, bytes: u64) -> Option<Held> {
        if self.is_wanted() {
            return None;
        }
        self.take_up_to(bytes, self.for_sources(), self.standing())
    }

    /// Takes `bytes` if then no more than `most` are out, or if no more than `alone` were.
    fn take_up_to(self: &Arc<Self>, bytes: u64, most: u64, alone: u64) -> Option<Held> {
        let fits = |used: u64| {
            let wanted = used.saturating_add(bytes);
            (used <= alone || wanted <= most).then_some(wanted)
        };
        let before = self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).ok()?;
        self.note_peak(before.saturating_add(bytes));
        Some(Held::new(self, bytes))
    }

    fn eighths(&self, count: u64) -> u64 {
        self.limit.saturating_mul(count) / 8
    }

    fn standing(&self) -> u64 {
        self.standing.load(Ordering::Acquire)
    }

    fn note_peak(&self, used: u64) {
        self.peak.fetch_max(used, Ordering::Relaxed);
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::AcqRel);
        self.freed.notify_one();
        self.share_grown.notify_waiters();
    }
}

/// See [`Budget::wait_for_share`].
#[derive(Debug)]
pub(super) struct ShareWait<'a>(&'a Budget);

impl Drop for ShareWait<'_> {
    fn drop(&mut self) {
        self.0.over_share.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A source may have under way so many times what is free.
const FREE_SHARE: u64 = 2;

/// Of eight parts of the limit, so many are for what sources admit: the rest is for what is written of it.
const SOURCE_EIGHTHS: u64 = 6;

/// So many may be used by jobs that are ahead of their lane: the last one is for those that others wait for.
const AHEAD_EIGHTHS: u64 = 7;

/// Whether what a job writes goes on at once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CommitTurn {
    /// It does.
    Now,
    /// It waits until the jobs before it in their lane have ended.
    Later,
}

/// The note that a job is paused, until it is dropped.
#[derive(Debug)]
pub struct PausedBytes {
    budget: Arc<Budget>,
    bytes: u64,
    waits_for_memory: bool,
}

impl Drop for PausedBytes {
    fn drop(&mut self) {
        self.budget.paused.fetch_sub(self.bytes, Ordering::AcqRel);
        self.budget.waiting.fetch_sub(u64::from(self.waits_for_memory), Ordering::AcqRel);
        self.budget.freed.notify_one();
    }
}

/// The right to hold more than there is, of one job at a time, until it is dropped.
#[derive(Debug)]
struct Overdraft(Arc<Budget>);

impl Overdraft {
    fn begin(budget: &Arc<Budget>) -> Option<Arc<Self>> {
        let is_free = !budget.is_overdrawn.swap(true, Ordering::AcqRel);
        is_free.then(|| Arc::new(Self(Arc::clone(budget))))
    }
}

impl Drop for Overdraft {
    fn drop(&mut self) {
        self.0.is_overdrawn.store(false, Ordering::Release);
    }
}

/// Bytes admitted by a [`Budget`], given back on drop.
#[derive(Debug)]
pub struct Held {
    budget: Arc<Budget>,
    bytes: u64,
    is_standing: bool,
    /// What the source has under way that handed it over; none: it is under way for none.
    under_way: Option<Arc<AtomicU64>>,
    /// Some of it is more than there was.
    overdraft: Option<Arc<Overdraft>>,
}

impl Held {
    fn new(budget: &Arc<Budget>, bytes: u64) -> Self {
        Self { budget: Arc::clone(budget), bytes, is_standing: false, under_way: None, overdraft: None }
    }

    /// How many bytes are held.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether some of it is more than there was.
    #[must_use]
    pub fn is_overdrawn(&self) -> bool {
        self.overdraft.is_some()
    }

    /// From now on it is under way for a source, until it is given back.
    pub(super) fn count_in(&mut self, under_way: &Arc<AtomicU64>) {
        self.note_under_way(0);
        under_way.fetch_add(self.bytes, Ordering::AcqRel);
        self.under_way = Some(Arc::clone(under_way));
    }

    /// Corrects the amount to what is really held. Never waits: what goes beyond the limit delays the next admission.
    pub fn resize(&mut self, bytes: u64) {
        self.note_standing(bytes);
        self.note_under_way(bytes);
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
        let mut part = Self::new(&self.budget, bytes);
        part.is_standing = self.is_standing;
        part.under_way.clone_from(&self.under_way);
        part.overdraft.clone_from(&self.overdraft);
        part
    }

    /// Takes over what another holds of the same budget.
    pub fn merge(&mut self, mut other: Self) {
        debug_assert!(Arc::ptr_eq(&self.budget, &other.budget), "memory of two budgets");
        debug_assert!(!self.is_standing && !other.is_standing, "memory that is kept is resized");
        other.note_under_way(0);
        let bytes = self.bytes.saturating_add(std::mem::take(&mut other.bytes));
        self.note_under_way(bytes);
        self.bytes = bytes;
        self.overdraft = self.overdraft.take().or_else(|| other.overdraft.take());
    }

    fn note_under_way(&self, bytes: u64) {
        if let Some(under_way) = &self.under_way {
            under_way.fetch_add(bytes, Ordering::AcqRel);
            under_way.fetch_sub(self.bytes, Ordering::AcqRel);
        }
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
        self.note_under_way(0);
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
        let first = budget.admit(60).await;
        let second = budget.admit(30);
        tokio::pin!(second);
        let waited = tokio::time::timeout(Duration::from_secs(1), second.as_mut()).await;
        assert!(waited.is_err(), "30 more do not fit beside 60 of the sources' 75");
        drop(first);
        assert_eq!(second.await.bytes(), 30);
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
        let large = budget.admit(70);
        tokio::pin!(large);
        assert!(tokio::time::timeout(Duration::from_secs(1), large.as_mut()).await.is_err());
        assert!(budget.try_admit(5).is_none(), "5 would fit, but 70 wait");
        drop(first);
        let large = large.await;
        assert!(budget.try_admit(5).is_some());
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
        assert!(budget.try_admit(65).is_some());
        assert_eq!(budget.peak(), 150);
    }

    #[test]
    fn who_is_admitted_alone_does_not_wait_for_what_stays() {
        let budget = Budget::new(100);
        let mut stays = budget.keep();
        stays.resize(10);
        assert!(budget.try_admit(95).is_some(), "nothing else is out");
        let _other = budget.try_admit(1).unwrap();
        assert!(budget.try_admit(95).is_none());
        drop(stays);
        assert_eq!(budget.used(), 1);
    }

    #[test]
    fn workers_have_a_part_that_sources_cannot_take() {
        let budget = Budget::new(80);
        let none = budget.charge(0);
        let _sources = budget.try_admit(60).unwrap();
        assert!(budget.try_admit(1).is_none());
        let _ahead = budget.reserve(10, CommitTurn::Later, &none).unwrap();
        assert!(
            budget.reserve(1, CommitTurn::Later, &none).is_none(),
            "the last part is for who others wait for"
        );
        let _next = budget.reserve(10, CommitTurn::Now, &none).unwrap();
        assert!(budget.reserve(1, CommitTurn::Now, &none).is_none());
    }

    #[test]
    fn a_paused_job_may_overdraw_once_only_paused_jobs_hold_anything() {
        let budget = Budget::new(80);
        let none = budget.charge(0);
        let (mut first, delivered) = (budget.charge(70), budget.charge(10));
        let paused = budget.pause(70, true);
        assert!(budget.reserve(50, CommitTurn::Now, &none).is_none(), "what is delivered comes back");
        drop(delivered);
        assert!(budget.try_admit(1).is_none(), "sources wait for who is paused");
        assert!(budget.reserve(50, CommitTurn::Later, &none).is_none());
        let more = budget.reserve(50, CommitTurn::Now, &none).unwrap();
        assert!(budget.reserve(1, CommitTurn::Now, &none).is_none(), "one at a time");
        first.merge(more);
        drop(paused);
        let paused = budget.pause(first.bytes(), true);
        assert!(budget.reserve(1, CommitTurn::Now, &none).is_none(), "also while it is paused");
        let more = budget.reserve(1, CommitTurn::Now, &first).unwrap();
        drop((paused, first));
        assert!(budget.reserve(100, CommitTurn::Now, &none).is_none(), "until all of it is back");
        drop(more);
        assert!(budget.reserve(100, CommitTurn::Now, &none).is_some());
        assert_eq!(budget.used(), 0);
        assert!(budget.try_admit(60).is_some());
    }
}
