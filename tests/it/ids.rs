//! Ids: an event that is sent twice has the same one, and two events have different ones.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::Output;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use crate::standin::Settings;
use crate::world::{
    ACCESS_KEY, Daemon, FILE_SOURCE, Forwarder, Mode, Sender, World, forward_message, killed_again_and_again,
    progress,
};

const SINK: &str = "
[sinks.archive]
@FIREHOSE
stream = \"logs\"
encoding = \"json\"
id = true
linger = \"20ms\"
";

fn world() -> World {
    World::with(&Settings { keep_records: true, ..Settings::default() })
}

/// The ids under which each message came, over all that came.
fn ids(world: &World) -> BTreeMap<String, Vec<String>> {
    let mut ids = BTreeMap::<String, Vec<String>>::new();
    for kept in world.standin.records() {
        let text = String::from_utf8(kept.data.to_vec()).unwrap();
        for line in text.lines() {
            let event: Value = serde_json::from_str(line).unwrap();
            let text = |name: &str| event[name].as_str().unwrap().to_owned();
            ids.entry(text("message")).or_default().push(text("id"));
        }
    }
    ids
}

/// Every message has one id, and no two messages have the same. Returns how many came more than once.
#[track_caller]
fn one_each(ids: &BTreeMap<String, Vec<String>>) -> usize {
    let mut seen = BTreeSet::new();
    for (message, of_message) in ids {
        let first = &of_message[0];
        assert!(of_message.iter().all(|id| id == first), "`{message}` has several: {of_message:?}");
        assert!(seen.insert(first), "`{first}` is of several, and of `{message}`");
    }
    ids.values().filter(|of_message| of_message.len() > 1).count()
}

/// Waits until so many messages have come.
fn came(world: &World, daemon: &Daemon, messages: usize) -> BTreeMap<String, Vec<String>> {
    progress(&format!("{messages} messages come"), || {
        let ids = ids(world);
        if ids.len() >= messages { Ok(ids) } else { Err((ids.len() as u64, daemon.log_text())) }
    })
}

#[test]
fn what_a_kill_doubles_bears_the_same_id() {
    let world = world();
    world.config(&format!("[limits]\nmemory = \"16MiB\"\nshutdown = \"1s\"\n{FILE_SOURCE}{SINK}"));
    killed_again_and_again(&world);
    one_each(&ids(&world));
    // Accepted, but never answered: the next process must send it again.
    world.standin.faults(|faults| faults.cut_after = 1.0);
    append(&world.log("app.log"), "accepted\n");
    let daemon = world.start();
    progress("the line is accepted", || {
        let ids = ids(&world);
        if ids.contains_key("accepted") { Ok(()) } else { Err((ids.len() as u64, daemon.log_text())) }
    });
    daemon.kill();
    world.standin.faults(|faults| faults.cut_after = 0.0);
    let daemon = world.start();
    daemon.stop().drained();
    let ids = ids(&world);
    assert!(one_each(&ids) > 0 && ids["accepted"].len() > 1, "a kill doubles what was not answered");
}

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn gzip(path: &Path) {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&fs::read(path).unwrap()).unwrap();
    fs::write(path.with_extension("gz.tmp"), encoder.finish().unwrap()).unwrap();
    fs::rename(path.with_extension("gz.tmp"), format!("{}.gz", path.display())).unwrap();
    fs::remove_file(path).unwrap();
}

