//! Files that are renamed, copied, emptied, compressed and deleted while they are read.

use std::fs::{self, OpenOptions};
use std::sync::Arc;

use super::world::{COMPRESSIONS, World};

/// With what a rotated file is called included or not, and with inotify or not.
fn worlds() -> [World; 4] {
    [
        World::new(),
        World::new().including("a.log*"),
        World::new().without_inotify(),
        World::new().including("a.log*").without_inotify(),
    ]
}

#[test]
fn a_renamed_file_is_read_to_its_end_and_its_successor_from_its_beginning() {
    for mut world in worlds() {
        world.write("a.log", 100).start().all_arrived();
        let mut old = OpenOptions::new().append(true).open(world.path("a.log")).unwrap();
        world.write_to(&mut old, 10).rename("a.log", "a.log.1").write_to(&mut old, 10);
        world.write("a.log", 10).write_to(&mut old, 10).all_arrived();
        world.rename("a.log.1", "a.log.2").rename("a.log", "a.log.1").write("a.log", 10).all_arrived();
        world.exactly_once();
    }
}

#[test]
fn a_late_writer_to_a_renamed_file_is_heard() {
    let mut world = World::new();
    world.write("a.log", 100).start().all_arrived();
    let mut old = OpenOptions::new().append(true).open(world.path("a.log")).unwrap();
    world.rename("a.log", "a.log.1").write("a.log", 1).all_arrived();
    for _ in 0..5 {
        world.write_to(&mut old, 1).write("a.log", 1).all_arrived();
    }
    world.exactly_once();
}

#[test]
fn copytruncate_ships_neither_copy_twice() {
    for mut world in worlds() {
        world.write("a.log", 100).start().all_arrived();
        world.copytruncate("a.log", "a.log.1").write("a.log", 10).all_arrived();
        world.rename("a.log.1", "a.log.2").copytruncate("a.log", "a.log.1").write("a.log", 10).all_arrived();
        world.exactly_once();
    }
}

#[test]
fn lines_written_just_before_a_copytruncate_are_read_from_the_copy() {
    for mut world in worlds() {
        world.write("a.log", 100).start().all_arrived();
        for _ in 0..5 {
            world.write("a.log", 50).copytruncate("a.log", "a.log.1").write("a.log", 200).all_arrived();
            world.remove("a.log.1");
        }
        world.exactly_once();
    }
}

#[test]
fn a_file_emptied_and_refilled_beyond_where_it_was_read_to_is_noticed() {
    for mut world in worlds() {
        world.write("a.log", 10).start().all_arrived();
        world.truncate("a.log").write("a.log", 500).all_arrived().exactly_once();
    }
}

#[test]
fn a_truncated_file_whose_bytes_were_not_read_is_counted() {
    let mut world = World::new();
    world.write("a.log", 1).start().all_arrived();
    let backpressure = crate::event::Backpressure::new(Arc::new(tokio::sync::Notify::new()));
    world.with(|arrived| arrived.backpressure = Some(("a.log".to_owned(), Arc::clone(&backpressure))));
    world.write("a.log", 1).all_arrived();
    backpressure.set_full(true);
    let lost = b"never to be read\n";
    world.append("a.log", lost);
    let behind = "standpipe_file_behind_bytes{source=\"test\"}";
    world.eventually("the bytes are seen", |world| world.metric(behind) == lost.len() as u64);
    world.truncate("a.log");
    backpressure.set_full(false);
    let counter = "standpipe_file_lost_bytes_total{reason=\"truncated_unread\",source=\"test\"}";
    world.eventually("the loss is counted", |world| world.metric(counter) == lost.len() as u64);
    world.write("a.log", 3).all_arrived().exactly_once();
}

#[test]
fn a_deleted_file_is_read_to_its_end_and_its_partial_line_shipped() {
    for mut world in worlds() {
        world.write("a.log", 10).start().all_arrived();
        let mut old = OpenOptions::new().append(true).open(world.path("a.log")).unwrap();
        world.write_to(&mut old, 10).remove("a.log").write_to(&mut old, 10);
        std::io::Write::write_all(&mut old, b"no newline").unwrap();
        world.expect(b"no newline").all_arrived();
        world.write("a.log", 10).all_arrived().exactly_once();
    }
}

