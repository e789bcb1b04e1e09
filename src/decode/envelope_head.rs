//! What an envelope says of itself beside its events.

use std::sync::Arc;

use bytes::Bytes;

use super::escapes::unescape;
use super::gzip;
use super::json::Scanner;
use super::log_events::scalar;
use super::payload::InflateBuffers;
use super::strings::{Malformed, Scanned};
use crate::event::{Events, Field, Origin};

/// The bytes of an envelope that are inflated to find its head.
const HEAD: usize = 4 << 10;

/// Most characters of a name: AWS allows so many for log groups and streams
/// (<https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_LogGroup.html>). What names an envelope is kept,
/// and written with each of its events.
const MOST_NAME: usize = 512;

/// An envelope's fields beside its events, still escaped.
#[derive(Clone, Copy, Default)]
pub(super) struct EnvelopeHead<'a> {
    pub(super) message_type: Option<&'a str>,
    pub(super) owner: Option<&'a str>,
    pub(super) log_group: Option<&'a str>,
    pub(super) log_stream: Option<&'a str>,
    pub(super) has_events: bool,
}

/// Tells a gzipped envelope by its head alone. False: the head does not hold enough.
pub(super) fn pass_through<E: Events>(
    buffers: &mut InflateBuffers,
    last_origin: &mut Option<LastOrigin>,
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
    let origin = head.origin(origin, last_origin);
    events.origin(&origin);
    events.envelope(gz);
    true
}

impl<'a> EnvelopeHead<'a> {
    /// Reads one field's value; `log_events` that of `logEvents`.
    pub(super) fn field(
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
    pub(super) fn names_fit(&self) -> bool {
        /// As many bytes as a character's escape can have: two halves of a surrogate pair.
        const LONGEST_ESCAPE: usize = 12;
        let fits = |name: &str| {
            name.len() <= MOST_NAME
                || name.len() <= MOST_NAME * LONGEST_ESCAPE && unescape(name).chars().count() <= MOST_NAME
        };
        [self.owner, self.log_group, self.log_stream].into_iter().flatten().all(fits)
    }

    /// The origin of the envelope's events; the last one again where nothing differs.
    pub(super) fn origin(&self, base: &Arc<Origin>, last: &mut Option<LastOrigin>) -> Arc<Origin> {
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
        // Records of a stream have an origin each, and names in common.
        let named = |field, value: &str| {
            let known = last.as_ref().and_then(|last| last.origin.get(field));
            let value = match known.filter(|known| ***known == *value) {
                Some(known) => Some(Arc::clone(known)),
                None => (!value.is_empty()).then(|| Arc::from(value)),
            };
            (field, value)
        };
        let origin = Arc::new(base.with_all([
            named(Field::Owner, &owner),
            named(Field::LogGroup, &group),
            named(Field::LogStream, &stream),
        ]));
        *last = Some(LastOrigin { base: Arc::clone(base), origin: Arc::clone(&origin) });
        origin
    }
}

/// The origin last made, and what it was made from.
#[derive(Debug)]
pub(super) struct LastOrigin {
    base: Arc<Origin>,
    origin: Arc<Origin>,
}
