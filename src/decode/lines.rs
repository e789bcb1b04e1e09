//! Lines, and lines joined by a start pattern.
//!
//! An empty line is an event like any other, so that every byte read is accounted for.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use memchr::{memchr, memchr_iter, memmem, memrchr};
use regex::bytes::Regex;

use super::long::{self, LengthLimit};
use crate::config::{self, TooLong};
use crate::event::{Event, Events, Framing, Message, Part, Piece};

/// Buffers for messages that are not passed on as they stand.
#[derive(Debug, Default)]
pub(crate) struct LineScratch {
    /// An event without the `\r` of its line ends.
    joined: Vec<u8>,
    /// An event that was cut.
    pub(crate) long: Vec<u8>,
}

/// A buffer is kept up to this size.
const KEEP_BYTES: usize = 2 << 20;

impl LineScratch {
    /// Gives back what an unusually large payload needed.
    pub(crate) fn shrink(&mut self) {
        for buffer in [&mut self.joined, &mut self.long] {
            buffer.clear();
            buffer.shrink_to(KEEP_BYTES);
        }
    }
}

/// Lines that are left for later.
#[derive(Debug)]
pub(crate) struct LinesLeft {
    /// Where they begin in the payload.
    pub(crate) at: usize,
    /// How they stand to an event that is longer than a chunk.
    pub(crate) piece: Piece,
}

impl LinesLeft {
    /// The lines from `at` on, of a payload whose first line is told, or is there.
    fn from(at: usize, piece: Piece) -> Self {
        let piece = if at == 0 { piece } else { Piece { before: 0, inside_line: false, ..piece } };
        Self { at, piece }
    }
}

/// Lines that are looked at together.
const WINDOW: usize = 128 << 10;

/// Decodes whole lines, `before` bytes behind where their payload began. A last one without its newline is an event too.
pub(crate) fn decode<E: Events>(
    limit: LengthLimit,
    scratch: &mut LineScratch,
    (payload, before): (&Bytes, u64),
    piece: Piece,
    events: &mut E,
) -> Option<LinesLeft> {
    if !piece.is_whole() {
        return one_by_one(limit, scratch, (payload, before), piece, 0..payload.len(), events);
    }
    let most = if events.keeps_lines() { usize::MAX } else { WINDOW };
    let mut at = 0;
    while let Some(rest) = payload.get(at..).filter(|rest| !rest.is_empty()) {
        let window = first_lines(rest, most);
        let (newlines, has_return) = survey(window);
        let end = at.saturating_add(window.len());
        if newlines == 0
            || has_return && memmem::find(window, b"\r\n").is_some()
            || has_long_line(window, limit.max)
        {
            let left = one_by_one(limit, scratch, (payload, before), piece, at..end, events);
            if left.is_some() {
                return left;
            }
            at = end;
            continue;
        }
        let Some((window, newlines)) = fitting(window, newlines, events) else {
            return Some(LinesLeft::from(at, piece));
        };
        let end = at.saturating_add(window.len());
        events.at(before.saturating_add(at as u64));
        events.lines(&payload.slice(at..end), newlines);
        at = end;
    }
    None
}

/// Whole lines from the front, of `most` bytes together where one is not longer; what has no newline is the last line.
fn first_lines(bytes: &[u8], most: usize) -> &[u8] {
    let last = memrchr(b'\n', bytes.get(..most).unwrap_or(bytes));
    let end = last.or_else(|| memchr(b'\n', bytes)).map_or(bytes.len(), |at| at + 1);
    bytes.get(..end).unwrap_or(bytes)
}

/// As many of these lines as there is room for, and how many they are.
fn fitting<'l, E: Events>(mut lines: &'l [u8], mut newlines: u64, events: &mut E) -> Option<(&'l [u8], u64)> {
    if events.keeps_lines() {
        return Some((lines, newlines));
    }
    while newlines > 1 && !events.fits(lines.len(), newlines) {
        lines = first_lines(lines, lines.len() / 2);
        newlines = memchr_iter(b'\n', lines).count() as u64;
    }
    let fits = newlines > 1 || events.fits_message(Message::Raw(lines));
    fits.then_some((lines, newlines))
}

