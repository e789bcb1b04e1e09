//! Numbers of payment cards.

use std::ops::Range;

use super::runs::before;

/// The number of a card that begins with the digit at `start`: with or without a space or a hyphen between groups, and right in its
/// length, beginning and check digit.
pub(super) fn card(text: &[u8], start: usize) -> Option<Range<usize>> {
    let is_digit = |at: usize| text.get(at).is_some_and(u8::is_ascii_digit);
    let of_digits = start.checked_sub(1).is_some_and(is_digit);
    let of_fraction = before(text, start) == Some(b'.') && start.checked_sub(2).is_some_and(is_digit);
    if of_digits || of_fraction || !is_digit(start) || !may_be_issued(text.get(start..)?) {
        return None;
    }
    let (mut number, mut end) = (CardNumber::default(), start);
    let mut whole = None;
    loop {
        end = end.saturating_add(number.take(text.get(end..)?));
        if number.is_card() {
            whole = Some(end);
        }
        let goes_on = text.get(end).copied().is_some_and(is_separator) && is_digit(end.saturating_add(1));
        if !goes_on || number.len > CardNumber::LONGEST {
            return whole.map(|end| start..end);
        }
        end = end.saturating_add(1);
    }
}

/// Whether a card's number may begin with the digits at the front of a text. Times, dates and most other numbers do not.
fn may_be_issued(text: &[u8]) -> bool {
    let digit =
        |at: usize| text.get(at).filter(|byte| byte.is_ascii_digit()).map(|byte| u32::from(byte - b'0'));
    let (Some(first), Some(second)) = (digit(0), digit(1)) else {
        // The others are behind a separator.
        return true;
    };
    let two = first * 10 + second;
    match two {
        34..=69 | 81 => true,
        18 | 20..=27 | 30 | 97 => {
            let four = digit(2).zip(digit(3)).map(|(third, fourth)| two * 100 + third * 10 + fourth);
            four.is_none_or(|four| {
                matches!(
                    four,
                    1800 | 2014 | 2131 | 2149 | 2200..=2204 | 2221..=2720 | 3000..=3059 | 3090..=3099 | 9792
                )
            })
        }
        _ => false,
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
