//! What stays while plants come and go: positions, counters, the admin endpoints, standard input, and who runs the process.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::manager::Manager;
use super::orders::Orders;
use super::{Load, saving};
use crate::ack::{CheckpointError, Checkpoints};
use crate::admin::Admin;
use crate::event::Buffers;
use crate::metrics::Metrics;
use crate::source::{file, stdin};
use crate::state::StateDir;
use crate::status::Status;

/// See the module.
pub(super) struct Site {
    /// The name of the host.
    pub(super) host: Arc<str>,
    /// Read what is there, and end.
    pub(super) once: bool,
    /// Reads the configuration.
    pub(super) load: Load,
    /// The state directory, locked.
    pub(super) state: StateDir,
    /// Where files were read to.
    pub(super) checkpoints: Arc<Checkpoints>,
    /// Counters go on through a reload.
    pub(super) metrics: Metrics,
    /// What is wrong.
    pub(super) status: Arc<Status>,
    /// What the admin endpoints show.
    pub(super) admin: Arc<Admin>,
    /// What files are read into.
    pub(super) read_buffers: Arc<Buffers>,
    /// What standard input left.
    pub(super) remainder: Arc<stdin::Remainder>,
    /// Who runs the process.
    pub(super) manager: Arc<Manager>,
    /// What is wished for.
    pub(super) orders: Orders,
    helpers: JoinSet<()>,
}

impl Site {
    /// Reads the positions, and starts what runs throughout.
    ///
    /// # Errors
    /// When the positions cannot be read.
    pub(super) fn open(
        (host, once): (Arc<str>, bool),
        load: Load,
        state: StateDir,
        orders: Orders,
    ) -> Result<Self, CheckpointError> {
        let checkpoints = Checkpoints::open(state.path())?;
        let (metrics, status, manager) = (Metrics::new(), Arc::<Status>::default(), Manager::new());
        let mut helpers = JoinSet::new();
        helpers.spawn(saving::save_often(Arc::clone(&checkpoints), Arc::clone(&status)));
        helpers.spawn(Arc::clone(&manager).run(Arc::clone(&status), metrics.clone()));
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
            manager,
            orders,
            helpers,
        })
    }

    /// What runs throughout.
    pub(super) fn helpers(&mut self) -> &mut JoinSet<()> {
        &mut self.helpers
    }

    /// Writes down what is delivered; whether it is on disk.
    pub(super) async fn save(&self) -> bool {
        saving::save(&self.checkpoints, &self.status).await
    }
}
