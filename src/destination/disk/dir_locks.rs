//! Who has which directory of a sink's disk buffer: a destination that is closed and opened again waits for its former task.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Semaphore;

/// The directories in use.
#[derive(Debug, Default)]
pub(crate) struct DirLocks {
    /// The lock covers a look-up.
    by_dir: Mutex<BTreeMap<PathBuf, Weak<Semaphore>>>,
}

impl DirLocks {
    /// A semaphore with one permit, for whoever has the directory.
    pub(crate) fn of(&self, dir: &Path) -> Arc<Semaphore> {
        let mut by_dir = self.by_dir.lock().unwrap_or_else(PoisonError::into_inner);
        by_dir.retain(|_, lock| lock.strong_count() > 0);
        let known = by_dir.get(dir).and_then(Weak::upgrade);
        let lock = known.unwrap_or_else(|| Arc::new(Semaphore::new(1)));
        by_dir.insert(dir.to_owned(), Arc::downgrade(&lock));
        lock
    }
}
