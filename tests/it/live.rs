//! Live views: `tap` and `top` of a running daemon.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write as _};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::moto::root;
use crate::world::{World, exactly_once, until};

/// Starts `standpipe tap` with these arguments, and gives its lines as they come.
struct Tap {
    child: std::process::Child,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Tap {
    fn start(world: &World, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_standpipe"))
            .arg("tap")
            .args(arguments)
            .arg("--dir")
            .arg(world.path("state"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (lines_tx, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if lines_tx.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    fn next(&self) -> Option<Value> {
        self.lines.try_recv().ok().map(|line| serde_json::from_str(&line).unwrap())
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Appends lines until an event of the tap is as it should be: whoever taps sees what comes after.
fn seen(world: &World, tap: &Tap, is_right: impl Fn(&Value) -> bool) -> Value {
    let mut number = 0_u64;
    until("the tap shows the event", || {
        number += 1;
        let level = if number.is_multiple_of(2) { "INFO" } else { "ERROR" };
        let text = format!("{{\"n\":{number},\"mail\":\"someone@example.com\",\"level\":\"{level}\"}}\n");
        let mut file = OpenOptions::new().create(true).append(true).open(world.log("tapped.log")).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        tap.next().filter(|event| is_right(event))
    })
}

#[test]
fn a_tap_of_a_source_shows_events_after_redaction_and_a_filter_leaves_out_others() {
    let world = World::new();
    let daemon = world.file_to_firehose("[redact]\nnamed = [\"email\"]\n").start();
    let tap = Tap::start(&world, &["app", "--filter", "ERROR"]);
    let event = seen(&world, &tap, |event| {
        assert!(event["message"].as_str().unwrap().contains("ERROR"), "{event}");
        true
    });
    assert_eq!(event["source"], "app");
    assert!(event["file"].as_str().unwrap().ends_with("tapped.log"), "{event}");
    assert!(!event.to_string().contains("someone@example.com"), "{event}");
    daemon.stop().drained();
}

#[test]
fn a_tap_of_a_sink_shows_what_is_written_for_it_and_ends_at_its_limit() {
    let world = World::new();
    let daemon = world.file_to_firehose("").start();
    let mut tap = Tap::start(&world, &["archive", "--limit", "3"]);
    let event = seen(&world, &tap, |_| true);
    assert_eq!(event["destination"], "logs");
    assert!(event["message"].as_str().unwrap().starts_with("{\"n\":"), "{event}");
    for _ in 0..2 {
        seen(&world, &tap, |_| true);
    }
    let ended = until("the tap ends", || tap.child.try_wait().unwrap());
    assert_eq!(ended.code(), Some(0));
    daemon.stop().drained();
}

#[test]
fn a_tap_that_nobody_reads_holds_nothing_up_and_loses_nothing() {
    let world = World::new();
    let daemon = world.file_to_firehose("").start();
    // Its standard output is never read.
    let mut deaf = ["app", "archive"].map(|name| {
        Command::new(env!("CARGO_BIN_EXE_standpipe"))
            .args(["tap", name, "--dir"])
            .arg(world.path("state"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    });
    world.write("app.log", 0..100_000);
    exactly_once(&world.delivered(&daemon), 100_000);
    daemon.conserved();
    for child in &mut deaf {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    daemon.stop().drained();
    assert!(!world.path("state/live.sock").exists(), "the socket goes with the daemon");
}

#[test]
fn a_tap_says_what_there_is_and_where_no_daemon_runs() {
    let world = World::new();
    let daemon = world.file_to_firehose("").start();
    let dir = world.path("state").display().to_string();
    let words = |arguments: &[&str]| {
        let output = world.run(arguments, b"");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let unknown = words(&["tap", "nothing", "--dir", &dir]);
    assert!(unknown.contains("the sources are `app`, the sinks `archive`"), "{unknown}");
    let filter = words(&["tap", "app", "--filter", "(", "--dir", &dir]);
    assert!(filter.contains("no regular expression"), "{filter}");
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(world.path("state/live.sock")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    // A reload changes nothing about it.
    daemon.reload();
    let unknown = words(&["tap", "nothing", "--dir", &dir]);
    assert!(unknown.contains("there is no `nothing`"), "{unknown}");
    daemon.stop().drained();
    let gone = words(&["tap", "app", "--dir", &dir]);
    assert!(gone.contains("is the daemon running"), "{gone}");
}

#[test]
fn top_draws_on_a_narrow_terminal_and_gives_it_back_at_a_key_a_signal_and_without_a_daemon() {
    let Some(python) = crate::moto::installed("python3") else { return };
    let world = World::new();
    world.write("app.log", 0..1_000);
    let daemon = world.file_to_firehose("").start();
    world.delivered(&daemon);
    let url = format!("http://{}", daemon.admin());
    for (ending, url, text) in [
        ("q", url.as_str(), "archive"),
        ("TERM", url.as_str(), "archive"),
        ("HUP", url.as_str(), "archive"),
        ("ctrl-c", "http://127.0.0.1:1", "127.0.0.1:1"),
    ] {
        let output = Command::new(&python)
            .arg(root().join("tests/top_on_a_pty.py"))
            .args([env!("CARGO_BIN_EXE_standpipe"), url, ending, text])
            .output()
            .unwrap();
        assert!(output.status.success(), "{ending}: {}", String::from_utf8_lossy(&output.stderr));
    }
    daemon.stop().drained();
}

#[test]
fn top_without_a_terminal_names_the_command_that_needs_none() {
    let world = World::new();
    let output = world.run(&["top"], b"");
    let words = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(words.contains("standpipe status"), "{words}");
}
