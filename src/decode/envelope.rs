//! `CloudWatch` Logs subscription envelopes: one pass, any field order, no event copied or unescaped.
//!
//! An envelope is scanned to its end before the first of its events is told, so that none is both told and undecodable.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::escapes::unescape;
use super::gzip;
use super::json::Scanner;
use super::payload::{self, InflateBuffers, OpenedPayload};
use super::strings::{BLOCK, Malformed, Scanned, Specials};
use crate::event::{Event, Events, Field, Message, Origin, Timestamp};

/// So much of an envelope is inflated to find its head.
const HEAD: usize = 4 << 10;

/// Where an event's parts stand in the text.
#[derive(Clone, Debug, Default, PartialEq)]
struct EventSpan {
    id: Range<usize>,
    timestamp: Option<Timestamp>,
    message: Range<usize>,
    /// Whether the message is a string; anything else is passed on as the JSON text it is.
    is_string: bool,
}

/// An envelope's fields beside its events, still escaped.
#[derive(Clone, Copy, Default)]
struct EnvelopeHead<'a> {
    message_type: Option<&'a str>,
    owner: Option<&'a str>,
    log_group: Option<&'a str>,
    log_stream: Option<&'a str>,
    has_events: bool,
}

/// Buffers, used again from payload to payload.
#[derive(Debug, Default)]
pub(crate) struct EnvelopeScratch {
    spans: Vec<EventSpan>,
    last_origin: Option<LastOrigin>,
}

/// So many spans are kept room for.
const KEEP_SPANS: usize = 64 << 10;

impl EnvelopeScratch {
    /// Gives back what an unusually large payload needed.
    pub(crate) fn shrink(&mut self) {
        self.spans.clear();
        self.spans.shrink_to(KEEP_SPANS);
    }
}

/// What one JSON value turned out to be.
enum ScannedValue<'a> {
    Data(EnvelopeHead<'a>),
    /// A test of the way by `CloudWatch` Logs: nothing to ship.
    Control,
    Other,
}

/// Decodes a payload of any number of envelopes.
pub(crate) fn decode<E: Events>(
    max: usize,
    buffers: &mut InflateBuffers,
    scratch: &mut EnvelopeScratch,
    origin: &Arc<Origin>,
    payload: &Bytes,
    events: &mut E,
) {
    let wants = events.wants();
    let refuse = |events: &mut E, reason| {
        events.origin(origin);
        events.undecodable(reason, payload);
    };
    let bare = match payload::armoured(payload) {
        Ok(bare) => bare,
        Err(reason) => return refuse(events, reason),
    };
    if !wants.events && wants.envelopes && pass_through(buffers, scratch, origin, &bare, events) {
        return;
    }
    let EnvelopeScratch { spans, last_origin } = scratch;
    match payload::open(&bare, max, buffers) {
        Ok(opened) => {
            let mut walk = EnvelopeWalk { opened, payload, origin, spans, last_origin, events };
            walk.all();
        }
        Err(reason) => refuse(events, reason),
    }
}

/// Tells a gzipped envelope by its head alone. False: the head does not hold enough.
fn pass_through<E: Events>(
    buffers: &mut InflateBuffers,
    scratch: &mut EnvelopeScratch,
    origin: &Arc<Origin>,
    gz: &Bytes,
    events: &mut E,
) -> bool {
    if !gzip::is_gzip(gz) {
        return false;
    }
    let mut space = [0; HEAD];
    let Some(inflated) = buffers.inflater.head(gz, &mut space) else { return false };
    // A character may be cut at the end.
    let text = match str::from_utf8(inflated) {
        Ok(text) => text,
        Err(error) => {
            inflated.get(..error.valid_up_to()).and_then(|valid| str::from_utf8(valid).ok()).unwrap_or("")
        }
    };
    let mut head = EnvelopeHead::default();
    // An error is where the head ends; what was found until then counts.
    let mut scanner = Scanner::new(text);
    scanner.object(|scanner, name| head.field(scanner, name, |_| Err(Malformed))).ok();
    if scanner.at() >= text.len() {
        // The last value may be a number that was cut.
        return false;
    }
    let Some(kind) = head.message_type else { return false };
    if kind != "DATA_MESSAGE" {
        // A control message says so in its head; anything else is looked at whole.
        return kind == "CONTROL_MESSAGE";
    }
    if head.owner.is_none() || head.log_group.is_none() || head.log_stream.is_none() {
        return false;
    }
    let origin = head.origin(origin, &mut scratch.last_origin);
    events.origin(&origin);
    events.envelope(gz);
    true
}

/// One payload, envelope by envelope.
struct EnvelopeWalk<'a, E> {
    opened: OpenedPayload<'a>,
    payload: &'a Bytes,
    origin: &'a Arc<Origin>,
    spans: &'a mut Vec<EventSpan>,
    last_origin: &'a mut Option<LastOrigin>,
    events: &'a mut E,
}

