//! Reads JSON in place: borrowed spans, no tree, strict about the grammar so that a span may be copied into other JSON.

use std::ops::Range;

use standpipe_simd::{BLOCK, Specials};

use super::strings::{self, Malformed, Scanned};

/// A position in JSON text.
#[derive(Clone, Debug)]
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

/// As deep as values may be nested.
const MAX_DEPTH: u8 = 128;

impl<'a> Scanner<'a> {
    pub(crate) const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The same, from `at` on.
    pub(crate) const fn from(text: &'a str, at: usize) -> Self {
        Self { text, at }
    }

    pub(crate) const fn at(&self) -> usize {
        self.at
    }

    /// What is left.
    pub(crate) fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Goes past so many bytes, which were looked at otherwise.
    pub(crate) fn pass(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes);
    }

    /// Where a part of the text stands in it.
    pub(crate) fn range(&self, part: &str) -> Range<usize> {
        if part.is_empty() {
            return 0..0;
        }
        let start = part.as_ptr().addr().saturating_sub(self.text.as_ptr().addr());
        start..start.saturating_add(part.len())
    }

    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    /// The next byte that is not white space.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = *self.bytes().get(self.at)?;
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    /// Goes past `byte` if it is next.
    pub(crate) fn takes(&mut self, byte: u8) -> bool {
        let next = self.peek() == Some(byte);
        self.at += usize::from(next);
        next
    }

    fn expect(&mut self, byte: u8) -> Scanned {
        if self.takes(byte) { Ok(()) } else { Err(Malformed) }
    }

    /// Reads an object; `field` is given each name, still escaped, and must read the value.
    pub(crate) fn object(&mut self, mut field: impl FnMut(&mut Self, &'a str) -> Scanned) -> Scanned {
        self.expect(b'{')?;
        if self.takes(b'}') {
            return Ok(());
        }
        loop {
            let name = self.string()?;
            self.expect(b':')?;
            field(self, name)?;
            if !self.takes(b',') {
                return self.expect(b'}');
            }
        }
    }

    /// Reads an array; `element` must read one value.
    pub(crate) fn array(&mut self, mut element: impl FnMut(&mut Self) -> Scanned) -> Scanned {
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

    /// Reads a string and returns its inside, still escaped, with every escape checked.
    pub(crate) fn string(&mut self) -> Scanned<&'a str> {
        self.expect(b'"')?;
        self.inside()
    }

    /// Reads on behind a string's opening quote.
    fn inside(&mut self) -> Scanned<&'a str> {
        self.inside_with(Specials::find)
    }

    /// The same with another way to find what is special in a block.
    #[expect(clippy::inline_always, reason = "as in `strings::end_with`")]
    #[inline(always)]
    pub(super) fn inside_with(&mut self, find: impl Fn(&[u8; BLOCK]) -> Specials + Copy) -> Scanned<&'a str> {
        let start = self.at;
        let end = strings::end_with(self.bytes(), start, find)?;
        self.at = end + 1;
        self.text.get(start..end).ok_or(Malformed)
    }

    /// Goes past `literal` if it is next, to the letter.
    #[inline]
    pub(crate) fn literal<const N: usize>(&mut self, literal: &[u8; N]) -> Scanned {
        let next = self.bytes().get(self.at..).and_then(<[u8]>::first_chunk);
        if next != Some(literal) {
            return Err(Malformed);
        }
        self.at += N;
        Ok(())
    }

    /// Reads a whole number without a sign, of so few digits that it surely fits. One that goes on otherwise is left to the caller.
    pub(crate) fn short_number(&mut self) -> Scanned<i64> {
        const MOST_DIGITS: usize = 18;
        let start = self.at;
        let front = self.bytes().get(start..).and_then(<[u8]>::first_chunk).copied().and_then(eight_digits);
        let mut number = front.unwrap_or(0);
        self.at += if front.is_some() { 8 } else { 0 };
        while let Some(byte) = self.here().filter(u8::is_ascii_digit) {
            if self.at - start == MOST_DIGITS {
                return Err(Malformed);
            }
            number = number * 10 + i64::from(byte - b'0');
            self.at += 1;
        }
        let zeros = self.at > start + 1 && self.bytes().get(start) == Some(&b'0');
        if self.at == start || zeros { Err(Malformed) } else { Ok(number) }
    }

    /// Reads any value and returns its text.
    pub(crate) fn value(&mut self) -> Scanned<&'a str> {
        self.peek();
        let start = self.at;
        self.skip(MAX_DEPTH)?;
        self.text.get(start..self.at).ok_or(Malformed)
    }

    fn skip(&mut self, depth: u8) -> Scanned {
        let deeper = depth.checked_sub(1).ok_or(Malformed)?;
        match self.peek().ok_or(Malformed)? {
            b'"' => self.string().map(drop),
            b'{' => self.object(|scanner, _| scanner.skip(deeper)),
            b'[' => self.array(|scanner| scanner.skip(deeper)),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ => self.number(),
        }
    }

    fn word(&mut self, word: &str) -> Scanned {
        if !self.rest().starts_with(word) {
            return Err(Malformed);
        }
        self.at += word.len();
        Ok(())
    }

    fn number(&mut self) -> Scanned {
        self.at += usize::from(self.here() == Some(b'-'));
        match self.here() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.here() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.here(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.here(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(())
    }

    fn here(&self) -> Option<u8> {
        self.bytes().get(self.at).copied()
    }

    fn digits(&mut self) -> Scanned {
        let start = self.at;
        while self.here().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err(Malformed) } else { Ok(()) }
    }
}

