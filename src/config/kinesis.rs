//! Reads `[sources.NAME]` of type `kinesis`.

use std::time::Duration;

use super::aws_connection::{aws_settings, check_names, fixed_settings};
use super::aws_types::AwsSettings;
use super::decoding::sized;
use super::section::{Section, expected};
use super::shape::ValueShape;
use super::stream_source::{LeaseSettings, StreamStart};
use super::tree::Node;
use super::types::{Format, KinesisSource};
use super::values::{Parsed, choice, duration, string, string_that};
use crate::arn::{Arn, ResourceType};
use crate::event::Timestamp;

impl KinesisSource {
    /// The region of its ARN.
    #[must_use]
    pub fn region(&self) -> &str {
        self.stream_arn.split(':').nth(3).unwrap_or_default()
    }
}

const FORMATS: [(&str, Format); 2] = [("envelope", Format::Envelope), ("lines", Format::Lines)];

/// Reads one source.
pub(super) fn source(section: &mut Section<'_>) -> Option<KinesisSource> {
    let aws = fixed_settings(section);
    let stream_arn =
        section.required("stream_arn", "arn:aws:kinesis:us-east-1:222222222222:stream/cwl", stream_arn);
    let format = section.or("format", Format::Envelope, choice(&FORMATS));
    let decoding = sized(section, format, None);
    let start = section.or("start", StreamStart::Beginning, start);
    let name = string_that(is_consumer, "a consumer's name: 1 to 128 letters, digits and `_.-`");
    let fan_out = section.optional("fan_out", name);
    let has_leases = section.has("leases");
    let table = section.table("leases");
    let leases = table.zip(aws.as_ref()).and_then(|(table, aws)| leases(table, aws));
    let source = KinesisSource { stream_arn: stream_arn?, aws: aws?, decoding, start, leases, fan_out };
    (source.leases.is_some() == has_leases).then_some(source)
}

/// The table is reached as the process is: the roles of the source are the stream's.
fn leases(mut section: Section<'_>, of_stream: &AwsSettings) -> Option<LeaseSettings> {
    const LEAST: Duration = Duration::from_secs(1);
    let own = aws_settings(&mut section);
    if let Some(own) = &own {
        check_names(&section, own);
    }
    let name = string_that(is_table, "a table's name: 3 to 255 letters, digits and `_.-`");
    let table = section.required("table", "standpipe-cwl", name);
    let failover = section.or("failover", Duration::from_secs(10), duration(LEAST..=Duration::from_mins(5)));
    section.finish();
    let own = own?;
    let aws = AwsSettings {
        profile: own.profile.clone().or_else(|| of_stream.profile.clone()),
        ca_file: own.ca_file.clone().or_else(|| of_stream.ca_file.clone()),
        ..own
    };
    Some(LeaseSettings { table: table?, failover, aws })
}

/// Source: <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html>.
fn is_table(name: &str) -> bool {
    (3..=255).contains(&name.len()) && name.chars().all(is_plain)
}

/// Source: `ConsumerName` of <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_RegisterStreamConsumer.html>.
fn is_consumer(name: &str) -> bool {
    (1..=128).contains(&name.len()) && name.chars().all(is_plain)
}

const fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')
}

fn stream_arn(node: &Node) -> Parsed<String> {
    let text = string(node)?;
    let is_stream = text.parse::<Arn>().is_ok_and(|arn| {
        let is_whole = !arn.region.is_empty() && !arn.account.is_empty();
        arn.service == "kinesis" && is_whole && matches!(arn.resource_type(), ResourceType::Stream(_))
    });
    if is_stream {
        return Ok(text);
    }
    Err(expected(
        node,
        "the ARN of a Kinesis stream, such as `arn:aws:kinesis:us-east-1:222222222222:stream/cwl`",
    ))
}

fn start(node: &Node) -> Parsed<StreamStart> {
    let text = node.as_text().unwrap_or_default();
    match text {
        "beginning" => Ok(StreamStart::Beginning),
        "end" => Ok(StreamStart::End),
        _ => Timestamp::from_any_rfc3339(text).map(StreamStart::At).ok_or_else(|| {
            expected(node, "`beginning`, `end`, or a time such as `2026-11-22T00:00:00Z`")
                .shaped(ValueShape::Text)
        }),
    }
}
