//! Messages that are objects: JSON as it is, and what is made of logfmt and of access logs.

use std::io::Write;

use crate::batch::{ObjectMessage, escape, unescape};
use crate::config::{MessageParse, ParsedTime, TimeFormat};
use crate::decode::{ObjectText, json_object, json_string};
use crate::event::{Event, Message, Timestamp};

/// What a source's messages are.
#[derive(Clone, Debug)]
pub(crate) struct MessageParser {
    /// How they are read.
    pub(crate) parse: MessageParse,
    /// The field that tells an event's time.
    pub(crate) time: Option<ParsedTime>,
}

/// A worker's buffers for messages that are read.
#[derive(Debug, Default)]
pub(super) struct ParseScratch {
    plain: Vec<u8>,
    object: Vec<u8>,
}

/// A buffer is kept up to this size.
const KEEP_BYTES: usize = 1 << 20;

/// A message that was read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct ParsedMessage<'a> {
    /// As a JSON object.
    pub(super) object: ObjectMessage<'a>,
    /// The time that it tells; none: it tells none, or none is asked for.
    pub(super) time: Option<Timestamp>,
}

impl MessageParser {
    /// A message's object is at most so many times as long.
    pub(super) const fn growth(&self) -> usize {
        match self.parse {
            MessageParse::Json => 1,
            MessageParse::Logfmt | MessageParse::Clf => 5,
        }
    }

    /// Whether a message that was read lacks the time that it is to tell.
    pub(super) const fn lacks_time(&self, parsed: &ParsedMessage<'_>) -> bool {
        self.time.is_some() && parsed.time.is_none()
    }

    /// Reads a message; none: it is something else, or a part of one.
    pub(super) fn parse<'s>(
        &self,
        event: &Event<'s>,
        scratch: &'s mut ParseScratch,
    ) -> Option<ParsedMessage<'s>> {
        if event.part.is_some() {
            return None;
        }
        let ParseScratch { plain, object } = scratch;
        plain.shrink_to(KEEP_BYTES);
        object.shrink_to(KEEP_BYTES);
        let text: &'s [u8] = match event.message {
            Message::Raw(bytes) => bytes,
            Message::Escaped(inside) if !inside.contains('\\') => inside.as_bytes(),
            Message::Escaped(inside) => {
                plain.clear();
                unescape(inside, plain);
                plain
            }
        };
        let made: &'s [u8] = match self.parse {
            MessageParse::Json => text,
            MessageParse::Logfmt => logfmt(text, object).then_some(&*object)?,
            MessageParse::Clf => clf(text, object).then_some(&*object)?,
        };
        let field = self.time.as_ref().map(|time| &*time.field);
        let ObjectText { text, has_breaks, field } = json_object(made, field)?;
        let time = self.time.as_ref().zip(field).and_then(|(time, value)| time_of(time.format, value));
        Some(ParsedMessage { object: ObjectMessage { text, has_breaks }, time })
    }
}

/// The time that a JSON scalar tells, a string without its quotes.
fn time_of(format: TimeFormat, text: &str) -> Option<Timestamp> {
    let number = |thousands: i64| {
        let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
        let whole: i64 = whole.parse().ok()?;
        let digits: String = rest.chars().chain("000".chars()).take(3).collect();
        let part: i64 = digits.parse().ok()?;
        let part = if thousands == 1 { 0 } else { part };
        let part = if text.starts_with('-') { -part } else { part };
        whole.checked_mul(thousands)?.checked_add(part).map(Timestamp)
    };
    match format {
        TimeFormat::Rfc3339 => Timestamp::from_any_rfc3339(text),
        TimeFormat::Unix => number(1_000),
        TimeFormat::UnixMs => number(1),
        TimeFormat::Clf => clf_time(text),
    }
}

/// `10/Oct/2026:13:55:36 -0700`
fn clf_time(text: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (day, rest) = text.split_once("\\/").or_else(|| text.split_once('/'))?;
    let (month, rest) = rest.split_once("\\/").or_else(|| rest.split_once('/'))?;
    let (year, rest) = rest.split_once(':')?;
    let (clock, zone) = rest.split_once(' ')?;
    let month = MONTHS.iter().position(|known| *known == month)?.saturating_add(1);
    let (hours, minutes) = zone.split_at_checked(3)?;
    Timestamp::from_any_rfc3339(&format!("{year}-{month:02}-{day}T{clock}{hours}:{minutes}"))
}

/// Writes `"name":`, after a comma where others were before it.
fn member(out: &mut Vec<u8>, name: &[u8]) {
    out.extend_from_slice(if out.len() > 1 { b",\"" } else { b"\"" });
    escape(name, out);
    out.extend_from_slice(b"\":");
}

