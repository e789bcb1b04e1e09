//! A source beside a model of the service, with workers and sinks that deliver, give up, or wait.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::super::listing::ListedGroup;
use super::super::puller::Puller;
use super::super::service::{EventsAsk, ListedPart, LogsService, PullFault, PullFaultKind};
use super::model::{ModelEvent, ModelGroup};
use crate::ack::Checkpoints;
use crate::config::{PullSource, PullStart, SourceConfig};
use crate::decode::framing;
use crate::event::{Budget, Timestamp};
use crate::health::Status;
use crate::metrics::Metrics;
use crate::pipeline::{Intake, IntakeQueue, Jobs};
use crate::source::lifecycle::{SourceContext, SourceError};
use crate::source::stop::{Stop, Stopper};
use crate::sync::Lock;

/// The service, and what it does wrong.
#[derive(Default)]
pub(super) struct Service {
    pub(super) state: Lock<ServiceState>,
}

#[derive(Default)]
pub(super) struct ServiceState {
    pub(super) groups: BTreeMap<String, ModelGroup>,
    /// What the next calls for events are refused for.
    pub(super) faults: VecDeque<PullFaultKind>,
    /// The same for calls with a token.
    pub(super) token_faults: VecDeque<PullFaultKind>,
    pub(super) denied: Option<String>,
    /// So many pages without events come before each page with some.
    pub(super) empty_pages: usize,
    /// Events a page.
    pub(super) page: usize,
    pub(super) calls: u64,
    next_id: u64,
}

impl Service {
    pub(super) fn new() -> Arc<Self> {
        let service = Self::default();
        service.state.lock().page = 100;
        Arc::new(service)
    }

    pub(super) fn create(&self, group: &str) {
        let created = Timestamp::now().0;
        self.state.lock().groups.insert(group.to_owned(), ModelGroup { created, ..ModelGroup::default() });
    }

    /// Events of a time so long ago, that can be seen from now on; gives their ids.
    pub(super) fn put(&self, group: &str, events: u64, ago: Duration) -> Vec<u64> {
        let mut state = self.state.lock();
        let now = Timestamp::now().0;
        let time = now - i64::try_from(ago.as_millis()).unwrap();
        let first = state.next_id;
        state.next_id += events;
        let of = state.groups.get_mut(group).unwrap();
        for id in first..first + events {
            of.put(time, ModelEvent { id, stream: u8::try_from(id % 3).unwrap(), visible: now });
        }
        (first..first + events).collect()
    }
}

fn refused(kind: PullFaultKind) -> PullFault {
    PullFault { kind, message: format!("refused: {kind:?}") }
}

impl LogsService for Arc<Service> {
    async fn events(&self, ask: &EventsAsk) -> Result<Bytes, PullFault> {
        sleep(Duration::from_millis(2)).await;
        let mut state = self.state.lock();
        state.calls += 1;
        if let Some(fault) = state.faults.pop_front() {
            return Err(refused(fault));
        }
        if state.denied.as_ref() == Some(&ask.group.name) {
            return Err(refused(PullFaultKind::Denied));
        }
        let (empty, place) = match ask.token.as_deref().and_then(|token| token.split_once('/')) {
            Some((empty, place)) => (empty.parse().unwrap(), Some(place).filter(|place| !place.is_empty())),
            None => (0, None),
        };
        if ask.token.is_some()
            && let Some(fault) = state.token_faults.pop_front()
        {
            return Err(refused(fault));
        }
        let Some(group) =
            state.groups.get(&ask.group.name).filter(|group| group.created == ask.group.created)
        else {
            return Err(refused(PullFaultKind::Gone));
        };
        if empty < state.empty_pages {
            let token = format!("{}/{}", empty + 1, place.unwrap_or_default());
            return Ok(format!(r#"{{"events":[],"nextToken":"{token}"}}"#).into());
        }
        let mut page = group.page(ask.from, ask.to, place, Timestamp::now().0, state.page);
        page.token = page.token.map(|token| format!("0/{token}"));
        Ok(page.json())
    }

    async fn groups(&self, prefix: &str, _: Option<&str>) -> Result<ListedPart, PullFault> {
        let state = self.state.lock();
        let listed = |(name, group): (&String, &ModelGroup)| ListedGroup {
            name: name.clone(),
            arn: format!("arn:aws:logs:us-east-1:111111111111:log-group:{name}"),
            created: group.created,
        };
        let groups = state.groups.iter().filter(|(name, _)| name.starts_with(prefix)).map(listed).collect();
        Ok(ListedPart { groups, token: None })
    }
}

/// What the sinks do with what comes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fate {
    Deliver,
    GiveUp,
}

/// How often each event was delivered, by its id.
pub(super) type Delivered = BTreeMap<u64, usize>;

/// A source whose run is over, and what it said.
type EndedRun = (Puller<Arc<Service>>, Result<(), SourceError>);

/// A source at work.
pub(super) struct Running {
    run: JoinHandle<EndedRun>,
    sinks: JoinHandle<()>,
    stopper: Stopper,
    checkpoints: Arc<Checkpoints>,
    pub(super) budget: Arc<Budget>,
    pub(super) status: Arc<Status>,
    pub(super) delivered: Arc<Lock<Delivered>>,
    pub(super) fate: Arc<Lock<Fate>>,
}

/// Bytes.
pub(super) const MEMORY: u64 = 32 << 20;

/// Reads quickly, so that tests do not wait.
pub(super) fn settings() -> PullSource {
    PullSource {
        aws: crate::config::AwsSettings::default(),
        log_groups: vec!["/app/*".to_owned()],
        linked_accounts: false,
        start: PullStart::Ago(Duration::from_hours(1)),
        window: Duration::from_hours(6),
        calls: 100.0,
        refresh: Duration::from_secs(1),
    }
}

impl Running {
    pub(super) fn start(dir: &Path, service: &Arc<Service>, config: PullSource, once: bool) -> Self {
        let checkpoints = Checkpoints::open(dir).unwrap();
        let status = Arc::<Status>::default();
        let context = SourceContext {
            name: "pull".into(),
            host: "host".into(),
            once,
            checkpoints: Arc::clone(&checkpoints),
            status: Arc::clone(&status),
            linger: Duration::ZERO,
            carryover: Arc::default(),
        };
        let (jobs, taken) = crossbeam_channel::bounded::<Jobs>(64);
        let places = Arc::new(Semaphore::new(64));
        let queue = IntakeQueue { jobs, places: Arc::clone(&places) };
        let framing = framing(SourceConfig::CloudwatchLogs(Box::new(config.clone())).decoding());
        let budget = Budget::new(MEMORY);
        let intake = Intake::new(
            Arc::clone(&budget),
            queue,
            Arc::new(Notify::new()),
            framing,
            Metrics::new().source("pull"),
        );
        let delivered = Arc::new(Lock::new(Delivered::new()));
        let fate = Arc::new(Lock::new(Fate::Deliver));
        let sinks = tokio::spawn(sinks(taken, places, Arc::clone(&delivered), Arc::clone(&fate)));
        let (stopper, stop) = Stopper::new();
        let mut puller = Puller::new(Arc::clone(service), config, context).unwrap();
        let run = tokio::spawn(async move {
            let result = run(&mut puller, intake, stop).await;
            (puller, result)
        });
        Self { run, sinks, stopper, checkpoints, budget, status, delivered, fate }
    }

