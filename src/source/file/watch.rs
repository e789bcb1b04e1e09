//! What inotify says has changed.
//!
//! The kernel keeps the queue, and it is read when there is time to look at what changed: many events with one call, while nothing
//! of ours wakes for each of them.

use std::collections::{HashMap, HashSet};
use std::ffi::{CStr, CString, OsStr};
use std::fs;
use std::future;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use tokio::net::unix::pipe;
use tracing::warn;

use super::identity::FileKey;

/// Watches directories. Without inotify it reports nothing, and says that it cannot.
pub(super) struct DirWatcher {
    queue: Option<OwnedFd>,
    /// Where events are read into.
    space: Box<[MaybeUninit<u8>]>,
    dirs: WatchedDirs,
    changes: FileChanges,
    /// Files that were written to, by the directory's descriptor.
    written: HashMap<i32, HashSet<CString>>,
}

/// Paths that something happened to.
#[derive(Debug, Default)]
pub(super) struct FileChanges {
    /// Names that came, went or changed their permissions.
    pub(super) names: HashSet<PathBuf>,
    /// Renames, in order: the old name, and the new one.
    pub(super) renames: Vec<(PathBuf, PathBuf)>,
    /// Files that were written to, each once, of which nothing else is told.
    pub(super) written: Vec<PathBuf>,
    /// Whether some changes were not told, so that everything has to be looked at.
    pub(super) overflow: bool,
    /// A rename of which only the old name was told so far, with the number that both halves carry.
    half: Option<(u32, PathBuf)>,
}

/// Watched directories.
#[derive(Default)]
struct WatchedDirs {
    /// By path: the inode that is watched under it, if it still is, and the watch.
    by_path: HashMap<PathBuf, (Option<FileKey>, i32)>,
    /// The paths of a directory that is watched; where links lead to it, it has several.
    by_watch: HashMap<i32, Vec<PathBuf>>,
}

