//! The `logEvents` of an envelope: where each event's parts stand in the text.

use std::num::NonZeroU32;
use std::ops::Range;

use standpipe_simd::{BLOCK, BlockScan, Specials};

use super::escapes::unescape;
use super::json::Scanner;
use super::strings::Scanned;
use crate::event::Timestamp;

/// Where an event's parts stand in the text.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct EventSpan {
    /// Where it begins.
    pub(super) start: usize,
    pub(super) id: Range<usize>,
    pub(super) timestamp: Option<Timestamp>,
    pub(super) message: Range<usize>,
    /// Whether the message is a string; anything else is passed on as the JSON text it is.
    pub(super) is_string: bool,
    /// Where its extracted fields begin, if it has any. A text is at most 4 GiB.
    pub(super) extracted_at: Option<NonZeroU32>,
}

/// The events of an envelope; of one that has very many, the first.
#[derive(Debug, Default)]
pub(super) struct EventSpans {
    spans: Vec<EventSpan>,
    /// Where the first event begins that is not among them.
    more_at: Option<usize>,
}

/// Most spans that are kept at a time, so that what is kept for tiny events stays small.
const MOST_SPANS: usize = 16 << 10;

impl EventSpans {
    pub(super) fn clear(&mut self) {
        self.spans.clear();
        self.more_at = None;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &EventSpan> {
        self.spans.iter()
    }

    pub(super) const fn more_at(&self) -> Option<usize> {
        self.more_at
    }

    fn add(&mut self, span: EventSpan) {
        if self.is_full() {
            self.more_at.get_or_insert(span.start);
        } else {
            self.spans.push(span);
        }
    }

    fn is_full(&self) -> bool {
        self.spans.len() >= MOST_SPANS
    }
}

/// Reads on in a list of events that was read before, at the beginning of one. True: more follow than are kept at a time.
pub(super) fn more_events(scanner: &mut Scanner<'_>, spans: &mut EventSpans) -> bool {
    spans.clear();
    while scanner.peek() == Some(b'{') {
        if !standpipe_simd::scan(UsualEvents { scanner, spans, fills: true }) {
            let Ok(span) = log_event(scanner) else { return false };
            spans.add(span);
        }
        if !scanner.takes(b',') {
            return false;
        }
        if spans.is_full() {
            return true;
        }
    }
    false
}

/// Reads the events. False: it is JSON, but not a list of events that each have a message.
pub(super) fn log_events(scanner: &mut Scanner<'_>, spans: &mut EventSpans) -> Scanned<bool> {
    if scanner.peek() != Some(b'[') {
        scanner.value()?;
        return Ok(false);
    }
    let mut shaped = true;
    scanner.array(|scanner| {
        if scanner.peek() != Some(b'{') {
            shaped = false;
            return scanner.value().map(drop);
        }
        if standpipe_simd::scan(UsualEvents { scanner, spans, fills: false }) {
            return Ok(());
        }
        let span = log_event(scanner)?;
        shaped &= span.is_string || !span.message.is_empty();
        spans.add(span);
        Ok(())
    })?;
    Ok(shaped)
}

/// Reads events in the shape that `CloudWatch` Logs writes, up to one in another, or the last. Whether there was any.
struct UsualEvents<'s, 'a> {
    scanner: &'s mut Scanner<'a>,
    spans: &'s mut EventSpans,
    /// Whether to stop when no more spans are kept.
    fills: bool,
}

impl BlockScan for UsualEvents<'_, '_> {
    type Output = bool;

