//! Several standpipes that share the shards of a stream by a lease table, on the stand-in.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::standin::{Lines, shard_id, stream_arn};
use crate::world::{Daemon, MESSAGE_SINK, RUN, World, at_least_once, exactly_once, until};

const TABLE: &str = "standpipe-cwl";
const FAILOVER: Duration = Duration::from_secs(2);

/// Writes the configuration of one worker, each of which has a state directory of its own.
pub(crate) fn configure(world: &World, worker: &str, url: &str, more: &str) {
    let own = if url == "@URL" { "ca_file = \"@DIR/ca.pem\"\n" } else { "" };
    world.config(&format!(
        "[state]\ndir = \"@DIR/state-{worker}\"\n\n\
         [sources.stream]\ntype = \"kinesis\"\nstream_arn = \"{}\"\nendpoint_url = \"{url}\"\n{own}format = \"lines\"\n\
         leases = {{ table = \"{TABLE}\", failover = \"{}s\", endpoint_url = \"{url}\" }}\n{more}\n{MESSAGE_SINK}",
        stream_arn(),
        FAILOVER.as_secs(),
    ));
}

fn start(world: &World, worker: &str) -> Daemon {
    configure(world, worker, "@URL", "");
    world.start()
}

fn put(world: &World, numbers: Range<u64>) {
    world.standin.expect(RUN, numbers.end);
    let text = Lines::of_run(RUN).text(numbers);
    world.standin.kinesis().put_lines(&text, 5);
}

/// How many leases each worker has.
fn owners(world: &World) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for owner in world.standin.dynamodb().column(TABLE, "leaseOwner").into_values() {
        *counts.entry(owner).or_default() += 1;
    }
    counts
}

/// Waits until so many workers have so many leases each.
fn level(world: &World, daemons: &[&Daemon], expected: &[usize]) {
    until(&format!("leases are shared as {expected:?}"), || {
        for daemon in daemons {
            daemon.must_run();
        }
        let mut counts: Vec<usize> = owners(world).into_values().collect();
        counts.sort_unstable();
        (counts == expected).then_some(())
    });
}

#[expect(clippy::print_stderr, reason = "a figure that is measured")]
fn measured(what: &str, since: Instant) {
    let took = since.elapsed();
    eprintln!("{what}: {:.1} s at a failover of {} s", took.as_secs_f64(), FAILOVER.as_secs());
}

#[test]
fn workers_share_shards_and_take_over_from_who_is_gone() {
    let world = World::new();
    world.standin.kinesis().open(4);
    world.standin.dynamodb().page = 2;
    put(&world, 0..1_000);
    let first = start(&world, "a");
    world.delivered(&first);
    level(&world, &[&first], &[4]);
    let second = start(&world, "b");
    level(&world, &[&first, &second], &[2, 2]);
    put(&world, 1_000..2_000);
    world.delivered(&second);
    // Shards that are split and merged meanwhile, with answers that are lost and calls that are throttled.
    {
        let mut dynamodb = world.standin.dynamodb();
        (dynamodb.lost_answers, dynamodb.throttles) = (4, 4);
    }
    world.standin.kinesis().split(0);
    world.standin.kinesis().merge([1, 2]);
    put(&world, 2_000..3_000);
    world.delivered(&second);
    second.kill();
    put(&world, 3_000..4_000);
    let killed = Instant::now();
    world.delivered(&first);
    measured("kill to takeover", killed);
    let third = start(&world, "c");
    let has_some = || third.scrape().count("lease_taken_total", &["source=\"stream\""]) > 0;
    until("the third has taken some", || has_some().then_some(()));
    first.stop().drained();
    put(&world, 4_000..5_000);
    let stopped = Instant::now();
    let report = world.delivered(&third);
    measured("stop to takeover", stopped);
    at_least_once(&report, 5_000);
    third.stop().drained();
    let kinesis = world.standin.kinesis();
    assert_eq!(kinesis.violations, Vec::<String>::new());
    assert_eq!(world.standin.dynamodb().column(TABLE, "leaseOwner").len(), 0, "all leases are given back");
}

