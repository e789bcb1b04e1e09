//! From names to files: what is new, what was renamed, what lost its name.

use std::collections::HashMap;
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::account::AccountHandle;
use super::descriptors::is_exhausted;
use super::file_issues::FileIssues;
use super::globs::{PatternWalk, Patterns};
use super::identity::{FileKey, FileTime};
use super::links::{PathResolver, ResolvedPath, UnresolvedPath};
use super::listing::leads_to;
use super::old::{OldFiles, is_too_old};
use super::opening::{self, OpenOutcome};
use super::setup::FileSetup;
use super::table::{FileNo, FileTable};
use super::tracked::{NameState, TrackedFile};
use super::watch::{DirWatcher, FileChanges};
use crate::config::Start;
use crate::source::SourceError;

/// Finds files by patterns, inotify and walks, and keeps the table's names true.
pub(super) struct Discovery {
    setup: Arc<FileSetup>,
    patterns: Patterns,
    pub(super) watcher: DirWatcher,
    paths: PathResolver,
    /// Where symbolic links lead to, and the links.
    links: HashMap<PathBuf, PathBuf>,
    issues: FileIssues,
    /// Files that are not read.
    old: OldFiles,
    /// Whether what was there at the start is known.
    is_started: bool,
    /// When changes were last taken in, and the time before.
    looked: FileTime,
    looked_before: FileTime,
    next_walk: Instant,
    /// The next walk may not be before, however much happens.
    soonest_walk: Instant,
}

impl Discovery {
    pub(super) fn new(setup: Arc<FileSetup>, watcher: DirWatcher) -> Result<Self, SourceError> {
        let now = Instant::now();
        Ok(Self {
            patterns: Patterns::new(&setup.config.include, &setup.config.exclude)?,
            paths: PathResolver::new(setup.config.follow_links),
            issues: FileIssues::new(Arc::clone(&setup)),
            old: OldFiles::default(),
            setup,
            watcher,
            links: HashMap::new(),
            is_started: false,
            looked: FileTime::now(),
            looked_before: FileTime::now(),
            next_walk: now,
            soonest_walk: now,
        })
    }

    /// Says that what was there at the start is known: what is found from now on may be a copy made while standpipe runs.
    pub(super) fn set_started(&mut self, files: &mut FileTable) {
        self.is_started = true;
        files.gone.forget_names();
        let empty =
            files.iter().filter(|(_, file)| file.size == 0 && file.wanted && file.account().is_none());
        let ids: Vec<_> = empty.map(|(no, file)| (no, files.content_id(&self.setup, file))).collect();
        for (no, id) in ids {
            let Some(file) = files.get_mut(no) else { continue };
            let account = AccountHandle::unread(&self.setup, file.location(), file.origin(), id);
            file.unread_account = Some(account);
        }
    }

    pub(super) const fn next_walk(&self) -> Instant {
        self.next_walk
    }

    /// Whether a path belongs to the source.
    pub(super) fn matches(&self, path: &Path) -> bool {
        self.patterns.matches(path)
    }

    /// Whether a file's name belongs to the source.
    pub(super) fn is_one_of_ours(&self, files: &FileTable, no: FileNo) -> bool {
        files.get(no).is_some_and(|file| self.matches(&file.path))
    }

    /// When it was last seen which names there were: a name that is lost now was there then.
    pub(super) const fn looked(&self) -> FileTime {
        self.looked_before.surely_before()
    }

    /// Takes in what changed since the last time. Whether that took a walk.
    pub(super) fn discover(&mut self, files: &mut FileTable, now: Instant) -> bool {
        (self.looked_before, self.looked) = (self.looked, FileTime::now());
        let changes = self.watcher.take();
        let walk_due = now >= self.next_walk || changes.overflow;
        self.apply_changes(files, &changes);
        let walks = walk_due && !self.setup.once;
        if walks {
            self.walk(files, now);
        }
        walks
    }