fn string(out: &mut Vec<u8>, value: &[u8]) {
    out.push(b'"');
    escape(value, out);
    out.push(b'"');
}

/// Makes an object of `name=value name="quoted value" name`; whether there is a name with a value.
fn logfmt(text: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    out.push(b'{');
    let mut has_value = false;
    // What is left from the first quoted value on: looked at once, however many there are.
    let mut tail: Option<&str> = None;
    let mut rest = text.trim_ascii();
    while !rest.is_empty() {
        let len =
            rest.iter().position(|byte| *byte == b'=' || byte.is_ascii_whitespace()).unwrap_or(rest.len());
        let (name, after) = rest.split_at(len);
        if name.is_empty() || name.contains(&b'"') {
            return false;
        }
        member(out, name);
        let Some(value) = after.strip_prefix(b"=") else {
            out.extend_from_slice(b"true");
            rest = after.trim_ascii_start();
            continue;
        };
        has_value = true;
        let after = if value.starts_with(b"\"") {
            let left = match tail {
                Some(tail) => tail.get(tail.len().saturating_sub(value.len())..),
                None => str::from_utf8(value).ok(),
            };
            tail = left;
            let Some((quoted, after)) = left.and_then(json_string) else { return false };
            out.extend_from_slice(quoted.as_bytes());
            after.as_bytes()
        } else {
            let len = value.iter().position(u8::is_ascii_whitespace).unwrap_or(value.len());
            let (bare, after) = value.split_at(len);
            string(out, bare);
            after
        };
        if after.first().is_some_and(|byte| !byte.is_ascii_whitespace()) {
            return false;
        }
        rest = after.trim_ascii_start();
    }
    out.push(b'}');
    has_value
}

/// Makes an object of a line of an access log, in the common or the combined format; whether it is one.
fn clf(text: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    out.push(b'{');
    let made = clf_fields(text.trim_ascii(), out).is_some();
    out.push(b'}');
    made
}

fn clf_fields(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut rest = text;
    for name in ["host", "ident", "user"] {
        let (word, after) = upto(rest, b' ')?;
        optional(out, name, word);
        rest = after;
    }
    let (time, after) = upto(rest.strip_prefix(b"[")?, b']')?;
    member(out, b"time");
    string(out, time);
    let (request, after) = quoted(after.strip_prefix(b" ")?)?;
    optional(out, "request", request);
    let (status, after) = upto(after.strip_prefix(b" ")?, b' ')?;
    let (bytes, mut rest) = upto(after, b' ').unwrap_or((after, b""));
    for (name, value) in [("status", status), ("bytes", bytes)] {
        let text = str::from_utf8(value).ok()?;
        if text != "-" {
            write!(out, "{}\"{name}\":{}", if out.len() > 1 { "," } else { "" }, text.parse::<u64>().ok()?)
                .ok()?;
        }
    }
    for name in ["referer", "agent"] {
        if rest.is_empty() {
            return Some(());
        }
        let (value, after) = quoted(rest)?;
        optional(out, name, value);
        rest = after.strip_prefix(b" ").unwrap_or(after);
    }
    // What a server adds to the combined format is kept as it is.
    if !rest.is_empty() {
        optional(out, "more", rest);
    }
    Some(())
}

/// A hyphen stands for nothing.
fn optional(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    if value != b"-" {
        member(out, name.as_bytes());
        string(out, value);
    }
}

fn upto(text: &[u8], end: u8) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(end, text)?;
    Some((text.get(..at)?, text.get(at.checked_add(1)?..)?))
}

