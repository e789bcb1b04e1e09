//! Files and what the system grants for them: descriptors, links, globs.

use std::fs;
use std::os::unix::fs::{lchown, symlink};

use crate::world::{FILE_SOURCE, MESSAGE_SINK, World, exactly_once, until};

#[test]
fn more_files_than_descriptors_are_all_read_and_everything_else_works_on() {
    let world = World::new();
    let daemon = world.file_to_firehose("").start();
    let (soft, hard) = daemon.descriptor_limits();
    assert!(soft == hard || soft == "1048576", "as many descriptors as may be: {soft} of {hard}");
    daemon.limit_descriptors(64);
    for file in 0..300_u32 {
        world.write_run(10 + file, &format!("{file}.log"), 0..5);
    }
    world.delivered(&daemon);
    // Files that were closed are read when they grow, and a new connection is made.
    for file in 0..300_u32 {
        world.write_run(10 + file, &format!("{file}.log"), 5..10);
    }
    exactly_once(&world.delivered(&daemon), 300 * 10);
    daemon.ready();
    assert_eq!(daemon.issues(), Vec::<String>::new(), "nobody has to fix anything");
    daemon.conserved();
    daemon.stop().drained();
}

#[test]
fn what_the_globs_find_is_said_at_the_start() {
    let world = World::new();
    world.write("a.log", 0..1);
    world.config(&format!(
        "[sources.app]\ntype = \"file\"\ninclude = [\"@DIR//logs/./*.log\", \"@DIR/none/*.log\", \"@DIR/logs/\"]\n{MESSAGE_SINK}"
    ));
    let daemon = world.start();
    exactly_once(&world.delivered(&daemon), 1);
    let said = |text: &str| daemon.log().iter().any(|line| line.contains(text));
    assert!(said("files found"), "{}", daemon.log_text());
    assert!(said("no file matches the glob yet") && said("none/*.log"), "{}", daemon.log_text());
    assert!(said("the glob names a folder"), "{}", daemon.log_text());
    daemon.stop().drained();
}

#[test]
fn a_link_to_what_its_owner_does_not_own_is_not_followed_and_said() {
    let world = World::new();
    fs::write(world.path("secret"), "secret\n").unwrap();
    symlink(world.path("secret"), world.log("a.log")).unwrap();
    if lchown(world.log("a.log"), Some(1234), None).is_err() {
        // Only root can give a link away; tests beside the code try the rest.
        return;
    }
    world.write("b.log", 0..10);
    let daemon = world.file_to_firehose("").start();
    exactly_once(&world.delivered(&daemon), 10);
    let said = until("it is said", || daemon.issues().into_iter().find(|line| line.contains("a.log")));
    assert!(said.contains("belongs to user 1234") && said.contains("follow_links"), "{said}");
    let counted = daemon.scrape().count("source_errors_total", &["source=\"app\"", "reason=\"link\""]);
    assert!(counted > 0);
    daemon.stop().drained();
    // Whoever says so gets it.
    world.standin.expect(2, 1);
    world.config(&format!("{FILE_SOURCE}follow_links = true\n{MESSAGE_SINK}"));
    fs::remove_file(world.path("secret")).unwrap();
    fs::write(world.path("secret"), crate::standin::Lines::of_run(2).text(0..1)).unwrap();
    let daemon = world.start();
    exactly_once(&world.delivered(&daemon), 11);
    daemon.stop().drained();
    world.file_to_firehose("");
    let doctor = world.run(&["doctor", "-c", "standpipe.toml"], b"");
    assert!(String::from_utf8_lossy(&doctor.stdout).contains("belongs to user 1234"));
}
