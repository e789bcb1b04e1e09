//! Why the daemon cannot run.

use crate::ack::CheckpointError;
use crate::admin::AdminError;
use crate::aws::AwsError;
use crate::route::RouteError;
use crate::source::SourceError;
use crate::state::StateError;

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
    /// What is redacted in a source's events.
    #[error("the patterns that source `{name}` redacts are too many or too large together; leave some out")]
    Redaction {
        /// The source's name.
        name: String,
        /// Why.
        source: regex::Error,
    },
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
    /// A source cannot start, or ended with an error.
    #[error("source `{name}`")]
    Source {
        /// Its name.
        name: String,
        /// Why.
        source: SourceError,
    },
    /// A thread cannot be started.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
    /// What a replay reads.
    #[error("cannot read the dead letters")]
    Replay(#[source] std::io::Error),
}
