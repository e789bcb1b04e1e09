//! What a single value may be: each function takes what was written and gives what it means, or the sentence that says why not.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::misfit::{Misfit, shape_of};
use super::problem::alternatives;
use super::section::{expected, items};
use super::shape::ValueShape;
use super::tree::{Node, Text, Written};
use super::units::{parse_duration, parse_size, show_duration, show_size};

/// A value, or what is wrong with it.
pub(super) type Parsed<T> = Result<T, Misfit>;

/// A string that is not empty.
pub(super) fn string(node: &Node) -> Parsed<String> {
    match &node.value {
        Written::Text(text) if !text.value.is_empty() => Ok(text.value.clone()),
        Written::Integer(_) | Written::Float(_) | Written::Flag(_) => {
            Err(expected(node, "a string; put it in quotes").shaped(ValueShape::Text))
        }
        Written::List(items) => Err(expected(
            node,
            &match items.as_slice() {
                [Node { value: Written::Text(Text { value, expanded: None, .. }), .. }] => {
                    format!("a string: `{value:?}`")
                }
                _ => "a string".to_owned(),
            },
        )
        .shaped(ValueShape::Text)),
        Written::Text(_) | Written::Nothing | Written::Table(_) | Written::Broken => {
            Err(expected(node, "a string").shaped(ValueShape::Text))
        }
    }
}

/// A string that may be empty.
pub(super) fn any_string(node: &Node) -> Parsed<String> {
    match &node.value {
        Written::Text(text) => Ok(text.value.clone()),
        Written::Integer(_)
        | Written::Float(_)
        | Written::Flag(_)
        | Written::Nothing
        | Written::List(_)
        | Written::Table(_)
        | Written::Broken => string(node),
    }
}

/// A string that `fits`; otherwise the sentence ends with `what`.
pub(super) fn string_that(fits: impl Fn(&str) -> bool, what: &str) -> impl Fn(&Node) -> Parsed<String> {
    move |node| {
        let value = string(node)?;
        if fits(&value) { Ok(value) } else { Err(expected(node, what)) }
    }
}

/// `true` or `false`.
pub(super) fn flag(node: &Node) -> Parsed<bool> {
    const WHAT: &str = "`true` or `false`";
    if let Written::Flag(flag) = node.value {
        return Ok(flag);
    }
    let wrong = || expected(node, WHAT).shaped(ValueShape::Flag);
    let text = node.loose_text().ok_or_else(wrong)?;
    text.value.trim().parse().map_err(|_| wrong())
}

/// A whole number in a range.
pub(super) fn count(range: RangeInclusive<usize>) -> impl Fn(&Node) -> Parsed<usize> {
    move |node| {
        let number: Option<usize> = match &node.value {
            Written::Integer(number) => usize::try_from(*number).ok(),
            Written::Text(_) => node.loose_text().and_then(|text| text.value.trim().parse().ok()),
            Written::Nothing
            | Written::Flag(_)
            | Written::Float(_)
            | Written::List(_)
            | Written::Table(_)
            | Written::Broken => None,
        };
        number.filter(|number| range.contains(number)).ok_or_else(|| {
            let (least, most) = (*range.start(), *range.end());
            let what = format!("a whole number from {least} to {most}");
            expected(node, &what).shaped(ValueShape::Count { least: least as u64, most: most as u64 })
        })
    }
}

/// A size in a range.
pub(super) fn size(range: RangeInclusive<u64>) -> impl Fn(&Node) -> Parsed<u64> {
    move |node| {
        let bytes = match &node.value {
            Written::Integer(number) => u64::try_from(*number).ok(),
            Written::Text(text) => parse_size(&text.value),
            Written::Nothing
            | Written::Flag(_)
            | Written::Float(_)
            | Written::List(_)
            | Written::Table(_)
            | Written::Broken => None,
        };
        let bytes = bytes.ok_or_else(|| {
            let (least, most) = (*range.start(), *range.end());
            expected(node, "a size such as `64MiB`, `1000KiB`, `5MB` or a number of bytes")
                .shaped(ValueShape::Size { least, most })
        })?;
        within(bytes, &range, node, |bytes| show_size(*bytes))
    }
}

/// A size a second in a range.
pub(super) fn rate(range: RangeInclusive<u64>) -> impl Fn(&Node) -> Parsed<u64> {
    move |node| {
        let size = node.as_text().and_then(|text| text.trim().strip_suffix("/s")).and_then(parse_size);
        let bytes = size.ok_or_else(|| {
            expected(node, "a size a second such as `5MiB/s` or `500KB/s`").shaped(ValueShape::Text)
        })?;
        within(bytes, &range, node, |bytes| format!("{}/s", show_size(*bytes)))
    }
}

/// A size in a range, as a number of bytes in memory.
pub(super) fn length(range: RangeInclusive<u64>) -> impl Fn(&Node) -> Parsed<usize> {
    let size = size(range);
    move |node| size(node).map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX))
}

