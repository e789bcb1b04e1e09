//! Up to where a log was delivered: two places in a small file, written in turn and synced, so that one is whole after any crash.
//! Behind them stand, from the last clean stop, the records that were delivered beyond that place.
//!
//! A second file, the draft, is written much more often and never synced, with both. A kill takes nothing of it; what a power cut leaves
//! of it is believed if it is whole and further on, since a place never moves back. It is of no use without the cursor.

use std::io;
use std::path::{Path, PathBuf};

use super::files::{FileSystem, remove};
use super::frame::{u32_at, u64_at};
use super::stored::StoredAt;

/// A place in a log.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct LogPosition {
    /// The segment's number.
    pub(crate) segment: u64,
    /// Bytes from the segment's start.
    pub(crate) offset: u64,
    /// Events of the segment before the place.
    pub(crate) events: u64,
}

/// A record that was delivered although one before it was not.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct OutOfOrderAck {
    /// The segment's number.
    pub(crate) segment: u64,
    /// Where the record's frame ends.
    pub(crate) end: u64,
    /// How many events it holds.
    pub(crate) events: u64,
}

/// The file's name in the log's directory.
pub(super) const NAME: &str = "cursor";

/// The draft's.
pub(super) const DRAFT: &str = "cursor.draft";

/// The two places are as far apart as what a disk may tear at once.
const APART: u64 = 4096;
const PAGE: usize = 4096;
const SLOT: usize = 44;
const MAGIC: &[u8; 4] = b"CURS";
const VERSION: u32 = 1;

/// The file that keeps a [`LogPosition`].
#[derive(Debug)]
pub(super) struct CursorFile<F: FileSystem> {
    path: PathBuf,
    sequence: u64,
    /// None: not made yet, or its last write failed.
    file: Option<F::File>,
    saved: Option<LogPosition>,
}

/// What a cursor file says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum CursorState {
    /// Nothing was delivered yet.
    Nothing,
    /// So far.
    Delivered(CursorPlace),
    /// It cannot be read.
    Damaged,
}

/// How far a log was delivered, and written.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct CursorPlace {
    /// Up to here.
    pub(crate) delivered: LogPosition,
    /// And these beyond.
    pub(crate) out_of_order: Vec<OutOfOrderAck>,
    /// Where the last record was stored; at the beginning: it is not known.
    pub(crate) stored_last: StoredAt,
}

impl<F: FileSystem> CursorFile<F> {
    /// Reads the cursor of a log.
    pub(super) fn open(files: &F, dir: &Path) -> io::Result<(Self, CursorState)> {
        let path = dir.join(NAME);
        let bytes = contents(files, &path, LONGEST)?;
        let newest = newest(&bytes);
        let state = match newest {
            Some((_, position)) => {
                let mut place = drafted(&contents(files, &dir.join(DRAFT), 2 * PAGE)?);
                place.delivered = place.delivered.max(position);
                place.out_of_order.append(&mut out_of_order(bytes.get(2 * PAGE..).unwrap_or_default()));
                CursorState::Delivered(place)
            }
            None if bytes.is_empty() => CursorState::Nothing,
            None => CursorState::Damaged,
        };
        let sequence = newest.map_or(0, |(sequence, _)| sequence);
        let saved = newest.map(|(_, position)| position);
        Ok((Self { path, sequence, file: None, saved }, state))
    }

    /// Makes the file with both of its places, which stand before everything: on a full disk there is room to write down what is
    /// delivered, and so to remove it.
    pub(super) fn make(&mut self, files: &F) -> io::Result<()> {
        let before = LogPosition::default();
        // One that another cursor left behind would be further on.
        remove(files, &self.path.with_file_name(DRAFT))?;
        let mut file = files.create(&self.path)?;
        for sequence in [1, 2] {
            files.write(&mut file, (sequence % 2) * APART, &encode(sequence, before))?;
        }
        files.sync(&mut file)?;
        if let Some(dir) = self.path.parent() {
            files.sync_dir(dir)?;
        }
        (self.sequence, self.saved, self.file) = (2, Some(before), Some(file));
        Ok(())
    }

    /// Writes a place down, and returns when it is on disk.
    pub(super) fn save(&mut self, files: &F, position: LogPosition) -> io::Result<()> {
        // It never moves back: what it passed is gone.
        if self.saved.is_some_and(|saved| position <= saved) {
            return Ok(());
        }
        let sequence = self.sequence.saturating_add(1);
        // Taken out: a file that failed is opened again.
        let (mut file, is_new) = match self.file.take() {
            Some(file) => (file, false),
            None => self.open_again(files)?,
        };
        // The other place stays as it is until this one is on disk, also when a try before failed.
        files.write(&mut file, (sequence % 2) * APART, &encode(sequence, position))?;
        files.sync(&mut file)?;
        if is_new && let Some(dir) = self.path.parent() {
            files.sync_dir(dir)?;
        }
        self.sequence = sequence;
        self.saved = Some(position);
        self.file = Some(file);
        Ok(())
    }

    /// Writes down what was delivered beyond the place. What stood there before stays true, and what is torn is not believed.
    pub(super) fn save_out_of_order(&mut self, files: &F, records: &[OutOfOrderAck]) -> io::Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        let mut file = self.open_again(files)?.0;
        files.write(&mut file, 2 * APART, &encode_list(records, MAX_OUT_OF_ORDER))?;
        files.sync(&mut file)
    }

    fn open_again(&self, files: &F) -> io::Result<(F::File, bool)> {
        match files.open_to_write(&self.path) {
            Ok(file) => Ok((file, false)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((files.create(&self.path)?, true)),
            Err(error) => Err(error),
        }
    }
}

