//! Stands between a decoder and whoever receives its events, and redacts these.

use std::sync::Arc;

use bytes::Bytes;

use super::payload;
use super::redactor::{RedactScratch, Redactor};
use crate::event::{Event, Events, Message, Origin, Wants};

/// Receives events, and gives them on redacted.
pub struct Redacting<'a, E> {
    inner: &'a mut E,
    redactor: &'a Redactor,
    scratch: &'a mut RedactScratch,
    /// What comes is of an event that was redacted as a whole.
    is_redacted: bool,
    /// Where what comes begins.
    at: u64,
}

impl<'a, E: Events> Redacting<'a, E> {
    /// Stands before `inner`.
    pub const fn new(inner: &'a mut E, redactor: &'a Redactor, scratch: &'a mut RedactScratch) -> Self {
        Self { inner, redactor, scratch, is_redacted: false, at: 0 }
    }
}

impl<E: Events> Events for Redacting<'_, E> {
    /// Envelopes as they came cannot be redacted: a configuration that wants those is refused.
    fn wants(&self) -> Wants {
        Wants { events: true, envelopes: false }
    }

    /// Lines that are redacted are copied.
    fn keeps_lines(&self) -> bool {
        false
    }

    fn fits(&self, bytes: usize, events: u64) -> bool {
        // What was read stays in memory beside the copy, as long as other lines of it do.
        let copies = self.redactor.growth().saturating_add(usize::from(self.inner.keeps_lines()));
        self.inner.fits(bytes.saturating_mul(copies), events)
    }

    fn fits_message(&mut self, message: Message<'_>) -> bool {
        self.fits(message.bytes().len(), 1) && self.inner.fits_message(message)
    }

    fn may_take(&mut self, bytes: usize) -> bool {
        self.inner.may_take(bytes)
    }

    fn opens_refused(&self) -> bool {
        true
    }

    fn origin(&mut self, origin: &Arc<Origin>) {
        self.inner.origin(origin);
    }

    fn lines(&mut self, lines: &Bytes, count: u64) {
        let Some(redacted) = self.redactor.lines(lines, self.scratch) else {
            return self.inner.lines(lines, count);
        };
        if self.inner.wants_places() {
            return tell_lines(self.inner, (lines, redacted), self.at);
        }
        let copy = Bytes::copy_from_slice(redacted);
        if self.inner.keeps_lines() {
            self.inner.keeps_beside(lines.len());
        }
        self.inner.lines(&copy, count);
    }

    fn wants_places(&self) -> bool {
        self.inner.wants_places()
    }

    fn at(&mut self, offset: u64) {
        self.at = offset;
        self.inner.at(offset);
    }

    fn event(&mut self, event: Event<'_>) {
        if self.is_redacted {
            return self.inner.event(event);
        }
        let message = self.redactor.message(event.message, self.scratch).unwrap_or(event.message);
        self.inner.event(Event { message, ..event });
    }

    fn begin_long<'m>(&mut self, message: Message<'m>, whole: &'m mut Vec<u8>) -> Message<'m> {
        self.is_redacted = true;
        let Some(redacted) = self.redactor.message(message, self.scratch) else { return message };
        let (bytes, is_text) = match redacted {
            Message::Raw(bytes) => (bytes, false),
            Message::Escaped(inside) => (inside.as_bytes(), true),
        };
        whole.clear();
        whole.extend_from_slice(bytes);
        match str::from_utf8(whole) {
            Ok(inside) if is_text => Message::Escaped(inside),
            Ok(_) | Err(_) => Message::Raw(whole),
        }
    }

    fn end_long(&mut self) {
        self.is_redacted = false;
    }

    fn envelope(&mut self, gzipped: &Bytes) {
        debug_assert!(false, "envelopes are not wanted");
        self.undecodable("envelope", gzipped);
    }

    fn repaired(&mut self, events: u64) {
        self.inner.repaired(events);
    }

    fn undecodable(&mut self, reason: &'static str, bytes: &[u8]) {
        if self.is_redacted {
            return self.inner.undecodable(reason, bytes);
        }
        let redacted = payload::redacted(self.redactor, reason, bytes, self.scratch);
        self.inner.undecodable(reason, &redacted);
    }
}

/// Tells redacted lines one by one: each begins where it did before, however long it is now.
fn tell_lines<E: Events>(events: &mut E, (lines, redacted): (&[u8], &[u8]), first: u64) {
    let mut at = first;
    let each = |lines| <[u8]>::split(lines, |byte: &u8| *byte == b'\n');
    for (line, redacted) in each(lines.strip_suffix(b"\n").unwrap_or(lines)).zip(each(redacted)) {
        events.at(at);
        events.event(Event { message: Message::Raw(redacted), timestamp: None, id: None, part: None });
        at = at.wrapping_add(line.len() as u64).wrapping_add(1);
    }
}
