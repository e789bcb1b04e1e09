//! A sink's destinations: one for each distinct stream, region and chain of roles, made when first needed, closed when idle.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tracing::{error, info};

use super::feed::{Feed, Shares};
use crate::aws::{Aws, AwsError, FirehoseClient, Role};
use crate::batch::Encoder;
use crate::config::{AssumeRole, Compression, DirectorySink, Sink, SinkKind, session_name, stream_name};
use crate::event::{Gate, Origin};
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
    open: Mutex<BTreeMap<Key, Arc<Feed>>>,
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
}

/// What tells destinations apart.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Key {
    stream: String,
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
            kind,
            common,
            open: Mutex::default(),
        })
    }

    /// Where events of this origin go.
    ///
    /// # Errors
    /// When there is no such place, and none can be made.
    pub(super) fn destination(&self, origin: &Origin) -> Result<Arc<Feed>, NoDestination> {
        let key = self.key(origin).ok_or(NoDestination::MissingField)?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(feed) = open.get(&key) {
            return Ok(Arc::clone(feed));
        }
        if open.len() >= self.config.max_destinations {
            close_idle(&mut open, Duration::ZERO);
        }
        if open.len() >= self.config.max_destinations {
            return Err(NoDestination::TooMany);
        }
        let feed = self.open(key.clone());
        open.insert(key, Arc::clone(&feed));
        Ok(feed)
    }

    /// Forgets a feed that has ended, so that the next event opens another.
    pub(super) fn forget(&self, ended: &Arc<Feed>) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, feed| !Arc::ptr_eq(feed, ended));
    }

    /// Closes destinations that had nothing to do for long, and reports on the others.
    pub(super) fn tick(&self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        close_idle(&mut open, self.config.idle);
        let oldest = open.values().filter_map(|feed| feed.oldest()).max();
        self.metrics.buffer_oldest_seconds.set(oldest.unwrap_or_default().as_secs_f64());
    }

    /// Ends every destination's input.
    pub(super) fn end(&self) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.values().for_each(|feed| feed.end());
    }

    /// Makes every destination look again.
    pub(super) fn wake(&self) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.values().for_each(|feed| feed.wake());
    }

    fn key(&self, origin: &Origin) -> Option<Key> {
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
                    .map(|role| named(role, origin))
                    .collect::<Option<_>>()?,
            }),
        }
    }

    fn open(&self, key: Key) -> Arc<Feed> {
        let Common { shares, gate_opened, runtime, deliveries, .. } = &self.common;
        let gate = Gate::new(Arc::clone(gate_opened));
        let Sink { packing, linger, .. } = self.config;
        let feed = Feed::new(packing, linger, gate, Arc::clone(shares), self.metrics.clone());
        let delivery = self.delivery(key, Arc::clone(&feed));
        let mut deliveries = deliveries.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that have ended are taken out, so that the set does not grow.
        while deliveries.try_join_next().is_some() {}
        deliveries.spawn_on(delivery, runtime);
        feed
    }

    /// The future that delivers what `feed` holds.
    fn delivery(&self, key: Key, feed: Arc<Feed>) -> impl Future<Output = ()> + Send + use<> {
        info!(sink = self.name, stream = key.stream, "destination opened");
        let parts = Parts {
            feed,
            shared: self.common.shared.clone(),
            metrics: self.metrics.clone(),
            compression: self.config.compression,
            label: format!("{} ({})", self.name, key.stream),
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
                Ok(FirehoseClient { client, credentials, region }) => {
                    let shared = self.shared.clone();
                    let service = Firehose::new(client, credentials, shared, key.stream, region);
                    return self.deliver(service, window).await;
                }
                Err(fault) => {
                    error!(destination = self.label, error = %fault, "held; data is kept");
                    self.shared.status.complain(&self.label, Some(fault.to_string()));
                    tokio::time::sleep(CONNECT_AGAIN).await;
                }
            }
        }
    }
}

/// How long to wait before a client is made again; the environment or a profile may have changed.
const CONNECT_AGAIN: Duration = Duration::from_secs(30);

fn close_idle(open: &mut BTreeMap<Key, Arc<Feed>>, idle: Duration) {
    open.retain(|_, feed| !feed.end_if_idle(idle));
}

fn named(role: &AssumeRole, origin: &Origin) -> Option<Role> {
    Some(Role {
        arn: role.arn.render(origin)?,
        external_id: role.external_id.clone(),
        session_name: session_name(&role.session_name.render(origin)?),
        region: role.region.clone(),
        duration: role.duration,
        sts_endpoint_url: role.sts_endpoint_url.clone(),
    })
}
