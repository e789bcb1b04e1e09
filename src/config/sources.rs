//! Reads `[sources.NAME]`.

use std::path::{MAIN_SEPARATOR, Path};
use std::sync::Arc;
use std::time::Duration;

use super::cloudwatch_logs;
use super::decoding::{multiline, sized};
use super::enrichment::enrichment;
use super::fluent_forward;
use super::journald;
use super::kinesis;
use super::misfit::Misfit;
use super::parse;
use super::redact::redaction;
use super::s3;
use super::section::{Section, expected};
use super::shape::ValueShape;
use super::tls::tls;
use super::tree::{Node, Written};
use super::types::{
    Decoding, FileSource, FollowLinks, Format, HttpSource, Redaction, SourceConfig, SourceSteps, Start,
    StdinSource,
};
use super::values::{Parsed, address, choice, count, duration, glob, list, some, string, string_that};
use crate::event::Charset;

const HOUR: Duration = Duration::from_hours(1);

/// Reads one source, and what is done to its events; `redaction` is what all sources have.
pub(super) fn source(
    mut section: Section<'_>,
    redaction: Option<&Arc<Redaction>>,
) -> Option<(SourceConfig, SourceSteps)> {
    let kind = section.required("type", "file", kind)?;
    let ignore_older = section.optional("ignore_older", duration(Duration::from_secs(1)..=LONGEST_AGE));
    let source = match kind {
        SourceType::File => file(&mut section, ignore_older).map(SourceConfig::File),
        SourceType::Stdin => Some(SourceConfig::Stdin(StdinSource {
            decoding: decoding(&mut section, Format::Lines, &FORMATS)?,
        })),
        SourceType::FirehoseHttp => firehose_http(&mut section).map(SourceConfig::FirehoseHttp),
        SourceType::CloudwatchLogs => {
            cloudwatch_logs::source(&mut section).map(Box::new).map(SourceConfig::CloudwatchLogs)
        }
        SourceType::Kinesis => kinesis::source(&mut section).map(Box::new).map(SourceConfig::Kinesis),
        SourceType::S3 => s3::source(&mut section).map(Box::new).map(SourceConfig::S3),
        SourceType::FluentForward => {
            fluent_forward::source(&mut section).map(Box::new).map(SourceConfig::FluentForward)
        }
        SourceType::Journald => Some(SourceConfig::Journald(Box::new(journald::source(&mut section)))),
    };
    let steps = steps(&mut section, redaction);
    if let Some(source) = &source
        && ignore_older.is_some()
        && !matches!(source, SourceConfig::File(_))
        && !source.tells_times()
    {
        section.problem(
            "ignore_older",
            "needs events that tell their time, and those of the `format` `lines` do not; remove it",
        );
    }
    section.finish();
    Some((source?, SourceSteps { ignore_older, ..steps? }))
}

/// Ten years.
const LONGEST_AGE: Duration = Duration::from_hours(24 * 3_650);

/// Reads what is done to a source's events.
fn steps(section: &mut Section<'_>, common: Option<&Arc<Redaction>>) -> Option<SourceSteps> {
    let has_own = section.has("redact");
    let own = section.table("redact").and_then(|table| redaction(table, common.map(Arc::as_ref)));
    let redact = if has_own { Some(Arc::new(own?)) } else { common.map(Arc::clone) };
    let parse = parse::parse(section);
    let timestamp = parse::timestamp(section, parse);
    let enrichment = enrichment(section);
    let redact = redact.filter(|redact| !redact.is_empty());
    Some(SourceSteps { redact, parse, timestamp, enrichment, ignore_older: None })
}

#[derive(Clone, Copy)]
enum SourceType {
    File,
    Stdin,
    FirehoseHttp,
    CloudwatchLogs,
    Kinesis,
    S3,
    FluentForward,
    Journald,
}

fn kind(node: &Node) -> Parsed<SourceType> {
    const KINDS: [(&str, SourceType); 8] = [
        ("file", SourceType::File),
        ("stdin", SourceType::Stdin),
        ("firehose_http", SourceType::FirehoseHttp),
        ("cloudwatch_logs", SourceType::CloudwatchLogs),
        ("kinesis", SourceType::Kinesis),
        ("s3", SourceType::S3),
        ("fluent_forward", SourceType::FluentForward),
        ("journald", SourceType::Journald),
    ];
    choice(&KINDS)(node)
}

