//! What a configuration can count: label values that are known before anything happens.

use crate::config::{
    Buffer, Decoding, Format, KinesisSource, ObjectContents, ObjectFeed, S3Source, SinkConfig, SourceConfig,
    TooLong,
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
}

pub(super) fn of_source(source: &SourceConfig) -> SourceLabels {
    match source {
        SourceConfig::File(file) => SourceLabels {
            errors: &["abandoned", "compressed", "gzip", "link", "look", "open", "read", "too_large", "walk"],
            lost: &["deleted_unread", "nul", "too_large", "truncated", "truncated_unread"],
            undecodable: undecodable(&file.decoding),
            has_files: true,
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
        SourceConfig::S3(s3) => of_objects(s3),
    }
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

pub(super) fn of_sink(sink: &SinkConfig) -> SinkLabels {
    let buffer_limit = match sink.buffer {
        Buffer::Disk(disk) => Some(disk.max),
        Buffer::Memory => None,
    };
    let mut dead_letters = vec!["missing_field", "too_large", "too_many_destinations"];
    dead_letters.extend(buffer_limit.map(|_| "buffer_full"));
    SinkLabels { dead_letters, buffer_limit }
}

fn undecodable(decoding: &Decoding) -> Vec<&'static str> {
    let mut reasons = match decoding.format {
        Format::Lines => vec!["too_large"],
        Format::Docker => vec!["docker", "too_large"],
        Format::Cri => vec!["cri", "too_large"],
        Format::Envelope => vec!["format", "gzip", "json", "not_envelope", "too_large", "utf8"],
        Format::Cloudtrail => vec!["format", "gzip", "json", "not_cloudtrail", "too_large", "utf8"],
        Format::FluentForward(_) => vec!["forward", "gzip", "too_large", "zstd"],
    };
    reasons.extend((decoding.too_long == TooLong::DeadLetter).then_some("too_long"));
    reasons
}
