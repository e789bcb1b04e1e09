//! Files that nothing was written to for long.

use std::time::Duration;

use super::world::World;
use crate::config::Start;

const DAY: Duration = Duration::from_hours(24);
const IGNORED: &str = "standpipe_source_files_total{outcome=\"ignored\",source=\"test\"}";

fn world(include: &str) -> World {
    let mut world = World::new().including(include);
    world.config.ignore_older = Some(DAY);
    world
}

/// A file with one line that nobody expects, of the day before yesterday.
fn with_old_file(world: &mut World) -> &mut World {
    world.append("a.log", b"of old\n").age("a.log", 2 * DAY)
}

#[test]
fn a_file_that_is_too_old_is_neither_opened_nor_read_and_counts_once() {
    for mut world in [world("*.log"), world("*.log").without_inotify()] {
        world.config.rescan = Duration::from_millis(10);
        with_old_file(&mut world).write("b.log", 3).start().all_arrived();
        world.write("b.log", 3).all_arrived();
        world.eventually("it is counted", |world| world.metric(IGNORED) == 1);
        assert!(!world.has_open_log());
        world.write("c.log", 1).all_arrived().exactly_once();
        assert_eq!(world.metric(IGNORED), 2, "once a run");
    }
}

#[test]
fn a_file_that_was_too_old_is_read_from_its_start_once_it_grows() {
    for mut world in [world("*.log"), world("*.log").without_inotify()] {
        with_old_file(&mut world).start();
        world.eventually("it is counted", |world| world.metric(IGNORED) == 1);
        world.expect(b"of old\n").write("a.log", 3).all_arrived().exactly_once();
    }
}

#[test]
fn with_start_end_what_an_old_file_had_at_the_start_is_left_out() {
    let mut world = world("*.log");
    world.config.start = Start::End;
    with_old_file(&mut world).start();
    world.eventually("it is counted", |world| world.metric(IGNORED) == 1);
    world.write("a.log", 3).all_arrived().exactly_once();
}

#[test]
fn a_file_that_has_a_position_is_read_on_however_old_it_is() {
    let mut world = world("*.log");
    world.write("a.log", 3).start().all_arrived().stop();
    world.write("a.log", 3).age("a.log", 2 * DAY).start().all_arrived().exactly_once();
    // So is one of which nothing was read yet.
    world.start().append("empty.log", b"");
    world.eventually("it is known", |world| world.positions.all().len() == 2);
    world.stop().write("empty.log", 3).age("empty.log", 2 * DAY).start().all_arrived().exactly_once();
    assert_eq!(world.metric(IGNORED), 0);
}

#[test]
fn what_continues_a_file_that_was_read_is_read_on_however_old_it_is() {
    let mut world = world("a.log*");
    world.write("a.log", 30).start().all_arrived().stop();
    world.write("a.log", 3).gzip("a.log").rename("a.log.gz", "a.log.1.gz").age("a.log.1.gz", 2 * DAY);
    world.start().all_arrived().exactly_once();
}

#[test]
fn an_old_file_beside_one_that_is_gone_is_looked_at_and_not_read() {
    let mut world = world("a.log*");
    world.write("a.log", 30).start().all_arrived().stop();
    world.remove("a.log").append("a.log.1", b"of another\n").age("a.log.1", 2 * DAY);
    world.start().write("a.log.2", 3).all_arrived().exactly_once();
}
