//! The state of one file.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::account::AccountHandle;
use super::content::FileContent;
use super::delivered::DeliveredFile;
use super::identity::{FileKey, FileTime, is_compressed_name};
use super::position::{FileLocation, Fingerprint};
use super::progress::ReadProgress;
use super::setup::FileTimeouts;
use crate::source::framer::Upcoming;

/// A file that is known by its inode.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct TrackedFile {
    pub(super) key: FileKey,
    /// The path it was found at.
    pub(super) path: PathBuf,
    /// The same without links, where that is another one.
    pub(super) real: Option<PathBuf>,
    pub(super) name: NameState,
    /// The path that its events carry, where that is not the one it was found at.
    pub(super) origin: Option<PathBuf>,
    pub(super) stage: ReadStage,
    /// Whether its name matches the source's patterns; otherwise it is read only if it continues a file that did.
    pub(super) wanted: bool,
    /// Whether nothing was ever known of it, so that it is not read if it is too old.
    pub(super) is_stranger: bool,
    /// Whether it was found after the first walk, so that it may be a copy made while standpipe runs.
    pub(super) is_late: bool,
    /// When it came into being, or began to hold what it holds now, as far as that is told.
    pub(super) born: Option<FileTime>,
    /// When it was found.
    pub(super) found: FileTime,
    /// When it lost its name.
    pub(super) lost: Option<FileTime>,
    /// Where it is remembered that nothing was read of it yet.
    pub(super) unread_account: Option<Arc<AccountHandle>>,
    /// Where reading begins if nothing is known of the file.
    pub(super) start: u64,
    /// Its size when it was last looked at.
    pub(super) size: u64,
    /// When it was last written to, by its own account, as far as that was looked into.
    modified: Option<(i64, i64)>,
    /// Whether it was written to since its last bytes were compared.
    pub(super) is_doubtful: bool,
    /// When it last grew, or lost its name.
    pub(super) changed: Instant,
    /// The size at which no event was whole; it would be in vain to read again for the same end.
    pub(super) no_event_at: Option<(u64, Upcoming)>,
    /// Where the NULs begin that it ends with, as far as that is known.
    pub(super) unwritten: Option<u64>,
    /// As far as it was looked through for something else than NULs.
    pub(super) scanned: u64,
    /// How much is to be read at once, where a usual block does not hold an event.
    pub(super) read_len: usize,
    /// Whether little was read of it the last time, so that a quick read may do.
    pub(super) is_slow: bool,
    pub(super) content: Option<FileContent>,
    /// Whether its first bytes said that it is compressed, when it was last opened.
    pub(super) is_compressed: Option<bool>,
    /// Whether it is compressed in a way that is not read.
    pub(super) is_foreign: bool,
    /// How it begins, as far as others are compared with it.
    pub(super) indexed: Option<Fingerprint>,
    /// When it was last used, as a number: for closing the one used longest ago.
    pub(super) used: u64,
    pub(super) is_queued: bool,
    /// When it asked to be looked at again.
    pub(super) wake: Option<Instant>,
    /// How often in a row it could not be opened.
    pub(super) failures: u32,
    /// Whether a broken compressed file was reported.
    pub(super) is_broken_reported: bool,
    /// What it was when all of it had been delivered; none: something is not, or nobody asks.
    pub(super) delivered: Option<DeliveredFile>,
}

/// What became of the name that a file was found by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NameState {
    /// It stands.
    Present,
    /// It was renamed, or is a copy: its writers will leave it.
    Rotated,
    /// There is none that we know.
    Gone,
}

/// Whether it is read.
pub(super) enum ReadStage {
    /// Nothing is known of its content.
    Unplaced,
    /// It may be a copy of a file that is still there.
    Held,
    /// It is read.
    Followed(Box<ReadProgress>),
}

