//! Messages of the Fluent Forward protocol: their records as events, each found where it stands.
//!
//! Source of the format: <https://github.com/fluent/fluentd/wiki/Forward-Protocol-Specification-v1.5>. A message holds one entry, a
//! list of them, or the bytes of a list, compressed or not; entries of Fluent Bit have metadata beside their time.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::forward_origins::ForwardOrigins;
use super::forward_record::{ForwardEntry, RecordFields, RecordScratch};
use super::gzip;
use super::long::LengthLimit;
use super::payload::{InflateBuffers, NotOpened};
use super::zstd;
use crate::config::RecordAs;
use crate::event::{Event, Events, Message, Origin};
use crate::msgpack::{PackError, PackReader, PackToken};

/// How records become events.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ForwardRecords {
    pub(crate) limit: LengthLimit,
    pub(crate) record: RecordAs,
    pub(crate) max_inflated: usize,
}

/// One worker's buffers for records.
#[derive(Debug, Default)]
pub(crate) struct ForwardScratch {
    pub(crate) record: RecordScratch,
    pub(crate) origins: ForwardOrigins,
}

/// Messages, or those that are left for later.
#[derive(Debug)]
pub(crate) struct ForwardLeft {
    payload: Bytes,
    /// Where the next message begins.
    at: usize,
    /// The one that is begun.
    open: Option<OpenMessage>,
}

/// A message whose entries are not all told.
#[derive(Debug)]
struct OpenMessage {
    /// Where its tag stands in the payload.
    tag: Range<usize>,
    entries: EntryBytes,
    /// Where the next entry begins in them.
    at: usize,
    /// How many are left; none: as many as there are.
    count: Option<u32>,
    /// Whether the entry stands in the message itself, and not in an array.
    is_bare: bool,
    next: NextMessage,
}

/// What entries stand in.
#[derive(Debug)]
enum EntryBytes {
    /// The payload, up to this place.
    Payload(usize),
    Inflated(Bytes),
}

/// Where the message after the open one begins.
#[derive(Clone, Copy, Debug)]
enum NextMessage {
    At(usize),
    /// Behind so many values that follow the entries.
    Behind(u64),
}

/// How far a list of entries was told.
enum EntriesTold {
    All,
    /// There was no room for the next one.
    Some,
    /// What follows is no entry.
    Broken,
}

const UNDECODABLE: &str = "forward";

impl ForwardLeft {
    pub(crate) const fn new(payload: Bytes) -> Self {
        Self { payload, at: 0, open: None }
    }

    /// Whether nothing is told of it.
    pub(crate) const fn is_untouched(&self) -> bool {
        self.at == 0 && self.open.is_none()
    }

    /// All of it.
    pub(crate) fn into_payload(self) -> Bytes {
        self.payload
    }
}

impl ForwardRecords {
    /// Tells as many entries as there is room for, and returns what is left.
    pub(crate) fn decode<E: Events>(
        &self,
        buffers: &mut InflateBuffers,
        scratch: &mut ForwardScratch,
        origin: &Arc<Origin>,
        mut left: ForwardLeft,
        events: &mut E,
    ) -> Option<ForwardLeft> {
        scratch.origins.set(origin);
        loop {
            if let Some(open) = &mut left.open {
                match self.entries(scratch, &left.payload, open, events) {
                    EntriesTold::Some => return Some(left),
                    EntriesTold::All => left.at = open.end(&left.payload),
                    EntriesTold::Broken => left.at = open.give_up(&left.payload, origin, events),
                }
                left.open = None;
            }
            if left.at >= left.payload.len() {
                return None;
            }
            match self.begin(buffers, &left.payload, left.at, events) {
                Ok(open) => left.open = Some(open),
                Err(NotBegun::NoRoom) => return Some(left),
                Err(NotBegun::Refused(reason, message)) => {
                    events.origin(origin);
                    events.undecodable(reason, left.payload.get(message.clone()).unwrap_or_default());
                    left.at = message.end;
                }
            }
        }
    }

