//! What is wrong with a configuration: one line for each mistake, all of them at once.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::document::{Document, LineColumn, NoText};
use super::excerpt::{Excerpt, ExcerptPart};
use super::key::may_be_secret;
use super::misfit::Misfit;
use super::recording::{AskedKey, KeyForm, Recording};
use super::spots::SyntaxFault;
use super::tree::ValueOrigin;

/// One mistake.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// The file, or the environment variable.
    pub origin: String,
    /// Where in the file, as far as can be told.
    at: Option<LineColumn>,
    /// The dotted key; empty when a whole file is meant.
    pub key: String,
    /// What was found and what is allowed.
    pub text: String,
    excerpt: Option<Excerpt>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)?;
        if let Some(LineColumn { line, column }) = self.at {
            write!(f, ":{line}:{column}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.text)
    }
}

impl Problem {
    /// Its line and column, both from 1, as far as can be told.
    #[must_use]
    pub fn line_and_column(&self) -> Option<(usize, usize)> {
        self.at.map(|LineColumn { line, column }| (line, column))
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

impl Errors {
    /// The mistakes, each with the line that it stands in and a mark below: for a terminal.
    #[must_use]
    pub fn with_excerpts(&self) -> String {
        let shown = |problem: &Problem| match &problem.excerpt {
            Some(excerpt) => format!("{problem}\n{excerpt}"),
            None => problem.to_string(),
        };
        self.problems.iter().map(shown).collect::<Vec<_>>().join("\n")
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

/// Where what a warning concerns is written.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct WarningPlace {
    /// The file, or the environment variable.
    pub origin: String,
    /// Line and column, both from 1, as far as can be told.
    pub line_and_column: Option<(usize, usize)>,
}

/// What is noted while a configuration is read.
#[derive(Debug, Default)]
pub(super) struct Notes {
    problems: RefCell<Vec<Problem>>,
    /// Every key that was asked for, whether it was there or not.
    asked: RefCell<BTreeSet<String>>,
    /// Where the keys that were there were written.
    written: RefCell<BTreeMap<String, ValueOrigin>>,
    /// Files that hold secrets, with the key that they are for.
    secret_files: RefCell<BTreeSet<(PathBuf, String)>>,
    /// What every key has to be, where that is to be known.
    recording: Option<Recording>,
}

impl Notes {
    /// Notes that tell, too, what every key has to be.
    pub(super) fn recording() -> Self {
        Self { recording: Some(Recording::default()), ..Self::default() }
    }

    /// Notes what a key has to be, where that is to be known.
    pub(super) fn record(&self, key: impl FnOnce() -> (String, KeyForm)) {
        if let Some(recording) = &self.recording {
            let (path, form) = key();
            recording.note(path, form);
        }
    }

    pub(super) fn into_recorded(self) -> Vec<AskedKey> {
        self.recording.map(Recording::into_keys).unwrap_or_default()
    }

    /// Notes a problem of a value. What is shown of it is what a scalar says; of a list or a table it is the key.
    pub(super) fn problem(&self, origin: &ValueOrigin, key: &str, misfit: impl Into<Misfit>) {
        let misfit = misfit.into();
        let origin = misfit.origin.as_ref().unwrap_or(origin);
        let key = format!("{key}{}", misfit.item);
        let part = match origin {
            ValueOrigin::File(document, Some(spot)) if spot.is_scalar => {
                let mark = misfit.byte.and_then(|byte| byte_within(&document.text, &spot.value, byte));
                Some(ExcerptPart {
                    from: spot.key.start,
                    to: spot.value.end,
                    mark: mark.unwrap_or(spot.value.clone()),
                })
            }
            ValueOrigin::File(_, Some(spot)) => Some(ExcerptPart::whole(&spot.key)),
            ValueOrigin::File(_, None) | ValueOrigin::Variable(_) => None,
        };
        self.note(origin, &key, misfit.text, part.as_ref(), Shown::Yes);
    }

    /// Notes a problem of a key, whatever its value is. The value is not shown.
    pub(super) fn problem_of_key(&self, origin: &ValueOrigin, key: &str, text: impl Into<String>) {
        let part = origin.spot().map(|spot| ExcerptPart::whole(&spot.key));
        self.note(origin, key, text.into(), part.as_ref(), Shown::Yes);
    }

    /// Notes a problem of a value of which nothing is to be shown.
    pub(super) fn problem_of_secret(&self, origin: &ValueOrigin, key: &str, text: impl Into<String>) {
        let part = origin.spot().map(|spot| ExcerptPart::whole(&spot.value));
        self.note(origin, key, text.into(), part.as_ref(), Shown::No);
    }

    /// Notes a problem of a key whose origin was noted, or else that of the nearest table around it.
    pub(super) fn problem_at(&self, key: &str, text: impl Into<String>) {
        match self.origin_of(key) {
            Some((origin, true)) => self.problem(&origin, key, text.into()),
            Some((origin, false)) => self.problem_of_key(&origin, key, text),
            None => self.problem_of("", key, text),
        }
    }

    /// Notes a problem of a file as a whole, or of a variable.
    pub(super) fn problem_of(&self, origin: &str, key: &str, text: impl Into<String>) {
        let (origin, key, text) = (origin.to_owned(), key.to_owned(), text.into());
        self.problems.borrow_mut().push(Problem { origin, at: None, key, text, excerpt: None });
    }

    /// Notes that a file is no text.
    pub(super) fn no_text(&self, file: &Path, NoText { at, why }: NoText) {
        let (origin, key) = (file.display().to_string(), String::new());
        self.problems.borrow_mut().push(Problem { origin, at, key, text: why, excerpt: None });
    }

    /// Notes that a text is not of its format. The line is shown only where no secret can be in it.
    pub(super) fn syntax(&self, document: &Arc<Document>, fault: SyntaxFault) {
        let line = document.line_around(fault.at.start);
        let text = document.text.get(line.clone()).unwrap_or_default();
        let begins = |c: char| c.is_alphabetic() || c == '"';
        let has_key = text.trim_start().starts_with(begins) && text.contains(['=', ':']);
        let is_header = text.chars().all(|c| c.is_alphanumeric() || "[]._- ".contains(c));
        let is_harmless = !may_be_secret(&fault.key) && !may_be_secret(text) && (has_key || is_header);
        let part = ExcerptPart { from: line.start, to: line.end, mark: fault.at };
        let shown = if is_harmless { Shown::Yes } else { Shown::No };
        let origin = ValueOrigin::File(Arc::clone(document), None);
        self.note(&origin, &fault.key, fault.why, Some(&part), shown);
    }

    fn note(&self, origin: &ValueOrigin, key: &str, text: String, part: Option<&ExcerptPart>, shown: Shown) {
        let (at, excerpt) = match (origin, part) {
            (ValueOrigin::File(document, _), Some(part)) => {
                let excerpt = (shown == Shown::Yes).then(|| Excerpt::new(document, part));
                (Some(document.position(part.mark.start)), excerpt)
            }
            (ValueOrigin::File(..), None) | (ValueOrigin::Variable(_), _) => (None, None),
        };
        let (origin, key) = (origin.to_string(), key.to_owned());
        self.problems.borrow_mut().push(Problem { origin, at, key, text, excerpt });
    }

    pub(super) fn asked(&self, key: String) {
        self.asked.borrow_mut().insert(key);
    }

    pub(super) fn written(&self, key: String, origin: ValueOrigin) {
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

    /// The file, line and column of a key, or else of the nearest table around it.
    pub(super) fn place_of(&self, key: &str) -> Option<WarningPlace> {
        let (origin, _) = self.origin_of(key)?;
        let line_and_column = match &origin {
            ValueOrigin::File(document, Some(spot)) => {
                let LineColumn { line, column } = document.position(spot.key.start);
                Some((line, column))
            }
            ValueOrigin::File(_, None) | ValueOrigin::Variable(_) => None,
        };
        Some(WarningPlace { origin: origin.to_string(), line_and_column })
    }

    /// Where a key was written, or else the nearest table around it; and whether it is the key itself.
    pub(super) fn origin_of(&self, key: &str) -> Option<(ValueOrigin, bool)> {
        let written = self.written.borrow();
        let mut around = key;
        loop {
            if let Some(origin) = written.get(around) {
                return Some((origin.clone(), around == key));
            }
            let of_item = around.strip_suffix(']').and_then(|item| item.rsplit_once('['));
            let Some((next, _)) = of_item.or_else(|| around.rsplit_once('.')) else { break };
            around = next;
        }
        written.get("").map(|origin| (origin.clone(), key.is_empty()))
    }
}

/// Whether an excerpt may be made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Shown {
    Yes,
    No,
}

/// The place of a byte of a string's value, where the string is written without escapes.
fn byte_within(text: &str, value: &Range<usize>, byte: usize) -> Option<Range<usize>> {
    let written = text.get(value.clone())?;
    let is_plain = written.starts_with('\'') || (written.starts_with('"') && !written.contains('\\'));
    let starts_thrice = ["'''", "\"\"\""].iter().any(|quotes| written.starts_with(quotes));
    let at = value.start + 1 + byte;
    let len = text.get(at..value.end)?.chars().next()?.len_utf8();
    (is_plain && !starts_thrice).then_some(at..at + len)
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
