//! What whoever sits at a terminal sees, and what `--quiet` leaves of it.

use std::fs;
use std::process::{Command, Output, Stdio};

use crate::standin::{Faults, Refusal};
use crate::world::{World, exactly_once};

/// Files to a folder: no network is needed.
const TO_FOLDER: &str = "[server]\nlisten = \"127.0.0.1:0\"\n[state]\ndir = \"@DIR/state\"\n[limits]\nshutdown = \"3s\"\n\
    [sources.app]\ntype = \"file\"\ninclude = [\"@DIR/logs/*.log\"]\n\
    [sinks.out]\ntype = \"directory\"\npath = \"@DIR/out\"\n";

/// A world with a file of so many lines; `sink` is where it goes.
fn world(lines: u64) -> World {
    let world = World::new();
    let folder = world.path("logs");
    fs::create_dir_all(&folder).unwrap();
    let text = (0..lines).map(|number| format!("line {number}\n")).collect::<Vec<_>>().concat();
    fs::write(folder.join("a.log"), text).unwrap();
    let dir = world.path("").display().to_string();
    fs::write(world.config_path(), TO_FOLDER.replace("@DIR", dir.trim_end_matches('/'))).unwrap();
    world
}

/// Runs the program on a terminal, which `script` makes; what it shows, and its exit code.
fn on_a_terminal(world: &World, command: &str, environment: &[(&str, &str)]) -> (String, i32) {
    let program = env!("CARGO_BIN_EXE_standpipe");
    let command = format!("{program} {command} -c {}", world.config_path().display());
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &command, "/dev/null"]).env_clear();
    script.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("TERM", "xterm");
    let output = script.envs(environment.iter().copied()).stdin(Stdio::null()).output().unwrap();
    (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code().unwrap())
}

#[test]
fn a_run_that_ends_by_itself_sums_up_what_it_did() {
    let (shown, code) = on_a_terminal(&world(5_000), "run --once", &[]);
    assert_eq!(code, 0, "{shown}");
    let summary = "done: read 5,000 events, delivered 5,000, 0 filtered, 0 dead letters, ";
    let last = shown.trim_end().lines().last().unwrap();
    assert!(last.contains(summary) && last.contains(" billed, in "), "{shown}");
    let (shown, code) = on_a_terminal(&world(5), "run --once --quiet", &[]);
    assert_eq!((shown.as_str(), code), ("", 0), "nothing is wrong, and nothing is said");
}

