//! What one configuration builds: memory, sinks, workers, and the way into them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossbeam_channel::Receiver;
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::error::RunError;
use super::source_rates::SourceRates;
use crate::batch;
use crate::buffer;
use crate::config::{Config, SourceConfig};
use crate::deadletter::{DeadLetters, LetterLimits};
use crate::decode::Decoder;
use crate::destination::recovered;
use crate::destination::registry::{RunningSink, SharedResources};
use crate::destination::shares::MemoryShares;
use crate::event::{Budget, Buffers, Framing};
use crate::health::{Activity, Status, Watchdog};
use crate::metadata::HostFacts;
use crate::metrics::{Metrics, SourceMetrics, gauge};
use crate::pipeline::{
    Enqueuer, Intake, Labeller, MessageParser, Processor, SourceDecoder, WorkerState, Workers,
};
use crate::route::Router;
use crate::sink::{self, Digester, HashCpu, Offload, OffloadTask, SinkResources};
use crate::steps::Redactor;
use crate::tap::TapHub;

/// Pieces of the sinks' work waiting for a worker, at the most.
const TASKS: usize = 64;

/// Buffers for written events that are kept at rest: at most so many, and a part of the memory.
const BLOCKS: u64 = 48;

/// The part: one of so many.
const BLOCK_SHARE: u64 = 8;

/// Buffers for records read from disk that are kept at rest.
const READ_BUFFERS: usize = 4;

/// Buffers for request bodies that are kept at rest.
const BODIES: usize = 4;

/// Of eight parts of the memory, so many are for requests under way; the rest is for what waits.
const REQUEST_EIGHTHS: u64 = 3;

/// Dead letters that cannot be written may take one of so many parts of what waits, for each sink or source.
const DEAD_LETTER_SHARES: u64 = 8;

/// Sources that wait for memory for so long are an issue.
const LONG: Duration = Duration::from_secs(2);

/// What one configuration builds; nothing flows before its sources start.
#[derive(Debug)]
pub(crate) struct Generation {
    /// The memory of what waits.
    pub(crate) budget: Arc<Budget>,
    /// What the sinks share.
    pub(crate) shared: SinkResources,
    /// How memory is shared among destinations.
    pub(crate) shares: Arc<MemoryShares>,
    /// Told when a destination has room again.
    pub(crate) room_freed: Arc<Notify>,
    /// The sinks.
    pub(crate) sinks: Arc<[Arc<RunningSink>]>,
    /// The running deliveries. The lock covers a spawn.
    pub(crate) deliveries: Arc<Mutex<JoinSet<()>>>,
    /// What keeps records on disk. The lock covers a spawn.
    pub(crate) disk_tasks: Arc<Mutex<JoinSet<()>>>,
    /// What decodes, routes and encodes.
    pub(crate) workers: Workers,
    /// How fast its sources are read.
    pub(crate) rates: SourceRates,
    memory_limit: u64,
}

