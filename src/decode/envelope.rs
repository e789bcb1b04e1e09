//! `CloudWatch` Logs subscription envelopes: one pass, any field order, no event copied or unescaped.
//!
//! What the scan refuses is looked at once more with its bad characters replaced (`repair`), so that one of them does not cost an
//! envelope. An envelope is scanned to its end before the first of its events is told, so that none is both told and undecodable.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::envelope_head::{EnvelopeHead, LastOrigin, pass_through};
use super::escapes::unescape;
use super::extracted::{self, ExtractedOrigin};
use super::gzip;
use super::json::Scanner;
use super::log_events::{EventSpans, log_events, more_events};
use super::payload::{self, InflateBuffers, NotOpened, OpenedPayload};
use super::repair;
use super::strings::{Malformed, Scanned};
use crate::event::{Event, Events, Message, Origin};

/// Buffers, used again from payload to payload.
#[derive(Debug, Default)]
pub(crate) struct EnvelopeScratch {
    spans: EventSpans,
    last_origin: Option<LastOrigin>,
    last_extracted: Option<ExtractedOrigin>,
}

/// What is left of a payload for later.
#[derive(Debug)]
pub(crate) struct EnvelopesLeft {
    payload: Bytes,
    /// The payload without its layers.
    opened: Bytes,
    gz: Option<Bytes>,
    /// Where the next value begins.
    at: usize,
    /// The envelope whose events are not all told.
    begun: Option<BegunEnvelope>,
}

/// An envelope of which some events are told.
#[derive(Debug)]
struct BegunEnvelope {
    /// Its text was repaired; none: it stands in the payload.
    repaired: Option<Bytes>,
    /// Where the first event begins that is not told, in its text.
    next: usize,
    /// Where the envelope stands in the payload.
    range: Range<usize>,
    origin: Arc<Origin>,
}

/// Where a walk stops for later.
struct Pause {
    at: usize,
    begun: Option<BegunEnvelope>,
}

impl Pause {
    /// Before the value that begins there.
    const fn before(at: usize) -> Self {
        Self { at, begun: None }
    }

    /// The envelope's text begins at `start` of the text that its events were found in.
    fn counted_from(mut self, start: usize) -> Self {
        if let Some(begun) = &mut self.begun {
            begun.next = begun.next.saturating_sub(start);
        }
        self
    }

    /// Its events were found in this text.
    fn in_repaired(mut self, text: &str) -> Self {
        if let Some(begun) = &mut self.begun {
            begun.repaired = Some(Bytes::copy_from_slice(text.as_bytes()));
        }
        self
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
///
/// # Errors
/// When there is no memory to open it now.
pub(crate) fn decode<E: Events>(
    max: usize,
    buffers: &mut InflateBuffers,
    scratch: &mut EnvelopeScratch,
    origin: &Arc<Origin>,
    payload: &Bytes,
    events: &mut E,
) -> Result<Option<EnvelopesLeft>, NotOpened> {
    let wants = events.wants();
    let refuse = |events: &mut E, reason| {
        events.origin(origin);
        events.undecodable(reason, payload);
        Ok(None)
    };
    let bare = match payload::armoured(payload) {
        Ok(bare) => bare,
        Err(reason) => return refuse(events, reason),
    };
    if !wants.events
        && wants.envelopes
        && pass_through(buffers, &mut scratch.last_origin, origin, &bare, events)
    {
        return Ok(None);
    }
    let opened = match payload::open(&bare, max, buffers, &mut |bytes| events.may_take(bytes)) {
        Ok(opened) => opened,
        Err(NotOpened::Refused(reason)) => return refuse(events, reason),
        Err(NotOpened::NoRoom) => return Err(NotOpened::NoRoom),
    };
    let (len, place, gz) = (opened.bytes.len(), opened.place, opened.gz.clone());
    let mut walk = EnvelopeWalk::new(opened, payload, origin, scratch, events);
    let Err(Pause { at, begun }) = walk.all(0) else { return Ok(None) };
    let opened = place.map_or_else(|| bare.clone(), |place| buffers.take(place, len));
    Ok(Some(EnvelopesLeft { payload: payload.clone(), opened, gz, at, begun }))
}

impl EnvelopesLeft {
    /// Goes on where the last step stopped; what is still left.
    pub(crate) fn decode<E: Events>(
        mut self,
        buffers: &mut InflateBuffers,
        scratch: &mut EnvelopeScratch,
        origin: &Arc<Origin>,
        events: &mut E,
    ) -> Option<Self> {
        let opened = OpenedPayload { bytes: &self.opened, place: None, gz: self.gz.clone() };
        let mut walk = EnvelopeWalk::new(opened, &self.payload, origin, scratch, events);
        let told = match self.begun.take() {
            Some(begun) => walk.go_on(begun).and_then(|at| walk.all(at)),
            None => walk.all(self.at),
        };
        let Err(Pause { at, begun }) = told else {
            drop(self.payload);
            buffers.give_back(self.opened);
            return None;
        };
        Some(Self { at, begun, ..self })
    }
}

/// One payload, envelope by envelope.
struct EnvelopeWalk<'a, E> {
    opened: OpenedPayload<'a>,
    /// All of it, where it is UTF-8.
    text: Option<&'a str>,
    payload: &'a Bytes,
    origin: &'a Arc<Origin>,
    spans: &'a mut EventSpans,
    last_origin: &'a mut Option<LastOrigin>,
    last_extracted: &'a mut Option<ExtractedOrigin>,
    events: &'a mut E,
    /// Where the text stands that is told at present.
    text_at: usize,
}

impl<'a, E: Events> EnvelopeWalk<'a, E> {
    fn new(
        opened: OpenedPayload<'a>,
        payload: &'a Bytes,
        origin: &'a Arc<Origin>,
        scratch: &'a mut EnvelopeScratch,
        events: &'a mut E,
    ) -> Self {
        let EnvelopeScratch { spans, last_origin, last_extracted } = scratch;
        let text = opened.text().ok();
        Self { opened, text, payload, origin, spans, last_origin, last_extracted, events, text_at: 0 }
    }

