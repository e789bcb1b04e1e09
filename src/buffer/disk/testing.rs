//! What the tests of the log share: images of segments, records, and a file system that forgets and fails.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::time::Instant;

use super::files::FileSystem;
use super::frame::{FRAME_HEADER, Frame, FrameKind, SEGMENT_HEADER, SegmentHeader};
use super::meta::RecordMeta;
use crate::event::{AckGuard, Acknowledge, Origin, Outcome, Record, Timestamp};

const SALT: u32 = 0x5eed_5eed;

fn origin_json() -> Vec<u8> {
    RecordMeta::encode(&Origin { source: "app".into(), ..Origin::default() }, &[])
}

/// The bytes of a segment that holds these records and is not sealed.
pub(super) fn image(texts: &[&str]) -> Vec<u8> {
    let mut image = SegmentHeader { salt: SALT, number: 1, previous: 0 }.encode();
    for text in texts {
        let body = [origin_json(), text.as_bytes().to_vec()].concat();
        let frame = Frame {
            kind: FrameKind::Record,
            salt: SALT,
            offset: image.len() as u64,
            time: Timestamp(1),
            events: 1,
            origin_bytes: u32::try_from(origin_json().len()).unwrap(),
            record_bytes: u32::try_from(text.len()).unwrap(),
            payload_bytes: u32::try_from(text.len()).unwrap(),
            compressed: false,
            body_sum: crc32c::crc32c(&body),
        };
        frame.encode(&mut image);
        image.extend(body);
    }
    image
}

/// Where the frames of that image are.
pub(super) fn frames(texts: &[&str]) -> Vec<Range<usize>> {
    let mut at = usize::try_from(SEGMENT_HEADER).unwrap();
    let frame = |text: &&str| {
        let from = at;
        at += FRAME_HEADER + origin_json().len() + text.len();
        from..at
    };
    texts.iter().map(frame).collect()
}

struct NoSource;

impl Acknowledge for NoSource {
    fn acknowledge(&self, _: u64, _: Outcome) {}
}

/// A record of one event with this text, in two pieces.
pub(super) fn record(text: &str) -> Record {
    let (first, second) = text.split_at(text.len() / 2);
    Record {
        parts: [first, second].map(|part| Bytes::copy_from_slice(part.as_bytes())).to_vec(),
        len: text.len(),
        payload: text.len(),
        compressed: false,
        events: 1,
        is_piece: false,
        acks: vec![AckGuard::open(Arc::new(NoSource), 0)],
        origin: Arc::new(Origin { source: "app".into(), ..Origin::default() }),
        since: Instant::now(),
    }
}

/// A file system in memory. A crash takes what was not synced: whole, in part, or leaves something else.
#[derive(Clone, Debug, Default)]
pub(super) struct MemoryFileSystem(Arc<Mutex<FileSystemState>>);

#[derive(Debug, Default)]
struct FileSystemState {
    nodes: Vec<FileNode>,
    names: BTreeMap<PathBuf, usize>,
    synced_names: BTreeMap<PathBuf, usize>,
    /// Calls until the one that fails, how many fail from there on, and how.
    failure: Option<(u32, u32, i32)>,
    /// How often a sync failed.
    pub(super) failed_syncs: u32,
}

#[derive(Clone, Debug, Default)]
struct FileNode {
    data: Vec<u8>,
    synced: Vec<u8>,
    unsynced: Vec<FileChange>,
}

#[derive(Clone, Debug)]
enum FileChange {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

impl FileChange {
    fn apply(&self, data: &mut Vec<u8>) {
        match self {
            Self::Write(offset, bytes) => {
                data.resize(data.len().max(offset + bytes.len()), 0);
                data[*offset..offset + bytes.len()].copy_from_slice(bytes);
            }
            Self::Truncate(len) => data.resize(*len, 0),
        }
    }
}

pub(super) const EIO: i32 = 5;
pub(super) const ENOSPC: i32 = 28;
pub(super) const EROFS: i32 = 30;

impl MemoryFileSystem {
    /// After so many more calls that change something, so many fail in this way.
    pub(super) fn fail(&self, after: u32, count: u32, code: i32) {
        self.0.lock().unwrap().failure = Some((after, count, code));
    }

    pub(super) fn works_again(&self) {
        self.0.lock().unwrap().failure = None;
    }

    /// The bytes of a file.
    pub(super) fn data(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.0.lock().unwrap();
        state.names.get(path).map(|node| state.nodes[*node].data.clone())
    }

    /// Changes a file behind the log's back.
    pub(super) fn change(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.0.lock().unwrap();
        let node = state.names[path];
        let node = &mut state.nodes[node];
        change(&mut node.data);
        node.synced = node.data.clone();
        node.unsynced.clear();
    }

    pub(super) fn names(&self) -> Vec<String> {
        let state = self.0.lock().unwrap();
        state.names.keys().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
    }

