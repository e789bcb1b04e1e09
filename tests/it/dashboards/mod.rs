//! The dashboard and the rules ask for what standpipe shows: every series, every label and every value they name.

mod prometheus;
mod queries;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use regex::Regex;
use serde_json::Value;

use self::queries::{Query, Selector, alerts, dashboard, dashboard_queries, rule_queries};
use crate::standin::{Role, Settings, Stream, stream_arn};
use crate::world::{Daemon, Scrape, World, until};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards")
}

const AWAY: &str = "222222222222";

/// Sources of every kind, and sinks that deliver, have a role, a disk buffer, and no stream.
const EVERYTHING: &str = "
[redact]
named = [\"email\"]

[sources.app]
type = \"file\"
include = [\"@DIR/logs/*.log\"]
parse = \"json\"
max_line = \"1KiB\"
too_long = \"dead_letter\"

[sources.subscriptions]
type = \"firehose_http\"
listen = \"127.0.0.1:0\"
access_keys = [\"a-key-of-sixteen\"]

[sources.containers]
type = \"fluent_forward\"
listen = \"127.0.0.1:0\"

[sources.pull]
type = \"cloudwatch_logs\"
region = \"us-east-1\"
endpoint_url = \"@URL\"
ca_file = \"@DIR/ca.pem\"
log_groups = [\"/app/*\"]

[sources.stream]
type = \"kinesis\"
stream_arn = \"@STREAM\"
endpoint_url = \"@URL\"
ca_file = \"@DIR/ca.pem\"
leases = { table = \"leases\", endpoint_url = \"@URL\", ca_file = \"@DIR/ca.pem\" }

[sources.trail]
type = \"s3\"
region = \"us-east-1\"
queue_url = \"@URL/222222222222/trail\"
endpoint_url = \"@URL\"
ca_file = \"@DIR/ca.pem\"

[sinks.archive]
@FIREHOSE
stream = \"logs\"
linger = \"100ms\"
assume_role = { arn = \"arn:aws:iam::222222222222:role/standpipe-writer\", sts_endpoint_url = \"@URL\" }

[sinks.durable]
@FIREHOSE
stream = \"logs\"
linger = \"100ms\"
buffer = { type = \"disk\", max = \"256MiB\" }

[sinks.nowhere]
@FIREHOSE
stream = \"not-there\"
linger = \"100ms\"

[[routes]]
from = [\"app\"]
to = [\"archive\", \"durable\", \"nowhere\"]

[[routes]]
to = [\"durable\"]
";

/// A standpipe with everything, of which one sink is held, and one has credentials that expire.
fn with_everything() -> (World, Daemon) {
    let streams = vec![Stream::new("111111111111", "logs"), Stream::new(AWAY, "logs")];
    let writer = Role::new("arn:aws:iam::222222222222:role/standpipe-writer", &["111111111111"]);
    let world = World::with(&Settings { roles: vec![writer], streams, ..Settings::default() });
    world.standin.kinesis().open(2);
    world.write("app.log", 0..1_000);
    // It becomes a dead letter.
    fs::write(world.log("long.log"), [&[b'x'; 2_000][..], b"\n"].concat()).unwrap();
    let daemon = world.config(&EVERYTHING.replace("@STREAM", &stream_arn())).spawn();
    until("a sink is held, another has credentials, and there is a dead letter", || {
        let scrape = daemon.scrape();
        let is_held = scrape.count("sink_held", &["sink=\"nowhere\"", "reason=\"not_found\""]) == 1;
        let has_rest =
            ["credentials_expiry_timestamp_seconds", "dead_letter_bytes"].iter().all(|name| scrape.has(name));
        (is_held && has_rest).then_some(())
    });
    (world, daemon)
}

#[test]
fn every_series_and_label_that_is_asked_for_is_shown() {
    let (_world, daemon) = with_everything();
    let scrape = daemon.scrape();
    let wrong: Vec<_> =
        dashboard_queries().iter().chain(&rule_queries()).flat_map(|q| misses(q, &scrape)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}\n{}", scrape.text);
    daemon.kill();
}

/// What a query names and /metrics does not show.
fn misses(query: &Query, scrape: &Scrape) -> Vec<String> {
    let mut known: BTreeSet<String> = ["job", "instance", "le", "alertname"].map(str::to_owned).into();
    let mut wrong = Vec::new();
    for selector in query.selectors() {
        if selector.name == "up" {
            continue;
        }
        let series = selector.series(scrape);
        if series.is_empty() {
            wrong.push(format!("{}: there is no `{}`", query.place, selector.name));
        }
        wrong.extend(selector.misses(&series).into_iter().map(|miss| format!("{}: {miss}", query.place)));
        known.extend(series.iter().flat_map(|labels| labels.keys().cloned()));
    }
    // What a recorded series has is what it was summed by.
    let is_recorded = query.text.contains(':');
    let named = query.labels().into_iter().filter(|label| !known.contains(label));
    let named = named.filter(|label| !(is_recorded && ["source", "sink"].contains(&label.as_str())));
    wrong.extend(named.map(|label| format!("{}: no series has the label `{label}`", query.place)));
    wrong
}

#[test]
fn a_series_a_label_and_a_value_that_there_are_not_are_found() {
    let scrape = Scrape::parse("standpipe_a_total{sink=\"x\",reason=\"open\"} 1\n".to_owned());
    for (text, legend, expected) in [
        ("sum by (sink) (rate(standpipe_a_total[5m]))", "{{sink}}", 0),
        ("standpipe_a_total{reason=\"open\"} > 0", "{{reason}} on {{instance}}", 0),
        ("standpipe_a_total{reason=~\"open|read\"}", "", 1),
        ("standpipe_a_total{kind=\"open\"}", "", 1),
        ("standpipe_b_total", "", 1),
        ("sum by (source) (standpipe_a_total)", "", 1),
        ("standpipe_a_total", "{{source}}", 1),
        ("standpipe_a_total{sink=~\"$sink\", job=~\"$job\"}", "", 0),
        ("instance_sink:standpipe_b:rate5m", "{{sink}}", 0),
    ] {
        let query = Query { place: "here".into(), text: text.into(), words: legend.into() };
        assert_eq!(misses(&query, &scrape).len(), expected, "{text}: {:?}", misses(&query, &scrape));
    }
}

#[test]
fn every_alert_has_a_test_of_its_own() {
    let tests = fs::read_to_string(folder().join("tests.yml")).unwrap();
    let untested: Vec<_> =
        alerts().into_iter().filter(|name| !tests.contains(&format!("\"{name}\""))).collect();
    assert!(untested.is_empty(), "dashboards/tests.yml does not raise {untested:?}");
}

#[test]
fn the_page_about_metrics_names_every_alert() {
    let page = fs::read_to_string(folder().join("../docs/metrics.md")).unwrap();
    let named = Regex::new("`(Standpipe[A-Z][A-Za-z]+)`").unwrap();
    let named: BTreeSet<String> = named.captures_iter(&page).map(|found| found[1].to_owned()).collect();
    assert_eq!(named, alerts().into_iter().collect());
}

#[test]
fn the_rules_are_valid_and_raise_what_they_should() {
    for arguments in [&["check", "rules", "recording.yml", "alerts.yml"][..], &["test", "rules", "tests.yml"]]
    {
        let started = Command::new("promtool").args(arguments).current_dir(folder()).output();
        let Ok(output) = started else { return missing("promtool") };
        let words = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "promtool {arguments:?}\n{}", String::from_utf8_lossy(&words));
    }
}

/// A test is left out, which is said aloud, and is a failure in CI.
#[expect(clippy::print_stderr, reason = "a test left out is said aloud")]
fn missing(program: &str) {
    let is_ci = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    assert!(!is_ci, "`{program}` is missing: `make test` installs it");
    eprintln!("left out: `{program}` is missing; `make test` installs it");
}

#[test]
fn panels_have_a_place_of_their_own() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel:#}");
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{panel:#}");
        for (x, y) in
            (at("x")..at("x") + at("w")).flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y)))
        {
            assert!(taken.insert((x, y)), "it lies over another: {panel:#}");
        }
        let is_row = panel["type"] == "row";
        assert_eq!(panel["targets"].as_array().is_none_or(Vec::is_empty), is_row, "{panel:#}");
        if !is_row {
            assert_eq!(panel["datasource"]["uid"], Value::from("${datasource}"), "{panel:#}");
        }
    }
}

#[test]
fn selectors_are_found_in_queries() {
    let query = Query {
        place: String::new(),
        text: "sum by (job) (rate(standpipe_a_total{x=\"1\", y=~\"2|3\"}[5m])) / i:standpipe_b:rate5m + process_open_fds".into(),
        words: String::new(),
    };
    let found: Vec<_> = query.selectors().into_iter().map(|Selector { name, .. }| name).collect();
    assert_eq!(found, ["standpipe_a_total", "process_open_fds"]);
}
