//! One after another: what a destination's requests do in order although they are under way side by side.
//!
//! They take memory in order, so that none waits for memory that a later one holds. And they leave in order: one has been
//! written to its connection before the next begins to be. Answers are awaited side by side, so latency costs no throughput,
//! while records arrive in the order they were packed.

use tokio::sync::oneshot;

/// Hands out places in the order.
#[derive(Debug, Default)]
pub(super) struct Succession {
    last: Option<oneshot::Receiver<()>>,
}

impl Succession {
    /// The place behind the one handed out before.
    pub(super) fn next(&mut self) -> Place {
        let (front, last) = oneshot::channel();
        Place { before: self.last.replace(last), front: Front(front) }
    }
}

/// A request's place. One that is dropped lets the next one go.
#[derive(Debug)]
pub struct Place {
    before: Option<oneshot::Receiver<()>>,
    front: Front,
}

/// Being the first in the order; its drop lets the next one go.
#[derive(Debug)]
pub struct Front(#[expect(dead_code, reason = "its drop is the message")] oneshot::Sender<()>);

impl Place {
    /// Waits until the one before is through, or gone.
    pub async fn turn(self) -> Front {
        if let Some(before) = self.before {
            // Nothing is ever sent: the end of the channel is the message.
            before.await.ok();
        }
        self.front
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[tokio::test]
    async fn a_request_leaves_when_the_one_before_is_gone() {
        let mut succession = Succession::default();
        let (first, second, third) = (succession.next(), succession.next(), succession.next());
        let gone = first.turn().await;
        let mut waiting = pin!(second.turn());
        assert!(matches!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending));
        drop(gone);
        drop(waiting.await);
        drop(third.turn().await);
    }

    #[tokio::test]
    async fn a_request_that_never_leaves_holds_nobody_up() {
        let mut succession = Succession::default();
        let (first, second) = (succession.next(), succession.next());
        drop(first);
        second.turn().await;
    }
}
