//! A sink's destinations: one for each distinct stream, region and chain of roles, made when first needed, closed when idle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tracing::{error, info};

use crate::aws::{AwsConnection, AwsError, FirehoseClients, ResolvedRole};
use crate::batch::Encoder;
use crate::config::{
    Buffer, Compression, DirectorySink, FirehoseSink, Sink, SinkKind, Template, stream_name,
};
use crate::destination::disk::DiskWriter;
use crate::destination::queue::{DestinationQueue, Shares, Storage};
use crate::destination::quota::Quota;
use crate::destination::recovered;
use crate::event::{Backpressure, Buffers, Origin};
use crate::metrics::SinkMetrics;
use crate::sink::RecordQueue;
use crate::sink::{DeliveryLoop, DeliverySettings, Directory, Firehose, SinkResources, SinkService};

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
    config: Sink,
    kind: Kind,
    common: Common,
    /// The open destinations. The lock covers look-ups and the making of an entry, never a delivery.
    open: Mutex<Open>,
    /// How much its disk buffer may hold.
    quota: Arc<Quota>,
    /// The names of the fields that its destinations are made from.
    fields: Arc<[Box<str>]>,
    /// Who has which directory of the disk buffer. The lock covers a look-up.
    turns: Mutex<BTreeMap<PathBuf, Weak<Semaphore>>>,
    /// Another generation's sink takes up what is on disk: at the end of the input it stays there.
    has_successor: AtomicBool,
}

#[derive(Debug, Default)]
struct Open {
    by_key: BTreeMap<Key, Arc<DestinationQueue>>,
    /// Those that only deliver what an earlier run left.
    recovered: Vec<Arc<DestinationQueue>>,
}

impl Open {
    fn queues(&self) -> impl Iterator<Item = &Arc<DestinationQueue>> {
        self.by_key.values().chain(&self.recovered)
    }
}

/// What an sink's destinations are.
#[derive(Clone, Debug)]
enum Kind {
    Firehose(FirehoseClients, Box<FirehoseSink>),
    Directory(DirectorySink),
}

/// What all sinks share.
#[derive(Clone, Debug)]
pub(crate) struct Common {
    /// For the sinks.
    pub(crate) shared: SinkResources,
    /// How memory is shared.
    pub(crate) shares: Arc<Shares>,
    /// Told when a backpressure opens.
    pub(crate) room_freed: Arc<Notify>,
    /// Where delivery runs.
    pub(crate) runtime: Handle,
    /// The running deliveries. The lock covers a spawn.
    pub(crate) deliveries: Arc<Mutex<JoinSet<()>>>,
    /// What keeps records on disk. The lock covers a spawn.
    pub(crate) spools: Arc<Mutex<JoinSet<()>>>,
    /// The state directory.
    pub(crate) state: Arc<Path>,
    /// What records are read into from disk.
    pub(crate) read_buffers: Arc<Buffers>,
}