#[test]
fn a_lease_that_another_takes_is_let_go_and_nothing_is_written_over_it() {
    let world = World::new();
    world.standin.kinesis().open(2);
    put(&world, 0..200);
    let daemon = start(&world, "a");
    world.delivered(&daemon);
    until("both positions are written", || {
        let marks = world.standin.dynamodb().column(TABLE, "checkpoint");
        marks.values().all(|mark| mark.starts_with("49")).then_some(())
    });
    // A foreign worker steals one, and renews it as long as it reads.
    let mut counter = 1_000;
    {
        let mut dynamodb = world.standin.dynamodb();
        dynamodb.set(TABLE, &shard_id(0), "leaseOwner", json!({ "S": "foreign" }));
        dynamodb.set(TABLE, &shard_id(0), "checkpoint", json!({ "S": "TRIM_HORIZON" }));
        dynamodb.set(TABLE, &shard_id(0), "pendingCheckpoint", json!({ "S": "1" }));
    }
    let mut renew = || {
        counter += 1;
        let value = json!({ "N": counter.to_string() });
        world.standin.dynamodb().set(TABLE, &shard_id(0), "leaseCounter", value);
    };
    until("it is lost", || {
        renew();
        (daemon.scrape().count("lease_lost_total", &["source=\"stream\""]) == 1).then_some(())
    });
    put(&world, 200..400);
    world.seen(&daemon, 300);
    renew();
    let row = world.standin.dynamodb().item(TABLE, &shard_id(0)).unwrap();
    assert_eq!(
        (&row["leaseOwner"]["S"], &row["checkpoint"]["S"]),
        (&"foreign".into(), &"TRIM_HORIZON".into())
    );
    // The foreign one is gone: all that it had is read from where it stood.
    at_least_once(&world.delivered(&daemon), 400);
    daemon.stop().drained();
}

#[test]
fn a_worker_that_starts_again_goes_on_with_its_own_leases_at_once() {
    let world = World::new();
    world.standin.kinesis().open(3);
    put(&world, 0..300);
    let daemon = start(&world, "a");
    world.delivered(&daemon);
    let before = owners(&world);
    daemon.kill();
    put(&world, 300..600);
    let daemon = world.start();
    at_least_once(&world.delivered(&daemon), 600);
    assert_eq!(owners(&world), before, "it has the name that it had");
    // A reload keeps its leases, too.
    put(&world, 600..900);
    daemon.reload();
    at_least_once(&world.delivered(&daemon), 900);
    assert_eq!(owners(&world), before);
    daemon.stop().drained();
}

#[test]
fn positions_that_were_written_are_not_read_again_by_another() {
    let world = World::new();
    world.standin.kinesis().open(2);
    put(&world, 0..500);
    let daemon = start(&world, "a");
    world.delivered(&daemon);
    daemon.stop().drained();
    world.standin.dynamodb().lost_answers = 3;
    let daemon = start(&world, "b");
    put(&world, 500..1_000);
    exactly_once(&world.delivered(&daemon), 1_000);
    daemon.stop().drained();
}

#[test]
fn a_write_whose_answer_was_lost_is_made_again() {
    let world = World::new();
    world.standin.kinesis().open(1);
    configure(&world, "a", "@URL", "");
    let config = fs::read_to_string(world.config_path()).unwrap();
    // It is renewed by its positions alone.
    world.config(&config.replace("failover = \"2s\"", "failover = \"300s\""));
    let daemon = world.start();
    let put_one = |number: u64| {
        world.standin.expect(RUN, number + 1);
        world.standin.kinesis().put(0, "k", &Lines::of_run(RUN).text(number..number + 1))
    };
    let is_written = |sequence: &str| {
        let item = world.standin.dynamodb().item(TABLE, &shard_id(0))?;
        let found: u64 = item["leaseCounter"]["N"].as_str().unwrap().parse().unwrap();
        (item["checkpoint"]["S"] == *sequence).then_some(found)
    };
    let first = put_one(0);
    let before = until("the position is written", || is_written(&first));
    let failed = world.standin.dynamodb().failed_conditions;
    world.standin.dynamodb().lost_answers = 1;
    put_one(1);
    until("a try finds what the first one did", || {
        (world.standin.dynamodb().failed_conditions > failed).then_some(())
    });
    let third = put_one(2);
    let after = until("the last position is written", || is_written(&third));
    assert_eq!(after, before + 3, "the second position was written twice");
    exactly_once(&world.delivered(&daemon), 3);
    daemon.stop().drained();
}

