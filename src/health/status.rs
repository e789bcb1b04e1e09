//! How the daemon is, in words: for /readyz, the status page and systemd.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::stuck::StuckWatch;
use super::watchdog::Activity;
use crate::overview::UnitList;
use crate::sync::Lock;

/// What is wrong at present, by who says so.
#[derive(Debug, Default)]
pub struct Status {
    /// By name. The lock covers a change of the map.
    issues: Lock<BTreeMap<String, String>>,
    /// What a person should know and no delivery waits for, by what it is about. The lock covers a change of the map.
    notes: Lock<BTreeMap<String, String>>,
    /// What each source reads from. The lock covers a look, or the exchange of one list.
    units: Lock<BTreeMap<String, UnitList>>,
    /// Loops that have to come round. The lock covers a look at a short list.
    loops: Lock<Vec<(String, Weak<Lock<Instant>>)>>,
    /// Who is meant to come to the end of each piece of work. The lock covers a look at a short list.
    at_work: Lock<StuckWatch>,
}

/// A loop that comes round, watched for as long as this is kept.
#[derive(Debug)]
pub struct Heartbeat(Arc<Lock<Instant>>);

impl Heartbeat {
    /// It comes round.
    pub fn beat(&self, now: Instant) {
        *self.0.lock() = now;
    }
}

/// A loop that did not come round for so long stands still; each is meant to once a second.
const STANDS_STILL: Duration = Duration::from_secs(10);

impl Status {
    /// Sets or clears what is wrong with `who`.
    pub fn report_issue(&self, who: &str, issue: Option<String>) {
        let mut issues = self.issues.lock();
        match issue {
            Some(issue) => {
                issues.insert(who.to_owned(), issue);
            }
            None => {
                issues.remove(who);
            }
        }
    }

    /// Watches a loop of `who`, which has to come round once a second.
    #[must_use]
    pub fn heartbeat(&self, who: &str) -> Heartbeat {
        let beat = Arc::new(Lock::new(Instant::now()));
        self.loops.lock().push((who.to_owned(), Arc::downgrade(&beat)));
        Heartbeat(beat)
    }

    /// Whether something is wrong with `who`.
    #[must_use]
    pub fn has_issue(&self, who: &str) -> bool {
        self.issues.lock().contains_key(who)
    }

    /// Watches an activity of `who` for as long as it is kept: `trouble` is said of him while he is at one piece of work for long.
    pub fn watch(&self, who: &str, trouble: &'static str, activity: &Arc<Activity>) {
        self.at_work.lock().add(who, trouble, activity);
    }

    /// Looks at who is at work; to be called once a second.
    pub fn look(&self, now: Instant) {
        self.at_work.lock().look(now);
    }

    /// All issues, one a line; none when all is well.
    #[must_use]
    pub fn issues(&self) -> Vec<String> {
        let issues = self.issues.lock();
        let mut lines: Vec<String> = issues.iter().map(|(who, issue)| format!("{who}: {issue}")).collect();
        drop(issues);
        lines.extend(self.standing_still(Instant::now()));
        lines.extend(self.at_work.lock().lines());
        lines
    }

    fn standing_still(&self, now: Instant) -> Vec<String> {
        let mut loops = self.loops.lock();
        loops.retain(|(_, beat)| beat.strong_count() > 0);
        let still = |(who, beat): &(String, Weak<Lock<Instant>>)| {
            let still = now.duration_since(*beat.upgrade()?.lock());
            let words =
                || format!("{who}: takes no connections, and has stood still for {} s", still.as_secs());
            (still >= STANDS_STILL).then(words)
        };
        loops.iter().filter_map(still).collect()
    }

    /// Notes what a person should know of `what`, although nothing is wrong with what runs: it does not change readiness.
    pub fn note(&self, what: &str, note: String) {
        self.notes.lock().insert(what.to_owned(), note);
    }

    /// The same, or that there is nothing to know any more.
    pub fn set_note(&self, what: &str, note: Option<String>) {
        match note {
            Some(note) => self.note(what, note),
            None => drop(self.notes.lock().remove(what)),
        }
    }

    /// All notes.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        self.notes.lock().values().cloned().collect()
    }

    /// What a source reads from, as it is now; told no more often than once a second.
    pub fn list_units(&self, source: &str, units: UnitList) {
        let before = self.units.lock().insert(source.to_owned(), units);
        // It is freed without the lock.
        drop(before);
    }

    /// What a source reads from, as far as it has told.
    #[must_use]
    pub fn units(&self, source: &str) -> Option<UnitList> {
        self.units.lock().get(source).cloned()
    }

    /// Forgets all that was said: who spoke is gone, and another speaks for himself.
    pub fn clear(&self) {
        self.issues.lock().clear();
        self.notes.lock().clear();
        self.units.lock().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_stands_still_is_an_issue_until_it_goes_on_or_ends() {
        let status = Status::default();
        let heartbeat = status.heartbeat("source a");
        tokio::time::advance(Duration::from_secs(9)).await;
        assert!(status.issues().is_empty());
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(status.issues(), ["source a: takes no connections, and has stood still for 12 s"]);
        heartbeat.beat(Instant::now());
        assert!(status.issues().is_empty());
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!(status.issues().len(), 1);
        drop(heartbeat);
        assert!(status.issues().is_empty());
    }
}
