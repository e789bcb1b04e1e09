//! Firehose's limits hold whatever comes in.

use std::fs;
use std::io::Write;

use crate::standin::{Report, Settings};
use crate::world::{Daemon, MESSAGE_SINK, World, exactly_once, progress, until};

fn keeping() -> World {
    World::with(&Settings { keep_records: true, ..Settings::default() })
}

/// The bytes of all records, in the order they were accepted.
fn shipped(world: &World) -> Vec<u8> {
    world.standin.records().iter().flat_map(|kept| kept.data.to_vec()).collect()
}

/// What was written in parts, joined again by the marks; the mark of each part.
fn joined(text: &str) -> (String, Vec<String>) {
    let mark = regex::Regex::new(r"…\[(?:last )?part, at byte \d+\]\n?").unwrap();
    let marks = mark.find_iter(text).map(|found| found.as_str().trim_end().to_owned()).collect();
    (
        mark.replace_all(
            text,
            |found: &regex::Captures<'_>| if found[0].contains("last") { "\n" } else { "" },
        )
        .into_owned(),
        marks,
    )
}

/// What was shipped, as the marks of its records have it: on a busy machine one request may overtake another.
fn in_order_of_their_marks(world: &World) -> String {
    let mark = regex::Regex::new(r"at byte (\d+)\]").unwrap();
    let mut records: Vec<String> =
        world.standin.records().iter().map(|kept| String::from_utf8(kept.data.to_vec()).unwrap()).collect();
    records.sort_by_key(|record| match mark.captures(record) {
        Some(found) => found[1].parse::<u64>().unwrap() + 1,
        None if record.starts_with("before") => 0,
        None => u64::MAX,
    });
    records.concat()
}

/// A line of three records between two short ones, written to a source, arrives in parts that say where they belong.
#[track_caller]
fn check_split(world: &World, daemon: &Daemon, text: &str) {
    let got = progress("every byte arrived", || {
        daemon.must_run();
        let shipped = in_order_of_their_marks(world);
        if joined(&shipped).0.len() >= text.len() {
            Ok(shipped)
        } else {
            Err((shipped.len() as u64, daemon.log_text()))
        }
    });
    let (whole, marks) = joined(&got);
    assert!(whole == text, "the parts together are the line: {marks:?}");
    assert!(marks.len() > 2, "{marks:?}");
    assert!(
        marks[0].contains("at byte 0]") && marks.iter().filter(|mark| mark.contains("last")).count() == 1
    );
    assert_eq!(world.standin.report().violations, Vec::<String>::new());
}

fn long_line() -> String {
    let long: String =
        (0..3_000_000_u32).map(|at| char::from(b'a' + u8::try_from(at % 23).unwrap())).collect();
    format!("before\n{long}\nafter\n")
}

#[test]
fn a_line_too_long_for_a_record_is_split_into_marked_parts() {
    let world = keeping();
    let text = long_line();
    fs::write(world.log("app.log"), &text).unwrap();
    let daemon = world.file_to_firehose("").start();
    check_split(&world, &daemon, &text);
    daemon.conserved();
    daemon.stop().drained();
}

#[test]
fn a_line_too_long_on_standard_input_is_split_into_marked_parts() {
    let world = keeping();
    let text = long_line();
    let (reader, mut input) = std::io::pipe().unwrap();
    world.config(&format!("[sources.input]\ntype = \"stdin\"\n{MESSAGE_SINK}"));
    let daemon = world.spawn_reading(reader);
    let whole = text.clone();
    let writer = std::thread::spawn(move || input.write_all(whole.as_bytes()).map(|()| input));
    check_split(&world, &daemon, &text);
    drop(writer.join().unwrap());
    daemon.wait().drained();
}

