//! One pass over text that finds where known patterns may be, sixteen bytes at a time.
//!
//! Each pattern has a mark that no match lacks: the `@` of an address of mail, a few letters of a word, three times a digit, a dot and
//! a digit close together. Where runs of digits or colons matter, the bits of two blocks are looked at together, so that what begins in
//! one block may end in the next.

use wide::u8x16;

use crate::config::NamedPattern;

/// A set of known patterns, a bit each.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct PatternSet(u8);

impl PatternSet {
    pub(super) fn of(patterns: &[NamedPattern]) -> Self {
        Self(patterns.iter().fold(0, |set, pattern| set | bit(*pattern)))
    }

    pub(super) const fn has(self, pattern: NamedPattern) -> bool {
        self.0 & bit(pattern) != 0
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    const fn with(self, pattern: NamedPattern, is_there: bool) -> Self {
        if is_there { Self(self.0 | bit(pattern)) } else { self }
    }

    const fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those that are in this set, but not in the other.
    pub(super) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(super) const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

const fn bit(pattern: NamedPattern) -> u8 {
    1 << pattern as u8
}

/// Bytes of a block: as many as a word has bits.
pub(super) const BLOCK: usize = 64;

/// Bytes that are looked at together.
const STEP: usize = 16;

/// How far behind a byte its mark reaches.
const AHEAD: usize = 5;

/// A block and what its marks reach into.
const WINDOW: usize = BLOCK + STEP;

/// Where in a block what matters stands, a bit a byte.
#[derive(Clone, Copy, Debug, Default)]
struct Marks {
    digits: u64,
    separators: u64,
    dots: u64,
    colons: u64,
    /// `@`.
    ats: u64,
    /// Letters of `bearer`, `secret` and the ids of keys.
    letters: u64,
}

impl Marks {
    fn find(window: &[u8; WINDOW]) -> Self {
        let mut found = Self::default();
        for quarter in 0..BLOCK / STEP {
            let at = quarter * STEP;
            let load = |ahead: usize| {
                let bytes = window.get(at + ahead..).and_then(<[u8]>::first_chunk::<STEP>);
                u8x16::new(*bytes.unwrap_or(&[0; STEP]))
            };
            let (here, third, fourth, last) = (load(0), load(2), load(3), load(AHEAD));
            let small = u8x16::splat(0x20);
            let is = |bytes: u8x16, byte: u8| bytes.simd_eq(u8x16::splat(byte));
            let (first_small, third_small) = (here | small, third | small);
            let (fourth_small, last_small) = (fourth | small, last | small);
            let bearer = is(first_small, b'b') & is(fourth_small, b'r') & is(last_small, b'r');
            let secret = is(first_small, b's') & is(third_small, b'c') & is(last_small, b't');
            let key_id = is(here, b'A') & is(third, b'I') & is(fourth, b'A');
            let digit = here - u8x16::splat(b'0');
            let bits = |mask: u8x16| u64::from(mask.to_bitmask()) << at;
            found.letters |= bits(bearer | secret | key_id);
            found.digits |= bits(digit.min(u8x16::splat(9)).simd_eq(digit));
            found.separators |= bits(is(here, b' ') | is(here, b'-'));
            found.dots |= bits(is(here, b'.'));
            found.colons |= bits(is(here, b':'));
            found.ats |= bits(is(here, b'@'));
        }
        found
    }

    /// Of the patterns that are looked for, those that may begin in this block, or have a mark there.
    fn candidates(&self, next: &Self, wanted: PatternSet) -> PatternSet {
        let none = PatternSet::default();
        let letters = none.with(NamedPattern::AwsKey, true).with(NamedPattern::Bearer, true);
        let found = if self.letters == 0 { none } else { letters };
        let digits = joined(self.digits, next.digits);
        let found = found
            .with(NamedPattern::Email, self.ats != 0)
            .with(NamedPattern::Ipv4, self.dots | next.dots != 0 && self.has_quad(next, digits))
            .with(
                NamedPattern::Card,
                digits.count_ones() >= LEAST_DIGITS && self.has_long_number(next, digits),
            )
            .with(NamedPattern::Ipv6, self.colons != 0 && self.has_colons(next));
        found.both(wanted)
    }

    /// Whether three dots between digits are so close together as in an address, from one that begins in this block on.
    fn has_quad(&self, next: &Self, digits: u128) -> bool {
        let dots = joined(self.dots, next.dots);
        let pairs = digits & (dots >> 1) & (digits >> 2);
        if pairs == 0 {
            return false;
        }
        let close = |marks: u128| marks & (pairs >> 2 | pairs >> 3 | pairs >> 4);
        let two = close(pairs);
        first_half(two & (two >> 2 | two >> 3 | two >> 4)) != 0
    }

    /// Whether there is a run of at least thirteen digits, or of more with separators between them.
    fn has_long_number(&self, next: &Self, digits: u128) -> bool {
        let run = digits | joined(self.separators, next.separators) & digits >> 1;
        let two = run & run >> 1;
        let four = two & two >> 2;
        let eight = four & four >> 4;
        let thirteen = digits & eight & four >> 8 & run >> 12;
        // The date and hour of many lines are thirteen characters.
        first_half(thirteen & (run >> 13 | digits >> 4 & digits >> 7 & digits >> 10)) != 0
    }

    /// Whether there are two colons side by side, or as many close together as no time has.
    fn has_colons(&self, next: &Self) -> bool {
        let colons = joined(self.colons, next.colons);
        if first_half(colons & colons >> 1) != 0 {
            return true;
        }
        if colons.count_ones() < LEAST_COLONS {
            return false;
        }
        let close = |marks: u128| marks & (colons >> 2 | colons >> 3 | colons >> 4 | colons >> 5);
        first_half((1..LEAST_COLONS).fold(colons, |marks, _| close(marks))) != 0
    }
}

/// The fewest colons of an address of IPv6 that leaves no group out.
const LEAST_COLONS: u32 = 6;

/// The fewest digits of a card's number.
const LEAST_DIGITS: u32 = 13;

fn joined(this: u64, next: u64) -> u128 {
    u128::from(this) | u128::from(next) << BLOCK
}

#[expect(clippy::cast_possible_truncation, reason = "the second half is left out")]
const fn first_half(bits: u128) -> u64 {
    bits as u64
}

/// Tells `found` of each block of `text` in which something may begin: where the block stands, and what may.
pub(super) fn scan(text: &[u8], wanted: PatternSet, found: &mut impl FnMut(usize, PatternSet)) {
    let mut at = 0;
    let mut this = marks_at(text, 0);
    while at < text.len() {
        let behind = at.saturating_add(BLOCK);
        let next = if behind < text.len() { marks_at(text, behind) } else { Marks::default() };
        let candidates = this.candidates(&next, wanted);
        if !candidates.is_empty() {
            found(at, candidates);
        }
        (this, at) = (next, behind);
    }
}

#[inline]
fn marks_at(text: &[u8], at: usize) -> Marks {
    let rest = text.get(at..).unwrap_or_default();
    if let Some(window) = rest.first_chunk() {
        return Marks::find(window);
    }
    let mut window = [0; WINDOW];
    for (to, from) in window.iter_mut().zip(rest) {
        *to = *from;
    }
    Marks::find(&window)
}
