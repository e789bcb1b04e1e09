//! Files that are written to and left where they are.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::world::{COMPRESSIONS, World};
use super::{IndentedFraming, ObjectFraming};
use crate::config::{FollowLinks, Start, TooLong};
use crate::event::Backpressure;

#[test]
fn a_file_is_read_as_it_grows() {
    for mut world in [World::new(), World::new().without_inotify()] {
        world.write("a.log", 10).start().all_arrived();
        world.write("a.log", 10).all_arrived().write("b.log", 1_000).all_arrived();
        world.exactly_once();
    }
}

#[test]
fn a_large_file_is_read_in_blocks_of_whole_lines() {
    let mut world = World::new();
    world.write("a.log", 200_000).once();
    assert!(world.with(|arrived| arrived.chunks.iter().all(|(_, bytes)| bytes.ends_with(b"\n"))));
    assert!(world.with(|arrived| arrived.chunks.len()) < 10);
    world.exactly_once();
}

#[test]
fn bytes_pass_through_as_they_are() {
    let mut world = World::new();
    for line in
        [b"crlf\r\n".as_slice(), b"nul \0 nul\n", b"\n", b"\xff\xfe latin \xe9\n", "gr\u{fc}n\n".as_bytes()]
    {
        world.append("a.log", line).expect(line);
    }
    world.append("empty.log", b"").start().all_arrived().exactly_once();
}

#[test]
fn what_nobody_wrote_is_no_event() {
    let nuls = "standpipe_file_lost_bytes_total{reason=\"nul\",source=\"test\"}";
    // A writer that does not append goes on where it was after a truncation.
    let mut world = World::new();
    world.write("a.log", 1_000).start().all_arrived();
    let mut writer = fs::OpenOptions::new().write(true).open(world.path("a.log")).unwrap();
    let mut skipped = 0;
    for _ in 0..3 {
        let at = writer.seek(SeekFrom::End(0)).unwrap() + 100_000;
        world.truncate("a.log");
        writer.seek(SeekFrom::Start(at)).unwrap();
        skipped += at;
        world.write_to(&mut writer, 10).all_arrived().write_to(&mut writer, 10).all_arrived();
    }
    world.exactly_once();
    assert_eq!(world.metric(nuls), skipped);
}

