//! Whether what is to turn still turns: the workers, and the loop that looks after the destinations.
//!
//! A worker that waits for work makes progress, and so has a destination that waits for a dead sink: only who is at the same piece
//! of work for long, or does not come round any more, has none.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use crate::sync::Lock;

/// One thread's or loop's activity.
#[derive(Debug, Default)]
pub struct Activity {
    begun: AtomicU64,
    ended: AtomicU64,
}

impl Activity {
    /// A piece of work begins, or a loop comes round.
    pub fn begin(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    /// The piece of work has ended: until the next one nothing is expected.
    pub fn end(&self) {
        self.ended.store(self.begun.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// What is begun and has not ended.
    pub(super) fn at(&self) -> Option<u64> {
        let begun = self.begun.load(Ordering::Relaxed);
        (begun != self.ended.load(Ordering::Relaxed)).then_some(begun)
    }
}

/// All activities of the process, and whether each makes progress.
#[derive(Debug, Default)]
pub struct Watchdog(
    /// With what each was at when it was last looked at. The lock covers a look.
    Lock<Vec<(Weak<Activity>, Option<u64>)>>,
);

impl Watchdog {
    /// A new activity, watched for as long as it is kept.
    #[must_use]
    pub fn activity(&self) -> Arc<Activity> {
        let activity = Arc::<Activity>::default();
        self.0.lock().push((Arc::downgrade(&activity), None));
        activity
    }

    /// Whether none is still at what it was at when this was last asked.
    #[must_use]
    pub fn all_progressed(&self) -> bool {
        let mut watchdog = self.0.lock();
        let mut all_progressed = true;
        watchdog.retain_mut(|(activity, before)| {
            let Some(activity) = activity.upgrade() else { return false };
            let at = activity.at();
            all_progressed &= at.is_none() || at != *before;
            *before = at;
            true
        });
        all_progressed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_work_progresses() {
        let watchdog = Watchdog::default();
        let worker = watchdog.activity();
        assert!(watchdog.all_progressed() && watchdog.all_progressed());
        worker.begin();
        worker.end();
        assert!(watchdog.all_progressed() && watchdog.all_progressed());
    }

    #[test]
    fn who_is_at_the_same_work_twice_does_not_progress_until_it_goes_on() {
        let watchdog = Watchdog::default();
        let (stuck, well) = (watchdog.activity(), watchdog.activity());
        stuck.begin();
        assert!(watchdog.all_progressed(), "it may just have begun");
        well.begin();
        assert!(!watchdog.all_progressed());
        well.end();
        assert!(!watchdog.all_progressed());
        stuck.end();
        stuck.begin();
        assert!(watchdog.all_progressed(), "it is at something else");
    }

    #[test]
    fn a_loop_has_to_come_round() {
        let watchdog = Watchdog::default();
        let round = watchdog.activity();
        for _ in 0..3 {
            round.begin();
            assert!(watchdog.all_progressed());
        }
        assert!(!watchdog.all_progressed());
        drop(round);
        assert!(watchdog.all_progressed(), "what has ended is not waited for");
    }
}
