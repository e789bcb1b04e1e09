//! A sink's destinations: one for each distinct stream, region and chain of roles, made when first needed, closed when idle.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::info;

use super::delivery::DeliveryParts;
use super::disk::{self, DirLocks, DiskContext, DiskQuota};
use super::key::{DestinationKey, DestinationKind, spool_dir};
use super::next::QueueOptions;
use super::progress::{DestinationLook, SinkProgress};
use super::queue::DestinationQueue;
use super::shares::MemoryShares;
use super::storage::StorageOptions;
use crate::aws::{AwsConnection, AwsError, FirehoseClients};
use crate::batch::Encoder;
use crate::config::{Buffer, Compression, SinkConfig, SinkKind};
use crate::event::{Backpressure, Buffers, Origin};
use crate::metrics::{DestinationTally, SinkMetrics};
use crate::sink::{DestinationName, RateCap, SinkResources};

/// One configured sink, running.
#[derive(Debug)]
pub(crate) struct RunningSink {
    /// The sink's name.
    pub(crate) name: String,
    /// How it writes events.
    pub(crate) encoder: Encoder,
    /// What it counts.
    pub(crate) metrics: SinkMetrics,
    /// Shut while its dead letters cannot be written.
    pub(crate) dead_letter_backpressure: Arc<Backpressure>,
    config: SinkConfig,
    pub(super) kind: DestinationKind,
    /// What its only destination is told by, where no field of an origin tells more.
    fixed: Option<DestinationKey>,
    resources: SharedResources,
    /// The open destinations. The lock covers look-ups and the making of an entry, never a delivery.
    pub(super) open: Mutex<OpenDestinations>,
    /// The user's own limit on what they send together.
    cap: Option<Arc<RateCap>>,
    /// Whether they get on. The lock covers a look at all of them.
    progress: Mutex<SinkProgress>,
    /// How much its disk buffer may hold.
    pub(super) quota: Arc<DiskQuota>,
    /// The names of the fields that its destinations are made from.
    fields: Arc<[Box<str>]>,
    /// Who has which directory of the disk buffer.
    dir_locks: DirLocks,
    /// Another generation's sink takes up what is on disk: at the end of the input it stays there.
    has_successor: AtomicBool,
}

#[derive(Debug, Default)]
pub(super) struct OpenDestinations {
    by_key: BTreeMap<DestinationKey, OpenDestination>,
    /// Those that only deliver what an earlier run left.
    recovered: Vec<(DestinationKey, OpenDestination)>,
}

/// A destination that takes records, or still has some.
#[derive(Debug)]
pub(super) struct OpenDestination {
    pub(super) queue: Arc<DestinationQueue>,
    /// What it counts.
    pub(super) tally: Arc<DestinationTally>,
}

impl OpenDestinations {
    fn queues(&self) -> impl Iterator<Item = &Arc<DestinationQueue>> {
        self.by_name().map(|(_, open)| &open.queue)
    }

    pub(super) fn by_name(&self) -> impl Iterator<Item = (&DestinationKey, &OpenDestination)> {
        self.by_key.iter().chain(self.recovered.iter().map(|(key, open)| (key, open)))
    }

    /// What has ended and is not delivered stays, to be told when the process is about to end.
    fn close_idle(&mut self, idle: Duration) {
        self.by_key.retain(|_, open| !(open.queue.end_if_idle(idle) && open.queue.is_drained()));
    }
}

/// What all sinks share.
#[derive(Clone, Debug)]
pub(crate) struct SharedResources {
    /// What all deliveries share.
    pub(crate) shared: SinkResources,
    /// How memory is shared.
    pub(crate) shares: Arc<MemoryShares>,
    /// Told when a backpressure opens.
    pub(crate) room_freed: Arc<Notify>,
    /// Where delivery runs.
    pub(crate) runtime: Handle,
    /// The running deliveries. The lock covers a spawn.
    pub(crate) deliveries: Arc<Mutex<JoinSet<()>>>,
    /// What keeps records on disk. The lock covers a spawn.
    pub(crate) disk_tasks: Arc<Mutex<JoinSet<()>>>,
    /// The state directory.
    pub(crate) state: Arc<Path>,
    /// What records are read into from disk.
    pub(crate) read_buffers: Arc<Buffers>,
}

/// Why an event has no destination; the label of its dead letter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NoDestination {
    /// A name is made from metadata that the event does not have.
    MissingField,
    /// As many as allowed are open, and none is idle.
    TooMany,
}

impl NoDestination {
    /// The reason as a metric's label.
    #[must_use]
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::MissingField => "missing_field",
            Self::TooMany => "too_many_destinations",
        }
    }
}

