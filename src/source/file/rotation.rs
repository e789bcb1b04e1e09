//! What becomes of files that lose their name, or their content.

use std::fs;
use std::path::PathBuf;

use tokio::time::Instant;
use tracing::warn;

use super::account::AccountHandle;
use super::discovery::Discovery;
use super::gone::GoneFile;
use super::identity::{FileKey, FileTime, KnownFate, is_rotated_name};
use super::listing::{DirEntries, DirListings, dir_of, leads_to};
use super::setup::FileSetup;
use super::table::{FileNo, FileTable};
use super::tracked::{NameState, ReadStage, TrackedFile};

/// Moves files between those that are there and those that are gone.
pub(super) struct Rotation<'a> {
    pub(super) setup: &'a FileSetup,
    pub(super) files: &'a mut FileTable,
    pub(super) discovery: &'a Discovery,
}

impl Rotation<'_> {
    /// Looks for the new names of files that lost theirs, in the directories where they were.
    pub(super) fn find_nameless(&mut self) {
        let mut listings = DirListings::default();
        let now = Instant::now();
        for no in self.files.take_nameless() {
            let Some(file) = self.files.get(no) else { continue };
            if file.name == NameState::Gone || leads_to(&file.path, file.key) {
                continue;
            }
            let Some(entries) = listings.of(dir_of(file.real_path())) else {
                // Not to be seen is not gone.
                self.files.set_nameless(no);
                continue;
            };
            match entries.find(file.key) {
                Some(path) => self.discovery.rename(self.files, no, &path, now),
                None => self.lose(no, now, entries),
            }
        }
    }

    fn lose(&mut self, no: FileNo, now: Instant, entries: &DirEntries) {
        let Some(file) = self.files.get_mut(no) else { return };
        file.lose_name(self.discovery.looked(), now);
        if file.content.is_some() {
            // It is read to its end through its descriptor.
            self.files.queue(no);
            return;
        }
        let unread = file.unread();
        if let Some(gone) = self.depart(no, unread) {
            // What was written since it was closed may be in a compressed copy.
            self.seek_copies(&gone, entries);
        }
    }

    /// Takes a file that is gone out of the table. What was read of it, if it was followed, is remembered for a while.
    pub(super) fn depart(&mut self, no: FileNo, unread: u64) -> Option<GoneFile> {
        let file = self.files.remove(no)?;
        match &file.stage {
            ReadStage::Followed(progress) => {
                let gone = GoneFile::of(&file, progress, KnownFate::Gone, unread);
                self.files.remember(gone.clone());
                Some(gone)
            }
            ReadStage::Unplaced | ReadStage::Held => {
                if let Some(account) = &file.unread_account {
                    account.forget();
                }
                if file.wanted && unread > 0 {
                    self.setup.metrics().lost("deleted_unread", unread);
                    warn!(path = %file.path.display(), bytes = unread, "file was deleted before it could be read");
                }
                None
            }
        }
    }

    /// The file's inode holds other bytes than were read from it: it is a new file, and what was read is remembered.
    pub(super) fn empty(&mut self, no: FileNo, unread: u64) {
        let Some(file) = self.files.get_mut(no) else { return };
        let ReadStage::Followed(progress) = file.unplace() else { return };
        if file.wanted {
            file.unread_account = Some(AccountHandle::unread(
                self.setup,
                file.location(),
                file.origin(),
                progress.account.id().next(),
            ));
        }
        let gone = GoneFile::of(file, &progress, KnownFate::Rewritten, unread);
        self.files.index(no);
        self.seek_copies(&gone, &DirEntries::read(dir_of(&gone.real)).unwrap_or_default());
        self.files.remember(gone);
        self.files.queue(no);
    }

    /// Puts files into the table that may hold what a gone one held, though no pattern matches them.
    pub(super) fn seek_copies(&mut self, gone: &GoneFile, entries: &DirEntries) {
        let origin = PathBuf::from(&*gone.origin);
        for path in entries.rotated_of(&origin, &gone.real) {
            if !is_rotated_name(path, &origin, &gone.real) || self.files.by_path(path).is_some() {
                continue;
            }
            // What a link leads to is no copy.
            let Ok(metadata) = fs::symlink_metadata(path) else { continue };
            let key = FileKey::of(&metadata);
            if metadata.is_file() && self.files.by_key(key).is_none() {
                let mut file = TrackedFile::new(path.clone(), key, metadata.len(), Instant::now());
                file.wanted = self.discovery.matches(path);
                file.born = FileTime::born(&metadata);
                let no = self.files.insert(file);
                self.files.queue(no);
            }
        }
    }

    /// A file without a name was read to its end, and nobody writes to it any more.
    pub(super) fn finish(&mut self, no: FileNo) {
        match self.files.get(no).map(|file| file.name) {
            Some(NameState::Gone) => drop(self.depart(no, 0)),
            // It can be opened again should it grow after all.
            Some(NameState::Rotated) => self.files.close(no),
            Some(NameState::Present) | None => {}
        }
    }
}
