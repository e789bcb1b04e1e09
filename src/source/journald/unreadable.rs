//! Files of the journal that may not be read. `journalctl` leaves them out without a word, and what is in them would be passed over.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::io::Errno;

use crate::config::JournaldSource;

/// Where journald keeps journals, and where it does until the next boot.
const PLACES: [&str; 2] = ["/var/log/journal", "/run/log/journal"];

/// The file that journald writes at present.
const PRESENT: &str = "system.journal";

/// Most files that are looked at.
const MOST: usize = 10_000;

/// A file or folder of the journal that may not be read.
pub(super) fn unreadable(config: &JournaldSource) -> Option<PathBuf> {
    if let Some(directory) = &config.directory {
        let is_journal = |name: &str| name.ends_with(".journal");
        return folder(directory, &is_journal).or_else(|| in_folders(directory, &|_| true, &is_journal));
    }
    let namespace = config.namespace.as_deref().map_or_else(String::new, |name| format!(".{name}"));
    // Each machine has its own, named by its id.
    let is_of_machine = |name: &str| {
        let id = name.strip_suffix(namespace.as_str()).unwrap_or_default();
        id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    PLACES.iter().find_map(|place| in_folders(Path::new(place), &is_of_machine, &|name| name == PRESENT))
}

/// The first that may not be read, in the folders of a folder.
fn in_folders(
    parent: &Path,
    is_meant: &dyn Fn(&str) -> bool,
    is_journal: &dyn Fn(&str) -> bool,
) -> Option<PathBuf> {
    let folders = fs::read_dir(parent).ok()?.filter_map(Result::ok).take(MOST);
    let mut meant = folders.filter(|entry| {
        entry.file_type().is_ok_and(|kind| kind.is_dir()) && is_meant(&entry.file_name().to_string_lossy())
    });
    meant.find_map(|entry| folder(&entry.path(), is_journal))
}

/// The first that may not be read: the folder itself, or a file in it.
fn folder(path: &Path, is_journal: &dyn Fn(&str) -> bool) -> Option<PathBuf> {
    if is_denied(path, Access::READ_OK | Access::EXEC_OK) {
        return Some(path.to_owned());
    }
    let entries = fs::read_dir(path).ok()?.filter_map(Result::ok).take(MOST);
    let mut files =
        entries.filter(|entry| is_journal(&entry.file_name().to_string_lossy())).map(|entry| entry.path());
    files.find(|path| is_denied(path, Access::READ_OK))
}

/// What is not there is not denied.
fn is_denied(path: &Path, what: Access) -> bool {
    access(path, what) == Err(Errno::ACCESS)
}
