//! What became of records that were to be appended to a log.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::stored::StoredAt;

/// What became of an append.
#[derive(Debug, Default)]
pub(crate) struct Appended {
    /// Where the records are, from the first on, as far as they are on disk for good.
    pub(crate) stored: Vec<StoredAt>,
    /// Why those after them are not. They must be appended again.
    pub(crate) failed: Option<AppendError>,
    /// How long each sync took.
    pub(crate) syncs: Vec<Duration>,
}

/// Why records could not be appended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppendError {
    /// The bytes cannot be written: a full disk, or a file system that is read-only.
    #[error("cannot write to `{}`", dir.display())]
    Write {
        /// The log.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// They were written, and may not be on disk.
    #[error("cannot sync `{}`", dir.display())]
    Sync {
        /// The log.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl AppendError {
    /// The reason as a metric's label.
    #[must_use]
    pub(crate) const fn reason(&self) -> &'static str {
        match self {
            Self::Write { .. } => "write",
            Self::Sync { .. } => "sync",
        }
    }
}
