//! Which source reaches which sink by which route.

use std::collections::BTreeSet;

use super::types::{Action, Config, Decoding, Format, Route, SourceConfig, TooLong, When};
use crate::event::{Charset, Field};

/// A route as one source's events meet it.
#[derive(Debug)]
pub(crate) struct Leg<'c> {
    /// The route's place in the configuration; none: there are no routes, and everything goes everywhere.
    pub(crate) route: Option<(usize, &'c Route)>,
    /// The sinks that it gives something to, or that it keeps something from: those no earlier route has settled.
    pub(crate) sinks: BTreeSet<&'c str>,
}

impl Leg<'_> {
    /// Whether the leg gives events to sinks.
    pub(crate) fn delivers(&self) -> bool {
        let drops = self.route.is_some_and(|(_, route)| route.action == Action::Drop);
        !drops && !self.sinks.is_empty()
    }
}

/// The routes that a source's events meet, in order.
///
/// For each sink the first match decides, so a route without conditions settles its sinks, and a drop all of them.
pub(crate) fn legs<'c>(config: &'c Config, source: &str) -> Vec<Leg<'c>> {
    let all: BTreeSet<&str> = config.sinks.keys().map(String::as_str).collect();
    if config.routes.is_empty() {
        return vec![Leg { route: None, sinks: all }];
    }
    let mut settled: Vec<(String, BTreeSet<&str>)> = Vec::new();
    let mut legs = Vec::new();
    for (index, route) in config.routes.iter().enumerate() {
        if !route.covers(source) {
            continue;
        }
        let mut sinks: BTreeSet<&str> = match &route.action {
            Action::To(names) => names.iter().map(String::as_str).collect(),
            Action::Drop => all.clone(),
        };
        let condition = format!("{:?}", route.when);
        let always = format!("{:?}", When::default());
        for (earlier, done) in &settled {
            if *earlier == always || *earlier == condition {
                sinks.retain(|sink| !done.contains(sink));
            }
        }
        settled.push((condition, sinks.clone()));
        legs.push(Leg { route: Some((index, route)), sinks });
    }
    legs
}

/// The sinks that a source's events may reach.
pub(crate) fn reached<'c>(config: &'c Config, source: &str) -> BTreeSet<&'c str> {
    legs(config, source).into_iter().filter(Leg::delivers).flat_map(|leg| leg.sinks).collect()
}

impl Route {
    /// Whether events of a source meet this route.
    #[must_use]
    pub fn covers(&self, source: &str) -> bool {
        self.from.is_empty() || self.from.iter().any(|name| name == source)
    }
}

/// Events of log groups are decoded as those of envelopes. Nothing is inflated, and an event that is too long for a record is the
/// sink's matter.
const PULLED: Decoding = Decoding {
    format: Format::Envelope,
    charset: Charset::UTF8,
    multiline: None,
    max_line: usize::MAX,
    too_long: TooLong::Split,
    max_inflated: usize::MAX,
};

impl SourceConfig {
    /// How the source's payload becomes events.
    #[must_use]
    pub const fn decoding(&self) -> &Decoding {
        match self {
            Self::File(file) => &file.decoding,
            Self::Stdin(stdin) => &stdin.decoding,
            Self::FirehoseHttp(http) => &http.decoding,
            Self::CloudwatchLogs(_) => &PULLED,
            Self::Kinesis(kinesis) => &kinesis.decoding,
            Self::S3(s3) => &s3.decoding,
            Self::FluentForward(forward) => &forward.decoding,
            Self::Journald(journald) => &journald.decoding,
        }
    }

    /// The same, to be bounded by limits that are known only later.
    pub(crate) const fn decoding_mut(&mut self) -> Option<&mut Decoding> {
        match self {
            Self::File(file) => Some(&mut file.decoding),
            Self::Stdin(stdin) => Some(&mut stdin.decoding),
            Self::FirehoseHttp(http) => Some(&mut http.decoding),
            Self::Kinesis(kinesis) => Some(&mut kinesis.decoding),
            Self::S3(s3) => Some(&mut s3.decoding),
            Self::FluentForward(forward) => Some(&mut forward.decoding),
            Self::CloudwatchLogs(_) | Self::Journald(_) => None,
        }
    }

    /// The word that `type` names it by.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Stdin(_) => "stdin",
            Self::FirehoseHttp(_) => "firehose_http",
            Self::CloudwatchLogs(_) => "cloudwatch_logs",
            Self::Kinesis(_) => "kinesis",
            Self::S3(_) => "s3",
            Self::FluentForward(_) => "fluent_forward",
            Self::Journald(_) => "journald",
        }
    }

    /// Whether its events are those of envelopes.
    pub(crate) fn has_envelopes(&self) -> bool {
        self.decoding().format == Format::Envelope
    }

    /// Whether its events tell their time.
    pub(crate) fn tells_times(&self) -> bool {
        self.decoding().format != Format::Lines
    }

    /// Whether its events have this field.
    pub(crate) fn has_field(&self, field: Field) -> bool {
        let by_itself = match self {
            Self::File(_) => field == Field::File,
            Self::Stdin(_) | Self::FirehoseHttp(_) | Self::CloudwatchLogs(_) => false,
            Self::Kinesis(_) => {
                matches!(field, Field::Shard | Field::PartitionKey | Field::SequenceNumber | Field::StreamArn)
            }
            Self::S3(_) => matches!(field, Field::Bucket | Field::Key),
            Self::FluentForward(_) => matches!(field, Field::Tag | Field::Container | Field::Stream),
            Self::Journald(_) => matches!(field, Field::Unit | Field::Identifier | Field::Priority),
        };
        let is_of_containers = matches!(self.decoding().format, Format::Docker | Format::Cri);
        by_itself
            || (field.is_in_envelopes() && self.has_envelopes())
            || (field == Field::Stream && is_of_containers)
    }
}
