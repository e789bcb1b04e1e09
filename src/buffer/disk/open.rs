//! Opens a log: what is whole is kept, what is damaged is put aside, and only what was not sealed is looked through.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::cursor::{
    CursorFile, CursorPlace, CursorState, DRAFT, LogPosition, NAME as CURSOR, OutOfOrderAck,
};
use super::files::{FileSystem, remove};
use super::frame::{FRAME_HEADER, Frame, FrameKind, NotHeader, SEGMENT_HEADER, SegmentHeader};
use super::log::{self, Log};
use super::scan::{Flaw, FrameScan, ScanStep, SegmentBytes, salt_of_first_frame};
use super::stored::StoredAt;

/// What a log holds when it is opened.
#[derive(Debug)]
pub(crate) struct OpenedLog<F: FileSystem> {
    /// To write to it.
    pub(crate) log: Log<F>,
    /// What is in it.
    pub(crate) contents: LogContents,
    /// What was damaged.
    pub(crate) damage: Vec<Damage>,
}

/// What is in a log, and what of it was delivered.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogContents {
    /// Its segments, in order.
    pub(crate) segments: Vec<LogSegment>,
    /// Up to where it was delivered.
    pub(crate) delivered: LogPosition,
    /// What was delivered beyond that.
    pub(crate) out_of_order: Vec<OutOfOrderAck>,
}

/// What is known of a segment that was written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct LogSegment {
    /// Its number.
    pub(crate) number: u64,
    /// Where its records end.
    pub(crate) end: u64,
    /// Events of all its records.
    pub(crate) events: u64,
}

/// Something damaged.
#[derive(Clone, Debug)]
pub(crate) struct Damage {
    /// In which way.
    pub(crate) flaw: Flaw,
    /// The file.
    pub(crate) file: PathBuf,
    /// Where the bytes are kept; none where there are none, or they cannot be kept.
    pub(crate) kept: Option<PathBuf>,
}

/// How a log is written.
#[derive(Clone, Debug)]
pub(crate) struct LogOptions {
    /// A segment that has so many bytes is full.
    pub(crate) segment_bytes: u64,
    /// The names of the fields that all records of the log share.
    pub(crate) shared: Arc<[Box<str>]>,
}

/// No more parts are kept aside in one directory; what is damaged later is only counted.
const KEEP_ASIDE: usize = 16;

/// Opens the log in a directory, which is made if it is missing.
///
/// # Errors
/// When the directory cannot be read or written; nothing was lost then, and another try may be made.
pub(crate) fn open<F: FileSystem>(files: F, dir: &Path, options: LogOptions) -> io::Result<OpenedLog<F>> {
    files.make_dir(dir)?;
    let mut opening = LogRecovery { files, dir: dir.to_owned(), damage: Vec::new(), kept: 0 };
    let (cursor, CursorPlace { delivered, out_of_order, stored_last }) = opening.cursor()?;
    let found = opening.segments(delivered)?;
    let (mut segments, mut sizes, mut present) = (Vec::new(), Vec::new(), BTreeSet::new());
    // A number is never used again: the cursor may stand in the middle of the segment that had it.
    let mut next = delivered.segment.max(stored_last.segment).saturating_add(1);
    for (number, size) in found {
        next = next.max(number.saturating_add(1));
        present.insert(number);
        if let Some(found) = opening.segment(number, size)? {
            opening.note_missing(found.previous, delivered, &present);
            segments.push(found.segment);
            sizes.push((number, found.size));
        }
    }
    opening.note_last(stored_last, delivered, &present)?;
    let LogRecovery { files, dir, damage, .. } = opening;
    let log = Log {
        files,
        dir,
        segment_bytes: options.segment_bytes,
        shared: options.shared,
        cursor,
        segments: sizes,
        next,
        open: None,
        origin: None,
        stage: Vec::new(),
    };
    Ok(OpenedLog { log, contents: LogContents { segments, delivered, out_of_order }, damage })
}

/// A segment that is there.
struct FoundSegment {
    segment: LogSegment,
    /// The number of the one before it; 0: there was none, or it is not known.
    previous: u64,
    /// The size of its file.
    size: u64,
}

/// A log on its way to be opened.
struct LogRecovery<F: FileSystem> {
    files: F,
    dir: PathBuf,
    damage: Vec<Damage>,
    /// Parts kept aside already.
    kept: usize,
}

/// A segment's file, as a scan reads it.
pub(super) struct SegmentFile<'f, F: FileSystem> {
    pub(super) files: &'f F,
    pub(super) file: &'f mut F::File,
}

impl<F: FileSystem> SegmentBytes for SegmentFile<'_, F> {
    fn read(&mut self, offset: u64, len: usize, out: &mut Vec<u8>) -> io::Result<()> {
        self.files.read(self.file, offset, len, out)
    }
}