impl DirWatcher {
    /// Starts watching nothing.
    pub(super) fn start() -> Self {
        let queue = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC);
        let queue = queue.inspect_err(|error| say_unavailable(&(*error).into())).ok();
        Self { queue, space: Box::new_uninit_slice(SPACE), ..Self::blind() }
    }

    /// A watch that sees nothing, as where there is no inotify.
    pub(super) fn blind() -> Self {
        Self {
            queue: None,
            space: Box::default(),
            dirs: WatchedDirs::default(),
            changes: FileChanges::default(),
            written: HashMap::new(),
        }
    }

    /// Whether changes are told; otherwise files have to be looked at from time to time.
    pub(super) const fn works(&self) -> bool {
        self.queue.is_some()
    }

    /// Watches a directory, unless it is watched already. Whether it was not.
    pub(super) fn add(&mut self, dir: &Path) -> bool {
        let Some(queue) = &self.queue else { return false };
        let Ok(metadata) = fs::metadata(dir) else { return false };
        let key = FileKey::of(&metadata);
        if self.dirs.by_path.get(dir).is_some_and(|(known, _)| *known == Some(key)) {
            return false;
        }
        match inotify::add_watch(queue, dir, watched()) {
            Ok(watch) => {
                if let Some(nobodys) = self.dirs.add(dir, key, watch) {
                    inotify::remove_watch(queue, nobodys).ok();
                }
                return true;
            }
            // It may have gone since; the next walk sees.
            Err(_) if !dir.is_dir() => {}
            Err(error) => {
                say_unavailable(&error.into());
                self.queue = None;
            }
        }
        false
    }

    /// Forgets a directory that is gone or was renamed. Whether it was one.
    pub(super) fn remove(&mut self, dir: &Path) -> bool {
        let Some((_, watch)) = self.dirs.by_path.remove(dir) else { return false };
        // Under another name it may be watched still, by the same watch.
        if self.dirs.leave(watch, dir)
            && let Some(queue) = &self.queue
        {
            // The kernel has dropped the watch by itself when the directory is gone, which is an error here.
            inotify::remove_watch(queue, watch).ok();
        }
        true
    }

    /// Whether there is something to take.
    pub(super) fn has_changed(&mut self) -> bool {
        self.read();
        !self.written.is_empty() || self.changes.has_names()
    }

    /// Whether there is more to take than files that were written to.
    pub(super) fn has_new_names(&mut self) -> bool {
        self.read();
        self.changes.has_names()
    }

    /// Takes what has changed since the last call.
    pub(super) fn take(&mut self) -> FileChanges {
        self.read();
        let mut changes = std::mem::take(&mut self.changes);
        for (watch, names) in self.written.drain() {
            for dir in self.dirs.by_watch.get(&watch).into_iter().flatten() {
                let paths = names.iter().map(|name| dir.join(as_name(name)));
                changes.written.extend(paths.filter(|path| !changes.names.contains(path)));
            }
        }
        changes
    }

    /// Resolves when there is something to take. Cancel-safe.
    pub(super) async fn changed(&mut self) {
        while !self.has_changed() {
            let Some(queue) = &self.queue else { return future::pending().await };
            // A queue of events becomes readable as a pipe does. Made for this wait alone: at other times events wake nobody.
            let wait = queue.try_clone().and_then(pipe::Receiver::from_owned_fd_unchecked);
            let Ok(wait) = wait else {
                // Without a descriptor for it, it is looked at from time to time.
                tokio::time::sleep(WITHOUT_DESCRIPTOR).await;
                continue;
            };
            if let Err(error) = wait.readable().await {
                say_unavailable(&error);
                self.queue = None;
            }
        }
    }

    /// Reads the kernel's queue.
    fn read(&mut self) {
        let Some(queue) = &self.queue else { return };
        let mut events = Reader::new(queue, &mut self.space);
        loop {
            match events.next() {
                Ok(event) if event.events() == ReadFlags::MODIFY => {
                    note_written(&mut self.written, event.wd(), event.file_name());
                }
                Ok(event) => self.changes.add(&event, &mut self.dirs),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => {
                    self.changes.overflow = true;
                    break;
                }
            }
        }
        let written: usize = self.written.values().map(HashSet::len).sum();
        if written.saturating_add(self.changes.len()) > MOST_PATHS {
            self.written.clear();
            self.changes = FileChanges { overflow: true, ..FileChanges::default() };
        }
    }
}

/// Notes that a file was written to. Most events are of this kind, and most of a file that is noted already.
fn note_written(written: &mut HashMap<i32, HashSet<CString>>, watch: i32, name: Option<&CStr>) {
    let names = written.entry(watch).or_default();
    if let Some(name) = name
        && !names.contains(name)
    {
        names.insert(name.to_owned());
    }
}

impl FileChanges {
    fn add(&mut self, event: &inotify::Event<'_>, dirs: &mut WatchedDirs) {
        let kind = event.events();
        if kind.contains(ReadFlags::QUEUE_OVERFLOW) {
            self.overflow = true;
            return;
        }
        if kind.contains(ReadFlags::IGNORED) {
            return dirs.dropped(event.wd());
        }
        let Some(paths) = dirs.by_watch.get(&event.wd()) else { return };
        for (index, dir) in paths.iter().enumerate() {
            let path = event.file_name().map_or_else(|| dir.clone(), |name| dir.join(as_name(name)));
            // One of its paths is enough to know what a rename made of a file.
            if index == 0 {
                self.note_rename(kind, event.cookie(), &path);
            }
            self.names.insert(path);
        }
    }

    fn note_rename(&mut self, kind: ReadFlags, cookie: u32, path: &Path) {
        if kind.contains(ReadFlags::MOVED_FROM) {
            self.half = Some((cookie, path.to_owned()));
        } else if kind.contains(ReadFlags::MOVED_TO)
            && let Some((_, from)) = self.half.take_if(|(of, _)| *of == cookie)
        {
            self.renames.push((from, path.to_owned()));
        }
    }

    fn has_names(&self) -> bool {
        !self.names.is_empty() || self.overflow
    }

