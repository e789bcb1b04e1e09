//! Whether a sink's destinations get on, in words for /readyz. Pure: what they are at is an argument.
//!
//! A destination that is held, or whose calls fail, says so itself. What is left is one at which nothing ends although something waits,
//! whatever the reason, and one that is given more than its limit lets through.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::queue::QueueLook;
use crate::config::show_size;

/// How a sink gets on.
#[derive(Debug, Default)]
pub(super) struct SinkProgress {
    /// Destinations of which it was said that they are stuck.
    stuck: BTreeSet<String>,
    /// Since when it has been too slow because of its limit.
    late_since: Option<Instant>,
    /// When it was seen last that it is late because of the user's own limit.
    capped_at: Option<Instant>,
    /// When it was looked at last.
    looked: Option<Instant>,
    /// When a process that had been stopped went on.
    resumed: Option<Instant>,
}

/// One destination at present.
#[derive(Debug)]
pub(super) struct DestinationLook {
    /// Its name.
    pub(super) name: String,
    /// Its queue.
    pub(super) queue: QueueLook,
    /// Something was said of it already.
    pub(super) has_issue: bool,
}

/// Something to be said, or no longer to be said, of somebody.
pub(super) type ProgressNews = (String, Option<String>);

/// Where nothing ends for so long beyond `linger`, a destination is stuck: a call is given up after half a minute.
const STUCK: Duration = Duration::from_secs(35);

/// Between two looks passes about a second. Where this has passed, the process was stopped, and is not stuck: calls begin anew.
const PAUSE: Duration = Duration::from_secs(5);

/// What is older than this, beyond `linger`, is late.
const LATE: Duration = Duration::from_secs(20);

/// What is older than this, beyond `linger`, is late where the user's own limit is why.
const LATE_BY_CAP: Duration = Duration::from_secs(2);

/// A sink that is too slow for so long says so: a burst is over sooner.
const LASTS: Duration = Duration::from_secs(10);

impl SinkProgress {
    /// What is to be said of stuck destinations, and no longer.
    pub(super) fn stuck(&mut self, looks: &[DestinationLook], now: Instant) -> Vec<ProgressNews> {
        let has_resumed = self.has_resumed(now);
        let is_stuck = |look: &&DestinationLook| !has_resumed && !look.has_issue && look.queue.still >= STUCK;
        let who = |name: &str| format!("delivery to {name}");
        let stuck = looks.iter().filter(is_stuck).map(|look| {
            let seconds = look.queue.still.as_secs();
            let issue = format!(
                "stuck: nothing was accepted for {seconds} s, although events wait; see whether its endpoint answers, and the log"
            );
            (look.name.clone(), issue)
        });
        let stuck: Vec<(String, String)> = stuck.collect();
        let names: BTreeSet<String> = stuck.iter().map(|(name, _)| name.clone()).collect();
        let over = self.stuck.difference(&names).map(|name| (who(name), None));
        let news = over.chain(stuck.iter().map(|(name, issue)| (who(name), Some(issue.clone())))).collect();
        self.stuck = names;
        news
    }

    /// Whether the process was stopped, and went on so short a time ago that nothing can be said yet.
    fn has_resumed(&mut self, now: Instant) -> bool {
        let passed = self.looked.map_or(Duration::ZERO, |looked| now.duration_since(looked));
        self.looked = Some(now);
        if passed > PAUSE {
            self.resumed = Some(now);
        }
        self.resumed.is_some_and(|resumed| now.duration_since(resumed) < STUCK)
    }

    /// What a person should know of a sink whose own `rate`, of so many bytes a second, keeps its sources waiting.
    pub(super) fn capped(&mut self, looks: &[DestinationLook], rate: u64, now: Instant) -> Option<String> {
        let is_late = |look: &DestinationLook| look.queue.is_capped && look.queue.oldest >= LATE_BY_CAP;
        if looks.iter().any(is_late) {
            self.capped_at = Some(now);
        }
        // Between two requests it waits for nothing.
        let lasts = self.capped_at.is_some_and(|at| now.duration_since(at) < LASTS);
        let oldest = looks.iter().map(|look| look.queue.oldest).max().unwrap_or_default();
        lasts.then(|| {
            let (rate, late) = (show_size(rate), oldest.as_secs());
            format!("sends what its `rate` of {rate}/s lets through; the oldest record is {late} s late, and sources that lag wait for it")
        })
    }

    /// What is to be said of a sink that limits itself to so many bytes a second; `is_memory_full`: sources wait for memory.
    pub(super) fn limited(
        &mut self,
        looks: &[DestinationLook],
        limit: i64,
        is_memory_full: bool,
        now: Instant,
    ) -> Option<String> {
        let oldest = looks.iter().map(|look| look.queue.oldest).max().unwrap_or_default();
        let waits = is_memory_full || looks.iter().any(|look| look.queue.keeps_sources_waiting);
        let is_late = limit > 0 && (waits || oldest >= LATE);
        self.late_since = is_late.then(|| self.late_since.unwrap_or(now));
        let lasts = self.late_since.is_some_and(|since| now.duration_since(since) >= LASTS);
        let who_waits = if waits { "sources wait, and " } else { "" };
        lasts.then(|| {
            format!(
                "too slow for its sources: limited to {}, since the service refuses what is beyond; {who_waits}the oldest record is {} s late; raise the quota of its streams",
                per_second(limit),
                oldest.as_secs()
            )
        })
    }
}

