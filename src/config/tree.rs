//! The configuration as it was written: a tree of values, each with where it stands.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use config::{FileFormat, Format, Value, ValueKind};

use super::document::{Document, Spot};
use super::key::{item, join};
use super::spots::Spots;

/// Where a value was written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum ValueOrigin {
    File(Arc<Document>, Option<Spot>),
    Variable(Arc<str>),
}

impl ValueOrigin {
    /// Where in its file it stands, as far as can be told.
    pub(super) const fn spot(&self) -> Option<&Spot> {
        match self {
            Self::File(_, spot) => spot.as_ref(),
            Self::Variable(_) => None,
        }
    }
}

impl fmt::Display for ValueOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(document, _) => write!(f, "{}", document.path.display()),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) origin: ValueOrigin,
    pub(super) value: Written,
}

/// What was written.
#[derive(Clone, Debug)]
pub(super) enum Written {
    Nothing,
    Flag(bool),
    Integer(i128),
    Float(f64),
    Text(Text),
    List(Vec<Node>),
    Table(Table),
    /// Something that was already reported, and is not to be reported again.
    Broken,
}

pub(super) type Table = BTreeMap<String, Node>;

/// A string, with what it was made from.
#[derive(Clone, Debug)]
pub(super) struct Text {
    pub(super) value: String,
    pub(super) expanded: Option<Expanded>,
}

/// What a string was before `${..}` was replaced in it.
#[derive(Clone, Debug)]
pub(super) struct Expanded {
    pub(super) as_written: String,
    pub(super) files: Vec<PathBuf>,
    /// What stood there, and what it was replaced by.
    pub(super) replaced: Vec<(String, String)>,
}

impl Node {
    pub(super) fn empty_table(origin: ValueOrigin) -> Self {
        Self { origin, value: Written::Table(Table::new()) }
    }

    /// A value that nothing takes.
    pub(super) fn broken() -> Self {
        Self { origin: ValueOrigin::Variable("".into()), value: Written::Broken }
    }

    pub(super) const fn as_table(&self) -> Option<&Table> {
        match &self.value {
            Written::Table(table) => Some(table),
            Written::Nothing
            | Written::Flag(_)
            | Written::Integer(_)
            | Written::Float(_)
            | Written::Text(_)
            | Written::List(_)
            | Written::Broken => None,
        }
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        match &self.value {
            Written::Text(text) => Some(&text.value),
            Written::Nothing
            | Written::Flag(_)
            | Written::Integer(_)
            | Written::Float(_)
            | Written::List(_)
            | Written::Table(_)
            | Written::Broken => None,
        }
    }

    pub(super) fn text(origin: ValueOrigin, value: String) -> Self {
        Self { origin, value: Written::Text(Text { value, expanded: None }) }
    }

    /// A parsed file's table, whose keys stand in these places.
    pub(super) fn from_table(
        document: &Arc<Document>,
        spots: &Spots,
        table: config::Map<String, Value>,
    ) -> Self {
        let origin = ValueOrigin::File(Arc::clone(document), None);
        Maker { spots: Some((document, spots)), expanded: None }.node("", &origin, ValueKind::Table(table))
    }

    /// Lays another tree over this one: tables are merged, anything else is replaced.
    pub(super) fn overlay(&mut self, over: Self) {
        match (&mut self.value, over) {
            (Written::Table(below), Self { value: Written::Table(above), .. }) => {
                for (key, node) in above {
                    match below.get_mut(&key) {
                        Some(known) => known.overlay(node),
                        None => drop(below.insert(key, node)),
                    }
                }
            }
            (_, over) => *self = over,
        }
    }

    /// A string from the environment stands for any type: this is what it says as a list or a table, in TOML or JSON.
    ///
    /// `None` for a string that was written as such in a file, or that is neither.
    pub(super) fn inline(&self) -> Option<Self> {
        let text = self.loose_text()?.value.trim();
        if !text.starts_with(['[', '{']) {
            return None;
        }
        let toml = FileFormat::Toml.parse(None, &format!("value = {text}"));
        let mut table = match toml {
            Ok(table) => table,
            Err(_) => FileFormat::Json.parse(None, &format!("{{\"value\": {text}}}")).ok()?,
        };
        let expanded = self.loose_text().and_then(|text| text.expanded.as_ref());
        let value = table.remove("value")?;
        Some(Maker { spots: None, expanded }.node("", &self.origin, value.kind))
    }

