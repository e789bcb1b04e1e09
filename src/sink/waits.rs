//! When a destination's loop may send, and how much.

use tokio::time::Instant;

use super::deliver::DeliveryLoop;
use super::pacing::{Pacing, Room};
use super::record_queue::RecordQueue;
use super::service::SinkService;

impl<S: SinkService, P: RecordQueue> DeliveryLoop<S, P> {
    /// Nothing is sent before this: a pause, or the rate.
    pub(super) fn blocked_until(&self) -> Option<Instant> {
        self.paused_until.max(self.pacing.next()).max(self.cap.next())
    }

    /// Notes whether the user's own limit is what sends wait for.
    pub(super) fn note_cap(&mut self, now: Instant) {
        let waits_for_others = self.paused_until.max(self.pacing.next()).is_some_and(|until| until > now);
        let changed = self.cap.look(now, !waits_for_others && self.in_flight.is_empty());
        if let Some(waited) = changed
            && self.record_queue.set_capped(self.cap.is_waited_for())
        {
            self.metrics.capped(waited);
        }
    }

    /// When something that waits may go, if anything does and nothing else would wake the loop.
    pub(super) fn wake(&self, now: Instant) -> Option<Instant> {
        let due = self.retries.next();
        let blocked = self.blocked_until().filter(|until| *until > now);
        match (due, blocked) {
            (Some(due), Some(blocked)) => Some(due.max(blocked)),
            (None, blocked) => blocked,
            (due, None) => due.filter(|due| *due > now),
        }
    }

    /// What the next request may carry.
    pub(super) fn room(&self) -> Room {
        let room = match self.pacing.room() {
            _ if self.held.is_some() => Pacing::one(),
            Room::Full => self.full,
            room @ (Room::Bytes { .. } | Room::One(_)) => room,
        };
        self.cap.limited(room)
    }
}
