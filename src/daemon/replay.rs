//! Dead letters through the pipeline again: a run whose source is their files, beside a daemon or without one.
//!
//! A letter's ack guard takes it out of its file. What fails again is written as a new letter before its ack guard is settled, so
//! that it is in the one file or in the other, whatever happens.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tracing::error;

use super::drain::DrainDeadline;
use super::generation::Generation;
use super::signals::{Signal, SignalQueue};
use super::{RunError, sources};
use crate::causes::with_causes;
use crate::config::{Buffer, Config};
use crate::deadletter::{DeadLetters, ReplayProgress};
use crate::health::Status;
use crate::health::Watchdog;
use crate::metrics::Metrics;
use crate::source::Stopper;
use crate::source::dead_letters::{ReplayTarget, Sender};

/// Which letters are to be delivered again, and how.
#[derive(Debug)]
pub struct Replay {
    /// The configuration.
    pub config: Config,
    /// Where they go.
    pub target: Target,
    /// The files, in order.
    pub files: Vec<ReplayFile>,
    /// Only letters with one of these reasons; none: all.
    pub reasons: BTreeSet<String>,
    /// Signals as they come; the second stop makes it stop at once.
    pub signals: mpsc::Receiver<Signal>,
}

/// A file of letters.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReplayFile {
    /// Where it is.
    pub path: PathBuf,
    /// Whether it is in the state directory, and is removed once everything in it was delivered.
    pub own: bool,
}

/// Where letters go.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Target {
    /// To the sink that could not deliver them.
    Sink(String),
    /// Through the decoding and the routes of a source.
    Source(String),
}

/// What became of the letters.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Replayed {
    /// Letters that went on their way.
    pub sent: u64,
    /// Of these, letters that were delivered, or failed again and were kept anew.
    pub ended: u64,
    /// Dead letters written meanwhile.
    pub kept_anew: u64,
    /// Letters that this target cannot take.
    pub unfit: u64,
    /// Values that are no letters: torn or changed.
    pub damaged: u64,
    /// Files that another process writes or replays at present.
    pub taken: u64,
    /// Files that could not be read or cleared; the log says why.
    pub broken: u64,
}

impl Replayed {
    /// Whether every letter that was asked for was delivered.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.ended == self.sent && self.kept_anew + self.unfit + self.damaged + self.taken + self.broken == 0
    }
}

/// What is counted on the way, and the files that are not done.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) sent: AtomicU64,
    pub(crate) unfit: AtomicU64,
    pub(crate) damaged: AtomicU64,
    pub(crate) taken: AtomicU64,
    pub(crate) broken: AtomicU64,
    ended: AtomicU64,
    /// The lock covers a push, or taking what has ended.
    open: Mutex<Vec<Arc<ReplayProgress>>>,
}

/// How often what was delivered is noted: as much is doubled by a kill, with what is under way.
const NOTE_EVERY: Duration = Duration::from_millis(200);

/// After a standstill nothing more is waited for.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// Delivers letters again, and takes those that were delivered out of their files.
///
/// # Errors
/// When something cannot be started.
pub async fn replay(replay: Replay) -> Result<Replayed, RunError> {
    let Replay { mut config, target, files, reasons, signals } = replay;
    let mut signals = SignalQueue::new(signals);
    narrow(&mut config, &target);
    let metrics = Metrics::new();
    let status = Arc::new(Status::default());
    let generation = Generation::build(&config, &metrics, &status, &Watchdog::default())?;
    let ledger = Arc::new(Ledger::default());
    let mut helpers = JoinSet::new();
    helpers.spawn(Arc::<DeadLetters>::clone(&generation.shared.dead_letters).run(metrics.clone(), status));
    let mut notes = JoinSet::new();
    let (end_notes, noting) = oneshot::channel();
    notes.spawn(Arc::clone(&ledger).note_often(noting));

    let (stopper, stopping) = Stopper::new();
    let mut running = sources::Running::new();
    if let Some(to) = replay_target(&generation, &config, &target, &metrics) {
        let sender = Sender::new(&generation, to, reasons, Arc::clone(&ledger), stopping);
        sources::on_thread(&mut running, "replay".to_owned(), sender.run(files));
    }
    let budget = config.limits.shutdown;
    let budget = tokio::select! {
        failed = sources::ended(&mut running) => match failed {
            Some(failed) => return Err(failed),
            None => budget,
        },
        Signal::Stop = signals.pending() => budget,
        () = ledger.standstill(budget) => LAST_WAIT,
    };
    stopper.stop();
    let stops = signals.stops();
    generation.drain(running, DrainDeadline::Progress(budget), &mut signals, stops).await;
    drop(end_notes);
    while notes.join_next().await.is_some() {}
    ledger.finish().await;
    Ok(ledger.replayed(generation.shared.dead_letters.kept()))
}

