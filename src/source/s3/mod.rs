//! Objects of S3, announced by the messages of a queue: `type = "s3"`.
//!
//! A message is the position: it is hidden while its objects are read, deleted when every event of them is done, and comes again,
//! here or at another standpipe, if it was not.

mod cut;
mod held;
mod holds;
mod message;
mod notification;
mod object;
mod open;
mod position;
mod progress;
mod queue;
mod reading;
mod receive;
mod resumable;
mod seen;
mod stream;
mod unpack;
mod zstd;

use std::sync::Arc;
use std::time::Duration;

use globset::{Glob, GlobSet, GlobSetBuilder};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tracing::warn;

use self::held::HeldMessages;
use self::holds::Holds;
use self::message::MessageWorker;
use self::open::ObjectClient;
use self::queue::SqsQueue;
use self::reading::ObjectReading;
use self::receive::{Receiver, delete, delete_done, gauge_lag};
use self::resumable::ResumableObjects;
use crate::aws::{ApiClient, AwsError};
use crate::config::{ObjectFeed, QueueFeed, S3Source};
use crate::event::{Origin, Timestamp};
use crate::metrics::SourceMetrics;
use crate::pipeline::Intake;
use crate::source::lifecycle::{Source, SourceContext, SourceError, SourceFuture};
use crate::source::stop::Stop;

/// A source of type `s3`.
pub struct S3Objects {
    config: S3Source,
    context: SourceContext,
    origin: Origin,
    exclude: GlobSet,
    queue: Arc<SqsQueue>,
    objects: Arc<ObjectClient>,
    visibility: Duration,
    held: Arc<HeldMessages>,
    /// Those of the run, for the end.
    metrics: Option<SourceMetrics>,
}

/// Why a source of objects cannot run.
#[derive(Debug, thiserror::Error)]
enum S3SourceError {
    #[error("held for too long for a run with --once: {0}")]
    Held(String),
}

/// Numbers of messages that wait to be deleted.
const DELETIONS: usize = 1_000;

impl S3Objects {
    /// A source that is ready to run; nothing is asked yet.
    ///
    /// # Errors
    /// When a client cannot be built, or a glob is none.
    pub async fn prepare(config: S3Source, context: SourceContext) -> Result<Self, SourceError> {
        let origin = Origin::new(Arc::clone(&context.name), Arc::clone(&context.host));
        let whose = format!("source `{}`", context.name);
        let wrong = |error: AwsError| SourceError::Other(Box::new(error));
        let ObjectFeed::Queue(feed) = &config.feed;
        let of_queue = ApiClient::with(&whose, &feed.aws, feed.region().map(str::to_owned), &origin).await;
        let of_queue = of_queue.map_err(wrong)?.at(Some(feed.endpoint().to_owned()));
        let queue = SqsQueue::new(of_queue, feed.url.clone(), feed.visibility);
        let of_buckets = ApiClient::with(&whose, &config.aws, None, &origin).await.map_err(wrong)?;
        let mut of_buckets = of_buckets.at(config.aws.endpoint_url.clone());
        if let Some(owner) = &config.bucket_owner {
            of_buckets = of_buckets.owning(owner);
        }
        Self::with(config, context, queue, of_buckets)
    }

    fn with(
        config: S3Source,
        context: SourceContext,
        queue: SqsQueue,
        of_buckets: ApiClient,
    ) -> Result<Self, SourceError> {
        let (requester_pays, patience) = (config.requester_pays, config.aws.request_timeout);
        let objects = Arc::new(ObjectClient { client: of_buckets, requester_pays, patience });
        let ObjectFeed::Queue(QueueFeed { visibility, .. }) = &config.feed;
        let origin = Origin::new(Arc::clone(&context.name), Arc::clone(&context.host));
        let (visibility, exclude) = (*visibility, globs(&config.exclude)?);
        let (queue, held) = (Arc::new(queue), Arc::default());
        Ok(Self { config, context, origin, exclude, queue, objects, visibility, held, metrics: None })
    }

