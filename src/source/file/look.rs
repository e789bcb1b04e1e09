//! From names to files: what is new, what was renamed, what is gone.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use super::follow::Follower;
use super::globs::Walk;
use super::identity::FileKey;
use super::table::{FileNo, Table};
use super::tail::{Name, Tail};
use super::watch::Changes;

impl Follower {
    /// Looks at everything that inotify named.
    pub(super) fn look_at(&mut self, changes: &Changes) {
        let now = Instant::now();
        for path in &changes.names {
            let is_dir = self.watch.remove(path) || path.is_dir();
            if is_dir {
                // Files may be in it already.
                self.next_walk = self.next_walk.min(self.soonest_walk);
            }
            self.look_through_links(path, now);
        }
        self.look_at_renamed(&changes.renames, now);
        for path in &changes.written {
            let known = self.table.by_path(path);
            match known.and_then(|no| Some((no, self.table.get(no)?))) {
                // Whatever befell its name would have been told as well; its next turn looks at the file itself.
                Some((no, tail)) if tail.is_at_hand() && tail.path == *path => self.table.queue(no),
                None if !self.patterns.matches(path) && !self.links.contains_key(path) => {}
                Some(_) | None => self.look_through_links(path, now),
            }
        }
    }

    /// A file may have been made, written and renamed so fast that it was never seen under the name that matches.
    fn look_at_renamed(&mut self, renames: &[(PathBuf, PathBuf)], now: Instant) {
        let mut origins: HashMap<&Path, &Path> = HashMap::new();
        for (from, to) in renames {
            let origin = origins.remove(from.as_path()).unwrap_or(from);
            origins.insert(to, origin);
        }
        for (path, origin) in origins {
            let Ok(metadata) = fs::metadata(path) else { continue };
            let is_known = self.table.by_key(FileKey::of(&metadata)).is_some();
            if is_known || !metadata.is_file() || !self.patterns.matches(origin) {
                continue;
            }
            self.find_new(path, FileKey::of(&metadata), metadata.len(), now);
            if let Some(tail) = self.table.by_path(path).and_then(|no| self.table.get_mut(no)) {
                (tail.name, tail.origin) = (Name::Rotated, Some(origin.to_owned()));
            }
        }
    }

    fn look_through_links(&mut self, path: &Path, now: Instant) {
        self.look(path, now);
        if let Some(link) = self.links.get(path).cloned() {
            self.look(&link, now);
        }
    }

    /// Walks the patterns, and looks at every file that is there, and at every one that was.
    pub(super) fn walk(&mut self, now: Instant) {
        let walk = self.walk_watched();
        for (dir, error) in &walk.failed {
            self.intake().metrics.error("walk");
            if self.refused.insert(dir.clone()) {
                warn!(dir = %dir.display(), %error, "cannot read directory; it is tried again");
            }
        }
        for dir in &walk.dirs {
            self.refused.remove(dir);
        }
        self.links.clear();
        for link in &walk.links {
            self.learn_link(link);
        }
        for path in &walk.files {
            self.look(path, now);
        }
        let known = self.table.paths().filter(|path| !walk.files.contains(*path)).cloned();
        for path in known.collect::<Vec<_>>() {
            self.look(&path, now);
        }
        let done = Instant::now();
        let took = done.duration_since(now);
        self.soonest_walk = done.checked_add(took.saturating_mul(10)).unwrap_or(done);
        let pause = self.source.config.rescan;
        let pause =
            if self.watch.works() { pause } else { pause.min(WITHOUT_INOTIFY.max(took.saturating_mul(50))) };
        self.next_walk = done.checked_add(pause).unwrap_or(done);
    }

    /// Walks until every directory that was walked had been watched before: what appears later is told.
    fn walk_watched(&mut self) -> Walk {
        let mut walk = self.patterns.walk();
        for _ in 0..MOST_WALKS {
            let added = walk.dirs.iter().filter(|dir| self.watch.add(dir)).count();
            if added == 0 {
                break;
            }
            walk = self.patterns.walk();
        }
        walk
    }

    fn learn_link(&mut self, link: &Path) {
        let Ok(real) = fs::canonicalize(link) else { return };
        if let Some(dir) = real.parent() {
            self.watch.add(dir);
        }
        self.links.insert(real, link.to_owned());
    }