    /// Walks the patterns, and looks at every file that is there, and at every one that was.
    pub(super) fn walk(&mut self, files: &mut FileTable, now: Instant) {
        let mut walk = self.walk_watched();
        if walk.failed.iter().any(|(_, error)| is_exhausted(error)) {
            // Files that were read give way.
            while files.close_one() {}
            walk = self.walk_watched();
        }
        if !self.is_started {
            self.issues.introduce(&walk);
        }
        self.issues.walked(&walk);
        self.links.clear();
        for link in &walk.links {
            self.learn_link(link);
        }
        for path in &walk.files {
            self.resolve(files, path, now);
        }
        let known = files.paths().filter(|path| !walk.has_file(path)).cloned();
        for path in known.collect::<Vec<_>>() {
            self.resolve(files, &path, now);
        }
        self.old.walked(&self.setup);
        let done = Instant::now();
        let took = done.duration_since(now);
        self.soonest_walk = done.checked_add(took.saturating_mul(10)).unwrap_or(done);
        let rescan = self.setup.config.rescan;
        let pause = if self.watcher.works() {
            // What inotify does not miss is not worth more than a hundredth of a core.
            rescan.max(took.saturating_mul(100))
        } else {
            rescan.min(WITHOUT_INOTIFY.max(took.saturating_mul(50)))
        };
        self.next_walk = done.checked_add(pause).unwrap_or(done);
    }

    /// Opens a file unless it is open; where its path leads elsewhere, finds out where to.
    pub(super) fn open(&mut self, files: &mut FileTable, no: FileNo, now: Instant) -> OpenOutcome {
        let outcome = opening::open(&self.setup, files, no, now);
        if let OpenOutcome::NameLost(path) = &outcome {
            self.resolve(files, path, now);
        }
        outcome
    }

    /// A file has another name.
    pub(super) fn rename(&self, files: &mut FileTable, no: FileNo, path: &Path, now: Instant) {
        let wanted = self.matches(path);
        let Some(file) = files.get_mut(no) else { return };
        let old = std::mem::replace(&mut file.path, path.to_owned());
        file.real = self.real_path(path);
        file.renamed(NameState::Rotated, now);
        file.wanted |= wanted;
        if let Some(account) = file.account() {
            account.moved(file.location());
        }
        if files.by_path(&old) == Some(no) {
            files.unname(&old);
        }
        files.name(path, no);
        files.queue(no);
    }

    /// Looks at everything that inotify named.
    fn apply_changes(&mut self, files: &mut FileTable, changes: &FileChanges) {
        let now = Instant::now();
        for path in &changes.names {
            let is_dir = self.watcher.remove(path) || path.is_dir();
            if is_dir {
                // Files may be in it already.
                self.next_walk = self.next_walk.min(self.soonest_walk);
            }
            self.resolve_with_link(files, path, now);
        }
        self.apply_renames(files, &changes.renames, now);
        for path in &changes.written {
            let known = files.by_path(path);
            match known.and_then(|no| Some((no, files.get(no)?))) {
                // Whatever befell its name would have been told as well; whoever reads it looks at the file itself.
                Some((no, file)) if file.is_at_hand() && file.path == *path => files.queue(no),
                None if !self.matches(path) && !self.links.contains_key(path) => {}
                Some(_) | None => self.resolve_with_link(files, path, now),
            }
        }
    }

    /// A file may have been made, written and renamed so fast that it was never seen under the name that matches.
    fn apply_renames(&mut self, files: &mut FileTable, renames: &[(PathBuf, PathBuf)], now: Instant) {
        let mut origins: HashMap<&Path, &Path> = HashMap::new();
        for (from, to) in renames {
            let origin = origins.remove(from.as_path()).unwrap_or(from);
            origins.insert(to, origin);
        }
        for (path, origin) in origins {
            let Ok(found) = self.paths.resolve(path) else { continue };
            let is_known = files.by_key(FileKey::of(&found.metadata)).is_some();
            if is_known || !found.metadata.is_file() || !self.matches(origin) {
                continue;
            }
            self.find_new(files, path, &found, now);
            if let Some(file) = files.by_path(path).and_then(|no| files.get_mut(no)) {
                (file.name, file.origin) = (NameState::Rotated, Some(origin.to_owned()));
                if let Some(account) = &file.unread_account {
                    account.named(file.origin());
                }
            }
        }
    }

