//! What cannot be delivered, kept on disk with the reason: one JSON object a line, fsynced before anything is told that it is done.
//!
//! `STATE/dead-letters/SINK/` holds a sink's letters, `STATE/dead-letters/_SOURCE/` a source's payloads that could not be
//! decoded. A file in it is written by one process, which holds a lock on it meanwhile; a closed file belongs to whoever locks
//! it. So a replay takes files beside the daemon that writes others, and neither asks the other anything.
//!
//! In:      letters, with what is to be done once they are on disk.
//! Out:     files that [`Reader`] reads.
//! Full:    letters wait in memory; the backpressures of their sources shut, and the status says so.
//! Failure: a letter that cannot be written waits, and is tried again each second.
//! Stop:    the pipeline waits for [`DeadLetters::emptied`].

mod letter;
mod list;
mod progress;
mod queue;
mod reader;
mod store;

#[cfg(test)]
mod tests;

pub use letter::{Content, DeadLetter, Letter};
pub use list::{FileSummary, FolderSummary, delivered, files, folders, summary};
pub use progress::{Progress, ProgressError};
pub use queue::{DeadLetters, PendingDeadLetter};
pub use reader::{Entry, Reader};
pub use store::Limits;

/// The folder of dead letters in a state directory.
pub const FOLDER: &str = "dead-letters";

/// How the name of a file of letters ends.
const EXTENSION: &str = "ndjson";

/// The folder of payloads of this source that could not be decoded.
#[must_use]
pub fn folder_of_source(source: &str) -> String {
    format!("_{source}")
}
