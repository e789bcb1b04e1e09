//! What directories hold: names and inodes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};

use super::identity::FileKey;

/// The names and inodes in one directory, by one read of it.
#[derive(Default)]
pub(super) struct DirEntries(Vec<(PathBuf, u64)>);

impl DirEntries {
    pub(super) fn read(dir: &Path) -> Self {
        let Ok(entries) = fs::read_dir(dir) else { return Self::default() };
        Self(entries.filter_map(Result::ok).map(|entry| (entry.path(), entry.ino())).collect())
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
pub(super) struct DirListings(BTreeMap<PathBuf, DirEntries>);

impl DirListings {
    pub(super) fn of(&mut self, dir: &Path) -> &DirEntries {
        self.0.entry(dir.to_owned()).or_insert_with(|| DirEntries::read(dir))
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
