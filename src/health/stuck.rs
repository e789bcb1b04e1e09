//! Who is at the same piece of work for long: looked at once a second, and told in words.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::watchdog::Activity;

/// Activities, and for how long each has been at the same piece of work.
#[derive(Debug, Default)]
pub(super) struct StuckWatch {
    watched: Vec<WatchedActivity>,
    looked: Option<Instant>,
}

#[derive(Debug)]
struct WatchedActivity {
    who: String,
    /// What is to be said of it.
    trouble: &'static str,
    activity: Weak<Activity>,
    at: Option<u64>,
    still: Duration,
}

/// Who is at the same piece of work for so long is stuck: no piece takes a second.
const STUCK: Duration = Duration::from_secs(30);

/// What passes between two looks counts for no more than this: a process that was stopped did nothing, and is not stuck.
const LOOK: Duration = Duration::from_secs(2);

impl StuckWatch {
    /// Watches an activity for as long as it is kept.
    pub(super) fn add(&mut self, who: &str, trouble: &'static str, activity: &Arc<Activity>) {
        let (who, activity) = (who.to_owned(), Arc::downgrade(activity));
        self.watched.push(WatchedActivity { who, trouble, activity, at: None, still: Duration::ZERO });
    }

    /// Looks at each; to be called once a second.
    pub(super) fn look(&mut self, now: Instant) {
        let passed = self.looked.map_or(Duration::ZERO, |looked| now.duration_since(looked)).min(LOOK);
        self.looked = Some(now);
        self.watched.retain_mut(|watched| {
            let Some(activity) = watched.activity.upgrade() else { return false };
            let at = activity.at();
            let is_at_the_same = at.is_some() && at == watched.at;
            watched.still =
                if is_at_the_same { watched.still.saturating_add(passed) } else { Duration::ZERO };
            watched.at = at;
            true
        });
    }

    /// Who is stuck, one a line.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        let stuck = self.watched.iter().filter(|watched| {
            let is_where_it_was = |activity: Arc<Activity>| activity.at() == watched.at;
            watched.still >= STUCK && watched.activity.upgrade().is_some_and(is_where_it_was)
        });
        stuck.map(|WatchedActivity { who, trouble, still, .. }| {
            format!("{who}: {trouble}, and has not moved for {} s", still.as_secs())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks once a second.
    fn look(watch: &mut StuckWatch, now: &mut Instant, seconds: u32) -> Vec<String> {
        for _ in 0..seconds {
            *now += Duration::from_secs(1);
            watch.look(*now);
        }
        watch.lines().collect()
    }

    #[test]
    fn who_is_at_one_piece_of_work_for_half_a_minute_is_stuck_until_he_goes_on() {
        let (mut watch, mut now) = (StuckWatch::default(), Instant::now());
        let (stuck, busy, idle) = (Arc::<Activity>::default(), Arc::<Activity>::default(), Arc::default());
        for (who, activity) in [("worker 0", &stuck), ("worker 1", &busy), ("worker 2", &idle)] {
            watch.add(who, "works", activity);
        }
        stuck.begin();
        for _ in 0..3 {
            busy.begin();
            assert!(look(&mut watch, &mut now, 10).is_empty());
        }
        assert_eq!(look(&mut watch, &mut now, 5), ["worker 0: works, and has not moved for 34 s"]);
        stuck.begin();
        assert_eq!(watch.lines().count(), 0, "it goes on, and nobody has looked since");
        assert!(look(&mut watch, &mut now, 1).is_empty());
        assert_eq!(look(&mut watch, &mut now, 60).len(), 2);
        drop((stuck, busy));
        assert!(look(&mut watch, &mut now, 1).is_empty());
    }

    #[test]
    fn a_process_that_was_stopped_for_long_is_not_stuck() {
        let (mut watch, mut now) = (StuckWatch::default(), Instant::now());
        let worker = Arc::<Activity>::default();
        watch.add("worker 0", "works", &worker);
        worker.begin();
        look(&mut watch, &mut now, 2);
        now += Duration::from_hours(1);
        assert!(look(&mut watch, &mut now, 1).is_empty());
    }
}
