//! Objects of S3 that the messages of a queue announce.
//!
//! A message is the position: it is hidden while its objects are read, deleted when every event of them is done, and comes again,
//! here or at another standpipe, if it was not.

use std::sync::Arc;
use std::time::Duration;

use globset::GlobSet;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tracing::warn;

use super::error::S3SourceError;
use super::held::{self, HeldMessages};
use super::message::MessageWorker;
use super::open::ObjectClient;
use super::queue::SqsQueue;
use super::reading::ObjectReading;
use super::receive::{Receiver, delete, delete_done, gauge_lag};
use crate::config::S3Source;
use crate::event::Origin;
use crate::metrics::SourceMetrics;
use crate::pipeline::Intake;
use crate::source::holds::Holds;
use crate::source::lifecycle::{Source, SourceContext, SourceError, SourceFuture};
use crate::source::stop::Stop;

/// A source of type `s3`.
pub(super) struct AnnouncedObjects {
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

/// Numbers of messages that wait to be deleted.
const DELETIONS: usize = 1_000;

impl AnnouncedObjects {
    /// A source that is ready to run; nothing is asked yet.
    pub(super) fn with(
        config: S3Source,
        context: SourceContext,
        exclude: GlobSet,
        queue: SqsQueue,
        objects: ObjectClient,
    ) -> Self {
        let origin = Origin::new(Arc::clone(&context.name), Arc::clone(&context.host));
        let visibility = queue.visibility();
        let (queue, objects, held) = (Arc::new(queue), Arc::new(objects), Arc::default());
        Self { config, context, origin, exclude, queue, objects, visibility, held, metrics: None }
    }

    async fn worker(
        &self,
        intake: Intake,
        holds: &Arc<Holds>,
        deletions: mpsc::Sender<u64>,
    ) -> MessageWorker {
        let checkpoints = Arc::clone(&self.context.checkpoints);
        let (client, origin) = (Arc::clone(&self.objects), self.origin.clone());
        let reading = ObjectReading::new(&self.config, intake, client, origin, holds, checkpoints);
        let concurrency = reading.concurrency(self.config.concurrency);
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
        let worker = Arc::new(self.worker(intake, &holds, deletions).await);
        let concurrency = worker.reading.concurrency(self.config.concurrency);
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
        let others: Vec<String> = self.held.read().into_iter().map(|held| held.message.handle).collect();
        self.queue.keep_for_a_stop(&others).await;
    }

    async fn give_back(&self, metrics: &SourceMetrics, handles: Vec<String>) {
        let failed = self.queue.give_back(&handles).await;
        metrics.messages("returned", handles.len().saturating_sub(failed) as u64);
    }
}

impl Source for AnnouncedObjects {
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
