//! Where the keys of a TOML file stand.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::fault::{Spots, SyntaxFault, twice};
use crate::config::document::{Spot, line_around};
use crate::config::key::{item, join, may_be_secret};

pub(super) fn find(text: &str) -> Result<Spots, SyntaxFault> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut finder = TomlFinder::default();
    finder.table("", table.get_ref());
    // The first one explains the most.
    let first = errors.iter().filter_map(|error| Some((error.span()?, error.message())));
    if let Some((at, message)) = first.min_by_key(|(at, _)| at.start) {
        let unclosed = errors.iter().any(|error| error.message().starts_with("unclosed array"));
        return Err(fault(text, at, message, unclosed));
    }
    match finder.too_large {
        Some((at, key)) => {
            let why = "found a number that is too large, expected one of at most 64 bits".to_owned();
            Err(SyntaxFault { at, key, why })
        }
        None => Ok(finder.spots),
    }
}

#[derive(Default)]
struct TomlFinder {
    spots: Spots,
    /// The first number that the `config` crate would not read.
    too_large: Option<(Range<usize>, String)>,
}

impl TomlFinder {
    fn table(&mut self, path: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            self.value(join(path, key.get_ref()), key.span(), value.span(), value.get_ref());
        }
    }

    fn value(&mut self, path: String, key: Range<usize>, at: Range<usize>, value: &DeValue<'_>) {
        let is_scalar = !matches!(value, DeValue::Table(_) | DeValue::Array(_));
        self.spots.insert(path.clone(), Spot { key, value: at.clone(), is_scalar });
        let fits = match value {
            DeValue::Table(table) => {
                self.table(&path, table);
                true
            }
            DeValue::Array(items) => {
                for (index, value) in items.iter().enumerate() {
                    self.value(item(&path, index), value.span(), value.span(), value.get_ref());
                }
                true
            }
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).is_ok(),
            DeValue::Float(number) => {
                let is_infinite = number.as_str().parse().is_ok_and(f64::is_infinite);
                !is_infinite || number.as_str().contains("inf")
            }
            DeValue::String(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => true,
        };
        if !fits {
            self.too_large.get_or_insert((at, path));
        }
    }
}

fn fault(text: &str, at: Range<usize>, message: &str, unclosed: bool) -> SyntaxFault {
    let line = line_around(text, at.start);
    let is_header = text.get(line.clone()).is_some_and(|line| line.trim_start().starts_with('['));
    let (key, key_line) = key_at(text, line.end);
    if unclosed && is_header {
        let (key, key_line) = key_at(text, line.start.saturating_sub(1));
        let open = text.get(key_line.clone()).and_then(|line| line.rfind('['));
        let at = open.map_or(key_line.clone(), |open| key_line.start + open..key_line.start + open + 1);
        let why = "found no `]` for this `[`, expected it at the end of the list".to_owned();
        return SyntaxFault { at, key, why };
    }
    if message == "duplicate key" {
        let mut before = TomlFinder::default();
        let (table, _) = DeTable::parse_recoverable(text.get(..line.start).unwrap_or_default());
        before.table("", table.get_ref());
        let first = before.spots.get(&key).map(|spot| spot.key.start);
        return twice(text, at, key, first);
    }
    let why = words(text, &at, &key, message);
    if message.starts_with("key with no value") && !text.get(at.clone()).unwrap_or_default().starts_with(':')
    {
        return key_alone(text, line, why);
    }
    // What ends too early is shown where it began.
    let at = if at.start >= text.trim_end().len() && !key_line.is_empty() { key_line } else { at };
    SyntaxFault { at, key, why }
}

/// A key that stands alone on its line.
fn key_alone(text: &str, line: Range<usize>, why: String) -> SyntaxFault {
    // Where the file ends, the line is the last that says something.
    let end = text.get(..line.end).unwrap_or(text).trim_end().len();
    let line = line_around(text, end);
    let mut headers = (0, None);
    for line in text.get(..line.start).unwrap_or_default().split_inclusive('\n') {
        headers.0 += line.len();
        if header_of(line).is_some() {
            headers.1 = Some(headers.0);
        }
    }
    let table = headers.1.map_or_else(String::new, |end| key_at(text, end).0);
    let name = text.get(line.clone()).unwrap_or_default().trim();
    let key = if table.is_empty() { name.to_owned() } else { format!("{table}.{name}") };
    SyntaxFault { at: line, key, why }
}

