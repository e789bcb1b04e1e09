//! What `check` shows of a source.

use std::time::Duration;

use super::branch::Branch;
use super::{common, routes, steps};
use crate::config::{
    Config, Decoding, FileSource, FollowLinks, Format, ForwardSource, HttpSource, JournaldSource,
    KinesisSource, ListingFeed, ListingStart, ObjectContents, ObjectFeed, ObjectLayout, PullSource,
    PullStart, RecordAs, S3Source, SourceConfig, Start, StreamStart, legs, show_duration, show_size,
};

pub(super) fn of_source(name: &str, source: &SourceConfig, config: &Config) -> Branch {
    let (kind, mut below) = match source {
        SourceConfig::File(file) => ("file", of_files(file)),
        SourceConfig::Stdin(_) => ("stdin", Vec::new()),
        SourceConfig::FirehoseHttp(http) => ("firehose_http", of_endpoint(http)),
        SourceConfig::CloudwatchLogs(pull) => ("cloudwatch_logs", of_log_groups(pull)),
        SourceConfig::Kinesis(kinesis) => ("kinesis", of_stream(kinesis)),
        SourceConfig::S3(s3) => ("s3", of_objects(s3)),
        SourceConfig::FluentForward(forward) => ("fluent_forward", of_forward(forward)),
        SourceConfig::Journald(journald) => ("journald", of_journal(journald)),
    };
    // What log groups hold is known.
    let is_framed = !matches!(source, SourceConfig::CloudwatchLogs(_));
    below.extend(is_framed.then(|| Branch::leaf(of_decoding(source.decoding()))));
    if let Some(steps) = config.steps.get(name) {
        below.extend(
            steps
                .ignore_older
                .filter(|_| source.tells_times())
                .map(|age| Branch::leaf(format!("events older than {} are dropped", show_duration(age)))),
        );
        below.extend(steps::lines(steps).map(Branch::leaf));
    }
    for leg in legs(config, name) {
        let to = leg.sinks.iter().copied().collect::<Vec<_>>().join(", ");
        below.push(Branch::leaf(match leg.route {
            None => format!("→ {to}"),
            Some((index, route)) => routes::of_route(index, route, &to),
        }));
    }
    Branch { line: format!("{name} ({kind})"), below }
}

fn of_files(file: &FileSource) -> Vec<Branch> {
    let start = match file.start {
        Start::Beginning => "beginning",
        Start::End => "end",
    };
    let mut below: Vec<Branch> =
        file.include.iter().map(|glob| Branch::leaf(format!("include {glob}"))).collect();
    below.extend(file.exclude.iter().map(|glob| Branch::leaf(format!("exclude {glob}"))));
    let charset = file.decoding.charset;
    if !charset.is_utf8() {
        below.push(Branch::leaf(format!("characters in {}", charset.name())));
    }
    match file.follow_links {
        FollowLinks::SameOwner => {}
        FollowLinks::Always => below.push(Branch::leaf("all links followed".to_owned())),
        FollowLinks::Never => below.push(Branch::leaf("no links followed".to_owned())),
    }
    below.push(Branch::leaf(format!(
        "new files from the {start}, rescan every {}, at most {} open",
        show_duration(file.rescan),
        file.max_open
    )));
    below.extend(file.remove_after.map(|after| {
        let after = show_duration(after);
        Branch::leaf(format!("rotated and compressed files are removed {after} after they were delivered"))
    }));
    below.extend(file.ignore_older.map(|age| {
        Branch::leaf(format!("files that nothing was written to for {} are not read", show_duration(age)))
    }));
    below
}

fn of_endpoint(http: &HttpSource) -> Vec<Branch> {
    let scheme = if http.tls.is_some() { "https" } else { "http" };
    let keys = match http.access_keys.len() {
        0 => "no access key".to_owned(),
        1 => "1 access key".to_owned(),
        n_keys => format!("{n_keys} access keys"),
    };
    let mut below = vec![
        Branch::leaf(format!("listens on {scheme}://{}, {keys}", http.listen)),
        Branch::leaf(format!(
            "at most {} connections, idle up to {}, a request waits up to {}",
            http.max_connections,
            show_duration(http.idle_timeout),
            show_duration(http.timeout)
        )),
    ];
    below.extend(http.source_arns.iter().map(|arn| Branch::leaf(format!("only from {arn}"))));
    below
}