    /// Reads a message up to its first entry.
    fn begin<E: Events>(
        &self,
        buffers: &mut InflateBuffers,
        payload: &Bytes,
        at: usize,
        events: &mut E,
    ) -> Result<OpenMessage, NotBegun> {
        let mut reader = PackReader::from(payload, at);
        // Where a message ends that is none is not to be told, unless its values can be passed over.
        let refused = |reason| {
            let mut whole = PackReader::from(payload, at);
            let end = whole.skip().map_or(payload.len(), |()| whole.at());
            NotBegun::Refused(reason, at..end)
        };
        let shape = |_: PackError| refused(UNDECODABLE);
        let PackToken::Array(elements @ 2..) = reader.token().map_err(shape)? else {
            return Err(refused(UNDECODABLE));
        };
        let elements = u64::from(elements);
        let tag = reader.text().map_err(shape)?;
        let tag = reader.at().saturating_sub(tag.len())..reader.at();
        let second_at = reader.at();
        let open = |entries, at, count, is_bare, next| OpenMessage {
            tag: tag.clone(),
            entries,
            at,
            count,
            is_bare,
            next,
        };
        let end = EntryBytes::Payload(payload.len());
        let second = reader.token().map_err(shape)?;
        if let PackToken::Array(count) = second
            && (elements == 2 || !is_time_with_metadata(reader, count))
        {
            let next = NextMessage::Behind(elements - 2);
            return Ok(open(end, reader.at(), Some(count), false, next));
        }
        let Some(list) = second.text() else {
            let is_entry = elements > 2;
            let next = NextMessage::Behind(elements.saturating_sub(3));
            return if is_entry {
                Ok(open(end, second_at, Some(1), true, next))
            } else {
                Err(refused(UNDECODABLE))
            };
        };
        let end = reader.at();
        reader.skip_many(elements - 2).map_err(shape)?;
        let next = NextMessage::At(reader.at());
        match inflate(buffers, list, self.max_inflated, &mut |bytes| events.may_take(bytes)) {
            Ok(Some(list)) => Ok(open(EntryBytes::Inflated(list.into()), 0, None, false, next)),
            Ok(None) => Ok(open(EntryBytes::Payload(end), end.saturating_sub(list.len()), None, false, next)),
            Err(NotOpened::NoRoom) => Err(NotBegun::NoRoom),
            Err(NotOpened::Refused(reason)) => Err(NotBegun::Refused(reason, at..reader.at())),
        }
    }

    /// Tells the entries of an open message.
    fn entries<E: Events>(
        &self,
        scratch: &mut ForwardScratch,
        payload: &Bytes,
        open: &mut OpenMessage,
        events: &mut E,
    ) -> EntriesTold {
        let tag = payload.get(open.tag.clone()).unwrap_or_default();
        let bytes = open.entries.of(payload);
        loop {
            if open.count == Some(0) || open.count.is_none() && open.at >= bytes.len() {
                return EntriesTold::All;
            }
            events.at(open.place());
            let (told, end) = match ForwardEntry::read(bytes, open.at, open.is_bare) {
                Ok(entry) => (self.entry(scratch, tag, &entry, events), entry.end),
                Err(_) if open.is_bare => return EntriesTold::Broken,
                Err(_) => {
                    let mut reader = PackReader::from(bytes, open.at);
                    if reader.skip().is_err() {
                        return EntriesTold::Broken;
                    }
                    let value = bytes.get(open.at..reader.at()).unwrap_or_default();
                    (refuse(&mut scratch.origins, tag, (UNDECODABLE, value), events), reader.at())
                }
            };
            if !told {
                return EntriesTold::Some;
            }
            open.at = end;
            open.count = open.count.map(|count| count.saturating_sub(1));
        }
    }

    /// Tells an entry, if there is room for it.
    fn entry<E: Events>(
        &self,
        scratch: &mut ForwardScratch,
        tag: &[u8],
        entry: &ForwardEntry<'_>,
        events: &mut E,
    ) -> bool {
        if entry.is_group_marker {
            return true;
        }
        let ForwardScratch { record: buffers, origins } = scratch;
        let refused = match RecordFields::read(entry.record) {
            None => UNDECODABLE,
            Some(parts) => match parts.message(self.record, entry.record, &mut buffers.json) {
                None => "too_large",
                Some(message) => {
                    if !events.fits_message(Message::Raw(message)) {
                        return false;
                    }
                    events.origin(origins.of(tag, &parts));
                    let message = Message::Raw(message);
                    let event = Event { message, timestamp: entry.timestamp, id: None, part: parts.part() };
                    self.limit.apply(event, &mut buffers.long, events);
                    return true;
                }
            },
        };
        refuse(origins, tag, (refused, entry.record), events)
    }
}

