//! What shells and `man` are given: every command and every option of it, as the program itself knows them.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use regex::Regex;

use crate::world::World;

fn output(world: &World, arguments: &[&str]) -> String {
    let output = world.run(arguments, b"");
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The long options of a help text.
fn options(help: &str) -> Vec<String> {
    let option = Regex::new(r"(?m)^\s+(?:-\w, )?(--[a-z-]+)").unwrap();
    option.captures_iter(help).map(|found| found[1].to_owned()).collect()
}

#[test]
fn every_command_has_a_man_page_with_its_options() {
    let world = World::new();
    let folder = world.path("man1");
    let said = output(&world, &["man", folder.to_str().unwrap()]);
    let commands = crate::help::all();
    assert!(said.contains(&format!("wrote {} pages", commands.len())), "{said}");
    for (command, help) in commands {
        let name = [&["standpipe".to_owned()], command.as_slice()].concat().join("-");
        let page = fs::read_to_string(folder.join(format!("{name}.1"))).unwrap();
        assert!(page.contains(".TH ") && page.contains(".SH SYNOPSIS"), "{name}: {page}");
        let plain = page.replace('\\', "");
        for option in options(help) {
            assert!(plain.contains(&option), "{name} has {option}:\n{page}");
        }
        assert_eq!(
            page.contains(".SH EXAMPLES"),
            help.contains("Example"),
            "{name} shows its examples:\n{page}"
        );
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), commands.len(), "and no other page is there");
    let alone = output(&world, &["man"]);
    assert_eq!(alone, fs::read_to_string(folder.join("standpipe.1")).unwrap());
}

#[test]
fn a_folder_that_cannot_be_written_is_said() {
    let world = World::new();
    fs::write(world.path("file"), "").unwrap();
    let folder = world.path("file").join("man1");
    let output = world.run(&["man", folder.to_str().unwrap()], b"");
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(words.contains("cannot write man pages to") && words.contains("file/man1"), "{words}");
}

#[test]
fn every_shell_is_told_every_command() {
    let world = World::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = output(&world, &["completions", shell]);
        // The generator for fish knows two levels of commands.
        let levels = if shell == "fish" { 2 } else { usize::MAX };
        for (command, help) in crate::help::all().iter().filter(|(command, _)| command.len() <= levels) {
            for word in command.iter().chain(&options(help)) {
                let known = if shell == "fish" { word.trim_start_matches("--") } else { word };
                assert!(script.contains(known), "{shell} knows `{known}` of {command:?}");
            }
        }
    }
    assert_eq!(world.run(&["completions", "csh"], b"").status.code(), Some(2));
}

#[test]
fn bash_completes_commands_and_options() {
    let world = World::new();
    let script = output(&world, &["completions", "bash"]);
    for (words, expected) in [
        ("standpipe rep", "replay"),
        ("standpipe access re", "render"),
        ("standpipe run --on", "--once"),
        ("standpipe completions fi", "fish"),
    ] {
        let last = words.split(' ').count() - 1;
        let calls = format!(
            "COMP_WORDS=({words})\nCOMP_CWORD={last}\n_standpipe standpipe \"${{COMP_WORDS[{last}]}}\" \"${{COMP_WORDS[{}]}}\"\necho \"${{COMPREPLY[@]}}\"\n",
            last - 1
        );
        let mut bash = Command::new("bash")
            .args(["--norc", "-s"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        bash.stdin.take().unwrap().write_all(format!("{script}\n{calls}").as_bytes()).unwrap();
        let output = bash.wait_with_output().unwrap();
        let found = String::from_utf8_lossy(&output.stdout).into_owned();
        let words_of_bash = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(found.trim(), expected, "{words}: {words_of_bash}");
    }
}