    /// The parts of a comma-separated string from the environment.
    pub(super) fn comma_separated(&self) -> Option<Vec<Self>> {
        let text = self.loose_text()?;
        let is_balanced = text.value.matches('{').count() == text.value.matches('}').count();
        let mut depth = 0_usize;
        // A comma within the braces of a glob separates nothing.
        let is_separator = |c: char| {
            match c {
                '{' => depth = depth.saturating_add(1),
                '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            c == ',' && (depth == 0 || !is_balanced)
        };
        let parts = text.value.split(is_separator).map(str::trim).filter(|part| !part.is_empty());
        let node = |part: &str| {
            let value = Text { value: part.to_owned(), expanded: text.expanded.clone() };
            Self { origin: self.origin.clone(), value: Written::Text(value) }
        };
        Some(parts.map(node).collect())
    }

    /// A string that came from the environment or from a file named in `${file:..}`.
    pub(super) fn loose_text(&self) -> Option<&Text> {
        let Written::Text(text) = &self.value else { return None };
        let loose = text.expanded.is_some() || matches!(self.origin, ValueOrigin::Variable(_));
        loose.then_some(text)
    }

    /// A sentence about the value, without what `${..}` stands for in it: that may be a secret.
    pub(super) fn conceal(&self, sentence: String) -> String {
        /// What is shorter is no secret, and would be found in any sentence.
        const LEAST_SECRET: usize = 4;
        match &self.value {
            Written::Text(Text { expanded: Some(expanded), .. }) => {
                let values = expanded.replaced.iter().filter(|(_, value)| value.len() >= LEAST_SECRET);
                values.fold(sentence, |sentence, (name, value)| sentence.replace(value, name))
            }
            Written::List(items) => items.iter().fold(sentence, |sentence, item| item.conceal(sentence)),
            Written::Table(table) => table.values().fold(sentence, |sentence, value| value.conceal(sentence)),
            Written::Text(_)
            | Written::Nothing
            | Written::Flag(_)
            | Written::Integer(_)
            | Written::Float(_)
            | Written::Broken => sentence,
        }
    }

    /// The value as an error shows it. What `${..}` stands for may be a secret, and is shown as written.
    pub(super) fn describe(&self) -> String {
        const LONGEST: usize = 60;
        match &self.value {
            Written::Nothing | Written::Broken => "nothing".to_owned(),
            Written::Flag(flag) => format!("`{flag}`"),
            Written::Integer(number) => format!("`{number}`"),
            Written::Float(number) => format!("`{number}`"),
            Written::List(_) => "a list".to_owned(),
            Written::Table(_) => "a table".to_owned(),
            Written::Text(Text { expanded: Some(expanded), .. }) => {
                format!("the value of `{}`", shortened(&expanded.as_written, LONGEST))
            }
            Written::Text(text) if text.value.is_empty() => "an empty string".to_owned(),
            Written::Text(text) => format!("`{}`", shortened(&text.value, LONGEST)),
        }
    }
}

/// Makes nodes from values as the `config` crate parses them.
struct Maker<'a> {
    spots: Option<(&'a Arc<Document>, &'a Spots)>,
    expanded: Option<&'a Expanded>,
}

impl Maker<'_> {
    /// The node of a value with this key, which stands in `around`.
    fn node(&self, key: &str, around: &ValueOrigin, kind: ValueKind) -> Node {
        let spot = self.spots.and_then(|(document, spots)| Some((document, spots.get(key)?)));
        let origin = match spot {
            Some((document, spot)) => ValueOrigin::File(Arc::clone(document), Some(spot.clone())),
            None => around.clone(),
        };
        let value = match kind {
            ValueKind::Nil => Written::Nothing,
            ValueKind::Boolean(flag) => Written::Flag(flag),
            ValueKind::I64(number) => Written::Integer(number.into()),
            ValueKind::I128(number) => Written::Integer(number),
            ValueKind::U64(number) => Written::Integer(number.into()),
            ValueKind::U128(number) => Written::Integer(number.try_into().unwrap_or(i128::MAX)),
            ValueKind::Float(number) => Written::Float(number),
            ValueKind::String(value) => Written::Text(Text { value, expanded: self.expanded.cloned() }),
            ValueKind::Array(items) => {
                let item = |(index, value): (usize, Value)| self.node(&item(key, index), &origin, value.kind);
                Written::List(items.into_iter().enumerate().map(item).collect())
            }
            ValueKind::Table(table) => {
                let entry = |(name, value): (String, Value)| {
                    let node = self.node(&join(key, &name), &origin, value.kind);
                    (name, node)
                };
                Written::Table(table.into_iter().map(entry).collect())
            }
        };
        Node { origin, value }
    }
}

fn shortened(text: &str, longest: usize) -> String {
    let mut shown = String::new();
    for c in text.chars().take(longest) {
        // As it is written in a file, but for what would speak to a terminal.
        if matches!(c, '\\' | '"' | '\'') { shown.push(c) } else { shown.extend(c.escape_debug()) }
    }
    if text.chars().nth(longest).is_some() {
        shown.push_str("..");
    }
    shown
}
