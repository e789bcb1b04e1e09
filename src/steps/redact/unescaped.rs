//! Text without its escapes, level by level, and where each byte of it stood.

use std::ops::Range;

/// A text without its escapes. JSON may hold JSON as a string: escapes of that are taken away too.
#[derive(Debug, Default)]
pub(super) struct UnescapedText {
    /// What each level holds.
    levels: [Vec<u8>; LEVELS],
    /// How many levels there are.
    depth: usize,
}

/// As many levels of escapes are looked into in text as it is: JSON, and JSON in a string of it.
const LEVELS_OF_TEXT: usize = 2;

/// The same in the inside of a JSON string.
const LEVELS: usize = LEVELS_OF_TEXT + 1;

/// Whether a text may hold strings with escapes in them.
pub(super) fn may_hold_strings(text: &[u8]) -> bool {
    memchr::memchr(b'\\', text).is_some() && memchr::memchr(b'"', text).is_some()
}

impl UnescapedText {
    /// Takes a text, or the inside of a JSON string. What is no escape stays as it is.
    pub(super) fn fill(&mut self, text: &[u8], is_inside: bool) {
        self.depth = 0;
        let most = if is_inside { LEVELS } else { LEVELS_OF_TEXT };
        for level in 0..most {
            let (outer, inner) = self.levels.split_at_mut(level);
            let escaped = outer.last().map_or(text, Vec::as_slice);
            if !(level == 0 && is_inside || may_hold_strings(escaped)) {
                return;
            }
            let Some(plain) = inner.first_mut() else { return };
            unescape(escaped, plain);
            self.depth = level.saturating_add(1);
        }
    }

    /// The text without escapes, of one that was taken.
    pub(super) fn plain(&self) -> &[u8] {
        self.depth.checked_sub(1).and_then(|innermost| self.levels.get(innermost)).map_or(b"", Vec::as_slice)
    }

    /// Finds where what is in the plain text stood in the text that was taken, which is given again.
    pub(super) fn places<'a>(&'a self, text: &'a [u8]) -> EscapedPlaces<'a> {
        let walk = |level: usize| {
            let outer = level.checked_sub(1).and_then(|outer| self.levels.get(outer));
            EscapeWalk { escaped: outer.map_or(text, Vec::as_slice), at: 0, plain_at: 0 }
        };
        EscapedPlaces { walks: std::array::from_fn(walk), depth: self.depth }
    }

    /// Gives back buffers above so many bytes.
    pub(super) fn shrink(&mut self, most: usize) {
        for level in &mut self.levels {
            level.clear();
            level.shrink_to(most);
        }
        self.depth = 0;
    }
}

/// Appends what the escapes stand for.
fn unescape(escaped: &[u8], plain: &mut Vec<u8>) {
    plain.clear();
    let mut rest = escaped;
    while let Some(found) = memchr::memchr(b'\\', rest) {
        let (before, from) = rest.split_at_checked(found).unwrap_or((rest, b""));
        plain.extend_from_slice(before);
        let (stands_for, len) = escape_or_itself(from);
        plain.extend_from_slice(stands_for.encode_utf8(&mut [0; 4]).as_bytes());
        rest = from.get(len..).unwrap_or_default();
    }
    plain.extend_from_slice(rest);
}

/// Places in text with escapes, asked for in order: nothing is remembered of the escapes, however many there are.
pub(super) struct EscapedPlaces<'a> {
    walks: [EscapeWalk<'a>; LEVELS],
    depth: usize,
}

impl EscapedPlaces<'_> {
    /// Where a range of the plain text stood. An escape is of the range as a whole or not at all.
    pub(super) fn place(&mut self, range: &Range<usize>) -> Range<usize> {
        let walks = self.walks.get_mut(..self.depth).unwrap_or_default();
        walks.iter_mut().rev().fold(range.clone(), |range, walk| {
            let start = walk.place(range.start).start;
            let end = walk.place(range.end.saturating_sub(1).max(range.start)).end;
            start..end.max(start)
        })
    }
}

/// A place in a text with escapes, and the same in the text without.
#[derive(Clone, Copy, Debug)]
struct EscapeWalk<'a> {
    escaped: &'a [u8],
    at: usize,
    plain_at: usize,
}

impl EscapeWalk<'_> {
    /// Goes on to a byte of the plain text, which is not before the last one, and returns where it stood: all of an escape.
    fn place(&mut self, plain: usize) -> Range<usize> {
        loop {
            let rest = self.escaped.get(self.at..).unwrap_or_default();
            let ahead = plain.saturating_sub(self.plain_at);
            let Some(found) = memchr::memchr(b'\\', rest.get(..=ahead).unwrap_or(rest)) else {
                self.at = self.at.saturating_add(ahead);
                self.plain_at = self.plain_at.saturating_add(ahead);
                return self.at..self.at.saturating_add(1);
            };
            let (stands_for, len) = escape_or_itself(rest.get(found..).unwrap_or_default());
            self.at = self.at.saturating_add(found);
            self.plain_at = self.plain_at.saturating_add(found);
            let (end, plain_end) =
                (self.at.saturating_add(len), self.plain_at.saturating_add(stands_for.len_utf8()));
            if plain < plain_end {
                return self.at..end;
            }
            (self.at, self.plain_at) = (end, plain_end);
        }
    }
}

/// What stands at a backslash at the front of `bytes`: a backslash that begins no escape stands for itself.
fn escape_or_itself(bytes: &[u8]) -> (char, usize) {
    escape(bytes).map_or(('\\', 1), |(stands_for, len)| (stands_for, usize::from(len)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_take_no_memory_beside_the_text_however_many_there_are() {
        let inside = b"\\n".repeat(100_000);
        let mut text = UnescapedText::default();
        text.fill(&inside, true);
        assert_eq!(text.plain().len(), 100_000);
        let memory: usize = text.levels.iter().map(Vec::capacity).sum();
        assert!(memory <= inside.len() * 2, "{memory}");
        assert_eq!(text.places(&inside).place(&(99_999..100_000)), 199_998..200_000);
        text.shrink(1_000);
        assert!(text.levels.iter().map(Vec::capacity).sum::<usize>() <= 1_000 * LEVELS);
    }
}
