//! Reads one table key by key, so that every mistake is noted and unknown keys are what is left at the end.

use super::document::LineColumn;
use super::key::{item, join};
use super::misfit::{Misfit, shape_of};
use super::problem::{Notes, nearest, suggestion};
use super::recording::KeyForm;
use super::secret::Secret;
use super::shape::ValueShape;
use super::tree::{Node, Table, ValueOrigin, Written};

/// A table that is being read.
#[derive(Debug)]
pub(super) struct Section<'n> {
    pub(super) notes: &'n Notes,
    path: String,
    origin: ValueOrigin,
    table: Table,
    asked: Vec<&'static str>,
}

impl<'n> Section<'n> {
    /// The whole tree.
    pub(super) fn root(notes: &'n Notes, tree: Node) -> Self {
        Self::new(notes, String::new(), tree).unwrap_or_else(|origin| Self {
            notes,
            path: String::new(),
            origin,
            table: Table::new(),
            asked: Vec::new(),
        })
    }

    fn new(notes: &'n Notes, path: String, node: Node) -> Result<Self, ValueOrigin> {
        let node = node.inline().unwrap_or(node);
        let Node { origin, value } = node;
        let table = match value {
            Written::Table(table) => table,
            Written::Nothing => Table::new(),
            value @ (Written::Flag(_)
            | Written::Integer(_)
            | Written::Float(_)
            | Written::Text(_)
            | Written::List(_)) => {
                let found = Node { origin: origin.clone(), value };
                notes.problem(&origin, &path, expected(&found, &a_table(&path, &found)));
                return Err(origin);
            }
            Written::Broken => return Err(origin),
        };
        notes.written(path.clone(), origin.clone());
        notes.record(|| (path.clone(), KeyForm::Read));
        Ok(Self { notes, path, origin, table, asked: Vec::new() })
    }

    /// Whether the table stands in no file, but was begun by an environment variable.
    pub(super) fn is_from_environment(&self) -> bool {
        matches!(self.origin, ValueOrigin::Variable(_))
    }

    /// Notes a problem of one of this table's keys.
    pub(super) fn problem(&self, key: &str, text: impl Into<String>) {
        self.notes.problem_at(&join(&self.path, key), text);
    }

    /// Notes a problem of the table itself.
    pub(super) fn problem_here(&self, text: impl Into<String>) {
        self.notes.problem_at(&self.path, text);
    }

