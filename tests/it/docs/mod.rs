//! The documentation is true, as far as a program can tell: metrics, links and settings are those that there are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

use crate::world::{World, run_to_end};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every page: its path and its text.
fn pages() -> Vec<(PathBuf, String)> {
    let folders = [root(), root().join("docs"), root().join("benches")];
    let entries = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten();
    let paths = entries.map(|entry| entry.unwrap().path());
    let pages: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|is| is == "md"))
        .map(|path| (path.clone(), fs::read_to_string(path).unwrap()))
        .collect();
    assert!(pages.len() > 9, "the pages are there");
    pages
}

fn found(pattern: &str, text: &str) -> BTreeSet<String> {
    Regex::new(pattern).unwrap().captures_iter(text).map(|found| found[1].to_owned()).collect()
}

/// The names in the code, without `standpipe_`.
fn metrics() -> BTreeSet<String> {
    let files = fs::read_dir(root().join("src/metrics")).unwrap().map(|entry| entry.unwrap().path());
    let text: String = files.map(|path| fs::read_to_string(path).unwrap()).collect();
    found(r#"maker\s*\.\s*\w+\(\s*"(\w+)""#, &text)
}

#[test]
fn the_table_of_metrics_is_complete() {
    let page = fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    assert_eq!(found(r"(?m)^\| `(\w+)` \|", &page), metrics());
}

#[test]
fn no_page_names_a_metric_that_there_is_not() {
    let mut known = metrics();
    for histogram in ["sink_request_duration_seconds", "buffer_fsync_duration_seconds"] {
        known.extend(["bucket", "sum", "count"].map(|end| format!("{histogram}_{end}")));
    }
    for (path, text) in pages() {
        let named = found(r"\bstandpipe_([a-z]+_\w+)", &text);
        let unknown: Vec<_> = named.difference(&known).collect();
        assert!(unknown.is_empty(), "{}: {unknown:?}", path.display());
    }
}

#[test]
fn every_link_leads_somewhere() {
    for (path, text) in pages() {
        for link in found(r"\]\(([^)\s]+)\)", &text) {
            if link.contains("://") {
                continue;
            }
            let (file, anchor) =
                link.split_once('#').map_or((link.as_str(), None), |(file, anchor)| (file, Some(anchor)));
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            assert!(target.exists(), "{}: `{link}` leads nowhere", path.display());
            if let Some(anchor) = anchor {
                assert!(anchors(&target).contains(anchor), "{}: `{link}` names no heading", path.display());
            }
        }
    }
}

/// The headings of a page, as links name them.
fn anchors(page: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(page).unwrap();
    let heading = |heading: String| {
        let kept = heading.to_lowercase().replace(' ', "-");
        kept.chars().filter(|c| c.is_alphanumeric() || *c == '-' || *c == '_').collect()
    };
    found(r"(?m)^#+ (.+)$", &text).into_iter().map(heading).collect()
}

#[test]
fn no_page_shows_a_setting_that_there_is_not() {
    let world = World::new();
    for (path, text) in pages() {
        for block in found(r"(?s)```toml\n(.*?)```", &text) {
            fs::write(world.config_path(), &block).unwrap();
            let config = world.config_path();
            let is_topology = path.ends_with("access.md");
            let command: &[&str] = if is_topology { &["access", "render"] } else { &["check", "-c"] };
            let output = world.run(&[command, &[config.to_str().unwrap()]].concat(), b"");
            let words = String::from_utf8(output.stderr).unwrap();
            // A page shows parts: what is missing from them stands elsewhere, on the page or on the machine.
            let wrong: Vec<_> = words
                .lines()
                .filter(|line| line.contains("unknown key") || line.contains("cannot be parsed"))
                .collect();
            assert!(wrong.is_empty(), "{}: {wrong:#?}\n{block}", path.display());
        }
    }
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

#[test]
fn every_example_configuration_loads() {
    let home = tempfile::tempdir().unwrap();
    for path in examples() {
        let text = fs::read_to_string(&path).unwrap();
        let is_topology = path.ends_with("topology.toml");
        let command: &[&str] = if is_topology { &["access", "render"] } else { &["check", "-c"] };
        let arguments = [command, &[path.to_str().unwrap()]].concat();
        let output = run_to_end(&arguments, b"", home.path(), &variables(&text));
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{}: {words}", path.display());
    }
}

/// A value for each `${NAME}` that a text takes from the environment.
fn variables(text: &str) -> BTreeMap<String, String> {
    let names = found(r"\$\{(\w+)\}", text);
    names.into_iter().map(|name| (name, "an-example".to_owned())).collect()
}
