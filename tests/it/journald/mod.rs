//! Entries of systemd's journal, by a `journalctl` of ours that breaks as it is told, and by systemd's own.

mod real;

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use standpipe::journal_export::{end_entry, put_field};

use crate::doctor::examine;
use crate::standin::{Lines, Refusal};
use crate::world::{
    Daemon, MESSAGE_SINK, RUN, World, at_least_once, exactly_once, progress, run_to_end, until,
};

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/journald/journalctl.py");

/// The folder that the program of ours prints from.
struct Journal(PathBuf);

impl Journal {
    fn of(world: &World) -> Self {
        let folder = world.path("journal");
        fs::create_dir(&folder).unwrap();
        // The program is a script.
        world.env("PATH", &std::env::var("PATH").unwrap());
        Self(folder)
    }

    /// Appends an entry for each of these lines.
    fn append(&self, world: &World, numbers: Range<u64>) {
        world.standin.expect(RUN, numbers.end);
        let lines = Lines::of_run(RUN);
        let entries: Vec<u8> =
            numbers.flat_map(|number| entry(number, &[("MESSAGE", &lines.line(number))])).collect();
        self.append_bytes(&entries);
    }

    fn append_bytes(&self, bytes: &[u8]) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.0.join("entries")).unwrap();
        file.write_all(bytes).unwrap();
    }

    /// Breaks from now on.
    fn breaks(&self, how: &str) {
        let (new, place) = (self.0.join("new"), self.0.join("fault"));
        fs::write(&new, how).unwrap();
        fs::rename(new, place).unwrap();
    }

    fn works(&self) {
        fs::remove_file(self.0.join("fault")).unwrap();
    }

    fn calls(&self) -> String {
        fs::read_to_string(self.0.join("calls")).unwrap_or_default()
    }
}

/// When the first entry was written, in microseconds since 1970.
const FIRST: u64 = 1_764_499_000_000_000;

fn cursor(number: u64) -> String {
    let time = FIRST + number * 1_000;
    format!("s=cfb1fe4240e54cee95c42a14f9292c99;i={:x};b=6a1c;m={number:x};t={time:x};x=1", number + 1)
}

fn entry(number: u64, fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    put_field(&mut out, "__CURSOR", cursor(number).as_bytes());
    put_field(&mut out, "__REALTIME_TIMESTAMP", (FIRST + number * 1_000).to_string().as_bytes());
    put_field(&mut out, "_SYSTEMD_UNIT", b"app.service");
    for (name, value) in fields {
        put_field(&mut out, name, value);
    }
    end_entry(&mut out);
    out
}

fn source(more: &str) -> String {
    format!(
        "[sources.system]\ntype = \"journald\"\nstart = \"beginning\"\ndirectory = \"@DIR/journal\"\njournalctl = \"{PROGRAM}\"\n{more}\n"
    )
}

fn errors(daemon: &Daemon, reason: &str) -> u64 {
    daemon.scrape().count("source_errors_total", &[&format!("reason=\"{reason}\"")])
}

#[test]
fn entries_are_delivered_once_over_stops_and_reloads() {
    let world = World::new();
    let journal = Journal::of(&world);
    journal.append(&world, 0..700);
    let daemon = world.config(&format!("{}{MESSAGE_SINK}", source("units = [\"app.service\"]"))).start();
    world.delivered(&daemon);
    journal.append(&world, 700..1_000);
    world.delivered(&daemon);
    daemon.reload();
    journal.append(&world, 1_000..1_200);
    world.delivered(&daemon);
    let scrape = daemon.conserved();
    assert_eq!(scrape.count("source_events_total", &["source=\"system\""]), 1_200);
    daemon.stop().drained();
    journal.append(&world, 1_200..1_500);
    let daemon = world.start();
    exactly_once(&world.delivered(&daemon), 1_500);
    daemon.stop().drained();
    assert!(journal.calls().contains("--unit=app.service"), "{}", journal.calls());
    let listed = world.state_list();
    assert!(listed.contains("journals") && listed.contains(&cursor(1_499)), "{listed}");
}

#[test]
fn a_kill_loses_no_entry() {
    let world = World::new();
    let journal = Journal::of(&world);
    world.config(&format!("{}{MESSAGE_SINK}", source("")));
    for round in 0..3 {
        let daemon = world.start();
        journal.append(&world, round * 400..(round + 1) * 400);
        world.seen(&daemon, round * 400 + 1);
        daemon.kill();
    }
    let daemon = world.start();
    at_least_once(&world.delivered(&daemon), 1_200);
    daemon.stop().drained();
}

