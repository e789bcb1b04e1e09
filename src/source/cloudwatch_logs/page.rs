//! A page of `FilterLogEvents` as it came: where its events stand in the bytes. Pure; nothing is unescaped or copied.

use std::ops::Range;

/// Where a JSON value stands in a page.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct ValueSpan {
    from: u32,
    end: u32,
}

impl ValueSpan {
    fn new(range: Range<usize>) -> Option<Self> {
        Some(Self { from: u32::try_from(range.start).ok()?, end: u32::try_from(range.end).ok()? })
    }

    /// The value's text, with the quotes of a string; empty where the page has none.
    pub(super) fn of(self, page: &[u8]) -> &[u8] {
        page.get(self.from as usize..self.end as usize).unwrap_or_default()
    }
}

/// An event of a page.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct PageEvent {
    pub(super) id: ValueSpan,
    pub(super) stream: ValueSpan,
    pub(super) message: ValueSpan,
    /// In milliseconds since 1970.
    pub(super) timestamp: i64,
    /// When the service took it, in the same; 0: it does not say.
    pub(super) ingested: i64,
}

/// A page.
#[derive(Debug, Default)]
pub(super) struct LogPage {
    pub(super) events: Vec<PageEvent>,
    /// Where the next page begins; none: this is the last.
    pub(super) token: Option<String>,
}

/// The bytes are not a page.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct NotAPage;

/// As deep as values may be nested.
const MAX_DEPTH: u8 = 64;

impl LogPage {
    /// Finds the events of a page.
    pub(super) fn scan(bytes: &[u8]) -> Result<Self, NotAPage> {
        let mut page = Self::default();
        let mut scanner = PageScanner { bytes, at: 0 };
        let mut has_events = false;
        scanner.object(|scanner, name| {
            match name {
                b"events" => {
                    has_events = true;
                    scanner.array(|scanner| {
                        page.events.push(event(scanner)?);
                        Ok(())
                    })?;
                }
                b"nextToken" => {
                    let text = scanner.value()?;
                    page.token = serde_json::from_slice(text.of(bytes)).map_err(|_| NotAPage)?;
                }
                _ => drop(scanner.value()?),
            }
            Ok(())
        })?;
        let rest = bytes.get(scanner.at..).unwrap_or_default();
        if has_events && rest.trim_ascii().is_empty() { Ok(page) } else { Err(NotAPage) }
    }
}

fn event(scanner: &mut PageScanner<'_>) -> Result<PageEvent, NotAPage> {
    let mut event = PageEvent::default();
    scanner.object(|scanner, name| {
        match name {
            b"eventId" => event.id = scanner.value()?,
            b"logStreamName" => event.stream = scanner.value()?,
            b"message" => event.message = scanner.value()?,
            b"timestamp" => event.timestamp = scanner.number()?,
            b"ingestionTime" => event.ingested = scanner.number()?,
            _ => drop(scanner.value()?),
        }
        Ok(())
    })?;
    Ok(event)
}

