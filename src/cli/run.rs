//! `standpipe run`: the daemon.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tracing::{Level, enabled, error, warn};

use super::progress::{progress, summary};
use super::terminal::{StatusLine, can_rewrite};
use super::{configuration, exit, logging};
use crate::causes::with_causes;
use crate::config::{Checked, inspect};
use crate::daemon::{self, Environment, Load, Run, RunOutcome, RunReport, Signal, TellReport};
use crate::metadata::MetadataEndpoints;
use crate::source;

/// How to run.
#[derive(Clone, Copy, Debug)]
pub struct RunManner {
    /// Deliver what is there, and end.
    pub once: bool,
    /// Say only what is wrong.
    pub quiet: bool,
}

/// Runs until a signal, or until there is nothing more to read; returns the exit code.
///
/// # Errors
/// When `err` cannot be written.
pub fn run(
    files: &[PathBuf],
    environment: &BTreeMap<String, String>,
    manner: RunManner,
    err: &mut impl Write,
) -> io::Result<u8> {
    let Some(checked) = configuration(files, environment, err)? else { return Ok(exit::CONFIG) };
    source::file::raise_descriptor_limit();
    let status = Arc::<StatusLine>::default();
    let limit = logging::start(environment, manner.quiet, &status);
    let runtime = runtime(checked.config.limits.workers)?;
    runtime.spawn(limit.report());
    let load: Load = {
        let (files, environment) = (files.to_vec(), environment.clone());
        Arc::new(move || inspect(&files, &environment))
    };
    let looks_on = manner.once && can_rewrite(environment, io::stderr().is_terminal());
    let report = looks_on.then(|| report_to(&status, manner.quiet));
    let metadata = MetadataEndpoints::of_environment(environment);
    let served = runtime.block_on(serve(checked, load, metadata, manner.once, report));
    // What still blocks, such as a read of a terminal, must not keep the process.
    runtime.shutdown_background();
    match served {
        Ok(RunOutcome::Drained) => Ok(exit::DONE),
        Ok(RunOutcome::Undelivered) => Ok(exit::UNDELIVERED),
        // The log says what.
        Ok(RunOutcome::Lost) => Ok(exit::FAILED),
        Err(why) => {
            // Whoever turned the log off still has to know why nothing runs.
            if enabled!(Level::ERROR) {
                error!(error = why, "failed");
            } else {
                writeln!(err, "standpipe: {why}")?;
            }
            Ok(exit::FAILED)
        }
    }
}

/// Tells whoever sits at the terminal how far the run is, in a line that is rewritten, and at its end what it did.
pub(super) fn report_to(status: &Arc<StatusLine>, quiet: bool) -> TellReport {
    let status = Arc::clone(status);
    Arc::new(move |report: &RunReport| match report.outcome.filter(|_| !quiet) {
        None if quiet => {}
        None => status.show(&progress(report)),
        // Nobody is left to tell when the terminal is gone.
        Some(outcome) => {
            status.instead(format!("{}\n", summary(report, outcome)).as_bytes()).ok();
        }
    })
}

/// The threads that wait; `workers` is how many do the work beside them.
pub(super) fn runtime(workers: usize) -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers.clamp(1, 8))
        .thread_name("async")
        .enable_all()
        .build()
}

async fn serve(
    checked: Checked,
    load: Load,
    metadata: MetadataEndpoints,
    once: bool,
    report: Option<TellReport>,
) -> Result<RunOutcome, String> {
    let Checked { config, warnings } = checked;
    for warning in warnings {
        warn!(warning = %warning, "configuration");
    }
    let signals = signals(Signal::Reload).map_err(|error| format!("cannot listen for signals: {error}"))?;
    let host = Arc::from(gethostname::gethostname().to_string_lossy());
    let prepare = Arc::new(source::prepare);
    let environment = Environment { host, once, load, metadata, prepare, report };
    let run = Run { config, environment, signals };
    daemon::run(run).await.map_err(|error| with_causes(&error))
}

/// SIGTERM, SIGINT and SIGHUP, each as a message; what the last one signals for depends on the command.
pub(super) fn signals(on_hang_up: Signal) -> io::Result<mpsc::Receiver<Signal>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let (sender, receiver) = mpsc::channel(2);
    // Ends with the runtime.
    tokio::spawn(async move {
        loop {
            let signal = tokio::select! {
                _ = terminate.recv() => Signal::Stop,
                _ = interrupt.recv() => Signal::Stop,
                _ = hang_up.recv() => on_hang_up,
            };
            if sender.send(signal).await.is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}
