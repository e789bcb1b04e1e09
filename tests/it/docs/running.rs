//! Every command line that a page shows in a block of its own is run: here, by the test or script that is named, or it is said what it needs
//! that no test has.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::{pages, root};
use crate::world::{Daemon, Envelope, RUN, World};

/// What becomes of a command line.
#[derive(Clone, Copy, Debug)]
enum CommandFate {
    /// It is run here, on a host that `Host` makes.
    Here,
    /// Tests of these modules run it, with the same options; this is one of them.
    By(&'static [&'static str], &'static str),
    /// A script runs it.
    Script(&'static str),
    /// It needs AWS itself.
    Aws,
    /// It changes a host: its users, units and files.
    Root,
    /// It needs a container engine.
    Engine,
}

/// By the beginning of a command line; the first that fits decides.
const FATES: [(&str, CommandFate); 32] = [
    ("cargo run --release -- run -c config/quickstart.toml --once", CommandFate::Script(".ci/run")),
    ("cargo build --release --locked", CommandFate::Script(".ci/run")),
    ("make test", CommandFate::Script(".ci/run")),
    ("make image", CommandFate::Engine),
    ("docker ", CommandFate::Engine),
    ("AWS_PROFILE=", CommandFate::Aws),
    ("aws ", CommandFate::Aws),
    ("sudo apt install", CommandFate::Root),
    ("sudo editor", CommandFate::Root),
    ("sudo install", CommandFate::Root),
    ("sudo systemctl", CommandFate::Root),
    ("sudo systemd-sysusers", CommandFate::Root),
    ("sudo usermod", CommandFate::Root),
    ("systemctl", CommandFate::Root),
    ("journalctl", CommandFate::Root),
    (
        "standpipe access apply",
        CommandFate::By(
            &["apply", "subscribe", "access", "terminal"],
            "what_is_made_is_kept_and_repaired_and_taken_away",
        ),
    ),
    ("standpipe access verify", CommandFate::By(&["fixes"], "the_commands_of_a_fix_fix_it")),
    ("standpipe access render", CommandFate::Here),
    ("standpipe completions", CommandFate::By(&["shells"], "every_shell_is_told_every_command")),
    ("sudo standpipe man", CommandFate::By(&["shells"], "every_command_has_a_man_page_with_its_options")),
    (
        "standpipe doctor",
        CommandFate::By(&["doctor", "fixes"], "a_world_in_which_all_is_well_has_no_failure"),
    ),
    (
        "standpipe top",
        CommandFate::By(
            &["live"],
            "top_draws_on_a_narrow_terminal_and_gives_it_back_at_a_key_a_signal_and_without_a_daemon",
        ),
    ),
    (
        "standpipe tap",
        CommandFate::By(
            &["live"],
            "a_tap_of_a_source_shows_events_after_redaction_and_a_filter_leaves_out_others",
        ),
    ),
    ("standpipe check", CommandFate::Here),
    ("standpipe test", CommandFate::Here),
    ("standpipe run", CommandFate::Here),
    ("standpipe health", CommandFate::Here),
    ("standpipe status", CommandFate::Here),
    ("standpipe ", CommandFate::Here),
    ("find failed", CommandFate::Here),
    ("jq ", CommandFate::Here),
    ("STANDPIPE__", CommandFate::Here),
];

/// What a user has who reads a page: a configuration, a daemon that runs by it, and the files that the pages name.
struct Host {
    world: World,
    daemon: Option<Daemon>,
}

/// A letter as the page on dead letters shows it.
const LETTER: &str = r#"{"time":"2026-11-22T01:02:03.004Z","sink":"archive","reason":"InvalidArgumentException","error":"1 validation error","content":"record","events":1,"size":35,"source":"app","host":"web-1","file":"/var/log/app/a.log","text":"this line is poison to the service\n"}"#;

/// What Firehose itself could not deliver.
const BACKUP: &str = r#"{"attemptsMade":4,"arrivalTimestamp":1795309323004,"errorCode":"Lambda.FunctionError","errorMessage":"it failed","attemptEndingTimestamp":1795309423004,"rawData":"YSBsaW5lCg=="}"#;

const ROUTES: &str = "[[routes]]\nwhen = { message = \"^DEBUG\" }\ndrop = true\n[[routes]]\nto = [\"archive\"]\n\
    [[tests]]\nname = \"debug lines are dropped\"\nsource = \"app\"\nlines = [\"DEBUG a\", \"b\"]\nexpect = [{ sink = \"archive\", count = 1 }]\ndropped = [{ route = 0 }]\n";

impl Host {
    fn new() -> Self {
        let world = World::new();
        world.file_to_firehose(ROUTES);
        world.write("app.log", 0..10);
        let daemon = world.start();
        let host = Self { world, daemon: Some(daemon) };
        let programs = host.world.path("programs");
        fs::create_dir(&programs).unwrap();
        // What a host has by itself: the configuration in its place, and the address of its daemon. A run here ends.
        let program = env!("CARGO_BIN_EXE_standpipe");
        let url = host.daemon.as_ref().unwrap().admin();
        let shim = format!(
            "#!/bin/sh\ncase \"$* \" in\n--version*|*\" -c \"*|schema*|decode*|access*|\"check \"*.toml*) ;;\n\
             status*|health*) set -- \"$@\" --url http://{url} ;;\n*) set -- \"$@\" -c agent.toml ;;\nesac\n\
             case \"$1\" in run) set -- \"$@\" --once ;; esac\nexec {program} \"$@\"\n"
        );
        let path = programs.join("standpipe");
        fs::write(&path, shim).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        host
    }

