//! `standpipe check`: reads the configuration, and shows what will run as a tree. No network.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::{configuration, exit};
use crate::config::{
    Action, AssumeRole, AwsSettings, Buffer, Checked, Compression, Config, Decoding, DiskBuffer, Encoding,
    FileSource, FirehoseSink, FollowLinks, Format, ForwardSource, HttpSource, ListingFeed, ListingStart,
    ObjectContents, ObjectFeed, ObjectLayout, Packing, Problem, PullSource, PullStart, RecordAs, Route,
    S3Source, SinkConfig, SinkKind, SourceConfig, Start, TooLong, Warning, WarningPlace, When, WhenFull,
    inspect, legs, show_duration, show_size,
};
use crate::event::Field;

/// How `check` tells what it finds.
#[derive(Clone, Copy, Debug, Default)]
pub struct CheckOutput {
    /// As JSON, without the pipeline.
    pub json: bool,
    /// A warning is an error.
    pub deny_warnings: bool,
}

/// Writes the pipeline to `out` and warnings to `err`, or all errors to `err`; returns the exit code.
///
/// # Errors
/// When `out` or `err` cannot be written.
pub fn run(
    files: &[PathBuf],
    environment: &BTreeMap<String, String>,
    output: CheckOutput,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<u8> {
    let code = |warnings: &[Warning]| {
        if output.deny_warnings && !warnings.is_empty() { exit::CONFIG } else { exit::DONE }
    };
    if output.json {
        let (code, found) = match inspect(files, environment) {
            Ok(Checked { warnings, .. }) => (code(&warnings), found(&[], &warnings)),
            Err(errors) => (exit::CONFIG, found(errors.problems(), &[])),
        };
        writeln!(out, "{found:#}")?;
        out.flush()?;
        return Ok(code);
    }
    let Some(checked) = configuration(files, environment, err)? else { return Ok(exit::CONFIG) };
    for branch in pipeline(&checked.config) {
        write!(out, "{}", branch.shown())?;
    }
    out.flush()?;
    for warning in &checked.warnings {
        writeln!(err, "warning: {warning}")?;
    }
    Ok(code(&checked.warnings))
}

/// Everything that was found, for machines.
fn found(errors: &[Problem], warnings: &[Warning]) -> Value {
    let one = |origin: &str, place: Option<(usize, usize)>, key: &str, text: &str| {
        json!({ "origin": origin, "line": place.map(|(line, _)| line), "column": place.map(|(_, column)| column),
            "key": key, "message": text })
    };
    let error =
        |problem: &Problem| one(&problem.origin, problem.line_and_column(), &problem.key, &problem.text);
    let warning = |warning: &Warning| {
        let WarningPlace { origin, line_and_column } = warning.place.clone().unwrap_or_default();
        one(&origin, line_and_column, &warning.key, &warning.text)
    };
    let errors: Vec<Value> = errors.iter().map(error).collect();
    let warnings: Vec<Value> = warnings.iter().map(warning).collect();
    json!({ "valid": errors.is_empty(), "errors": errors, "warnings": warnings })
}

/// A line of the tree, and the lines below it.
struct Branch {
    line: String,
    below: Vec<Self>,
}

impl Branch {
    fn leaf(line: impl Into<String>) -> Self {
        Self { line: line.into(), below: Vec::new() }
    }

    fn shown(&self) -> String {
        let mut text = format!("{}\n", self.line);
        self.show_below("", &mut text);
        text
    }

    fn show_below(&self, margin: &str, text: &mut String) {
        for (index, branch) in self.below.iter().enumerate() {
            let is_last = index + 1 == self.below.len();
            let (fork, stem) = if is_last { ("└── ", "    ") } else { ("├── ", "│   ") };
            text.extend([margin, fork, &branch.line, "\n"]);
            branch.show_below(&format!("{margin}{stem}"), text);
        }
    }
}

fn pipeline(config: &Config) -> [Branch; 3] {
    let limits = &config.limits;
    let process = vec![
        Branch::leaf(format!("metrics and health on {}", config.server.listen)),
        Branch::leaf(format!(
            "state in {}, up to {} of dead letters for each sink and source",
            config.state.dir.display(),
            show_size(config.state.max_dead_letters)
        )),
        Branch::leaf(format!(
            "{} of memory, {} to drain, {} workers",
            show_size(limits.memory),
            show_duration(limits.shutdown),
            limits.workers
        )),
    ];
    let sources = config.sources.iter().map(|(name, source)| of_source(name, source, config)).collect();
    let sinks = config.sinks.iter().map(|(name, sink)| of_sink(name, sink)).collect();
    [
        Branch { line: "process".to_owned(), below: process },
        Branch { line: "sources".to_owned(), below: sources },
        Branch { line: "sinks".to_owned(), below: sinks },
    ]
}

fn of_source(name: &str, source: &SourceConfig, config: &Config) -> Branch {
    let (kind, mut below) = match source {
        SourceConfig::File(file) => ("file", of_files(file)),
        SourceConfig::Stdin(_) => ("stdin", Vec::new()),
        SourceConfig::FirehoseHttp(http) => ("firehose_http", of_endpoint(http)),
        SourceConfig::CloudwatchLogs(pull) => ("cloudwatch_logs", of_log_groups(pull)),
        SourceConfig::S3(s3) => ("s3", of_objects(s3)),
        SourceConfig::FluentForward(forward) => ("fluent_forward", of_forward(forward)),
    };
    // What log groups hold is known.
    let is_framed = !matches!(source, SourceConfig::CloudwatchLogs(_));
    below.extend(is_framed.then(|| Branch::leaf(of_decoding(source.decoding()))));
    for leg in legs(config, name) {
        let to = leg.sinks.iter().copied().collect::<Vec<_>>().join(", ");
        below.push(Branch::leaf(match leg.route {
            None => format!("→ {to}"),
            Some((index, route)) => of_route(index, route, &to),
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
    calls.below.extend(of_roles(&pull.aws));
    calls.below.extend(pull.aws.endpoint_url.as_ref().map(|url| Branch::leaf(format!("endpoint {url}"))));
    below.push(calls);
    below
}

fn of_objects(s3: &S3Source) -> Vec<Branch> {
    let mut below = match &s3.feed {
        ObjectFeed::Queue(queue) => {
            let visibility = show_duration(queue.visibility);
            let line = format!("queue {}, a message is hidden for {visibility} at a time", queue.url);
            let mut branch = Branch::leaf(line);
            branch.below.extend(of_roles(&queue.aws));
            vec![branch]
        }
        ObjectFeed::Listing(listing) => vec![of_listing(listing)],
    };
    let mut buckets = Branch::leaf(format!("up to {} objects at once", s3.concurrency));
    buckets.below.extend(of_roles(&s3.aws));
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

fn of_roles(aws: &AwsSettings) -> impl Iterator<Item = Branch> {
    aws.assume_role.iter().map(|role| Branch::leaf(of_role(role)))
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
    };
    let joined = decoding.multiline.as_ref().map_or_else(String::new, |multiline| {
        format!(", joined from `{}` within {}", multiline.start, show_duration(multiline.timeout))
    });
    let max_line = show_size(decoding.max_line as u64);
    format!("format {format}{joined}, events over {max_line} are {}", of_too_long(decoding.too_long))
}

const fn of_too_long(too_long: TooLong) -> &'static str {
    match too_long {
        TooLong::Split => "split",
        TooLong::Truncate => "truncated",
        TooLong::DeadLetter => "dead letters",
    }
}

fn of_route(index: usize, route: &Route, to: &str) -> String {
    let when = of_when(&route.when);
    let action = match &route.action {
        Action::Drop => "dropped".to_owned(),
        Action::To(_) if to.is_empty() => "nowhere (earlier routes take all)".to_owned(),
        Action::To(_) => to.to_owned(),
    };
    format!("routes[{index}]{when} → {action}")
}

fn of_when(when: &When) -> String {
    let mut conditions: Vec<String> = Field::in_order()
        .filter_map(|field| Some(format!("{field} is {}", when.fields.get(&field)?.join(" or "))))
        .collect();
    let attributes = when.attributes.iter();
    conditions
        .extend(attributes.map(|(name, values)| format!("attribute {name} is {}", values.join(" or "))));
    conditions.extend(when.message.as_ref().map(|pattern| format!("message matches `{pattern}`")));
    if conditions.is_empty() { String::new() } else { format!(" when {}", conditions.join(" and ")) }
}

fn of_sink(name: &str, sink: &SinkConfig) -> Branch {
    let (kind, mut below) = match &sink.kind {
        SinkKind::Firehose(firehose) => ("firehose", of_firehose(firehose)),
        SinkKind::Directory(directory) => {
            let line = format!("in {} as {}", directory.path.display(), directory.stream);
            ("directory", vec![Branch::leaf(line)])
        }
    };
    below.push(Branch::leaf(of_packing(sink)));
    if !sink.fields.is_empty() {
        let fields: Vec<String> =
            sink.fields.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        below.push(Branch::leaf(format!("adds {}", fields.join(", "))));
    }
    below.push(Branch::leaf(format!(
        "buffer {}, at most {} destinations, idle ones close after {}",
        of_buffer(sink.buffer),
        sink.max_destinations,
        show_duration(sink.idle)
    )));
    Branch { line: format!("{name} ({kind})"), below }
}

fn of_buffer(buffer: Buffer) -> String {
    let Buffer::Disk(DiskBuffer { max, when_full }) = buffer else { return "in memory".to_owned() };
    let then = match when_full {
        WhenFull::Block => "sources wait",
        WhenFull::DropOldest => "the oldest are dropped",
        WhenFull::DeadLetter => "the oldest become dead letters",
    };
    format!("on disk up to {}, then {then}", show_size(max))
}

fn of_packing(sink: &SinkConfig) -> String {
    let encoding = match sink.encoding {
        Encoding::Message => "message",
        Encoding::Json => "json",
        Encoding::Envelope => "envelope",
    };
    let packing = match sink.packing {
        Packing::Lines => "many lines per record",
        Packing::Event => "one event per record",
    };
    let compression = match sink.compression {
        Compression::None => "not compressed".to_owned(),
        Compression::Gzip(level) => format!("gzip level {level}"),
    };
    let linger = show_duration(sink.linger);
    let too_long = of_too_long(sink.too_long);
    format!("{encoding}, {packing}, {compression}, linger {linger}, events over a record are {too_long}")
}

fn of_firehose(firehose: &FirehoseSink) -> Vec<Branch> {
    let region = match &firehose.aws.region {
        Some(region) => region.to_string(),
        None => "the environment's region".to_owned(),
    };
    let mut below = vec![Branch::leaf(format!("stream {} in {region}", firehose.stream))];
    below.extend(firehose.aws.profile.as_ref().map(|profile| Branch::leaf(format!("profile {profile}"))));
    below.extend(firehose.aws.assume_role.iter().map(|role| Branch::leaf(of_role(role))));
    below.extend(firehose.aws.endpoint_url.as_ref().map(|url| Branch::leaf(format!("endpoint {url}"))));
    below
        .extend(firehose.aws.ca_file.as_ref().map(|file| Branch::leaf(format!("trusts {}", file.display()))));
    for (used, what) in [(firehose.aws.use_fips, "FIPS"), (firehose.aws.use_dual_stack, "dual-stack")] {
        if used {
            below.push(Branch::leaf(format!("{what} endpoints")));
        }
    }
    below.push(Branch::leaf(format!(
        "at most {} requests at once, {} to connect, {} for an answer",
        firehose.max_concurrency,
        show_duration(firehose.aws.connect_timeout),
        show_duration(firehose.aws.request_timeout)
    )));
    below
}

fn of_role(role: &AssumeRole) -> String {
    let external_id = if role.external_id.is_some() { ", external id" } else { "" };
    let sts = role.sts_endpoint_url.as_ref().map_or_else(String::new, |url| format!(", STS at {url}"));
    let region = role.region.as_ref().map_or_else(String::new, |region| format!(", STS in {region}"));
    let duration = show_duration(role.duration);
    format!("as {}, session {}, for {duration}{external_id}{region}{sts}", role.arn, role.session_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"
[server]
listen = "127.0.0.1:9598"
[limits]
workers = 2
shutdown = "5m"
[sources.app]
type = "file"
include = ["/var/log/app/*.log"]
exclude = ["*.tmp"]
multiline = { start = '^\d', timeout = "500ms" }
[sources.subs]
type = "firehose_http"
access_keys = ["${KEY}"]
[sinks.archive]
type = "firehose"
region = "us-east-1"
stream = "logs-{source}"
assume_role = { arn = "arn:aws:iam::222222222222:role/w", external_id = "example" }
compression = { type = "gzip", level = 9 }
fields = { env = "prod" }
[sinks.local]
type = "directory"
path = "./out"
buffer = { type = "disk", max = "1GiB", when_full = "drop_oldest" }
[[routes]]
from = ["subs"]
when = { owner = ["111122223333"], message = 'DEBUG' }
drop = true
[[routes]]
to = ["archive"]
"#;

    const TREE: &str = "\
process
├── metrics and health on 127.0.0.1:9598
├── state in /var/lib/standpipe, up to 1GiB of dead letters for each sink and source
└── 64MiB of memory, 5m to drain, 2 workers
sources
├── app (file)
│   ├── include /var/log/app/*.log
│   ├── exclude *.tmp
│   ├── new files from the beginning, rescan every 10s, at most 1024 open
│   ├── format lines, joined from `^\\d` within 500ms, events over 1000KiB are split
│   └── routes[1] → archive
└── subs (firehose_http)
    ├── listens on http://127.0.0.1:8443, 1 access key
    ├── at most 256 connections, idle up to 1h8m20s, a request waits up to 2m30s
    ├── format envelope, events over 1000KiB are split
    ├── routes[0] when owner is 111122223333 and message matches `DEBUG` → dropped
    └── routes[1] → archive
sinks
├── archive (firehose)
│   ├── stream logs-{source} in us-east-1
│   ├── as arn:aws:iam::222222222222:role/w, session standpipe-{host}, for 1h, external id
│   ├── at most 16 requests at once, 3s to connect, 30s for an answer
│   ├── json, many lines per record, gzip level 9, linger 1s, events over a record are split
│   ├── adds env=\"prod\"
│   └── buffer in memory, at most 100 destinations, idle ones close after 5m
└── local (directory)
    ├── in ./out as local
    ├── json, many lines per record, not compressed, linger 1s, events over a record are split
    └── buffer on disk up to 1GiB, then the oldest are dropped, at most 100 destinations, idle ones close after 5m
";

    fn checked(text: &str, environment: &[(&str, &str)]) -> (u8, String, String) {
        checked_with(text, environment, CheckOutput::default())
    }

    fn checked_with(text: &str, environment: &[(&str, &str)], output: CheckOutput) -> (u8, String, String) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("standpipe.toml");
        std::fs::write(&file, text).unwrap();
        let environment =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = run(std::slice::from_ref(&file), &environment, output, &mut out, &mut err).unwrap();
        let err = String::from_utf8(err).unwrap().replace(&file.display().to_string(), "standpipe.toml");
        (code, String::from_utf8(out).unwrap(), err)
    }

    #[test]
    fn a_good_configuration_is_shown_as_a_tree_with_warnings_after_it() {
        let (code, out, err) = checked(CONFIG, &[("KEY", "s3cret-of-16-letters")]);
        assert_eq!(code, 0, "{err}");
        assert_eq!(out, TREE);
        let warnings = "\
warning: standpipe.toml:22:8: sinks.local: no route leads here; name it in a route's `to`
";
        assert_eq!(err, warnings);
    }

    #[test]
    fn a_bad_configuration_exits_78_and_shows_nothing_but_its_errors() {
        let (code, out, err) = checked("[sources.app]\ntype = \"file\"\n", &[]);
        assert_eq!((code, out.as_str()), (78, ""));
        let errors = "\
standpipe.toml:1:10: sources.app.include: missing; give it a value such as `[\"/var/log/app/*.log\"]`
standpipe.toml: sinks: missing; there must be at least one, such as `[sinks.archive]`
";
        assert_eq!(err, errors);
    }

    #[test]
    fn a_warning_is_an_error_where_it_is_denied() {
        let denied = CheckOutput { deny_warnings: true, ..CheckOutput::default() };
        let environment = [("KEY", "s3cret-of-16-letters")];
        assert_eq!(checked_with(CONFIG, &environment, denied).0, 78);
        assert_eq!(checked(CONFIG, &environment).0, 0);
    }

    #[test]
    fn machines_get_every_finding_with_its_place() {
        let output = CheckOutput { json: true, deny_warnings: false };
        let (code, out, err) = checked_with("[sources.app]\ntype = \"file\"\n", &[], output);
        let found: Value = serde_json::from_str(&out).unwrap();
        assert_eq!((code, err.as_str(), &found["valid"]), (78, "", &json!(false)));
        let first = &found["errors"][0];
        assert_eq!((&first["line"], &first["column"]), (&json!(1), &json!(10)), "{found:#}");
        assert_eq!(first["key"], "sources.app.include");
        assert!(first["origin"].as_str().unwrap().ends_with("standpipe.toml"));
        let (code, out, _) = checked_with(CONFIG, &[("KEY", "s3cret-of-16-letters")], output);
        let found: Value = serde_json::from_str(&out).unwrap();
        assert_eq!((code, &found["valid"], &found["errors"]), (0, &json!(true), &json!([])));
        let warning = &found["warnings"][0];
        assert_eq!((&warning["key"], &warning["line"]), (&json!("sinks.local"), &json!(22)), "{found:#}");
        assert!(!out.contains("s3cret"));
    }
}
