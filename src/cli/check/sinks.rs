//! What `check` shows of a sink.

use super::branch::Branch;
use super::common;
use crate::config::{
    Buffer, Compression, DiskBuffer, Encoding, FirehoseSink, Packing, SinkConfig, SinkKind, WhenFull,
    show_duration, show_size,
};

pub(super) fn of_sink(name: &str, sink: &SinkConfig) -> Branch {
    let (kind, mut below) = match &sink.kind {
        SinkKind::Firehose(firehose) => ("firehose", of_firehose(firehose)),
        SinkKind::Directory(directory) => {
            let line = format!("in {} as {}", directory.path.display(), directory.stream);
            ("directory", vec![Branch::leaf(line)])
        }
    };
    below.push(Branch::leaf(of_packing(sink)));
    below.extend(
        sink.rate.map(|rate| Branch::leaf(format!("at most {}/s, over all destinations", show_size(rate)))),
    );
    below.extend(sink.id.then(|| Branch::leaf("each event has an id, the same whenever it is sent")));
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
        Compression::Zstd(level) => format!("zstd level {level}"),
    };
    let linger = show_duration(sink.linger);
    let too_long = common::of_too_long(sink.too_long);
    format!("{encoding}, {packing}, {compression}, linger {linger}, events over a record are {too_long}")
}

fn of_firehose(firehose: &FirehoseSink) -> Vec<Branch> {
    let region = match &firehose.aws.region {
        Some(region) => region.to_string(),
        None => "the environment's region".to_owned(),
    };
    let mut below = vec![Branch::leaf(format!("stream {} in {region}", firehose.stream))];
    below.extend(firehose.aws.profile.as_ref().map(|profile| Branch::leaf(format!("profile {profile}"))));
    below.extend(firehose.aws.assume_role.iter().map(|role| Branch::leaf(common::of_role(role))));
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