impl Generation {
    /// Builds everything.
    ///
    /// # Errors
    /// When a sink's settings are of no use, or a thread cannot be started.
    pub(crate) fn build(
        config: &Config,
        metrics: &Metrics,
        status: &Arc<Status>,
        watchdog: &Watchdog,
        taps: &Arc<TapHub>,
        facts: &Arc<HostFacts>,
    ) -> Result<Self, RunError> {
        let requests = config.limits.memory / 8 * REQUEST_EIGHTHS;
        let budget = Budget::new(config.limits.memory.saturating_sub(requests));
        if config.sources.len() > 1 {
            budget.is_for_several();
        }
        let (offload, tasks) = Offload::new(TASKS);
        let room_freed = Arc::new(Notify::new());
        let share = usize::try_from(budget.limit() / DEAD_LETTER_SHARES).unwrap_or(usize::MAX);
        let limits = LetterLimits::new(config.state.max_dead_letters);
        let dead_letters = DeadLetters::new(&config.state.dir, limits, share, Arc::clone(&room_freed));
        let shared = for_sinks(requests, offload, dead_letters, Arc::clone(status));
        let memory = MemoryShares::new(Arc::clone(&budget));
        let (deliveries, disk_tasks) = (Arc::<Mutex<_>>::default(), Arc::<Mutex<_>>::default());
        let read_buffers = Buffers::new(buffer::disk::BUFFER_BYTES, READ_BUFFERS);
        read_buffers.keep_at_most(usize::try_from(budget.limit() / 4).unwrap_or(usize::MAX));
        let resources = SharedResources {
            shared: shared.clone(),
            shares: Arc::clone(&memory),
            room_freed: Arc::clone(&room_freed),
            runtime: Handle::current(),
            deliveries: Arc::clone(&deliveries),
            disk_tasks: Arc::clone(&disk_tasks),
            state: config.state.dir.as_path().into(),
            read_buffers,
        };
        let sink = |(name, sink): (&String, _)| {
            let sink = RunningSink::new(name, sink, metrics.sink(name), resources.clone());
            sink.map(Arc::new).map_err(|source| RunError::Sink { sink: name.clone(), source })
        };
        let sinks: Arc<[_]> = config.sinks.iter().map(sink).collect::<Result<_, _>>()?;
        let enqueuer = Enqueuer {
            sinks: Arc::clone(&sinks),
            metrics: metrics.clone(),
            dead_letters: Arc::clone(&shared.dead_letters),
            taps: Arc::clone(taps),
        };
        let sources = decoders(config, &enqueuer.metrics, facts)?;
        let workers = workers(config, sources, enqueuer, &budget, tasks, watchdog, status)?;
        let memory_limit = config.limits.memory;
        Ok(Self {
            budget,
            shared,
            shares: memory,
            room_freed,
            sinks,
            deliveries,
            disk_tasks,
            workers,
            rates: SourceRates::new(config, metrics),
            memory_limit,
        })
    }

    /// A source's way in; `None` once it is closed.
    pub(crate) fn intake(&self, framing: Arc<dyn Framing>, metrics: SourceMetrics) -> Option<Intake> {
        let (budget, room_freed) = (Arc::clone(&self.budget), Arc::clone(&self.room_freed));
        Some(Intake::new(budget, self.workers.queue()?, room_freed, framing, metrics))
    }

    /// Keeps gauges true and closes what is idle.
    pub(crate) async fn tick(
        self: Arc<Self>,
        metrics: Metrics,
        status: Arc<Status>,
        activity: Arc<Activity>,
        every: Duration,
    ) {
        metrics.memory_limit_bytes.set(gauge(self.memory_limit));
        let mut clock = interval(every);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut spent_since: Option<Instant> = None;
        loop {
            clock.tick().await;
            self.sinks.iter().for_each(|sink| sink.tick());
            self.rates.sample(Instant::now());
            metrics.memory_bytes.set(gauge(self.memory()));
            spent_since = self.budget.is_spent().then(|| spent_since.unwrap_or_else(Instant::now));
            let issue = || "full: sources wait until sinks deliver".to_owned();
            // Who waits for a rate that the user has set waits for what is meant.
            let is_meant = self.sinks.iter().any(|sink| sink.is_at_its_rate());
            let is_long = !is_meant && spent_since.is_some_and(|since| since.elapsed() >= LONG);
            status.report_issue("memory", is_long.then(issue));
            activity.begin();
        }
    }

    /// Payload bytes in memory: what waits, and requests under way.
    fn memory(&self) -> u64 {
        let free = self.shared.request_memory.available_permits() as u64;
        let requests = u64::from(self.shared.request_memory_kib).saturating_sub(free);
        self.budget.used().saturating_add(requests.saturating_mul(1024))
    }