/// The number that eight digits make: neighbours are joined to pairs, those to fours, and those to all, each step for all at once.
fn eight_digits(text: [u8; 8]) -> Option<i64> {
    const ZEROS: u64 = 0x3030_3030_3030_3030;
    /// Brings what is above `9` into the highest bit.
    const ABOVE: u64 = 0x4646_4646_4646_4646;
    const HIGHEST: u64 = 0x8080_8080_8080_8080;
    let text = u64::from_le_bytes(text);
    let digits = text.wrapping_sub(ZEROS);
    if (digits | text.wrapping_add(ABOVE)) & HIGHEST != 0 {
        return None;
    }
    let join = |parts: u64, times: u64, bits: u32, mask: u64| {
        parts.wrapping_mul(times).wrapping_add(parts >> bits) & mask
    };
    let pairs = join(digits, 10, 8, 0x00ff_00ff_00ff_00ff);
    let fours = join(pairs, 100, 16, 0x0000_ffff_0000_ffff);
    i64::try_from(join(fours, 10_000, 32, 0xffff_ffff)).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// The scanner and serde must agree on whether `text` is one JSON value.
    #[track_caller]
    fn check(text: &str) {
        let mut scanner = Scanner::new(text);
        let ours = scanner.value().is_ok() && scanner.peek().is_none();
        let theirs = serde_json::from_str::<Value>(text).is_ok();
        assert_eq!(ours, theirs, "{text:?}");
    }

    #[test]
    fn the_grammar_is_json() {
        for text in [
            "{}",
            "[]",
            "[1,2]",
            "[1 2]",
            "[1,]",
            "{,}",
            r#"{"a":1,}"#,
            r#"{"a" 1}"#,
            r#"{"a":}"#,
            "",
            " ",
            "{",
            "-",
            "-0",
            "01",
            "1.",
            "1.5",
            ".5",
            "1e",
            "1e+5",
            "1E-0",
            "+1",
            "tru",
            "true",
            "truefalse",
            "nul",
            r#""a"#,
            r#""\x""#,
            r#""\u12""#,
            r#""\u00e9""#,
            r#""\ud83d\ude00""#,
            r#""\ud83d""#,
            r#""\ude00""#,
            r#""\ud83d\u0041""#,
            r#""\ud83dxxxxxx""#,
            "\"\u{1}\"",
            "\"tab\there\"",
            r#""\\""#,
            r#""\""#,
            "{1:2}",
            r#" { "a" : [ null , { } ] } "#,
            "[[[[]]]]",
            "]",
            "}",
            r#""é中😀""#,
        ] {
            check(text);
        }
        check(&"[".repeat(500));
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..8)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_short_number_is_read_as_digits_alone(text in "[0-9]{1,20}|[0-9]{0,10}[ -~]{1,2}[0-9]{0,10}") {
            let len = text.bytes().take_while(u8::is_ascii_digit).count();
            let (digits, _) = text.split_at(len);
            let is_number = (1..=18).contains(&len) && (len == 1 || !digits.starts_with('0'));
            let mut scanner = Scanner::new(&text);
            let read = scanner.short_number().ok();
            prop_assert_eq!(read, is_number.then(|| digits.parse().unwrap()));
            prop_assert!(read.is_none() || scanner.at() == len);
        }

        #[test]
        fn every_value_is_read_whole(value in values(), pretty: bool) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
            let mut scanner = Scanner::new(&text);
            prop_assert_eq!(scanner.value().unwrap(), text.as_str());
            prop_assert_eq!(scanner.peek(), None);
        }

        #[test]
        fn damaged_text_is_judged_as_serde_does(value in values(), at: prop::sample::Index, to: char) {
            let text = serde_json::to_string(&value).unwrap();
            let mut chars: Vec<char> = text.chars().collect();
            *at.get_mut(&mut chars) = to;
            let damaged: String = chars.into_iter().collect();
            // serde refuses numbers that no float can hold; as text they are JSON.
            let too_large = matches!(serde_json::from_str::<Value>(&damaged), Err(error) if error.to_string().contains("out of range"));
            prop_assume!(!too_large);
            check(&damaged);
        }
    }
}