    fn resolve_with_link(&mut self, files: &mut FileTable, path: &Path, now: Instant) {
        self.resolve(files, path, now);
        if let Some(link) = self.links.get(path).cloned() {
            self.resolve(files, &link, now);
        }
    }

    /// Walks until every directory that was walked had been watched before: what appears later is told.
    fn walk_watched(&mut self) -> PatternWalk {
        let mut walk = self.patterns.walk(&mut self.paths);
        for _ in 0..MOST_WALKS {
            let mut added = walk.dirs.iter().filter(|dir| self.watcher.add(dir)).count();
            // Where links lead to other folders by now is told in the folders that the links are in.
            for (_, real) in self.paths.linked_dirs() {
                added = added.saturating_add(usize::from(self.watcher.add(real)));
            }
            for dir in self.paths.dirs_of_links() {
                self.watcher.add(dir);
            }
            if added == 0 {
                break;
            }
            walk = self.patterns.walk(&mut self.paths);
        }
        walk
    }

    fn learn_link(&mut self, link: &Path) {
        let Some(real) = self.real_path(link) else { return };
        if let Some(dir) = real.parent() {
            self.watcher.add(dir);
        }
        self.links.insert(real, link.to_owned());
    }

    /// Finds out what a path leads to now.
    fn resolve(&mut self, files: &mut FileTable, path: &Path, now: Instant) {
        let found = match self.paths.resolve(path) {
            Ok(found) => Some(found).filter(|found| found.metadata.is_file()),
            Err(UnresolvedPath::Io(error)) if is_absent(&error) => None,
            Err(UnresolvedPath::Io(error)) => return self.issues.cannot_look(path, &error),
            Err(why) => {
                if self.matches(path) {
                    self.issues.refuse(path, &why);
                }
                return lose_name(files, path);
            }
        };
        self.issues.settle(path);
        match found {
            Some(found) => self.resolve_file(files, path, &found, now),
            None => lose_name(files, path),
        }
    }

    /// The path without links, where that is another one.
    fn real_path(&self, path: &Path) -> Option<PathBuf> {
        self.paths.resolve(path).ok()?.real
    }

    fn resolve_file(&mut self, files: &mut FileTable, path: &Path, found: &ResolvedPath, now: Instant) {
        let metadata = &found.metadata;
        let known = files.by_key(FileKey::of(metadata));
        let before = files.by_path(path);
        if before.is_some() && before != known {
            lose_name(files, path);
        }
        match known {
            Some(no) => {
                self.find_again(files, no, path, found, now);
                self.note_size(files, no, metadata, now);
            }
            None if self.matches(path) => self.find_new(files, path, found, now),
            None => {}
        }
    }

    fn note_size(&mut self, files: &mut FileTable, no: FileNo, metadata: &Metadata, now: Instant) {
        let Some(file) = files.get_mut(no) else { return };
        // A smaller size is for whoever reads it to see, beside what was not read.
        if metadata.len() > file.size {
            file.seen(metadata.len(), now);
        }
        // It may have been emptied and refilled to the size it had.
        if file.progress().is_none()
            || metadata.len() != file.size
            || file.unread() > 0
            || file.is_modified(metadata)
        {
            files.queue(no);
            self.open_at_risk(files, no, now);
        }
    }

    /// Opens a file that has something to read, or may soon have, while there is room: so it can be read even if it is deleted
    /// before its turn.
    fn open_at_risk(&mut self, files: &mut FileTable, no: FileNo, now: Instant) {
        let Some(file) = files.get(no) else { return };
        let has_bytes = file.unread() > 0 || file.progress().is_none();
        let is_at_risk = has_bytes && file.content.is_none() && file.failures == 0;
        if is_at_risk && !file.is_named_compressed() && files.open() < self.setup.descriptors.most() {
            // Should its path lead elsewhere by now, that is found out at its turn.
            opening::open(&self.setup, files, no, now);
        }
    }

