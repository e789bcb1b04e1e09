//! Scans a segment's frames, past whatever is damaged. Sans I/O: it asks a [`SegmentBytes`] for bytes.

use std::io;
use std::ops::Range;

use super::frame::{FRAME_HEADER, Frame, FrameKind, NotHeader, SEGMENT_HEADER, SegmentHeader};
use super::meta::RecordMeta;

/// Where a segment's bytes come from.
pub(super) trait SegmentBytes {
    /// Replaces what `out` holds by up to `len` bytes at an offset; by fewer at the end.
    fn read(&mut self, offset: u64, len: usize, out: &mut Vec<u8>) -> io::Result<()>;
}

impl SegmentBytes for &[u8] {
    fn read(&mut self, offset: u64, len: usize, out: &mut Vec<u8>) -> io::Result<()> {
        out.clear();
        let rest = usize::try_from(offset).ok().and_then(|from| self.get(from..)).unwrap_or_default();
        out.extend_from_slice(rest.get(..len).unwrap_or(rest));
        Ok(())
    }
}

/// Why bytes of a log cannot be used; the label of a metric.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Flaw {
    /// A record ends in the middle: it was being written when power or process went away.
    Torn,
    /// Zeros to the end of the file, as some file systems leave after a power cut.
    Zeros,
    /// The bytes are not those that were written.
    Checksum,
    /// The segment's own header is damaged.
    Header,
    /// Written by another version of standpipe.
    Version,
    /// A segment is gone.
    Missing,
    /// The disk cannot read it.
    Unreadable,
    /// Where delivery stood is not known.
    Cursor,
}

impl Flaw {
    /// The reason as a metric's label.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Torn => "torn",
            Self::Zeros => "zeros",
            Self::Checksum => "checksum",
            Self::Header => "header",
            Self::Version => "version",
            Self::Missing => "missing",
            Self::Unreadable => "unreadable",
            Self::Cursor => "cursor",
        }
    }
}

/// What stands at a place in a segment.
#[derive(Debug)]
pub(super) enum ScanStep {
    /// A whole record; its body was read.
    Record(Frame),
    /// Bytes up to this offset that are no record.
    Flaw(Flaw, u64),
    /// Nothing more.
    End,
}

/// A scan of the frames from one offset to another.
#[derive(Debug)]
pub(super) struct FrameScan<S> {
    pub(super) source: S,
    pub(super) salt: u32,
    /// Where the next step begins.
    pub(super) at: u64,
    /// Where the scan ends.
    pub(super) end: u64,
    head: Vec<u8>,
}

/// How much is looked through at a time for the next frame.
const SEARCH: usize = 64 * 1024;

impl<S: SegmentBytes> FrameScan<S> {
    pub(super) fn new(source: S, salt: u32, at: u64, end: u64) -> Self {
        Self { source, salt, at, end, head: Vec::new() }
    }

    /// Goes one step on. `body` receives the origin and the record of a [`ScanStep::Record`].
    pub(super) fn next(&mut self, body: &mut Vec<u8>) -> io::Result<ScanStep> {
        if self.at >= self.end {
            return Ok(ScanStep::End);
        }
        self.source.read(self.at, FRAME_HEADER, &mut self.head)?;
        let step = match self.frame(self.at) {
            Some(frame) if frame.end() > self.end => ScanStep::Flaw(Flaw::Torn, self.end),
            Some(frame) if frame.kind == FrameKind::Seal => self.after_seal(&frame),
            Some(frame) => self.body(frame, body)?,
            None => self.damaged()?,
        };
        self.at = match &step {
            ScanStep::Record(frame) => frame.end(),
            ScanStep::Flaw(_, to) => *to,
            ScanStep::End => self.end,
        };
        Ok(step)
    }

    fn body(&mut self, frame: Frame, body: &mut Vec<u8>) -> io::Result<ScanStep> {
        let from = frame.offset.saturating_add(FRAME_HEADER as u64);
        self.source.read(from, frame.body_bytes(), body)?;
        let sound = body.len() == frame.body_bytes() && crc32c::crc32c(body) == frame.body_sum;
        Ok(if sound { ScanStep::Record(frame) } else { ScanStep::Flaw(Flaw::Checksum, frame.end()) })
    }

    /// Nothing is ever written behind a seal.
    fn after_seal(&self, seal: &Frame) -> ScanStep {
        if seal.end() >= self.end { ScanStep::End } else { ScanStep::Flaw(Flaw::Checksum, self.end) }
    }