/// Decodes those lines of a payload that stand at `range`, each by itself.
fn one_by_one<E: Events>(
    limit: LengthLimit,
    scratch: &mut LineScratch,
    (payload, before): (&[u8], u64),
    piece: Piece,
    range: Range<usize>,
    events: &mut E,
) -> Option<LinesLeft> {
    let mut at = range.start;
    for line in each(payload.get(range).unwrap_or_default()) {
        if !events.fits_message(Message::Raw(line)) {
            return Some(LinesLeft::from(at, piece));
        }
        let is_first = at == 0;
        let begin = before.saturating_add(at as u64);
        at += line.len();
        let part = piece.part(is_first, at == payload.len());
        events.at(begin.wrapping_sub(part.map_or(0, |part| part.offset)));
        limit.apply(Event { part, ..raw(strip(line)) }, &mut scratch.long, events);
    }
    None
}

/// Decodes lines of which one that matches `start` begins an event and others continue it.
pub(crate) fn decode_joined<E: Events>(
    limit: LengthLimit,
    start: &Regex,
    scratch: &mut LineScratch,
    (payload, before): (&Bytes, u64),
    piece: Piece,
    events: &mut E,
) -> Option<LinesLeft> {
    let LineScratch { joined, long } = scratch;
    // Whether there was room for it.
    let mut tell = |begin: usize, event: &[u8], part: Option<Part>| {
        if event.is_empty() {
            return true;
        }
        let fits = events.fits_message(Message::Raw(event));
        if fits {
            let at = before.saturating_add(begin as u64);
            events.at(at.wrapping_sub(part.map_or(0, |part| part.offset)));
            limit.apply(Event { part, ..raw(without_crlf(strip(event), joined)) }, long, events);
        }
        fits
    };
    let (mut begin, mut at) = (0, 0);
    let mut continues = true;
    for line in each(payload) {
        let is_rest = piece.inside_line && at == 0;
        if !is_rest && start.is_match(strip(line)) {
            let event = payload.get(begin..at).unwrap_or_default();
            if !tell(begin, event, piece.part(continues && begin == 0, false)) {
                return Some(LinesLeft::from(begin, piece));
            }
            begin = at;
            // A chunk that begins with a start continues nothing.
            continues = false;
        }
        at += line.len();
    }
    if tell(begin, payload.get(begin..).unwrap_or_default(), piece.part(continues, true)) {
        return None;
    }
    Some(LinesLeft::from(begin, piece))
}

const fn raw(line: &[u8]) -> Event<'_> {
    Event { message: Message::Raw(line), timestamp: None, id: None, part: None }
}

/// The lines of `bytes`, each with its newline.
pub(crate) fn each(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let end = memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
        let (line, after) = rest.split_at_checked(end)?;
        rest = after;
        (!line.is_empty()).then_some(line)
    })
}

/// A line without its `\n` or `\r\n`.
fn strip(line: &[u8]) -> &[u8] {
    match line.strip_suffix(b"\n") {
        Some(line) => line.strip_suffix(b"\r").unwrap_or(line),
        None => line,
    }
}

fn has_crlf(bytes: &[u8]) -> bool {
    // A lone `\r` is rare enough, and one byte is found sooner than two.
    memchr(b'\r', bytes).is_some() && memmem::find(bytes, b"\r\n").is_some()
}

