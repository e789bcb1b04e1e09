//! Reads `[sources.NAME]` of type `journald`.

use std::path::PathBuf;

use super::decoding::{MAX_RECORD, too_long};
use super::section::{Section, expected};
use super::tree::Node;
use super::types::{Decoding, Format, JournaldSource, Start};
use super::values::{Parsed, choice, length, list, path, string, string_that};
use crate::event::Charset;

/// As syslog numbers them.
const PRIORITIES: [(&str, u8); 8] = [
    ("emerg", 0),
    ("alert", 1),
    ("crit", 2),
    ("err", 3),
    ("warning", 4),
    ("notice", 5),
    ("info", 6),
    ("debug", 7),
];

/// What stands between two lists of matches of which one has to hold.
const OR: &str = "+";

/// Reads one source.
pub(super) fn source(section: &mut Section<'_>) -> JournaldSource {
    let units = section.or("units", Vec::new(), list(unit));
    let priority = section.optional("priority", choice(&PRIORITIES));
    let matches = section.or("matches", Vec::new(), list(journal_match));
    let is_lost = |at: usize| matches.get(at).is_none_or(|next| next == OR);
    if (0..matches.len()).any(|at| matches.get(at).is_some_and(|it| it == OR) && (at == 0 || is_lost(at + 1)))
    {
        section.problem("matches", "has a `+` that is not between two matches");
    }
    let start =
        section.or("start", Start::End, choice(&[("beginning", Start::Beginning), ("end", Start::End)]));
    let directory = section.optional("directory", path);
    let plain = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    let namespace = section.optional("namespace", string_that(plain, "the name of a namespace of journald"));
    if directory.is_some() && namespace.is_some() {
        section.problem("namespace", "has no use beside `directory`; remove one of them");
    }
    let journalctl = section.or("journalctl", PathBuf::from("journalctl"), path);
    let max_line = usize::try_from(MAX_RECORD).unwrap_or(usize::MAX);
    let decoding = Decoding {
        format: Format::Journald,
        charset: Charset::UTF8,
        multiline: None,
        max_line: section.or("max_line", max_line, length(1_024..=MAX_RECORD)),
        too_long: too_long(section),
        // Nothing is compressed.
        max_inflated: usize::MAX,
    };
    JournaldSource { units, priority, matches, start, directory, namespace, journalctl, decoding }
}

/// `journalctl` knows globs, too, but compares them with the units that have entries when it starts.
fn unit(node: &Node) -> Parsed<String> {
    let name = string(node)?;
    if name.contains(['*', '?', '[']) {
        return Err(expected(
            node,
            "a unit's whole name, such as `nginx.service`; for a glob, leave `units` out, and write a route with `when = { unit = [..] }`",
        ));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '-' | '_' | '.' | '\\' | '@');
    let is_name = name.len() < 256 && name.chars().all(plain);
    if is_name { Ok(name) } else { Err(expected(node, "a unit's name, such as `nginx.service`")) }
}

fn journal_match(node: &Node) -> Parsed<String> {
    let text = string(node)?;
    let is_field = |name: &str| {
        let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        !name.is_empty() && name.bytes().all(plain)
    };
    let is_match = text.split_once('=').is_some_and(|(name, _)| is_field(name)) && !text.contains('\0');
    if is_match || text == OR {
        Ok(text)
    } else {
        Err(expected(node, "a field and its value, such as `_TRANSPORT=kernel`, or `+` between two of them"))
    }
}
