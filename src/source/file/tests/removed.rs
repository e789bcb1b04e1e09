//! Files that are removed once they are delivered.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::time::Duration;

use super::ObjectFraming;
use super::world::{COMPRESSIONS, World};
use crate::config::Start;
use crate::event::AckGuard;

const REMOVED: &str = "standpipe_source_files_total{outcome=\"removed\",source=\"test\"}";
const SHORT: Duration = Duration::from_millis(50);
const HOUR: Duration = Duration::from_hours(1);

/// A world whose files are looked at often.
fn world() -> World {
    let mut world = World::new().including("*.log*");
    world.config.remove_after = Some(SHORT);
    world.config.rescan = SHORT;
    world
}

fn rotated(world: &mut World) -> &mut World {
    world.write("app.log.1", 5).age("app.log.1", HOUR).write("app.log", 5)
}

/// Waits until a file is gone, while positions are written down.
#[track_caller]
fn goes(world: &World, name: &str) {
    world.eventually("the file goes", |world| {
        world.positions.record();
        !world.path(name).exists()
    });
}

/// The source has looked at its files several times over: one that it may remove, and that came last, is gone.
#[track_caller]
fn stays(world: &mut World, name: &str) {
    world.write("other.log.1", 1).age("other.log.1", HOUR).write("other.log", 1).all_arrived();
    goes(world, "other.log.1");
    assert!(world.path(name).exists(), "{name} stays");
    assert_eq!(world.metric(REMOVED), 1);
}

#[test]
fn a_rotated_file_goes_once_it_was_delivered_and_the_newest_stays() {
    for without_inotify in [false, true] {
        let mut world = if without_inotify { world().without_inotify() } else { world() };
        rotated(&mut world).start().all_arrived();
        goes(&world, "app.log.1");
        stays_beside(&mut world);
        world.exactly_once();
    }
}

fn stays_beside(world: &mut World) {
    world.write("app.log", 5).all_arrived();
    assert!(world.path("app.log").exists());
    assert_eq!(world.metric(REMOVED), 1);
}

#[test]
fn a_compressed_file_and_an_object_go_without_one_that_follows_them() {
    for ending in COMPRESSIONS {
        let mut world = world();
        world.write("a.log", 5).compress("a.log", ending).start().all_arrived();
        goes(&world, &format!("a.log{ending}"));
        world.exactly_once();
    }
    let mut world = world();
    world.framing = Arc::new(ObjectFraming);
    world.append("a.log", b"{}").start();
    world.until("the object", |arrived| arrived.chunks.len() == 1);
    goes(&world, "a.log");
}

#[test]
fn what_is_not_acknowledged_stays_and_so_does_its_copy() {
    let mut world = world();
    world.with(|arrived| arrived.keep = true);
    rotated(&mut world).write("copied.log", 30).start().all_arrived();
    // A copy of a file that is still there holds nothing that would be read.
    fs::copy(world.path("copied.log"), world.path("aside")).unwrap();
    world.gzip("aside").rename("aside.gz", "copied.log.gz");
    world.eventually("the copy is known", |world| world.positions.all().len() == 4);
    world.with(|arrived| arrived.keep = false);
    stays(&mut world, "app.log.1");
    assert!(world.path("copied.log.gz").exists());
    world.with(|arrived| arrived.kept.drain(..).for_each(AckGuard::settle));
    goes(&world, "app.log.1");
    goes(&world, "copied.log.gz");
    world.exactly_once();
}

#[test]
fn what_was_given_up_stays() {
    let mut world = world();
    world.with(|arrived| arrived.keep = true);
    rotated(&mut world).start().all_arrived();
    world.with(|arrived| {
        arrived.keep = false;
        arrived.kept.clear();
    });
    stays(&mut world, "app.log.1");
}

#[test]
fn the_only_copy_of_something_that_is_not_delivered_stays() {
    let mut world = world();
    world.with(|arrived| arrived.keep = true);
    world.write("app.log", 30).start().all_arrived();
    world.copytruncate("app.log", "app.log.1").age("app.log.1", HOUR).write("app.log", 1).all_arrived();
    let known = |world: &World, name: &str| {
        world.positions.all().into_iter().find(|position| position.location.path == world.path(name))
    };
    world.eventually("the copy is known", |world| known(world, "app.log.1").is_some());
    world.with(|arrived| arrived.keep = false);
    world.write("other.log.1", 1).age("other.log.1", HOUR).write("other.log", 1).all_arrived();
    world.eventually("the other is delivered", |world| {
        known(world, "other.log.1").is_some_and(|position| position.mark.offset > 0)
    });
    assert!(world.path("app.log.1").exists());
    world.with(|arrived| arrived.kept.drain(..).for_each(AckGuard::settle));
    goes(&world, "app.log.1");
    goes(&world, "other.log.1");
    world.exactly_once();
}

