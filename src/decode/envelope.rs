//! `CloudWatch` Logs subscription envelopes: one pass, any field order, no event copied or unescaped.
//!
//! What the scan refuses is looked at once more with its bad characters replaced (`repair`), so that one of them does not cost an
//! envelope. An envelope is scanned to its end before the first of its events is told, so that none is both told and undecodable.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::escapes::unescape;
use super::extracted::{self, ExtractedOrigin};
use super::gzip;
use super::json::Scanner;
use super::log_events::{EventSpan, log_events, scalar};
use super::payload::{self, InflateBuffers, OpenedPayload};
use super::repair;
use super::strings::{Malformed, Scanned};
use crate::event::{Event, Events, Field, Message, Origin};

/// The bytes of an envelope that are inflated to find its head.
const HEAD: usize = 4 << 10;

/// Most characters of a name: AWS allows so many for log groups and streams
/// (<https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_LogGroup.html>). What names an envelope is kept,
/// and written with each of its events.
const MOST_NAME: usize = 512;

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
    last_extracted: Option<ExtractedOrigin>,
}

/// Room for this many spans is kept.
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
    let EnvelopeScratch { spans, last_origin, last_extracted } = scratch;
    match payload::open(&bare, max, buffers) {
        Ok(opened) => {
            let text = opened.text().ok();
            let mut walk =
                EnvelopeWalk { opened, text, payload, origin, spans, last_origin, last_extracted, events };
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
    let is_complete = head.owner.is_some() && head.log_group.is_some() && head.log_stream.is_some();
    if !is_complete || !head.names_fit() {
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
    /// All of it, where it is UTF-8.
    text: Option<&'a str>,
    payload: &'a Bytes,
    origin: &'a Arc<Origin>,
    spans: &'a mut Vec<EventSpan>,
    last_origin: &'a mut Option<LastOrigin>,
    last_extracted: &'a mut Option<ExtractedOrigin>,
    events: &'a mut E,
}

impl<'a, E: Events> EnvelopeWalk<'a, E> {
    fn all(&mut self) {
        let bytes = self.opened.bytes;
        let mut at = 0;
        while at < bytes.len() {
            let text = self.text_from(at);
            at = match self.fast(text, at) {
                Some(bad) => match self.repaired(bad) {
                    Some(end) => end,
                    None => return self.refuse(self.reason(bad), bad..bytes.len()),
                },
                None if text.is_empty() => return self.refuse("utf8", at..bytes.len()),
                None => at.saturating_add(text.len()),
            };
        }
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
    fn fast(&mut self, text: &str, from: usize) -> Option<usize> {
        let mut scanner = Scanner::new(text);
        while scanner.peek().is_some() {
            let start = from.saturating_add(scanner.at());
            match scan(&mut scanner, self.spans) {
                Ok(found) => self.tell(&found, text, start..from.saturating_add(scanner.at())),
                Err(Malformed) => return Some(start),
            }
        }
        None
    }

    /// Tells the value that begins at `start` with its bad characters replaced, and returns where it ends; none: there is more
    /// wrong with it.
    #[cold]
    fn repaired(&mut self, start: usize) -> Option<usize> {
        let rest = self.opened.bytes.get(start..)?;
        let mark = repair::BYTE_ORDER_MARK.as_bytes();
        if rest.starts_with(mark) {
            return Some(start.saturating_add(mark.len()));
        }
        if !rest.starts_with(b"{") {
            return None;
        }
        let value = rest.get(..repair::object_end(rest)?)?;
        let text = repair::repair(value)?;
        let mut scanner = Scanner::new(&text);
        let found = scan(&mut scanner, self.spans).ok()?;
        if scanner.peek().is_some() {
            return None;
        }
        let end = start.saturating_add(value.len());
        self.tell(&found, &text, start..end);
        if matches!(found, ScannedValue::Data(head) if head.names_fit()) && self.events.wants().events {
            let messages = self.spans.iter().map(|span| span.message.clone());
            self.events.repaired(repair::count_repaired(value, messages));
        }
        Some(end)
    }

    /// Why what begins at `start` is refused.
    fn reason(&self, start: usize) -> &'static str {
        let rest = self.opened.bytes.get(start..).unwrap_or_default();
        if simdutf8::basic::from_utf8(rest).is_ok() { "json" } else { "utf8" }
    }

    /// Tells a value of this text, which stands at `range`.
    fn tell(&mut self, found: &ScannedValue<'_>, text: &str, range: Range<usize>) {
        match found {
            ScannedValue::Data(head) if !self.spans.is_empty() => {
                if !head.names_fit() {
                    return self.refuse("name_too_long", range);
                }
                let origin = head.origin(self.origin, self.last_origin);
                self.events.origin(&origin);
                let wants = self.events.wants();
                if wants.events {
                    self.tell_events(text, &origin);
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

    /// Tells the events of an envelope. One whose extracted fields say so is of another account or region than its envelope.
    fn tell_events(&mut self, text: &str, envelope: &Arc<Origin>) {
        let mut is_own = false;
        for span in self.spans.iter() {
            if let Some(at) = span.extracted_at {
                let at = usize::try_from(at.get()).unwrap_or(usize::MAX);
                self.events.origin(&extracted::origin(text, at, envelope, self.last_extracted));
                is_own = true;
            } else if std::mem::take(&mut is_own) {
                self.events.origin(envelope);
            }
            let message = text.get(span.message.clone()).unwrap_or_default();
            let message =
                if span.is_string { Message::Escaped(message) } else { Message::Raw(message.as_bytes()) };
            let id = text.get(span.id.clone()).filter(|id| !id.is_empty());
            self.events.event(Event { message, timestamp: span.timestamp, id, part: None });
        }
        if is_own {
            self.events.origin(envelope);
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
    fn refuse(&mut self, reason: &'static str, range: Range<usize>) {
        self.events.origin(self.origin);
        if self.is_all(&range) {
            self.events.undecodable(reason, self.payload);
        } else {
            self.events.undecodable(reason, self.opened.bytes.get(range).unwrap_or_default());
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

    /// Whether its names are as long as AWS lets them be, or shorter.
    fn names_fit(&self) -> bool {
        /// As many bytes as a character's escape can have: two halves of a surrogate pair.
        const LONGEST_ESCAPE: usize = 12;
        let fits = |name: &str| {
            name.len() <= MOST_NAME
                || name.len() <= MOST_NAME * LONGEST_ESCAPE && unescape(name).chars().count() <= MOST_NAME
        };
        [self.owner, self.log_group, self.log_stream].into_iter().flatten().all(fits)
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