#[test]
fn events_alone_in_their_records_go_five_hundred_to_a_request() {
    let world = keeping();
    world.write("app.log", 0..2_000);
    let daemon = world.file_to_firehose("packing = \"event\"\n").start();
    let report = world.delivered(&daemon);
    exactly_once(&report, 2_000);
    assert_eq!(report.total.records, 2_000);
    assert!(report.calls >= 4, "at most 500 a call: {report:#?}");
    for kept in world.standin.records() {
        let data = kept.data.trim_ascii_end();
        assert!(data.starts_with(b"r00000001 ") && !data.contains(&b'\n'), "one line a record");
    }
    daemon.conserved();
    daemon.stop().drained();
}

#[test]
fn empty_lines_and_bytes_that_are_not_text_arrive_as_they_are() {
    let world = keeping();
    let text = b"first\n\n\xff\xfe not utf-8 \x00 nul\nlast\n";
    fs::write(world.log("app.log"), text).unwrap();
    let daemon = world.file_to_firehose("").start();
    until("every byte arrived", || {
        daemon.must_run();
        (shipped(&world).len() >= text.len()).then_some(())
    });
    assert_eq!(shipped(&world).escape_ascii().to_string(), text.escape_ascii().to_string());
    daemon.conserved();
    daemon.stop().drained();
}

#[test]
fn a_poisonous_record_alone_goes_to_the_dead_letters() {
    let world = World::new();
    world.standin.faults(|faults| faults.poison = Some("POISON".into()));
    world.write("app.log", 0..700);
    append(&world, "app.log", b"this line is POISON to the service\n");
    world.write("app.log", 700..1_500);
    let daemon = world.file_to_firehose("packing = \"event\"\n").start();
    let report = world.delivered(&daemon);
    exactly_once(&report, 1_500);
    one_dead_letter(&daemon);
    assert!(world.state_holds(b"this line is POISON to the service"), "its bytes are kept");
    daemon.stop().drained();
}

#[test]
fn one_bad_record_among_500_is_found_in_few_calls() {
    let world = World::new();
    world.standin.faults(|faults| faults.poison = Some("POISON".into()));
    world.write("app.log", 0..317);
    append(&world, "app.log", b"this line is POISON to the service\n");
    world.write("app.log", 317..499);
    let daemon = world.file_to_firehose("packing = \"event\"\n").start();
    let report = world.delivered(&daemon);
    exactly_once(&report, 499);
    one_dead_letter(&daemon);
    // Two halves at each of nine levels, and the request itself.
    let calls = world.standin.report().calls;
    assert!(calls <= 19, "{calls} calls for one bad record among 500");
    daemon.stop().drained();
}

fn append(world: &World, name: &str, bytes: &[u8]) {
    let path = world.log(name);
    let mut text = fs::read(&path).unwrap();
    text.extend_from_slice(bytes);
    fs::write(path, text).unwrap();
}

fn one_dead_letter(daemon: &Daemon) {
    let scrape = daemon.conserved();
    assert_eq!(scrape.count("dead_letter_events_total", &["sink=\"archive\""]), 1);
}

#[test]
fn a_request_that_is_too_large_for_the_service_is_halved() {
    let world = World::new();
    world.standin.faults(|faults| faults.refusal = Some(crate::standin::Refusal::TooLarge));
    world.write("app.log", 0..20_000);
    let daemon = world.file_to_firehose("").start();
    let refused = |report: &Report| report.errors.get("RequestEntityTooLargeException").copied().unwrap_or(0);
    until("a request was rejected", || (refused(&world.standin.report()) > 0).then_some(()));
    world.standin.faults(|faults| faults.refusal = None);
    // What was refused even as a single record is a dead letter: delivered or kept, nothing is lost.
    progress("every line ended", || {
        let scrape = daemon.scrape();
        let ended =
            scrape.count("sink_delivered_events_total", &[]) + scrape.count("dead_letter_events_total", &[]);
        if ended == 20_000 { Ok(()) } else { Err((ended, daemon.log_text())) }
    });
    daemon.conserved();
    daemon.stop().drained();
}
