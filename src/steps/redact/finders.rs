//! Where the known patterns stand in one line. Each looks at a byte a bounded number of times.
//!
//! In doubt something is found: what is replaced for nothing costs a word, what is not costs a secret.

use std::ops::Range;

use memchr::memchr_iter;

use super::internet::{ipv4, ipv6};
use super::runs::{before, next_digit, run, run_back};
use crate::config::NamedPattern;

/// Tells `found` of each place of a pattern in a line, in order.
pub(super) fn find(pattern: NamedPattern, line: &[u8], found: &mut impl FnMut(Range<usize>)) {
    match pattern {
        NamedPattern::AwsKey => {
            key_ids(line, found);
            secret_keys(line, found);
        }
        NamedPattern::Bearer => bearer(line, found),
        NamedPattern::Card => cards(line, found),
        NamedPattern::Email => emails(line, found),
        NamedPattern::Ipv4 => ipv4(line, found),
        NamedPattern::Ipv6 => ipv6(line, found),
    }
}

/// Ids of access keys: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html>.
fn key_ids(line: &[u8], found: &mut impl FnMut(Range<usize>)) {
    const LEN: usize = 20;
    let is_of_id = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    let mut from = 0;
    for third in memchr_iter(b'I', line) {
        let Some(start) = third.checked_sub(2).filter(|start| *start >= from) else { continue };
        let is_key = matches!(line.get(start..start.saturating_add(4)), Some(b"AKIA" | b"ASIA" | b"ABIA"));
        if is_key && !before(line, start).is_some_and(is_of_id) && run(line, start, is_of_id) == LEN {
            from = start.saturating_add(LEN);
            found(start..from);
        }
    }
}

/// A secret access key has no form of its own: forty characters after a name that ends in a secret's.
fn secret_keys(line: &[u8], found: &mut impl FnMut(Range<usize>)) {
    const LEN: usize = 40;
    let is_of_name = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || byte == b'-';
    let is_between = |byte: u8| b" \t\"'`:=>\\,([{".contains(&byte);
    let is_of_key = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'/' || byte == b'+';
    words(line, *b"secret", |_, end| {
        let end_of_name = end.saturating_add(run(line, end, is_of_name));
        let start = end_of_name.saturating_add(run(line, end_of_name, is_between));
        if start > end_of_name && run(line, start, is_of_key) == LEN {
            found(start..start.saturating_add(LEN));
        }
    });
}

/// The token after the word: <https://www.rfc-editor.org/rfc/rfc6750#section-2.1>.
fn bearer(line: &[u8], found: &mut impl FnMut(Range<usize>)) {
    let is_blank = |byte: u8| byte == b' ' || byte == b'\t';
    let is_of_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    words(line, *b"bearer", |_, end| {
        let start = end.saturating_add(run(line, end, is_blank));
        let len = run(line, start, is_of_token);
        if start > end && len >= LEAST_TOKEN {
            found(start..start.saturating_add(len));
        }
    });
}

/// Shorter ones are words of a sentence.
pub(super) const LEAST_TOKEN: usize = 4;

/// Tells each place of a word of six small letters, whatever their case.
fn words(line: &[u8], word: [u8; 6], mut found: impl FnMut(usize, usize)) {
    let Some(first) = word.first() else { return };
    for start in memchr::memchr2_iter(*first, first.to_ascii_uppercase(), line) {
        let end = start.saturating_add(word.len());
        if line.get(start..end).is_some_and(|there| there.eq_ignore_ascii_case(&word)) {
            found(start, end);
        }
    }
}

/// Addresses of mail, also with letters beyond ASCII.
fn emails(line: &[u8], found: &mut impl FnMut(Range<usize>)) {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte >= 0x80;
    let is_local = |byte: u8| is_word(byte) || b"._%+-'".contains(&byte);
    let is_domain = |byte: u8| is_word(byte) || byte == b'.' || byte == b'-';
    let mut from = 0;
    for at in memchr_iter(b'@', line) {
        let back = run_back(line, at, is_local).min(at.saturating_sub(from));
        let start = at.saturating_sub(back);
        // Quotes and hyphens before it are not of it.
        let start = start.saturating_add(run(line, start, |byte| byte == b'\'' || byte == b'-').min(back));
        let behind = at.saturating_add(1);
        let domain = line.get(behind..behind.saturating_add(run(line, behind, is_domain)));
        let Some(len) = domain.and_then(domain_len) else { continue };
        if start < at {
            from = behind.saturating_add(len);
            found(start..from);
        }
    }
}

/// How much of these bytes is a domain: labels with dots between them, the last of at least two letters.
fn domain_len(domain: &[u8]) -> Option<usize> {
    let is_letter = |byte: &u8| byte.is_ascii_alphabetic() || *byte >= 0x80;
    let mut len = None;
    let mut at = 0_usize;
    for (index, label) in domain.split(|byte| *byte == b'.').enumerate() {
        let word = label.iter().rposition(|byte| *byte != b'-').map_or(0, |at| at + 1);
        if word == 0 {
            break;
        }
        let letters = label.iter().filter(|byte| is_letter(byte)).count();
        if index > 0 && (letters >= 2 || len.is_some()) {
            len = Some(at.saturating_add(word));
        }
        at = at.saturating_add(label.len()).saturating_add(1);
    }
    len
}

