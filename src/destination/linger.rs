//! How long what is in a queue waits for more. Pure: time is an argument.
//!
//! Nobody waits for the end of a file's lines: they wait for all of `linger`, and make large records and few requests. A sender that
//! waits for its answer sends nothing more until it has it, so that most of that wait would be for nothing. Where such a sender waits:
//!
//! - a request leaves at once while none is under way, as in Nagle's algorithm; what comes meanwhile goes together when it is answered;
//! - an open record that fills its billing steps is closed as soon as nothing is being added: more would make it no cheaper;
//! - any other waits as long as more is likely to come. What came last time is the measure: a record that waited for all of `linger`
//!   shows how soon after its first event the last one was added, and the next ones wait twice as long, for a while.
//!
//! Waits are counted from the last answer on, if that is later: whoever has just been answered may send again.

use std::time::Duration;

use tokio::time::Instant;

/// How long what is in a queue waits.
#[derive(Debug)]
pub(super) struct Linger {
    /// The longest.
    longest: Duration,
    /// A record is billed as it is packed.
    is_billed_as_packed: bool,
    /// Somebody waits for the end of what is in the queue.
    is_awaited: bool,
    /// When something was added last.
    pushed: Instant,
    /// When something ended last.
    ended: Instant,
    /// How long to wait for more, and when that was learned.
    learned: Option<(Duration, Instant)>,
}

/// The open record.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenedRecord {
    /// When it was begun.
    pub(super) since: Instant,
    /// It fills its billing steps.
    pub(super) fills_its_steps: bool,
}

/// Where nothing was added for so long, nothing is being added.
const QUIET: Duration = Duration::from_millis(2);

/// What was learned so long ago is learned again, by waiting for all of `linger` once.
const LEARNED_FOR: Duration = Duration::from_secs(30);

impl Linger {
    /// Nothing is known yet.
    pub(super) fn new(longest: Duration, is_billed_as_packed: bool, now: Instant) -> Self {
        Self { longest, is_billed_as_packed, is_awaited: false, pushed: now, ended: now, learned: None }
    }

    /// The longest wait.
    pub(super) fn longest(&self) -> Duration {
        self.longest
    }

    /// Something was added; `is_awaited`: its sender waits for its end.
    pub(super) fn pushed(&mut self, is_awaited: bool, now: Instant) {
        self.is_awaited |= is_awaited;
        self.pushed = now;
    }

    /// Something has ended, and its senders may send more; `is_empty`: nothing is left that anybody waits for.
    pub(super) fn ended(&mut self, is_empty: bool, now: Instant) {
        self.ended = now;
        self.is_awaited &= !is_empty;
    }

    /// Whether a request that is not full may leave at once. `is_idle`: none is under way.
    pub(super) fn may_leave(&self, is_idle: bool) -> bool {
        is_idle && self.is_awaited
    }

    /// When the open record is to be closed. `is_idle`: nothing is under way for which those wait who may add to it.
    pub(super) fn due(&self, open: OpenedRecord, is_idle: bool) -> Instant {
        let last = open.since + self.longest;
        if !self.may_leave(is_idle) {
            return last;
        }
        if open.fills_its_steps && self.is_billed_as_packed {
            return last.min(self.pushed.max(self.ended) + QUIET);
        }
        let wait = self.learned.map_or(self.longest, |(wait, _)| wait);
        last.min(open.since.max(self.ended) + wait)
    }

    /// The open record, begun at `since`, is closed since it was due.
    pub(super) fn closed(&mut self, since: Instant, now: Instant) {
        if now.duration_since(since) >= self.longest {
            let filled_for = self.pushed.duration_since(since);
            self.learned = Some(((filled_for * 2).clamp(QUIET.min(self.longest), self.longest), now));
        } else if self.learned.is_some_and(|(_, at)| now.duration_since(at) >= LEARNED_FOR) {
            self.learned = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_secs(1);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Records to which something is added at these milliseconds after they were begun, each closed when it is due; how long each
    /// waited.
    fn waits(records: &[&[u64]]) -> Vec<u128> {
        let mut now = Instant::now();
        let mut linger = Linger::new(LONGEST, true, now);
        let mut waits = Vec::new();
        for added in records {
            let open = OpenedRecord { since: now, fills_its_steps: false };
            for at in *added {
                linger.pushed(true, open.since + ms(*at));
            }
            let due = linger.due(open, true);
            waits.push(due.duration_since(open.since).as_millis());
            linger.closed(open.since, due);
            now = due + ms(10);
            linger.ended(true, now);
        }
        waits
    }

    #[test]
    fn what_came_of_a_whole_wait_is_how_long_the_next_one_is() {
        assert_eq!(waits(&[&[0], &[0], &[0]]), [1_000, 2, 2]);
        assert_eq!(waits(&[&[0, 5], &[0, 9], &[0]]), [1_000, 10, 10]);
        assert_eq!(waits(&[&[0, 300, 600], &[0, 500], &[0]]), [1_000, 1_000, 1_000]);
    }

    #[test]
    fn what_was_learned_long_ago_is_learned_again() {
        let quick: Vec<&[u64]> = vec![&[0]; 3_000];
        let waits = waits(&quick);
        let whole = waits.iter().filter(|wait| **wait == 1_000).count();
        assert_eq!(whole, 2, "once at first, and once 30 s later");
    }

    #[test]
    fn nothing_is_learned_of_a_wait_that_nobody_waits_for() {
        let since = Instant::now();
        let mut linger = Linger::new(LONGEST, true, since);
        let open = OpenedRecord { since, fills_its_steps: true };
        linger.pushed(false, since);
        assert_eq!((linger.due(open, true), linger.may_leave(true)), (since + LONGEST, false));
        linger.pushed(true, since + ms(1));
        assert_eq!((linger.due(open, true), linger.may_leave(true)), (since + ms(3), true));
        assert_eq!((linger.due(open, false), linger.may_leave(false)), (since + LONGEST, false));
        linger.ended(false, since + ms(7));
        assert_eq!(linger.due(open, true), since + ms(9), "who was answered may send more");
        linger.ended(true, since + ms(7));
        assert_eq!(linger.due(open, true), since + LONGEST);
    }
}
