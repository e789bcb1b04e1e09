//! What a connection is to be answered: the ids of chunks that are delivered.

use std::sync::MutexGuard;

use tokio::sync::Notify;

use crate::sync::Lock;

/// Answers of one connection that are not written yet.
#[derive(Debug, Default)]
pub(super) struct AnswerQueue {
    /// The lock covers an append.
    state: Lock<PendingAnswers>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct PendingAnswers {
    /// Whole messages, to be written as they are.
    ready: Vec<u8>,
    /// Batches whose delivery will be answered.
    open: u64,
}

impl AnswerQueue {
    /// A batch that will be answered is under way.
    pub(super) fn expect(&self) {
        let mut state = self.state();
        state.open = state.open.saturating_add(1);
    }

    /// It has ended, with these answers; with none where it was given up.
    pub(super) fn end(&self, answers: &[u8]) {
        let mut state = self.state();
        state.open = state.open.saturating_sub(1);
        state.ready.extend_from_slice(answers);
        drop(state);
        self.changed.notify_one();
    }

    /// What is delivered already is answered at once.
    pub(super) fn push(&self, answer: &[u8]) {
        self.state().ready.extend_from_slice(answer);
        self.changed.notify_one();
    }

    /// Takes what there is to be written.
    pub(super) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.state().ready)
    }

    /// Whether answers are still to come.
    pub(super) fn has_open(&self) -> bool {
        self.state().open > 0
    }

    /// Resolves when something has changed since it last did. Cancel-safe.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn state(&self) -> MutexGuard<'_, PendingAnswers> {
        self.state.lock()
    }
}
