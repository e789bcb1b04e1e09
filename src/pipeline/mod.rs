//! The whole flow: what is started, in which order it ends, and by when.
//!
//! Start: workers, sinks (as events need them), admin endpoints, sources. Stop, by a signal or because every source has ended:
//! sources end, then the workers have decoded what is left, then the sinks have delivered it; each stage ends because its input
//! has. The whole has one deadline.

mod destination;
mod feed;
mod leftover;
mod quota;
mod replay;
mod resend;
mod sorting;
mod sources;
mod spool;
mod worker;

#[cfg(test)]
mod allocations;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};
use tracing::{error, info, warn};

use self::destination::{Common, Outlet};
use self::feed::Shares;
use self::worker::{Inlet, Queues, Works};
use crate::ack::{CheckpointError, Checkpoints};
use crate::admin::{self, AdminError};
use crate::aws::AwsError;
use crate::batch;
use crate::buffer;
use crate::config::Config;
use crate::deadletter::{DeadLetters, Limits};
use crate::decode::Decoder;
use crate::event::{Budget, Buffers, Intake, Job, Offload, Stopper};
use crate::metrics::{Metrics, gauge};
use crate::route::{RouteError, Router};
use crate::sink::{self, Digester, Shared};
use crate::source::file;
use crate::state::{StateDir, StateError};
use crate::status::Status;

pub use self::replay::{Replay, ReplayFile, Replayed, Target, replay};

/// How a run ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// Everything that was read was delivered.
    Drained,
    /// The deadline came first; what was not delivered is read or sent again.
    Deadline,
}

/// What to run, and what tells it to stop.
#[derive(Debug)]
pub struct Run {
    /// The configuration.
    pub config: Config,
    /// Read what is there, and end.
    pub once: bool,
    /// The name of the host.
    pub host: Arc<str>,
    /// Sends once for each wish to stop; the second makes it stop at once.
    pub stop: mpsc::Receiver<()>,
}

/// Why the daemon cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The state directory.
    #[error(transparent)]
    State(#[from] StateError),
    /// The checkpoints.
    #[error(transparent)]
    Checkpoints(#[from] CheckpointError),
    /// The routes.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// A sink.
    #[error("sink `{sink}`")]
    Sink {
        /// Its name.
        sink: String,
        /// Why.
        source: AwsError,
    },
    /// The admin endpoints.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// A source ended with an error.
    #[error("source `{source_name}`: {message}")]
    Source {
        /// Its name.
        source_name: String,
        /// Why, with its causes.
        message: String,
    },
    /// A thread cannot be started.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
}

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

/// Sources that have not ended by then are waited for with nothing lingering.
const FLUSH_AFTER: Duration = Duration::from_millis(100);

/// How long what keeps records on disk may take to end.
const CLOSE: Duration = Duration::from_secs(5);

/// Of eight parts of the memory, so many are for requests under way; the rest is for what waits.
const REQUEST_EIGHTHS: u64 = 3;

/// Dead letters that cannot be written may take one of so many parts of what waits, for each sink or source.
const DEAD_LETTER_SHARES: u64 = 8;

/// Runs the daemon until it is told to stop, or every source has ended.
///
/// # Errors
/// When something cannot be started, or a source fails.
pub async fn run(run: Run) -> Result<End, RunError> {
    let Run { config, once, host, mut stop } = run;
    let state = StateDir::lock(&config.state.dir)?;
    let checkpoints = Checkpoints::open(state.path())?;
    let metrics = Metrics::new();
    let status = Arc::new(Status::default());
    let plant = Plant::build(&config, &metrics, &status)?;
    plant.shared.dead_letters.recover();
    plant.resume(&config).await;
    let (stopper, stop_sources) = Stopper::new();

    let admin =
        admin::serve(config.server.listen, metrics.clone(), Arc::clone(&status), plant.summary(&config))
            .await?;
    let mut helpers = JoinSet::new();
    helpers.spawn(admin);
    helpers.spawn(save_often(Arc::clone(&checkpoints), Arc::clone(&status)));
    helpers.spawn(Arc::clone(&plant.shared.dead_letters).run(metrics.clone(), Arc::clone(&status)));
    helpers.spawn(plant.clone().tick(metrics.clone(), Arc::clone(&status)));

    let read_buffers = file::read_buffers();
    let context = sources::Context {
        host,
        once,
        checkpoints: Arc::clone(&checkpoints),
        read_buffers,
        stop: stop_sources,
    };
    let mut sources = sources::spawn(&config, &plant, &metrics, &context);
    drop(context);
    notify(sd_notify::NotifyState::Ready);
    info!(sources = config.sources.len(), sinks = config.sinks.len(), "running");

    let failed = tokio::select! {
        failed = sources::ended(&mut sources) => failed,
        _signal = stop.recv() => {
            info!(budget_seconds = config.limits.shutdown.as_secs(), "stopping: draining what was read");
            None
        }
    };
    notify(sd_notify::NotifyState::Stopping);
    stopper.stop();
    let patience = if once { Patience::Progress } else { Patience::Total };
    let end = plant.drain(sources, patience, config.limits.shutdown, &mut stop).await;
    plant.close().await;
    save(&checkpoints, &status).await;
    drop(state);
    match failed {
        Some(error) => Err(error),
        None => Ok(end),
    }
}

/// What counts against the shutdown's budget.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Patience {
    /// All time since the wish to stop.
    Total,
    /// Time without a delivery: nobody waits for a run that ends by itself.
    Progress,
}

