//! What stays while plants come and go: positions, counters, the admin endpoints, standard input, and who runs the process.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::signals::SignalQueue;
use super::systemd::ServiceManager;
use super::{Load, checkpoint_task};
use crate::ack::{CheckpointError, Checkpoints};
use crate::admin::Admin;
use crate::event::Buffers;
use crate::health::Status;
use crate::metrics::Metrics;
use crate::source::{file, stdin};
use crate::state::StateDir;

/// See the module.
pub(crate) struct Carryover {
    /// The name of the host.
    pub(crate) host: Arc<str>,
    /// Read what is there, and end.
    pub(crate) once: bool,
    /// Reads the configuration.
    pub(crate) load: Load,
    /// The state directory, locked.
    pub(crate) state: StateDir,
    /// Where files were read to.
    pub(crate) checkpoints: Arc<Checkpoints>,
    /// Counters go on through a reload.
    pub(crate) metrics: Metrics,
    /// What is wrong.
    pub(crate) status: Arc<Status>,
    /// What the admin endpoints show.
    pub(crate) admin: Arc<Admin>,
    /// What files are read into.
    pub(crate) read_buffers: Arc<Buffers>,
    /// What standard input left.
    pub(crate) remainder: Arc<stdin::StdinCarryover>,
    /// Who runs the process.
    pub(crate) systemd: Arc<ServiceManager>,
    /// What is wished for.
    pub(crate) signals: SignalQueue,
    helpers: JoinSet<()>,
}

impl Carryover {
    /// Reads the positions, and starts what runs throughout.
    ///
    /// # Errors
    /// When the positions cannot be read.
    pub(crate) fn open(
        (host, once): (Arc<str>, bool),
        load: Load,
        state: StateDir,
        signals: SignalQueue,
    ) -> Result<Self, CheckpointError> {
        let checkpoints = Checkpoints::open(state.path())?;
        let (metrics, status, systemd) = (Metrics::new(), Arc::<Status>::default(), ServiceManager::new());
        let mut helpers = JoinSet::new();
        helpers.spawn(checkpoint_task::save_often(Arc::clone(&checkpoints), Arc::clone(&status)));
        helpers.spawn(Arc::clone(&systemd).run(Arc::clone(&status), metrics.clone()));
        Ok(Self {
            host,
            once,
            load,
            state,
            checkpoints,
            admin: Admin::new(metrics.clone(), Arc::clone(&status)),
            metrics,
            status,
            read_buffers: file::read_buffers(),
            remainder: Arc::default(),
            systemd,
            signals,
            helpers,
        })
    }

    /// What runs throughout.
    pub(crate) fn helpers(&mut self) -> &mut JoinSet<()> {
        &mut self.helpers
    }

    /// Writes down what is delivered; whether it is on disk.
    pub(crate) async fn save(&self) -> bool {
        checkpoint_task::save(&self.checkpoints, &self.status).await
    }
}
