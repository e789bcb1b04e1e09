//! Words that were replaced by those of the field, and must not come back.

use std::collections::{BTreeMap, BTreeSet};

use super::tree::Tree;
use super::{Breach, breach};

/// A word, and what stands for it now. It is looked for in prose, and in the parts of names (`mend_all`, `MendAll`); with a star
/// also what begins with it.
const WORDS: &[(&str, &str)] = &[
    ("burial*", "dead letter"),
    ("buried", "a dead letter, or `enqueue`d as one"),
    ("buries", "makes a dead letter of"),
    ("bury*", "make a dead letter of"),
    ("complain*", "an issue, or to report one"),
    ("cutter*", "framer"),
    ("departed", "gone file"),
    ("employment*", "`job_tx`"),
    ("entrance*", "`job_tx`"),
    ("flown", "completed"),
    ("fly", "send"),
    ("flying", "in flight"),
    ("gate", "backpressure"),
    ("gates", "backpressure"),
    ("glance*", "quick read"),
    ("heir*", "successor"),
    ("hollow*", "cleared"),
    ("inlet*", "source decoder"),
    ("leftover*", "recovered"),
    ("mend", "fix"),
    ("mended", "fixed"),
    ("mending", "fixing"),
    ("mends", "fixes"),
    ("morsel*", "small read"),
    ("outlet*", "running sink"),
    ("parcel*", "pending request, or a batch of jobs"),
    ("passage*", "send permit"),
    ("pen", "padded writer"),
    ("pens", "padded writers"),
    ("plant*", "generation"),
    ("pulse*", "watchdog"),
    ("pump*", "reader of standard input"),
    ("receipt*", "ack guard"),
    ("site", "carryover"),
    ("sites", "carryover"),
    ("sorter*", "processor"),
    ("succession", "send order"),
    ("ticket*", "batch"),
    ("vain", "no event"),
    ("wish*", "signal"),
];

/// Names of types, and what they are called now. As words they are plain English.
const TYPES: &[(&str, &str)] = &[
    ("Active", "RunningGeneration"),
    ("Feed", "DestinationQueue"),
    ("Flight", "InFlight"),
    ("Keeping", "Storage"),
    ("Orders", "SignalQueue"),
    ("Patience", "DrainDeadline"),
    ("Remainder", "StdinCarryover"),
    ("Settlement", "ScrapeBarrier"),
    ("Sorted", "ProcessedChunk"),
    ("Sorting", "the four calls of `process`"),
    ("Supply", "RecordQueue"),
    ("Works", "Processor"),
];

/// Where such a word means something else, in lower case.
const OTHERWISE: [&str; 3] = ["in vain", "on the fly", "receipthandle"];

/// In the code, its comments and its tests.
pub(super) fn in_sources(tree: &Tree) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for source in tree.sources.iter().filter(|source| source.path.starts_with("src/")) {
        breaches.extend(in_text(&source.path, &source.text));
        for (name, line) in &source.types {
            if let Some((old, new)) = TYPES.iter().find(|(old, _)| old == name) {
                breaches.push(breach(old, format!("{}:{line}: write `{new}`", source.path)));
            }
        }
    }
    breaches
}

/// In any text: one breach for each word and line.
pub(super) fn in_text(path: &str, text: &str) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for (line, text) in text.lines().enumerate() {
        let mut parts = parts(text);
        for phrase in OTHERWISE.iter().filter(|phrase| text.to_lowercase().contains(*phrase)) {
            parts.retain(|part| !phrase.contains(part));
        }
        let found: BTreeMap<&str, &str> = parts.iter().filter_map(|part| replaced(part)).collect();
        let place = line + 1;
        breaches.extend(found.iter().map(|(old, new)| breach(old, format!("{path}:{place}: write `{new}`"))));
    }
    breaches
}

fn replaced(part: &str) -> Option<(&'static str, &'static str)> {
    WORDS.iter().copied().find(|(old, _)| match old.strip_suffix('*') {
        Some(stem) => part.starts_with(stem),
        None => part == *old,
    })
}

/// The words of a line, and those that its names are made of, in lower case.
fn parts(line: &str) -> BTreeSet<String> {
    let mut parts = BTreeSet::new();
    for run in line.split(|c: char| !c.is_ascii_alphabetic()) {
        let letters: Vec<char> = run.chars().collect();
        let mut begin = 0;
        for at in 1..=letters.len() {
            // Before a capital that follows a small letter, or that a small one follows: `newPage`, `HTTPServer`.
            let ends = at == letters.len()
                || (letters[at].is_uppercase()
                    && (letters[at - 1].is_lowercase()
                        || letters.get(at + 1).is_some_and(|next| next.is_lowercase())));
            if ends {
                parts.insert(letters[begin..at].iter().collect::<String>().to_lowercase());
                begin = at;
            }
        }
    }
    parts
}

#[test]
fn names_are_made_of_words() {
    for (line, expected) in [
        ("fn mend_all() {}", &["all", "fn", "mend"][..]),
        ("struct MendAll;", &["all", "mend", "struct"]),
        ("HTTPServer amended", &["amended", "http", "server"]),
        ("`in-flight`, 3 pens.", &["flight", "in", "pens"]),
        ("", &[]),
    ] {
        let found = parts(line);
        let expected: BTreeSet<String> =
            expected.iter().map(|word| (*word).to_owned()).filter(|w| !w.is_empty()).collect();
        let found: BTreeSet<String> = found.into_iter().filter(|word| !word.is_empty()).collect();
        assert_eq!(found, expected, "{line}");
    }
}