    /// Tells each value from `at` on.
    fn all(&mut self, mut at: usize) -> Result<(), Pause> {
        let bytes = self.opened.bytes;
        while at < bytes.len() {
            let text = self.text_from(at);
            at = match self.fast(text, at)? {
                Some(bad) => match self.repaired(bad)? {
                    Some(end) => end,
                    None => return self.refuse(self.reason(bad), bad..bytes.len()),
                },
                None if text.is_empty() => return self.refuse("utf8", at..bytes.len()),
                None => at.saturating_add(text.len()),
            };
        }
        Ok(())
    }

    /// Tells the rest of an envelope, and returns where it ends.
    fn go_on(&mut self, begun: BegunEnvelope) -> Result<usize, Pause> {
        let BegunEnvelope { repaired, next, range, origin } = begun;
        self.events.origin(&origin);
        self.text_at = range.start;
        let end = range.end;
        let text = repaired.as_deref().or_else(|| self.opened.bytes.get(range.clone()));
        let text = text.and_then(|text| simdutf8::basic::from_utf8(text).ok()).unwrap_or_default();
        if let Some(next) = self.tell_more(text, next, &origin) {
            return Err(Pause { at: end, begun: Some(BegunEnvelope { repaired, next, range, origin }) });
        }
        self.tell_whole(range);
        Ok(end)
    }

    /// What is text from here on; where the payload is not UTF-8, up to where it is not.
    fn text_from(&self, at: usize) -> &'a str {
        if let Some(text) = self.text {
            return text.get(at..).unwrap_or_default();
        }
        let bytes = self.opened.bytes.get(at..).unwrap_or_default();
        let valid = match simdutf8::compat::from_utf8(bytes) {
            Ok(text) => return text,
            Err(error) => error.valid_up_to(),
        };
        bytes.get(..valid).and_then(|valid| str::from_utf8(valid).ok()).unwrap_or_default()
    }

    /// Tells each value of a text that stands at `from`; where one begins that is malformed.
    fn fast(&mut self, text: &str, from: usize) -> Result<Option<usize>, Pause> {
        self.text_at = from;
        let mut scanner = Scanner::new(text);
        while scanner.peek().is_some() {
            let start = scanner.at();
            let range = |end: usize| from.saturating_add(start)..from.saturating_add(end);
            match scan(&mut scanner, self.spans) {
                Ok(found) => {
                    let told = self.tell(&found, text, range(scanner.at()));
                    told.map_err(|pause| pause.counted_from(start))?;
                }
                Err(Malformed) => return Ok(Some(range(start).start)),
            }
        }
        Ok(None)
    }

    /// Tells the value that begins at `start` with its bad characters replaced, and returns where it ends; none: there is more
    /// wrong with it.
    #[cold]
    fn repaired(&mut self, start: usize) -> Result<Option<usize>, Pause> {
        let Some(rest) = self.opened.bytes.get(start..) else { return Ok(None) };
        let mark = repair::BYTE_ORDER_MARK.as_bytes();
        if rest.starts_with(mark) {
            return Ok(Some(start.saturating_add(mark.len())));
        }
        if !rest.starts_with(b"{") {
            return Ok(None);
        }
        let Some(value) = repair::object_end(rest).and_then(|end| rest.get(..end)) else { return Ok(None) };
        if !self.events.may_take(value.len()) {
            return Err(Pause::before(start));
        }
        let Some(text) = repair::repair(value) else { return Ok(None) };
        self.text_at = start;
        let mut scanner = Scanner::new(&text);
        let Ok(found) = scan(&mut scanner, self.spans) else { return Ok(None) };
        if scanner.peek().is_some() {
            return Ok(None);
        }
        if matches!(found, ScannedValue::Data(head) if head.names_fit()) && self.events.wants().events {
            let messages = self.spans.iter().map(|span| span.message.clone());
            self.events.repaired(repair::count_repaired(value, messages));
        }
        let end = start.saturating_add(value.len());
        let told = self.tell(&found, &text, start..end);
        told.map_err(|pause| pause.in_repaired(&text))?;
        Ok(Some(end))
    }

