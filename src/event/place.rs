//! Where an event stands among all that is read, in terms that are the same whenever it is read again: what ids are made of.

use std::sync::Arc;

/// Where a chunk begins.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EventPlace {
    /// What it is a part of, such as a file or an object: of two units of one source, no two are named alike.
    pub unit: Arc<str>,
    /// What of that, where it has parts with a name each, such as a shard's records. The unit is then named after both, with a space
    /// between them; that is done only for whom it matters.
    pub part: Option<Arc<str>>,
    /// Bytes of that before it.
    pub offset: u64,
}

impl EventPlace {
    /// In a unit without parts.
    #[must_use]
    pub const fn new(unit: Arc<str>, offset: u64) -> Self {
        Self { unit, part: None, offset }
    }
}

/// The id of an event that has none of its own: a hash of its unit, and its offset in that.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PlaceId {
    /// In hexadecimal digits, with a hyphen behind them.
    unit: [u8; UNIT],
    offset: u64,
}

/// The digits of a hash, and a hyphen.
const UNIT: usize = 17;

/// The digits of the largest offset.
const DIGITS: usize = 20;

/// The longest id, in bytes.
pub const LONGEST_ID: usize = UNIT + DIGITS;

impl PlaceId {
    /// Of what stands at this offset of a unit with this hash.
    #[must_use]
    pub fn new(unit: u64, offset: u64) -> Self {
        let mut text = [b'-'; UNIT];
        for (at, digit) in text.iter_mut().take(UNIT - 1).enumerate() {
            let nibble = unit >> (60 - 4 * at) & 15;
            *digit = HEX.get(usize::try_from(nibble).unwrap_or_default()).copied().unwrap_or_default();
        }
        Self { unit: text, offset }
    }

    /// Of what stands so many bytes behind it; or before it, where the number wraps around.
    #[must_use]
    pub const fn behind(self, bytes: u64) -> Self {
        Self { offset: self.offset.wrapping_add(bytes), ..self }
    }

    /// The id itself: ASCII that needs no escape.
    #[must_use]
    pub fn text(self, buffer: &mut [u8; LONGEST_ID]) -> &str {
        let mut rest = self.offset;
        let mut at = LONGEST_ID;
        for digit in buffer.iter_mut().rev().take(DIGITS) {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
            at -= 1;
            if rest == 0 {
                break;
            }
        }
        let start = at.saturating_sub(UNIT);
        if let Some(unit) = buffer.get_mut(start..at) {
            unit.copy_from_slice(&self.unit);
        }
        buffer.get(start..).and_then(|text| str::from_utf8(text).ok()).unwrap_or_default()
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_hash_of_its_unit_and_its_offset() {
        let check = |unit, offset, expected: &str| {
            assert_eq!(PlaceId::new(unit, offset).text(&mut [0; LONGEST_ID]), expected);
        };
        check(0, 0, "0000000000000000-0");
        check(0x0123_4567_89ab_cdef, 1_234_567_890, "0123456789abcdef-1234567890");
        check(u64::MAX, u64::MAX, "ffffffffffffffff-18446744073709551615");
        let id = PlaceId::new(1, 100);
        assert_eq!(id.behind(5).behind(5_u64.wrapping_neg()), id);
    }
}
