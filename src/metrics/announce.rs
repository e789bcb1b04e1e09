//! What a configuration can count: label values that are known before anything happens.

use crate::config::{
    Action, Buffer, Config, Decoding, FileSource, Format, KinesisSource, ObjectContents, ObjectFeed,
    S3Source, SinkConfig, SourceConfig, TooLong,
};

/// Label values of one source.
#[derive(Debug, Default)]
pub(super) struct SourceLabels {
    pub(super) errors: &'static [&'static str],
    pub(super) lost: &'static [&'static str],
    pub(super) undecodable: Vec<&'static str>,
    /// What became of objects.
    pub(super) objects: &'static [&'static str],
    /// What became of a queue's messages.
    pub(super) messages: &'static [&'static str],
    /// Whether it reads files, which can be behind.
    pub(super) has_files: bool,
    /// What may become of files beside being read.
    pub(super) files: Vec<&'static str>,
    /// Whether it pulls log groups.
    pub(super) has_log_groups: bool,
    /// Whether it reads shards; and whether their leases are shared.
    pub(super) shards: Option<SharedLeases>,
}

/// Whether leases are shared with others.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum SharedLeases {
    Yes,
    No,
}

/// Label values of one sink.
#[derive(Debug)]
pub(super) struct SinkLabels {
    pub(super) dead_letters: Vec<&'static str>,
    /// Most bytes of the disk buffer's files, if it has one.
    pub(super) buffer_limit: Option<u64>,
    /// Whether the user limits it.
    pub(super) has_rate: bool,
}

pub(super) fn of_source(source: &SourceConfig) -> SourceLabels {
    match source {
        SourceConfig::File(file) => SourceLabels {
            errors: &[
                "abandoned",
                "compressed",
                "gzip",
                "link",
                "look",
                "open",
                "read",
                "remove",
                "too_large",
                "walk",
                "zstd",
            ],
            lost: &["deleted_unread", "nul", "too_large", "truncated", "truncated_unread"],
            undecodable: undecodable(&file.decoding),
            has_files: true,
            files: files(file),
            ..SourceLabels::default()
        },
        SourceConfig::Stdin(stdin) => SourceLabels {
            errors: &["abandoned"],
            lost: &["truncated"],
            undecodable: undecodable(&stdin.decoding),
            ..SourceLabels::default()
        },
        // Those with a listener announce their errors when they are served.
        SourceConfig::FirehoseHttp(_) | SourceConfig::FluentForward(_) => {
            SourceLabels { undecodable: undecodable(source.decoding()), ..SourceLabels::default() }
        }
        SourceConfig::CloudwatchLogs(_) => SourceLabels {
            errors: &[
                "abandoned",
                "access_denied",
                "credentials",
                "gone",
                "refused",
                "state",
                "throttled",
                "token",
                "unavailable",
                "unreadable",
            ],
            undecodable: undecodable(source.decoding()),
            has_log_groups: true,
            ..SourceLabels::default()
        },
        SourceConfig::Kinesis(kinesis) => of_stream(kinesis),
        SourceConfig::Journald(journald) => SourceLabels {
            errors: &["abandoned", "format", "journalctl", "unreadable", "vacuumed"],
            lost: &["too_large"],
            undecodable: undecodable(&journald.decoding),
            ..SourceLabels::default()
        },
        SourceConfig::S3(s3) => of_objects(s3),
    }
}

/// What may become of files beside being read.
fn files(source: &FileSource) -> Vec<&'static str> {
    let ignored = source.ignore_older.map(|_| "ignored");
    ignored.into_iter().chain(source.remove_after.map(|_| "removed")).collect()
}

fn of_stream(kinesis: &KinesisSource) -> SourceLabels {
    let own: &[&str] = &[
        "abandoned",
        "access_denied",
        "credentials",
        "expired_iterator",
        "expired_position",
        "gone",
        "kms",
        "lease_finished",
        "refused",
        "throttled",
        "unavailable",
    ];
    let shared: &[&str] = &[
        "abandoned",
        "access_denied",
        "credentials",
        "expired_iterator",
        "expired_position",
        "gone",
        "kms",
        "lease_finished",
        "lease_lost",
        "leases",
        "leases_denied",
        "leases_refused",
        "refused",
        "throttled",
        "unavailable",
    ];
    let is_shared = kinesis.leases.is_some();
    SourceLabels {
        errors: if is_shared { shared } else { own },
        undecodable: undecodable(&kinesis.decoding),
        shards: Some(if is_shared { SharedLeases::Yes } else { SharedLeases::No }),
        ..SourceLabels::default()
    }
}

fn of_objects(s3: &S3Source) -> SourceLabels {
    let is_listed = matches!(s3.feed, ObjectFeed::Listing(_));
    let mut undecodable = undecodable(&s3.decoding);
    undecodable.push("unreadable");
    undecodable.extend((!is_listed).then_some("notification"));
    undecodable.extend((s3.contents == ObjectContents::FirehoseBackup).then_some("firehose_backup"));
    SourceLabels {
        errors: if is_listed {
            &["abandoned", "changed", "cut", "done"]
        } else {
            &["abandoned", "changed", "cut", "queue"]
        },
        lost: &["truncated"],
        undecodable,
        objects: &["archived", "read", "repeated", "skipped", "vanished"],
        messages: if is_listed { &[] } else { &["dead_lettered", "deleted", "left", "lost", "returned"] },
        ..SourceLabels::default()
    }
}

/// Why a route may keep events from its sinks.
pub(super) const WITHHELD: [&str; 2] = ["sampled", "throttled"];

/// Routes and reasons for which events may go to no sink.
pub(super) fn of_routes(config: &Config) -> Vec<(String, &'static str)> {
    let ignores_old = config.steps.values().any(|steps| steps.ignore_older.is_some());
    let mut reasons = vec![("none".to_owned(), "unrouted")];
    reasons.extend(ignores_old.then(|| ("none".to_owned(), "too_old")));
    for (number, route) in config.routes.iter().enumerate() {
        let drops = route.action == Action::Drop;
        let [sampled, throttled] = WITHHELD;
        let found =
            [(drops, "dropped"), (route.sample.is_some(), sampled), (route.throttle.is_some(), throttled)];
        reasons
            .extend(found.into_iter().filter(|(is, _)| *is).map(|(_, reason)| (number.to_string(), reason)));
    }
    reasons
}

pub(super) fn of_sink(sink: &SinkConfig) -> SinkLabels {
    let buffer_limit = match sink.buffer {
        Buffer::Disk(disk) => Some(disk.max),
        Buffer::Memory => None,
    };
    let mut dead_letters = vec!["missing_field", "too_large", "too_many_destinations"];
    dead_letters.extend(buffer_limit.map(|_| "buffer_full"));
    SinkLabels { dead_letters, buffer_limit, has_rate: sink.rate.is_some() }
}

fn undecodable(decoding: &Decoding) -> Vec<&'static str> {
    let mut reasons = match decoding.format {
        Format::Lines => vec!["too_large"],
        Format::Docker => vec!["docker", "too_large"],
        Format::Cri => vec!["cri", "too_large"],
        Format::Envelope => vec!["format", "gzip", "json", "not_envelope", "too_large", "utf8"],
        Format::Cloudtrail => vec!["format", "gzip", "json", "not_cloudtrail", "too_large", "utf8"],
        Format::FluentForward(_) => vec!["forward", "gzip", "too_large", "zstd"],
        Format::Journald => vec!["journald"],
    };
    reasons.extend((decoding.too_long == TooLong::DeadLetter).then_some("too_long"));
    reasons
}
