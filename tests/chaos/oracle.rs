//! Whether every line that was promised is in each stream, or in the dead letters.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::arena::Arena;
use crate::ledger::FILES;
use crate::plan::STREAMS;
use crate::standin::{Found, Numbers, find};

/// The streams' sinks.
const SINKS: [&str; 2] = ["plain", "copy"];

/// Lines promised that are nowhere.
pub(crate) struct Missing {
    pub(crate) lines: u64,
    /// How many of the promised are there: it grows while there is progress.
    pub(crate) there: u64,
    /// Where they are missing, and the first of them.
    pub(crate) words: Vec<String>,
}

/// Looks at every promise.
pub(crate) fn missing(arena: &Arena) -> Missing {
    let promised = Arena::lock(&arena.ledger).promised();
    let mut missing = Missing { lines: 0, there: 0, words: Vec::new() };
    for (stream, sink) in STREAMS.into_iter().zip(SINKS) {
        let dead_lettered_at = dead_lettered_at(&arena.folder.path().join("state/dead-letters"), sink);
        for (run, name, ranges) in &promised {
            let arrived = arena.standin.numbers(stream, *run);
            let dead_lettered_at = dead_lettered_at.get(run).cloned().unwrap_or_default();
            let lost = |number: &u64| !arrived.has(*number) && !dead_lettered_at.has(*number);
            let gone: Vec<u64> = ranges.iter().cloned().flatten().filter(lost).collect();
            let count = gone.len() as u64;
            let all: u64 = ranges.iter().map(|range| range.end - range.start).sum();
            missing.lines += count;
            missing.there += all - count;
            if count > 0 {
                missing.words.push(format!(
                    "{stream}: {count} of {all} lines of {name} are missing: {}",
                    spans(&gone)
                ));
            }
        }
    }
    missing
}

/// Up to which line of the files all have arrived in each of these streams.
pub(crate) fn arrived(arena: &Arena, streams: &[&str]) -> u64 {
    streams.iter().map(|stream| arena.standin.numbers(stream, FILES).first_gap()).min().unwrap_or(0)
}

/// How many lines are dead letters, over all sinks.
pub(crate) fn count_buried(arena: &Arena) -> u64 {
    let letters = arena.folder.path().join("state/dead-letters");
    SINKS
        .iter()
        .flat_map(|sink| dead_lettered_at(&letters, sink).into_values())
        .map(|numbers| numbers.count())
        .sum()
}

/// The lines in a sink's dead letters, by run.
fn dead_lettered_at(letters: &Path, sink: &str) -> BTreeMap<u32, Numbers> {
    let mut all = BTreeMap::<u32, Numbers>::new();
    for path in files(&letters.join(sink)) {
        let text = fs::read(path).unwrap_or_default();
        for letter in text.split(|byte| *byte == b'\n').filter_map(content) {
            find(&letter, |found| {
                if let Found::Whole { run, number } = found {
                    all.entry(run).or_default().add(number);
                }
            });
        }
    }
    all
}

/// The bytes that a dead letter holds, if it is whole.
fn content(letter: &[u8]) -> Option<Vec<u8>> {
    let json: serde_json::Value = serde_json::from_slice(letter).ok()?;
    match (json.get("text"), json.get("base64")) {
        (Some(text), _) => Some(text.as_str()?.as_bytes().to_vec()),
        (None, Some(base64)) => base64_simd::STANDARD.decode_to_vec(base64.as_str()?).ok(),
        (None, None) => None,
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect()
}

/// The first few runs of neighbours among the numbers.
fn spans(numbers: &[u64]) -> String {
    let mut spans: Vec<Range<u64>> = Vec::new();
    for number in numbers {
        match spans.last_mut() {
            Some(last) if last.end == *number => last.end += 1,
            _ => spans.push(*number..number + 1),
        }
    }
    let words: Vec<_> = spans.iter().take(8).map(|span| format!("{}..{}", span.start, span.end)).collect();
    format!("{}{}", words.join(" "), if spans.len() > 8 { " …" } else { "" })
}
