//! Reads a request's body piece by piece and finds the `records[].data` strings in it, in bounded memory.

/// Why a body cannot be read on.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BodyError {
    /// It is not JSON, or not a request's; why.
    #[error("the body is not the JSON of a Firehose request: {0}")]
    Malformed(&'static str),
    /// A record is longer than Firehose sends.
    #[error("a record's `data` is longer than {MAX_DATA} characters")]
    DataTooLong,
}

/// A record is at most 1,024,000 bytes, which is 1,365,336 characters of base64; and a margin.
pub(super) const MAX_DATA: usize = 1_365_336 + 4_096;

/// As much of a name, or of the request's id, as is looked at.
const MAX_WORD: usize = 256;

/// As deep as values may be nested.
const MAX_DEPTH: usize = 64;

/// An incremental scanner: any key order, unknown keys skipped, escapes understood.
#[derive(Debug, Default)]
pub struct BodyScanner {
    levels: Vec<JsonLevel>,
    expect: Expected,
    inside: ScanState,
    /// What the string being read is.
    kind: StringRole,
    /// The string's text so far, unescaped.
    text: Vec<u8>,
    key: KnownKey,
    request_id: Option<String>,
    found_records: bool,
    found_data: bool,
}

/// An object or array that is open.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum JsonLevel {
    Root,
    /// `records`
    Records,
    /// One of `records`
    Record,
    Object,
    Array,
}

/// What may come next, outside of strings and scalars.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Expected {
    #[default]
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    CommaOrEnd,
    Nothing,
}

#[derive(Clone, Copy, Debug, Default)]
enum ScanState {
    #[default]
    Structure,
    String,
    /// After a backslash.
    Escape,
    /// After `\u` and so many digits.
    Unicode {
        digits: u8,
        value: u32,
    },
    /// A number or a word.
    Scalar,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum StringRole {
    #[default]
    Ignored,
    Key,
    RequestId,
    Data,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum KnownKey {
    #[default]
    Other,
    RequestId,
    Records,
    Data,
}

impl BodyScanner {
    /// Reads on until a record's data is whole, and returns it: base64 as it stood. None: the input is used up.
    ///
    /// # Errors
    /// When the body cannot be a request's, whatever follows.
    pub fn next<'s, 'i: 's>(&'s mut self, input: &mut &'i [u8]) -> Result<Option<&'s [u8]>, BodyError> {
        while let Some((byte, rest)) = input.split_first() {
            if !matches!(self.inside, ScanState::String) {
                *input = if self.step(*byte)? { rest } else { input };
                continue;
            }
            let len = memchr::memchr2(b'"', b'\\', input).unwrap_or(input.len());
            let (run, rest) = input.split_at_checked(len).unwrap_or((input, &[]));
            let Some((special, rest)) = rest.split_first() else {
                self.gather(run)?;
                *input = &[];
                return Ok(None);
            };
            *input = rest;
            if *special == b'\\' {
                self.gather(run)?;
                self.inside = ScanState::Escape;
            } else if self.kind == StringRole::Data {
                self.end_string();
                self.found_data = true;
                if self.text.is_empty() {
                    // Whole in one piece: no copy.
                    return if run.len() > MAX_DATA { Err(BodyError::DataTooLong) } else { Ok(Some(run)) };
                }
                self.gather(run)?;
                return Ok(Some(&self.text));
            } else {
                self.gather(run)?;
                self.end_word();
            }
        }
        Ok(None)
    }

    /// The body has ended.
    ///
    /// # Errors
    /// When it ended too early, or was not a request's.
    pub fn finish(&self) -> Result<(), BodyError> {
        match (self.expect, self.found_records) {
            (Expected::Nothing, true) => Ok(()),
            (Expected::Nothing, false) => Err(BodyError::Malformed("there are no `records`")),
            _ => Err(BodyError::Malformed("it ends too early")),
        }
    }

    /// How many bytes there are of a record that is not whole.
    pub(super) fn gathered(&self) -> usize {
        if self.is_in_string() && self.kind == StringRole::Data { self.text.len() } else { 0 }
    }

    /// Gives back what it does not need.
    pub(super) fn shrink(&mut self) {
        if !self.is_in_string() {
            self.text.clear();
        }
        self.text.shrink_to_fit();
    }

    fn is_in_string(&self) -> bool {
        matches!(self.inside, ScanState::String | ScanState::Escape | ScanState::Unicode { .. })
    }

    /// The body's own request id.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    fn gather(&mut self, run: &[u8]) -> Result<(), BodyError> {
        let most = match self.kind {
            StringRole::Ignored => return Ok(()),
            StringRole::Data if self.text.len().saturating_add(run.len()) > MAX_DATA => {
                return Err(BodyError::DataTooLong);
            }
            StringRole::Data => run.len(),
            StringRole::Key | StringRole::RequestId => MAX_WORD.saturating_sub(self.text.len()),
        };
        self.text.extend_from_slice(run.get(..most).unwrap_or(run));
        Ok(())
    }

    /// Takes one byte outside of a string's plain text. False: the byte is to be looked at again.
    fn step(&mut self, byte: u8) -> Result<bool, BodyError> {
        match self.inside {
            ScanState::Structure | ScanState::String => self.structure(byte)?,
            ScanState::Escape => self.escape(byte)?,
            ScanState::Unicode { digits, value } => self.unicode(byte, digits, value)?,
            ScanState::Scalar => {
                let goes_on = byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
                if !goes_on {
                    self.inside = ScanState::Structure;
                }
                return Ok(goes_on);
            }
        }
        Ok(true)
    }

    fn escape(&mut self, byte: u8) -> Result<(), BodyError> {
        self.inside = ScanState::String;
        let plain = match byte {
            b'"' | b'\\' | b'/' => byte,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'b' => 8,
            b'f' => 12,
            b'u' => {
                self.inside = ScanState::Unicode { digits: 0, value: 0 };
                return Ok(());
            }
            _ => return Err(BodyError::Malformed("a string has an unknown escape")),
        };
        self.gather(&[plain])
    }

    fn unicode(&mut self, byte: u8, digits: u8, value: u32) -> Result<(), BodyError> {
        let digit =
            char::from(byte).to_digit(16).ok_or(BodyError::Malformed("a string has an unknown escape"))?;
        let value = value << 4 | digit;
        if digits < 3 {
            self.inside = ScanState::Unicode { digits: digits.saturating_add(1), value };
            return Ok(());
        }
        self.inside = ScanState::String;
        // Half a surrogate pair stands for nothing that is looked for here.
        let c = char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER);
        self.gather(c.encode_utf8(&mut [0; 4]).as_bytes())
    }

