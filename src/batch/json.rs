//! Writing JSON text into a buffer, without a tree.

use bytes::BufMut;

/// Which bytes of a string must be escaped: the control characters, the quote and the backslash.
const ESCAPED: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::indexing_slicing, reason = "a constant, checked at compile time")]
        {
            table[byte] = byte < 0x20 || byte == b'"' as usize || byte == b'\\' as usize;
        }
        byte += 1;
    }
    table
};

/// Writes the inside of a JSON string. What is not UTF-8 is replaced by U+FFFD.
pub(super) fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    for chunk in bytes.utf8_chunks() {
        escape_text(chunk.valid().as_bytes(), out);
        if !chunk.invalid().is_empty() {
            out.put_slice("\u{FFFD}".as_bytes());
        }
    }
}

fn escape_text(mut text: &[u8], out: &mut Vec<u8>) {
    let is_escaped = |byte: &u8| ESCAPED.get(usize::from(*byte)).copied().unwrap_or(true);
    while let Some(at) = text.iter().position(is_escaped) {
        let (plain, rest) = text.split_at(at);
        out.put_slice(plain);
        let Some((byte, rest)) = rest.split_first() else { return };
        escape_byte(*byte, out);
        text = rest;
    }
    out.put_slice(text);
}

fn escape_byte(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| HEX.get(usize::from(value & 15)).copied().unwrap_or(b'0');
    match byte {
        b'"' => out.put_slice(b"\\\""),
        b'\\' => out.put_slice(b"\\\\"),
        b'\n' => out.put_slice(b"\\n"),
        b'\r' => out.put_slice(b"\\r"),
        b'\t' => out.put_slice(b"\\t"),
        _ => {
            out.put_slice(b"\\u00");
            out.put_u8(digit(byte >> 4));
            out.put_u8(digit(byte));
        }
    }
}

/// Writes what the inside of a JSON string stands for. Half a surrogate pair becomes U+FFFD.
pub fn unescape(text: &str, out: &mut impl BufMut) {
    let mut rest = text.as_bytes();
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (plain, escape) = rest.split_at(at);
        out.put_slice(plain);
        rest = unescape_one(escape, out);
    }
    out.put_slice(rest);
}

/// Writes the escape that `text` begins with, and returns what follows it.
fn unescape_one<'a>(text: &'a [u8], out: &mut impl BufMut) -> &'a [u8] {
    match text.get(1) {
        Some(b'n') => out.put_u8(b'\n'),
        Some(b't') => out.put_u8(b'\t'),
        Some(b'r') => out.put_u8(b'\r'),
        Some(b'b') => out.put_u8(8),
        Some(b'f') => out.put_u8(12),
        Some(b'u') => return unescape_unicode(text, out),
        Some(byte) => out.put_u8(*byte),
        None => {}
    }
    text.get(2..).unwrap_or_default()
}

fn unescape_unicode<'a>(text: &'a [u8], out: &mut impl BufMut) -> &'a [u8] {
    let unit = |at: usize| -> Option<u32> {
        let (escape, digits) = text.get(at..at.checked_add(6)?)?.split_at_checked(2)?;
        let digits = std::str::from_utf8(digits).ok()?;
        (escape == b"\\u").then(|| u32::from_str_radix(digits, 16).ok()).flatten()
    };
    let pair = |high: u32, low: u32| {
        let is_pair = (0xD800..0xDC00).contains(&high) && (0xDC00..0xE000).contains(&low);
        is_pair.then(|| 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)).and_then(char::from_u32)
    };
    let first = unit(0).unwrap_or(0xFFFD);
    let (found, len) = match unit(6).and_then(|second| pair(first, second)) {
        Some(joined) => (joined, 12),
        None => (char::from_u32(first).unwrap_or('\u{FFFD}'), 6),
    };
    out.put_slice(found.encode_utf8(&mut [0; 4]).as_bytes());
    text.get(len..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    proptest! {
        #[test]
        fn what_is_escaped_reads_back_as_it_was(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let escaped = text(|out| escape(&bytes, out));
            let read: String = serde_json::from_str(&format!("\"{escaped}\"")).unwrap();
            prop_assert_eq!(&read, &String::from_utf8_lossy(&bytes));
            prop_assert_eq!(text(|out| unescape(&escaped, out)), read);
        }

        #[test]
        fn unescaping_agrees_with_serde_json(original in any::<String>()) {
            let units = original.encode_utf16();
            let json = units.fold(String::new(), |json, unit| json + &format!("\\u{unit:04x}"));
            prop_assert_eq!(text(|out| unescape(&json, out)), original);
        }
    }

    #[test]
    fn half_a_surrogate_pair_becomes_a_replacement() {
        assert_eq!(text(|out| unescape(r"a\ud800b\udc00\u0041", out)), "a\u{FFFD}b\u{FFFD}A");
    }
}
