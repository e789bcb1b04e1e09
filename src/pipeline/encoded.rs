//! What became of a chunk: encoded events for their destinations, and what goes to the dead letters.

use std::sync::Arc;

use bytes::Bytes;

use crate::deadletter::{DeadLetter, LetterContent};
use crate::decode::broken_at;
use crate::destination::registry::NoDestination;
use crate::event::{AckGuard, Block, Borders, Held, Origin, Timestamp};
use crate::route::Filtered;

/// What became of a chunk.
#[derive(Debug, Default)]
pub(crate) struct EncodedChunk {
    /// Encoded events, in order.
    pub(crate) segments: Vec<EncodedSegment>,
    /// Events that at least one sink takes.
    pub(crate) routed: u64,
    /// Events that no sink takes, by why.
    pub(crate) filtered: Vec<(Filtered, u64)>,
    /// Events that routes kept from their sinks, whether or not others have them, by why.
    pub(crate) withheld: Vec<(Filtered, u64)>,
    /// Events whose messages could not be read as what they were to be, and those that lacked their time.
    pub(crate) unparsed: u64,
    pub(crate) untimed: u64,
    /// Events with bad characters, which were replaced.
    pub(crate) repaired: u64,
    /// What was redacted, by rule.
    pub(crate) redacted: Vec<(Arc<str>, u64)>,
    /// What goes to the dead letters.
    pub(crate) undeliverable: Vec<Undeliverable>,
    /// The memory that all of it takes, in bytes.
    pub(crate) memory: u64,
    /// That memory, where several sinks are to give it back, each its own; none: the chunk's ack guard holds it.
    pub(crate) held: Option<Held>,
}

impl EncodedChunk {
    /// Whether nothing became of any event, not even that it was filtered.
    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty()
            && self.undeliverable.is_empty()
            && self.filtered.is_empty()
            && self.routed == 0
    }

    /// Whether more than one sink has a part of it.
    pub(super) fn has_several_sinks(&self) -> bool {
        let first = self.segments.first().map(|segment| segment.sink);
        self.segments.iter().any(|segment| Some(segment.sink) != first)
    }
}

/// Counts events under a reason.
pub(super) fn count(counts: &mut Vec<(Filtered, u64)>, why: Filtered, events: u64) {
    match counts.iter_mut().find(|(known, _)| *known == why) {
        Some((_, count)) => *count += events,
        None => counts.push((why, events)),
    }
}

impl EncodedSegment {
    /// How many bytes its events have.
    pub(super) fn bytes(&self) -> u64 {
        self.blocks.iter().map(|block| block.data.len() as u64).sum()
    }
}

/// Encoded events of one origin for one sink.
#[derive(Debug)]
pub(crate) struct EncodedSegment {
    /// The sink's place.
    pub(crate) sink: usize,
    /// Where the events come from.
    pub(crate) origin: Arc<Origin>,
    /// The events.
    pub(crate) blocks: Vec<Block>,
}

/// Bytes for the dead letters.
#[derive(Debug)]
pub(crate) struct Undeliverable {
    /// The sink that cannot take the event; none: the payload cannot be decoded.
    pub(crate) sink: Option<usize>,
    /// Why.
    pub(crate) reason: &'static str,
    /// Where it comes from.
    pub(crate) origin: Arc<Origin>,
    /// The bytes.
    pub(crate) bytes: Bytes,
    /// What they are.
    pub(crate) content: LetterContent,
    /// How many events they hold.
    pub(crate) events: u64,
    /// The time of the one event.
    pub(crate) timestamp: Option<Timestamp>,
    /// Its id.
    pub(crate) id: Option<String>,
    /// Where the events end, where newlines do not say so.
    pub(crate) ends: Vec<u32>,
}

/// What is kept of a dead letter beside its bytes, while it waits to be written.
pub(super) const LETTER_BYTES: u64 = 1024;

/// What is kept of a segment beside its blocks, with its origin.
pub(super) const SEGMENT_BYTES: u64 = 512;

impl Undeliverable {
    /// A payload that cannot be decoded.
    pub(crate) fn new(reason: &'static str, origin: Arc<Origin>, bytes: Bytes) -> Self {
        let content = LetterContent::Payload;
        Self {
            sink: None,
            reason,
            origin,
            bytes,
            content,
            events: 1,
            timestamp: None,
            id: None,
            ends: Vec::new(),
        }
    }

    /// A whole segment whose sink has no place for it.
    #[must_use]
    pub(crate) fn from_segment(segment: &EncodedSegment, why: NoDestination) -> Vec<Self> {
        let undeliverable = |block: &Block| Self {
            sink: Some(segment.sink),
            content: LetterContent::Events,
            events: block.events(),
            ends: match &block.borders {
                Borders::Newlines(_) => Vec::new(),
                Borders::Ends(ends) => ends.clone(),
            },
            ..Self::new(why.reason(), Arc::clone(&segment.origin), block.data.clone())
        };
        segment.blocks.iter().map(undeliverable).collect()
    }

    /// As a dead letter.
    pub(crate) fn letter(self, ack: &AckGuard) -> DeadLetter {
        DeadLetter {
            time: ack.dead_lettered_at().unwrap_or_else(Timestamp::now),
            request: ack.request(),
            reason: self.reason.to_owned(),
            error: broken_at(self.reason, &self.bytes),
            origin: self.origin,
            bytes: self.bytes,
            content: self.content,
            events: self.events,
            payload: None,
            timestamp: self.timestamp,
            id: self.id,
            ends: self.ends,
        }
    }
}
