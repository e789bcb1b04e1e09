//! Where events come from.
//!
//! In:      files, standard input, and requests of Firehose.
//! Out:     [`Chunk`](crate::event::Chunk)s of whole events, in the order of each file, by [`Intake`](crate::pipeline::Intake).
//! Full:    waits for memory or for a place in the queue; a file that is not read is the buffer.
//! Failure: what cannot be read is counted, said once, and tried again; the rest goes on.
//! Stop:    reads nothing more; what was not handed over is read again at the next start.

pub(crate) mod dead_letters;
mod framer;
mod stop;
pub mod file;
pub mod firehose_http;
pub mod stdin;

use std::io;

pub use self::stop::{Stop, Stopper};

/// Why a source cannot run.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A pattern that is none.
    #[error("`{pattern}` is not a glob: write `*`, `**`, `?`, `[..]` or `{{..}}`, and close every bracket")]
    Glob {
        /// As it was written.
        pattern: String,
        /// What is wrong with it.
        source: globset::Error,
    },
    /// Standard input failed.
    #[error("cannot read standard input")]
    Stdin(#[source] io::Error),
}
