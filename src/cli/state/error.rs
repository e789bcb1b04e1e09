//! Why the state cannot be shown or changed.

use std::io;
use std::path::PathBuf;

use super::printable::printable;

/// The state cannot be shown or changed.
#[derive(Debug, thiserror::Error)]
pub(super) enum StateCommandError {
    /// A file of it cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The checkpoints cannot be read.
    #[error(transparent)]
    Checkpoints(#[from] crate::ack::CheckpointError),
    /// The checkpoints cannot be written.
    #[error("cannot write the checkpoints in `{}`", dir.display())]
    Save {
        /// The state directory.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The directory is in use, or cannot be used.
    #[error(transparent)]
    State(#[from] crate::state::StateError),
    /// Nothing has that name.
    #[error("no {what} `{name}` in `{}`: {}", dir.display(), known_words(known))]
    Unknown {
        /// What was looked for.
        what: &'static str,
        /// The name.
        name: String,
        /// The state directory.
        dir: PathBuf,
        /// What there is.
        known: Vec<String>,
    },
    /// The output is closed.
    #[error("cannot write the output")]
    Write(#[source] io::Error),
}

impl From<io::Error> for StateCommandError {
    fn from(error: io::Error) -> Self {
        Self::Write(error)
    }
}

impl From<serde_json::Error> for StateCommandError {
    fn from(error: serde_json::Error) -> Self {
        Self::Write(error.into())
    }
}

fn known_words(known: &[String]) -> String {
    const MOST: usize = 10;
    let shown: Vec<String> = known.iter().take(MOST).map(|name| format!("`{}`", printable(name))).collect();
    match known.len().checked_sub(MOST) {
        _ if known.is_empty() => "there is none".to_owned(),
        None | Some(0) => format!("there is {}", shown.join(", ")),
        Some(more) => format!("there is {} and {more} more", shown.join(", ")),
    }
}