impl RunningSink {
    /// A sink without destinations yet.
    ///
    /// # Errors
    /// When its TLS settings are of no use.
    pub(crate) fn new(
        name: &str,
        config: &SinkConfig,
        metrics: SinkMetrics,
        resources: SharedResources,
    ) -> Result<Self, AwsError> {
        let kind = match &config.kind {
            SinkKind::Firehose(firehose) => {
                let connection = AwsConnection::new(format!("sink `{name}`"), firehose.aws.clone())?;
                let clients = FirehoseClients::new(connection, Some(metrics.credentials_expiry()));
                DestinationKind::Firehose(clients, firehose.clone())
            }
            SinkKind::Directory(directory) => DestinationKind::Directory(directory.clone()),
        };
        let fields = kind.fields();
        resources.shares.announce(fields.is_empty());
        Ok(Self {
            name: name.to_owned(),
            encoder: Encoder::new(config),
            metrics,
            dead_letter_backpressure: resources.shared.dead_letters.backpressure(&name.into()),
            config: config.clone(),
            fixed: if fields.is_empty() { kind.key(&Origin::default()) } else { None },
            fields,
            kind,
            resources,
            open: Mutex::default(),
            cap: config.rate.map(|rate| Arc::new(RateCap::new(rate, Instant::now()))),
            progress: Mutex::default(),
            quota: Arc::new(DiskQuota::new(config.buffer)),
            dir_locks: DirLocks::default(),
            has_successor: AtomicBool::new(false),
        })
    }

    /// Where events of this origin go.
    ///
    /// # Errors
    /// When there is no such place, and none can be made.
    pub(crate) fn destination(&self, origin: &Origin) -> Result<Arc<DestinationQueue>, NoDestination> {
        let made = if self.fixed.is_some() { None } else { self.key(origin) };
        let key = self.fixed.as_ref().or(made.as_ref()).ok_or(NoDestination::MissingField)?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = open.by_key.get(key) {
            return Ok(Arc::clone(&open.queue));
        }
        if open.by_key.len() >= self.config.max_destinations {
            open.close_idle(Duration::ZERO);
        }
        if open.by_key.len() >= self.config.max_destinations {
            return Err(NoDestination::TooMany);
        }
        let dir = match self.config.buffer {
            Buffer::Memory => None,
            Buffer::Disk(_) => Some(spool_dir(&self.resources.state).join(&self.name).join(key.dir_name())),
        };
        let opened = self.open(key.clone(), dir);
        let queue = Arc::clone(&opened.queue);
        open.by_key.insert(key.clone(), opened);
        Ok(queue)
    }

