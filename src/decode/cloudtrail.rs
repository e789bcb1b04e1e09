//! `CloudTrail` log files: each record is told as the JSON text it is.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::escapes::unescape;
use super::json::Scanner;
use super::object::object_front;
use super::payload::{self, InflateBuffers, NotOpened};
use super::repair;
use super::strings::{Malformed, Scanned};
use crate::event::{Event, Events, Message, Origin, Timestamp};

/// Where a record's parts stand in the text.
#[derive(Clone, Debug)]
struct TrailRecord {
    text: Range<usize>,
    id: Range<usize>,
    timestamp: Option<Timestamp>,
}

/// The records of a payload; of one that has very many, the first.
#[derive(Debug, Default)]
struct TrailRecords {
    records: Vec<TrailRecord>,
    /// Where the first record begins that is not among them.
    more_at: Option<usize>,
    /// Where the lists of records begin.
    lists: Vec<usize>,
}

/// Most records that are kept at a time.
const MOST_RECORDS: usize = 8 << 10;

/// Most log files in a payload.
const MOST_FILES: usize = 64 << 10;

impl TrailRecords {
    fn add(&mut self, record: TrailRecord) {
        if self.records.len() < MOST_RECORDS {
            self.records.push(record);
        } else {
            self.more_at.get_or_insert(record.text.start);
        }
    }

    fn clear(&mut self) {
        self.records.clear();
        self.more_at = None;
        self.lists.clear();
    }
}

/// Buffers, used again from payload to payload.
#[derive(Debug, Default)]
pub(crate) struct TrailScratch {
    records: TrailRecords,
    /// A record without the white space between its values.
    compact: Vec<u8>,
}

/// A compacted record's buffer is kept up to this size.
const KEEP_BYTES: usize = 256 << 10;

impl TrailScratch {
    /// Gives back what an unusually large payload needed.
    pub(crate) fn shrink(&mut self) {
        self.records.clear();
        self.records.lists.shrink_to(MOST_RECORDS);
        self.compact.clear();
        self.compact.shrink_to(KEEP_BYTES);
    }
}

/// Records that are left for later.
#[derive(Debug)]
pub(crate) struct TrailLeft {
    text: Bytes,
    /// Where the next record begins.
    next: usize,
    /// Where the lists begin that come after its.
    lists: Vec<usize>,
}

/// Decodes a payload of any number of `{"Records":[..]}`. One that is no log file, such as a digest, is undecodable.
///
/// # Errors
/// When there is no memory to open it now.
pub(crate) fn decode<E: Events>(
    max: usize,
    buffers: &mut InflateBuffers,
    scratch: &mut TrailScratch,
    origin: &Arc<Origin>,
    payload: &Bytes,
    events: &mut E,
) -> Result<Option<TrailLeft>, NotOpened> {
    events.origin(origin);
    let refuse = |events: &mut E, reason| {
        events.undecodable(reason, payload);
        Ok(None)
    };
    let bare = match payload::armoured(payload) {
        Ok(bare) => bare,
        Err(reason) => return refuse(events, reason),
    };
    let TrailScratch { records, compact } = scratch;
    let opened = match payload::open(&bare, max, buffers, &mut |bytes| events.may_take(bytes)) {
        Ok(opened) => opened,
        Err(NotOpened::Refused(reason)) => return refuse(events, reason),
        Err(NotOpened::NoRoom) => return Err(NotOpened::NoRoom),
    };
    let (len, place) = (opened.bytes.len(), opened.place);
    let scanned = opened.text().and_then(|text| scan(text, records).map(|()| text));
    let (next, repaired) = match scanned {
        Ok(text) => (tell(text, records, compact, events), None),
        Err(NOT_CLOUDTRAIL) => {
            refuse_opened(events, NOT_CLOUDTRAIL, (payload, opened.bytes));
            return Ok(None);
        }
        Err(_) if !events.may_take(len) => return Err(NotOpened::NoRoom),
        Err(reason) => match repair::repair(opened.bytes) {
            Some(text) if scan(&text, records).is_ok() => {
                let parts = records.records.iter().map(|record| record.text.clone());
                events.repaired(repair::count_repaired(opened.bytes, parts));
                (tell(&text, records, compact, events), Some(text))
            }
            _ => {
                refuse_opened(events, reason, (payload, opened.bytes));
                return Ok(None);
            }
        },
    };
    let Some(next) = next else { return Ok(None) };
    let text = match (repaired, place) {
        (Some(text), _) => Bytes::from(text),
        (None, Some(place)) => buffers.take(place, len),
        (None, None) => bare,
    };
    let lists = records.lists.iter().copied().filter(|list| *list > next).collect();
    Ok(Some(TrailLeft { text, next, lists }))
}