#[test]
fn an_empty_file_that_is_filled_and_deleted_between_two_looks_is_read() {
    for mut world in worlds() {
        world.append("a.log", b"").start();
        for _ in 0..20 {
            world.eventually("the empty file is open", World::has_open_log);
            world.write("a.log", 100).remove("a.log").append("a.log", b"").all_arrived();
        }
        // A file that was truncated is as empty as a new one.
        for _ in 0..20 {
            world.write("a.log", 100).all_arrived().truncate("a.log");
            let counter = "standpipe_file_behind_bytes{source=\"test\"}";
            world.eventually("it was looked at", |world| world.metric(counter) == 0);
            world.write("a.log", 100).remove("a.log").append("a.log", b"").all_arrived();
        }
        world.exactly_once();
    }
}

#[test]
fn a_deleted_file_is_heard_for_a_while_though_it_was_empty() {
    for mut world in worlds() {
        world.config.rotate_wait = std::time::Duration::from_secs(20);
        world.append("a.log", b"").start();
        world.eventually("the empty file is open", World::has_open_log);
        let mut old = OpenOptions::new().append(true).open(world.path("a.log")).unwrap();
        world.remove("a.log").write("a.log", 10).all_arrived();
        world.write_to(&mut old, 10).all_arrived().exactly_once();
    }
}

#[test]
fn a_file_made_anew_under_the_same_name_is_another_file() {
    for mut world in worlds() {
        world.start();
        // An inode is often used again at once; the content may even be the same.
        for _ in 0..10 {
            world.append("a.log", b"the same line\n").expect(b"the same line\n").all_arrived();
            world.eventually("all is read", |world| {
                world.metric("standpipe_file_behind_bytes{source=\"test\"}") == 0
            });
            world.remove("a.log");
            world
                .append("a.log", b"a longer line than before\n")
                .expect(b"a longer line than before\n")
                .all_arrived();
            world.remove("a.log");
        }
        world.stop();
    }
}

/// A world in which `a.log` is a link to `real/0.log`, and only the link matches.
fn linked() -> World {
    let world = World::new();
    fs::create_dir(world.path("real")).unwrap();
    std::os::unix::fs::symlink(world.path("real/0.log"), world.path("a.log")).unwrap();
    world
}

#[test]
fn copies_of_a_file_behind_a_link_are_known_by_its_real_name() {
    let mut world = linked();
    world.write("real/0.log", 100).start().all_arrived();
    for round in 0..5 {
        let copy = format!("real/0.log.{round}");
        world.write("real/0.log", 50).copytruncate("real/0.log", &copy).write("real/0.log", 20).all_arrived();
    }
    world.exactly_once();
    // Restarted, with what a kubelet makes of the file meanwhile.
    for round in 0..3 {
        let mut world = linked();
        world.write("real/0.log", 100).start().all_arrived().stop().write("real/0.log", 50);
        match round {
            0 => world.copytruncate("real/0.log", "real/0.log.1"),
            1 => world.rename("real/0.log", "real/0.log.20260101-010203").gzip("real/0.log.20260101-010203"),
            _ => world.rename("real/0.log", "real/0.log.1").remove("a.log"),
        };
        world.write("real/0.log", if round == 2 { 0 } else { 10 }).start().all_arrived().exactly_once();
    }
}

#[test]
fn a_file_made_after_one_of_the_same_text_was_removed_is_read_whole() {
    for text in [seq(600), seq(2)] {
        for (first, second) in
            [("a.log", "a.log"), ("a.log", "b.log"), ("a.log", "a-20260102.log"), ("a.log", "a.1.log")]
        {
            let mut world = World::new();
            // Longer than a new file is held for.
            world.config.rotate_wait = std::time::Duration::from_millis(200);
            let lines = |world: &mut World, name: &str| {
                world.append(name, &text);
                for line in text.split_inclusive(|byte| *byte == b'\n') {
                    world.expect(line);
                }
            };
            lines(&mut world, first);
            world.start().all_arrived().remove(first);
            world.eventually("its name is lost", |world| !world.has_open_log());
            lines(&mut world, second);
            world.append(second, b"fresh\n").expect(b"fresh\n").all_arrived();
            // Emptied, and filled with what was in it.
            world.truncate(second);
            lines(&mut world, "c.log");
            world.all_arrived().exactly_once();
        }
    }
}

