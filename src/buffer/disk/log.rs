//! The writing side of a log: numbered segments, appended to and synced, sealed when full, removed when delivered.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::appended::{AppendError, Appended};
use super::cursor::{CursorFile, DRAFT, LogPosition, NAME as CURSOR, OutOfOrderAck};
use super::files::{FileSystem, remove};
use super::frame::{FRAME_HEADER, Frame, FrameKind, SEGMENT_HEADER, SegmentHeader};
use super::meta::RecordMeta;
use super::stored::StoredAt;
use crate::event::{Origin, Record, Timestamp};

/// A log's directory, to write to. Everything blocks.
#[derive(Debug)]
pub(crate) struct Log<F: FileSystem> {
    pub(super) files: F,
    pub(super) dir: PathBuf,
    /// A segment that has so many bytes is sealed.
    pub(super) segment_bytes: u64,
    pub(super) shared: Arc<[Box<str>]>,
    pub(super) cursor: CursorFile<F>,
    /// Every segment there is, with the size of its file, in order.
    pub(super) segments: Vec<(u64, u64)>,
    /// The next segment's number.
    pub(super) next: u64,
    pub(super) open: Option<OpenSegment<F>>,
    /// The last origin and its JSON, which most records share.
    pub(super) origin: Option<(Arc<Origin>, Vec<u8>)>,
    /// Small pieces on their way to the file.
    pub(super) stage: Vec<u8>,
}

/// The segment that is written to.
#[derive(Debug)]
pub(super) struct OpenSegment<F: FileSystem> {
    file: F::File,
    number: u64,
    salt: u32,
    /// Where the next frame goes.
    at: u64,
    /// Up to where the file is on disk; 0: not even its name is.
    synced: u64,
    events: u64,
    first: Timestamp,
}

/// Pieces below this are gathered before they are written.
const GATHER_BELOW: usize = 16 * 1024;

/// So much is gathered at most.
const STAGE: usize = 256 * 1024;

impl<F: FileSystem> Log<F> {
    /// Appends records, and returns once they are on disk: all bytes with one sync, unless a segment becomes full.
    ///
    /// Records that were written whole before a write failed are kept: on a full disk, what fits is stored. A segment whose sync
    /// failed is given up behind what was on disk before, and never synced again: the next append begins another one.
    pub(crate) fn append(&mut self, records: &[Record], now: Timestamp) -> Appended {
        let mut appended = Appended::default();
        let mut written = Vec::with_capacity(records.len());
        let failed = self.append_all(records, now, &mut written, &mut appended);
        appended.failed = failed.err();
        let is_kept = match &appended.failed {
            None => true,
            Some(AppendError::Write { .. }) => self.keep_whole(&mut written, &mut appended),
            Some(AppendError::Sync { .. }) => false,
        };
        if !is_kept {
            self.give_up();
        }
        appended
    }

    /// Begins a segment with nothing in it: whether that works is found out.
    pub(crate) fn try_out(&mut self, now: Timestamp) -> Appended {
        let mut appended = Appended::default();
        self.rotate();
        let begun = self.begin(now).map(|open| self.open = Some(open));
        let begun = begun.map_err(|source| self.write_error(source));
        appended.failed = begun.and_then(|()| self.sync(&mut Vec::new(), &mut appended)).err();
        if appended.failed.is_some() {
            self.give_up();
        }
        appended
    }

    /// Cuts off what was written in part, and syncs what is whole before it. Returns whether the segment is of use.
    fn keep_whole(&mut self, written: &mut Vec<StoredAt>, appended: &mut Appended) -> bool {
        let Some(open) = self.open.as_mut().filter(|open| open.at > SEGMENT_HEADER) else { return false };
        let (number, at) = (open.number, open.at);
        if self.files.truncate(&mut open.file, at).is_err() {
            return false;
        }
        self.set_size(number, at);
        self.sync(written, appended).is_ok()
    }

    fn append_all(
        &mut self,
        records: &[Record],
        now: Timestamp,
        written: &mut Vec<StoredAt>,
        appended: &mut Appended,
    ) -> Result<(), AppendError> {
        for record in records {
            if self.open.as_ref().is_some_and(|open| open.at >= self.segment_bytes) {
                self.write_seal().map_err(|source| self.write_error(source))?;
                self.sync(written, appended)?;
                self.open = None;
            }
            let stored = self.write(record, now).map_err(|source| self.write_error(source))?;
            written.push(stored);
        }
        self.sync(written, appended)
    }

    /// The most bytes that appending the record takes.
    pub(crate) fn size_of(&mut self, record: &Record) -> u64 {
        let origin = self.know(&record.origin);
        let frame = FRAME_HEADER.saturating_add(origin).saturating_add(record.len);
        (frame as u64).saturating_add(EACH_SEGMENT)
    }

    /// Bytes of all segments' files.
    #[must_use]
    pub(crate) fn bytes(&self) -> u64 {
        self.segments.iter().map(|(_, bytes)| bytes).sum()
    }

