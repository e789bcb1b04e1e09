//! Reads `[[tests]]`: what `standpipe test` does with the configuration.

use std::collections::BTreeMap;

use base64_simd::STANDARD;
use serde_json::Value;

use super::flow_test_types::{
    ExpectedDrop, ExpectedEvent, ExpectedLetter, ExpectedSink, FlowInput, FlowTest,
};
use super::label::MetadataKind;
use super::routes::{Names, known};
use super::section::{Section, expected};
use super::shape::ValueShape;
use super::tree::{Node, Written};
use super::values::{Parsed, any_string, choice, count, list, some, string, string_that};
use crate::arn::is_account;
use crate::event::{Field, FieldPlace, Timestamp};

/// When events are read where nothing is said of it: 2026-01-01T00:00:00Z.
const USUAL: Timestamp = Timestamp(1_767_225_600_000);

const MOST: usize = 1_000_000;

/// Reads one test.
pub(super) fn flow_test(mut section: Section<'_>, names: &Names) -> Option<FlowTest> {
    let name = section.required("name", "errors reach the archive", string);
    let source = section.required("source", "app", |node| known(node, "source", &names.sources));
    let origin = section.table_or_empty("origin").map(origin);
    let at = section.or("at", USUAL, time);
    let input = input(&mut section);
    let expect = each(&mut section, "expect", |section| expected_sink(section, names));
    let dropped = each(&mut section, "dropped", |section| Some(expected_drop(section)));
    let dead_letters = each(&mut section, "dead_letters", |section| expected_letter(section, names));
    section.finish();
    let FlowOrigin { fields, metadata, attributes, host } = origin?;
    Some(FlowTest {
        name: name?,
        source: source?,
        fields,
        metadata,
        attributes,
        host,
        at,
        input: input?,
        expect: expect?,
        dropped: dropped?,
        dead_letters: dead_letters?,
    })
}

/// What is said of where events come from.
struct FlowOrigin {
    fields: BTreeMap<Field, String>,
    metadata: BTreeMap<MetadataKind, BTreeMap<String, String>>,
    attributes: BTreeMap<String, String>,
    host: String,
}

fn origin(mut section: Section<'_>) -> FlowOrigin {
    let value = |field: Field| Some((field, section.optional(field.name(), string)?));
    let fields =
        Field::in_order().filter(|field| field.place() != FieldPlace::Aside).filter_map(value).collect();
    let mut told = |kind: MetadataKind| {
        let table = section.table(kind.name())?;
        Some((kind, table.entries(string).into_iter().collect()))
    };
    let metadata = MetadataKind::ALL.into_iter().filter_map(&mut told).collect();
    let attributes = section.table("attributes").map(|table| table.entries(any_string)).unwrap_or_default();
    let host = section.or("host", "localhost".to_owned(), string);
    section.finish();
    FlowOrigin { fields, metadata, attributes: attributes.into_iter().collect(), host }
}

fn time(node: &Node) -> Parsed<Timestamp> {
    let wrong = || expected(node, "a time such as `2026-11-22T00:00:00Z`").shaped(ValueShape::Text);
    Timestamp::from_any_rfc3339(&string(node)?).ok_or_else(wrong)
}

/// Exactly one of the forms.
fn input(section: &mut Section<'_>) -> Option<FlowInput> {
    let forms = ["lines", "payload", "payload_base64"];
    let written = forms.iter().filter(|form| section.has(form)).count();
    let lines = section.optional("lines", some(any_string)).map(FlowInput::Lines);
    let text = section.optional("payload", string).map(|text| FlowInput::Payload(text.into_bytes()));
    let bytes = section.optional("payload_base64", base64).map(FlowInput::Payload);
    if written != 1 {
        let found = if written == 0 { "none" } else { "several" };
        section.problem_here(format!(
            "found {found} of `lines`, `payload` and `payload_base64`, expected one of them"
        ));
        return None;
    }
    lines.or(text).or(bytes)
}

fn base64(node: &Node) -> Parsed<Vec<u8>> {
    let text: String = string(node)?.split_whitespace().collect();
    STANDARD.decode_to_vec(text.as_bytes()).map_err(|_| expected(node, "base64"))
}

fn each<'n, T>(
    section: &mut Section<'n>,
    key: &'static str,
    read: impl Fn(Section<'n>) -> Option<T>,
) -> Option<Vec<T>> {
    let tables = section.tables(key)?;
    let n_tables = tables.len();
    let read: Vec<T> = tables.into_iter().filter_map(read).collect();
    (read.len() == n_tables).then_some(read)
}

fn expected_sink(mut section: Section<'_>, names: &Names) -> Option<ExpectedSink> {
    let sink = section.required("sink", "archive", |node| known(node, "sink", &names.sinks));
    let stream = section.optional("stream", string);
    let account = section.optional("account", string_that(is_account, "an account id of 12 digits"));
    let region = section.optional("region", string);
    let events = section.optional("events", list(expected_event));
    let count = section.optional("count", count(1..=MOST)).map(|count| count as u64);
    section.finish();
    Some(ExpectedSink { sink: sink?, stream, account, region, count, events })
}

fn expected_event(node: &Node) -> Parsed<ExpectedEvent> {
    match &node.value {
        Written::Text(text) => Ok(ExpectedEvent::Text(text.value.clone())),
        Written::Table(_) => Ok(ExpectedEvent::Fields(json(node))),
        Written::Nothing
        | Written::Flag(_)
        | Written::Integer(_)
        | Written::Float(_)
        | Written::List(_)
        | Written::Broken => {
            let what = "the text of an event, or a table of fields that its JSON object has";
            Err(expected(node, what).shaped(ValueShape::TextOrTable))
        }
    }
}

fn json(node: &Node) -> Value {
    match &node.value {
        Written::Nothing | Written::Broken => Value::Null,
        Written::Flag(flag) => (*flag).into(),
        Written::Integer(number) => {
            i64::try_from(*number).map_or_else(|_| Value::from(u64::try_from(*number).ok()), Value::from)
        }
        Written::Float(number) => (*number).into(),
        Written::Text(text) => text.value.as_str().into(),
        Written::List(items) => items.iter().map(json).collect(),
        Written::Table(table) => table.iter().map(|(key, value)| (key.clone(), json(value))).collect(),
    }
}

/// Why an event goes to no sink.
const REASONS: [(&str, &str); 5] = [
    ("dropped", "dropped"),
    ("unrouted", "unrouted"),
    ("sampled", "sampled"),
    ("throttled", "throttled"),
    ("too_old", "too_old"),
];

fn expected_drop(mut section: Section<'_>) -> ExpectedDrop {
    let route = section.optional("route", count(0..=MOST)).map(|route| route as u64);
    let usual = if route.is_some() { "dropped" } else { "unrouted" };
    let reason = section.or("reason", usual, choice(&REASONS)).to_owned();
    let count = section.or("count", 1, count(1..=MOST)) as u64;
    section.finish();
    ExpectedDrop { route, reason, count }
}

fn expected_letter(mut section: Section<'_>, names: &Names) -> Option<ExpectedLetter> {
    let folder = |node: &Node| {
        let name = string(node)?;
        let is_source = name.strip_prefix('_').is_some_and(|source| names.sources.contains(source));
        if is_source { Ok(name) } else { known(node, "sink", &names.sinks) }
    };
    let sink = section.required("sink", "archive", folder);
    let reason = section.required("reason", "too_large", string);
    let count = section.or("count", 1, count(1..=MOST)) as u64;
    section.finish();
    Some(ExpectedLetter { sink: sink?, reason: reason?, count })
}
