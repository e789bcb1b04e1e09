//! What was read of files that are not there any more.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use super::account::AccountHandle;
use super::content_id::ContentId;
use super::heads::{Bounds, HeadIndex};
use super::identity::{FileKey, FileTime, KnownFate, is_compressed_name};
use super::progress::{ReadProgress, RecentMarks};
use super::setup::FileSetup;
use super::tracked::TrackedFile;
use crate::config::Start;
use crate::event::Field;
use crate::source::file::position::{Fingerprint, Mark};

/// An account whose file is gone, or holds something else now.
#[derive(Clone)]
pub(super) struct GoneFile {
    pub(super) account: Arc<AccountHandle>,
    pub(super) key: FileKey,
    /// The path that it was last found at.
    pub(super) path: PathBuf,
    /// The same without links: what rotations go by.
    pub(super) real: PathBuf,
    pub(super) origin: Arc<str>,
    pub(super) head: Fingerprint,
    pub(super) mark: Mark,
    pub(super) recent: RecentMarks,
    pub(super) fate: KnownFate,
    /// When it lost its name or its content, at the earliest that is known.
    pub(super) lost: FileTime,
    pub(super) since: Instant,
    /// Bytes that were seen but not read; reported as lost unless a copy turns up.
    unread: u64,
}

impl GoneFile {
    fn stored(account: Arc<AccountHandle>, now: Instant) -> Self {
        let position = account.position();
        let place = position.location;
        let real = place.real.unwrap_or_else(|| place.path.clone());
        let is_compressed = is_compressed_name(&real);
        Self {
            account,
            key: FileKey { device: place.device, inode: place.inode },
            path: place.path,
            real,
            origin: position.origin,
            head: position.head,
            mark: position.mark,
            recent: RecentMarks::default(),
            fate: KnownFate::Missing,
            lost: FileTime::now(),
            since: now,
            unread: if is_compressed { 0 } else { position.mark.size.saturating_sub(position.mark.offset) },
        }
    }

    /// Whether something of it is not delivered, or was not read.
    pub(super) fn is_incomplete(&self) -> bool {
        self.unread > 0 || !self.account.has_delivered(self.mark.offset)
    }

    /// What is left of a file that was followed.
    pub(super) fn of(file: &TrackedFile, progress: &ReadProgress, fate: KnownFate, unread: u64) -> Self {
        // What a file holds that was emptied is younger than what it held.
        let lost = if fate == KnownFate::Rewritten { file.born } else { file.lost };
        Self {
            account: Arc::clone(&progress.account),
            key: file.key,
            path: file.path.clone(),
            real: file.real_path().to_owned(),
            origin: progress.origin.get(Field::File).cloned().unwrap_or_default(),
            head: progress.head,
            mark: progress.mark,
            recent: progress.recent,
            fate,
            lost: lost.unwrap_or_else(FileTime::now),
            since: Instant::now(),
            unread,
        }
    }
}

/// Its number among those that are gone; later ones have greater numbers.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct GoneNo(u64);

impl Bounds for GoneNo {
    const LEAST: Self = Self(u64::MIN);
    const MOST: Self = Self(u64::MAX);
}

/// Files that are gone, as long as a copy of one may turn up.
#[derive(Default)]
pub(super) struct GoneFiles {
    next: u64,
    all: BTreeMap<GoneNo, GoneFile>,
    by_key: BTreeSet<(FileKey, GoneNo)>,
    heads: HeadIndex<GoneNo>,
    /// Those of which bytes were not read, by when they went.
    unread: BTreeSet<(Instant, GoneNo)>,
    /// Names of files that an earlier run left, until what is there at the start is known.
    names: HashSet<PathBuf>,
    /// Files of an earlier run that turned out to hold something else, until their copies were looked for.
    rewritten: Vec<GoneNo>,
}

impl GoneFiles {
    /// What an earlier run left: gone, until each is found.
    pub(super) fn stored(setup: &FileSetup, now: Instant) -> Self {
        let mut files = Self::default();
        for account in AccountHandle::stored(setup) {
            let gone = GoneFile::stored(account, now);
            if setup.config.start == Start::End {
                files.names.insert(gone.path.clone());
                files.names.insert(PathBuf::from(&*gone.origin));
            }
            files.insert(gone);
        }
        files
    }

