//! What is remembered of the journal, moved by what is acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use super::position::JournaldPosition;
use crate::ack::{Checkpoints, LocalAccount};
use crate::event::{AckGuard, Acknowledge, EventPlace, Outcome, Timestamp};
use crate::metrics::SourceMetrics;

/// Moves the position by what is acknowledged, until something is given up.
pub(super) struct JournaldAcks {
    account: Arc<LocalAccount<JournaldPosition>>,
    metrics: SourceMetrics,
    is_given_up: AtomicBool,
    /// Told when something is given up.
    given_up: Notify,
}

impl JournaldAcks {
    /// What an earlier run left of a source; none: it never ran, or its position was dropped.
    pub(super) fn stored(
        checkpoints: &Checkpoints,
        source: &str,
        metrics: &SourceMetrics,
    ) -> Option<Arc<Self>> {
        let mut stored = checkpoints.stored::<JournaldPosition>(source);
        // The last one is the newest: a kill may have come between two moves.
        let account = stored.pop()?;
        for older in stored {
            older.forget();
        }
        Some(Self::of(account, metrics.clone()))
    }

    /// Of a source that reads from this position on.
    pub(super) fn begin(
        checkpoints: &Checkpoints,
        source: &str,
        position: JournaldPosition,
        metrics: &SourceMetrics,
    ) -> Arc<Self> {
        Self::of(checkpoints.begin(source, position), metrics.clone())
    }

    fn of(account: Arc<LocalAccount<JournaldPosition>>, metrics: SourceMetrics) -> Arc<Self> {
        Arc::new(Self { account, metrics, is_given_up: AtomicBool::new(false), given_up: Notify::new() })
    }

    /// The same position for one who reads from it again: acknowledgements of what was read before move it no more.
    pub(super) fn begin_again(&self, checkpoints: &Checkpoints, source: &str) -> Arc<Self> {
        // In this order: at no time is there none.
        let again = Self::begin(checkpoints, source, self.account.position(), &self.metrics);
        self.account.forget();
        again
    }

    /// The last entry that was delivered.
    pub(super) fn position(&self) -> JournaldPosition {
        self.account.position()
    }

    /// A chunk up to the entry with this cursor goes into the pipeline, after those before.
    pub(super) fn open(self: &Arc<Self>, cursor: Box<str>, read_at: Timestamp) -> AckGuard {
        let number = self.account.begin(cursor, read_at);
        let place = EventPlace::new(UNIT.into(), 0);
        AckGuard::open(Arc::clone(self) as Arc<dyn Acknowledge>, number).placed(place)
    }

    /// There is nothing more to read: where all is acknowledged, all that the journal has is delivered. Written down now and then.
    pub(super) fn is_complete(&self, now: Timestamp) {
        let is_due = |position: &JournaldPosition| now.before(COMPLETE) >= position.complete_to;
        let is_open = self.oldest_unacknowledged().is_some() || self.is_given_up.load(Ordering::Acquire);
        if !is_open && self.account.look(is_due) {
            self.account.change(|position| position.complete_to = now);
        }
    }

    /// When the oldest chunk was read that is not acknowledged.
    pub(super) fn oldest_unacknowledged(&self) -> Option<Timestamp> {
        self.account.oldest_unacknowledged()
    }

    /// Resolves when something was given up: reading has to begin again. Cancel-safe.
    pub(super) async fn given_up(&self) {
        while !self.is_given_up.load(Ordering::Acquire) {
            self.given_up.notified().await;
        }
    }
}

/// How often it is written down that all is delivered.
const COMPLETE: Duration = Duration::from_mins(1);

/// What ids of entries are made of, beside their own numbers.
const UNIT: &str = "journal";

impl Acknowledge for JournaldAcks {
    fn acknowledge(&self, number: u64, outcome: Outcome) {
        self.account.acknowledge(number, outcome);
        if outcome == Outcome::Abandoned {
            self.metrics.error("abandoned");
            self.is_given_up.store(true, Ordering::Release);
            self.given_up.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    fn guards(acks: &Arc<JournaldAcks>, cursors: &[&str]) -> Vec<AckGuard> {
        cursors.iter().map(|cursor| acks.open((*cursor).into(), Timestamp(0))).collect()
    }

    fn at(acks: &JournaldAcks) -> String {
        acks.position().cursor.into()
    }

    #[tokio::test]
    async fn the_position_moves_over_what_is_delivered_and_is_read_from_again_after_what_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let metrics = Metrics::new().source("journal");
        let checkpoints = Checkpoints::open(dir.path()).unwrap();
        assert!(JournaldAcks::stored(&checkpoints, "journal", &metrics).is_none());
        let first = JournaldPosition { cursor: "0".into(), ..JournaldPosition::default() };
        let acks = JournaldAcks::begin(&checkpoints, "journal", first, &metrics);
        let mut open = guards(&acks, &["1", "2", "3", "4"]);
        open.remove(1).settle();
        assert_eq!(at(&acks), "0");
        acks.is_complete(Timestamp(100_000));
        assert_eq!(acks.position().complete_to, Timestamp(0));
        open.remove(0).settle();
        assert_eq!(at(&acks), "2");
        drop(open.remove(0));
        acks.given_up().await;
        let again = acks.begin_again(&checkpoints, "journal");
        open.remove(0).settle();
        assert_eq!((at(&acks), at(&again)), ("2".to_owned(), "2".to_owned()));
        guards(&again, &["3"]).remove(0).settle();
        for now in [100_000, 100_001, 160_000] {
            again.is_complete(Timestamp(now));
        }
        assert_eq!(again.position().complete_to, Timestamp(160_000));
        checkpoints.save().unwrap();
        let later = Checkpoints::open(dir.path()).unwrap();
        let stored = JournaldAcks::stored(&later, "journal", &metrics).unwrap();
        assert_eq!(at(&stored), "3");
        assert_eq!(Checkpoints::list(dir.path()).unwrap().entries.len(), 1, "the first one is forgotten");
    }
}
