//! All files of a source: those that are there, and those that were.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::path::{Path, PathBuf};

use tokio::time::Instant;

use super::content_id::ContentId;
use super::gone::{GoneFile, GoneFiles};
use super::heads::{Bounds, HeadIndex};
use super::identity::FileKey;
use super::position::Fingerprint;
use super::setup::FileSetup;
use super::tracked::TrackedFile;

/// A file's number in the table.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct FileNo(u64);

impl Bounds for FileNo {
    const LEAST: Self = Self(u64::MIN);
    const MOST: Self = Self(u64::MAX);
}

/// Files by number, by inode and by path, and when each is to be looked at.
#[derive(Default)]
pub(super) struct FileTable {
    next: u64,
    /// Boxed: half of what a tree holds in itself is room.
    tracked: BTreeMap<FileNo, Box<TrackedFile>>,
    by_key: HashMap<FileKey, FileNo>,
    by_path: HashMap<PathBuf, FileNo>,
    /// Files to be looked at now, each once, in fair order.
    ready: VecDeque<FileNo>,
    /// Files to be looked at later.
    wakes: BTreeSet<(Instant, FileNo)>,
    /// Files that are held back.
    held: BTreeSet<FileNo>,
    /// Files by how they begin, those that are read.
    heads: HeadIndex<FileNo>,
    /// Files that are looked at once all others were.
    unhurried: Vec<FileNo>,
    /// Files with a descriptor, by when they were last used.
    open: BTreeMap<u64, FileNo>,
    uses: u64,
    /// Files that lost their name and may have another.
    nameless: Vec<FileNo>,
    /// What was read of files that are not there any more.
    pub(super) gone: GoneFiles,
}

impl FileTable {
    pub(super) fn insert(&mut self, file: TrackedFile) -> FileNo {
        let no = FileNo(self.next);
        self.next = self.next.saturating_add(1);
        self.by_key.insert(file.key, no);
        self.by_path.insert(file.path.clone(), no);
        self.tracked.insert(no, Box::new(file));
        no
    }

    pub(super) fn remove(&mut self, no: FileNo) -> Option<TrackedFile> {
        self.close(no);
        let file = *self.tracked.remove(&no)?;
        if let Some(head) = file.indexed {
            self.heads.remove(head, no);
        }
        if self.by_key.get(&file.key) == Some(&no) {
            self.by_key.remove(&file.key);
        }
        // Other paths of the same file are dropped when they are looked at.
        if self.by_path.get(&file.path) == Some(&no) {
            self.by_path.remove(&file.path);
        }
        if let Some(at) = file.wake {
            self.wakes.remove(&(at, no));
        }
        Some(file)
    }

    /// Notes how a file begins by now, if that is another than before.
    pub(super) fn index(&mut self, no: FileNo) {
        let Some(file) = self.tracked.get_mut(&no) else { return };
        let head = file.progress().map(|progress| progress.head);
        if file.indexed == head {
            return;
        }
        let before = std::mem::replace(&mut file.indexed, head);
        if let Some(before) = before {
            self.heads.remove(before, no);
        }
        if let Some(head) = head {
            self.heads.insert(head, no);
        }
    }

    /// Files that are read and begin as a file does whose first bytes `of_len` hashes.
    pub(super) fn alike(&self, of_len: impl FnMut(u16) -> Option<Fingerprint>) -> Vec<FileNo> {
        self.heads.alike(of_len)
    }

    /// Puts a file behind all others that are there at the start.
    pub(super) fn queue_last(&mut self, no: FileNo) {
        self.unhurried.push(no);
    }

    /// Queues what was put behind all others.
    pub(super) fn queue_unhurried(&mut self) {
        for no in std::mem::take(&mut self.unhurried) {
            self.queue(no);
        }
    }

    /// How many files are known.
    pub(super) fn len(&self) -> usize {
        self.tracked.len()
    }

    pub(super) fn get(&self, no: FileNo) -> Option<&TrackedFile> {
        self.tracked.get(&no).map(AsRef::as_ref)
    }

