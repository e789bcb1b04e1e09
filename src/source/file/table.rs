//! All files of a source: those that are there, and those that were.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::time::Instant;

use super::identity::{Fate, FileKey};
use super::tail::{Progress, Recent, Tail};
use crate::event::{Field, FileAccount, Fingerprint, Mark};

/// A file's number in the table.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct FileNo(u64);

/// Files by number, by inode and by path, and when each is to be looked at.
#[derive(Default)]
pub(super) struct Table {
    next: u64,
    tails: BTreeMap<FileNo, Tail>,
    by_key: HashMap<FileKey, FileNo>,
    by_path: HashMap<PathBuf, FileNo>,
    /// Files to be looked at now, each once, in fair order.
    ready: VecDeque<FileNo>,
    /// Files to be looked at later.
    wakes: BTreeSet<(Instant, FileNo)>,
    /// Files that are held back.
    held: BTreeSet<FileNo>,
    /// Files with a descriptor, by when they were last used.
    open: BTreeMap<u64, FileNo>,
    uses: u64,
    /// What was read of files that are not there any more.
    pub(super) departed: Vec<Departed>,
}

/// An account whose file is gone, or holds something else now.
#[derive(Clone)]
pub(super) struct Departed {
    pub(super) account: Arc<dyn FileAccount>,
    pub(super) key: FileKey,
    pub(super) path: PathBuf,
    pub(super) origin: Arc<str>,
    pub(super) head: Fingerprint,
    pub(super) mark: Mark,
    pub(super) recent: Recent,
    pub(super) fate: Fate,
    pub(super) since: Instant,
    /// Bytes that were seen but not read; reported as lost unless a copy turns up.
    pub(super) unread: u64,
}

impl Departed {
    /// What an earlier run left.
    pub(super) fn stored(account: Arc<dyn FileAccount>, now: Instant) -> Self {
        let position = account.position();
        let place = position.place;
        let is_gzip = place.path.extension().is_some_and(|extension| extension == "gz");
        Self {
            account,
            key: FileKey { device: place.device, inode: place.inode },
            path: place.path,
            origin: position.origin,
            head: position.head,
            mark: position.mark,
            recent: Recent::default(),
            fate: Fate::Missing,
            since: now,
            unread: if is_gzip { 0 } else { position.mark.size.saturating_sub(position.mark.offset) },
        }
    }

    /// What is left of a file that was followed.
    pub(super) fn of(tail: &Tail, progress: &Progress, fate: Fate, unread: u64, now: Instant) -> Self {
        Self {
            account: Arc::clone(&progress.owner.account),
            key: tail.key,
            path: tail.path.clone(),
            origin: progress.origin.get(Field::File).cloned().unwrap_or_default(),
            head: progress.head,
            mark: progress.mark,
            recent: progress.recent,
            fate,
            since: now,
            unread,
        }
    }
}

impl Table {
    pub(super) fn insert(&mut self, tail: Tail) -> FileNo {
        let no = FileNo(self.next);
        self.next = self.next.saturating_add(1);
        self.by_key.insert(tail.key, no);
        self.by_path.insert(tail.path.clone(), no);
        self.tails.insert(no, tail);
        no
    }

    pub(super) fn remove(&mut self, no: FileNo) -> Option<Tail> {
        self.close(no);
        let tail = self.tails.remove(&no)?;
        if self.by_key.get(&tail.key) == Some(&no) {
            self.by_key.remove(&tail.key);
        }
        // Other paths of the same file are dropped when they are looked at.
        if self.by_path.get(&tail.path) == Some(&no) {
            self.by_path.remove(&tail.path);
        }
        if let Some(at) = tail.wake {
            self.wakes.remove(&(at, no));
        }
        Some(tail)
    }

    pub(super) fn get(&self, no: FileNo) -> Option<&Tail> {
        self.tails.get(&no)
    }

    pub(super) fn get_mut(&mut self, no: FileNo) -> Option<&mut Tail> {
        self.tails.get_mut(&no)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (FileNo, &Tail)> {
        self.tails.iter().map(|(no, tail)| (*no, tail))
    }

    pub(super) fn by_key(&self, key: FileKey) -> Option<FileNo> {
        self.by_key.get(&key).copied()
    }

    pub(super) fn by_path(&self, path: &Path) -> Option<FileNo> {
        self.by_path.get(path).copied().filter(|no| self.tails.contains_key(no))
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

    /// Puts a file at the end of the queue, unless it stands in it.
    pub(super) fn queue(&mut self, no: FileNo) {
        let Some(tail) = self.tails.get_mut(&no) else { return };
        if !tail.is_queued {
            tail.is_queued = true;
            self.ready.push_back(no);
        }
    }

    /// Notes that a file is held back until it shows whether it is a copy.
    pub(super) fn hold(&mut self, no: FileNo) {
        self.held.insert(no);
    }

    /// Queues every file that is held back.
    pub(super) fn queue_held(&mut self) {
        for no in std::mem::take(&mut self.held) {
            self.queue(no);
        }
    }

    /// Takes the first file of the queue.
    pub(super) fn next_ready(&mut self) -> Option<FileNo> {
        loop {
            let no = self.ready.pop_front()?;
            if let Some(tail) = self.tails.get_mut(&no) {
                tail.is_queued = false;
                return Some(no);
            }
        }
    }

    pub(super) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Queues a file at a later time; none: only when it is told to have changed.
    pub(super) fn wake_at(&mut self, no: FileNo, at: Option<Instant>) {
        let Some(tail) = self.tails.get_mut(&no) else { return };
        if let Some(before) = std::mem::replace(&mut tail.wake, at) {
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

    /// How many files are open.
    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    /// Notes that a file's descriptor was used.
    pub(super) fn used(&mut self, no: FileNo) {
        self.uses = self.uses.saturating_add(1);
        let Some(tail) = self.tails.get_mut(&no) else { return };
        self.open.remove(&tail.used);
        tail.used = self.uses;
        self.open.insert(self.uses, no);
    }

    pub(super) fn close(&mut self, no: FileNo) {
        let Some(tail) = self.tails.get_mut(&no) else { return };
        if tail.content.take().is_some() {
            self.open.remove(&tail.used);
        }
    }

    /// Closes the file that was used longest ago, and was read to its end if there is such a one. Whether there was any.
    pub(super) fn close_one(&mut self) -> bool {
        let closable = |no: &&FileNo| self.get(**no).is_some_and(Tail::can_be_closed);
        let is_read = |no: &&FileNo| self.get(**no).is_some_and(|tail| tail.unread() == 0);
        let read = self.open.values().filter(closable).find(is_read);
        let Some(no) = read.or_else(|| self.open.values().find(closable)).copied() else { return false };
        self.close(no);
        true
    }
}
