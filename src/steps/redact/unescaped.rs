//! The inside of a JSON string without its escapes, and where each byte of it stood.

use std::ops::Range;

/// A text without escapes, and the places of those.
#[derive(Debug, Default)]
pub(super) struct UnescapedText {
    pub(super) text: Vec<u8>,
    escapes: Vec<EscapePlace>,
}

/// Where an escape stood, and what stands there now.
#[derive(Clone, Copy, Debug)]
struct EscapePlace {
    at: usize,
    len: u8,
    plain_at: usize,
    plain_len: u8,
}

impl EscapePlace {
    fn end(self) -> usize {
        self.at.saturating_add(usize::from(self.len))
    }

    fn plain_end(self) -> usize {
        self.plain_at.saturating_add(usize::from(self.plain_len))
    }
}

impl UnescapedText {
    /// Takes the inside of a JSON string. What is no escape stays as it is.
    pub(super) fn fill(&mut self, inside: &[u8]) {
        self.text.clear();
        self.escapes.clear();
        let mut at = 0;
        while let Some(found) = memchr::memchr(b'\\', inside.get(at..).unwrap_or_default()) {
            let begin = at.saturating_add(found);
            self.text.extend_from_slice(inside.get(at..begin).unwrap_or_default());
            let (stands_for, len) = escape(inside.get(begin..).unwrap_or_default()).unwrap_or(('\\', 1));
            let plain_at = self.text.len();
            self.text.extend_from_slice(stands_for.encode_utf8(&mut [0; 4]).as_bytes());
            let plain_len = u8::try_from(stands_for.len_utf8()).unwrap_or(1);
            self.escapes.push(EscapePlace { at: begin, len, plain_at, plain_len });
            at = begin.saturating_add(usize::from(len));
        }
        self.text.extend_from_slice(inside.get(at..).unwrap_or_default());
    }

    /// Where a range of the text stood. An escape is of the range as a whole or not at all.
    pub(super) fn place(&self, range: &Range<usize>) -> Range<usize> {
        let start = self.escape_at(range.start).map_or_else(|before| before, |escape| escape.at);
        let last = range.end.saturating_sub(1);
        let end = match self.escape_at(last) {
            Ok(escape) => escape.end(),
            Err(before) => before.saturating_add(1),
        };
        start..end.max(start)
    }

    /// The escape that the byte at a place of the text comes from, or where that byte stood.
    fn escape_at(&self, plain: usize) -> Result<EscapePlace, usize> {
        let after = self.escapes.partition_point(|escape| escape.plain_at <= plain);
        let Some(escape) = after.checked_sub(1).and_then(|index| self.escapes.get(index)).copied() else {
            return Err(plain);
        };
        if plain < escape.plain_end() {
            return Ok(escape);
        }
        Err(escape.end().saturating_add(plain.saturating_sub(escape.plain_end())))
    }

    /// The memory that it keeps, in bytes.
    pub(super) fn shrink(&mut self, most: usize) {
        if self.text.capacity() > most {
            *self = Self::default();
        }
    }
}

/// What the escape at the front of `bytes` stands for, and its length.
fn escape(bytes: &[u8]) -> Option<(char, u8)> {
    let stands_for = match bytes.get(1)? {
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unicode(bytes),
        mark @ (b'"' | b'\\' | b'/') => char::from(*mark),
        _ => return None,
    };
    Some((stands_for, 2))
}

fn unicode(bytes: &[u8]) -> Option<(char, u8)> {
    let first = unit(bytes, 0)?;
    if let Some(stands_for) = char::from_u32(u32::from(first)) {
        return Some((stands_for, 6));
    }
    let pair = unit(bytes, 6).map(|second| char::decode_utf16([first, second]).next());
    match pair {
        Some(Some(Ok(stands_for))) => Some((stands_for, 12)),
        _ => Some((char::REPLACEMENT_CHARACTER, 6)),
    }
}

/// The number of a `\uXXXX` that stands at a place.
fn unit(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = bytes.get(at..)?.strip_prefix(b"\\u")?.get(..4)?;
    digits.iter().try_fold(0, |sum: u16, digit| {
        let digit = u16::try_from(char::from(*digit).to_digit(16)?).ok()?;
        Some(sum << 4 | digit)
    })
}