/// What stands between quotes, as it is written: a backslash may escape a quote.
fn quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let inside = text.strip_prefix(b"\"")?;
    let mut is_escaped = false;
    let end = inside.iter().position(|byte| {
        let ends = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        ends
    })?;
    Some((inside.get(..end)?, inside.get(end.checked_add(1)?..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(parse: MessageParse, text: &str, expected: Option<&str>) {
        let parser = MessageParser { parse, time: None };
        let mut scratch = ParseScratch::default();
        let event = Event { message: Message::Raw(text.as_bytes()), timestamp: None, id: None, part: None };
        let object = |parsed: Option<ParsedMessage<'_>>| {
            parsed.map(|parsed| String::from_utf8(parsed.object.text.to_vec()).unwrap())
        };
        assert_eq!(object(parser.parse(&event, &mut scratch)).as_deref(), expected, "{text}");
        let quoted = serde_json::to_string(text).unwrap();
        let inside = quoted.strip_prefix('"').and_then(|quoted| quoted.strip_suffix('"')).unwrap();
        let message = Message::Escaped(inside);
        let event = Event { message, ..event };
        assert_eq!(object(parser.parse(&event, &mut scratch)).as_deref(), expected, "escaped: {text}");
    }

    #[test]
    fn a_message_that_is_an_object_is_taken_to_the_letter() {
        let check = |text, expected| check(MessageParse::Json, text, expected);
        check(r#"{"a":1,"b":"é\n","c":[{}]}"#, Some(r#"{"a":1,"b":"é\n","c":[{}]}"#));
        check(" {} ", Some("{}"));
        for text in ["", "plain", "[1]", "1", "{", r#"{"a":01}"#, r#"{"a":1} x"#, r#"{"a":"\ud800"}"#] {
            check(text, None);
        }
    }

    #[test]
    fn logfmt_becomes_an_object_of_strings() {
        let check = |text, expected| check(MessageParse::Logfmt, text, expected);
        check(
            "level=info msg=\"a \\\"b\\\"\" debug n=1",
            Some(r#"{"level":"info","msg":"a \"b\"","debug":true,"n":"1"}"#),
        );
        check("a= b=c\\d", Some(r#"{"a":"","b":"c\\d"}"#));
        for text in ["", "plain words", "=x", "a=\"open", "a=\"b\"c", "\"q\"=1"] {
            check(text, None);
        }
    }

    #[test]
    fn logfmt_of_many_quoted_values_is_read_in_one_pass() {
        // Looked at anew for each value, these would be 250 GB.
        let text = "a=\"é\" ".repeat(1 << 18);
        let mut object = Vec::new();
        assert!(logfmt(text.as_bytes(), &mut object));
        assert_eq!(object.len(), (9 << 18) + 1);
        // Bytes that are no text are repaired before the quoted values, and nowhere behind them.
        assert!(logfmt(b"a=\xff b=\"c\" d=\"e\"", &mut object));
        assert_eq!(String::from_utf8_lossy(&object), "{\"a\":\"\u{fffd}\",\"b\":\"c\",\"d\":\"e\"}");
        assert!(!logfmt(b"a=\"b\" c=\xff", &mut object));
    }

    #[test]
    fn a_line_of_an_access_log_becomes_an_object() {
        let check = |text, expected| check(MessageParse::Clf, text, expected);
        let common = r#"10.0.0.1 - bob [10/Oct/2026:13:55:36 -0700] "GET /a?\"b\" HTTP/1.1" 200 -"#;
        check(
            common,
            Some(
                r#"{"host":"10.0.0.1","user":"bob","time":"10/Oct/2026:13:55:36 -0700","request":"GET /a?\\\"b\\\" HTTP/1.1","status":200}"#,
            ),
        );
        let combined = r#"::1 - - [10/Oct/2026:13:55:36 -0700] "-" 408 0 "-" "curl/8" 12"#;
        check(
            combined,
            Some(
                r#"{"host":"::1","time":"10/Oct/2026:13:55:36 -0700","status":408,"bytes":0,"agent":"curl/8","more":"12"}"#,
            ),
        );
        for text in ["", "plain words of a line", r#"h - - [t] "x" y 1"#, r#"h - - [t] "x"#] {
            check(text, None);
        }
    }

    #[test]
    fn the_time_of_an_event_is_told_by_a_field() {
        let check = |format, text: &str, expected: Option<i64>| {
            let time = Some(ParsedTime { field: "ts".into(), format });
            let parser = MessageParser { parse: MessageParse::Json, time };
            let event =
                Event { message: Message::Raw(text.as_bytes()), timestamp: None, id: None, part: None };
            let mut scratch = ParseScratch::default();
            let parsed = parser.parse(&event, &mut scratch).unwrap();
            assert_eq!(parsed.time, expected.map(Timestamp), "{text}");
            assert_eq!(parser.lacks_time(&parsed), expected.is_none());
        };
        check(TimeFormat::Rfc3339, r#"{"a":{"ts":1},"ts":"1970-01-01T00:00:01.5Z"}"#, Some(1_500));
        check(TimeFormat::Unix, r#"{"ts":1.25}"#, Some(1_250));
        check(TimeFormat::Unix, r#"{"ts":"-2"}"#, Some(-2_000));
        check(TimeFormat::UnixMs, r#"{"ts":1700000000123}"#, Some(1_700_000_000_123));
        check(TimeFormat::Clf, r#"{"ts":"01/Jan/1970:01:00:00 +0100"}"#, Some(0));
        for text in [r#"{"ts":null}"#, r#"{"ts":"soon"}"#, r#"{"a":1}"#] {
            check(TimeFormat::Unix, text, None);
            check(TimeFormat::Rfc3339, text, None);
            check(TimeFormat::Clf, text, None);
        }
    }
}
