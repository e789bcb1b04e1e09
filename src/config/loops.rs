//! Sources that would read what they have written: a directory sink within what a source includes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use globset::GlobBuilder;

use super::flow::reached;
use super::problem::Notes;
use super::types::{Config, DirectorySink, FileSource, SinkConfig, SinkKind, SourceConfig, TemplatePiece};

/// Notes directory sinks whose objects come back to a source that feeds them, by itself or by way of others.
pub(super) fn check_loops(config: &Config, notes: &Notes) {
    let mut found: BTreeSet<(&str, &str)> = BTreeSet::new();
    for source in config.sources.keys() {
        let mut seen = BTreeSet::new();
        let mut open = vec![source.as_str()];
        while let Some(reader) = open.pop() {
            for (sink, next) in read_again(config, reader) {
                if next == source {
                    found.insert((sink, next));
                }
                if seen.insert(next) {
                    open.push(next);
                }
            }
        }
    }
    for (sink, source) in found {
        let text = format!(
            "is within what `sources.{source}.include` says, so that `{source}` would ship what it has shipped before; write elsewhere, or exclude it there"
        );
        notes.problem_at(&format!("sinks.{sink}.path"), text);
    }
}

/// The directory sinks that a source reaches, each with a source that reads what they hold.
fn read_again<'c>(config: &'c Config, source: &str) -> Vec<(&'c str, &'c str)> {
    let mut pairs = Vec::new();
    for name in reached(config, source) {
        let Some(object) = config.sinks.get(name).and_then(object) else { continue };
        for (reader, source) in &config.sources {
            if let SourceConfig::File(file) = source
                && reads(file, &object)
            {
                pairs.push((name, reader.as_str()));
            }
        }
    }
    pairs
}

/// The path of an object that a directory sink may write.
fn object(sink: &SinkConfig) -> Option<PathBuf> {
    let SinkKind::Directory(DirectorySink { path, stream }) = &sink.kind else { return None };
    let name: String = stream
        .pieces
        .iter()
        .map(|piece| match piece {
            TemplatePiece::Text(text) => text.as_str(),
            TemplatePiece::Field { .. } => "x",
        })
        .collect();
    let extension = sink.compression.extension();
    let path = std::path::absolute(path).ok()?;
    Some(path.join(format!("2026/11/22/01/{name}-1-2026-11-22-01-02-03-0123456789abcdef{extension}")))
}

/// Whether a source reads a path.
fn reads(file: &FileSource, path: &Path) -> bool {
    let name = path.file_name().map_or(path, Path::new);
    let excludes = |pattern: &&String| matches(pattern, if pattern.contains('/') { path } else { name });
    file.include.iter().any(|pattern| matches(pattern, path)) && !file.exclude.iter().any(|it| excludes(&it))
}

/// Whether a pattern, as a source understands it, matches a path.
pub(super) fn matches(pattern: &str, path: &Path) -> bool {
    let glob = GlobBuilder::new(pattern).literal_separator(true).build();
    glob.is_ok_and(|glob| glob.compile_matcher().is_match(path))
}