#[test]
fn what_was_there_before_the_first_start_can_be_left_out_and_nothing_after_it() {
    let world = World::new();
    let journal = Journal::of(&world);
    journal.append_bytes(&entry(900_000, &[("MESSAGE", b"an entry of before")]));
    let from_end = source("").replace("beginning", "end");
    let daemon = world.config(&format!("{from_end}{MESSAGE_SINK}")).start();
    // Where it begins is known before the first entry comes.
    until("the position is kept", || world.state_list().contains(&cursor(900_000)).then_some(()));
    daemon.kill();
    journal.append(&world, 0..100);
    let daemon = world.start();
    exactly_once(&world.delivered(&daemon), 100);
    daemon.stop().drained();
}

#[test]
fn a_journalctl_that_ends_or_prints_something_else_costs_and_doubles_nothing() {
    let world = World::new();
    let journal = Journal::of(&world);
    journal.append(&world, 0..200);
    let daemon = world.config(&format!("{}{MESSAGE_SINK}", source(""))).start();
    world.delivered(&daemon);
    for (number, (fault, reason)) in (1..).zip([("die", "journalctl"), ("garbage", "format")]) {
        journal.breaks(fault);
        until("the fault is counted", || (errors(&daemon, reason) > 0).then_some(()));
        journal.append(&world, number * 200..(number + 1) * 200);
        world.delivered(&daemon);
    }
    exactly_once(&world.delivered(&daemon), 600);
    // The next one begins at the last entry that was read.
    assert!(journal.calls().contains(&format!("--cursor={}", cursor(199))), "{}", journal.calls());
    daemon.ready();
    daemon.stop().drained();
}

#[test]
fn what_keeps_it_from_reading_is_told_with_its_fix_and_passes() {
    let world = World::new();
    let journal = Journal::of(&world);
    let denied = "exit No journal files were opened due to insufficient permissions.";
    journal.breaks(denied);
    journal.append(&world, 0..50);
    let daemon = world.config(&format!("{}{MESSAGE_SINK}", source(""))).spawn();
    let told = until("it is told", || {
        let told = daemon.until_readyz(503).text();
        told.contains("source `system`").then_some(told)
    });
    for part in ["insufficient permissions", "usermod -aG systemd-journal standpipe"] {
        assert!(told.contains(part), "{told}");
    }
    let (code, report) = examine(&world, &[]);
    assert_eq!(code, 1);
    assert!(report.to_string().contains("usermod -aG systemd-journal standpipe"), "{report}");
    journal.works();
    // What `doctor` tries beside it is not to be counted.
    let total = world.delivered(&daemon).total;
    assert_eq!((total.seen, total.duplicates, total.damaged), (50, 0, 0));
    daemon.ready();
    let (_, report) = examine(&world, &[]);
    assert!(
        report.to_string().contains("can be read; the newest entry that the source reads is of 2025-"),
        "{report}"
    );
    daemon.stop().drained();
}

#[test]
fn a_run_with_an_end_reads_to_the_end_of_the_journal_or_says_why_not() {
    let world = World::new();
    let journal = Journal::of(&world);
    journal.append(&world, 0..300);
    let configured = |text: &str| world.config(&format!("{text}{MESSAGE_SINK}"));
    let run = || world.run(&["run", "--once", "-c", world.config_path().to_str().unwrap()], b"");
    configured(&source(""));
    assert_eq!(run().status.code(), Some(0));
    exactly_once(&world.standin.report(), 300);
    let says = |expected: &str| {
        let output = run();
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{words}");
        assert!(words.contains(expected), "{words}");
    };
    journal.breaks("cut");
    says("an entry is cut off");
    configured(&source("").replace(PROGRAM, "/nowhere/journalctl"));
    says("cannot run `/nowhere/journalctl`: install systemd's journalctl");
    exactly_once(&world.standin.report(), 300);
}

