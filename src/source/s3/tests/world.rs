//! A source of objects between the stand-in for AWS and a sink that settles what it is told to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;

use super::aws::FakeAws;
use crate::ack::Checkpoints;
use crate::aws::ApiClient;
use crate::config::{
    AwsSettings, Decoding, Format, ListingFeed, ObjectContents, ObjectFeed, QueueFeed, S3Source, TooLong,
};
use crate::decode::{self, Decoder, Scratch};
use crate::event::{Budget, Charset, Event, Events, Message, Origin, Wants};
use crate::health::Status;
use crate::metrics::Metrics;
use crate::pipeline::{Intake, IntakeQueue, Job};
use crate::source::s3::announced::AnnouncedObjects;
use crate::source::s3::globs;
use crate::source::s3::listed::ListedObjects;
use crate::source::s3::open::ObjectClient;
use crate::source::s3::queue::SqsQueue;
use crate::source::{Source, SourceContext, SourceError, Stopper};
use crate::sync::Lock;

/// How the source is run.
#[derive(Clone)]
pub(super) struct ObjectSettings {
    pub(super) contents: ObjectContents,
    pub(super) format: Format,
    pub(super) concurrency: usize,
    pub(super) memory: u64,
    pub(super) visibility: Duration,
    pub(super) once: bool,
    /// Lists instead.
    pub(super) listing: Option<ListingFeed>,
}

impl Default for ObjectSettings {
    fn default() -> Self {
        Self {
            contents: ObjectContents::Lines,
            format: Format::Lines,
            concurrency: 4,
            memory: 40 << 20,
            visibility: Duration::from_secs(30),
            once: false,
            listing: None,
        }
    }
}

/// A payload, and why the source refused it; none: the decoder did.
type RefusedPayload = (Option<&'static str>, Vec<u8>);

/// What outlives a run.
pub(super) struct ObjectWorld {
    pub(super) aws: Arc<FakeAws>,
    pub(super) settings: ObjectSettings,
    folder: TempDir,
    pub(super) metrics: Metrics,
    pub(super) status: Arc<Status>,
    pub(super) undecodable: Arc<Lock<Vec<RefusedPayload>>>,
}

/// A source at work, and its sink.
pub(super) struct ObjectRun {
    stopper: Stopper,
    running: JoinHandle<(Box<dyn Source>, Result<(), SourceError>)>,
    sink: std::thread::JoinHandle<()>,
    switch: Arc<SinkSwitch>,
    pub(super) budget: Arc<Budget>,
    checkpoints: Arc<Checkpoints>,
}

/// What the sink does with what it gets.
#[derive(Default)]
pub(super) struct SinkSwitch {
    /// Keeps everything until this is over.
    is_shut: AtomicBool,
    /// Of a hundred chunks so many are given up.
    gives_up: AtomicU8,
}

impl ObjectWorld {
    pub(super) async fn new(settings: ObjectSettings) -> Self {
        Self::with_seed(settings, 7).await
    }

    pub(super) async fn with_seed(settings: ObjectSettings, seed: u64) -> Self {
        Self {
            aws: FakeAws::start(seed).await,
            settings,
            folder: tempfile::tempdir().unwrap(),
            metrics: Metrics::new(),
            status: Arc::default(),
            undecodable: Arc::default(),
        }
    }

    fn decoding(&self) -> Decoding {
        let format = self.settings.format;
        Decoding {
            format,
            charset: Charset::UTF8,
            multiline: None,
            max_line: 1_000,
            too_long: TooLong::Split,
            max_inflated: 8 << 20,
        }
    }

    fn source(&self, checkpoints: &Arc<Checkpoints>) -> Box<dyn Source> {
        let ObjectSettings { contents, concurrency, visibility, once, .. } = self.settings;
        let decoding = self.decoding();
        let aws = AwsSettings { request_timeout: Duration::from_secs(5), ..AwsSettings::default() };
        let url = format!("{}/1/q", self.aws.url);
        let config = S3Source {
            feed: self.settings.listing.clone().map_or_else(
                || ObjectFeed::Queue(QueueFeed { url: url.clone(), aws: aws.clone(), visibility }),
                ObjectFeed::Listing,
            ),
            contents,
            decoding,
            exclude: vec!["*.tmp".to_owned()],
            concurrency,
            requester_pays: false,
            bucket_owner: None,
            aws,
        };
        let context = SourceContext {
            name: "trail".into(),
            host: "h".into(),
            once,
            checkpoints: Arc::clone(checkpoints),
            status: Arc::clone(&self.status),
            linger: Duration::ZERO,
            carryover: Arc::default(),
        };
        let client = || ApiClient::of_nobody(&self.aws.url);
        let queue = SqsQueue::new(client(), url, visibility);
        let objects =
            ObjectClient { client: client(), requester_pays: false, patience: Duration::from_secs(5) };
        let exclude = globs(&config.exclude).unwrap();
        match config.feed.clone() {
            ObjectFeed::Queue(_) => {
                Box::new(AnnouncedObjects::with(config, context, exclude, queue, objects))
            }
            ObjectFeed::Listing(feed) => {
                Box::new(ListedObjects::with(config, feed, context, exclude, objects).unwrap())
            }
        }
    }

    /// What settles chunks as it is told to, until there are no more.
    fn sink(
        &self,
        jobs: crossbeam_channel::Receiver<Vec<Job>>,
        places: Arc<Semaphore>,
        decoding: Decoding,
        switch: Arc<SinkSwitch>,
    ) -> impl FnOnce() + Send + 'static {
        let (delivered, undecodable) = (Arc::clone(&self.aws.delivered), Arc::clone(&self.undecodable));
        move || {
            let (decoder, mut scratch) = (Decoder::new(&decoding), Scratch::default());
            let mut waiting: Vec<Job> = Vec::new();
            loop {
                let came = jobs.recv_timeout(Duration::from_millis(1));
                let is_end = matches!(came, Err(crossbeam_channel::RecvTimeoutError::Disconnected));
                if let Ok(more) = came {
                    places.add_permits(1);
                    waiting.extend(more);
                }
                let is_shut = switch.is_shut.load(Ordering::Relaxed);
                // At a stop, what is kept now is given up.
                if is_end && (is_shut || waiting.is_empty()) {
                    return;
                }
                if is_shut {
                    continue;
                }
                for job in waiting.drain(..) {
                    if fastrand::u8(..100) < switch.gives_up.load(Ordering::Relaxed) {
                        continue;
                    }
                    let (chunk, mut told) = (job.chunk, ToldLines::default());
                    match job.undecodable {
                        None => decoder.decode_piece(
                            &mut scratch,
                            &chunk.origin,
                            &chunk.payload,
                            chunk.piece,
                            &mut told,
                        ),
                        Some(reason) => undecodable.lock().push((Some(reason), chunk.payload.to_vec())),
                    }
                    undecodable.lock().extend(told.undecodable.drain(..).map(|payload| (None, payload)));
                    let mut delivered = delivered.lock();
                    for line in told.lines {
                        *delivered.entry(line).or_default() += 1;
                    }
                    drop(delivered);
                    chunk.ack.settle();
                }
            }
        }
    }

    /// Starts a run; the sink keeps everything while `is_shut`, and gives up so many of a hundred chunks.
    pub(super) fn start(&self, is_shut: bool, gives_up: u8) -> ObjectRun {
        let checkpoints = Checkpoints::open(self.folder.path()).unwrap();
        let mut source = self.source(&checkpoints);
        let budget = Budget::new(self.settings.memory);
        let (sender, jobs) = crossbeam_channel::bounded(64);
        let places = Arc::new(Semaphore::new(64));
        let queue = IntakeQueue { jobs: sender, places: Arc::clone(&places) };
        let decoding = self.decoding();
        let metrics = self.metrics.source("trail");
        let room_freed = Arc::<Notify>::default();
        let intake = Intake::new(Arc::clone(&budget), queue, room_freed, decode::framing(&decoding), metrics);
        let switch = Arc::new(SinkSwitch::default());
        switch.is_shut.store(is_shut, Ordering::Relaxed);
        switch.gives_up.store(gives_up, Ordering::Relaxed);
        let sink = std::thread::spawn(self.sink(jobs, places, decoding, Arc::clone(&switch)));
        let (stopper, stop) = Stopper::new();
        let running = tokio::spawn(async move {
            let ended = source.run(intake, stop).await;
            (source, ended)
        });
        ObjectRun { stopper, running, sink, switch, budget, checkpoints }
    }

    pub(super) fn lines(&self) -> BTreeMap<String, u64> {
        self.aws.delivered.lock().clone()
    }

    pub(super) fn count(&self, what: &str) -> u64 {
        let text = self.metrics.render().unwrap();
        let line = text.lines().find(|line| line.contains(what) && !line.starts_with('#'));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
    }
}

