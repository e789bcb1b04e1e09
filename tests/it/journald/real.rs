//! The same with journals as systemd writes them, read by its own `journalctl`; left out where a machine has no tools for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use standpipe::journal_export::{end_entry, put_field};

use super::FIRST;
use crate::moto::root;
use crate::standin::Lines;
use crate::world::{MESSAGE_SINK, RUN, World, exactly_once, until};

/// What writes a journal: systemd's own receiver of entries.
#[expect(clippy::print_stderr, reason = "a test left out is said aloud")]
fn writer() -> Option<PathBuf> {
    let has_journalctl = Command::new("journalctl")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    let writer = root().join(".tools/bin/systemd-journal-remote");
    let is_there = has_journalctl && writer.exists();
    if !is_there {
        eprintln!("left out: journalctl, or systemd-journal-remote in .tools, is missing");
    }
    is_there.then_some(writer)
}

fn entry(number: u64, fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    put_field(&mut out, "__REALTIME_TIMESTAMP", (FIRST + number * 1_000).to_string().as_bytes());
    put_field(&mut out, "__MONOTONIC_TIMESTAMP", number.to_string().as_bytes());
    put_field(&mut out, "_BOOT_ID", b"6a1c1b0b0a4d4f8e9e3f4c5d6e7f8091");
    for (name, value) in fields {
        put_field(&mut out, name, value);
    }
    end_entry(&mut out);
    out
}

/// Appends entries to the journal in this folder.
fn write(writer: &Path, folder: &Path, entries: &[u8]) {
    let mut command = Command::new(writer);
    command.arg("--output").arg(folder.join("system.journal")).arg("-");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(entries).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn world() -> Option<(World, PathBuf)> {
    let writer = writer()?;
    let world = World::new();
    fs::create_dir(world.path("journal")).unwrap();
    world.env("PATH", &std::env::var("PATH").unwrap());
    Some((world, writer))
}

const SOURCE: &str =
    "[sources.system]\ntype = \"journald\"\nstart = \"beginning\"\ndirectory = \"@DIR/journal\"\n";

#[test]
fn entries_of_a_real_journal_are_delivered_once_and_followed() {
    let Some((world, writer)) = world() else { return };
    let lines = Lines::of_run(RUN);
    let entries = |numbers: std::ops::Range<u64>| -> Vec<u8> {
        world.standin.expect(RUN, numbers.end);
        numbers.flat_map(|number| entry(number, &[("MESSAGE", &lines.line(number))])).collect()
    };
    let folder = world.path("journal");
    write(&writer, &folder, &entries(0..500));
    let daemon = world.config(&format!("{SOURCE}{MESSAGE_SINK}")).start();
    world.delivered(&daemon);
    write(&writer, &folder, &entries(500..600));
    world.delivered(&daemon);
    daemon.stop().drained();
    write(&writer, &folder, &entries(600..700));
    let daemon = world.start();
    exactly_once(&world.delivered(&daemon), 700);
    // Whoever follows ends with the daemon.
    let followers = || {
        let mark = folder.to_str().unwrap().to_owned();
        let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
        lines.filter(|line| String::from_utf8_lossy(line).contains(&format!("--directory={mark}"))).count()
    };
    until("one follows", || (followers() == 1).then_some(()));
    daemon.kill();
    until("it ends", || (followers() == 0).then_some(()));
}

/// What a run to the journal's end writes as JSON.
fn events(world: &World, keys: &str, more: &str) -> Vec<Value> {
    for folder in ["out", "state"] {
        fs::remove_dir_all(world.path(folder)).ok();
    }
    let sink = "[sinks.local]\ntype = \"directory\"\npath = \"@DIR/out\"\nid = true\n";
    world.config(&format!("{SOURCE}{keys}\n{sink}{more}"));
    let output = world.run(&["run", "--once", "-c", world.config_path().to_str().unwrap()], b"");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let (mut waiting, mut text) = (vec![world.path("out")], String::new());
    while let Some(path) = waiting.pop() {
        match fs::read_dir(&path) {
            Ok(entries) => waiting.extend(entries.map(|entry| entry.unwrap().path())),
            Err(_) => text.push_str(&fs::read_to_string(&path).unwrap_or_default()),
        }
    }
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn fields_of_real_entries_are_members_and_select_what_is_read() {
    let Some((world, writer)) = world() else { return };
    let of = |number, unit: &'static str, priority: &'static str, message: &[u8]| {
        let identifier = unit.trim_end_matches(".service");
        entry(
            number,
            &[
                ("_HOSTNAME", b"web-1"),
                ("_SYSTEMD_UNIT", unit.as_bytes()),
                ("SYSLOG_IDENTIFIER", identifier.as_bytes()),
                ("PRIORITY", priority.as_bytes()),
                ("MESSAGE", message),
            ],
        )
    };
    let all = [
        of(0, "nginx.service", "6", b"GET /"),
        of(1, "ssh.service", "5", b"two\nlines"),
        of(2, "nginx.service", "3", b"\xff\x00 broken"),
        of(3, "cron.service", "7", b""),
    ];
    write(&writer, &world.path("journal"), &all.concat());
    let whole = events(&world, "", "");
    assert_eq!(whole.len(), 4);
    let expected: BTreeMap<&str, &str> = [
        ("timestamp", "2025-11-30T10:36:40.000Z"),
        ("message", "GET /"),
        ("source", "system"),
        ("host", "web-1"),
        ("unit", "nginx.service"),
        ("identifier", "nginx"),
        ("priority", "6"),
    ]
    .into();
    for (name, value) in expected {
        assert_eq!(whole[0][name], value, "{}", whole[0]);
    }
    assert_eq!(whole[1]["message"], "two\nlines");
    let messages = |events: &[Value]| -> Vec<String> {
        events.iter().map(|event| event["message"].as_str().unwrap().to_owned()).collect()
    };
    // Ids are those of entries, however they are read.
    let ids = |events: &[Value]| -> Vec<String> {
        events.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&whole).iter().collect::<BTreeSet<_>>().len(), 4);
    let of_unit = events(&world, "units = [\"ssh\", \"cron\"]", "");
    assert_eq!(messages(&of_unit), ["two\nlines", ""]);
    assert_eq!(ids(&of_unit), [ids(&whole)[1].clone(), ids(&whole)[3].clone()]);
    assert_eq!(messages(&events(&world, "priority = \"notice\"", "")).len(), 2);
    let matches = "matches = [\"SYSLOG_IDENTIFIER=ssh\", \"+\", \"PRIORITY=7\"]";
    assert_eq!(messages(&events(&world, matches, "")), ["two\nlines", ""]);
    let route = "[[routes]]\nwhen = { unit = [\"nginx*\"], priority = [\"[0-3]\"] }\nto = [\"local\"]\n";
    assert_eq!(messages(&events(&world, "", route)).len(), 1);
}