    /// Whether this is the segment that is written to.
    #[must_use]
    pub(crate) fn is_open(&self, segment: u64) -> bool {
        self.open.as_ref().is_some_and(|open| open.number == segment)
    }

    /// Writes down up to where the log was delivered, and removes the segments that are delivered whole.
    ///
    /// # Errors
    /// When the place is not on disk; then nothing is removed.
    pub(crate) fn save(&mut self, delivered: LogPosition) -> io::Result<()> {
        self.cursor.save(&self.files, delivered)?;
        let passed = self.segments.partition_point(|(number, _)| *number < delivered.segment);
        for _ in 0..passed {
            let Some((number, _)) = self.segments.first().copied() else { break };
            if self.open.as_ref().is_some_and(|open| open.number == number) {
                self.open = None;
            }
            let path = self.path(number);
            // Whoever read it last may still have it open, and removed alone it would keep its room.
            if let Ok(mut file) = self.files.open_to_write(&path) {
                self.files.truncate(&mut file, 0).ok();
            }
            remove(&self.files, &path)?;
            self.segments.remove(0);
        }
        Ok(())
    }

    /// Writes down which records beyond that place were delivered, for a stop.
    ///
    /// # Errors
    /// When it is not on disk; those records are then delivered again.
    pub(crate) fn save_out_of_order(&mut self, records: &[OutOfOrderAck]) -> io::Result<()> {
        self.cursor.save_out_of_order(&self.files, records)
    }

    /// Ends the segment that is written to, so that it can be removed once it is delivered. Returns the next one's number.
    pub(crate) fn rotate(&mut self) -> u64 {
        // What is not sealed is looked through at the next start, and sealed then.
        if self.open.is_some() && self.write_seal().is_err() {
            self.give_up();
        }
        self.open = None;
        self.next
    }

    /// Frees a segment's bytes where earlier ones are still to be delivered; its file stays, empty, so that none is missing.
    ///
    /// # Errors
    /// When the file cannot be cut.
    pub(crate) fn clear_segment(&mut self, number: u64) -> io::Result<()> {
        if self.open.as_ref().is_some_and(|open| open.number == number) {
            self.open = None;
        }
        let mut file = self.files.open_to_write(&self.path(number))?;
        let mut header = Vec::new();
        self.files.read(&mut file, 0, usize::try_from(SEGMENT_HEADER).unwrap_or(0), &mut header)?;
        let salt = SegmentHeader::decode(&header).map_or(0, |header| header.salt);
        self.files.truncate(&mut file, SEGMENT_HEADER)?;
        self.stage.clear();
        Frame::seal(salt, SEGMENT_HEADER, Timestamp::default(), 0).encode(&mut self.stage);
        self.files.write(&mut file, SEGMENT_HEADER, &self.stage)?;
        self.files.sync(&mut file)?;
        self.set_size(number, EACH_SEGMENT);
        Ok(())
    }

