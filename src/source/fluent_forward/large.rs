//! A message that is larger than any connection may hold: one at a time of a source, and it has to come quickly.

use std::time::Duration;

use tokio::sync::SemaphorePermit;

use super::connection::ConnectionEnd;
use super::context::ForwardContext;
use super::frames::FrameBuffer;
use super::limits::{LARGE_GRACE, LARGE_RATE, SMALL};
use crate::source::Stop;

/// The right of a connection to read one, where it has it.
#[derive(Debug, Default)]
pub(super) struct LargeMessage<'a> {
    permit: Option<SemaphorePermit<'a>>,
    bytes: u64,
    /// For so long its sender has let us wait.
    waited: Duration,
}

impl<'a> LargeMessage<'a> {
    /// Before more is read: makes room for it, once there is memory; gives the right back where it is not needed.
    pub(super) async fn make_room(
        &mut self,
        context: &'a ForwardContext,
        frames: &mut FrameBuffer,
        stop: &mut Stop,
    ) -> Result<(), ConnectionEnd> {
        let Some(more) = frames.wanted() else {
            if frames.pending() < SMALL {
                *self = Self::default();
            }
            return Ok(());
        };
        let room = async {
            if self.permit.is_none() {
                // The semaphore is never closed.
                self.permit = context.large.acquire().await.ok();
            }
            context.intake.admit(more).await
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
        if self.permit.is_none() {
            return Ok(());
        }
        self.bytes = self.bytes.saturating_add(bytes as u64);
        self.waited = self.waited.saturating_add(waited);
        let beyond = self.waited.saturating_sub(LARGE_GRACE);
        let is_slow = u128::from(self.bytes) * 1_000 < u128::from(LARGE_RATE) * beyond.as_millis();
        if is_slow { Err(ConnectionEnd::TooSlow) } else { Ok(()) }
    }
}
