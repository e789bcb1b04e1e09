//! Lines that are not written in UTF-8: read as UTF-8, chunk by chunk. Places stay those of the bytes as they came.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::lines::each;
use crate::event::{Charset, Event, Events, Framing, Message, Origin, Piece, Wants};

/// Lines in UTF-8, beside the bytes that they were read from.
#[derive(Debug)]
pub(super) struct TranscodedLines {
    pub(super) raw: Bytes,
    pub(super) plain: Bytes,
    /// Bytes of the payload before `raw`.
    pub(super) before: u64,
    pub(super) piece: Piece,
}

impl TranscodedLines {
    /// Reads a payload. None: there is no memory for it now.
    pub(super) fn read<E: Events>(
        charset: Charset,
        payload: &Bytes,
        piece: Piece,
        origin: &Arc<Origin>,
        events: &mut E,
    ) -> Option<Self> {
        let mut len = 0_usize;
        charset.read(payload, |text| len = len.saturating_add(text.len()));
        if !events.may_take(len) {
            return None;
        }
        let mut plain = Vec::with_capacity(len);
        let bad = charset
            .lines(payload)
            .filter(|line| charset.read(line, |text| plain.extend_from_slice(text)) > 0);
        let bad = bad.count() as u64;
        events.origin(origin);
        if bad > 0 {
            events.repaired(bad);
        }
        Some(Self { raw: payload.clone(), plain: plain.into(), before: 0, piece })
    }

    /// What is left when all before a place of `plain` was told.
    pub(super) fn rest(self, charset: Charset, plain: Bytes, piece: Piece) -> Self {
        let told = self.plain.len().saturating_sub(plain.len());
        let raw_at = LinePlaces::default().raw_of(charset, &self.raw, &self.plain, told);
        let raw = self.raw.slice(raw_at.min(self.raw.len())..);
        Self { raw, plain, before: self.before.saturating_add(raw_at as u64), piece }
    }
}

/// Where a line begins: in the plain text, and in the raw one.
#[derive(Clone, Copy, Debug, Default)]
struct LinePlaces {
    plain: usize,
    raw: usize,
}

impl LinePlaces {
    /// Goes on to the line that begins at `at` of the plain text, and gives its place in the raw one: line by line they are the same.
    fn raw_of(&mut self, charset: Charset, raw: &[u8], plain: &[u8], at: usize) -> usize {
        if at < self.plain {
            *self = Self::default();
        }
        while self.plain < at {
            let Some(line) = plain.get(self.plain..).and_then(|rest| each(rest).next()) else { break };
            let rest = raw.get(self.raw..).unwrap_or_default();
            self.plain = self.plain.saturating_add(line.len());
            self.raw = self.raw.saturating_add(charset.first_line_end(rest).unwrap_or(rest.len()));
        }
        self.raw
    }
}

/// Gives events on, with their places in the raw text.
pub(super) struct RawPlaces<'a, E> {
    inner: &'a mut E,
    charset: Charset,
    raw: &'a [u8],
    plain: &'a [u8],
    before: u64,
    places: LinePlaces,
    /// Where in the plain text begins what comes.
    at: usize,
}

impl<'a, E: Events> RawPlaces<'a, E> {
    pub(super) fn new(inner: &'a mut E, charset: Charset, lines: &'a TranscodedLines) -> Self {
        let TranscodedLines { raw, plain, before, .. } = lines;
        Self { inner, charset, raw, plain, before: *before, places: LinePlaces::default(), at: 0 }
    }
}

