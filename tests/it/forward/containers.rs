//! Lines of containers: joined, named, routed.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{SOURCE, address};
use crate::world::{Forwarder, WEB, World, docker, until};

/// Each line of a folder's objects, with the name of the object's file.
fn written(folder: &Path) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
                continue;
            }
            let name = entry.file_name().into_string().unwrap();
            let text = fs::read_to_string(entry.path()).unwrap();
            found.extend(text.lines().map(|line| (name.clone(), serde_json::from_str(line).unwrap())));
        }
    }
    found
}

#[test]
fn lines_of_containers_are_joined_named_and_routed() {
    let world = World::new();
    let daemon = world
        .config(&format!(
            "{SOURCE}[sinks.web]\ntype = \"directory\"\npath = \"@DIR/web\"\nstream = \"{{tag}}-{{container}}\"\nlinger = \"50ms\"\n\
             [sinks.rest]\ntype = \"directory\"\npath = \"@DIR/rest\"\nstream = \"rest\"\nlinger = \"50ms\"\n\
             [[routes]]\nwhen = {{ tag = [\"drop.*\"] }}\ndrop = true\n\
             [[routes]]\nwhen = {{ container = [\"web\"], stream = [\"stdout\"] }}\nto = [\"web\"]\n[[routes]]\nwhen = {{ container = [\"db\"] }}\nto = [\"rest\"]\n"
        ))
        .start();
    let mut sender = Forwarder::to(&address(&daemon));
    let part = |log: &str, ordinal: &str, is_last: &str| {
        let fields = [
            &WEB[..],
            &[
                ("partial_message", "true"),
                ("partial_id", "p1"),
                ("partial_ordinal", ordinal),
                ("partial_last", is_last),
            ],
        ]
        .concat();
        docker("t", log.as_bytes(), &fields, None)
    };
    let other = [("container_name", "/db"), ("source", "stderr"), ("level", "info")];
    sender.send(&part("first, ", "1", "false"));
    sender.send(&docker("t", b"between", &WEB, None));
    sender.send(&part("second, ", "2", "false"));
    sender.send(&part("last", "3", "true"));
    sender.send(&docker("drop.it", b"unseen", &WEB, None));
    sender.send(&docker("t", b"a \"row\"", &other, None));
    sender.send(&part("of two, ", "1", "false"));
    until("all but the open line is read", || {
        (daemon.scrape().count("source_events_total", &[]) == 4).then_some(())
    });
    daemon.stop().drained();
    let web = written(&world.path("web"));
    let mut messages: Vec<&str> = web.iter().map(|(_, line)| line["message"].as_str().unwrap()).collect();
    messages.sort_unstable();
    assert_eq!(messages, ["between", "first, second, last", "of two, "], "what is open at a stop is whole");
    assert!(web.iter().all(|(name, _)| name.starts_with("t-web-")), "{web:?}");
    let first = &web[0].1;
    assert_eq!(first["timestamp"], "2023-11-14T22:13:20.000Z");
    assert_eq!(
        (&first["tag"], &first["container"], &first["stream"]),
        (&"t".into(), &"web".into(), &"stdout".into())
    );
    let rest = written(&world.path("rest"));
    let record: Value = serde_json::from_str(rest[0].1["message"].as_str().unwrap()).unwrap();
    assert_eq!((rest.len(), &record["log"], &record["level"]), (1, &"a \"row\"".into(), &"info".into()));
}

#[test]
fn an_open_line_ends_on_a_connection_that_is_never_quiet() {
    let world = World::new();
    let daemon = world
        .config(&format!("{SOURCE}[sinks.out]\ntype = \"directory\"\npath = \"@DIR/out\"\nstream = \"all\"\nlinger = \"50ms\"\n"))
        .start();
    let mut sender = Forwarder::to(&address(&daemon));
    let fields = [
        &WEB[..],
        &[
            ("partial_message", "true"),
            ("partial_id", "p"),
            ("partial_ordinal", "1"),
            ("partial_last", "false"),
        ],
    ]
    .concat();
    sender.send(&docker("t", b"its last part never comes", &fields, None));
    until("the line is delivered", || {
        sender.send(&[0xc0]);
        (daemon.scrape().count("source_events_total", &[]) == 1).then_some(())
    });
    daemon.stop().drained();
}

#[test]
fn a_container_that_waits_for_each_answer_is_not_held_up_by_a_line_in_parts() {
    let world = World::new();
    let daemon = world
        .config(&format!("{SOURCE}[sinks.out]\ntype = \"directory\"\npath = \"@DIR/out\"\nstream = \"all\"\nlinger = \"50ms\"\n"))
        .start();
    let mut sender = Forwarder::to(&address(&daemon));
    for (chunk, log, is_last) in [("1", "one ", "false"), ("2", "two ", "false"), ("3", "three", "true")] {
        let fields = [
            &WEB[..],
            &[
                ("partial_message", "true"),
                ("partial_id", "p"),
                ("partial_ordinal", chunk),
                ("partial_last", is_last),
            ],
        ]
        .concat();
        sender.deliver(&docker("t", log.as_bytes(), &fields, Some(chunk)), chunk).unwrap();
    }
    daemon.stop().drained();
    let mut parts: Vec<_> = written(&world.path("out"))
        .into_iter()
        .map(|(_, line)| (line["message"].clone(), line["part"].clone()))
        .collect();
    parts.sort_by_key(|(_, part): &(Value, Value)| part["offset"].as_u64());
    let part = |text: &str, offset: u64, last: bool| {
        (text.into(), serde_json::json!({ "offset": offset, "last": last }))
    };
    assert_eq!(parts, [part("one ", 0, false), part("two ", 4, false), part("three", 8, true)]);
}