    /// Power goes away. `random` decides what remains of what was not synced.
    pub(super) fn crash(&self, random: &mut fastrand::Rng) {
        let mut state = self.0.lock().unwrap();
        state.failure = None;
        for node in &mut state.nodes {
            let changes = std::mem::take(&mut node.unsynced);
            let survive = random.usize(..=changes.len());
            for (index, change) in changes.iter().enumerate().take(survive) {
                let mut change = change.clone();
                if let (true, FileChange::Write(_, bytes)) = (index + 1 == survive, &mut change) {
                    match random.u8(..4) {
                        0 => bytes.truncate(random.usize(..=bytes.len())),
                        1 => bytes.fill(0),
                        2 => bytes.iter_mut().for_each(|byte| *byte ^= random.u8(..)),
                        _ => {}
                    }
                }
                change.apply(&mut node.synced);
            }
            node.data = node.synced.clone();
        }
        if random.bool() {
            // Nothing of the directories was written by itself.
            state.names = state.synced_names.clone();
        } else {
            state.synced_names = state.names.clone();
        }
    }

    fn may(&self) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        match &mut state.failure {
            Some((0, count, code)) => {
                let error = io::Error::from_raw_os_error(*code);
                *count = count.saturating_sub(1);
                if *count == 0 {
                    state.failure = None;
                }
                Err(error)
            }
            Some((after, ..)) => {
                *after -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn change_node(&self, node: usize, change: FileChange) {
        let mut state = self.0.lock().unwrap();
        let node = &mut state.nodes[node];
        change.apply(&mut node.data);
        node.unsynced.push(change);
    }

    fn find(&self, path: &Path) -> io::Result<usize> {
        self.0.lock().unwrap().names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl FileSystem for MemoryFileSystem {
    type File = usize;

    fn make_dir(&self, _: &Path) -> io::Result<()> {
        self.may()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<(String, u64)>> {
        let state = self.0.lock().unwrap();
        let within = state.names.iter().filter(|(path, _)| path.parent() == Some(dir));
        let entry = |(path, node): (&PathBuf, &usize)| {
            (path.file_name().unwrap().to_string_lossy().into_owned(), state.nodes[*node].data.len() as u64)
        };
        Ok(within.map(entry).collect())
    }

    fn create(&self, path: &Path) -> io::Result<usize> {
        self.may()?;
        let mut state = self.0.lock().unwrap();
        state.nodes.push(FileNode::default());
        let node = state.nodes.len() - 1;
        state.names.insert(path.to_owned(), node);
        Ok(node)
    }

    fn open(&self, path: &Path) -> io::Result<usize> {
        self.find(path)
    }

    fn open_to_write(&self, path: &Path) -> io::Result<usize> {
        self.may()?;
        self.find(path)
    }

    fn write(&self, file: &mut usize, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).unwrap();
        if let Err(error) = self.may() {
            // Part of it is written before the disk is full.
            self.change_node(*file, FileChange::Write(offset, bytes[..bytes.len() / 2].to_vec()));
            return Err(error);
        }
        self.change_node(*file, FileChange::Write(offset, bytes.to_vec()));
        Ok(())
    }

    fn read(&self, file: &mut usize, offset: u64, len: usize, out: &mut Vec<u8>) -> io::Result<()> {
        let state = self.0.lock().unwrap();
        let data = &state.nodes[*file].data;
        let from = usize::try_from(offset).unwrap().min(data.len());
        out.clear();
        out.extend_from_slice(&data[from..(from + len).min(data.len())]);
        Ok(())
    }

    fn truncate(&self, file: &mut usize, len: u64) -> io::Result<()> {
        self.may()?;
        self.change_node(*file, FileChange::Truncate(usize::try_from(len).unwrap()));
        Ok(())
    }

    fn is_linked(&self, file: &usize) -> io::Result<bool> {
        Ok(self.0.lock().unwrap().names.values().any(|node| node == file))
    }

    fn sync(&self, file: &mut usize) -> io::Result<()> {
        let may = self.may();
        let mut state = self.0.lock().unwrap();
        let node = &mut state.nodes[*file];
        let changes = std::mem::take(&mut node.unsynced);
        match may {
            Ok(()) => changes.iter().for_each(|change| change.apply(&mut node.synced)),
            // As on Linux: the pages count as clean now, and the next sync says that all is well.
            Err(error) => {
                state.failed_syncs += 1;
                return Err(error);
            }
        }
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.may()?;
        let mut state = self.0.lock().unwrap();
        let FileSystemState { names, synced_names, .. } = &mut *state;
        synced_names.retain(|path, _| path.parent() != Some(dir));
        synced_names.extend(
            names.iter().filter(|(path, _)| path.parent() == Some(dir)).map(|(p, n)| (p.clone(), *n)),
        );
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.may()?;
        let node = self.find(from)?;
        let mut state = self.0.lock().unwrap();
        state.names.remove(from);
        state.names.insert(to.to_owned(), node);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.may()?;
        self.find(path)?;
        self.0.lock().unwrap().names.remove(path);
        Ok(())
    }

    fn remove_dir(&self, _: &Path) -> io::Result<()> {
        self.may()
    }
}
