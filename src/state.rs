//! The state directory: private, and of one instance at a time.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tracing::warn;

/// The directory, locked for as long as this value lives.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    _locks: [File; 2],
}

/// The state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It cannot be made or written.
    #[error("cannot use the state directory `{}`: make it writable, or set `state.dir`", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another instance has it.
    #[error("another standpipe runs with the state directory `{}`: stop it, or set another `state.dir`", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
}

impl StateDir {
    /// Makes the directory if need be, for this user alone, and locks it. One that was there keeps its mode.
    ///
    /// # Errors
    /// When that cannot be done, or another process has locked it.
    pub fn lock(path: &Path) -> Result<Self, StateError> {
        let failed = |source| StateError::Io { path: path.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        warn_if_open_to_others(path);
        let mut options = OpenOptions::new();
        let lock = options.create(true).append(true).mode(0o600).open(path.join("lock")).map_err(failed)?;
        // The directory too, where it can be locked: somebody may remove the file, and whoever comes then would make another one.
        let dir = File::open(path).map_err(failed)?;
        match (lock.try_lock(), dir.try_lock()) {
            (Err(TryLockError::WouldBlock), _) | (_, Err(TryLockError::WouldBlock)) => {
                Err(StateError::Locked { path: path.to_owned() })
            }
            (Err(TryLockError::Error(source)), _) => Err(failed(source)),
            (Ok(()), _) => Ok(Self { path: path.to_owned(), _locks: [lock, dir] }),
        }
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Its files are for this user alone, but who may write the directory can remove them or put others in their place.
fn warn_if_open_to_others(path: &Path) {
    const WRITABLE_BY_OTHERS: u32 = 0o022;
    let Ok(metadata) = fs::metadata(path) else { return };
    if metadata.permissions().mode() & WRITABLE_BY_OTHERS != 0 {
        warn!(dir = %path.display(), "other users can write the state directory; give standpipe one of its own, of mode 0700");
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[track_caller]
    fn check_mode(path: &Path, expected: u32) {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o7777, expected);
    }

    #[test]
    fn a_directory_that_was_there_keeps_its_mode_and_what_standpipe_makes_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let (shared, link) = (dir.path().join("shared"), dir.path().join("link"));
        fs::create_dir(&shared).unwrap();
        fs::set_permissions(&shared, fs::Permissions::from_mode(0o1777)).unwrap();
        symlink(&shared, &link).unwrap();
        for path in [&shared, &link] {
            drop(StateDir::lock(path).unwrap());
            check_mode(&shared, 0o1777);
        }
        check_mode(&shared.join("lock"), 0o600);
        drop(StateDir::lock(&shared.join("made/below")).unwrap());
        check_mode(&shared.join("made/below"), 0o700);
    }

    #[test]
    fn a_second_instance_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let first = StateDir::lock(&path).unwrap();
        check_mode(&path, 0o700);
        assert!(matches!(StateDir::lock(&path), Err(StateError::Locked { .. })));
        fs::remove_file(path.join("lock")).unwrap();
        assert!(
            matches!(StateDir::lock(&path), Err(StateError::Locked { .. })),
            "whatever became of the file"
        );
        drop(first);
        assert!(StateDir::lock(&path).is_ok());
    }
}