impl<E: Events> EnvelopeWalk<'_, E> {
    fn all(&mut self) {
        let mut scanner = Scanner::new(self.opened.text);
        while scanner.peek().is_some() {
            let start = scanner.at();
            match scan(&mut scanner, self.spans) {
                Ok(found) => self.tell(&found, start..scanner.at()),
                Err(Malformed) => return self.refuse("json", start..self.opened.text.len()),
            }
        }
    }

    fn tell(&mut self, found: &ScannedValue<'_>, range: Range<usize>) {
        match found {
            ScannedValue::Data(head) if !self.spans.is_empty() => {
                let origin = head.origin(self.origin, self.last_origin);
                self.events.origin(&origin);
                let wants = self.events.wants();
                if wants.events {
                    self.tell_events();
                }
                if wants.envelopes {
                    let envelope = self.gzipped(range);
                    self.events.envelope(&envelope);
                }
            }
            ScannedValue::Data(_) | ScannedValue::Control => {}
            ScannedValue::Other => self.refuse("not_envelope", range),
        }
    }

    fn tell_events(&mut self) {
        let text = self.opened.text;
        for span in self.spans.iter() {
            let message = text.get(span.message.clone()).unwrap_or_default();
            let message =
                if span.is_string { Message::Escaped(message) } else { Message::Raw(message.as_bytes()) };
            let id = text.get(span.id.clone()).filter(|id| !id.is_empty());
            self.events.event(Event { message, timestamp: span.timestamp, id, part: None });
        }
    }

    /// The envelope at `range` as it came, where it came gzipped and alone.
    fn gzipped(&self, range: Range<usize>) -> Bytes {
        let text = self.opened.text;
        let alone = self.is_all(&range);
        match &self.opened.gz {
            Some(gz) if alone => gz.clone(),
            _ => gzip::deflate(text.get(range).unwrap_or_default().as_bytes()),
        }
    }

    /// Whether nothing but white space is beside `range`.
    fn is_all(&self, range: &Range<usize>) -> bool {
        let blank = |text: Option<&str>| text.is_some_and(|text| text.trim_ascii().is_empty());
        blank(self.opened.text.get(..range.start)) && blank(self.opened.text.get(range.end..))
    }

    /// The payload as it came where none of it was told, else the part of its text.
    fn refuse(&mut self, reason: &'static str, range: Range<usize>) {
        self.events.origin(self.origin);
        if self.is_all(&range) {
            self.events.undecodable(reason, self.payload);
        } else {
            let part = self.opened.text.get(range).unwrap_or_default();
            self.events.undecodable(reason, part.as_bytes());
        }
    }
}

/// Reads one JSON value; its events' spans are left in `spans`.
fn scan<'a>(scanner: &mut Scanner<'a>, spans: &mut Vec<EventSpan>) -> Scanned<ScannedValue<'a>> {
    spans.clear();
    if scanner.peek() != Some(b'{') {
        return scanner.value().map(|_| ScannedValue::Other);
    }
    let mut head = EnvelopeHead::default();
    let mut shaped = true;
    scanner.object(|scanner, name| {
        head.field(scanner, name, |scanner| {
            // Given twice, the last one counts.
            spans.clear();
            shaped = log_events(scanner, spans)?;
            Ok(())
        })
    })?;
    let is_control = head.message_type.is_some_and(|kind| unescape(kind) == "CONTROL_MESSAGE");
    Ok(match is_control {
        _ if !head.has_events || !shaped => ScannedValue::Other,
        true => ScannedValue::Control,
        false => ScannedValue::Data(head),
    })
}

impl<'a> EnvelopeHead<'a> {
    /// Reads one field's value; `log_events` that of `logEvents`.
    fn field(
        &mut self,
        scanner: &mut Scanner<'a>,
        name: &str,
        mut log_events: impl FnMut(&mut Scanner<'a>) -> Scanned,
    ) -> Scanned {
        match unescape(name).as_ref() {
            "messageType" => self.message_type = Some(scalar(scanner)?),
            "owner" => self.owner = Some(scalar(scanner)?),
            "logGroup" => self.log_group = Some(scalar(scanner)?),
            "logStream" => self.log_stream = Some(scalar(scanner)?),
            "logEvents" => {
                self.has_events = true;
                log_events(scanner)?;
            }
            _ => drop(scanner.value()?),
        }
        Ok(())
    }

    /// The origin of the envelope's events; the last one again where nothing differs.
    fn origin(&self, base: &Arc<Origin>, last: &mut Option<LastOrigin>) -> Arc<Origin> {
        let [owner, group, stream] =
            [self.owner, self.log_group, self.log_stream].map(|field| unescape(field.unwrap_or_default()));
        if let Some(last) = last {
            let is = |field, value: &str| last.origin.text(field) == value;
            let same =
                is(Field::Owner, &owner) && is(Field::LogGroup, &group) && is(Field::LogStream, &stream);
            if same && (Arc::ptr_eq(&last.base, base) || last.base == *base) {
                return Arc::clone(&last.origin);
            }
        }
        let mut origin = Origin::clone(base);
        for (field, value) in [(Field::Owner, &owner), (Field::LogGroup, &group), (Field::LogStream, &stream)]
        {
            origin.fields.set(field, (!value.is_empty()).then(|| Arc::from(&**value)));
        }
        let origin = Arc::new(origin);
        *last = Some(LastOrigin { base: Arc::clone(base), origin: Arc::clone(&origin) });
        origin
    }
}

/// The origin last made, and what it was made from.
#[derive(Debug)]
struct LastOrigin {
    base: Arc<Origin>,
    origin: Arc<Origin>,
}

/// A string's inside, or a number's digits; nothing for anything else.
fn scalar<'a>(scanner: &mut Scanner<'a>) -> Scanned<&'a str> {
    match scanner.peek() {
        Some(b'"') => scanner.string(),
        Some(b'-' | b'0'..=b'9') => scanner.value(),
        _ => scanner.value().map(|_| ""),
    }
}