/// Refuses a payload that was opened: as it came, or as it was opened.
fn refuse_opened<E: Events>(events: &mut E, reason: &'static str, (payload, opened): (&[u8], &[u8])) {
    events.undecodable(reason, if events.opens_refused() { opened } else { payload });
}

impl TrailLeft {
    /// Goes on where the last step stopped; what is still left.
    pub(crate) fn decode<E: Events>(
        mut self,
        buffers: &mut InflateBuffers,
        scratch: &mut TrailScratch,
        origin: &Arc<Origin>,
        events: &mut E,
    ) -> Option<Self> {
        events.origin(origin);
        let text = simdutf8::basic::from_utf8(&self.text).unwrap_or_default();
        let Some(next) = tell_more(text, self.next, &self.lists, &mut scratch.compact, events) else {
            buffers.give_back(self.text);
            return None;
        };
        self.next = next;
        self.lists.retain(|list| *list > self.next);
        Some(self)
    }
}

/// The reason where a payload is JSON, but no log file.
const NOT_CLOUDTRAIL: &str = "not_cloudtrail";

/// Tells the records that were read. Returns where the first begins that is left for later.
fn tell<E: Events>(text: &str, found: &TrailRecords, compact: &mut Vec<u8>, events: &mut E) -> Option<usize> {
    for record in &found.records {
        if !tell_one(text, record, compact, events) {
            return Some(record.text.start);
        }
    }
    let more_at = found.more_at?;
    let first = found.lists.partition_point(|list| *list < more_at);
    tell_more(text, more_at, found.lists.get(first..).unwrap_or_default(), compact, events)
}

/// Tells the record that begins at `next`, the others of its list, and those of `lists`.
fn tell_more<E: Events>(
    text: &str,
    next: usize,
    lists: &[usize],
    compact: &mut Vec<u8>,
    events: &mut E,
) -> Option<usize> {
    let mut scanner = Scanner::from(text, next);
    let mut lists = lists.iter();
    loop {
        // It was read before: an error only means that the text ends.
        while scanner.peek().is_some_and(|byte| byte != b']')
            && let Ok(record) = record(&mut scanner)
        {
            if !tell_one(text, &record, compact, events) {
                return Some(record.text.start);
            }
            if !scanner.takes(b',') {
                break;
            }
        }
        scanner = Scanner::from(text, *lists.next()?);
        scanner.takes(b'[');
    }
}

/// Tells a record, if there is room for it.
fn tell_one<E: Events>(text: &str, record: &TrailRecord, compact: &mut Vec<u8>, events: &mut E) -> bool {
    let raw = text.get(record.text.clone()).unwrap_or_default();
    if !events.fits(raw.len(), 1) {
        return false;
    }
    let id = text.get(record.id.clone()).filter(|id| !id.is_empty());
    let message = one_line(raw, compact);
    events.at(record.text.start as u64);
    events.event(Event { message: Message::Raw(message), timestamp: record.timestamp, id, part: None });
    true
}

/// Finds every record, or says why the payload is none of `CloudTrail`'s.
fn scan(text: &str, records: &mut TrailRecords) -> Result<(), &'static str> {
    records.clear();
    let mut scanner = Scanner::new(text);
    while scanner.peek().is_some() {
        match log_file(&mut scanner, records) {
            Ok(true) if records.lists.len() > MOST_FILES => return Err("too_many_files"),
            Ok(true) => {}
            Ok(false) => return Err(NOT_CLOUDTRAIL),
            Err(Malformed) => return Err("json"),
        }
    }
    Ok(())
}

fn log_file(scanner: &mut Scanner<'_>, records: &mut TrailRecords) -> Scanned<bool> {
    if scanner.peek() != Some(b'{') {
        return scanner.value().map(|_| false);
    }
    let mut found = false;
    let (before, lists, more_at) = (records.records.len(), records.lists.len(), records.more_at);
    scanner.object(|scanner, name| {
        if unescape(name) != "Records" {
            return scanner.value().map(drop);
        }
        // Given twice, the last one counts.
        records.records.truncate(before);
        records.lists.truncate(lists);
        records.more_at = more_at;
        found = scanner.peek() == Some(b'[');
        if !found {
            return scanner.value().map(drop);
        }
        records.lists.push(scanner.at());
        scanner.array(|scanner| {
            records.add(record(scanner)?);
            Ok(())
        })
    })?;
    Ok(found)
}

/// What a record is called by, and when it was.
const ID: &str = "eventID";
const TIME: &str = "eventTime";

