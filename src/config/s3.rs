//! Reads `[sources.NAME]` of type `s3`.

use std::time::Duration;

use super::aws_connection::{aws_settings, check_names};
use super::decoding::{multiline, sized};
use super::listing::listing;
use super::section::Section;
use super::tree::Node;
use super::types::{AwsSettings, Format, ObjectContents, ObjectFeed, QueueFeed, S3Source};
use super::values::{Parsed, choice, count, duration, flag, glob, list, string_that};

/// What `format` may say of an object's contents.
const CONTENTS: [(&str, ObjectContents); 4] = [
    ("lines", ObjectContents::Lines),
    ("envelope", ObjectContents::Envelopes),
    ("cloudtrail", ObjectContents::Cloudtrail),
    ("firehose_backup", ObjectContents::FirehoseBackup),
];

/// What may be in a record that Firehose could not deliver.
const BACKED_UP: [(&str, Format); 3] =
    [("envelope", Format::Envelope), ("lines", Format::Lines), ("cloudtrail", Format::Cloudtrail)];

/// Reads one source.
pub(super) fn source(section: &mut Section<'_>) -> Option<S3Source> {
    let aws = aws_settings(section);
    if let Some(aws) = &aws {
        check_names(section, aws);
    }
    let feed = feed(section, aws.as_ref());
    let contents = section.or("format", ObjectContents::Lines, choice(&CONTENTS));
    let backed_up = section.optional("backup_of", choice(&BACKED_UP));
    if backed_up.is_some() && contents != ObjectContents::FirehoseBackup {
        section.problem("backup_of", "needs the `format` `firehose_backup`; remove it");
    }
    let format = match contents {
        ObjectContents::Lines => Format::Lines,
        ObjectContents::Envelopes => Format::Envelope,
        ObjectContents::Cloudtrail => Format::Cloudtrail,
        ObjectContents::FirehoseBackup => backed_up.unwrap_or(Format::Envelope),
    };
    let has_multiline = section.has("multiline");
    let joined = section.table("multiline").and_then(multiline);
    if has_multiline && contents != ObjectContents::Lines {
        section.problem("multiline", "needs the `format` `lines`; remove it");
    }
    let is_joined = joined.is_some();
    let decoding = sized(section, format, joined);
    let exclude = section.or("exclude", Vec::new(), list(glob));
    let concurrency = section.or("concurrency", 8, count(1..=256));
    let requester_pays = section.or("requester_pays", false, flag);
    let owner = string_that(crate::arn::is_account, "an account id of 12 digits");
    let bucket_owner = section.optional("bucket_owner", owner);
    let source = S3Source {
        feed: feed?,
        contents,
        decoding,
        exclude,
        concurrency,
        requester_pays,
        bucket_owner,
        aws: aws?,
    };
    (is_joined == has_multiline).then_some(source)
}

fn feed(section: &mut Section<'_>, aws: Option<&AwsSettings>) -> Option<ObjectFeed> {
    if section.has("bucket") && section.has("queue_url") {
        section.misplaced(
            "bucket",
            "cannot be combined with `queue_url`, whose messages name their buckets; remove one of them",
        );
    }
    if section.has("bucket") {
        return listing(section).map(ObjectFeed::Listing);
    }
    let url = section.required("queue_url", QUEUE_URL, queue_url);
    let visibility = section.or(
        "visibility",
        Duration::from_mins(5),
        duration(Duration::from_secs(10)..=Duration::from_hours(12)),
    );
    let has_own = section.has_table("queue");
    let own = section.table("queue").and_then(|mut queue| {
        let own = aws_settings(&mut queue);
        if let Some(own) = &own {
            check_names(&queue, own);
        }
        queue.finish();
        own
    });
    // Without a table of its own the queue is read as the buckets are, but for their endpoint.
    let shared = || Some(AwsSettings { endpoint_url: None, ..aws?.clone() });
    let aws = if has_own { own } else { shared() };
    Some(ObjectFeed::Queue(QueueFeed { url: url?, aws: aws?, visibility }))
}

const QUEUE_URL: &str = "https://sqs.us-east-1.amazonaws.com/222222222222/trail";

fn queue_url(node: &Node) -> Parsed<String> {
    let is_url = |text: &str| {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let parts = rest.and_then(|rest| rest.split_once('/'));
        parts.is_some_and(|(host, path)| !host.is_empty() && path.contains('/') && !path.ends_with('/'))
    };
    string_that(is_url, "a queue's URL such as `https://sqs.us-east-1.amazonaws.com/222222222222/trail`")(
        node,
    )
}

impl QueueFeed {
    /// The region that the URL of a queue of AWS's names.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        let host = self.url.split_once("://")?.1.split('/').next()?;
        let parts: Vec<&str> = host.split('.').collect();
        let at = parts.iter().position(|part| matches!(*part, "sqs" | "sqs-fips" | "queue"))?;
        let is_region = |part: &&&str| part.contains('-') && part.ends_with(|c: char| c.is_ascii_digit());
        // The first form of these URLs has the region before.
        let before = at.checked_sub(1).and_then(|before| parts.get(before));
        parts.get(at + 1).filter(is_region).or_else(|| before.filter(is_region)).copied()
    }

    /// Where the queue is asked: the endpoint that is set, or the scheme and the host of its URL.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        let after = self.url.find("://").map_or(0, |at| at + 3);
        let slash = self.url.get(after..).and_then(|rest| rest.find('/'));
        let own = self.url.get(..slash.map_or(self.url.len(), |at| after + at)).unwrap_or(&self.url);
        self.aws.endpoint_url.as_deref().unwrap_or(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queues_url_names_its_region_and_its_endpoint() {
        let check = |url: &str, region: Option<&str>, endpoint: &str| {
            let (url, aws) = (url.to_owned(), AwsSettings::default());
            let queue = QueueFeed { url, aws, visibility: Duration::ZERO };
            assert_eq!((queue.region(), queue.endpoint()), (region, endpoint));
        };
        let own = "https://sqs.eu-west-1.amazonaws.com";
        check("https://sqs.eu-west-1.amazonaws.com/222222222222/q", Some("eu-west-1"), own);
        let china = "https://sqs.cn-north-1.amazonaws.com.cn";
        check("https://sqs.cn-north-1.amazonaws.com.cn/222222222222/q", Some("cn-north-1"), china);
        let fips = "https://sqs-fips.us-gov-west-1.amazonaws.com";
        check("https://sqs-fips.us-gov-west-1.amazonaws.com/2/q", Some("us-gov-west-1"), fips);
        let vpc = "https://vpce-0a1-b2c.sqs.us-east-2.vpce.amazonaws.com";
        check("https://vpce-0a1-b2c.sqs.us-east-2.vpce.amazonaws.com/2/q", Some("us-east-2"), vpc);
        let old = "https://us-west-1.queue.amazonaws.com";
        check("https://us-west-1.queue.amazonaws.com/2/q", Some("us-west-1"), old);
        check("http://127.0.0.1:5000/123456789012/q", None, "http://127.0.0.1:5000");
    }
}
