//! What the documented settings say of each key: the words before it, its default, an example.

use std::collections::BTreeMap;

use config::{FileFormat, Format, ValueKind};
use serde_json::Value;

use super::explore::DECIDES;

/// What is said of one key.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct KeyWords {
    pub(super) text: String,
    pub(super) default: Option<Value>,
    pub(super) examples: Vec<Value>,
}

/// The source and the sink whose keys are documented in full; what others have of them is said there.
const FILES: &str = "sources.*<file>";
const STREAMS: &str = "sinks.*<firehose>";

/// What is said of a key, here or where keys of that name are documented.
pub(super) fn words_of<'d>(documented: &'d Documented, key: &str) -> Option<&'d KeyWords> {
    let elsewhere = || {
        let (table, name) = key.rsplit_once('.')?;
        let of_same = [FILES, STREAMS].into_iter().find(|of| of.split('<').next() == table.split('<').next());
        documented.get(&format!("{}.{name}", of_same?))
    };
    documented.get(key).or_else(elsewhere)
}

/// What is said of every key: by its dotted key, as [`super::explore::TreeReading::general`] writes it.
pub(super) type Documented = BTreeMap<String, KeyWords>;

/// Reads the documented settings: a TOML file in which lines that begin with `# ` explain what follows, and `#` before a key or a
/// table is an example.
pub(super) fn documented(text: &str) -> Documented {
    let mut documented = Documented::new();
    let (mut words, mut table): (Vec<&str>, String) = (Vec::new(), String::new());
    for line in text.lines() {
        let (is_example, line) = match line.strip_prefix('#') {
            Some(rest) if rest.is_empty() || rest.starts_with(' ') => {
                words.push(rest.trim());
                continue;
            }
            Some(rest) => (true, rest),
            None => (false, line),
        };
        if let Some(header) = line.strip_prefix('[') {
            table = general(header.trim_matches(['[', ']']));
            note_text(&mut documented, &table, &words);
        } else if let Some((key, value)) =
            line.split_once('=').and_then(|(key, value)| Some((key.trim(), parsed(value)?)))
        {
            if let (DECIDES, Value::String(word)) = (key, &value) {
                note_text(&mut documented, &format!("{table}<{word}>"), &words);
                table = format!("{table}<{word}>");
            }
            let key = format!("{table}.{key}");
            let is_required = words.last().is_some_and(|line| line.ends_with("Required."));
            note_text(&mut documented, &key, &words);
            let of_key = documented.entry(key).or_default();
            if is_example || is_required {
                of_key.examples.push(value);
            } else {
                of_key.default = Some(value);
            }
        }
        words.clear();
    }
    refer(&mut documented);
    documented
}

/// The first words that are said of a key stay.
fn note_text(documented: &mut Documented, key: &str, words: &[&str]) {
    let of_key = documented.entry(key.to_owned()).or_default();
    if of_key.text.is_empty() {
        of_key.text = words.join(" ");
    }
}

/// The name of a source or a sink is any.
fn general(header: &str) -> String {
    match header.split_once('.') {
        Some((first, _)) => format!("{first}.*"),
        None => header.to_owned(),
    }
}

/// Words such as `As for files.` are those of another table, with what is said beyond.
fn refer(documented: &mut Documented) {
    let others = [("As for files", FILES), ("As for sinks", STREAMS), ("The other", STREAMS)];
    let before = documented.clone();
    for (key, of_key) in documented.iter_mut() {
        let name = key.rsplit('.').next().unwrap_or_default();
        for (reference, table) in others {
            let there = before.get(&format!("{table}.{name}"));
            if let (Some(rest), Some(there)) = (of_key.text.strip_prefix(reference), there) {
                let rest =
                    if reference.starts_with("As") { rest.strip_prefix('.').unwrap_or_default() } else { "" };
                of_key.text = format!("{}{rest}", there.text);
            }
        }
    }
}

fn parsed(value: &str) -> Option<Value> {
    let mut table = FileFormat::Toml.parse(None, &format!("value ={value}")).ok()?;
    Some(json(table.remove("value")?.kind))
}

fn json(kind: ValueKind) -> Value {
    match kind {
        ValueKind::Nil => Value::Null,
        ValueKind::Boolean(flag) => flag.into(),
        ValueKind::I64(number) => number.into(),
        ValueKind::U64(number) => number.into(),
        ValueKind::I128(number) => i64::try_from(number).unwrap_or(i64::MAX).into(),
        ValueKind::U128(number) => u64::try_from(number).unwrap_or(u64::MAX).into(),
        ValueKind::Float(number) => number.into(),
        ValueKind::String(text) => text.into(),
        ValueKind::Array(items) => items.into_iter().map(|item| json(item.kind)).collect(),
        ValueKind::Table(table) => table.into_iter().map(|(key, value)| (key, json(value.kind))).collect(),
    }
}
