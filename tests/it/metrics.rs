//! `/metrics` is well-formed and complete.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::world::World;

/// Families that are there as soon as a source and a sink are.
const ALWAYS: [&str; 25] = [
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
    "buffer_fsync_duration_seconds_count",
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
    promtool(&scrape.text);
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
        assert!(!is_ci, "promtool is missing: `make test` installs it");
        eprintln!("promtool is not installed: its check is left out");
        return;
    };
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
}
