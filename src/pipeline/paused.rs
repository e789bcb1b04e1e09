//! Jobs that are paused: for there is no memory for what they write, or a destination of theirs holds its share.
//!
//! They go on in the order in which they paused. Only a job whose lane waits for it goes on when there is little memory, so that what
//! others hold for later cannot take what it needs.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::open_job::{JobMark, OpenJob};
use crate::event::{Budget, CommitTurn, Held, PausedBytes};
use crate::sync::Lock;

/// What a job waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum JobWait {
    /// Memory.
    Memory,
    /// Its next turn, or a destination.
    Turn,
}

/// A job that goes on, and the memory that it may use.
#[derive(Debug)]
pub(super) struct PausedJob {
    pub(super) job: OpenJob,
    pub(super) room: Held,
}

/// The paused jobs of one generation.
#[derive(Debug)]
pub(crate) struct PausedJobs {
    budget: Arc<Budget>,
    /// What a step needs, in bytes.
    step: u64,
    /// The lock covers a look at each.
    jobs: Lock<VecDeque<Entry>>,
    /// How many they are.
    count: AtomicUsize,
    /// Jobs that are begun and have not ended.
    open: Arc<AtomicUsize>,
    /// The sources have ended: jobs do not wait for destinations any more, which go on with what they have until the deadline.
    is_draining: AtomicBool,
}

#[derive(Debug)]
struct Entry {
    job: OpenJob,
    wait: JobWait,
    /// Dropped when the job goes on.
    paused: PausedBytes,
}

impl PausedJobs {
    pub(super) fn new(budget: Arc<Budget>, step: u64) -> Self {
        Self {
            budget,
            step,
            jobs: Lock::default(),
            count: AtomicUsize::new(0),
            open: Arc::default(),
            is_draining: AtomicBool::new(false),
        }
    }

    /// Whether there are any.
    pub(super) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// Counts a job.
    pub(super) fn mark(&self) -> JobMark {
        JobMark::new(&self.open)
    }

    /// Whether a job is begun and has not ended: one that runs may pause.
    pub(super) fn has_open(&self) -> bool {
        self.open.load(Ordering::Acquire) > 0
    }

    /// From now on, no job waits for a destination.
    pub(super) fn drain(&self) {
        self.is_draining.store(true, Ordering::Release);
    }

    /// Adds a job.
    pub(super) fn add(&self, job: OpenJob, wait: JobWait) {
        let paused = self.budget.pause(job.held(), wait == JobWait::Memory);
        let mut jobs = self.jobs.lock();
        jobs.push_back(Entry { job, wait, paused });
        self.count.store(jobs.len(), Ordering::Release);
    }

    /// Gives all of them up: what they are of is read or sent again.
    pub(super) fn give_up(&self) {
        let given_up = std::mem::take(&mut *self.jobs.lock());
        self.count.store(0, Ordering::Release);
        drop(given_up);
    }

    /// The first job that may go on.
    pub(super) fn next(&self) -> Option<PausedJob> {
        if self.is_empty() {
            return None;
        }
        let is_draining = self.is_draining.load(Ordering::Acquire);
        let mut jobs = self.jobs.lock();
        let mut at = 0;
        let mut given_up = Vec::new();
        let mut found = None;
        // There is no memory for jobs whose turn comes later, or but for the one that has overdrawn.
        let (mut is_low, mut is_spent) = (false, false);
        while let Some(entry) = jobs.get_mut(at) {
            // A request of which a part is enqueued is taken whole: sent again, that part would be doubled.
            let may_wait = !is_draining && !entry.job.is_rest_of_request();
            let is_full = may_wait && entry.job.slot().lane().is_full();
            if entry.job.is_given_up() || is_full && entry.job.may_be_given_up() {
                given_up.extend(jobs.remove(at));
                continue;
            }
            if is_full {
                entry.job.waits();
            }
            entry.waits_for(if is_full { JobWait::Turn } else { JobWait::Memory }, &self.budget);
            let turn = entry.job.slot().turn();
            let has_none = is_low && turn == CommitTurn::Later || is_spent && !entry.job.held.is_overdrawn();
            let must_wait = is_full || has_none;
            if !must_wait {
                if let Some(room) = self.budget.reserve(entry.job.needs(self.step), turn, &entry.job.held) {
                    found = jobs.remove(at).map(|entry| (entry, room));
                    break;
                }
                is_low = true;
                is_spent |= turn == CommitTurn::Now;
            }
            at = at.saturating_add(1);
        }
        self.count.store(jobs.len(), Ordering::Release);
        drop(jobs);
        // What a job commits when it is given up is committed without the lock.
        drop(given_up);
        found.map(|(Entry { job, .. }, room)| PausedJob { job, room })
    }
}

impl Entry {
    /// Notes what it waits for now.
    fn waits_for(&mut self, wait: JobWait, budget: &Arc<Budget>) {
        if self.wait != wait {
            self.wait = wait;
            self.paused = budget.pause(self.job.held(), wait == JobWait::Memory);
        }
    }
}