    /// The frame header in `head`, if it is one of this segment that stands at `offset`.
    fn frame(&self, offset: u64) -> Option<Frame> {
        Frame::decode(&self.head).filter(|frame| frame.salt == self.salt && frame.offset == offset)
    }

    /// What is damaged reaches to the next whole frame header, or to the end.
    fn damaged(&mut self) -> io::Result<ScanStep> {
        let needle = Frame::needle(self.salt);
        let mut from = self.at.saturating_add(1);
        let mut only_zeros = self.head.iter().all(|byte| *byte == 0);
        let mut bytes = Vec::new();
        while from < self.end {
            let left = usize::try_from(self.end.saturating_sub(from)).unwrap_or(usize::MAX);
            self.source.read(from, left.min(SEARCH), &mut bytes)?;
            only_zeros = only_zeros && bytes.iter().all(|byte| *byte == 0);
            for place in memchr::memmem::find_iter(&bytes, &needle) {
                let offset = from.saturating_add(place as u64);
                self.source.read(offset, FRAME_HEADER, &mut self.head)?;
                if self.frame(offset).is_some() {
                    return Ok(ScanStep::Flaw(Flaw::Checksum, offset));
                }
            }
            if bytes.len() <= needle.len() || bytes.len() >= left {
                break;
            }
            // A needle may begin in the last bytes of this piece.
            from = from.saturating_add(bytes.len().saturating_sub(needle.len()) as u64);
        }
        Ok(ScanStep::Flaw(if only_zeros { Flaw::Zeros } else { Flaw::Torn }, self.end))
    }
}

/// A segment's header, or that of a damaged one as its first frame tells it.
pub(super) fn salt_of_first_frame(source: &mut impl SegmentBytes) -> io::Result<Option<u32>> {
    let mut head = Vec::new();
    source.read(SEGMENT_HEADER, FRAME_HEADER, &mut head)?;
    let frame = Frame::decode(&head).filter(|frame| frame.offset == SEGMENT_HEADER);
    Ok(frame.map(|frame| frame.salt))
}

/// What is found in the bytes of one segment file.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct RecoveredSegment {
    /// Each whole record: where its bytes are, how many events it holds, and its origin.
    pub records: Vec<(Range<usize>, u64, RecordMeta)>,
    /// What is damaged, and why.
    pub flaws: Vec<(Range<usize>, Flaw)>,
}

