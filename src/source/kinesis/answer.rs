//! An answer with records of a shard, in memory that was waited for.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use super::client::StreamFault;
use super::reading::StreamReading;
use crate::event::Held;

/// What the feed of a shard gave.
pub(super) enum FeedAnswer {
    Records(AnswerAtHand),
    /// Nothing yet; what is to be waited for, if anything is.
    Later(Option<StreamFault>),
    /// Nothing can begin where it should.
    Unbegun(StreamFault),
    /// Somebody else is subscribed to the shard, or was a moment ago.
    Taken {
        fault: StreamFault,
        /// It was taken from a subscription of this reader.
        from_us: bool,
    },
}

/// An answer as it came.
pub(super) struct AnswerAtHand {
    pub(super) bytes: Bytes,
    pub(super) memory: AnswerMemory,
}

/// Memory of an answer that is at hand.
pub(super) struct AnswerMemory {
    pub(super) held: Held,
    _at_hand: Option<OwnedSemaphorePermit>,
}

impl AnswerMemory {
    /// Waits until there is memory for an answer that takes so much, as it came and decoded.
    pub(super) async fn reserve(reading: &StreamReading, expected: usize) -> Self {
        let most = u32::try_from(reading.intake.memory() / 4 / 1024).unwrap_or(u32::MAX).max(1);
        let permits = u32::try_from(expected >> 10).unwrap_or(u32::MAX).clamp(1, most);
        // It is never closed.
        let at_hand = Arc::clone(&reading.at_hand).acquire_many_owned(permits).await.ok();
        let room = reading.intake.admit(expected).await;
        let mut held = reading.intake.standing();
        held.resize(expected as u64);
        drop(room);
        Self { held, _at_hand: at_hand }
    }
}
