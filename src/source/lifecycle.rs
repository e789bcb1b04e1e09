//! The life of a source: it is prepared while the generation before it still runs, it runs, and it is finished once everything
//! that it handed out has ended.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::carryover::SourceCarryover;
use super::stop::Stop;
use crate::ack::Checkpoints;
use crate::health::Status;
use crate::pipeline::Intake;

/// What a source does in its own time.
pub type SourceFuture<'a> = Pin<Box<dyn Future<Output = Result<(), SourceError>> + Send + 'a>>;

/// A prepared source: what can be wrong with its configuration is known by now.
pub trait Source: Send + Sync {
    /// Reads until a stop is asked for or nothing more will come, and hands what it read to the workers.
    ///
    /// It may be dropped at any await: at the deadline of a drain nothing is waited for.
    fn run(&mut self, intake: Intake, stop: Stop) -> SourceFuture<'_>;

    /// Comes after the drain: each ack guard that [`Self::run`] handed out was settled, or was given up. Writes the last checkpoint
    /// and gives back what others may take, such as leases and messages.
    fn finish(self: Box<Self>) -> SourceFuture<'static> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// What a source is prepared with.
#[derive(Clone, Debug)]
pub struct SourceContext {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// The name of the host.
    pub host: Arc<str>,
    /// Read what is there, and end.
    pub once: bool,
    /// Positions in the state directory.
    pub checkpoints: Arc<Checkpoints>,
    /// Where issues are shown.
    pub status: Arc<Status>,
    /// The shortest time for which a sink lets events wait for others.
    pub linger: Duration,
    /// What the generation before left, and what this one leaves.
    pub carryover: Arc<SourceCarryover>,
}

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
    /// Its thread cannot be started.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
    /// Its thread is gone without a word.
    #[error("its thread ended unexpectedly")]
    ThreadEnded,
    /// What only this kind of source can fail by.
    #[error(transparent)]
    Other(Box<dyn std::error::Error + Send + Sync>),
}
