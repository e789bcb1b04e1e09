//! The disk buffer where the disk is full, or cannot be written: delivery goes on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::buffer::{acknowledged, configure, refuses, serves};
use crate::world::{World, at_least_once, exactly_once, scale, until};

#[test]
fn a_buffer_that_cannot_be_written_is_said_and_delivered_past_until_it_can() {
    let world = World::new();
    configure(&world, "max = \"1GiB\"");
    fs::create_dir_all(world.path("state")).unwrap();
    fs::write(world.path("state/spool"), "in the way").unwrap();
    world.standin.faults(refuses);
    world.write("app.log", 0..20_000);
    let daemon = world.spawn();
    let said = until("it is said", || {
        Some(daemon.until_readyz(503).text()).filter(|said| said.contains("disk buffer of archive (logs)"))
    });
    assert_eq!(world.checkpointed(), 0, "nothing is told done: {said}");
    assert!(daemon.scrape().count("buffer_errors_total", &["reason=\"open\""]) > 0);
    world.standin.faults(serves);
    exactly_once(&world.delivered(&daemon), 20_000);
    daemon.until_readyz(503);
    acknowledged(&world, &daemon);
    fs::remove_file(world.path("state/spool")).unwrap();
    daemon.ready();
    world.write("app.log", 20_000..40_000);
    exactly_once(&world.delivered(&daemon), 40_000);
    let scrape = daemon.conserved();
    assert!(scrape.sum("buffer_fsync_duration_seconds_count", &[]) > 0.0, "by way of the disk again");
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