/// Numbers of payment cards, with or without a space or a hyphen between groups, whose length, beginning and check digit are right.
fn cards(line: &[u8], found: &mut impl FnMut(Range<usize>)) {
    let is_digit = |at: usize| line.get(at).is_some_and(u8::is_ascii_digit);
    let mut at = 0;
    while let Some(start) = next_digit(line, at) {
        at = start.saturating_add(run(line, start, |byte| byte.is_ascii_digit()));
        let is_fraction = before(line, start) == Some(b'.') && start.checked_sub(2).is_some_and(is_digit);
        if is_fraction || !may_be_issued(line.get(start..at).unwrap_or_default()) {
            continue;
        }
        let (mut number, mut end) = (CardNumber::default(), start);
        let mut whole = None;
        loop {
            end = end.saturating_add(number.take(line.get(end..).unwrap_or_default()));
            if number.is_card() {
                whole = Some(end);
            }
            let goes_on = line.get(end).copied().is_some_and(is_separator) && is_digit(end.saturating_add(1));
            if !goes_on || number.len > CardNumber::LONGEST {
                break;
            }
            end = end.saturating_add(1);
        }
        if let Some(end) = whole {
            found(start..end);
            at = end;
        }
    }
}

/// Whether a card's number may begin with these digits. Times, dates and most other numbers do not.
fn may_be_issued(digits: &[u8]) -> bool {
    let first = |count: usize| {
        let digits = digits.get(..count)?;
        Some(digits.iter().fold(0, |value, digit| value * 10 + u32::from(digit.wrapping_sub(b'0'))))
    };
    match first(2) {
        // The others are behind a separator.
        None | Some(34..=69 | 81) => true,
        Some(18 | 20..=27 | 30 | 97) => first(4).is_none_or(|four| {
            matches!(
                four,
                1800 | 2014 | 2131 | 2149 | 2200..=2204 | 2221..=2720 | 3000..=3059 | 3090..=3099 | 9792
            )
        }),
        Some(_) => false,
    }
}

const fn is_separator(byte: u8) -> bool {
    byte == b' ' || byte == b'-'
}

/// Digits that may be a card's number.
#[derive(Clone, Copy, Debug, Default)]
struct CardNumber {
    len: usize,
    /// The first six digits.
    prefix: u32,
    /// Sums of the check, for an even and for an odd number of digits.
    sums: [u32; 2],
}

impl CardNumber {
    const LONGEST: usize = 19;

    /// Takes digits from the front, and returns how many bytes these were.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit());
        let mut taken = 0_usize;
        for byte in digits {
            taken = taken.saturating_add(1);
            self.push(u32::from(byte.wrapping_sub(b'0')));
        }
        taken
    }

    fn push(&mut self, digit: u32) {
        if self.len < 6 {
            self.prefix = self.prefix * 10 + digit;
        }
        self.len = self.len.saturating_add(1);
        if self.len > Self::LONGEST {
            return;
        }
        // Counted from the end, every second digit is doubled: which these are is known at the end.
        let doubled = if digit > 4 { digit * 2 - 9 } else { digit * 2 };
        let (same, other) = if self.len.is_multiple_of(2) { (digit, doubled) } else { (doubled, digit) };
        let [even, odd] = self.sums;
        self.sums = [even + same, odd + other];
    }

    /// Whether the digits so far are a card's number: <https://www.iso.org/standard/70484.html>, the issuers' ranges and lengths.
    fn is_card(&self) -> bool {
        let Self { len, prefix, sums: [even, odd] } = *self;
        if !(6..=Self::LONGEST).contains(&len) {
            return false;
        }
        let (two, three, four) = (prefix / 10_000, prefix / 1_000, prefix / 100);
        let is_issued = match len {
            13 => two / 10 == 4,
            14 => matches!(three, 300..=305 | 309) || matches!(two, 36 | 38 | 39),
            15 => matches!(two, 34 | 37) || matches!(four, 2014 | 2149 | 2131 | 1800),
            16 => {
                two / 10 == 4
                    || matches!(two, 35 | 36 | 38 | 39 | 50..=69 | 81)
                    || matches!(four, 2200..=2204 | 2221..=2720 | 9792)
                    || matches!(three, 300..=305 | 309)
            }
            17..=19 => {
                len == 19 && two / 10 == 4
                    || matches!(two, 35 | 50 | 56..=69 | 81)
                    || matches!(four, 2200..=2204)
            }
            _ => false,
        };
        let sum = if len.is_multiple_of(2) { even } else { odd };
        is_issued && sum.is_multiple_of(10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_card_begins_with_may_be_one() {
        for four in 0..10_000 {
            let is_issued = (13..=CardNumber::LONGEST)
                .any(|len| CardNumber { len, prefix: four * 100, sums: [0, 0] }.is_card());
            let digits = format!("{four:04}");
            assert_eq!(may_be_issued(digits.as_bytes()), is_issued, "{digits}");
            if is_issued {
                assert!((0..4).all(|len| may_be_issued(&digits.as_bytes()[..len])), "{digits}");
            }
        }
    }
}
