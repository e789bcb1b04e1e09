//! A plant at work: its sources run until a wish, or until they have ended; then it is drained, and gone.

use std::sync::Arc;

use tokio::task::JoinSet;
use tracing::{info, warn};

use super::drain::{Patience, Rest};
use super::orders::Wish;
use super::plant::Plant;
use super::reload::{self, Prepared, Sockets};
use super::site::Site;
use super::{End, RunError, sources};
use crate::config::{Config, Source};
use crate::event::Stopper;

/// See the module.
pub(super) struct Active {
    config: Config,
    plant: Plant,
    sockets: Sockets,
    sources: sources::Running,
    stopper: Stopper,
    helpers: JoinSet<()>,
}

/// What comes after a plant.
pub(super) enum Next {
    /// Another one.
    Plant(Box<Prepared>),
    /// Nothing.
    End(End),
}

impl Active {
    /// Takes up what is on disk, and starts everything.
    pub(super) async fn start(prepared: Prepared, site: &mut Site) -> Self {
        let Prepared { config, plant, endpoints, sockets } = prepared;
        plant.resume(&config).await;
        let mut helpers = JoinSet::new();
        let letters = Arc::clone(&plant.shared.dead_letters);
        helpers.spawn(letters.run(site.metrics.clone(), Arc::clone(&site.status)));
        let beat = (site.manager.pulses.pulse(), site.manager.round());
        helpers.spawn(plant.clone().tick(site.metrics.clone(), Arc::clone(&site.status), beat));
        site.admin.show(plant.summary(&config));
        let sockets = sockets.serve_admin(site);
        let (stopper, stop) = Stopper::new();
        let context = sources::Context {
            host: Arc::clone(&site.host),
            once: site.once,
            checkpoints: Arc::clone(&site.checkpoints),
            read_buffers: Arc::clone(&site.read_buffers),
            remainder: Arc::clone(&site.remainder),
            stop,
        };
        let sources = sources::spawn(&config, &plant, &site.metrics, endpoints, &context);
        site.manager.ready(config.sources.len(), config.sinks.len());
        info!(sources = config.sources.len(), sinks = config.sinks.len(), "running");
        Self { config, plant, sockets, sources, stopper, helpers }
    }

    /// Runs until something ends it.
    ///
    /// # Errors
    /// When a source failed.
    pub(super) async fn run(mut self, site: &mut Site) -> Result<Next, RunError> {
        loop {
            let wish = tokio::select! {
                failed = sources::ended(&mut self.sources) => return self.end(site, failed).await,
                wish = site.orders.pending() => wish,
            };
            match wish {
                Wish::Stop => {
                    let budget_seconds = self.config.limits.shutdown.as_secs();
                    info!(budget_seconds, "stopping: draining what was read");
                    return self.end(site, None).await;
                }
                Wish::Reload if site.once => warn!("not reloaded: a run with --once ends by itself"),
                Wish::Reload => {
                    if let Some(next) = self.reload(site).await {
                        return Ok(next);
                    }
                }
            }
        }
    }

    /// Drains, and writes down what was delivered.
    async fn end(self, site: &mut Site, failed: Option<RunError>) -> Result<Next, RunError> {
        site.manager.stopping();
        self.stopper.stop();
        let budget = self.config.limits.shutdown;
        let patience = if site.once { Patience::Progress(budget) } else { Patience::Total(budget) };
        let stops = site.orders.stops();
        let rest = self.plant.drain(self.sources, patience, &mut site.orders, stops).await;
        self.plant.close().await;
        let is_saved = site.save().await;
        match failed {
            Some(error) => Err(error),
            // What is delivered and not written down is read again.
            None if !is_saved => Ok(Next::End(End::Deadline)),
            None => Ok(Next::End(rest.end())),
        }
    }

    /// Makes the configuration ready that is to come, and gives way to it; none when it cannot be.
    async fn reload(&mut self, site: &mut Site) -> Option<Next> {
        info!("reloading the configuration");
        site.manager.reloading();
        let Some(prepared) = reload::prepare(site, &self.sockets).await else {
            site.manager.ready(self.config.sources.len(), self.config.sinks.len());
            return None;
        };
        let rest = self.give_way(site, &prepared).await;
        let goes_on = match rest {
            _ if site.orders.stops() == 0 => true,
            // What is left of standard input is in memory: only another plant can deliver it, if there is one to deliver to.
            Rest::Nothing => !site.remainder.is_empty(),
            // A stop drains what is on disk too, for as long as it may.
            Rest::OnDisk => site.orders.stops() == 1,
            Rest::GivenUp => false,
        };
        if goes_on {
            return Some(Next::Plant(Box::new(prepared)));
        }
        site.manager.stopping();
        Some(Next::End(rest.end()))
    }

    /// Drains, and ends everything that another plant could meet.
    async fn give_way(&mut self, site: &mut Site, next: &Prepared) -> Rest {
        let budget = self.config.limits.shutdown;
        info!(
            budget_seconds = budget.as_secs(),
            "the configuration is right: draining what was read with the old one"
        );
        site.remainder.goes_on(next.config.sources.values().any(|source| matches!(source, Source::Stdin(_))));
        self.plant.leave_to(&next.plant);
        self.stopper.stop();
        let sources = std::mem::take(&mut self.sources);
        let rest = self.plant.drain(sources, Patience::Total(budget), &mut site.orders, 1).await;
        self.plant.retire().await;
        self.helpers.shutdown().await;
        for name in self.config.sources.keys() {
            site.metrics.source(name).retire();
        }
        site.save().await;
        site.checkpoints.renew();
        site.status.clear();
        rest
    }
}
