//! What was read of files that are not there any more.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use super::account::AccountHandle;
use super::identity::{FileKey, FileTime, KnownFate};
use super::progress::{ReadProgress, RecentMarks};
use super::setup::FileSetup;
use super::tracked::TrackedFile;
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
        let is_gzip = real.extension().is_some_and(|extension| extension == "gz");
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
            unread: if is_gzip { 0 } else { position.mark.size.saturating_sub(position.mark.offset) },
        }
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

/// Files that are gone, as long as a copy of one may turn up.
#[derive(Default)]
pub(super) struct GoneFiles(Vec<GoneFile>);

impl GoneFiles {
    /// What an earlier run left: gone, until each is found.
    pub(super) fn stored(setup: &FileSetup, now: Instant) -> Self {
        Self(AccountHandle::stored(setup).map(|account| GoneFile::stored(account, now)).collect())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &GoneFile> {
        self.0.iter()
    }

    /// Whether a file had this inode, or this name before it was rotated away or after.
    pub(super) fn knows(&self, key: FileKey, path: &Path) -> bool {
        // By inode first: paths are long, and alike.
        self.0.iter().any(|gone| gone.key == key)
            || self.0.iter().any(|gone| gone.path == path || Path::new(&*gone.origin) == path)
    }

    pub(super) fn get(&self, index: usize) -> Option<&GoneFile> {
        self.0.get(index)
    }

    /// Notes that a file's inode holds something else.
    pub(super) fn set_rewritten(&mut self, index: usize) {
        if let Some(gone) = self.0.get_mut(index) {
            gone.fate = KnownFate::Rewritten;
        }
    }

    /// Takes one out, to be read on. The last one takes its index.
    pub(super) fn take(&mut self, index: usize) -> Option<GoneFile> {
        (index < self.0.len()).then(|| self.0.swap_remove(index))
    }

    /// Remembers one; of too many the oldest is forgotten.
    pub(super) fn remember(&mut self, gone: GoneFile) {
        self.0.push(gone);
        if self.0.len() > MOST {
            let since = |(_, gone): &(usize, &GoneFile)| gone.since;
            let oldest = self.0.iter().enumerate().min_by_key(since).map(|(index, _)| index);
            self.0.swap_remove(oldest.unwrap_or_default()).account.forget();
        }
    }

    /// Counts as lost what no copy turned up for.
    pub(super) fn count_lost(&mut self, setup: &FileSetup, now: Instant) {
        for gone in &mut self.0 {
            let is_over = setup.once || now.duration_since(gone.since) >= COPY_WAIT;
            if gone.unread == 0 || !is_over {
                continue;
            }
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
        self.0.retain(|gone| {
            let is_kept =
                now.duration_since(gone.since) < KEEP || gone.account.oldest_unacknowledged().is_some();
            if !is_kept {
                gone.account.forget();
            }
            is_kept
        });
    }
}

/// How long a copy of an emptied or deleted file is waited for before what was not read is counted as lost.
const COPY_WAIT: Duration = Duration::from_millis(if cfg!(test) { 500 } else { 10_000 });

/// How long a file that is gone is remembered, for a compressed copy of it.
const KEEP: Duration = Duration::from_hours(1);

/// Most files that are remembered though they are gone.
const MOST: usize = 20_000;
