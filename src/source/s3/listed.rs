//! Objects of a bucket that is listed again and again: what is done is remembered, and what is not is read, however late it appears.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use globset::GlobSet;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::begun::{BegunObject, BegunTable, gauge_lag};
use super::done::{self, DoneObjects};
use super::error::S3SourceError;
use super::listed_bucket::ListedBucket;
use super::notification::{self, ObjectName};
use super::object::{ObjectEnd, ObjectReader};
use super::open::ObjectClient;
use super::progress::ObjectProgress;
use super::reading::ObjectReading;
use super::sweep::{BucketLister, DAY, ListedObject, days_of, folder_of};
use crate::causes::with_causes;
use crate::config::{ListingFeed, ListingStart, ObjectLayout, S3Source};
use crate::event::{Closed, Held, Origin, Timestamp};
use crate::metrics::SourceMetrics;
use crate::pipeline::Intake;
use crate::source::holds::Holds;
use crate::source::lifecycle::{Source, SourceContext, SourceError, SourceFuture};
use crate::source::stop::Stop;

/// A source that lists a bucket.
pub(super) struct ListedObjects {
    config: S3Source,
    feed: ListingFeed,
    context: SourceContext,
    exclude: GlobSet,
    objects: Arc<ObjectClient>,
    /// Read when the run begins: the one before it may still have to write.
    done: Option<Arc<DoneObjects>>,
    begun: Arc<BegunTable>,
    /// Those of the run, for the end.
    metrics: Option<SourceMetrics>,
}

/// What the tasks of a sweep share.
struct ListedWorker {
    reading: ObjectReading,
    done: Arc<DoneObjects>,
    begun: Arc<BegunTable>,
    /// Something was given up: it is to be read in the next sweep.
    has_failed: AtomicBool,
}

/// A run with an end says as often where it has come to.
const PROGRESS: Duration = Duration::from_secs(10);

/// How often it is written.
const SAVE: Duration = Duration::from_secs(1);

/// Folders above the dates are looked for as often as this: new accounts appear.
const ROOTS: Duration = Duration::from_mins(15);

/// Of so many sweeps one lists every day.
const ALL_DAYS: u64 = 60;

/// For each object that is read at once, so many are open, of which the others wait for their first bytes; fewer, where memory is small.
const AHEAD: usize = 2;

/// Most objects that wait for delivery.
const MOST_BEGUN: usize = 2_000;

impl ListedObjects {
    /// A source that is ready to run; nothing is asked yet.
    pub(super) fn with(
        config: S3Source,
        feed: ListingFeed,
        context: SourceContext,
        exclude: GlobSet,
        objects: ObjectClient,
    ) -> Result<Self, SourceError> {
        let source = Self {
            config,
            feed,
            context,
            exclude,
            objects: Arc::new(objects),
            done: None,
            begun: Arc::default(),
            metrics: None,
        };
        // Whatever is wrong with it is known now.
        source.open()?;
        Ok(source)
    }

    fn open(&self) -> Result<Arc<DoneObjects>, SourceError> {
        let now = Timestamp::now().0;
        let since = match &self.feed.start {
            ListingStart::Beginning => 0,
            ListingStart::Now => now,
            ListingStart::Ago(ago) => now.saturating_sub(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX)),
        };
        let folder = self.context.checkpoints.dir().join(done::FOLDER);
        let opened = DoneObjects::open(&folder, &self.name_of_done(), since);
        opened.map(Arc::new).map_err(|error| SourceError::Other(Box::new(S3SourceError::Done(folder, error))))
    }

    /// What the file with what is done is named by: another bucket, or another part of it, has another.
    fn name_of_done(&self) -> String {
        let ListingFeed { bucket, prefix, layout, .. } = &self.feed;
        format!("{} {bucket} {prefix} {layout:?}", self.context.name)
    }

    /// Notes in the checkpoint file what that file is of.
    fn note_bucket(&self) {
        let file = done::file_name(&self.name_of_done());
        let ListingFeed { bucket, prefix, .. } = self.feed.clone();
        let SourceContext { name, checkpoints, .. } = &self.context;
        let known = checkpoints.stored::<ListedBucket>(name);
        if !known.iter().any(|known| known.position().file == file) {
            checkpoints.begin(name, ListedBucket { bucket, prefix, file });
        }
    }

    async fn read(&mut self, intake: Intake, mut stop: Stop) -> Result<(), SourceError> {
        let done = self.open()?;
        self.done = Some(Arc::clone(&done));
        self.note_bucket();
        let SourceContext { name, host, status, once, .. } = &self.context;
        let holds = Holds::new(Arc::clone(name), Arc::clone(status), *once);
        let metrics = intake.metrics.clone();
        self.metrics = Some(metrics.clone());
        let mut helpers = JoinSet::new();
        helpers.spawn(save_often(Arc::clone(&done), intake.standing(), metrics.clone()));
        helpers.spawn(gauge_lag(Arc::clone(&self.begun), metrics));
        let origin = Origin::new(Arc::clone(name), Arc::clone(host));
        let checkpoints = Arc::clone(&self.context.checkpoints);
        let reading =
            ObjectReading::new(&self.config, intake, Arc::clone(&self.objects), origin, &holds, checkpoints);
        let begun = Arc::clone(&self.begun);
        let worker = Arc::new(ListedWorker { reading, done, begun, has_failed: AtomicBool::new(false) });
        let (client, feed) = (Arc::clone(&self.objects), self.feed.clone());
        let lister = BucketLister { client, feed, holds: Arc::clone(&holds) };
        let mut sweeps = Sweeps {
            concurrency: worker.reading.concurrency(self.config.concurrency.saturating_mul(AHEAD)),
            lister,
            worker,
            exclude: self.exclude.clone(),
            is_once: *once,
            said: Instant::now(),
            tasks: JoinSet::new(),
            roots: None,
        };
        let ended = tokio::select! {
            () = sweeps.run() => Ok(()),
            () = stop.requested() => Ok(()),
            reason = holds.failed() => Err(SourceError::Other(Box::new(S3SourceError::Held(reason)))),
        };
        sweeps.tasks.shutdown().await;
        helpers.shutdown().await;
        ended
    }
}

