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

use super::feed::{Feed, Keeping, Shares};
use super::leftover;
use super::quota::Quota;
use super::spool::Spool;
use crate::aws::{Aws, AwsError, Role};
use crate::batch::Encoder;
use crate::config::{Buffer, Compression, DirectorySink, Sink, SinkKind, Template, stream_name};
use crate::event::{Buffers, Gate, Origin, Supply};
use crate::metrics::SinkMetrics;
use crate::sink::{Delivery, Directory, Firehose, Service, Shared};

/// One configured sink, running.
#[derive(Debug)]
pub(super) struct Outlet {
    /// The sink's name.
    pub(super) name: String,
    /// How it writes events.
    pub(super) encoder: Encoder,
    /// What it counts.
    pub(super) metrics: SinkMetrics,
    /// Shut while its dead letters cannot be written.
    pub(super) dead_letter_gate: Arc<Gate>,
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
    /// Another plant's sink takes up what is on disk: at the end of the input it stays there.
    has_heir: AtomicBool,
}

#[derive(Debug, Default)]
struct Open {
    by_key: BTreeMap<Key, Arc<Feed>>,
    /// Those that only deliver what an earlier run left.
    leftover: Vec<Arc<Feed>>,
}

impl Open {
    fn feeds(&self) -> impl Iterator<Item = &Arc<Feed>> {
        self.by_key.values().chain(&self.leftover)
    }
}

/// What an outlet's destinations are.
#[derive(Clone, Debug)]
enum Kind {
    Firehose(Aws),
    Directory(DirectorySink),
}

/// What all outlets share.
#[derive(Clone, Debug)]
pub(super) struct Common {
    /// For the sinks.
    pub(super) shared: Shared,
    /// How memory is shared.
    pub(super) shares: Arc<Shares>,
    /// Told when a gate opens.
    pub(super) gate_opened: Arc<Notify>,
    /// Where delivery runs.
    pub(super) runtime: Handle,
    /// The running deliveries. The lock covers a spawn.
    pub(super) deliveries: Arc<Mutex<JoinSet<()>>>,
    /// What keeps records on disk. The lock covers a spawn.
    pub(super) spools: Arc<Mutex<JoinSet<()>>>,
    /// The state directory.
    pub(super) state: Arc<Path>,
    /// What records are read into from disk.
    pub(super) read_buffers: Arc<Buffers>,
}

/// What tells destinations apart.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Key {
    pub(super) stream: String,
    region: Option<String>,
    roles: Vec<Role>,
}

/// Why an event has no destination; the label of its dead letter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NoDestination {
    /// A name is made from metadata that the event does not have.
    MissingField,
    /// As many as allowed are open, and none is idle.
    TooMany,
}

impl NoDestination {
    /// The reason as a metric's label.
    #[must_use]
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::MissingField => "missing_field",
            Self::TooMany => "too_many_destinations",
        }
    }
}

impl Outlet {
    /// A sink without destinations yet.
    ///
    /// # Errors
    /// When its TLS settings are of no use.
    pub(super) fn new(
        name: &str,
        config: &Sink,
        metrics: SinkMetrics,
        common: Common,
    ) -> Result<Self, AwsError> {
        let kind = match &config.kind {
            SinkKind::Firehose(firehose) => {
                Kind::Firehose(Aws::new((**firehose).clone(), metrics.credentials_expiry())?)
            }
            SinkKind::Directory(directory) => Kind::Directory(directory.clone()),
        };
        Ok(Self {
            name: name.to_owned(),
            encoder: Encoder::new(config),
            metrics,
            dead_letter_gate: common.shared.dead_letters.gate(&name.into()),
            config: config.clone(),
            fields: fields(&kind),
            kind,
            common,
            open: Mutex::default(),
            quota: Arc::new(Quota::new(config.buffer)),
            turns: Mutex::default(),
            has_heir: AtomicBool::new(false),
        })
    }