fn words(text: &str, at: &Range<usize>, key: &str, message: &str) -> String {
    let found = text.get(at.clone()).unwrap_or_default().trim_end();
    let next = text.get(at.start..).unwrap_or_default();
    let is_unquoted =
        message.starts_with("string values must be quoted") || message.starts_with("invalid boolean");
    match message {
        _ if is_unquoted && ["true", "false"].contains(&found.to_lowercase().as_str()) => {
            format!("found `{found}`, expected `{}`", found.to_lowercase())
        }
        _ if is_unquoted && may_be_secret(key) => {
            "found a value without quotes, expected it in quotes (it is not shown)".to_owned()
        }
        _ if is_unquoted => format!("found `{found}` without quotes, expected `\"{found}\"`"),
        _ if message.starts_with("missing escaped value") => {
            let escape: String = next.chars().take(1).collect();
            format!(
                "found `\\{escape}`, which stands for nothing between `\"`; expected the text between `'`, where a `\\` is itself"
            )
        }
        _ if message.starts_with("key with no value") && next.starts_with(':')
            || message.starts_with("invalid unquoted key") && next.starts_with(':') =>
        {
            "found `:`, expected `=`: in a .toml file it is `key = value`".to_owned()
        }
        _ if message.starts_with("key with no value") => {
            "found a key alone, expected `key = value`".to_owned()
        }
        _ if message.starts_with("invalid basic string") => {
            "found no `\"` at the end of the text, expected one".to_owned()
        }
        _ if message.starts_with("invalid literal string") => {
            "found no `'` at the end of the text, expected one".to_owned()
        }
        _ if message.starts_with("unclosed array") => {
            "found no `]` at the end of the list, expected one".to_owned()
        }
        _ if message.starts_with("missing comma") => {
            "found no comma between two items, expected one".to_owned()
        }
        _ => format!("cannot be parsed: {message}"),
    }
}

/// The dotted key that the end of a line belongs to, and the line that begins with it.
fn key_at(text: &str, end: usize) -> (String, Range<usize>) {
    let mut header = String::new();
    let mut n_headers: Vec<(String, usize)> = Vec::new();
    let mut key: Option<(&str, Range<usize>)> = None;
    let mut start = 0;
    for line in text.get(..end).unwrap_or(text).split_inclusive('\n') {
        let at = start..start + line.trim_end().len();
        start += line.len();
        if let Some(name) = header_of(line) {
            let is_list = line.trim_start().starts_with("[[");
            let count = n_headers.iter().filter(|(known, _)| *known == name).count();
            n_headers.push((name.clone(), count));
            header = if is_list { item(&name, count) } else { name };
            key = Some(("", at));
        } else if let Some(name) = name_of(line) {
            key = Some((name, at));
        }
    }
    match key {
        Some(("", line)) => (header, line),
        Some((name, line)) if header.is_empty() => (name.to_owned(), line),
        Some((name, line)) => (format!("{header}.{name}"), line),
        None => (header, 0..0),
    }
}

/// The name of a table whose header the line is.
fn header_of(line: &str) -> Option<String> {
    let inside = line.trim().split('#').next()?.trim();
    let name = inside.strip_prefix("[[").and_then(|rest| rest.strip_suffix("]]"));
    let name = name.or_else(|| inside.strip_prefix('[')?.strip_suffix(']'))?;
    let is_name = |c: char| c.is_alphanumeric() || "_-.\"' ".contains(c);
    (!name.is_empty() && name.chars().all(is_name)).then(|| name.trim().to_owned())
}

/// The key that a line begins with.
fn name_of(line: &str) -> Option<&str> {
    let end = line.find(['=', ':'])?;
    let name = line.get(..end)?.trim();
    let is_plain = |c: char| c.is_alphanumeric() || "_-.\"'".contains(c);
    (!name.is_empty() && name.chars().all(is_plain)).then_some(name)
}