    fn find_new(&mut self, files: &mut FileTable, path: &Path, found: &ResolvedPath, now: Instant) {
        if self.passes_over(files, path, &found.metadata) {
            return;
        }
        let (key, size) = (FileKey::of(&found.metadata), found.metadata.len());
        let mut file = TrackedFile::new(path.to_owned(), key, size, now);
        file.real.clone_from(&found.real);
        file.born = FileTime::born(&found.metadata);
        file.start = self.start_of_new(files, &file);
        file.is_late = self.is_started;
        if self.is_started {
            let id = files.content_id(&self.setup, &file);
            let account = AccountHandle::unread(&self.setup, file.location(), file.origin(), id);
            file.unread_account = Some(account);
        }
        let no = files.insert(file);
        if self.is_started && found.is_link {
            self.learn_link(path);
        }
        if !self.is_started && files.gone.of_key(key).any(|(_, gone)| gone.mark.offset == size) {
            // It seems that nothing came into it while standpipe was down.
            return files.queue_last(no);
        }
        files.queue(no);
        self.open_at_risk(files, no, now);
    }

    /// Whether a file is not read, since nothing is known of it and it is too old.
    fn passes_over(&mut self, files: &FileTable, path: &Path, metadata: &Metadata) -> bool {
        let (age, key) = (self.setup.config.ignore_older, FileKey::of(metadata));
        let is_known = || files.gone.of_key(key).next().is_some();
        if !is_too_old(age, metadata, FileTime::now()) || is_known() {
            return false;
        }
        let size_at_start = (!self.is_started).then_some(metadata.len());
        self.old.pass_over(&self.setup, path, metadata, size_at_start);
        true
    }

    /// Where a file is read from if nothing is known of it.
    fn start_of_new(&mut self, files: &FileTable, file: &TrackedFile) -> u64 {
        let size_at_start = self.old.admit(file.key, file.born, file.size);
        // What has the name that a known file had takes its place.
        let was_known = || files.gone.knows(file.key, &file.path);
        match self.setup.config.start {
            // A file that comes into being while it is watched for, or takes another's place, is new from its first byte.
            Start::End if !self.is_started && !was_known() => file.size,
            // What was in it at the start is left out, whenever something is added.
            Start::End => size_at_start.unwrap_or(0),
            Start::Beginning => 0,
        }
    }

    /// A known file was found under a path, maybe another than before.
    fn find_again(&self, files: &mut FileTable, no: FileNo, path: &Path, found: &ResolvedPath, now: Instant) {
        if files.by_path(path) != Some(no) {
            files.name(path, no);
        }
        let Some(file) = files.get_mut(no) else { return };
        if file.path == path && file.name != NameState::Gone {
            if file.real != found.real {
                file.real.clone_from(&found.real);
            }
            return;
        }
        // A second link to it, or its real path beside a symbolic link.
        let is_other_name = file.name != NameState::Gone && leads_to(&file.path, file.key);
        if !is_other_name {
            self.rename(files, no, path, now);
        }
    }
}

/// Whether an error says that there is nothing under a path.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// A path does not lead to the file that it led to.
fn lose_name(files: &mut FileTable, path: &Path) {
    let before = files.by_path(path);
    files.unname(path);
    let Some(no) = before else { return };
    let Some(file) = files.get(no) else { return };
    let is_named = file.path != path && leads_to(&file.path, file.key);
    if !is_named && file.name != NameState::Gone {
        files.set_nameless(no);
    }
}

/// Where directories come faster than they can be walked, the events of those above them tell.
const MOST_WALKS: usize = 8;

/// How often files are looked at where nobody tells of changes.
const WITHOUT_INOTIFY: Duration = Duration::from_millis(if cfg!(test) { 50 } else { 1000 });