fn of_forward(forward: &ForwardSource) -> Vec<Branch> {
    let tls = if forward.tls.is_some() { ", TLS" } else { "" };
    let admitted = match (&forward.shared_key, forward.users.len()) {
        (None, _) => "no shared key".to_owned(),
        (Some(_), 0) => "a shared key".to_owned(),
        (Some(_), 1) => "a shared key and 1 user".to_owned(),
        (Some(_), n_users) => format!("a shared key and {n_users} users"),
    };
    let mut below = vec![
        Branch::leaf(format!("listens on {}{tls}, {admitted}", forward.listen)),
        Branch::leaf(format!("at most {} connections", forward.max_connections)),
    ];
    let metadata = forward.ecs_metadata.as_ref();
    below.extend(metadata.map(|url| Branch::leaf(format!("fields of the ECS task from {url}"))));
    below
}

fn of_journal(journald: &JournaldSource) -> Vec<Branch> {
    let start = match journald.start {
        Start::Beginning => "its oldest entry",
        Start::End => "the first start",
    };
    let place = match (&journald.directory, &journald.namespace) {
        (Some(directory), _) => format!("the journal in {}", directory.display()),
        (None, Some(namespace)) => format!("this host's journal of the namespace {namespace}"),
        (None, None) => "this host's journal".to_owned(),
    };
    let program = journald.journalctl.display();
    let mut below = vec![Branch::leaf(format!("{place}, from {start} on, by {program}"))];
    if !journald.units.is_empty() {
        below.push(Branch::leaf(format!("units {}", journald.units.join(", "))));
    }
    let priority = journald.priority;
    below.extend(priority.map(|priority| Branch::leaf(format!("priorities 0 to {priority}"))));
    if !journald.matches.is_empty() {
        below.push(Branch::leaf(format!("entries with {}", journald.matches.join(" "))));
    }
    below
}

fn of_log_groups(pull: &PullSource) -> Vec<Branch> {
    let groups = pull.log_groups.iter().map(|glob| Branch::leaf(format!("log groups {glob}")));
    let mut below: Vec<Branch> = groups.collect();
    if pull.linked_accounts {
        below.push(Branch::leaf("of this account and of those that it monitors".to_owned()));
    }
    let start = match pull.start {
        PullStart::Now => "now".to_owned(),
        PullStart::Ago(ago) => format!("{} ago", show_duration(ago)),
        PullStart::At(time) => time.to_rfc3339(),
    };
    let window = show_duration(pull.window);
    below.push(Branch::leaf(format!("events from {start} on, late ones found within {window}")));
    // As many as polls without news may take, see the source.
    let round = Duration::from_secs_f64((100.0 / (0.8 * pull.calls)).ceil());
    let mut calls = Branch::leaf(format!(
        "at most {} calls a second: {} MB a second at best, a round of 100 log groups takes {}",
        pull.calls,
        pull.calls,
        show_duration(round)
    ));
    calls.below.extend(common::of_roles(&pull.aws));
    calls.below.extend(pull.aws.endpoint_url.as_ref().map(|url| Branch::leaf(format!("endpoint {url}"))));
    below.push(calls);
    below
}

fn of_stream(kinesis: &KinesisSource) -> Vec<Branch> {
    let start = match kinesis.start {
        StreamStart::Beginning => "its oldest record".to_owned(),
        StreamStart::End => "the first start".to_owned(),
        StreamStart::At(time) => time.to_rfc3339(),
    };
    let mut stream = Branch::leaf(format!("stream {}, from {start} on", kinesis.stream_arn));
    stream.below.push(Branch::leaf(match &kinesis.fan_out {
        Some(name) => format!("shards are subscribed to by the consumer {name} (enhanced fan-out)"),
        None => "shards are polled".to_owned(),
    }));
    stream.below.extend(common::of_roles(&kinesis.aws));
    stream.below.extend(kinesis.aws.endpoint_url.as_ref().map(|url| Branch::leaf(format!("endpoint {url}"))));
    let Some(leases) = &kinesis.leases else {
        return vec![stream, Branch::leaf("all shards, shared with nobody")];
    };
    let failover = show_duration(leases.failover);
    let line =
        format!("shards shared by the lease table {}, free after {failover} without renewal", leases.table);
    let mut table = Branch::leaf(line);
    table.below.extend(common::of_roles(&leases.aws));
    table.below.extend(leases.aws.endpoint_url.as_ref().map(|url| Branch::leaf(format!("endpoint {url}"))));
    vec![stream, table]
}

