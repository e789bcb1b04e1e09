//! Trees as YAML: blocks, with every string in double quotes, so that nothing is taken for something else.

use super::template::{TemplateValue, quoted};

/// The tree below a key that stands at `indent` blanks: with the blank or the line end after the key's colon.
pub(super) fn below(tree: &TemplateValue, indent: usize) -> String {
    let mut text = String::new();
    value(tree, indent, &mut text);
    text
}

fn value(tree: &TemplateValue, indent: usize, text: &mut String) {
    match tree {
        TemplateValue::Map(entries) if !entries.is_empty() => {
            text.push('\n');
            for entry in entries {
                blanks(indent + 2, text);
                self::entry(entry, indent + 2, text);
            }
        }
        TemplateValue::List(items) if !items.is_empty() => {
            text.push('\n');
            for item in items {
                blanks(indent + 2, text);
                text.push('-');
                self::item(item, indent + 2, text);
            }
        }
        TemplateValue::Flag(_)
        | TemplateValue::Number(_)
        | TemplateValue::Text(_)
        | TemplateValue::Map(_)
        | TemplateValue::List(_) => {
            text.push(' ');
            text.push_str(&scalar(tree));
            text.push('\n');
        }
    }
}

/// A key and its value; the blanks before the key are there.
fn entry((key, tree): &(String, TemplateValue), indent: usize, text: &mut String) {
    text.push_str(&self::key(key));
    text.push(':');
    value(tree, indent, text);
}

/// An item after its dash: the first key of a map stands on the dash's line.
fn item(tree: &TemplateValue, indent: usize, text: &mut String) {
    let TemplateValue::Map(entries) = tree else { return value(tree, indent, text) };
    for (index, entry) in entries.iter().enumerate() {
        if index == 0 {
            text.push(' ');
        } else {
            blanks(indent + 2, text);
        }
        self::entry(entry, indent + 2, text);
    }
}

fn blanks(n_blanks: usize, text: &mut String) {
    text.extend(std::iter::repeat_n(' ', n_blanks));
}

fn key(key: &str) -> String {
    if key.chars().all(|c| c.is_ascii_alphanumeric()) { key.to_owned() } else { quoted(key) }
}

fn scalar(tree: &TemplateValue) -> String {
    match tree {
        TemplateValue::Flag(flag) => flag.to_string(),
        TemplateValue::Number(number) => number.to_string(),
        TemplateValue::Text(text) => quoted(text),
        TemplateValue::List(_) => "[]".to_owned(),
        TemplateValue::Map(_) => "{}".to_owned(),
    }
}
