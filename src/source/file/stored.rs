//! What the last run knew, found again at the start.

use std::fs;
use std::path::PathBuf;

use tokio::time::Instant;
use tracing::info;

use super::discovery::Discovery;
use super::gone::{GoneFile, GoneNo};
use super::identity::{FileKey, KnownFate};
use super::listing::{DirListings, dir_of};
use super::rotation::Rotation;
use super::setup::FileSetup;
use super::table::FileTable;
use super::tracked::{NameState, TrackedFile};

/// Finds files by inode elsewhere in their directory, then by content. Those that are where they were are looked into in their turn.
pub(super) fn find_stored(setup: &FileSetup, files: &mut FileTable, discovery: &mut Discovery) {
    let is_there = |gone: &GoneFile| files.by_key(gone.key).is_some();
    let gone: Vec<GoneNo> = files.gone.iter().filter(|(_, gone)| !is_there(gone)).map(|(no, _)| no).collect();
    let mut listings = DirListings::default();
    let mut lost: Option<PathBuf> = None;
    let mut n_lost = 0_usize;
    for no in gone {
        let Some(gone) = files.gone.get(no).cloned() else { continue };
        let Some(entries) = listings.of(dir_of(&gone.real)) else { continue };
        if let Some(path) = entries.find(gone.key) {
            find_renamed(files, discovery, path, gone.key);
        } else {
            n_lost = n_lost.saturating_add(1);
            Rotation { setup, files, discovery }.seek_copies(&gone, entries);
            lost.get_or_insert(gone.path);
        }
    }
    if let Some(first) = lost {
        info!(
            source = %setup.name,
            files = n_lost,
            first = %first.display(),
            "files that were read before are not there any more; what was written to them since is read only from copies beside them"
        );
    }
}

/// Looks for copies of files that turned out to hold something else than in the last run.
pub(super) fn seek_copies_of_rewritten(setup: &FileSetup, files: &mut FileTable, discovery: &Discovery) {
    let rewritten = files.gone.take_rewritten();
    if rewritten.is_empty() {
        return;
    }
    let mut listings = DirListings::default();
    for no in rewritten {
        let Some(gone) = files.gone.get(no).filter(|gone| gone.fate == KnownFate::Rewritten).cloned() else {
            continue;
        };
        if let Some(entries) = listings.of(dir_of(&gone.real)) {
            Rotation { setup, files, discovery }.seek_copies(&gone, entries);
        }
    }
}

fn find_renamed(files: &mut FileTable, discovery: &Discovery, path: PathBuf, key: FileKey) {
    if files.by_key(key).is_some() {
        return;
    }
    let size = fs::metadata(&path).map_or(0, |metadata| metadata.len());
    let mut file = TrackedFile::new(path, key, size, Instant::now());
    file.wanted = discovery.matches(&file.path);
    file.name = NameState::Rotated;
    let no = files.insert(file);
    files.queue(no);
}