impl<F: FileSystem> LogRecovery<F> {
    fn cursor(&mut self) -> io::Result<(CursorFile<F>, CursorPlace)> {
        let (mut cursor, state) = CursorFile::open(&self.files, &self.dir)?;
        let place = match state {
            CursorState::Delivered(place) => {
                // It may be a draft's. What is before it is removed only once it is on disk.
                cursor.save(&self.files, place.delivered)?;
                place
            }
            CursorState::Nothing => {
                cursor.make(&self.files)?;
                CursorPlace::default()
            }
            CursorState::Damaged => {
                self.put_aside(&self.dir.join(CURSOR), Flaw::Cursor)?;
                cursor.make(&self.files)?;
                CursorPlace::default()
            }
        };
        Ok((cursor, place))
    }

    /// The files of segments that are not delivered, in order. Those that are were about to be removed.
    fn segments(&mut self, delivered: LogPosition) -> io::Result<Vec<(u64, u64)>> {
        let names = self.files.list(&self.dir)?;
        self.kept = names.iter().filter(|(name, _)| name.ends_with(ASIDE)).count();
        let mut found: Vec<(u64, u64)> =
            names.iter().filter_map(|(name, size)| Some((log::number(name)?, *size))).collect();
        found.sort_unstable();
        let passed = found.partition_point(|(number, _)| *number < delivered.segment);
        for (number, _) in found.drain(..passed) {
            self.files.remove(&log::path(&self.dir, number))?;
        }
        Ok(found)
    }

    /// Looks at one segment; none when nothing in it is of use.
    fn segment(&mut self, number: u64, size: u64) -> io::Result<Option<FoundSegment>> {
        let path = log::path(&self.dir, number);
        let mut file = self.files.open(&path)?;
        let mut head = Vec::new();
        self.files.read(&mut file, 0, usize::try_from(SEGMENT_HEADER).unwrap_or(0), &mut head)?;
        let header = match SegmentHeader::decode(&head) {
            Ok(header) => header,
            Err(NotHeader::Version(_)) => return self.put_aside(&path, Flaw::Version).map(|()| None),
            Err(NotHeader::Damaged) => {
                let salt = salt_of_first_frame(&mut SegmentFile { files: &self.files, file: &mut file })?;
                let Some(salt) = salt else { return self.put_aside(&path, Flaw::Header).map(|()| None) };
                self.keep_part(&path, 0..SEGMENT_HEADER, Flaw::Header)?;
                self.fix_header(&path, SegmentHeader { salt, number, previous: 0 })?
            }
        };
        if let Some(seal) = self.seal(&mut file, &header, size)? {
            let segment = LogSegment { number, end: seal.offset, events: seal.events };
            return Ok(Some(FoundSegment { segment, previous: header.previous, size }));
        }
        self.look_through(number, &header, size)
    }

    /// The seal at the end of a file that was completed.
    fn seal(&self, file: &mut F::File, header: &SegmentHeader, size: u64) -> io::Result<Option<Frame>> {
        let Some(at) = size.checked_sub(FRAME_HEADER as u64) else { return Ok(None) };
        let mut bytes = Vec::new();
        self.files.read(file, at, FRAME_HEADER, &mut bytes)?;
        let is_seal =
            |frame: &Frame| frame.kind == FrameKind::Seal && frame.salt == header.salt && frame.offset == at;
        Ok(Frame::decode(&bytes).filter(is_seal))
    }

    /// Looks through a segment that was not completed, cuts off a damaged end, and seals it.
    fn look_through(
        &mut self,
        number: u64,
        header: &SegmentHeader,
        size: u64,
    ) -> io::Result<Option<FoundSegment>> {
        let path = log::path(&self.dir, number);
        let mut file = self.files.open_to_write(&path)?;
        let source = SegmentFile { files: &self.files, file: &mut file };
        let mut scan = FrameScan::new(source, header.salt, SEGMENT_HEADER, size);
        let (mut body, mut flaws) = (Vec::new(), Vec::new());
        let (mut end, mut events, mut first) = (SEGMENT_HEADER, 0u64, None);
        loop {
            let from = scan.at;
            match scan.next(&mut body)? {
                ScanStep::Record(frame) => {
                    end = frame.end();
                    events = events.saturating_add(frame.events);
                    first.get_or_insert(frame.time);
                }
                ScanStep::Flaw(flaw, to) => flaws.push((from, to, flaw)),
                ScanStep::End => break,
            }
        }
        // What is damaged in the middle stays where it is: it is put aside when it is read.
        if let Some((from, to, flaw)) = flaws.pop_if(|(from, ..)| *from >= end) {
            self.keep_part(&path, from..to, flaw)?;
        }
        if end == SEGMENT_HEADER {
            self.files.remove(&path)?;
            return Ok(None);
        }
        let size =
            self.complete(&mut file, &Frame::seal(header.salt, end, first.unwrap_or_default(), events))?;
        let segment = LogSegment { number, end, events };
        Ok(Some(FoundSegment { segment, previous: header.previous, size }))
    }