    /// Delivers what an earlier run left in a directory; `takes_more`: and new records of the destination as well.
    pub(crate) fn resume(&self, key: DestinationKey, dir: PathBuf, takes_more: bool) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = self.open(key.clone(), Some(dir));
        if takes_more && self.config.buffer != Buffer::Memory {
            open.by_key.insert(key, opened);
        } else {
            opened.queue.end();
            open.recovered.push((key, opened));
        }
    }

    /// The names of the fields that its destinations are made from.
    pub(crate) fn fields(&self) -> &[Box<str>] {
        &self.fields
    }

    /// Forgets a queue that has ended, so that the next event opens another.
    pub(crate) fn forget(&self, ended: &Arc<DestinationQueue>) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.by_key.retain(|_, open| !Arc::ptr_eq(&open.queue, ended));
    }

    /// Closes destinations that had nothing to do for long, and reports on the others.
    pub(crate) fn tick(&self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.close_idle(self.config.idle);
        open.recovered.retain(|(_, open)| !open.queue.is_drained());
        let (status, now) = (&self.resources.shared.status, Instant::now());
        let look = |(key, open): (&DestinationKey, &OpenDestination)| {
            let (name, mut queue) = (self.label(key).to_string(), open.queue.look());
            queue.age = open.tally.oldest(queue.age, now);
            open.tally.look(now, queue.age, queue.pending);
            DestinationLook { queue, has_issue: status.has_issue(&name), name }
        };
        let looks: Vec<DestinationLook> = open.by_name().map(look).collect();
        drop(open);
        let oldest = looks.iter().map(|look| look.queue.age).max();
        self.metrics.buffer_oldest_seconds.set(oldest.unwrap_or_default().as_secs_f64());
        self.report(&looks);
    }

    /// Whether what waits waits for the sink's own rate.
    pub(crate) fn is_at_its_rate(&self) -> bool {
        self.cap.as_ref().is_some_and(|cap| cap.is_reached(Instant::now()))
    }

    /// Says what is late.
    fn report(&self, looks: &[DestinationLook]) {
        let status = &self.resources.shared.status;
        let (limit, is_memory_full) =
            (self.metrics.rate_limit.get(), self.resources.shares.budget().is_spent());
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let limited = progress.limited(looks, limit, is_memory_full, Instant::now());
        let stuck = progress.stuck(looks, Instant::now());
        let capped = self.cap.as_ref().and_then(|cap| progress.capped(looks, cap.rate(), Instant::now()));
        drop(progress);
        if self.cap.is_some() {
            status.set_note(&format!("sink {} at its rate", self.name), capped);
        }
        status.report_issue(&format!("sink {}", self.name), limited);
        for (who, issue) in stuck {
            status.report_issue(&who, issue);
        }
    }

    /// Notes whether this sink takes up what is on disk, among those of the generation that comes next.
    pub(crate) fn hand_over(&self, next: Option<&Self>) {
        // As at a start, a name must not be made from a field that was of no account before.
        let delivers = |next: &Self| next.fields.iter().all(|field| self.fields.contains(field));
        self.has_successor.store(next.is_some_and(delivers), Ordering::Release);
    }

    /// Whether everything that is not delivered is on disk, for another generation's sink to take up.
    pub(crate) fn is_handed_over(&self) -> bool {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.queues().all(|queue| queue.is_handed_over() || queue.is_drained())
    }

    /// Ends every destination's input.
    pub(crate) fn end(&self) {
        let has_successor = self.has_successor.load(Ordering::Acquire);
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.queues().for_each(|queue| if has_successor { queue.end_and_hand_over() } else { queue.end() });
    }

    /// Makes every destination look again.
    pub(crate) fn wake(&self) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.queues().for_each(|queue| queue.wake());
    }

    /// Lets go of everything: nothing of the sink runs any more.
    pub(crate) fn retire(&self) {
        let open = std::mem::take(&mut *self.open.lock().unwrap_or_else(PoisonError::into_inner));
        // Ack guards are dropped here, after the lock.
        drop(open);
        self.metrics.retire();
    }

    /// What tells the destination of events of this origin apart; none when the origin lacks a field.
    pub(crate) fn key(&self, origin: &Origin) -> Option<DestinationKey> {
        self.kind.key(origin)
    }

    /// Opens a destination: its queue, what delivers it, and with a directory what keeps its records there.
    fn open(&self, key: DestinationKey, dir: Option<PathBuf>) -> OpenDestination {
        let SharedResources { shares, room_freed, runtime, deliveries, disk_tasks, .. } = &self.resources;
        let most_in_memory = self.quota.most_in_memory();
        let options = QueueOptions {
            packing: self.config.packing,
            linger: self.config.linger,
            is_billed_as_packed: self.config.compression == Compression::None,
            storage: match dir {
                Some(_) => StorageOptions::Disk { most_in_memory },
                None => StorageOptions::Memory,
            },
        };
        let backpressure = Backpressure::new(Arc::clone(room_freed));
        let queue = DestinationQueue::new(options, backpressure, Arc::clone(shares), self.metrics.clone());
        if let Some(dir) = dir {
            let dir_lock = self.dir_locks.of(&dir);
            let context = self.disk_context(&key, dir, Arc::clone(&queue));
            spawn(disk_tasks, disk::run(context, dir_lock), runtime);
        }
        info!(sink = self.name, stream = key.stream, "destination opened");
        let tally = self.metrics.destination(key.labels(&self.name));
        let opened = OpenDestination { queue, tally };
        let delivery = self.delivery(&key, &opened);
        spawn(deliveries, delivery.run(self.kind.clone(), key), runtime);
        opened
    }

    /// What keeps the queue's records in a directory.
    fn disk_context(&self, key: &DestinationKey, dir: PathBuf, queue: Arc<DestinationQueue>) -> DiskContext {
        DiskContext {
            queue,
            dir,
            fields: Arc::clone(&self.fields),
            label: self.label(key),
            quota: Arc::clone(&self.quota),
            metrics: self.metrics.clone(),
            dead_letters: Arc::clone(&self.resources.shared.dead_letters),
            status: Arc::clone(&self.resources.shared.status),
            buffers: Arc::clone(&self.resources.read_buffers),
        }
    }

    /// What delivers the queue's records.
    fn delivery(&self, key: &DestinationKey, open: &OpenDestination) -> DeliveryParts {
        DeliveryParts {
            queue: Arc::clone(&open.queue),
            tally: Arc::clone(&open.tally),
            shared: self.resources.shared.clone(),
            metrics: self.metrics.clone(),
            compression: self.config.compression,
            cap: self.cap.as_ref().map(Arc::clone),
            label: self.label(key),
        }
    }

    fn label(&self, key: &DestinationKey) -> DestinationName {
        DestinationName { sink: self.name.clone(), stream: key.stream.clone() }
    }
}

fn spawn(tasks: &Mutex<JoinSet<()>>, task: impl Future<Output = ()> + Send + 'static, runtime: &Handle) {
    let mut tasks = tasks.lock().unwrap_or_else(PoisonError::into_inner);
    // Those that have ended are taken out, so that the set does not grow.
    while tasks.try_join_next().is_some() {}
    tasks.spawn_on(task, runtime);
}