/// Lines that another file may have as well.
fn seq(lines: u32) -> Vec<u8> {
    (1..=lines).flat_map(|line| format!("{line}\n").into_bytes()).collect()
}

#[test]
fn a_compressed_file_that_holds_more_than_a_live_one_is_read_whole() {
    let mut world = World::new().including("**/*.log*");
    for dir in ["A", "B", "C"] {
        fs::create_dir(world.path(dir)).unwrap();
    }
    let text = seq(600);
    world.append("A/app.log", &text);
    world.append("B/app.log.20260101", &text).append("C/app.log.1", &text);
    for line in [&text[..], &text[..], b"more\n"].concat().split_inclusive(|byte| *byte == b'\n') {
        world.expect(line);
    }
    world.append("B/app.log.20260101", b"more\n").gzip("B/app.log.20260101").gzip("C/app.log.1");
    world.rename("B/app.log.20260101.gz", "B.gz").rename("C/app.log.1.gz", "C.gz");
    world.start().until("the live file", |arrived| arrived.lines().len() == 600);
    // One holds more than the live file; the other one is a copy of it.
    world.rename("B.gz", "B/app.log.20260101.gz").rename("C.gz", "C/app.log.1.gz");
    world.all_arrived().exactly_once();
}

#[test]
fn a_file_replaced_by_a_longer_copy_of_itself_is_read_on() {
    for mut world in worlds() {
        world.write("a.log", 500).start().all_arrived();
        for _ in 0..3 {
            fs::copy(world.path("a.log"), world.path(".a.log.Xy12")).unwrap();
            world.write(".a.log.Xy12", 50).rename(".a.log.Xy12", "a.log").all_arrived();
            world.write("a.log", 10).all_arrived();
        }
        world.exactly_once();
    }
}

#[test]
fn a_compressed_file_goes_on_where_the_plain_one_was_read_to() {
    for (include, ending) in
        COMPRESSIONS.into_iter().flat_map(|ending| [("*.log", ending), ("a.log*", ending)])
    {
        let mut world = World::new().including(include);
        let (first, second) = (format!("a.log.1{ending}"), format!("a.log.2{ending}"));
        world.write("a.log", 500).start().all_arrived();
        world.write("a.log", 5).rename("a.log", "a.log.1").write("a.log", 5).all_arrived();
        world.compress("a.log.1", ending).write("a.log", 5).all_arrived();
        world.rename(&first, &second).rename("a.log", "a.log.1").write("a.log", 5).all_arrived();
        world.compress("a.log.1", ending).write("a.log", 1).all_arrived().exactly_once();
    }
}

#[test]
fn a_compressed_file_of_which_nothing_is_known_is_read() {
    for ending in COMPRESSIONS {
        let mut world = World::new().including(&format!("*{ending}"));
        world.write("a.log", 5_000).compress("a.log", ending).start().all_arrived();
        world.write("b.log", 5_000).compress("b.log", ending).all_arrived().exactly_once();
    }
}

#[test]
fn files_that_only_begin_alike_are_all_read() {
    let banner = vec![b'#'; 3_000];
    let mut world = World::new().including("*");
    let mut file = |name: &str| {
        world.append(name, &banner).append(name, b"\n").expect(&[banner.clone(), b"\n".to_vec()].concat());
        world.write(name, 3);
    };
    file("a.log");
    file("a.log.1");
    file("b.log");
    world.start().all_arrived();
    world.append("c.log", b"starting\n").expect(b"starting\n").all_arrived();
    world.append("d.log", b"starting\n").expect(b"starting\n").all_arrived();
    world.remove("c.log").append("e.log", b"starting\n").expect(b"starting\n").all_arrived();
    fs::copy(world.path("a.log"), world.path("copy-that-lives.log")).unwrap();
    world.append("copy-that-lives.log", b"alone\n").expect(b"alone\n");
    for line in fs::read(world.path("a.log")).unwrap().split_inclusive(|byte| *byte == b'\n') {
        world.expect(line);
    }
    world.all_arrived().exactly_once();
}

