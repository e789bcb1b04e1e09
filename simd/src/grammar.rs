//! Where in a block of text stands what JSON is made of.

use wide::u8x16;

use crate::specials::BLOCK;

/// Bytes that are looked at together where no wider registers are.
const STEP: usize = 16;

/// Where in a block what stands, a bit a byte. Strings are not told from what is between them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct JsonMarks {
    /// `"`.
    pub quotes: u64,
    /// `\`.
    pub backslashes: u64,
    /// Bytes below the space.
    pub controls: u64,
    /// Spaces.
    pub spaces: u64,
    /// `:`.
    pub colons: u64,
    /// `,`.
    pub commas: u64,
    /// `{` and `[`.
    pub opens: u64,
    /// `}` and `]`.
    pub closes: u64,
    /// Digits.
    pub digits: u64,
    /// `0`.
    pub zeros: u64,
    /// Bytes beyond ASCII.
    pub beyond: u64,
}

impl JsonMarks {
    /// Those of a block, sixteen bytes at a time: by instructions that every CPU has.
    #[inline]
    #[must_use]
    pub fn find(block: &[u8; BLOCK]) -> Self {
        let mut found = Self::default();
        let (quarters, _) = block.as_chunks::<STEP>();
        for (quarter, bytes) in quarters.iter().enumerate() {
            let bytes = u8x16::new(*bytes);
            let is = |bytes: u8x16, byte: u8| bytes.simd_eq(u8x16::splat(byte));
            let bits = |mask: u8x16| u64::from(mask.to_bitmask()) << (quarter * STEP);
            let (folded, digit) = (bytes | u8x16::splat(0x20), bytes - u8x16::splat(b'0'));
            found.quotes |= bits(is(bytes, b'"'));
            found.backslashes |= bits(is(bytes, b'\\'));
            found.controls |= bits(bytes.min(u8x16::splat(0x1f)).simd_eq(bytes));
            found.spaces |= bits(is(bytes, b' '));
            found.colons |= bits(is(bytes, b':'));
            found.commas |= bits(is(bytes, b','));
            found.opens |= bits(is(folded, b'{'));
            found.closes |= bits(is(folded, b'}'));
            found.digits |= bits(digit.min(u8x16::splat(9)).simd_eq(digit));
            found.zeros |= bits(is(bytes, b'0'));
            found.beyond |= bits(bytes);
        }
        found
    }

    /// Those of the front of a block.
    #[inline]
    #[must_use]
    pub fn find_in(front: &[u8]) -> Self {
        if let Some(block) = front.first_chunk() {
            return Self::find(block);
        }
        let mut block = [b' '; BLOCK];
        for (to, from) in block.iter_mut().zip(front) {
            *to = *from;
        }
        Self::find(&block)
    }
}

/// For each bit, whether an odd number of bits are set up to it, itself included.
#[inline]
#[must_use]
pub const fn parity(bits: u64) -> u64 {
    let bits = bits ^ bits << 1;
    let bits = bits ^ bits << 2;
    let bits = bits ^ bits << 4;
    let bits = bits ^ bits << 8;
    let bits = bits ^ bits << 16;
    bits ^ bits << 32
}

/// The bits that stand where those of `places` are, side by side from the lowest on.
#[inline]
#[must_use]
pub fn gather(bits: u64, mut places: u64) -> u64 {
    let (mut gathered, mut next) = (0, 1);
    while places != 0 {
        if bits & places & places.wrapping_neg() != 0 {
            gathered |= next;
        }
        next <<= 1;
        places &= places - 1;
    }
    gathered
}

/// Work that reads JSON block by block.
pub trait JsonScan {
    /// What it finds.
    type Output;

    /// Does the work; `find` is given a block, or the end of a text, behind which it sees spaces, and finds what [`JsonMarks::find`]
    /// finds. `parity` and `gather` do what [`parity()`] and [`gather()`] do.
    ///
    /// It and what it calls should be `#[inline(always)]`: they are made of wide instructions only inside a function that may use
    /// them.
    fn run(
        self,
        find: impl Fn(&[u8]) -> JsonMarks + Copy,
        parity: impl Fn(u64) -> u64 + Copy,
        gather: impl Fn(u64, u64) -> u64 + Copy,
    ) -> Self::Output;
}

/// Does the work with the widest registers that the CPU has.
#[inline]
pub fn scan_json<S: JsonScan>(work: S) -> S::Output {
    #[cfg(target_arch = "x86_64")]
    if crate::has_avx512() {
        // SAFETY: `has_avx512` has just found on this CPU what the function is compiled with.
        return unsafe { scan_with_avx512(work) };
    }
    work.run(JsonMarks::find_in, parity, gather)
}

