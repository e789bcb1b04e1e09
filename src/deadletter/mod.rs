//! What cannot be delivered, kept on disk with the reason: one JSON object a line, fsynced before anything is told that it is done.
//!
//! `STATE/dead-letters/SINK/` holds a sink's letters, `STATE/dead-letters/_SOURCE/` a source's payloads that could not be
//! decoded. A file in it is written by one process, which holds a lock on it meanwhile; a closed file belongs to whoever locks
//! it. So a replay takes files beside the daemon that writes others, and neither asks the other anything.
//!
//! In:      letters, with what is to be done once they are on disk.
//! Out:     files that [`LetterReader`] reads.
//! Full:    letters wait in memory; the their sources wait, and the status says so.
//! Failure: a letter that cannot be written waits, and is tried again each second.
//! Stop:    the pipeline waits for [`DeadLetters::emptied`].

mod files;
mod letter;
mod list;
mod progress;
mod queue;
mod reader;
mod store;

#[cfg(test)]
mod tests;

pub use letter::{DeadLetter, Letter, LetterContent};
pub use list::{FileSummary, FolderSummary, UnreadableFile, delivered, files, folders, open, summary};
pub use progress::{ProgressError, ReplayProgress};
pub use queue::{DeadLetters, PendingDeadLetter};
pub use reader::{LetterEntry, LetterReader};
pub use store::LetterLimits;

/// The folder of dead letters in a state directory.
pub const FOLDER: &str = "dead-letters";

/// How the name of a file of letters ends.
const EXTENSION: &str = "ndjson";

/// The folder of payloads of this source that could not be decoded.
#[must_use]
pub fn folder_of_source(source: &str) -> String {
    format!("_{source}")
}

/// What to do about letters of this reason, where the configuration is the usual cause.
#[must_use]
pub(crate) fn fix(reason: &str) -> Option<&'static str> {
    match reason {
        "format" | "not_envelope" => Some(
            "this is no CloudWatch Logs envelope: switch message extraction and decompression of the delivery stream off, or, \
             where it carries other logs, set `format = \"lines\"` at the source",
        ),
        "not_cloudtrail" => Some("this is no CloudTrail log file: set another `format` at the source"),
        _ => None,
    }
}