/// Workers and sinks, and the way into them.
#[derive(Clone, Debug)]
struct Plant {
    budget: Arc<Budget>,
    shared: Shared,
    shares: Arc<Shares>,
    gate_opened: Arc<Notify>,
    outlets: Arc<[Arc<Outlet>]>,
    deliveries: Arc<Mutex<JoinSet<()>>>,
    spools: Arc<Mutex<JoinSet<()>>>,
    entrance: Arc<Mutex<Option<Entrance>>>,
}

/// The way in, closed when the sources have ended.
#[derive(Debug)]
struct Entrance {
    jobs: crossbeam_channel::Sender<Job>,
    places: Arc<Semaphore>,
    /// Ends when every worker has seen the end of the jobs.
    decoded: mpsc::Receiver<()>,
}

impl Plant {
    fn build(config: &Config, metrics: &Metrics, status: &Arc<Status>) -> Result<Self, RunError> {
        let requests = config.limits.memory / 8 * REQUEST_EIGHTHS;
        let request_memory_kib = u32::try_from(requests / 1024).unwrap_or(u32::MAX);
        let budget = Budget::new(config.limits.memory.saturating_sub(requests));
        metrics.memory_limit_bytes.set(gauge(config.limits.memory));
        let (offload, tasks) = Offload::new(TASKS);
        let gate_opened = Arc::new(Notify::new());
        let share = usize::try_from(budget.limit() / DEAD_LETTER_SHARES).unwrap_or(usize::MAX);
        let limits = Limits::new(config.state.max_dead_letters);
        let dead_letters = DeadLetters::new(&config.state.dir, limits, share, Arc::clone(&gate_opened));
        let for_sinks = Shared {
            offload,
            request_memory: Arc::new(Semaphore::new(request_memory_kib as usize)),
            request_memory_kib,
            bodies: Buffers::new(sink::BODY_BYTES, BODIES),
            digester: Arc::new(Digester::new(usize::try_from(requests).unwrap_or(0) / sink::BODY_BYTES)),
            dead_letters,
            status: Arc::clone(status),
        };
        let shares = Shares::new(Arc::clone(&budget));
        let (deliveries, spools) = (Arc::<Mutex<_>>::default(), Arc::<Mutex<_>>::default());
        let gate_opened = Arc::new(Notify::new());
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
        let works = Works {
            inlets: Arc::new(inlets(config, metrics)),
            outlets: Arc::clone(&outlets),
            router,
            metrics: metrics.clone(),
            blocks: Buffers::new(batch::BUFFER_BYTES, BLOCKS),
            dead_letters: Arc::clone(&for_sinks.dead_letters),
        };
        let entrance = open_entrance(config.limits.workers, &works, tasks).map_err(RunError::Thread)?;
        let entrance = Arc::new(Mutex::new(Some(entrance)));
        Ok(Self { budget, shared: for_sinks, shares, gate_opened, outlets, deliveries, spools, entrance })
    }

    /// A source's way in; `None` once the entrance is closed.
    fn intake(
        &self,
        decoding: &crate::config::Decoding,
        metrics: crate::metrics::SourceMetrics,
    ) -> Option<Intake> {
        let entrance = self.entrance.lock().unwrap_or_else(PoisonError::into_inner);
        let Entrance { jobs, places, .. } = entrance.as_ref()?;
        let framing = crate::decode::framing(decoding);
        let (budget, gate_opened) = (Arc::clone(&self.budget), Arc::clone(&self.gate_opened));
        Some(Intake::new(budget, jobs.clone(), Arc::clone(places), gate_opened, framing, metrics))
    }

    fn summary(&self, config: &Config) -> admin::Summary {
        admin::Summary {
            sources: config.sources.keys().cloned().collect(),
            sinks: self.outlets.iter().map(|outlet| outlet.name.clone()).collect(),
        }
    }

    /// Keeps gauges true and closes what is idle.
    async fn tick(self, metrics: Metrics, status: Arc<Status>) {
        let mut clock = interval(Duration::from_secs(1));
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut spent_for = 0u32;
        loop {
            clock.tick().await;
            self.outlets.iter().for_each(|outlet| outlet.tick());
            metrics.memory_bytes.set(gauge(self.memory()));
            spent_for = if self.budget.is_spent() { spent_for.saturating_add(1) } else { 0 };
            let complaint = || "spent: sources wait until sinks deliver".to_owned();
            status.complain("memory", (spent_for >= 3).then(complaint));
        }
    }

    /// Payload bytes in memory: what waits, and requests under way.
    fn memory(&self) -> u64 {
        let free = self.shared.request_memory.available_permits() as u64;
        let requests = u64::from(self.shared.request_memory_kib).saturating_sub(free);
        self.budget.used().saturating_add(requests.saturating_mul(1024))
    }

