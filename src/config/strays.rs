//! Tables at the root that are meant for another place: under a misspelt name, or not indented far enough.
//!
//! Each is one mistake. What it would have held is known to routes, so that no second mistake comes of it.

use std::collections::BTreeSet;

use super::problem::nearest;
use super::section::Section;
use super::tree::Table;

/// The names of sources and sinks that stand elsewhere.
#[derive(Debug, Default)]
pub(super) struct Strays {
    pub(super) sources: BTreeSet<String>,
    pub(super) sinks: BTreeSet<String>,
}

const ROOT: [&str; 8] = ["server", "state", "limits", "redact", "sources", "sinks", "routes", "tests"];

impl Strays {
    pub(super) fn find(root: &mut Section<'_>) -> Self {
        let mut strays = Self::default();
        let mut misplaced = Vec::new();
        for (key, table) in root.tables_beside(&ROOT) {
            match nearest(key, ROOT) {
                // Reported as an unknown key.
                Some("sources") => strays.sources.extend(table.keys().cloned()),
                Some("sinks") => strays.sinks.extend(table.keys().cloned()),
                Some(_) => {}
                None => match type_of(table) {
                    Some("file" | "stdin" | "firehose_http" | "fluent_forward" | "journald")
                        if !root.has_table("sources") =>
                    {
                        strays.sources.insert(key.clone());
                        misplaced.push((key.clone(), "sources"));
                    }
                    Some("firehose" | "directory") if !root.has_table("sinks") => {
                        strays.sinks.insert(key.clone());
                        misplaced.push((key.clone(), "sinks"));
                    }
                    Some(_) | None => {}
                },
            }
        }
        for (key, around) in misplaced {
            let text = format!(
                "found beside `{around}`, expected in it: indent it further, or call it `{around}.{key}`"
            );
            root.misplaced(&key, &text);
        }
        strays
    }
}

fn type_of(table: &Table) -> Option<&str> {
    table.get("type")?.as_text()
}
