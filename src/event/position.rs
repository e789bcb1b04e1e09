//! How far files were read, and who keeps it: the border between a source that reads and the checkpoints that remember.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Acknowledge, Timestamp};

/// A short proof of what some bytes of a file were.
///
/// Two hashes are compared only at the same length, so a file that grows keeps matching what was taken when it was small.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Fingerprint {
    /// How many bytes were hashed; at most [`Fingerprint::MOST`].
    pub len: u16,
    /// The first eight bytes of their SHA-256.
    pub hash: u64,
}

impl Fingerprint {
    /// Most bytes that a fingerprint is taken of.
    pub const MOST: usize = 1024;

    /// Of the first bytes.
    #[must_use]
    pub fn of_start(bytes: &[u8]) -> Self {
        Self::of(bytes.get(..Self::MOST).unwrap_or(bytes))
    }

    /// Of the last bytes.
    #[must_use]
    pub fn of_end(bytes: &[u8]) -> Self {
        let from = bytes.len().saturating_sub(Self::MOST);
        Self::of(bytes.get(from..).unwrap_or(bytes))
    }

    /// Whether `bytes` begin with what this was taken of.
    #[must_use]
    pub fn begins(&self, bytes: &[u8]) -> bool {
        bytes.get(..usize::from(self.len)).is_some_and(|start| Self::of(start) == *self)
    }

    /// Whether nothing was hashed, so that it proves nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn of(bytes: &[u8]) -> Self {
        let Ok(len) = u16::try_from(bytes.len()) else { return Self::default() };
        if len == 0 {
            return Self::default();
        }
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
        let hash = digest.as_ref().first_chunk().map_or(0, |first| u64::from_be_bytes(*first));
        Self { len, hash }
    }
}

/// A place in a file that reading can go on from.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Mark {
    /// Bytes before it; in plain text, for gzipped files.
    pub offset: u64,
    /// Of the bytes just before it, so that a rewritten file is not taken for the old one.
    pub tail: Fingerprint,
    /// Whether it stands inside a line that was cut as too long, the rest of which is to be left out.
    pub skipping: bool,
    /// How large the file was when the place was reached.
    pub size: u64,
}

/// Where a file is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Place {
    /// The path it was last seen at.
    pub path: PathBuf,
    /// The device's number.
    pub device: u64,
    /// The inode's number.
    pub inode: u64,
}

/// What is remembered of one file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FilePosition {
    /// Where it is.
    pub place: Place,
    /// The path that its events carry: the one it was first found at, before any rotation.
    pub origin: Arc<str>,
    /// Of its first bytes; empty while it has none.
    pub head: Fingerprint,
    /// Everything before this was acknowledged.
    pub mark: Mark,
    /// When the mark last moved.
    pub time: Timestamp,
}

/// Remembers files between runs.
pub trait FilePositions: Send + Sync + fmt::Debug {
    /// The accounts of the files that a source knew when it last ran; for the source's start.
    fn stored(&self, source: &str) -> Vec<Arc<dyn FileAccount>>;

    /// Begins an account of a file.
    fn open(&self, source: &str, position: FilePosition) -> Arc<dyn FileAccount>;
}

/// One file's position, moved by what is acknowledged. Its methods are short and never block on I/O.
pub trait FileAccount: Acknowledge + fmt::Debug {
    /// What is remembered at present.
    fn position(&self) -> FilePosition;

    /// Notes that the bytes up to `mark` go into the pipeline, after those noted before, and returns the number to
    /// acknowledge them by.
    fn begin(&self, mark: Mark, read_at: Timestamp) -> u64;

    /// When the oldest bytes that are not acknowledged were read.
    fn oldest_unacknowledged(&self) -> Option<Timestamp>;

    /// Notes that the file was renamed, or that a copy of it is read on in its stead.
    fn moved(&self, place: Place);

    /// Notes more of the file's first bytes.
    fn grown(&self, head: Fingerprint);

    /// Drops the entry: the file is gone, and will not come back under another name.
    fn forget(&self);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_still_matches_when_the_file_grew() {
        let small = Fingerprint::of_start(b"first line\n");
        assert!(small.begins(b"first line\nsecond line\n"));
        assert!(!small.begins(b"other line\nsecond line\n"));
        assert!(!small.begins(b"first"));
    }

    #[test]
    fn only_the_nearest_bytes_count() {
        let long: Vec<u8> = (0..5000_u32).flat_map(u32::to_le_bytes).collect();
        assert_eq!(Fingerprint::of_start(&long), Fingerprint::of_start(&long[..Fingerprint::MOST]));
        assert_eq!(Fingerprint::of_end(&long), Fingerprint::of_end(&long[5000..]));
        assert_eq!(usize::from(Fingerprint::of_end(&long).len), Fingerprint::MOST);
        assert!(Fingerprint::of_end(b"").is_empty());
    }
}
