//! Events that are too large for a record: split, cut, or refused.

use super::border::char_border;
use super::encode::{Encoder, Output, TooLarge};
use super::json;
use super::message::write_message;
use crate::config::{Encoding, TooLong};
use crate::event::{Event, Message, Part, Timestamp};
use crate::limits::MAX_RECORD_BYTES;

/// A message is split or cut only if its parts have at least this much room beside their metadata. With less room the parts would
/// be many, and mostly the same metadata.
const LEAST_ROOM: usize = MAX_RECORD_BYTES / 2;

impl Encoder {
    /// Whether the message alone is too large: what is written only to be taken back is memory too.
    pub(super) fn is_surely_too_large(&self, event: &Event<'_>) -> bool {
        match event.message {
            Message::Raw(bytes) if bytes.len() <= MAX_RECORD_BYTES / json::LONGEST_ESCAPE => false,
            Message::Raw(bytes) if self.encoding == Encoding::Json => {
                bytes.len() > MAX_RECORD_BYTES || json::escaped_len(bytes) > MAX_RECORD_BYTES
            }
            Message::Raw(bytes) => bytes.len() > MAX_RECORD_BYTES,
            Message::Escaped(text) => self.encoding == Encoding::Json && text.len() > MAX_RECORD_BYTES,
        }
    }

    pub(super) fn too_large(
        &self,
        event: &Event<'_>,
        read_at: Timestamp,
        out: &mut Output,
    ) -> Result<(), TooLarge> {
        let room = self.room(event, out).filter(|_| self.too_long != TooLong::DeadLetter).ok_or(TooLarge)?;
        let mut message = Vec::new();
        write_message(event.message, &mut message);
        if self.too_long == TooLong::Split {
            self.split(&message, room, event, read_at, out);
        } else {
            self.truncate(&message, room, event, read_at, out);
        }
        Ok(())
    }

    /// Writes the message in parts that fit, each an event that says which part it is.
    fn split(&self, message: &[u8], room: usize, event: &Event<'_>, read_at: Timestamp, out: &mut Output) {
        let mut rest = message;
        while !rest.is_empty() {
            let before = message.len().saturating_sub(rest.len());
            let (cut, after) = rest.split_at(self.fitting(rest, room));
            let part = Some(Part::of(event.part, before, after.is_empty()));
            self.write_part(&Event { message: Message::Raw(cut), part, ..*event }, read_at, out);
            rest = after;
        }
    }

    /// Writes the front of the message, and how much is missing.
    fn truncate(&self, message: &[u8], room: usize, event: &Event<'_>, read_at: Timestamp, out: &mut Output) {
        let (kept, cut) = message.split_at(self.fitting(message, room));
        let marked = [kept, format!("…[truncated {} bytes]", cut.len()).as_bytes()].concat();
        self.write_part(&Event { message: Message::Raw(&marked), ..*event }, read_at, out);
    }

    /// Writes an event that was made to fit.
    fn write_part(&self, event: &Event<'_>, read_at: Timestamp, out: &mut Output) {
        out.prepare();
        let start = out.data.len();
        self.write(event, read_at, out);
        let len = out.data.len().saturating_sub(start);
        debug_assert!(len <= MAX_RECORD_BYTES, "a part of {len} bytes");
        out.end_event(start, self);
    }

    /// How many bytes of a message fit into a record beside the event's metadata; none if too few.
    fn room(&self, event: &Event<'_>, out: &Output) -> Option<usize> {
        /// For the time, the keys, the part's place, a mark of truncation, and the newline.
        const FRAME: usize = 256;
        let id = event.id.filter(|_| self.encoding == Encoding::Json).map_or(0, str::len);
        let around = out.after.len().saturating_add(id).saturating_add(FRAME);
        MAX_RECORD_BYTES.checked_sub(around).filter(|room| *room >= LEAST_ROOM)
    }

    /// How much of the message's front surely fits into the room, cut between UTF-8 characters.
    fn fitting(&self, message: &[u8], room: usize) -> usize {
        let mut len = message.len().min(room);
        if self.encoding == Encoding::Json {
            while len > 1 && json::escaped_len(message.get(..len).unwrap_or_default()) > room {
                len = len.div_ceil(2);
            }
        }
        char_border(message, len)
    }
}
