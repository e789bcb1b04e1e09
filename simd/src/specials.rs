//! Where quotes, backslashes and control characters stand in a block of text.

use wide::u8x16;

/// Bytes of a block: as many as a word has bits.
pub const BLOCK: usize = 64;

/// Where in a block something special stands, a bit a byte.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Specials {
    /// `"`.
    pub quotes: u64,
    /// `\`.
    pub backslashes: u64,
    /// Bytes below the space.
    pub controls: u64,
}

impl Specials {
    /// Those of a block, sixteen bytes at a time: by instructions that every CPU has.
    #[inline]
    #[must_use]
    pub fn find(block: &[u8; BLOCK]) -> Self {
        let mut found = Self::default();
        let (quarters, _) = block.as_chunks();
        for (quarter, bytes) in quarters.iter().enumerate() {
            let bytes = u8x16::new(*bytes);
            let bits = |mask: u8x16| u64::from(mask.to_bitmask()) << (quarter * 16);
            found.quotes |= bits(bytes.simd_eq(u8x16::splat(b'"')));
            found.backslashes |= bits(bytes.simd_eq(u8x16::splat(b'\\')));
            found.controls |= bits(bytes.min(u8x16::splat(0x1f)).simd_eq(bytes));
        }
        found
    }
}

/// Work that looks for special bytes block by block.
pub trait BlockScan {
    /// What it finds.
    type Output;

    /// Does the work; `find` is given a block, and finds what [`Specials::find`] finds.
    ///
    /// It and what it calls should be `#[inline(always)]`: `find` is made of wide instructions only inside a function that may use
    /// them.
    fn run(self, find: impl Fn(&[u8; BLOCK]) -> Specials + Copy) -> Self::Output;
}

/// Does the work with the widest registers that the CPU has.
#[inline]
pub fn scan<S: BlockScan>(work: S) -> S::Output {
    #[cfg(target_arch = "x86_64")]
    if crate::has_avx512() {
        // SAFETY: `has_avx512` has just found on this CPU what the function is compiled with.
        return unsafe { scan_with_avx512(work) };
    }
    work.run(Specials::find)
}

/// [`scan`] for a CPU that has what [`crate::has_avx512`] looks for.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,avx512f,avx512bw,avx512cd,avx512dq,avx512vl")]
fn scan_with_avx512<S: BlockScan>(work: S) -> S::Output {
    use std::arch::x86_64::{
        _mm512_cmpeq_epi8_mask, _mm512_cmplt_epu8_mask, _mm512_loadu_si512, _mm512_set1_epi8,
    };
    work.run(|block: &[u8; BLOCK]| {
        // SAFETY: a block has the 64 bytes that are read, and the load asks for no alignment.
        let bytes = unsafe { _mm512_loadu_si512(block.as_ptr().cast()) };
        let each = |byte: u8| _mm512_set1_epi8(byte.cast_signed());
        Specials {
            quotes: _mm512_cmpeq_epi8_mask(bytes, each(b'"')),
            backslashes: _mm512_cmpeq_epi8_mask(bytes, each(b'\\')),
            controls: _mm512_cmplt_epu8_mask(bytes, each(b' ')),
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One byte at a time.
    fn model(block: &[u8; BLOCK]) -> Specials {
        let bits =
            |is: fn(u8) -> bool| block.iter().rev().fold(0, |bits, byte| bits << 1 | u64::from(is(*byte)));
        Specials {
            quotes: bits(|byte| byte == b'"'),
            backslashes: bits(|byte| byte == b'\\'),
            controls: bits(|byte| byte < b' '),
        }
    }

    /// Finds what is in one block.
    struct OneBlock([u8; BLOCK]);

    impl BlockScan for OneBlock {
        type Output = Specials;

        fn run(self, find: impl Fn(&[u8; BLOCK]) -> Specials + Copy) -> Specials {
            find(&self.0)
        }
    }

    #[track_caller]
    fn check(block: [u8; BLOCK]) {
        assert_eq!(Specials::find(&block), model(&block));
        assert_eq!(scan(OneBlock(block)), model(&block));
    }

    #[test]
    fn every_byte_is_told_at_every_place() {
        let step = if cfg!(miri) { 37 } else { 1 };
        for byte in (0..=255).step_by(step) {
            for place in (0..BLOCK).step_by(step) {
                let mut block = [b'x'; BLOCK];
                block[place] = byte;
                check(block);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 8 } else { 256 }, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn any_block_is_read_as_byte_by_byte(bytes in prop::collection::vec(any::<u8>(), BLOCK), few in prop::collection::vec(prop::sample::select(b"\"\\\x1f \n\x7f\x80\xff".to_vec()), BLOCK)) {
            check(bytes.try_into().unwrap());
            check(few.try_into().unwrap());
        }
    }
}
