//! What a file was when all of it had been delivered.

use std::fs::Metadata;

use tokio::time::Instant;

use super::identity::{FileKey, FileTime};

/// What a file was when all of it had been delivered.
#[derive(Clone, Copy, Debug)]
pub(super) struct DeliveredFile {
    key: FileKey,
    size: u64,
    modified: FileTime,
    /// When that was seen first.
    since: Instant,
}

impl DeliveredFile {
    /// What it is now.
    pub(super) fn new(metadata: &Metadata, since: Instant) -> Self {
        let (key, modified) = (FileKey::of(metadata), FileTime::modified(metadata));
        Self { key, size: metadata.len(), modified, since }
    }

    /// Whether something is still that.
    pub(super) fn is(self, metadata: &Metadata) -> bool {
        let is_same = self.is_of(FileKey::of(metadata), metadata.len());
        metadata.is_file() && is_same && FileTime::modified(metadata) == self.modified
    }

    /// Whether it is this inode, of this size.
    pub(super) fn is_of(self, key: FileKey, size: u64) -> bool {
        self.key == key && self.has_size(size)
    }

    /// Whether it had this size.
    pub(super) const fn has_size(self, size: u64) -> bool {
        self.size == size
    }

    /// When it was last written to.
    pub(super) const fn modified(self) -> FileTime {
        self.modified
    }

    /// Since when all of it is delivered, as far as that was seen.
    pub(super) const fn since(self) -> Instant {
        self.since
    }
}
