//! What the last run knew, found again at the start.

use std::fs;
use std::path::PathBuf;

use tokio::time::Instant;

use super::discovery::Discovery;
use super::gone::GoneFile;
use super::identity::{FileKey, KnownFate};
use super::listing::{DirListings, dir_of};
use super::opening::OpenOutcome;
use super::placement::Placement;
use super::rotation::Rotation;
use super::setup::FileSetup;
use super::table::{FileNo, FileTable};
use super::tracked::{NameState, TrackedFile};

/// Finds files by inode where they were, then by inode elsewhere in their directory, then by content.
pub(super) fn find_stored(setup: &FileSetup, files: &mut FileTable, discovery: &mut Discovery) {
    let known: Vec<FileNo> = files.gone.iter().filter_map(|gone| files.by_key(gone.key)).collect();
    for no in known {
        resume_known(setup, files, discovery, no);
    }
    let mut listings = DirListings::default();
    let still_gone: Vec<GoneFile> = files.gone.iter().cloned().collect();
    for gone in still_gone {
        let Some(entries) = listings.of(dir_of(&gone.real)) else { continue };
        match entries.find(gone.key).filter(|_| gone.fate == KnownFate::Missing) {
            Some(path) => resume_renamed(setup, files, discovery, path, gone.key),
            None => Rotation { setup, files, discovery }.seek_copies(&gone, entries),
        }
    }
}

fn resume_renamed(
    setup: &FileSetup,
    files: &mut FileTable,
    discovery: &mut Discovery,
    path: PathBuf,
    key: FileKey,
) {
    if files.by_key(key).is_some() {
        return;
    }
    let size = fs::metadata(&path).map_or(0, |metadata| metadata.len());
    let mut file = TrackedFile::new(path, key, size, Instant::now());
    file.wanted = discovery.matches(&file.path);
    file.name = NameState::Rotated;
    let no = files.insert(file);
    files.queue(no);
    resume_known(setup, files, discovery, no);
}

/// Goes on with a file that the last run knew by this inode, if it still holds what it held.
fn resume_known(setup: &FileSetup, files: &mut FileTable, discovery: &mut Discovery, no: FileNo) {
    let now = Instant::now();
    if matches!(discovery.open(files, no, now), OpenOutcome::Open) {
        // An error here comes back when the file is read.
        Placement { setup, files, no, now }.resume_stored().ok();
    }
}
