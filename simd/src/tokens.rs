//! Where in a block of text numbers, addresses and a few words may stand: what a search for secrets looks for first.

use wide::u8x16;

use crate::specials::BLOCK;

/// Bytes that are looked at together.
const STEP: usize = 16;

/// A block, and what its words reach into.
pub const WINDOW: usize = BLOCK + STEP;

/// Where in a block they stand, a bit a byte.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct TokenMarks {
    /// Digits.
    pub digits: u64,
    /// Spaces and hyphens.
    pub separators: u64,
    /// `.`.
    pub dots: u64,
    /// `:`.
    pub colons: u64,
    /// `@`.
    pub ats: u64,
    /// Hexadecimal digits.
    pub hex: u64,
    /// Where `be?r`, `basi`, `pass` or `secr` stands, in letters of any case, `A?IA` or `e?J`.
    pub words: u64,
}

impl TokenMarks {
    /// Those of a window's block, sixteen bytes at a time: by instructions that every CPU has.
    #[expect(clippy::inline_always, reason = "it is the inside of a loop over all text")]
    #[inline(always)]
    #[must_use]
    pub fn find(window: &[u8; WINDOW]) -> Self {
        let mut found = Self::default();
        for at in (0..BLOCK).step_by(STEP) {
            let load = |ahead: usize| {
                let bytes = window.get(at + ahead..).and_then(<[u8]>::first_chunk::<STEP>);
                u8x16::new(*bytes.unwrap_or(&[0; STEP]))
            };
            let (first, second, third, fourth) = (load(0), load(1), load(2), load(3));
            let is = |bytes: u8x16, byte: u8| bytes.simd_eq(u8x16::splat(byte));
            let is_letter = |bytes: u8x16, letter: u8| is(bytes | u8x16::splat(0x20), letter);
            let (with_a, with_e) = (is_letter(second, b'a'), is_letter(second, b'e'));
            let (third_s, fourth_r) = (is_letter(third, b's'), is_letter(fourth, b'r'));
            let bearer = is_letter(first, b'b') & with_e & fourth_r;
            let secret = is_letter(first, b's') & with_e & is_letter(third, b'c') & fourth_r;
            let basic = is_letter(first, b'b') & with_a & third_s & is_letter(fourth, b'i');
            let password = is_letter(first, b'p') & with_a & third_s & is_letter(fourth, b's');
            let key_id = is(first, b'A') & is(third, b'I') & is(fourth, b'A');
            let json = is(first, b'e') & is(third, b'J');
            let digit = first - u8x16::splat(b'0');
            let letter = (first | u8x16::splat(0x20)) - u8x16::splat(b'a');
            let is_below = |bytes: u8x16, last: u8| bytes.min(u8x16::splat(last)).simd_eq(bytes);
            let bits = |mask: u8x16| u64::from(mask.to_bitmask()) << at;
            found.words |= bits(bearer | secret | basic | password | key_id | json);
            found.digits |= bits(is_below(digit, 9));
            found.hex |= bits(is_below(digit, 9) | is_below(letter, 5));
            found.separators |= bits(is(first, b' ') | is(first, b'-'));
            found.dots |= bits(is(first, b'.'));
            found.colons |= bits(is(first, b':'));
            found.ats |= bits(is(first, b'@'));
        }
        found
    }
}

/// Work that looks for these block by block.
pub trait TokenScan {
    /// What it finds.
    type Output;

    /// Does the work; `find` is given a window, and finds what [`TokenMarks::find`] finds.
    ///
    /// It and what it calls should be `#[inline(always)]`: `find` is made of wide instructions only inside a function that may use
    /// them.
    fn run(self, find: impl Fn(&[u8; WINDOW]) -> TokenMarks + Copy) -> Self::Output;
}

/// Does the work with the widest registers that the CPU has.
#[inline]
pub fn scan_tokens<S: TokenScan>(work: S) -> S::Output {
    #[cfg(target_arch = "x86_64")]
    if crate::has_avx512() {
        // SAFETY: `has_avx512` has just found on this CPU what the function is compiled with.
        return unsafe { scan_with_avx512(work) };
    }
    work.run(TokenMarks::find)
}

