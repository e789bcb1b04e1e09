//! Files laid one over the other.
//!
//! The `config` crate parses the formats. Its own merge loses where tables were written, and reads brackets in a key as the
//! index of a list to allocate, so the trees are laid over each other here.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::{FileFormat, Format};

use super::problem::Notes;
use super::tree::{Node, Origin};

/// Reads all files; later ones override earlier ones.
pub(super) fn read(files: &[PathBuf], notes: &Notes) -> Node {
    let origin = match files.first() {
        Some(file) => Origin::File(Arc::from(file.as_path())),
        None => Origin::Variable("environment".into()),
    };
    let mut tree = Node::empty_table(origin);
    for file in files {
        match parse(file) {
            Ok(layer) => tree.overlay(layer),
            Err(text) => notes.problem(&file.display(), "", text),
        }
    }
    tree
}

fn parse(file: &Path) -> Result<Node, String> {
    let format = format_of(file)?;
    let text = fs::read_to_string(file).map_err(|error| format!("cannot be read: {error}"))?;
    let uri = file.display().to_string();
    let table = format
        .parse(Some(&uri), &text)
        .map_err(|error| format!("cannot be parsed: {}", without_excerpt(error.as_ref())))?;
    Ok(Node::from_table(&Origin::File(Arc::from(file)), table))
}

fn format_of(file: &Path) -> Result<FileFormat, String> {
    let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        "toml" => Ok(FileFormat::Toml),
        "yaml" | "yml" => Ok(FileFormat::Yaml),
        "json" => Ok(FileFormat::Json),
        _ => {
            Err("is of no known format; its name must end in `.toml`, `.yaml`, `.yml` or `.json`".to_owned())
        }
    }
}

/// A parser's message on one line, without the line of the file that it shows: there may be a secret in it.
fn without_excerpt(error: &dyn Error) -> String {
    let message = error.to_string();
    let is_excerpt = |line: &str| {
        let margin = line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
        margin.starts_with('|')
    };
    let kept: Vec<&str> =
        message.lines().map(str::trim).filter(|line| !line.is_empty() && !is_excerpt(line)).collect();
    kept.join(": ")
}
