//! What of one object is done.

use std::sync::Arc;

use tokio::sync::Notify;

use super::position::{ObjectMark, ObjectPosition};
use crate::ack::{LocalAccount, Watermark};
use crate::event::{AckGuard, Acknowledge, Outcome, Timestamp};
use crate::sync::Lock;

/// Follows the acknowledgements of an object's chunks.
pub(super) struct ObjectProgress {
    /// The lock covers a move of the watermark.
    state: Lock<ProgressState>,
    /// Told at each end of a chunk.
    changed: Notify,
    /// Its position in the state directory, if the object is worth one.
    account: Option<Arc<LocalAccount<ObjectPosition>>>,
}

#[derive(Default)]
struct ProgressState {
    watermark: Watermark<()>,
    under_way: u64,
    is_given_up: bool,
}

impl ObjectProgress {
    pub(super) fn new(account: Option<Arc<LocalAccount<ObjectPosition>>>) -> Arc<Self> {
        Arc::new(Self { state: Lock::default(), changed: Notify::new(), account })
    }

    /// Begins the chunk that ends at `mark`; the guard says when it is done.
    pub(super) fn begin(self: &Arc<Self>, mark: Option<ObjectMark>, read_at: Timestamp) -> AckGuard {
        let number = {
            let mut state = self.state.lock();
            state.under_way += 1;
            // Chunks of an object are begun one after the other, so that both count alike.
            if let Some(account) = &self.account {
                account.begin(mark, read_at);
            }
            state.watermark.begin((), read_at)
        };
        AckGuard::open(Arc::clone(self) as Arc<dyn Acknowledge>, number)
    }

    /// Waits until every chunk that was begun has ended; whether all are done. Cancel-safe.
    pub(super) async fn settled(&self) -> bool {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // From here on a change is noticed, however soon it comes after the look.
            changed.as_mut().enable();
            if let Some(is_settled) = self.is_settled() {
                return is_settled;
            }
            changed.await;
        }
    }

    /// Whether every chunk that was begun is done; none: some have not ended.
    pub(super) fn is_settled(&self) -> Option<bool> {
        let state = self.state.lock();
        (state.under_way == 0).then_some(!state.is_given_up)
    }

    /// When the oldest chunk was read that is not done.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.state.lock().watermark.oldest()
    }

    /// Drops what the state directory remembers: the object is done, or is another by now.
    pub(super) fn forget(&self) {
        if let Some(account) = &self.account {
            account.forget();
        }
    }
}

impl Acknowledge for ObjectProgress {
    fn acknowledge(&self, number: u64, outcome: Outcome) {
        let mut state = self.state.lock();
        debug_assert!(state.under_way > 0, "a chunk ended that was not begun");
        state.under_way = state.under_way.saturating_sub(1);
        state.is_given_up |= outcome == Outcome::Abandoned;
        state.watermark.end(number, outcome);
        drop(state);
        if let Some(account) = &self.account {
            account.acknowledge(number, outcome);
        }
        self.changed.notify_waiters();
    }

    /// So many objects are read side by side.
    fn is_awaited(&self) -> bool {
        true
    }
}
