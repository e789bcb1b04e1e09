//! Why a source of objects cannot run.

use std::io;
use std::path::PathBuf;

/// Why a source of objects cannot run.
#[derive(Debug, thiserror::Error)]
pub(super) enum S3SourceError {
    #[error("held for too long for a run with --once: {0}")]
    Held(String),
    #[error("cannot read what is done from `{}`: check that it belongs to standpipe's user", .0.display())]
    Done(PathBuf, #[source] io::Error),
}
