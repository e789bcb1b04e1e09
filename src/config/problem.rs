//! What is wrong with a configuration: one line for each mistake, all of them at once.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use super::tree::Origin;

/// One mistake.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// The file, or the environment variable.
    pub origin: String,
    /// The dotted key; empty when a whole file is meant.
    pub key: String,
    /// What was found and what is allowed.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            write!(f, "{}: {}", self.origin, self.text)
        } else {
            write!(f, "{}: {}: {}", self.origin, self.key, self.text)
        }
    }
}

/// All mistakes of a configuration, one a line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Errors {
    problems: Vec<Problem>,
}

impl Errors {
    /// The mistakes, in the order of the keys' reading.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}

/// What is noted while a configuration is read.
#[derive(Debug, Default)]
pub(super) struct Notes {
    problems: RefCell<Vec<Problem>>,
    /// Every key that was asked for, whether it was there or not.
    asked: RefCell<BTreeSet<String>>,
    /// Where the keys that were there were written.
    written: RefCell<BTreeMap<String, Origin>>,
    /// Files that hold secrets, with the key that they are for.
    secret_files: RefCell<BTreeSet<(PathBuf, String)>>,
}

impl Notes {
    pub(super) fn problem(&self, origin: &impl ToString, key: &str, text: impl Into<String>) {
        let problem = Problem { origin: origin.to_string(), key: key.to_owned(), text: text.into() };
        self.problems.borrow_mut().push(problem);
    }

    /// Notes a problem of a key whose origin was noted, or else that of the nearest table around it.
    pub(super) fn problem_at(&self, key: &str, text: impl Into<String>) {
        let origin = self.origin_of(key);
        self.problem(&origin, key, text);
    }

    pub(super) fn asked(&self, key: String) {
        self.asked.borrow_mut().insert(key);
    }

    pub(super) fn written(&self, key: String, origin: Origin) {
        self.written.borrow_mut().insert(key, origin);
    }

    pub(super) fn secret_file(&self, file: PathBuf, key: &str) {
        self.secret_files.borrow_mut().insert((file, key.to_owned()));
    }

    pub(super) fn has_problems(&self) -> bool {
        !self.problems.borrow().is_empty()
    }

    /// Every key that was asked for so far.
    pub(super) fn known_keys(&self) -> BTreeSet<String> {
        self.asked.borrow().clone()
    }

    pub(super) fn secret_files(&self) -> BTreeSet<(PathBuf, String)> {
        self.secret_files.borrow().clone()
    }

    pub(super) fn into_errors(self) -> Errors {
        Errors { problems: self.problems.into_inner() }
    }

    fn origin_of(&self, key: &str) -> String {
        let written = self.written.borrow();
        let mut key = key;
        loop {
            if let Some(origin) = written.get(key) {
                return origin.to_string();
            }
            let Some((around, _)) = key.rsplit_once('.') else { break };
            key = around;
        }
        written.get("").map(ToString::to_string).unwrap_or_default()
    }
}

/// The name most like `name`, if any is like it at all.
pub(super) fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const ALIKE: f64 = 0.8;
    let name = name.to_lowercase();
    names
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&name, &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// The nearest of the allowed names, or all of them: the end of an error's sentence.
pub(super) fn suggestion<'a>(name: &str, names: impl IntoIterator<Item = &'a str> + Clone) -> String {
    if let Some(nearest) = nearest(name, names.clone()) {
        return format!("did you mean `{nearest}`?");
    }
    let known = quoted(names);
    if known.is_empty() { "there is none".to_owned() } else { format!("known are {known}") }
}

/// "`a`, `b` and `c`"
pub(super) fn quoted<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    joined(names, "and")
}

/// "`a`, `b` or `c`"
pub(super) fn alternatives<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    joined(names, "or")
}

fn joined<'a>(names: impl IntoIterator<Item = &'a str>, word: &str) -> String {
    let mut names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    let Some(last) = names.pop() else { return String::new() };
    if names.is_empty() { last } else { format!("{} {word} {last}", names.join(", ")) }
}
