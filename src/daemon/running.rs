//! A generation at work: its sources run until a signal, or until they have ended; then it is drained, and gone.

use std::sync::Arc;

use tokio::task::JoinSet;
use tracing::{info, warn};

use super::carryover::Carryover;
use super::drain::{DrainDeadline, DrainOutcome};
use super::generation::Generation;
use super::reload::{self, Prepared, Sockets};
use super::signals::Signal;
use super::{End, RunError, sources};
use crate::config::{Config, Source};
use crate::source::Stopper;

/// See the module.
pub(crate) struct RunningGeneration {
    config: Config,
    generation: Generation,
    sockets: Sockets,
    sources: sources::Running,
    stopper: Stopper,
    helpers: JoinSet<()>,
}

/// What comes after a generation.
pub(crate) enum Next {
    /// Another one.
    Generation(Box<Prepared>),
    /// Nothing.
    End(End),
}

impl RunningGeneration {
    /// Takes up what is on disk, and starts everything.
    pub(crate) async fn start(prepared: Prepared, carryover: &mut Carryover) -> Self {
        let Prepared { config, generation, endpoints, sockets } = prepared;
        generation.resume(&config).await;
        let mut helpers = JoinSet::new();
        let letters = Arc::clone(&generation.shared.dead_letters);
        helpers.spawn(letters.run(carryover.metrics.clone(), Arc::clone(&carryover.status)));
        let all_progressed = (carryover.systemd.watchdog.activity(), carryover.systemd.round());
        helpers.spawn(generation.clone().tick(
            carryover.metrics.clone(),
            Arc::clone(&carryover.status),
            all_progressed,
        ));
        carryover.metrics.announce(&config);
        carryover.admin.show(generation.summary(&config));
        let sockets = sockets.serve_admin(carryover);
        let (stopper, stop) = Stopper::new();
        let context = sources::Context {
            host: Arc::clone(&carryover.host),
            once: carryover.once,
            checkpoints: Arc::clone(&carryover.checkpoints),
            read_buffers: Arc::clone(&carryover.read_buffers),
            remainder: Arc::clone(&carryover.remainder),
            status: Arc::clone(&carryover.status),
            stop,
        };
        let sources = sources::spawn(&config, &generation, &carryover.metrics, endpoints, &context);
        carryover.systemd.ready(config.sources.len(), config.sinks.len());
        info!(sources = config.sources.len(), sinks = config.sinks.len(), "running");
        Self { config, generation, sockets, sources, stopper, helpers }
    }

    /// Runs until something ends it.
    ///
    /// # Errors
    /// When a source failed.
    pub(crate) async fn run(mut self, carryover: &mut Carryover) -> Result<Next, RunError> {
        loop {
            let signal = tokio::select! {
                failed = sources::ended(&mut self.sources) => return self.end(carryover, failed).await,
                signal = carryover.signals.pending() => signal,
            };
            match signal {
                Signal::Stop => {
                    let budget_seconds = self.config.limits.shutdown.as_secs();
                    info!(budget_seconds, "stopping: draining what was read");
                    return self.end(carryover, None).await;
                }
                Signal::Reload if carryover.once => warn!("not reloaded: a run with --once ends by itself"),
                Signal::Reload => {
                    if let Some(next) = self.reload(carryover).await {
                        return Ok(next);
                    }
                }
            }
        }
    }

    /// Drains, and writes down what was delivered.
    async fn end(self, carryover: &mut Carryover, failed: Option<RunError>) -> Result<Next, RunError> {
        carryover.systemd.stopping();
        self.stopper.stop();
        let budget = self.config.limits.shutdown;
        let deadline =
            if carryover.once { DrainDeadline::Progress(budget) } else { DrainDeadline::Total(budget) };
        let stops = carryover.signals.stops();
        let rest = self.generation.drain(self.sources, deadline, &mut carryover.signals, stops).await;
        self.generation.close().await;
        let is_saved = carryover.save().await;
        match failed {
            Some(error) => Err(error),
            // What is delivered and not written down is read again.
            None if !is_saved => Ok(Next::End(End::Deadline)),
            None => Ok(Next::End(rest.end())),
        }
    }

    /// Makes the configuration ready that is to come, and gives way to it; none when it cannot be.
    async fn reload(&mut self, carryover: &mut Carryover) -> Option<Next> {
        info!("reloading the configuration");
        carryover.systemd.reloading();
        let Some(prepared) = reload::prepare(carryover, &self.sockets).await else {
            carryover.systemd.ready(self.config.sources.len(), self.config.sinks.len());
            return None;
        };
        let rest = self.give_way(carryover, &prepared).await;
        let goes_on = match rest {
            _ if carryover.signals.stops() == 0 => true,
            // What is left of standard input is in memory: only another generation can deliver it, if there is one to deliver to.
            DrainOutcome::Nothing => !carryover.remainder.is_empty(),
            // A stop drains what is on disk too, for as long as it may.
            DrainOutcome::OnDisk => carryover.signals.stops() == 1,
            DrainOutcome::GivenUp => false,
        };
        if goes_on {
            return Some(Next::Generation(Box::new(prepared)));
        }
        carryover.systemd.stopping();
        Some(Next::End(rest.end()))
    }

    /// Drains, and ends everything that another generation could meet.
    async fn give_way(&mut self, carryover: &mut Carryover, next: &Prepared) -> DrainOutcome {
        let budget = self.config.limits.shutdown;
        info!(
            budget_seconds = budget.as_secs(),
            "the configuration is right: draining what was read with the old one"
        );
        carryover
            .remainder
            .goes_on(next.config.sources.values().any(|source| matches!(source, Source::Stdin(_))));
        self.generation.hand_over(&next.generation);
        self.stopper.stop();
        let sources = std::mem::take(&mut self.sources);
        let rest =
            self.generation.drain(sources, DrainDeadline::Total(budget), &mut carryover.signals, 1).await;
        self.generation.retire().await;
        self.helpers.shutdown().await;
        for name in self.config.sources.keys() {
            carryover.metrics.source(name).retire();
        }
        carryover.save().await;
        carryover.checkpoints.renew();
        carryover.status.clear();
        rest
    }
}