/// Reads the events. False: it is JSON, but not a list of events that each have a message.
fn log_events(scanner: &mut Scanner<'_>, spans: &mut Vec<EventSpan>) -> Scanned<bool> {
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
        if widest::usual_events(scanner, spans) {
            return Ok(());
        }
        let span = log_event(scanner)?;
        shaped &= span.is_string || !span.message.is_empty();
        spans.push(span);
        Ok(())
    })?;
    Ok(shaped)
}

/// Reads events in the shape that `CloudWatch` Logs writes, up to one in another, or the last. Whether there was any.
#[expect(clippy::inline_always, reason = "as in `strings::end_with`")]
#[inline(always)]
fn usual_events(
    scanner: &mut Scanner<'_>,
    spans: &mut Vec<EventSpan>,
    find: impl Fn(&[u8; BLOCK]) -> Specials + Copy,
) -> bool {
    let Ok(first) = usual_event(scanner, find) else { return false };
    spans.push(first);
    loop {
        let mut ahead = scanner.clone();
        let Ok(span) = ahead.literal(b",").and_then(|()| usual_event(&mut ahead, find)) else { return true };
        spans.push(span);
        *scanner = ahead;
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
        id: ahead.range(id),
        timestamp: Some(Timestamp(timestamp)),
        message: ahead.range(message),
        is_string: true,
    };
    *scanner = ahead;
    Ok(span)
}

/// The usual events, by the widest instructions that the CPU has.
#[cfg_attr(
    target_arch = "x86_64",
    expect(clippy::used_underscore_binding, reason = "by a macro: its token only proves what the CPU has")
)]
mod widest {
    use super::{BLOCK, EventSpan, Scanner, Specials};

    /// See [`super::usual_events`].
    pub(super) fn usual_events(scanner: &mut Scanner<'_>, spans: &mut Vec<EventSpan>) -> bool {
        #[cfg(target_arch = "x86_64")]
        if let Some(token) = <archmage::X64V4Token as archmage::SimdToken>::summon() {
            return with_avx512(token, scanner, spans);
        }
        super::usual_events(scanner, spans, Specials::new)
    }

    #[cfg(target_arch = "x86_64")]
    #[archmage::arcane]
    fn with_avx512(
        _token: archmage::X64V4Token,
        scanner: &mut Scanner<'_>,
        spans: &mut Vec<EventSpan>,
    ) -> bool {
        use archmage::intrinsics::x86_64::{
            _mm512_cmpeq_epi8_mask, _mm512_cmplt_epu8_mask, _mm512_loadu_si512, _mm512_set1_epi8,
        };
        super::usual_events(scanner, spans, |block: &[u8; BLOCK]| {
            let bytes = _mm512_loadu_si512(block);
            let each = |byte: u8| _mm512_set1_epi8(byte.cast_signed());
            Specials {
                quotes: _mm512_cmpeq_epi8_mask(bytes, each(b'"')),
                backslashes: _mm512_cmpeq_epi8_mask(bytes, each(b'\\')),
                controls: _mm512_cmplt_epu8_mask(bytes, each(b' ')),
            }
        })
    }
}

fn log_event(scanner: &mut Scanner<'_>) -> Scanned<EventSpan> {
    let mut span = EventSpan::default();
    scanner.object(|scanner, name| {
        match unescape(name).as_ref() {
            "id" => span.id = scalar(scanner).map(|id| scanner.range(id))?,
            "timestamp" => span.timestamp = milliseconds(scalar(scanner)?),
            "message" => {
                span.is_string = scanner.peek() == Some(b'"');
                let text = if span.is_string { scanner.string()? } else { scanner.value()? };
                span.message = scanner.range(text);
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
            let read = |usual: fn(&mut Scanner<'_>, &mut Vec<EventSpan>) -> bool| {
                let (mut scanner, mut spans) = (Scanner::new(&text), Vec::new());
                (usual(&mut scanner, &mut spans), scanner.at(), spans)
            };
            let plain = read(|scanner, spans| usual_events(scanner, spans, Specials::new));
            prop_assert_eq!(read(widest::usual_events), plain);
        }
    }
}
