//! Messages that are objects: in JSON as they are, and as text elsewhere.

use std::fs;

use serde_json::{Value, json};

use crate::standin::Settings;
use crate::world::{FILE_SOURCE, World, progress};

#[test]
fn an_object_is_spliced_and_anything_else_stays_a_string_and_is_counted() {
    let world = World::with(&Settings { keep_records: true, ..Settings::default() });
    let parse = "parse = \"json\"\ntimestamp = { field = \"ts\", format = \"unix\" }\n";
    let sink = "[sinks.archive]\n@FIREHOSE\nstream = \"logs\"\nid = true\nlinger = \"20ms\"\n";
    let copy = "[sinks.copy]\ntype = \"directory\"\npath = \"@DIR/copy\"\nencoding = \"message\"\nlinger = \"20ms\"\n";
    world.config(&format!("{FILE_SOURCE}{parse}{sink}{copy}"));
    let lines = "{\"ts\":1.5,\"a\":[1,{\"b\":\"\\u00e9\"}]}\nplain\n{\"a\":1}\n{\"a\":}\n{}\r\n";
    fs::write(world.log("app.log"), lines).unwrap();
    let daemon = world.start();
    let events = progress("all events come", || {
        let records = world.standin.records();
        let text: String =
            records.iter().map(|kept| String::from_utf8(kept.data.to_vec()).unwrap()).collect();
        let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        if events.len() == 5 { Ok(events) } else { Err((events.len() as u64, daemon.log_text())) }
    });
    let messages: Vec<&Value> = events.iter().map(|event| &event["message"]).collect();
    let expected = [
        json!({ "ts": 1.5, "a": [1, { "b": "é" }] }),
        json!("plain"),
        json!({ "a": 1 }),
        json!("{\"a\":}"),
        json!({}),
    ];
    assert_eq!(messages, expected.iter().collect::<Vec<_>>());
    assert_eq!(events[0]["timestamp"], "1970-01-01T00:00:01.500Z");
    assert!(events.iter().all(|event| event["source"] == "app" && event["id"].is_string()), "{events:?}");
    let scrape = daemon.conserved();
    assert_eq!(scrape.count("unparsed_events_total", &["source=\"app\"", "reason=\"parse\""]), 2);
    assert_eq!(scrape.count("unparsed_events_total", &["source=\"app\"", "reason=\"timestamp\""]), 2);
    daemon.stop().drained();
    let mut copy = String::new();
    let mut folders = vec![world.path("copy")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                copy += &fs::read_to_string(entry.path()).unwrap();
            }
        }
    }
    assert_eq!(copy, lines.replace('\r', ""), "elsewhere it is the text that it was");
}
