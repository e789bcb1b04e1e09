//! The reading side of a log: records that memory let go of, or that a run before left.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::cursor::{CursorFile, CursorState, LogPosition};
use super::files::FileSystem;
use super::frame::{Frame, SEGMENT_HEADER, SegmentHeader};
use super::log;
use super::meta::RecordMeta;
use super::open::{Damage, SegmentFile, aside, keep_part};
use super::scan::{Flaw, FrameScan, ScanStep, salt_of_first_frame};
use crate::event::{Buffers, Record, Timestamp};

/// Reads a log's records. Everything blocks.
#[derive(Debug)]
pub(crate) struct LogReader<F: FileSystem> {
    files: F,
    dir: PathBuf,
    /// The segment that was read last.
    open: Option<ReadSegment<F>>,
    buffers: Arc<Buffers>,
    /// The last origin, which most records share.
    meta: Option<(Vec<u8>, RecordMeta)>,
}

/// A segment's file, open to be read.
#[derive(Debug)]
struct ReadSegment<F: FileSystem> {
    number: u64,
    file: F::File,
    salt: u32,
}

/// What is to be read of one segment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct SegmentRange {
    /// The segment's number.
    pub(crate) segment: u64,
    /// Where the first record begins.
    pub(crate) from: u64,
    /// Where the last one ends.
    pub(crate) end: u64,
}

/// What was read.
#[derive(Debug)]
pub(crate) struct LoadedRange {
    /// What was asked for.
    pub(crate) range: SegmentRange,
    /// Up to where it was read.
    pub(crate) to: u64,
    /// The whole records.
    pub(crate) records: Vec<LoadedRecord>,
    /// What is damaged in it: the bytes, and how. They are kept aside by [`LogReader::keep_aside`].
    flaws: Vec<(Range<u64>, Flaw)>,
    /// What was kept aside, or is nowhere.
    pub(crate) damage: Vec<Damage>,
}

impl LoadedRange {
    /// Whether something is damaged that is not kept aside yet.
    #[must_use]
    pub(crate) fn is_flawed(&self) -> bool {
        !self.flaws.is_empty()
    }
}

/// One record as it was stored.
#[derive(Debug)]
pub(crate) struct LoadedRecord {
    /// Its bytes.
    pub(crate) data: Bytes,
    /// Bytes before compression.
    pub(crate) payload: usize,
    /// Whether `data` is a gzip member.
    pub(crate) compressed: bool,
    /// How many events it holds.
    pub(crate) events: u64,
    /// Where it comes from.
    pub(crate) meta: RecordMeta,
    /// When it was stored.
    pub(crate) time: Timestamp,
    /// Where its frame ends.
    pub(crate) end: u64,
}

impl LoadedRecord {
    /// The record as a sink takes it, without ack guards. `now` and `wall`: the time on both clocks.
    #[must_use]
    pub(crate) fn into_record(self, now: Instant, wall: Timestamp) -> Record {
        let age = u64::try_from(wall.0.saturating_sub(self.time.0)).unwrap_or(0);
        Record {
            len: self.data.len(),
            parts: vec![self.data],
            payload: self.payload,
            compressed: self.compressed,
            events: self.events,
            is_piece: false,
            acks: Vec::new(),
            origin: self.meta.origin,
            since: now.checked_sub(Duration::from_millis(age)).unwrap_or(now),
        }
    }
}

/// Room for the largest record with its origin.
pub(crate) const BUFFER_BYTES: usize = crate::limits::MAX_RECORD_BYTES + 8 * 1024;

impl<F: FileSystem> LogReader<F> {
    /// A reader of the log in a directory. `buffers` are of [`BUFFER_BYTES`].
    #[must_use]
    pub(crate) fn new(files: F, dir: &Path, buffers: Arc<Buffers>) -> Self {
        Self { files, dir: dir.to_owned(), open: None, buffers, meta: None }
    }

    /// Reads records until they have so many bytes, but at least one.
    ///
    /// # Errors
    /// When the disk refuses before anything was read.
    pub(crate) fn read(&mut self, range: SegmentRange, bytes: usize) -> io::Result<LoadedRange> {
        let mut loaded =
            LoadedRange { range, to: range.from, records: Vec::new(), flaws: Vec::new(), damage: Vec::new() };
        let mut segment = match self.open.take() {
            Some(open) if open.number == range.segment => open,
            _ => self.open(range.segment)?,
        };
        let read = self.scan(&mut segment, &mut loaded, bytes);
        self.open = Some(segment);
        match read {
            // What was read before is of use; the next call meets the error again.
            Err(error) if loaded.to == range.from => Err(error),
            _ => Ok(loaded),
        }
    }

    /// Gives a segment up that the disk cannot read.
    pub(crate) fn give_up(&mut self, range: SegmentRange) -> LoadedRange {
        self.open = None;
        let path = log::path(&self.dir, range.segment);
        let kept = aside(&path, None);
        // The file itself stays what it is if it cannot be renamed.
        let renamed = self.files.rename(&path, &kept).is_ok();
        let damage = Damage { flaw: Flaw::Unreadable, file: path, kept: renamed.then_some(kept) };
        LoadedRange { range, to: range.end, records: Vec::new(), flaws: Vec::new(), damage: vec![damage] }
    }