/// [`scan_tokens`] for a CPU that has what [`crate::has_avx512`] looks for.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,popcnt,avx512f,avx512bw,avx512cd,avx512dq,avx512vl")]
fn scan_with_avx512<S: TokenScan>(work: S) -> S::Output {
    use std::arch::x86_64::{
        __m512i, _mm512_cmpeq_epi8_mask, _mm512_cmplt_epu8_mask, _mm512_loadu_si512, _mm512_or_si512,
        _mm512_set1_epi8, _mm512_sub_epi8,
    };
    work.run(|window: &[u8; WINDOW]| {
        let load = |ahead: usize| -> __m512i {
            let block: &[u8; BLOCK] =
                window.get(ahead..).and_then(<[u8]>::first_chunk).unwrap_or(&[0; BLOCK]);
            // SAFETY: a block has the 64 bytes that are read, and the load asks for no alignment.
            unsafe { _mm512_loadu_si512(block.as_ptr().cast()) }
        };
        let each = |byte: u8| _mm512_set1_epi8(byte.cast_signed());
        let (first, second, third, fourth) = (load(0), load(1), load(2), load(3));
        let is = |bytes: __m512i, byte: u8| _mm512_cmpeq_epi8_mask(bytes, each(byte));
        let is_letter = |bytes: __m512i, letter: u8| is(_mm512_or_si512(bytes, each(0x20)), letter);
        let (with_a, with_e) = (is_letter(second, b'a'), is_letter(second, b'e'));
        let (third_s, fourth_r) = (is_letter(third, b's'), is_letter(fourth, b'r'));
        let bearer = is_letter(first, b'b') & with_e & fourth_r;
        let secret = is_letter(first, b's') & with_e & is_letter(third, b'c') & fourth_r;
        let basic = is_letter(first, b'b') & with_a & third_s & is_letter(fourth, b'i');
        let password = is_letter(first, b'p') & with_a & third_s & is_letter(fourth, b's');
        let key_id = is(first, b'A') & is(third, b'I') & is(fourth, b'A');
        let json = is(first, b'e') & is(third, b'J');
        let digits = _mm512_cmplt_epu8_mask(_mm512_sub_epi8(first, each(b'0')), each(10));
        let letter = _mm512_sub_epi8(_mm512_or_si512(first, each(0x20)), each(b'a'));
        TokenMarks {
            digits,
            hex: digits | _mm512_cmplt_epu8_mask(letter, each(6)),
            separators: is(first, b' ') | is(first, b'-'),
            dots: is(first, b'.'),
            colons: is(first, b':'),
            ats: is(first, b'@'),
            words: bearer | secret | basic | password | key_id | json,
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One byte at a time.
    fn model(window: &[u8; WINDOW]) -> TokenMarks {
        let bits =
            |is: &dyn Fn(usize) -> bool| (0..BLOCK).rev().fold(0, |bits, at| bits << 1 | u64::from(is(at)));
        let letter = |at: usize, small: u8| window[at] | 0x20 == small;
        TokenMarks {
            digits: bits(&|at| window[at].is_ascii_digit()),
            separators: bits(&|at| b" -".contains(&window[at])),
            dots: bits(&|at| window[at] == b'.'),
            colons: bits(&|at| window[at] == b':'),
            ats: bits(&|at| window[at] == b'@'),
            hex: bits(&|at| window[at].is_ascii_hexdigit()),
            words: bits(&|at| {
                let word = |word: &[u8; 4]| (0..4).all(|ahead| letter(at + ahead, word[ahead]));
                letter(at, b'b') && letter(at + 1, b'e') && letter(at + 3, b'r')
                    || [b"basi", b"pass", b"secr"].into_iter().any(word)
                    || window[at] == b'A' && window[at + 2] == b'I' && window[at + 3] == b'A'
                    || window[at] == b'e' && window[at + 2] == b'J'
            }),
        }
    }

    /// Finds what is in one window.
    struct OneWindow([u8; WINDOW]);

    impl TokenScan for OneWindow {
        type Output = TokenMarks;

        fn run(self, find: impl Fn(&[u8; WINDOW]) -> TokenMarks + Copy) -> TokenMarks {
            find(&self.0)
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 8 } else { 256 }, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn any_window_is_read_as_byte_by_byte(bytes in prop::collection::vec(any::<u8>(), WINDOW), few in prop::collection::vec(prop::sample::select(b"09/:.@ -AIKJbeaRrSsecCtTpPi\x12\xff".to_vec()), WINDOW)) {
            for bytes in [bytes, few] {
                let window: [u8; WINDOW] = bytes.try_into().unwrap();
                prop_assert_eq!(TokenMarks::find(&window), model(&window));
                prop_assert_eq!(scan_tokens(OneWindow(window)), model(&window));
            }
        }
    }
}