    /// Stops and drains as the daemon does; gives what the run said.
    pub(super) async fn stop(self) -> Result<(), SourceError> {
        self.stopper.stop();
        let (mut puller, result) = timeout(Duration::from_secs(20), self.run).await.unwrap().unwrap();
        timeout(Duration::from_secs(20), self.sinks).await.unwrap().unwrap();
        puller.finish().await.unwrap();
        self.checkpoints.save().unwrap();
        result
    }

    /// Waits for the end of a run with `--once`.
    pub(super) async fn end(self) -> Result<(), SourceError> {
        let (mut puller, result) = timeout(Duration::from_secs(20), self.run).await.unwrap().unwrap();
        timeout(Duration::from_secs(20), self.sinks).await.unwrap().unwrap();
        puller.finish().await.unwrap();
        self.checkpoints.save().unwrap();
        result
    }

    /// Ends at once; positions are what was saved last.
    pub(super) async fn kill(self) {
        self.run.abort();
        self.run.await.err();
        self.sinks.abort();
        self.sinks.await.err();
    }

    /// What the daemon does each second.
    pub(super) fn save(&self) {
        self.checkpoints.save().unwrap();
    }

    pub(super) async fn until(&self, what: &str, is_so: impl Fn(&Delivered) -> bool) {
        for _ in 0..2_000 {
            if is_so(&self.delivered.lock()) {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("{what}: {:?} {:?}", self.status.issues(), self.delivered.lock());
    }

    pub(super) async fn until_delivered(&self, ids: &[u64]) {
        self.until("all is delivered", |delivered| ids.iter().all(|id| delivered.contains_key(id))).await;
    }
}

async fn run(puller: &mut Puller<Arc<Service>>, intake: Intake, stop: Stop) -> Result<(), SourceError> {
    puller.run(&intake, stop).await
}

/// Takes what comes until nobody sends any more.
async fn sinks(
    taken: crossbeam_channel::Receiver<Jobs>,
    places: Arc<Semaphore>,
    delivered: Arc<Lock<Delivered>>,
    fate: Arc<Lock<Fate>>,
) {
    loop {
        match taken.try_recv() {
            Ok(jobs) => {
                places.add_permits(1);
                // As long as a put takes.
                sleep(Duration::from_millis(3)).await;
                for job in jobs {
                    let chunk = job.chunk;
                    if *fate.lock() == Fate::GiveUp {
                        continue;
                    }
                    for envelope in serde_json::Deserializer::from_slice(&chunk.payload).into_iter::<Value>()
                    {
                        note(&envelope.unwrap(), &mut delivered.lock());
                    }
                    chunk.ack.settle();
                }
            }
            Err(crossbeam_channel::TryRecvError::Empty) => sleep(Duration::from_millis(1)).await,
            Err(crossbeam_channel::TryRecvError::Disconnected) => return,
        }
    }
}

fn note(envelope: &Value, delivered: &mut Delivered) {
    assert_eq!(envelope["owner"], "111111111111");
    for event in envelope["logEvents"].as_array().unwrap() {
        let id: u64 = event["id"].as_str().unwrap().parse().unwrap();
        assert_eq!(event["message"], format!("event \"{id}\""));
        assert_eq!(envelope["logStream"], format!("stream {}", id % 3));
        *delivered.entry(id).or_default() += 1;
    }
}
