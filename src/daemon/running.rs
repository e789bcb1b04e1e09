//! A generation at work: its sources run until a signal, or until they have ended; then it is drained, and gone.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at};
use tracing::{info, warn};

use super::carryover::Carryover;
use super::drain::{DrainDeadline, DrainOutcome, LAST_WAIT, RunOutcome};
use super::error::RunError;
use super::generation::Generation;
use super::overview::Observer;
use super::reload::{self, AdminSocket, Prepared};
use super::signals::Signal;
use super::sources::RunningSources;
use crate::config::{Config, SourceConfig};
use crate::decode;
use crate::metrics::RunTotals;
use crate::source::Stopper;

/// One configuration, running.
pub(crate) struct RunningGeneration {
    config: Config,
    generation: Arc<Generation>,
    admin: AdminSocket,
    sources: RunningSources,
    stopper: Stopper,
    helpers: JoinSet<()>,
}

/// What comes after a generation.
pub(crate) enum Next {
    /// Another one.
    Generation(Box<Prepared>),
    /// Nothing.
    End(RunOutcome),
}

/// A run that ends by itself says as often how far it is.
const PROGRESS: Duration = Duration::from_secs(10);

/// How long a source may take to finish, beyond the drain.
const FINISH: Duration = Duration::from_secs(5);

impl RunningGeneration {
    /// Takes up what is on disk, and starts everything.
    pub(crate) async fn start(prepared: Prepared, carryover: &mut Carryover) -> Self {
        let Prepared { config, generation, sources: ready, admin } = prepared;
        let generation = Arc::new(generation);
        generation.resume(&config).await;
        let mut helpers = JoinSet::new();
        let letters = Arc::clone(&generation.shared.dead_letters);
        let (metrics, status) = (carryover.metrics.clone(), Arc::clone(&carryover.status));
        helpers.spawn(letters.run(metrics.clone(), Arc::clone(&status)));
        let (activity, every) = (carryover.systemd.watchdog.activity(), carryover.systemd.round());
        status.watch("destinations", "the loop that looks after them is stuck", &activity);
        helpers.spawn(Arc::clone(&generation).tick(metrics, status, activity, every));
        let needs = config.metadata_needs();
        for kind in &needs.kinds {
            helpers.spawn(Arc::clone(&carryover.facts).keep(*kind, needs.clone()));
        }
        carryover.metrics.announce(&config);
        let (metrics, status, host) = (&carryover.metrics, &carryover.status, &carryover.environment.host);
        let observer = Observer::new(&config, &generation, metrics, status, host);
        carryover.taps.name(config.sources.keys().cloned(), config.sinks.keys().cloned());
        carryover.admin.show(Arc::new(move || observer.look()));
        let admin = admin.serve(carryover);
        // What was used to make the configuration ready is not used again.
        standpipe_simd::give_back_code();
        let (stopper, stop) = Stopper::new();
        let mut sources = RunningSources::new();
        for source in ready {
            let framing = config.sources.get(&*source.name).map(|config| decode::framing(config.decoding()));
            let metrics = carryover.metrics.source(&source.name);
            let intake = framing.and_then(|framing| generation.intake(framing, metrics));
            // The workers take chunks until the sources have ended, and every prepared source is configured.
            if let Some(intake) = intake {
                sources.start(source, intake, stop.clone());
            }
        }
        carryover.systemd.ready(config.sources.len(), config.sinks.len());
        info!(sources = config.sources.len(), sinks = config.sinks.len(), "running");
        Self { config, generation, admin, sources, stopper, helpers }
    }