    fn insert(&mut self, gone: GoneFile) {
        let no = GoneNo(self.next);
        self.next = self.next.saturating_add(1);
        self.by_key.insert((gone.key, no));
        self.heads.insert(gone.head, no);
        if gone.unread > 0 {
            self.unread.insert((gone.since, no));
        }
        self.all.insert(no, gone);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (GoneNo, &GoneFile)> {
        self.all.iter().map(|(no, gone)| (*no, gone))
    }

    pub(super) fn get(&self, no: GoneNo) -> Option<&GoneFile> {
        self.all.get(&no)
    }

    /// Those that had this inode.
    /// The contents that an inode had.
    pub(super) fn ids_of(&self, key: FileKey) -> impl Iterator<Item = ContentId> {
        self.of_key(key).map(|(_, gone)| gone.account.id())
    }

    pub(super) fn of_key(&self, key: FileKey) -> impl Iterator<Item = (GoneNo, &GoneFile)> {
        let same = self.by_key.range((key, GoneNo::LEAST)..=(key, GoneNo::MOST));
        same.filter_map(|(_, no)| Some((*no, self.all.get(no)?)))
    }

    /// Those that begin as a file does whose first bytes `of_len` hashes.
    pub(super) fn alike(&self, of_len: impl FnMut(u16) -> Option<Fingerprint>) -> Vec<GoneNo> {
        self.heads.alike(of_len)
    }

    /// Those that were emptied since this moment, the latest first, a bounded number.
    pub(super) fn emptied_since(&self, since: Instant) -> impl Iterator<Item = (GoneNo, &GoneFile)> {
        let recent = self.all.iter().rev().take(MOST_RECENT).take_while(move |(_, gone)| gone.since > since);
        recent.filter(|(_, gone)| gone.fate == KnownFate::Rewritten).map(|(no, gone)| (*no, gone))
    }

    /// Whether a file had this inode, or this name before it was rotated away or after.
    pub(super) fn knows(&self, key: FileKey, path: &Path) -> bool {
        // By inode first: paths are long, and alike.
        self.of_key(key).next().is_some() || self.names.contains(path)
    }

    /// Forgets what names there were: what comes from now on is new.
    pub(super) fn forget_names(&mut self) {
        self.names = HashSet::new();
    }

    /// Notes that a file's inode holds something else.
    pub(super) fn set_rewritten(&mut self, no: GoneNo) {
        if let Some(gone) = self.all.get_mut(&no) {
            gone.fate = KnownFate::Rewritten;
            self.rewritten.push(no);
        }
    }

    /// Takes those whose inodes turned out to hold something else.
    pub(super) fn take_rewritten(&mut self) -> Vec<GoneNo> {
        std::mem::take(&mut self.rewritten)
    }

    /// Takes one out, to be read on.
    pub(super) fn take(&mut self, no: GoneNo) -> Option<GoneFile> {
        let gone = self.all.remove(&no)?;
        self.by_key.remove(&(gone.key, no));
        self.heads.remove(gone.head, no);
        self.unread.remove(&(gone.since, no));
        Some(gone)
    }

    /// Remembers one; of too many the oldest is forgotten.
    pub(super) fn remember(&mut self, gone: GoneFile) {
        self.insert(gone);
        if self.all.len() > MOST
            && let Some(oldest) = self.all.keys().next().copied().and_then(|oldest| self.take(oldest))
        {
            oldest.account.forget();
        }
    }

    /// Counts as lost what no copy turned up for.
    pub(super) fn count_lost(&mut self, setup: &FileSetup, now: Instant) {
        while let Some((since, no)) = self.unread.first().copied()
            && (setup.once || now.duration_since(since) >= COPY_WAIT)
        {
            self.unread.remove(&(since, no));
            let Some(gone) = self.all.get_mut(&no) else { continue };
            let reason = match gone.fate {
                KnownFate::Alive | KnownFate::Rewritten => "truncated_unread",
                KnownFate::Missing | KnownFate::Leaving | KnownFate::Gone => "deleted_unread",
            };
            setup.metrics().lost(reason, gone.unread);
            warn!(path = %gone.path.display(), bytes = gone.unread, reason, "part of a file was gone before it could be read");
            gone.unread = 0;
        }
    }

    /// Forgets files that have been gone for so long that no compressed copy will turn up.
    pub(super) fn forget_old(&mut self, now: Instant) {
        let is_old = |gone: &GoneFile| {
            now.duration_since(gone.since) >= KEEP && gone.account.oldest_unacknowledged().is_none()
        };
        let old: Vec<GoneNo> = self.iter().filter(|(_, gone)| is_old(gone)).map(|(no, _)| no).collect();
        for gone in old.into_iter().filter_map(|no| self.take(no)) {
            gone.account.forget();
        }
    }
}

/// So many are looked at for what was emptied last.
const MOST_RECENT: usize = 1_000;

/// How long a copy of an emptied or deleted file is waited for before what was not read is counted as lost.
const COPY_WAIT: Duration = Duration::from_millis(if cfg!(test) { 500 } else { 10_000 });

/// How long a file that is gone is remembered, for a compressed copy of it.
const KEEP: Duration = Duration::from_hours(1);

/// Most files that are remembered though they are gone.
const MOST: usize = 20_000;
