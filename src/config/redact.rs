//! Reads `[redact]`, of all sources and of one.

use std::collections::BTreeSet;
use std::sync::Arc;

use regex::bytes::RegexBuilder;

use super::misfit::Misfit;
use super::section::{Section, expected};
use super::tree::Node;
use super::types::{NamedPattern, OwnPattern, Redaction, ReplaceWith};
use super::values::{Parsed, byte_at_fault, choice, list, not_a, string};

/// Most patterns of one's own: each may be looked for in every event.
const MOST_PATTERNS: usize = 32;

/// A message may become so many times as long.
const MOST_GROWTH: usize = 8;

/// A pattern compiles to no more than this, so that the steps that it takes for each byte are few.
const MOST_COMPILED: usize = 256 << 10;

/// What is written in place of what was found: `[name]`, asterisks, or `[name:hash]`.
const WITH: [(&str, ReplaceWith); 3] =
    [("text", ReplaceWith::Text), ("mask", ReplaceWith::Mask), ("hash", ReplaceWith::Hash)];

/// Reads what is redacted. A source's own takes the key of the common one, where it has none.
pub(super) fn redaction(mut section: Section<'_>, common: Option<&Redaction>) -> Option<Redaction> {
    let known = NamedPattern::ALL.map(|pattern| (pattern.name(), pattern));
    let mut named = section.or("named", Vec::new(), list(choice(&known)));
    named.sort_unstable();
    named.dedup();
    let with = section.or("with", ReplaceWith::Text, choice(&WITH));
    let tables = section.tables("patterns")?;
    let n_patterns = tables.len();
    let patterns: Vec<OwnPattern> = tables.into_iter().filter_map(|table| own(table, with)).collect();
    if n_patterns > MOST_PATTERNS {
        section.problem("patterns", format!("found {n_patterns}, expected at most {MOST_PATTERNS}"));
    }
    let mut seen: BTreeSet<&str> = NamedPattern::ALL.iter().map(|pattern| pattern.name()).collect();
    for pattern in &patterns {
        if !seen.insert(&pattern.name) {
            let text = format!("two patterns are named `{}`; use another name", pattern.name);
            section.problem("patterns", text);
        }
    }
    let has_key = section.has("key");
    let key = section.secret("key").or_else(|| common.and_then(|common| common.key.clone()));
    let hashes = with == ReplaceWith::Hash && !named.is_empty()
        || patterns.iter().any(|pattern| pattern.with == ReplaceWith::Hash);
    if hashes && key.is_none() && !has_key {
        let text = "missing, and needed by `with = \"hash\"`; give it a secret such as `${file:/run/secrets/redact}`";
        section.problem("key", text);
    }
    section.finish();
    (patterns.len() == n_patterns).then_some(Redaction { named, with, patterns, key })
}

fn own(mut section: Section<'_>, with: ReplaceWith) -> Option<OwnPattern> {
    let name = section.required("name", "national-id", pattern_name);
    let regex = section.required("regex", r"\b\d{3}-\d{2}-\d{4}\b", linear_pattern);
    let with = section.or("with", with, choice(&WITH));
    let (name, (regex, least)) = (name?, regex?);
    if with.growth(&name, least) > MOST_GROWTH {
        let what = if with == ReplaceWith::Hash { "a hash" } else { "the name" };
        let text = format!(
            "a match may have {least} bytes only, and {what} in its place more than {MOST_GROWTH} times as many; use `mask`, or a pattern with longer matches"
        );
        section.problem("with", text);
    }
    section.finish();
    Some(OwnPattern { name: Arc::from(name), regex, least, with })
}

/// A name is written into events: it needs no escape.
fn pattern_name(node: &Node) -> Parsed<String> {
    let name = string(node)?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if (1..=32).contains(&name.len()) && name.chars().all(is_plain) {
        return Ok(name);
    }
    Err(expected(node, "a name of 1 to 32 letters, digits, `_` and `-`"))
}

/// A regular expression of bounded size that never matches nothing, and the length of its shortest match.
fn linear_pattern(node: &Node) -> Parsed<(regex::bytes::Regex, usize)> {
    let pattern = string(node)?;
    let built = RegexBuilder::new(&pattern).size_limit(MOST_COMPILED).build();
    let regex = built.map_err(|error| {
        if matches!(error, regex::Error::CompiledTooBig(_)) {
            let text = "which is too large a pattern; repeat less in it, or use `[0-9]` for `\\d` and `[A-Za-z0-9_]` for `\\w`";
            return Misfit::of(node, format!("found {}, {text}", node.describe()));
        }
        let at = byte_at_fault(&pattern, &error.to_string());
        not_a(node, "regular expression", &error).at_byte(at)
    })?;
    let parsed = regex_syntax::ParserBuilder::new().utf8(false).build().parse(&pattern).ok();
    let least = parsed.and_then(|parsed| parsed.properties().minimum_len()).unwrap_or_default();
    if least == 0 {
        let text = "which matches an empty text, and so everywhere; let it match at least one character";
        return Err(Misfit::of(node, format!("found {}, {text}", node.describe())));
    }
    Ok((regex, least))
}