    #[expect(clippy::inline_always, reason = "as in `strings::end_with`")]
    #[inline(always)]
    fn run(self, find: impl Fn(&[u8; BLOCK]) -> Specials + Copy) -> bool {
        let Self { scanner, spans, fills } = self;
        let Ok(first) = usual_event(scanner, find) else { return false };
        spans.add(first);
        loop {
            if fills && spans.is_full() {
                return true;
            }
            let mut ahead = scanner.clone();
            let Ok(span) = ahead.literal(b",").and_then(|()| usual_event(&mut ahead, find)) else {
                return true;
            };
            spans.add(span);
            *scanner = ahead;
        }
    }
}

/// Reads an event in the shape that `CloudWatch` Logs writes, letter for letter. Any other is left unread.
#[expect(clippy::inline_always, reason = "as in `strings::end_with`")]
#[inline(always)]
fn usual_event(
    scanner: &mut Scanner<'_>,
    find: impl Fn(&[u8; BLOCK]) -> Specials + Copy,
) -> Scanned<EventSpan> {
    let mut ahead = scanner.clone();
    ahead.literal(b"{\"id\":\"")?;
    let id = ahead.inside_with(find)?;
    ahead.literal(b",\"timestamp\":")?;
    let timestamp = ahead.short_number()?;
    ahead.literal(b",\"message\":\"")?;
    let message = ahead.inside_with(find)?;
    ahead.literal(b"}")?;
    let span = EventSpan {
        start: scanner.at(),
        id: ahead.range(id),
        timestamp: Some(Timestamp(timestamp)),
        message: ahead.range(message),
        is_string: true,
        extracted_at: None,
    };
    *scanner = ahead;
    Ok(span)
}

fn log_event(scanner: &mut Scanner<'_>) -> Scanned<EventSpan> {
    scanner.peek();
    let mut span = EventSpan { start: scanner.at(), ..EventSpan::default() };
    scanner.object(|scanner, name| {
        match unescape(name).as_ref() {
            "id" => span.id = scalar(scanner).map(|id| scanner.range(id))?,
            "timestamp" => span.timestamp = milliseconds(scalar(scanner)?),
            "message" => {
                span.is_string = scanner.peek() == Some(b'"');
                let text = if span.is_string { scanner.string()? } else { scanner.value()? };
                span.message = scanner.range(text);
            }
            "extractedFields" => {
                let fields = scanner.value()?;
                let at = scanner.range(fields).start;
                span.extracted_at = u32::try_from(at).ok().and_then(NonZeroU32::new);
            }
            _ => drop(scanner.value()?),
        }
        Ok(())
    })?;
    Ok(span)
}

/// A whole number of milliseconds, also where it is written as a string or with a fraction.
fn milliseconds(number: &str) -> Option<Timestamp> {
    let whole = number.split_once('.').map_or(number, |(whole, _)| whole);
    whole.parse().ok().map(Timestamp)
}

/// A string's inside, or a number's digits; nothing for anything else.
pub(super) fn scalar<'a>(scanner: &mut Scanner<'a>) -> Scanned<&'a str> {
    match scanner.peek() {
        Some(b'"') => scanner.string(),
        Some(b'-' | b'0'..=b'9') => scanner.value(),
        _ => scanner.value().map(|_| ""),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever the machine has: the widest instructions find what those that every machine has find.
        #[test]
        fn events_are_found_alike_by_any_instructions(
            events in prop::collection::vec(("[0-9a]{0,70}", any::<u32>(), "[ -~é]{0,150}|(\\\\[nt\"\\\\]|a){0,90}"), 1..6),
            damage in prop::option::of((any::<prop::sample::Index>(), "[\\\\\",x\x01]")),
        ) {
            let event = |(id, time, message): &(String, u32, String)| {
                format!(r#"{{"id":"{id}","timestamp":{time},"message":"{message}"}}"#)
            };
            let mut text = events.iter().map(event).collect::<Vec<_>>().join(",");
            if let Some((at, byte)) = damage {
                let (at, _) = text.char_indices().nth(at.index(text.chars().count())).unwrap();
                text.insert_str(at, &byte);
            }
            let read = |scan: fn(UsualEvents<'_, '_>) -> bool| {
                let (mut scanner, mut spans) = (Scanner::new(&text), EventSpans::default());
                let usual = UsualEvents { scanner: &mut scanner, spans: &mut spans, fills: false };
                (scan(usual), scanner.at(), spans.spans)
            };
            let plain = read(|usual| usual.run(Specials::find));
            prop_assert_eq!(read(|usual| standpipe_simd::scan(usual)), plain);
        }
    }
}
