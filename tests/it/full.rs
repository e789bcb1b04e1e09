//! Disk buffers that have no room: at their own limit, or since the disk is full.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::buffer::{acknowledged, configure, files, killed_with_a_backlog, refuses, serves};
use crate::world::{World, at_least_once, exactly_once, scale, until};

#[test]
fn dropping_the_oldest_of_a_backlog_damages_nothing() {
    let world = World::new();
    configure(&world, "max = \"64MiB\"");
    killed_with_a_backlog(&world, 80_000);
    configure(&world, "max = \"8MiB\", when_full = \"drop_oldest\"");
    world.write("app.log", 80_000..160_000);
    let daemon = world.spawn();
    let dropped = || daemon.scrape().count("sink_dropped_events_total", &["reason=\"oldest\""]);
    until("the oldest are dropped", || (dropped() > 0).then_some(()));
    world.standin.faults(serves);
    acknowledged(&world, &daemon);
    until("what is left is delivered", || {
        let scrape = daemon.conserved();
        (scrape.count("sink_in_flight_events", &[]) == 0).then_some(())
    });
    let scrape = daemon.conserved();
    let dropped = dropped();
    assert_eq!(scrape.count("buffer_corrupt_total", &[]), 0, "{}", daemon.log_text());
    assert_eq!(world.standin.report().total.seen + dropped, 160_000);
    assert_eq!(files(&world, ".corrupt"), Vec::<PathBuf>::new());
    daemon.stop().drained();
}

#[test]
#[expect(clippy::print_stderr, reason = "a test left out is said aloud")]
fn a_small_disk_stops_no_delivery() {
    for (size, lines) in [("4m", 120_000), ("300k", 20_000)] {
        let world = World::new();
        configure(&world, "max = \"1GiB\"");
        let Some(_disk) = SmallDisk::mount(&world.path("state"), size) else {
            eprintln!("left out: no file system can be mounted here");
            return;
        };
        world.write("app.log", 0..lines);
        let daemon = world.spawn();
        exactly_once(&world.delivered(&daemon), lines);
        daemon.conserved();
        // What is held when the disk is full is not lost, and goes on when Firehose does.
        world.standin.faults(refuses);
        world.write("app.log", lines..2 * lines);
        daemon.until_readyz(503);
        world.standin.faults(serves);
        at_least_once(&world.delivered(&daemon), 2 * lines);
        daemon.stop();
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "a test left out is said aloud")]
fn a_disk_that_is_full_of_what_was_delivered_has_room_again() {
    let lines = scale(80_000).max(80_000);
    let world = World::new();
    configure(&world, "max = \"1GiB\"");
    let Some(_disk) = SmallDisk::mount(&world.path("state"), "12m") else {
        eprintln!("left out: no file system can be mounted here");
        return;
    };
    let daemon = world.start();
    world.write("app.log", 0..lines);
    at_least_once(&world.delivered(&daemon), lines);
    let scrape = daemon.conserved();
    assert!(scrape.count("buffer_errors_total", &["reason=\"write\""]) > 0, "the disk was full");
    daemon.ready();
    daemon.stop().drained();
}

/// A file system of its own.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Makes one, where this user may.
    fn mount(path: &Path, size: &str) -> Option<Self> {
        fs::create_dir_all(path).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size},mode=0700"), "standpipe-it"]).arg(path);
        let is_mounted = mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        is_mounted.then(|| Self(path.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process that has just ended may hold it for a moment.
        Command::new("umount").arg("-l").arg(&self.0).status().ok();
    }
}

#[test]
fn a_spool_that_was_removed_is_made_again_and_keeps_what_comes() {
    let world = World::new();
    configure(&world, "max = \"1GiB\"");
    world.standin.faults(refuses);
    world.write("app.log", 0..5_000);
    let daemon = world.spawn();
    acknowledged(&world, &daemon);
    fs::remove_dir_all(world.path("state/spool")).unwrap();
    world.write("app.log", 5_000..20_000);
    until("it is there again", || (!files(&world, ".spool").is_empty()).then_some(()));
    // What the sink took from memory meanwhile is not told done, and is read again.
    daemon.kill();
    world.standin.faults(serves);
    let daemon = world.spawn();
    let report = until("what came since is delivered", || {
        Some(world.standin.report()).filter(|report| report.total.seen >= 15_000)
    });
    assert!(report.missing <= 5_000, "only what was in removed files is gone: {report:#?}");
    daemon.ready();
    daemon.stop().drained();
}