/// Bytes a second, for people.
fn per_second(bytes: i64) -> String {
    match bytes {
        ..10_000 => format!("{bytes} B/s"),
        10_000..10_000_000 => format!("{} kB/s", bytes / 1_000),
        _ => format!("{} MB/s", bytes / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(name: &str, still: u64, oldest: u64) -> DestinationLook {
        let queue = QueueLook {
            age: Duration::from_secs(oldest),
            still: Duration::from_secs(still),
            oldest: Duration::from_secs(oldest),
            keeps_sources_waiting: false,
            is_capped: false,
            pending: 0,
            pending_on_disk: 0,
        };
        DestinationLook { name: name.to_owned(), queue, has_issue: false }
    }

    #[test]
    fn a_destination_at_which_nothing_ends_is_named_until_something_does() {
        let (mut progress, now) = (SinkProgress::default(), Instant::now());
        assert!(progress.stuck(&[look("a (x)", 34, 90), look("a (y)", 0, 0)], now).is_empty());
        let news = progress.stuck(&[look("a (x)", 40, 90), look("a (y)", 0, 0)], now);
        let [(who, Some(issue))] = news.as_slice() else { panic!("{news:?}") };
        assert_eq!(who, "delivery to a (x)");
        assert!(issue.starts_with("stuck: nothing was accepted for 40 s, although events wait"), "{issue}");
        assert_eq!(progress.stuck(&[look("a (x)", 0, 0)], now), [(who.clone(), None)]);
        assert!(progress.stuck(&[], now).is_empty());
    }

    #[test]
    fn a_process_that_was_stopped_for_a_while_is_not_stuck_when_it_goes_on() {
        let (mut progress, start) = (SinkProgress::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(progress.stuck(&[look("a (x)", 1, 1)], at(0)).is_empty());
        for second in 60..95 {
            assert!(progress.stuck(&[look("a (x)", second, 90)], at(second)).is_empty(), "{second}");
        }
        assert_eq!(progress.stuck(&[look("a (x)", 95, 90)], at(95)).len(), 1, "it accepts nothing since");
    }

    #[test]
    fn a_destination_that_says_itself_what_is_wrong_is_not_named_twice() {
        let (mut progress, now) = (SinkProgress::default(), Instant::now());
        assert_eq!(progress.stuck(&[look("a (x)", 40, 90)], now).len(), 1);
        let held = DestinationLook { has_issue: true, ..look("a (x)", 41, 90) };
        assert_eq!(progress.stuck(&[held], now), [("delivery to a (x)".to_owned(), None)]);
    }

    #[test]
    fn a_sink_that_waits_for_its_own_rate_says_so_and_is_not_stuck() {
        let start = Instant::now();
        let mut progress = SinkProgress::default();
        let mut waits = look("a (x)", 0, 90);
        waits.queue.is_capped = true;
        assert!(progress.stuck(&[look("a (x)", 0, 90)], start).is_empty());
        let note = progress.capped(&[waits], 64 << 10, start).unwrap();
        assert!(note.contains("`rate` of 64KiB/s") && note.contains("90 s late"), "{note}");
        let sends = [look("a (x)", 0, 90)];
        assert!(progress.capped(&sends, 64 << 10, start + Duration::from_secs(9)).is_some());
        assert!(progress.capped(&sends, 64 << 10, start + Duration::from_secs(11)).is_none());
    }

    #[test]
    fn a_sink_whose_limit_is_below_its_input_says_so_with_the_limit() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut progress = SinkProgress::default();
        let late = [look("a (x)", 1, 95)];
        assert_eq!(progress.limited(&late, 0, true, at(0)), None, "it has no limit");
        assert_eq!(progress.limited(&late, 16_384, false, at(10)), None);
        assert_eq!(progress.limited(&late, 16_384, false, at(19)), None);
        let issue = progress.limited(&late, 16_384, false, at(20)).unwrap();
        assert!(issue.contains("limited to 16 kB/s") && issue.contains("95 s late"), "{issue}");
        assert_eq!(progress.limited(&[look("a (x)", 1, 2)], 16_384, false, at(21)), None, "it keeps up");
        let mut waiting = look("a (x)", 1, 2);
        waiting.queue.keeps_sources_waiting = true;
        assert_eq!(progress.limited(&[waiting], 5_242_880, false, at(30)), None);
        let issue = progress.limited(&[look("a (x)", 1, 2)], 5_242_880, true, at(40)).unwrap();
        assert!(issue.contains("limited to 5242 kB/s") && issue.contains("sources wait"), "{issue}");
    }
}
