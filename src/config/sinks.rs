//! Reads `[sinks.NAME]`.

use std::time::Duration;

use super::misfit::Misfit;
use super::section::{Section, expected};
use super::sources::{later, too_long};
use super::template::{LONGEST_NAME, is_session_char, is_stream_char};
use super::tree::Node;
use super::types::{
    AssumeRole, Buffer, Compression, DirectorySink, DiskBuffer, Encoding, FirehoseSink, Packing, Sink,
    SinkKind, Template, TemplateField, WhenFull,
};
use super::values::{
    Parsed, any_string, choice, count, duration, endpoint, flag, path, size, string, string_that,
};
use crate::event::Field;

const HOUR: Duration = Duration::from_hours(1);

/// Reads one sink.
pub(super) fn sink(name: &str, mut section: Section<'_>) -> Option<Sink> {
    if name.starts_with('_') {
        section.problem_here("begins with `_`, as the dead letters of a source do; use another name");
    }
    let kind = match section.required("type", "firehose", kind)? {
        Kind::Firehose => firehose(&mut section).map(|sink| SinkKind::Firehose(Box::new(sink))),
        Kind::Directory => directory(name, &mut section).map(SinkKind::Directory),
    };
    let sink = written(&mut section, kind);
    section.finish();
    sink
}

#[derive(Clone, Copy)]
enum Kind {
    Firehose,
    Directory,
}

fn kind(node: &Node) -> Parsed<Kind> {
    const KINDS: [(&str, Kind); 2] = [("firehose", Kind::Firehose), ("directory", Kind::Directory)];
    later(node, &["kinesis", "s3", "cloudwatch_logs"], &KINDS.map(|(name, _)| name))?;
    choice(&KINDS)(node)
}

/// Reads how events are written and packed, for sinks of every kind.
fn written(section: &mut Section<'_>, kind: Option<SinkKind>) -> Option<Sink> {
    const ENCODINGS: [(&str, Encoding); 3] =
        [("message", Encoding::Message), ("json", Encoding::Json), ("envelope", Encoding::Envelope)];
    let encoding = section.or("encoding", Encoding::Json, choice(&ENCODINGS));
    let fields = fields(section, encoding);
    let packing = packing(section, encoding);
    let compression = compression(section)?;
    if encoding == Encoding::Envelope && compression != Compression::None {
        section.problem("compression", "envelopes are gzipped already; leave it at `none`");
    }
    let linger = section.or("linger", Duration::from_secs(1), duration(Duration::from_millis(1)..=HOUR / 4));
    let too_long = too_long(section);
    let max_destinations = section.or("max_destinations", 100, count(1..=10_000));
    let idle = section.or("idle", Duration::from_mins(5), duration(Duration::from_millis(100)..=24 * HOUR));
    let buffer = buffer(section);
    Some(Sink {
        kind: kind?,
        encoding,
        fields,
        packing,
        compression,
        linger,
        too_long,
        max_destinations,
        idle,
        buffer,
    })
}

fn fields(section: &mut Section<'_>, encoding: Encoding) -> Vec<(String, String)> {
    const OWN: [&str; 5] = ["timestamp", "message", "id", "source", "host"];
    let Some(table) = section.table("fields") else { return Vec::new() };
    let fields = table.entries(any_string);
    if !fields.is_empty() && encoding != Encoding::Json {
        section.problem("fields", "goes with `encoding` `json` only; leave it out");
    }
    for (name, _) in &fields {
        if OWN.contains(&name.as_str()) || Field::named(name).is_some() {
            section.problem("fields", format!("`{name}` is written by standpipe itself; use another name"));
        }
    }
    fields
}

/// Lines hold many events; an envelope is binary, and a record of its own.
fn packing(section: &mut Section<'_>, encoding: Encoding) -> Packing {
    const PACKINGS: [(&str, Packing); 2] = [("lines", Packing::Lines), ("event", Packing::Event)];
    let written = section.optional("packing", choice(&PACKINGS));
    match (encoding, written) {
        (Encoding::Envelope, Some(Packing::Lines)) => {
            section.problem("packing", "found `lines`, expected `event`: gzipped envelopes are not lines");
            Packing::Event
        }
        (Encoding::Envelope, Some(Packing::Event) | None) => Packing::Event,
        (Encoding::Message | Encoding::Json, written) => written.unwrap_or(Packing::Lines),
    }
}