/// How many newlines there are, and whether there is a `\r`: the one look at every byte of plain lines, in a form that the
/// compiler makes wide instructions of.
fn survey(bytes: &[u8]) -> (u64, bool) {
    /// As many as a byte can count.
    const STRETCH: usize = 255;
    const LANES: usize = 64;
    let (mut newlines, mut has_return) = (0, false);
    let (lanes, rest) = bytes.as_chunks::<LANES>();
    for stretch in lanes.chunks(STRETCH) {
        let (mut counts, mut returns) = ([0_u8; LANES], [0_u8; LANES]);
        for chunk in stretch {
            for ((byte, count), found) in chunk.iter().zip(&mut counts).zip(&mut returns) {
                *count = count.wrapping_add(u8::from(*byte == b'\n'));
                *found |= u8::from(*byte == b'\r');
            }
        }
        newlines += counts.into_iter().map(u64::from).sum::<u64>();
        has_return |= returns.into_iter().any(|found| found != 0);
    }
    newlines += memchr_iter(b'\n', rest).count() as u64;
    (newlines, has_return || memchr(b'\r', rest).is_some())
}

/// Looks at one newline in each `max` bytes, not at each line.
fn has_long_line(bytes: &[u8], max: usize) -> bool {
    let mut rest = bytes;
    while let Some((window, _)) = rest.split_at_checked(max.saturating_add(1)) {
        let Some(newline) = memrchr(b'\n', window) else { return true };
        rest = rest.get(newline + 1..).unwrap_or_default();
    }
    rest.len() > max
}

fn without_crlf<'a>(event: &'a [u8], joined: &'a mut Vec<u8>) -> &'a [u8] {
    if !has_crlf(event) {
        return event;
    }
    joined.clear();
    for line in each(event) {
        joined.extend_from_slice(strip(line));
        if line.ends_with(b"\n") {
            joined.push(b'\n');
        }
    }
    joined
}

/// Cuts after the last newline.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LineFraming(pub(crate) LengthLimit);

/// An over-long line that may not be split is cut once it is this many times the longest line.
const HELD_BACK: usize = 4;

impl Framing for LineFraming {
    fn whole(&self, bytes: &[u8], end: bool) -> usize {
        if end {
            return bytes.len();
        }
        if let Some(newline) = memrchr(b'\n', bytes) {
            return newline + 1;
        }
        let max = self.0.max;
        match self.0.too_long {
            // One more may be the `\r` of a `\r\n`.
            TooLong::Split if bytes.len() > max.saturating_add(1) => long::border(bytes, max),
            TooLong::Truncate | TooLong::DeadLetter if bytes.len() > max.saturating_mul(HELD_BACK) => {
                bytes.len()
            }
            TooLong::Split | TooLong::Truncate | TooLong::DeadLetter => 0,
        }
    }

    fn goes_on(&self, taken: &[u8], _rest: &[u8]) -> bool {
        !taken.ends_with(b"\n")
    }
}

/// Cuts before the last line that begins an event.
#[derive(Clone, Debug)]
pub(crate) struct JoinedLineFraming {
    limit: LengthLimit,
    start: Regex,
    patience: Duration,
}

impl JoinedLineFraming {
    pub(crate) fn new(limit: LengthLimit, multiline: &config::Multiline) -> Self {
        Self { limit, start: multiline.start.clone(), patience: multiline.timeout }
    }
}

impl Framing for JoinedLineFraming {
    fn whole(&self, bytes: &[u8], end: bool) -> usize {
        if end {
            return bytes.len();
        }
        // A line without its newline may still grow into a match, or out of one.
        let mut line_end = memrchr(b'\n', bytes).map_or(0, |at| at + 1);
        while let Some(before) = line_end.checked_sub(1) {
            let lines = bytes.get(..before).unwrap_or_default();
            let begin = memrchr(b'\n', lines).map_or(0, |at| at + 1);
            let line = bytes.get(begin..line_end).unwrap_or_default();
            if begin > 0 && self.start.is_match(strip(line)) {
                return begin;
            }
            line_end = begin;
        }
        if bytes.len() > self.limit.max { LineFraming(self.limit).whole(bytes, false) } else { 0 }
    }

    fn goes_on(&self, taken: &[u8], rest: &[u8]) -> bool {
        // What is not known yet is held to go on.
        let begins = || each(rest).next().is_some_and(|line| self.start.is_match(strip(line)));
        !taken.ends_with(b"\n") || !begins()
    }

    fn patience(&self) -> Option<Duration> {
        Some(self.patience)
    }
}
