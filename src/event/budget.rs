//! The memory that payload bytes may take, over all sources and sinks.
//!
//! A source asks before it reads, and waits while its part of the budget is spent. A worker asks before it writes
//! ([`Budget::reserve`]); where there is nothing left, it pauses its job and goes on later from where it stood. Workers have a part
//! that sources cannot take, and a paused job may overdraw once only paused jobs hold anything: none can deadlock. One job does so at a
//! time, until what it overdrew is back: what many hold beyond the limit would have no bound.
//!
//! What is on its way may turn out to go where nothing is taken, and then stays. So where several sources or destinations share the
//! budget, sources wait as well while much is on its way, and read less at once as there is less memory.

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
    /// Bytes of chunks that workers have, or are to have.
    on_their_way: AtomicU64,
    /// There are several sources or destinations, or may be.
    is_for_several: AtomicBool,
    /// Who stands at the head of the queue waits for memory.
    is_short: AtomicBool,
    /// A job holds more than there was.
    is_overdrawn: AtomicBool,
    /// One permit, with the one who waits at the head of the queue, so that a large request is not overtaken for ever.
    turn: Semaphore,
    freed: Notify,
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
            on_their_way: AtomicU64::new(0),
            is_for_several: AtomicBool::new(false),
            is_short: AtomicBool::new(false),
            is_overdrawn: AtomicBool::new(false),
            turn: Semaphore::new(1),
            freed: Notify::new(),
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
        self.is_short.load(Ordering::Acquire) || self.is_wanted()
    }

    /// From now on, something is left for others: there are several sources or destinations, or may be.
    pub fn is_for_several(&self) {
        self.is_for_several.store(true, Ordering::Release);
    }

    /// One of so many parts of what is for sources, in bytes, or of what of it is free; none where nothing has to be left for others.
    #[must_use]
    pub fn part(&self, parts: u64, is_of_free: bool) -> Option<u64> {
        let used = if is_of_free { self.used() } else { 0 };
        let whole = self.for_sources().saturating_sub(used);
        self.is_for_several.load(Ordering::Acquire).then(|| whole / parts.max(1))
    }

    /// Counts a chunk of so many bytes as on its way, until the result is dropped.
    #[must_use]
    pub fn on_its_way(self: &Arc<Self>, bytes: u64) -> OnItsWay {
        self.on_their_way.fetch_add(bytes, Ordering::AcqRel);
        OnItsWay { budget: Arc::clone(self), bytes }
    }

    fn is_crowded(&self) -> bool {
        let half = self.part(2, false);
        half.is_some_and(|half| self.on_their_way.load(Ordering::Acquire) >= half)
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
        // A closed semaphore would only mean no queue; it is never closed.
        let _turn = self.turn.acquire().await.ok();
        let shortage = Shortage(self);
        loop {
            let freed = self.freed.notified();
            if let Some(held) = self.take(bytes) {
                return held;
            }
            shortage.set(!self.is_crowded());
            freed.await;
        }
    }

    /// Admits `bytes` if they fit now and nobody waits: what comes later does not overtake.
    #[must_use]
    pub fn try_admit(self: &Arc<Self>, bytes: u64) -> Option<Held> {
        let is_next = self.turn.available_permits() > 0 && !self.is_wanted();
        if is_next { self.take(bytes) } else { None }
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
        if self.is_wanted() || self.is_crowded() {
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
    }
}

/// Says that memory is waited for, until it is dropped.
struct Shortage<'a>(&'a Budget);

impl Shortage<'_> {
    fn set(&self, is_short: bool) {
        self.0.is_short.store(is_short, Ordering::Release);
        if is_short {
            self.0.spent.notify_waiters();
        }
    }
}

impl Drop for Shortage<'_> {
    fn drop(&mut self) {
        self.0.is_short.store(false, Ordering::Release);
    }
}

/// A chunk that workers have, or are to have.
#[derive(Debug)]
pub struct OnItsWay {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        self.budget.on_their_way.fetch_sub(self.bytes, Ordering::AcqRel);
        self.budget.freed.notify_one();
    }
}

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
    /// Some of it is more than there was.
    overdraft: Option<Arc<Overdraft>>,
}

impl Held {
    fn new(budget: &Arc<Budget>, bytes: u64) -> Self {
        Self { budget: Arc::clone(budget), bytes, is_standing: false, overdraft: None }
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
        let mut part = Self::new(&self.budget, bytes);
        part.is_standing = self.is_standing;
        part.overdraft.clone_from(&self.overdraft);
        part
    }

    /// Takes over what another holds of the same budget.
    pub fn merge(&mut self, mut other: Self) {
        debug_assert!(Arc::ptr_eq(&self.budget, &other.budget), "memory of two budgets");
        debug_assert!(!self.is_standing && !other.is_standing, "memory that is kept is resized");
        self.bytes = self.bytes.saturating_add(std::mem::take(&mut other.bytes));
        self.overdraft = self.overdraft.take().or_else(|| other.overdraft.take());
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

    #[tokio::test(start_paused = true)]
    async fn sources_wait_while_much_is_on_its_way_and_nothing_is_sent_sooner_for_that() {
        let budget = Budget::new(80);
        let way = budget.on_its_way(30);
        assert!(budget.try_admit(1).is_some(), "a single way may be full");
        budget.is_for_several();
        assert!(budget.try_admit(1).is_none());
        let next = budget.admit(1);
        tokio::pin!(next);
        assert!(tokio::time::timeout(Duration::from_secs(1), next.as_mut()).await.is_err());
        assert!(!budget.is_spent());
        drop(way);
        let held = next.await;
        assert_eq!((budget.part(4, false), budget.part(4, true)), (Some(15), Some(14)));
        drop(held);
        let all = budget.try_admit(60).unwrap();
        let next = budget.admit(1);
        tokio::pin!(next);
        assert!(tokio::time::timeout(Duration::from_secs(1), next.as_mut()).await.is_err());
        assert!(budget.is_spent());
        drop(all);
        drop(next.await);
        assert!(!budget.is_spent());
    }
}