    /// The files that the pages name, as they are before a command.
    fn lay_out(&self) {
        let (path, text) =
            (|name: &str| self.world.path(name), fs::read_to_string(self.world.config_path()).unwrap());
        for folder in ["access", "cfn", "terraform", "policies", "failed"] {
            fs::remove_dir_all(path(folder)).ok();
        }
        // The daemon has the state, and a run beside it one of its own.
        fs::write(path("agent.toml"), &text).unwrap();
        fs::copy(root().join("config/topology.toml"), path("topology.toml")).unwrap();
        fs::write(path("object.gz"), Envelope::of_lines(RUN, 0..3).gzipped()).unwrap();
        for folder in ["archive", "_subscriptions"] {
            let folder = path("state/dead-letters").join(folder);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("2026-11-22T01-02-03.004Z-000.ndjson"), format!("{LETTER}\n")).unwrap();
        }
        for name in ["2026-11-22T01-02-03.004Z-000.corrupt", "fixed.ndjson"] {
            fs::write(path(name), format!("{LETTER}\n")).unwrap();
        }
        fs::create_dir(path("failed")).unwrap();
        fs::write(path("failed/1"), format!("{BACKUP}\n")).unwrap();
    }

    fn run(&self, line: &str) -> Output {
        let programs = self.world.path("programs");
        let mut shell = Command::new("bash");
        shell.args(["-euo", "pipefail", "-c", line]).env_clear().envs(self.world.environment());
        shell.env("PATH", format!("{}:/usr/bin:/bin", programs.display())).env("HOME", self.world.path(""));
        shell.current_dir(self.world.path("")).stdin(Stdio::null()).output().unwrap()
    }
}

#[test]
fn every_command_that_a_page_shows_is_run_or_says_what_it_needs() {
    let mut host = Host::new();
    let lines = shown();
    assert!(lines.len() > 60, "commands are found: {lines:#?}");
    let mut unused: Vec<&str> = FATES.iter().map(|(begin, _)| *begin).collect();
    for (place, line) in &lines {
        let own = without_user(line);
        let found = FATES.iter().find(|(begin, _)| own.starts_with(begin));
        let (begin, fate) = found.unwrap_or_else(|| panic!("{place}: `{line}` is run by nobody: see FATES"));
        unused.retain(|other| other != begin);
        match fate {
            CommandFate::Here => run_here(&mut host, place, &own),
            CommandFate::By(modules, name) => has_test(place, &own, modules, name),
            CommandFate::Script(script) => {
                let script = fs::read_to_string(root().join(script)).unwrap();
                let command = own.split(" #").next().unwrap().trim();
                assert!(script.contains(command), "{place}: `{command}` is not in the script");
            }
            CommandFate::Aws | CommandFate::Root | CommandFate::Engine => {}
        }
    }
    assert_eq!(unused, Vec::<&str>::new(), "no page shows these");
    if let Some(daemon) = host.daemon.take() {
        daemon.kill();
    }
}

fn run_here(host: &mut Host, place: &str, line: &str) {
    if line.contains("jq ") && !Path::new("/usr/bin/jq").exists() {
        return left_out(line);
    }
    host.lay_out();
    let mut line = line.replace("/etc/standpipe/standpipe.toml", "agent.toml");
    // The next command is of another kind.
    if let Some((first, _)) = line.split_once(" && sudo ") {
        line = first.to_owned();
    }
    if line.starts_with("STANDPIPE__") {
        line.push_str(" standpipe check -c agent.toml");
    }
    // It would be the second with this state, so the first one stops.
    let runs = line.starts_with("standpipe run");
    if runs && let Some(daemon) = host.daemon.take() {
        daemon.stop().drained();
    }
    let output = host.run(&line);
    let words = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{place}: {line}\n{}\n{words}", output.status);
    if runs {
        *host = Host::new();
    }
}

/// Somewhere in these modules is the test, and each option of the command.
fn has_test(place: &str, line: &str, modules: &[&str], name: &str) {
    let text =
        |module: &&str| fs::read_to_string(root().join("tests/it").join(format!("{module}.rs"))).unwrap();
    let text: String = modules.iter().map(text).collect();
    assert!(text.contains(&format!("fn {name}(")), "{place}: no test is called `{name}`");
    let command = line.split(" #").next().unwrap().split('|').next().unwrap();
    for option in command.split_whitespace().filter(|word| word.starts_with("--")) {
        let option = option.split('=').next().unwrap();
        assert!(text.contains(option), "{place}: no test of {modules:?} has `{option}`, of `{line}`");
    }
}

/// The command lines of each `sh` block of the README and the pages, with those that go on in the next line made whole.
fn shown() -> Vec<(String, String)> {
    let mut shown = Vec::new();
    for (path, text) in pages() {
        let is_of_developers = path.parent() == Some(&root()) && !path.ends_with("README.md");
        if is_of_developers || path.starts_with(root().join("benches")) {
            continue;
        }
        let place = path.file_name().unwrap().to_string_lossy().into_owned();
        // In the order of the page.
        for block in text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next()) {
            let whole = block.replace("\\\n", " ");
            let lines =
                whole.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
            shown.extend(lines.map(|line| (place.clone(), line.to_owned())));
        }
    }
    shown
}

/// A test has one user.
fn without_user(line: &str) -> String {
    line.replace("sudo -u standpipe ", "")
}

#[expect(clippy::print_stderr, reason = "a test left out is said aloud")]
fn left_out(line: &str) {
    eprintln!("left out: `jq` is missing, for `{line}`");
}
