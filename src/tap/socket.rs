//! The socket's file: in the state directory, for its owner alone from its first moment on.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

/// The file's name in the state directory.
const NAME: &str = "live.sock";

/// Where it is made, so that nobody meets it before it has its mode.
const MAKING: &str = "live.making";

const MODE: u32 = 0o600;

/// The longest path that a socket's address has room for, with some to spare.
const LONGEST_PATH: usize = 100;

/// A socket's file; it goes with this.
#[derive(Debug)]
pub(crate) struct LiveSocketFile(PathBuf);

/// A path by which a file of the directory can be reached, however long the directory's own path is.
pub(super) struct ShortPath {
    pub(super) path: PathBuf,
    /// Kept open, since the path leads through it.
    _dir: Option<File>,
}

impl ShortPath {
    pub(super) fn of(dir: &Path, name: &str) -> io::Result<Self> {
        let path = dir.join(name);
        if path.as_os_str().len() <= LONGEST_PATH {
            return Ok(Self { path, _dir: None });
        }
        let opened = File::open(dir)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", opened.as_raw_fd())).join(name);
        Ok(Self { path, _dir: Some(opened) })
    }

    /// Where the socket of a state directory is.
    pub(super) fn of_socket(state: &Path) -> io::Result<Self> {
        Self::of(state, NAME)
    }
}

impl LiveSocketFile {
    /// Makes it, and listens. The state directory is locked, so that a socket that is there is of a process that has ended.
    pub(super) fn bind(state: &Path) -> io::Result<(Self, UnixListener)> {
        let (path, making) = (state.join(NAME), state.join(MAKING));
        match fs::symlink_metadata(&path) {
            Ok(there) if !there.file_type().is_socket() => {
                let what = format!("`{}` is no socket: remove it", path.display());
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
            }
            Ok(_) | Err(_) => {}
        }
        remove_making(&making);
        DirBuilder::new().mode(0o700).create(&making)?;
        let listener = ShortPath::of(&making, NAME).and_then(|short| UnixListener::bind(&short.path));
        let made = listener.and_then(|listener| {
            fs::set_permissions(making.join(NAME), Permissions::from_mode(MODE))?;
            fs::rename(making.join(NAME), &path)?;
            Ok(listener)
        });
        remove_making(&making);
        Ok((Self(path), made?))
    }
}

/// What is left of making a socket; it may not be there.
fn remove_making(making: &Path) {
    fs::remove_file(making.join(NAME)).ok();
    fs::remove_dir(making).ok();
}

impl Drop for LiveSocketFile {
    fn drop(&mut self) {
        fs::remove_file(&self.0).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_socket_is_its_owners_replaces_a_stale_one_and_goes_with_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("d".repeat(120));
        fs::create_dir(&long).unwrap();
        for state in [folder.path(), &long] {
            let path = state.join(NAME);
            let socket = LiveSocketFile::bind(state).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
            // As a kill leaves it.
            let _left = std::mem::ManuallyDrop::new(socket);
            let again = LiveSocketFile::bind(state).unwrap();
            let short = ShortPath::of_socket(state).unwrap();
            let connected = std::os::unix::net::UnixStream::connect(&short.path);
            assert!(connected.is_ok(), "{connected:?}");
            drop(again);
            assert!(!path.exists() && !state.join(MAKING).exists());
        }
        fs::write(folder.path().join(NAME), "precious").unwrap();
        assert!(LiveSocketFile::bind(folder.path()).is_err());
        assert_eq!(fs::read(folder.path().join(NAME)).unwrap(), b"precious");
    }
}
