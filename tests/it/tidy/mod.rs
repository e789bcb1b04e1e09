//! What no lint knows: files open with what they are and stay small, who may import whom, what a name may stand for, and which words
//! are gone. Each rule is a function from the sources to what breaks it; `proof.rs` shows that each
//! can fail.

mod borders;
mod cycles;
mod known;
mod names;
mod proof;
mod purity;
mod size;
pub(crate) mod source;
pub(crate) mod tokens;
pub(crate) mod tree;
mod words;
mod wrong;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use known::KNOWN;
use tree::Tree;

/// One thing that breaks a rule.
#[derive(Debug)]
struct Breach {
    /// What it is known by, whatever its line is.
    key: String,
    words: String,
}

fn breach(key: &str, words: String) -> Breach {
    Breach { key: key.to_owned(), words }
}

/// Its name, as the tables have it, and what it looks at.
#[derive(Clone, Copy)]
struct Rule {
    name: &'static str,
    find: fn(&Tree, &BTreeSet<String>) -> Vec<Breach>,
}

const RULES: [Rule; 12] = [
    Rule { name: "first line", find: |tree, _| size::opens_with_what_it_is(tree) },
    Rule { name: "long file", find: |tree, _| size::short_files(tree) },
    Rule { name: "long function", find: |tree, _| size::short_functions(tree) },
    Rule { name: "border", find: |tree, _| borders::only_what_is_allowed(tree) },
    Rule { name: "file cycle", find: cycles::no_file_imports_itself },
    Rule { name: "folder cycle", find: cycles::no_folder_imports_itself },
    Rule { name: "purity", find: |tree, _| purity::pure_stages(tree) },
    Rule { name: "SDK", find: |tree, _| purity::only_aws_names_the_sdk(tree) },
    Rule { name: "environment", find: |tree, _| purity::only_the_edge_reads_the_environment(tree) },
    Rule { name: "print", find: |tree, _| purity::only_the_edge_prints_and_exits(tree) },
    Rule { name: "one name", find: |tree, _| names::one_name_one_type(tree) },
    Rule { name: "old word", find: |tree, _| words::in_sources(tree) },
];

fn rule(name: &str) -> Rule {
    RULES.into_iter().find(|rule| rule.name == name).unwrap()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of these folders with this ending: its path from the root, and its text.
fn files(folders: &[&str], ending: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut waiting: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.to_string_lossy().ends_with(ending) {
            let Ok(text) = fs::read_to_string(&path) else { continue };
            found.push((path_from_root(&path), text));
        }
    }
    found.sort();
    assert!(!found.is_empty(), "there is nothing in {folders:?}");
    found
}

fn path_from_root(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().to_string_lossy().into_owned()
}

/// The crate and all that tests it.
pub(crate) static EVERYTHING: LazyLock<Tree> = LazyLock::new(|| {
    Tree::new(files(&["src", "simd", "tests", "benches", "fuzz/src", "fuzz/fuzz_targets"], ".rs"))
});

/// What people read.
const TEXTS: [&str; 6] = ["docs", "README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "config", "systemd"];

fn keys(name: &str) -> BTreeSet<String> {
    KNOWN.iter().filter(|(rule, _)| *rule == name).map(|(_, key)| (*key).to_owned()).collect()
}

#[track_caller]
fn holds(name: &str) {
    let known = keys(name);
    judge(name, &known, &(rule(name).find)(&EVERYTHING, &known));
}

/// Fails for what breaks a rule and is not known, and for what is known and breaks it no more.
#[track_caller]
fn judge(name: &str, known: &BTreeSet<String>, found: &[Breach]) {
    let keys: BTreeSet<String> = found.iter().map(|breach| breach.key.clone()).collect();
    let new = found.iter().filter(|breach| !known.contains(&breach.key));
    let new = new.map(|breach| format!("{}: {}", breach.key, breach.words));
    let gone =
        known.difference(&keys).map(|key| format!("{key}: is in order now: take it out of tidy/known.rs"));
    let wrong: Vec<String> = new.chain(gone).collect();
    assert!(wrong.is_empty(), "{name}, {} times:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_file_opens_with_what_it_is() {
    holds("first line");
}

#[test]
fn no_file_is_long() {
    holds("long file");
}

#[test]
fn no_function_is_long() {
    holds("long function");
}

#[test]
fn each_folder_imports_only_what_it_may() {
    holds("border");
}

#[test]
fn no_file_imports_itself_through_others() {
    holds("file cycle");
}

#[test]
fn no_folder_imports_itself_through_others() {
    holds("folder cycle");
}

#[test]
fn the_pure_parts_do_no_io_and_read_no_clock() {
    holds("purity");
}

#[test]
fn only_aws_and_firehose_name_the_sdk() {
    holds("SDK");
}

#[test]
fn only_main_cli_and_aws_read_the_environment() {
    holds("environment");
}

#[test]
fn only_main_and_cli_print_or_exit() {
    holds("print");
}

#[test]
fn one_name_is_one_type() {
    holds("one name");
}

#[test]
fn no_border_is_open_that_nobody_crosses() {
    let known = keys("unused border");
    judge("unused border", &known, &borders::unused(&EVERYTHING));
}

#[test]
fn no_replaced_word_is_left() {
    let mut found = words::in_sources(&EVERYTHING);
    for (path, text) in files(&TEXTS, "") {
        found.extend(words::in_text(&path, &text));
    }
    for (command, text) in crate::help::all() {
        found.extend(words::in_text(&format!("standpipe {} --help", command.join(" ")), text));
    }
    judge("old word", &keys("old word"), &found);
}
