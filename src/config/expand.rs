//! `${NAME}`, `${NAME:-default}` and `${file:/path}` in strings, and `$$` for a dollar.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::key::{item, join};
use super::problem::{Notes, nearest};
use super::tree::{Expanded, Node, Text, Written};

/// Replaces what stands for something else in every string of a tree.
pub(super) struct VariableExpansion<'a> {
    environment: &'a BTreeMap<String, String>,
    notes: &'a Notes,
    /// The variables that were named, whether they are set or not.
    named: BTreeSet<String>,
}

impl<'a> VariableExpansion<'a> {
    pub(super) const fn new(environment: &'a BTreeMap<String, String>, notes: &'a Notes) -> Self {
        Self { environment, notes, named: BTreeSet::new() }
    }

    /// The variables that were named in the tree.
    pub(super) fn into_named(self) -> BTreeSet<String> {
        self.named
    }

    /// Works in place; what cannot be replaced is reported and marked as broken.
    pub(super) fn expand(&mut self, node: &mut Node, key: &str) {
        match &mut node.value {
            Written::Text(text) => match self.text(&text.value) {
                Ok(expanded) => *text = expanded,
                Err(problem) => {
                    self.notes.problem_of_secret(&node.origin, key, problem);
                    node.value = Written::Broken;
                }
            },
            Written::List(items) => {
                for (index, value) in items.iter_mut().enumerate() {
                    self.expand(value, &item(key, index));
                }
                if items.iter().any(|item| matches!(item.value, Written::Broken)) {
                    node.value = Written::Broken;
                }
            }
            Written::Table(table) => {
                for (name, value) in table {
                    self.expand(value, &join(key, name));
                }
            }
            Written::Nothing
            | Written::Flag(_)
            | Written::Integer(_)
            | Written::Float(_)
            | Written::Broken => {}
        }
    }

    fn text(&mut self, written: &str) -> Result<Text, String> {
        let mut value = String::with_capacity(written.len());
        let mut files = Vec::new();
        let mut replaced = Vec::new();
        let mut rest = written;
        while let Some((before, after)) = rest.split_once('$') {
            value.push_str(before);
            if let Some(after) = after.strip_prefix('$') {
                value.push('$');
                rest = after;
            } else if let Some(after) = after.strip_prefix('{') {
                let (inside, after) =
                    after.split_once('}').ok_or("`${` has no `}`; write `$$` for a dollar itself")?;
                let replacement = self.replacement(inside, &mut files)?;
                value.push_str(&replacement);
                replaced.push((format!("${{{inside}}}"), replacement));
                rest = after;
            } else {
                value.push('$');
                rest = after;
            }
        }
        value.push_str(rest);
        let expanded =
            (!replaced.is_empty()).then(|| Expanded { as_written: written.to_owned(), files, replaced });
        Ok(Text { value, expanded })
    }

    fn replacement(&mut self, inside: &str, files: &mut Vec<PathBuf>) -> Result<String, String> {
        if let Some(path) = inside.strip_prefix("file:") {
            files.push(PathBuf::from(path));
            return read(Path::new(path));
        }
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        if !is_variable(name) {
            // What stands in the braces is not shown: it may be a part of a secret.
            return Err(NO_NAME.to_owned());
        }
        self.named.insert(name.to_owned());
        let set = self.environment.get(name);
        match (set, default) {
            (Some(value), None) => Ok(value.clone()),
            (Some(value), Some(_)) if !value.is_empty() => Ok(value.clone()),
            (_, Some(default)) => Ok(default.to_owned()),
            (None, None) => Err(self.unset(name)),
        }
    }

    fn unset(&self, name: &str) -> String {
        let alike = nearest(name, self.environment.keys().map(String::as_str));
        match alike {
            Some(alike) => format!("environment variable `{name}` is not set; did you mean `{alike}`?"),
            None => {
                format!("environment variable `{name}` is not set; set it, or write `${{{name}:-default}}`")
            }
        }
    }
}

const NO_NAME: &str =
    "`${..}` holds neither `NAME`, `NAME:-default` nor `file:/path`; write `$$` for a dollar itself";

fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A small file's text without the newline at its end.
fn read(path: &Path) -> Result<String, String> {
    const LARGEST: u64 = 64 * 1024;
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_string(&mut text));
    let len = read.map_err(|error| {
        format!("`{}` cannot be read: {error}; make it, or let standpipe's user read it", path.display())
    })?;
    if len as u64 > LARGEST {
        return Err(format!("`{}` is larger than 64KiB, the limit for a value", path.display()));
    }
    let kept = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(kept);
    Ok(text)
}