    /// Ends a segment's file with its seal; returns the file's size.
    fn complete(&self, file: &mut F::File, seal: &Frame) -> io::Result<u64> {
        self.files.truncate(file, seal.offset)?;
        let mut bytes = Vec::new();
        seal.encode(&mut bytes);
        self.files.write(file, seal.offset, &bytes)?;
        self.files.sync(file)?;
        Ok(seal.offset.saturating_add(bytes.len() as u64))
    }

    /// Writes the header of a segment that is known by its first frame. Which one stood before it is no longer known.
    fn fix_header(&self, path: &Path, header: SegmentHeader) -> io::Result<SegmentHeader> {
        let mut file = self.files.open_to_write(path)?;
        self.files.write(&mut file, 0, &header.encode())?;
        self.files.sync(&mut file)?;
        Ok(header)
    }

    fn note_missing(&mut self, previous: u64, delivered: LogPosition, present: &BTreeSet<u64>) {
        if previous != 0 && previous >= delivered.segment && !present.contains(&previous) {
            let file = log::path(&self.dir, previous);
            self.damage.push(Damage { flaw: Flaw::Missing, file, kept: None });
        }
    }

    /// Says that the last segment is gone, if there is something to be delivered in it: no later one tells of it.
    fn note_last(
        &mut self,
        last: StoredAt,
        delivered: LogPosition,
        present: &BTreeSet<u64>,
    ) -> io::Result<()> {
        if last == StoredAt::default() || present.contains(&last.segment) {
            return Ok(());
        }
        if (last.segment, last.end) > (delivered.segment, delivered.offset) {
            let file = log::path(&self.dir, last.segment);
            self.damage.push(Damage { flaw: Flaw::Missing, file, kept: None });
        }
        // It is said once.
        remove(&self.files, &self.dir.join(DRAFT))
    }

    /// Gives a whole file another name.
    fn put_aside(&mut self, path: &Path, flaw: Flaw) -> io::Result<()> {
        let kept = aside(path, None);
        self.files.rename(path, &kept)?;
        self.files.sync_dir(&self.dir)?;
        self.damage.push(Damage { flaw, file: path.to_owned(), kept: Some(kept) });
        Ok(())
    }

    fn keep_part(&mut self, path: &Path, part: Range<u64>, flaw: Flaw) -> io::Result<()> {
        let kept = if self.kept < KEEP_ASIDE { copy_aside(&self.files, path, part)? } else { None };
        self.kept = self.kept.saturating_add(1);
        self.damage.push(Damage { flaw, file: path.to_owned(), kept });
        Ok(())
    }
}

/// What the names of files end with that hold damaged bytes.
const ASIDE: &str = ".corrupt";

/// Where a damaged file, or the part of it that begins at an offset, is kept.
pub(super) fn aside(path: &Path, offset: Option<u64>) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    if let Some(offset) = offset {
        name.push(format!("-{offset}"));
    }
    name.push(ASIDE);
    path.with_file_name(name)
}

/// Copies a part of a file aside, and returns when the copy is on disk; none when there is nothing to copy.
fn copy_aside<F: FileSystem>(files: &F, path: &Path, part: Range<u64>) -> io::Result<Option<PathBuf>> {
    const PIECE: u64 = 1024 * 1024;
    let kept = aside(path, Some(part.start));
    let (mut source, mut copy) = (files.open(path)?, files.create(&kept)?);
    let (mut at, mut bytes) = (part.start, Vec::new());
    while at < part.end {
        let piece = usize::try_from(part.end.saturating_sub(at).min(PIECE)).unwrap_or(0);
        files.read(&mut source, at, piece, &mut bytes)?;
        if bytes.is_empty() {
            break;
        }
        files.write(&mut copy, at.saturating_sub(part.start), &bytes)?;
        at = at.saturating_add(bytes.len() as u64);
    }
    if at == part.start {
        remove(files, &kept)?;
        return Ok(None);
    }
    files.sync(&mut copy)?;
    Ok(Some(kept))
}

/// Keeps a damaged part of a segment aside if there is room for it.
pub(super) fn keep_part<F: FileSystem>(files: &F, path: &Path, part: Range<u64>, flaw: Flaw) -> Damage {
    let dir = path.parent().unwrap_or(path);
    let room = files
        .list(dir)
        .is_ok_and(|names| names.iter().filter(|(name, _)| name.ends_with(ASIDE)).count() < KEEP_ASIDE);
    // That it cannot be kept is no reason to stop delivering what is whole.
    let kept = if room { copy_aside(files, path, part).ok().flatten() } else { None };
    Damage { flaw, file: path.to_owned(), kept }
}
