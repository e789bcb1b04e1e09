//! Where in a block of text numbers, addresses and a few words may stand: what a search for secrets looks for first.

use wide::u8x16;

use crate::specials::BLOCK;

/// Bytes that are looked at together.
const STEP: usize = 16;

/// How far behind a byte a word's letters reach.
const AHEAD: usize = 5;

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
    /// Where what may be `bearer` or `secret` begins, in letters of any case, and `A?IA`.
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
            let (first, third, fourth, last) = (load(0), load(2), load(3), load(AHEAD));
            let is = |bytes: u8x16, byte: u8| bytes.simd_eq(u8x16::splat(byte));
            let is_letter = |bytes: u8x16, letter: u8| is(bytes | u8x16::splat(0x20), letter);
            let bearer = is_letter(first, b'b') & is_letter(fourth, b'r') & is_letter(last, b'r');
            let secret = is_letter(first, b's') & is_letter(third, b'c') & is_letter(last, b't');
            let key_id = is(first, b'A') & is(third, b'I') & is(fourth, b'A');
            let digit = first - u8x16::splat(b'0');
            let bits = |mask: u8x16| u64::from(mask.to_bitmask()) << at;
            found.words |= bits(bearer | secret | key_id);
            found.digits |= bits(digit.min(u8x16::splat(9)).simd_eq(digit));
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
#[target_feature(enable = "avx2,bmi1,bmi2,avx512f,avx512bw,avx512cd,avx512dq,avx512vl")]
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
        let (first, third, fourth, last) = (load(0), load(2), load(3), load(AHEAD));
        let is = |bytes: __m512i, byte: u8| _mm512_cmpeq_epi8_mask(bytes, each(byte));
        let is_letter = |bytes: __m512i, letter: u8| is(_mm512_or_si512(bytes, each(0x20)), letter);
        let bearer = is_letter(first, b'b') & is_letter(fourth, b'r') & is_letter(last, b'r');
        let secret = is_letter(first, b's') & is_letter(third, b'c') & is_letter(last, b't');
        let key_id = is(first, b'A') & is(third, b'I') & is(fourth, b'A');
        TokenMarks {
            digits: _mm512_cmplt_epu8_mask(_mm512_sub_epi8(first, each(b'0')), each(10)),
            separators: is(first, b' ') | is(first, b'-'),
            dots: is(first, b'.'),
            colons: is(first, b':'),
            ats: is(first, b'@'),
            words: bearer | secret | key_id,
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
            words: bits(&|at| {
                letter(at, b'b') && letter(at + 3, b'r') && letter(at + 5, b'r')
                    || letter(at, b's') && letter(at + 2, b'c') && letter(at + 5, b't')
                    || window[at] == b'A' && window[at + 2] == b'I' && window[at + 3] == b'A'
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
        fn any_window_is_read_as_byte_by_byte(bytes in prop::collection::vec(any::<u8>(), WINDOW), few in prop::collection::vec(prop::sample::select(b"09/:.@ -AIKbeaRrSsecCtT\x12\xff".to_vec()), WINDOW)) {
            for bytes in [bytes, few] {
                let window: [u8; WINDOW] = bytes.try_into().unwrap();
                prop_assert_eq!(TokenMarks::find(&window), model(&window));
                prop_assert_eq!(scan_tokens(OneWindow(window)), model(&window));
            }
        }
    }
}
