//! Reads `[sources.NAME]` of type `cloudwatch_logs`.

use std::time::Duration;

use super::aws_connection::fixed_settings;
use super::pull_source::{PullSource, PullStart};
use super::section::{Section, expected};
use super::shape::ValueShape;
use super::tree::{Node, Written};
use super::units::parse_duration;
use super::values::{Parsed, duration, flag, glob, some};
use crate::event::Timestamp;

/// Events may be so late when they come:
/// <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html>.
const LATEST: Duration = Duration::from_hours(14 * 24);

const FEWEST_CALLS: f64 = 0.1;

/// The highest quota of any region:
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html>.
const MOST_CALLS: f64 = 100.0;

/// Reads one source.
pub(super) fn source(section: &mut Section<'_>) -> Option<PullSource> {
    const MINUTE: Duration = Duration::from_mins(1);
    let aws = fixed_settings(section);
    let log_groups = section.required("log_groups", r#"["/aws/lambda/*"]"#, some(glob));
    let linked_accounts = section.or("linked_accounts", false, flag);
    let start = section.or("start", PullStart::Now, start);
    let window = section.or("window", Duration::from_hours(6), duration(MINUTE..=LATEST));
    let calls = section.or("calls", 2.5, calls);
    let refresh = section.or("refresh", MINUTE, duration(Duration::from_secs(1)..=Duration::from_hours(1)));
    Some(PullSource { aws: aws?, log_groups: log_groups?, linked_accounts, start, window, calls, refresh })
}

fn start(node: &Node) -> Parsed<PullStart> {
    let text = node.as_text().unwrap_or_default();
    let ago = || parse_duration(text).map(PullStart::Ago);
    let at = || Timestamp::from_any_rfc3339(text).map(PullStart::At);
    let start = if text == "now" { Some(PullStart::Now) } else { ago().or_else(at) };
    start.ok_or_else(|| {
        expected(node, "`now`, a duration such as `7d`, or a time such as `2026-11-22T00:00:00Z`")
            .shaped(ValueShape::Text)
    })
}

fn calls(node: &Node) -> Parsed<f64> {
    const WHAT: &str = "a number of calls a second from 0.1 to 100";
    let number = match &node.value {
        Written::Float(number) => Some(*number),
        Written::Integer(number) => i32::try_from(*number).ok().map(f64::from),
        Written::Text(text) => text.value.trim().parse().ok(),
        Written::Nothing | Written::Flag(_) | Written::List(_) | Written::Table(_) | Written::Broken => None,
    };
    let shape = ValueShape::Number { least: FEWEST_CALLS, most: MOST_CALLS };
    number
        .filter(|number| (FEWEST_CALLS..=MOST_CALLS).contains(number))
        .ok_or_else(|| expected(node, WHAT).shaped(shape))
}