impl TrackedFile {
    pub(super) fn new(path: PathBuf, key: FileKey, size: u64, now: Instant) -> Self {
        Self {
            key,
            path,
            real: None,
            name: NameState::Present,
            origin: None,
            stage: ReadStage::Unplaced,
            wanted: true,
            is_stranger: true,
            is_late: true,
            born: None,
            found: FileTime::now(),
            lost: None,
            unread_account: None,
            start: 0,
            size,
            modified: None,
            is_doubtful: false,
            changed: now,
            no_event_at: None,
            unwritten: None,
            scanned: 0,
            read_len: 0,
            is_slow: false,
            content: None,
            is_compressed: None,
            is_foreign: false,
            indexed: None,
            used: 0,
            is_queued: false,
            wake: None,
            failures: 0,
            is_broken_reported: false,
            delivered: None,
        }
    }

    /// Where it is.
    pub(super) fn location(&self) -> FileLocation {
        let (path, real) = (self.path.clone(), self.real.clone());
        FileLocation { path, real, device: self.key.device, inode: self.key.inode }
    }

    /// The path that its events carry.
    pub(super) fn origin(&self) -> Arc<str> {
        self.origin.as_ref().unwrap_or(&self.path).to_string_lossy().into()
    }

    /// What is remembered of it.
    pub(super) fn account(&self) -> Option<&Arc<AccountHandle>> {
        self.progress().map(|progress| &progress.account).or(self.unread_account.as_ref())
    }

    /// Its path without links: what rotations go by.
    pub(super) fn real_path(&self) -> &Path {
        self.real.as_deref().unwrap_or(&self.path)
    }

    /// Notes the size that the file has now.
    pub(super) fn seen(&mut self, size: u64, now: Instant) {
        if size != self.size {
            self.size = size;
            self.changed = now;
        }
    }

    /// Whether a file that was empty is so still. Where it is open, its descriptor tells: it may have been written to and have
    /// lost its name since it was last looked at.
    pub(super) fn is_empty_now(&mut self, now: Instant) -> bool {
        if self.size == 0
            && let Some(Ok(metadata)) = self.content.as_ref().map(FileContent::metadata)
        {
            self.seen(metadata.len(), now);
        }
        self.size == 0
    }

    /// Whether the file was written to since it was last looked into.
    pub(super) fn is_modified(&self, metadata: &Metadata) -> bool {
        self.modified.is_none_or(|modified| modified != (metadata.mtime(), metadata.mtime_nsec()))
    }

    /// When it was last written to, in milliseconds since 1970, as its descriptor tells, or as far as that was looked into.
    pub(super) fn modified_millis(&self) -> Option<i64> {
        let metadata = self.content.as_ref().and_then(|content| content.metadata().ok());
        let now = metadata.map(|metadata| (metadata.mtime(), metadata.mtime_nsec()));
        let (seconds, nanos) = now.or(self.modified)?;
        Some(seconds.saturating_mul(1_000).saturating_add(nanos / 1_000_000))
    }

    /// Notes when the file was written to. Whether that was since the last time.
    pub(super) fn learn_modified(&mut self, metadata: &Metadata) -> bool {
        let is_news = self.modified.is_some() && self.is_modified(metadata);
        self.is_doubtful |= is_news;
        self.modified = Some((metadata.mtime(), metadata.mtime_nsec()));
        is_news
    }

    /// Notes that the file's name is another, or none.
    pub(super) fn renamed(&mut self, name: NameState, now: Instant) {
        self.name = name;
        self.changed = now;
        self.lost = None;
    }

    /// Notes that the file has lost its name, which it had at an earlier moment.
    pub(super) fn lose_name(&mut self, had: FileTime, now: Instant) {
        self.renamed(NameState::Gone, now);
        let metadata = self.content.as_ref().and_then(|content| content.metadata().ok());
        self.lost = Some(metadata.map_or(had, |metadata| FileTime::changed(&metadata)));
    }

    /// It is read from where `progress` stands.
    pub(super) fn follow(&mut self, progress: ReadProgress) {
        (self.unwritten, self.scanned) = (None, 0);
        (self.no_event_at, self.read_len) = (None, 0);
        self.stage = ReadStage::Followed(Box::new(progress));
    }

