//! Dead letters: kept with their reason, listed, shown, and delivered again when the cause is fixed.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

use crate::standin::{Lines, Settings};
use crate::world::{
    Daemon, FILE_SOURCE, MESSAGE_SINK, RUN, World, at_least_once, exactly_once, progress, until,
};

/// The run whose lines are poison.
const POISONED: u32 = 2;

/// What every line of it holds.
const POISON: &str = "r00000002 ";

/// A world where records of the poisoned run are refused, one line a record.
fn poisoned() -> World {
    let world = World::with(&Settings { keep_records: true, ..Settings::default() });
    world.standin.faults(|faults| faults.poison = Some(POISON.into()));
    world.file_to_firehose("packing = \"event\"\n");
    world
}

fn fixed(world: &World) {
    world.standin.faults(|faults| faults.poison = None);
}

/// Runs a command on the world's configuration.
#[track_caller]
fn run(world: &World, arguments: &[&str], code: i32) -> String {
    let Output { status, stdout, stderr } = attempt(world, arguments);
    let words = format!("{}\n{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert_eq!(status.code(), Some(code), "{arguments:?}: {words}");
    words
}

fn attempt(world: &World, arguments: &[&str]) -> Output {
    let config = world.config_path();
    world.run(&[arguments, &["-c", config.to_str().unwrap()]].concat(), b"")
}

/// Replays until it ends with this code: a daemon keeps its file for some seconds.
fn replay_until(world: &World, name: &str, code: i32) -> String {
    until(&format!("a replay ends with {code}"), || {
        let output = attempt(world, &["replay", name]);
        let words = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code() == Some(code) && !words.contains("in use")).then_some(words)
    })
}