impl ObjectRun {
    pub(super) fn open_sink(&self) {
        self.switch.is_shut.store(false, Ordering::Relaxed);
    }

    /// Stops as the daemon does: the source, then what is on its way, then the source's end.
    pub(super) async fn stop(self) -> Result<(), SourceError> {
        self.stopper.stop();
        self.end().await
    }

    /// Waits until it has ended by itself.
    pub(super) async fn end(self) -> Result<(), SourceError> {
        let (source, ended) = self.running.await.unwrap();
        let sink = self.sink;
        tokio::task::spawn_blocking(move || sink.join().unwrap()).await.unwrap();
        source.finish().await.unwrap();
        self.checkpoints.save().unwrap();
        assert_eq!(self.budget.used(), 0, "all memory is given back");
        ended
    }

    /// The process is gone: nothing more is done, and nothing is written.
    pub(super) async fn kill(self) {
        self.running.abort();
        self.running.await.ok();
        self.switch.is_shut.store(true, Ordering::Relaxed);
        let sink = self.sink;
        tokio::task::spawn_blocking(move || sink.join().unwrap()).await.unwrap();
    }
}

/// Waits until it is so.
pub(super) async fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..6_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("not in time: {what}");
}

#[derive(Default)]
struct ToldLines {
    lines: Vec<String>,
    undecodable: Vec<Vec<u8>>,
}

impl Events for ToldLines {
    fn wants(&self) -> Wants {
        Wants { events: true, envelopes: false }
    }

    fn origin(&mut self, _: &Arc<Origin>) {}

    fn lines(&mut self, lines: &Bytes, _: u64) {
        self.lines.extend(std::str::from_utf8(lines).unwrap().lines().map(str::to_owned));
    }

    fn event(&mut self, event: Event<'_>) {
        self.lines.push(match event.message {
            Message::Raw(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Message::Escaped(text) => text.to_owned(),
        });
    }

    fn envelope(&mut self, _: &Bytes) {}

    fn undecodable(&mut self, _: &'static str, payload: &[u8]) {
        self.undecodable.push(payload.to_vec());
    }
}