    /// Delivers what an earlier run left on disk, beside what comes.
    pub(crate) async fn resume(&self, config: &Config) {
        let (sinks, status) = (Arc::clone(&self.sinks), Arc::clone(&self.shared.status));
        let state = config.state.dir.clone();
        let resume = move || {
            let names: Vec<&str> = sinks.iter().map(|sink| sink.name.as_str()).collect();
            recovered::name_strangers(&state, &names, &status);
            sinks.iter().for_each(|sink| recovered::reopen(sink, &state, &status));
        };
        // Only the end of the process cuts it short.
        tokio::task::spawn_blocking(resume).await.ok();
    }
}

/// What the sinks share, with so many bytes for requests under way.
fn for_sinks(
    requests: u64,
    offload: Offload,
    dead_letters: Arc<DeadLetters>,
    status: Arc<Status>,
) -> SinkResources {
    let request_memory_kib = u32::try_from(requests / 1024).unwrap_or(u32::MAX);
    let bodies = Buffers::new(sink::BODY_BYTES, BODIES);
    bodies.keep_at_most(usize::try_from(requests).unwrap_or(usize::MAX));
    SinkResources {
        offload,
        request_memory: Arc::new(Semaphore::new(request_memory_kib as usize)),
        request_memory_kib,
        bodies,
        digester: Arc::new(Digester::new(usize::try_from(requests).unwrap_or(usize::MAX), HashCpu::detect())),
        dead_letters,
        status,
    }
}

/// What is done to the chunks of each source, by its name.
type SourceDecoders = BTreeMap<Arc<str>, Arc<SourceDecoder>>;

/// How the chunks of each source are decoded, and what is done to their events.
fn decoders(config: &Config, metrics: &Metrics, facts: &Arc<HostFacts>) -> Result<SourceDecoders, RunError> {
    let decoder = |(name, source): (&String, &SourceConfig)| {
        let decoder = Decoder::new(source.decoding());
        let redaction = config.steps.get(name).and_then(|steps| steps.redact.as_deref());
        let redactor = redaction.map(Redactor::new).transpose();
        let redactor = redactor.map_err(|source| RunError::Redaction { name: name.clone(), source })?;
        let (redactor, metrics) = (redactor.flatten(), metrics.source(name));
        let steps = config.steps.get(name).cloned().unwrap_or_default();
        let labeller = Labeller::new(&steps.enrichment, config, facts);
        let parser = steps.parse.map(|parse| MessageParser { parse, time: steps.timestamp });
        let ignore_older = steps.ignore_older;
        let source = SourceDecoder { decoder, redactor, parser, labeller, ignore_older, metrics };
        Ok((Arc::from(name.as_str()), Arc::new(source)))
    };
    config.sources.iter().map(decoder).collect()
}

/// The threads, and what they work with.
fn workers(
    config: &Config,
    sources: SourceDecoders,
    enqueuer: Enqueuer,
    budget: &Arc<Budget>,
    tasks: Receiver<OffloadTask>,
    watchdog: &Watchdog,
    status: &Status,
) -> Result<Workers, RunError> {
    let state = worker_state(config, &enqueuer.sinks)?;
    let count = config.limits.workers;
    let processor = Arc::new(Processor::new(sources, enqueuer, Arc::clone(budget), count));
    Workers::start(count, &processor, state, tasks, watchdog, status).map_err(RunError::Thread)
}

/// What makes a worker's state.
pub(super) fn worker_state(
    config: &Config,
    sinks: &Arc<[Arc<RunningSink>]>,
) -> Result<impl Fn() -> WorkerState + use<>, RunError> {
    let names: Vec<&str> = config.sinks.keys().map(String::as_str).collect();
    let router = Arc::new(Router::new(&config.routes, &names)?);
    let kept = (config.limits.memory / BLOCK_SHARE / batch::BUFFER_BYTES as u64).clamp(1, BLOCKS);
    let buffers = Buffers::new(batch::BUFFER_BYTES, usize::try_from(kept).unwrap_or(1));
    let sinks = Arc::clone(sinks);
    Ok(move || WorkerState::new(Arc::clone(&router), Arc::clone(&sinks), &buffers))
}
