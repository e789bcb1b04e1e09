//! How `journalctl` is called.

use std::ffi::OsString;
use std::process::Command;

use crate::config::JournaldSource;

/// The fields that are told of an entry, beside those that are always: an entry has some twenty more.
const FIELDS: &str = "MESSAGE,PRIORITY,SYSLOG_IDENTIFIER,_HOSTNAME,_SOURCE_REALTIME_TIMESTAMP,_SYSTEMD_UNIT";

/// One of the shortest.
const ONE_FIELD: &str = "PRIORITY";

/// The program's name, for people.
pub(super) fn program(config: &JournaldSource) -> String {
    config.journalctl.display().to_string()
}

/// Prints the entries from this cursor on, with the one that it is of, or from the oldest one on; and those that come, where it follows.
pub(super) fn entries(config: &JournaldSource, cursor: &str, follows: bool) -> Command {
    let mut command = of_journal(config, FIELDS);
    if follows {
        command.args(["--follow", "--no-tail"]);
    }
    if !cursor.is_empty() {
        // Not `--after-cursor`: whether it passes over an entry that is not the one of the cursor depends on the version.
        command.arg(format!("--cursor={cursor}"));
    }
    command.args(selection(config));
    command
}

/// Prints the newest entry of all.
pub(super) fn newest(config: &JournaldSource) -> Command {
    let mut command = of_journal(config, ONE_FIELD);
    command.arg("--lines=1");
    command
}

/// Prints all entries, the oldest first.
pub(super) fn oldest(config: &JournaldSource) -> Command {
    of_journal(config, ONE_FIELD)
}

/// Prints the newest entry of those that are read.
pub(super) fn newest_selected(config: &JournaldSource) -> Command {
    let mut command = newest(config);
    command.args(selection(config));
    command
}

fn of_journal(config: &JournaldSource, fields: &str) -> Command {
    let mut command = Command::new(&config.journalctl);
    // Quiet, or notes for people come between entries.
    command.args(["--output=export", "--quiet"]).arg(format!("--output-fields={fields}"));
    if let Some(directory) = &config.directory {
        command.arg(joined("--directory=", directory.as_os_str().to_owned()));
    }
    if let Some(namespace) = &config.namespace {
        command.arg(format!("--namespace={namespace}"));
    }
    command
}

fn selection(config: &JournaldSource) -> Vec<OsString> {
    let units = config.units.iter().map(|unit| format!("--unit={unit}"));
    let priority = config.priority.iter().map(|priority| format!("--priority={priority}"));
    units.chain(priority).chain(config.matches.iter().cloned()).map(OsString::from).collect()
}

fn joined(option: &str, value: OsString) -> OsString {
    let mut all = OsString::from(option);
    all.push(value);
    all
}
