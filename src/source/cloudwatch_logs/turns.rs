//! Whose turn it is: calls are shared fairly among log groups, and late events have a share of their own. Pure.

use super::plan::Urgency;

/// The share of calls that looking for late events may have while new ones wait.
const LATE_SHARE: f64 = 0.1;

/// Shares are saved up to so many calls.
const MOST_SAVED: f64 = 10.0;

/// When a log group may be asked next.
#[derive(Clone, Copy, Debug)]
pub(super) struct GroupReadiness {
    /// The log group.
    pub(super) group: usize,
    /// For new events, in milliseconds since 1970.
    pub(super) fresh: Option<i64>,
    /// For late ones.
    pub(super) late: Option<i64>,
}

/// Since when a log group waits, and which.
type Waiting = Option<(i64, usize)>;

/// Gives turns: who waited longest is next, so that a busy group takes one page in turn with all others that have something to read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turns {
    /// Calls that late events may have at once.
    saved: f64,
}

impl Turns {
    /// Whose turn it is; else when the first one is ready.
    pub(super) fn next(
        self,
        groups: impl Iterator<Item = GroupReadiness>,
        now: i64,
    ) -> Result<(usize, Urgency), Option<i64>> {
        let (mut fresh, mut late): (Waiting, Waiting) = (None, None);
        for group in groups {
            let earliest = |known: Waiting, at: Option<i64>| {
                let new = at.map(|at| (at, group.group));
                known.into_iter().chain(new).min()
            };
            (fresh, late) = (earliest(fresh, group.fresh), earliest(late, group.late));
        }
        let ready = |turn: Waiting| turn.filter(|(at, _)| *at <= now).map(|(_, group)| group);
        match (ready(fresh), ready(late)) {
            (Some(_), Some(group)) if self.saved >= 1.0 => Ok((group, Urgency::Late)),
            (Some(group), _) => Ok((group, Urgency::Fresh)),
            (None, Some(group)) => Ok((group, Urgency::Late)),
            (None, None) => Err(fresh.into_iter().chain(late).map(|(at, _)| at).min()),
        }
    }

    /// A turn is taken.
    pub(super) fn take(&mut self, urgency: Urgency) {
        let saved = match urgency {
            Urgency::Fresh => self.saved + LATE_SHARE / (1.0 - LATE_SHARE),
            Urgency::Late => self.saved - 1.0,
        };
        self.saved = saved.clamp(0.0, MOST_SAVED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns of groups that each are ready again when their turn is over, in 1,000 calls.
    fn shares(ready: &[(bool, bool)]) -> Vec<[usize; 2]> {
        let mut turns = Turns::default();
        let mut since: Vec<[i64; 2]> = vec![[0; 2]; ready.len()];
        let mut counts = vec![[0; 2]; ready.len()];
        for now in 1..=1_000 {
            let readiness = |(group, (is_fresh, is_late)): (usize, &(bool, bool))| GroupReadiness {
                group,
                fresh: is_fresh.then_some(since[group][0]),
                late: is_late.then_some(since[group][1]),
            };
            let (group, urgency) = turns.next(ready.iter().enumerate().map(readiness), now).unwrap();
            turns.take(urgency);
            let kind = usize::from(urgency == Urgency::Late);
            counts[group][kind] += 1;
            since[group][kind] = now;
        }
        counts
    }

    #[test]
    fn groups_that_have_something_to_read_have_equal_shares() {
        let shares = shares(&[(true, false), (true, false), (true, false), (true, false)]);
        assert!(shares.iter().all(|[fresh, _]| *fresh == 250), "{shares:?}");
    }

    #[test]
    fn late_events_have_a_tenth_while_new_ones_wait_and_the_rest_when_none_do() {
        let busy = shares(&[(true, true), (true, true)]);
        let late: usize = busy.iter().map(|[_, late]| late).sum();
        assert!((95..=101).contains(&late), "{busy:?}");
        assert_eq!(shares(&[(false, true)]), [[0, 1_000]]);
    }

    #[test]
    fn who_is_not_ready_says_when() {
        let turns = Turns::default();
        let group = |fresh, late| GroupReadiness { group: 0, fresh: Some(fresh), late };
        assert_eq!(turns.next([group(7, Some(5))].into_iter(), 4), Err(Some(5)));
        assert_eq!(turns.next(std::iter::empty(), 4), Err(None));
        assert_eq!(turns.next([group(7, None)].into_iter(), 7), Ok((0, Urgency::Fresh)));
    }
}
