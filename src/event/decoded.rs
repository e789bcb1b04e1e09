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
    /// Which part this is of an event that is longer than allowed; none: it is whole.
    pub part: Option<Part>,
}

/// A part of an event that was split.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Part {
    /// Bytes of the event before it. So parts of parts need no numbers of their own, and whoever joins them sees what is missing.
    pub offset: u64,
    /// Whether it ends the event.
    pub last: bool,
}

impl Part {
    /// The part of an event, itself perhaps a part, that begins after `before` bytes of it; `last`: and goes to its end.
    #[must_use]
    pub fn of(whole: Option<Self>, before: usize, last: bool) -> Self {
        let Self { offset, last: is_end } = whole.unwrap_or(Self { offset: 0, last: true });
        Self { offset: offset.saturating_add(before as u64), last: last && is_end }
    }
}

/// How a chunk of lines stands to an event that was too long for one chunk.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Piece {
    /// The chunk's first event began in chunks before it, which hold so many bytes of it.
    pub before: u64,
    /// It begins inside a line of that event.
    pub inside_line: bool,
    /// Its last event goes on in the next chunk.
    pub goes_on: bool,
}

impl Piece {
    /// Whether the chunk holds whole events only.
    #[must_use]
    pub fn is_whole(self) -> bool {
        self == Self::default()
    }

    /// Which part an event of the chunk is, by whether it is the first and the last one.
    #[must_use]
    pub fn part(self, is_first: bool, is_last: bool) -> Option<Part> {
        let offset = if is_first { self.before } else { 0 };
        let last = !(self.goes_on && is_last);
        (offset > 0 || !last).then_some(Part { offset, last })
    }

    /// How the next chunk stands, after this one of so many bytes.
    #[must_use]
    pub fn next(self, bytes: usize) -> u64 {
        if self.goes_on { self.before.saturating_add(bytes as u64) } else { 0 }
    }
}

/// A message's bytes, as they stood in the payload.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Message<'a> {
    /// The bytes themselves; any bytes at all.
    Raw(&'a [u8]),
    /// The inside of a JSON string, still escaped, and valid as such.
    Escaped(&'a str),
}

impl<'a> Message<'a> {
    /// The bytes, as they stood in the payload.
    #[must_use]
    pub const fn bytes(self) -> &'a [u8] {
        match self {
            Self::Raw(bytes) => bytes,
            Self::Escaped(inside) => inside.as_bytes(),
        }
    }
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

    /// Whether runs of lines cost no memory beside the payload's.
    fn keeps_lines(&self) -> bool {
        true
    }

    /// Whether there is room for `events` more of `bytes` together. Asked before each event: a decoder that is told no leaves it and
    /// the rest for later. A first event alone always finds room.
    fn fits(&self, _bytes: usize, _events: u64) -> bool {
        true
    }

    /// The same of one event, which may be written longer than it is: asked before it is told. One that is the first finds room too,
    /// once there is memory for all that is written of it.
    fn fits_message(&mut self, message: Message<'_>) -> bool {
        self.fits(message.bytes().len(), 1)
    }

    /// Whether `bytes` more may be taken for the payload itself, such as to inflate it; where not, it is left for later.
    fn may_take(&mut self, _bytes: usize) -> bool {
        true
    }

    /// Whether a payload that is refused is told as it was opened, rather than as it came: so that it can be looked into.
    fn opens_refused(&self) -> bool {
        false
    }

    /// What was read of the next lines, so many bytes, stays in memory beside what is told of them.
    fn keeps_beside(&mut self, _bytes: usize) {}

    /// A message is longer than allowed, and is to be told in parts, cut, or given up: returns what is told of it. `whole` is memory for
    /// that. What follows is of this message, up to [`Events::end_long`].
    fn begin_long<'m>(&mut self, message: Message<'m>, _whole: &'m mut Vec<u8>) -> Message<'m> {
        message
    }

    /// The message was told.
    fn end_long(&mut self) {}

    /// Whether [`Events::at`] is to be told.
    fn wants_places(&self) -> bool {
        false
    }

    /// What is told next began so many bytes behind the payload's first byte, without its layers; or before it, where the number wraps
    /// around: in a chunk before this one.
    fn at(&mut self, _offset: u64) {}

    /// What follows comes from this origin. Said at least once before anything else, and again for each envelope.
    fn origin(&mut self, origin: &Arc<Origin>);

    /// A run of `count` whole lines of the chunk's payload, each one event and each with its `\n`; never a `\r\n`.
    fn lines(&mut self, lines: &Bytes, count: u64);

    /// One event.
    fn event(&mut self, event: Event<'_>);

    /// A whole envelope of the present origin, gzipped as it came, or gzipped by the decoder where it came plain.
    fn envelope(&mut self, gzipped: &Bytes);

    /// So many of the events told since the last call of [`Events::origin`] had bad characters, which were replaced.
    fn repaired(&mut self, _events: u64) {}

    /// Bytes that cannot be decoded, with the reason as a metric's label, such as `gzip` or `json`.
    fn undecodable(&mut self, reason: &'static str, payload: &[u8]);
}