#[test]
fn an_entry_that_is_larger_than_any_is_left_out_and_counted_and_a_long_message_is_not() {
    let world = World::new();
    let journal = Journal::of(&world);
    journal.append(&world, 0..10);
    let large = entry(10, &[("MESSAGE", &vec![0; 6 << 20])]);
    journal.append_bytes(&large);
    let long = Lines::of_run(RUN).text(10..5_010);
    world.standin.expect(RUN, 5_010);
    journal.append_bytes(&entry(11, &[("MESSAGE", &long[..long.len() - 1])]));
    journal.append(&world, 5_010..5_020);
    let limits = "[limits]\nmemory = \"16MiB\"\n";
    let cut = source("max_line = \"512KiB\"");
    let daemon = world.config(&format!("{limits}{cut}{MESSAGE_SINK}")).start();
    progress("what is lost is counted", || {
        let lost = daemon.scrape().count("file_lost_bytes_total", &["reason=\"too_large\""]);
        if lost == large.len() as u64 { Ok(()) } else { Err((lost, daemon.log_text())) }
    });
    let report = progress("the others come", || {
        let report = world.standin.report();
        let whole = report.total.seen;
        // The long message is cut a few times, within a line.
        if whole >= 5_010 { Ok(report) } else { Err((whole, format!("{report:#?}"))) }
    });
    assert!(report.missing <= 10, "{report:#?}");
    assert!(daemon.log_text().contains("an entry of the journal is left out"), "{}", daemon.log_text());
    daemon.stop().drained();
}

#[test]
fn entries_that_the_journal_removed_before_they_were_read_are_told() {
    let world = World::new();
    let journal = Journal::of(&world);
    journal.append(&world, 0..10);
    let daemon = world.config(&format!("{}{MESSAGE_SINK}", source(""))).start();
    world.delivered(&daemon);
    daemon.stop().drained();
    // In a century, so that it is after whatever the source knows to be complete.
    let mut later = Vec::new();
    let place = "s=cfb1fe4240e54cee95c42a14f9292c99;i=3f;b=6a1c;m=1;t=f4865f00c8000;x=1";
    put_field(&mut later, "__CURSOR", place.as_bytes());
    put_field(&mut later, "MESSAGE", &Lines::of_run(RUN).line(10));
    end_entry(&mut later);
    fs::write(journal.0.join("entries"), later).unwrap();
    world.standin.expect(RUN, 11);
    let daemon = world.start();
    exactly_once(&world.delivered(&daemon), 11);
    assert_eq!(errors(&daemon, "vacuumed"), 1);
    let log = daemon.log_text();
    assert!(log.contains("\"entries\":52") && log.contains("the journal removed entries before"), "{log}");
    daemon.stop().drained();
}

#[test]
fn a_journal_that_is_not_delivered_waits_where_it_is() {
    const LINES: u64 = 120_000;
    let world = World::new();
    let journal = Journal::of(&world);
    world.standin.faults(|faults| faults.refusal = Some(Refusal::AccessDenied));
    journal.append(&world, 0..LINES);
    let limits = "[limits]\nmemory = \"8MiB\"\n";
    let daemon = world.config(&format!("{limits}{}{MESSAGE_SINK}", source(""))).spawn();
    until("the sink is held", || {
        (daemon.scrape().count("sink_held", &["reason=\"access_denied\""]) == 1).then_some(())
    });
    let mut before = 0;
    let read = until("no more is read", || {
        let read = daemon.scrape().count("source_bytes_total", &["source=\"system\""]);
        let is_same = read > 0 && std::mem::replace(&mut before, read) == read;
        is_same.then_some(read)
    });
    assert!(read < 16 << 20, "{read} bytes were read with nobody to take them");
    world.standin.faults(|faults| faults.refusal = None);
    exactly_once(&world.delivered(&daemon), LINES);
    daemon.stop().drained();
}

/// A part of the configuration that is wrong.
#[test]
fn what_the_source_cannot_be_is_refused() {
    let refused = |keys: &str, expected: &str| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.toml");
        let sink = "[sinks.a]\ntype = \"directory\"\npath = \"x\"\n";
        fs::write(&file, format!("[sources.j]\ntype = \"journald\"\n{keys}\n{sink}")).unwrap();
        let output = run_to_end(
            &["check", file.to_str().unwrap()],
            b"",
            Path::new("/"),
            &std::collections::BTreeMap::new(),
        );
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{words}");
        assert!(words.contains(expected), "{words}");
    };
    refused("units = [\"nginx*\"]", "write a route with `when = { unit = [..] }`");
    refused("units = [\"--all\\nx\"]", "expected a unit's name");
    refused("priority = \"error\"", "expected `emerg`, `alert`");
    refused("matches = [\"--file=/etc/shadow\"]", "expected a field and its value");
    for alone in ["[\"+\"]", "[\"A=1\", \"+\"]", "[\"+\", \"A=1\"]", "[\"A=1\", \"+\", \"+\", \"B=2\"]"] {
        refused(&format!("matches = {alone}"), "has a `+` that is not between two matches");
    }
    refused("directory = \"/a\"\nnamespace = \"b\"", "has no use beside `directory`");
}