    fn structure(&mut self, byte: u8) -> Result<(), BodyError> {
        match (byte, self.expect) {
            (b' ' | b'\t' | b'\r' | b'\n', _) => {}
            (b'"', Expected::Key | Expected::KeyOrEnd) => self.begin_string(StringRole::Key),
            (b':', Expected::Colon) => self.expect = Expected::Value,
            (b',', Expected::CommaOrEnd) => {
                let in_array = matches!(self.levels.last(), Some(JsonLevel::Records | JsonLevel::Array));
                self.expect = if in_array { Expected::Value } else { Expected::Key };
            }
            (b'}', Expected::KeyOrEnd | Expected::CommaOrEnd) => self.close(false)?,
            (b']', Expected::ValueOrEnd | Expected::CommaOrEnd) => self.close(true)?,
            (_, Expected::Value | Expected::ValueOrEnd) => self.value(byte)?,
            _ => return Err(BodyError::Malformed("its syntax is wrong")),
        }
        Ok(())
    }

    fn value(&mut self, byte: u8) -> Result<(), BodyError> {
        let level = self.levels.last().copied();
        let is_data = level == Some(JsonLevel::Record) && self.key == KnownKey::Data;
        match byte {
            b'"' if level == Some(JsonLevel::Records) => return Err(NO_RECORD),
            b'"' if is_data => self.begin_string(StringRole::Data),
            b'"' if level == Some(JsonLevel::Root) && self.key == KnownKey::RequestId => {
                self.begin_string(StringRole::RequestId);
            }
            b'"' if level.is_some() => self.begin_string(StringRole::Ignored),
            _ if is_data => return Err(BodyError::Malformed("a record's `data` is not a string")),
            b'{' => self.open(match level {
                None => JsonLevel::Root,
                Some(JsonLevel::Records) => JsonLevel::Record,
                Some(_) => JsonLevel::Object,
            })?,
            _ if level == Some(JsonLevel::Records) => return Err(NO_RECORD),
            b'[' if level == Some(JsonLevel::Root) && self.key == KnownKey::Records => {
                self.open(JsonLevel::Records)?;
            }
            b'[' if level.is_some() => self.open(JsonLevel::Array)?,
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' if level.is_some() => {
                self.inside = ScanState::Scalar;
                self.expect = Expected::CommaOrEnd;
            }
            _ => return Err(BodyError::Malformed("it is not an object")),
        }
        Ok(())
    }

    fn open(&mut self, level: JsonLevel) -> Result<(), BodyError> {
        if self.levels.len() >= MAX_DEPTH {
            return Err(BodyError::Malformed("it is nested too deep"));
        }
        self.levels.push(level);
        self.found_records |= level == JsonLevel::Records;
        self.found_data &= level != JsonLevel::Record;
        let is_array = matches!(level, JsonLevel::Records | JsonLevel::Array);
        self.expect = if is_array { Expected::ValueOrEnd } else { Expected::KeyOrEnd };
        Ok(())
    }

    fn close(&mut self, array: bool) -> Result<(), BodyError> {
        match (self.levels.pop(), array) {
            (Some(JsonLevel::Records | JsonLevel::Array), true)
            | (Some(JsonLevel::Root | JsonLevel::Object), false) => {}
            (Some(JsonLevel::Record), false) if self.found_data => {}
            (Some(JsonLevel::Record), false) => return Err(BodyError::Malformed("a record has no `data`")),
            _ => return Err(BodyError::Malformed("its brackets do not match")),
        }
        self.expect = if self.levels.is_empty() { Expected::Nothing } else { Expected::CommaOrEnd };
        Ok(())
    }

    fn begin_string(&mut self, kind: StringRole) {
        self.kind = kind;
        self.text.clear();
        self.inside = ScanState::String;
    }

    fn end_string(&mut self) {
        self.inside = ScanState::Structure;
        self.expect = if self.kind == StringRole::Key { Expected::Colon } else { Expected::CommaOrEnd };
    }

    fn end_word(&mut self) {
        self.end_string();
        match self.kind {
            StringRole::Key => {
                self.key = match self.text.as_slice() {
                    b"requestId" => KnownKey::RequestId,
                    b"records" => KnownKey::Records,
                    b"data" => KnownKey::Data,
                    _ => KnownKey::Other,
                }
            }
            StringRole::RequestId => self.request_id = Some(String::from_utf8_lossy(&self.text).into_owned()),
            StringRole::Ignored | StringRole::Data => {}
        }
    }
}

