//! Many files at once, and files that cannot be read.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::world::World;

#[test]
fn thousands_of_files_are_read_with_few_descriptors() {
    let mut world = World::new();
    for number in 0..2_000 {
        world.write(&format!("{number}.log"), 3);
    }
    world.start().all_arrived();
    assert!(world.open_files() <= 64, "{} files are open", world.open_files());
    for number in (0..2_000).step_by(7) {
        world.write(&format!("{number}.log"), 3);
    }
    world.all_arrived();
    assert!(world.open_files() <= 64, "{} files are open", world.open_files());
    world.stop();
    for number in (0..2_000).step_by(11) {
        world.write(&format!("{number}.log"), 3);
    }
    world.exactly_once();
}

#[test]
fn a_busy_file_does_not_starve_the_rest() {
    let mut world = World::new();
    world.write("busy.log", 400_000);
    for number in 0..20 {
        world.write(&format!("{number}.log"), 1);
    }
    world.once();
    let order = world.with(|arrived| {
        arrived.chunks.iter().map(|(file, _)| file.ends_with("busy.log")).collect::<Vec<_>>()
    });
    let last_small = order.iter().rposition(|busy| !busy).unwrap();
    let busy_before = order[..last_small].iter().filter(|busy| **busy).count();
    assert_eq!(order.iter().filter(|busy| !**busy).count(), 20);
    assert!(busy_before <= 2, "{busy_before} blocks of the busy file came before the last of the others");
    world.exactly_once();
}

#[test]
fn a_file_that_cannot_be_read_is_counted_and_read_when_it_can() {
    let mut world = World::new();
    world.write("a.log", 5);
    let path = world.path("a.log");
    let is_root = |world: &World| {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
        fs::read(world.path("a.log")).is_ok()
    };
    // Permissions do not bind root; a link in a loop cannot be opened by anybody.
    if is_root(&world) {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        world.start().all_arrived().exactly_once();
        return;
    }
    world.write("b.log", 1).start();
    let counter = "standpipe_source_errors_total{reason=\"open\",source=\"test\"}";
    world.eventually("the error is counted", |world| world.metric(counter) > 0);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    world.all_arrived().exactly_once();
}
