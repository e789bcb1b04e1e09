//! JSON with bad characters in its strings, made right at the cost of those characters alone.
//!
//! Looked at only where the fast scan has failed. Half of a surrogate pair and bytes that are not UTF-8 become U+FFFD, raw control
//! characters are escaped, a backslash that escapes nothing stands for itself, and a byte order mark between values is left out.
//! What stands outside strings is not touched otherwise: text that is no JSON stays so.

use std::ops::Range;

use super::escapes::{self, escape};

/// A value that is larger than this, or becomes it, is not repaired: the copy is memory that nobody counts.
const MOST: usize = 8 << 20;

/// What some programs write before text.
pub(super) const BYTE_ORDER_MARK: &str = "\u{FEFF}";

/// Where the object that `bytes` begin with ends, by its brackets and strings alone. None: it is not closed, or too large.
pub(super) fn object_end(bytes: &[u8]) -> Option<usize> {
    let (mut depth, mut in_string) = (0_usize, false);
    let mut bytes = bytes.iter().take(MOST).enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' if in_string => drop(bytes.next()),
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// The JSON text with its bad characters replaced. None: it is too large.
pub(super) fn repair(text: &[u8]) -> Option<String> {
    if text.len() > MOST {
        return None;
    }
    let mut repaired = String::with_capacity(text.len());
    let mut fits = true;
    each_part(text, |part, _| {
        fits = repaired.len().saturating_add(part.len()) <= MOST;
        if fits {
            repaired.push_str(part);
        }
        fits
    });
    fits.then_some(repaired)
}

/// In how many of these parts of the repaired text a character was replaced. They are in order.
pub(super) fn count_repaired(text: &[u8], parts: impl Iterator<Item = Range<usize>>) -> u64 {
    let mut parts = parts.peekable();
    let (mut at, mut count) = (0, 0);
    each_part(text, |part, is_repair| {
        if is_repair {
            while parts.next_if(|range| range.end <= at).is_some() {}
            count += u64::from(parts.next_if(|range| range.start <= at).is_some());
        }
        at += part.len();
        true
    });
    count
}

/// Gives `take` the repaired text part by part, and whether each stands for what was bad, until it returns false.
fn each_part(text: &[u8], mut take: impl FnMut(&str, bool) -> bool) {
    let mut in_string = false;
    for chunk in text.utf8_chunks() {
        let mut rest = chunk.valid();
        while let Some(at) = rest.find(|c| c < ' ' || matches!(c, '"' | '\\' | '\u{FEFF}')) {
            let (plain, special) = rest.split_at(at);
            let (len, part, is_repair) = special_part(special, in_string);
            if !take(plain, false) || !take(part, is_repair) {
                return;
            }
            in_string ^= special.starts_with('"');
            rest = special.get(len..).unwrap_or_default();
        }
        if !take(rest, false) || !chunk.invalid().is_empty() && !take("\u{FFFD}", in_string) {
            return;
        }
    }
}

/// How long what `text` begins with is, what stands for it, and whether that is another text.
fn special_part(text: &str, in_string: bool) -> (usize, &str, bool) {
    let as_it_is = |len: usize| (len, text.get(..len).unwrap_or(text), false);
    match text.as_bytes().first() {
        Some(b'\\') if in_string => match escape(text.as_bytes()) {
            Some((_, len)) => as_it_is(len),
            None if escapes::is_unit(text.as_bytes()) => (6, "\\ufffd", true),
            None => (1, "\\\\", true),
        },
        Some(control) if in_string && *control < b' ' => {
            (1, CONTROLS.get(usize::from(*control)).copied().unwrap_or_default(), true)
        }
        Some(0xEF) if !in_string => (BYTE_ORDER_MARK.len(), "", false),
        Some(0xEF) => as_it_is(BYTE_ORDER_MARK.len()),
        _ => as_it_is(1),
    }
}

/// The escapes of the control characters.
const CONTROLS: [&str; 32] = [
    "\\u0000", "\\u0001", "\\u0002", "\\u0003", "\\u0004", "\\u0005", "\\u0006", "\\u0007", "\\b", "\\t",
    "\\n", "\\u000b", "\\f", "\\r", "\\u000e", "\\u000f", "\\u0010", "\\u0011", "\\u0012", "\\u0013",
    "\\u0014", "\\u0015", "\\u0016", "\\u0017", "\\u0018", "\\u0019", "\\u001a", "\\u001b", "\\u001c",
    "\\u001d", "\\u001e", "\\u001f",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[track_caller]
    fn check(text: &[u8], expected: &str) {
        assert_eq!(repair(text).as_deref(), Some(expected));
    }

    #[test]
    fn a_bad_character_costs_itself_alone() {
        check(br#"{"a":"cut \ud83d"}"#, r#"{"a":"cut \ufffd"}"#);
        check(br#"{"a":"\ude00\ud83d\u0041\ud83d\ude00"}"#, r#"{"a":"\ufffd\ufffd\u0041\ud83d\ude00"}"#);
        check(b"{\"a\":\"b\xffc\"}", "{\"a\":\"b\u{FFFD}c\"}");
        check(b"{\t\"a\":\"b\tc\n\x01\"}", "{\t\"a\":\"b\\tc\\n\\u0001\"}");
        check(br#"{"a":"C:\x\u12"}"#, r#"{"a":"C:\\x\\u12"}"#);
        check("\u{FEFF}{\"a\":\"\u{FEFF}\"}".as_bytes(), "{\"a\":\"\u{FEFF}\"}");
        check(b"{\"a\":\"\\\xff\"}", "{\"a\":\"\\\\\u{FFFD}\"}");
    }

    #[test]
    fn what_is_bad_outside_strings_stays_so() {
        for text in ["{\"a\":1,}", "{\\u0041}", "\u{1}{}", "{\"a\":\"b}", "no json"] {
            check(text.as_bytes(), text);
        }
    }

    #[test]
    fn an_object_ends_at_its_last_bracket() {
        for (text, end) in [
            (r#"{"a":"}\"}","b":[{}]} {"#, Some(21)),
            ("{}", Some(2)),
            ("{", None),
            (r#"{"a":"}"#, None),
            ("}", None),
            ("", None),
        ] {
            assert_eq!(object_end(text.as_bytes()), end, "{text}");
        }
    }

    #[test]
    fn what_is_too_large_is_not_repaired() {
        assert!(repair(&vec![b' '; MOST + 1]).is_none());
        assert!(repair(&[b"\"".as_slice(), &vec![1; MOST / 2]].concat()).is_none());
    }

    #[test]
    fn parts_with_a_repair_are_counted_once() {
        let text = br#"["\ud800 \ud800","b","\ud800",{"x":"\ud800"}]"#;
        let repaired = repair(text).unwrap();
        let part = |of: &str| repaired.find(of).map(|at| at..at + of.len()).unwrap();
        let parts = [part(r"\ufffd \ufffd"), part("b"), part(r#"\ufffd",{"#)];
        assert_eq!(count_repaired(text, parts.into_iter()), 2);
    }

    /// Insides of strings, good ones and bad ones.
    fn insides() -> impl Strategy<Value = Vec<u8>> {
        let one = prop_oneof![
            "[ -!#-\\[\\]-~é中😀\u{FEFF}]{0,4}".prop_map(String::into_bytes),
            prop::sample::select(vec![
                &b"\\n"[..],
                b"\\\"",
                b"\\\\",
                b"\\ud83d\\ude00",
                b"\\ud83d",
                b"\\ude00",
                b"\\u00e9",
                b"\xff",
                b"\xe4\xb8",
                b"\t",
                b"\n",
                b"\x00",
                b"\x1f",
            ])
            .prop_map(<[u8]>::to_vec),
        ];
        prop::collection::vec(one, 0..12).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn repaired_strings_are_what_serde_reads_of_them(insides in prop::collection::vec(insides(), 1..5)) {
            let quoted: Vec<Vec<u8>> = insides.iter().map(|inside| [b"\"", &inside[..], b"\""].concat()).collect();
            let text = [b"[", &quoted.join(&b","[..])[..], b"]"].concat();
            let repaired = repair(&text).unwrap();
            let read: Vec<String> = serde_json::from_str(&repaired).unwrap();
            prop_assert_eq!(read.len(), insides.len());
            // A text that is right is left as it is, and one that was repaired is right.
            if serde_json::from_slice::<Value>(&text).is_ok() {
                prop_assert_eq!(repaired.as_bytes(), &text);
            }
            prop_assert_eq!(repair(repaired.as_bytes()).unwrap(), repaired);
        }
    }
}