const NO_RECORD: BodyError = BodyError::Malformed("one of `records` is not an object");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// Scans `body` in pieces of `size` bytes.
    fn scan(body: &[u8], size: usize) -> Result<(Vec<String>, Option<String>), BodyError> {
        let mut scanner = BodyScanner::default();
        let mut found = Vec::new();
        for mut piece in body.chunks(size) {
            while let Some(data) = scanner.next(&mut piece)? {
                found.push(String::from_utf8_lossy(data).into_owned());
            }
        }
        scanner.finish()?;
        Ok((found, scanner.request_id().map(str::to_owned)))
    }

    #[track_caller]
    fn check(body: &str, id: Option<&str>, data: &[&str]) {
        for size in 1..=body.len() {
            let (found, found_id) = scan(body.as_bytes(), size).unwrap();
            assert_eq!(found, data, "in pieces of {size}");
            assert_eq!(found_id.as_deref(), id);
        }
    }

    #[test]
    fn data_is_found_in_any_order_and_at_its_depth_only() {
        check(
            r#"{"requestId":"r","timestamp":1,"records":[{"data":"YQ=="},{"data":""}]}"#,
            Some("r"),
            &["YQ==", ""],
        );
        check(
            r#" { "records" : [ { "data" : "YQ" , "x" : {"data":"no"} } ] , "requestId" : "r" } "#,
            Some("r"),
            &["YQ"],
        );
        check(
            r#"{"x":{"records":[{"data":"no"}]},"data":"no","records":[{"y":["data"],"data":"yes"}],"n":-1.5e3}"#,
            None,
            &["yes"],
        );
        check(r#"{"records":[]}"#, None, &[]);
        check(r#"{"r\u0065cords":[{"data":"a\/b\u003d\u002B"}]}"#, None, &["a/b=+"]);
    }

    #[test]
    fn a_body_of_another_form_is_refused() {
        for body in [
            "",
            "[]",
            "\"a\"",
            "1",
            "{}",
            r#"{"records":{}}"#,
            r#"{"records":[1]}"#,
            r#"{"records":[{}]}"#,
            r#"{"records":["a"]}"#,
            r#"{"records":[{"data":1}]}"#,
            r#"{"records":[{"data":"a"}"#,
            r#"{"records":[{"data":"a"}]}}"#,
            r#"{"records":[]} x"#,
            r#"{"records":[{"data":"\x"}]}"#,
            r#"{"records":[{"data" "a"}]}"#,
            r#"{"records":[{"data":"a"]}"#,
            r#"{"records":[]]"#,
        ] {
            assert!(scan(body.as_bytes(), 3).is_err(), "{body}");
        }
    }

    #[test]
    fn a_data_string_is_bounded() {
        let body = format!(r#"{{"records":[{{"data":"{}"}}]}}"#, "A".repeat(MAX_DATA + 1));
        assert_eq!(scan(body.as_bytes(), body.len()), Err(BodyError::DataTooLong));
        assert_eq!(scan(body.as_bytes(), 1_000), Err(BodyError::DataTooLong));
    }

    proptest! {
        #[test]
        fn scanning_finds_what_serde_finds(data in prop::collection::vec("[A-Za-z0-9+/=]{0,30}", 0..10), extra: String, pretty: bool, size in 1_usize..50) {
            let records: Vec<Value> = data.iter().map(|data| json!({"a": extra, "data": data, "z": [extra]})).collect();
            let body = json!({"requestId": "r", "timestamp": 1, "records": records, "zzz": {"records": extra}});
            let body = if pretty { serde_json::to_vec_pretty(&body) } else { serde_json::to_vec(&body) }.unwrap();
            prop_assert_eq!(scan(&body, size).unwrap().0, data);
        }

        #[test]
        fn no_bytes_break_the_scanner(bytes in prop::collection::vec(any::<u8>(), 0..100), size in 1_usize..20) {
            scan(&bytes, size).ok();
        }
    }
}
