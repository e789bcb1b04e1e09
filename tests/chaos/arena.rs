//! Where it happens: the folder, the stand-in, the daemon between kills, and what all actors share.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::arguments::Arguments;
use crate::clock;
use crate::daemon::{Daemon, Ended, Launch};
use crate::disk::Disk;
use crate::files::Files;
use crate::hostile;
use crate::input::Tap;
use crate::ledger::Ledger;
use crate::plan::STREAMS;
use crate::standin::{Faults, Standin};
use crate::story::{Story, pause};
use crate::world::ACCESS_KEY;

/// See the module. Each lock covers a look or one action; the daemon's also its being taken away.
pub(crate) struct Arena {
    pub(crate) flow: Flow,
    /// Objects of S3 are shipped as well.
    pub(crate) has_objects: bool,
    /// Others write what nobody should, and the clock jumps.
    pub(crate) is_hostile: bool,
    pub(crate) story: Story,
    pub(crate) standin: Standin,
    pub(crate) disk: Disk,
    pub(crate) launch: Launch,
    /// Where the HTTP endpoint listens, through all starts.
    pub(crate) endpoint: String,
    pub(crate) daemon: Mutex<Option<Daemon>>,
    pub(crate) tap: Mutex<Option<Tapped>>,
    pub(crate) ledger: Mutex<Ledger>,
    pub(crate) files: Mutex<Files>,
    troubles: Mutex<Vec<String>>,
    /// Actors end what they are at, and return.
    pub(crate) halt: AtomicBool,
    /// Actors wait.
    pub(crate) quiet: AtomicBool,
    pub(crate) scrapes: AtomicU64,
    pub(crate) peak_memory: AtomicU64,
    pub(crate) folder: TempDir,
}

/// One process's standard input, and the first line it was given.
pub(crate) struct Tapped {
    pub(crate) tap: Tap,
    first: u64,
}

/// What the daemon is to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Flow {
    /// Every source to both sinks, whose requests time out soon.
    Rough,
    /// The same, and no request times out because this machine is slow.
    Gentle,
    /// Files to one sink.
    Plain,
}

/// How a process is ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum End {
    Kill,
    Stop,
}

/// `limits.memory`.
pub(crate) const MEMORY: u64 = 16 << 20;
/// What the process may take beside its payload, as a debug build.
pub(crate) const BESIDE: u64 = 32 << 20;
/// The shortest line, and so the most lines in some memory.
const LEAST_LINE: u64 = 200;
/// For the process, where there are to be few.
const FEW_DESCRIPTORS: u64 = 160;
/// Longest wait for a start, or for an end after `limits.shutdown`.
const PATIENCE: Duration = Duration::from_mins(2);

impl Arena {
    /// Everything but the daemon and the actors.
    pub(crate) fn build(arguments: &Arguments, seed: u64, flow: Flow) -> Self {
        let folder = tempfile::Builder::new().prefix("standpipe-chaos-").tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let binary = arguments.bin.clone().unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_standpipe")));
        let binary = fs::canonicalize(binary).unwrap();
        let standin = Standin::start(&binary, &path("ca.pem"), &STREAMS, seed);
        let endpoint = free_address();
        let text = config(arguments, flow)
            .replace("@DIR", &folder.path().display().to_string())
            .replace("@URL", standin.url())
            .replace("@ENDPOINT", &endpoint);
        fs::write(path("standpipe.toml"), text).unwrap();
        let mut env = standin.key.clone();
        env.push(("AWS_EC2_METADATA_DISABLED".to_owned(), "true".to_owned()));
        let secret = env.iter().find(|(name, _)| name == "AWS_SECRET_ACCESS_KEY").unwrap().1.clone();
        let is_hostile = arguments.hostile && flow != Flow::Plain;
        if is_hostile {
            hostile::prepare(&path(hostile::FOLDER));
            env.extend(clock::environment(folder.path()));
        }
        let launch = Launch {
            descriptors: is_hostile.then_some(FEW_DESCRIPTORS),
            binary,
            home: folder.path().to_owned(),
            config: path("standpipe.toml"),
            env,
            secrets: vec![secret, ACCESS_KEY.to_owned()],
        };
        Self {
            flow,
            has_objects: arguments.objects && flow != Flow::Plain,
            is_hostile,
            story: Story::begin(),
            standin,
            disk: Disk::make(&path("state"), arguments.seconds),
            launch,
            endpoint,
            daemon: Mutex::default(),
            tap: Mutex::default(),
            ledger: Mutex::default(),
            files: Mutex::new(Files::create(&path("logs"))),
            troubles: Mutex::default(),
            halt: AtomicBool::new(false),
            quiet: AtomicBool::new(false),
            scrapes: AtomicU64::new(0),
            peak_memory: AtomicU64::new(0),
            folder,
        }
    }

