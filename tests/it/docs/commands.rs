//! Every command line that is shown is one that the program understands.

use std::fs;

use super::{found, pages, root};
use crate::world::World;

#[test]
fn every_command_that_is_shown_is_understood() {
    let world = World::new();
    let mut shown = shown();
    shown.sort();
    shown.dedup_by(|a, b| a.1 == b.1);
    assert!(shown.len() > 30, "commands are found: {shown:#?}");
    for (place, arguments) in shown {
        // What comes before it is read first, and refused if it is not known; what must be there and is not, is not missed.
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(["--help"]).collect();
        let output = world.run(&arguments, b"");
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{place}: standpipe {}\n{words}", arguments.join(" "));
    }
}

/// The arguments of each command line, and where it stands.
fn shown() -> Vec<(String, Vec<String>)> {
    let mut shown = Vec::new();
    let mut add = |place: &str, text: &str| {
        shown.extend(text.lines().flat_map(commands).map(|arguments| (place.to_owned(), arguments)));
    };
    for (path, text) in pages() {
        let place = path.display().to_string();
        for pattern in [r"(?s)```sh\n(.*?)```", r"`([^`\n]*)`"] {
            for code in found(pattern, &text) {
                add(&place, &code);
            }
        }
    }
    for (command, text) in crate::help::all() {
        add(&format!("standpipe {} --help", command.join(" ")), text);
    }
    for path in [
        "config/standpipe.toml",
        "config/quickstart.toml",
        "config/topology.toml",
        "config/examples/sidecar.toml",
    ] {
        let text = fs::read_to_string(root().join(path)).unwrap();
        // Prose has the name too: there, only what begins as a command is one.
        let is_command = |line: &&str| {
            let first = commands(line).into_iter().flatten().next();
            crate::help::all().iter().any(|(command, _)| command.first() == first.as_ref() && first.is_some())
        };
        for line in text.lines().filter_map(|line| line.strip_prefix('#')).filter(is_command) {
            add(path, line);
        }
        for code in found(r"`([^`\n]*)`", &text) {
            add(path, &code);
        }
    }
    for unit in ["systemd/standpipe.service", "systemd/standpipe-subscribe.service"] {
        let text = fs::read_to_string(root().join(unit)).unwrap();
        for line in found(r"(?m)^Exec\w+=(.*)$", &text) {
            add(unit, &line);
        }
    }
    shown
}

/// The arguments of each `standpipe` that a line calls: at its beginning, behind a pipe, by `sudo` or by `-exec`.
fn commands(line: &str) -> Vec<Vec<String>> {
    // What it is for stands further right.
    let line = line.trim().split("  ").next().unwrap_or_default();
    let line = line.split(" #").next().unwrap_or_default();
    let calls = line.split(['|', ';', '\\']).flat_map(|part| part.split("&&"));
    let mut commands = Vec::new();
    for call in calls {
        let words: Vec<&str> = call.split_whitespace().collect();
        let begin = match words.as_slice() {
            ["sudo", "-u", _, ..] => 3,
            ["sudo", ..] => 1,
            _ => words.iter().position(|word| *word == "-exec").map_or(0, |at| at + 1),
        };
        let Some((program, arguments)) = words.get(begin..).and_then(<[&str]>::split_first) else { continue };
        if *program != "standpipe" && !program.ends_with("/standpipe") {
            continue;
        }
        let arguments =
            arguments.iter().take_while(|word| !word.starts_with(['>', '<']) && !word.starts_with("2>"));
        commands.push(arguments.map(|word| word.trim_matches(['\'', '"']).to_owned()).collect());
    }
    commands
}

#[test]
fn commands_are_found_in_lines() {
    for (line, expected) in [
        ("standpipe check -c a.toml        # what it makes", "check -c a.toml"),
        ("  standpipe doctor --json | jq .first_failure", "doctor --json"),
        ("sudo -u standpipe standpipe state list", "state list"),
        ("cat a | standpipe decode - > b", "decode -"),
        ("find x -exec standpipe replay a {} +", "replay a {} +"),
        ("/usr/bin/standpipe run", "run"),
        ("standpipe check && reload", "check"),
        (" standpipe check -c a.toml    says what is wrong", "check -c a.toml"),
        ("systemctl status standpipe", ""),
        ("the standpipe is a pipe", ""),
    ] {
        let found: Vec<String> = commands(line).iter().map(|arguments| arguments.join(" ")).collect();
        assert_eq!(found.join("; "), expected, "{line}");
    }
}
