//! The names and sizes of what a folder of dead letters holds.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::EXTENSION;

/// How much a folder holds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FolderSize {
    pub(super) files: u64,
    pub(super) bytes: u64,
}

/// Opens a file of letters to be read. Never waits, and nothing else than a file is one: a pipe would hold up whoever opens it.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a file")) }
}

/// Whether nothing at all has the name: it was removed. A link that leads nowhere is something.
pub(super) fn is_gone(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

pub(super) fn folders_in(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in entries(dir)? {
        if entry.file_type()?.is_dir() {
            names.extend(entry.file_name().into_string().ok());
        }
    }
    names.sort();
    Ok(names)
}

pub(super) fn files_in(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let paths = entries(dir)?.into_iter().map(|entry| entry.path());
    let mut paths: Vec<PathBuf> =
        paths.filter(|path| path.extension() == Some(OsStr::new(EXTENSION))).collect();
    paths.sort();
    Ok(paths)
}

/// What a killed replay left beside files that are gone since.
pub(super) fn left_over_in(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let beside = ["delivered", "new"].map(OsStr::new);
    let is_left_over = |path: &PathBuf| {
        let of = path.file_name().and_then(OsStr::to_str).and_then(|name| name.split_once("Z-"));
        let number = of.and_then(|(time, rest)| Some((time, rest.split('.').next()?)));
        path.extension().is_some_and(|extension| beside.contains(&extension))
            && number
                .is_some_and(|(time, number)| !dir.join(format!("{time}Z-{number}.{EXTENSION}")).exists())
    };
    Ok(entries(dir)?.into_iter().map(|entry| entry.path()).filter(is_left_over).collect())
}

/// How much is in a folder; what is kept aside counts too.
pub(super) fn size_of(dir: &Path) -> io::Result<FolderSize> {
    let mut size = FolderSize::default();
    for entry in entries(dir)? {
        // One that is gone since was replayed.
        let Ok(metadata) = entry.metadata() else { continue };
        size.files = size.files.saturating_add(1);
        size.bytes = size.bytes.saturating_add(metadata.len());
    }
    Ok(size)
}

fn entries(dir: &Path) -> io::Result<Vec<fs::DirEntry>> {
    match fs::read_dir(dir) {
        Ok(entries) => entries.collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