const FORMATS: [(&str, Format); 5] = [
    ("lines", Format::Lines),
    ("docker", Format::Docker),
    ("cri", Format::Cri),
    ("envelope", Format::Envelope),
    ("cloudtrail", Format::Cloudtrail),
];

const HTTP_FORMATS: [(&str, Format); 3] =
    [("envelope", Format::Envelope), ("lines", Format::Lines), ("cloudtrail", Format::Cloudtrail)];

fn file(section: &mut Section<'_>, ignore_older: Option<Duration>) -> Option<FileSource> {
    let include = section.required("include", r#"["/var/log/app/*.log"]"#, some(include));
    let exclude = section.or("exclude", Vec::new(), list(exclude));
    let start = section.or(
        "start",
        Start::Beginning,
        choice(&[("beginning", Start::Beginning), ("end", Start::End)]),
    );
    let mut decoding = decoding(section, Format::Lines, &FORMATS);
    let charset = charset(section, decoding.as_ref().map(|decoding| decoding.format));
    if let Some(decoding) = &mut decoding {
        decoding.charset = charset;
    }
    let follow_links = section.or("follow_links", FollowLinks::SameOwner, links);
    let milli = Duration::from_millis(10);
    let rescan = section.or("rescan", Duration::from_secs(10), duration(milli..=HOUR));
    let max_open = section.or("max_open", 1_024, count(1..=1_000_000));
    let rotate_wait = section.or("rotate_wait", Duration::from_secs(5), duration(Duration::ZERO..=HOUR));
    let remove_after = section.optional("remove_after", duration(Duration::from_secs(1)..=LONGEST_AGE));
    Some(FileSource {
        include: include?,
        exclude,
        start,
        decoding: decoding?,
        follow_links,
        rescan,
        max_open,
        rotate_wait,
        remove_after,
        ignore_older,
    })
}

/// Reads how the characters of lines are written.
fn charset(section: &mut Section<'_>, format: Option<Format>) -> Charset {
    let is_set = section.has("charset");
    let charset = section.or("charset", Charset::UTF8, |node| {
        let label = string(node)?;
        Charset::named(&label).ok_or_else(|| {
            expected(node, "a charset such as `utf-8`, `utf-16le`, `utf-16be`, `windows-1252` or `shift_jis`")
        })
    });
    if is_set && format.is_some_and(|format| format != Format::Lines) {
        section.problem("charset", "needs the `format` `lines`; remove it");
    }
    charset
}

fn links(node: &Node) -> Parsed<FollowLinks> {
    let loose = node.loose_text().and_then(|text| text.value.trim().parse().ok());
    let flag = if let Written::Flag(flag) = node.value { Some(flag) } else { loose };
    match flag {
        Some(true) => Ok(FollowLinks::Always),
        Some(false) => Ok(FollowLinks::Never),
        None if string(node).is_ok_and(|word| word == "same_owner") => Ok(FollowLinks::SameOwner),
        None => {
            let shape = ValueShape::WordsOrFlag(vec!["same_owner".to_owned()]);
            Err(expected(node, "`\"same_owner\"`, `true` or `false`").shaped(shape))
        }
    }
}

fn include(node: &Node) -> Parsed<String> {
    let pattern = glob(node)?;
    if has_bound_slash(&pattern) {
        return Err(Misfit::of(
            node,
            format!(
                "found {}, in which a `/` is within `[..]` or after a `\\`; write it by itself",
                node.describe()
            ),
        ));
    }
    Ok(absolute(&pattern))
}

/// Whether a `/` belongs to something else than the path. A path is walked part by part, so that each has to be a glob by itself.
fn has_bound_slash(pattern: &str) -> bool {
    let (mut in_class, mut escaped) = (false, false);
    for c in pattern.chars() {
        if c == '/' && (in_class || escaped) {
            return true;
        }
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => in_class = true,
            ']' => in_class = false,
            _ => {}
        }
    }
    false
}

