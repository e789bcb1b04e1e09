//! The reading side of a log: records that memory let go of, or that a run before left.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::cursor::{CursorFile, Position, Said};
use super::files::Files;
use super::frame::{Frame, SEGMENT_HEADER, SegmentHeader};
use super::log;
use super::meta::Meta;
use super::open::{Finding, Reading, aside, keep_part};
use super::walk::{Flaw, Step, Walk, salt_of_first_frame};
use crate::event::{Buffers, Timestamp};

/// Reads a log's records. Everything blocks.
#[derive(Debug)]
pub struct Reader<F: Files> {
    files: F,
    dir: PathBuf,
    /// The segment that was read last: its number, its file and its salt.
    open: Option<(u64, F::File, u32)>,
    buffers: Arc<Buffers>,
    /// The last origin, which most records share.
    meta: Option<(Vec<u8>, Meta)>,
}

/// What is to be read of one segment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Part {
    /// The segment's number.
    pub segment: u64,
    /// Where the first record begins.
    pub from: u64,
    /// Where the last one ends.
    pub end: u64,
}

/// What was read.
#[derive(Debug)]
pub struct Loaded {
    /// What was asked for.
    pub part: Part,
    /// Up to where it was read.
    pub to: u64,
    /// The whole records.
    pub records: Vec<LoadedRecord>,
    /// What was damaged.
    pub findings: Vec<Finding>,
}

/// One record as it was stored.
#[derive(Debug)]
pub struct LoadedRecord {
    /// Its bytes.
    pub data: Bytes,
    /// Bytes before compression.
    pub payload: usize,
    /// Whether `data` is a gzip member.
    pub compressed: bool,
    /// How many events it holds.
    pub events: u64,
    /// Where it comes from.
    pub meta: Meta,
    /// When it was stored.
    pub time: Timestamp,
    /// Where its frame ends.
    pub end: u64,
}

/// Room for the largest record with its origin.
pub const BUFFER_BYTES: usize = crate::limits::MAX_RECORD_BYTES + 8 * 1024;

impl<F: Files> Reader<F> {
    /// A reader of the log in a directory. `buffers` are of [`BUFFER_BYTES`].
    #[must_use]
    pub fn new(files: F, dir: &Path, buffers: Arc<Buffers>) -> Self {
        Self { files, dir: dir.to_owned(), open: None, buffers, meta: None }
    }

    /// Reads records until they have so many bytes, but at least one.
    ///
    /// # Errors
    /// When the disk refuses before anything was read.
    pub fn read(&mut self, part: Part, bytes: usize) -> io::Result<Loaded> {
        let mut loaded = Loaded { part, to: part.from, records: Vec::new(), findings: Vec::new() };
        let mut segment = match self.open.take() {
            Some(open) if open.0 == part.segment => open,
            _ => self.open(part.segment)?,
        };
        let read = self.walk((&mut segment.1, segment.2), &mut loaded, bytes);
        self.open = Some(segment);
        match read {
            // What was read before is of use; the next call meets the error again.
            Err(error) if loaded.to == part.from => Err(error),
            _ => Ok(loaded),
        }
    }

    /// Gives a segment up that the disk cannot read.
    pub fn give_up(&mut self, part: Part) -> Loaded {
        self.open = None;
        let path = log::path(&self.dir, part.segment);
        let kept = aside(&path, None);
        // The file itself stays what it is if it cannot be renamed.
        let renamed = self.files.rename(&path, &kept).is_ok();
        let finding = Finding { flaw: Flaw::Unreadable, file: path, kept: renamed.then_some(kept) };
        Loaded { part, to: part.end, records: Vec::new(), findings: vec![finding] }
    }

    fn open(&self, number: u64) -> io::Result<(u64, F::File, u32)> {
        let mut file = self.files.open(&log::path(&self.dir, number))?;
        let mut head = Vec::new();
        self.files.read(&mut file, 0, usize::try_from(SEGMENT_HEADER).unwrap_or(0), &mut head)?;
        let salt = match SegmentHeader::decode(&head) {
            Ok(header) => header.salt,
            Err(_) => salt_of_first_frame(&mut Reading { files: &self.files, file: &mut file })?.unwrap_or(0),
        };
        Ok((number, file, salt))
    }

    fn walk(
        &mut self,
        (file, salt): (&mut F::File, u32),
        loaded: &mut Loaded,
        bytes: usize,
    ) -> io::Result<()> {
        let files = self.files.clone();
        let mut walk = Walk::new(Reading { files: &files, file }, salt, loaded.part.from, loaded.part.end);
        let (mut left, mut body) = (bytes, self.buffers.take(BUFFER_BYTES));
        loop {
            let from = walk.at;
            let step = walk.next(&mut body)?;
            loaded.to = walk.at;
            match step {
                Step::Record(frame) => match self.meta(&body, &frame) {
                    Some(meta) => {
                        left = left.saturating_sub(frame.record_bytes as usize);
                        loaded.records.push(self.record(&mut body, &frame, meta));
                    }
                    None => self.found((from, walk.at), Flaw::Checksum, loaded),
                },
                Step::Flaw(flaw, to) => self.found((from, to), flaw, loaded),
                Step::End => break,
            }
            if left == 0 {
                break;
            }
        }
        drop(self.buffers.share(body));
        Ok(())
    }

    fn found(&self, part: (u64, u64), flaw: Flaw, loaded: &mut Loaded) {
        let path = log::path(&self.dir, loaded.part.segment);
        loaded.findings.push(keep_part(&self.files, &path, part, flaw));
    }

    fn meta(&mut self, body: &[u8], frame: &Frame) -> Option<Meta> {
        let json = body.get(..frame.origin_bytes as usize)?;
        match &self.meta {
            Some((known, meta)) if known == json => Some(meta.clone()),
            _ => {
                let meta = Meta::decode(json)?;
                self.meta = Some((json.to_vec(), meta.clone()));
                Some(meta)
            }
        }
    }

    /// A large record takes the buffer with it; a small one is copied.
    fn record(&self, body: &mut Vec<u8>, frame: &Frame, meta: Meta) -> LoadedRecord {
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
pub fn peek<F: Files>(files: &F, dir: &Path) -> io::Result<Option<Meta>> {
    let (_, said) = CursorFile::open(files, dir)?;
    let delivered = match said {
        Said::Delivered(position, _) => position,
        Said::Nothing | Said::Damaged => Position::default(),
    };
    let mut segments: Vec<(u64, u64)> =
        files.list(dir)?.iter().filter_map(|(name, size)| Some((log::number(name)?, *size))).collect();
    segments.sort_unstable();
    let mut reader = Reader::new(files.clone(), dir, Buffers::new(BUFFER_BYTES, 0));
    for (number, size) in segments.into_iter().filter(|(number, _)| *number >= delivered.segment) {
        let Ok((_, mut file, salt)) = reader.open(number) else { continue };
        let from = if number == delivered.segment { delivered.offset } else { 0 };
        let source = Reading { files, file: &mut file };
        let mut walk = Walk::new(source, salt, from.max(SEGMENT_HEADER), size);
        let mut body = Vec::new();
        loop {
            match walk.next(&mut body)? {
                Step::Record(frame) => {
                    if let Some(meta) = reader.meta(&body, &frame) {
                        return Ok(Some(meta));
                    }
                }
                Step::Flaw(..) => {}
                Step::End => break,
            }
        }
    }
    Ok(None)
}
