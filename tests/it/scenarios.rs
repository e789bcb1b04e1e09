//! Whole scenarios of files, from shells: what rotates, removes and replaces logs, around the real binary.
//!
//! `cargo test --test it scenarios::` runs them.

use std::fs;
use std::io::Write;
use std::ops::Range;
use std::os::unix::fs::symlink;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::standin::{Lines, Report};
use crate::world::{FILE_SOURCE, MESSAGE_SINK, RUN, World, exactly_once, until};

fn text(numbers: Range<u64>) -> Vec<u8> {
    Lines::of_run(RUN).text(numbers)
}

fn append(path: &Path, bytes: &[u8]) {
    fs::OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(bytes).unwrap();
}

/// All these lines, and so many of them twice, since they were written twice.
#[track_caller]
fn written_twice(report: &Report, lines: u64, twice: u64) {
    assert_eq!((report.missing, report.total.seen), (0, lines), "{report:#?}");
    assert_eq!(report.total.duplicates, twice, "{report:#?}");
    assert_eq!((report.total.damaged, report.total.other), (0, 0), "{report:#?}");
}

/// Waits until so many lines were written twice.
fn until_twice(world: &World, twice: u64) -> Report {
    until("what was written twice has come twice", || {
        Some(world.standin.report()).filter(|report| report.total.duplicates >= twice)
    })
}

#[test]
fn a_log_behind_a_link_that_is_copied_and_truncated_while_nobody_reads_arrives_once() {
    for is_link in [true, false] {
        let world = World::new();
        let (real, copy) = if is_link {
            fs::create_dir(world.path("real")).unwrap();
            symlink(world.path("real/0.log"), world.log("app.log")).unwrap();
            (world.path("real/0.log"), world.path("real/0.log.1"))
        } else {
            (world.log("app.log"), world.log("app.log.1"))
        };
        append(&real, &text(0..200));
        world.standin.expect(RUN, 200);
        let daemon = world.file_to_firehose("").start();
        world.delivered(&daemon);
        daemon.stop().drained();

        append(&real, &text(200..250));
        fs::copy(&real, copy).unwrap();
        fs::File::create(&real).unwrap();
        append(&real, &text(250..260));
        world.standin.expect(RUN, 260);
        let daemon = world.start();
        exactly_once(&world.delivered(&daemon), 260);
        daemon.stop().drained();
    }
}

#[test]
fn a_log_of_the_same_text_as_one_that_was_just_removed_is_read_whole() {
    let world = World::new();
    let daemon = world.file_to_firehose("").start();
    append(&world.log("pod-a.log"), &text(0..600));
    world.standin.expect(RUN, 600);
    world.delivered(&daemon);
    fs::remove_file(world.log("pod-a.log")).unwrap();
    append(&world.log("pod-b.log"), &text(0..601));
    world.standin.expect(RUN, 601);
    world.delivered(&daemon);
    written_twice(&until_twice(&world, 600), 601, 600);
    daemon.stop().drained();
}

#[test]
fn what_comes_into_a_log_that_was_empty_at_the_last_stop_is_read_though_reading_begins_at_the_end() {
    let world = World::new();
    let log = world.log("a.log");
    append(&log, b"old\n");
    world.config(&format!("{FILE_SOURCE}start = \"end\"\n{MESSAGE_SINK}"));
    let daemon = world.start();
    until("the log is open", || daemon.has_open(&log).then_some(()));
    append(&log, &text(0..1));
    world.standin.expect(RUN, 1);
    world.delivered(&daemon);
    fs::rename(&log, world.log("a.log.1")).unwrap();
    fs::File::create(&log).unwrap();
    daemon.stop().drained();

    append(&log, &text(1..11));
    world.standin.expect(RUN, 11);
    let daemon = world.start();
    exactly_once(&world.delivered(&daemon), 11);
    daemon.stop().drained();
}

#[test]
fn a_gzipped_log_that_holds_more_than_a_live_one_is_read_whole() {
    let world = World::new();
    for folder in ["a", "b"] {
        fs::create_dir(world.log(folder)).unwrap();
    }
    let source = FILE_SOURCE.replace("logs/*.log", "logs/**/*.log*");
    let daemon = world.config(&format!("{source}{MESSAGE_SINK}")).start();
    append(&world.log("a/app.log"), &text(0..600));
    world.standin.expect(RUN, 600);
    world.delivered(&daemon);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&text(0..1_100)).unwrap();
    append(&world.log("b/app.log.20260101.gz"), &encoder.finish().unwrap());
    world.standin.expect(RUN, 1_100);
    world.delivered(&daemon);
    written_twice(&until_twice(&world, 600), 1_100, 600);
    daemon.stop().drained();
}
