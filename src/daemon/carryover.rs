//! What survives a reload: positions, counters, the admin endpoints, what sources leave to their successors, and the service manager.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::warn;

use super::checkpoint_task::CheckpointKeeper;
use super::options::Environment;
use super::reporting::report_often;
use super::signals::SignalQueue;
use super::systemd::ServiceManager;
use crate::ack::{CheckpointError, Checkpoints};
use crate::admin::Admin;
use crate::health::Status;
use crate::metadata::FactsKeeper;
use crate::metrics::Metrics;
use crate::source::{SourceCarryover, SourceContext};
use crate::state::StateDir;
use crate::tap::{LiveServer, LiveSocketFile, TapHub};

/// One for the life of the process.
pub(crate) struct Carryover {
    /// What does not change with a configuration.
    pub(crate) environment: Environment,
    /// Where live views are asked for; its file is gone before another may lock the state directory.
    _live_socket: Option<LiveSocketFile>,
    /// The state directory, locked.
    pub(crate) state: StateDir,
    /// Positions in the state directory.
    pub(crate) checkpoints: Arc<Checkpoints>,
    /// Writes them down.
    keeper: CheckpointKeeper,
    /// Counters go on through a reload.
    pub(crate) metrics: Metrics,
    /// What is known of where standpipe runs.
    pub(crate) facts: Arc<FactsKeeper>,
    /// What is wrong.
    pub(crate) status: Arc<Status>,
    /// What the admin endpoints show.
    pub(crate) admin: Arc<Admin>,
    /// Who looks at what passes.
    pub(crate) taps: Arc<TapHub>,
    /// What the sources of one generation leave to those of the next.
    pub(crate) sources: Arc<SourceCarryover>,
    /// Who runs the process.
    pub(crate) systemd: Arc<ServiceManager>,
    /// Signals that are still to be acted on.
    pub(crate) signals: SignalQueue,
    /// When the process began.
    pub(crate) began: Instant,
    helpers: JoinSet<()>,
}

impl Carryover {
    /// Reads the positions, and starts what runs throughout.
    ///
    /// # Errors
    /// When the positions cannot be read.
    pub(crate) fn open(
        environment: Environment,
        state: StateDir,
        signals: SignalQueue,
    ) -> Result<Self, CheckpointError> {
        let checkpoints = Checkpoints::open(state.path())?;
        let (metrics, status, systemd) = (Metrics::new(), Arc::<Status>::default(), ServiceManager::new());
        let mut helpers = JoinSet::new();
        let keeper = CheckpointKeeper::new(Arc::clone(&checkpoints), Arc::clone(&status));
        helpers.spawn(keeper.clone().record_often());
        helpers.spawn(keeper.clone().sync_often());
        helpers.spawn(Arc::clone(&systemd).run(Arc::clone(&status), metrics.clone()));
        let began = Instant::now();
        if let Some(report) = environment.report.as_ref().filter(|_| environment.once) {
            let metrics = metrics.clone();
            helpers.spawn(report_often(Arc::clone(report), began, move || metrics.totals()));
        }
        let taps = Arc::<TapHub>::default();
        let live_socket = match LiveServer::bind(state.path(), Arc::clone(&taps)) {
            Ok((server, file)) => {
                helpers.spawn(server.serve());
                Some(file)
            }
            Err(error) => {
                // Nothing of the flow needs it.
                warn!(%error, "no live views: cannot make the socket in the state directory");
                None
            }
        };
        let facts = FactsKeeper::new(environment.metadata.clone());
        Ok(Self {
            environment,
            state,
            checkpoints,
            keeper,
            admin: Admin::new(metrics.clone(), Arc::clone(&status)),
            metrics,
            facts,
            status,
            taps,
            sources: Arc::default(),
            systemd,
            signals,
            began,
            helpers,
            _live_socket: live_socket,
        })
    }

    /// What a source of this name is prepared with, for sinks that let events wait for `linger` at the least.
    pub(crate) fn context(&self, name: &str, linger: Duration) -> SourceContext {
        SourceContext {
            name: name.into(),
            host: Arc::clone(&self.environment.host),
            once: self.environment.once,
            checkpoints: Arc::clone(&self.checkpoints),
            status: Arc::clone(&self.status),
            linger,
            carryover: Arc::clone(&self.sources),
        }
    }

    /// What runs throughout.
    pub(crate) fn helpers(&mut self) -> &mut JoinSet<()> {
        &mut self.helpers
    }

    /// Writes down what is delivered; whether it is on disk.
    pub(crate) async fn save(&self) -> bool {
        self.keeper.save().await
    }
}
