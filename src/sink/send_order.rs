//! The order of a destination's requests, which are under way side by side.
//!
//! They take memory in order, each when the one before begins to leave: so a destination holds little more than what is on its
//! way, and no request waits for memory that a later one holds. And they leave in order, so that records arrive as they were
//! packed.

use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// Hands out slots in the order.
#[derive(Debug, Default)]
pub(super) struct SendOrder {
    last: Option<oneshot::Receiver<()>>,
}

impl SendOrder {
    /// The slot behind the one handed out before.
    pub(super) fn next(&mut self) -> OrderSlot {
        let (permit, last) = oneshot::channel();
        OrderSlot { before: self.last.replace(last), permit: SendPermit(permit) }
    }
}

/// A request's slot in the order. Its drop lets the next request go.
#[derive(Debug)]
pub(super) struct OrderSlot {
    before: Option<oneshot::Receiver<()>>,
    permit: SendPermit,
}

/// Held by the request that is first in the order. Its drop lets the next request go.
#[derive(Debug)]
pub struct SendPermit(#[expect(dead_code, reason = "its drop is the message")] oneshot::Sender<()>);

impl OrderSlot {
    /// Waits until the request before has gone, or was given up.
    pub(super) async fn wait(self) -> SendPermit {
        if let Some(before) = self.before {
            // Nothing is ever sent: the end of the channel is the message.
            before.await.ok();
        }
        self.permit
    }
}

/// A request that has its memory, and its slot among those that leave.
#[derive(Debug)]
pub struct ReservedSend {
    memory_permit: Option<SendPermit>,
    departure_slot: OrderSlot,
    memory: Option<OwnedSemaphorePermit>,
}

/// A request that may leave now.
#[derive(Debug)]
pub struct ClearedSend {
    /// Its drop lets the next request leave.
    pub permit: SendPermit,
    /// The memory of its body: to be dropped with the body.
    pub memory: Option<OwnedSemaphorePermit>,
}

impl ReservedSend {
    pub(super) fn new(
        memory_permit: SendPermit,
        departure_slot: OrderSlot,
        memory: Option<OwnedSemaphorePermit>,
    ) -> Self {
        Self { memory_permit: Some(memory_permit), departure_slot, memory }
    }

    /// Lets the next request take its memory now, and not only when this one leaves.
    pub fn give_way(&mut self) {
        self.memory_permit = None;
    }

    /// Waits until the request may leave, and lets the next one take its memory.
    pub async fn wait(self) -> ClearedSend {
        let permit = self.departure_slot.wait().await;
        drop(self.memory_permit);
        ClearedSend { permit, memory: self.memory }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[tokio::test]
    async fn a_request_leaves_when_the_one_before_is_gone() {
        let mut order = SendOrder::default();
        let (first, second, third) = (order.next(), order.next(), order.next());
        let gone = first.wait().await;
        let mut waiting = pin!(second.wait());
        assert!(matches!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending));
        drop(gone);
        drop(waiting.await);
        drop(third.wait().await);
    }

    #[tokio::test]
    async fn a_request_that_never_leaves_holds_nobody_up() {
        let mut order = SendOrder::default();
        let (first, second) = (order.next(), order.next());
        drop(first);
        second.wait().await;
    }
}
