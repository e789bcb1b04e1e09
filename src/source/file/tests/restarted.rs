//! What happens while standpipe is down.

use std::fs;

use super::world::{COMPRESSIONS, World};
use crate::config::Start;

/// Reads a file, stops, does something, starts again.
#[track_caller]
fn check(happens: impl Fn(&mut World) -> &mut World) {
    for include in ["*.log", "a.log*"] {
        for live in [true, false] {
            let mut world = World::new().including(include);
            world.write("a.log", 100).start().all_arrived().stop();
            happens(&mut world);
            if live {
                world.start().all_arrived();
            }
            world.exactly_once();
        }
    }
}

#[test]
fn reading_goes_on_where_it_was() {
    check(|world| world);
    check(|world| world.write("a.log", 10));
    check(|world| world.write("a.log", 10).write("a.log", 1));
}

#[test]
fn rotations_in_between_are_seen() {
    check(|world| world.write("a.log", 10).rename("a.log", "a.log.1"));
    check(|world| world.write("a.log", 10).rename("a.log", "a.log.1").write("a.log", 10));
    check(|world| world.write("a.log", 10).rename("a.log", "a.log.1").gzip("a.log.1").write("a.log", 10));
    for ending in COMPRESSIONS {
        check(|world| world.rename("a.log", "a.log.1").compress("a.log.1", ending));
    }
    check(|world| {
        world.write("a.log", 10).rename("a.log", "a.log.1").compress("a.log.1", ".zst").write("a.log", 10)
    });
    check(|world| world.write("a.log", 10).copytruncate("a.log", "a.log.1").write("a.log", 10));
    check(|world| world.write("a.log", 10).copytruncate("a.log", "a.log.1").write("a.log", 500));
    check(|world| {
        world.write("a.log", 10).copytruncate("a.log", "a.log.1").gzip("a.log.1").write("a.log", 9)
    });
    check(|world| world.truncate("a.log").write("a.log", 500));
    check(|world| world.remove("a.log").write("a.log", 200));
    check(|world| world.write("a.log", 5).rename("a.log", "a.log-20260101").write("a.log", 5));
}

#[test]
fn two_rotations_in_between_are_seen_where_both_files_match() {
    let mut world = World::new().including("a.log*");
    world.write("a.log", 100).start().all_arrived().stop();
    world.write("a.log", 10).rename("a.log", "a.log.1").write("a.log", 10);
    world.rename("a.log.1", "a.log.2").rename("a.log", "a.log.1").write("a.log", 10).gzip("a.log.2");
    world.start().all_arrived().exactly_once();
}

#[test]
fn what_was_not_acknowledged_is_read_again() {
    let mut world = World::new();
    world.write("a.log", 100).start().all_arrived();
    world.with(|arrived| arrived.keep = true);
    world.write("a.log", 10).all_arrived().kill();
    world.with(|arrived| {
        arrived.keep = false;
        let last = arrived.chunks.pop().unwrap();
        assert_eq!(last.1.split_inclusive(|byte| *byte == b'\n').count(), 10);
    });
    world.start().all_arrived().exactly_once();
}

#[test]
fn nothing_after_a_chunk_that_was_given_up_is_remembered() {
    let mut world = World::new();
    world.with(|arrived| arrived.keep = true);
    world
        .write("a.log", 5)
        .start()
        .all_arrived()
        .write("a.log", 5)
        .all_arrived()
        .write("a.log", 5)
        .all_arrived();
    world.with(|arrived| {
        for (index, ack) in arrived.kept.drain(..).enumerate() {
            if index == 1 { drop(ack) } else { ack.settle() }
        }
    });
    world.stop();
    let first = world.with(|arrived| arrived.chunks[0].1.len());
    assert_eq!(world.positions.all()[0].mark.offset, first as u64);
    assert_eq!(world.metric("standpipe_source_errors_total{reason=\"abandoned\",source=\"test\"}"), 1);
    world.with(|arrived| {
        arrived.keep = false;
        arrived.chunks.truncate(1);
    });
    world.exactly_once();
}

/// Something happens while standpipe runs, and something while it is down; wherever reading begins, all lines arrive.
#[track_caller]
fn check_wherever(before: impl Fn(&mut World), down: impl Fn(&mut World)) {
    for start in [Start::End, Start::Beginning] {
        let mut world = World::new();
        world.config.start = start;
        world.append("seen.log", b"").start();
        known(&mut world, "seen.log");
        before(&mut world);
        world.stop();
        down(&mut world);
        world.start().all_arrived().exactly_once();
    }
}

/// Waits until it is remembered that nothing was read of a file yet.
fn known(world: &mut World, name: &str) {
    let is_known = |world: &World| {
        let positions = world.positions.all();
        positions.iter().any(|known| known.location.path.ends_with(name) && known.mark.offset == 0)
    };
    world.eventually("the empty file is known", is_known);
}

fn write_ten(world: &mut World) {
    world.write("a.log", 10);
}

#[test]
fn what_comes_into_a_file_that_was_seen_empty_is_read_wherever_reading_begins() {
    let empty = |world: &mut World| {
        world.append("a.log", b"");
        known(world, "a.log");
    };
    check_wherever(empty, write_ten);
    check_wherever(empty, |world| {
        world.write("a.log", 10).rename("a.log", "a.log.1").append("a.log", b"");
    });
    check_wherever(empty, |world| {
        world.remove("a.log").write("a.log", 10);
    });
    // Held back at the stop, since it may be a copy of what is there.
    let held = |world: &mut World| {
        world.append("b.log", b"alike\n").expect(b"alike\n").all_arrived();
        world.append("c.log", b"alike\n").expect(b"alike\n");
        known(world, "c.log");
    };
    check_wherever(held, |world| {
        world.write("c.log", 3);
    });
}

#[test]
fn what_comes_after_a_rotation_is_read_wherever_reading_begins() {
    // logrotate with `create`, and with `copytruncate`.
    let create = |world: &mut World| {
        world.write("a.log", 10).all_arrived().rename("a.log", "a.log.1").append("a.log", b"");
        known(world, "a.log");
    };
    check_wherever(create, write_ten);
    let truncated = |world: &mut World| {
        world.write("a.log", 10).all_arrived().copytruncate("a.log", "a.log.1");
        known(world, "a.log");
    };
    check_wherever(truncated, write_ten);
    // The file that has the name by now took the place of one that was rotated away.
    let rotated = |world: &mut World| {
        world.write("a.log", 10).all_arrived().rename("a.log", "a.log.1");
        world.eventually("the new name is known", |world| {
            world.positions.all().iter().any(|known| known.location.path.ends_with("a.log.1"))
        });
    };
    check_wherever(rotated, write_ten);
}

#[test]
fn a_file_system_mounted_anew_is_the_same() {
    let mut world = World::new();
    world.write("a.log", 100).start().all_arrived().stop();
    let copy = fs::read(world.path("a.log")).unwrap();
    // Another inode, and another device as far as the positions say.
    fs::write(world.path("new"), copy).unwrap();
    world.rename("new", "a.log");
    world.positions.change(|position| position.location.device += 1);
    world.write("a.log", 10).start().all_arrived().exactly_once();
}
