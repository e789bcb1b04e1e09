//! Values whose keys keep their order, for templates that people read.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::access::policy::document::PolicyDocument;

/// A value of a template.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum TemplateValue {
    /// `true` or `false`.
    Flag(bool),
    /// A whole number.
    Number(u64),
    /// A string.
    Text(String),
    /// A list.
    List(Vec<Self>),
    /// Keys and values.
    Map(Vec<(String, Self)>),
}

impl TemplateValue {
    /// A policy.
    pub(super) fn policy(document: &PolicyDocument) -> Self {
        // A document is objects, lists and strings.
        serde_json::from_str(&document.to_json()).unwrap_or_else(|_| Self::Map(Vec::new()))
    }

    /// Keys and values.
    pub(super) fn map<const N: usize>(entries: [(&str, Self); N]) -> Self {
        Self::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }

    /// One more key, if there is a value for it.
    pub(super) fn with(mut self, key: &str, value: Option<Self>) -> Self {
        if let (Self::Map(entries), Some(value)) = (&mut self, value) {
            entries.push((key.to_owned(), value));
        }
        self
    }
}

impl From<&str> for TemplateValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<&String> for TemplateValue {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<String> for TemplateValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for TemplateValue {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<u32> for TemplateValue {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl<const N: usize> From<[Self; N]> for TemplateValue {
    fn from(items: [Self; N]) -> Self {
        Self::List(items.into())
    }
}

/// A string as JSON writes it, which YAML and HCL understand too.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A tree as JSON for people.
pub(super) fn json(tree: &TemplateValue, indent: usize) -> String {
    let inner = " ".repeat(indent + 2);
    let outer = " ".repeat(indent);
    let all = |items: Vec<String>| items.join(",\n");
    match tree {
        TemplateValue::Flag(flag) => flag.to_string(),
        TemplateValue::Number(number) => number.to_string(),
        TemplateValue::Text(text) => quoted(text),
        TemplateValue::List(items) if items.is_empty() => "[]".to_owned(),
        TemplateValue::Map(entries) if entries.is_empty() => "{}".to_owned(),
        TemplateValue::List(items) => {
            let one = |item: &TemplateValue| format!("{inner}{}", json(item, indent + 2));
            format!("[\n{}\n{outer}]", all(items.iter().map(one).collect()))
        }
        TemplateValue::Map(entries) => {
            let one = |(key, value): &(String, TemplateValue)| {
                format!("{inner}{}: {}", quoted(key), json(value, indent + 2))
            };
            format!("{{\n{}\n{outer}}}", all(entries.iter().map(one).collect()))
        }
    }
}

impl<'de> Deserialize<'de> for TemplateValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TemplateVisitor)
    }
}

/// Reads JSON in its order.
struct TemplateVisitor;

impl<'de> Visitor<'de> for TemplateVisitor {
    type Value = TemplateValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of a policy")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<TemplateValue, E> {
        Ok(TemplateValue::Flag(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<TemplateValue, E> {
        Ok(TemplateValue::Number(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<TemplateValue, E> {
        Ok(TemplateValue::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<TemplateValue, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(TemplateValue::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<TemplateValue, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(TemplateValue::Map(map))
    }
}
