//! Log groups, pulled by the real binary: from the stand-in, with what goes wrong, and from moto.

use std::fs;

use serde_json::Value;

use crate::moto::Moto;
use crate::standin::{LOGS_ACCOUNT, Lines, Settings};
use crate::world::{MESSAGE_SINK, RUN, World, at_least_once, exactly_once, is_full, progress, until};

const MINUTE: i64 = 60_000;

/// A source `pull` of log groups below `/app/`.
fn source(more: &str) -> String {
    format!(
        "[sources.pull]\ntype = \"cloudwatch_logs\"\nregion = \"us-east-1\"\nendpoint_url = \"@URL\"\nca_file = \"@DIR/ca.pem\"\n\
         log_groups = [\"/app/*\"]\nstart = \"1h\"\ncalls = 100\nrefresh = \"1s\"\n{more}\n"
    )
}

/// Lines of the run, as events of this age in milliseconds.
fn put(world: &World, group: &str, numbers: std::ops::Range<u64>, age: i64) {
    world.standin.expect(RUN, numbers.end);
    world.standin.logs().put(LOGS_ACCOUNT, group, &Lines::of_run(RUN).text(numbers), age);
}

#[test]
fn log_groups_are_pulled_once_whatever_the_service_does() {
    let world = World::new();
    world.config(&format!("{}{MESSAGE_SINK}", source("")));
    for group in ["/app/a", "/app/b", "/other"] {
        world.standin.logs().create(LOGS_ACCOUNT, group);
    }
    world.standin.logs().put(LOGS_ACCOUNT, "/other", b"not wanted", 0);
    // A flood of one millisecond, more than a page has.
    put(&world, "/app/a", 0..4_000, 30 * MINUTE);
    {
        let mut logs = world.standin.logs();
        (logs.page, logs.empty_pages, logs.throttles, logs.expired_tokens) = (700, 1, 3, 2);
    }
    let daemon = world.start();
    world.delivered(&daemon);
    put(&world, "/app/b", 4_000..4_500, 0);
    world.delivered(&daemon);
    put(&world, "/app/b", 4_500..5_000, 0);
    daemon.reload();
    world.delivered(&daemon);
    // Late, and in a log group that is new.
    put(&world, "/app/a", 5_000..5_500, 20 * MINUTE);
    world.standin.logs().create(LOGS_ACCOUNT, "/app/c");
    put(&world, "/app/c", 5_500..6_000, 0);
    exactly_once(&world.delivered(&daemon), 6_000);
    until("the largest lateness and all log groups are told", || {
        daemon.must_run();
        let scrape = daemon.scrape();
        let groups = scrape.count("source_log_groups", &["source=\"pull\""]);
        (scrape.sum("source_late_seconds", &[]) > 1_100.0 && groups == 3).then_some(())
    });
    let scrape = daemon.conserved();
    assert_eq!(scrape.count("source_calls_total", &["outcome=\"throttled\""]), 3);
    daemon.stop().drained();
    // Nothing comes twice from a second start, either.
    let daemon = world.start();
    put(&world, "/app/a", 6_000..6_500, 10 * MINUTE);
    exactly_once(&world.delivered(&daemon), 6_500);
    daemon.stop().drained();
}

#[test]
fn kills_while_log_groups_are_pulled_lose_nothing() {
    let world = World::new();
    world.config(&format!("{}{MESSAGE_SINK}", source("")));
    world.standin.logs().create(LOGS_ACCOUNT, "/app/a");
    world.standin.logs().page = 300;
    let kills = if is_full() { 20 } else { 5 };
    for round in 0..kills {
        put(&world, "/app/a", round * 5_000..(round + 1) * 5_000, 5 * MINUTE);
        let daemon = world.start();
        world.seen(&daemon, round * 5_000 + 1_500);
        daemon.kill();
    }
    let daemon = world.start();
    let report = world.delivered(&daemon);
    at_least_once(&report, kills * 5_000);
    daemon.stop().drained();
}

