//! Segment headers and frames, encoded and decoded. Pure.
//!
//! All numbers are little-endian, all checksums CRC32C. A frame says where it stands and carries its segment's salt, so that
//! bytes of a payload that look like a frame are never taken for one.
//!
//! ```text
//! segment header   0 "stndpipe"   8 version u32   12 salt u32   16 number u64   24 number of the segment before u64
//!                  32 checksum of the 32 bytes before
//! frame            0 kind   4 salt u32   8 offset in the file u64   16 time in ms i64   24 events u64   32 bytes of origin u32
//!                  36 bytes of record u32   40 bytes before compression u32   44 flags u32   48 checksum of the body u32
//!                  52 checksum of the 52 bytes before   56 the body: the origin as JSON, then the record
//! ```

use crate::event::Timestamp;

/// The version that is written, and the only one that is read.
pub(super) const VERSION: u32 = 1;

/// Bytes of a segment's header.
pub(super) const SEGMENT_HEADER: u64 = 36;

/// Bytes of a frame before its body.
pub(super) const FRAME_HEADER: usize = 56;

/// The most bytes of an origin, or of a record, that are believed.
pub(super) const MAX_BODY_PART: u32 = 16 * 1024 * 1024;

const MAGIC: &[u8; 8] = b"stndpipe";
const COMPRESSED: u32 = 1;

/// What a segment's file begins with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct SegmentHeader {
    pub(super) salt: u32,
    pub(super) number: u64,
    /// The segment before; 0: there was none.
    pub(super) previous: u64,
}

/// Why a header is not one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NotHeader {
    /// Written by another version.
    Version(u32),
    /// Too short, or damaged.
    Damaged,
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.salt.to_le_bytes());
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.previous.to_le_bytes());
        let sum = crc32c::crc32c(&out);
        out.extend_from_slice(&sum.to_le_bytes());
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, NotHeader> {
        let read = || {
            let summed = bytes.get(..32)?;
            let sound = u32_at(bytes, 32)? == crc32c::crc32c(summed) && summed.starts_with(MAGIC);
            let header =
                Self { salt: u32_at(bytes, 12)?, number: u64_at(bytes, 16)?, previous: u64_at(bytes, 24)? };
            sound.then_some((u32_at(bytes, 8)?, header))
        };
        match read() {
            Some((VERSION, header)) => Ok(header),
            Some((version, _)) => Err(NotHeader::Version(version)),
            None => Err(NotHeader::Damaged),
        }
    }
}

/// What a frame is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum FrameKind {
    /// A record with its origin.
    Record,
    /// The end of a segment that is complete: `events` are those of all its records.
    Seal,
}

impl FrameKind {
    const fn magic(self) -> [u8; 4] {
        match self {
            Self::Record => *b"SREC",
            Self::Seal => *b"SEND",
        }
    }

    fn of(magic: &[u8]) -> Option<Self> {
        [Self::Record, Self::Seal].into_iter().find(|kind| kind.magic() == magic)
    }
}

/// What a frame begins with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Frame {
    pub(super) kind: FrameKind,
    pub(super) salt: u32,
    pub(super) offset: u64,
    /// When the record was written; of a seal, when the first one was.
    pub(super) time: Timestamp,
    pub(super) events: u64,
    pub(super) origin_bytes: u32,
    pub(super) record_bytes: u32,
    pub(super) payload_bytes: u32,
    pub(super) compressed: bool,
    pub(super) body_sum: u32,
}

