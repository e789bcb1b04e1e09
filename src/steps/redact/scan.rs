//! One pass over text that finds where known patterns may be, a block at a time.
//!
//! Each pattern has a mark that no match lacks: the `@` of an address of mail, a few letters of a word, three times a digit, a dot and
//! a digit close together. Where runs of digits or colons matter, the bits of two blocks are looked at together, so that what begins in
//! one block may end in the next.

use standpipe_simd::{TokenMarks, TokenScan, WINDOW, scan_tokens};

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

pub(super) use standpipe_simd::BLOCK;

/// Of the patterns that are looked for, those that may begin in this block, or have a mark there.
#[expect(clippy::inline_always, reason = "as in `BlockWalk`")]
#[inline(always)]
fn candidates(this: &TokenMarks, next: &TokenMarks, wanted: PatternSet) -> PatternSet {
    let mut found = PatternSet::default();
    if this.words != 0 {
        found = found.with(NamedPattern::AwsKey, true).with(NamedPattern::Bearer, true);
    }
    found = found.with(NamedPattern::Email, this.ats != 0);
    if wanted.has(NamedPattern::Ipv4) && this.dots | next.dots != 0 {
        found = found.with(NamedPattern::Ipv4, has_quad(this, next));
    }
    if wanted.has(NamedPattern::Card) {
        found = found.with(NamedPattern::Card, has_long_number(this, next));
    }
    if wanted.has(NamedPattern::Ipv6) && this.colons != 0 {
        found = found.with(NamedPattern::Ipv6, has_colons(this, next));
    }
    found.both(wanted)
}

/// Whether three dots between digits are so close together as in an address, from one that begins in this block on.
#[expect(clippy::inline_always, reason = "as in `BlockWalk`")]
#[inline(always)]
fn has_quad(this: &TokenMarks, next: &TokenMarks) -> bool {
    let digits = joined(this.digits, next.digits);
    let pairs = digits & (joined(this.dots, next.dots) >> 1) & (digits >> 2);
    if pairs.count_ones() < 3 {
        return false;
    }
    let two = pairs & (pairs >> 2 | pairs >> 3 | pairs >> 4);
    first_half(two & (two >> 2 | two >> 3 | two >> 4)) != 0
}

/// Whether there is a run of at least thirteen digits, or of more with separators between them.
#[expect(clippy::inline_always, reason = "as in `BlockWalk`")]
#[inline(always)]
fn has_long_number(this: &TokenMarks, next: &TokenMarks) -> bool {
    if this.digits.count_ones().saturating_add(next.digits.count_ones()) < LEAST_DIGITS {
        return false;
    }
    let digits = joined(this.digits, next.digits);
    let run = digits | joined(this.separators, next.separators) & digits >> 1;
    let two = run & run >> 1;
    let four = two & two >> 2;
    let eight = four & four >> 4;
    let thirteen = digits & eight & four >> 8 & run >> 12;
    // The date and hour of many lines are thirteen characters.
    first_half(thirteen & (run >> 13 | digits >> 4 & digits >> 7 & digits >> 10)) != 0
}

/// Whether there are two colons side by side, or as many close together as no time has.
#[expect(clippy::inline_always, reason = "as in `BlockWalk`")]
#[inline(always)]
fn has_colons(this: &TokenMarks, next: &TokenMarks) -> bool {
    if this.colons & (this.colons >> 1 | next.colons << (BLOCK - 1)) != 0 {
        return true;
    }
    let colons = joined(this.colons, next.colons);
    if colons.count_ones() < LEAST_COLONS {
        return false;
    }
    let close = |marks: u128| marks & (colons >> 2 | colons >> 3 | colons >> 4 | colons >> 5);
    first_half((1..LEAST_COLONS).fold(colons, |marks, _| close(marks))) != 0
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
    scan_tokens(BlockWalk { text, wanted, found });
}

struct BlockWalk<'a, F> {
    text: &'a [u8],
    wanted: PatternSet,
    found: &'a mut F,
}

impl<F: FnMut(usize, PatternSet)> TokenScan for BlockWalk<'_, F> {
    type Output = ();

    #[expect(
        clippy::inline_always,
        reason = "wide instructions are made only inside a function that may use them"
    )]
    #[inline(always)]
    fn run(self, find: impl Fn(&[u8; WINDOW]) -> TokenMarks + Copy) {
        let Self { text, wanted, found } = self;
        let mut at = 0;
        let mut this = marks_at(text, 0, find);
        while at < text.len() {
            let behind = at.saturating_add(BLOCK);
            let next = if behind < text.len() { marks_at(text, behind, find) } else { TokenMarks::default() };
            let candidates = candidates(&this, &next, wanted);
            if !candidates.is_empty() {
                found(at, candidates);
            }
            (this, at) = (next, behind);
        }
    }
}

#[expect(clippy::inline_always, reason = "as in `BlockWalk`")]
#[inline(always)]
fn marks_at(text: &[u8], at: usize, find: impl Fn(&[u8; WINDOW]) -> TokenMarks) -> TokenMarks {
    let rest = text.get(at..).unwrap_or_default();
    if let Some(window) = rest.first_chunk() {
        return find(window);
    }
    let mut window = [0; WINDOW];
    for (to, from) in window.iter_mut().zip(rest) {
        *to = *from;
    }
    find(&window)
}
