//! What inotify says has changed.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use notify::event::{EventKind, ModifyKind, RenameMode};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tracing::warn;

use super::identity::FileKey;

/// Watches directories. Without inotify it reports nothing, and says that it cannot.
pub(super) struct Watch {
    watcher: Option<RecommendedWatcher>,
    shared: Arc<Shared>,
    /// Watched directories, with the inode that was watched under that name.
    dirs: HashMap<PathBuf, FileKey>,
}

#[derive(Default)]
struct Shared {
    /// The lock covers the addition of a path.
    changes: Mutex<Changes>,
    told: Notify,
    /// Told when it is more than files written to.
    told_of_names: Notify,
}

/// Paths that something happened to.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Names that came, went or changed their permissions.
    pub(super) names: HashSet<PathBuf>,
    /// Renames, in order: the old name, and the new one.
    pub(super) renames: Vec<(PathBuf, PathBuf)>,
    /// Files that were written to.
    pub(super) written: HashSet<PathBuf>,
    /// Whether some changes were not told, so that everything has to be looked at.
    pub(super) overflow: bool,
}

impl Watch {
    /// Starts watching nothing.
    pub(super) fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let teller = Arc::clone(&shared);
        let watcher = notify::recommended_watcher(move |event| teller.tell(event));
        let watcher = watcher.inspect_err(say_unavailable).ok();
        Self { watcher, shared, dirs: HashMap::new() }
    }

    /// A watch that sees nothing, as where there is no inotify.
    pub(super) fn blind() -> Self {
        Self { watcher: None, shared: Arc::default(), dirs: HashMap::new() }
    }

    /// Whether changes are told; otherwise files have to be looked at from time to time.
    pub(super) const fn works(&self) -> bool {
        self.watcher.is_some()
    }

    /// Watches a directory, unless it is watched already. Whether it was not.
    pub(super) fn add(&mut self, dir: &Path) -> bool {
        let Some(watcher) = &mut self.watcher else { return false };
        let Ok(metadata) = fs::metadata(dir) else { return false };
        let key = FileKey::of(&metadata);
        if self.dirs.get(dir) == Some(&key) {
            return false;
        }
        match watcher.watch(dir, RecursiveMode::NonRecursive) {
            Ok(()) => {
                self.dirs.insert(dir.to_owned(), key);
                return true;
            }
            // It may have gone since; the next walk sees.
            Err(_) if !dir.is_dir() => {}
            Err(error) => {
                say_unavailable(&error);
                self.watcher = None;
            }
        }
        false
    }

    /// Forgets a directory that is gone or was renamed. Whether it was one.
    pub(super) fn remove(&mut self, dir: &Path) -> bool {
        let was_watched = self.dirs.remove(dir).is_some();
        if was_watched && let Some(watcher) = &mut self.watcher {
            // The kernel has dropped the watch by itself when the directory is gone, which is an error here.
            watcher.unwatch(dir).ok();
        }
        was_watched
    }

    /// Whether there is something to take.
    pub(super) fn has_changed(&self) -> bool {
        !self.shared.changes.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Takes what has changed since the last call.
    pub(super) fn take(&self) -> Changes {
        let mut changes = self.shared.changes.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *changes)
    }

    /// Resolves when there is something to take.
    pub(super) async fn changed(&self) {
        self.shared.told.notified().await;
    }

    /// Resolves when files came, went or changed their names.
    pub(super) async fn names_changed(&self) {
        self.shared.told_of_names.notified().await;
    }
}

impl Shared {
    fn tell(&self, event: notify::Result<notify::Event>) {
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Ok(event) if !event.need_rescan() => changes.add(event),
            Ok(_) | Err(_) => changes.overflow = true,
        }
        let (is_told, of_names) = (!changes.is_empty(), changes.has_names());
        drop(changes);
        if is_told {
            self.told.notify_one();
        }
        if of_names {
            self.told_of_names.notify_one();
        }
    }
}

impl Changes {
    fn add(&mut self, event: notify::Event) {
        match event.kind {
            EventKind::Modify(ModifyKind::Data(_)) => self.written.extend(event.paths),
            EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => {
                // Both names were told alone before.
                if let Ok([from, to]) = <[PathBuf; 2]>::try_from(event.paths) {
                    self.renames.push((from, to));
                }
            }
            EventKind::Create(_) | EventKind::Remove(_) | EventKind::Modify(_) => {
                self.names.extend(event.paths);
            }
            // Opening and closing, which reading does as well.
            EventKind::Access(_) | EventKind::Any | EventKind::Other => {}
        }
        let paths = self.names.len().saturating_add(self.written.len()).saturating_add(self.renames.len());
        if paths > MOST_PATHS {
            *self = Self { overflow: true, ..Self::default() };
        }
    }

    fn is_empty(&self) -> bool {
        self.written.is_empty() && !self.has_names()
    }

    fn has_names(&self) -> bool {
        !self.names.is_empty() || self.overflow
    }
}

fn say_unavailable(error: &notify::Error) {
    warn!(
        %error,
        "inotify is not available; files are looked at every second instead. raise fs.inotify.max_user_watches \
         or fs.inotify.max_user_instances"
    );
}

/// More are not kept; a walk finds them.
const MOST_PATHS: usize = 65_536;

#[cfg(test)]
mod tests {
    use notify::event::{AccessKind, AccessMode, CreateKind, DataChange, Flag};

    use super::*;

    fn event(kind: EventKind) -> notify::Event {
        notify::Event::new(kind).add_path("/a".into())
    }

    #[test]
    fn reading_a_file_is_not_a_change() {
        let shared = Shared::default();
        shared.tell(Ok(event(EventKind::Access(AccessKind::Open(AccessMode::Any)))));
        assert!(shared.changes.lock().unwrap().is_empty());
        shared.tell(Ok(event(EventKind::Modify(ModifyKind::Data(DataChange::Any)))));
        shared.tell(Ok(event(EventKind::Create(CreateKind::File))));
        let changes = shared.changes.lock().unwrap();
        assert_eq!((changes.names.len(), changes.written.len(), changes.overflow), (1, 1, false));
    }

    #[test]
    fn an_overflow_asks_for_a_walk() {
        let shared = Shared::default();
        shared.tell(Ok(event(EventKind::Other).set_flag(Flag::Rescan)));
        assert!(std::mem::take(&mut *shared.changes.lock().unwrap()).overflow);
        for number in 0..=MOST_PATHS {
            let path = PathBuf::from(format!("/{number}"));
            shared.tell(Ok(notify::Event::new(EventKind::Create(CreateKind::File)).add_path(path)));
        }
        let changes = shared.changes.lock().unwrap();
        assert!(changes.overflow && changes.names.is_empty());
    }
}