    async fn worker(
        &self,
        intake: Intake,
        holds: &Arc<Holds>,
        deletions: mpsc::Sender<u64>,
    ) -> MessageWorker {
        let SourceContext { name, checkpoints, .. } = &self.context;
        let positions = ResumableObjects::of(Arc::clone(name), Arc::clone(checkpoints), Timestamp::now());
        let concurrency = self.concurrency(&intake);
        let reading = ObjectReading {
            intake,
            client: Arc::clone(&self.objects),
            contents: self.config.contents,
            decoding: self.config.decoding.clone(),
            origin: self.origin.clone(),
            holds: Arc::clone(holds),
            positions,
            large: Arc::new(Semaphore::new(1)),
        };
        MessageWorker {
            queue: Arc::clone(&self.queue),
            reading,
            held: Arc::clone(&self.held),
            seen: Arc::default(),
            objects: Semaphore::new(concurrency),
            exclude: self.exclude.clone(),
            has_redrive: self.has_redrive().await,
            deletions,
            visibility: self.visibility,
        }
    }

    /// As many objects at once as are configured, and as the memory has room for.
    fn concurrency(&self, intake: &Intake) -> usize {
        let room = usize::try_from(intake.memory() / 4).unwrap_or(usize::MAX) / stream::ROOM;
        self.config.concurrency.min(room).max(1)
    }

    async fn has_redrive(&self) -> bool {
        self.queue.has_redrive().await.unwrap_or_else(|refused| {
            let source = &*self.context.name;
            warn!(source, error = %refused, "whether the queue has a redrive policy is not known; messages that announce nothing become dead letters after a while");
            false
        })
    }

    async fn read(&mut self, intake: Intake, stop: Stop) -> Result<(), SourceError> {
        let SourceContext { name, status, once, .. } = &self.context;
        let holds = Holds::new(Arc::clone(name), Arc::clone(status), *once);
        let metrics = intake.metrics.clone();
        self.metrics = Some(metrics.clone());
        let (deletions, done) = mpsc::channel(DELETIONS);
        let concurrency = self.concurrency(&intake);
        let worker = Arc::new(self.worker(intake, &holds, deletions).await);
        // They end with this.
        let mut helpers = JoinSet::new();
        helpers.spawn(delete_done(Arc::clone(&self.queue), Arc::clone(&self.held), metrics.clone(), done));
        helpers.spawn(gauge_lag(Arc::clone(&self.held), metrics.clone()));
        let mut tasks = JoinSet::new();
        let receiver = Receiver { worker, holds, concurrency, is_once: *once, stop };
        let ended = receiver.run(&mut tasks).await;
        tasks.shutdown().await;
        helpers.shutdown().await;
        self.leave(&metrics).await;
        ended.map_err(|reason| SourceError::Other(Box::new(S3SourceError::Held(reason))))
    }

    /// Gives back at once what was not read to its end, and keeps the rest hidden until it is known what became of it.
    async fn leave(&self, metrics: &SourceMetrics) {
        let unread = self.held.take(|held| !held.is_read);
        self.give_back(metrics, unread.into_iter().map(|held| held.message.handle).collect()).await;
        for held in self.held.read() {
            // What cannot be extended comes again, in the worst case.
            self.queue.extend(&held.message).await.ok();
        }
    }

    async fn give_back(&self, metrics: &SourceMetrics, handles: Vec<String>) {
        let failed = self.queue.give_back(&handles).await;
        metrics.messages("returned", handles.len().saturating_sub(failed) as u64);
    }
}

impl Source for S3Objects {
    fn run(&mut self, intake: Intake, stop: Stop) -> SourceFuture<'_> {
        Box::pin(self.read(intake, stop))
    }

    /// Deletes the messages of which all is done by now, and gives the others back.
    fn finish(self: Box<Self>) -> SourceFuture<'static> {
        Box::pin(async move {
            let Some(metrics) = &self.metrics else { return Ok(()) };
            let done = self.held.take(held::HeldMessage::is_done);
            done.iter().for_each(held::HeldMessage::forget_objects);
            let handles: Vec<String> = done.into_iter().map(|held| held.message.handle).collect();
            delete(&self.queue, metrics, &handles).await;
            let others = self.held.take(|_| true);
            self.give_back(metrics, others.into_iter().map(|held| held.message.handle).collect()).await;
            Ok(())
        })
    }
}

fn globs(patterns: &[String]) -> Result<GlobSet, SourceError> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let wrong = |source| SourceError::Glob { pattern: pattern.clone(), source };
        set.add(Glob::new(pattern).map_err(wrong)?);
    }
    set.build().map_err(|source| SourceError::Glob { pattern: patterns.join("`, `"), source })
}

#[cfg(test)]
mod tests;
