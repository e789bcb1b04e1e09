//! Up to where a log was delivered: two places in a small file, written in turn, so that one is whole after any crash. Behind
//! them stand, from the last clean stop, the records that were delivered beyond that place.

use std::io;
use std::path::{Path, PathBuf};

use super::files::FileSystem;
use super::frame::{u32_at, u64_at};

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

/// The two places are as far apart as what a disk may tear at once.
const APART: u64 = 4096;
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
    /// Up to here, and these.
    Delivered(LogPosition, Vec<OutOfOrderAck>),
    /// It cannot be read.
    Damaged,
}

impl<F: FileSystem> CursorFile<F> {
    /// Reads the cursor of a log.
    pub(super) fn open(files: &F, dir: &Path) -> io::Result<(Self, CursorState)> {
        let path = dir.join(NAME);
        let mut bytes = Vec::new();
        match files.open(&path) {
            Ok(mut file) => files.read(&mut file, 0, LONGEST, &mut bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let newest = newest(&bytes);
        let state = match newest {
            Some((_, position)) => CursorState::Delivered(position, out_of_order(&bytes)),
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
        let mut out = Vec::new();
        for record in records.iter().take(MAX_OUT_OF_ORDER) {
            for number in [record.segment, record.end, record.events] {
                out.extend_from_slice(&number.to_le_bytes());
            }
        }
        let (count, sum) = (records.len().min(MAX_OUT_OF_ORDER), crc32c::crc32c(&out));
        let head = [u32::try_from(count).unwrap_or(0).to_le_bytes(), sum.to_le_bytes()].concat();
        let mut file = self.open_again(files)?.0;
        files.write(&mut file, 2 * APART, &[head, out].concat())?;
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

/// More than any window of requests holds; what is beyond is delivered twice.
const MAX_OUT_OF_ORDER: usize = 64 * 1024;
const OUT_OF_ORDER_BYTES: usize = 24;
const LONGEST: usize = 3 * 4096 + MAX_OUT_OF_ORDER * OUT_OF_ORDER_BYTES;

/// The records delivered beyond the place; none when that part is torn. Pure.
fn out_of_order(bytes: &[u8]) -> Vec<OutOfOrderAck> {
    let read = || {
        let part = bytes.get(usize::try_from(2 * APART).ok()?..)?;
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
