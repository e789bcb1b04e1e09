//! The documentation is true, as far as a program can tell: metrics, reasons, links, settings and commands are those that there are.

mod commands;
mod reasons;
mod running;
mod settings;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

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
    let mut names = found(r#"Family\s*\{\s*name: "(\w+)""#, &text);
    names.extend(found(r#""(process_\w+)""#, &text));
    names
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
fn no_page_holds_the_marks_of_a_merge() {
    for (path, text) in pages() {
        let is_mark = |line: &&str| line.starts_with("<<<<<<< ") || line.starts_with(">>>>>>> ");
        assert_eq!(text.lines().find(is_mark), None, "{}", path.display());
    }
}
