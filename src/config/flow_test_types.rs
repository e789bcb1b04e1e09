//! A test of a configuration, as the rest of the program uses it: events in, and what is to become of them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::label::MetadataKind;
use crate::event::{Field, Timestamp};

/// One `[[tests]]`.
#[derive(Clone, Debug)]
pub struct FlowTest {
    /// What is tested, in words.
    pub name: String,
    /// The source that the events come from.
    pub source: String,
    /// What is known of where they come from.
    pub fields: BTreeMap<Field, String>,
    /// Where standpipe is said to run: what each tells of it, by names after the dot.
    pub metadata: BTreeMap<MetadataKind, BTreeMap<String, String>>,
    /// Common attributes.
    pub attributes: BTreeMap<String, String>,
    /// The host that standpipe is said to run on.
    pub host: String,
    /// When they are read.
    pub at: Timestamp,
    /// What comes.
    pub input: FlowInput,
    /// What each sink is to have of them; one that is not named has nothing.
    pub expect: Vec<ExpectedSink>,
    /// Events that are dropped on purpose.
    pub dropped: Vec<ExpectedDrop>,
    /// What is to end as dead letters.
    pub dead_letters: Vec<ExpectedLetter>,
}

/// What comes from a source.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FlowInput {
    /// Messages, to be written in the source's format.
    Lines(Vec<String>),
    /// What the source would read, byte by byte.
    Payload(Vec<u8>),
}

/// What a destination is to have.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpectedSink {
    /// The sink.
    pub sink: String,
    /// The stream's name; none: any.
    pub stream: Option<String>,
    /// The account of the stream, by the last role; none: any.
    pub account: Option<String>,
    /// The region; none: any.
    pub region: Option<String>,
    /// How many events; none: as many as are named, or some.
    pub count: Option<u64>,
    /// The events, in order; none: any.
    pub events: Option<Vec<ExpectedEvent>>,
}

/// An event as its sink writes it.
#[derive(Clone, Debug, PartialEq)]
pub enum ExpectedEvent {
    /// The whole of it, without the newline.
    Text(String),
    /// A JSON object that has at least these fields.
    Fields(Value),
}

/// Events that no sink has.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ExpectedDrop {
    /// The route that decides it, counted from 0; none: no route does.
    pub route: Option<u64>,
    /// Why, as in the metric's label.
    pub reason: String,
    /// How many.
    pub count: u64,
}

/// Dead letters.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ExpectedLetter {
    /// The sink, or `_SOURCE`.
    pub sink: String,
    /// Why.
    pub reason: String,
    /// How many events they hold.
    pub count: u64,
}