#[test]
fn an_open_shard_with_a_finished_lease_is_told_of() {
    let world = World::new();
    world.standin.kinesis().open(2);
    world.standin.dynamodb().create(TABLE, "leaseKey");
    let finished = json!({ "leaseKey": { "S": shard_id(0) }, "leaseCounter": { "N": "7" },
        "checkpoint": { "S": "SHARD_END" } });
    world.standin.dynamodb().put(TABLE, &finished);
    configure(&world, "a", "@URL", "");
    let daemon = world.spawn();
    until("the shard and the fix are named", || {
        daemon.must_run();
        let said = daemon.get("/readyz").map(|reply| reply.text())?;
        (said.contains(&shard_id(0)) && said.contains("`leases.table`")).then_some(())
    });
    assert!(daemon.scrape().count("source_errors_total", &["reason=\"lease_finished\""]) >= 1);
    // Its row is removed.
    world.standin.dynamodb().delete(TABLE, &shard_id(0));
    put(&world, 0..100);
    exactly_once(&world.delivered(&daemon), 100);
    daemon.ready();
    daemon.stop().drained();
}

#[test]
fn finished_leases_go_and_what_others_keep_in_the_table_stays() {
    let world = World::new();
    world.standin.kinesis().open(1);
    world.standin.dynamodb().create(TABLE, "leaseKey");
    let foreign =
        json!({ "leaseKey": { "S": "Leader" }, "entityType": { "S": "LEADER" }, "leaseOwner": { "S": "x" } });
    world.standin.dynamodb().put(TABLE, &foreign);
    put(&world, 0..100);
    world.standin.kinesis().split(0);
    put(&world, 100..200);
    let daemon = start(&world, "a");
    exactly_once(&world.delivered(&daemon), 200);
    daemon.stop().drained();
    let daemon = start(&world, "a");
    until("the finished lease is gone", || {
        daemon.must_run();
        world.standin.dynamodb().item(TABLE, &shard_id(0)).is_none().then_some(())
    });
    assert_eq!(world.standin.dynamodb().item(TABLE, "Leader"), Some(foreign));
    assert!(world.standin.dynamodb().item(TABLE, &shard_id(2)).is_some());
    daemon.stop().drained();
}

#[test]
fn a_look_that_knows_nothing_of_the_last_writes_adds_no_lease_that_was_removed() {
    let world = World::new();
    world.standin.kinesis().open(2);
    put(&world, 0..100);
    configure(&world, "a", "@URL", "");
    let config = fs::read_to_string(world.config_path()).unwrap();
    // Shards are listed more often.
    world.config(&config.replace("failover = \"2s\"", "failover = \"1s\""));
    let daemon = world.start();
    world.delivered(&daemon);
    world.standin.kinesis().split(0);
    world.standin.kinesis().merge([1, 2]);
    put(&world, 100..300);
    world.delivered(&daemon);
    until("finished leases are gone", || {
        daemon.must_run();
        let dynamodb = world.standin.dynamodb();
        [0, 1, 2].iter().all(|shard| dynamodb.item(TABLE, &shard_id(*shard)).is_none()).then_some(())
    });
    // A shard whose lease was removed would be read from its beginning.
    let calls = |operation: &str| world.standin.dynamodb().calls[operation];
    let (added, scans) = (calls("PutItem"), calls("Scan"));
    world.standin.dynamodb().stale_scans = 3;
    // Some looks later, whatever was to be done after those is done.
    until("they were answered", || {
        let stale = world.standin.dynamodb().stale_scans;
        (stale == 0 && calls("Scan") > scans + 8).then_some(())
    });
    assert_eq!(calls("PutItem"), added);
    world.standin.kinesis().split(4);
    put(&world, 300..400);
    exactly_once(&world.delivered(&daemon), 400);
    daemon.stop().drained();
}

