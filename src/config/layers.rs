//! Files laid one over the other.
//!
//! The `config` crate reads the values of the three formats, and `spots` finds where they stand. The crate's own merge loses where
//! tables were written, and reads brackets in a key as the index of a list to allocate, so the trees are laid over each other here.

use std::path::{Path, PathBuf};

use config::{FileFormat, Format};

use super::document::Document;
use super::problem::Notes;
use super::spots;
use super::tree::{Node, ValueOrigin};

/// Reads all files; later ones override earlier ones.
pub(super) fn read(files: &[PathBuf], notes: &Notes) -> Node {
    let mut tree: Option<Node> = None;
    for file in files {
        match (parse(file, notes), &mut tree) {
            (Some(layer), Some(tree)) => tree.overlay(layer),
            (Some(layer), None) => tree = Some(layer),
            // It was noted.
            (None, _) => {}
        }
    }
    tree.unwrap_or_else(|| Node::empty_table(ValueOrigin::Variable("environment".into())))
}

fn parse(file: &Path, notes: &Notes) -> Option<Node> {
    let Some(format) = format_of(file) else {
        let why = "found a file of no known format, expected a name that ends in `.toml`, `.yaml`, `.yml` or `.json`";
        notes.problem_of(&file.display().to_string(), "", why);
        return None;
    };
    let document = Document::read(file).map_err(|no_text| notes.no_text(file, no_text)).ok()?;
    let spots = spots::find(format, &document.text).map_err(|fault| notes.syntax(&document, fault)).ok()?;
    match format.parse(None, &document.text) {
        Ok(table) => Some(Node::from_table(&document, &spots, table)),
        Err(error) => {
            notes.problem_of(
                &file.display().to_string(),
                "",
                format!("cannot be parsed: {}", first_line(&error.to_string())),
            );
            None
        }
    }
}

fn format_of(file: &Path) -> Option<FileFormat> {
    let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        "toml" => Some(FileFormat::Toml),
        "yaml" | "yml" => Some(FileFormat::Yaml),
        "json" => Some(FileFormat::Json),
        _ => None,
    }
}

/// A message without the lines of the file that may follow: there may be a secret in them.
fn first_line(message: &str) -> &str {
    message.lines().next().unwrap_or_default()
}
