//! Reads `[sinks.NAME]`.

use std::time::Duration;

use super::aws_connection::{aws_settings, template};
use super::decoding::too_long;
use super::enrichment::{is_own, own_name};
use super::problem::alternatives;
use super::section::{Section, expected};
use super::template::{LONGEST_NAME, is_stream_char};
use super::tree::Node;
use super::types::{
    Buffer, Compression, DirectorySink, DiskBuffer, Encoding, FirehoseSink, Packing, SinkConfig, SinkKind,
    Template, WhenFull,
};
use super::values::{Parsed, any_string, choice, count, duration, flag, path, rate, size, string};

const HOUR: Duration = Duration::from_hours(1);

/// Reads one sink.
pub(super) fn sink(name: &str, mut section: Section<'_>) -> Option<SinkConfig> {
    if name.starts_with('_') {
        section.problem_here("begins with `_`, which marks the dead letters of a source; use another name");
    }
    let kind = match section.required("type", "firehose", kind)? {
        SinkType::Firehose => firehose(&mut section).map(|sink| SinkKind::Firehose(Box::new(sink))),
        SinkType::Directory => directory(name, &mut section).map(SinkKind::Directory),
    };
    let sink = written(&mut section, kind);
    section.finish();
    sink
}

#[derive(Clone, Copy)]
enum SinkType {
    Firehose,
    Directory,
}

fn kind(node: &Node) -> Parsed<SinkType> {
    const KINDS: [(&str, SinkType); 2] =
        [("firehose", SinkType::Firehose), ("directory", SinkType::Directory)];
    // What is read from is looked for here by those who want to write there.
    const SOURCES: [&str; 7] =
        ["file", "stdin", "firehose_http", "s3", "kinesis", "cloudwatch_logs", "fluent_forward"];
    let word = string(node).unwrap_or_default();
    if SOURCES.contains(&word.as_str()) {
        let sinks = alternatives(KINDS.map(|(name, _)| name));
        return Err(format!("found `{word}`, which is a type of source; expected {sinks}").into());
    }
    choice(&KINDS)(node)
}

/// Reads how events are written and packed, for sinks of every kind.
fn written(section: &mut Section<'_>, kind: Option<SinkKind>) -> Option<SinkConfig> {
    const ENCODINGS: [(&str, Encoding); 3] =
        [("message", Encoding::Message), ("json", Encoding::Json), ("envelope", Encoding::Envelope)];
    let encoding = section.or("encoding", Encoding::Json, choice(&ENCODINGS));
    let id = section.or("id", false, flag);
    if id && encoding != Encoding::Json {
        section.problem("id", "needs the `encoding` `json`; remove it");
    }
    let fields = fields(section, encoding);
    let packing = packing(section, encoding);
    let compression = compression(section)?;
    if encoding == Encoding::Envelope && compression != Compression::None {
        section.problem("compression", "envelopes are already gzipped; use `none`");
    }
    let linger = section.or("linger", Duration::from_secs(1), duration(Duration::from_millis(1)..=HOUR / 4));
    let rate = section.optional("rate", rate(LEAST_RATE..=MOST_RATE));
    let too_long = too_long(section);
    let max_destinations = section.or("max_destinations", 100, count(1..=10_000));
    let idle = section.or("idle", Duration::from_mins(5), duration(Duration::from_millis(100)..=24 * HOUR));
    let buffer = buffer(section);
    Some(SinkConfig {
        kind: kind?,
        encoding,
        id,
        fields,
        packing,
        compression,
        rate,
        linger,
        too_long,
        max_destinations,
        idle,
        buffer,
    })
}

/// What a sink may be limited to, in bytes a second.
const LEAST_RATE: u64 = 16 << 10;
const MOST_RATE: u64 = 1 << 40;

fn fields(section: &mut Section<'_>, encoding: Encoding) -> Vec<(String, String)> {
    let Some(table) = section.table("fields") else { return Vec::new() };
    let fields = table.entries(any_string);
    if !fields.is_empty() && encoding != Encoding::Json {
        section.problem("fields", "needs the `encoding` `json`; remove it");
    }
    for (name, _) in &fields {
        if is_own(name) {
            section.problem("fields", own_name(name));
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

/// `"none"`, `"gzip"`, `"zstd"`, or `{ type = "gzip", level = 6 }`.
fn compression(section: &mut Section<'_>) -> Option<Compression> {
    const KINDS: [(&str, Compression); 3] =
        [("none", Compression::None), ("gzip", Compression::Gzip(6)), ("zstd", Compression::Zstd(1))];
    if !section.has_table("compression") {
        return Some(section.or("compression", Compression::None, choice(&KINDS)));
    }
    let mut table = section.table("compression")?;
    let kind = table.required("type", "gzip", choice(&KINDS));
    let mut level = |usual: u8, most: usize| {
        u8::try_from(table.or("level", usize::from(usual), count(1..=most))).unwrap_or(usual)
    };
    let compression = kind.map(|kind| match kind {
        Compression::None => Compression::None,
        Compression::Gzip(usual) => Compression::Gzip(level(usual, 12)),
        Compression::Zstd(usual) => Compression::Zstd(level(usual, 6)),
    });
    table.finish();
    compression
}

/// `{ type = "memory" }`, or `{ type = "disk", max = "10GiB", when_full = "block" }`.
fn buffer(section: &mut Section<'_>) -> Buffer {
    #[derive(Clone, Copy)]
    enum BufferType {
        Memory,
        Disk,
    }
    const FULL: [(&str, WhenFull); 3] = [
        ("block", WhenFull::Block),
        ("drop_oldest", WhenFull::DropOldest),
        ("dead_letter", WhenFull::DeadLetter),
    ];
    let Some(mut table) = section.table("buffer") else { return Buffer::Memory };
    let kinds = choice(&[("memory", BufferType::Memory), ("disk", BufferType::Disk)]);
    match table.required("type", "disk", kinds) {
        // What else may stand there depends on the type.
        None => Buffer::Memory,
        Some(BufferType::Memory) => {
            table.finish();
            Buffer::Memory
        }
        Some(BufferType::Disk) => {
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
    let aws = aws_settings(section);
    Some(FirehoseSink {
        max_concurrency: section.or("max_concurrency", 16, count(1..=1_024)),
        stream: stream?,
        aws: aws?,
    })
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
