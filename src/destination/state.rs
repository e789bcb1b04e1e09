//! What a destination's queue has under its lock.

use std::time::Duration;

use tokio::time::Instant;

use super::linger::{Linger, OpenedRecord};
use super::next::QueueOptions;
use super::storage::Storage;
use crate::batch::Packer;

/// What a destination's queue has.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct QueueState {
    /// The open record.
    pub(super) packer: Packer,
    /// Closed records.
    pub(super) storage: Storage,
    pub(super) linger: Linger,
    pub(super) failing: bool,
    pub(super) ended: bool,
    /// What is on disk is left there once nothing else is to be stored.
    pub(super) hands_over: bool,
    pub(super) active: Instant,
    /// When something ended last, or came when there was nothing.
    moved: Instant,
    /// What waits does so for the sink's own rate alone.
    capped: bool,
}

impl QueueState {
    pub(super) fn new(options: QueueOptions, storage: Storage, now: Instant) -> Self {
        Self {
            packer: Packer::new(options.packing),
            storage,
            linger: Linger::new(options.linger, options.is_billed_as_packed, now),
            failing: false,
            ended: false,
            hands_over: false,
            active: now,
            moved: now,
            capped: false,
        }
    }

    /// When the first event came of what is to be sent next.
    pub(super) fn oldest(&self) -> Option<Instant> {
        let open = || self.packer.open_since().filter(|_| self.storage.is_closed_by_sink());
        self.storage.ready().oldest.or_else(open)
    }

    /// Something comes.
    pub(super) fn note_arrival(&mut self, is_awaited: bool, now: Instant) {
        if self.storage.is_drained() {
            self.moved = now;
        }
        self.linger.pushed(is_awaited, now);
        self.active = now;
    }

    /// Something was delivered, or set aside.
    pub(super) fn note_departure(&mut self) {
        (self.active, self.moved) = (Instant::now(), Instant::now());
    }

    /// Notes whether what waits does so for the sink's own rate alone. For as long, nothing can end.
    pub(super) fn set_capped(&mut self, capped: bool, now: Instant) {
        if self.capped {
            self.moved = now;
        }
        self.capped = capped;
    }

    /// Whether what waits does so for the sink's own rate alone.
    pub(super) fn is_capped(&self) -> bool {
        self.capped && !self.storage.is_drained()
    }

    /// For how long, beyond the longest wait, nothing has ended although there is something.
    pub(super) fn still(&self) -> Duration {
        let opens = self.storage.held() == 0 && self.storage.disk().is_some_and(|disk| !disk.is_open());
        let is_idle = opens || self.capped || self.storage.is_drained();
        let still = if is_idle { Duration::ZERO } else { self.moved.elapsed() };
        still.saturating_sub(self.linger.longest())
    }

    /// Whether nothing is under way to where its senders are told.
    fn is_idle(&self) -> bool {
        !self.storage.is_closed_by_sink() || self.storage.nothing_under_way()
    }

    /// Senders were told that something has ended.
    pub(super) fn note_end(&mut self) {
        self.linger.ended(self.storage.held() == 0, Instant::now());
    }

    /// When the open record is to be closed, in no hurry.
    pub(super) fn due(&self) -> Option<Instant> {
        let since = self.packer.open_since()?;
        let fills_its_steps = self.packer.fills_its_steps();
        Some(self.linger.due(OpenedRecord { since, fills_its_steps }, self.is_idle()))
    }

    /// Closes the open record if it is due.
    pub(super) fn close_due(&mut self, due: Option<Instant>, now: Instant) {
        let Some(since) = self.packer.open_since() else { return };
        if due.is_some_and(|due| due <= now) {
            self.linger.closed(since, now);
            let storage = &mut self.storage;
            self.packer.close(&mut |record| storage.push(record));
        }
    }

    /// Whether a request is full, or its first record has waited long enough.
    pub(super) fn has_request(&self, now: Instant, linger: Duration) -> bool {
        let ready = self.storage.ready();
        let may_leave = self.storage.is_closed_by_sink() && self.linger.may_leave(self.is_idle());
        let is_aged = |since| self.ended || may_leave || since + linger <= now;
        ready.fill_a_request() || (ready.oldest.is_some_and(is_aged) && !self.storage.is_reading())
    }
}
