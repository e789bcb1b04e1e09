//! What happens to the fleet and when: drawn from a seed before the run begins.

use std::fmt;
use std::time::Duration;

use crate::standin::{Faults, StreamTrouble, TableTrouble};

/// So many standpipes.
pub(super) const WORKERS: usize = 3;

/// One thing that is done.
#[derive(Clone, Debug)]
pub(super) enum FleetAction {
    /// SIGKILL, and a new start.
    Kill { worker: usize, down: Duration },
    /// SIGTERM, and a new start.
    Stop { worker: usize, down: Duration },
    /// SIGSTOP for longer than the failover time, and SIGCONT.
    Freeze { worker: usize, time: Duration },
    /// SIGHUP.
    Reload { worker: usize },
    /// Shards are split.
    Split { times: usize, draw: usize },
    /// Pairs of shards are merged.
    Merge { times: usize, draw: usize },
    /// Calls for records go wrong.
    Stream(StreamTrouble),
    /// Calls to the table go wrong.
    Table(TableTrouble),
    /// No call to the table works for longer than the failover time.
    TableOut,
    /// The table works again.
    TableBack,
    /// Deliveries go wrong, or take long.
    Sink { faults: Box<Faults>, words: &'static str },
    /// They are well again.
    SinkBack,
    /// No record comes.
    Quiet(Duration),
}

/// When, and what.
pub(super) type FleetStep = (Duration, FleetAction);

/// Kinds of what may happen: each happens once before any does again.
const KINDS: usize = 11;

/// The steps in their order.
pub(super) fn make(seed: u64, length: Duration) -> Vec<FleetStep> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut kinds: Vec<usize> = (0..KINDS).collect();
    rng.shuffle(&mut kinds);
    let (mut steps, mut at) = (Vec::new(), Duration::from_secs(3));
    while at < length {
        // What befalls workers and shards is more often drawn than what befalls calls.
        let kind = kinds.pop().unwrap_or_else(|| [rng.usize(..KINDS), rng.usize(..6)][rng.usize(..2)]);
        draw(kind, at, &mut rng, &mut steps);
        at += millis(&mut rng, 200, 2_500);
    }
    steps.sort_by_key(|(at, _)| *at);
    steps
}

fn draw(kind: usize, at: Duration, rng: &mut fastrand::Rng, steps: &mut Vec<FleetStep>) {
    let worker = rng.usize(..WORKERS);
    let down = if rng.bool() { Duration::ZERO } else { millis(rng, 500, 5_000) };
    let (times, draw) = (rng.usize(1..=3), rng.usize(..1_000));
    let action = match kind {
        0 => FleetAction::Kill { worker, down },
        1 => FleetAction::Stop { worker, down },
        2 => FleetAction::Freeze { worker, time: millis(rng, 1_200, 7_000) },
        3 => FleetAction::Split { times, draw },
        4 => FleetAction::Merge { times, draw },
        5 => FleetAction::Reload { worker },
        6 => FleetAction::Table(TableTrouble {
            lost_answers: rng.u32(1..10),
            throttles: rng.u32(..10),
            stale_scans: rng.u32(..4),
        }),
        7 => {
            steps.push((at + millis(rng, 1_100, 4_000), FleetAction::TableBack));
            FleetAction::TableOut
        }
        8 => FleetAction::Stream(StreamTrouble {
            throttles: rng.u32(..10),
            expired: rng.u32(1..4),
            empty_pages: rng.u32(..5),
            failures: rng.u32(..5),
            page: rng.usize(..30),
        }),
        9 => {
            steps.push((at + millis(rng, 500, 4_000), FleetAction::SinkBack));
            sink_faults(rng)
        }
        _ => FleetAction::Quiet(millis(rng, 500, 2_500)),
    };
    steps.push((at, action));
}

/// Nothing that doubles a line.
fn sink_faults(rng: &mut fastrand::Rng) -> FleetAction {
    let mut faults = Faults::default();
    let rate = f64::from(rng.u32(10..=60)) / 100.0;
    let words = match rng.u32(..4) {
        0 => {
            faults.record_failures = rate;
            "records are refused by chance"
        }
        1 => {
            faults.throttles = rate;
            "deliveries are throttled by chance"
        }
        2 => {
            faults.cut_before = rate;
            "connections are cut before anything is accepted"
        }
        _ => {
            faults.delay_ms = rng.u64(100..2_000);
            "each delivery takes its time"
        }
    };
    FleetAction::Sink { faults: Box::new(faults), words }
}

fn millis(rng: &mut fastrand::Rng, from: u64, to: u64) -> Duration {
    Duration::from_millis(rng.u64(from..=to))
}

/// As the story tells of it.
pub(super) fn name(worker: usize) -> char {
    ['a', 'b', 'c'][worker]
}

impl fmt::Display for FleetAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill { worker, down } => write!(f, "{}: SIGKILL, down for {down:?}", name(*worker)),
            Self::Stop { worker, down } => write!(f, "{}: SIGTERM, down for {down:?}", name(*worker)),
            Self::Freeze { worker, time } => write!(f, "{}: SIGSTOP for {time:?}", name(*worker)),
            Self::Reload { worker } => write!(f, "{}: SIGHUP", name(*worker)),
            Self::Split { times, .. } => write!(f, "up to {times} shards are split"),
            Self::Merge { times, .. } => write!(f, "up to {times} pairs of shards are merged"),
            Self::Stream(trouble) => write!(f, "the next calls for records: {trouble:?}"),
            Self::Table(trouble) => write!(f, "the next calls to the table: {trouble:?}"),
            Self::TableOut => f.write_str("no call to the table works"),
            Self::TableBack => f.write_str("the table works again"),
            Self::Sink { words, .. } => f.write_str(words),
            Self::SinkBack => f.write_str("deliveries are well again"),
            Self::Quiet(time) => write!(f, "no record comes for {time:?}"),
        }
    }
}
