//! How the characters of a text are written: where its lines end, and how it reads in UTF-8. Pure.

use encoding_rs::{
    DecoderResult, Encoding, ISO_2022_JP, REPLACEMENT, UTF_8, UTF_16BE, UTF_16LE, X_USER_DEFINED,
};

/// A way to write characters in which lines can be told without what is before them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Charset(&'static Encoding);

impl Charset {
    /// UTF-8, in which bytes are passed on as they are.
    pub const UTF8: Self = Self(UTF_8);

    /// That of one of the labels of <https://encoding.spec.whatwg.org/#names-and-labels>. None: there is no such label, or what a byte
    /// means depends on all before it.
    #[must_use]
    pub fn named(label: &str) -> Option<Self> {
        let encoding = Encoding::for_label(label.as_bytes())?;
        let is_fit = ![ISO_2022_JP, REPLACEMENT, X_USER_DEFINED].contains(&encoding);
        is_fit.then_some(Self(encoding))
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// Whether it is UTF-8.
    #[must_use]
    pub fn is_utf8(self) -> bool {
        self.0 == UTF_8
    }

    /// The charset whose byte order mark a text begins with, and the mark.
    #[must_use]
    pub fn marked(text: &[u8]) -> Option<(Self, &[u8])> {
        let (encoding, len) = Encoding::for_bom(text)?;
        Some((Self(encoding), text.get(..len)?))
    }

    /// How many bytes the least character has: every text has a multiple of that.
    #[must_use]
    pub fn unit(self) -> usize {
        self.newline().len()
    }

    /// A newline.
    #[must_use]
    pub fn newline(self) -> &'static [u8] {
        if self.0 == UTF_16LE {
            b"\n\0"
        } else if self.0 == UTF_16BE {
            b"\0\n"
        } else {
            // No character of several bytes has one of these in it.
            b"\n"
        }
    }

    /// A text in this charset; what it has no character for is written as a number.
    #[must_use]
    pub fn write(self, text: &str) -> Vec<u8> {
        /// The longest that is written for a byte: `&#1114111;`.
        const MOST: usize = 10;
        if self.unit() > 1 {
            let is_little = self.0 == UTF_16LE;
            let unit = |unit: u16| if is_little { unit.to_le_bytes() } else { unit.to_be_bytes() };
            return text.encode_utf16().flat_map(unit).collect();
        }
        let mut bytes = vec![0; text.len().saturating_add(1).saturating_mul(MOST)];
        let (_, _, written, _) = self.0.new_encoder().encode_from_utf8(text, &mut bytes, true);
        bytes.truncate(written);
        bytes
    }

    /// Where the last line ends that has its newline; 0: there is none.
    #[must_use]
    pub fn last_line_end(self, bytes: &[u8]) -> usize {
        let unit = self.unit();
        if unit == 1 {
            return memchr::memrchr(b'\n', bytes).map_or(0, |at| at.saturating_add(1));
        }
        let last = bytes.chunks_exact(unit).rposition(|found| found == self.newline());
        last.map_or(0, |at| at.saturating_add(1).saturating_mul(unit))
    }

    /// Where the first line ends that has its newline.
    #[must_use]
    pub fn first_line_end(self, bytes: &[u8]) -> Option<usize> {
        let unit = self.unit();
        if unit == 1 {
            return memchr::memchr(b'\n', bytes).map(|at| at.saturating_add(1));
        }
        let first = bytes.chunks_exact(unit).position(|found| found == self.newline());
        first.map(|at| at.saturating_add(1).saturating_mul(unit))
    }

    /// The lines, each with its newline; the last one maybe without.
    pub(crate) fn lines(self, bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
        let mut rest = bytes;
        std::iter::from_fn(move || {
            let end = self.first_line_end(rest).unwrap_or(rest.len());
            let (line, after) = rest.split_at_checked(end)?;
            rest = after;
            (!line.is_empty()).then_some(line)
        })
    }

