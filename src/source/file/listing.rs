//! What directories hold: names and inodes.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};

use super::identity::{FileKey, rotated_prefixes};

/// The names and inodes in one directory, by one read of it.
#[derive(Default)]
pub(super) struct DirEntries {
    /// By name.
    paths: Vec<(PathBuf, u64)>,
    by_inode: HashMap<u64, usize>,
}

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
        let entries = entries.filter_map(Result::ok);
        let mut paths: Vec<_> = entries.map(|entry| (entry.path(), entry.ino())).collect();
        paths.sort_unstable_by(|(one, _), (other, _)| name_of(one).cmp(name_of(other)));
        let by_inode = paths.iter().enumerate().map(|(index, (_, inode))| (*inode, index)).collect();
        Some(Self { paths, by_inode })
    }

    /// The paths whose names a rotation may have given to a file of these names, and others that begin like those.
    pub(super) fn rotated_of(&self, origin: &Path, last: &Path) -> Vec<&PathBuf> {
        let mut found: Vec<&PathBuf> = Vec::new();
        for prefix in rotated_prefixes(origin, last) {
            let prefix = prefix.as_bytes();
            let from = self.paths.partition_point(|(path, _)| name_of(path) < prefix);
            let rest = self.paths.get(from..).unwrap_or_default();
            found.extend(
                rest.iter().map(|(path, _)| path).take_while(|path| name_of(path).starts_with(prefix)),
            );
        }
        found
    }

    /// The path that leads to an inode.
    pub(super) fn find(&self, key: FileKey) -> Option<PathBuf> {
        let (path, _) = self.paths.get(*self.by_inode.get(&key.inode)?)?;
        leads_to(path, key).then(|| path.clone())
    }
}

fn name_of(path: &Path) -> &[u8] {
    path.file_name().map_or(&[], OsStrExt::as_bytes)
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
