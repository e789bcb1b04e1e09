//! What is left out where it is read is counted, and told as done.

use std::time::{SystemTime, UNIX_EPOCH};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::io::Write;
use std::process::Output;

use crate::standin::Settings;
use crate::world::{ACCESS_KEY, FILE_SOURCE, MESSAGE_SINK, Sender, World, progress};

const SECOND: u64 = 1_000;
const DAY: u64 = 86_400 * SECOND;

#[expect(clippy::disallowed_types, reason = "events of now")]
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis().try_into().unwrap()
}

/// The messages that came, in order.
fn messages(world: &World) -> Vec<String> {
    let records = world.standin.records();
    let text: String = records.iter().map(|kept| String::from_utf8(kept.data.to_vec()).unwrap()).collect();
    text.lines().map(str::to_owned).collect()
}

/// A subscription payload with these events of a log group: id, time and message.
fn envelope(group: &str, events: &[(String, u64, String)]) -> Vec<u8> {
    let events: Vec<Value> = events
        .iter()
        .map(|(id, timestamp, message)| json!({ "id": id, "timestamp": timestamp, "message": message }))
        .collect();
    let payload = json!({
        "messageType": "DATA_MESSAGE",
        "owner": "333333333333",
        "logGroup": group,
        "logStream": "s",
        "subscriptionFilters": ["all"],
        "logEvents": events,
    });
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(payload.to_string().as_bytes()).unwrap();
    gzip.finish().unwrap()
}

fn endpoint(more: &str) -> String {
    format!(
        "[sources.subs]\ntype = \"firehose_http\"\nlisten = \"127.0.0.1:0\"\naccess_keys = [\"{ACCESS_KEY}\"]\n{more}"
    )
}

fn keeping_records() -> World {
    World::with(&Settings { keep_records: true, ..Settings::default() })
}

#[test]
fn events_that_are_too_old_are_dropped_counted_and_done() {
    let world = keeping_records();
    world.config(&format!("{}{MESSAGE_SINK}", endpoint("ignore_older = \"7d\"\n")));
    let daemon = world.start();
    let too_old = ["route=\"none\"", "reason=\"too_old\""];
    assert!(daemon.scrape().text.contains("filtered_events_total{reason=\"too_old\",route=\"none\"} 0"));
    let event = |number: u64, ago: u64| (format!("{number:056}"), now() - ago, format!("event {number}"));
    let mut sender = Sender::to(&daemon.endpoint());
    sender.deliver("1", &[envelope("/a", &[event(1, 8 * DAY), event(2, 6 * DAY), event(3, 0)])]);
    // Nothing else is in it, and it is answered all the same.
    sender.deliver("2", &[envelope("/a", &[event(4, 30 * DAY)])]);
    assert_eq!(messages(&world), ["event 2", "event 3"]);
    assert_eq!(daemon.conserved().count("filtered_events_total", &too_old), 2);
    daemon.stop().drained();
}

#[test]
fn an_age_needs_events_that_tell_their_time() {
    let check = |config: &str, words: &str| {
        let world = World::new();
        world.config(config);
        let Output { status, stderr, .. } =
            world.run(&["check", "-c", world.config_path().to_str().unwrap()], b"");
        assert_eq!(status.code(), Some(78), "{config}");
        let said = String::from_utf8_lossy(&stderr).into_owned();
        assert!(said.contains(words), "{words}: {said}");
    };
    let lines = endpoint("format = \"lines\"\nignore_older = \"7d\"\n");
    check(&format!("{lines}{MESSAGE_SINK}"), "sources.subs.ignore_older: needs events that tell their time");
    let whole = MESSAGE_SINK.replace("\"message\"", "\"envelope\"");
    let words = "sources.subs.ignore_older: leads to `sinks.archive`, whose `encoding` is `envelope`";
    check(&format!("{}{whole}", endpoint("ignore_older = \"7d\"\n")), words);
}

#[test]
fn a_file_that_is_too_old_is_left_alone() {
    let world = keeping_records();
    world.config(&format!("{FILE_SOURCE}ignore_older = \"1h\"\n{MESSAGE_SINK}"));
    std::fs::write(world.log("old.log"), "old\n").unwrap();
    let file = std::fs::File::open(world.log("old.log")).unwrap();
    let time = rustix::fs::Timespec { tv_sec: (now() / SECOND).cast_signed() - 7_200, tv_nsec: 0 };
    let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
    rustix::fs::futimens(file, &times).unwrap();
    std::fs::write(world.log("new.log"), "new\n").unwrap();
    let daemon = world.start();
    progress("the other one comes", || {
        let messages = messages(&world);
        if messages.is_empty() { Err((0, daemon.log_text())) } else { Ok(()) }
    });
    let scrape = daemon.conserved();
    assert_eq!(scrape.count("source_files_total", &["source=\"app\"", "outcome=\"ignored\""]), 1);
    assert!(daemon.log_text().contains("as long as `ignore_older` says"), "{}", daemon.log_text());
    daemon.stop().drained();
    assert_eq!(messages(&world), ["new"]);
}
