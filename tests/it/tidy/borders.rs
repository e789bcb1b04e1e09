//! Who may import whom, folder by folder.

use std::collections::BTreeSet;

use super::tree::{Import, Tree, module_name};
use super::{Breach, breach};

/// What anybody may import, since it imports nothing of ours but its like.
const LEAVES: [&str; 6] = ["arn", "causes", "journal_export", "limits", "msgpack", "sync"];

/// A module, and those that it may import beside its own folder. A row names rows above it only, so that no circle can be allowed.
/// A row of a module within a folder adds to the folder's.
const BORDERS: &[(&str, &[&str])] = &[
    // What travels, and what everybody knows.
    ("event", &[]),
    ("config", &["event"]),
    ("overview", &[]),
    ("health", &["overview"]),
    ("metrics", &["config", "overview"]),
    ("state", &[]),
    // Where standpipe runs, as services of this host tell.
    ("metadata", &["config"]),
    // The sockets that others connect to.
    ("connections", &["health"]),
    // The stages: each knows what travels, none knows another.
    ("ack", &["event"]),
    ("decode", &["config", "event"]),
    ("route", &["config", "event"]),
    ("batch", &["config", "event"]),
    ("steps", &["config", "event"]),
    ("buffer", &["event"]),
    ("deadletter", &["event", "health", "metrics"]),
    ("aws", &["config", "event"]),
    ("sink", &["aws", "config", "deadletter", "event", "health", "metrics"]),
    // One stream of one account: what is packed waits here for its sink.
    (
        "destination",
        &["aws", "batch", "buffer", "config", "deadletter", "event", "health", "metrics", "overview", "sink"],
    ),
    // What is offered to who looks at it.
    ("tap", &["event"]),
    // The way of the data, from a source's chunk to a destination.
    (
        "pipeline",
        &[
            "batch",
            "config",
            "deadletter",
            "decode",
            "destination",
            "event",
            "health",
            "metadata",
            "metrics",
            "route",
            "sink::offload",
            "steps",
            "tap",
        ],
    ),
    ("source", &["ack", "config", "connections", "event", "health", "metrics", "overview", "pipeline"]),
    // What is read from AWS.
    ("source::cloudwatch_logs", &["aws"]),
    ("source::fluent_forward", &["metadata"]),
    ("source::kinesis", &["aws"]),
    ("source::s3", &["aws"]),
    // A replay delivers to what the letters failed at, past decoding and routing.
    ("source::dead_letters", &["batch", "deadletter", "destination"]),
    // The life around it.
    ("admin", &["connections", "health", "metrics", "overview"]),
    (
        "daemon",
        &[
            "ack",
            "admin",
            "aws",
            "batch",
            "buffer",
            "config",
            "deadletter",
            "decode",
            "destination",
            "event",
            "health",
            "metadata",
            "metrics",
            "overview",
            "pipeline",
            "route",
            "sink",
            "source",
            "state",
            "steps",
            "tap",
        ],
    ),
    // The plumbing between accounts, of which nothing above knows.
    ("access", &["aws", "config", "event"]),
    (
        "cli",
        &[
            "access",
            "ack",
            "config",
            "connections",
            "daemon",
            "deadletter",
            "decode",
            "event",
            "metadata",
            "metrics",
            "overview",
            "source",
            "state",
            "tap",
        ],
    ),
    ("main", &["cli"]),
];

/// Every import that no row allows; of those between the same two, the first in each file of each other.
pub(super) fn only_what_is_allowed(tree: &Tree) -> Vec<Breach> {
    let mut seen = BTreeSet::new();
    let mut breaches = Vec::new();
    for import in tree.imports() {
        let (from, to) = (import.from.module(), import.to.module());
        if from.first() == to.first() || is_leaf(&to) || rows(&from).any(|(_, may)| is_any(&to, may)) {
            continue;
        }
        let row = rows(&from)
            .last()
            .map_or_else(|| module_name(&from[..1.min(from.len())]), |(row, _)| (*row).to_owned());
        let key = format!("{row} -> {}", module_name(&to[..1.min(to.len())]));
        if seen.insert((&import.from.path, &import.to.path)) {
            breaches.push(breach(&key, words(&import, &row)));
        }
    }
    breaches
}

fn words(import: &Import<'_>, row: &str) -> String {
    let (place, line, what) = (&import.from.path, import.line, &import.to.path);
    if BORDERS.iter().any(|(module, _)| *module == row) {
        format!("{place}:{line} imports {what}, which the row of `{row}` does not allow")
    } else {
        format!("{place}:{line} imports {what}, and has no row in BORDERS: give `{row}` one")
    }
}

/// Every row, and every name in one, that nothing needs.
pub(super) fn unused(tree: &Tree) -> Vec<Breach> {
    let imports: Vec<_> =
        tree.imports().into_iter().map(|import| (import.from.module(), import.to.module())).collect();
    let mut breaches = Vec::new();
    for (row, may) in BORDERS {
        if !tree.production().any(|source| is_below(&source.module(), row)) {
            breaches.push(breach(row, "has a row in BORDERS, and does not exist".into()));
        }
        for name in *may {
            if !imports.iter().any(|(from, to)| is_below(from, row) && is_below(to, name)) {
                breaches.push(breach(&format!("{row} -> {name}"), "is allowed, and nobody needs it".into()));
            }
        }
    }
    breaches
}

fn rows(module: &[String]) -> impl Iterator<Item = &'static (&'static str, &'static [&'static str])> {
    BORDERS.iter().filter(|(row, _)| is_below(module, row))
}

fn is_leaf(module: &[String]) -> bool {
    is_any(module, &LEAVES)
}

fn is_any(module: &[String], names: &[&str]) -> bool {
    names.iter().any(|name| is_below(module, name))
}

fn is_below(module: &[String], name: &str) -> bool {
    let mut parts = module.iter();
    name.split("::").all(|part| parts.next().is_some_and(|module| module == part))
}

#[test]
fn no_row_allows_one_below_it() {
    for (at, (row, may)) in BORDERS.iter().enumerate() {
        for name in *may {
            let folder = name.split("::").next().unwrap_or(name);
            let above = BORDERS.iter().position(|(row, _)| *row == folder);
            assert!(
                above.is_some_and(|above| above < at),
                "`{row}` may import `{name}`, which stands below it"
            );
        }
    }
}