impl Source for ListedObjects {
    fn run(&mut self, intake: Intake, stop: Stop) -> SourceFuture<'_> {
        Box::pin(self.read(intake, stop))
    }

    /// Remembers what is done by now.
    fn finish(self: Box<Self>) -> SourceFuture<'static> {
        Box::pin(async move {
            let Some(done) = self.done else { return Ok(()) };
            for object in std::mem::take(&mut *self.begun.objects.lock()).into_values() {
                if object.is_read && object.chunks.iter().all(|chunks| chunks.is_settled() == Some(true)) {
                    self.metrics.iter().for_each(|metrics| metrics.object("read"));
                    object.chunks.iter().for_each(|chunks| chunks.forget());
                    done.insert(object.day, object.hash);
                    if let Some(found) = object.found {
                        done.insert(object.day, found);
                    }
                }
            }
            let saved = spawn_blocking(move || done.save()).await;
            match saved {
                Ok(Err(error)) => Err(SourceError::Other(Box::new(error))),
                Ok(Ok(())) | Err(_) => Ok(()),
            }
        })
    }
}

/// One sweep after the other.
struct Sweeps {
    /// Most objects that are open.
    concurrency: usize,
    lister: BucketLister,
    worker: Arc<ListedWorker>,
    exclude: GlobSet,
    is_once: bool,
    /// When its progress was said last.
    said: Instant,
    tasks: JoinSet<()>,
    /// As they were found last.
    roots: Option<(Instant, Arc<[String]>)>,
}

impl Sweeps {
    async fn run(&mut self) {
        let slots = Arc::new(Semaphore::new(self.concurrency));
        for number in 0_u64.. {
            let is_whole = self.is_once || number.is_multiple_of(ALL_DAYS);
            let now = Timestamp::now().0;
            self.worker.has_failed.store(false, Ordering::Relaxed);
            self.sweep(number, is_whole, now, &slots).await;
            while self.tasks.join_next().await.is_some() {}
            let has_failed = self.worker.has_failed.load(Ordering::Relaxed);
            if is_whole && !has_failed {
                let lookback = i64::try_from(self.lister.feed.lookback.as_millis()).unwrap_or(i64::MAX);
                self.worker.done.set_floor(now.saturating_sub(lookback).div_euclid(DAY));
            }
            if self.is_once && !has_failed {
                return;
            }
            sleep(if self.is_once { Duration::from_secs(1) } else { self.lister.feed.every }).await;
        }
    }

    async fn sweep(&mut self, number: u64, is_whole: bool, now: i64, slots: &Arc<Semaphore>) {
        let (floor, since) = self.worker.done.bounds();
        let (first, last) = days_of(number, is_whole, now, floor);
        for root in self.roots().await.iter() {
            if self.lister.feed.layout == ObjectLayout::Flat {
                self.list(root, None, since, slots).await;
                continue;
            }
            for day in self.lister.days(root, first, last).await {
                let folder = folder_of(root, day);
                self.say_progress(&folder);
                self.list(&folder, Some(day), since, slots).await;
            }
        }
    }

    /// Says where a run with an end has come to.
    fn say_progress(&mut self, folder: &str) {
        if self.is_once && self.said.elapsed() >= PROGRESS {
            self.said = Instant::now();
            let source = &*self.worker.reading.origin.source;
            let unfinished = self.worker.begun.objects.lock().len();
            info!(source, folder, unfinished, "in progress: this folder is listed");
        }
    }

