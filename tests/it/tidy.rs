//! What no lint knows: files open with what they are, stay small, and stages do not know each other.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const STAGES: [&str; 7] = ["source", "decode", "route", "batch", "buffer", "sink", "ack"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files(below: &str, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(below)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().filter_map(Result::ok) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|is| is == extension) {
                found.push(path);
            }
        }
    }
    found
}

fn rust() -> Vec<(PathBuf, String)> {
    let paths = ["src", "tests", "benches"].into_iter().flat_map(|below| files(below, "rs"));
    paths.map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// The text before a file's tests.
fn production(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or(text)
}

#[track_caller]
fn check(rule: &str, breaks: impl Fn(&Path, &str) -> bool) {
    let rust = rust();
    assert!(!rust.is_empty());
    let broken: Vec<_> =
        rust.iter().filter(|(path, text)| breaks(path, text)).map(|(path, _)| path).collect();
    assert!(broken.is_empty(), "{rule}: {broken:#?}");
}

#[test]
fn every_file_opens_with_what_it_is() {
    check("a file opens with a `//!` sentence", |_, text| !text.starts_with("//! "));
}

#[test]
fn no_file_is_long() {
    check("at most 400 lines before the tests, blank ones not counted", |path, text| {
        let lines = production(text).lines().filter(|line| !line.trim().is_empty());
        !path.ends_with("tests.rs") && lines.count() > 400
    });
}

#[test]
fn no_stage_names_another() {
    for stage in STAGES {
        let folder = root().join("src").join(stage);
        let others = || STAGES.into_iter().filter(|other| *other != stage);
        check("stages meet in `event` alone", |path, text| {
            path.starts_with(&folder)
                && others().any(|other| {
                    production(text).contains(&format!("crate::{other}::"))
                        || production(text).contains(&format!("crate::{other};"))
                })
        });
    }
}

#[test]
fn the_pure_stages_do_no_io_and_read_no_clock() {
    let pure = ["route", "batch", "decode", "access/policy"].map(|stage| root().join("src").join(stage));
    check("no clock, file or socket", |path, text| {
        pure.iter().any(|folder| path.starts_with(folder))
            && ["Instant::now", "Timestamp::now", "std::fs", "std::net", "tokio::net"]
                .iter()
                .any(|name| production(text).contains(name))
    });
}

#[test]
fn every_example_configuration_loads() {
    let home = tempfile::tempdir().unwrap();
    for path in files("config", "toml") {
        let is_topology = path.ends_with("topology.toml");
        let command: &[&str] = if is_topology { &["access", "render"] } else { &["check", "-c"] };
        let arguments = [command, &[path.to_str().unwrap()]].concat();
        let output = crate::world::run_to_end(&arguments, b"", home.path(), &variables(&path));
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{}: {words}", path.display());
    }
}

/// A value for each `${NAME}` that the file takes from the environment.
fn variables(path: &Path) -> BTreeMap<String, String> {
    let text = fs::read_to_string(path).unwrap();
    let names = text.split("${").skip(1).filter_map(|rest| rest.split('}').next());
    let plain = names.filter(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'));
    plain.map(|name| (name.to_owned(), "an-example".to_owned())).collect()
}
