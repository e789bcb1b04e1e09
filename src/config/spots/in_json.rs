//! Where the keys of a JSON file stand: each value is taken as the piece of the text that it is.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::fault::{Spots, SyntaxFault, twice, word_at};
use crate::config::document::Spot;
use crate::config::key::{item, join, may_be_secret};

pub(super) fn find(text: &str) -> Result<Spots, SyntaxFault> {
    // This bounds how deep the values below are nested, too.
    serde_json::from_str::<serde_json::Value>(text).map_err(|error| fault(text, &error))?;
    let mut finder = JsonFinder { text, spots: Spots::new() };
    finder.below("", text)?;
    Ok(finder.spots)
}

struct JsonFinder<'a> {
    text: &'a str,
    spots: Spots,
}

/// What is in an object or a list, each as a piece of the text.
enum JsonParts<'a> {
    Members(Vec<(Cow<'a, str>, &'a RawValue)>),
    Items(Vec<&'a RawValue>),
}

impl<'a> JsonFinder<'a> {
    fn below(&mut self, path: &str, value: &'a str) -> Result<(), SyntaxFault> {
        match serde_json::from_str(value) {
            Ok(JsonParts::Members(members)) => {
                for (name, value) in members {
                    let at = self.place(value.get());
                    let key = match &name {
                        Cow::Borrowed(name) => self.quoted(name),
                        // It holds escapes, and was made anew.
                        Cow::Owned(_) => None,
                    };
                    self.put(join(path, &name), key.unwrap_or_else(|| at.clone()), at, value.get())?;
                }
            }
            Ok(JsonParts::Items(items)) => {
                for (index, value) in items.into_iter().enumerate() {
                    let at = self.place(value.get());
                    self.put(item(path, index), at.clone(), at, value.get())?;
                }
            }
            // Neither has anything below it.
            Err(_) => {}
        }
        Ok(())
    }

    fn put(
        &mut self,
        path: String,
        key: Range<usize>,
        value: Range<usize>,
        raw: &'a str,
    ) -> Result<(), SyntaxFault> {
        if let Some(first) = self.spots.get(&path) {
            return Err(twice(self.text, key, path, Some(first.key.start)));
        }
        let is_scalar = !raw.starts_with(['{', '[']);
        self.spots.insert(path.clone(), Spot { key, value, is_scalar });
        if is_scalar { Ok(()) } else { self.below(&path, raw) }
    }

    /// Where a piece of the text stands in it.
    fn place(&self, piece: &str) -> Range<usize> {
        let start = (piece.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        start..start + piece.len()
    }

    /// Where a string stands, with its quotes.
    fn quoted(&self, inside: &str) -> Option<Range<usize>> {
        let inside = self.place(inside);
        let outside = inside.start.checked_sub(1)?..inside.end + 1;
        self.text.get(outside.clone())?.starts_with('"').then_some(outside)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for JsonParts<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonPartsVisitor)
    }
}

struct JsonPartsVisitor;

impl<'de> Visitor<'de> for JsonPartsVisitor {
    type Value = JsonParts<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or a list")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<JsonParts<'de>, M::Error> {
        let mut members = Vec::new();
        while let Some((name, value)) = map.next_entry::<JsonName<'de>, &RawValue>()? {
            members.push((name.0, value));
        }
        Ok(JsonParts::Members(members))
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<JsonParts<'de>, S::Error> {
        let mut items = Vec::new();
        while let Some(value) = list.next_element()? {
            items.push(value);
        }
        Ok(JsonParts::Items(items))
    }
}

/// A name, borrowed from the text where it can be.
#[derive(Deserialize)]
struct JsonName<'a>(#[serde(borrow)] Cow<'a, str>);

fn fault(text: &str, error: &serde_json::Error) -> SyntaxFault {
    // Lines and bytes, counted from 1; the byte is the last that was read.
    let start: usize = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let mut at = (start + error.column().saturating_sub(1)).min(text.len());
    while !text.is_char_boundary(at) {
        at = at.saturating_sub(1);
    }
    let key = key_at(text, at);
    let why = words(text, at, &key, &error.to_string());
    let end = text.get(at..).and_then(|rest| rest.chars().next()).map_or(at, |c| at + c.len_utf8());
    SyntaxFault { at: at..end, key, why }
}

