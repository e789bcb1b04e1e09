//! One entry of a Forward message: its time, its record, and what of the record is the message.

use super::record_json::write_record;
use crate::config::RecordAs;
use crate::event::{Part, Timestamp};
use crate::msgpack::{PackError, PackReader, PackToken};

/// An entry, where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct ForwardEntry<'a> {
    /// None: it does not say.
    pub(super) timestamp: Option<Timestamp>,
    /// Whether it opens or closes a group of Fluent Bit's, and is no event.
    pub(super) is_group_marker: bool,
    /// The record, of any shape.
    pub(super) record: &'a [u8],
    /// Where it ends.
    pub(super) end: usize,
}

/// Buffers for messages that are not passed on as they stand.
#[derive(Debug, Default)]
pub(crate) struct RecordScratch {
    /// A record as JSON.
    pub(super) json: Vec<u8>,
    /// A message that was cut.
    pub(super) long: Vec<u8>,
}

/// A buffer is kept up to this size.
const KEEP_BYTES: usize = 1 << 20;

impl RecordScratch {
    /// Gives back what an unusually large record needed.
    pub(crate) fn shrink(&mut self) {
        for buffer in [&mut self.json, &mut self.long] {
            buffer.clear();
            buffer.shrink_to(KEEP_BYTES);
        }
    }
}

/// The type of a time with nanoseconds.
const EVENT_TIME: i8 = 0;

/// Seconds that open and close a group, as 32 bits.
const GROUP_MARKERS: [u32; 2] = [0xffff_ffff, 0xffff_fffe];

impl<'a> ForwardEntry<'a> {
    /// Reads the entry at `at`; a bare one is not in an array.
    pub(super) fn read(bytes: &'a [u8], at: usize, is_bare: bool) -> Result<Self, PackError> {
        let mut reader = PackReader::from(bytes, at);
        let more = if is_bare {
            0
        } else {
            let PackToken::Array(values @ 2..) = reader.token()? else { return Err(PackError::Shape) };
            u64::from(values) - 2
        };
        let time = EntryTime::read(&mut reader)?;
        let begin = reader.at();
        reader.skip()?;
        let record = bytes.get(begin..reader.at()).unwrap_or_default();
        reader.skip_many(more)?;
        let (timestamp, is_group_marker) = match time {
            EntryTime::At(timestamp) => (Some(timestamp), false),
            EntryTime::Unknown => (None, false),
            EntryTime::GroupMarker => (None, true),
        };
        Ok(Self { timestamp, is_group_marker, record, end: reader.at() })
    }
}

/// What stands in the place of an entry's time.
#[derive(Clone, Copy, Debug)]
enum EntryTime {
    At(Timestamp),
    Unknown,
    GroupMarker,
}

impl EntryTime {
    fn read(reader: &mut PackReader<'_>) -> Result<Self, PackError> {
        let first = reader.token()?;
        // A time with metadata.
        let PackToken::Array(values @ 1..) = first else { return Self::of(first) };
        let time = Self::of(reader.token()?)?;
        reader.skip_many(u64::from(values) - 1)?;
        Ok(time)
    }

    fn of(token: PackToken<'_>) -> Result<Self, PackError> {
        match token {
            PackToken::Nil | PackToken::Unsigned(0) => Ok(Self::Unknown),
            PackToken::Unsigned(seconds) => {
                let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
                Ok(Self::At(Timestamp(seconds.saturating_mul(1_000))))
            }
            PackToken::Negative(-1 | -2) => Ok(Self::GroupMarker),
            PackToken::Negative(seconds) => Ok(Self::At(Timestamp(seconds.saturating_mul(1_000)))),
            PackToken::Float(seconds) if seconds.is_finite() => {
                #[expect(clippy::cast_possible_truncation, reason = "it saturates")]
                let ms = (seconds * 1_000.0) as i64;
                Ok(if ms == 0 { Self::Unknown } else { Self::At(Timestamp(ms)) })
            }
            PackToken::Float(_) => Ok(Self::Unknown),
            PackToken::Ext(EVENT_TIME, bytes) => Self::with_nanoseconds(bytes),
            PackToken::Bool(_)
            | PackToken::Str(_)
            | PackToken::Bin(_)
            | PackToken::Ext(..)
            | PackToken::Array(_)
            | PackToken::Map(_) => Err(PackError::Shape),
        }
    }

