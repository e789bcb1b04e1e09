//! What travels between the stages, and nothing else: every stage knows this module, and no stage knows another.
//!
//! A source reads a [`Chunk`] (whole events of one [`Origin`], with the [`AckGuard`] that says when they are done and the
//! [`Held`] memory they take) and gives it to its `OrderedLane`; workers make [`Block`]s of encoded events from it, a packer makes
//! [`Record`]s from those, and a sink settles their ack guards.

mod ack;
mod backpressure;
mod budget;
mod buffers;
mod charset;
mod decoded;
mod framing;
mod labels;
mod origin;
mod place;
mod stored_fields;
mod time;

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

pub use ack::{AckGuard, Acknowledge, Outcome, RequestNames};
pub use backpressure::Backpressure;
pub use budget::{Budget, CommitTurn, Held, OnItsWay, PausedBytes};
pub use buffers::Buffers;
pub use charset::Charset;
pub use decoded::{Event, Events, Message, Part, Piece, Wants};
pub use framing::Framing;
pub use labels::OriginLabels;
pub use origin::{Field, FieldPlace, Origin, OriginFields};
pub use place::{EventPlace, LONGEST_ID, PlaceId};
pub use time::{Clockface, Timestamp};

/// Raw bytes of one origin, as a source read them: whole events, as its [`Framing`] cuts them, but for one that is too long.
#[derive(Debug)]
pub struct Chunk {
    /// What is known of the origin before decoding; an envelope tells the rest.
    pub origin: Arc<Origin>,
    /// The bytes.
    pub payload: Bytes,
    /// Whether they begin or end within an event that is too long for a chunk.
    pub piece: Piece,
    /// When they were read.
    pub read_at: Timestamp,
    /// Settled when every event in the chunk is done.
    pub ack: AckGuard,
    /// The memory admitted for the chunk and for what is made of it.
    pub held: Held,
}

/// Encoded events for one destination, in order.
#[derive(Clone, Debug)]
pub struct Block {
    /// The encoded events, one after the other. With `packing = "lines"` each ends with a newline.
    pub data: Bytes,
    /// Where they end.
    pub borders: Borders,
}

impl Block {
    /// How many events the block holds.
    #[must_use]
    pub fn events(&self) -> u64 {
        match &self.borders {
            Borders::Newlines(count) => *count,
            Borders::Ends(ends) => ends.len() as u64,
        }
    }
}

/// Where the events of a [`Block`] end.
#[derive(Clone, Debug)]
pub enum Borders {
    /// At each newline, and only there; so many of them.
    Newlines(u64),
    /// At these offsets from the block's start, ascending; the last is the block's length.
    Ends(Vec<u32>),
}

/// What becomes one Firehose record.
#[derive(Debug)]
pub struct Record {
    /// The bytes, in pieces so that what a source read need not be copied.
    pub parts: Vec<Bytes>,
    /// Their length together, in bytes.
    pub len: usize,
    /// Bytes before compression: what the user sent.
    pub payload: usize,
    /// Whether `parts` are a gzip member already.
    pub compressed: bool,
    /// How many events it holds.
    pub events: u64,
    /// Whether it was cut from a larger record, of which other pieces may be delivered.
    pub is_piece: bool,
    /// Settled when the record is done.
    pub acks: Vec<AckGuard>,
    /// The origin of its first event, for dead letters.
    pub origin: Arc<Origin>,
    /// When its first event came.
    pub since: Instant,
}

impl Record {
    /// When the first of its events became a dead letter before; none: none did.
    #[must_use]
    pub fn dead_lettered_at(&self) -> Option<Timestamp> {
        self.acks.iter().filter_map(AckGuard::dead_lettered_at).min()
    }
}

/// The pipeline has stopped taking chunks.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the pipeline is stopping")]
pub struct Closed;
