//! What is built from one configuration: memory, sinks, workers, and the way into them.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::destination::{Common, Outlet};
use super::feed::Shares;
use super::pulse::{Pulse, Pulses};
use super::worker::{self, Inlet, Queues, Works};
use super::{RunError, leftover, sources};
use crate::admin;
use crate::batch;
use crate::buffer;
use crate::config::{Config, Decoding, Source};
use crate::deadletter::{DeadLetters, Limits};
use crate::decode::Decoder;
use crate::event::{Budget, Buffers, Intake, Jobs, Offload};
use crate::metrics::{Metrics, SourceMetrics, gauge};
use crate::route::Router;
use crate::sink::{self, Digester, Shared};
use crate::status::Status;

/// Chunks waiting for a worker, at the most.
const JOBS: usize = 64;

/// Pieces of the sinks' work waiting for a worker, at the most.
const TASKS: usize = 64;

/// Buffers for written events that are kept at rest.
const BLOCKS: usize = 64;

/// Buffers for records read from disk that are kept at rest.
const READ_BUFFERS: usize = 4;

/// Buffers for request bodies that are kept at rest.
const BODIES: usize = 4;

/// Of eight parts of the memory, so many are for requests under way; the rest is for what waits.
const REQUEST_EIGHTHS: u64 = 3;

/// Dead letters that cannot be written may take one of so many parts of what waits, for each sink or source.
const DEAD_LETTER_SHARES: u64 = 8;

/// Sources that wait for memory for so long are complained of.
const LONG: Duration = Duration::from_secs(2);

/// Workers and sinks, and the way into them.
#[derive(Clone, Debug)]
pub(super) struct Plant {
    /// The memory of what waits.
    pub(super) budget: Arc<Budget>,
    /// What the sinks share.
    pub(super) shared: Shared,
    /// How memory is shared among destinations.
    pub(super) shares: Arc<Shares>,
    /// Told when a gate opens.
    pub(super) gate_opened: Arc<Notify>,
    /// The sinks.
    pub(super) outlets: Arc<[Arc<Outlet>]>,
    /// The running deliveries. The lock covers a spawn.
    pub(super) deliveries: Arc<Mutex<JoinSet<()>>>,
    /// What keeps records on disk. The lock covers a spawn.
    pub(super) spools: Arc<Mutex<JoinSet<()>>>,
    /// The lock covers a look, or the taking.
    pub(super) entrance: Arc<Mutex<Option<Entrance>>>,
    /// Closed when every worker has seen the end of the jobs.
    pub(super) decoding: Arc<watch::Sender<()>>,
    /// Dropped to end the workers whatever is still queued.
    workers: Arc<Mutex<Option<crossbeam_channel::Sender<Infallible>>>>,
    memory_limit: u64,
}

/// The way in, closed when the sources have ended.
#[derive(Debug)]
pub(super) struct Entrance {
    jobs: crossbeam_channel::Sender<Jobs>,
    places: Arc<Semaphore>,
}

impl Plant {
    /// Builds everything; nothing flows before the sources start.
    ///
    /// # Errors
    /// When a sink's settings are of no use, or a thread cannot be started.
    pub(super) fn build(
        config: &Config,
        metrics: &Metrics,
        status: &Arc<Status>,
        pulses: &Pulses,
    ) -> Result<Self, RunError> {
        let requests = config.limits.memory / 8 * REQUEST_EIGHTHS;
        let budget = Budget::new(config.limits.memory.saturating_sub(requests));
        let (offload, tasks) = Offload::new(TASKS);
        let gate_opened = Arc::new(Notify::new());
        let share = usize::try_from(budget.limit() / DEAD_LETTER_SHARES).unwrap_or(usize::MAX);
        let limits = Limits::new(config.state.max_dead_letters);
        let dead_letters = DeadLetters::new(&config.state.dir, limits, share, Arc::clone(&gate_opened));
        let for_sinks = for_sinks(requests, offload, dead_letters, Arc::clone(status));
        let shares = Shares::new(Arc::clone(&budget));
        let (deliveries, spools) = (Arc::<Mutex<_>>::default(), Arc::<Mutex<_>>::default());
        let common = Common {
            shared: for_sinks.clone(),
            shares: Arc::clone(&shares),
            gate_opened: Arc::clone(&gate_opened),
            runtime: Handle::current(),
            deliveries: Arc::clone(&deliveries),
            spools: Arc::clone(&spools),
            state: config.state.dir.as_path().into(),
            read_buffers: Buffers::new(buffer::disk::BUFFER_BYTES, READ_BUFFERS),
        };
        let outlet = |(name, sink): (&String, _)| {
            let outlet = Outlet::new(name, sink, metrics.sink(name), common.clone());
            outlet.map(Arc::new).map_err(|source| RunError::Sink { sink: name.clone(), source })
        };
        let outlets: Arc<[_]> = config.sinks.iter().map(outlet).collect::<Result<_, _>>()?;
        let names: Vec<&str> = config.sinks.keys().map(String::as_str).collect();
        let router = Arc::new(Router::new(&config.routes, &names)?);
        let works = Arc::new(Works {
            inlets: inlets(config, metrics),
            outlets: Arc::clone(&outlets),
            router,
            metrics: metrics.clone(),
            blocks: Buffers::new(batch::BUFFER_BYTES, BLOCKS),
            dead_letters: Arc::clone(&for_sinks.dead_letters),
        });
        let (employment, dismissed) = crossbeam_channel::bounded(0);
        let (decoding, at_work) = watch::channel(());
        let (jobs, receiver) = crossbeam_channel::bounded(JOBS);
        let places = Arc::new(Semaphore::new(JOBS));
        let queues =
            Queues { jobs: receiver, places: Arc::clone(&places), tasks, dismissed, decoding: at_work };
        worker::spawn(config.limits.workers, &works, &queues, pulses).map_err(RunError::Thread)?;
        Ok(Self {
            budget,
            shared: for_sinks,
            shares,
            gate_opened,
            outlets,
            deliveries,
            spools,
            entrance: Arc::new(Mutex::new(Some(Entrance { jobs, places }))),
            decoding: Arc::new(decoding),
            workers: Arc::new(Mutex::new(Some(employment))),
            memory_limit: config.limits.memory,
        })
    }

