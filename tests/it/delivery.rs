//! Lines of a file reach Firehose: all of them, once, at a fair bill, whatever fails.

use std::fs;

use crate::standin::Faults;
use crate::world::{World, at_least_once, exactly_once, killed_again_and_again, scale, until};

/// Refused records and throttled calls, as on a bad day.
fn bad_day(faults: &mut Faults) {
    faults.record_failures = 0.2;
    faults.throttles = 0.1;
}

#[test]
fn every_line_arrives_once_and_is_billed_fairly() {
    let lines = scale(200_000);
    let world = World::new();
    world.write("app.log", 0..lines);
    let daemon = world.file_to_firehose("").start();
    let report = world.delivered(&daemon);
    exactly_once(&report, lines);
    assert!(report.total.bill() <= 1.02, "billed by payload: {:.4}", report.total.bill());

    let scrape = daemon.conserved();
    let counted = |name: &str| scrape.count(name, &["sink=\"archive\""]);
    assert_eq!(counted("sink_delivered_events_total"), lines);
    assert_eq!(counted("sink_delivered_bytes_total"), report.total.payload_bytes);
    assert_eq!(counted("sink_billed_bytes_total"), report.total.billed_bytes);
    assert_eq!(counted("sink_records_total"), report.total.records);
    daemon.stop().drained();
}

#[test]
fn failing_records_and_throttled_calls_lose_and_double_nothing() {
    let lines = scale(200_000);
    let world = World::new();
    world.standin.faults(bad_day);
    world.write("app.log", 0..lines);
    let daemon = world.file_to_firehose("").start();
    let report = world.delivered(&daemon);
    exactly_once(&report, lines);
    assert!(report.refused_records > 0, "some records were refused: {report:#?}");
    daemon.conserved();
    daemon.stop().drained();
}

#[test]
fn calls_that_are_cut_lose_nothing() {
    let lines = scale(100_000);
    let world = World::new();
    world.standin.faults(|faults| {
        faults.cut_before = 0.1;
        faults.cut_after = 0.05;
        faults.internal = 0.1;
    });
    world.write("app.log", 0..lines);
    let daemon = world.file_to_firehose("").start();
    at_least_once(&world.delivered(&daemon), lines);
    daemon.conserved();
    daemon.stop().drained();
}

#[test]
fn ten_kills_on_the_way_lose_nothing() {
    const KILLS: u64 = 10;
    let lines = scale(200_000);
    let share = lines / KILLS;
    let world = World::new();
    world.standin.faults(|faults| faults.delay_ms = 20);
    world.file_to_firehose("");
    for round in 0..KILLS {
        let daemon = world.start();
        let before = world.standin.report().total.seen;
        world.write("app.log", round * share..(round + 1) * share);
        world.seen(&daemon, before + 1);
        daemon.scrape();
        daemon.kill();
    }
    let daemon = world.start();
    at_least_once(&world.delivered(&daemon), share * KILLS);
    daemon.conserved();
    daemon.stop().drained();
}

#[test]
fn a_process_that_is_killed_again_and_again_makes_progress() {
    let world = World::new();
    world.file_to_firehose("");
    killed_again_and_again(&world);
}

#[test]
fn what_was_acknowledged_is_not_repeated_after_a_kill() {
    let world = World::new();
    world.file_to_firehose("");
    for round in 0..5 {
        let daemon = world.start();
        world.write("app.log", round * 1_000..(round + 1) * 1_000);
        world.delivered(&daemon);
        let size = fs::metadata(world.log("app.log")).unwrap().len();
        until("the position is written down", || (world.checkpointed() == size).then_some(()));
        daemon.kill();
    }
    let daemon = world.start();
    exactly_once(&world.delivered(&daemon), 5_000);
    daemon.stop().drained();
    assert!(
        !world.path("state/checkpoints.journal-0").exists()
            && !world.path("state/checkpoints.journal-1").exists()
    );
}

#[test]
fn the_lines_of_a_file_arrive_in_order() {
    let lines = scale(200_000);
    let world = World::new();
    world.standin.faults(|faults| faults.delay_ms = 5);
    world.write("app.log", 0..lines);
    // Requests that overlap, where answers come late, may arrive in any order.
    let daemon = world.file_to_firehose("max_concurrency = 1\n").start();
    let report = world.delivered(&daemon);
    exactly_once(&report, lines);
    assert_eq!(report.total.out_of_order, 0, "requests leave one after another: {report:#?}");
    daemon.stop().drained();
}

#[test]
fn json_lines_carry_the_messages_whole() {
    let lines = scale(50_000);
    let world = World::new();
    world.write("app.log", 0..lines);
    let daemon = world
        .config(
            "[sources.app]\ntype = \"file\"\ninclude = [\"@DIR/logs/*.log\"]\n\
             [sinks.archive]\n@FIREHOSE\nstream = \"logs\"\nencoding = \"json\"\nfields = { env = \"test\" }\n",
        )
        .start();
    exactly_once(&world.delivered(&daemon), lines);
    daemon.conserved();
    daemon.stop().drained();
}

#[test]
fn compressed_records_hold_the_same_lines() {
    let lines = scale(50_000);
    for compression in ["\"gzip\"", "\"zstd\"", "{ type = \"zstd\", level = 6 }"] {
        let world = World::new();
        world.standin.faults(|faults| faults.record_failures = 0.2);
        world.write("app.log", 0..lines);
        let daemon = world.file_to_firehose(&format!("compression = {compression}\n")).start();
        let report = world.delivered(&daemon);
        exactly_once(&report, lines);
        assert!(report.total.record_bytes < report.total.payload_bytes / 2, "they are smaller: {report:#?}");
        daemon.conserved();
        daemon.stop().drained();
    }
}