impl Frame {
    /// The frame that ends a segment.
    pub(super) fn seal(salt: u32, offset: u64, time: Timestamp, events: u64) -> Self {
        Self {
            kind: FrameKind::Seal,
            salt,
            offset,
            time,
            events,
            origin_bytes: 0,
            record_bytes: 0,
            payload_bytes: 0,
            compressed: false,
            body_sum: 0,
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let from = out.len();
        out.extend_from_slice(&self.kind.magic());
        out.extend_from_slice(&self.salt.to_le_bytes());
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.time.0.to_le_bytes());
        out.extend_from_slice(&self.events.to_le_bytes());
        for number in [self.origin_bytes, self.record_bytes, self.payload_bytes] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&(if self.compressed { COMPRESSED } else { 0 }).to_le_bytes());
        out.extend_from_slice(&self.body_sum.to_le_bytes());
        let sum = crc32c::crc32c(out.get(from..).unwrap_or_default());
        out.extend_from_slice(&sum.to_le_bytes());
    }

    /// The frame header at the front of `bytes`, if a whole one stands there.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let kind = FrameKind::of(bytes.get(..4)?)?;
        if u32_at(bytes, 52)? != crc32c::crc32c(bytes.get(..52)?) {
            return None;
        }
        let frame = Self {
            kind,
            salt: u32_at(bytes, 4)?,
            offset: u64_at(bytes, 8)?,
            time: Timestamp(i64::from_le_bytes(bytes.get(16..24)?.try_into().ok()?)),
            events: u64_at(bytes, 24)?,
            origin_bytes: u32_at(bytes, 32)?,
            record_bytes: u32_at(bytes, 36)?,
            payload_bytes: u32_at(bytes, 40)?,
            compressed: u32_at(bytes, 44)? & COMPRESSED != 0,
            body_sum: u32_at(bytes, 48)?,
        };
        (frame.origin_bytes <= MAX_BODY_PART && frame.record_bytes <= MAX_BODY_PART).then_some(frame)
    }

    /// Bytes of the body.
    pub(super) fn body_bytes(&self) -> usize {
        (self.origin_bytes as usize).saturating_add(self.record_bytes as usize)
    }

    /// Where the next frame begins.
    pub(super) fn end(&self) -> u64 {
        self.offset.saturating_add(FRAME_HEADER as u64).saturating_add(self.body_bytes() as u64)
    }

    /// What every record frame of a segment begins with.
    pub(super) fn needle(salt: u32) -> [u8; 8] {
        let mut needle = [0; 8];
        let halves = FrameKind::Record.magic().into_iter().chain(salt.to_le_bytes());
        needle.iter_mut().zip(halves).for_each(|(to, from)| *to = from);
        needle
    }
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let end = at.checked_add(4)?;
    Some(u32::from_le_bytes(bytes.get(at..end)?.try_into().ok()?))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let end = at.checked_add(8)?;
    Some(u64::from_le_bytes(bytes.get(at..end)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_header_reads_back_and_no_flipped_bit_passes() {
        let header = SegmentHeader { salt: 7, number: 3, previous: 2 };
        let bytes = header.encode();
        assert_eq!(bytes.len() as u64, SEGMENT_HEADER);
        assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&flipped), Err(NotHeader::Damaged), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert_eq!(SegmentHeader::decode(&bytes[..len]), Err(NotHeader::Damaged));
        }
    }

    #[test]
    fn another_version_is_named() {
        let mut bytes = SegmentHeader { salt: 7, number: 3, previous: 2 }.encode();
        bytes[8] = 9;
        let sum = crc32c::crc32c(&bytes[..32]);
        bytes[32..].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&bytes), Err(NotHeader::Version(9)));
    }

    proptest! {
        #[test]
        fn a_frame_reads_back_and_a_flipped_bit_does_not_pass(
            salt: u32, offset: u64, time: i64, events: u64, origin_bytes in 0..=MAX_BODY_PART,
            record_bytes in 0..=MAX_BODY_PART, payload_bytes: u32, compressed: bool, body_sum: u32,
            bit in 0..FRAME_HEADER * 8,
        ) {
            let frame = Frame {
                kind: FrameKind::Record, salt, offset, time: Timestamp(time), events, origin_bytes, record_bytes,
                payload_bytes, compressed, body_sum,
            };
            let mut bytes = Vec::new();
            frame.encode(&mut bytes);
            prop_assert_eq!(bytes.len(), FRAME_HEADER);
            prop_assert_eq!(Frame::decode(&bytes), Some(frame));
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Frame::decode(&bytes), None);
        }
    }
}
