//! Messages that are larger than any connection may hold: they share a part of the memory, and one at a time may go beyond it.
//!
//! So those that come slowly cannot keep others from theirs: where somebody waits, each has to bring the rest of its own quickly.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use super::connection_end::ConnectionEnd;
use super::frames::FrameBuffer;
use super::limits::{LARGE_GRACE, LARGE_RATE, SMALL};
use crate::pipeline::Intake;
use crate::source::Stop;

/// What they share.
#[derive(Debug)]
pub(super) struct LargeMemory {
    most: usize,
    used: AtomicUsize,
    freed: Notify,
    /// One permit: the right to go beyond.
    beyond: Semaphore,
    /// Connections that wait for either.
    waiting: AtomicUsize,
}

impl LargeMemory {
    pub(super) fn new(most: usize) -> Self {
        let (used, waiting) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { most, used, freed: Notify::new(), beyond: Semaphore::new(1), waiting }
    }

    fn try_take(&self, bytes: usize) -> bool {
        let fits = |used: usize| used.checked_add(bytes).filter(|wanted| *wanted <= self.most);
        self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::AcqRel);
        self.freed.notify_waiters();
    }

    fn is_wanted(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0
    }
}

/// One that waits, until it has what it wants or gives up.
struct WaitingMessage<'a>(&'a LargeMemory);

impl Drop for WaitingMessage<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The message of one connection.
#[derive(Debug)]
pub(super) struct LargeMessage<'a> {
    memory: &'a LargeMemory,
    /// Bytes of the shared part.
    taken: usize,
    beyond: Option<SemaphorePermit<'a>>,
    bytes: u64,
    /// For so long its sender has let us wait.
    waited: Duration,
}

impl<'a> LargeMessage<'a> {
    /// None yet.
    pub(super) const fn new(memory: &'a LargeMemory) -> Self {
        Self { memory, taken: 0, beyond: None, bytes: 0, waited: Duration::ZERO }
    }

    /// Before more is read: makes room for it, once there is memory; gives back what is not needed.
    pub(super) async fn make_room(
        &mut self,
        intake: &Intake,
        frames: &mut FrameBuffer,
        stop: &mut Stop,
    ) -> Result<(), ConnectionEnd> {
        let Some(more) = frames.wanted() else {
            if frames.pending() < SMALL && self.is_open() {
                *self = Self::new(self.memory);
            }
            return Ok(());
        };
        let room = async {
            self.take(more).await;
            intake.admit(more).await
        };
        let room = tokio::select! {
            room = room => room,
            () = stop.requested() => return Err(ConnectionEnd::Stopped),
        };
        frames.grow(more);
        // The buffer is charged for it now.
        drop(room);
        Ok(())
    }

    /// So much came after so long.
    pub(super) fn note(&mut self, bytes: usize, waited: Duration) -> Result<(), ConnectionEnd> {
        if !self.is_open() {
            return Ok(());
        }
        self.bytes = self.bytes.saturating_add(bytes as u64);
        self.waited = self.waited.saturating_add(waited);
        let beyond = self.waited.saturating_sub(LARGE_GRACE);
        let is_slow = u128::from(self.bytes) * 1_000 < u128::from(LARGE_RATE) * beyond.as_millis();
        if is_slow && self.memory.is_wanted() { Err(ConnectionEnd::TooSlow) } else { Ok(()) }
    }

    const fn is_open(&self) -> bool {
        self.taken > 0 || self.beyond.is_some()
    }

    async fn take(&mut self, more: usize) {
        if self.beyond.is_some() {
            return;
        }
        self.memory.waiting.fetch_add(1, Ordering::AcqRel);
        let _waiting = WaitingMessage(self.memory);
        loop {
            let freed = self.memory.freed.notified();
            if self.memory.try_take(more) {
                self.taken = self.taken.saturating_add(more);
                return;
            }
            tokio::select! {
                () = freed => {}
                // The semaphore is never closed.
                beyond = self.memory.beyond.acquire() => {
                    self.beyond = beyond.ok();
                    return;
                }
            }
        }
    }
}

impl Drop for LargeMessage<'_> {
    fn drop(&mut self) {
        if self.taken > 0 {
            self.memory.give_back(self.taken);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_message_goes_beyond_what_all_share_and_slow_ones_give_way_to_who_waits() {
        let memory = LargeMemory::new(100);
        let (mut first, mut second) = (LargeMessage::new(&memory), LargeMessage::new(&memory));
        first.take(80).await;
        second.take(80).await;
        second.take(1_000).await;
        let long = Duration::from_mins(1);
        first.note(0, long).unwrap();
        let third = async {
            let mut third = LargeMessage::new(&memory);
            third.take(80).await;
            third
        };
        tokio::pin!(third);
        assert!(tokio::time::timeout(Duration::ZERO, third.as_mut()).await.is_err());
        assert_eq!(first.note(0, Duration::ZERO), Err(ConnectionEnd::TooSlow));
        assert_eq!(second.note(1 << 20, long), Err(ConnectionEnd::TooSlow));
        second.note(8 << 20, Duration::ZERO).unwrap();
        drop(first);
        let third = third.await;
        assert_eq!(memory.used.load(Ordering::Acquire), 80);
        drop((second, third));
        assert!(!memory.is_wanted() && memory.used.load(Ordering::Acquire) == 0);
    }
}
