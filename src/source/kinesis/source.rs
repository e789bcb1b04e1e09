//! The border of the source.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};

use super::client::KinesisClient;
use super::consumer::FanOutConsumer;
use super::fleet::Worker;
use super::lease_store::{LeaseStore, OwnLeases};
use super::lease_table::LeaseTable;
use super::left::LeftShards;
use super::position::WorkerIdentity;
use super::reading::StreamReading;
use crate::aws::ApiClient;
use crate::config::{KinesisSource, LeaseSettings};
use crate::event::{Origin, Timestamp};
use crate::pipeline::Intake;
use crate::source::carryover::Carried;
use crate::source::holds::Holds;
use crate::source::lifecycle::{Source, SourceContext, SourceError, SourceFuture};
use crate::source::stop::Stop;

/// A source of type `kinesis`, as the daemon sees it.
pub struct KinesisShards {
    config: KinesisSource,
    context: SourceContext,
    origin: Origin,
    /// Until it runs.
    client: Option<KinesisClient>,
    leases: Option<ApiClient>,
    successor: Arc<Successor>,
    worker: Option<Worker>,
    /// After the run: what is left of it takes no more from the pipeline.
    left: Option<LeftShards>,
}

/// A source that reads once was held for too long, or the last positions could not be written down.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct UnreadStream(String);

/// Whether leases are kept for the next run.
#[derive(Debug, Default)]
struct Successor(AtomicBool);

impl Carried for Successor {
    fn announce(&self, successors: &BTreeSet<&'static str>) {
        self.0.store(successors.contains("kinesis"), Ordering::Relaxed);
    }
}

/// How long a source may take to write its last positions down; the daemon waits a little longer.
const LEAVE: Duration = Duration::from_secs(4);

impl KinesisShards {
    /// Prepares calls; nothing is asked yet.
    ///
    /// # Errors
    /// When the configuration cannot be used.
    pub async fn prepare(config: KinesisSource, context: SourceContext) -> Result<Self, SourceError> {
        let whose = format!("source `{}`", context.name);
        let origin = Origin::new(Arc::clone(&context.name), Arc::clone(&context.host));
        let region = Some(config.region().to_owned());
        let wrong = |error: crate::aws::AwsError| SourceError::Other(Box::new(error));
        let client = ApiClient::with(&whose, &config.aws, region.clone(), &origin).await.map_err(wrong)?;
        let client = client.at(config.aws.endpoint_url.clone());
        let client = match &config.fan_out {
            Some(_) => client.streaming(&whose, &config.aws).map_err(wrong)?,
            None => client,
        };
        let stream_arn: Arc<str> = config.stream_arn.as_str().into();
        let client = KinesisClient::new(client, stream_arn, config.aws.request_timeout);
        let leases = match &config.leases {
            Some(LeaseSettings { aws, .. }) => {
                let region = if aws.region.is_some() { None } else { region };
                let client = ApiClient::with(&whose, aws, region, &origin).await.map_err(wrong)?;
                Some(client.at(aws.endpoint_url.clone()))
            }
            None => None,
        };
        let successor = context.carryover.get::<Successor>(&context.name);
        Ok(Self {
            config,
            context,
            origin,
            client: Some(client),
            leases,
            successor,
            worker: None,
            left: None,
        })
    }

    /// The worker's name, which no other has.
    fn name(&self) -> Arc<str> {
        let SourceContext { name, host, checkpoints, .. } = &self.context;
        let known = checkpoints.stored::<WorkerIdentity>(name).into_iter().next();
        let identity = known.unwrap_or_else(|| {
            let id = format!("standpipe-{host}-{:016x}", fastrand::u64(..)).into();
            checkpoints.begin(name, WorkerIdentity { id })
        });
        identity.position().id
    }

    fn begin(&mut self, intake: Intake, client: KinesisClient) -> &mut Worker {
        let SourceContext { name, status, once, checkpoints, .. } = &self.context;
        let shared = self.config.leases.as_ref().zip(self.leases.take());
        let failover = self.config.leases.as_ref().map_or(UNSHARED_LOOK, |leases| leases.failover);
        let worker: Arc<str> = if shared.is_some() { self.name() } else { "this".into() };
        let store = match shared {
            Some((settings, client)) => {
                let table = settings.table.as_str().into();
                LeaseStore::Shared(Box::new(LeaseTable::new(client, table, Arc::clone(&worker), failover)))
            }
            None => LeaseStore::Own(OwnLeases::claim(name, client.stream_arn(), checkpoints)),
        };
        let kibibytes = usize::try_from(intake.memory() / 4 / 1024).unwrap_or(usize::MAX);
        let reading = Arc::new(StreamReading {
            at_hand: Arc::new(Semaphore::new(kibibytes.clamp(1, Semaphore::MAX_PERMITS))),
            intake,
            client,
            consumer: self.config.fan_out.as_deref().map(|name| FanOutConsumer::new(name.into())),
            store: Arc::new(store),
            holds: Holds::new(Arc::clone(name), Arc::clone(status), *once),
            origin: self.origin.clone(),
            start: self.config.start,
            is_once: *once,
            began: Timestamp::now(),
            ended: Arc::new(Notify::new()),
        });
        self.worker.insert(Worker::new(reading, worker, failover))
    }
}

/// How often a source that shares with nobody looks whether there is something to be done.
const UNSHARED_LOOK: Duration = Duration::from_secs(10);

impl Source for KinesisShards {
    fn run(&mut self, intake: Intake, stop: Stop) -> SourceFuture<'_> {
        Box::pin(async move {
            self.successor.0.store(false, Ordering::Relaxed);
            // A source runs once.
            let Some(client) = self.client.take() else { return Ok(()) };
            let ended = self.begin(intake, client).run(stop).await;
            self.left = self.worker.take().map(Worker::into_left);
            ended.map_err(|reason| SourceError::Other(Box::new(UnreadStream(reason))))
        })
    }

    fn finish(mut self: Box<Self>) -> SourceFuture<'static> {
        Box::pin(async move {
            // A run that was cut short did not come to its end.
            let cut_short = || self.worker.take().map(Worker::into_left);
            let Some(left) = self.left.take().or_else(cut_short) else { return Ok(()) };
            let is_kept = self.successor.0.load(Ordering::Relaxed);
            left.leave(LEAVE, is_kept)
                .await
                .map_err(|reason| SourceError::Other(Box::new(UnreadStream(reason))))
        })
    }
}
