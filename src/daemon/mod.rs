//! The whole flow: what is started, in which order it ends, and by when.
//!
//! A *generation* is what one configuration builds: workers, sinks (as events need them), sources. Stop, by a signal or because every
//! source has ended: sources end, then the workers have decoded what is left, then the sinks have delivered it; each stage ends
//! because its input has. The whole has one deadline. A reload is a stop after which another generation starts; what they share (the
//! *carryover*) stays.

mod carryover;
mod checkpoint_task;
mod drain;
pub(crate) mod generation;
mod reload;
pub(crate) mod replay;
mod running;
mod signals;
mod sources;
mod systemd;

#[cfg(test)]
mod allocations;

use std::sync::Arc;

use tokio::sync::mpsc;

use self::carryover::Carryover;
use self::reload::Prepared;
use self::running::{Next, RunningGeneration};
use self::signals::SignalQueue;
use crate::ack::CheckpointError;
use crate::admin::AdminError;
use crate::aws::AwsError;
use crate::config::{Checked, Config, Errors};
use crate::route::RouteError;
use crate::state::{StateDir, StateError};

pub use self::replay::{Replay, ReplayFile, Replayed, Target, replay};
pub use self::signals::Signal;

/// How a run ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// Everything that was read was delivered.
    Drained,
    /// The deadline came first, or what was delivered could not be written down; what is not known as delivered is on disk, or is
    /// read or sent again.
    Deadline,
}

/// Reads the configuration anew, for a reload. Blocks.
pub type Load = Arc<dyn Fn() -> Result<Checked, Errors> + Send + Sync>;

/// What to run, and what tells it to stop.
pub struct Run {
    /// The configuration.
    pub config: Config,
    /// Reads it anew.
    pub load: Load,
    /// Read what is there, and end.
    pub once: bool,
    /// The name of the host.
    pub host: Arc<str>,
    /// Signals as they come; the second stop makes it stop at once.
    pub signals: mpsc::Receiver<Signal>,
}

/// Why the daemon cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The state directory.
    #[error(transparent)]
    State(#[from] StateError),
    /// The checkpoints.
    #[error(transparent)]
    Checkpoints(#[from] CheckpointError),
    /// The routes.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// A sink.
    #[error("sink `{sink}`")]
    Sink {
        /// Its name.
        sink: String,
        /// Why.
        source: AwsError,
    },
    /// The admin endpoints.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// A source ended with an error.
    #[error("source `{source_name}`: {message}")]
    Source {
        /// Its name.
        source_name: String,
        /// Why, with its causes.
        message: String,
    },
    /// A thread cannot be started.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
}

/// Runs the daemon until it is told to stop, or every source has ended.
///
/// # Errors
/// When something cannot be started, or a source fails.
pub async fn run(run: Run) -> Result<End, RunError> {
    let Run { config, load, once, host, signals } = run;
    let state = StateDir::lock(&config.state.dir)?;
    let mut carryover = Carryover::open((host, once), load, state, SignalQueue::new(signals))?;
    let mut prepared = Prepared::new(config, &carryover, None).await?;
    prepared.generation.shared.dead_letters.recover();
    loop {
        let active = RunningGeneration::start(prepared, &mut carryover).await;
        match active.run(&mut carryover).await? {
            Next::Generation(next) => prepared = *next,
            Next::End(end) => return Ok(end),
        }
    }
}