    fn len(&self) -> usize {
        self.names.len().saturating_add(self.renames.len())
    }
}

impl WatchedDirs {
    /// A directory is watched under this path, whatever was watched under it before. The watch that is of no use any more.
    fn add(&mut self, dir: &Path, key: FileKey, watch: i32) -> Option<i32> {
        let before = self.by_path.insert(dir.to_owned(), (Some(key), watch));
        let before = before.map(|(_, watch)| watch).filter(|before| *before != watch);
        let nobodys = before.filter(|before| self.leave(*before, dir));
        let paths = self.by_watch.entry(watch).or_default();
        if !paths.iter().any(|path| path == dir) {
            paths.push(dir.to_owned());
        }
        nobodys
    }

    /// A watched directory loses one of its paths. Whether that was the last one.
    fn leave(&mut self, watch: i32, dir: &Path) -> bool {
        let Some(paths) = self.by_watch.get_mut(&watch) else { return false };
        let before = paths.len();
        paths.retain(|path| path != dir);
        let is_last = paths.is_empty() && before > 0;
        if is_last {
            self.by_watch.remove(&watch);
        }
        is_last
    }

    /// The kernel watches this no longer.
    fn dropped(&mut self, watch: i32) {
        for path in self.by_watch.remove(&watch).unwrap_or_default() {
            if let Some((key, current)) = self.by_path.get_mut(&path)
                && *current == watch
            {
                *key = None;
            }
        }
    }
}

/// What is watched for. Opening and closing is not: reading does that as well.
fn watched() -> WatchFlags {
    WatchFlags::MODIFY
        | WatchFlags::ATTRIB
        | WatchFlags::CREATE
        | WatchFlags::DELETE
        | WatchFlags::MOVED_FROM
        | WatchFlags::MOVED_TO
        | WatchFlags::DELETE_SELF
        | WatchFlags::MOVE_SELF
}

fn as_name(name: &CStr) -> &OsStr {
    OsStr::from_bytes(name.to_bytes())
}

fn say_unavailable(error: &io::Error) {
    let advice = match Errno::from_io_error(error) {
        Some(Errno::NOSPC) => "raise fs.inotify.max_user_watches",
        Some(Errno::MFILE) => {
            "raise fs.inotify.max_user_instances, or the limit of open descriptors (`LimitNOFILE`)"
        }
        _ => "see to what the host allows",
    };
    warn!(%error, "inotify is not available; checking files every second instead. {advice}");
}

/// How long to wait where nothing can be waited for.
const WITHOUT_DESCRIPTOR: Duration = Duration::from_millis(100);

/// Room for some two thousand events.
const SPACE: usize = 64 * 1024;

