//! Files and what the system grants for them: descriptors, links, globs.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{lchown, symlink};

use crate::standin::Lines;
use crate::world::{FILE_SOURCE, MESSAGE_SINK, RUN, World, exactly_once, until};

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
    fs::write(world.path("secret"), Lines::of_run(2).text(0..1)).unwrap();
    let daemon = world.start();
    exactly_once(&world.delivered(&daemon), 11);
    daemon.stop().drained();
    world.file_to_firehose("");
    let doctor = world.run(&["doctor", "-c", "standpipe.toml"], b"");
    assert!(String::from_utf8_lossy(&doctor.stdout).contains("belongs to user 1234"));
}

/// Appends bytes to a log.
fn append(world: &World, name: &str, bytes: &[u8]) {
    let mut file = fs::OpenOptions::new().create(true).append(true).open(world.log(name)).unwrap();
    file.write_all(bytes).unwrap();
}

/// How text is written in a charset.
type Encode<'a> = &'a dyn Fn(&str) -> Vec<u8>;

#[test]
fn a_file_in_another_charset_arrives_as_utf_8_wherever_reading_was_interrupted() {
    let little = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let big = |text: &str| text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>();
    let cases: [(&str, &[u8], Encode<'_>); 3] =
        [("utf-16le", b"\xFF\xFE", &little), ("utf-16be", b"\xFE\xFF", &big), ("utf-16", b"", &little)];
    for (charset, mark, encode) in cases {
        let world = World::new();
        let lines = |numbers: std::ops::Range<u64>| {
            let text = Lines::of_run(RUN).text(numbers);
            encode(str::from_utf8(&text).unwrap())
        };
        world.config(&format!("{FILE_SOURCE}charset = \"{charset}\"\n{MESSAGE_SINK}"));
        let (first, second) = (lines(0..700), lines(700..1_400));
        // The first part ends inside a line, and inside a character.
        let cut = first.len() - 31;
        append(&world, "a.log", mark);
        append(&world, "a.log", &first[..cut]);
        world.standin.expect(RUN, 699);
        let daemon = world.start();
        exactly_once(&world.delivered(&daemon), 699);
        daemon.stop().drained();
        append(&world, "a.log", &first[cut..]);
        append(&world, "a.log", &second);
        world.standin.expect(RUN, 1_400);
        let daemon = world.start();
        exactly_once(&world.delivered(&daemon), 1_400);
        assert_eq!(daemon.scrape().count("repaired_events_total", &["source=\"app\""]), 0);
        daemon.conserved();
        daemon.stop().drained();
    }
}

/// Everything that the directory sink wrote.
fn written(world: &World) -> String {
    let (mut found, mut folders) = (String::new(), vec![world.path("out")]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                found += &fs::read_to_string(entry.path()).unwrap();
            }
        }
    }
    found
}

#[test]
fn a_line_of_another_charset_that_was_too_long_is_replayed_as_it_was_read() {
    let world = World::new();
    let config = |more: &str| {
        let sink = "[sinks.out]\ntype = \"directory\"\npath = \"@DIR/out\"\nencoding = \"message\"\n";
        world.config(&format!("{FILE_SOURCE}charset = \"utf-16be\"\n{more}{sink}"));
    };
    config("max_line = \"1KiB\"\ntoo_long = \"dead_letter\"\n");
    let long = format!("{}\u{e9}", "long ".repeat(500));
    let text = format!("short\n{long}\nend\n");
    append(&world, "a.log", &text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>());
    let path = world.config_path();
    let path = path.to_str().unwrap();
    let run = |arguments: &[&str]| {
        let output = world.run(arguments, b"");
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run(&["run", "--once", "-c", path]);
    assert_eq!(written(&world), "short\nend\n");
    config("");
    run(&["replay", "_app", "-c", path]);
    assert!(written(&world).contains(&format!("{long}\n")));
}

#[test]
fn what_is_no_character_of_its_charset_becomes_one_and_is_counted() {
    let world = World::new();
    let source = format!("{FILE_SOURCE}charset = \"shift_jis\"\n");
    world.config(&format!(
        "{source}[sinks.out]\ntype = \"directory\"\npath = \"@DIR/out\"\nencoding = \"message\"\n"
    ));
    append(&world, "a.log", b"\x83\x8D\x83\x4F\nbad \xFF\n");
    let output = world.run(&["run", "--once", "-c", world.config_path().to_str().unwrap()], b"");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let found = written(&world);
    assert_eq!(found, "\u{30ed}\u{30b0}\nbad \u{fffd}\n");
    let daemon = world.start();
    append(&world, "b.log", b"\xFF\nno\n");
    until("it is counted", || {
        Some(daemon.scrape().count("repaired_events_total", &["source=\"app\""])).filter(|count| *count == 1)
    });
    daemon.stop().drained();
}