/// Leaves only what the letters need. They move within the dead letters, which is to work when those are full.
fn narrow(config: &mut Config, target: &Target) {
    config.state.max_dead_letters = u64::MAX;
    // What is replayed is on disk already, and the buffer's folder is the daemon's.
    config.sinks.values_mut().for_each(|sink| sink.buffer = Buffer::Memory);
    match target {
        Target::Sink(name) => {
            config.sinks.retain(|sink, _| sink == name);
            config.sources.clear();
            config.routes.clear();
        }
        Target::Source(name) => config.sources.retain(|source, _| source == name),
    }
}

fn replay_target(
    generation: &Generation,
    config: &Config,
    target: &Target,
    metrics: &Metrics,
) -> Option<ReplayTarget> {
    match target {
        Target::Sink(_) => generation.sinks.first().map(|sink| ReplayTarget::Sink(Arc::clone(sink))),
        Target::Source(name) => {
            let decoding = sources::decoding(config.sources.get(name)?);
            let intake = generation.intake(decoding, metrics.source(name))?;
            Some(ReplayTarget::Source(name.as_str().into(), intake))
        }
    }
}

impl Ledger {
    /// Adds a file that is being replayed.
    pub(crate) fn open(&self, file: Arc<ReplayProgress>) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).push(file);
    }

    /// How many files are being replayed.
    pub(crate) fn n_open(&self) -> usize {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn replayed(&self, kept_anew: u64) -> Replayed {
        let count = |counter: &AtomicU64| counter.load(Ordering::Acquire);
        Replayed {
            sent: count(&self.sent),
            ended: count(&self.ended),
            kept_anew,
            unfit: count(&self.unfit),
            damaged: count(&self.damaged),
            taken: count(&self.taken),
            broken: count(&self.broken),
        }
    }

    /// Resolves when nothing ended for so long.
    async fn standstill(&self, deadline: Duration) {
        let (mut before, mut since) = (self.moved(), Instant::now());
        while since.elapsed() < deadline {
            sleep(NOTE_EVERY).await;
            let now = self.moved();
            if now != before {
                (before, since) = (now, Instant::now());
            }
        }
    }

    fn moved(&self) -> u64 {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let open: u64 = open.iter().map(|file| file.ended_well()).sum();
        open.saturating_add(self.ended.load(Ordering::Acquire))
    }

    /// Until `end` is dropped, and never left in the middle of a file.
    async fn note_often(self: Arc<Self>, mut end: oneshot::Receiver<()>) {
        let mut clock = interval(NOTE_EVERY);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = clock.tick() => {}
                _ended = &mut end => return,
            }
            let (ended, open): (Vec<_>, Vec<_>) = {
                let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
                let ended = open.extract_if(.., |file| file.has_ended()).collect();
                (ended, open.clone())
            };
            let ledger = Arc::clone(&self);
            let work = move || {
                for file in open {
                    note(&file);
                }
                for file in ended {
                    ledger.clear(&file);
                }
            };
            // An error is the end of the runtime.
            tokio::task::spawn_blocking(work).await.ok();
        }
    }

    /// The end: what was delivered is taken out of its file, what was not stays.
    async fn finish(self: &Arc<Self>) {
        let ledger = Arc::clone(self);
        let left = std::mem::take(&mut *self.open.lock().unwrap_or_else(PoisonError::into_inner));
        let work = move || left.iter().for_each(|file| ledger.clear(file));
        tokio::task::spawn_blocking(work).await.ok();
    }

    fn clear(&self, file: &ReplayProgress) {
        self.ended.fetch_add(file.ended_well(), Ordering::AcqRel);
        if let Err(failed) = file.finish() {
            self.broken.fetch_add(1, Ordering::AcqRel);
            error!(error = with_causes(&failed), "what was delivered cannot be taken out of its file");
        }
    }
}

fn note(file: &ReplayProgress) {
    if let Err(failed) = file.save() {
        error!(error = with_causes(&failed), "what was delivered cannot be noted; a kill would double it");
    }
}