    /// Removes the log with its directory: everything in it was delivered. What was kept aside stays.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub(crate) fn remove(mut self) -> io::Result<()> {
        self.open = None;
        for (number, _) in &self.segments {
            remove(&self.files, &self.path(*number))?;
        }
        remove(&self.files, &self.dir.join(DRAFT))?;
        // Only now: with segments and without a cursor, everything would be delivered again.
        self.files.sync_dir(&self.dir)?;
        remove(&self.files, &self.dir.join(CURSOR))?;
        if self.files.list(&self.dir)?.is_empty() {
            self.files.remove_dir(&self.dir)?;
        }
        Ok(())
    }

    fn write(&mut self, record: &Record, now: Timestamp) -> io::Result<StoredAt> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.begin(now)?,
        };
        let written = self.write_frame(&mut open, record, now);
        let stored = StoredAt { segment: open.number, end: open.at };
        let size = open.at;
        self.open = Some(open);
        written?;
        self.set_size(stored.segment, size);
        Ok(stored)
    }

    fn write_frame(&mut self, open: &mut OpenSegment<F>, record: &Record, now: Timestamp) -> io::Result<()> {
        self.know(&record.origin);
        let (known, origin) = self.origin.take().unwrap_or_default();
        let sum =
            record.parts.iter().fold(crc32c::crc32c(&origin), |sum, part| crc32c::crc32c_append(sum, part));
        let frame = Frame {
            kind: FrameKind::Record,
            salt: open.salt,
            offset: open.at,
            time: now,
            events: record.events,
            origin_bytes: length(origin.len()),
            record_bytes: length(record.len),
            payload_bytes: length(record.payload),
            compressed: record.compressed,
            body_sum: sum,
        };
        self.stage.clear();
        frame.encode(&mut self.stage);
        self.stage.extend_from_slice(&origin);
        let mut at = open.at;
        for part in &record.parts {
            self.write_part(open, &mut at, part)?;
        }
        self.flush(open, &mut at)?;
        self.origin = Some((known, origin));
        open.at = frame.end();
        open.events = open.events.saturating_add(record.events);
        Ok(())
    }

    fn write_part(&mut self, open: &mut OpenSegment<F>, at: &mut u64, part: &Bytes) -> io::Result<()> {
        if part.len() < GATHER_BELOW {
            self.stage.extend_from_slice(part);
            if self.stage.len() < STAGE {
                return Ok(());
            }
            return self.flush(open, at);
        }
        self.flush(open, at)?;
        self.files.write(&mut open.file, *at, part)?;
        *at = at.saturating_add(part.len() as u64);
        Ok(())
    }

    fn flush(&mut self, open: &mut OpenSegment<F>, at: &mut u64) -> io::Result<()> {
        if !self.stage.is_empty() {
            self.files.write(&mut open.file, *at, &self.stage)?;
            *at = at.saturating_add(self.stage.len() as u64);
            self.stage.clear();
        }
        Ok(())
    }

    fn begin(&mut self, now: Timestamp) -> io::Result<OpenSegment<F>> {
        let number = self.next;
        self.next = number.saturating_add(1);
        let previous = self.segments.last().map_or(0, |(number, _)| *number);
        let salt = fastrand::u32(..);
        let mut file = match self.files.create(&self.path(number)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Somebody removed the directory while it was used.
                self.files.make_dir(&self.dir)?;
                self.cursor.make(&self.files)?;
                self.files.create(&self.path(number))?
            }
            created => created?,
        };
        self.segments.push((number, 0));
        let header = SegmentHeader { salt, number, previous }.encode();
        let written = self.files.write(&mut file, 0, &header);
        let open = OpenSegment { file, number, salt, at: SEGMENT_HEADER, synced: 0, events: 0, first: now };
        if let Err(error) = written {
            // Kept for a moment, so that its file is removed.
            self.open = Some(open);
            return Err(error);
        }
        Ok(open)
    }

    /// Ends the segment's file with its totals. Not synced.
    fn write_seal(&mut self) -> io::Result<()> {
        let Some(mut open) = self.open.take() else { return Ok(()) };
        self.stage.clear();
        Frame::seal(open.salt, open.at, open.first, open.events).encode(&mut self.stage);
        let written = self.files.write(&mut open.file, open.at, &self.stage);
        self.set_size(open.number, open.at.saturating_add(FRAME_HEADER as u64));
        self.open = Some(open);
        written
    }

    fn sync(&mut self, written: &mut Vec<StoredAt>, appended: &mut Appended) -> Result<(), AppendError> {
        if let Some(open) = &mut self.open {
            let since = Instant::now();
            let mut synced = self.files.sync(&mut open.file);
            // What stands in a file without a name is gone with the process.
            if synced.is_ok() && !self.files.is_linked(&open.file).unwrap_or(true) {
                synced = Err(io::ErrorKind::NotFound.into());
            }
            if synced.is_ok() && open.synced == 0 {
                synced = self.files.sync_dir(&self.dir);
            }
            synced.map_err(|source| AppendError::Sync { dir: self.dir.clone(), source })?;
            open.synced = open.at;
            appended.syncs.push(since.elapsed());
        }
        appended.stored.append(written);
        Ok(())
    }

    /// Leaves the segment that failed. What was on disk before stays; the rest is cut off if that is possible.
    fn give_up(&mut self) {
        let Some(OpenSegment { mut file, number, synced, .. }) = self.open.take() else { return };
        if synced == 0 {
            drop(file);
            // A rest that cannot be removed holds nothing that anyone was told is stored.
            self.files.remove(&self.path(number)).ok();
            self.segments.retain(|(known, _)| *known != number);
            return;
        }
        // A rest that cannot be cut off is found at the next start, and at the worst delivered twice. The sync is for the cut.
        if self.files.truncate(&mut file, synced).is_ok() {
            self.files.sync(&mut file).ok();
        }
        self.set_size(number, synced);
    }

    /// Makes the origin's JSON, unless the last record had the same; returns its length.
    fn know(&mut self, origin: &Arc<Origin>) -> usize {
        if let Some((known, json)) = &self.origin
            && (Arc::ptr_eq(known, origin) || known == origin)
        {
            return json.len();
        }
        let json = RecordMeta::encode(origin, &self.shared);
        let len = json.len();
        self.origin = Some((Arc::clone(origin), json));
        len
    }

    fn set_size(&mut self, number: u64, size: u64) {
        if let Some((_, bytes)) = self.segments.iter_mut().find(|(known, _)| *known == number) {
            *bytes = size;
        }
    }

    fn write_error(&self, source: io::Error) -> AppendError {
        AppendError::Write { dir: self.dir.clone(), source }
    }

    pub(super) fn path(&self, number: u64) -> PathBuf {
        path(&self.dir, number)
    }
}

/// What a segment takes beside its records.
const EACH_SEGMENT: u64 = SEGMENT_HEADER + FRAME_HEADER as u64;

const EXTENSION: &str = ".spool";

/// A segment's file.
pub(super) fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:020}{EXTENSION}"))
}

/// The number of the segment that a file name stands for.
pub(super) fn number(name: &str) -> Option<u64> {
    name.strip_suffix(EXTENSION).filter(|digits| digits.len() == 20)?.parse().ok()
}

/// Records are a megabyte at the most.
fn length(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