    /// It holds something else than before: nothing is known of it. How it was read until now.
    pub(super) fn unplace(&mut self) -> ReadStage {
        let metadata = self.content.as_ref().and_then(|content| content.metadata().ok());
        self.born = Some(metadata.map_or_else(FileTime::now, |metadata| FileTime::changed(&metadata)));
        (self.start, self.is_late, self.no_event_at, self.read_len) = (0, true, None, 0);
        (self.is_foreign, self.is_compressed) = (false, None);
        if self.wanted && self.name == NameState::Rotated {
            self.name = NameState::Present;
        }
        std::mem::replace(&mut self.stage, ReadStage::Unplaced)
    }

    pub(super) const fn progress(&self) -> Option<&ReadProgress> {
        match &self.stage {
            ReadStage::Followed(progress) => Some(progress),
            ReadStage::Unplaced | ReadStage::Held => None,
        }
    }

    pub(super) const fn progress_mut(&mut self) -> Option<&mut ReadProgress> {
        match &mut self.stage {
            ReadStage::Followed(progress) => Some(progress),
            ReadStage::Unplaced | ReadStage::Held => None,
        }
    }

    /// Whether the file's size counts plain bytes, as its mark does.
    pub(super) fn is_plain(&self) -> bool {
        let is_compressed = self.content.as_ref().map(FileContent::is_compressed).or(self.is_compressed);
        !is_compressed.unwrap_or_else(|| self.is_named_compressed())
    }

    /// Whether it is a plain file that is read on through its descriptor, under the name that it has, as soon as it grows.
    pub(super) fn is_at_hand(&self) -> bool {
        matches!(self.content, Some(FileContent::Plain(_)))
            && self.name == NameState::Present
            && self.progress().is_some_and(|progress| !progress.lane.is_blocked())
    }

    /// Bytes that are there and were not read.
    pub(super) fn unread(&self) -> u64 {
        match self.progress() {
            Some(_) if !self.is_plain() || self.is_foreign => 0,
            Some(progress) => self.size.saturating_sub(progress.mark.offset),
            None => self.size,
        }
    }

    /// Bytes that are there, are no NULs that nobody wrote, and were not read.
    pub(super) fn behind(&self) -> u64 {
        let unwritten = self.unwritten.map_or(0, |from| self.size.saturating_sub(from));
        self.unread().saturating_sub(unwritten)
    }

    pub(super) fn is_named_compressed(&self) -> bool {
        is_compressed_name(self.real_path())
    }

    /// Whether the file can be opened again by its path.
    pub(super) fn can_be_closed(&self) -> bool {
        self.name != NameState::Gone && self.content.is_some()
    }

    /// How long nothing has happened to the file.
    pub(super) fn quiet(&self, now: Instant) -> Duration {
        now.duration_since(self.changed)
    }

    /// Whether what is there now is all there will be.
    pub(super) fn upcoming(&self, now: Instant, timeouts: &FileTimeouts) -> Upcoming {
        let quiet = self.quiet(now);
        match self.name {
            NameState::Rotated | NameState::Gone if quiet >= timeouts.rotated => Upcoming::Nothing,
            _ if timeouts.once || !self.is_plain() => Upcoming::Nothing,
            _ if timeouts.event.is_some_and(|event| quiet >= event) => Upcoming::Quiet,
            NameState::Present | NameState::Rotated | NameState::Gone => Upcoming::More,
        }
    }

    /// When the file is to be looked at again though nobody says that it changed.
    pub(super) fn next_read(&self, now: Instant, timeouts: &FileTimeouts) -> Option<Instant> {
        let rotated = self.changed.checked_add(timeouts.rotated);
        let event = timeouts.event.and_then(|event| self.changed.checked_add(event)).filter(|at| *at > now);
        let event = event.filter(|_| self.unread() > 0);
        match self.name {
            NameState::Present => event,
            NameState::Rotated => [event, rotated].into_iter().flatten().filter(|at| *at > now).min(),
            // Nobody tells of writes to a file without a name.
            NameState::Gone => [rotated, now.checked_add(LOOK_AT_NAMELESS)]
                .into_iter()
                .flatten()
                .filter(|at| *at > now)
                .min(),
        }
    }
}

/// How often a deleted file that may still grow is looked at.
const LOOK_AT_NAMELESS: Duration = Duration::from_millis(500);
