//! What decoding tells, event by event, without making anything.

use std::sync::Arc;

use bytes::Bytes;

use super::{Origin, Timestamp};

/// One decoded event, borrowed from the payload or from the decoder's scratch memory.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// The message.
    pub message: Message<'a>,
    /// The event's own time; none: the time its chunk was read.
    pub timestamp: Option<Timestamp>,
    /// `CloudWatch` Logs' id of the event, or `CloudTrail`'s `eventID`: the inside of a JSON string.
    pub id: Option<&'a str>,
}

/// A message's bytes, as they stood in the payload.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Message<'a> {
    /// The bytes themselves; any bytes at all.
    Raw(&'a [u8]),
    /// The inside of a JSON string, still escaped, and valid as such.
    Escaped(&'a str),
}

/// What the receiver of decoded events needs; lets a decoder leave out work.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Wants {
    /// Single events, by [`Events::event`] and [`Events::lines`].
    pub events: bool,
    /// Whole envelopes as they came, by [`Events::envelope`].
    pub envelopes: bool,
}

/// Receives what a decoder finds in one chunk, in order.
pub trait Events {
    /// What is needed; the same answer for the whole of a chunk.
    fn wants(&self) -> Wants;

    /// What follows comes from this origin. Said at least once before anything else, and again for each envelope.
    fn origin(&mut self, origin: &Arc<Origin>);

    /// A run of `count` whole lines of the chunk's payload, each one event and each with its `\n`; never a `\r\n`.
    fn lines(&mut self, lines: &Bytes, count: u64);

    /// One event.
    fn event(&mut self, event: Event<'_>);

    /// A whole envelope of the present origin, gzipped as it came, or gzipped by the decoder where it came plain.
    fn envelope(&mut self, gzipped: &Bytes);

    /// Bytes that cannot be decoded, with the reason as a metric's label, such as `gzip` or `json`.
    fn undecodable(&mut self, reason: &'static str, payload: &[u8]);
}
