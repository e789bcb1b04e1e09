//! What the daemon is started with.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::drain::RunOutcome;
use super::signals::Signal;
use crate::config::{Checked, Config, Errors};
use crate::metadata::MetadataEndpoints;
use crate::metrics::RunTotals;
use crate::source::PrepareSource;

/// Reads the configuration anew, for a reload. Blocks.
pub type Load = Arc<dyn Fn() -> Result<Checked, Errors> + Send + Sync>;

/// What to run, and what tells it to stop.
pub struct Run {
    /// The configuration.
    pub config: Config,
    /// What does not change with a configuration.
    pub environment: Environment,
    /// Signals as they come; the second stop makes it stop at once.
    pub signals: mpsc::Receiver<Signal>,
}

/// What does not change with a configuration.
pub struct Environment {
    /// The name of the host.
    pub host: Arc<str>,
    /// Read what is there, and end.
    pub once: bool,
    /// Reads the configuration anew.
    pub load: Load,
    /// Who tells where standpipe runs.
    pub metadata: MetadataEndpoints,
    /// Prepares the sources.
    pub prepare: PrepareSource,
    /// Who is told how far a run is that ends by itself; none: the log is.
    pub report: Option<TellReport>,
}

/// Takes a report; called once a second, and at the end.
pub type TellReport = Arc<dyn Fn(&RunReport) + Send + Sync>;

/// How far a run is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RunReport {
    /// What it has done.
    pub totals: RunTotals,
    /// For how long it has run.
    pub elapsed: Duration,
    /// How it ended; none: it goes on.
    pub outcome: Option<RunOutcome>,
}