struct PageScanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> PageScanner<'a> {
    fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = *self.bytes.get(self.at)?;
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    fn takes(&mut self, byte: u8) -> bool {
        let next = self.peek() == Some(byte);
        self.at += usize::from(next);
        next
    }

    fn expect(&mut self, byte: u8) -> Result<(), NotAPage> {
        if self.takes(byte) { Ok(()) } else { Err(NotAPage) }
    }

    /// Reads an object; `field` is given each name as it is written, and must read the value.
    fn object(
        &mut self,
        mut field: impl FnMut(&mut Self, &'a [u8]) -> Result<(), NotAPage>,
    ) -> Result<(), NotAPage> {
        self.expect(b'{')?;
        if self.takes(b'}') {
            return Ok(());
        }
        loop {
            self.peek();
            let name = self.string()?;
            let name = self.bytes.get(name.start + 1..name.end.saturating_sub(1)).ok_or(NotAPage)?;
            self.expect(b':')?;
            field(self, name)?;
            if !self.takes(b',') {
                return self.expect(b'}');
            }
        }
    }

    /// Reads an array; `element` must read one value.
    fn array(&mut self, mut element: impl FnMut(&mut Self) -> Result<(), NotAPage>) -> Result<(), NotAPage> {
        self.expect(b'[')?;
        if self.takes(b']') {
            return Ok(());
        }
        loop {
            element(self)?;
            if !self.takes(b',') {
                return self.expect(b']');
            }
        }
    }

    /// Reads a string, with its quotes.
    fn string(&mut self) -> Result<Range<usize>, NotAPage> {
        let start = self.at;
        self.expect(b'"')?;
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let found = memchr::memchr2(b'"', b'\\', rest).ok_or(NotAPage)?;
            let is_end = rest.get(found) == Some(&b'"');
            self.at += found + if is_end { 1 } else { 2 };
            if is_end {
                return Ok(start..self.at);
            }
        }
    }

    /// Reads any value.
    fn value(&mut self) -> Result<ValueSpan, NotAPage> {
        self.peek();
        let start = self.at;
        self.skip(MAX_DEPTH)?;
        ValueSpan::new(start..self.at).ok_or(NotAPage)
    }

    fn skip(&mut self, depth: u8) -> Result<(), NotAPage> {
        let deeper = depth.checked_sub(1).ok_or(NotAPage)?;
        match self.peek().ok_or(NotAPage)? {
            b'"' => self.string().map(drop),
            b'{' => self.object(|scanner, _| scanner.skip(deeper)),
            b'[' => self.array(|scanner| scanner.skip(deeper)),
            _ => self.word(),
        }
    }

    /// A number, `true`, `false` or `null`.
    fn word(&mut self) -> Result<(), NotAPage> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.');
        let len = rest.iter().take_while(|byte| is_part(byte)).count();
        let word = rest.get(..len).unwrap_or_default();
        serde_json::from_slice::<serde::de::IgnoredAny>(word).map_err(|_| NotAPage)?;
        self.at += len;
        Ok(())
    }

    fn number(&mut self) -> Result<i64, NotAPage> {
        let text = self.value()?.of(self.bytes);
        // What is no whole number of milliseconds is none that the service writes.
        serde_json::from_slice(text).map_err(|_| NotAPage)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn text(span: ValueSpan, page: &[u8]) -> String {
        serde_json::from_slice(span.of(page)).unwrap()
    }

    #[test]
    fn events_are_found_whatever_stands_around_them() {
        let page = br#" { "searchedLogStreams" : [{"a":[1,-2.5e3,true,null]}],
            "events": [ {"eventId":"1","ingestionTime":7,"logStreamName":"s\"x","message":"a \\\" b\n","timestamp":5} ,
            {"timestamp":-6,"message":"","x":{"message":"no"}} ], "nextToken":"a\/b" } "#;
        let found = LogPage::scan(page).unwrap();
        assert_eq!(found.token.as_deref(), Some("a/b"));
        let [first, second] = found.events[..] else { panic!("{found:?}") };
        assert_eq!((first.timestamp, first.ingested, second.timestamp), (5, 7, -6));
        assert_eq!(
            (text(first.stream, page), text(first.message, page)),
            ("s\"x".into(), "a \\\" b\n".into())
        );
        assert_eq!((text(second.message, page), second.id.of(page)), (String::new(), &b""[..]));
    }

    #[test]
    fn a_page_without_events_may_go_on() {
        let found = LogPage::scan(br#"{"events":[],"nextToken":"t"}"#).unwrap();
        assert_eq!((found.events.len(), found.token.as_deref()), (0, Some("t")));
        assert_eq!(LogPage::scan(br#"{"events":[],"nextToken":null}"#).unwrap().token, None);
    }

    #[test]
    fn what_is_no_page_is_refused() {
        for page in [
            "",
            "{}",
            "[]",
            r#"{"events":{}}"#,
            r#"{"events":[{"timestamp":"5"}]}"#,
            r#"{"events":[]"#,
            r#"{"events":[{"message":"\"}]}"#,
            r#"{"events":[]}x"#,
            r#"{"events":[{"timestamp":01}]}"#,
        ] {
            assert_eq!(LogPage::scan(page.as_bytes()).err(), Some(NotAPage), "{page}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            drop(LogPage::scan(&bytes));
        }

        #[test]
        fn it_finds_what_a_parser_finds(
            events in proptest::collection::vec((".{0,20}", ".{0,60}", any::<i64>()), 0..20),
            token in proptest::option::of(".{1,9}"),
        ) {
            let list: Vec<Value> = events.iter().enumerate().map(|(id, (stream, message, time))| {
                json!({"eventId": id.to_string(), "logStreamName": stream, "message": message, "timestamp": time})
            }).collect();
            let page = json!({"events": list, "nextToken": token}).to_string();
            let page = page.as_bytes();
            let found = LogPage::scan(page).unwrap();
            prop_assert_eq!(found.token, token);
            let read: Vec<(String, String, i64)> = found.events.iter()
                .map(|event| (text(event.stream, page), text(event.message, page), event.timestamp)).collect();
            prop_assert_eq!(read, events);
        }
    }
}
