//! A quota is used and kept, by one sender and by several; faults that are no quota slow nothing down.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use crate::standin::{Key, QuotaMode, Report, Settings, Traffic};
use crate::world::{Daemon, FILE_SOURCE, MESSAGE_SINK, World, exactly_once, is_full, progress};

const MIB: u64 = 1024 * 1024;

/// Bytes of a line, about.
const LINE: u64 = 250;

/// Seconds until the rate is to be steady, and how many are looked at then.
fn seconds() -> (u64, u64) {
    if is_full() { (30, 60) } else { (10, 10) }
}

#[expect(clippy::cast_precision_loss, reason = "a quota")]
fn check(mib: u64, mode: QuotaMode, delay_ms: u64) {
    let (warm, looked_at) = seconds();
    let lines = mib * MIB * (warm + looked_at) / LINE;
    let world = World::new();
    world.standin.faults(|faults| {
        faults.bytes_per_second = Some((mib * MIB) as f64);
        faults.quota_mode = mode;
        faults.delay_ms = delay_ms;
    });
    world.write("app.log", 0..lines);
    let daemon = world.file_to_firehose("").start();
    let started = world.standin.report().traffic.get(&Key::default().id).map_or(0, |of| of.seconds.len());
    let (report, limits) = watched(&world, &daemon);
    exactly_once(&report, lines);
    let traffic = &report.traffic[&Key::default().id];
    let refused = steady(traffic, started, mib, delay_ms);
    learned(&limits, (mib * MIB) as f64, delay_ms);
    // Who keeps up needs none; where answers are late, a short test ends before it is known who does not.
    let is_short = delay_ms >= 1_000 && !is_full();
    assert!(
        is_short || refused <= 0.1 || limits.iter().any(|limit| *limit > 0.0),
        "the limit is a metric: {limits:?}"
    );
    daemon.conserved();
    daemon.stop().drained();
}

/// Waits until all is delivered; the limits that the sender set itself meanwhile, as it was looked at.
fn watched(world: &World, daemon: &Daemon) -> (Report, Vec<f64>) {
    const LOOK: Duration = Duration::from_millis(100);
    let (mut limits, mut next) = (Vec::new(), Instant::now());
    let report = progress("every line is delivered", || {
        daemon.must_run();
        if Instant::now() >= next {
            limits.push(daemon.scrape().sum("sink_rate_limit_bytes_per_second", &["sink=\"archive\""]));
            next = Instant::now() + LOOK;
        }
        let report = world.standin.report();
        if report.missing == 0 { Ok(report) } else { Err((report.total.seen, format!("{report:#?}"))) }
    });
    (report, limits)
}

/// A quota is used by whom nothing but the quota limits. That does not depend on how busy the machine is: on one that is too slow
/// nothing is refused, and a limit grows.
fn learned(limits: &[f64], quota: f64, delay_ms: u64) {
    // None is 0, and limits nothing.
    let limit = |limit: &f64| if *limit > 0.0 { *limit } else { f64::INFINITY };
    let mut steady: Vec<f64> = limits[limits.len() / 3..].iter().map(limit).collect();
    steady.sort_by(f64::total_cmp);
    let median = steady[steady.len() / 2] / quota;
    // Where answers are late the rate is found later.
    let least = if delay_ms >= 1_000 { 0.5 } else { 0.85 };
    assert!(median >= least, "its own limit was {median:.2} of the quota: {limits:?}");
}

/// The share of the records that is refused once the rate is steady.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a ratio")]
fn steady(traffic: &Traffic, started: usize, mib: u64, delay_ms: u64) -> f64 {
    let (warm, _) = seconds();
    let from = started + warm as usize;
    let to = traffic.seconds.len() - 2;
    let sum = traffic.between(from, to);
    let goodput = sum.accepted_bytes as f64 / (mib * MIB) as f64 / (to - from) as f64;
    // Where answers are late the rate is found later.
    let most = match (delay_ms >= 1_000, is_full()) {
        (false, _) => 0.05,
        (true, true) => 0.10,
        (true, false) => 0.30,
    };
    assert!(sum.refused() <= most, "refused {:.3} of the records, goodput {goodput:.3}", sum.refused());
    // What a busy machine keeps a short test from is no fault.
    if is_full() {
        assert!(goodput >= 0.97, "goodput {goodput:.3} of the quota");
    }
    sum.refused()
}

#[test]
fn a_limit_below_the_input_is_named_in_readyz_with_its_rate() {
    let world = World::new();
    world.standin.faults(|faults| {
        faults.bytes_per_second = Some(262_144.0);
        faults.quota_mode = QuotaMode::Records;
    });
    world.write("app.log", 0..80_000);
    world.config(&format!("[limits]\nmemory = \"8MiB\"\n{FILE_SOURCE}{MESSAGE_SINK}"));
    let daemon = world.start();
    let words = progress("/readyz names the limit", || {
        daemon.must_run();
        let words = daemon.get("/readyz").map(|reply| reply.text()).unwrap_or_default();
        if words.contains("limited to") { Ok(words) } else { Err((0, words)) }
    });
    assert!(words.contains("sink archive: too slow for its sources: limited to "), "{words}");
    world.standin.faults(|faults| faults.bytes_per_second = None);
    exactly_once(&world.delivered(&daemon), 80_000);
    daemon.until_readyz(200);
    daemon.stop().drained();
}

