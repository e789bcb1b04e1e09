//! One dead letter: what could not be delivered, why, and where it came from; and the line of JSON that it is kept as.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use base64_simd::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::event::{AckGuard, Origin, OriginFields, OriginLabels, Record, RequestNames, Timestamp};

/// What the bytes of a letter are, which decides how they are delivered again.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LetterContent {
    /// A whole record, as it was put.
    #[default]
    Record,
    /// Events as the sink writes them, not packed into records yet.
    Events,
    /// The message of one event, as it was read.
    Message,
    /// A gzipped subscription envelope.
    Envelope,
    /// A source's payload that could not be decoded.
    Payload,
}

/// One dead letter, borrowed to be written.
#[derive(Clone, Copy, Debug)]
pub struct Letter<'a> {
    /// When it was given up, the first time if it was delivered again and failed again.
    pub time: Timestamp,
    /// Why, as in the metric's label.
    pub reason: &'a str,
    /// The service's words, where it was the service that refused.
    pub error: Option<&'a str>,
    /// Where the bytes come from.
    pub origin: &'a Origin,
    /// The request that brought them.
    pub request: Option<&'a RequestNames>,
    /// The bytes.
    pub bytes: &'a [u8],
    /// What they are.
    pub content: LetterContent,
    /// How many events they hold.
    pub events: u64,
    /// How many bytes they were before compression; none: they are not compressed.
    pub payload: Option<usize>,
    /// The event's own time, of a message.
    pub timestamp: Option<Timestamp>,
    /// The event's id, of a message: the inside of a JSON string.
    pub id: Option<&'a str>,
    /// Where the events end, where newlines do not say so.
    pub ends: &'a [u32],
}

impl<'a> Letter<'a> {
    /// A letter about a record of one event with these bytes.
    #[must_use]
    pub fn new(reason: &'a str, origin: &'a Origin, bytes: &'a [u8], time: Timestamp) -> Self {
        Self {
            time,
            reason,
            error: None,
            origin,
            request: None,
            bytes,
            content: LetterContent::Record,
            events: 1,
            payload: None,
            timestamp: None,
            id: None,
            ends: &[],
        }
    }

    /// Writes the letter as one line, with its newline.
    pub(super) fn write(&self, folder: &str, out: &mut Vec<u8>) -> io::Result<()> {
        serde_json::to_writer(&mut *out, &LetterLine::of(self, folder))?;
        out.push(b'\n');
        Ok(())
    }
}

/// One dead letter that owns what it holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeadLetter {
    /// When it was given up, the first time if it was delivered again and failed again.
    pub time: Timestamp,
    /// Why, as in the metric's label.
    pub reason: String,
    /// The service's words, where it was the service that refused.
    pub error: Option<String>,
    /// Where the bytes come from.
    pub origin: Arc<Origin>,
    /// The request that brought them.
    pub request: Option<Arc<RequestNames>>,
    /// The bytes.
    pub bytes: Bytes,
    /// What they are.
    pub content: LetterContent,
    /// How many events they hold.
    pub events: u64,
    /// How many bytes they were before compression; none: they are not compressed.
    pub payload: Option<usize>,
    /// The event's own time, of a message.
    pub timestamp: Option<Timestamp>,
    /// The event's id, of a message: the inside of a JSON string.
    pub id: Option<String>,
    /// Where the events end, where newlines do not say so.
    pub ends: Vec<u32>,
}

impl DeadLetter {
    /// A letter about a record that its sink cannot deliver, of `now` if it was none before.
    #[must_use]
    pub fn of_record(record: &Record, reason: &str, error: Option<&str>, now: Timestamp) -> Self {
        let bytes = match record.parts.as_slice() {
            [whole] => whole.clone(),
            parts => parts.concat().into(),
        };
        Self {
            time: record.dead_lettered_at().unwrap_or(now),
            reason: reason.to_owned(),
            error: error.map(str::to_owned),
            origin: Arc::clone(&record.origin),
            request: record.acks.first().and_then(AckGuard::request),
            bytes,
            content: LetterContent::Record,
            events: record.events,
            payload: record.compressed.then_some(record.payload),
            ..Self::default()
        }
    }

    /// The same, borrowed.
    #[must_use]
    pub fn borrow(&self) -> Letter<'_> {
        Letter {
            time: self.time,
            reason: &self.reason,
            error: self.error.as_deref(),
            origin: &self.origin,
            request: self.request.as_deref(),
            bytes: &self.bytes,
            content: self.content,
            events: self.events,
            payload: self.payload,
            timestamp: self.timestamp,
            id: self.id.as_deref(),
            ends: &self.ends,
        }
    }

    /// Reads one JSON value: a letter, or an object of Firehose's own backup. None: it is neither.
    #[must_use]
    pub fn from_json(json: &str) -> Option<Self> {
        if let Ok(line) = serde_json::from_str::<LetterLine<'_>>(json) {
            return line.into_letter();
        }
        serde_json::from_str::<BackupObject<'_>>(json).ok()?.into_letter()
    }
}

