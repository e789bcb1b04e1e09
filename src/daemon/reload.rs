//! A configuration made ready to run, beside another that runs: all that can be wrong with it is known before that one is
//! stopped.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tracing::{error, warn};

use super::carryover::Carryover;
use super::error::RunError;
use super::generation::Generation;
use super::options::Load;
use super::sources::ReadySource;
use crate::admin;
use crate::causes::with_causes;
use crate::config::{Checked, Config, Errors};

/// Everything that a configuration needs to run.
pub(crate) struct Prepared {
    pub(crate) config: Config,
    pub(crate) generation: Generation,
    pub(crate) sources: Vec<ReadySource>,
    pub(crate) admin: AdminSocket,
}

/// The admin endpoints' socket, which the next configuration takes over if it has the same address.
#[derive(Debug)]
pub(crate) struct AdminSocket {
    listen: SocketAddr,
    state: SocketState,
}

#[derive(Debug)]
enum SocketState {
    /// Not served yet.
    Bound(TcpListener),
    /// Served until the last of these is dropped.
    Served(Arc<AdminServer>),
}

/// A task that ends with this value.
#[derive(Debug)]
struct AdminServer(AbortHandle);

impl Drop for AdminServer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Why a configuration does not take the place of the one that runs.
#[derive(Debug, thiserror::Error)]
enum ReloadError {
    /// It is wrong.
    #[error("the configuration is wrong")]
    Config(#[from] Errors),
    /// It is kept elsewhere.
    #[error("`state.dir` is now `{}`, and cannot change while standpipe runs: restart standpipe", now.display())]
    StateDir { now: PathBuf },
    /// It cannot be started.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The thread that read it ended.
    #[error("reading the configuration was interrupted")]
    CutShort,
}

impl Prepared {
    /// Builds the generation, prepares its sources, and binds what is not bound yet.
    ///
    /// # Errors
    /// When it cannot be run.
    pub(crate) async fn new(
        config: Config,
        carryover: &Carryover,
        current: Option<&AdminSocket>,
    ) -> Result<Self, RunError> {
        let watchdog = &carryover.systemd.watchdog;
        let Carryover { metrics, status, taps, .. } = carryover;
        carryover.facts.begin(&config.metadata_needs()).await;
        let facts = carryover.facts.facts();
        let generation = Generation::build(&config, metrics, status, watchdog, taps, facts)?;
        let linger = config.sinks.values().map(|sink| sink.linger).min().unwrap_or_default();
        let mut sources = Vec::new();
        for (name, source) in &config.sources {
            let context = carryover.context(name, linger);
            let prepared = (carryover.environment.prepare)(source.clone(), context).await;
            let prepared = prepared.map_err(|source| RunError::Source { name: name.clone(), source })?;
            sources.extend(prepared.map(|source| ReadySource { name: name.as_str().into(), source }));
        }
        let admin = AdminSocket::open(config.server.listen, current, carryover.environment.once).await?;
        Ok(Self { config, generation, sources, admin })
    }
}

impl AdminSocket {
    /// A run with `--once` may be beside the daemon, which has the address.
    async fn open(listen: SocketAddr, current: Option<&Self>, once: bool) -> Result<Self, RunError> {
        let state = match current {
            Some(Self { listen: same, state: SocketState::Served(server) }) if *same == listen => {
                SocketState::Served(Arc::clone(server))
            }
            _ => SocketState::Bound(match admin::bind(listen).await {
                Err(error) if once => {
                    warn!(error = with_causes(&error), "the admin endpoints of this run get another port");
                    admin::bind(SocketAddr::new(listen.ip(), 0)).await?
                }
                bound => bound?,
            }),
        };
        Ok(Self { listen, state })
    }

    /// Serves the admin endpoints, if they are not served already.
    pub(crate) fn serve(self, carryover: &mut Carryover) -> Self {
        let state = match self.state {
            SocketState::Bound(listener) => {
                let served = admin::serve(listener, Arc::clone(&carryover.admin));
                SocketState::Served(Arc::new(AdminServer(carryover.helpers().spawn(served))))
            }
            served @ SocketState::Served(_) => served,
        };
        Self { state, ..self }
    }
}

/// The configuration as it is now, made ready; none, and why in the log, when that cannot be.
pub(crate) async fn prepare(carryover: &Carryover, current: &AdminSocket) -> Option<Prepared> {
    let prepared = attempt(carryover, current).await;
    carryover.metrics.config_last_reload_successful.set(i64::from(prepared.is_ok()));
    match prepared {
        Ok(prepared) => Some(prepared),
        Err(why) => {
            report(&why, carryover);
            None
        }
    }
}

async fn attempt(carryover: &Carryover, current: &AdminSocket) -> Result<Prepared, ReloadError> {
    let load = Load::clone(&carryover.environment.load);
    let Checked { config, warnings } =
        tokio::task::spawn_blocking(move || load()).await.map_err(|_| ReloadError::CutShort)??;
    if config.state.dir != carryover.state.path() {
        return Err(ReloadError::StateDir { now: config.state.dir });
    }
    let prepared = Prepared::new(config, carryover, Some(current)).await?;
    for warning in warnings {
        warn!(warning = %warning, "configuration");
    }
    Ok(prepared)
}

fn report(why: &ReloadError, carryover: &Carryover) {
    let words = match why {
        ReloadError::Config(errors) => {
            for problem in errors.problems() {
                error!(problem = %problem, "configuration");
            }
            errors.to_string().replace('\n', "; ")
        }
        ReloadError::StateDir { .. } | ReloadError::Run(_) | ReloadError::CutShort => with_causes(why),
    };
    error!(error = words, "not reloaded: the old configuration stays in use");
    carryover
        .status
        .note("reload", format!("The last reload failed: {words}. The old configuration stays in use."));
}