/// What tells destinations apart.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Key {
    pub(crate) stream: String,
    region: Option<String>,
    roles: Vec<ResolvedRole>,
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
        config: &Sink,
        metrics: SinkMetrics,
        common: Common,
    ) -> Result<Self, AwsError> {
        let kind = match &config.kind {
            SinkKind::Firehose(firehose) => {
                let connection = AwsConnection::new(format!("sink `{name}`"), firehose.aws.clone())?;
                let clients = FirehoseClients::new(connection, Some(metrics.credentials_expiry()));
                Kind::Firehose(clients, firehose.clone())
            }
            SinkKind::Directory(directory) => Kind::Directory(directory.clone()),
        };
        Ok(Self {
            name: name.to_owned(),
            encoder: Encoder::new(config),
            metrics,
            dead_letter_backpressure: common.shared.dead_letters.backpressure(&name.into()),
            config: config.clone(),
            fields: fields(&kind),
            kind,
            common,
            open: Mutex::default(),
            quota: Arc::new(Quota::new(config.buffer)),
            turns: Mutex::default(),
            has_successor: AtomicBool::new(false),
        })
    }

    /// Where events of this origin go.
    ///
    /// # Errors
    /// When there is no such place, and none can be made.
    pub(crate) fn destination(&self, origin: &Origin) -> Result<Arc<DestinationQueue>, NoDestination> {
        let key = self.key(origin).ok_or(NoDestination::MissingField)?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = open.by_key.get(&key) {
            return Ok(Arc::clone(queue));
        }
        if open.by_key.len() >= self.config.max_destinations {
            close_idle(&mut open, Duration::ZERO);
        }
        if open.by_key.len() >= self.config.max_destinations {
            return Err(NoDestination::TooMany);
        }
        let dir = match self.config.buffer {
            Buffer::Memory => None,
            Buffer::Disk(_) => {
                Some(recovered::of_sink(&self.common.state, &self.name).join(recovered::dir_name(&key)))
            }
        };
        let queue = self.open(key.clone(), dir);
        open.by_key.insert(key, Arc::clone(&queue));
        Ok(queue)
    }

    /// Delivers what an earlier run left in a directory; `takes_more`: and new records of the destination as well.
    pub(crate) fn resume(&self, key: Key, dir: PathBuf, takes_more: bool) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = self.open(key.clone(), Some(dir));
        if takes_more && self.config.buffer != Buffer::Memory {
            open.by_key.insert(key, queue);
        } else {
            queue.end();
            open.recovered.push(queue);
        }
    }

    /// The names of the fields that its destinations are made from.
    pub(crate) fn fields(&self) -> &[Box<str>] {
        &self.fields
    }

    /// Forgets a queue that has ended, so that the next event opens another.
    pub(crate) fn forget(&self, ended: &Arc<DestinationQueue>) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.by_key.retain(|_, queue| !Arc::ptr_eq(queue, ended));
    }

    /// Closes destinations that had nothing to do for long, and reports on the others.
    pub(crate) fn tick(&self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        close_idle(&mut open, self.config.idle);
        open.recovered.retain(|queue| !queue.is_drained());
        let oldest = open.queues().filter_map(|queue| queue.oldest()).max();
        self.metrics.buffer_oldest_seconds.set(oldest.unwrap_or_default().as_secs_f64());
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
    pub(crate) fn key(&self, origin: &Origin) -> Option<Key> {
        match &self.kind {
            Kind::Directory(directory) => {
                let stream = stream_name(&directory.stream.render(origin)?);
                Some(Key { stream, region: None, roles: Vec::new() })
            }
            Kind::Firehose(_, sink) => Some(Key {
                stream: stream_name(&sink.stream.render(origin)?),
                region: match &sink.aws.region {
                    Some(region) => Some(region.render(origin)?),
                    None => None,
                },
                roles: sink
                    .aws
                    .assume_role
                    .iter()
                    .map(|role| ResolvedRole::of(role, origin))
                    .collect::<Option<_>>()?,
            }),
        }
    }

    fn open(&self, key: Key, dir: Option<PathBuf>) -> Arc<DestinationQueue> {
        let Common { shares, room_freed, runtime, deliveries, spools, .. } = &self.common;
        let backpressure = Backpressure::new(Arc::clone(room_freed));
        let Sink { packing, linger, .. } = self.config;
        let storage =
            if dir.is_some() { Storage::Disk(self.quota.most_in_memory()) } else { Storage::Memory };
        let queue = DestinationQueue::new(
            (packing, linger),
            storage,
            backpressure,
            Arc::clone(shares),
            self.metrics.clone(),
        );
        if let Some(dir) = dir {
            let spool = self.spool(&key, dir, Arc::clone(&queue));
            spawn(spools, spool.run(), runtime);
        }
        spawn(deliveries, self.delivery(key, Arc::clone(&queue)), runtime);
        queue
    }

    /// What keeps the queue's records in a directory.
    fn spool(&self, key: &Key, dir: PathBuf, queue: Arc<DestinationQueue>) -> DiskWriter {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = turns.get(&dir).and_then(Weak::upgrade).unwrap_or_else(|| Arc::new(Semaphore::new(1)));
        turns.insert(dir.clone(), Arc::downgrade(&turn));
        DiskWriter {
            queue,
            dir,
            fields: Arc::clone(&self.fields),
            label: self.label(key),
            quota: Arc::clone(&self.quota),
            turn,
            metrics: self.metrics.clone(),
            dead_letters: Arc::clone(&self.common.shared.dead_letters),
            status: Arc::clone(&self.common.shared.status),
            buffers: Arc::clone(&self.common.read_buffers),
        }
    }

    fn label(&self, key: &Key) -> String {
        format!("{} ({})", self.name, key.stream)
    }

    /// The future that delivers what `queue` holds.
    fn delivery(&self, key: Key, queue: Arc<DestinationQueue>) -> impl Future<Output = ()> + Send + use<> {
        info!(sink = self.name, stream = key.stream, "destination opened");
        let parts = Parts {
            queue,
            shared: self.common.shared.clone(),
            metrics: self.metrics.clone(),
            compression: self.config.compression,
            label: self.label(&key),
        };
        let kind = self.kind.clone();
        async move {
            match kind {
                Kind::Firehose(clients, sink) => {
                    parts.deliver_to_firehose(clients, key, sink.max_concurrency).await;
                }
                Kind::Directory(directory) => {
                    let gzipped = parts.compression != Compression::None;
                    parts.deliver(Directory::new(directory.path, key.stream, gzipped), 1).await;
                }
            }
        }
    }
}