fn words(text: &str, at: usize, key: &str, message: &str) -> String {
    let rest = text.get(at..).unwrap_or_default();
    let message = message.split(" at line ").next().unwrap_or_default();
    if let Some(mark) = ["//", "/*", "#"].iter().find(|mark| rest.starts_with(**mark)) {
        return format!(
            "found `{mark}`, but JSON has no comments; remove it, or write the configuration as .toml or .yaml"
        );
    }
    if message == "trailing comma" {
        return "found a comma behind the last item, which JSON does not have; remove it".to_owned();
    }
    if rest.starts_with('\'') {
        return "found `'`, expected `\"`: JSON knows no other quotes".to_owned();
    }
    if message.starts_with("EOF") {
        return "ends too early; expected every `{`, `[` and `\"` to be closed".to_owned();
    }
    if message.starts_with("control character") {
        return "found a line break within a string, expected `\"` before it".to_owned();
    }
    let word = word_at(text, at);
    let is_word = word.starts_with(|c: char| c.is_alphanumeric() || "_/.*$-".contains(c));
    match message {
        "expected value" if ["True", "False"].contains(&word) => {
            format!("found `{word}`, expected `{}`", word.to_lowercase())
        }
        "expected value" if is_word && may_be_secret(key) => {
            "found a value without quotes, expected it in quotes (it is not shown)".to_owned()
        }
        "key must be a string" | "expected value" if is_word => {
            format!("found `{word}` without quotes, expected `\"{word}\"`")
        }
        _ if message.starts_with("expected `,`") && rest.starts_with(['"', '{', '[']) => {
            "found no comma between two items, expected one".to_owned()
        }
        // Such as a size: it began as a number.
        _ if message.starts_with("expected `,`") && is_word && may_be_secret(key) => {
            "found a value without quotes, expected it in quotes (it is not shown)".to_owned()
        }
        _ if message.starts_with("expected `,`") && is_word => {
            let word = word_at(text, word_start(text, at));
            format!("found `{word}` without quotes, expected `\"{word}\"`")
        }
        _ => format!("cannot be parsed: {message}"),
    }
}

/// Where the word begins that a place is in.
fn word_start(text: &str, at: usize) -> usize {
    let before = text.get(..at).unwrap_or_default();
    before.trim_end_matches(|c: char| c.is_alphanumeric() || "_.+-".contains(c)).len()
}

/// The dotted key that a place in the text belongs to.
fn key_at(text: &str, at: usize) -> String {
    let mut around: Vec<(Option<String>, usize)> = Vec::new();
    let mut chars = text.char_indices().take_while(|(index, _)| *index < at);
    while let Some((start, c)) = chars.next() {
        match c {
            '{' => around.push((Some(String::new()), 0)),
            '[' => around.push((None, 0)),
            '}' | ']' => drop(around.pop()),
            ',' => {
                if let Some((_, index)) = around.last_mut() {
                    *index += 1;
                }
            }
            '"' => {
                let mut end = start + 1;
                while let Some((index, c)) = chars.next() {
                    end = index;
                    match c {
                        '\\' => drop(chars.next()),
                        '"' => break,
                        _ => {}
                    }
                }
                let is_name = text.get(end + 1..).is_some_and(|rest| rest.trim_start().starts_with(':'));
                if let (true, Some((Some(name), _))) = (is_name, around.last_mut()) {
                    text.get(start + 1..end).unwrap_or_default().clone_into(name);
                }
            }
            _ => {}
        }
    }
    let part = |path: String, (name, index): &(Option<String>, usize)| match name {
        Some(name) if name.is_empty() => path,
        Some(name) => join(&path, name),
        None => item(&path, *index),
    };
    around.iter().fold(String::new(), part)
}