    /// Why what begins at `start` is refused.
    fn reason(&self, start: usize) -> &'static str {
        let rest = self.opened.bytes.get(start..).unwrap_or_default();
        if simdutf8::basic::from_utf8(rest).is_ok() { "json" } else { "utf8" }
    }

    /// Tells a value of this text, which stands at `range`.
    fn tell(&mut self, found: &ScannedValue<'_>, text: &str, range: Range<usize>) -> Result<(), Pause> {
        match found {
            ScannedValue::Data(head) if !self.spans.is_empty() => {
                if !head.names_fit() {
                    return self.refuse("name_too_long", range);
                }
                let origin = head.origin(self.origin, self.last_origin);
                self.events.origin(&origin);
                if let Some(next) = self.tell_events(text, &origin) {
                    let begun = BegunEnvelope { repaired: None, next, range, origin };
                    return Err(Pause { at: begun.range.end, begun: Some(begun) });
                }
                self.tell_whole(range);
                Ok(())
            }
            ScannedValue::Data(_) | ScannedValue::Control => Ok(()),
            ScannedValue::Other => self.refuse("not_envelope", range),
        }
    }

    /// Tells the events of an envelope that was read, if events are wanted. Returns where the first begins that is left for later.
    fn tell_events(&mut self, text: &str, envelope: &Arc<Origin>) -> Option<usize> {
        if !self.events.wants().events {
            return None;
        }
        self.tell_spans(text, envelope).or_else(|| self.tell_more(text, self.spans.more_at()?, envelope))
    }

    /// Tells those that begin at `next` and behind it.
    fn tell_more(&mut self, text: &str, next: usize, envelope: &Arc<Origin>) -> Option<usize> {
        let mut scanner = Scanner::from(text, next);
        loop {
            let goes_on = more_events(&mut scanner, self.spans);
            let left = self.tell_spans(text, envelope);
            if left.is_some() || !goes_on {
                return left;
            }
        }
    }

    /// Tells those that were found last. One whose extracted fields say so is of another account or region than its envelope.
    fn tell_spans(&mut self, text: &str, envelope: &Arc<Origin>) -> Option<usize> {
        let mut is_own = false;
        for span in self.spans.iter() {
            let message = text.get(span.message.clone()).unwrap_or_default();
            let message =
                if span.is_string { Message::Escaped(message) } else { Message::Raw(message.as_bytes()) };
            if !self.events.fits_message(message) {
                return Some(span.start);
            }
            if let Some(at) = span.extracted_at {
                let at = usize::try_from(at.get()).unwrap_or(usize::MAX);
                self.events.origin(&extracted::origin(text, at, envelope, self.last_extracted));
                is_own = true;
            } else if std::mem::take(&mut is_own) {
                self.events.origin(envelope);
            }
            let id = text.get(span.id.clone()).filter(|id| !id.is_empty());
            self.events.at(self.text_at.saturating_add(span.start) as u64);
            self.events.event(Event { message, timestamp: span.timestamp, id, part: None });
        }
        if is_own {
            self.events.origin(envelope);
        }
        None
    }

    /// Tells the envelope at `range` as a whole, if envelopes are wanted.
    fn tell_whole(&mut self, range: Range<usize>) {
        if self.events.wants().envelopes {
            let envelope = self.gzipped(range);
            self.events.envelope(&envelope);
        }
    }

    /// The envelope at `range` as it came, where it came gzipped and alone.
    fn gzipped(&self, range: Range<usize>) -> Bytes {
        let alone = self.is_all(&range);
        match &self.opened.gz {
            Some(gz) if alone => gz.clone(),
            _ => gzip::deflate(self.opened.bytes.get(range).unwrap_or_default()),
        }
    }

    /// Whether nothing but white space is beside `range`.
    fn is_all(&self, range: &Range<usize>) -> bool {
        let blank = |bytes: Option<&[u8]>| bytes.is_some_and(|bytes| bytes.trim_ascii().is_empty());
        let bytes = self.opened.bytes;
        blank(bytes.get(..range.start)) && blank(bytes.get(range.end..))
    }

    /// The payload as it came where none of it was told, else the part of its text.
    fn refuse(&mut self, reason: &'static str, range: Range<usize>) -> Result<(), Pause> {
        if !self.events.fits(range.len(), 1) {
            return Err(Pause::before(range.start));
        }
        self.events.origin(self.origin);
        if self.is_all(&range) && !self.events.opens_refused() {
            self.events.undecodable(reason, self.payload);
        } else {
            self.events.undecodable(reason, self.opened.bytes.get(range).unwrap_or_default());
        }
        Ok(())
    }
}

/// Reads one JSON value; its events' spans are left in `spans`.
fn scan<'a>(scanner: &mut Scanner<'a>, spans: &mut EventSpans) -> Scanned<ScannedValue<'a>> {
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
        // It ships nothing, whether it says so or not.
        true if shaped => ScannedValue::Control,
        _ if !head.has_events || !shaped => ScannedValue::Other,
        _ => ScannedValue::Data(head),
    })
}
