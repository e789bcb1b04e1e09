//! Reads trees of every form with the parser itself, until it has asked for every key that it ever asks for.
//!
//! A tree begins empty. Wherever the parser asks for a table, a list of tables or a word that decides about others, the next trees
//! have one; so each decision of the parser is taken once, whatever it is about.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::document::Document;
use crate::config::problem::Notes;
use crate::config::recording::{AskedKey, KeyForm};
use crate::config::section::Section;
use crate::config::shape::ValueShape;
use crate::config::tree::{Node, Table, Text, ValueOrigin, Written};

/// The name of all tables whose names users choose.
const ANY_NAME: &str = "NAME";

/// The key whose word decides which keys a table has.
pub(super) const DECIDES: &str = "type";

/// What stands somewhere in a tree.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Sample {
    Table,
    /// A list of one table.
    Tables,
    Word(String),
    /// Something, whatever it is to be.
    Anything,
}

/// A tree that was read, and what was asked for.
#[derive(Debug)]
pub(super) struct TreeReading {
    samples: Vec<(String, Sample)>,
    pub(super) asked: Vec<AskedKey>,
}

/// Every reading that tells something new.
pub(super) fn readings(read: &dyn Fn(Section<'_>)) -> Vec<TreeReading> {
    let mut open = vec![Vec::new()];
    let (mut decided, mut readings) = (BTreeSet::new(), Vec::new());
    while let Some(samples) = open.pop() {
        let notes = Notes::recording();
        read(Section::root(&notes, tree(&samples)));
        let reading = TreeReading { asked: notes.into_recorded(), samples };
        for (path, sample) in reading.decisions() {
            if decided.insert((reading.general(&path), sample.clone())) {
                let more = std::iter::once((path, sample));
                open.push(reading.samples.iter().cloned().chain(more).collect());
            }
        }
        readings.push(reading);
    }
    readings
}

impl TreeReading {
    /// What could be in the tree, too, so that the parser takes another way.
    fn decisions(&self) -> Vec<(String, Sample)> {
        let said = |path: &str| {
            let says = |key: &&AskedKey| key.path == path && key.form != KeyForm::Anything;
            self.asked.iter().any(|key| says(&key))
        };
        let mut decisions = Vec::new();
        for AskedKey { path, form } in &self.asked {
            let below = format!("{path}.{ANY_NAME}");
            match form {
                KeyForm::Value(Some(ValueShape::Words(words))) if last(path) == DECIDES => {
                    decisions.extend(words.iter().map(|word| (path.clone(), Sample::Word(word.clone()))));
                }
                KeyForm::Table => decisions.push((path.clone(), Sample::Table)),
                KeyForm::Tables => decisions.push((path.clone(), Sample::Tables)),
                KeyForm::NamedTables => decisions.push((below, Sample::Table)),
                KeyForm::Anything if !said(path) => decisions.push((path.clone(), Sample::Anything)),
                KeyForm::Value(_)
                | KeyForm::NamedValues(_)
                | KeyForm::Anything
                | KeyForm::Required
                | KeyForm::Read => {}
            }
        }
        decisions.retain(|(path, _)| self.samples.iter().all(|(known, _)| known != path));
        decisions
    }

    /// A dotted key as it is in every tree: without names and places in lists, with the types of the tables that it is in.
    pub(super) fn general(&self, path: &str) -> String {
        let mut parts: Vec<&str> = path.split('.').collect();
        let key = parts.pop().unwrap_or_default();
        let around = self.table(&parts.join("."));
        let key = plain(key);
        if around.is_empty() { key.to_owned() } else { format!("{around}.{key}") }
    }

    /// The same of a table, with its own type.
    pub(super) fn table(&self, path: &str) -> String {
        let (mut here, mut general) = (String::new(), String::new());
        for part in path.split('.').filter(|part| !part.is_empty()) {
            for text in [&mut here, &mut general] {
                text.push_str(if text.is_empty() { "" } else { "." });
            }
            here.push_str(part);
            general.push_str(plain(part));
            let decides = format!("{here}.{DECIDES}");
            let word = self.samples.iter().find(|(known, _)| *known == decides);
            if let Some((_, Sample::Word(word))) = word {
                for text in ["<", word, ">"] {
                    general.push_str(text);
                }
            }
        }
        general
    }
}

/// The last part of a dotted key.
fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

/// A part of a key without its place in a list; `*` stands for all names.
fn plain(part: &str) -> &str {
    let part = part.split('[').next().unwrap_or(part);
    if part == ANY_NAME { "*" } else { part }
}

fn tree(samples: &[(String, Sample)]) -> Node {
    let document = Document { path: PathBuf::new(), text: String::new() };
    let origin = ValueOrigin::File(Arc::new(document), None);
    let mut root = Table::new();
    for (path, sample) in samples {
        let node = |value| Node { origin: origin.clone(), value };
        let value = match sample {
            Sample::Table => Written::Table(Table::new()),
            Sample::Tables => Written::List(vec![node(Written::Table(Table::new()))]),
            Sample::Word(word) => Written::Text(Text { value: word.clone(), expanded: None }),
            Sample::Anything => Written::Broken,
        };
        let mut parts: Vec<&str> = path.split('.').collect();
        let key = parts.pop().unwrap_or_default();
        if let Some(table) = table_at(&mut root, &parts) {
            table.insert(key.to_owned(), node(value));
        }
    }
    Node { origin, value: Written::Table(root) }
}

/// The table at these parts of a key, which stand in the order that they were asked for.
fn table_at<'t>(table: &'t mut Table, parts: &[&str]) -> Option<&'t mut Table> {
    let Some((first, rest)) = parts.split_first() else { return Some(table) };
    let name = first.split('[').next().unwrap_or(first);
    // What is read though it was not written is written now.
    let missing = Node { origin: ValueOrigin::Variable("".into()), value: Written::Table(Table::new()) };
    let mut value = &mut table.entry(name.to_owned()).or_insert(missing).value;
    if let Written::List(items) = value {
        value = &mut items.first_mut()?.value;
    }
    if let Written::Table(below) = value { table_at(below, rest) } else { None }
}