    /// How many bytes at the front of a part of a line do not end inside a character; all of them where that cannot be told.
    #[must_use]
    pub fn border(self, bytes: &[u8]) -> usize {
        let len = bytes.len();
        if self.is_utf8() {
            return utf8_border(bytes);
        }
        if self.unit() == 1 {
            // No character of several bytes, of any charset, has one of these in it.
            let is_alone = |byte: &u8| *byte < b'0';
            let near = len.saturating_sub(LONGEST_WORD);
            let last = bytes.get(near..).and_then(|near| near.iter().rposition(is_alone));
            return last.map_or(len, |at| near.saturating_add(at).saturating_add(1));
        }
        let whole = len - len % self.unit();
        let last = bytes.get(..whole).and_then(|whole| whole.last_chunk::<2>());
        let high = last.map(|[first, second]| if self.0 == UTF_16BE { *first } else { *second });
        // The first half of a pair stays with the second.
        let is_half = high.is_some_and(|high| (0xD8..0xDC).contains(&high));
        match if is_half { whole.saturating_sub(2) } else { whole } {
            0 => len,
            border => border,
        }
    }

    /// Reads a text, and tells it in UTF-8, piece by piece. Returns how many characters were bad: each is a U+FFFD.
    pub(crate) fn read(self, bytes: &[u8], mut tell: impl FnMut(&[u8])) -> usize {
        let mut decoder = self.0.new_decoder_without_bom_handling();
        let mut space = [0; 1_024];
        let (mut rest, mut bad) = (bytes, 0_usize);
        loop {
            let (result, read, written) = decoder.decode_to_utf8_without_replacement(rest, &mut space, true);
            tell(space.get(..written).unwrap_or_default());
            rest = rest.get(read..).unwrap_or_default();
            match result {
                DecoderResult::InputEmpty => return bad,
                DecoderResult::OutputFull => {}
                DecoderResult::Malformed(..) => {
                    bad = bad.saturating_add(1);
                    tell("\u{FFFD}".as_bytes());
                }
            }
        }
    }
}

/// A word that is longer is cut anywhere.
const LONGEST_WORD: usize = 256;

