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

use std::time::Duration;

use self::bill::CallRates;
use self::model_fleet::{FleetModel, Trouble};

const FAILOVER: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_secs(1);

/// Steps of the failover time.
const FAILOVER_STEPS: u64 = FAILOVER.as_secs() / STEP.as_secs();

fn is_full_scale() -> bool {
    std::env::var("STANDPIPE_TEST_SCALE").is_ok_and(|scale| scale == "full")
}

/// What a run of one seed came to.
struct Outcome {
    /// How many leases the workers had at five failover times after the last trouble: the fewest, the most.
    spread: (usize, usize),
    /// Records delivered more than once, and all.
    doubled: usize,
    records: usize,
    rates: CallRates,
}

/// Trouble, then five failover times until leases are level, then the end of all that was begun; and what it costs from then on.
fn play(seed: u64, workers: u64, shards: usize) -> Outcome {
    let mut model = FleetModel::new(seed, workers, shards, None);
    (0..600).for_each(|_| model.advance(Trouble::Any));
    model.settle_down();
    (0..5 * FAILOVER_STEPS).for_each(|_| model.advance(Trouble::None));
    let spread = model.spread();
    let (fair, workers) = (model.table.leases.len().div_ceil(model.workers.len()), model.workers.len());
    let least = model.table.leases.len() / workers;
    assert!(
        spread.1 <= fair + 1 && spread.0 + 1 >= least,
        "seed {seed}: {} to {} leases, {least} to {fair} are fair",
        spread.0,
        spread.1
    );
    model.until_tidy(&format!("seed {seed}"));
    assert_eq!(model.lost(), Vec::<String>::new(), "seed {seed}");
    let rates = model.rates();
    Outcome { spread, doubled: model.doubled(), records: model.records(), rates }
}

#[test]
#[expect(clippy::print_stderr, reason = "figures that are measured")]
fn a_fleet_loses_nothing_and_is_level_within_five_failover_times() {
    let full = [(1, 200, 2_000), (2, 200, 2_000), (3, 200, 2_000)];
    let reduced = [(1, 3, 8), (2, 20, 100), (3, 25, 60), (4, 1, 5), (5, 20, 200), (6, 7, 50)];
    let cases = if is_full_scale() { &full[..] } else { &reduced[..] };
    for (seed, workers, shards) in cases.iter().copied() {
        let Outcome { spread, doubled, records, rates } = play(seed, workers, shards);
        eprintln!(
            "seed {seed}, {workers} workers, {shards} shards: {} to {} leases a worker, {doubled} of {records} records twice; {rates}",
            spread.0, spread.1
        );
    }
}

/// A stream on demand: in each hour all its shards are split, or merged; it keeps records for four hours.
#[test]
fn a_day_of_resharding_leaves_no_stale_lease_and_nothing_that_grows() {
    const HOUR: u64 = 3_600;
    let shards = if is_full_scale() { 32 } else { 4 };
    let mut model = FleetModel::new(7, 3, shards, Some(4 * HOUR));
    for hour in 0..24_u64 {
        model.reshard(hour.is_multiple_of(2));
        for _ in 0..HOUR / 2 {
            model.advance(Trouble::Rare);
        }
        model.settle_down();
        model.until_tidy(&format!("hour {hour}"));
        for _ in 0..HOUR / 2 {
            model.advance(Trouble::None);
        }
        model.assert_bounded(2 * shards);
        assert_eq!(model.lost(), Vec::<String>::new(), "hour {hour}");
        model.forget_old();
    }
}
