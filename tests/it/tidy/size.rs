//! Files open with what they are, and stay small, as functions do.

use super::tree::Tree;
use super::{Breach, breach};

/// Lines of a file that are not blank, without its tests.
const FILE_LINES: usize = 400;

/// Lines of a function's body that hold code, as clippy's `too_many_lines` counts them.
const FUNCTION_LINES: usize = 60;

pub(super) fn opens_with_what_it_is(tree: &Tree) -> Vec<Breach> {
    let silent = tree.sources.iter().filter(|source| !source.text.starts_with("//! "));
    silent.map(|source| breach(&source.path, "does not open with a `//! ` sentence".into())).collect()
}

pub(super) fn short_files(tree: &Tree) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let is_tests = |path: &str| path.ends_with("tests.rs") || path.ends_with("/tests/mod.rs");
    for source in tree.sources.iter().filter(|source| !is_tests(&source.path)) {
        let lines = source
            .text
            .lines()
            .enumerate()
            .filter(|(at, line)| !line.trim().is_empty() && !source.test_lines.contains(&(at + 1)));
        let count = lines.count();
        if count > FILE_LINES {
            let words = format!("has {count} lines that are not blank, of {FILE_LINES} at most");
            breaches.push(breach(&source.path, words));
        }
    }
    breaches
}

pub(super) fn short_functions(tree: &Tree) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for source in &tree.sources {
        for function in source.functions.iter().filter(|function| function.lines > FUNCTION_LINES) {
            let key = format!("{} {}", source.path, function.name);
            let (line, lines) = (function.line, function.lines);
            let words = format!("line {line} has {lines} lines in its body, of {FUNCTION_LINES} at most");
            breaches.push(breach(&key, words));
        }
    }
    breaches
}
