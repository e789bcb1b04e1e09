//! Writing JSON text into a buffer, without a tree.

use bytes::{BufMut, BytesMut};

use crate::event::Timestamp;

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
pub(super) fn escape(bytes: &[u8], out: &mut BytesMut) {
    for chunk in bytes.utf8_chunks() {
        escape_text(chunk.valid().as_bytes(), out);
        if !chunk.invalid().is_empty() {
            out.put_slice("\u{FFFD}".as_bytes());
        }
    }
}

fn escape_text(mut text: &[u8], out: &mut BytesMut) {
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

fn escape_byte(byte: u8, out: &mut BytesMut) {
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
pub(super) fn unescape(text: &str, out: &mut BytesMut) {
    let mut rest = text.as_bytes();
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (plain, escape) = rest.split_at(at);
        out.put_slice(plain);
        rest = unescape_one(escape, out);
    }
    out.put_slice(rest);
}

/// Writes the escape that `text` begins with, and returns what follows it.
fn unescape_one<'a>(text: &'a [u8], out: &mut BytesMut) -> &'a [u8] {
    let plain = |byte: u8, out: &mut BytesMut| out.put_u8(byte);
    match text.get(1) {
        Some(b'n') => plain(b'\n', out),
        Some(b't') => plain(b'\t', out),
        Some(b'r') => plain(b'\r', out),
        Some(b'b') => plain(8, out),
        Some(b'f') => plain(12, out),
        Some(b'u') => return unescape_unicode(text, out),
        Some(byte) => plain(*byte, out),
        None => {}
    }
    text.get(2..).unwrap_or_default()
}

fn unescape_unicode<'a>(text: &'a [u8], out: &mut BytesMut) -> &'a [u8] {
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

/// Writes a time as RFC 3339 in UTC with milliseconds, such as `2026-11-22T01:02:03.004Z`.
pub(super) fn timestamp(time: Timestamp, out: &mut BytesMut) {
    let days = time.0.div_euclid(86_400_000);
    let ms = time.0.rem_euclid(86_400_000);
    let (year, month, day) = civil(days);
    let mut digits = |value: i64, places: u32, after: &[u8]| {
        for place in (0..places).rev() {
            let digit = value / 10i64.pow(place) % 10;
            out.put_u8(b'0'.saturating_add(u8::try_from(digit).unwrap_or(0)));
        }
        out.put_slice(after);
    };
    digits(year, 4, b"-");
    digits(month, 2, b"-");
    digits(day, 2, b"T");
    digits(ms / 3_600_000, 2, b":");
    digits(ms / 60_000 % 60, 2, b":");
    digits(ms / 1000 % 60, 2, b".");
    digits(ms % 1000, 3, b"Z");
}

/// The year, month and day of a number of days since 1970-01-01, in the Gregorian calendar; years are kept within 0 to 9999.
fn civil(days: i64) -> (i64, i64, i64) {
    // Counted from 0000-03-01, so that a leap day is the last of its year.
    let days = days.clamp(-719_468, 2_932_896) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(write: impl FnOnce(&mut BytesMut)) -> String {
        let mut out = BytesMut::new();
        write(&mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[track_caller]
    fn check_time(ms: i64, expected: &str) {
        assert_eq!(text(|out| timestamp(Timestamp(ms), out)), expected);
    }

    #[test]
    fn times_are_written_as_rfc_3339() {
        check_time(0, "1970-01-01T00:00:00.000Z");
        check_time(-1, "1969-12-31T23:59:59.999Z");
        check_time(951_782_400_000, "2000-02-29T00:00:00.000Z");
        check_time(1_795_309_323_004, "2026-11-22T01:02:03.004Z");
        check_time(i64::MAX, "9999-12-31T07:12:55.807Z");
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
            let json: String = original
                .encode_utf16()
                .map(|unit| format!("\\u{unit:04x}"))
                .collect();
            prop_assert_eq!(text(|out| unescape(&json, out)), original);
        }
    }

    #[test]
    fn half_a_surrogate_pair_becomes_a_replacement() {
        assert_eq!(text(|out| unescape(r"a\ud800b\udc00\u0041", out)), "a\u{FFFD}b\u{FFFD}A");
    }
}
