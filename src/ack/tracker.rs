//! One ordered unit of a source (a shard, an object, a poll): what of it is done without a gap.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::watermark::Watermark;
use crate::event::{AckGuard, Acknowledge, Outcome, Timestamp};

/// Follows the acknowledgements of one unit, whose positions are of type `P`.
pub struct PositionTracker<P> {
    /// The lock covers a move of the watermark.
    state: Mutex<TrackerState<P>>,
    /// Told at each end of a range, and at a revocation.
    changed: Notify,
}

struct TrackerState<P> {
    watermark: Watermark<P>,
    /// Everything before this was acknowledged.
    acknowledged: Option<P>,
    /// How often it moved.
    moves: u64,
    /// So many moves are written down.
    written: u64,
    /// Ranges begun and not ended.
    under_way: u64,
    /// Another owner has the unit: nothing moves any more.
    revoked: bool,
}

impl<P: Clone + Send + 'static> PositionTracker<P> {
    /// A unit of which nothing was read yet.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let state = TrackerState {
            watermark: Watermark::default(),
            acknowledged: None,
            moves: 0,
            written: 0,
            under_way: 0,
            revoked: false,
        };
        Arc::new(Self { state: Mutex::new(state), changed: Notify::new() })
    }

    /// Begins the range from the end of the one before up to `end`; the guard says when it is done.
    pub fn begin(self: &Arc<Self>, end: P, read_at: Timestamp) -> AckGuard {
        let number = {
            let mut state = self.state();
            state.under_way += 1;
            state.watermark.begin(end, read_at)
        };
        AckGuard::open(Arc::clone(self) as Arc<dyn Acknowledge>, number)
    }

    /// The place up to which everything was acknowledged; none: nothing was yet.
    #[must_use]
    pub fn acknowledged(&self) -> Option<P> {
        self.state().acknowledged.clone()
    }

    /// When the oldest range was read that is not acknowledged.
    #[must_use]
    pub fn oldest(&self) -> Option<Timestamp> {
        self.state().watermark.oldest()
    }

    /// Whether a range was given up: reading has to begin again at [`Self::acknowledged`].
    #[must_use]
    pub fn is_given_up(&self) -> bool {
        self.state().watermark.is_stopped()
    }

    /// Notes that another owner has the unit: what ends from now on moves nothing.
    pub fn revoke(&self) {
        self.state().revoked = true;
        self.changed.notify_waiters();
    }

    /// Whether another owner has the unit.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        self.state().revoked
    }

    /// Resolves when every range that was begun has ended. Cancel-safe.
    pub async fn ended(&self) {
        self.until(|state| state.under_way == 0).await;
    }

    /// The place up to which everything was acknowledged, if that is not written down, with the number of its move.
    pub(super) fn unwritten(&self) -> Option<(P, u64)> {
        let state = self.state();
        let is_news = state.moves > state.written && !state.revoked;
        state.acknowledged.clone().filter(|_| is_news).map(|position| (position, state.moves))
    }

    /// Notes that the place is written down that the move of this number led to.
    pub(super) fn set_written(&self, moves: u64) {
        let mut state = self.state();
        state.written = state.written.max(moves);
    }

    /// Resolves when there is a place to write down, or the unit was revoked. Cancel-safe.
    pub(super) async fn moved(&self) {
        self.until(|state| state.moves > state.written || state.revoked).await;
    }

    async fn until(&self, is_so: impl Fn(&TrackerState<P>) -> bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // From here on a change is noticed, however soon it comes after the look.
            changed.as_mut().enable();
            if is_so(&self.state()) {
                return;
            }
            changed.await;
        }
    }

    fn state(&self) -> MutexGuard<'_, TrackerState<P>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P: Clone + Send + 'static> Acknowledge for PositionTracker<P> {
    fn acknowledge(&self, number: u64, outcome: Outcome) {
        let mut state = self.state();
        debug_assert!(state.under_way > 0, "a range ended that was not begun");
        state.under_way = state.under_way.saturating_sub(1);
        if let Some((position, _)) = state.watermark.end(number, outcome)
            && !state.revoked
        {
            state.acknowledged = Some(position);
            state.moves += 1;
        }
        drop(state);
        self.changed.notify_waiters();
    }
}

impl<P> fmt::Debug for PositionTracker<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PositionTracker").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    fn begun(ends: &[u64]) -> (Arc<PositionTracker<u64>>, Vec<AckGuard>) {
        let tracker = PositionTracker::new();
        let guards = ends.iter().map(|end| tracker.begin(*end, Timestamp(0))).collect();
        (tracker, guards)
    }

    #[test]
    fn a_position_moves_over_what_is_acknowledged_without_a_gap() {
        let (tracker, mut guards) = begun(&[10, 20, 30]);
        guards.remove(1).settle();
        assert_eq!((tracker.acknowledged(), tracker.unwritten()), (None, None));
        guards.remove(0).settle();
        assert_eq!(tracker.unwritten(), Some((20, 1)));
        tracker.set_written(1);
        assert_eq!(tracker.unwritten(), None);
        drop(guards);
        assert!(tracker.is_given_up());
        assert_eq!(tracker.acknowledged(), Some(20));
    }

    #[test]
    fn a_unit_that_another_owns_moves_no_more() {
        let (tracker, mut guards) = begun(&[10, 20]);
        guards.remove(0).settle();
        tracker.revoke();
        guards.remove(0).settle();
        assert_eq!((tracker.acknowledged(), tracker.unwritten()), (Some(10), None));
    }

    #[tokio::test(start_paused = true)]
    async fn all_that_was_begun_can_be_waited_for() {
        let (tracker, mut guards) = begun(&[10, 20]);
        assert!(timeout(Duration::from_secs(1), tracker.ended()).await.is_err());
        guards.remove(0).settle();
        drop(guards);
        timeout(Duration::from_secs(1), tracker.ended()).await.unwrap();
    }
}