    /// Keeps aside what was found damaged. That is for the caller to say: what was evicted meanwhile was emptied while it was read,
    /// and is not damaged.
    pub(crate) fn keep_aside(&self, loaded: &mut LoadedRange) {
        let path = log::path(&self.dir, loaded.range.segment);
        let flaws = loaded.flaws.drain(..);
        loaded.damage.extend(flaws.map(|(bytes, flaw)| keep_part(&self.files, &path, bytes, flaw)));
    }

    fn open(&self, number: u64) -> io::Result<ReadSegment<F>> {
        let mut file = self.files.open(&log::path(&self.dir, number))?;
        let mut head = Vec::new();
        self.files.read(&mut file, 0, usize::try_from(SEGMENT_HEADER).unwrap_or(0), &mut head)?;
        let salt = match SegmentHeader::decode(&head) {
            Ok(header) => header.salt,
            Err(_) => {
                salt_of_first_frame(&mut SegmentFile { files: &self.files, file: &mut file })?.unwrap_or(0)
            }
        };
        Ok(ReadSegment { number, file, salt })
    }

    fn scan(
        &mut self,
        segment: &mut ReadSegment<F>,
        loaded: &mut LoadedRange,
        bytes: usize,
    ) -> io::Result<()> {
        let files = self.files.clone();
        let source = SegmentFile { files: &files, file: &mut segment.file };
        let mut scan = FrameScan::new(source, segment.salt, loaded.range.from, loaded.range.end);
        let (mut left, mut body) = (bytes, self.buffers.take(BUFFER_BYTES));
        loop {
            let from = scan.at;
            let step = scan.next(&mut body)?;
            loaded.to = scan.at;
            match step {
                ScanStep::Record(frame) => match self.meta(&body, &frame) {
                    Some(meta) => {
                        left = left.saturating_sub(frame.record_bytes as usize);
                        loaded.records.push(self.record(&mut body, &frame, meta));
                    }
                    None => loaded.flaws.push((from..scan.at, Flaw::Checksum)),
                },
                ScanStep::Flaw(flaw, to) => loaded.flaws.push((from..to, flaw)),
                ScanStep::End => break,
            }
            if left == 0 {
                break;
            }
        }
        drop(self.buffers.share(body));
        Ok(())
    }

    fn meta(&mut self, body: &[u8], frame: &Frame) -> Option<RecordMeta> {
        let json = body.get(..frame.origin_bytes as usize)?;
        match &self.meta {
            Some((known, meta)) if known == json => Some(meta.clone()),
            _ => {
                let meta = RecordMeta::decode(json)?;
                self.meta = Some((json.to_vec(), meta.clone()));
                Some(meta)
            }
        }
    }

    /// A large record takes the buffer with it; a small one is copied.
    fn record(&self, body: &mut Vec<u8>, frame: &Frame, meta: RecordMeta) -> LoadedRecord {
        let origin = (frame.origin_bytes as usize).min(body.len());
        let data = if body.len() < BUFFER_BYTES / 2 {
            Bytes::copy_from_slice(body.get(origin..).unwrap_or_default())
        } else {
            let whole = std::mem::replace(body, self.buffers.take(BUFFER_BYTES));
            self.buffers.share(whole).slice(origin..)
        };
        LoadedRecord {
            data,
            payload: frame.payload_bytes as usize,
            compressed: frame.compressed,
            events: frame.events,
            meta,
            time: frame.time,
            end: frame.end(),
        }
    }
}

/// What the first undelivered record of a log says of where it goes; none when there is none. Changes nothing.
///
/// # Errors
/// When the disk refuses.
pub(crate) fn peek<F: FileSystem>(files: &F, dir: &Path) -> io::Result<Option<RecordMeta>> {
    let (_, state) = CursorFile::open(files, dir)?;
    let delivered = match state {
        CursorState::Delivered(place) => place.delivered,
        CursorState::Nothing | CursorState::Damaged => LogPosition::default(),
    };
    let mut segments: Vec<(u64, u64)> =
        files.list(dir)?.iter().filter_map(|(name, size)| Some((log::number(name)?, *size))).collect();
    segments.sort_unstable();
    let mut reader = LogReader::new(files.clone(), dir, Buffers::new(BUFFER_BYTES, 0));
    for (number, size) in segments.into_iter().filter(|(number, _)| *number >= delivered.segment) {
        let Ok(ReadSegment { mut file, salt, .. }) = reader.open(number) else { continue };
        let from = if number == delivered.segment { delivered.offset } else { 0 };
        let source = SegmentFile { files, file: &mut file };
        let mut scan = FrameScan::new(source, salt, from.max(SEGMENT_HEADER), size);
        let mut body = Vec::new();
        loop {
            match scan.next(&mut body)? {
                ScanStep::Record(frame) => {
                    if let Some(meta) = reader.meta(&body, &frame) {
                        return Ok(Some(meta));
                    }
                }
                ScanStep::Flaw(..) => {}
                ScanStep::End => break,
            }
        }
    }
    Ok(None)
}
