//! A fleet on a model of the table and the stream: workers that are killed, hang and come back, shards that are split and merged in
//! bursts, tables that are read late, writes whose answers are lost.
//!
//! Each worker does what `fleet` and `held_lease` do, by the same pure parts: it looks, takes, renews, reads, writes positions down on the
//! lease's condition, and adds what comes after a shard that ends. A step is a tenth of the failover time. The model knows which records
//! were delivered, and stops at the first position that is written past one that was not.

mod bill;
mod model_fleet;
mod model_stream;
mod model_table;
mod model_worker;

use std::collections::BTreeMap;
use std::time::Duration;

use self::bill::CallRates;
use self::model_fleet::{FleetModel, Happened, Trouble};
use self::model_stream::Reread;

const FAILOVER: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_secs(1);

/// Steps of the failover time.
const FAILOVER_STEPS: u64 = FAILOVER.as_secs() / STEP.as_secs();

fn is_full_scale() -> bool {
    std::env::var("STANDPIPE_TEST_SCALE").is_ok_and(|scale| scale == "full")
}

/// What a run of one seed came to.
struct Outcome {
    happened: Happened,
    splits: usize,
    merges: usize,
    /// After how many steps without trouble leases were level, and stayed so.
    level_after: u64,
    /// How many leases the workers had at five failover times after the last trouble: the fewest, the most.
    spread: (usize, usize),
    records: usize,
    /// Records delivered more than once, by what explains it.
    again: BTreeMap<Reread, usize>,
    rates: CallRates,
}

/// Trouble, then five failover times until leases are level, then the end of all that was begun; and what it costs from then on.
fn play(seed: u64, workers: u64, shards: usize) -> Outcome {
    let mut model = FleetModel::new(seed, workers, shards, None);
    (0..600).for_each(|_| model.advance(Trouble::Any));
    model.settle_down();
    let mut level_after = 0;
    for step in 1..=5 * FAILOVER_STEPS {
        model.advance(Trouble::None);
        if !model.is_level() {
            level_after = step + 1;
        }
    }
    let spread = model.spread();
    assert!(model.is_level(), "seed {seed}: {spread:?} leases a worker, of {}", model.table.leases.len());
    model.until_tidy(&format!("seed {seed}"));
    assert_eq!(model.lost(), Vec::<String>::new(), "seed {seed}");
    let (records, again) = (model.records(), model.stream.again.clone());
    let (splits, merges) = (model.stream.splits, model.stream.merges);
    let (happened, rates) = (model.happened, model.rates());
    Outcome { happened, splits, merges, level_after, spread, records, again, rates }
}

impl Outcome {
    const HEAD: &str = "| seed | workers | shards | kills | stops | pauses (longest) | splits | merges | records | lost | came again: after a kill, a pause, a steal; late from who had lost the lease | level after | leases a worker | calls/s: writes, scans; for records, lists of shards | $ a month: table, shards |";

    #[expect(clippy::cast_precision_loss, reason = "figures that are told")]
    fn row(&self, seed: u64, workers: u64, shards: usize) -> String {
        let Happened { kills, stops, pauses, longest_pause } = self.happened;
        let again = [Reread::Killed, Reread::Hung, Reread::Stolen, Reread::Unnoticed]
            .map(|reason| self.again.get(&reason).copied().unwrap_or(0).to_string());
        let ((fewest, most), (table, stream)) = (self.spread, self.rates.bill());
        format!(
            "| {seed} | {workers} | {shards} | {kills} | {stops} | {pauses} ({longest_pause} s) | {} | {} | {} | 0 | {}; {} | {:.1} × failover | {fewest} to {most} | {:.0}, {:.1}; {:.0}, {:.1} | {table:.0}, {stream:.0} |",
            self.splits,
            self.merges,
            self.records,
            again[..3].join(", "),
            again[3],
            self.level_after as f64 / FAILOVER_STEPS as f64,
            self.rates.writes(),
            self.rates.scans(),
            self.rates.records(),
            self.rates.lists(),
        )
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "figures that are measured")]
fn a_fleet_loses_nothing_and_is_level_within_five_failover_times() {
    let full = [(1, 200, 2_000), (2, 200, 2_000), (3, 200, 2_000), (4, 200, 2_000), (5, 200, 2_000)];
    let reduced = [(1, 3, 8), (2, 20, 100), (3, 25, 60), (4, 1, 5), (5, 20, 200), (6, 7, 50)];
    let cases = if is_full_scale() { &full[..] } else { &reduced[..] };
    eprintln!("{}\n{}|", Outcome::HEAD, "|---".repeat(15));
    for (seed, workers, shards) in cases.iter().copied() {
        eprintln!("{}", play(seed, workers, shards).row(seed, workers, shards));
    }
}

/// A stream on demand: in each hour all its shards are split, or merged; it keeps records for four hours.
#[test]
#[expect(clippy::print_stderr, reason = "figures that are counted")]
fn a_day_of_resharding_leaves_no_stale_lease_and_nothing_that_grows() {
    const HOUR: u64 = 3_600;
    let shards = if is_full_scale() { 32 } else { 4 };
    let mut model = FleetModel::new(7, 3, shards, Some(4 * HOUR));
    let (mut most, mut longest) = (0, 0);
    for hour in 0..24_u64 {
        model.reshard(hour.is_multiple_of(2));
        for _ in 0..HOUR / 2 {
            model.advance(Trouble::Rare);
            most = most.max(model.table.leases.len());
        }
        model.settle_down();
        longest = longest.max(model.until_tidy(&format!("hour {hour}")));
        for _ in 0..HOUR / 2 {
            model.advance(Trouble::None);
        }
        model.assert_bounded(2 * shards);
        assert_eq!(model.lost(), Vec::<String>::new(), "hour {hour}");
        model.forget_old();
    }
    let (stream, Happened { kills, stops, pauses, .. }) = (&model.stream, model.happened);
    eprintln!(
        "24 hours, 3 workers, {shards} to {} shards: {} splits, {} merges, {kills} kills, {stops} stops, {pauses} pauses; {} records, none lost; at most {most} leases at once, at most {longest} s from the last trouble of an hour until no stale lease was left; in the end {} leases for {} open shards of {} that there were",
        2 * shards,
        stream.splits,
        stream.merges,
        model.records(),
        model.table.leases.len(),
        stream.open().len(),
        stream.shards.len(),
    );
}
