//! What the program says of itself: `--help` of every command.

use std::process::Command;
use std::sync::LazyLock;

/// A command, such as `["state", "list"]`, and its help.
pub(crate) type Help = (Vec<String>, String);

static ALL: LazyLock<Vec<Help>> = LazyLock::new(|| {
    let mut all = Vec::new();
    add(&[], &mut all);
    assert!(all.len() > 10, "commands are listed in the help: {all:?}");
    all
});

/// Every command, the program itself first.
pub(crate) fn all() -> &'static [Help] {
    &ALL
}

fn add(command: &[String], all: &mut Vec<Help>) {
    let text = of(command);
    let below: Vec<String> = text
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| line.starts_with("  "))
        // A name stands in the second column; what goes on in the next line is further in.
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .filter(|name| name != "help")
        .collect();
    all.push((command.to_vec(), text));
    for name in below {
        add(&[command, &[name]].concat(), all);
    }
}

fn of(command: &[String]) -> String {
    let program = env!("CARGO_BIN_EXE_standpipe");
    let output = Command::new(program).args(command).arg("--help").env_clear().output().unwrap();
    assert!(output.status.success(), "standpipe {} --help", command.join(" "));
    String::from_utf8(output.stdout).unwrap()
}
