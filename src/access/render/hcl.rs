//! Terraform's language: blocks of attributes.

use super::template::{TemplateValue, quoted};
use super::text::add;

/// What stands in a block.
#[derive(Clone, Debug)]
pub(super) enum HclItem {
    /// `name = expression`, the expression as it is written.
    Is(String, String),
    /// `name { .. }`.
    Block(String, Vec<Self>),
}

/// `name = "text"`.
pub(super) fn text(name: &str, value: &str) -> HclItem {
    HclItem::Is(name.to_owned(), string(value))
}

/// `name = expression`.
pub(super) fn raw(name: &str, expression: impl Into<String>) -> HclItem {
    HclItem::Is(name.to_owned(), expression.into())
}

/// `name { .. }`.
pub(super) fn block(name: &str, items: impl IntoIterator<Item = HclItem>) -> HclItem {
    HclItem::Block(name.to_owned(), items.into_iter().collect())
}

/// A string in which nothing is replaced.
pub(super) fn string(value: &str) -> String {
    quoted(value).replace("${", "$${").replace("%{", "%%{")
}

/// `jsonencode({ .. })`, at `indent` blanks.
pub(super) fn json(tree: &TemplateValue, indent: usize) -> String {
    format!("jsonencode({})", expression(tree, indent))
}

/// A tree as an expression; its first line stands after `indent` blanks.
pub(super) fn expression(tree: &TemplateValue, indent: usize) -> String {
    let inner = " ".repeat(indent + 2);
    let outer = " ".repeat(indent);
    match tree {
        TemplateValue::Flag(flag) => flag.to_string(),
        TemplateValue::Number(number) => number.to_string(),
        TemplateValue::Text(text) => string(text),
        TemplateValue::List(items)
            if items.iter().all(|item| matches!(item, TemplateValue::Text(_))) && items.len() < 2 =>
        {
            let all: Vec<String> = items.iter().map(|item| expression(item, indent)).collect();
            format!("[{}]", all.join(", "))
        }
        TemplateValue::List(items) => {
            let all: Vec<String> =
                items.iter().map(|item| format!("{inner}{},\n", expression(item, indent + 2))).collect();
            format!("[\n{}{outer}]", all.concat())
        }
        TemplateValue::Map(entries) => {
            let keys: Vec<String> = entries.iter().map(|(key, _)| self::key(key)).collect();
            let widest = keys.iter().map(String::len).max().unwrap_or_default();
            let one = |(key, (_, value)): (&String, &(String, TemplateValue))| {
                format!("{inner}{key:<widest$} = {}\n", expression(value, indent + 2))
            };
            let all: Vec<String> = keys.iter().zip(entries).map(one).collect();
            format!("{{\n{}{outer}}}", all.concat())
        }
    }
}

fn key(key: &str) -> String {
    let plain = key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if plain && key.starts_with(|c: char| c.is_ascii_alphabetic()) { key.to_owned() } else { string(key) }
}

/// A block at the top of a file, with its head such as `resource "aws_iam_role" "writer"`.
pub(super) fn top(head: &str, items: &[HclItem]) -> String {
    let mut text = format!("{head} {{\n");
    inside(items, 2, &mut text);
    text.push_str("}\n");
    text
}

fn inside(items: &[HclItem], indent: usize, text: &mut String) {
    let blanks = " ".repeat(indent);
    let widest = items
        .iter()
        .filter_map(|item| match item {
            HclItem::Is(name, _) => Some(name.len()),
            HclItem::Block(..) => None,
        })
        .max()
        .unwrap_or_default();
    for (index, item) in items.iter().enumerate() {
        match item {
            HclItem::Is(name, expression) => add(text, format!("{blanks}{name:<widest$} = {expression}\n")),
            HclItem::Block(name, items) => {
                let gap = if index == 0 { "" } else { "\n" };
                add(text, format!("{gap}{blanks}{name} {{\n"));
                inside(items, indent + 2, text);
                add(text, format!("{blanks}}}\n"));
            }
        }
    }
}
