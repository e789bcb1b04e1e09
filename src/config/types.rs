//! The configuration as the rest of the program uses it: parsed, complete with defaults, and impossible to get wrong.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use super::aws_types::{AssumeRole, AwsSettings};
pub use super::decoding_types::{Decoding, Format, Multiline, TooLong};
pub use super::enrichment_types::{Enrichment, MetadataNeeds};
pub use super::flow_test_types::{
    ExpectedDrop, ExpectedEvent, ExpectedLetter, ExpectedSink, FlowInput, FlowTest,
};
pub use super::forward_source::{ForwardListen, ForwardUser, RecordAs};
pub use super::label::{LabelName, MetadataKind};
pub use super::listing::{ListingFeed, ListingStart, ObjectLayout};
pub use super::parse_types::{MessageParse, ParsedTime, TimeFormat};
pub use super::pull_source::{PullSource, PullStart};
pub use super::redact_types::{NamedPattern, OwnPattern, Redaction, ReplaceWith};
use super::secret::Secret;
pub use super::sink_types::{
    Buffer, Compression, DirectorySink, DiskBuffer, Encoding, FirehoseSink, Packing, SinkConfig, SinkKind,
    WhenFull,
};
pub use super::stream_source::{LeaseSettings, StreamStart};
pub use super::template::{Template, TemplateField, TemplatePiece};
use crate::event::Field;

/// Most sinks of one configuration: routes give each event to a set of them, which is one machine word.
pub const MAX_SINKS: usize = 64;

/// A whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The admin endpoints.
    pub server: Server,
    /// Where state is kept.
    pub state: State,
    /// Limits of the whole process.
    pub limits: Limits,
    /// Sources by name.
    pub sources: BTreeMap<String, SourceConfig>,
    /// What is done to the events of each source.
    pub steps: BTreeMap<String, SourceSteps>,
    /// Sinks by name.
    pub sinks: BTreeMap<String, SinkConfig>,
    /// Routes in order; none: every source to every sink.
    pub routes: Vec<Route>,
    /// What `standpipe test` tests.
    pub tests: Vec<FlowTest>,
}

impl Config {
    /// What is redacted, by source.
    pub fn redactions(&self) -> impl Iterator<Item = (&str, &Redaction)> {
        self.steps.iter().filter_map(|(name, steps)| Some((name.as_str(), steps.redact.as_deref()?)))
    }
}

/// `[server]`
#[derive(Clone, Debug)]
pub struct Server {
    /// Address of /metrics, /healthz, /readyz, /status.json and the status page.
    pub listen: SocketAddr,
}

/// `[state]`
#[derive(Clone, Debug)]
pub struct State {
    /// Checkpoints, disk buffers and dead letters.
    pub dir: PathBuf,
    /// Most bytes of dead letters of each sink, and of each source's undecodable payloads.
    pub max_dead_letters: u64,
}

/// `[limits]`
#[derive(Clone, Debug)]
pub struct Limits {
    /// Most payload bytes in memory.
    pub memory: u64,
    /// Longest drain after SIGTERM.
    pub shutdown: Duration,
    /// Threads that decode and encode; as many as there are cores by default.
    pub workers: usize,
}

impl Limits {
    /// The most that a payload may inflate to, or a file that is read whole may have: it is in memory at once, with little else.
    pub(super) fn most_inflated(&self) -> usize {
        const BESIDE: u64 = 8 << 20;
        usize::try_from(self.memory.saturating_mul(13) / 16 + BESIDE).unwrap_or(usize::MAX)
    }
}

/// One `[sources.NAME]`.
#[derive(Clone, Debug)]
pub enum SourceConfig {
    /// Local files.
    File(FileSource),
    /// Standard input.
    Stdin(StdinSource),
    /// The Firehose HTTP endpoint.
    FirehoseHttp(HttpSource),
    /// Log groups, read by their API.
    CloudwatchLogs(Box<PullSource>),
    /// A Kinesis stream.
    Kinesis(Box<KinesisSource>),
    /// Objects of S3.
    S3(Box<S3Source>),
    /// Messages of the Fluent Forward protocol.
    FluentForward(Box<ForwardSource>),
    /// Entries of systemd's journal.
    Journald(Box<JournaldSource>),
}