#[test]
fn a_file_that_is_larger_than_what_was_written_to_it_is_read_as_it_is_filled() {
    for mut world in [World::new(), World::new().without_inotify()] {
        world.append("a.log", &vec![0; 3_000_000]).start();
        let mut writer = fs::OpenOptions::new().write(true).open(world.path("a.log")).unwrap();
        world.write_to(&mut writer, 5).all_arrived();
        world.write_to(&mut writer, 40_000).all_arrived().stop();
        world.write_to(&mut writer, 5).start().all_arrived();
        let behind = "standpipe_file_behind_bytes{source=\"test\"}";
        world.eventually("nothing is left", |world| world.metric(behind) == 0);
        // A line that is not whole waits, with NULs after it as well.
        writer.write_all(b"half").unwrap();
        world.write("b.log", 1).all_arrived();
        writer.write_all(b" and half\n").unwrap();
        world.expect(b"half and half\n").write_to(&mut writer, 5).all_arrived();
        // What was never filled is left out when the file goes.
        world.rename("a.log", "a.log.1").write("a.log", 1).all_arrived().exactly_once();
    }
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_line() {
    let mut world = World::new().including("*.log*");
    world.append("a.log", b"\xEF\xBB\xBF").write("a.log", 3);
    world.append("b.log", b"\xEF\xBB\xBF").write("b.log", 3).gzip("b.log");
    world.start().all_arrived().write("a.log", 3).all_arrived().stop();
    world.write("a.log", 3).start().all_arrived().exactly_once();
}

#[test]
fn how_a_file_is_compressed_is_told_by_its_first_bytes() {
    for ending in COMPRESSIONS {
        let mut world = World::new();
        world.append("xz.log", b"\xFD7zXZ\0\0\n more of it\n").append("lz4.log", b"\x04\x22\x4D\x18\n");
        // Compressed under a plain name; there at the start, and later; and large.
        world.write("a", 40_000).compress("a", ending);
        world.rename(&format!("a{ending}"), "a.log").start().all_arrived();
        world.append("b.log", b"");
        world.eventually("the empty file is open", |world| world.open_files() == 4);
        world.write("b", 40_000).compress("b", ending);
        let bytes = fs::read(world.path(&format!("b{ending}"))).unwrap();
        world.append("b.log", &bytes).write("c.log", 1).all_arrived();
        world.append("xz.log", b"and more\n").write("c.log", 1).all_arrived();
        let counter = "standpipe_source_errors_total{reason=\"compressed\",source=\"test\"}";
        assert_eq!(world.metric(counter), 2);
        world.stop();
        world.append("xz.log", b"and more\n").write("c.log", 1).exactly_once();
    }
}

#[test]
fn compressed_files_are_decompressed_one_after_another() {
    for ending in COMPRESSIONS {
        let mut world = World::new().including("*.log*");
        for number in 0..4 {
            let name = format!("{number}.log");
            // Several blocks each.
            world.write(&name, 60_000).compress(&name, ending);
        }
        world.write("plain.log", 60_000).once();
        let files = world.with(|arrived| {
            let mut files: Vec<String> = arrived.chunks.iter().map(|(file, _)| file.clone()).collect();
            files.retain(|file| file.ends_with(ending));
            files
        });
        assert!(files.len() >= 8, "{} chunks came", files.len());
        let changes = files.windows(2).filter(|two| two[0] != two[1]).count();
        assert_eq!(changes, 3, "{files:?}");
        world.exactly_once();
    }
}

#[test]
fn a_compressed_file_whose_destination_takes_nothing_holds_up_no_other() {
    for ending in COMPRESSIONS {
        let mut world = World::new().including("*.log*");
        let backpressure = Backpressure::new(Arc::new(Notify::new()));
        let blocked = format!("a.log{ending}");
        world.with(|arrived| arrived.backpressure = Some((blocked.clone(), Arc::clone(&backpressure))));
        backpressure.set_full(true);
        // More than can be on its way before it is known that it is blocked.
        world.write("a.log", 250_000).compress("a.log", ending).start();
        world.until("the first of it", |arrived| !arrived.chunks.is_empty());
        world.write("b.log", 50_000).compress("b.log", ending);
        // It may be read before it is compressed.
        let of_b = |file: &String| file.contains("b.log");
        world.until("all of the other", |arrived| {
            let of_b = arrived.chunks.iter().filter(|(file, _)| of_b(file));
            of_b.map(|(_, bytes)| memchr::memchr_iter(b'\n', bytes).count()).sum::<usize>() == 50_000
        });
        backpressure.set_full(false);
        world.all_arrived().exactly_once();
    }
}

#[test]
fn a_partial_line_is_held_until_its_newline_comes() {
    let mut world = World::new();
    world.write("a.log", 1).append("a.log", b"half").start().all_arrived();
    world.write("b.log", 1).all_arrived();
    world.append("a.log", b" and half\n").expect(b"half and half\n").all_arrived().exactly_once();
}

#[test]
fn once_ships_the_partial_line_at_the_end() {
    let mut world = World::new();
    world.write("a.log", 1).append("a.log", b"no newline").expect(b"no newline").once().exactly_once();
}

#[test]
fn an_event_of_several_lines_is_whole_when_its_continuation_does_not_come() {
    let mut world = World::new();
    world.framing = Arc::new(IndentedFraming);
    world.append("a.log", b"first\n more\nsecond\n").start();
    world.until("the second event", |arrived| arrived.chunks.len() == 2);
    assert_eq!(world.with(|arrived| arrived.chunks[0].1.clone()), b"first\n more\n");
    assert_eq!(world.with(|arrived| arrived.chunks[1].1.clone()), b"second\n");
    world.stop();
}

#[test]
fn a_line_that_grows_too_long_is_cut_as_configured() {
    #[track_caller]
    fn check(too_long: TooLong, expected: &[usize], truncated: u64) {
        let mut world = World::new();
        world.config.decoding.max_line = 3_000_000;
        world.config.decoding.too_long = too_long;
        world.start();
        for _ in 0..70 {
            world.append("a.log", &vec![b'x'; 100_000]);
        }
        world.append("a.log", b"\n").write("a.log", 1);
        world.until("the line after", |arrived| {
            arrived.lines().last().is_some_and(|line| line.starts_with(b"line"))
        });
        let lengths = world.with(|arrived| arrived.lines().iter().map(Vec::len).collect::<Vec<_>>());
        assert_eq!(lengths[..lengths.len() - 1], *expected);
        world.stop();
        let lost = world.metric("standpipe_file_lost_bytes_total{reason=\"truncated\",source=\"test\"}");
        assert_eq!(lost, truncated);
    }
    check(TooLong::Split, &[3_000_000, 3_000_000, 1_000_001], 0);
    check(TooLong::Truncate, &[3_000_001], 3_999_999);
    check(TooLong::DeadLetter, &[3_000_001, 3_000_001, 999_999], 0);
}

#[test]
fn a_cut_line_stays_cut_over_a_restart() {
    let mut world = World::new();
    world.config.decoding.max_line = 10;
    world.config.decoding.too_long = TooLong::Truncate;
    world.append("a.log", b"0123456789abcdef").expect(b"0123456789a").start().all_arrived().stop();
    world.append("a.log", b"ghijkl\n").append("a.log", b"next\n").expect(b"next\n");
    world.start().all_arrived().exactly_once();
}

#[test]
fn reading_begins_at_the_end_where_that_is_asked_for() {
    let mut world = World::new();
    world.config.start = Start::End;
    world.append("old.log", b"not wanted\n").start();
    // What comes into being later is new from its first line.
    world.eventually("the first look", |world| world.positions.all().len() == 1);
    world.write("old.log", 3).write("new.log", 3).all_arrived().stop();
    world.write("old.log", 3).start().all_arrived().exactly_once();
}

#[test]
fn excluded_files_are_left_alone() {
    let mut world = World::new().including("*");
    world.config.exclude = vec!["*.tmp".to_owned(), world.path("skip*").display().to_string()];
    world.append("a.tmp", b"no\n").append("skip.log", b"no\n").write("a.log", 1).start().all_arrived();
    world.append("b.tmp", b"no\n").write("b.log", 1).all_arrived().exactly_once();
}

#[test]
fn a_file_reached_by_several_paths_is_read_once() {
    let mut world = World::new();
    fs::create_dir(world.path("real")).unwrap();
    world.write("real/x", 5);
    symlink(world.path("real/x"), world.path("a.log")).unwrap();
    symlink(world.path("real/x"), world.path("b.log")).unwrap();
    fs::hard_link(world.path("real/x"), world.path("c.log")).unwrap();
    world.start().all_arrived().write("real/x", 5).all_arrived().exactly_once();
}

#[test]
fn a_link_is_followed_to_the_file_that_takes_the_old_ones_place() {
    let mut world = World::new();
    fs::create_dir(world.path("real")).unwrap();
    world.write("real/0", 5);
    symlink(world.path("real/0"), world.path("a.log")).unwrap();
    world.start().all_arrived();
    world
        .write("real/0", 5)
        .rename("real/0", "real/0.20260101")
        .write("real/0", 5)
        .all_arrived()
        .exactly_once();
}

#[test]
fn a_linked_folder_that_is_switched_is_read_anew_and_the_old_one_to_its_end() {
    let mut world = World::new().including("now/*.log");
    for dir in ["1", "2"] {
        fs::create_dir(world.path(dir)).unwrap();
        fs::write(world.path(dir).join("a.log"), "").unwrap();
    }
    symlink("1", world.path("now")).unwrap();
    world.write("1/a.log", 10).start().all_arrived();
    // As deployments do it: the link is replaced at once. The next scan is a minute away.
    symlink("2", world.path("new")).unwrap();
    world.write("2/a.log", 10).rename("new", "now").write("2/b.log", 10).all_arrived();
    world.write("1/a.log", 10).all_arrived();
    // The old file was closed long since.
    world.eventually("the old file is closed", |world| world.open_files() == 2);
    world.write("1/a.log", 10).write("2/a.log", 10).all_arrived().exactly_once();
}

#[test]
fn links_are_followed_as_far_as_they_may_be() {
    let mut world = World::new().including("*/*.log");
    world.config.follow_links = FollowLinks::Never;
    fs::create_dir(world.path("in")).unwrap();
    fs::create_dir(world.path("out")).unwrap();
    world.append("secret", b"secret\n").append("out/b.log", b"also\n").write("in/own.log", 1);
    symlink(world.path("secret"), world.path("in/a.log")).unwrap();
    world.start().all_arrived();
    symlink(world.path("secret"), world.path("in/later.log")).unwrap();
    symlink(world.path("secret"), world.path("in/new.log")).unwrap();
    let counter = "standpipe_source_errors_total{reason=\"link\",source=\"test\"}";
    world.eventually("the links are counted", |world| world.metric(counter) >= 3);
    world.append("secret", b"more\n").write("in/own.log", 1).expect(b"also\n").all_arrived().exactly_once();
}

#[test]
fn new_directories_are_watched() {
    let mut world = World::new().including("**/*.log");
    world.write("a.log", 1).start().all_arrived();
    fs::create_dir_all(world.path("x/y")).unwrap();
    world.write("x/y/b.log", 1).all_arrived();
    fs::remove_dir_all(world.path("x")).unwrap();
    fs::create_dir_all(world.path("x/y")).unwrap();
    world.write("x/y/b.log", 2).all_arrived().exactly_once();
}

#[test]
fn a_file_whose_destination_takes_nothing_waits_and_holds_up_no_other() {
    let mut world = World::new();
    let backpressure = Backpressure::new(Arc::new(Notify::new()));
    world.with(|arrived| arrived.backpressure = Some(("a.log".to_owned(), Arc::clone(&backpressure))));
    world.write("a.log", 1).start().all_arrived();
    backpressure.set_full(true);
    world.append("a.log", b"later\n").write("b.log", 10).all_arrived();
    assert!(world.with(|arrived| arrived.lines().iter().all(|line| line != b"later\n")));
    backpressure.set_full(false);
    world.expect(b"later\n").all_arrived().exactly_once();
}

#[test]
fn an_object_is_read_whole_and_never_twice() {
    let mut world = World::new().including("*");
    world.framing = Arc::new(ObjectFraming);
    world.append(".new", b"{\"Records\":[]}").start();
    world.config.exclude = vec![".new".to_owned()];
    world.until("the object", |arrived| arrived.chunks.len() == 1);
    world.rename(".new", "a.json").append("b.json", b"other");
    world.until("the other object", |arrived| arrived.chunks.len() == 2);
    fs::copy(world.path("b.json"), world.path("c.json")).unwrap();
    world.stop().once().once();
    let chunks =
        world.with(|arrived| arrived.chunks.iter().map(|(_, bytes)| bytes.clone()).collect::<Vec<_>>());
    assert_eq!(chunks, [b"{\"Records\":[]}".to_vec(), b"other".to_vec()]);
}

#[test]
fn an_object_that_is_too_large_is_counted_as_lost() {
    let mut world = World::new();
    world.framing = Arc::new(ObjectFraming);
    world.config.decoding.max_inflated = 10;
    world.append("a.log", b"much too large").append("b.log", b"small").once();
    assert_eq!(world.with(|arrived| arrived.chunks.len()), 1);
    assert_eq!(world.metric("standpipe_file_lost_bytes_total{reason=\"too_large\",source=\"test\"}"), 14);
}

#[test]
fn little_memory_slows_down_and_loses_nothing() {
    let mut world = World::new();
    world.memory = 10_000;
    world.config.rescan = Duration::from_millis(100);
    world.write("a.log", 20_000).write("b.log", 20_000).start().all_arrived().exactly_once();
}