/// Seconds of input that may be under way: what waits to be packed, and to be sent again.
const UNDER_WAY: u64 = 5;

/// A file to which so many bytes a second are written, while this share of the records and of the calls is refused whatever the rate, is
/// delivered as it is written. Both sides go by looks, not by time: on a slow machine less is written as well.
fn check_steady(bytes: u64, record_failures: f64, throttles: f64) {
    const LOOK: Duration = Duration::from_millis(100);
    let looks = if is_full() { 1_800 } else { 250 };
    let world = World::new();
    world.standin.faults(|faults| {
        faults.record_failures = record_failures;
        faults.throttles = throttles;
    });
    world.write("app.log", 0..1);
    let daemon = world.file_to_firehose("").start();
    let (mut look, mut lines, mut next) = (0, 1, Instant::now());
    progress("nothing waits but what was written just now", || {
        daemon.must_run();
        if Instant::now() < next {
            return Err((look, String::new()));
        }
        let more = bytes / LINE / 10;
        world.write("app.log", lines..lines + more);
        (look, lines, next) = (look + 1, lines + more, Instant::now() + LOOK);
        let report = world.standin.report();
        assert!(look < 4 * looks, "{} of {lines} lines wait: {report:#?}", report.missing);
        let is_delivered = look >= looks && report.missing <= UNDER_WAY * bytes / LINE;
        if is_delivered { Ok(()) } else { Err((look, format!("{report:#?}"))) }
    });
    exactly_once(&world.delivered(&daemon), lines);
    daemon.conserved();
    daemon.stop().drained();
}

#[test]
fn records_refused_whatever_the_rate_hold_up_no_slow_stream() {
    check_steady(100_000, 0.2, 0.0);
}

#[test]
fn calls_refused_whatever_the_rate_hold_up_no_stream() {
    check_steady(300_000, 0.0, 0.1);
}

#[test]
fn records_and_calls_refused_whatever_the_rate_hold_up_no_stream() {
    check_steady(1_000_000, 0.2, 0.1);
}

#[test]
fn a_quota_that_refuses_records_is_used_and_kept() {
    check(5, QuotaMode::Records, 0);
}

#[test]
fn a_quota_that_refuses_calls_is_used_and_kept() {
    check(2, QuotaMode::Calls, 50);
}

#[test]
fn a_quota_is_reached_although_each_call_takes_two_seconds() {
    check(5, QuotaMode::Mixed, 2_000);
}

#[test]
fn senders_that_share_a_quota_each_get_their_lines_through() {
    let keys =
        ["A", "B", "C", "D"].map(|name| Key { id: format!("AKIASTANDINEXAMPLE0{name}"), ..Key::default() });
    let world = World::with(&Settings { keys: keys.to_vec(), ..Settings::default() });
    world.standin.faults(|faults| faults.bytes_per_second = Some(8.0 * 1_048_576.0));
    let (warm, looked_at) = seconds();
    let lines = 2 * MIB * (warm + looked_at) / LINE;
    let daemons: Vec<Daemon> =
        (0_u32..).zip(&keys).map(|(run, key)| sender(&world, run, key, lines)).collect();
    let report = progress("every line is delivered", || {
        let report = world.standin.report();
        daemons.iter().for_each(Daemon::must_run);
        if report.missing == 0 { Ok(report) } else { Err((report.total.seen, format!("{report:#?}"))) }
    });
    exactly_once(&report, lines * 4);
    // What they come to within two minutes is the simulation's to say. In a few seconds it is chance, and the machine's.
    if is_full() {
        let ends = report.traffic.values().map(|of| of.seconds.len()).min().unwrap();
        let from = usize::try_from(warm).unwrap();
        let shares: Vec<u64> =
            report.traffic.values().map(|of| of.between(from, ends - 1).accepted_bytes).collect();
        let fair = shares.iter().sum::<u64>() / 4;
        let alike = |share: &u64| (fair * 3 / 5..=fair * 3 / 2).contains(share);
        assert!(shares.iter().all(alike), "shares of {fair}: {shares:?}");
    }
    for daemon in daemons {
        daemon.conserved();
        daemon.stop().drained();
    }
}

/// A daemon of its own, with a folder, a state and a key of its own.
fn sender(world: &World, run: u32, key: &Key, lines: u64) -> Daemon {
    let config = format!("[state]\ndir = \"@DIR/state-{run}\"\n{FILE_SOURCE}{MESSAGE_SINK}");
    world.config(&config.replace("*.log", &format!("{run}.log")));
    world.write_run(run, &format!("{run}.log"), 0..lines);
    let path = world.path(&format!("{run}.toml"));
    fs::copy(world.config_path(), &path).unwrap();
    let pairs = [
        ("AWS_ACCESS_KEY_ID", key.id.as_str()),
        ("AWS_SECRET_ACCESS_KEY", key.secret.as_str()),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ];
    let env: BTreeMap<String, String> = pairs.map(|(name, value)| (name.into(), value.into())).into();
    Daemon::spawn(&path, &world.path(""), &env)
}