/// Tells what is no record, with the reason, if there is room for it.
fn refuse<E: Events>(
    origins: &mut ForwardOrigins,
    tag: &[u8],
    (reason, bytes): (&'static str, &[u8]),
    events: &mut E,
) -> bool {
    if !events.fits(bytes.len(), 1) {
        return false;
    }
    events.origin(origins.of(tag, &RecordFields::default()));
    events.undecodable(reason, bytes);
    true
}

/// Inflates a list of entries, by what it begins with; none: it is not compressed.
fn inflate(
    buffers: &mut InflateBuffers,
    list: &[u8],
    max: usize,
    may_take: &mut dyn FnMut(usize) -> bool,
) -> Result<Option<Vec<u8>>, NotOpened> {
    if gzip::is_gzip(list) {
        let mut out = Vec::new();
        let len = buffers.inflater.inflate(list, max, &mut out, may_take)?;
        out.truncate(len);
        return Ok(Some(out));
    }
    if !zstd::is_zstd(list) {
        return Ok(None);
    }
    match zstd::inflate(list, max, may_take) {
        Ok(out) => Ok(Some(out)),
        Err(gzip::InflateError::Corrupt) => Err(NotOpened::Refused("zstd")),
        Err(error @ (gzip::InflateError::TooLarge | gzip::InflateError::NoRoom)) => Err(error.into()),
    }
}

/// Why a message cannot be begun.
enum NotBegun {
    /// There is no memory to inflate it now.
    NoRoom,
    /// For this reason, and where it stands.
    Refused(&'static str, Range<usize>),
}

/// Whether an array of so many values is a time with metadata, as Fluent Bit sends them, and no list of entries.
fn is_time_with_metadata(mut inside: PackReader<'_>, values: u32) -> bool {
    values == 2 && inside.token().is_ok_and(|first| !matches!(first, PackToken::Array(_)))
}

impl EntryBytes {
    fn of<'a>(&'a self, payload: &'a Bytes) -> &'a [u8] {
        match self {
            Self::Payload(end) => payload.get(..*end).unwrap_or_default(),
            Self::Inflated(bytes) => bytes,
        }
    }
}

impl OpenMessage {
    /// A number that no other entry of the payload has: where it stands. Entries that are inflated are so far behind where their message
    /// ends that no two messages share a place.
    const fn place(&self) -> u64 {
        let at = self.at as u64;
        match (&self.entries, self.next) {
            (EntryBytes::Inflated(_), NextMessage::At(end)) => ((end as u64) << 32).wrapping_add(at),
            (EntryBytes::Inflated(_) | EntryBytes::Payload(_), _) => at,
        }
    }

    /// Where the next message begins, once all entries are told.
    fn end(&self, payload: &[u8]) -> usize {
        match self.next {
            NextMessage::At(at) => at,
            NextMessage::Behind(values) => {
                let mut reader = PackReader::from(payload, self.at);
                reader.skip_many(values).map_or(payload.len(), |()| reader.at())
            }
        }
    }

    /// Tells what is no entry as undecodable, and where the next message begins.
    fn give_up<E: Events>(&self, payload: &Bytes, origin: &Arc<Origin>, events: &mut E) -> usize {
        let bytes = self.entries.of(payload);
        let (end, next) = match self.next {
            NextMessage::At(at) => (bytes.len(), at),
            NextMessage::Behind(values) => {
                let entries = if self.is_bare { 2 } else { u64::from(self.count.unwrap_or_default()) };
                let mut reader = PackReader::from(payload, self.at);
                let end = reader.skip_many(values.saturating_add(entries));
                let end = end.map_or(payload.len(), |()| reader.at());
                (end, end)
            }
        };
        events.origin(origin);
        events.undecodable(UNDECODABLE, bytes.get(self.at..end).unwrap_or_default());
        next
    }
}
