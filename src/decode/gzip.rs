//! Inflating, with a cap: libdeflate where the payload is one member, a stream where it is several.

use std::sync::LazyLock;

use bytes::Bytes;
use flate2::{Decompress, FlushDecompress, Status};
use libdeflater::{CompressionLvl, Compressor, DecompressionError, Decompressor};
use memchr::memmem::Finder;

/// Why a payload cannot be inflated.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum InflateError {
    Corrupt,
    TooLarge,
    /// There is no memory for it now.
    NoRoom,
}

impl InflateError {
    /// The metric's label.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Corrupt => "gzip",
            Self::TooLarge | Self::NoRoom => "too_large",
        }
    }
}

/// How every gzip member begins: magic, and deflate as its method.
const MAGIC: &[u8] = &[0x1f, 0x8b, 0x08];

/// Deflate cannot do better than this many to one.
const BEST_RATIO: usize = 1_032;

/// Header and trailer of the smallest member.
const SMALLEST: usize = 18;

const WINDOW_BITS: u8 = 15;

/// Whether the bytes begin as gzip does.
pub(crate) fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// Inflates, with its state and tables reused.
pub(crate) struct Inflater {
    whole: Decompressor,
    stream: Decompress,
}

impl Default for Inflater {
    fn default() -> Self {
        Self { whole: Decompressor::new(), stream: Decompress::new_gzip(WINDOW_BITS) }
    }
}

impl Inflater {
    /// Inflates every member of `gz` into the front of `out`, which grows as needed and never shrinks, so that its bytes
    /// need not be zeroed again. `may_take` is asked before it takes so many bytes more. Returns how many bytes are filled.
    pub(crate) fn inflate(
        &mut self,
        gz: &[u8],
        max: usize,
        out: &mut Vec<u8>,
        may_take: &mut dyn FnMut(usize) -> bool,
    ) -> Result<usize, InflateError> {
        let mut space = Space { out, taken: 0, may_take };
        if gz.len() < SMALLEST {
            return Err(InflateError::Corrupt);
        }
        // libdeflate stops after the first member without a word. The magic may stand in a single member by chance; then
        // the stream is merely slower.
        if is_single(gz) { self.single(gz, max, &mut space) } else { self.members(gz, max, &mut space) }
    }

    fn single(&mut self, gz: &[u8], max: usize, space: &mut Space<'_>) -> Result<usize, InflateError> {
        let mut size = told_size(gz).min(gz.len().saturating_mul(BEST_RATIO)).clamp(64, max.max(64));
        loop {
            space.grow(size)?;
            match self.whole.gzip_decompress(gz, space.out.get_mut(..size).unwrap_or_default()) {
                Ok(filled) if filled <= max => return Ok(filled),
                Err(DecompressionError::BadData) => return Err(InflateError::Corrupt),
                Err(DecompressionError::InsufficientSpace) if size < max => {
                    size = size.saturating_mul(2).min(max);
                }
                Ok(_) | Err(DecompressionError::InsufficientSpace) => return Err(InflateError::TooLarge),
            }
        }
    }

    /// Several members, with white space or zeros between them or after the last.
    fn members(&mut self, gz: &[u8], max: usize, space: &mut Space<'_>) -> Result<usize, InflateError> {
        let mut rest = gz;
        let mut filled = 0;
        while !rest.is_empty() {
            let taken = self.member(rest, max, space, &mut filled)?;
            rest = rest.get(taken..).unwrap_or_default();
            let gap = rest.iter().take_while(|byte| byte.is_ascii_whitespace() || **byte == 0).count();
            rest = rest.get(gap..).unwrap_or_default();
        }
        Ok(filled)
    }

    /// Inflates one member behind what is filled, and returns how many bytes it took.
    fn member(
        &mut self,
        gz: &[u8],
        max: usize,
        space: &mut Space<'_>,
        filled: &mut usize,
    ) -> Result<usize, InflateError> {
        self.stream.reset(true);
        let mut taken = 0;
        loop {
            if *filled >= space.taken {
                space.grow(space.taken.saturating_mul(2).max(64 << 10).min(max.saturating_add(1)))?;
            }
            let room = space.out.get_mut(*filled..space.taken).unwrap_or_default();
            let input = gz.get(taken..).unwrap_or_default();
            let before = (self.stream.total_in(), self.stream.total_out());
            let status = self.stream.decompress(input, room, FlushDecompress::None);
            let took = difference(self.stream.total_in(), before.0);
            let gave = difference(self.stream.total_out(), before.1);
            taken += took;
            *filled += gave;
            if *filled > max {
                return Err(InflateError::TooLarge);
            }
            match status.map_err(|_| InflateError::Corrupt)? {
                Status::StreamEnd => return Ok(taken),
                // Neither took nor gave: the member ends too early.
                Status::Ok | Status::BufError if took == 0 && gave == 0 => return Err(InflateError::Corrupt),
                Status::Ok | Status::BufError => {}
            }
        }
    }