#[test]
fn a_run_with_once_pulls_what_is_there_and_ends() {
    let world = World::new();
    world.config(&format!("{}{MESSAGE_SINK}", source("")));
    world.standin.logs().create(LOGS_ACCOUNT, "/app/a");
    let config = world.config_path();
    for round in 0..2 {
        put(&world, "/app/a", round * 2_000..(round + 1) * 2_000, 10 * MINUTE);
        let output = world.run(&["run", "--once", "-c", config.to_str().unwrap()], b"");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        exactly_once(&world.standin.report(), (round + 1) * 2_000);
    }
}

#[test]
fn a_denied_log_group_holds_the_source_and_names_the_permission() {
    let world = World::new();
    world.config(&format!("{}{MESSAGE_SINK}", source("")));
    world.standin.logs().create(LOGS_ACCOUNT, "/app/a");
    world.standin.logs().denied = Some("/app/a".to_owned());
    put(&world, "/app/a", 0..100, 0);
    let daemon = world.spawn();
    let reply = until("it is said", || {
        let reply = daemon.get("/readyz").map(|reply| reply.text()).filter(|text| text.contains("/app/a"));
        daemon.must_run();
        reply
    });
    for part in
        ["logs:FilterLogEvents", "user/standpipe", "arn:aws:logs:us-east-1:111111111111:log-group:/app/a:*"]
    {
        assert!(reply.contains(part), "it names `{part}`: {reply}");
    }
    let (_, report) = crate::doctor::examine(&world, &[]);
    assert_eq!(report["first_failure"]["check"], "log_events", "{report:#}");
    assert!(report.to_string().contains("standpipe-log-groups"), "{report:#}");
    world.standin.logs().denied = None;
    let delivered = world.delivered(&daemon);
    // The doctor has tried to put nothing, which no put may.
    assert_eq!((delivered.total.seen, delivered.total.duplicates), (100, 0));
    daemon.ready();
    daemon.stop().drained();
    let (_, report) = crate::doctor::examine(&world, &[]);
    let seen = report.to_string();
    assert!(seen.contains("1 match `/app/*`") && seen.contains("`/app/a` can be read"), "{report:#}");
}

#[test]
fn log_groups_of_linked_accounts_are_read_by_their_arns() {
    let world = World::with(&Settings { keep_records: true, ..Settings::default() });
    let sink = "[sinks.archive]\n@FIREHOSE\nstream = \"logs\"\nlinger = \"100ms\"\n";
    world.config(&format!("{}{sink}", source("linked_accounts = true")));
    for account in [LOGS_ACCOUNT, "333333333333"] {
        world.standin.logs().create(account, "/app/a");
        world.standin.logs().put(account, "/app/a", format!("of {account}").as_bytes(), 0);
    }
    let daemon = world.start();
    let told = progress("both are delivered", || {
        daemon.must_run();
        let records = world.standin.records();
        let text: String =
            records.iter().map(|kept| String::from_utf8_lossy(&kept.data).into_owned()).collect();
        let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        if events.len() == 2 { Ok(events) } else { Err((events.len() as u64, text)) }
    });
    for event in told {
        assert_eq!(event["message"], format!("of {}", event["owner"].as_str().unwrap()));
        assert_eq!((&event["log_group"], &event["source"]), (&"/app/a".into(), &"pull".into()));
    }
    daemon.stop().drained();
}

#[test]
fn log_groups_of_moto_are_pulled_once() {
    let Some(moto) = Moto::start() else { return };
    let world = World::new();
    let lines = world.path("lines");
    let write = |numbers: std::ops::Range<u64>| {
        world.standin.expect(RUN, numbers.end);
        fs::write(&lines, Lines::of_run(RUN).text(numbers)).unwrap();
        moto.play("pull.py", "put", &[std::path::Path::new("/app/moto"), &lines]);
    };
    write(0..1_500);
    let source = source("").replace(
        "endpoint_url = \"@URL\"\nca_file = \"@DIR/ca.pem\"",
        &format!("endpoint_url = \"{}\"", moto.url()),
    );
    world.config(&format!("{source}{MESSAGE_SINK}"));
    let daemon = world.start();
    world.delivered(&daemon);
    write(1_500..2_500);
    exactly_once(&world.delivered(&daemon), 2_500);
    daemon.stop().drained();
}
