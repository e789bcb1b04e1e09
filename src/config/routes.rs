//! Reads `[[routes]]`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::aws_connection::template;
use super::enrichment;
use super::problem::suggestion;
use super::section::{Section, expected};
use super::shape::ValueShape;
use super::sources::account;
use super::tree::{Node, Written};
use super::types::{Action, Route, RouteThrottle, When};
use super::values::{Parsed, count, duration, flag, glob, pattern, some, string};
use crate::event::{Field, FieldPlace};

/// The names that a route may use: those that were written, so that a broken source is not unknown as well.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) sources: BTreeSet<String>,
    pub(super) sinks: BTreeSet<String>,
}

/// Reads one route.
pub(super) fn route(mut section: Section<'_>, names: &Names) -> Option<Route> {
    let has_from = section.has("from");
    let from = section.optional("from", some(|node| known(node, "source", &names.sources)));
    let has_when = section.has("when");
    let when = match section.table("when") {
        Some(table) => when(table),
        None => (!has_when).then(When::default),
    };
    let has_to = section.has("to");
    let to = section.optional("to", some(|node| known(node, "sink", &names.sinks)));
    let drop = section.or("drop", false, flag);
    match (drop, has_to) {
        (true, true) => section.problem("drop", "found `true` together with `to`, expected only one of them"),
        (false, false) => {
            section.problem_here("names no sink; give it a `to` such as `[\"archive\"]`, or `drop = true`");
        }
        (true, false) | (false, true) => {}
    }
    let sample = section.optional("sample", share);
    let has_throttle = section.has("throttle");
    let throttle = section.table("throttle").and_then(throttle);
    for (key, is_there) in [("sample", sample.is_some()), ("throttle", has_throttle)] {
        if is_there && drop {
            section.problem(
                key,
                "limits what is given to sinks, and this route drops; give it a `to`, or remove one of them",
            );
        }
    }
    for (key, list) in [("from", &from), ("to", &to)] {
        if let Some(twice) = list.as_ref().and_then(|names| repeated(names)) {
            section.problem(key, format!("`{twice}` is listed twice; list it once"));
        }
    }
    section.finish();
    let from = if has_from { from? } else { Vec::new() };
    let action = if drop { Action::Drop } else { Action::To(to?) };
    (throttle.is_some() == has_throttle).then_some(Route { from, when: when?, action, sample, throttle })
}

/// A share of events, above none and up to all.
fn share(node: &Node) -> Parsed<f64> {
    let number = match &node.value {
        Written::Float(number) => Some(*number),
        Written::Integer(1) => Some(1.0),
        Written::Text(_) => node.loose_text().and_then(|text| text.value.trim().parse().ok()),
        Written::Nothing
        | Written::Integer(_)
        | Written::Flag(_)
        | Written::List(_)
        | Written::Table(_)
        | Written::Broken => None,
    };
    let is_share = |number: &f64| *number > 0.0 && *number <= 1.0;
    number.filter(is_share).ok_or_else(|| {
        expected(node, "a number above 0 and up to 1, such as `0.1`")
            .shaped(ValueShape::Number { least: 0.0, most: 1.0 })
    })
}

/// As many as a counter of a period holds.
const MOST_EVENTS: usize = 1_000_000;

fn throttle(mut section: Section<'_>) -> Option<RouteThrottle> {
    let events = section.required("events", "1000", count(1..=MOST_EVENTS));
    let (least, most) = (Duration::from_millis(1), Duration::from_hours(24));
    let per = section.or("per", Duration::from_secs(1), duration(least..=most));
    let has_by = section.has("by");
    let by = section.optional("by", template);
    section.finish();
    let events = u64::try_from(events?).ok()?;
    (by.is_some() == has_by).then_some(RouteThrottle { events, per, by })
}

fn when(mut section: Section<'_>) -> Option<When> {
    // All are read, so that all mistakes are noted.
    let may_decide = |field: &Field| field.place() != FieldPlace::Aside;
    let fields: Vec<_> = Field::in_order().filter(may_decide).map(|field| section.condition(field)).collect();
    let has_attributes = section.has("attributes");
    let attributes = match section.table("attributes") {
        Some(table) => table.entries(some(glob)).into_iter().collect(),
        None => BTreeMap::new(),
    };
    let broken_attributes = has_attributes && attributes.is_empty();
    let labels = enrichment::conditions(&mut section);
    let has_message = section.has("message");
    let message = section.optional("message", pattern);
    section.finish();
    let fields = fields.into_iter().collect::<Option<Vec<_>>>()?.into_iter().flatten().collect();
    let when = When { fields, attributes, labels, message };
    (when.message.is_some() == has_message && !broken_attributes).then_some(when)
}

impl Section<'_> {
    /// The condition on a field: `Some(None)` where there is none, `None` where it is broken. A route must not lose a condition.
    #[expect(clippy::option_option, reason = "to lack a condition and to lose it are not the same")]
    fn condition(&mut self, field: Field) -> Option<Option<(Field, Vec<String>)>> {
        let key = field.name();
        let is_there = self.has(key);
        let parse = if field == Field::Owner { account } else { glob };
        let globs = self.optional(key, some(parse));
        if is_there { Some(Some((field, globs?))) } else { Some(None) }
    }
}

pub(super) fn known(node: &Node, what: &str, names: &BTreeSet<String>) -> Parsed<String> {
    let name = string(node)?;
    if names.contains(&name) {
        return Ok(name);
    }
    let suggestion = suggestion(&name, names.iter().map(String::as_str));
    Err(expected(node, &format!("the name of a {what}; {suggestion}")))
}

fn repeated(names: &[String]) -> Option<&str> {
    let mut seen = BTreeSet::new();
    names.iter().map(String::as_str).find(|name| !seen.insert(*name))
}
