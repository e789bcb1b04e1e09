//! One pass over text that finds where known patterns may be, a block at a time.
//!
//! Each pattern has a mark that no match lacks: the `@` of an address of mail, a few letters of a word, three times a digit, a dot and
//! a digit close together. Where runs of digits or colons matter, the bits of two blocks are looked at together, so that what begins in
//! one block may end in the next.

use standpipe_simd::{BLOCK, TokenMarks, TokenScan, WINDOW, scan_tokens};

use crate::config::NamedPattern;

/// A set of known patterns, a bit each.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct PatternSet(u16);

impl PatternSet {
    pub(super) fn of(patterns: &[NamedPattern]) -> Self {
        Self(patterns.iter().fold(0, |set, pattern| set | bit(*pattern)))
    }

    pub(super) const fn has(self, pattern: NamedPattern) -> bool {
        self.0 & bit(pattern) != 0
    }

    fn has_any(self, patterns: &[NamedPattern]) -> bool {
        patterns.iter().any(|pattern| self.has(*pattern))
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

const fn bit(pattern: NamedPattern) -> u16 {
    1 << pattern as u16
}

/// Where in a block what is looked for may be, a bit a byte.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Candidates {
    /// Where words begin before secrets, and keys and tokens that begin with letters of their own.
    pub(super) words: u64,
    /// `@`.
    pub(super) ats: u64,
    /// Digits before the first dot of an address of IPv4.
    pub(super) quads: u64,
    /// First digits of long numbers.
    pub(super) numbers: u64,
    /// Colons of addresses of IPv6.
    pub(super) colons: u64,
}

impl Candidates {
    /// Every place may be one of everything.
    #[cfg(test)]
    pub(super) const EVERYWHERE: Self = Self { words: !0, ats: !0, quads: !0, numbers: !0, colons: !0 };

