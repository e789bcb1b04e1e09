//! Several SHA-256 digests side by side, one in each lane of wide registers.
//!
//! SHA-256 of one message is a chain in which each step waits for the one before; on a CPU without SHA instructions it costs more
//! than all the rest of a request. Bodies of requests do not depend on one another, so they can be hashed together: lane `n` of
//! every register belongs to message `n`. The lanes are arrays, and the compiler makes registers of them where it may use wide
//! ones. Algorithm: FIPS 180-4, <https://doi.org/10.6028/NIST.FIPS.180-4>.

use std::array::from_fn;
use std::slice;

/// A message's digest.
pub type Sha256Digest = [u8; 32];

/// Hashes eight messages at a time, with AVX2. There is none on a CPU without.
#[derive(Clone, Copy, Debug)]
pub struct EightLanes(());

/// Hashes sixteen messages at a time, with AVX-512. There is none on a CPU without.
#[derive(Clone, Copy, Debug)]
pub struct SixteenLanes(());

impl EightLanes {
    /// None where the CPU has no AVX2.
    #[must_use]
    pub fn detect() -> Option<Self> {
        crate::has_avx2().then_some(Self(()))
    }

    /// The digest of each message.
    #[must_use]
    pub fn digests(self, messages: [&[u8]; 8]) -> [Sha256Digest; 8] {
        digests(messages, |state, blocks| {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: only `detect` makes `self`, and it found AVX2 on this CPU.
            unsafe {
                compress_with_avx2(state, blocks);
            }
            #[cfg(not(target_arch = "x86_64"))]
            compress(state, blocks);
        })
    }
}

impl SixteenLanes {
    /// None where the CPU has no AVX-512.
    #[must_use]
    pub fn detect() -> Option<Self> {
        crate::has_avx512().then_some(Self(()))
    }

    /// The digest of each message.
    #[must_use]
    pub fn digests(self, messages: [&[u8]; 16]) -> [Sha256Digest; 16] {
        digests(messages, |state, blocks| {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: only `detect` makes `self`, and it found AVX-512 on this CPU.
            unsafe {
                compress_with_avx512(state, blocks);
            }
            #[cfg(not(target_arch = "x86_64"))]
            compress(state, blocks);
        })
    }
}

/// [`compress`] for a CPU that has what [`crate::has_avx2`] looks for.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2")]
fn compress_with_avx2(state: &mut LaneState<8>, messages: [&[Sha256Block]; 8]) {
    compress(state, messages);
}

/// [`compress`] for a CPU that has what [`crate::has_avx512`] looks for.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,avx512f,avx512bw,avx512cd,avx512dq,avx512vl")]
fn compress_with_avx512(state: &mut LaneState<16>, messages: [&[Sha256Block]; 16]) {
    compress(state, messages);
}

type Sha256Block = [u8; 64];

/// One 32-bit word of each message.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct LaneWords<const L: usize>([u32; L]);

type LaneState<const L: usize> = [LaneWords<L>; 8];

const START: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// The constants of the rounds, sixteen to a row.
#[rustfmt::skip]
const ROUNDS: [[u32; 16]; 4] = [
    [
        0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
        0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    ],
    [
        0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
        0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    ],
    [
        0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
        0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    ],
    [
        0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
        0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
    ],
];

#[expect(
    clippy::indexing_slicing,
    clippy::inline_always,
    reason = "in this form, and only once it stands inside `compress_with_*`, does the compiler make wide instructions of it"
)]
impl<const L: usize> LaneWords<L> {
    #[inline(always)]
    fn each(self, change: impl Fn(u32) -> u32) -> Self {
        Self(from_fn(|lane| change(self.0[lane])))
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        Self(from_fn(|lane| self.0[lane].wrapping_add(other.0[lane])))
    }

    #[inline(always)]
    fn choose(self, yes: Self, no: Self) -> Self {
        Self(from_fn(|lane| (self.0[lane] & yes.0[lane]) ^ (!self.0[lane] & no.0[lane])))
    }

    #[inline(always)]
    fn majority(self, b: Self, c: Self) -> Self {
        Self(from_fn(|lane| {
            (self.0[lane] & b.0[lane]) ^ (self.0[lane] & c.0[lane]) ^ (b.0[lane] & c.0[lane])
        }))
    }

    /// Three rotations of itself, combined.
    #[inline(always)]
    fn turned(self, [a, b, c]: [u32; 3]) -> Self {
        self.each(|word| word.rotate_right(a) ^ word.rotate_right(b) ^ word.rotate_right(c))
    }

    /// Two rotations and a shift of itself, combined.
    #[inline(always)]
    fn shifted(self, [a, b, c]: [u32; 3]) -> Self {
        self.each(|word| word.rotate_right(a) ^ word.rotate_right(b) ^ (word >> c))
    }
}