/// What is done to a source's events, between decoding and routing.
#[derive(Clone, Debug, Default)]
pub struct SourceSteps {
    /// What is redacted in them; none: nothing is.
    pub redact: Option<Arc<Redaction>>,
    /// What their messages are; none: text.
    pub parse: Option<MessageParse>,
    /// The field of a message that tells its time.
    pub timestamp: Option<ParsedTime>,
    /// What is added to them.
    pub enrichment: Enrichment,
    /// Events whose own time is longer ago are left out; none: no event is too old.
    pub ignore_older: Option<Duration>,
}

/// `type = "file"`
#[derive(Clone, Debug)]
pub struct FileSource {
    /// Globs of absolute paths, with `**`. Relative ones are made absolute against the working directory.
    pub include: Vec<String>,
    /// Globs that are left out; without a slash they match the file's name alone.
    pub exclude: Vec<String>,
    /// Where a file never seen before is read from.
    pub start: Start,
    /// What the bytes are, and how they are cut into events.
    pub decoding: Decoding,
    /// Which symbolic links are followed.
    pub follow_links: FollowLinks,
    /// How often the globs are walked again, beside inotify.
    pub rescan: Duration,
    /// Most files open at once.
    pub max_open: usize,
    /// How long a file that is gone, and read to its end, is kept open for late writers.
    pub rotate_wait: Duration,
    /// Files of which all was delivered for so long are removed; none: no file is.
    pub remove_after: Option<Duration>,
    /// Files that are new to the source, and that nothing was written to for so long, are not read; none: all are.
    pub ignore_older: Option<Duration>,
}

/// Which symbolic links a source of files follows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FollowLinks {
    /// Those whose owner owns what they lead to, and root's.
    SameOwner,
    /// All.
    Always,
    /// None that a glob comes upon.
    Never,
}

/// Where a file never seen before is read from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Start {
    /// Its first byte.
    Beginning,
    /// Its end at the time it is found.
    End,
}

/// `type = "stdin"`
#[derive(Clone, Debug)]
pub struct StdinSource {
    /// What the bytes are, and how they are cut into events.
    pub decoding: Decoding,
}

/// `type = "journald"`
#[derive(Clone, Debug)]
pub struct JournaldSource {
    /// Units whose entries are read; none: those of all.
    pub units: Vec<String>,
    /// The least important priority that is read, from 0 to 7; none: all are.
    pub priority: Option<u8>,
    /// What fields of entries have to be, as `journalctl` takes it: `FIELD=value`, and `+`.
    pub matches: Vec<String>,
    /// Where a journal that was never read is read from.
    pub start: Start,
    /// Where the journal's files are; none: where this host has them.
    pub directory: Option<PathBuf>,
    /// Which of journald's namespaces is read; none: the one without a name.
    pub namespace: Option<String>,
    /// The program that reads the journal.
    pub journalctl: PathBuf,
    /// How entries become events.
    pub decoding: Decoding,
}

/// `type = "firehose_http"`
#[derive(Clone, Debug)]
pub struct HttpSource {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Keys, any of which admits a request. None: every request is admitted.
    pub access_keys: Vec<Secret>,
    /// Globs of stream ARNs that may send. None: any.
    pub source_arns: Vec<String>,
    /// Certificate and key files; none: plain HTTP, for behind a load balancer.
    pub tls: Option<Tls>,
    /// What each record's data is: `envelope` (default), `lines` or `cloudtrail`.
    pub decoding: Decoding,
    /// How long a request may wait for memory or delivery before it is answered 503. Less than Firehose's own 3 minutes.
    pub timeout: Duration,
    /// Most connections at once.
    pub max_connections: usize,
    /// How long a connection stays open between two requests. Longer than a load balancer keeps it.
    pub idle_timeout: Duration,
}

/// `type = "kinesis"`
#[derive(Clone, Debug)]
pub struct KinesisSource {
    /// The stream's ARN.
    pub stream_arn: String,
    /// How the stream is reached; its region is the ARN's.
    pub aws: AwsSettings,
    /// How a record becomes events.
    pub decoding: Decoding,
    /// From where on a stream is read that never was.
    pub start: StreamStart,
    /// The table that is shared with others; none: this process reads all shards.
    pub leases: Option<LeaseSettings>,
    /// The name of the consumer that shards are subscribed to with; none: they are polled.
    pub fan_out: Option<String>,
}