/// The draft of a cursor.
#[derive(Debug)]
pub(crate) struct CursorDraft<F: FileSystem> {
    files: F,
    path: PathBuf,
    /// None: not opened yet, or its last write failed.
    file: Option<F::File>,
    sequence: u64,
}

impl<F: FileSystem> CursorDraft<F> {
    /// The draft of the log in a directory.
    #[must_use]
    pub(crate) fn new(files: F, dir: &Path) -> Self {
        Self { files, path: dir.join(DRAFT), file: None, sequence: 0 }
    }

    /// Writes down how far the log is delivered and written, without waiting for the disk.
    ///
    /// # Errors
    /// When it cannot be written: the cursor is older then.
    pub(crate) fn write(&mut self, place: &CursorPlace) -> io::Result<()> {
        let CursorPlace { delivered, out_of_order, stored_last } = place;
        let last = LogPosition { segment: stored_last.segment, offset: stored_last.end, events: 0 };
        self.sequence = self.sequence.wrapping_add(1);
        let files = &self.files;
        let mut file = match self.file.take() {
            Some(file) if files.is_linked(&file)? => file,
            Some(_) | None => match files.open_to_write(&self.path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => files.create(&self.path)?,
                opened => opened?,
            },
        };
        // Each within a page, which a kill does not tear, and in turn all the same.
        let places = [encode(self.sequence, *delivered), encode(self.sequence, last)].concat();
        let text = [places, encode_list(out_of_order, MAX_DRAFTED)].concat();
        files.write(&mut file, (self.sequence % 2) * APART, &text)?;
        self.file = Some(file);
        Ok(())
    }
}

/// What a draft says: the furthest places, and all that is listed, which stays true. Pure.
fn drafted(bytes: &[u8]) -> CursorPlace {
    let mut place = CursorPlace::default();
    for page in bytes.chunks(PAGE) {
        let (last, list) = (page.get(SLOT..).unwrap_or_default(), page.get(2 * SLOT..).unwrap_or_default());
        if let (Some((_, delivered)), Some((_, last))) = (decode(page), decode(last)) {
            let last = StoredAt { segment: last.segment, end: last.offset };
            place.delivered = place.delivered.max(delivered);
            place.stored_last = place.stored_last.max(last);
            place.out_of_order.append(&mut out_of_order(list));
        }
    }
    place
}

fn contents<F: FileSystem>(files: &F, path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match files.open(path) {
        Ok(mut file) => files.read(&mut file, 0, most, &mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(bytes)
}

/// More than any window of requests holds; what is beyond is delivered twice.
const MAX_OUT_OF_ORDER: usize = 64 * 1024;
const OUT_OF_ORDER_BYTES: usize = 24;
const LONGEST: usize = 3 * PAGE + MAX_OUT_OF_ORDER * OUT_OF_ORDER_BYTES;

/// What fits into the page of a draft.
const MAX_DRAFTED: usize = (PAGE - 2 * SLOT - 8) / OUT_OF_ORDER_BYTES;

fn encode_list(records: &[OutOfOrderAck], most: usize) -> Vec<u8> {
    let mut listed = Vec::new();
    for record in records.iter().take(most) {
        for number in [record.segment, record.end, record.events] {
            listed.extend_from_slice(&number.to_le_bytes());
        }
    }
    let (count, sum) = (records.len().min(most), crc32c::crc32c(&listed));
    let head = [u32::try_from(count).unwrap_or(0).to_le_bytes(), sum.to_le_bytes()].concat();
    [head, listed].concat()
}

/// The records delivered beyond the place; none when that part is torn. Pure.
fn out_of_order(part: &[u8]) -> Vec<OutOfOrderAck> {
    let read = || {
        let count = usize::try_from(u32_at(part, 0)?).ok()?.min(MAX_OUT_OF_ORDER);
        let listed = part.get(8..)?.get(..count.checked_mul(OUT_OF_ORDER_BYTES)?)?;
        let entry = |entry: &[u8]| {
            Some(OutOfOrderAck {
                segment: u64_at(entry, 0)?,
                end: u64_at(entry, 8)?,
                events: u64_at(entry, 16)?,
            })
        };
        let sound = u32_at(part, 4)? == crc32c::crc32c(listed);
        sound.then(|| listed.chunks_exact(OUT_OF_ORDER_BYTES).filter_map(entry).collect())
    };
    read().unwrap_or_default()
}

fn encode(sequence: u64, position: LogPosition) -> Vec<u8> {
    let mut out = Vec::with_capacity(SLOT);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    for number in [sequence, position.segment, position.offset, position.events] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    let sum = crc32c::crc32c(&out);
    out.extend_from_slice(&sum.to_le_bytes());
    out
}

/// The newest whole place in the file. Pure.
fn newest(bytes: &[u8]) -> Option<(u64, LogPosition)> {
    let second = usize::try_from(APART).ok().and_then(|apart| bytes.get(apart..)).unwrap_or_default();
    [bytes, second].into_iter().filter_map(decode).max_by_key(|(sequence, _)| *sequence)
}

fn decode(bytes: &[u8]) -> Option<(u64, LogPosition)> {
    let sound = bytes.starts_with(MAGIC)
        && u32_at(bytes, 4)? == VERSION
        && u32_at(bytes, 40)? == crc32c::crc32c(bytes.get(..40)?);
    let position =
        LogPosition { segment: u64_at(bytes, 16)?, offset: u64_at(bytes, 24)?, events: u64_at(bytes, 32)? };
    sound.then_some((u64_at(bytes, 8)?, position))
}