    #[expect(clippy::inline_always, reason = "as in `BlockWalk`")]
    #[inline(always)]
    const fn is_empty(&self) -> bool {
        self.words | self.ats | self.quads | self.numbers | self.colons == 0
    }
}

/// What is looked for: of words and signs all bits or none.
#[derive(Clone, Copy, Debug)]
struct WantedMarks {
    words: u64,
    ats: u64,
    quads: bool,
    numbers: bool,
    colons: bool,
}

impl WantedMarks {
    fn of(wanted: PatternSet) -> Self {
        use NamedPattern::{AwsKey, Basic, Bearer, Card, Email, Ipv4, Ipv6, Jwt, Password, UrlPassword};
        let all_if = |is_wanted: bool| if is_wanted { !0 } else { 0 };
        Self {
            words: all_if(wanted.has_any(&[AwsKey, Basic, Bearer, Jwt, Password])),
            ats: all_if(wanted.has_any(&[Email, UrlPassword])),
            quads: wanted.has(Ipv4),
            numbers: wanted.has(Card),
            colons: wanted.has(Ipv6),
        }
    }
}

/// Where what is looked for may begin in this block, or has a mark there.
#[expect(clippy::inline_always, reason = "as in `BlockWalk`")]
#[inline(always)]
fn candidates(before: &TokenMarks, this: &TokenMarks, next: &TokenMarks, wanted: WantedMarks) -> Candidates {
    Candidates {
        words: this.words & wanted.words,
        ats: this.ats & wanted.ats,
        quads: if wanted.quads { quads(this, next) } else { 0 },
        numbers: if wanted.numbers { numbers(this, next, before.digits) } else { 0 },
        colons: if wanted.colons { colons(this, next, before.hex) } else { 0 },
    }
}

/// The digits that begin three dots between digits, so close together as in an address.
#[expect(clippy::inline_always, reason = "as in `BlockWalk`")]
#[inline(always)]
fn quads(this: &TokenMarks, next: &TokenMarks) -> u64 {
    if this.dots.count_ones().saturating_add(next.dots.count_ones()) < 3 {
        return 0;
    }
    let digits = joined(this.digits, next.digits);
    let pairs = digits & (joined(this.dots, next.dots) >> 1) & (digits >> 2);
    let two = pairs & (pairs >> 2 | pairs >> 3 | pairs >> 4);
    first_half(two & (two >> 2 | two >> 3 | two >> 4))
}

/// The first digits of numbers of at least thirteen digits, or of more characters with separators between the digits.
#[expect(clippy::inline_always, reason = "as in `BlockWalk`")]
#[inline(always)]
fn numbers(this: &TokenMarks, next: &TokenMarks, before: u64) -> u64 {
    if this.digits.count_ones().saturating_add(next.digits.count_ones()) < LEAST_DIGITS {
        return 0;
    }
    // A number that begins in the block's last quarter is seen as a whole from the middle on.
    let late = late_half(this.digits, next.digits);
    let late = long_runs(late, late_half(this.separators, next.separators)) << HALF & LAST_QUARTER;
    let early = long_runs(this.digits, this.separators) & !LAST_QUARTER;
    (early | late) & !(this.digits << 1 | before >> (BLOCK - 1))
}

/// The digits that begin runs of at least thirteen digits, or of more characters with separators between the digits. It sees runs whose
/// beginning has so many bits behind it.
#[expect(clippy::inline_always, reason = "as in `BlockWalk`")]
#[inline(always)]
const fn long_runs(digits: u64, separators: u64) -> u64 {
    let run = digits | separators & digits >> 1;
    let two = run & run >> 1;
    let four = two & two >> 2;
    let thirteen = digits & four & four >> 4 & four >> 8 & run >> 12;
    // The date and hour of many lines are thirteen characters.
    thirteen & (run >> 13 | digits >> 4 & digits >> 7 & digits >> 10)
}

/// The second half of a block, and the first half of the next.
#[expect(clippy::inline_always, reason = "as in `BlockWalk`")]
#[inline(always)]
const fn late_half(this: u64, next: u64) -> u64 {
    this >> HALF | next << HALF
}

const HALF: usize = BLOCK / 2;

const LAST_QUARTER: u64 = !0 << (BLOCK - BLOCK / 4);

/// The first of two colons side by side with a hexadecimal digit beside them, and of as many close together as no time has.
#[expect(clippy::inline_always, reason = "as in `BlockWalk`")]
#[inline(always)]
fn colons(this: &TokenMarks, next: &TokenMarks, before: u64) -> u64 {
    // A group stands before or behind those that are of an address: not so in most paths of programming languages.
    let behind = this.colons >> 1 | next.colons << (BLOCK - 1);
    let group = this.hex << 1 | before >> (BLOCK - 1) | this.hex >> 2 | next.hex << (BLOCK - 2);
    let doubled = this.colons & behind & group;
    if this.colons.count_ones().saturating_add(next.colons.count_ones()) < LEAST_COLONS {
        return doubled;
    }
    let colons = joined(this.colons, next.colons);
    let chained = |marks: u128| colons & (marks >> 2 | marks >> 3 | marks >> 4 | marks >> 5);
    doubled | first_half((1..LEAST_COLONS).fold(colons, |marks, _| chained(marks)))
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

/// Tells `found` of each block of `text` in which something may begin: where the block stands, and where in it.
pub(super) fn scan(text: &[u8], wanted: PatternSet, found: &mut impl FnMut(usize, &Candidates)) {
    scan_tokens(BlockWalk { text, wanted: WantedMarks::of(wanted), found });
}

struct BlockWalk<'a, F> {
    text: &'a [u8],
    wanted: WantedMarks,
    found: &'a mut F,
}

impl<F: FnMut(usize, &Candidates)> TokenScan for BlockWalk<'_, F> {
    type Output = ();

    #[expect(
        clippy::inline_always,
        reason = "wide instructions are made only inside a function that may use them"
    )]
    #[inline(always)]
    fn run(self, find: impl Fn(&[u8; WINDOW]) -> TokenMarks + Copy) {
        let Self { text, wanted, found } = self;
        let (mut at, mut before) = (0, TokenMarks::default());
        let mut this = marks_at(text, 0, find);
        while at < text.len() {
            let behind = at.saturating_add(BLOCK);
            let next = if behind < text.len() { marks_at(text, behind, find) } else { TokenMarks::default() };
            let candidates = candidates(&before, &this, &next, wanted);
            if !candidates.is_empty() {
                found(at, &candidates);
            }
            (before, this, at) = (this, next, behind);
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