/// A duration in a range.
pub(super) fn duration(range: RangeInclusive<Duration>) -> impl Fn(&Node) -> Parsed<Duration> {
    move |node| {
        let duration = node.as_text().and_then(parse_duration).ok_or_else(|| {
            expected(node, "a duration with its unit, such as `500ms`, `1s`, `5m` or `1h30m`")
                .shaped(ValueShape::Text)
        })?;
        within(duration, &range, node, |duration| show_duration(*duration))
    }
}

fn within<T: PartialOrd>(
    value: T,
    range: &RangeInclusive<T>,
    node: &Node,
    show: impl Fn(&T) -> String,
) -> Parsed<T> {
    if range.contains(&value) {
        return Ok(value);
    }
    let (least, most) = (show(range.start()), show(range.end()));
    Err(expected(node, &format!("`{least}` to `{most}`")))
}

/// One of several words.
pub(super) fn choice<T: Copy>(choices: &[(&str, T)]) -> impl Fn(&Node) -> Parsed<T> {
    move |node| {
        let word = string(node).ok();
        let chosen = choices.iter().find(|(name, _)| Some(*name) == word.as_deref());
        chosen.map(|(_, value)| *value).ok_or_else(|| {
            let words = || choices.iter().map(|(name, _)| *name);
            expected(node, &alternatives(words())).shaped(ValueShape::words(words()))
        })
    }
}

/// A list, each item read by `parse`.
pub(super) fn list<T>(parse: impl Fn(&Node) -> Parsed<T>) -> impl Fn(&Node) -> Parsed<Vec<T>> {
    move |node| {
        let items = items(node).map_err(|misfit| {
            let item = shape_of(&parse).map(Box::new);
            misfit.shaped(ValueShape::List { item, least: 0 })
        })?;
        let item = |(index, item): (usize, &Node)| parse(item).map_err(|misfit| misfit.in_item(index, item));
        items.iter().enumerate().map(item).collect()
    }
}

/// A list of at least one item.
pub(super) fn some<T>(parse: impl Fn(&Node) -> Parsed<T>) -> impl Fn(&Node) -> Parsed<Vec<T>> {
    let list = list(parse);
    move |node| {
        let items = list(node).map_err(|mut misfit| {
            if let Some(ValueShape::List { least, .. }) = misfit.shape.as_deref_mut() {
                *least = 1;
            }
            misfit
        })?;
        if items.is_empty() {
            Err("found an empty list, expected at least one item".into())
        } else {
            Ok(items)
        }
    }
}

/// Address and port.
pub(super) fn address(node: &Node) -> Parsed<SocketAddr> {
    let what = "an address and port such as `127.0.0.1:8443` or `[::]:8443`";
    string(node)?.parse().map_err(|_| expected(node, what))
}

/// A path.
pub(super) fn path(node: &Node) -> Parsed<PathBuf> {
    string(node).map(PathBuf::from)
}

/// A regular expression over bytes.
pub(super) fn pattern(node: &Node) -> Parsed<regex::bytes::Regex> {
    let pattern = string(node)?;
    regex::bytes::Regex::new(&pattern).map_err(|error| {
        let at = byte_at_fault(&pattern, &error.to_string());
        not_a(node, "regular expression", &error).at_byte(at)
    })
}

/// A glob over names, checked and given back as text.
pub(super) fn glob(node: &Node) -> Parsed<String> {
    let text = string(node)?;
    match globset::Glob::new(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(not_a(node, "glob", error.kind())),
    }
}

/// Where a pattern of one line goes wrong: the error shows the pattern, four spaces in, and a `^` below.
pub(super) fn byte_at_fault(pattern: &str, message: &str) -> Option<usize> {
    let mark =
        message.lines().find(|line| line.contains('^') && line.chars().all(|c| c == ' ' || c == '^'))?;
    let n_chars = mark.find('^')?.checked_sub(4)?;
    (!pattern.contains('\n')).then_some(())?;
    pattern.char_indices().nth(n_chars).map(|(at, _)| at)
}

pub(super) fn not_a(node: &Node, what: &str, error: &impl Display) -> Misfit {
    let message = error.to_string();
    let last = message.lines().last().unwrap_or_default().trim_start_matches("error: ");
    Misfit::of(node, format!("found {}, which is not a {what}: {last}", node.describe()))
}

/// The URL of an endpoint. What stands before an `@` may be a password, and is not shown.
pub(super) fn endpoint(node: &Node) -> Parsed<String> {
    let text = string(node)?;
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
    if text.contains('@') {
        return Err("found a URL with a user or password, expected one without".into());
    }
    if host.is_empty() || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(expected(node, "a URL such as `https://127.0.0.1:4566`"));
    }
    Ok(text)
}