fn of_objects(s3: &S3Source) -> Vec<Branch> {
    let mut below = match &s3.feed {
        ObjectFeed::Queue(queue) => {
            let visibility = show_duration(queue.visibility);
            let line = format!("queue {}, a message is hidden for {visibility} at a time", queue.url);
            let mut branch = Branch::leaf(line);
            branch.below.extend(common::of_roles(&queue.aws));
            vec![branch]
        }
        ObjectFeed::Listing(listing) => vec![of_listing(listing)],
    };
    let mut buckets = Branch::leaf(format!("up to {} objects at once", s3.concurrency));
    buckets.below.extend(common::of_roles(&s3.aws));
    buckets.below.extend(s3.aws.endpoint_url.as_ref().map(|url| Branch::leaf(format!("endpoint {url}"))));
    if s3.requester_pays {
        buckets.below.push(Branch::leaf("whoever reads pays".to_owned()));
    }
    let owner = s3.bucket_owner.as_ref();
    buckets.below.extend(owner.map(|owner| Branch::leaf(format!("only buckets of {owner}"))));
    below.push(buckets);
    below.extend(s3.exclude.iter().map(|glob| Branch::leaf(format!("exclude {glob}"))));
    if s3.contents == ObjectContents::FirehoseBackup {
        below.push(Branch::leaf("objects are Firehose's error output: records in `rawData`".to_owned()));
    }
    below
}

fn of_listing(listing: &ListingFeed) -> Branch {
    let ListingFeed { bucket, prefix, layout, start, lookback, every } = listing;
    let (every, lookback) = (show_duration(*every), show_duration(*lookback));
    let start = match start {
        ListingStart::Beginning => "from the beginning".to_owned(),
        ListingStart::Now => "from now on".to_owned(),
        ListingStart::Ago(ago) => format!("from {} before the first run on", show_duration(*ago)),
    };
    let days = match layout {
        ObjectLayout::Flat => format!("all of it every {every}, a call for each 1,000 objects"),
        ObjectLayout::Cloudtrail | ObjectLayout::Alb | ObjectLayout::VpcFlow | ObjectLayout::Firehose => {
            format!(
                "today and tomorrow every {every}, yesterday every fifth time, days back to {lookback} every sixtieth; two calls or more for each account and region"
            )
        }
    };
    let mut branch = Branch::leaf(format!("lists s3://{bucket}/{prefix} {start}"));
    branch.below.push(Branch::leaf(days));
    branch
}

fn of_decoding(decoding: &Decoding) -> String {
    let format = match decoding.format {
        Format::Lines => "lines",
        Format::Docker => "docker",
        Format::Cri => "cri",
        Format::Envelope => "envelope",
        Format::Cloudtrail => "cloudtrail",
        Format::FluentForward(RecordAs::Auto) => {
            "forward (`log` or `message` alone, or else the record as JSON)"
        }
        Format::FluentForward(RecordAs::Message) => "forward (`log` or `message`)",
        Format::FluentForward(RecordAs::Json) => "forward (the record as JSON)",
        Format::Journald => "journald (`MESSAGE`)",
    };
    let joined = decoding.multiline.as_ref().map_or_else(String::new, |multiline| {
        format!(", joined from `{}` within {}", multiline.start, show_duration(multiline.timeout))
    });
    let max_line = show_size(decoding.max_line as u64);
    format!("format {format}{joined}, events over {max_line} are {}", common::of_too_long(decoding.too_long))
}