fn record(scanner: &mut Scanner<'_>) -> Scanned<TrailRecord> {
    scanner.peek();
    let start = scanner.at();
    if let Some((len, [id, time])) = object_front(scanner.rest(), [ID, TIME]) {
        let at = |part: Range<usize>| start.saturating_add(part.start)..start.saturating_add(part.end);
        let timestamp = time.and_then(|time| Timestamp::from_any_rfc3339(scanner.rest().get(time)?));
        scanner.pass(len);
        return Ok(TrailRecord { text: start..scanner.at(), id: id.map(at).unwrap_or_default(), timestamp });
    }
    let (mut id, mut timestamp) = (0..0, None);
    if scanner.peek() != Some(b'{') {
        scanner.value()?;
        return Ok(TrailRecord { text: start..scanner.at(), id, timestamp });
    }
    scanner.object(|scanner, name| {
        let wanted = matches!(name, ID | TIME) && scanner.peek() == Some(b'"');
        if !wanted {
            return scanner.value().map(drop);
        }
        let inside = scanner.string()?;
        if name == ID {
            id = scanner.range(inside);
        } else {
            timestamp = Timestamp::from_any_rfc3339(inside);
        }
        Ok(())
    })?;
    Ok(TrailRecord { text: start..scanner.at(), id, timestamp })
}

/// A record on one line: pretty-printed ones lose the white space between their values.
fn one_line<'a>(raw: &'a str, compact: &'a mut Vec<u8>) -> &'a [u8] {
    let bytes = raw.as_bytes();
    // Inside strings there are no raw line ends, so any that is found stands between values.
    if memchr::memchr2(b'\n', b'\r', bytes).is_none() {
        return bytes;
    }
    compact.clear();
    let (mut in_string, mut escaped) = (false, false);
    for byte in bytes {
        if in_string || !byte.is_ascii_whitespace() {
            compact.push(*byte);
        }
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            _ => {}
        }
    }
    compact
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use crate::config::Format;
    use crate::decode::gzip;
    use crate::decode::testing::{config, decode_with};

    #[track_caller]
    fn check(payload: &[u8], expected: &[&str]) {
        let seen = decode_with(&config(Format::Cloudtrail), payload);
        assert_eq!(seen.told(), expected);
    }

    #[test]
    fn each_record_is_told_as_it_is() {
        let two = br#"{"Records":[{"eventTime":"2023-07-10T11:42:36Z","eventID":"a-b","x":{"Records":[1]}},{"y":2}]}"#;
        let records = [
            r#"1688989356000 a-b {"eventTime":"2023-07-10T11:42:36Z","eventID":"a-b","x":{"Records":[1]}}"#,
            r#"{"y":2}"#,
        ];
        check(two, &records);
        check(&gzip::deflate(two), &records);
        check(br#"{"Records":[]}"#, &[]);
        check(br#"{"Records":[{"a":1}],"Records":[{"a":2}]}"#, &[r#"{"a":2}"#]);
        check(br#"{"Records":[{"a":1}]}{"Records":[{"a":2}]}"#, &[r#"{"a":1}"#, r#"{"a":2}"#]);
    }

    #[test]
    fn a_pretty_printed_record_becomes_one_line() {
        check(
            b"{\n \"Records\": [\n  {\n   \"a b\": \"c \\\" d\",\n \"e\" : [ 1, 2 ]\r\n  }\n ]\n}\n",
            &[r#"{"a b":"c \" d","e":[1,2]}"#],
        );
    }

    #[test]
    fn what_is_no_log_file_is_undecodable() {
        check(br#"{"logFiles":[]}"#, &[r#"undecodable not_cloudtrail {"logFiles":[]}"#]);
        check(br#"{"Records":{}}"#, &[r#"undecodable not_cloudtrail {"Records":{}}"#]);
        check(br#"{"Records":[{"a":1}"#, &[r#"undecodable json {"Records":[{"a":1}"#]);
        check(b"plain words", &["undecodable format plain words"]);
    }

    proptest! {
        #[test]
        fn a_record_survives_compaction(text: String, pretty: bool) {
            let record = json!({"eventName": text, "n": [1, {"deep": text}]});
            let file = json!({"Records": [record]});
            let payload = if pretty { serde_json::to_vec_pretty(&file) } else { serde_json::to_vec(&file) }.unwrap();
            let seen = decode_with(&config(Format::Cloudtrail), &payload);
            let told = seen.told();
            prop_assert_eq!(told.len(), 1);
            prop_assert!(!told[0].contains('\n'));
            let back: Value = serde_json::from_str(&told[0]).unwrap();
            prop_assert_eq!(back, record);
        }
    }
}