    pub(super) fn get_mut(&mut self, no: FileNo) -> Option<&mut TrackedFile> {
        self.tracked.get_mut(&no).map(AsMut::as_mut)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (FileNo, &TrackedFile)> {
        self.tracked.iter().map(|(no, file)| (*no, file.as_ref()))
    }

    /// What ids of a file's lines are made of, where nothing of it was read yet.
    pub(super) fn content_id(&self, setup: &FileSetup, file: &TrackedFile) -> ContentId {
        ContentId::new(setup, file.key, file.born, self.gone.ids_of(file.key))
    }

    pub(super) fn by_key(&self, key: FileKey) -> Option<FileNo> {
        self.by_key.get(&key).copied()
    }

    pub(super) fn by_path(&self, path: &Path) -> Option<FileNo> {
        self.by_path.get(path).copied().filter(|no| self.tracked.contains_key(no))
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.by_path.keys()
    }

    /// Makes a path lead to a file.
    pub(super) fn name(&mut self, path: &Path, no: FileNo) {
        self.by_path.insert(path.to_owned(), no);
    }

    /// Makes a path lead nowhere.
    pub(super) fn unname(&mut self, path: &Path) {
        self.by_path.remove(path);
    }

    /// Notes that a file has lost its name.
    pub(super) fn set_nameless(&mut self, no: FileNo) {
        self.nameless.push(no);
    }

    /// Takes the files that have lost their name.
    pub(super) fn take_nameless(&mut self) -> Vec<FileNo> {
        std::mem::take(&mut self.nameless)
    }

    /// Remembers what was read of a file that is gone. Whatever is held back may be a copy of it.
    pub(super) fn remember(&mut self, gone: GoneFile) {
        self.gone.remember(gone);
        self.queue_held();
    }

    /// Puts a file at the end of the queue, unless it stands in it.
    pub(super) fn queue(&mut self, no: FileNo) {
        let Some(file) = self.tracked.get_mut(&no) else { return };
        if !file.is_queued {
            file.is_queued = true;
            self.ready.push_back(no);
        }
    }

    /// Notes that a file is held back until it shows whether it is a copy.
    pub(super) fn hold(&mut self, no: FileNo) {
        self.held.insert(no);
    }

    /// Queues every file that is held back.
    fn queue_held(&mut self) {
        for no in std::mem::take(&mut self.held) {
            self.queue(no);
        }
    }

    /// Takes the first file of the queue.
    pub(super) fn next_ready(&mut self) -> Option<FileNo> {
        loop {
            let no = self.ready.pop_front()?;
            if let Some(file) = self.tracked.get_mut(&no) {
                file.is_queued = false;
                return Some(no);
            }
        }
    }

    pub(super) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Queues a file at a later time; none: only when it is told to have changed.
    pub(super) fn wake_at(&mut self, no: FileNo, at: Option<Instant>) {
        let Some(file) = self.tracked.get_mut(&no) else { return };
        if let Some(before) = std::mem::replace(&mut file.wake, at) {
            self.wakes.remove(&(before, no));
        }
        if let Some(at) = at {
            self.wakes.insert((at, no));
        }
    }

    /// Queues the files whose time has come.
    pub(super) fn queue_due(&mut self, now: Instant) {
        while let Some((at, no)) = self.wakes.first().copied()
            && at <= now
        {
            self.wake_at(no, None);
            self.queue(no);
        }
    }

    /// When the next file's time comes.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        self.wakes.first().map(|(at, _)| *at)
    }

    pub(super) fn is_open(&self, no: FileNo) -> bool {
        self.tracked.get(&no).is_some_and(|file| file.content.is_some())
    }

    /// How many files are open.
    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    /// Notes that a file's descriptor was used.
    pub(super) fn used(&mut self, no: FileNo) {
        self.uses = self.uses.saturating_add(1);
        let Some(file) = self.tracked.get_mut(&no) else { return };
        self.open.remove(&file.used);
        file.used = self.uses;
        self.open.insert(self.uses, no);
    }

    pub(super) fn close(&mut self, no: FileNo) {
        let Some(file) = self.tracked.get_mut(&no) else { return };
        if file.content.take().is_some() {
            self.open.remove(&file.used);
        }
    }

    /// Closes the file that was used longest ago, and was read to its end if there is such a one among those used longest ago. Whether there was any.
    pub(super) fn close_one(&mut self) -> bool {
        let closable = |no: &&FileNo| self.get(**no).is_some_and(TrackedFile::can_be_closed);
        let is_read = |no: &&FileNo| self.get(**no).is_some_and(|file| file.unread() == 0);
        let read = self.open.values().take(LOOKED_AT).filter(closable).find(is_read);
        let Some(no) = read.or_else(|| self.open.values().find(closable)).copied() else { return false };
        self.close(no);
        true
    }
}

/// So many are looked at for one that was read.
const LOOKED_AT: usize = 32;
