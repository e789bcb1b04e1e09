//! `STANDPIPE__A__B=..` overrides, and `STANDPIPE_..` variables that mean nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::key::join;
use super::log_filter::{LOG_VARIABLE, log_filter};
use super::problem::{Notes, nearest};
use super::tree::{Node, Table, ValueOrigin, Written};

const OVERRIDE: &str = "STANDPIPE__";
const OURS: &str = "STANDPIPE_";

/// Variables of ours that are no setting: the level of the log.
const OTHERS: [&str; 1] = [LOG_VARIABLE];

/// Lays `STANDPIPE__A__B` over `a.b`.
pub(super) fn lay_over(tree: &mut Node, environment: &BTreeMap<String, String>, notes: &Notes) {
    for (name, value) in environment {
        let Some(path) = name.strip_prefix(OVERRIDE) else { continue };
        let segments: Vec<&str> = path.split("__").collect();
        let is_key = |segment: &&str| !segment.is_empty() && !segment.starts_with('_');
        if !segments.iter().all(is_key) {
            notes.problem_of(name, "", "is not a key; write an override like `STANDPIPE__LIMITS__MEMORY`");
            continue;
        }
        let leaf = Node::text(ValueOrigin::Variable(name.as_str().into()), value.clone());
        if let Err((key, problem)) = place(tree, "", &segments, leaf) {
            notes.problem_of(name, &key, problem);
        }
    }
}

/// Puts a leaf at a path below a node.
fn place(node: &mut Node, key: &str, path: &[&str], leaf: Node) -> Result<(), (String, String)> {
    let Some((segment, rest)) = path.split_first() else {
        *node = leaf;
        return Ok(());
    };
    let is_number = segment.bytes().all(|b| b.is_ascii_digit());
    if !matches!(node.value, Written::Table(_) | Written::List(_)) {
        let empty = if is_number { Written::List(Vec::new()) } else { Written::Table(Table::new()) };
        let made = || Node { origin: leaf.origin.clone(), value: empty };
        *node = node.inline().unwrap_or_else(made);
    }
    match &mut node.value {
        Written::List(items) => {
            let len = items.len();
            let key = format!("{key}[{}]", segment.to_lowercase());
            let index = segment.parse::<usize>().ok();
            if index == Some(len) {
                items.push(Node { origin: leaf.origin.clone(), value: Written::Nothing });
            }
            let Some(item) = index.and_then(|index| items.get_mut(index)) else {
                return Err((
                    key,
                    format!("is out of range: the list has length {len}, and items are numbered from 0"),
                ));
            };
            place(item, &key, rest, leaf)
        }
        Written::Table(table) => {
            let name = name_in(table, segment);
            let key = join(key, &name);
            let below = table
                .entry(name)
                .or_insert_with(|| Node { origin: leaf.origin.clone(), value: Written::Nothing });
            place(below, &key, rest, leaf)
        }
        Written::Nothing
        | Written::Flag(_)
        | Written::Integer(_)
        | Written::Float(_)
        | Written::Text(_)
        | Written::Broken => Ok(()),
    }
}

/// The key that a segment means: one that is there, whatever its case and with `_` for `-`, or else the segment in lower case.
fn name_in(table: &Table, segment: &str) -> String {
    let plain = segment.to_lowercase();
    if table.contains_key(&plain) {
        return plain;
    }
    let folded = |name: &str| name.to_lowercase().replace('-', "_");
    table.keys().find(|name| folded(name) == plain).cloned().unwrap_or(plain)
}

/// Notes variables that look like ours and have no effect, and a level of the log that is none.
pub(super) fn check_unmatched(
    environment: &BTreeMap<String, String>,
    named: &BTreeSet<String>,
    notes: &Notes,
) {
    if let Some(text) = environment.get(LOG_VARIABLE)
        && let Err(why) = log_filter(text)
    {
        notes.problem_of(LOG_VARIABLE, "", why);
    }
    let overrides: Vec<String> = notes.known_keys().iter().map(|key| variable_of(key)).collect();
    for (name, value) in environment {
        let is_ours = name.starts_with(OURS);
        let is_known = name.starts_with(OVERRIDE) || OTHERS.contains(&name.as_str()) || named.contains(name);
        if !is_ours || is_known || is_service_link(name, value) {
            continue;
        }
        notes.problem_of(name, "", unmatched(name, &overrides, named));
    }
}

fn unmatched(name: &str, overrides: &[String], named: &BTreeSet<String>) -> String {
    let underscores = |name: &str| name.replace("__", "_").to_uppercase();
    if let Some(meant) = overrides.iter().find(|known| underscores(known) == underscores(name)) {
        return format!("matches no key; separate levels by two underscores: `{meant}`");
    }
    let candidates =
        overrides.iter().map(String::as_str).chain(OTHERS).chain(named.iter().map(String::as_str));
    match nearest(name, candidates) {
        Some(near) => format!("matches no key; did you mean `{near}`?"),
        None => "matches no key; write an override like `STANDPIPE__LIMITS__MEMORY`".to_owned(),
    }
}

/// `sinks.archive.assume_role[1].arn` as a variable's name.
fn variable_of(key: &str) -> String {
    let path = key.replace(['.', '['], "__").replace(']', "").replace('-', "_");
    format!("{OVERRIDE}{}", path.to_uppercase())
}

/// Kubernetes tells every container of every service in its namespace, so that a service that is itself named `standpipe` is
/// told in variables such as `STANDPIPE_SERVICE_HOST` and `STANDPIPE_PORT_9598_TCP`.
fn is_service_link(name: &str, value: &str) -> bool {
    let is_link = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    let of_port = |protocol: &str| {
        let mark = format!("_{protocol}");
        [mark.clone(), format!("{mark}_PROTO"), format!("{mark}_PORT"), format!("{mark}_ADDR")]
            .iter()
            .any(|end| name.ends_with(end.as_str()))
    };
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || (name.ends_with("_PORT") && is_link)
        || (name.contains("_PORT_") && ["TCP", "UDP", "SCTP"].into_iter().any(of_port))
}
