//! A report as a tree for people.

use std::fmt::Write;

use super::{Fix, Hop, HopFinding, HopReport, Severity};

/// The report as text; `colour` is for terminals.
#[must_use]
pub fn tree(report: &HopReport, colour: bool) -> String {
    let mut text = String::new();
    for hop in &report.hops {
        branch(hop, colour, &mut text);
    }
    text.push_str(&last(report));
    text
}

fn last(report: &HopReport) -> String {
    let accounts = &report.unseen_accounts;
    let unseen = match accounts.as_slice() {
        [] => String::new(),
        [one] => format!("nothing could be seen of account {one}\n"),
        several => format!("nothing could be seen of {} accounts: {}\n", several.len(), several.join(", ")),
    };
    match report.first_failure() {
        None if accounts.is_empty() => "no failure\n".to_owned(),
        None => format!("no failure in what was seen\n{unseen}"),
        Some((hop, finding)) => format!("{unseen}first failure: {}, {}\n", hop.name, finding.check),
    }
}

fn branch(hop: &Hop, colour: bool, text: &mut String) {
    text.extend([&hop.name, "\n"]);
    for (index, finding) in hop.findings.iter().enumerate() {
        let is_last = index + 1 == hop.findings.len();
        let (fork, stem) = if is_last { ("└── ", "    ") } else { ("├── ", "│   ") };
        let word = painted(finding.level, colour);
        text.extend([fork, &word, "  ", finding.check, ": ", &finding.seen, "\n"]);
        for line in below(finding) {
            text.extend([stem, "         ", &line, "\n"]);
        }
    }
}

/// A word of the same width for each level.
fn painted(level: Severity, colour: bool) -> String {
    let mut word = String::new();
    // Nothing fails that is written to a string.
    write!(word, "{:7}", level.as_str()).ok();
    let code = match level {
        Severity::Ok => "32",
        Severity::Skipped => "2",
        Severity::Warning => "33",
        Severity::Failure => "31;1",
    };
    if colour { format!("\u{1b}[{code}m{word}\u{1b}[0m") } else { word }
}

fn below(finding: &HopFinding) -> Vec<String> {
    let mut lines: Vec<String> = finding.why.iter().map(|why| format!("why: {why}")).collect();
    let Some(Fix { text, policies, commands, calls: _ }) = &finding.fix else { return lines };
    lines.push(format!("fix: {text}"));
    for missing in policies {
        lines.push(format!("{}:", missing.at));
        lines.extend(missing.document.to_pretty_json().lines().map(|line| format!("  {line}")));
    }
    lines.extend(commands.iter().map(|command| {
        // A remark stands by itself.
        if command.starts_with('#') { command.clone() } else { format!("$ {command}") }
    }));
    lines
}
