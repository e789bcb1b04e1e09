//! Takes compression off an object as its bytes come: gzip of any number of members, or zstd, twice if need be. Told by the bytes
//! themselves, never by a name.

use flate2::{Decompress, FlushDecompress, Status};

use crate::source::zstd::{self, BrokenZstd, ZstdFrames};

/// Why an object cannot be read: the label of a metric, and what is wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum UnpackError {
    #[error("its gzip is corrupt")]
    Corrupt,
    #[error("its gzip ends too early")]
    Torn,
    #[error(transparent)]
    Zstd(#[from] BrokenZstd),
    #[error("it inflates to more than a thousand times its size")]
    Bomb,
    #[error("it is compressed with {0}, which standpipe does not read")]
    Unknown(&'static str),
}

const WINDOW_BITS: u8 = 15;

/// So many bytes tell how something is compressed.
const TELLING: usize = 8;

/// What inflates to more than this is looked at twice.
const LARGE: u64 = 64 << 20;

/// Deflate cannot do better than 1,032 to one: this close to it nothing but one byte is repeated.
const MOST_RATIO: u64 = 1_000;

const GZIP: &[u8] = &[GZIP_FIRST, 0x8b, 0x08];

/// How every member begins.
const GZIP_FIRST: u8 = 0x1f;

/// Compressions that are known by name only.
///
/// Source: the formats' own magic numbers.
const UNKNOWN: &[(&[u8], &str)] = &[
    (b"PAR1", "Parquet"),
    (b"BZh", "bzip2"),
    (b"\xff\x06\x00\x00sNaP", "snappy"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"PK\x03\x04", "zip"),
];

/// Unpacks one object.
pub(super) struct Unpacker {
    outer: UnpackStage,
    inner: UnpackStage,
    /// What the outer one gave, and how much of it the inner one has taken.
    between: Vec<u8>,
    used: usize,
    taken: u64,
    given: u64,
}

/// One layer.
struct UnpackStage {
    kind: StageKind,
    /// The first bytes, until they tell.
    head: Vec<u8>,
}

enum StageKind {
    /// Not known yet.
    New,
    /// As it is.
    Plain,
    /// Within a member, or behind one.
    Gzip {
        stream: Box<Decompress>,
        is_within: bool,
    },
    Zstd(Box<ZstdFrames>),
}

/// Room between the layers.
const BETWEEN: usize = 64 << 10;

/// A buffer with less room than this is full.
const LEAST_ROOM: usize = 64;

impl Unpacker {
    pub(super) fn new() -> Self {
        Self::of(StageKind::New)
    }

    /// For contents that are known to be as they are.
    pub(super) fn plain() -> Self {
        Self::of(StageKind::Plain)
    }

    fn of(outer: StageKind) -> Self {
        let stage = |kind| UnpackStage { kind, head: Vec::new() };
        let (outer, inner) = (stage(outer), stage(StageKind::New));
        Self { outer, inner, between: Vec::new(), used: 0, taken: 0, given: 0 }
    }

    /// Whether the object holds its contents as they are; none: its first bytes are still to come.
    pub(super) fn is_plain(&self) -> Option<bool> {
        match self.outer.kind {
            StageKind::New => None,
            // What follows gzip, or was within it, is not.
            StageKind::Plain => Some(self.inner.is_untouched()),
            StageKind::Gzip { .. } | StageKind::Zstd(_) => Some(false),
        }
    }

    /// Most memory that it takes beside what it gives.
    pub(super) fn memory(&self) -> usize {
        let of = |stage: &UnpackStage| {
            if matches!(stage.kind, StageKind::Zstd(_)) { zstd::MOST_WINDOW } else { 0 }
        };
        of(&self.outer) + of(&self.inner)
    }

    /// Unpacks some of `input`, which is shortened by what was used, behind what is in `out`, whose room does not grow. Whether to come
    /// again without more input, once there is room.
    pub(super) fn step(
        &mut self,
        input: &mut &[u8],
        is_end: bool,
        out: &mut Vec<u8>,
    ) -> Result<bool, UnpackError> {
        let (had, held) = (input.len(), out.len());
        let comes_again = self.through(input, is_end, out)?;
        self.taken = self.taken.saturating_add(had.saturating_sub(input.len()) as u64);
        self.given = self.given.saturating_add(out.len().saturating_sub(held) as u64);
        if self.given > LARGE && self.given / self.taken.max(1) > MOST_RATIO {
            return Err(UnpackError::Bomb);
        }
        Ok(comes_again)
    }

    fn through(&mut self, input: &mut &[u8], is_end: bool, out: &mut Vec<u8>) -> Result<bool, UnpackError> {
        loop {
            let is_plain = self.is_plain() == Some(true);
            let mut rest = self.between.get(self.used..).unwrap_or_default();
            let waiting = rest.len();
            if is_plain {
                copy(&mut rest, out);
            } else {
                self.inner.step(&mut rest, false, out)?;
            }
            self.used += waiting - rest.len();
            if is_full(out) {
                return Ok(true);
            }
            if is_plain {
                copy(input, out);
                return Ok(!input.is_empty());
            }
            if matches!(self.inner.kind, StageKind::Plain) {
                // What the outer one gives is as it is.
                let held = out.len();
                self.outer.step(input, is_end, out)?;
                if is_full(out) {
                    return Ok(true);
                }
                if out.len() == held {
                    if is_end && input.is_empty() {
                        self.outer.finish()?;
                    }
                    return Ok(false);
                }
                continue;
            }
            self.between.clear();
            self.between.reserve_exact(BETWEEN);
            self.used = 0;
            self.outer.step(input, is_end, &mut self.between)?;
            if self.between.is_empty() && self.is_plain() != Some(true) {
                if is_end && input.is_empty() {
                    self.outer.finish()?;
                    self.inner.step(&mut &[][..], true, out)?;
                    if is_full(out) {
                        return Ok(true);
                    }
                    self.inner.finish()?;
                }
                return Ok(false);
            }
        }
    }
}

impl UnpackStage {
    fn is_untouched(&self) -> bool {
        matches!(self.kind, StageKind::New) && self.head.is_empty()
    }

    fn step(&mut self, input: &mut &[u8], is_end: bool, out: &mut Vec<u8>) -> Result<(), UnpackError> {
        if matches!(self.kind, StageKind::New) {
            let wanted = TELLING.saturating_sub(self.head.len());
            let (head, rest) = input.split_at_checked(wanted).unwrap_or((input, &[]));
            self.head.extend_from_slice(head);
            *input = rest;
            if self.head.len() < TELLING && !is_end {
                return Ok(());
            }
            self.kind = StageKind::told(&self.head)?;
            let head = std::mem::take(&mut self.head);
            // So few bytes give next to nothing.
            self.kind.step(&mut &*head, out)?;
        }
        if let StageKind::Zstd(frames) = &mut self.kind
            && is_end
            && input.is_empty()
        {
            frames.end();
        }
        self.kind.step(input, out)
    }

    fn finish(&self) -> Result<(), UnpackError> {
        match self.kind {
            StageKind::Gzip { is_within: true, .. } => Err(UnpackError::Torn),
            StageKind::Zstd(ref frames) if !frames.is_whole() => Err(BrokenZstd::Torn.into()),
            StageKind::Gzip { .. } | StageKind::Zstd(_) | StageKind::New | StageKind::Plain => Ok(()),
        }
    }
}

impl StageKind {
    fn told(head: &[u8]) -> Result<Self, UnpackError> {
        if head.starts_with(GZIP) {
            let stream = Box::new(Decompress::new_gzip(WINDOW_BITS));
            return Ok(Self::Gzip { stream, is_within: true });
        }
        if zstd::is_zstd(head) {
            return Ok(Self::Zstd(Box::new(ZstdFrames::new())));
        }
        let unknown = UNKNOWN.iter().find(|(magic, _)| head.starts_with(magic));
        unknown.map_or(Ok(Self::Plain), |(_, name)| Err(UnpackError::Unknown(name)))
    }

    fn step(&mut self, input: &mut &[u8], out: &mut Vec<u8>) -> Result<(), UnpackError> {
        if let Self::Zstd(frames) = self {
            return Ok(frames.step(input, out)?);
        }
        loop {
            let Self::Gzip { stream, is_within } = self else {
                copy(input, out);
                return Ok(());
            };
            if !*is_within {
                *input = input.trim_ascii_start();
                let padding = input.iter().take_while(|byte| **byte == 0).count();
                *input = input.get(padding..).unwrap_or_default();
                match input.first() {
                    None => return Ok(()),
                    Some(0) => continue,
                    Some(byte) if *byte == GZIP_FIRST => {
                        stream.reset(true);
                        *is_within = true;
                    }
                    Some(_) if padding > 0 => continue,
                    // What is no member is as it is.
                    Some(_) => *self = Self::Plain,
                }
                continue;
            }
            if is_full(out) {
                return Ok(());
            }
            let before = (stream.total_in(), stream.total_out());
            let status = stream.decompress_vec(input, out, FlushDecompress::None);
            let status = status.map_err(|_| UnpackError::Corrupt)?;
            let used = usize::try_from(stream.total_in() - before.0).unwrap_or(usize::MAX);
            *input = input.get(used..).unwrap_or_default();
            if status == Status::StreamEnd {
                *is_within = false;
            } else if used == 0 && stream.total_out() == before.1 {
                return Ok(());
            }
        }
    }
}

fn copy(input: &mut &[u8], out: &mut Vec<u8>) {
    let room = out.capacity().saturating_sub(out.len());
    let (now, later) = input.split_at_checked(room).unwrap_or((input, &[]));
    out.extend_from_slice(now);
    *input = later;
}

const fn is_full(out: &Vec<u8>) -> bool {
    out.capacity() - out.len() < LEAST_ROOM
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
    }

    /// Unpacks in pieces of `piece` bytes, with room for `room` at a time.
    fn unpack(bytes: &[u8], piece: usize, room: usize) -> Result<Vec<u8>, UnpackError> {
        let (mut unpacker, mut all) = (Unpacker::new(), Vec::new());
        let mut pieces: Vec<&[u8]> = bytes.chunks(piece).collect();
        pieces.push(&[]);
        let last = pieces.len() - 1;
        for (index, mut input) in pieces.into_iter().enumerate() {
            loop {
                let mut out = Vec::with_capacity(room);
                let comes_again = unpacker.step(&mut input, index == last, &mut out)?;
                all.extend(out);
                if !comes_again {
                    assert!(input.is_empty(), "{} bytes are left over", input.len());
                    break;
                }
            }
        }
        Ok(all)
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: Result<&[u8], UnpackError>) {
        for (piece, room) in [(1, 100), (7, 1_000), (1 << 20, 1 << 20)] {
            assert_eq!(unpack(bytes, piece, room).as_deref(), expected.as_ref().map(|bytes| *bytes));
        }
    }

    #[test]
    fn an_object_is_unpacked_by_what_it_is() {
        let long = b"a line of text\n".repeat(500);
        check(b"", Ok(b""));
        check(b"a\n", Ok(b"a\n"));
        check(&long, Ok(&long));
        check(&gz(&long), Ok(&long));
        check(&gz(b""), Ok(b""));
        check(&gz(b"a"), Ok(b"a"));
        check(&gz(&gz(&long)), Ok(&long));
        check(&zstd(&long), Ok(&long));
        check(&zstd(b""), Ok(b""));
        check(&[zstd(&long), zstd(b"and more\n")].concat(), Ok(&[&long[..], b"and more\n"].concat()));
        check(&gz(&zstd(&long)), Ok(&long));
        let skippable = [&[0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
        check(&[zstd(&long), skippable, zstd(b"x")].concat(), Ok(&[&long[..], b"x"].concat()));
        let third = gz(b"deep");
        check(&gz(&gz(&third)), Ok(&third));
    }

    #[test]
    fn members_follow_each_other_with_anything_blank_between() {
        let two = [gz(b"one\n"), gz(b"two\n")];
        check(&two.concat(), Ok(b"one\ntwo\n"));
        check(&two.join(&b"\n"[..]), Ok(b"one\ntwo\n"));
        check(&[&two.concat()[..], &[0; 600]].concat(), Ok(b"one\ntwo\n"));
        check(&gz(&two.join(&b"\n"[..])), Ok(b"one\ntwo\n"));
        check(&[&two[0][..], b"as it is\n"].concat(), Ok(b"one\nas it is\n"));
    }

    #[test]
    fn what_cannot_be_unpacked_is_said() {
        let mut corrupt = gz(&b"a line of text\n".repeat(500));
        check(&corrupt[..corrupt.len() - 3], Err(UnpackError::Torn));
        corrupt[20] ^= 0xff;
        assert!(unpack(&corrupt, 7, 1_000).is_err());
        let large = zstd(&(0..300_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>());
        check(&large[..large.len() - 9], Err(UnpackError::Zstd(BrokenZstd::Torn)));
        let mut corrupt = large;
        corrupt.extend_from_slice(b"no frame");
        check(&corrupt, Err(UnpackError::Zstd(BrokenZstd::Corrupt)));
        check(b"PAR1....PAR1", Err(UnpackError::Unknown("Parquet")));
        check(b"BZh91AY&SY", Err(UnpackError::Unknown("bzip2")));
        let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
        bomb.write_all(&vec![0; 80 << 20]).unwrap();
        assert_eq!(
            unpack(&bomb.finish().unwrap(), 1 << 10, 1 << 20).map(|all| all.len()),
            Err(UnpackError::Bomb)
        );
    }

    #[test]
    fn what_came_before_a_tear_is_given() {
        let long: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        // The frame keeps back what it may yet look back at, which is all of it.
        let torn = zstd(&long);
        let torn = &torn[..torn.len() - 9];
        for (bytes, room) in [(torn.to_vec(), 1_000), (torn.to_vec(), 1 << 20), (gz(torn), 1 << 20)] {
            let (mut unpacker, mut all, mut input) = (Unpacker::new(), Vec::new(), &*bytes);
            let error = loop {
                let mut out = Vec::with_capacity(room);
                let stepped = unpacker.step(&mut input, true, &mut out);
                all.extend(out);
                match stepped {
                    Ok(comes_again) => {
                        assert!(comes_again || !input.is_empty(), "it ended as if it was whole");
                    }
                    Err(error) => break error,
                }
            };
            assert_eq!(error, UnpackError::Zstd(BrokenZstd::Torn));
            assert!(long.starts_with(&all) && all.len() >= long.len() - (128 << 10), "{} came", all.len());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_come_back(bytes: Vec<u8>, layers in 0_usize..3, as_zstd: bool, piece in 1_usize..50, room in 65_usize..500) {
            prop_assume!(StageKind::told(&bytes).is_ok_and(|kind| matches!(kind, StageKind::Plain)));
            let packed = (0..layers).fold(bytes.clone(), |packed, layer| if as_zstd == (layer == 0) { zstd(&packed) } else { gz(&packed) });
            prop_assert_eq!(unpack(&packed, piece, room), Ok(bytes));
        }

        #[test]
        fn no_bytes_are_too_strange(mut bytes: Vec<u8>, kind in 0_usize..3, piece in 1_usize..50) {
            let magics: [&[u8]; 3] = [b"", GZIP, zstd::MAGIC];
            bytes.splice(..0, magics[kind].iter().copied());
            unpack(&bytes, piece, 100).ok();
        }
    }
}
