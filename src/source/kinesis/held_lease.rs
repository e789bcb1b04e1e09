//! A lease that is ours: renewed in its own time, whatever reading does, and written to whenever its shard's position moves.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::warn;

use super::lease::ShardLease;
use super::lease_fault::LeaseFault;
use super::lease_store::LeaseStore;
use super::lease_table::OwnersWrite;
use super::place::ShardMark;
use super::taker::renew_every;
use crate::ack::{CheckpointFailure, Checkpointer, PositionTracker, keep_checkpointed, last_checkpoint};
use crate::event::Timestamp;
use crate::metrics::SourceMetrics;
use crate::sync::Lock;

/// A shared lease is written to so often at most: each write is paid for.
const WRITE_EVERY: Duration = Duration::from_secs(1);

/// The same for the state directory.
const NOTE_EVERY: Duration = Duration::from_millis(50);

/// One lease.
pub(super) struct HeldLease {
    pub(super) shard: Arc<str>,
    /// From when on it is read, where nothing was.
    pub(super) start: Option<Timestamp>,
    store: Arc<LeaseStore>,
    failover: Duration,
    metrics: SourceMetrics,
    /// Of writes, one at a time: each has to know the counter that the one before left.
    turn: Semaphore,
    /// The lock covers a few words.
    state: Lock<LeaseState>,
    /// Told when the lease is renewed, or lost.
    changed: Notify,
    /// What of the shard is done, since reading began, or began again.
    tracker: watch::Sender<Arc<PositionTracker<ShardMark>>>,
    /// Told when all of a shard is written down as done.
    ended: Arc<Notify>,
}

struct LeaseState {
    counter: u64,
    /// When the last write was sent that succeeded.
    renewed: Instant,
    is_lost: bool,
    is_finished: bool,
    /// Where the tracker's ranges begin.
    from: ShardMark,
    /// How far the shard's newest record is ahead of what was read, in milliseconds.
    behind: i64,
}

impl HeldLease {
    /// A lease that was taken by a write that was sent at `sent`, and left this counter.
    pub(super) fn new(
        lease: &ShardLease,
        counter: u64,
        sent: Instant,
        store: &Arc<LeaseStore>,
        failover: Duration,
        metrics: SourceMetrics,
        ended: &Arc<Notify>,
    ) -> Arc<Self> {
        let state = LeaseState {
            counter,
            renewed: sent,
            is_lost: false,
            is_finished: lease.is_finished(),
            from: lease.mark.clone(),
            behind: 0,
        };
        Arc::new(Self {
            shard: Arc::clone(&lease.shard),
            start: lease.start,
            store: Arc::clone(store),
            failover,
            metrics,
            turn: Semaphore::new(1),
            state: Lock::new(state),
            changed: Notify::new(),
            tracker: watch::Sender::new(PositionTracker::new()),
            ended: Arc::clone(ended),
        })
    }

    /// What of the shard is done, and where that begins.
    pub(super) fn progress(&self) -> (Arc<PositionTracker<ShardMark>>, ShardMark) {
        (Arc::clone(&self.tracker.borrow()), self.state.lock().from.clone())
    }

    /// Something was given up: reading begins again where all is done.
    pub(super) fn begin_again(&self) {
        let (acknowledged, tracker) = (self.tracker.borrow().acknowledged(), PositionTracker::new());
        if let Some(mark) = acknowledged {
            self.state.lock().from = mark.clone();
            // It may not be written down yet.
            tracker.begin(mark, Timestamp::now()).settle();
        }
        self.tracker.send_replace(tracker);
    }

    pub(super) fn is_finished(&self) -> bool {
        self.state.lock().is_finished
    }

    /// Whether all of the shard is done, written down or not.
    pub(super) fn is_at_end(&self) -> bool {
        self.is_finished() || self.tracker.borrow().acknowledged() == Some(ShardMark::ShardEnd)
    }

    pub(super) fn behind(&self) -> i64 {
        self.state.lock().behind
    }

    pub(super) fn set_behind(&self, milliseconds: i64) {
        self.state.lock().behind = milliseconds;
    }

