//! Whether a consumer's subscription goes back and forth between two readers that do not know of each other. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// So many times in a row, it is no chance: a lease that moved, or a start soon after a stop.
const MOST_TAKEN: u32 = 3;

/// Who takes a subscription again and again does so every few seconds.
const FORGOTTEN: Duration = Duration::from_mins(1);

/// How often a shard's subscription was taken lately.
#[derive(Debug, Default)]
pub(super) struct RivalWatch {
    taken: u32,
    last: Option<Instant>,
}

impl RivalWatch {
    /// It was taken; whether there is a rival.
    pub(super) fn took(&mut self, now: Instant) -> bool {
        let is_forgotten = self.last.is_none_or(|last| now.saturating_duration_since(last) >= FORGOTTEN);
        self.taken = if is_forgotten { 1 } else { self.taken.saturating_add(1) };
        self.last = Some(now);
        self.taken >= MOST_TAKEN
    }

    /// Whether there is one.
    pub(super) fn is_there(&self, now: Instant) -> bool {
        let is_recent = self.last.is_some_and(|last| now.saturating_duration_since(last) < FORGOTTEN);
        is_recent && self.taken >= MOST_TAKEN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rival_is_who_takes_a_subscription_again_and_again() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut watch = RivalWatch::default();
        assert!(!watch.is_there(at(0)));
        assert_eq!([0, 6, 12].map(|seconds| watch.took(at(seconds))), [false, false, true]);
        assert!(watch.is_there(at(71)) && !watch.is_there(at(72)), "it is gone after a minute");
        assert_eq!([72, 140, 210].map(|seconds| watch.took(at(seconds))), [false, false, false]);
    }
}