#[test]
fn tables_that_cannot_be_shared_are_refused_with_a_sentence() {
    let check = |prepare: &dyn Fn(&World), part: &str| {
        let world = World::new();
        world.standin.kinesis().open(1);
        put(&world, 0..10);
        prepare(&world);
        configure(&world, "a", "@URL", "");
        let daemon = world.spawn();
        until(&format!("`{part}` is said"), || {
            daemon.must_run();
            daemon.get("/readyz").map(|reply| reply.text()).filter(|text| text.contains(part))
        });
        assert_eq!(world.standin.report().total.seen, 0);
        daemon.stop();
    };
    check(&|world| world.standin.dynamodb().create(TABLE, "ShardID"), "`ShardID`");
    let many = json!({ "leaseKey": { "S": "111111111111:s:1:shardId-0" }, "leaseCounter": { "N": "1" },
        "checkpoint": { "S": "TRIM_HORIZON" } });
    check(
        &|world| {
            world.standin.dynamodb().create(TABLE, "leaseKey");
            world.standin.dynamodb().put(TABLE, &many);
        },
        "several streams",
    );
    for version in ["3X", "3X_WITH_ROLLBACK"] {
        check(
            &|world| {
                world.standin.dynamodb().create(TABLE, "leaseKey");
                world.standin.dynamodb().put(TABLE, &of_version(version, "leaseKey"));
            },
            "version 3",
        );
    }
    check(
        &|world| {
            let beside = format!("{TABLE}-CoordinatorState");
            world.standin.dynamodb().create(&beside, "key");
            world.standin.dynamodb().put(&beside, &of_version("3X", "key"));
        },
        "version 3",
    );
    check(&|world| world.standin.dynamodb().is_denied = true, "dynamodb:DescribeTable");
}

#[test]
fn who_meets_leases_of_others_leaves_the_rest_to_them() {
    const SHARDS: u64 = 60;
    let world = World::new();
    world.standin.kinesis().open(usize::try_from(SHARDS).unwrap());
    {
        let mut dynamodb = world.standin.dynamodb();
        dynamodb.create(TABLE, "leaseKey");
        for number in 0..SHARDS {
            let lease = json!({ "leaseKey": { "S": shard_id(number) }, "leaseCounter": { "N": "0" },
                "checkpoint": { "S": "TRIM_HORIZON" }, "ownerSwitchesSinceCheckpoint": { "N": "0" } });
            dynamodb.put(TABLE, &lease);
        }
        // Others have added them since.
        dynamodb.late_scans = 2;
    }
    put(&world, 0..600);
    let daemon = start(&world, "a");
    exactly_once(&world.delivered(&daemon), 600);
    assert_eq!(world.standin.dynamodb().calls["PutItem"], 20, "of {SHARDS}");
    daemon.stop().drained();
}

/// What a fleet of the client library writes of its version.
fn of_version(version: &str, key: &str) -> Value {
    json!({ (key): { "S": "Migration3.0" }, "cv": { "S": format!("CLIENT_VERSION_{version}") } })
}

#[test]
fn a_fleet_that_is_still_as_version_2_is_shared_and_one_that_becomes_version_3_is_told_of() {
    let world = World::new();
    world.standin.kinesis().open(2);
    put(&world, 0..100);
    world.standin.dynamodb().create(TABLE, "leaseKey");
    world.standin.dynamodb().put(TABLE, &of_version("UPGRADE_FROM_2X", "leaseKey"));
    let daemon = start(&world, "a");
    exactly_once(&world.delivered(&daemon), 100);
    world.standin.dynamodb().put(TABLE, &of_version("3X", "leaseKey"));
    until("it is said", || {
        daemon.must_run();
        daemon.get("/readyz").map(|reply| reply.text()).filter(|text| text.contains("version 3"))
    });
    world.standin.dynamodb().put(TABLE, &of_version("2X", "leaseKey"));
    daemon.ready();
    put(&world, 100..200);
    exactly_once(&world.delivered(&daemon), 200);
    daemon.stop().drained();
}

#[test]
fn doctor_and_check_know_the_lease_table() {
    let world = World::new();
    world.standin.kinesis().open(2);
    configure(&world, "a", "@URL", "");
    let (_, report) = crate::doctor::examine(&world, &[]);
    assert!(report.to_string().contains("the first worker creates it"), "{report:#}");
    let daemon = world.start();
    level(&world, &[&daemon], &[2]);
    let (_, report) = crate::doctor::examine(&world, &[]);
    assert!(report.to_string().contains("2 leases of 1 workers"), "{report:#}");
    daemon.stop().drained();
    world.standin.dynamodb().is_denied = true;
    let (_, report) = crate::doctor::examine(&world, &[]);
    let seen = report.to_string();
    assert!(seen.contains("dynamodb:UpdateItem") && seen.contains(TABLE), "{report:#}");
    let config = world.config_path();
    let output = world.run(&["check", "-c", config.to_str().unwrap()], b"");
    let tree = String::from_utf8(output.stdout).unwrap();
    for part in ["stream (kinesis)", &stream_arn(), TABLE, "free after 2s"] {
        assert!(tree.contains(part), "`{part}`: {tree}");
    }
}
