//! What directories hold: names and inodes.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};

use super::identity::FileKey;

/// The names and inodes in one directory, by one read of it.
#[derive(Default)]
pub(super) struct DirEntries(Vec<(PathBuf, u64)>);

impl DirEntries {
    /// None: what is there cannot be told now.
    pub(super) fn read(dir: &Path) -> Option<Self> {
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Some(Self::default());
            }
            Err(_) => return None,
        };
        Some(Self(entries.filter_map(Result::ok).map(|entry| (entry.path(), entry.ino())).collect()))
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.0.iter().map(|(path, _)| path)
    }

    /// The path that leads to an inode.
    pub(super) fn find(&self, key: FileKey) -> Option<PathBuf> {
        let mut same = self.0.iter().filter(|(_, inode)| *inode == key.inode).map(|(path, _)| path);
        same.find(|path| leads_to(path, key)).cloned()
    }
}

/// Directories, each read once.
#[derive(Default)]
pub(super) struct DirListings(BTreeMap<PathBuf, Option<DirEntries>>);

impl DirListings {
    /// None: what is there cannot be told now.
    pub(super) fn of(&mut self, dir: &Path) -> Option<&DirEntries> {
        self.0.entry(dir.to_owned()).or_insert_with(|| DirEntries::read(dir)).as_ref()
    }
}

/// The folder that a path is in.
pub(super) fn dir_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

/// Whether a path leads to this inode.
pub(super) fn leads_to(path: &Path, key: FileKey) -> bool {
    fs::metadata(path).is_ok_and(|metadata| FileKey::of(&metadata) == key)
}