/// `"none"`, `"gzip"`, or `{ type = "gzip", level = 6 }`.
fn compression(section: &mut Section<'_>) -> Option<Compression> {
    const LEVEL: u8 = 6;
    const KINDS: [(&str, Compression); 2] = [("none", Compression::None), ("gzip", Compression::Gzip(LEVEL))];
    if !section.has_table("compression") {
        return Some(section.or("compression", Compression::None, choice(&KINDS)));
    }
    let mut table = section.table("compression")?;
    let kind = table.required("type", "gzip", choice(&KINDS));
    let level = match kind {
        Some(Compression::Gzip(level)) => table.or("level", usize::from(level), count(1..=12)),
        Some(Compression::None) | None => 0,
    };
    table.finish();
    match kind? {
        Compression::None => Some(Compression::None),
        Compression::Gzip(_) => Some(Compression::Gzip(u8::try_from(level).unwrap_or(LEVEL))),
    }
}

/// `{ type = "memory" }`, or `{ type = "disk", max = "10GiB", when_full = "block" }`.
fn buffer(section: &mut Section<'_>) -> Buffer {
    #[derive(Clone, Copy)]
    enum Kind {
        Memory,
        Disk,
    }
    const FULL: [(&str, WhenFull); 3] = [
        ("block", WhenFull::Block),
        ("drop_oldest", WhenFull::DropOldest),
        ("dead_letter", WhenFull::DeadLetter),
    ];
    let Some(mut table) = section.table("buffer") else { return Buffer::Memory };
    let kinds = choice(&[("memory", Kind::Memory), ("disk", Kind::Disk)]);
    match table.required("type", "disk", kinds) {
        // What else may stand there depends on the type.
        None => Buffer::Memory,
        Some(Kind::Memory) => {
            table.finish();
            Buffer::Memory
        }
        Some(Kind::Disk) => {
            let max = table.or("max", 10 << 30, size(LEAST_ON_DISK..=MOST_ON_DISK));
            let when_full = table.or("when_full", WhenFull::Block, choice(&FULL));
            table.finish();
            Buffer::Disk(DiskBuffer { max, when_full })
        }
    }
}

/// Eight segments of a mebibyte.
const LEAST_ON_DISK: u64 = 8 << 20;
const MOST_ON_DISK: u64 = 1 << 50;

fn directory(name: &str, section: &mut Section<'_>) -> Option<DirectorySink> {
    let path = section.required("path", "./out", path);
    let default = Template::parse(name).ok();
    let stream = section.optional("stream", stream).or(default);
    Some(DirectorySink { path: path?, stream: stream? })
}

fn firehose(section: &mut Section<'_>) -> Option<FirehoseSink> {
    let stream = section.required("stream", "logs-{owner}", stream);
    let region = section.optional("region", region);
    let profile = section.optional("profile", string);
    let assume_role = assume_role(section);
    let endpoint_url = section.optional("endpoint_url", endpoint);
    let ca_file = section.optional("ca_file", path);
    let use_fips = section.or("use_fips", false, flag);
    let use_dual_stack = section.or("use_dual_stack", false, flag);
    for (key, used) in [("use_fips", use_fips), ("use_dual_stack", use_dual_stack)] {
        if used && endpoint_url.is_some() {
            section.problem(key, "does not go with `endpoint_url`; leave one of them out");
        }
    }
    let (tenth, minute) = (Duration::from_millis(100), Duration::from_mins(1));
    Some(FirehoseSink {
        connect_timeout: section.or("connect_timeout", Duration::from_secs(3), duration(tenth..=minute)),
        request_timeout: section.or("request_timeout", Duration::from_secs(30), duration(tenth..=5 * minute)),
        max_concurrency: section.or("max_concurrency", 16, count(1..=1_024)),
        stream: stream?,
        region,
        profile,
        assume_role: assume_role?,
        endpoint_url,
        ca_file,
        use_fips,
        use_dual_stack,
    })
}

fn assume_role(section: &mut Section<'_>) -> Option<Vec<AssumeRole>> {
    let tables = section.tables("assume_role")?;
    let n_roles = tables.len();
    let role = |(index, table)| role(table, index);
    let roles: Vec<AssumeRole> = tables.into_iter().enumerate().filter_map(role).collect();
    (roles.len() == n_roles).then_some(roles)
}

