//! How a bucket is listed, and how that is written in `[sources.NAME]` of type `s3`.

use std::time::Duration;

use super::misfit::Misfit;
use super::section::{Section, expected};
use super::tree::Node;
use super::units::parse_duration;
use super::values::{Parsed, any_string, choice, duration, string, string_that};

/// `bucket` and what belongs to it.
#[derive(Clone, Debug)]
pub struct ListingFeed {
    /// The bucket.
    pub bucket: String,
    /// What keys begin with.
    pub prefix: String,
    /// Where the keys have their dates.
    pub layout: ObjectLayout,
    /// Which objects are read that were there before the first run.
    pub start: ListingStart,
    /// How late an object may appear behind its date, or the time of its last change.
    pub lookback: Duration,
    /// How often the latest day is listed.
    pub every: Duration,
}

/// Where keys have their dates.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ObjectLayout {
    /// `AWSLogs/[ORG/]ACCOUNT/CloudTrail/REGION/YYYY/MM/DD/`, but for digests.
    Cloudtrail,
    /// `AWSLogs/ACCOUNT/elasticloadbalancing/REGION/YYYY/MM/DD/`
    Alb,
    /// `AWSLogs/ACCOUNT/vpcflowlogs/REGION/YYYY/MM/DD/`
    VpcFlow,
    /// `PREFIX/YYYY/MM/DD/HH/`
    Firehose,
    /// Nowhere: the whole prefix is listed, and objects go by the time of their last change.
    Flat,
}

/// Which objects are read that were there before the first run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ListingStart {
    /// All of them.
    Beginning,
    /// None.
    Now,
    /// Those of so long.
    Ago(Duration),
}

const LAYOUTS: [(&str, ObjectLayout); 5] = [
    ("cloudtrail", ObjectLayout::Cloudtrail),
    ("alb", ObjectLayout::Alb),
    ("vpc_flow", ObjectLayout::VpcFlow),
    ("firehose", ObjectLayout::Firehose),
    ("flat", ObjectLayout::Flat),
];

const DAY: Duration = Duration::from_hours(24);

/// Reads the keys of a bucket that is listed.
pub(super) fn listing(section: &mut Section<'_>) -> Option<ListingFeed> {
    let bucket =
        section.required("bucket", "my-cloudtrail-bucket", string_that(is_bucket, "a bucket's name"));
    let prefix = section.or("prefix", String::new(), any_string);
    let layout = section.or("layout", ObjectLayout::Flat, choice(&LAYOUTS));
    let start = section.or("start", ListingStart::Beginning, start);
    let lookback = section.or("lookback", 3 * DAY, duration(Duration::from_hours(1)..=40 * DAY));
    let every = section.or("every", Duration::from_mins(1), duration(Duration::from_secs(1)..=DAY));
    Some(ListingFeed { bucket: bucket?, prefix, layout, start, lookback, every })
}

/// Source: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>; older buckets may have more.
fn is_bucket(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    (3..=255).contains(&text.len()) && text.chars().all(is_plain)
}

fn start(node: &Node) -> Parsed<ListingStart> {
    match string(node)?.as_str() {
        "beginning" => Ok(ListingStart::Beginning),
        "now" => Ok(ListingStart::Now),
        text => ago(node, text),
    }
}

fn ago(node: &Node, text: &str) -> Result<ListingStart, Misfit> {
    let what = "`beginning`, `now`, or a duration such as `7d`";
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u32>().ok());
    let ago = days.map(|days| days * DAY).or_else(|| parse_duration(text));
    ago.filter(|ago| *ago <= 36_500 * DAY).map(ListingStart::Ago).ok_or_else(|| expected(node, what))
}