    /// Takes one of the locks; a panic elsewhere has already failed the run.
    pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that something is wrong; the run ends.
    pub(crate) fn trouble(&self, what: String) {
        self.story.tell(&format!("WRONG: {what}"));
        Self::lock(&self.troubles).push(what);
    }

    pub(crate) fn troubles(&self) -> Vec<String> {
        Self::lock(&self.troubles).clone()
    }

    /// Whether something is wrong.
    pub(crate) fn is_lost(&self) -> bool {
        !Self::lock(&self.troubles).is_empty()
    }

    /// Whether actors end.
    pub(crate) fn is_over(&self) -> bool {
        self.halt.load(Ordering::Acquire) || self.is_lost()
    }

    /// Starts the daemon, and waits until it says where it listens.
    pub(crate) fn start(&self) {
        let (mut daemon, tap) = Daemon::start(&self.launch);
        let since = Instant::now();
        while daemon.admin().is_none() {
            if daemon.has_ended() || since.elapsed() > PATIENCE {
                // Its last words may still be on their way.
                pause(Duration::from_millis(100));
                return self.trouble(format!("it does not start:\n{}", daemon.recent().join("\n")));
            }
            pause(Duration::from_millis(5));
        }
        let first = Self::lock(&self.ledger).input_next;
        *Self::lock(&self.tap) = Some(Tapped { tap, first });
        *Self::lock(&self.daemon) = Some(daemon);
    }

    /// Sends the daemon a signal.
    pub(crate) fn signal(&self, name: &str) {
        if let Some(daemon) = &*Self::lock(&self.daemon) {
            daemon.signal(name);
        }
    }

    /// Lets the daemon read its configuration anew.
    pub(crate) fn reload(&self) {
        if self.flow == Flow::Rough {
            // A reload that reaches its deadline gives up what is in flight.
            Self::lock(&self.ledger).explained += in_flight();
            return self.signal("HUP");
        }
        self.heal();
        let starts = || Self::lock(&self.daemon).as_ref().map(Daemon::starts);
        let before = starts();
        self.signal("HUP");
        let since = Instant::now();
        while starts() == before && !self.is_lost() {
            if since.elapsed() > PATIENCE {
                return self.trouble("it does not reload".to_owned());
            }
            pause(Duration::from_millis(10));
        }
    }

    /// Ends the daemon, and notes what its end means; the exit code.
    pub(crate) fn end(&self, how: End) -> Option<i32> {
        let daemon = Self::lock(&self.daemon).take()?;
        daemon.signal(match how {
            End::Kill => "KILL",
            End::Stop => "TERM",
        });
        let tapped = Self::lock(&self.tap).take();
        let (is_tapped, first) = (tapped.is_some(), tapped.as_ref().map_or(0, |tapped| tapped.first));
        let recent = daemon.recent();
        let Some(ended) = daemon.wait(PATIENCE, tapped.map(|tapped| tapped.tap)) else {
            self.trouble(format!("it does not end after {how:?}:\n{}", recent.join("\n")));
            return None;
        };
        self.account(how, is_tapped, first, &ended);
        ended.code
    }

    fn account(&self, how: End, is_tapped: bool, first: u64, ended: &Ended) {
        let expected = match how {
            End::Kill => ended.code.is_none(),
            // Standard input that was read and is not delivered is lost, which is a failure.
            End::Stop => matches!(ended.code, Some(0 | 75)) || (is_tapped && ended.code == Some(1)),
        };
        if !expected {
            self.trouble(format!("after {how:?} the exit code is {:?}", ended.code));
        }
        ended.bad.iter().for_each(|line| self.trouble(format!("its log says: {line}")));
        let doubled = (ended.code != Some(0)).then(|| self.may_double());
        let mut ledger = Self::lock(&self.ledger);
        ledger.ends += 1;
        let read = first..ledger.input_next.saturating_sub(ended.unread);
        if ended.code == Some(0) && !read.is_empty() {
            ledger.input.push(read);
        }
        ledger.explained += doubled.unwrap_or(0);
    }