/// `type = "fluent_forward"`
#[derive(Clone, Debug)]
pub struct ForwardSource {
    /// Where to listen.
    pub listen: ForwardListen,
    /// What senders prove that they know; none: any sender is admitted.
    pub shared_key: Option<Secret>,
    /// Who may send; none: whoever knows the shared key.
    pub users: Vec<ForwardUser>,
    /// What the source calls itself to senders; none: the name of the host.
    pub self_hostname: Option<String>,
    /// Certificate and key files; none: plain.
    pub tls: Option<Tls>,
    /// How records become events.
    pub decoding: Decoding,
    /// Most connections at once.
    pub max_connections: usize,
    /// Where an ECS task asks for what it is; none: events have no fields of ECS.
    pub ecs_metadata: Option<String>,
}

/// `type = "s3"`
#[derive(Clone, Debug)]
pub struct S3Source {
    /// How the source learns of objects.
    pub feed: ObjectFeed,
    /// What an object holds.
    pub contents: ObjectContents,
    /// How its events are cut and decoded.
    pub decoding: Decoding,
    /// Globs of keys that are passed over.
    pub exclude: Vec<String>,
    /// Most objects that are read at once.
    pub concurrency: usize,
    /// Whoever reads pays for it.
    pub requester_pays: bool,
    /// The account that buckets have to belong to.
    pub bucket_owner: Option<String>,
    /// How the buckets are reached.
    pub aws: AwsSettings,
}

/// How a source learns of objects.
#[derive(Clone, Debug)]
pub enum ObjectFeed {
    /// `queue_url`: they are announced.
    Queue(QueueFeed),
    /// `bucket`: it is listed again and again.
    Listing(ListingFeed),
}

/// `queue_url` and what belongs to it.
#[derive(Clone, Debug)]
pub struct QueueFeed {
    /// The queue's URL.
    pub url: String,
    /// How the queue is reached; its endpoint is the URL's, unless another is set.
    pub aws: AwsSettings,
    /// How long a message is hidden from others; extended while its objects are read.
    pub visibility: Duration,
}

/// What an object of a bucket holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ObjectContents {
    /// One event a line.
    Lines,
    /// Subscription envelopes, one after the other.
    Envelopes,
    /// `CloudTrail`'s `{"Records":[..]}`.
    Cloudtrail,
    /// Lines of Firehose's error output, each with a record in `rawData`, which is read by the format of the decoding.
    FirehoseBackup,
}

/// Certificate chain and key, as PEM files.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The chain, leaf first.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// One `[[routes]]`.
#[derive(Clone, Debug)]
pub struct Route {
    /// Names of sources; empty: all.
    pub from: Vec<String>,
    /// Conditions, all of which must hold.
    pub when: When,
    /// What becomes of a match.
    pub action: Action,
    /// The share of the matches that it is for, chosen by their ids; none: all.
    pub sample: Option<f64>,
    /// How many of these it is for in a period; none: all.
    pub throttle: Option<RouteThrottle>,
}

/// `throttle = { events, per, by }`
#[derive(Clone, Debug)]
pub struct RouteThrottle {
    /// Most events of a key in a period.
    pub events: u64,
    /// The period.
    pub per: Duration,
    /// What keys are made from; none: all events have one.
    pub by: Option<Template>,
}

/// What a route does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Action {
    /// Gives the event to these sinks.
    To(Vec<String>),
    /// Drops it, counted.
    Drop,
}

/// A route's conditions; an empty list always holds.
#[derive(Clone, Debug, Default)]
pub struct When {
    /// Fields: each with values or globs. One without a condition is left out.
    pub fields: BTreeMap<Field, Vec<String>>,
    /// Common attributes: name, and values or globs.
    pub attributes: BTreeMap<String, Vec<String>>,
    /// Labels: each with values or globs.
    pub labels: BTreeMap<LabelName, Vec<String>>,
    /// A pattern that the message must contain a match of.
    pub message: Option<regex::bytes::Regex>,
}
