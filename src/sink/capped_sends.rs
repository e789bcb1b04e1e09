//! The sends of one destination under the cap of its sink.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::cap::RateCap;
use super::pacing::Room;
use super::pending_request::PendingRequest;

/// The sends of one destination, and for how long they wait for the cap; without one, they never do.
#[derive(Debug)]
pub(super) struct CappedSends {
    cap: Option<Arc<RateCap>>,
    /// When the next may go, as it was looked at last.
    next: Option<Instant>,
    /// Since when they wait for nothing else.
    waits_since: Option<Instant>,
}

impl CappedSends {
    pub(super) fn new(cap: Option<Arc<RateCap>>) -> Self {
        Self { cap, next: None, waits_since: None }
    }

    /// When the next request may go, as it was looked at last; none: now.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Whether sends wait for the cap, and for nothing else.
    pub(super) fn is_waited_for(&self) -> bool {
        self.waits_since.is_some()
    }

    /// Whether a request has to wait now: others send under the same cap.
    pub(super) fn must_wait(&mut self, now: Instant) -> bool {
        self.next = self.cap.as_ref().and_then(|cap| cap.next(now));
        self.next.is_some()
    }

    /// What a request may carry.
    pub(super) fn limited(&self, room: Room) -> Room {
        self.cap.as_ref().map_or(room, |cap| room.within(cap.request(), cap.record()))
    }

    /// A request goes.
    pub(super) fn send(&self, request: &PendingRequest, now: Instant) {
        if let Some(cap) = &self.cap {
            cap.send(request.records.iter().map(|record| record.payload).sum(), now);
        }
    }

    /// Looks when the next request may go; `is_alone`: it would wait for nothing else. If it changes whether sends wait for the cap, or
    /// they go on waiting, for how long they did since the last look.
    pub(super) fn look(&mut self, now: Instant, is_alone: bool) -> Option<Duration> {
        let cap = self.cap.as_ref()?;
        self.next = cap.next(now);
        let waits = self.next.is_some() && is_alone;
        let since = std::mem::replace(&mut self.waits_since, waits.then_some(now));
        match (since, waits) {
            (Some(since), _) => Some(now.duration_since(since)),
            (None, true) => Some(Duration::ZERO),
            (None, false) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_looked_before_others_sent_waits_all_the_same() {
        let now = Instant::now();
        let cap = Arc::new(RateCap::new(1 << 20, now));
        let mut sends = CappedSends::new(Some(Arc::clone(&cap)));
        assert_eq!(sends.look(now, true), None);
        assert!(!sends.must_wait(now));
        cap.send(4 << 20, now);
        assert!(sends.must_wait(now) && sends.next().is_some());
        assert!(!CappedSends::new(None).must_wait(now));
    }
}