    /// Most lines that an end without a drain doubles: what was in flight, for each stream no more than `limits.memory` holds;
    /// what messages announced that are not deleted; and what was delivered since the place that the checkpoints on disk tell. That is as
    /// old as their latest file is, or the one with the objects that are done, and older by the age of the oldest event that was still
    /// unacknowledged.
    fn may_double(&self) -> u64 {
        let state = self.folder.path().join("state");
        let of_checkpoints = age_of_latest(&state, |file| file.starts_with("checkpoints."));
        let of_done = age_of_latest(&state.join("objects"), |file| {
            Path::new(file).extension().is_some_and(|is| is == "done")
        });
        let age = if self.has_objects {
            of_checkpoints.zip(of_done).map(|(one, other)| one.max(other))
        } else {
            of_checkpoints
        };
        let announced = self.standin.unsettled() * STREAMS.len() as u64;
        let total = self.standin.report().total();
        let ledger = Self::lock(&self.ledger);
        let then = age.and_then(|age| Instant::now().checked_sub(age + ledger.lag + SLACK));
        in_flight() + announced + ledger.delivered_since(then, total.seen + total.duplicates)
    }

    /// Everything works again.
    pub(crate) fn heal(&self) {
        for stream in STREAMS {
            self.standin.faults(stream, &Faults::default());
        }
        self.disk.free();
    }
}

/// How long ago one of these files of a folder was written last.
fn age_of_latest(folder: &Path, is_meant: impl Fn(&str) -> bool) -> Option<Duration> {
    let written = fs::read_dir(folder).into_iter().flatten().filter_map(|file| {
        let file = file.ok()?;
        let is_meant = is_meant(&file.file_name().to_string_lossy());
        file.metadata().ok()?.modified().ok().filter(|_| is_meant)
    });
    written.max()?.elapsed().ok()
}

/// Between a scrape, a sample and a save.
const SLACK: Duration = Duration::from_secs(2);

/// An address whose port is free, and stays free of other services' random ports for long enough.
fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Most lines in flight, over all streams.
pub(crate) fn in_flight() -> u64 {
    MEMORY / LEAST_LINE * STREAMS.len() as u64
}

fn config(arguments: &Arguments, flow: Flow) -> String {
    let sink = |name: &str, stream: &str, encoding: &str| {
        let sink = SINK.replace("@NAME", name).replace("@STREAM", stream).replace("@ENCODING", encoding);
        let timeout = if flow == Flow::Rough { "4s" } else { "30s" };
        sink.replace("@TIMEOUT", timeout).replace("@BUFFER", arguments.buffer.setting())
    };
    let shutdown = if flow == Flow::Rough { "5s" } else { "80s" };
    let mut text = BASE.replace("@SHUTDOWN", shutdown) + &sink("plain", STREAMS[0], "message");
    if flow != Flow::Plain {
        text.push_str(&SOURCES.replace("@KEY", ACCESS_KEY));
        if arguments.objects {
            // What a killed process had received is to come again soon; without kills nothing may come again, however slow this machine is.
            let visibility = if flow == Flow::Rough { "10s" } else { "1m" };
            text.push_str(&OBJECT_SOURCES.replace("@VISIBILITY", visibility));
        }
        if arguments.hostile {
            text.push_str(HOSTILE_SOURCE);
        }
        text.push_str(&sink("copy", STREAMS[1], "json"));
    }
    text
}

const BASE: &str = r#"
[server]
listen = "127.0.0.1:0"

[state]
dir = "@DIR/state"

[limits]
memory = "16MiB"
shutdown = "@SHUTDOWN"

[sources.app]
type = "file"
include = ["@DIR/logs/app.log*"]
rescan = "2s"
"#;

const SOURCES: &str = r#"
[sources.subscriptions]
type = "firehose_http"
listen = "@ENDPOINT"
timeout = "20s"
access_keys = ["@KEY"]

[sources.input]
type = "stdin"

[sources.pull]
type = "cloudwatch_logs"
region = "us-east-1"
endpoint_url = "@URL"
ca_file = "@DIR/ca.pem"
log_groups = ["/chaos/*"]
start = "1h"
calls = 20
refresh = "1s"
"#;

const OBJECT_SOURCES: &str = r#"
[sources.trail]
type = "s3"
region = "us-east-1"
endpoint_url = "@URL"
ca_file = "@DIR/ca.pem"
queue_url = "@URL/111111111111/trail"
visibility = "@VISIBILITY"

[sources.archive]
type = "s3"
region = "us-east-1"
endpoint_url = "@URL"
ca_file = "@DIR/ca.pem"
bucket = "listed"
layout = "flat"
start = "beginning"
every = "1s"
"#;

const HOSTILE_SOURCE: &str = r#"
[sources.hostile]
type = "file"
include = ["@DIR/hostile/**/*.log"]
follow_links = true
rescan = "2s"
"#;

const SINK: &str = r#"
[sinks.@NAME]
type = "firehose"
region = "us-east-1"
endpoint_url = "@URL"
ca_file = "@DIR/ca.pem"
stream = "@STREAM"
encoding = "@ENCODING"
linger = "200ms"
request_timeout = "@TIMEOUT"
buffer = @BUFFER
"#;