/// Reads a whole segment as it stands in a file, past whatever is damaged. Pure; never panics, whatever the bytes.
#[must_use]
pub fn recover(bytes: &[u8]) -> RecoveredSegment {
    let mut recovered = RecoveredSegment::default();
    let header_end = usize::try_from(SEGMENT_HEADER).unwrap_or(usize::MAX).min(bytes.len());
    let salt = match SegmentHeader::decode(bytes) {
        Ok(header) => Some(header.salt),
        Err(NotHeader::Version(_)) => {
            recovered.flaws.push((0..bytes.len(), Flaw::Version));
            return recovered;
        }
        // In memory nothing fails to be read.
        Err(NotHeader::Damaged) => salt_of_first_frame(&mut &*bytes).unwrap_or_default(),
    };
    let Some(salt) = salt else {
        recovered.flaws.push((0..bytes.len(), Flaw::Header));
        return recovered;
    };
    if SegmentHeader::decode(bytes).is_err() {
        recovered.flaws.push((0..header_end, Flaw::Header));
    }
    let mut scan = FrameScan::new(bytes, salt, SEGMENT_HEADER, bytes.len() as u64);
    let mut body = Vec::new();
    loop {
        let from = place(scan.at);
        // In memory nothing fails to be read.
        match scan.next(&mut body).unwrap_or(ScanStep::End) {
            ScanStep::Record(frame) => {
                match RecordMeta::decode(body.get(..frame.origin_bytes as usize).unwrap_or_default()) {
                    Some(meta) => {
                        let end = place(frame.end());
                        let record = end.saturating_sub(frame.record_bytes as usize)..end;
                        recovered.records.push((record, frame.events, meta));
                    }
                    None => recovered.flaws.push((from..place(frame.end()), Flaw::Checksum)),
                }
            }
            ScanStep::Flaw(flaw, to) => recovered.flaws.push((from..place(to), flaw)),
            ScanStep::End => return recovered,
        }
    }
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing;
    use super::*;

    fn read_back(image: &[u8]) -> Vec<Vec<u8>> {
        recover(image).records.into_iter().map(|(range, ..)| image[range].to_vec()).collect()
    }

    #[track_caller]
    fn check(damage: impl FnOnce(&mut Vec<u8>), records: &[&str], flaws: &[Flaw]) {
        let mut image = testing::image(&["one\n", "two\n", "three\n"]);
        damage(&mut image);
        let left: Vec<String> =
            read_back(&image).into_iter().map(|bytes| String::from_utf8(bytes).unwrap()).collect();
        let found: Vec<Flaw> = recover(&image).flaws.into_iter().map(|(_, flaw)| flaw).collect();
        assert_eq!((left, found), (records.iter().map(ToString::to_string).collect(), flaws.to_vec()));
    }

    #[test]
    fn whole_records_are_kept_whatever_is_damaged() {
        check(|_| (), &["one\n", "two\n", "three\n"], &[]);
        check(|image| image.truncate(image.len() - 1), &["one\n", "two\n"], &[Flaw::Torn]);
        check(|image| image.extend([0; 1000]), &["one\n", "two\n", "three\n"], &[Flaw::Zeros]);
        check(|image| image.extend([7; 1000]), &["one\n", "two\n", "three\n"], &[Flaw::Torn]);
        check(|image| flip(image, b"two\n"), &["one\n", "three\n"], &[Flaw::Checksum]);
        check(|image| image[0] ^= 1, &["one\n", "two\n", "three\n"], &[Flaw::Header]);
        check(|image| image.truncate(20), &[], &[Flaw::Header]);
        check(|image| image.truncate(0), &[], &[Flaw::Header]);
        check(|image| image.fill(0), &[], &[Flaw::Header]);
    }

    #[test]
    fn a_damaged_frame_header_costs_its_record_alone() {
        let frame = usize::try_from(SEGMENT_HEADER).unwrap();
        for at in [0, 5, 9, 20, 40, 53] {
            check(|image| image[frame + at] ^= 0x10, &["two\n", "three\n"], &[Flaw::Checksum]);
        }
    }

    #[test]
    fn a_frame_inside_a_payload_is_never_taken_for_one() {
        let inner = testing::image(&["inner\n"]);
        let text = String::from_utf8_lossy(&inner).into_owned();
        let mut image = testing::image(&["one\n"]);
        let frame = usize::try_from(SEGMENT_HEADER).unwrap();
        let mut second = testing::image(&[&text, "last\n"]);
        second[frame] ^= 1;
        assert_eq!(read_back(&second), [b"last\n"]);
        image[frame + 50] ^= 1;
        assert_eq!(read_back(&image), Vec::<Vec<u8>>::new());
    }

    fn flip(image: &mut [u8], text: &[u8]) {
        let at = memchr::memmem::find(image, text).unwrap();
        image[at] ^= 1;
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
            prop_assert!(recover(&bytes).records.is_empty());
        }

        #[test]
        fn damage_loses_what_it_touches_and_invents_nothing(
            texts in prop::collection::vec("[a-z]{0,300}\n", 1..20),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
            cut in any::<prop::sample::Index>(),
            whether in any::<bool>(),
        ) {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let whole = testing::image(&texts);
            let mut image = whole.clone();
            for (at, byte) in damage {
                let at = at.index(image.len());
                image[at] = byte;
            }
            if whether {
                image.truncate(cut.index(image.len() + 1));
            }
            let untouched = |range: &Range<usize>| image.get(range.clone()) == whole.get(range.clone());
            let frames = testing::frames(&texts);
            let mut expected: Vec<&str> = Vec::new();
            let header = 0..usize::try_from(SEGMENT_HEADER).unwrap();
            // Without its own header, a segment is known by its first frame.
            if untouched(&header) || frames.first().is_some_and(|first| untouched(&(first.start..first.start + FRAME_HEADER))) {
                expected.extend(texts.iter().zip(&frames).filter(|(_, frame)| untouched(frame)).map(|(text, _)| *text));
            }
            let read: Vec<Vec<u8>> = read_back(&image);
            let mut read = read.iter();
            for text in expected {
                prop_assert!(read.any(|bytes| bytes == text.as_bytes()), "{text:?} is lost");
            }
            for bytes in read_back(&image) {
                prop_assert!(texts.iter().any(|text| text.as_bytes() == bytes), "invented {bytes:?}");
            }
        }
    }
}
