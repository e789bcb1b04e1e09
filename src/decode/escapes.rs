//! The escapes of JSON strings: what each stands for, and how long it is.

use std::borrow::Cow;

/// What the escape at the front of `bytes` stands for, and its length.
pub(crate) fn escape(bytes: &[u8]) -> Option<(char, usize)> {
    let plain = |c: char| Some((c, 2));
    match bytes.get(1)? {
        b'"' => plain('"'),
        b'\\' => plain('\\'),
        b'/' => plain('/'),
        b'b' => plain('\u{8}'),
        b'f' => plain('\u{c}'),
        b'n' => plain('\n'),
        b'r' => plain('\r'),
        b't' => plain('\t'),
        b'u' => unicode(bytes),
        _ => None,
    }
}

/// A `\uXXXX`, or two of them that make a surrogate pair. A lone surrogate is refused, as most readers would.
fn unicode(bytes: &[u8]) -> Option<(char, usize)> {
    let first = hex4(bytes.get(2..6)?)?;
    if let Some(c) = char::from_u32(first) {
        return Some((c, 6));
    }
    if bytes.get(6..8)? != b"\\u" {
        return None;
    }
    let second = hex4(bytes.get(8..12)?)?;
    let pair = [u16::try_from(first).ok()?, u16::try_from(second).ok()?];
    let c = char::decode_utf16(pair).next()?.ok()?;
    Some((c, 12))
}

/// Whether `bytes` begin with a `\u` and four digits, whatever they stand for.
pub(crate) fn is_unit(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\\u") && bytes.get(2..6).and_then(hex4).is_some()
}

fn hex4(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |sum, digit| Some(sum << 4 | char::from(*digit).to_digit(16)?))
}

/// What the inside of a JSON string stands for.
pub(crate) fn unescape(inside: &str) -> Cow<'_, str> {
    if memchr::memchr(b'\\', inside.as_bytes()).is_none() {
        return Cow::Borrowed(inside);
    }
    let mut plain = String::with_capacity(inside.len());
    let mut rest = inside;
    while let Some((before, _)) = rest.split_once('\\') {
        plain.push_str(before);
        rest = rest.get(before.len()..).unwrap_or_default();
        let Some((c, len)) = escape(rest.as_bytes()) else { break };
        plain.push(c);
        rest = rest.get(len..).unwrap_or_default();
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

/// The inside of a JSON string without its closing `\n`, and its `\r` if there is one; none: it does not end so.
pub(crate) fn strip_escaped_newline(inside: &str) -> Option<&str> {
    let line = strip_escape(inside, 'n')?;
    Some(strip_escape(line, 'r').unwrap_or(line))
}

fn strip_escape(inside: &str, letter: char) -> Option<&str> {
    let escaped = inside.strip_suffix(letter)?;
    let backslashes = escaped.bytes().rev().take_while(|byte| *byte == b'\\').count();
    // An even number of them is escaped backslashes before a plain letter.
    (backslashes % 2 == 1).then(|| escaped.strip_suffix('\\')).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_escaped_newline_is_told_from_an_escaped_backslash() {
        for (inside, line) in [
            (r"a\n", Some("a")),
            (r"a\r\n", Some("a")),
            (r"a\\n", None),
            (r"a\\\n", Some(r"a\\")),
            (r"\n", Some("")),
            ("n", None),
            ("", None),
        ] {
            assert_eq!(strip_escaped_newline(inside), line, "{inside}");
        }
    }

    proptest! {
        #[test]
        fn unescaping_gives_what_serde_reads(message: String) {
            let quoted = serde_json::to_string(&message).unwrap();
            let inside = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap();
            prop_assert_eq!(unescape(inside).into_owned(), message);
        }
    }
}