/// How many bytes at the front do not end inside a UTF-8 character; all of them when they are no UTF-8.
fn utf8_border(bytes: &[u8]) -> usize {
    let continued = bytes.iter().rev().take(3).take_while(|byte| **byte & 0xC0 == 0x80).count();
    let start = bytes.len().saturating_sub(continued).saturating_sub(1);
    let needed = match bytes.get(start) {
        Some(0xC2..=0xDF) => 2,
        Some(0xE0..=0xEF) => 3,
        Some(0xF0..=0xF4) => 4,
        _ => return bytes.len(),
    };
    if continued.saturating_add(1) < needed && start > 0 { start } else { bytes.len() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn charset(label: &str) -> Charset {
        Charset::named(label).unwrap()
    }

    fn little(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    fn big(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_be_bytes).collect()
    }

    fn read(charset: Charset, bytes: &[u8]) -> (String, usize) {
        let mut text = Vec::new();
        let bad = charset.read(bytes, |piece| text.extend_from_slice(piece));
        (String::from_utf8(text).unwrap(), bad)
    }

    #[test]
    fn a_charset_has_its_labels() {
        for (label, name) in [
            ("utf-16le", "UTF-16LE"),
            ("UTF-16BE", "UTF-16BE"),
            ("utf-16", "UTF-16LE"),
            ("latin1", "windows-1252"),
            ("shift_jis", "Shift_JIS"),
            ("utf8", "UTF-8"),
        ] {
            assert_eq!(charset(label).name(), name);
        }
        for label in ["", "utf-32", "iso-2022-jp", "x-user-defined"] {
            assert_eq!(Charset::named(label), None, "{label}");
        }
    }

    #[test]
    fn lines_end_where_their_newlines_do() {
        let text = "a\u{a0a}\nб\n\u{1F600}c";
        for (label, bytes, first, last) in [
            ("utf-16le", little(text), 6, 10),
            ("utf-16be", big(text), 6, 10),
            ("utf-8", text.as_bytes().to_vec(), 5, 8),
        ] {
            let charset = charset(label);
            assert_eq!(charset.first_line_end(&bytes), Some(first), "{label}");
            assert_eq!(charset.last_line_end(&bytes), last, "{label}");
            let lines: Vec<String> = charset.lines(&bytes).map(|line| read(charset, line).0).collect();
            assert_eq!(lines, ["a\u{a0a}\n", "б\n", "\u{1F600}c"], "{label}");
        }
        // A newline's bytes that belong to two characters are none.
        assert_eq!(charset("utf-16le").last_line_end(&[0, b'\n', 0, b'\n']), 0);
        assert_eq!(charset("utf-16be").last_line_end(&[b'\n', 0, b'\n', 0]), 0);
    }

    #[test]
    fn what_is_no_character_is_read_as_one_that_stands_for_it() {
        let half = [b"a\0".as_slice(), &[0x3D, 0xD8], b"b\0"].concat();
        assert_eq!(read(charset("utf-16le"), &half), ("a\u{FFFD}b".to_owned(), 1));
        assert_eq!(read(charset("utf-16be"), b"\0a\0"), ("a\u{FFFD}".to_owned(), 1));
        assert_eq!(read(charset("latin1"), b"caf\xE9 \x80"), ("café €".to_owned(), 0));
        assert_eq!(read(charset("shift_jis"), b"\x83\x8D\x83\x4F \xFF"), ("ログ \u{FFFD}".to_owned(), 1));
    }

    #[test]
    fn a_part_ends_between_characters() {
        let pair = little("a\u{1F600}");
        let charset = charset("utf-16le");
        for (len, border) in [(1, 1), (2, 2), (3, 2), (4, 2), (5, 2), (6, 6)] {
            assert_eq!(charset.border(&pair[..len]), border, "{len}");
        }
        let sjis = Charset::named("shift_jis").unwrap();
        assert_eq!(sjis.border(b"a \x83\x8D\x83"), 2);
        assert_eq!(sjis.border(b"\x83\x8D\x83"), 3);
        assert_eq!(Charset::UTF8.border("aé".as_bytes()), 3);
        assert_eq!(Charset::UTF8.border(&"aé".as_bytes()[..2]), 1);
    }

    #[test]
    fn a_text_may_say_what_it_is() {
        let (charset, mark) = Charset::marked(b"\xFE\xFF\0a").unwrap();
        assert_eq!((charset.name(), mark), ("UTF-16BE", b"\xFE\xFF".as_slice()));
        assert_eq!(Charset::marked(b"plain"), None);
    }

    proptest! {
        #[test]
        fn any_text_comes_back(text in "[\\x00-\\x7F\u{e4}\u{43b}\u{4e2d}\u{1F600}\n]{0,200}") {
            for (label, bytes) in [("utf-16le", little(&text)), ("utf-16be", big(&text))] {
                let charset = charset(label);
                prop_assert_eq!(read(charset, &bytes), (text.clone(), 0));
                // Line by line it is the same.
                let lines: String = charset.lines(&bytes).map(|line| read(charset, line).0).collect();
                prop_assert_eq!(&lines, &text);
                prop_assert_eq!(charset.lines(&bytes).count(), text.split_inclusive('\n').count());
            }
        }

        #[test]
        fn any_bytes_are_read_line_by_line_as_at_once(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for label in ["utf-16le", "utf-16be", "latin1", "shift_jis", "gb18030", "euc-kr", "big5"] {
                let charset = charset(label);
                let lines: String = charset.lines(&bytes).map(|line| read(charset, line).0).collect();
                prop_assert_eq!(lines, read(charset, &bytes).0, "{}", label);
                prop_assert!(charset.border(&bytes) <= bytes.len());
            }
        }
    }
}