    /// When the oldest record was read that is not done.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.tracker.borrow().oldest()
    }

    /// Waits until it is certain that nobody else has the lease; whether it will be.
    pub(super) async fn is_ours(&self) -> bool {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // From here on a change is noticed, however soon it comes after the look.
            changed.as_mut().enable();
            {
                let state = self.state.lock();
                if state.is_lost {
                    return false;
                }
                // Later, another may have seen it stand still for too long.
                if !self.store.is_shared() || state.renewed.elapsed() < self.failover {
                    return true;
                }
            }
            changed.await;
        }
    }

    /// Whether the lease is ours, as the table has it now: for who meets another reader of the shard.
    pub(super) async fn confirm(&self) -> bool {
        // A fault says nothing of whose it is.
        self.write(OwnersWrite::Renewal).await.unwrap_or(true)
    }

    /// Renews the lease and writes its position down, until it is another's.
    pub(super) async fn keep(&self) {
        tokio::select! {
            () = self.keep_renewed() => {}
            () = self.keep_written() => {}
        }
        self.state.lock().is_lost = true;
        self.tracker.borrow().revoke();
        self.changed.notify_waiters();
    }

    async fn keep_renewed(&self) {
        if !self.store.is_shared() {
            return std::future::pending().await;
        }
        loop {
            let renewed = self.state.lock().renewed;
            let at = renewed + renew_every(self.failover);
            if Instant::now() < at {
                sleep_until(at).await;
                // A position that was written meanwhile was a renewal.
                continue;
            }
            match self.write(OwnersWrite::Renewal).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(fault) => {
                    warn!(source = self.metrics.name(), shard = &*self.shard, error = %fault, "a lease is renewed again");
                    sleep((self.failover / 20).mul_f64(0.5 + fastrand::f64())).await;
                }
            }
        }
    }

    async fn keep_written(&self) {
        let mut trackers = self.tracker.subscribe();
        let every = if self.store.is_shared() { WRITE_EVERY } else { NOTE_EVERY };
        loop {
            let tracker = Arc::clone(&trackers.borrow_and_update());
            tokio::select! {
                () = keep_checkpointed(&tracker, self, every) => return,
                changed = trackers.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Writes the last position down, and gives the lease back unless it is kept for the next run.
    pub(super) async fn leave(&self, deadline: Instant, is_kept: bool) -> Result<(), CheckpointFailure> {
        let tracker = Arc::clone(&self.tracker.borrow());
        let written = last_checkpoint(&tracker, self, deadline).await;
        if !is_kept && !self.state.lock().is_lost {
            let given = self.store.give_back(&self.shard).await;
            if let Err(fault) = given {
                warn!(source = self.metrics.name(), shard = &*self.shard, error = %fault, "a lease is not given back; others take it when it is free");
            }
        }
        written
    }

    /// Whether it was written; else the lease is another's.
    async fn write(&self, write: OwnersWrite<'_>) -> Result<bool, LeaseFault> {
        // It is never closed.
        let _turn = self.turn.acquire().await.ok();
        let counter = {
            let state = self.state.lock();
            if state.is_lost {
                return Ok(false);
            }
            state.counter
        };
        let sent = Instant::now();
        let written = self.store.write(&self.shard, counter, write).await;
        let written = written.inspect_err(|fault| self.metrics.error(fault.reason()))?;
        if self.store.is_shared() {
            self.metrics.stream.renewed(sent.elapsed());
        }
        let mut state = self.state.lock();
        match written {
            Some(counter) => (state.counter, state.renewed) = (counter, sent),
            None => state.is_lost = true,
        }
        drop(state);
        self.changed.notify_waiters();
        Ok(written.is_some())
    }
}

impl Checkpointer for HeldLease {
    type Position = ShardMark;

    async fn checkpoint(&self, position: &ShardMark) -> Result<(), CheckpointFailure> {
        match self.write(OwnersWrite::Mark(position)).await {
            Ok(true) => {
                if *position == ShardMark::ShardEnd {
                    self.state.lock().is_finished = true;
                    self.ended.notify_one();
                }
                Ok(())
            }
            Ok(false) => Err(CheckpointFailure::NotOwner),
            Err(fault) => Err(CheckpointFailure::Failed(Box::new(fault))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::lease_store::OwnLeases;
    use super::*;
    use crate::ack::Checkpoints;
    use crate::metrics::Metrics;

    #[tokio::test]
    async fn a_position_that_was_not_written_yet_is_written_though_reading_began_again() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::open(folder.path()).unwrap();
        let own = OwnLeases::claim(&"stream".into(), &"arn".into(), &checkpoints);
        let store = Arc::new(LeaseStore::Own(own));
        let lease = ShardLease::new("shard".into(), ShardMark::TrimHorizon);
        store.create(&lease).await.unwrap();
        let (metrics, ended) = (Metrics::new().source("stream"), Arc::default());
        let held =
            HeldLease::new(&lease, 0, Instant::now(), &store, Duration::from_secs(10), metrics, &ended);
        let mark = |number| ShardMark::read(number, 0).unwrap();
        let (tracker, _) = held.progress();
        tracker.begin(mark("7"), Timestamp(0)).settle();
        drop(tracker.begin(mark("8"), Timestamp(0)));
        held.begin_again();
        assert_eq!(held.progress().1, mark("7"));
        held.leave(Instant::now() + Duration::from_mins(1), true).await.unwrap();
        assert_eq!(store.leases().await.unwrap()["shard"].mark, mark("7"));
    }
}
