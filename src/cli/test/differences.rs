//! What differs between what a test expects and what became of its events.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::cli::table::count;
use crate::config::{ExpectedEvent, ExpectedSink, FlowTest};
use crate::daemon::{Rehearsed, RehearsedDelivery};

/// Every difference, a line or more each; none: all is as expected.
pub(super) fn differences(test: &FlowTest, rehearsed: &Rehearsed) -> Vec<String> {
    let mut differences = Vec::new();
    let mut left: Vec<&RehearsedDelivery> = rehearsed.delivered.iter().collect();
    for expected in &test.expect {
        match left.iter().position(|found| is_meant(expected, found)) {
            Some(at) => of_events(expected, left.remove(at), &mut differences),
            None => differences.push(missing(expected, &left)),
        }
    }
    for found in left {
        let mut lines =
            vec![format!("{}: found {}, expected none", place(found), events(found.events.len()))];
        lines.extend(found.events.iter().map(|event| format!("  + {}", shown(event))));
        differences.push(lines.join("\n"));
    }
    of_drops(test, rehearsed, &mut differences);
    of_letters(test, rehearsed, &mut differences);
    differences
}

/// Whether a destination is the one that is expected, whatever it has.
fn is_meant(expected: &ExpectedSink, found: &RehearsedDelivery) -> bool {
    let ExpectedSink { sink, stream, account, region, .. } = expected;
    *sink == found.sink
        && stream.as_ref().is_none_or(|stream| *stream == found.stream)
        && account.as_ref().is_none_or(|account| Some(account) == found.account.as_ref())
        && region.as_ref().is_none_or(|region| Some(region) == found.region.as_ref())
}

fn missing(expected: &ExpectedSink, left: &[&RehearsedDelivery]) -> String {
    let ExpectedSink { sink, stream, account, region, .. } = expected;
    let names = [("stream", stream), ("account", account), ("region", region)];
    let names = names.iter().filter_map(|(what, name)| Some(format!("{what} {}", name.as_ref()?)));
    let wanted: Vec<String> = names.collect();
    let wanted = if wanted.is_empty() { sink.clone() } else { format!("{sink} ({})", wanted.join(", ")) };
    // A destination of the same sink is most likely what was meant.
    let near: Vec<String> =
        left.iter().filter(|found| found.sink == *sink).map(|found| place(found)).collect();
    let found =
        if near.is_empty() { "nothing".to_owned() } else { format!("events for {}", near.join(", ")) };
    format!("{wanted}: expected events, found {found}")
}

fn of_events(expected: &ExpectedSink, found: &RehearsedDelivery, differences: &mut Vec<String>) {
    let number = found.events.len();
    let wanted = expected.count.or_else(|| expected.events.as_ref().map(|events| events.len() as u64));
    let mut lines = Vec::new();
    if let Some(wanted) = wanted.filter(|wanted| *wanted != number as u64) {
        lines.push(format!("{}: expected {}, found {number}", place(found), count(wanted, "event")));
    }
    let events = expected.events.as_deref().unwrap_or_default();
    for at in 0..events.len().max(if expected.events.is_some() { number } else { 0 }) {
        let (wanted, event) = (events.get(at), found.events.get(at).map(Vec::as_slice));
        if wanted.zip(event).is_some_and(|(wanted, event)| is_as(wanted, event)) {
            continue;
        }
        if lines.is_empty() {
            lines.push(format!("{}: event {} differs", place(found), at + 1));
        }
        lines.extend(wanted.map(|wanted| format!("  - {}", worded(wanted))));
        lines.extend(event.map(|event| format!("  + {}", shown(event))));
    }
    if !lines.is_empty() {
        differences.push(lines.join("\n"));
    }
}

fn of_drops(test: &FlowTest, rehearsed: &Rehearsed, differences: &mut Vec<String>) {
    let route = |route: Option<u64>| route.and_then(|route| usize::try_from(route).ok());
    let mut wanted: BTreeMap<(Option<usize>, &str), u64> = BTreeMap::new();
    for drop in &test.dropped {
        *wanted.entry((route(drop.route), &drop.reason)).or_default() += drop.count;
    }
    let who = |(route, reason): &(Option<usize>, &str)| match route {
        Some(route) => format!("filtered by routes[{route}] as `{reason}`"),
        None => format!("filtered as `{reason}`"),
    };
    compare(&wanted, &rehearsed.dropped, who, differences);
}

fn of_letters(test: &FlowTest, rehearsed: &Rehearsed, differences: &mut Vec<String>) {
    let mut wanted: BTreeMap<(String, &str), u64> = BTreeMap::new();
    for letter in &test.dead_letters {
        *wanted.entry((letter.sink.clone(), &letter.reason)).or_default() += letter.count;
    }
    let who = |(sink, reason): &(String, &str)| format!("dead letters of {sink} for `{reason}`");
    compare(&wanted, &rehearsed.dead_letters, who, differences);
}

/// Compares numbers of events.
fn compare<K: Ord>(
    wanted: &BTreeMap<K, u64>,
    found: &BTreeMap<K, u64>,
    who: impl Fn(&K) -> String,
    differences: &mut Vec<String>,
) {
    for key in wanted.keys().chain(found.keys().filter(|key| !wanted.contains_key(key))) {
        let [expected, found] = [wanted, found].map(|counts| counts.get(key).copied().unwrap_or_default());
        if expected != found {
            differences.push(format!("{}: expected {}, found {found}", who(key), count(expected, "event")));
        }
    }
}

fn is_as(expected: &ExpectedEvent, found: &[u8]) -> bool {
    match expected {
        ExpectedEvent::Text(text) => text.as_bytes() == found,
        ExpectedEvent::Fields(fields) => {
            serde_json::from_slice(found).is_ok_and(|found: Value| has(&found, fields))
        }
    }
}

/// Whether a value is as expected; an object may have more fields.
fn has(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            expected.iter().all(|(name, value)| found.get(name).is_some_and(|found| has(found, value)))
        }
        (Value::Number(found), Value::Number(expected)) => {
            found == expected || found.as_f64() == expected.as_f64()
        }
        _ => found == expected,
    }
}

fn worded(event: &ExpectedEvent) -> String {
    match event {
        ExpectedEvent::Text(text) => text.clone(),
        ExpectedEvent::Fields(fields) => format!("{fields} and more"),
    }
}

fn shown(event: &[u8]) -> String {
    const LONGEST: usize = 2_000;
    let text = String::from_utf8_lossy(event);
    let shown: String =
        text.chars().take(LONGEST).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(LONGEST).is_some() { format!("{shown}…") } else { shown }
}

fn events(number: usize) -> String {
    count(number as u64, "event")
}

/// A destination in words.
fn place(found: &RehearsedDelivery) -> String {
    let RehearsedDelivery { sink, stream, account, region, .. } = found;
    let mut names = vec![format!("stream {stream}")];
    names.extend(account.as_ref().map(|account| format!("account {account}")));
    names.extend(region.as_ref().map(|region| format!("region {region}")));
    format!("{sink} ({})", names.join(", "))
}
