//! The configured sources, running.

use std::sync::Arc;
use std::thread;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tracing::info;

use super::RunError;
use super::generation::Generation;
use super::reload::Endpoints;
use crate::ack::Checkpoints;
use crate::causes::with_causes;
use crate::config::{Config, Decoding, Source};
use crate::event::{Buffers, FilePositions};
use crate::metrics::Metrics;
use crate::pipeline::Intake;
use crate::source::Stop;
use crate::source::file::{self, FileSetup};
use crate::source::{firehose_http, stdin};

/// What every source is given.
#[derive(Debug)]
pub(crate) struct Context {
    /// The name of the host.
    pub(crate) host: Arc<str>,
    /// Read what is there, and end.
    pub(crate) once: bool,
    /// Where files were read to.
    pub(crate) checkpoints: Arc<Checkpoints>,
    /// What files are read into.
    pub(crate) read_buffers: Arc<Buffers>,
    /// What standard input left.
    pub(crate) remainder: Arc<stdin::StdinCarryover>,
    /// The signal to stop.
    pub(crate) stop: Stop,
}

/// Sources by name, each with how it ended.
pub(crate) type Running = JoinSet<(String, Result<(), String>)>;

/// Starts every source.
pub(crate) fn spawn(
    config: &Config,
    generation: &Generation,
    metrics: &Metrics,
    mut endpoints: Endpoints,
    context: &Context,
) -> Running {
    let mut running = Running::new();
    for (name, source) in &config.sources {
        // The job_queue is open until the sources have ended.
        let Some(intake) = generation.intake(decoding(source), metrics.source(name)) else { continue };
        let endpoint = endpoints.remove(name);
        start(&mut running, name, (source.clone(), endpoint), intake, context);
    }
    running
}

/// How a source's payloads become events.
pub(crate) fn decoding(source: &Source) -> &Decoding {
    match source {
        Source::File(file) => &file.decoding,
        Source::Stdin(stdin) => &stdin.decoding,
        Source::FirehoseHttp(http) => &http.decoding,
    }
}

/// Waits until every source has ended by itself, or one has failed.
pub(crate) async fn ended(running: &mut Running) -> Option<RunError> {
    while let Some(ended) = running.join_next().await {
        let failure = match ended {
            Ok((_, Ok(()))) => continue,
            Ok((source_name, Err(message))) => RunError::Source { source_name, message },
            Err(error) => RunError::Source { source_name: "unknown".to_owned(), message: error.to_string() },
        };
        return Some(failure);
    }
    None
}

/// Waits until every source has ended, however.
pub(crate) async fn all_ended(mut running: Running) {
    while running.join_next().await.is_some() {}
}

fn start(
    running: &mut Running,
    name: &str,
    (source, endpoint): (Source, Option<firehose_http::Endpoint>),
    intake: Intake,
    context: &Context,
) {
    let (named, host, stop) = (Arc::<str>::from(name), Arc::clone(&context.host), context.stop.clone());
    let name = name.to_owned();
    match source {
        Source::File(file) => {
            let positions = Arc::<Checkpoints>::clone(&context.checkpoints);
            let setup = FileSetup {
                name: named,
                host,
                config: file,
                intake,
                positions: positions as Arc<dyn FilePositions>,
                buffers: Arc::clone(&context.read_buffers),
                once: context.once,
            };
            on_thread(running, name, async move { file::run(setup, stop).await });
        }
        Source::Stdin(stdin) => {
            let carryover = Arc::clone(&context.remainder);
            on_thread(
                running,
                name,
                async move { stdin::run(named, host, stdin, intake, carryover, stop).await },
            );
        }
        Source::FirehoseHttp(_) => {
            let Some(endpoint) = endpoint else {
                info!(
                    source = name,
                    "not started: a run with --once reads what is there, and requests are not"
                );
                return;
            };
            info!(source = name, address = %endpoint.address(), "firehose endpoint listening");
            running.spawn(async move {
                firehose_http::serve(endpoint, named, host, intake, stop).await;
                (name, Ok(()))
            });
        }
    }
}

/// Runs a source that blocks on reads on a thread of its own.
pub(crate) fn on_thread<E: std::error::Error + Send + 'static>(
    running: &mut Running,
    name: String,
    source: impl Future<Output = Result<(), E>> + Send + 'static,
) {
    let (done, result) = oneshot::channel();
    let runtime = Handle::current();
    let body = move || {
        let ended = runtime.block_on(source).map_err(|error| with_causes(&error));
        // Nobody listens any more when the process is past its deadline.
        done.send(ended).ok();
    };
    let started = thread::Builder::new().name(format!("source-{name}")).spawn(body);
    running.spawn(async move {
        let ended = match started {
            Ok(_detached) => result.await.unwrap_or_else(|_| Err("its thread ended unexpectedly".to_owned())),
            Err(error) => Err(format!("cannot start a thread: {error}")),
        };
        (name, ended)
    });
}