    /// Whether a key is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.record(key, || KeyForm::Anything);
        self.table.contains_key(key)
    }

    /// Whether a key holds a table, or what the environment gave for one.
    pub(super) fn has_table(&self, key: &str) -> bool {
        self.record(key, || KeyForm::Table);
        let is_table = |node: &Node| matches!(node.value, Written::Table(_)) || node.inline().is_some();
        self.table.get(key).is_some_and(is_table)
    }

    /// The tables that this one holds under other keys than these.
    pub(super) fn tables_beside(&self, known: &[&str]) -> Vec<(&String, &Table)> {
        let others = self.table.iter().filter(|(key, _)| !known.contains(&key.as_str()));
        others.filter_map(|(key, node)| Some((key, node.as_table()?))).collect()
    }

    /// Takes a key that stands in the wrong place, and notes it.
    pub(super) fn misplaced(&mut self, key: &str, text: &str) {
        if let Some(node) = self.table.remove(key) {
            self.notes.problem_of_key(&node.origin, &join(&self.path, key), text);
        }
    }

    /// A key that may be left out.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&Node) -> Result<T, Misfit>,
    ) -> Option<T> {
        let Some(node) = self.take(key) else {
            self.record(key, || KeyForm::Value(shape_of(parse)));
            return None;
        };
        match parse(&node) {
            Ok(value) => Some(value),
            Err(misfit) if matches!(node.value, Written::Broken) => {
                self.record(key, || KeyForm::Value(misfit.shape.map(|shape| *shape)));
                None
            }
            Err(misfit) => {
                self.notes.problem(&node.origin, &join(&self.path, key), misfit.concealed(&node));
                None
            }
        }
    }

    /// A key with a default.
    pub(super) fn or<T>(
        &mut self,
        key: &'static str,
        default: T,
        parse: impl FnOnce(&Node) -> Result<T, Misfit>,
    ) -> T {
        self.optional(key, parse).unwrap_or(default)
    }

    /// A key that must be there.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        example: &str,
        parse: impl FnOnce(&Node) -> Result<T, Misfit>,
    ) -> Option<T> {
        self.record(key, || KeyForm::Required);
        if !self.table.contains_key(key) {
            self.asked(key);
            self.record(key, || KeyForm::Value(shape_of(parse)));
            let of_type = self.type_elsewhere(&self.origin);
            self.problem(key, format!("missing{of_type}; give it a value such as `{example}`"));
            return None;
        }
        self.optional(key, parse)
    }

    /// A list of secrets: neither shown nor lost sight of.
    pub(super) fn secrets(&mut self, key: &'static str) -> Vec<Secret> {
        self.record(key, || {
            let item = Some(Box::new(ValueShape::Text));
            KeyForm::Value(Some(ValueShape::List { item, least: 0 }))
        });
        let Some(node) = self.take(key) else { return Vec::new() };
        let mut secrets = Vec::new();
        let Ok(items) = items(&node) else {
            if !matches!(node.value, Written::Broken) {
                let (origin, key) = (&node.origin, join(&self.path, key));
                let text = "expected a list of strings such as `[\"${KEY}\"]` (the value found is not shown)";
                self.notes.problem_of_secret(origin, &key, text);
            }
            return secrets;
        };
        for (index, secret) in items.iter().enumerate() {
            let path = join(&self.path, key);
            secrets.extend(self.secret_of((&path, &item(&path, index)), secret));
        }
        secrets
    }

    /// A secret: neither shown nor lost sight of.
    pub(super) fn secret(&mut self, key: &'static str) -> Option<Secret> {
        self.record(key, || KeyForm::Value(Some(ValueShape::Text)));
        let node = self.take(key)?;
        let path = join(&self.path, key);
        self.secret_of((&path, &path), &node)
    }

    /// Whatever keys the table has, each with a secret.
    pub(super) fn secret_entries(self) -> Vec<(String, Secret)> {
        self.notes.record(|| (self.path.clone(), KeyForm::NamedValues(Some(ValueShape::Text))));
        let secret = |(key, node): (&String, &Node)| {
            let path = join(&self.path, key);
            Some((key.clone(), self.secret_of((&path, &path), node)?))
        };
        self.table.iter().filter_map(secret).collect()
    }

    /// The secret that stands at a key or, as `path`, in its list.
    fn secret_of(&self, (key, path): (&str, &str), node: &Node) -> Option<Secret> {
        if let Written::Text(text) = &node.value
            && (1..=LONGEST_SECRET).contains(&text.value.len())
            && !text.value.trim().is_empty()
        {
            self.note_holders(key, node);
            return Some(Secret::new(text.value.clone()));
        }
        if !matches!(node.value, Written::Broken) {
            let text = format!(
                "expected a string of 1 to {LONGEST_SECRET} bytes that is not blank (the value found is not shown)"
            );
            self.notes.problem_of_secret(&node.origin, path, text);
        }
        None
    }

    /// A table in this one.
    pub(super) fn table(&mut self, key: &'static str) -> Option<Self> {
        self.record(key, || KeyForm::Table);
        let node = self.take(key)?;
        Self::new(self.notes, join(&self.path, key), node).ok()
    }

    /// A table in this one that may be left out, in which case all its keys are.
    pub(super) fn table_or_empty(&mut self, key: &'static str) -> Option<Self> {
        self.record(key, || KeyForm::Table);
        if self.table.contains_key(key) {
            return self.table(key);
        }
        self.asked(key);
        let path = join(&self.path, key);
        self.record(key, || KeyForm::Read);
        let origin = self.origin.clone();
        Some(Self { notes: self.notes, path, origin, table: Table::new(), asked: Vec::new() })
    }

    /// A list of tables in this one; one table alone is a list of one.
    pub(super) fn tables(&mut self, key: &'static str) -> Option<Vec<Self>> {
        self.record(key, || KeyForm::Tables);
        let Some(node) = self.take(key) else { return Some(Vec::new()) };
        let path = join(&self.path, key);
        let node = node.inline().unwrap_or(node);
        let Written::List(items) = node.value else {
            return Self::new(self.notes, path, node).ok().map(|section| vec![section]);
        };
        let n_items = items.len();
        let section = |(index, node)| Self::new(self.notes, item(&path, index), node).ok();
        let sections: Vec<Self> = items.into_iter().enumerate().filter_map(section).collect();
        (sections.len() == n_items).then_some(sections)
    }

    /// The named tables in this one.
    pub(super) fn named_tables(self) -> Vec<(String, Option<Self>)> {
        let Self { notes, path, table, .. } = self;
        notes.record(|| (path.clone(), KeyForm::NamedTables));
        let child = |(name, node): (String, Node)| {
            let section = Self::new(notes, join(&path, &name), node).ok();
            (name, section)
        };
        table.into_iter().map(child).collect()
    }

    /// Whatever keys the table has, each read by `parse`.
    pub(super) fn entries<T>(self, parse: impl Fn(&Node) -> Result<T, Misfit>) -> Vec<(String, T)> {
        self.notes.record(|| (self.path.clone(), KeyForm::NamedValues(shape_of(&parse))));
        let mut entries = Vec::new();
        for (key, node) in self.table {
            match parse(&node) {
                Ok(value) => entries.push((key, value)),
                Err(_) if matches!(node.value, Written::Broken) => {}
                Err(misfit) => {
                    self.notes.problem(&node.origin, &join(&self.path, &key), misfit.concealed(&node));
                }
            }
        }
        entries
    }

    /// Reports the keys that nobody asked for.
    pub(super) fn finish(self) {
        for (key, node) in &self.table {
            let known = || self.asked.iter().copied();
            let of_type = match nearest(key, known()) {
                Some(_) => String::new(),
                None => self.type_elsewhere(&node.origin),
            };
            let text = format!("unknown key{of_type}; {}", suggestion(key, known()));
            self.notes.problem_of_key(&node.origin, &join(&self.path, key), text);
        }
    }

    /// Names the file that says the table's `type`, where that is another one: files may not go together.
    fn type_elsewhere(&self, origin: &ValueOrigin) -> String {
        let of_type = self.notes.origin_of(&join(&self.path, "type"));
        match (of_type, origin) {
            (Some((ValueOrigin::File(document, Some(spot)), true)), ValueOrigin::File(here, _))
                if document.path != here.path =>
            {
                let LineColumn { line, .. } = document.position(spot.value.start);
                format!(" for the `type` that {}:{line} sets", document.path.display())
            }
            _ => String::new(),
        }
    }

    fn take(&mut self, key: &'static str) -> Option<Node> {
        self.asked(key);
        let node = self.table.remove(key)?;
        self.notes.written(join(&self.path, key), node.origin.clone());
        Some(node)
    }

    /// Tells whoever makes a schema what this key is.
    fn record(&self, key: &str, form: impl FnOnce() -> KeyForm) {
        self.notes.record(|| (join(&self.path, key), form()));
    }

    fn asked(&mut self, key: &'static str) {
        self.asked.push(key);
        self.notes.asked(join(&self.path, key));
    }

    /// Notes the files that hold a secret, so that their permissions can be looked at.
    fn note_holders(&self, key: &str, item: &Node) {
        let Written::Text(text) = &item.value else { return };
        match (&text.expanded, &item.origin) {
            (Some(expanded), _) => {
                for file in &expanded.files {
                    self.notes.secret_file(file.clone(), key);
                }
            }
            (None, ValueOrigin::File(document, _)) => self.notes.secret_file(document.path.clone(), key),
            (None, ValueOrigin::Variable(_)) => {}
        }
    }
}