/// More are not kept; a walk finds them.
const MOST_PATHS: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    /// A watched directory, and what happens in it.
    struct WatchedWorld {
        dir: tempfile::TempDir,
        watch: DirWatcher,
    }

    impl WatchedWorld {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let mut watch = DirWatcher::start();
            assert!(watch.add(dir.path()) && !watch.add(dir.path()));
            Self { dir, watch }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn write(&self, name: &str) -> &Self {
            fs::write(self.path(name), "text").unwrap();
            self
        }

        fn rename(&self, from: &str, to: &str) -> &Self {
            fs::rename(self.path(from), self.path(to)).unwrap();
            self
        }

        fn names(&self, names: &[&str]) -> HashSet<PathBuf> {
            names.iter().map(|name| self.path(name)).collect()
        }
    }

    #[test]
    fn a_file_that_is_written_to_is_told_once_however_often() {
        let mut world = WatchedWorld::new();
        world.write("a").write("b");
        world.watch.take();
        assert!(!world.watch.has_changed());
        for _ in 0..3 {
            world.write("a").write("b");
        }
        assert!(world.watch.has_changed() && !world.watch.has_new_names());
        let changes = world.watch.take();
        assert_eq!((changes.written.len(), changes.names.len()), (2, 0));
        assert_eq!(changes.written.into_iter().collect::<HashSet<_>>(), world.names(&["a", "b"]));
        assert!(!world.watch.has_changed(), "it is told once");
    }

    #[test]
    fn reading_a_file_is_not_a_change() {
        let mut world = WatchedWorld::new();
        world.write("a");
        world.watch.take();
        fs::read(world.path("a")).unwrap();
        assert!(!world.watch.has_changed());
    }

    #[test]
    fn a_rename_is_told_with_both_names() {
        let mut world = WatchedWorld::new();
        world.write("a");
        world.watch.take();
        world.rename("a", "b").rename("b", "c");
        assert!(world.watch.has_new_names());
        let changes = world.watch.take();
        assert_eq!(changes.names, world.names(&["a", "b", "c"]));
        let path = |name| world.path(name);
        assert_eq!(changes.renames, [(path("a"), path("b")), (path("b"), path("c"))]);
    }

    #[test]
    fn a_file_that_came_and_was_written_to_is_told_as_a_name_alone() {
        let mut world = WatchedWorld::new();
        world.write("a");
        let changes = world.watch.take();
        assert_eq!((changes.names, changes.written), (world.names(&["a"]), Vec::new()));
    }

    #[test]
    fn a_directory_that_went_and_came_back_is_watched_again() {
        let mut world = WatchedWorld::new();
        let sub = world.path("sub");
        for _ in 0..3 {
            fs::create_dir(&sub).unwrap();
            world.watch.take();
            assert!(world.watch.add(&sub));
            fs::write(sub.join("x"), "text").unwrap();
            assert!(world.watch.take().names.contains(&sub.join("x")));
            fs::remove_dir_all(&sub).unwrap();
            assert!(world.watch.take().names.contains(&sub));
            assert!(world.watch.remove(&sub) && !world.watch.remove(&sub));
        }
    }

    #[test]
    fn a_directory_under_a_new_name_stays_watched_when_the_old_name_is_forgotten() {
        let mut world = WatchedWorld::new();
        fs::create_dir(world.path("old")).unwrap();
        assert!(world.watch.add(&world.path("old")));
        world.rename("old", "new");
        assert!(world.watch.add(&world.path("new")));
        assert!(world.watch.remove(&world.path("old")));
        world.watch.take();
        world.write("new/x");
        assert!(world.watch.take().names.contains(&world.path("new/x")));
    }

    #[test]
    fn a_directory_with_two_paths_is_told_of_under_both_until_one_leads_elsewhere() {
        let mut world = WatchedWorld::new();
        for dir in ["one", "two"] {
            fs::create_dir(world.path(dir)).unwrap();
        }
        std::os::unix::fs::symlink("one", world.path("now")).unwrap();
        assert!(world.watch.add(&world.path("now")) && world.watch.add(&world.path("one")));
        world.watch.take();
        world.write("one/x");
        assert_eq!(world.watch.take().names, world.names(&["now/x", "one/x"]));
        fs::remove_file(world.path("now")).unwrap();
        std::os::unix::fs::symlink("two", world.path("now")).unwrap();
        assert!(world.watch.add(&world.path("now")));
        world.watch.take();
        world.write("one/y").write("two/z");
        assert_eq!(world.watch.take().names, world.names(&["one/y", "now/z"]));
    }

    #[test]
    fn more_changes_than_are_kept_ask_for_a_walk() {
        let mut world = WatchedWorld::new();
        for number in 0..=MOST_PATHS {
            world.watch.changes.names.insert(format!("/{number}").into());
        }
        let changes = world.watch.take();
        assert!(changes.overflow && changes.names.is_empty());
    }

    #[tokio::test]
    async fn who_waits_is_woken_by_a_change() {
        let mut world = WatchedWorld::new();
        let path = world.path("a");
        let writer = tokio::task::spawn_blocking(move || fs::write(path, "text").unwrap());
        world.watch.changed().await;
        writer.await.unwrap();
        assert!(world.watch.take().names.contains(&world.path("a")));
    }
}