/// A pattern without a slash is for names, and one that begins with `**` is for any folder: both stay as they are.
fn exclude(node: &Node) -> Parsed<String> {
    let pattern = glob(node)?;
    let as_is = !pattern.contains(MAIN_SEPARATOR) || pattern.starts_with("**");
    Ok(if as_is { pattern } else { absolute(&pattern) })
}

/// A relative glob under the working directory, whose own name is taken literally.
fn absolute(pattern: &str) -> String {
    if Path::new(pattern).is_absolute() {
        return pattern.to_owned();
    }
    let Ok(mut directory) = std::path::absolute("name") else { return pattern.to_owned() };
    directory.pop();
    let mut relative = pattern;
    loop {
        if let Some(rest) = relative.strip_prefix("./") {
            relative = rest;
        } else if let Some(rest) = relative.strip_prefix("../") {
            relative = rest;
            directory.pop();
        } else {
            break;
        }
    }
    let directory = globset::escape(&directory.to_string_lossy());
    format!("{}/{relative}", directory.trim_end_matches('/'))
}

/// Reads how payload bytes become events.
fn decoding(
    section: &mut Section<'_>,
    default: Format,
    formats: &'static [(&'static str, Format)],
) -> Option<Decoding> {
    let format = section.or("format", default, choice(formats));
    let has_multiline = section.has("multiline");
    let multiline = section.table("multiline").and_then(multiline);
    if has_multiline && !matches!(format, Format::Lines | Format::Docker | Format::Cri) {
        section.problem("multiline", "needs the `format` `lines`, `docker` or `cri`; remove it");
    }
    let decoding = sized(section, format, multiline);
    (decoding.multiline.is_some() == has_multiline).then_some(decoding)
}

/// Firehose gives up on a request after 3 minutes, so that an answer must come before:
/// <https://docs.aws.amazon.com/firehose/latest/dev/httpdeliveryrequestresponse.html>.
const LONGEST_REQUEST: Duration = Duration::from_secs(179);

/// Beyond what an Application Load Balancer can be set to, 4,000 s: it must be the one that closes an idle connection, or a
/// request that it sends meanwhile is lost with a 502.
/// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-load-balancer-attributes.html>
const LONGEST_BALANCER_IDLE: Duration = Duration::from_secs(4_100);

const DAY: Duration = Duration::from_hours(24);

fn firehose_http(section: &mut Section<'_>) -> Option<HttpSource> {
    let listen = section.or("listen", ([127, 0, 0, 1], 8_443).into(), address);
    let access_keys = section.secrets("access_keys");
    let source_arns = section.or("source_arns", Vec::new(), list(source_arn));
    let has_tls = section.has("tls");
    let tls = section.table("tls").and_then(tls);
    let format = section.or("format", Format::Envelope, choice(&HTTP_FORMATS));
    let decoding = sized(section, format, None);
    let least = Duration::from_millis(100);
    let timeout = section.or("timeout", Duration::from_secs(150), duration(least..=LONGEST_REQUEST));
    let max_connections = section.or("max_connections", 256, count(1..=65_536));
    let second = Duration::from_secs(1);
    let idle_timeout = section.or("idle_timeout", LONGEST_BALANCER_IDLE, duration(second..=DAY));
    let source = HttpSource {
        listen,
        access_keys,
        source_arns,
        tls,
        decoding,
        timeout,
        max_connections,
        idle_timeout,
    };
    (source.tls.is_some() == has_tls).then_some(source)
}

fn source_arn(node: &Node) -> Parsed<String> {
    let is_arn = |text: &str| text.starts_with("arn:") || text.starts_with('*');
    let example = "an ARN or glob such as `arn:aws:firehose:*:111122223333:deliverystream/*`";
    let text = string_that(is_arn, example)(node)?;
    glob(node).map(|_| text)
}

/// Whether a word is a name of a source or a sink.
pub(super) fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// An account id, or a glob for several.
pub(super) fn account(node: &Node) -> Parsed<String> {
    let text = glob(node)?;
    let is_glob = text.contains(['*', '?', '[', '{']);
    let is_account = text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
    if is_glob || is_account {
        Ok(text)
    } else {
        Err(expected(node, "an account id of 12 digits, or a glob"))
    }
}