impl<E: Events> Events for RawPlaces<'_, E> {
    fn wants(&self) -> Wants {
        self.inner.wants()
    }

    fn keeps_lines(&self) -> bool {
        self.inner.keeps_lines()
    }

    fn fits(&self, bytes: usize, events: u64) -> bool {
        self.inner.fits(bytes, events)
    }

    fn fits_message(&mut self, message: Message<'_>) -> bool {
        self.inner.fits_message(message)
    }

    fn may_take(&mut self, bytes: usize) -> bool {
        self.inner.may_take(bytes)
    }

    fn opens_refused(&self) -> bool {
        self.inner.opens_refused()
    }

    fn keeps_beside(&mut self, bytes: usize) {
        self.inner.keeps_beside(bytes);
    }

    fn begin_long<'m>(&mut self, message: Message<'m>, whole: &'m mut Vec<u8>) -> Message<'m> {
        self.inner.begin_long(message, whole)
    }

    fn end_long(&mut self) {
        self.inner.end_long();
    }

    fn wants_places(&self) -> bool {
        self.inner.wants_places()
    }

    fn at(&mut self, offset: u64) {
        let within = usize::try_from(offset).ok().filter(|at| *at <= self.plain.len());
        self.at = within.unwrap_or(0);
        if !self.inner.wants_places() {
            return;
        }
        let raw = match within {
            Some(at) => self.places.raw_of(self.charset, self.raw, self.plain, at) as u64,
            // It began in a chunk before this one, of which the raw bytes were counted.
            None => offset,
        };
        self.inner.at(self.before.wrapping_add(raw));
    }

    fn origin(&mut self, origin: &Arc<Origin>) {
        self.inner.origin(origin);
    }

    fn lines(&mut self, lines: &Bytes, count: u64) {
        if !self.inner.wants_places() {
            return self.inner.lines(lines, count);
        }
        let (first, mut from) = (self.at, 0_usize);
        for line in each(lines) {
            let end = from.saturating_add(line.len());
            self.at(first.saturating_add(from) as u64);
            self.inner.lines(&lines.slice(from..end), 1);
            from = end;
        }
    }

    fn event(&mut self, event: Event<'_>) {
        self.inner.event(event);
    }

    fn envelope(&mut self, gzipped: &Bytes) {
        self.inner.envelope(gzipped);
    }

    fn repaired(&mut self, events: u64) {
        self.inner.repaired(events);
    }

    fn undecodable(&mut self, reason: &'static str, payload: &[u8]) {
        self.inner.undecodable(reason, payload);
    }
}

/// Cuts as another framing does that reads UTF-8.
#[derive(Debug)]
pub(super) struct TranscodedFraming {
    pub(super) charset: Charset,
    pub(super) plain: Arc<dyn Framing>,
    /// Whether lines are joined, so that what a line says decides.
    pub(super) joins: bool,
}

impl TranscodedFraming {
    fn read(&self, bytes: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        self.charset.read(bytes, |text| plain.extend_from_slice(text));
        plain
    }
}

impl Framing for TranscodedFraming {
    fn whole(&self, bytes: &[u8], end: bool) -> usize {
        if end {
            return bytes.len();
        }
        let lines = self.charset.last_line_end(bytes);
        if !self.joins || lines == 0 {
            return lines;
        }
        let raw = bytes.get(..lines).unwrap_or_default();
        let plain = self.read(raw);
        let whole = self.plain.whole(&plain, false);
        LinePlaces::default().raw_of(self.charset, raw, &plain, whole)
    }

    fn goes_on(&self, taken: &[u8], rest: &[u8]) -> bool {
        let unit = self.charset.unit();
        let last = taken.get(taken.len().saturating_sub(unit)..).unwrap_or_default();
        if last != self.charset.newline() {
            return true;
        }
        let next = self.charset.lines(rest).next().unwrap_or_default();
        self.plain.goes_on(b"\n", &self.read(next))
    }

    fn patience(&self) -> Option<Duration> {
        self.plain.patience()
    }
}

#[cfg(test)]
mod tests {
    use regex::bytes::Regex;

    use super::*;
    use crate::config::{Decoding, Format, Multiline};
    use crate::decode::testing::{SeenEvents, config, decode_with};
    use crate::decode::{Decoder, Scratch, Undecoded, framing};