    /// A source's way in; `None` once the entrance is closed.
    pub(super) fn intake(&self, decoding: &Decoding, metrics: SourceMetrics) -> Option<Intake> {
        let entrance = self.entrance.lock().unwrap_or_else(PoisonError::into_inner);
        let Entrance { jobs, places } = entrance.as_ref()?;
        let framing = crate::decode::framing(decoding);
        let (budget, gate_opened) = (Arc::clone(&self.budget), Arc::clone(&self.gate_opened));
        Some(Intake::new(budget, jobs.clone(), Arc::clone(places), gate_opened, framing, metrics))
    }

    /// Ends the workers, whatever is still queued.
    pub(super) fn dismiss_workers(&self) {
        drop(self.workers.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// What is configured, by name.
    pub(super) fn summary(&self, config: &Config) -> admin::Summary {
        admin::Summary {
            sources: config.sources.keys().cloned().collect(),
            sinks: self.outlets.iter().map(|outlet| outlet.name.clone()).collect(),
        }
    }

    /// Keeps gauges true and closes what is idle.
    pub(super) async fn tick(
        self,
        metrics: Metrics,
        status: Arc<Status>,
        (pulse, every): (Arc<Pulse>, Duration),
    ) {
        metrics.memory_limit_bytes.set(gauge(self.memory_limit));
        let mut clock = interval(every);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut spent_since: Option<Instant> = None;
        loop {
            clock.tick().await;
            self.outlets.iter().for_each(|outlet| outlet.tick());
            metrics.memory_bytes.set(gauge(self.memory()));
            spent_since = self.budget.is_spent().then(|| spent_since.unwrap_or_else(Instant::now));
            let complaint = || "spent: sources wait until sinks deliver".to_owned();
            let is_long = spent_since.is_some_and(|since| since.elapsed() >= LONG);
            status.complain("memory", is_long.then(complaint));
            pulse.begin();
        }
    }

    /// Payload bytes in memory: what waits, and requests under way.
    fn memory(&self) -> u64 {
        let free = self.shared.request_memory.available_permits() as u64;
        let requests = u64::from(self.shared.request_memory_kib).saturating_sub(free);
        self.budget.used().saturating_add(requests.saturating_mul(1024))
    }

    /// Delivers what an earlier run left on disk, beside what comes.
    pub(super) async fn resume(&self, config: &Config) {
        let (outlets, status) = (Arc::clone(&self.outlets), Arc::clone(&self.shared.status));
        let state = config.state.dir.clone();
        let resume = move || {
            let sinks: Vec<&str> = outlets.iter().map(|outlet| outlet.name.as_str()).collect();
            leftover::name_strangers(&state, &sinks, &status);
            outlets.iter().for_each(|outlet| leftover::reopen(outlet, &state, &status));
        };
        // Only the end of the process cuts it short.
        tokio::task::spawn_blocking(resume).await.ok();
    }
}

/// What the sinks share, with so many bytes for requests under way.
fn for_sinks(requests: u64, offload: Offload, dead_letters: Arc<DeadLetters>, status: Arc<Status>) -> Shared {
    let request_memory_kib = u32::try_from(requests / 1024).unwrap_or(u32::MAX);
    Shared {
        offload,
        request_memory: Arc::new(Semaphore::new(request_memory_kib as usize)),
        request_memory_kib,
        bodies: Buffers::new(sink::BODY_BYTES, BODIES),
        digester: Arc::new(Digester::new(usize::try_from(requests).unwrap_or(usize::MAX))),
        dead_letters,
        status,
    }
}

fn inlets(config: &Config, metrics: &Metrics) -> BTreeMap<Arc<str>, Inlet> {
    let inlet = |(name, source): (&String, &Source)| {
        let decoder = Decoder::new(sources::decoding(source));
        (Arc::from(name.as_str()), Inlet { decoder, metrics: metrics.source(name) })
    };
    config.sources.iter().map(inlet).collect()
}