    /// Runs until something ends it.
    ///
    /// # Errors
    /// When a source failed.
    pub(crate) async fn run(mut self, carryover: &mut Carryover) -> Result<Next, RunError> {
        let generation = Arc::clone(&self.generation);
        let budget = self.config.limits.shutdown;
        let standstill = generation.standstill(budget);
        tokio::pin!(standstill);
        let mut progress = interval_at(Instant::now() + PROGRESS, PROGRESS);
        let (once, limit) = if carryover.environment.once {
            (true, DrainDeadline::Progress(budget))
        } else {
            (false, DrainDeadline::Total(budget))
        };
        loop {
            let signal = tokio::select! {
                failed = self.sources.ended() => return self.end(carryover, failed, limit).await,
                signal = carryover.signals.pending() => signal,
                _ = progress.tick(), if once && carryover.environment.report.is_none() => {
                    let RunTotals { read, delivered, billed_bytes, .. } = carryover.metrics.totals();
                    info!(read, delivered, billed_bytes, "in progress");
                    continue;
                }
                // Nobody waits for a run that ends by itself, and what holds its sources up may never end.
                () = standstill.as_mut(), if once => {
                    warn!(seconds = budget.as_secs(), "giving up: nothing was delivered for `limits.shutdown`");
                    return self.end(carryover, None, DrainDeadline::Total(LAST_WAIT)).await;
                }
            };
            match signal {
                Signal::Stop => {
                    info!(budget_seconds = budget.as_secs(), "stopping: draining what was read");
                    return self.end(carryover, None, limit).await;
                }
                Signal::Reload if once => {
                    warn!("not reloaded: a run with --once does not reload");
                }
                Signal::Reload => {
                    if let Some(next) = self.reload(carryover).await {
                        return Ok(next);
                    }
                }
            }
        }
    }

    /// Drains, finishes the sources, and writes down what was delivered.
    async fn end(
        mut self,
        carryover: &mut Carryover,
        failed: Option<RunError>,
        deadline: DrainDeadline,
    ) -> Result<Next, RunError> {
        carryover.systemd.stopping();
        self.stopper.stop();
        let stops = carryover.signals.stops();
        let drained = self.generation.drain(&mut self.sources, deadline, &mut carryover.signals, stops).await;
        self.sources.cut_short().await;
        self.generation.close().await;
        // Ack guards that nobody will settle any more end here: sources are finished when everything that they handed out has ended.
        self.generation.release();
        self.sources.finish(FINISH).await;
        let is_saved = carryover.save().await;
        let is_lost = carryover.sources.report_lost();
        match failed {
            Some(error) => Err(error),
            None if is_lost => Ok(Next::End(RunOutcome::Lost)),
            // What is delivered and not written down is read again.
            None if !is_saved => Ok(Next::End(RunOutcome::Undelivered)),
            None => Ok(Next::End(drained.outcome())),
        }
    }

    /// Makes the configuration ready that is to come, and gives way to it; none when it cannot be.
    async fn reload(&mut self, carryover: &mut Carryover) -> Option<Next> {
        info!("reloading the configuration");
        carryover.systemd.reloading();
        let Some(prepared) = reload::prepare(carryover, &self.admin).await else {
            carryover.systemd.ready(self.config.sources.len(), self.config.sinks.len());
            return None;
        };
        let drained = self.give_way(carryover, &prepared).await;
        let goes_on = match drained {
            _ if carryover.signals.stops() == 0 => true,
            // What a source left in memory, only another generation can deliver, if there is one to deliver to.
            DrainOutcome::Delivered => carryover.sources.holds_data(),
            // A stop drains what is on disk too, for as long as it may.
            DrainOutcome::OnDisk => carryover.signals.stops() == 1,
            DrainOutcome::GivenUp => false,
        };
        if goes_on {
            return Some(Next::Generation(Box::new(prepared)));
        }
        carryover.systemd.stopping();
        let outcome = if carryover.sources.report_lost() { RunOutcome::Lost } else { drained.outcome() };
        Some(Next::End(outcome))
    }

    /// Drains, and ends everything that another generation could meet.
    async fn give_way(&mut self, carryover: &mut Carryover, next: &Prepared) -> DrainOutcome {
        let budget = self.config.limits.shutdown;
        info!(
            budget_seconds = budget.as_secs(),
            "the new configuration is valid: draining what was read with the old one"
        );
        let successors: BTreeSet<&'static str> =
            next.config.sources.values().map(SourceConfig::kind).collect();
        carryover.sources.announce(&successors);
        self.generation.hand_over(&next.generation);
        self.stopper.stop();
        let deadline = DrainDeadline::Total(budget);
        let drained = self.generation.drain(&mut self.sources, deadline, &mut carryover.signals, 1).await;
        self.sources.cut_short().await;
        self.generation.retire().await;
        std::mem::replace(&mut self.sources, RunningSources::new()).finish(FINISH).await;
        self.helpers.shutdown().await;
        for name in self.config.sources.keys() {
            carryover.metrics.source(name).retire();
        }
        carryover.save().await;
        carryover.checkpoints.renew();
        carryover.status.clear();
        drained
    }
}