    fn with_nanoseconds(bytes: &[u8]) -> Result<Self, PackError> {
        let (seconds, rest) = bytes.split_first_chunk().ok_or(PackError::Shape)?;
        let nanoseconds = rest.try_into().map_err(|_| PackError::Shape)?;
        let (seconds, nanoseconds) = (u32::from_be_bytes(*seconds), u32::from_be_bytes(nanoseconds));
        if GROUP_MARKERS.contains(&seconds) {
            return Ok(Self::GroupMarker);
        }
        let ms = i64::from(seconds) * 1_000 + i64::from(nanoseconds / 1_000_000);
        Ok(if ms == 0 { Self::Unknown } else { Self::At(Timestamp(ms)) })
    }
}

/// What is looked for in a record.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RecordFields<'a> {
    log: Option<&'a [u8]>,
    message: Option<&'a [u8]>,
    container_name: Option<&'a [u8]>,
    container_id: Option<&'a [u8]>,
    /// Standard output or standard error.
    pub(super) stream: Option<&'static str>,
    /// Which part of a line it is, where the parts were not joined: `partial_offset` and `partial_last`.
    offset: Option<u64>,
    is_last: bool,
    /// Whether it has fields that are neither the message, nor told with each event.
    has_more: bool,
}

impl<'a> RecordFields<'a> {
    /// Looks at each field of a record once. None: it is no map.
    pub(super) fn read(record: &'a [u8]) -> Option<Self> {
        let mut reader = PackReader::new(record);
        let PackToken::Map(pairs) = reader.token().ok()? else { return None };
        let mut parts = Self::default();
        for _ in 0..pairs {
            let key = reader.token().ok()?;
            if is_nested(key) {
                return None;
            }
            let begin = reader;
            let value = reader.token().ok()?;
            if is_nested(value) {
                reader = begin;
                reader.skip().ok()?;
            }
            parts.take(key.text().unwrap_or_default(), value.text());
        }
        Some(parts)
    }

    fn take(&mut self, key: &[u8], value: Option<&'a [u8]>) {
        let place = match key {
            b"log" => &mut self.log,
            b"message" => &mut self.message,
            b"container_name" => &mut self.container_name,
            b"container_id" => &mut self.container_id,
            b"source" | b"stream" => {
                let stream = match value {
                    Some(b"stdout") => Some("stdout"),
                    Some(b"stderr") => Some("stderr"),
                    _ => None,
                };
                self.has_more |= stream.is_none() || self.stream.is_some();
                self.stream = self.stream.or(stream);
                return;
            }
            b"partial_offset" => {
                self.offset = value.and_then(|value| str::from_utf8(value).ok()?.parse().ok());
                return;
            }
            b"partial_last" => {
                self.is_last = value == Some(b"true");
                return;
            }
            // Docker's other marks of a line in parts, which are joined, or have their offsets, by now.
            b"partial_message" | b"partial_id" | b"partial_ordinal" => return,
            _ => {
                self.has_more = true;
                return;
            }
        };
        // A field that comes twice is kept with the record.
        self.has_more |= value.is_none() || place.is_some();
        *place = place.or(value);
    }

    /// Which part it is of a line; none: it is whole.
    pub(super) fn part(&self) -> Option<Part> {
        self.offset.map(|offset| Part { offset, last: self.is_last })
    }

    /// The container's name, or what Docker shows of its id where there is none.
    pub(super) fn container(&self) -> Option<&'a [u8]> {
        const SHOWN: usize = 12;
        let name = self.container_name.map(|name| name.strip_prefix(b"/").unwrap_or(name));
        let id = || self.container_id.map(|id| id.get(..SHOWN).unwrap_or(id));
        name.filter(|name| !name.is_empty()).or_else(id)
    }

    /// What the event's message is; JSON is written to `json`. None: it is too large.
    pub(super) fn message<'m>(
        &self,
        how: RecordAs,
        record: &'a [u8],
        json: &'m mut Vec<u8>,
    ) -> Option<&'m [u8]>
    where
        'a: 'm,
    {
        let is_text = match how {
            RecordAs::Json => false,
            RecordAs::Message => true,
            RecordAs::Auto => !self.has_more && (self.log.is_none() || self.message.is_none()),
        };
        let text = self.log.or(self.message).filter(|_| is_text);
        match text {
            Some(text) => Some(without_newline(text)),
            None if write_record(record, json) => Some(json),
            None => None,
        }
    }
}

fn is_nested(token: PackToken<'_>) -> bool {
    matches!(token, PackToken::Array(_) | PackToken::Map(_))
}

fn without_newline(text: &[u8]) -> &[u8] {
    text.strip_suffix(b"\n").map_or(text, |text| text.strip_suffix(b"\r").unwrap_or(text))
}