#[test]
fn a_run_that_takes_its_time_says_how_far_it_is_in_one_line() {
    let world = world(50);
    // A file where the folder has to be: nothing can be delivered, and the run gives up after `limits.shutdown`.
    fs::write(world.path("out"), "").unwrap();
    let (shown, code) = on_a_terminal(&world, "run --once", &[]);
    assert_eq!(code, 75, "{shown}");
    assert!(shown.contains("\r\u{1b}[Kread 50 (100 %), delivered 0, "), "{shown:?}");
    assert!(
        shown.contains("stopped, and not everything was delivered: read 50 events, delivered 0"),
        "{shown}"
    );
    for line in shown.split("\r\n").flat_map(|line| line.split("\r\u{1b}[K")) {
        assert!(
            !(line.contains("delivered 0, ") && line.contains("WARN")),
            "a log line has its own: {line:?}"
        );
    }
    let (shown, _) = on_a_terminal(&world, "run --once", &[("TERM", "dumb")]);
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
    let (shown, _) = on_a_terminal(&world, "run --once", &[("NO_COLOR", "1")]);
    assert!(!shown.replace("\u{1b}[K", "").contains('\u{1b}') && shown.contains("WARN"), "{shown:?}");
    let (shown, code) = on_a_terminal(&world, "run --once -q", &[]);
    assert!(
        shown.contains("stopped with events undelivered") && !shown.contains("delivered 0, ") && code == 75,
        "{shown}"
    );
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[test]
fn a_run_without_a_terminal_sums_up_in_its_log() {
    let world = world(50);
    let config = world.config_path();
    let config = config.to_str().unwrap();
    let said = words(&world.run(&["run", "--once", "-c", config], b""));
    let last: serde_json::Value = serde_json::from_str(said.trim_end().lines().last().unwrap()).unwrap();
    assert_eq!(
        (&last["read"], &last["delivered"], &last["dead_letters"]),
        (&50.into(), &50.into(), &0.into())
    );
    assert!(last["seconds"].is_f64() && last["billed_bytes"].is_u64() && last["filtered"] == 0, "{last}");
    fs::remove_dir_all(world.path("state")).unwrap();
    assert_eq!(words(&world.run(&["run", "--once", "--quiet", "-c", config], b"")), "");
}

#[test]
fn a_quiet_replay_says_only_what_was_not_delivered() {
    let world = World::new();
    world.file_to_firehose("");
    world.standin.faults(|faults| faults.poison = Some("r0".to_owned()));
    world.write("app.log", 0..1);
    let config = world.config_path();
    let config = config.to_str().unwrap();
    world.run(&["run", "--once", "-c", config], b"");
    let replay = |quiet: &[&str]| {
        let output = world.run(&[&["replay", "-c", config, "archive"], quiet].concat(), b"");
        (String::from_utf8(output.stdout).unwrap(), output.status.code())
    };
    let (said, code) = replay(&["--quiet"]);
    assert!(said.starts_with("1 letter: failed again"), "{said}");
    assert_eq!(code, Some(75));
    world.standin.faults(|faults| *faults = Faults::default());
    assert_eq!(replay(&["--quiet"]), (String::new(), Some(0)));
    assert_eq!(replay(&["--quiet"]), (String::new(), Some(0)), "there are none left");
    let (said, _) = replay(&[]);
    assert!(said.contains("no dead letters"), "{said}");
    exactly_once(&world.standin.report(), 1);
}

#[test]
fn a_replay_says_how_far_it_is_and_what_it_did() {
    let world = world(0);
    let letter = |number: u64| {
        let data = base64_simd::STANDARD.encode_to_string(format!("line {number}\n"));
        serde_json::json!({
            "attemptsMade": 4, "arrivalTimestamp": 1_795_309_323_004_u64, "errorCode": "Lambda.FunctionError",
            "errorMessage": "it failed", "attemptEndingTimestamp": 1_795_309_423_004_u64, "rawData": data,
        })
    };
    let letters = world.path("failed");
    let lines: Vec<String> = (0..5).map(|number| format!("{}\n", letter(number))).collect();
    fs::write(&letters, lines.concat()).unwrap();
    // A file where the folder has to be: nothing can be delivered, and the replay gives up after `limits.shutdown`.
    fs::write(world.path("out"), "").unwrap();
    let replay = format!("replay out {}", letters.display());
    let (shown, code) = on_a_terminal(&world, &replay, &[]);
    assert_eq!(code, 75, "{shown}");
    assert!(shown.contains("\r\u{1b}[Kread 5 (100 %), delivered 0, "), "{shown:?}");
    let last = shown.split("\u{1b}[K").last().unwrap();
    assert!(last.contains("delivered 0 letters to `out`: 0 events, 0 B billed, in "), "{shown:?}");
    assert!(last.contains("5 letters: not delivered in time"), "{shown:?}");
    let (shown, _) = on_a_terminal(&world, &replay, &[("TERM", "dumb")]);
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
    let (shown, _) = on_a_terminal(&world, &replay, &[("NO_COLOR", "1")]);
    assert!(!shown.replace("\u{1b}[K", "").contains('\u{1b}') && shown.contains("WARN"), "{shown:?}");
    let (shown, code) = on_a_terminal(&world, &format!("{replay} --quiet"), &[]);
    assert!(!shown.contains("delivered 0") && shown.contains("5 letters: not delivered"), "{shown}");
    assert_eq!(code, 75, "{shown}");
    fs::remove_file(world.path("out")).unwrap();
    let (shown, code) = on_a_terminal(&world, &replay, &[]);
    assert!(shown.contains("delivered 5 letters to `out`: 5 events, ") && code == 0, "{shown}");
}

#[test]
fn health_is_asked_where_the_configuration_says() {
    let world = World::new();
    let daemon = world.file_to_firehose("").start();
    let config = world.config_path();
    let config = config.to_str().unwrap();
    // The daemon took a free port: a second configuration names it.
    let named = world.path("named.toml");
    let text = fs::read_to_string(config).unwrap();
    let listen = regex::Regex::new(r"(?m)^listen = .*$").unwrap();
    let text = listen.replace(&text, format!("listen = \"{}\"", daemon.admin()));
    fs::write(&named, text.as_bytes()).unwrap();
    let named = named.to_str().unwrap();
    let code = |arguments: &[&str]| world.run(arguments, b"").status.code();
    assert_eq!(code(&["health", "-c", named]), Some(0));
    assert_eq!(code(&["health", "--config", named, "--ready"]), Some(0));
    assert_eq!(code(&["health", "-c", named, "--url", "http://127.0.0.1:1"]), Some(2), "one of them");
    assert_eq!(code(&["health", "-c", "/nowhere/a.toml"]), Some(78));
    world.standin.faults(|faults| faults.refusal = Some(Refusal::AccessDenied));
    daemon.stop().drained();
    assert_eq!(code(&["health", "-c", named]), Some(1));
}
