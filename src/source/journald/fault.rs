//! What keeps the source from reading, each with its fix.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use crate::journal_export::ExportError;

/// What keeps the source from reading.
#[derive(Debug, thiserror::Error)]
pub(super) enum JournaldFault {
    #[error("cannot run `{program}`: install systemd's journalctl, or say in `journalctl` where it is")]
    Missing { program: String, source: io::Error },
    #[error(
        "cannot read `{}`: let standpipe's user do so: `usermod -aG systemd-journal standpipe`, or `SupplementaryGroups=systemd-journal` in its unit",
        .0.display()
    )]
    Unreadable(PathBuf),
    #[error("`{program}` ended by itself, {status}: {}{}", shown(.said), advice(.said))]
    Ended { program: String, status: ExitStatus, said: String },
    #[error("what `{program}` prints is not the journal's export format; it is read again: {error}")]
    Format { program: String, error: ExportError },
    #[error("`{program}` told nothing for {} s: see whether it does so by hand", .time.as_secs())]
    Silent { program: String, time: Duration },
    #[error("cannot read what `{program}` prints")]
    Pipe { program: String, source: io::Error },
    #[error("held for too long for a run with --once: {0}")]
    Held(String),
}

impl JournaldFault {
    /// As a metric's label.
    pub(super) const fn reason(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "unreadable",
            Self::Format { .. } => "format",
            Self::Missing { .. }
            | Self::Ended { .. }
            | Self::Silent { .. }
            | Self::Pipe { .. }
            | Self::Held(_) => "journalctl",
        }
    }
}

/// What it said last, on one line.
fn shown(said: &str) -> String {
    let words: Vec<&str> = said.split_whitespace().collect();
    if words.is_empty() { "it said nothing".to_owned() } else { words.join(" ") }
}

fn advice(said: &str) -> &'static str {
    if said.contains("insufficient permissions") || said.contains("Permission denied") {
        "; let standpipe's user read the journal: `usermod -aG systemd-journal standpipe`, or `SupplementaryGroups=systemd-journal` in its unit"
    } else if said.contains("unrecognized option") || said.contains("Unknown option") {
        "; journalctl of systemd 236 or later is needed, and 245 for `namespace`"
    } else if said.contains("seek to cursor") {
        "; `standpipe state forget` drops the position"
    } else if said.contains("No such file or directory") {
        "; correct `directory`"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    #[test]
    fn what_journalctl_says_comes_with_its_fix() {
        let check = |said: &str, expected: &[&str]| {
            let (program, status) = ("journalctl".to_owned(), ExitStatus::from_raw(1 << 8));
            let text = JournaldFault::Ended { program, status, said: said.to_owned() }.to_string();
            assert!(expected.iter().all(|part| text.contains(part)), "{text}");
        };
        check("", &["exit status: 1", "it said nothing"]);
        check(
            "No journal files were opened due to insufficient permissions.\n",
            &["insufficient permissions.; ", "usermod -aG systemd-journal standpipe"],
        );
        check("journalctl: unrecognized option '--output-fields'", &["systemd 236 or later"]);
        check("Failed to seek to cursor: Invalid argument", &["state forget"]);
        check("Failed to open nope: No such file or directory", &["correct `directory`"]);
    }
}