#[test]
fn rotated_files_that_begin_with_the_same_banner_are_all_read() {
    let banner = [vec![b'#'; 3_000], b"\n".to_vec()].concat();
    for include in ["*.log", "a.log*"] {
        let mut world = World::new().including(include);
        let begin = |world: &mut World| {
            world.append("a.log", &banner).expect(&banner).write("a.log", 300);
        };
        if include == "a.log*" {
            begin(&mut world);
            world.rename("a.log", "a.log.1").gzip("a.log.1");
        }
        begin(&mut world);
        world.start().all_arrived();
        for round in 0..4 {
            world.write("a.log", 50).copytruncate("a.log", &format!("a.log.{}", round + 2));
            begin(&mut world);
            world.all_arrived();
        }
        world.rename("a.log", "a.log.9").gzip("a.log.9");
        begin(&mut world);
        world.all_arrived().exactly_once();
    }
}

#[test]
fn a_copy_that_lacks_the_last_lines_is_not_shipped_again() {
    let mut world = World::new().including("a.log*");
    world.write("a.log", 300).start().all_arrived();
    let copy = fs::read(world.path("a.log")).unwrap();
    // The unavoidable window of copytruncate: the copy is made, a line is written and read, the file is emptied.
    world.write("a.log", 1).all_arrived();
    world.truncate("a.log").append("a.log.1", &copy).write("a.log", 5).all_arrived();
    world.eventually("the copy is known as one", |world| {
        world
            .positions
            .all()
            .iter()
            .any(|position| position.mark.offset > 0 && position.location.path.ends_with("a.log.1"))
    });
    world.exactly_once();
}

#[test]
fn a_file_renamed_before_it_was_ever_seen_is_read() {
    let mut world = World::new();
    world.write("b.log", 1).start().all_arrived();
    for _ in 0..20 {
        world.write("a.log", 3).rename("a.log", "a.log.1").rename("a.log.1", "a.log.2");
        world.write("a.log", 3).rename("a.log", "a.log.1").all_arrived();
    }
    world.exactly_once();
}

#[test]
fn what_is_rotated_or_deleted_while_memory_is_spent_is_read() {
    let mut world = World::new();
    world.memory = 4_000;
    world.write("a.log", 10).start().all_arrived();
    world.with(|arrived| arrived.keep = true);
    world.write("b.log", 200).until("the first chunk", |arrived| arrived.kept.len() == 1);
    for number in 1..4 {
        // Nothing can be read; only the gauge tells that the file was seen.
        let before = world.metric(BEHIND);
        world.write("a.log", 200);
        world.eventually("the file is seen", |world| world.metric(BEHIND) > before);
        world.rename("a.log", &format!("a.log.{number}"));
    }
    let before = world.metric(BEHIND);
    world.write("c.log", 200);
    world.eventually("the file is seen", |world| world.metric(BEHIND) > before);
    world.remove("c.log");
    world.with(|arrived| {
        arrived.keep = false;
        arrived.kept.drain(..).for_each(crate::event::AckGuard::settle);
    });
    world.all_arrived().exactly_once();
}

#[test]
fn a_storm_of_rotations_under_writing_load_loses_nothing() {
    for include in ["*.log", "*.log*"] {
        let mut world = World::new().including(include);
        world.config.max_open = 4;
        world.start();
        for round in 0..30 {
            for name in ["a.log", "b.log", "c.log", "d.log", "e.log", "f.log"] {
                world.write(name, 40);
            }
            world.all_arrived();
            world.write("a.log", 20).rename("a.log", "a.log.1").write("a.log", 5);
            world.write("b.log", 20).copytruncate("b.log", "b.log.1");
            world.write("c.log", 20).rename("c.log", "c.log.1").compress("c.log.1", COMPRESSIONS[round % 2]);
            if round % 3 == 0 {
                // Of a deleted file only what was seen can be read.
                world.remove("d.log");
            }
        }
        world.all_arrived().exactly_once();
    }
}

const BEHIND: &str = "standpipe_file_behind_bytes{source=\"test\"}";