    /// Where events of this origin go.
    ///
    /// # Errors
    /// When there is no such place, and none can be made.
    pub(super) fn destination(&self, origin: &Origin) -> Result<Arc<Feed>, NoDestination> {
        let key = self.key(origin).ok_or(NoDestination::MissingField)?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(feed) = open.by_key.get(&key) {
            return Ok(Arc::clone(feed));
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
                Some(leftover::of_sink(&self.common.state, &self.name).join(leftover::dir_name(&key)))
            }
        };
        let feed = self.open(key.clone(), dir);
        open.by_key.insert(key, Arc::clone(&feed));
        Ok(feed)
    }

    /// Delivers what an earlier run left in a directory; `takes_more`: and new records of the destination as well.
    pub(super) fn resume(&self, key: Key, dir: PathBuf, takes_more: bool) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let feed = self.open(key.clone(), Some(dir));
        if takes_more && self.config.buffer != Buffer::Memory {
            open.by_key.insert(key, feed);
        } else {
            feed.end();
            open.leftover.push(feed);
        }
    }

    /// The names of the fields that its destinations are made from.
    pub(super) fn fields(&self) -> &[Box<str>] {
        &self.fields
    }

    /// Forgets a feed that has ended, so that the next event opens another.
    pub(super) fn forget(&self, ended: &Arc<Feed>) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.by_key.retain(|_, feed| !Arc::ptr_eq(feed, ended));
    }

    /// Closes destinations that had nothing to do for long, and reports on the others.
    pub(super) fn tick(&self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        close_idle(&mut open, self.config.idle);
        open.leftover.retain(|feed| !feed.is_drained());
        let oldest = open.feeds().filter_map(|feed| feed.oldest()).max();
        self.metrics.buffer_oldest_seconds.set(oldest.unwrap_or_default().as_secs_f64());
    }

    /// Notes whether this sink takes up what is on disk, among those of the plant that comes next.
    pub(super) fn leave_to(&self, next: Option<&Self>) {
        // As at a start, a name must not be made from a field that was of no account before.
        let delivers = |next: &Self| next.fields.iter().all(|field| self.fields.contains(field));
        self.has_heir.store(next.is_some_and(delivers), Ordering::Release);
    }

    /// Whether everything that is not delivered is on disk, for another plant's sink to take up.
    pub(super) fn is_left(&self) -> bool {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.feeds().all(|feed| feed.is_left() || feed.is_drained())
    }

    /// Ends every destination's input.
    pub(super) fn end(&self) {
        let has_heir = self.has_heir.load(Ordering::Acquire);
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.feeds().for_each(|feed| if has_heir { feed.end_and_leave() } else { feed.end() });
    }

    /// Makes every destination look again.
    pub(super) fn wake(&self) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.feeds().for_each(|feed| feed.wake());
    }

    /// Lets go of everything: nothing of the sink runs any more.
    pub(super) fn retire(&self) {
        let open = std::mem::take(&mut *self.open.lock().unwrap_or_else(PoisonError::into_inner));
        // Receipts are dropped here, after the lock.
        drop(open);
        self.metrics.retire();
    }

    /// What tells the destination of events of this origin apart; none when the origin lacks a field.
    pub(super) fn key(&self, origin: &Origin) -> Option<Key> {
        match &self.kind {
            Kind::Directory(directory) => {
                let stream = stream_name(&directory.stream.render(origin)?);
                Some(Key { stream, region: None, roles: Vec::new() })
            }
            Kind::Firehose(aws) => Some(Key {
                stream: stream_name(&aws.settings().stream.render(origin)?),
                region: match &aws.settings().region {
                    Some(region) => Some(region.render(origin)?),
                    None => None,
                },
                roles: aws
                    .settings()
                    .assume_role
                    .iter()
                    .map(|role| Role::of(role, origin))
                    .collect::<Option<_>>()?,
            }),
        }
    }

    fn open(&self, key: Key, dir: Option<PathBuf>) -> Arc<Feed> {
        let Common { shares, gate_opened, runtime, deliveries, spools, .. } = &self.common;
        let gate = Gate::new(Arc::clone(gate_opened));
        let Sink { packing, linger, .. } = self.config;
        let keeping =
            if dir.is_some() { Keeping::Disk(self.quota.most_in_memory()) } else { Keeping::Memory };
        let feed = Feed::new((packing, linger), keeping, gate, Arc::clone(shares), self.metrics.clone());
        if let Some(dir) = dir {
            let spool = self.spool(&key, dir, Arc::clone(&feed));
            spawn(spools, spool.run(), runtime);
        }
        spawn(deliveries, self.delivery(key, Arc::clone(&feed)), runtime);
        feed
    }

    /// What keeps the feed's records in a directory.
    fn spool(&self, key: &Key, dir: PathBuf, feed: Arc<Feed>) -> Spool {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = turns.get(&dir).and_then(Weak::upgrade).unwrap_or_else(|| Arc::new(Semaphore::new(1)));
        turns.insert(dir.clone(), Arc::downgrade(&turn));
        Spool {
            feed,
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

    /// The future that delivers what `feed` holds.
    fn delivery(&self, key: Key, feed: Arc<Feed>) -> impl Future<Output = ()> + Send + use<> {
        info!(sink = self.name, stream = key.stream, "destination opened");
        let parts = Parts {
            feed,
            shared: self.common.shared.clone(),
            metrics: self.metrics.clone(),
            compression: self.config.compression,
            label: self.label(&key),
        };
        let kind = self.kind.clone();
        async move {
            match kind {
                Kind::Firehose(aws) => parts.deliver_to_firehose(aws, key).await,
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
    feed: Arc<Feed>,
    shared: Shared,
    metrics: SinkMetrics,
    compression: Compression,
    label: String,
}

impl Parts {
    async fn deliver<S: Service>(self, service: S, window: usize) {
        let settings = (self.compression, window, self.label);
        Delivery::new(Arc::new(service), self.feed, self.shared, self.metrics, settings).run().await;
    }

    async fn deliver_to_firehose(self, aws: Aws, key: Key) {
        let window = aws.settings().max_concurrency;
        loop {
            match aws.firehose(key.region.clone(), key.roles.clone()).await {
                Ok(client) => {
                    let service = Firehose::new(client, self.shared.clone(), key.stream);
                    return self.deliver(service, window).await;
                }
                Err(fault) => {
                    error!(destination = self.label, error = %fault, "held; data is kept");
                    self.shared.status.complain(&self.label, Some(fault.to_string()));
                    tokio::select! {
                        () = tokio::time::sleep(CONNECT_AGAIN) => {}
                        () = self.feed.left() => return,
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
    open.by_key.retain(|_, feed| !(feed.end_if_idle(idle) && feed.is_drained()));
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
        Kind::Firehose(aws) => {
            let settings = aws.settings();
            let roles = settings.assume_role.iter().flat_map(|role| [&role.arn, &role.session_name]);
            [&settings.stream].into_iter().chain(&settings.region).chain(roles).flat_map(of).collect()
        }
    };
    names.into_iter().collect()
}