    /// Finds out what a path leads to now.
    pub(super) fn look(&mut self, path: &Path, now: Instant) {
        let before = self.table.by_path(path);
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_file() => self.look_at_file(path, &metadata, before, now),
            Ok(_) => self.lose_name(path, before),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.lose_name(path, before),
            // Not to be seen is not gone.
            Err(_) => self.intake().metrics.error("look"),
        }
    }

    fn look_at_file(&mut self, path: &Path, metadata: &Metadata, before: Option<FileNo>, now: Instant) {
        let key = FileKey::of(metadata);
        let known = self.table.by_key(key);
        if before.is_some() && before != known {
            self.lose_name(path, before);
        }
        match known {
            Some(no) => {
                self.find_again(no, path, now);
                self.note(no, metadata, now);
            }
            None if self.patterns.matches(path) => self.find_new(path, key, metadata.len(), now),
            None => {}
        }
    }

    fn note(&mut self, no: FileNo, metadata: &Metadata, now: Instant) {
        let Some(tail) = self.table.get_mut(no) else { return };
        // A smaller size is for the next turn to see, beside what was not read.
        if metadata.len() > tail.size {
            tail.seen(metadata.len(), now);
        }
        // It may have been emptied and refilled to the size it had.
        if tail.progress().is_none()
            || metadata.len() != tail.size
            || tail.unread() > 0
            || tail.is_modified(metadata)
        {
            self.table.queue(no);
            self.pin(no, now);
        }
    }

    /// Opens a file that has something to read while there is room, so that it can be read even if it is deleted before
    /// its turn.
    fn pin(&mut self, no: FileNo, now: Instant) {
        let Some(tail) = self.table.get(no) else { return };
        let is_at_risk = tail.unread() > 0 && tail.content.is_none() && tail.failures == 0;
        if is_at_risk && !tail.is_named_gzip() && self.table.open() < self.source.config.max_open {
            self.open(no, now);
        }
    }

    fn find_new(&mut self, path: &Path, key: FileKey, size: u64, now: Instant) {
        // By inode first: paths are long, and alike.
        let is_known = |table: &Table| {
            table.departed.iter().any(|departed| departed.key == key)
                || table.departed.iter().any(|departed| departed.path == path)
        };
        let mut tail = Tail::new(path.to_owned(), key, size, now);
        tail.start = self.start_of_new(size, || is_known(&self.table));
        tail.is_late = self.started;
        let no = self.table.insert(tail);
        if self.started && path.is_symlink() {
            self.learn_link(path);
        }
        self.table.queue(no);
        self.pin(no, now);
    }

    /// A known file was found under a path, maybe another than before.
    fn find_again(&mut self, no: FileNo, path: &Path, now: Instant) {
        self.table.name(path, no);
        let Some(tail) = self.table.get(no) else { return };
        if tail.path == path && tail.name != Name::Gone {
            return;
        }
        // A second link to it, or its real path beside a symbolic link.
        let is_other_name = tail.name != Name::Gone && leads_to(&tail.path, tail.key);
        if !is_other_name {
            self.rename(no, path, now);
        }
    }

    pub(super) fn rename(&mut self, no: FileNo, path: &Path, now: Instant) {
        let wanted = self.patterns.matches(path);
        let Some(tail) = self.table.get_mut(no) else { return };
        let old = std::mem::replace(&mut tail.path, path.to_owned());
        tail.renamed(Name::Rotated, now);
        tail.wanted |= wanted;
        if let Some(progress) = tail.progress() {
            progress.owner.account.moved(tail.place());
        }
        if self.table.by_path(&old) == Some(no) {
            self.table.unname(&old);
        }
        self.table.name(path, no);
        self.table.queue(no);
    }

    /// A path does not lead to the file that it led to.
    fn lose_name(&mut self, path: &Path, before: Option<FileNo>) {
        self.table.unname(path);
        let Some(no) = before else { return };
        let Some(tail) = self.table.get(no) else { return };
        let is_named = tail.path != path && leads_to(&tail.path, tail.key);
        if !is_named && tail.name != Name::Gone {
            self.nameless.push(no);
        }
    }
}

/// Whether a path leads to this inode.
pub(super) fn leads_to(path: &Path, key: FileKey) -> bool {
    fs::metadata(path).is_ok_and(|metadata| FileKey::of(&metadata) == key)
}

/// Where directories come faster than they can be walked, the events of those above them tell.
const MOST_WALKS: usize = 8;

/// How often files are looked at where nobody tells of changes.
const WITHOUT_INOTIFY: Duration = Duration::from_millis(if cfg!(test) { 50 } else { 1000 });