    /// Ends stage after stage, until the deadline or a second signal.
    async fn drain(
        &self,
        sources: sources::Running,
        patience: Patience,
        budget: Duration,
        stop: &mut mpsc::Receiver<()>,
    ) -> End {
        let undelivered = self.in_flight();
        let drained = self.end_stages(sources);
        tokio::pin!(drained);
        let mut deadline = Instant::now() + budget;
        let mut before = undelivered;
        loop {
            let next = deadline.min(Instant::now() + Duration::from_secs(1));
            tokio::select! {
                done = timeout_at(next, drained.as_mut()) => if done.is_ok() {
                    return if self.in_flight() == 0 { End::Drained } else { self.give_up() };
                },
                _again = stop.recv() => return self.give_up(),
            }
            let now_undelivered = self.in_flight();
            if patience == Patience::Progress && now_undelivered != before {
                deadline = Instant::now() + budget;
            }
            before = now_undelivered;
            if Instant::now() >= deadline {
                return self.give_up();
            }
        }
    }

    async fn end_stages(&self, sources: sources::Running) {
        let ended = sources::all_ended(sources);
        tokio::pin!(ended);
        // A source that answers requests ends once they are delivered, which is not to wait for fuller records.
        if tokio::time::timeout(FLUSH_AFTER, ended.as_mut()).await.is_err() {
            self.shares.flush();
            self.outlets.iter().for_each(|outlet| outlet.wake());
            ended.await;
        }
        let entrance = self.entrance.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Entrance { jobs, mut decoded, .. }) = entrance {
            drop(jobs);
            // Nothing is sent: the end of the channel is the message.
            decoded.recv().await;
        }
        self.outlets.iter().for_each(|outlet| outlet.end());
        let mut deliveries =
            std::mem::take(&mut *self.deliveries.lock().unwrap_or_else(PoisonError::into_inner));
        while deliveries.join_next().await.is_some() {}
        self.shared.dead_letters.emptied().await;
    }

    /// Delivers what an earlier run left on disk, beside what comes.
    async fn resume(&self, config: &Config) {
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

    /// Ends deliveries that have not ended, and leaves what is on disk there, with what is delivered written down.
    async fn close(&self) {
        let taken = |tasks: &Mutex<JoinSet<()>>| {
            std::mem::take(&mut *tasks.lock().unwrap_or_else(PoisonError::into_inner))
        };
        taken(&self.deliveries).shutdown().await;
        self.shares.close();
        self.outlets.iter().for_each(|outlet| outlet.wake());
        let mut spools = taken(&self.spools);
        let closed = async { while spools.join_next().await.is_some() {} };
        if tokio::time::timeout(CLOSE, closed).await.is_err() {
            warn!("a disk buffer does not close in time; what it delivered last may be delivered again");
        }
    }

    fn in_flight(&self) -> i64 {
        self.outlets.iter().map(|outlet| outlet.metrics.in_flight()).sum()
    }

    fn give_up(&self) -> End {
        warn!(
            events = self.in_flight(),
            "stopped with events undelivered; they are on disk, or read or sent again"
        );
        End::Deadline
    }
}

fn inlets(config: &Config, metrics: &Metrics) -> BTreeMap<Arc<str>, Inlet> {
    let inlet = |(name, source): (&String, &crate::config::Source)| {
        let decoder = Decoder::new(sources::decoding(source));
        (Arc::from(name.as_str()), Inlet { decoder, metrics: metrics.source(name) })
    };
    config.sources.iter().map(inlet).collect()
}

fn open_entrance(
    workers: usize,
    works: &Works,
    tasks: crossbeam_channel::Receiver<crate::event::Task>,
) -> std::io::Result<Entrance> {
    let (jobs, receiver) = crossbeam_channel::bounded(JOBS);
    let places = Arc::new(Semaphore::new(JOBS));
    let (decoding, decoded) = mpsc::channel(1);
    worker::spawn(workers, works, &Queues { jobs: receiver, places: Arc::clone(&places), tasks, decoding })?;
    Ok(Entrance { jobs, places, decoded })
}

/// Saves the checkpoints once a second.
async fn save_often(checkpoints: Arc<Checkpoints>, status: Arc<Status>) {
    let mut clock = interval(Duration::from_secs(1));
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        save(&checkpoints, &status).await;
    }
}

async fn save(checkpoints: &Arc<Checkpoints>, status: &Status) {
    let saving = Arc::clone(checkpoints);
    let saved = tokio::task::spawn_blocking(move || saving.save()).await;
    let complaint = match saved {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(format!("cannot be saved: {error}")),
        Err(_stopped) => None,
    };
    if let Some(complaint) = &complaint {
        error!(complaint, "checkpoints");
    }
    status.complain("checkpoints", complaint);
}

fn notify(state: sd_notify::NotifyState<'_>) {
    // Without systemd there is nobody to tell.
    sd_notify::notify(&[state]).ok();
}