/// A letter as it is written.
#[derive(Deserialize, Serialize)]
struct LetterLine<'a> {
    time: Cow<'a, str>,
    /// The sink; of undecodable payloads the source, with `_` before it.
    #[serde(default)]
    sink: Cow<'a, str>,
    reason: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<Cow<'a, str>>,
    content: LetterContent,
    events: u64,
    /// How many bytes there are.
    size: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload: Option<usize>,
    source: Cow<'a, str>,
    #[serde(default)]
    host: Cow<'a, str>,
    #[serde(flatten)]
    fields: OriginFields,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request: Option<Cow<'a, RequestNames>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    attributes: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    labels: Option<Cow<'a, OriginLabels>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timestamp: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "<[u32]>::is_empty")]
    ends: Cow<'a, [u32]>,
    /// The bytes, where they are plain UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<Cow<'a, str>>,
    /// The bytes in base64, where they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base64: Option<Cow<'a, str>>,
}

impl<'a> LetterLine<'a> {
    fn of(letter: &Letter<'a>, folder: &'a str) -> Self {
        let text = str::from_utf8(letter.bytes).ok().filter(|text| is_plain(text));
        let base64 = text.is_none().then(|| STANDARD.encode_to_string(letter.bytes).into());
        let origin = letter.origin;
        let attributes = origin.attributes.iter();
        Self {
            time: letter.time.to_rfc3339().into(),
            sink: folder.into(),
            reason: letter.reason.into(),
            error: letter.error.map(Cow::from),
            content: letter.content,
            events: letter.events,
            size: letter.bytes.len(),
            payload: letter.payload,
            source: Cow::from(&*origin.source),
            host: Cow::from(&*origin.host),
            fields: origin.fields.clone(),
            request: letter.request.map(Cow::Borrowed),
            attributes: attributes.map(|(name, value)| (Cow::from(&**name), Cow::from(&**value))).collect(),
            labels: origin.labels.as_deref().map(Cow::Borrowed),
            timestamp: letter.timestamp.map(|time| time.to_rfc3339().into()),
            id: letter.id.map(Cow::from),
            ends: letter.ends.into(),
            text: text.map(Cow::from),
            base64,
        }
    }

    fn into_letter(self) -> Option<DeadLetter> {
        let bytes = match (self.text, self.base64) {
            (Some(text), None) => Bytes::from(text.into_owned()),
            (None, Some(base64)) => Bytes::from(STANDARD.decode_to_vec(base64.as_bytes()).ok()?),
            (Some(_), Some(_)) | (None, None) => return None,
        };
        // A letter that says another size was changed or cut.
        if bytes.len() != self.size || !are_ends(&self.ends, bytes.len()) {
            return None;
        }
        let shared = |text: Cow<'_, str>| Arc::<str>::from(&*text);
        let attributes = self.attributes.into_iter();
        let origin = Origin {
            source: shared(self.source),
            host: shared(self.host),
            fields: self.fields,
            attributes: attributes.map(|(name, value)| (Box::from(&*name), Box::from(&*value))).collect(),
            labels: self.labels.map(|labels| Arc::new(labels.into_owned())),
        };
        let timestamp = match self.timestamp {
            Some(text) => Some(Timestamp::from_rfc3339(&text)?),
            None => None,
        };
        Some(DeadLetter {
            time: Timestamp::from_rfc3339(&self.time)?,
            reason: self.reason.into_owned(),
            error: self.error.map(Cow::into_owned),
            origin: Arc::new(origin),
            request: self.request.map(|names| Arc::new(names.into_owned())),
            bytes,
            content: self.content,
            events: self.events,
            payload: self.payload,
            timestamp,
            id: self.id.map(Cow::into_owned),
            ends: self.ends.into_owned(),
        })
    }
}

/// Whether these can be the ends of events in so many bytes.
fn are_ends(ends: &[u32], len: usize) -> bool {
    ends.is_sorted() && ends.last().is_none_or(|last| *last as usize == len)
}

/// Whether the text takes less room as a JSON string than in base64: control characters take six bytes each.
fn is_plain(text: &str) -> bool {
    let extra = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' => 1,
        0..0x20 => 5,
        _ => 0,
    };
    text.bytes().map(extra).sum::<usize>() <= text.len() / 3
}

/// A record that Firehose could not deliver, transform or convert, and put into its backup bucket.
///
/// Source: <https://docs.aws.amazon.com/firehose/latest/dev/data-transformation-failure-handling.html> and, with other first letters,
/// <https://docs.aws.amazon.com/firehose/latest/dev/record-format-conversion-error-handling.html>.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BackupObject<'a> {
    #[serde(borrow)]
    raw_data: Cow<'a, str>,
    /// Milliseconds since 1970.
    #[serde(default)]
    arrival_timestamp: Option<i64>,
    #[serde(default, alias = "ErrorCode")]
    error_code: Option<String>,
    #[serde(default, alias = "ErrorMessage")]
    error_message: Option<String>,
}

impl BackupObject<'_> {
    fn into_letter(self) -> Option<DeadLetter> {
        let bytes = Bytes::from(STANDARD.decode_to_vec(self.raw_data.as_bytes()).ok()?);
        let gzipped = bytes.starts_with(&[0x1f, 0x8b]);
        let lines = memchr::memchr_iter(b'\n', &bytes).count() as u64;
        Some(DeadLetter {
            time: Timestamp(self.arrival_timestamp.unwrap_or_default()),
            reason: self.error_code.filter(|code| !code.is_empty()).unwrap_or_else(|| "backup".to_owned()),
            error: self.error_message,
            events: if gzipped { 1 } else { lines.max(1) },
            // Compressed before standpipe saw it: what it was is not known.
            payload: gzipped.then_some(bytes.len()),
            bytes,
            content: LetterContent::Record,
            ..DeadLetter::default()
        })
    }
}