    async fn roots(&mut self) -> Arc<[String]> {
        if let Some((since, roots)) = &self.roots
            && since.elapsed() < ROOTS
        {
            return Arc::clone(roots);
        }
        let roots: Arc<[String]> = self.lister.roots().await.into();
        let known = self.roots.as_ref().map_or(0, |(_, roots)| roots.len());
        let source = &*self.worker.reading.origin.source;
        if roots.is_empty() {
            self.worker.reading.intake.metrics.error("layout");
            let ListingFeed { bucket, prefix, .. } = &self.lister.feed;
            warn!(
                source,
                "no folder below `s3://{bucket}/{prefix}` has the years of its `layout`, so that nothing is read: check `prefix`, which must end before the year, and `layout`"
            );
        }
        if known != roots.len() {
            info!(source, folders = roots.len(), "folders to be listed, one for each account and region");
        }
        self.roots = Some((Instant::now(), Arc::clone(&roots)));
        roots
    }

    /// Reads what is below a prefix and not done.
    async fn list(&mut self, prefix: &str, day: Option<i64>, since: i64, slots: &Arc<Semaphore>) {
        let mut after = None;
        loop {
            let page = self.lister.page(prefix, true, after.as_deref()).await;
            for object in page.objects {
                let day = day.unwrap_or_else(|| object.modified.div_euclid(DAY));
                self.begin(object, day, since, slots).await;
            }
            after = page.next;
            if after.is_none() {
                return;
            }
        }
    }

    async fn begin(&mut self, object: ListedObject, day: i64, since: i64, slots: &Arc<Semaphore>) {
        let hash = DoneObjects::hash(&object.key, &object.etag);
        let done = &self.worker.done;
        if object.modified < since || done.contains(day, hash) {
            return;
        }
        let name = ObjectName {
            bucket: self.lister.feed.bucket.as_str().into(),
            key: object.key,
            etag: Some(object.etag),
            size: object.size,
            ..ObjectName::default()
        };
        let metrics = &self.worker.reading.intake.metrics;
        if object.is_archived || notification::is_passed_over(&name) || self.exclude.is_match(&*name.key) {
            metrics.object(if object.is_archived { "archived" } else { "skipped" });
            done.insert(day, hash);
            return;
        }
        while self.tasks.try_join_next().is_some() {}
        while self.tasks.len() >= MOST_BEGUN {
            self.tasks.join_next().await;
        }
        // The semaphore is never closed.
        if let Ok(slot) = Arc::clone(slots).acquire_owned().await {
            self.tasks.spawn(Arc::clone(&self.worker).carry_out(name, day, hash, slot));
        }
    }
}

impl ListedWorker {
    /// Reads an object, and remembers it once it is done.
    async fn carry_out(self: Arc<Self>, name: ObjectName, day: i64, hash: u64, slot: OwnedSemaphorePermit) {
        let number = self.begun.next.fetch_add(1, Ordering::Relaxed);
        let begun = BegunObject { day, hash, ..BegunObject::default() };
        self.begun.objects.lock().insert(number, begun);
        let note = |progress: &Arc<ObjectProgress>| {
            self.begun.change(number, |begun| begun.chunks.push(Arc::clone(progress)));
        };
        let metrics = &self.reading.intake.metrics;
        let is_done = match self.read(&name, &note).await {
            // A stop.
            Err(_closed) => return,
            Ok(ObjectEnd::Vanished) => {
                metrics.object("vanished");
                false
            }
            Ok(ObjectEnd::Archived) => {
                metrics.object("archived");
                true
            }
            Ok(ObjectEnd::Read(progress, etag)) => {
                // It may have been overwritten since it was listed.
                let found =
                    etag.map(|etag| DoneObjects::hash(&name.key, &etag)).filter(|found| *found != hash);
                self.begun.change(number, |begun| (begun.is_read, begun.found) = (true, found));
                drop(slot);
                let is_settled = progress.settled().await;
                if is_settled {
                    metrics.object("read");
                    progress.forget();
                    if let Some(found) = found {
                        self.done.insert(day, found);
                    }
                } else {
                    metrics.error("abandoned");
                    self.has_failed.store(true, Ordering::Relaxed);
                }
                is_settled
            }
        };
        if is_done {
            self.done.insert(day, hash);
        }
        self.begun.objects.lock().remove(&number);
    }

    async fn read(
        &self,
        name: &ObjectName,
        note: &impl Fn(&Arc<ObjectProgress>),
    ) -> Result<ObjectEnd, Closed> {
        let mut reader = ObjectReader::new(&self.reading, name);
        match reader.open(note).await? {
            Ok(body) => reader.read(body, note).await,
            Err(end) => Ok(end),
        }
    }
}

/// Writes what is done as it comes, and charges what it takes in memory.
async fn save_often(done: Arc<DoneObjects>, mut held: Held, metrics: SourceMetrics) {
    loop {
        sleep(SAVE).await;
        held.resize(done.memory());
        let saving = Arc::clone(&done);
        if let Ok(Err(error)) = spawn_blocking(move || saving.save()).await {
            metrics.error("done");
            let (source, error) = (metrics.name(), with_causes(&error));
            warn!(source, error, "what is done cannot be written to the state directory; trying again");
        }
    }
}
