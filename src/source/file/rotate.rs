//! What becomes of files that lose their name, or their content.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use super::follow::Follower;
use super::identity::{Fate, FileKey, is_rotated_name};
use super::look::leads_to;
use super::table::{Departed, FileNo};
use super::tail::{Name, Progress, Stage, Tail};
use crate::event::{Fingerprint, Mark};

/// A directory's files: names and inodes, by one read of it.
type Listing = Vec<(PathBuf, u64)>;

impl Follower {
    /// Looks for the new names of files that lost theirs, in the directories where they were.
    pub(super) fn find_nameless(&mut self) {
        let mut listings = BTreeMap::new();
        let now = Instant::now();
        for no in std::mem::take(&mut self.nameless) {
            let Some(tail) = self.table.get(no) else { continue };
            if tail.name == Name::Gone || leads_to(&tail.path, tail.key) {
                continue;
            }
            let key = tail.key;
            let dir = self.real_dir(&tail.path);
            let found = find_inode(listing(&mut listings, &dir), key);
            match found {
                Some(path) => self.rename(no, &path, now),
                None => self.lose(no, now, listing(&mut listings, &dir)),
            }
        }
    }

    /// The directory that a path's file was in, which for a symbolic link is another one.
    fn real_dir(&self, path: &Path) -> PathBuf {
        let real = self.links.iter().find(|(_, link)| *link == path).map(|(real, _)| real.as_path());
        real.unwrap_or(path).parent().unwrap_or(Path::new("/")).to_owned()
    }

    fn lose(&mut self, no: FileNo, now: Instant, listing: &Listing) {
        let Some(tail) = self.table.get_mut(no) else { return };
        tail.renamed(Name::Gone, now);
        if tail.content.is_some() {
            // It is read to its end through its descriptor.
            self.table.queue(no);
            return;
        }
        let unread = tail.unread();
        self.depart(no, Fate::Gone, unread);
        // What was written since it was closed may be in a compressed copy.
        if let Some(departed) = self.table.departed.last().cloned() {
            self.seek(&departed, listing);
        }
    }

    /// Takes a file out of the table; what was read of it is remembered for a while.
    pub(super) fn depart(&mut self, no: FileNo, fate: Fate, unread: u64) {
        let Some(tail) = self.table.remove(no) else { return };
        match &tail.stage {
            Stage::Followed(progress) => self.remember(&tail, progress, fate, unread),
            Stage::Unplaced | Stage::Held if tail.wanted && unread > 0 => {
                self.intake().metrics.lost("deleted_unread", unread);
                warn!(path = %tail.path.display(), bytes = unread, "file was deleted before it could be read");
            }
            Stage::Unplaced | Stage::Held => {}
        }
    }

    fn remember(&mut self, tail: &Tail, progress: &Progress, fate: Fate, unread: u64) {
        let departed = Departed::of(tail, progress, fate, unread, Instant::now());
        self.table.departed.push(departed);
        self.table.queue_held();
        if self.table.departed.len() > MOST_DEPARTED {
            let since = |(_, departed): &(usize, &Departed)| departed.since;
            let oldest = self.table.departed.iter().enumerate().min_by_key(since).map(|(index, _)| index);
            self.table.departed.swap_remove(oldest.unwrap_or_default()).account.forget();
        }
    }

    /// The file's inode holds other bytes than were read from it: it is a new file, and what was read is remembered.
    pub(super) fn empty(&mut self, no: FileNo, unread: u64) {
        let Some(tail) = self.table.get_mut(no) else { return };
        let Stage::Followed(progress) = std::mem::replace(&mut tail.stage, Stage::Unplaced) else { return };
        let departed = Departed::of(tail, &progress, Fate::Rewritten, unread, Instant::now());
        (tail.start, tail.is_late, tail.vain, tail.reach) = (0, true, None, 0);
        if tail.wanted && tail.name == Name::Rotated {
            tail.name = Name::Present;
        }
        let dir = self.real_dir(&departed.path);
        self.seek(&departed, &read_dir(&dir));
        self.table.departed.push(departed);
        self.table.queue_held();
        self.table.queue(no);
    }