/// The letters in a folder.
fn letters(world: &World, name: &str) -> Vec<Value> {
    let json = attempt(world, &["state", "show", "dead-letters", name, "--json"]).stdout;
    String::from_utf8(json).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The letter that holds this.
#[track_caller]
fn letter_with(world: &World, name: &str, text: &str) -> Value {
    let has = |letter: &Value| letter["text"].as_str().is_some_and(|held| held.contains(text));
    letters(world, name).into_iter().find(has).unwrap()
}

/// Files in a folder of dead letters.
fn files(world: &World, folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(world.path("state/dead-letters").join(folder)).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// Waits until so many events are dead letters.
fn dead_lettered_at(daemon: &Daemon, events: u64) {
    progress(&format!("{events} dead letters"), || {
        let count = daemon.scrape().count("dead_letter_events_total", &["sink=\"archive\""]);
        if count == events { Ok(()) } else { Err((count, daemon.log_text())) }
    });
}

#[test]
fn what_was_refused_is_listed_shown_and_delivered_again_beside_the_daemon() {
    let world = poisoned();
    world.write("app.log", 0..300);
    world.write_run(POISONED, "app.log", 0..3);
    world.write("app.log", 300..600);
    let daemon = world.start();
    dead_lettered_at(&daemon, 3);
    world.seen(&daemon, 600);
    daemon.conserved();

    // Checkpoints are saved once a second.
    let list = until("the state is listed", || {
        let list = run(&world, &["state", "list"], 0);
        list.contains("app.log").then_some(list)
    });
    let row = list.lines().find(|line| line.contains("InvalidArgumentException 3")).unwrap();
    assert!(row.trim_start().starts_with("archive"), "{list}");
    let shown = run(&world, &["state", "show", "dead-letters", "archive", "--limit", "2"], 0);
    for part in [POISON, "InvalidArgumentException", "app.log", "1 letter more"] {
        assert!(shown.contains(part), "`{part}` is shown:\n{shown}");
    }
    let letters = letters(&world, "archive");
    let text = String::from_utf8(Lines::of_run(POISONED).text(0..3)).unwrap();
    let mut texts: Vec<&str> = letters.iter().map(|letter| letter["text"].as_str().unwrap()).collect();
    texts.sort_unstable();
    assert_eq!(texts, text.lines().collect::<Vec<_>>(), "the bytes are those that were read");
    assert_eq!(letters[0]["reason"], "InvalidArgumentException");

    let dry = run(&world, &["replay", "archive", "--dry-run"], 0);
    assert!(dry.contains("would deliver 3 letters with 3 events to `archive`"), "{dry}");
    assert_eq!(world.standin.report().total.seen, 600, "a dry run sends nothing");

    fixed(&world);
    let said = replay_until(&world, "archive", 0);
    assert!(said.contains("delivered 3 letters"), "{said}");
    exactly_once(&world.standin.report(), 603);
    assert_eq!(files(&world, "archive"), Vec::<PathBuf>::new(), "nothing is left");
    until("the gauge says so", || {
        (daemon.scrape().count("dead_letter_bytes", &["sink=\"archive\""]) == 0).then_some(())
    });
    assert!(run(&world, &["replay", "archive"], 0).contains("no dead letters"));
    daemon.conserved();
    daemon.stop().drained();
}

#[test]
fn what_fails_again_stays_and_only_that() {
    let world = poisoned();
    world.write_run(POISONED, "app.log", 0..20);
    let daemon = world.start();
    dead_lettered_at(&daemon, 20);
    daemon.stop().drained();

    // The fifth alone is still poison.
    let fifth = String::from_utf8(Lines::of_run(POISONED).line(5)).unwrap();
    world.standin.faults(|faults| faults.poison = Some(fifth.clone()));
    let since = letter_with(&world, "archive", fifth.trim_end())["time"].clone();
    let said = run(&world, &["replay", "archive", "--reason", "too_large"], 0);
    assert!(said.contains("delivered 0 letters"), "no letter has that reason: {said}");
    let said = run(&world, &["replay", "archive"], 75);
    assert!(said.contains("delivered 19 letters") && said.contains("1 letter: failed again"), "{said}");
    let left = letters(&world, "archive");
    assert_eq!(left.len(), 1, "{left:?}");
    let letter = letter_with(&world, "archive", fifth.trim_end());
    assert_eq!(letter["time"], since, "it says since when it is not delivered, not when it was tried last");

    fixed(&world);
    run(&world, &["replay", "archive"], 0);
    exactly_once(&world.standin.report(), 20);
    assert_eq!(files(&world, "archive"), Vec::<PathBuf>::new());
}

#[test]
fn a_sink_that_is_down_keeps_its_letters() {
    let world = poisoned();
    world.config(&format!(
        "[limits]\nmemory = \"32MiB\"\nshutdown = \"1s\"\n{FILE_SOURCE}{MESSAGE_SINK}packing = \"event\"\n"
    ));
    world.write_run(POISONED, "app.log", 0..5);
    let daemon = world.start();
    dead_lettered_at(&daemon, 5);
    daemon.stop().drained();
    world.standin.faults(|faults| {
        faults.poison = None;
        faults.throttles = 1.0;
    });
    let said = run(&world, &["replay", "archive"], 75);
    assert!(said.contains("delivered 0 letters") && said.contains("5 letters: not delivered"), "{said}");
    world.standin.faults(|faults| faults.throttles = 0.0);
    run(&world, &["replay", "archive"], 0);
    exactly_once(&world.standin.report(), 5);
}

#[test]
fn kills_in_the_middle_of_a_replay_lose_nothing() {
    const LINES: u64 = 300;
    let world = poisoned();
    world.write_run(POISONED, "app.log", 0..LINES);
    let daemon = world.start();
    dead_lettered_at(&daemon, LINES);
    daemon.stop().drained();
    // Half of what is sent is accepted each time, so that there is a middle.
    world.standin.faults(|faults| {
        faults.poison = None;
        faults.record_failures = 0.5;
        faults.delay_ms = 100;
    });
    let config = world.config_path();
    let arguments = ["replay", "archive", "-c", config.to_str().unwrap()];
    for round in 1..=3 {
        let mut replay = world.start_command(&arguments);
        progress("some letters are delivered", || {
            let seen = world.standin.report().total.seen;
            if seen >= LINES / 4 * round { Ok(()) } else { Err((seen, String::new())) }
        });
        replay.kill().unwrap();
        replay.wait().unwrap();
    }
    world.standin.faults(|faults| faults.record_failures = 0.0);
    // The last kill may have come when all was done.
    run(&world, &["replay", "archive"], 0);
    at_least_once(&world.standin.report(), LINES);
    assert_eq!(files(&world, "archive"), Vec::<PathBuf>::new());
}

#[test]
fn payloads_are_decoded_and_routed_once_the_format_is_right() {
    let world = World::new();
    world.config(&format!("{FILE_SOURCE}format = \"docker\"\n{MESSAGE_SINK}"));
    world.write("app.log", 0..50);
    let daemon = world.start();
    until("every line is a dead letter", || {
        (daemon.scrape().count("undecodable_total", &[]) == 50).then_some(())
    });
    daemon.stop().drained();
    let list = run(&world, &["state", "list"], 0);
    assert!(list.contains("_app") && list.contains("docker 50"), "{list}");
    let times = |world: &World| -> BTreeSet<String> {
        letters(world, "_app").iter().map(|letter| letter["time"].to_string()).collect()
    };
    let since = times(&world);
    let said = run(&world, &["replay", "_app"], 75);
    assert!(said.contains("50 letters: failed again"), "{said}");
    assert_eq!(times(&world), since, "they say since when they are not decoded");

    world.file_to_firehose("");
    run(&world, &["replay", "_app"], 0);
    exactly_once(&world.standin.report(), 50);
    assert_eq!(files(&world, "_app"), Vec::<PathBuf>::new());
}

#[test]
fn backup_objects_of_firehose_are_delivered_once_and_kept() {
    let world = World::new();
    world.file_to_firehose("");
    world.standin.expect(RUN, 40);
    let lines = Lines::of_run(RUN);
    let record = |range| {
        let data = base64_simd::STANDARD.encode_to_string(lines.text(range));
        serde_json::json!({
            "attemptsMade": 4, "arrivalTimestamp": 1_795_309_323_004_u64, "errorCode": "Lambda.FunctionError",
            "errorMessage": "The Lambda function was successfully invoked but it returned an error result.",
            "attemptEndingTimestamp": 1_795_309_423_004_u64, "rawData": data, "lambdaArn": "arn:aws:lambda:…",
        })
    };
    let plain = world.path("processing-failed-1");
    fs::write(&plain, format!("{}\n{}\n", record(0..10), record(10..20))).unwrap();
    let gzipped = world.path("processing-failed-2.gz");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    write!(gzip, "{}{}", record(20..30), record(30..40)).unwrap();
    fs::write(&gzipped, gzip.finish().unwrap()).unwrap();

    let objects = [plain.to_str().unwrap(), gzipped.to_str().unwrap()];
    let dry = run(&world, &[&["replay", "archive", "--dry-run"], &objects[..]].concat(), 0);
    assert!(dry.contains("4 letters with 40 events") && dry.contains("Lambda.FunctionError 2"), "{dry}");
    let said = run(&world, &[&["replay", "archive"], &objects[..]].concat(), 0);
    assert!(said.contains("delivered 4 letters"), "{said}");
    let said = run(&world, &[&["replay", "archive"], &objects[..]].concat(), 0);
    assert!(said.contains("delivered 0 letters"), "what was delivered is noted: {said}");
    exactly_once(&world.standin.report(), 40);
    assert!(plain.exists() && gzipped.exists(), "they are not standpipe's to remove");
}

#[test]
fn a_full_store_holds_says_so_and_goes_on_when_there_is_room() {
    const LETTERS: u64 = 6;
    let world = World::with(&Settings { keep_records: true, ..Settings::default() });
    world.standin.faults(|faults| faults.poison = Some("POISON".into()));
    world.config(&format!(
        "[state]\ndir = \"@DIR/state\"\nmax_dead_letters = \"1MiB\"\n{FILE_SOURCE}{MESSAGE_SINK}packing = \"event\"\n"
    ));
    let line = |number| format!("POISON {number} {}\n", "x".repeat(400_000));
    fs::write(world.log("app.log"), (0..LETTERS).map(line).collect::<String>()).unwrap();
    let daemon = world.spawn();
    let words = daemon.until_readyz(503).text();
    assert!(words.contains("archive") && words.contains("max_dead_letters"), "it says what to do: {words}");
    until("letters wait", || {
        (daemon.scrape().count("dead_letter_waiting", &["sink=\"archive\""]) > 0).then_some(())
    });
    let size: u64 = files(&world, "archive").iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert!(size <= 1 << 20, "{size}");

    world.standin.faults(|faults| faults.poison = None);
    // Each replay makes room for more.
    progress("every letter is delivered", || {
        attempt(&world, &["replay", "archive"]);
        let delivered = world.standin.records().len() as u64;
        if delivered >= LETTERS { Ok(()) } else { Err((delivered, daemon.log_text())) }
    });
    daemon.ready();
    // What had not been put when the service was fixed was delivered as it came.
    let scrape = daemon.conserved();
    let ended =
        scrape.count("dead_letter_events_total", &[]) + scrape.count("sink_delivered_events_total", &[]);
    assert_eq!(ended, LETTERS);
    let mut records: Vec<String> = world
        .standin
        .records()
        .iter()
        .map(|kept| String::from_utf8_lossy(&kept.data).trim_end().to_owned())
        .collect();
    records.sort();
    assert!(records.iter().map(String::as_str).eq((0..LETTERS).map(line).collect::<String>().lines()));
    daemon.stop().drained();
}

#[test]
fn a_checkpoint_is_forgotten_when_no_daemon_runs_and_the_file_is_read_again() {
    let world = World::new();
    world.write("app.log", 0..100);
    let daemon = world.file_to_firehose("").start();
    world.delivered(&daemon);
    let refused = run(&world, &["state", "forget", "app"], 1);
    assert!(refused.contains("another standpipe runs"), "{refused}");
    daemon.stop().drained();

    let path = world.log("app.log");
    let path = path.to_str().unwrap();
    let shown = attempt(&world, &["state", "show", "sources", "app", "--json"]).stdout;
    let shown: Value = serde_json::from_slice(&shown).unwrap();
    assert_eq!((&shown["file"], &shown["left"]), (&path.into(), &0.into()), "{shown}");
    for (arguments, known) in [(["appp", ""], "`app`"), (["app", "/var/log/other.log"], path)] {
        let arguments: Vec<&str> = arguments.into_iter().filter(|argument| !argument.is_empty()).collect();
        let words = run(&world, &[&["state", "forget"], arguments.as_slice()].concat(), 1);
        assert!(words.contains(known), "it says what there is: {words}");
    }
    let said = run(&world, &["state", "forget", "app", path], 0);
    assert!(said.contains(path), "{said}");
    run(&world, &["state", "show", "sources", "app"], 1);
    run(&world, &["run", "--once"], 0);
    assert_eq!(world.standin.report().total.duplicates, 100);
}

#[test]
fn the_checkpoints_of_a_killed_run_are_listed_and_forgotten() {
    let world = World::new();
    world.write("app.log", 0..100);
    let daemon = world.file_to_firehose("").start();
    world.delivered(&daemon);
    world.write("app.log", 100..200);
    world.delivered(&daemon);
    let size = fs::metadata(world.log("app.log")).unwrap().len();
    until("the position is written down", || (world.checkpointed() == size).then_some(()));
    daemon.kill();
    let shown = attempt(&world, &["state", "show", "sources", "app", "--json"]).stdout;
    let shown: Value = serde_json::from_slice(&shown).unwrap();
    assert_eq!((&shown["offset"], &shown["left"]), (&size.into(), &0.into()), "{shown}");
    run(&world, &["state", "forget", "app"], 0);
    run(&world, &["state", "show", "sources", "app"], 1);
    run(&world, &["run", "--once"], 0);
    assert_eq!(world.standin.report().total.duplicates, 200);
}

#[test]
fn one_bad_entry_among_the_letters_costs_itself() {
    let world = poisoned();
    world.write_run(POISONED, "app.log", 0..20);
    let daemon = world.start();
    dead_lettered_at(&daemon, 20);
    daemon.stop().drained();
    let folder = world.path("state/dead-letters/archive");
    fs::create_dir(folder.join("1-folder.ndjson")).unwrap();
    std::os::unix::fs::symlink("/nowhere/at/all", folder.join("2-link.ndjson")).unwrap();
    let pipe = Command::new("mkfifo").arg(folder.join("3-pipe.ndjson")).status();
    let mut bad = vec!["1-folder.ndjson", "2-link.ndjson"];
    bad.extend(pipe.is_ok_and(|made| made.success()).then_some("3-pipe.ndjson"));

    let list = run(&world, &["state", "list"], 0);
    assert!(list.contains("InvalidArgumentException 20") && list.contains("app.log"), "{list}");
    for name in &bad {
        let said = list.lines().filter(|line| line.contains("cannot be read: ") && line.contains(name));
        assert_eq!(said.count(), 1, "{list}");
    }
    let json: Value = serde_json::from_slice(&attempt(&world, &["state", "list", "--json"]).stdout).unwrap();
    assert_eq!(json["dead_letters"][0]["unreadable"].as_array().unwrap().len(), bad.len(), "{json}");
    assert_eq!(letters(&world, "archive").len(), 20);

    fixed(&world);
    let words = run(&world, &["replay", "archive"], 1);
    let broken = format!("{} files: could not be read", bad.len());
    assert!(words.contains("delivered 20 letters") && words.contains(&broken), "{words}");
    assert_eq!(words.matches("a file of dead letters was skipped").count(), bad.len(), "{words}");
    exactly_once(&world.standin.report(), 20);
    // A daemon that finds them starts.
    world.start().stop().drained();
}

#[test]
fn the_state_is_listed_without_a_configuration() {
    let world = World::new();
    let daemon = world.file_to_firehose("").start();
    daemon.stop().drained();
    let dir = world.path("state");
    let list = world.run(&["state", "list", "--json", "--dir", dir.to_str().unwrap()], b"");
    let json: Value = serde_json::from_slice(&list.stdout).unwrap();
    assert_eq!(json["dead_letters"], Value::Array(Vec::new()), "{json}");
    let missing = world.run(&["state", "list", "--dir", "/nowhere"], b"");
    assert_eq!(missing.status.code(), Some(1));
    let unknown = run(&world, &["replay", "archiv"], 1);
    assert!(unknown.contains("`archive`"), "{unknown}");
}
