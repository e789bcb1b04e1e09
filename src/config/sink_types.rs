//! Sinks, as the rest of the program uses them.

use std::path::PathBuf;
use std::time::Duration;

use super::aws_types::AwsSettings;
use super::decoding_types::TooLong;
use super::template::Template;

/// One `[sinks.NAME]`.
#[derive(Clone, Debug)]
pub struct SinkConfig {
    /// Where it delivers to.
    pub kind: SinkKind,
    /// How events are written.
    pub encoding: Encoding,
    /// Whether each json object has an id, also where the event has none of its own.
    pub id: bool,
    /// Constants added to json objects, sorted by name.
    pub fields: Vec<(String, String)>,
    /// How events are put into records.
    pub packing: Packing,
    /// How records are compressed.
    pub compression: Compression,
    /// Most payload bytes a second, over all destinations; none: as many as are taken.
    pub rate: Option<u64>,
    /// Longest wait of a record for more events.
    pub linger: Duration,
    /// What becomes of an event that is too large for a record.
    pub too_long: TooLong,
    /// Most destinations (distinct stream, role and region) open at once.
    pub max_destinations: usize,
    /// A destination that had nothing to do for so long is closed.
    pub idle: Duration,
    /// Where records wait.
    pub buffer: Buffer,
}

/// `buffer = { type, .. }`
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Buffer {
    /// In memory, within `limits.memory`.
    Memory,
    /// In the state directory: sources are told that an event is done as soon as it is there.
    Disk(DiskBuffer),
}

/// `buffer = { type = "disk", max, when_full }`
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DiskBuffer {
    /// Most bytes of files, over all destinations of the sink.
    pub max: u64,
    /// What becomes of events when it has so many.
    pub when_full: WhenFull,
}

/// What becomes of events that a full disk buffer has no room for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WhenFull {
    /// Sources wait.
    Block,
    /// The oldest are dropped, and counted.
    DropOldest,
    /// The oldest go to the dead letters.
    DeadLetter,
}

/// What a sink is.
#[derive(Clone, Debug)]
pub enum SinkKind {
    /// Amazon Data Firehose.
    Firehose(Box<FirehoseSink>),
    /// A local folder.
    Directory(DirectorySink),
}

/// `type = "firehose"`
#[derive(Clone, Debug)]
pub struct FirehoseSink {
    /// The stream's name; may hold `{owner}` and the like.
    pub stream: Template,
    /// How AWS is reached.
    pub aws: AwsSettings,
    /// Most requests of one destination under way at once.
    pub max_concurrency: usize,
}

/// `type = "directory"`
#[derive(Clone, Debug)]
pub struct DirectorySink {
    /// The folder.
    pub path: PathBuf,
    /// The stream name that objects are named after; may hold `{owner}` and the like.
    pub stream: Template,
}

/// How events are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Encoding {
    /// The message's bytes alone.
    Message,
    /// One JSON object an event.
    Json,
    /// Gzipped envelopes as they came, not unpacked.
    Envelope,
}

/// How events are put into records.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Packing {
    /// Many a record, a newline after each.
    Lines,
    /// One a record.
    Event,
}

/// How records are compressed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Compression {
    /// Not at all.
    None,
    /// Each record is one gzip member of this level, 1 to 12.
    Gzip(u8),
    /// Each record is one frame of Zstandard of this level, 1 to 6: from 7 on a thread would need many megabytes.
    Zstd(u8),
}

impl Compression {
    /// What the name of an object ends with.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip(_) => ".gz",
            Self::Zstd(_) => ".zst",
        }
    }
}
