//! Whatever is written, and whatever is sent: the process takes no more than `limits.memory` and little beside it.
//!
//! `benches/bounds.py` measures the same of the release build, with more and larger inputs, against the bound of 32 MiB.

use std::fs;
use std::io::{Write, pipe};
use std::process::{Command, Stdio};
use std::thread;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::standin::{Key, stream_arn};
use crate::world::{ACCESS_KEY, Daemon, Sender, World, progress};

const MIB: u64 = 1024 * 1024;

/// `limits.memory`, in MiB: the least that may be configured.
const LIMIT: u64 = 8;

/// What the process may take beside it and what it takes when it is idle, in MiB.
const BESIDE: u64 = 24;

fn sink(encoding: &str) -> String {
    format!("[sinks.archive]\n@FIREHOSE\nstream = \"logs\"\n{encoding}\n")
}

fn files(more: &str) -> String {
    format!("[sources.app]\ntype = \"file\"\ninclude = [\"@DIR/logs/**\"]\n{more}\n")
}

/// Configures a world whose memory is the least; it can be told when the daemon has read all.
fn world(source: &str, sink: &str) -> World {
    let world = World::new();
    world.config(&format!("[limits]\nmemory = \"{LIMIT}MiB\"\n{source}\n{sink}"));
    world
}

#[track_caller]
fn stays_within_its_bound(what: &str, idle: u64, daemon: &Daemon) {
    stays_within(LIMIT, what, idle, daemon);
}

/// The same with another limit.
#[track_caller]
fn stays_within(limit: u64, what: &str, idle: u64, daemon: &Daemon) {
    let bound = idle + (limit + BESIDE) * MIB;
    let peak = daemon.memory("VmHWM");
    assert!(
        peak <= bound,
        "{what}: {} MiB at most, {} allowed, {} when idle",
        peak / MIB,
        bound / MIB,
        idle / MIB
    );
}