/// STS's limits: <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>.
fn role(mut section: Section<'_>, index: usize) -> Option<AssumeRole> {
    const LEAST: Duration = Duration::from_mins(15);
    /// What a role that assumes another gets at most.
    const MOST_CHAINED: Duration = HOUR;
    let most = if index == 0 { 12 * HOUR } else { MOST_CHAINED };
    let default_name = || Template::parse("standpipe-{host}").ok();
    let arn = section.required("arn", "arn:aws:iam::222222222222:role/standpipe-writer", role_arn);
    let external_id = section.optional("external_id", string_that(is_external_id, EXTERNAL_ID));
    let session_name = section.optional("session_name", session).or_else(default_name);
    let region = section.optional("region", string_that(is_region, REGION));
    let duration = section.or("duration", HOUR, duration(LEAST..=most));
    let sts_endpoint_url = section.optional("sts_endpoint_url", endpoint);
    section.finish();
    Some(AssumeRole {
        arn: arn?,
        external_id,
        session_name: session_name?,
        region,
        duration,
        sts_endpoint_url,
    })
}

const EXTERNAL_ID: &str = "2 to 1224 characters of letters, digits and `_+=,.@:/-`";

fn is_external_id(text: &str) -> bool {
    (2..=1_224).contains(&text.len()) && text.chars().all(|c| is_session_char(c) || matches!(c, ':' | '/'))
}

const REGION: &str = "a region such as `us-east-1`";

fn is_region(text: &str) -> bool {
    let plain = text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    plain && text.contains('-') && text.ends_with(|c: char| c.is_ascii_digit())
}

fn template(node: &Node) -> Parsed<Template> {
    let wrong = |problem| Misfit::of(node, format!("{} {problem}", node.describe()));
    Template::parse(&string(node)?).map_err(wrong)
}

/// A stream's name: <https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html>.
fn stream(node: &Node) -> Parsed<Template> {
    let template = template(node)?;
    let length: usize = template.texts().map(|text| text.chars().count()).sum();
    let fits = if template.is_constant() { length <= LONGEST_NAME } else { length < LONGEST_NAME };
    if fits && template.texts().flat_map(str::chars).all(is_stream_char) {
        return Ok(template);
    }
    Err(expected(node, "a stream name of at most 64 letters, digits and `_.-`, or fields such as `{owner}`"))
}

fn session(node: &Node) -> Parsed<Template> {
    let template = template(node)?;
    let length: usize = template.texts().map(|text| text.chars().count()).sum();
    let fits = length <= LONGEST_NAME && (length >= 2 || !template.is_constant());
    if fits && template.texts().flat_map(str::chars).all(is_session_char) {
        return Ok(template);
    }
    Err(expected(node, "a session name of 2 to 64 letters, digits and `_+=,.@-`, or fields such as `{host}`"))
}

fn region(node: &Node) -> Parsed<Template> {
    let template = template(node)?;
    let constant = template.is_constant();
    if constant && !template.texts().all(is_region) { Err(expected(node, REGION)) } else { Ok(template) }
}

fn role_arn(node: &Node) -> Parsed<Template> {
    let template = template(node)?;
    // A field stands for something, so that the form can be looked at as a whole.
    let owner = TemplateField::Origin(Field::Owner);
    let stands_for = |field| if field == owner { "000000000000" } else { "x" };
    let text = template
        .fields()
        .fold(template.to_string(), |text, field| text.replace(&format!("{{{field}}}"), stands_for(field)));
    if is_role_arn(&text) {
        return Ok(template);
    }
    Err(expected(node, "a role's ARN such as `arn:aws:iam::222222222222:role/standpipe-writer`"))
}

fn is_role_arn(text: &str) -> bool {
    let Some((partition, rest)) = text.strip_prefix("arn:").and_then(|rest| rest.split_once(":iam::")) else {
        return false;
    };
    let Some((account, role)) = rest.split_once(":role/") else { return false };
    partition.starts_with("aws")
        && account.len() == 12
        && account.bytes().all(|b| b.is_ascii_digit())
        && !role.is_empty()
        && !role.ends_with('/')
        && role.chars().all(|c| is_session_char(c) || c == '/')
}
