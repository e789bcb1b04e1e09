//! One after another: what a destination's requests do in order although they are under way side by side.
//!
//! They take memory in order, each when the one before begins to leave, so that a destination holds little more than what is on
//! its way, and none waits for memory that a later one holds. And they leave in order, so that records arrive as they were packed.

use tokio::sync::{OwnedSemaphorePermit, oneshot};

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
pub(super) struct Place {
    before: Option<oneshot::Receiver<()>>,
    front: Front,
}

/// Being the first in the order; its drop lets the next one go.
#[derive(Debug)]
pub struct Front(#[expect(dead_code, reason = "its drop is the message")] oneshot::Sender<()>);

impl Place {
    /// Waits until the one before is through, or gone.
    pub(super) async fn turn(self) -> Front {
        if let Some(before) = self.before {
            // Nothing is ever sent: the end of the channel is the message.
            before.await.ok();
        }
        self.front
    }
}

/// A request that has its memory, and its place among those that leave.
#[derive(Debug)]
pub struct Passage {
    first: Option<Front>,
    departure: Place,
    memory: Option<OwnedSemaphorePermit>,
}

/// A request's turn to leave.
#[derive(Debug)]
pub struct Turn {
    /// Its drop lets the next one leave.
    pub front: Front,
    /// The memory of its body: to be dropped with the body.
    pub memory: Option<OwnedSemaphorePermit>,
}

impl Passage {
    pub(super) fn new(first: Front, departure: Place, memory: Option<OwnedSemaphorePermit>) -> Self {
        Self { first: Some(first), departure, memory }
    }

    /// Lets the next one take its memory now, and not only when this one leaves.
    pub fn give_way(&mut self) {
        self.first = None;
    }

    /// Waits for the turn to leave, and lets the next one take its memory.
    pub async fn turn(self) -> Turn {
        let front = self.departure.turn().await;
        drop(self.first);
        Turn { front, memory: self.memory }
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
