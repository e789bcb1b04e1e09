//! `/metrics` is well-formed and complete.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::world::{MESSAGE_SINK, World, until};

/// Families that are there as soon as a source and a sink are.
const ALWAYS: [&str; 32] = [
    "source_events_total",
    "source_routed_events_total",
    "source_bytes_total",
    "source_lag_seconds",
    "file_behind_bytes",
    "backpressure_seconds_total",
    "sink_accepted_events_total",
    "sink_delivered_events_total",
    "sink_delivered_bytes_total",
    "sink_billed_bytes_total",
    "sink_records_total",
    "sink_requests_total",
    "sink_request_duration_seconds_bucket",
    "sink_request_duration_seconds_sum",
    "sink_request_duration_seconds_count",
    "sink_in_flight_events",
    "sink_concurrency",
    "sink_rate_limit_bytes_per_second",
    "buffer_bytes",
    "buffer_oldest_seconds",
    "sink_destinations",
    "destination_delivered_events_total",
    "destination_billed_bytes_total",
    "destination_oldest_seconds",
    "destination_held",
    "dead_letter_limit_bytes",
    "config_info",
    "config_loaded_timestamp_seconds",
    "memory_bytes",
    "memory_limit_bytes",
    "config_last_reload_successful",
    "build_info",
];

#[test]
fn every_family_is_there_and_prometheus_accepts_them() {
    let world = World::new();
    world.write("app.log", 0..1_000);
    let daemon = world.file_to_firehose("").start();
    world.delivered(&daemon);
    let scrape = daemon.conserved();
    let absent: Vec<_> = ALWAYS.into_iter().filter(|name| !scrape.has(name)).collect();
    assert!(absent.is_empty(), "{absent:?} are not in\n{}", scrape.text);
    assert_eq!(scrape.count("memory_limit_bytes", &[]), 32 * 1024 * 1024);
    let answer = daemon.get("/metrics").unwrap();
    assert!(answer.header("content-type").is_some_and(|is| is.starts_with("text/plain")), "{answer:?}");
    for (name, least) in PROCESS {
        let value: f64 = scrape
            .text
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name} ")))
            .unwrap()
            .parse()
            .unwrap();
        assert!(value >= least, "{name} {value}");
    }
    promtool(&scrape.text);
    daemon.stop().drained();
}

/// The process itself, and what each is at least.
const PROCESS: [(&str, f64); 5] = [
    ("process_start_time_seconds", 1.7e9),
    ("process_cpu_seconds_total", 0.0),
    ("process_resident_memory_bytes", 1e6),
    ("process_open_fds", 3.0),
    ("process_max_fds", 3.0),
];

const ENDPOINT: &str = "
[sources.subscriptions]
type = \"firehose_http\"
listen = \"127.0.0.1:0\"
";

#[test]
fn what_can_be_counted_is_there_at_zero_and_what_does_not_exist_is_absent() {
    let world = World::new();
    let disk = MESSAGE_SINK.replace("archive", "durable");
    let daemon =
        world.config(&format!("{ENDPOINT}{MESSAGE_SINK}{disk}buffer = {{ type = \"disk\" }}\n")).start();
    let there = [
        "source_errors_total{reason=\"unauthorized\",source=\"subscriptions\"}",
        "undecodable_total{reason=\"not_envelope\",source=\"subscriptions\"}",
        "filtered_events_total{reason=\"unrouted\",route=\"none\"}",
        "sink_requests_total{outcome=\"throttled\",sink=\"archive\"}",
        "dead_letter_events_total{reason=\"too_large\",sink=\"archive\"}",
        "sink_dropped_events_total{reason=\"oldest\",sink=\"durable\"}",
        "buffer_errors_total{reason=\"sync\",sink=\"durable\"}",
        "buffer_fsync_duration_seconds_count{sink=\"durable\"}",
    ];
    // A source says what it can count when it begins to run.
    let text = until("all are there", || {
        let text = daemon.scrape().text;
        let is_there = |series: &&str| text.contains(&format!("\nstandpipe_{series} 0\n"));
        there.iter().all(is_there).then_some(text)
    });
    for absent in [
        "file_behind_bytes",
        "credentials_expiry_timestamp_seconds",
        "buffer_fsync_duration_seconds_count{sink=\"archive\"}",
        "buffer_errors_total{reason=\"sync\",sink=\"archive\"}",
        "buffer_limit_bytes{sink=\"archive\"}",
    ] {
        assert!(!text.contains(&format!("\nstandpipe_{absent}")), "{absent} is in\n{text}");
    }
    for (limit, bytes) in
        [("buffer_limit_bytes{sink=\"durable\"}", 10_u64 << 30), ("dead_letter_limit_bytes", 1 << 30)]
    {
        assert!(text.contains(&format!("\nstandpipe_{limit} {bytes}\n")), "{limit} is not in\n{text}");
    }
    daemon.stop().drained();
}

#[test]
fn what_files_can_lose_is_there_at_zero() {
    let world = World::new();
    let daemon = world.file_to_firehose("").start();
    let text = daemon.scrape().text;
    for series in [
        "source_errors_total{reason=\"link\"",
        "source_errors_total{reason=\"compressed\"",
        "file_lost_bytes_total{reason=\"nul\"",
    ] {
        assert!(
            text.contains(&format!("\nstandpipe_{series},source=\"app\"}} 0\n")),
            "{series} is not in\n{text}"
        );
    }
    daemon.stop().drained();
}

#[test]
fn the_health_endpoints_answer() {
    let world = World::new();
    let daemon = world.file_to_firehose("").start();
    for (path, status) in [("/healthz", 200), ("/readyz", 200), ("/", 200), ("/nowhere", 404)] {
        assert_eq!(daemon.get(path).unwrap().status, status, "{path}");
    }
    daemon.stop().drained();
}

#[expect(clippy::print_stderr, reason = "a check left out is said aloud")]
fn promtool(text: &str) {
    let started = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = started else {
        let is_ci = std::env::var_os("CI").is_some_and(|ci| ci == "true");
        assert!(!is_ci, "`promtool` is missing: `make test` installs it");
        eprintln!("left out: `promtool` is missing; `make test` installs it");
        return;
    };
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
}