    /// Puts files into the table that may hold what a departed one held, though no pattern matches them.
    fn seek(&mut self, departed: &Departed, listing: &Listing) {
        let origin = PathBuf::from(&*departed.origin);
        for (path, _) in listing {
            if !is_rotated_name(path, &origin, &departed.path) || self.table.by_path(path).is_some() {
                continue;
            }
            let Ok(metadata) = fs::metadata(path) else { continue };
            if metadata.is_file() && self.table.by_key(FileKey::of(&metadata)).is_none() {
                let mut tail =
                    Tail::new(path.clone(), FileKey::of(&metadata), metadata.len(), Instant::now());
                tail.wanted = self.patterns.matches(path);
                let no = self.table.insert(tail);
                self.table.queue(no);
            }
        }
    }

    /// Finds what the last run knew: by inode where it was, then by inode elsewhere in its directory, then by content.
    pub(super) fn place_stored(&mut self) {
        let departed = self.table.departed.iter();
        let known: Vec<FileNo> = departed.filter_map(|departed| self.table.by_key(departed.key)).collect();
        for no in known {
            self.place_known(no);
        }
        let mut listings = BTreeMap::new();
        for departed in self.table.departed.clone() {
            let listing = listing(&mut listings, &self.real_dir(&departed.path));
            match find_inode(listing, departed.key).filter(|_| departed.fate == Fate::Missing) {
                Some(path) => self.place_renamed(path, departed.key),
                None => self.seek(&departed, listing),
            }
        }
    }

    fn place_renamed(&mut self, path: PathBuf, key: FileKey) {
        if self.table.by_key(key).is_some() {
            return;
        }
        let size = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        let mut tail = Tail::new(path, key, size, Instant::now());
        tail.wanted = self.patterns.matches(&tail.path);
        tail.name = Name::Rotated;
        let no = self.table.insert(tail);
        self.table.queue(no);
        self.place_known(no);
    }

    /// Counts as lost what no copy turned up for.
    pub(super) fn give_up_departed(&mut self, now: Instant) {
        let once = self.source.once;
        let metrics = &self.source.intake.metrics;
        for departed in &mut self.table.departed {
            let is_over = once || now.duration_since(departed.since) >= COPY_WAIT;
            if departed.unread == 0 || !is_over {
                continue;
            }
            let reason = match departed.fate {
                Fate::Alive | Fate::Rewritten => "truncated_unread",
                Fate::Missing | Fate::Gone => "deleted_unread",
            };
            metrics.lost(reason, departed.unread);
            warn!(path = %departed.path.display(), bytes = departed.unread, reason, "bytes of a file were gone before they could be read");
            departed.unread = 0;
        }
    }

    /// Forgets files that have been gone for so long that no compressed copy will turn up.
    pub(super) fn forget_departed(&mut self, now: Instant) {
        self.table.departed.retain(|departed| {
            let is_kept = now.duration_since(departed.since) < KEEP
                || departed.account.oldest_unacknowledged().is_some();
            if !is_kept {
                departed.account.forget();
            }
            is_kept
        });
    }

    /// A file without a name was read to its end, and nobody writes to it any more.
    pub(super) fn finish(&mut self, no: FileNo) {
        let name = self.table.get(no).map(|tail| tail.name);
        match name {
            Some(Name::Gone) => self.depart(no, Fate::Gone, 0),
            // It can be opened again should it grow after all.
            Some(Name::Rotated) => self.table.close(no),
            Some(Name::Present) | None => {}
        }
    }
}

/// A place in a new account at the end of what is there.
pub(super) fn mark_at(offset: u64, size: u64, before: &[u8]) -> Mark {
    Mark { offset, tail: Fingerprint::of_end(before), skipping: false, size }
}

fn listing<'a>(listings: &'a mut BTreeMap<PathBuf, Listing>, dir: &Path) -> &'a Listing {
    listings.entry(dir.to_owned()).or_insert_with(|| read_dir(dir))
}

fn read_dir(dir: &Path) -> Listing {
    let Ok(entries) = fs::read_dir(dir) else { return Listing::new() };
    entries.filter_map(Result::ok).map(|entry| (entry.path(), entry.ino())).collect()
}

fn find_inode(listing: &Listing, key: FileKey) -> Option<PathBuf> {
    let mut same = listing.iter().filter(|(_, inode)| *inode == key.inode).map(|(path, _)| path);
    same.find(|path| leads_to(path, key)).cloned()
}

/// How long a copy of an emptied or deleted file is waited for before what was not read is counted as lost.
const COPY_WAIT: Duration = Duration::from_millis(if cfg!(test) { 500 } else { 10_000 });

/// How long a file that is gone is remembered, for a compressed copy of it.
const KEEP: Duration = Duration::from_hours(1);

/// Most files that are remembered though they are gone.
const MOST_DEPARTED: usize = 20_000;