/// What a delivery is made of.
struct Parts {
    queue: Arc<DestinationQueue>,
    shared: SinkResources,
    metrics: SinkMetrics,
    compression: Compression,
    label: String,
}

impl Parts {
    async fn deliver<S: SinkService>(self, service: S, window: usize) {
        let settings = DeliverySettings { compression: self.compression, window, label: self.label };
        DeliveryLoop::new(Arc::new(service), self.queue, self.shared, self.metrics, settings).run().await;
    }

    async fn deliver_to_firehose(self, clients: FirehoseClients, key: Key, window: usize) {
        loop {
            match clients.client(key.region.clone(), key.roles.clone()).await {
                Ok(client) => {
                    let service = Firehose::new(client, self.shared.clone(), key.stream);
                    return self.deliver(service, window).await;
                }
                Err(fault) => {
                    error!(destination = self.label, error = %fault, "held; data is kept");
                    self.shared.status.report_issue(&self.label, Some(fault.to_string()));
                    tokio::select! {
                        () = tokio::time::sleep(CONNECT_AGAIN) => {}
                        () = self.queue.handed_over() => return,
                    }
                }
            }
        }
    }
}

/// How long to wait before a client is made again; the environment or a profile may have changed.
const CONNECT_AGAIN: Duration = Duration::from_secs(30);

/// What has ended and is not delivered stays, to be told when the process is about to end.
fn close_idle(open: &mut Open, idle: Duration) {
    open.by_key.retain(|_, queue| !(queue.end_if_idle(idle) && queue.is_drained()));
}

fn spawn(tasks: &Mutex<JoinSet<()>>, task: impl Future<Output = ()> + Send + 'static, runtime: &Handle) {
    let mut tasks = tasks.lock().unwrap_or_else(PoisonError::into_inner);
    // Those that have ended are taken out, so that the set does not grow.
    while tasks.try_join_next().is_some() {}
    tasks.spawn_on(task, runtime);
}

/// The names of the fields that the destinations of a sink are made from.
fn fields(kind: &Kind) -> Arc<[Box<str>]> {
    let of = |template: &Template| -> Vec<Box<str>> {
        template.fields().map(|field| field.to_string().into_boxed_str()).collect()
    };
    let names: BTreeSet<Box<str>> = match kind {
        Kind::Directory(directory) => of(&directory.stream).into_iter().collect(),
        Kind::Firehose(_, sink) => {
            let of_aws = sink.aws.fields().map(|field| field.to_string().into_boxed_str());
            of(&sink.stream).into_iter().chain(of_aws).collect()
        }
    };
    names.into_iter().collect()
}