#[test]
fn ids_stay_through_rotations_and_kills_and_what_is_written_anew_has_others() {
    let world = world();
    let (log, old) = (world.log("app.log"), world.log("app.log.1"));
    world.config(&format!("{FILE_SOURCE}{SINK}"));
    // The same lines again and again, so that only where they stand tells them apart.
    append(&log, "one\nsame 1\n");
    let daemon = world.start();
    came(&world, &daemon, 2);
    daemon.kill();
    // Renamed, and emptied, while nobody looks.
    append(&log, "two\n");
    fs::rename(&log, &old).unwrap();
    append(&log, "three\n");
    let daemon = world.start();
    came(&world, &daemon, 4);
    daemon.kill();
    gzip(&old);
    fs::copy(&log, world.log("app.log.2")).unwrap();
    fs::write(&log, "four\n").unwrap();
    let daemon = world.start();
    let ids = came(&world, &daemon, 5);
    one_each(&ids);
    // Lines of one file have its hash, and their offset.
    let [one, two, three, four] = ["one", "two", "three", "four"].map(|line| ids[line][0].clone());
    assert!(one.ends_with("-0") && two.ends_with("-11") && four.ends_with("-0"), "{ids:?}");
    let unit = |id: &str| id.split_once('-').unwrap().0.to_owned();
    assert_eq!(unit(&one), unit(&two), "a rename changes nothing");
    assert_ne!(unit(&two), unit(&three), "the next file is another");
    assert_ne!(unit(&three), unit(&four), "what was written anew is another, in the same inode");
    assert_eq!(unit(&one).len(), 16);
    daemon.stop().drained();
}

#[test]
fn redaction_joined_lines_and_requests_keep_their_places() {
    let world = world();
    let endpoint = format!(
        "[sources.subs]\ntype = \"firehose_http\"\nlisten = \"127.0.0.1:0\"\naccess_keys = [\"{ACCESS_KEY}\"]\nformat = \"lines\"\n"
    );
    let joined = "[sources.joined]\ntype = \"file\"\ninclude = [\"@DIR/logs/*.joined\"]\nmultiline = { start = '^\\S', timeout = \"50ms\" }\n";
    let redact = "[redact]\nnamed = [\"email\"]\n";
    world.config(&format!("{redact}{FILE_SOURCE}{joined}{endpoint}{SINK}"));
    append(&world.log("app.log"), "a@example.com x\nplain\nb@example.com y\n");
    append(&world.log("app.joined"), "first\n more\nsecond\n");
    let daemon = world.start();
    let mut sender = Sender::to(&daemon.endpoint());
    sender.deliver("request-1", &[b"r1\nr2\n".to_vec(), b"r3\n".to_vec()]);
    let ids = came(&world, &daemon, 8);
    one_each(&ids);
    let offset = |message: &str| ids[message][0].split_once('-').unwrap().1.parse::<u64>().unwrap();
    let offsets = ["[email] x", "plain", "[email] y", "first\n more", "second", "r1", "r2", "r3"].map(offset);
    assert_eq!(offsets, [0, 16, 22, 0, 12, 0, 3, 1 << 32]);
    daemon.stop().drained();
}

#[test]
fn records_of_one_chunk_of_the_forward_protocol_have_ids_of_their_own() {
    let world = world();
    let source = "[sources.containers]\ntype = \"fluent_forward\"\nlisten = \"127.0.0.1:0\"\n";
    world.config(&format!("{source}{SINK}"));
    let daemon = world.start();
    let mut sender = Forwarder::to(&daemon.listening("forward endpoint listening"));
    for (mode, text) in
        [(Mode::Forward, "a1\na2\na3\n"), (Mode::Packed, "b1\nb2\nb3\n"), (Mode::Gzip, "c1\nc2\nc3\n")]
    {
        sender.deliver(&forward_message(mode, "app", text.as_bytes(), Some(text)), text).unwrap();
    }
    one_each(&came(&world, &daemon, 9));
    daemon.stop().drained();
}

#[test]
fn an_id_needs_json() {
    let world = world();
    world.config(&format!("{FILE_SOURCE}{}", SINK.replace("\"json\"", "\"message\"")));
    let Output { status, stderr, .. } =
        world.run(&["check", "-c", world.config_path().to_str().unwrap()], b"");
    assert_eq!(status.code(), Some(78));
    let words = String::from_utf8_lossy(&stderr).into_owned();
    assert!(words.contains("sinks.archive.id: needs the `encoding` `json`"), "{words}");
}