/// What Firehose sends at most.
const LONGEST_SECRET: usize = 4_096;

/// The items of a list, also of one that the environment gave as a string.
pub(super) fn items(node: &Node) -> Result<Vec<Node>, Misfit> {
    if let Written::List(items) = &node.value {
        return Ok(items.clone());
    }
    if let Some(Node { value: Written::List(items), .. }) = node.inline() {
        return Ok(items);
    }
    node.comma_separated().ok_or_else(|| match node.as_text() {
        Some(text) => expected(node, &format!("a list: `[{text:?}]`")),
        None => expected(node, "a list such as `[\"..\"]`"),
    })
}

/// The sentence for a value that is not what it should be.
pub(super) fn expected(node: &Node, what: &str) -> Misfit {
    Misfit::of(node, format!("found {}, expected {what}", node.describe()))
}

/// A table in words, with how a value that was written in its place stands in it.
fn a_table(path: &str, found: &Node) -> String {
    const FIRST_KEYS: [(&str, &str); 5] = [
        ("assume_role", "arn"),
        ("buffer", "type"),
        ("compression", "type"),
        ("multiline", "start"),
        ("tls", "cert"),
    ];
    let first = FIRST_KEYS.iter().find(|(table, _)| path.ends_with(table));
    match (&found.value, first) {
        (Written::Text(text), Some((_, key))) if text.expanded.is_none() => {
            format!("a table: `{{ {key} = {:?} }}`", text.value)
        }
        _ => "a table".to_owned(),
    }
}