/// A file of `count` times this text, at this path, becomes so many events.
#[track_caller]
fn check_file(
    what: &str,
    (more, encoding): (&str, &str),
    path: &str,
    text: &[u8],
    count: usize,
    events: u64,
) {
    let world = world(&files(more), &sink(encoding));
    let daemon = world.start();
    let idle = daemon.memory("VmRSS");
    let path = world.log(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(world.path("written"), text.repeat(count)).unwrap();
    fs::rename(world.path("written"), path).unwrap();
    progress(&format!("{what}: all are delivered"), || {
        daemon.must_run();
        let scrape = daemon.scrape();
        let done = scrape.count("sink_delivered_events_total", &[]) + scrape.count("undecodable_total", &[]);
        if done == events {
            Ok(())
        } else {
            Err((done, format!("{done} of {events}\n{}", daemon.log_text())))
        }
    });
    stays_within_its_bound(what, idle, &daemon);
    daemon.conserved();
    daemon.stop().drained();
}

const JSON: (&str, &str) = ("", "encoding = \"json\"");

#[test]
fn lines_of_hardly_anything_take_no_more_memory_than_the_limit() {
    check_file("empty lines", JSON, "a.log", b"\n", 400_000, 400_000);
    let message = ("", "encoding = \"message\"");
    check_file("empty lines that end in \\r\\n", message, "a.log", b"\r\n", 600_000, 600_000);
    let record = ("", "encoding = \"json\"\npacking = \"event\"");
    check_file("an event a record", record, "a.log", b"a\n", 50_000, 50_000);
    let joined = ("multiline = { start = '^a' }", "encoding = \"json\"");
    check_file("joined lines", joined, "a.log", b"a\n", 300_000, 300_000);
}

#[test]
fn a_long_path_with_each_event_takes_no_more_memory_than_the_limit() {
    let path = format!("{}a.log", format!("{}/", "d".repeat(200)).repeat(13));
    check_file("a long path", JSON, &path, b"\n", 20_000, 20_000);
}

#[test]
fn lines_that_cannot_be_decoded_take_no_more_memory_than_the_limit() {
    check_file(
        "not docker's",
        ("format = \"docker\"", "encoding = \"json\""),
        "a.log",
        b"\n",
        60_000,
        60_000,
    );
}

#[test]
fn control_characters_take_no_more_memory_than_the_limit() {
    let line = [vec![1; 200_000], b"\n".to_vec()].concat();
    // As `\u0001` each is larger than a record, and becomes two parts.
    check_file("control characters", JSON, "a.log", &line, 40, 80);
    // Six megabytes each: more than a step, and more than all that waits may take.
    let line = [vec![1; 1_000_000], b"\n".to_vec()].concat();
    check_file("a megabyte of control characters", JSON, "a.log", &line, 16, 128);
}

#[test]
fn records_of_cloudtrail_take_no_more_memory_than_the_limit() {
    let trail = ("format = \"cloudtrail\"", "encoding = \"json\"");
    let text = format!("{{\"Records\":[{}2]}}", "1,".repeat(400_000));
    check_file("tiny records", trail, "a.json", text.as_bytes(), 1, 400_001);
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(text).unwrap();
    gzip.finish().unwrap()
}

/// An envelope whose names are as long as AWS lets them be.
fn envelope(event: &str, count: usize) -> Vec<u8> {
    let name = "n".repeat(512);
    let head = format!(
        r#"{{"messageType":"DATA_MESSAGE","owner":"111111111111","logGroup":"{name}","logStream":"{name}""#
    );
    format!("{head},\"logEvents\":[{}]}}", vec![event; count].join(",")).into_bytes()
}

/// So many requests at once that each bring this record become so many events.
#[track_caller]
fn check_requests(what: &str, encoding: &str, requests: usize, record: &[u8], events: u64) {
    let source = format!(
        "[sources.http]\ntype = \"firehose_http\"\nlisten = \"127.0.0.1:0\"\naccess_keys = [\"{ACCESS_KEY}\"]\n"
    );
    let world = world(&source, &sink(encoding));
    let daemon = world.start();
    let (endpoint, idle) = (daemon.endpoint(), daemon.memory("VmRSS"));
    thread::scope(|scope| {
        for number in 0..requests {
            let endpoint = &endpoint;
            scope.spawn(move || Sender::to(endpoint).deliver(&format!("r{number}"), &[record.to_vec()]));
        }
    });
    stays_within_its_bound(what, idle, &daemon);
    let scrape = daemon.conserved();
    let done = scrape.count("sink_delivered_events_total", &[]) + scrape.count("undecodable_total", &[]);
    assert!(done >= events, "{what}: {done} of {events} events");
    daemon.stop().drained();
}

#[test]
fn tiny_events_with_long_names_take_no_more_memory_than_the_limit() {
    let tiny = gzip(&envelope(r#"{"message":0}"#, 30_000));
    check_requests("tiny events", "encoding = \"json\"", 2, &tiny, 60_000);
    check_requests("tiny events, unpacked", "encoding = \"message\"", 2, &tiny, 60_000);
    let bad = gzip(&envelope(r#"{"message":"\ud800"}"#, 30_000));
    check_requests("lone surrogates", "encoding = \"json\"", 2, &bad, 60_000);
}

#[test]
fn payloads_that_inflate_to_much_take_no_more_memory_than_the_limit() {
    let event = format!(r#"{{"id":"1","timestamp":1,"message":"{}"}}"#, "m".repeat(900));
    let bomb = gzip(&envelope(&event, 10_000));
    check_requests("a bomb", "encoding = \"json\"", 4, &bomb, 40_000);
    let members = gzip(&envelope(&event, 1_000)).repeat(8);
    check_requests("many members", "encoding = \"json\"", 4, &members, 32_000);
    check_requests("passed on", "encoding = \"envelope\"", 4, &bomb, 4);
    // More than may be in memory at once: dead letters.
    let huge = gzip(&envelope(&event, 60_000));
    check_requests("too large", "encoding = \"json\"", 4, &huge, 4);
}

/// Shards whose records are as large as the service lets them be: the first answers have 10 MiB, whatever was expected.
#[track_caller]
fn check_shards(limit: u64, shards: u64, record: &[u8], records: usize) {
    let what = format!("{shards} shards at {limit} MiB");
    let world = World::new();
    let source = format!(
        "[sources.stream]\ntype = \"kinesis\"\nstream_arn = \"{}\"\nendpoint_url = \"@URL\"\nca_file = \"@DIR/ca.pem\"\nformat = \"lines\"\n",
        stream_arn()
    );
    world.config(&format!("[limits]\nmemory = \"{limit}MiB\"\n{source}\n{}", sink("encoding = \"message\"")));
    let daemon = world.start();
    let idle = daemon.memory("VmRSS");
    {
        let mut kinesis = world.standin.kinesis();
        kinesis.open(usize::try_from(shards).unwrap());
        for number in 0..records as u64 * shards {
            kinesis.put(number % shards, "k", record);
        }
    }
    let lines = memchr::memchr_iter(b'\n', record).count() * records * usize::try_from(shards).unwrap();
    progress(&format!("{what}: all are delivered"), || {
        daemon.must_run();
        let done = daemon.scrape().count("sink_delivered_events_total", &[]);
        if done == lines as u64 {
            Ok(())
        } else {
            Err((done, format!("{done} of {lines}\n{}", daemon.log_text())))
        }
    });
    stays_within(limit, &what, idle, &daemon);
    daemon.conserved();
    daemon.stop().drained();
}

#[test]
fn answers_of_ten_megabytes_take_no_more_memory_than_the_limit() {
    let line = [vec![b'm'; 1_023], b"\n".to_vec()].concat();
    for limit in [LIMIT, 16] {
        check_shards(limit, 3, &line.repeat(1_000), 12);
    }
}

#[test]
fn a_small_address_space_is_enough_for_any_file() {
    let world = world(&files(""), &sink(JSON.1));
    fs::write(world.log("a.log"), b"\n".repeat(1 << 20)).unwrap();
    let script = "ulimit -v 1500000; exec \"$0\" run --once -c \"$1\"";
    let mut command = Command::new("bash");
    command.args(["-c", script, env!("CARGO_BIN_EXE_standpipe")]).arg(world.config_path());
    let key = Key::default();
    command.env("AWS_ACCESS_KEY_ID", key.id).env("AWS_SECRET_ACCESS_KEY", key.secret);
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    assert!(world.standin.report().total.record_bytes > 0);
}

/// A file that is read whole, and is larger than what sources may admit beside one another.
#[test]
fn standard_input_that_waits_keeps_no_memory_from_others() {
    let source = format!("[sources.input]\ntype = \"stdin\"\n{}", files("format = \"envelope\""));
    let world = world(&source, &sink(JSON.1));
    let (reader, mut input) = pipe().unwrap();
    let daemon = world.spawn_reading(reader);
    input.write_all(b"the beginning of a line").unwrap();
    let event = format!(r#"{{"id":"1","timestamp":1,"message":"{}"}}"#, "m".repeat(1_000));
    fs::write(world.path("written"), envelope(&event, 4_400)).unwrap();
    fs::rename(world.path("written"), world.log("a.json")).unwrap();
    progress("the file is delivered beside an open line", || {
        let done = daemon.scrape().count("sink_delivered_events_total", &[]);
        if done == 4_400 { Ok(()) } else { Err((done, format!("{done}\n{}", daemon.log_text()))) }
    });
    drop(input);
    daemon.stop().drained();
}