#[test]
fn what_was_left_out_of_a_file_keeps_it() {
    // What it held before the source began.
    let mut world = world();
    world.config.start = Start::End;
    world.append("app.log.1", b"before\n").age("app.log.1", HOUR).start();
    world.eventually("it has begun", |world| world.positions.all().len() == 1);
    world.write("app.log", 1).all_arrived();
    stays(&mut world, "app.log.1");
    // That is known after a restart, too.
    world.stop().start().write("app.log", 1).all_arrived();
    world.write("late.log.1", 1).age("late.log.1", HOUR).write("late.log", 1).all_arrived();
    goes(&world, "late.log.1");
    assert!(world.path("app.log.1").exists());
    // A compression that is not read.
    let mut world = self::world();
    world.append("app.log.1", b"BZh91AY&SY").age("app.log.1", HOUR).write("app.log", 1).start();
    stays(&mut world, "app.log.1");
    for ending in COMPRESSIONS {
        stays_if_torn(ending);
    }
}

/// A torn file is read as far as it goes, which several blocks of it do.
fn stays_if_torn(ending: &str) {
    let mut world = world();
    world.write("a.log", 20_000).compress("a.log", ending);
    let whole = fs::read(world.path(&format!("a.log{ending}"))).unwrap();
    let torn = format!("b.log{ending}");
    let mut world = self::world();
    world.append(&torn, &whole[..whole.len() / 2]).age(&torn, HOUR).start();
    world.until("what can be read", |arrived| !arrived.chunks.is_empty());
    let came = world.with(|arrived| arrived.lines().len());
    assert!((1_000..20_000).contains(&came), "{came} lines came");
    world.write("other.log.1", 1).age("other.log.1", HOUR).write("other.log", 1);
    goes(&world, "other.log.1");
    assert!(world.path(&torn).exists());
    let label = ending.replace(".gz", "gzip").replace(".zst", "zstd");
    assert_eq!(
        world.metric(&format!("standpipe_source_errors_total{{reason=\"{label}\",source=\"test\"}}")),
        1
    );
}

#[test]
fn a_file_that_ends_without_a_newline_stays_and_one_that_grows_is_read_on() {
    let mut world = world();
    world.append("app.log.1", b"half").age("app.log.1", HOUR).write("app.log", 1).start().all_arrived();
    stays(&mut world, "app.log.1");
    let mut world = self::world();
    rotated(&mut world).start().all_arrived();
    world.write("app.log.1", 3).all_arrived().age("app.log.1", HOUR);
    goes(&world, "app.log.1");
    world.exactly_once();
}

#[test]
fn what_is_written_to_a_removed_file_is_read_as_well() {
    let mut world = world();
    world.config.rotate_wait = Duration::from_secs(20);
    rotated(&mut world).start().all_arrived();
    let mut writer = fs::OpenOptions::new().append(true).open(world.path("app.log.1")).unwrap();
    goes(&world, "app.log.1");
    world.write_to(&mut writer, 3).all_arrived();
}

#[test]
fn links_and_what_is_reached_over_them_stay() {
    let mut world = world();
    let aside = tempfile::tempdir().unwrap();
    fs::write(aside.path().join("real"), "line\n").unwrap();
    symlink(aside.path().join("real"), world.path("app.log.1")).unwrap();
    world.expect(b"line\n").write("app.log", 1).start().all_arrived();
    stays(&mut world, "app.log.1");
    assert!(aside.path().join("real").exists());
}

#[test]
fn only_what_the_globs_match_goes() {
    let mut world = World::new().including("{app,other}.log*");
    world.config.remove_after = Some(SHORT);
    world.config.rescan = SHORT;
    world.config.exclude = vec!["app.log.*".into()];
    world.write("app.log", 3).start().all_arrived();
    // It is followed under its new name, and belongs to others.
    world.rename("app.log", "app.log.1").age("app.log.1", HOUR).write("app.log", 3).all_arrived();
    stays(&mut world, "app.log.1");
    world.exactly_once();
}
