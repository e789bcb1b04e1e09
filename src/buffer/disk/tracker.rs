//! Which records of a log have ended, in whatever order, and up to where all of them have.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::cursor::{LogPosition, OutOfOrderAck};
use crate::event::{AckGuard, Acknowledge, Outcome};

/// Hands out an ack guard for each record, in the log's order, and moves over what is done without a gap.
///
/// A record whose ack guard is dropped unsettled is never passed in this run: it is delivered after the next start.
#[derive(Debug)]
pub(super) struct AckTracker {
    /// The lock covers a look at one entry, and the removal of those that are passed.
    entries: Mutex<TrackedRecords>,
    /// Told each time a record has ended.
    moved: Arc<Notify>,
}

#[derive(Debug)]
struct TrackedRecords {
    /// The number of the first entry.
    first: u64,
    /// Each record that was handed out and is not passed.
    open: VecDeque<TrackedRecord>,
    position: LogPosition,
}

#[derive(Debug)]
struct TrackedRecord {
    end: LogPosition,
    /// Of one record; none: it stands for all up to its end.
    events: Option<u64>,
    done: bool,
}

impl AckTracker {
    /// A tracker that stands at a place. `moved` is notified each time a record has ended.
    #[must_use]
    pub(super) fn new(position: LogPosition, moved: Arc<Notify>) -> Arc<Self> {
        let entries = TrackedRecords { first: 0, open: VecDeque::new(), position };
        Arc::new(Self { entries: Mutex::new(entries), moved })
    }

    /// An ack guard for a record of so many events that ends here; nothing before it that was not begun is waited for.
    pub(super) fn begin(self: &Arc<Self>, end: LogPosition, events: u64) -> AckGuard {
        self.open(end, Some(events))
    }

    /// An ack guard for all that was not begun before this place: it is given up, or lost.
    pub(super) fn begin_up_to(self: &Arc<Self>, end: LogPosition) -> AckGuard {
        self.open(end, None)
    }

    fn open(self: &Arc<Self>, end: LogPosition, events: Option<u64>) -> AckGuard {
        let number = self.with(|entries| {
            entries.open.push_back(TrackedRecord { end, events, done: false });
            entries.first.saturating_add(entries.open.len() as u64).saturating_sub(1)
        });
        AckGuard::open(Arc::<Self>::clone(self) as Arc<dyn Acknowledge>, number)
    }

    /// Up to where everything has ended.
    #[must_use]
    pub(super) fn position(&self) -> LogPosition {
        self.with(|entries| entries.position)
    }

    /// Whether a record of the segment was handed out and has not ended.
    #[must_use]
    pub(super) fn is_under_way(&self, segment: u64) -> bool {
        self.with(|entries| entries.open.iter().any(|entry| entry.end.segment == segment && !entry.done))
    }

    /// Whether everything that was handed out has ended.
    #[must_use]
    pub(super) fn is_idle(&self) -> bool {
        self.with(|entries| entries.open.is_empty())
    }

    /// The records that are done beyond the position.
    pub(super) fn out_of_order(&self) -> Vec<OutOfOrderAck> {
        let out_of_order = |entry: &TrackedRecord| {
            Some(OutOfOrderAck { segment: entry.end.segment, end: entry.end.offset, events: entry.events? })
        };
        self.with(|entries| entries.open.iter().filter(|entry| entry.done).filter_map(out_of_order).collect())
    }

    fn with<T>(&self, look: impl FnOnce(&mut TrackedRecords) -> T) -> T {
        look(&mut self.entries.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Acknowledge for AckTracker {
    fn acknowledge(&self, number: u64, outcome: Outcome) {
        if outcome == Outcome::Abandoned {
            return;
        }
        self.with(|entries| {
            let index = number.checked_sub(entries.first).and_then(|index| usize::try_from(index).ok());
            if let Some(entry) = index.and_then(|index| entries.open.get_mut(index)) {
                entry.done = true;
            }
            while let Some(entry) = entries.open.pop_front_if(|entry| entry.done) {
                entries.first = entries.first.saturating_add(1);
                entries.position = entry.end;
            }
        });
        self.moved.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn position(offset: u64) -> LogPosition {
        LogPosition { segment: 1, offset, events: 0 }
    }

    proptest! {
        #[test]
        fn the_position_is_the_end_of_the_leading_run_of_ended_records(
            ends in prop::collection::vec((0_usize..20, any::<bool>()), 0..60),
        ) {
            let tracker = AckTracker::new(position(0), Arc::default());
            let mut acks: Vec<Option<AckGuard>> =
                (1..=20).map(|end| Some(tracker.begin(position(end), 1))).collect();
            let mut done = [false; 20];
            for (index, settle) in ends {
                let Some(ack) = acks[index].take() else { continue };
                if settle {
                    ack.settle();
                    done[index] = true;
                } else {
                    drop(ack);
                }
                let run = done.iter().take_while(|done| **done).count() as u64;
                prop_assert_eq!(tracker.position(), position(run));
                prop_assert_eq!(tracker.is_idle(), run == 20);
                let out_of_order = done.iter().filter(|done| **done).count() as u64 - run;
                prop_assert_eq!(tracker.out_of_order().len() as u64, out_of_order);
                prop_assert_eq!(tracker.is_under_way(1), run < 20 && done.iter().any(|done| !done));
            }
        }
    }
}
