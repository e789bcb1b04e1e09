//! Every setting that is shown is one that there is, with a value that it takes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

use super::{found, pages, root};
use crate::world::{World, run_to_end};

/// What a page shows is a part: what must be there beside it, each under the header that a part may bring itself.
const AROUND: [(&str, &str); 3] = [
    ("[sources.", "[sources.app]\ntype = \"stdin\"\n"),
    ("[sinks.", "[sinks.archive]\ntype = \"directory\"\npath = \"out\"\n"),
    ("[sinks.", "[sinks.security]\ntype = \"directory\"\npath = \"safe\"\n"),
];

/// The same around a part of a topology.
const AROUND_A_TOPOLOGY: [(&str, &str); 5] = [
    ("region =", "region = \"us-east-1\"\n"),
    ("[accounts.app]", "[accounts.app]\nid = \"111111111111\"\n"),
    ("[accounts.archive]", "[accounts.archive]\nid = \"222222222222\"\n"),
    ("[accounts.trail]", "[accounts.trail]\nid = \"000000000000\"\n"),
    (
        "[stream]",
        "[bucket]\naccount = \"archive\"\nname = \"org-logs\"\n[stream]\naccount = \"archive\"\nname = \"logs\"\n",
    ),
];

#[test]
fn every_page_shows_settings_that_there_are() {
    let world = World::new();
    // What stands in files of another machine.
    let in_file = Regex::new(r"\$\{file:[^}]*\}").unwrap();
    let mut blocks = 0;
    for (path, text) in pages() {
        for block in found(r"(?s)```toml\n(.*?)```", &text) {
            let is_topology = path.ends_with("access.md");
            let around: &[_] = if is_topology { &AROUND_A_TOPOLOGY } else { &AROUND };
            let missing = around.iter().filter(|(header, _)| !block.contains(header)).map(|(_, text)| *text);
            // A key of the whole file stands before all tables.
            let (tables, keys): (Vec<&str>, Vec<&str>) = missing.partition(|text| text.starts_with('['));
            let whole = [&keys[..], &[block.as_str()], &tables[..]].concat().join("\n");
            let whole = in_file.replace_all(&whole, "an-example");
            fs::write(world.config_path(), whole.as_bytes()).unwrap();
            loads(&world.config_path(), &path.display().to_string());
            blocks += 1;
        }
    }
    assert!(blocks > 9, "settings are shown");
}

#[test]
fn every_example_configuration_loads() {
    for path in examples() {
        loads(&path, &path.display().to_string());
    }
}

/// Nothing is wrong with it.
fn loads(path: &Path, place: &str) {
    let text = fs::read_to_string(path).unwrap();
    let is_topology = text.contains("[accounts.");
    let command: &[&str] = if is_topology { &["access", "render"] } else { &["check", "-c"] };
    let arguments = [command, &[path.to_str().unwrap()]].concat();
    let home = tempfile::tempdir().unwrap();
    let output = run_to_end(&arguments, b"", home.path(), &variables(&text));
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{place}: {words}\n{text}");
}

/// The configurations that come with the program.
fn examples() -> Vec<PathBuf> {
    let folders = [root().join("config"), root().join("config/examples")];
    let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let paths: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|is| is == "toml"))
        .collect();
    assert!(paths.len() > 3, "the examples are there");
    paths
}

/// A value for each `${NAME}` that a text takes from the environment.
fn variables(text: &str) -> BTreeMap<String, String> {
    let names = found(r"\$\{(\w+)\}", text);
    names.into_iter().map(|name| (name, "an-example".to_owned())).collect()
}