/// [`scan_json`] for a CPU that has what [`crate::has_avx512`] looks for.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,popcnt,pclmulqdq,avx512f,avx512bw,avx512cd,avx512dq,avx512vl")]
fn scan_with_avx512<S: JsonScan>(work: S) -> S::Output {
    use std::arch::x86_64::{
        __m512i, _mm_clmulepi64_si128, _mm_cvtsi128_si64, _mm_set_epi64x, _mm_set1_epi8,
        _mm512_cmpeq_epi8_mask, _mm512_cmplt_epu8_mask, _mm512_loadu_si512, _mm512_mask_loadu_epi8,
        _mm512_movepi8_mask, _mm512_or_si512, _mm512_set1_epi8, _mm512_sub_epi8, _pext_u64,
    };
    let each = |byte: u8| _mm512_set1_epi8(byte.cast_signed());
    let load = |front: &[u8]| -> __m512i {
        let Some(block) = front.first_chunk::<BLOCK>() else {
            let there = (1_u64 << front.len()) - 1;
            // SAFETY: only bytes are read whose bits are set, and these are in the slice.
            return unsafe { _mm512_mask_loadu_epi8(each(b' '), there, front.as_ptr().cast()) };
        };
        // SAFETY: a block has the 64 bytes that are read, and the load asks for no alignment.
        unsafe { _mm512_loadu_si512(block.as_ptr().cast()) }
    };
    let find = |front: &[u8]| {
        let bytes = load(front);
        let is = |bytes: __m512i, byte: u8| _mm512_cmpeq_epi8_mask(bytes, each(byte));
        let folded = _mm512_or_si512(bytes, each(0x20));
        JsonMarks {
            quotes: is(bytes, b'"'),
            backslashes: is(bytes, b'\\'),
            controls: _mm512_cmplt_epu8_mask(bytes, each(b' ')),
            spaces: is(bytes, b' '),
            colons: is(bytes, b':'),
            commas: is(bytes, b','),
            opens: is(folded, b'{'),
            closes: is(folded, b'}'),
            digits: _mm512_cmplt_epu8_mask(_mm512_sub_epi8(bytes, each(b'0')), each(10)),
            zeros: is(bytes, b'0'),
            beyond: _mm512_movepi8_mask(bytes),
        }
    };
    // A product without carries, of as many ones as there may be bits.
    let parity = |bits: u64| {
        let product = _mm_clmulepi64_si128::<0>(_mm_set_epi64x(0, bits.cast_signed()), _mm_set1_epi8(-1));
        _mm_cvtsi128_si64(product).cast_unsigned()
    };
    work.run(find, parity, |bits, places| _pext_u64(bits, places))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One byte at a time.
    fn model(front: &[u8]) -> JsonMarks {
        let byte = |at: usize| front.get(at).copied().unwrap_or(b' ');
        let bits = |is: &dyn Fn(u8) -> bool| {
            (0..BLOCK).rev().fold(0, |bits, at| bits << 1 | u64::from(is(byte(at))))
        };
        JsonMarks {
            quotes: bits(&|byte| byte == b'"'),
            backslashes: bits(&|byte| byte == b'\\'),
            controls: bits(&|byte| byte < b' '),
            spaces: bits(&|byte| byte == b' '),
            colons: bits(&|byte| byte == b':'),
            commas: bits(&|byte| byte == b','),
            opens: bits(&|byte| b"{[".contains(&byte)),
            closes: bits(&|byte| b"}]".contains(&byte)),
            digits: bits(&|byte| byte.is_ascii_digit()),
            zeros: bits(&|byte| byte == b'0'),
            beyond: bits(&|byte| !byte.is_ascii()),
        }
    }

    /// Finds what is at the front of a text, and what some bits become.
    struct OneFront<'a>(&'a [u8], u64);

    impl JsonScan for OneFront<'_> {
        type Output = (JsonMarks, u64, u64);

        fn run(
            self,
            find: impl Fn(&[u8]) -> JsonMarks + Copy,
            parity: impl Fn(u64) -> u64 + Copy,
            gather: impl Fn(u64, u64) -> u64 + Copy,
        ) -> (JsonMarks, u64, u64) {
            let found = find(self.0);
            (found, parity(self.1), gather(self.1, found.digits))
        }
    }

    #[track_caller]
    fn check(front: &[u8], bits: u64) {
        let one_by_one = (0..BLOCK).fold(0, |all, at| {
            let odd = (bits << (BLOCK - 1 - at)).count_ones() % 2;
            all | u64::from(odd) << at
        });
        let places = (0..BLOCK).filter(|at| model(front).digits >> at & 1 == 1);
        let side_by_side = places.enumerate().fold(0, |all, (n, at)| all | (bits >> at & 1) << n);
        let expected = (model(front), one_by_one, side_by_side);
        assert_eq!(OneFront(front, bits).run(JsonMarks::find_in, parity, gather), expected);
        assert_eq!(scan_json(OneFront(front, bits)), expected);
    }

    #[test]
    fn every_byte_is_told_at_every_place() {
        let step = if cfg!(miri) { 37 } else { 1 };
        for byte in (0..=255).step_by(step) {
            for place in (0..BLOCK).step_by(step) {
                let mut block = [b'x'; BLOCK];
                block[place] = byte;
                check(&block, 1 << place);
                check(&block[..=place], u64::from(byte) << (place / 2));
            }
        }
        check(b"", 0);
        check(b"", !0);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 8 } else { 256 }, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn any_front_is_read_as_byte_by_byte(bytes in prop::collection::vec(any::<u8>(), 0..80), few in prop::collection::vec(prop::sample::select(b"\"\\ \n:,{[}]019a\x7f\x80\xff".to_vec()), 0..80), bits in any::<u64>()) {
            check(&bytes, bits);
            check(&few, bits);
        }
    }
}
