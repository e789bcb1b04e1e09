//! `CloudTrail` log files: each record is told as the JSON text it is.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::escapes::unescape;
use super::json::Scanner;
use super::payload::{self, InflateBuffers};
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

/// Buffers, used again from payload to payload.
#[derive(Debug, Default)]
pub(crate) struct TrailScratch {
    records: Vec<TrailRecord>,
    /// A record without the white space between its values.
    compact: Vec<u8>,
}

/// Room for this many records is kept.
const KEEP_RECORDS: usize = 64 << 10;

/// A compacted record's buffer is kept up to this size.
const KEEP_BYTES: usize = 256 << 10;

impl TrailScratch {
    /// Gives back what an unusually large payload needed.
    pub(crate) fn shrink(&mut self) {
        self.records.clear();
        self.records.shrink_to(KEEP_RECORDS);
        self.compact.clear();
        self.compact.shrink_to(KEEP_BYTES);
    }
}

/// Decodes a payload of any number of `{"Records":[..]}`. One that is no log file, such as a digest, is undecodable.
pub(crate) fn decode<E: Events>(
    max: usize,
    buffers: &mut InflateBuffers,
    scratch: &mut TrailScratch,
    origin: &Arc<Origin>,
    payload: &Bytes,
    events: &mut E,
) {
    events.origin(origin);
    let bare = match payload::armoured(payload) {
        Ok(bare) => bare,
        Err(reason) => return events.undecodable(reason, payload),
    };
    let TrailScratch { records, compact } = scratch;
    let opened = match payload::open(&bare, max, buffers) {
        Ok(opened) => opened,
        Err(reason) => return events.undecodable(reason, payload),
    };
    let scanned = opened.text().and_then(|text| scan(text, records).map(|()| text));
    match scanned {
        Ok(text) => tell(text, records, compact, events),
        Err(NOT_CLOUDTRAIL) => events.undecodable(NOT_CLOUDTRAIL, payload),
        Err(reason) => match repair::repair(opened.bytes) {
            Some(text) if scan(&text, records).is_ok() => {
                tell(&text, records, compact, events);
                let parts = records.iter().map(|record| record.text.clone());
                events.repaired(repair::count_repaired(opened.bytes, parts));
            }
            _ => events.undecodable(reason, payload),
        },
    }
}

/// The reason where a payload is JSON, but no log file.
const NOT_CLOUDTRAIL: &str = "not_cloudtrail";

fn tell<E: Events>(text: &str, records: &[TrailRecord], compact: &mut Vec<u8>, events: &mut E) {
    for record in records {
        let raw = text.get(record.text.clone()).unwrap_or_default();
        let id = text.get(record.id.clone()).filter(|id| !id.is_empty());
        let message = one_line(raw, compact);
        events.event(Event { message: Message::Raw(message), timestamp: record.timestamp, id, part: None });
    }
}

/// Finds every record, or says why the payload is none of `CloudTrail`'s.
fn scan(text: &str, records: &mut Vec<TrailRecord>) -> Result<(), &'static str> {
    records.clear();
    let mut scanner = Scanner::new(text);
    while scanner.peek().is_some() {
        match log_file(&mut scanner, records) {
            Ok(true) => {}
            Ok(false) => return Err(NOT_CLOUDTRAIL),
            Err(Malformed) => return Err("json"),
        }
    }
    Ok(())
}

fn log_file(scanner: &mut Scanner<'_>, records: &mut Vec<TrailRecord>) -> Scanned<bool> {
    if scanner.peek() != Some(b'{') {
        return scanner.value().map(|_| false);
    }
    let (mut found, before) = (false, records.len());
    scanner.object(|scanner, name| {
        if unescape(name) != "Records" {
            return scanner.value().map(drop);
        }
        // Given twice, the last one counts.
        records.truncate(before);
        found = scanner.peek() == Some(b'[');
        if !found {
            return scanner.value().map(drop);
        }
        scanner.array(|scanner| {
            records.push(record(scanner)?);
            Ok(())
        })
    })?;
    Ok(found)
}

fn record(scanner: &mut Scanner<'_>) -> Scanned<TrailRecord> {
    scanner.peek();
    let start = scanner.at();
    let (mut id, mut timestamp) = (0..0, None);
    if scanner.peek() != Some(b'{') {
        let text = scanner.value()?;
        return Ok(TrailRecord { text: scanner.range(text), id, timestamp });
    }
    scanner.object(|scanner, name| {
        let wanted = matches!(name, "eventID" | "eventTime") && scanner.peek() == Some(b'"');
        if !wanted {
            return scanner.value().map(drop);
        }
        let inside = scanner.string()?;
        if name == "eventID" {
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
