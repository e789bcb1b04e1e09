//! Dead letters through the pipeline again: a run whose source is their files, beside a daemon or without one.
//!
//! A letter's ack guard takes it out of its file. What fails again is written as a new letter before its ack guard is settled, so
//! that it is in the one file or in the other, whatever happens.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::drain::{DrainDeadline, LAST_WAIT};
use super::error::RunError;
use super::generation::Generation;
use super::options::TellReport;
use super::reporting::report_often;
use super::signals::{Signal, SignalQueue};
use super::sources::{ReadySource, RunningSources};
use crate::config::{Buffer, Config, SourceConfig};
use crate::deadletter::DeadLetters;
use crate::decode;
use crate::event::{Charset, Framing};
use crate::health::{Status, Watchdog};
use crate::metrics::{Metrics, RunTotals};
use crate::source::Stopper;
use crate::source::dead_letters::{
    DeadLetterSource, ReplayFile, ReplayTarget, ReplayTotals, Replayed, WholeLetters,
};

/// Which letters are to be delivered again, and how.
pub struct Replay {
    /// The configuration.
    pub config: Config,
    /// Where they go.
    pub target: LetterTarget,
    /// The files, in order.
    pub files: Vec<ReplayFile>,
    /// Only letters with one of these reasons; none: all.
    pub reasons: BTreeSet<String>,
    /// Signals as they come; the second stop makes it stop at once.
    pub signals: mpsc::Receiver<Signal>,
    /// Who is told how far the replay is, in letters.
    pub report: Option<TellReport>,
}

/// Where letters go.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum LetterTarget {
    /// To the sink that could not deliver them.
    Sink(String),
    /// Through the decoding and the routes of a source.
    Source(String),
}

/// Delivers letters again, and takes those that were delivered out of their files.
///
/// # Errors
/// When something cannot be started.
pub async fn replay(replay: Replay) -> Result<Replayed, RunError> {
    let Replay { mut config, target, files, reasons, signals, report } = replay;
    let mut signals = SignalQueue::new(signals);
    narrow(&mut config, &target);
    let metrics = Metrics::new();
    let status = Arc::new(Status::default());
    let generation = Generation::build(
        &config,
        &metrics,
        &status,
        &Watchdog::default(),
        &Arc::default(),
        &Arc::default(),
    )?;
    let mut helpers = JoinSet::new();
    helpers.spawn(Arc::<DeadLetters>::clone(&generation.shared.dead_letters).run(metrics.clone(), status));
    let progress = Arc::new(ReplayTotals::default());
    // Cut short by its end.
    let mut reports = JoinSet::new();
    if let Some(report) = report {
        let (progress, letters) = (Arc::clone(&progress), Arc::clone(&generation.shared.dead_letters));
        reports.spawn(report_often(report, Instant::now(), move || totals(&progress, letters.kept())));
    }
    let (stopper, stop) = Stopper::new();
    let mut sources = RunningSources::new();
    let (to, framing) = replay_target(&generation, &config, &target);
    let intake = generation.intake(framing, metrics.source("replay"));
    if let (Some(to), Some(intake)) = (to, intake) {
        let source = DeadLetterSource::new(to, files.clone(), reasons.clone(), Arc::clone(&progress));
        sources.start(ReadySource { name: "replay".into(), source: Box::new(source) }, intake, stop);
    }
    let budget = config.limits.shutdown;
    let budget = tokio::select! {
        failed = sources.ended() => match failed {
            Some(failed) => return Err(failed),
            None => budget,
        },
        Signal::Stop = signals.pending() => budget,
        () = progress.standstill(budget) => LAST_WAIT,
    };
    stopper.stop();
    let stops = signals.stops();
    generation.drain(&mut sources, DrainDeadline::Progress(budget), &mut signals, stops).await;
    sources.cut_short().await;
    sources.finish(budget).await;
    let replayed = progress.replayed(generation.shared.dead_letters.kept());
    let RunTotals { delivered: events, billed_bytes, .. } = metrics.totals();
    let left = tokio::task::spawn_blocking(move || progress.left_in(&files, &reasons)).await;
    // An error is the end of the runtime.
    let replayed = Replayed { left: left.unwrap_or_default(), events, billed_bytes, ..replayed };
    reports.shutdown().await;
    Ok(replayed)
}

/// How far a replay is, in letters.
fn totals(progress: &ReplayTotals, kept_anew: u64) -> RunTotals {
    let Replayed { sent, unfit, .. } = progress.replayed(kept_anew);
    RunTotals {
        read: sent.saturating_add(unfit),
        delivered: progress.moved().saturating_sub(kept_anew),
        dead_letters: kept_anew,
        percent_read: progress.percent_read(),
        ..RunTotals::default()
    }
}

/// Leaves only what the letters need. They move within the dead letters, which is to work when those are full.
fn narrow(config: &mut Config, target: &LetterTarget) {
    config.state.max_dead_letters = u64::MAX;
    // What is replayed is on disk already, and the buffer's folder is the daemon's.
    config.sinks.values_mut().for_each(|sink| sink.buffer = Buffer::Memory);
    match target {
        LetterTarget::Sink(name) => {
            config.sinks.retain(|sink, _| sink == name);
            config.sources.clear();
            config.routes.clear();
        }
        LetterTarget::Source(name) => {
            config.sources.retain(|source, _| source == name);
            // What was read from another charset is kept in UTF-8.
            let decodings = config.sources.values_mut().filter_map(SourceConfig::decoding_mut);
            decodings.for_each(|decoding| decoding.charset = Charset::UTF8);
        }
    }
}

/// Who receives the letters, and how what is received is cut into events.
fn replay_target(
    generation: &Generation,
    config: &Config,
    target: &LetterTarget,
) -> (Option<ReplayTarget>, Arc<dyn Framing>) {
    match target {
        LetterTarget::Sink(_) => {
            let sink = generation.sinks.first().map(|sink| ReplayTarget::Sink(Arc::clone(sink)));
            (sink, Arc::new(WholeLetters))
        }
        LetterTarget::Source(name) => match config.sources.get(name) {
            Some(source) => {
                let framing = decode::framing(source.decoding());
                (Some(ReplayTarget::Source(name.as_str().into())), framing)
            }
            None => (None, Arc::new(WholeLetters)),
        },
    }
}
