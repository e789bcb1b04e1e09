//! Why the checkpoints cannot be used.

use std::io;
use std::path::{Path, PathBuf};

/// Why the checkpoints cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The directory or the file cannot be used.
    #[error("cannot {action} `{}`: check that it belongs to standpipe's user", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The file was written by a later version.
    #[error("`{}` has version {version}, this standpipe reads version {known}: use the newer one, or move the file away to start over", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// What it says.
        version: u64,
        /// The latest that is read.
        known: u64,
    },
}

impl CheckpointError {
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }
}