    fn utf16(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    fn lines(label: &str) -> Decoding {
        Decoding { charset: Charset::named(label).unwrap(), ..config(Format::Lines) }
    }

    fn multiline() -> Decoding {
        let start = Regex::new("^[0-9ж]").unwrap();
        Decoding {
            multiline: Some(Multiline { start, timeout: Duration::from_secs(1) }),
            ..lines("utf-16le")
        }
    }

    #[test]
    fn lines_of_another_charset_are_told_in_utf_8_at_the_places_of_their_bytes() {
        /// The place of each event is told before it, the last of them for sure.
        #[track_caller]
        fn check(config: &Decoding, payload: &[u8], expected: &[(&str, u64)]) {
            let seen = decode_with(config, payload);
            let (told, places): (Vec<&str>, Vec<u64>) = expected.iter().copied().unzip();
            assert_eq!(seen.told(), told);
            let mut seen = seen.places;
            seen.dedup();
            assert_eq!(seen, places);
        }
        let text = "ab\nб\u{1F600}\n\nc";
        let places = [("ab", 0), ("б\u{1F600}", 6), ("", 14), ("c", 16)];
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        check(&lines("utf-16le"), &utf16(text), &places);
        check(&lines("utf-16be"), &big, &places);
        check(&lines("utf-16le"), &utf16("ab\r\nб\r\nc"), &[("ab", 0), ("б", 8), ("c", 14)]);
        check(&lines("latin1"), b"\xE9\xE9\xE9\nx\n", &[("ééé", 0), ("x", 4)]);
        check(&multiline(), &utf16("1 a\n б\n2 b\n"), &[("1 a\n б", 0), ("2 b", 14)]);
    }

    #[test]
    fn a_bad_character_costs_itself_and_its_event_is_counted() {
        let payload = [utf16("a\nb"), vec![0x00, 0xD8], utf16("c\nd\n")].concat();
        let seen = decode_with(&lines("utf-16le"), &payload);
        assert_eq!(seen.told(), ["a", "b\u{FFFD}c", "d"]);
        assert_eq!(seen.repaired, 1);
        let seen = decode_with(&lines("utf-16be"), b"\0a\0\n\0");
        assert_eq!((seen.told().len(), seen.repaired), (2, 1), "half a character at the end");
    }

    #[test]
    fn lines_wait_for_the_memory_that_they_take_in_utf_8_and_go_on_where_they_were() {
        let text = (0..200).map(|line| format!("{line} б\u{4e2d}\n")).collect::<Vec<_>>().concat();
        let payload = Bytes::from(utf16(&text));
        let decoder = Decoder::new(&lines("utf-16le"));
        let whole = decode_with(&lines("utf-16le"), &payload);
        let mut seen = SeenEvents::with_room(Some(100), text.len() - 1);
        let mut scratch = Scratch::default();
        let undecoded = Undecoded::new(payload, Piece::default());
        let waiting = decoder.decode_some(&mut scratch, &Arc::default(), undecoded, &mut seen).unwrap();
        assert!(waiting.is_whole() && seen.told().is_empty());
        seen.may_take = text.len();
        let (mut left, mut steps) = (Some(waiting), 0);
        while let Some(undecoded) = left {
            seen.begin_step();
            left = decoder.decode_some(&mut scratch, &Arc::default(), undecoded, &mut seen);
            steps += 1;
        }
        assert_eq!(seen.told(), whole.told());
        assert!(steps > 10, "{steps} steps");
        assert_eq!(seen.may_take, 0, "it is charged once");
        assert_eq!(seen.places.last(), whole.places.last());
    }

    #[test]
    fn a_chunk_ends_with_a_line_of_its_charset() {
        #[track_caller]
        fn check(config: &Decoding, text: &[u8], whole: usize) {
            assert_eq!(framing(config).whole(text, false), whole);
        }
        let lines = lines("utf-16le");
        check(&lines, &utf16("ab\nc"), 6);
        check(&lines, &utf16("ab\nc")[..7], 6);
        check(&lines, &utf16("ab"), 0);
        check(&multiline(), &utf16("1 a\n б\n2 b\n c\n"), 14);
        check(&multiline(), &utf16("1 a\n б\nж b\n"), 14);
        check(&multiline(), &utf16("1 a\n б\n"), 0);
        assert!(!framing(&lines).goes_on(&utf16("a\n"), &utf16("b")));
        assert!(framing(&lines).goes_on(&utf16("a"), &utf16("b\n")));
        assert!(framing(&multiline()).goes_on(&utf16("1 a\n"), &utf16(" b\n")));
        assert!(!framing(&multiline()).goes_on(&utf16("1 a\n"), &utf16("2 b\n")));
        assert_eq!(framing(&multiline()).patience(), Some(Duration::from_secs(1)));
        assert_eq!(framing(&lines).whole(b"a", true), 1, "at the end everything goes");
    }
}