    /// Inflates the front of a single member into `head`; whatever can be had of it. None: there may be several members.
    pub(crate) fn head<'h>(&mut self, gz: &[u8], head: &'h mut [u8]) -> Option<&'h [u8]> {
        if gz.len() < SMALLEST || !is_single(gz) {
            return None;
        }
        self.stream.reset(true);
        self.stream.decompress(gz, head, FlushDecompress::None).ok()?;
        head.get(..difference(self.stream.total_out(), 0))
    }
}

fn is_single(gz: &[u8]) -> bool {
    /// Made once: for a small payload, that takes longer than the search.
    static NEXT: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(MAGIC));
    NEXT.find(gz.get(MAGIC.len()..).unwrap_or_default()).is_none()
}

/// What the trailer says the member inflates to.
fn told_size(gz: &[u8]) -> usize {
    let size = gz.last_chunk::<4>().map_or(0, |trailer| u32::from_le_bytes(*trailer));
    usize::try_from(size).unwrap_or(usize::MAX)
}

fn difference(after: u64, before: u64) -> usize {
    usize::try_from(after.saturating_sub(before)).unwrap_or(usize::MAX)
}

/// What is inflated into.
struct Space<'a> {
    out: &'a mut Vec<u8>,
    /// How much of it may be filled.
    taken: usize,
    may_take: &'a mut dyn FnMut(usize) -> bool,
}

impl Space<'_> {
    fn grow(&mut self, len: usize) -> Result<(), InflateError> {
        if len > self.taken {
            if !(self.may_take)(len - self.taken) {
                return Err(InflateError::NoRoom);
            }
            self.taken = len;
        }
        if self.out.len() < len {
            self.out.reserve_exact(len - self.out.len());
            self.out.resize(len, 0);
        }
        Ok(())
    }
}

/// Deflates with `CloudWatch` Logs' own level.
pub(crate) fn deflate(plain: &[u8]) -> Bytes {
    let mut compressor = Compressor::new(CompressionLvl::default());
    let mut gz = vec![0; compressor.gzip_compress_bound(plain.len())];
    // The space is what the library asked for; it does not run out.
    let len = compressor.gzip_compress(plain, &mut gz).unwrap_or_default();
    gz.truncate(len);
    Bytes::from(gz)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(payload: &[u8], max: usize, expected: Result<&[u8], InflateError>) {
        let mut out = Vec::new();
        let inflated = Inflater::default().inflate(payload, max, &mut out, &mut |_| true);
        assert_eq!(inflated.map(|len| &out[..len]), expected);
    }

    fn join(parts: &[&[u8]]) -> Vec<u8> {
        parts.concat()
    }

    #[test]
    fn members_follow_each_other_with_or_without_a_gap() {
        let (a, b) = (deflate(b"hello "), deflate(b"world"));
        check(&a, 100, Ok(b"hello "));
        check(&join(&[&a, &b]), 100, Ok(b"hello world"));
        check(&join(&[&a, b"\n", &b, b"\n"]), 100, Ok(b"hello world"));
        check(&join(&[&a, b"\n"]), 100, Ok(b"hello "));
        check(&join(&[&a, &a, &a]), 100, Ok(b"hello hello hello "));
    }

    #[test]
    fn a_bomb_is_too_large() {
        let bomb = deflate(&vec![b'x'; 1_000_000]);
        check(&bomb, 1_000, Err(InflateError::TooLarge));
        check(&join(&[&bomb, &bomb]), 1_500_000, Err(InflateError::TooLarge));
        check(&bomb, 1_000_000, Ok(&vec![b'x'; 1_000_000]));
        check(&join(&[&bomb, &bomb]), 2_000_000, Ok(&vec![b'x'; 2_000_000]));
    }

    #[test]
    fn a_damaged_member_is_corrupt() {
        let gz = deflate(b"some text that is long enough to be cut");
        check(&gz[..gz.len() - 1], 100, Err(InflateError::Corrupt));
        check(&gz[..20], 100, Err(InflateError::Corrupt));
        check(&join(&[&gz, &gz[..gz.len() - 1]]), 100, Err(InflateError::Corrupt));
        check(b"\x1f\x8b\x08", 100, Err(InflateError::Corrupt));
    }

    proptest! {
        #[test]
        fn what_was_deflated_comes_back(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..5_000), 1..4)) {
            let gz: Vec<u8> = parts.iter().flat_map(|part| deflate(part)).collect();
            let mut out = Vec::new();
            let len = Inflater::default().inflate(&gz, 1 << 20, &mut out, &mut |_| true).unwrap();
            prop_assert_eq!(&out[..len], parts.concat());
        }

        #[test]
        fn any_bytes_are_refused_or_inflated(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let gz = join(&[MAGIC, &bytes]);
            let mut out = Vec::new();
            Inflater::default().inflate(&gz, 1_000, &mut out, &mut |_| true).ok();
        }
    }
}
