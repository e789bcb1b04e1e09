//! A configuration made ready to run, beside another that runs: all that can be wrong with it is known before that one is
//! stopped.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tracing::{error, warn};

use super::carryover::Carryover;
use super::generation::Generation;
use super::{Load, RunError};
use crate::admin;
use crate::causes::with_causes;
use crate::config::{Checked, Config, Errors, Source};
use crate::source::firehose_http::HttpEndpoint;

/// Endpoints by the names of their sources.
pub(crate) type Endpoints = BTreeMap<String, HttpEndpoint>;

/// Everything that a configuration needs to run.
pub(crate) struct Prepared {
    pub(crate) config: Config,
    pub(crate) generation: Generation,
    pub(crate) endpoints: Endpoints,
    pub(crate) sockets: Sockets,
}

/// The sockets of a configuration, so that the next one takes over those that stay.
#[derive(Debug)]
pub(crate) struct Sockets {
    admin: (SocketAddr, AdminSocket),
    sources: Vec<(String, SocketAddr, Arc<TcpListener>)>,
}

/// The admin endpoints' socket.
#[derive(Debug)]
enum AdminSocket {
    /// Not served yet.
    Bound(TcpListener),
    /// Served until it is dropped.
    Served(Arc<Server>),
}

/// A task that ends with this value.
#[derive(Debug)]
struct Server(AbortHandle);

impl Drop for Server {
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
    #[error("`state.dir` is now `{}`, and cannot change while standpipe runs: restart it", now.display())]
    StateDir { now: PathBuf },
    /// It cannot be started.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The thread that read it ended.
    #[error("reading the configuration was cut short")]
    CutShort,
}

impl Prepared {
    /// Builds the generation and binds what is not bound yet.
    ///
    /// # Errors
    /// When it cannot be run.
    pub(crate) async fn new(
        config: Config,
        carryover: &Carryover,
        current: Option<&Sockets>,
    ) -> Result<Self, RunError> {
        let generation =
            Generation::build(&config, &carryover.metrics, &carryover.status, &carryover.systemd.watchdog)?;
        let mut endpoints = Endpoints::new();
        let mut sources = Vec::new();
        for (name, source) in &config.sources {
            let Source::FirehoseHttp(http) = source else { continue };
            if carryover.once {
                continue;
            }
            let bound = current.and_then(|current| current.of_source(name, http.listen));
            let endpoint = HttpEndpoint::open(http.clone(), bound).await.map_err(|error| {
                RunError::Source { source_name: name.clone(), message: with_causes(&error) }
            })?;
            sources.push((name.clone(), http.listen, endpoint.listener()));
            endpoints.insert(name.clone(), endpoint);
        }
        let listen = config.server.listen;
        let admin = match current.and_then(|current| current.of_admin(listen)) {
            Some(server) => AdminSocket::Served(server),
            None => AdminSocket::Bound(admin::bind(listen).await?),
        };
        Ok(Self { config, generation, endpoints, sockets: Sockets { admin: (listen, admin), sources } })
    }
}

impl Sockets {
    /// The socket of a source; another source's, if it has the same address.
    fn of_source(&self, name: &str, listen: SocketAddr) -> Option<Arc<TcpListener>> {
        let same = |(known, address, _): &&(String, SocketAddr, _)| {
            *address == listen && (listen.port() != 0 || known == name)
        };
        self.sources.iter().find(same).map(|(_, _, listener)| Arc::clone(listener))
    }

    fn of_admin(&self, listen: SocketAddr) -> Option<Arc<Server>> {
        match &self.admin {
            (address, AdminSocket::Served(server)) if *address == listen => Some(Arc::clone(server)),
            _ => None,
        }
    }

    /// Serves the admin endpoints, if they are not served already.
    pub(crate) fn serve_admin(self, carryover: &mut Carryover) -> Self {
        let (listen, socket) = self.admin;
        let socket = match socket {
            AdminSocket::Bound(listener) => {
                let served = admin::serve(listener, Arc::clone(&carryover.admin));
                AdminSocket::Served(Arc::new(Server(carryover.helpers().spawn(served))))
            }
            served @ AdminSocket::Served(_) => served,
        };
        Self { admin: (listen, socket), ..self }
    }
}

/// The configuration as it is now, made ready; none, and why in the log, when that cannot be.
pub(crate) async fn prepare(carryover: &Carryover, current: &Sockets) -> Option<Prepared> {
    let prepared = attempt(carryover, current).await;
    carryover.metrics.config_last_reload_successful.set(i64::from(prepared.is_ok()));
    match prepared {
        Ok(prepared) => Some(prepared),
        Err(why) => {
            report_issue(&why, carryover);
            None
        }
    }
}

async fn attempt(carryover: &Carryover, current: &Sockets) -> Result<Prepared, ReloadError> {
    let load = Load::clone(&carryover.load);
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

fn report_issue(why: &ReloadError, carryover: &Carryover) {
    let words = match why {
        ReloadError::Config(errors) => {
            for problem in errors.problems() {
                error!(problem = %problem, "configuration");
            }
            errors.to_string().replace('\n', "; ")
        }
        ReloadError::StateDir { .. } | ReloadError::Run(_) | ReloadError::CutShort => with_causes(why),
    };
    error!(error = words, "not reloaded: what ran before runs on, with the configuration it had");
    carryover.status.note("reload", format!("The last reload failed: {words}. What ran before runs on."));
}