/// Takes as many blocks from each message as every one has.
#[expect(
    clippy::indexing_slicing,
    clippy::inline_always,
    clippy::many_single_char_names,
    reason = "FIPS 180-4's own names; constant bounds, known to the compiler"
)]
#[inline(always)]
fn compress<const L: usize>(state: &mut LaneState<L>, messages: [&[Sha256Block]; L]) {
    let count = messages.iter().map(|blocks| blocks.len()).min().unwrap_or(0);
    for at in 0..count {
        let mut w = [LaneWords([0; L]); 16];
        for (lane, blocks) in messages.iter().enumerate() {
            let (words, _) = blocks[at].as_chunks::<4>();
            for (word, bytes) in w.iter_mut().zip(words) {
                word.0[lane] = u32::from_be_bytes(*bytes);
            }
        }
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
        macro_rules! round {
            ($word:expr, $k:expr) => {{
                let (word, k): (LaneWords<L>, u32) = ($word, $k);
                let word = word.each(|word| word.wrapping_add(k));
                let first = h.plus(e.turned([6, 11, 25])).plus(e.choose(f, g)).plus(word);
                let second = a.turned([2, 13, 22]).plus(a.majority(b, c));
                (h, g, f, e, d, c, b, a) = (g, f, e, d.plus(first), c, b, a, first.plus(second));
            }};
        }
        let [k, later @ ..] = &ROUNDS;
        for t in 0..16 {
            round!(w[t], k[t]);
        }
        for k in later {
            for t in 0..16 {
                let early = w[(t + 1) % 16].shifted([7, 18, 3]);
                let late = w[(t + 14) % 16].shifted([17, 19, 10]);
                w[t] = w[t].plus(early).plus(w[(t + 9) % 16]).plus(late);
                round!(w[t], k[t]);
            }
        }
        for (word, new) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
            *word = word.plus(new);
        }
    }
}

/// A message as blocks: its own, and one or two with the rest of it, the padding and its length.
struct PaddedMessage<'a> {
    whole: &'a [Sha256Block],
    last: [Sha256Block; 2],
    count: usize,
}

impl<'a> PaddedMessage<'a> {
    fn of(message: &'a [u8]) -> Self {
        let (whole, rest) = message.as_chunks::<64>();
        let mut last = [[0; 64]; 2];
        for (to, from) in last.as_flattened_mut().iter_mut().zip(rest.iter().chain(&[0x80])) {
            *to = *from;
        }
        // The mark and the length take nine bytes.
        let blocks = if rest.len() < 56 { 1 } else { 2 };
        let bits = (message.len() as u64).wrapping_mul(8).to_be_bytes();
        let end = last.iter_mut().take(blocks).next_back().and_then(|block| block.last_chunk_mut());
        if let Some(end) = end {
            *end = bits;
        }
        Self { whole, last, count: whole.len().saturating_add(blocks) }
    }

    fn get(&self, at: usize) -> &Sha256Block {
        let padded = || self.last.get(at.saturating_sub(self.whole.len()));
        // Past a message's end its lane is idle, and runs over whatever is there.
        self.whole.get(at).or_else(padded).unwrap_or(&[0; 64])
    }
}

fn digests<const L: usize>(
    messages: [&[u8]; L],
    compress: impl Fn(&mut LaneState<L>, [&[Sha256Block]; L]),
) -> [Sha256Digest; L] {
    let blocks = messages.map(PaddedMessage::of);
    let mut state = START.map(|word| LaneWords([word; L]));
    let shared = blocks.iter().map(|blocks| blocks.whole.len()).min().unwrap_or(0);
    compress(&mut state, blocks.each_ref().map(|blocks| blocks.whole.get(..shared).unwrap_or_default()));
    let most = blocks.iter().map(|blocks| blocks.count).max().unwrap_or(0);
    let mut digests = [[0; 32]; L];
    for at in shared..most {
        compress(&mut state, blocks.each_ref().map(|blocks| slice::from_ref(blocks.get(at))));
        for (lane, (digest, blocks)) in digests.iter_mut().zip(&blocks).enumerate() {
            if blocks.count == at.saturating_add(1) {
                *digest = digest_of(&state, lane);
            }
        }
    }
    digests
}

fn digest_of<const L: usize>(state: &LaneState<L>, lane: usize) -> Sha256Digest {
    let mut digest = [0; 32];
    let (words, _) = digest.as_chunks_mut::<4>();
    for (bytes, word) in words.iter_mut().zip(state) {
        *bytes = word.0.get(lane).copied().unwrap_or_default().to_be_bytes();
    }
    digest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    use super::*;

    /// Whichever lanes this CPU has, and those that any has, give what the reference gives.
    #[track_caller]
    fn check(messages: &[Vec<u8>]) {
        let message = |lane: usize| messages[lane % messages.len()].as_slice();
        let expected = |lane| -> Sha256Digest { Sha256::digest(message(lane)).into() };
        // Of any width, on any CPU.
        let narrow: [&[u8]; 3] = from_fn(message);
        assert_eq!(digests(narrow, compress), from_fn(expected));
        if let Some(eight) = EightLanes::detect() {
            assert_eq!(eight.digests(from_fn(message)), from_fn(expected));
        }
        if let Some(sixteen) = SixteenLanes::detect() {
            assert_eq!(sixteen.digests(from_fn(message)), from_fn(expected));
        }
    }

    #[test]
    fn digests_of_every_length_are_those_of_the_reference() {
        let step = if cfg!(miri) { 97 } else { 3 };
        for first in (0..1_000).step_by(step) {
            check(&[0, 1, 2].map(|more| vec![b'x'; first + more]));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 2 } else { 64 }, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn messages_of_different_lengths_do_not_disturb_each_other(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..2_000), 1..16),
        ) {
            check(&messages);
        }
    }
}
