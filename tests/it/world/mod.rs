//! The world a test plays in: a folder, a stand-in for AWS, and the real binary between them.
//!
//! ```ignore
//! let world = World::new();
//! let lines = world.write("app.log", 0..100_000);
//! let daemon = world.file_to_firehose("").start();
//! world.delivered(&daemon);
//! daemon.stop().drained();
//! ```

mod daemon;
mod forwarder;
mod http;
mod scrape;
mod sender;
mod wait;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::standin::{Key, Lines, Report, Settings, Standin};
pub(crate) use daemon::{Daemon, run_to_end, start_told};
pub(crate) use forwarder::{Forwarder, Mode, WEB, bin, docker, message as forward_message, text};
pub(crate) use http::Connection;
pub(crate) use scrape::Scrape;
pub(crate) use sender::{ACCESS_KEY, Envelope, Sender};
pub(crate) use wait::{progress, until};

/// The run of lines that a test writes, unless it says otherwise.
pub(crate) const RUN: u32 = 1;

/// See the module.
pub(crate) struct World {
    dir: TempDir,
    pub(crate) standin: Standin,
    config: RefCell<String>,
    env: RefCell<BTreeMap<String, String>>,
}

impl World {
    /// A stand-in over TLS with one stream, `logs`.
    pub(crate) fn new() -> Self {
        Self::with(&Settings::default())
    }

    /// A stand-in of these settings.
    pub(crate) fn with(settings: &Settings) -> Self {
        let dir = tempfile::Builder::new().prefix("standpipe-it-").tempdir().unwrap();
        let standin = Standin::start(settings);
        fs::write(dir.path().join("ca.pem"), standin.ca()).unwrap();
        fs::create_dir(dir.path().join("logs")).unwrap();
        let world = Self { dir, standin, config: RefCell::default(), env: RefCell::default() };
        let key = Key::default();
        world.env("AWS_ACCESS_KEY_ID", &key.id);
        world.env("AWS_SECRET_ACCESS_KEY", &key.secret);
        world.env("AWS_EC2_METADATA_DISABLED", "true");
        world
    }

    /// A path in the world's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A path in the folder that the file source reads.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.dir.path().join("logs").join(name)
    }

    /// Sets a variable of the daemon's environment, which is otherwise empty.
    pub(crate) fn env(&self, name: &str, value: &str) {
        self.env.borrow_mut().insert(name.to_owned(), value.to_owned());
    }

    /// The daemon's environment.
    pub(crate) fn environment(&self) -> BTreeMap<String, String> {
        self.env.borrow().clone()
    }

    /// Writes the configuration. `@DIR` is the world's folder, `@URL` the stand-in, and `@FIREHOSE` what every sink
    /// needs to find it. Tables that the text does not have itself are added.
    pub(crate) fn config(&self, text: &str) -> &Self {
        let firehose =
            "type = \"firehose\"\nregion = \"us-east-1\"\nendpoint_url = \"@URL\"\nca_file = \"@DIR/ca.pem\"";
        let mut whole = String::new();
        for (table, default) in [
            ("[server]", "listen = \"127.0.0.1:0\""),
            ("[state]", "dir = \"@DIR/state\""),
            ("[limits]", "memory = \"32MiB\""),
        ] {
            if !text.contains(table) {
                whole.extend([table, "\n", default, "\n\n"]);
            }
        }
        whole.push_str(text);
        let whole = whole
            .replace("@FIREHOSE", firehose)
            .replace("@URL", &self.standin.url())
            .replace("@DIR", &self.dir.path().display().to_string());
        fs::write(self.config_path(), &whole).unwrap();
        self.config.replace(whole);
        self
    }

    /// `*.log` of the log folder to the stream `logs`, as plain lines; `more` is added to the sink or follows it.
    pub(crate) fn file_to_firehose(&self, more: &str) -> &Self {
        self.config(&format!("{FILE_SOURCE}{MESSAGE_SINK}{more}"))
    }

    /// The configuration's file.
    pub(crate) fn config_path(&self) -> PathBuf {
        self.path("standpipe.toml")
    }

    /// Starts the daemon, and waits until it is ready.
    pub(crate) fn start(&self) -> Daemon {
        let daemon = self.spawn();
        daemon.ready();
        daemon
    }

    /// Starts the daemon, and waits only until it says where it listens.
    pub(crate) fn spawn(&self) -> Daemon {
        self.spawn_reading(Stdio::null())
    }

    /// The same with this standard input.
    pub(crate) fn spawn_reading(&self, stdin: impl Into<Stdio>) -> Daemon {
        Daemon::spawn_reading(&self.config_path(), self.dir.path(), &self.env.borrow(), stdin.into())
    }

    /// Runs the program to its end with these arguments and this standard input.
    pub(crate) fn run(&self, arguments: &[&str], input: &[u8]) -> Output {
        run_to_end(arguments, input, self.dir.path(), &self.env.borrow())
    }

    /// Starts the program with these arguments, to be killed.
    pub(crate) fn start_command(&self, arguments: &[&str]) -> Child {
        daemon::start(arguments, self.dir.path(), &self.env.borrow())
    }

    /// Appends lines of [`RUN`] to a log file, and expects all up to there.
    pub(crate) fn write(&self, name: &str, numbers: Range<u64>) {
        self.write_run(RUN, name, numbers);
    }

    /// The same of another run.
    pub(crate) fn write_run(&self, run: u32, name: &str, numbers: Range<u64>) {
        self.standin.expect(run, numbers.end);
        let mut file = OpenOptions::new().create(true).append(true).open(self.log(name)).unwrap();
        let mut at = numbers.start;
        while at < numbers.end {
            let next = numbers.end.min(at + 5_000);
            file.write_all(&Lines::of_run(run).text(at..next)).unwrap();
            at = next;
        }
    }

    /// Waits until every line expected was accepted, and returns what the stand-in says then.
    pub(crate) fn delivered(&self, daemon: &Daemon) -> Report {
        progress("every line is delivered", || {
            let report = self.standin.report();
            daemon.must_run();
            let seen = report.total.seen;
            if report.missing == 0 {
                Ok(report)
            } else {
                Err((seen, format!("{report:#?}\n{}", daemon.log_text())))
            }
        })
    }

    /// Waits until at least so many distinct lines were accepted.
    pub(crate) fn seen(&self, daemon: &Daemon, lines: u64) -> u64 {
        progress(&format!("{lines} lines are delivered"), || {
            daemon.must_run();
            let report = self.standin.report();
            let seen = report.total.seen;
            if seen >= lines { Ok(seen) } else { Err((seen, format!("{report:#?}\n{}", daemon.log_text()))) }
        })
    }

    /// How far the checkpoints say that any file was acknowledged.
    pub(crate) fn checkpointed(&self) -> u64 {
        let names = ["checkpoints.json", "checkpoints.journal-0", "checkpoints.journal-1"];
        let texts = names.map(|name| fs::read(self.path("state").join(name)).unwrap_or_default()).concat();
        let texts = String::from_utf8_lossy(&texts).into_owned();
        let offsets = texts.split("\"offset\":").skip(1);
        let digits = offsets.filter_map(|rest| rest.split([',', '}']).next()?.parse().ok());
        digits.max().unwrap_or(0)
    }

    /// What `state list` tells of the state folder: what a next process would begin with, whatever is being written.
    pub(crate) fn state_list(&self) -> String {
        let listed = self.run(&["state", "list", "--dir", self.path("state").to_str().unwrap()], b"");
        String::from_utf8(listed.stdout).unwrap()
    }

    /// Whether a file below the state folder holds these bytes, even one that is being written.
    pub(crate) fn state_holds(&self, bytes: &[u8]) -> bool {
        holds(&self.path("state"), bytes)
    }
}

/// A file source `app` that reads the log folder.
pub(crate) const FILE_SOURCE: &str = "
[sources.app]
type = \"file\"
include = [\"@DIR/logs/*.log\"]
";

/// A sink `archive` that writes plain lines to the stream `logs`.
pub(crate) const MESSAGE_SINK: &str = "
[sinks.archive]
@FIREHOSE
stream = \"logs\"
encoding = \"message\"
linger = \"200ms\"
";

fn holds(path: &Path, bytes: &[u8]) -> bool {
    let Ok(entries) = fs::read_dir(path) else {
        return fs::read(path).is_ok_and(|content| memchr::memmem::find(&content, bytes).is_some());
    };
    entries.filter_map(Result::ok).any(|entry| holds(&entry.path(), bytes))
}

/// Kills the daemon 300 ms after it is ready, until the whole of a file has arrived. On a machine so busy that it gets no further, it has
/// longer the next time, but never a second.
#[track_caller]
pub(crate) fn killed_again_and_again(world: &World) {
    const LINES: u64 = 60_000;
    world.standin.faults(|faults| faults.delay_ms = 20);
    world.write("app.log", 0..LINES);
    let size = fs::metadata(world.log("app.log")).unwrap().len();
    let (mut before, mut time) = (0, 300);
    progress("the file is acknowledged between kills", || {
        let daemon = world.start();
        wait::pause_for(Duration::from_millis(time));
        daemon.kill();
        let reached = world.checkpointed();
        time = if reached > before { 300 } else { 800.min(time + 100) };
        before = reached;
        if reached == size { Ok(()) } else { Err((reached, format!("{reached} of {size}"))) }
    });
    let daemon = world.start();
    at_least_once(&world.delivered(&daemon), LINES);
    daemon.stop().drained();
}

/// How many lines a test moves: so many, or two million with `STANDPIPE_TEST_SCALE=full`.
pub(crate) fn scale(lines: u64) -> u64 {
    if is_full() { 2_000_000 } else { lines }
}

/// Whether the tests run at full size.
pub(crate) fn is_full() -> bool {
    std::env::var("STANDPIPE_TEST_SCALE").is_ok_and(|scale| scale == "full")
}

/// Every line once and whole, within the service's limits.
#[track_caller]
pub(crate) fn exactly_once(report: &Report, lines: u64) {
    at_least_once(report, lines);
    assert_eq!(report.total.duplicates, 0, "no line is doubled: {report:#?}");
}

/// Every line at least once and whole, within the service's limits.
#[track_caller]
pub(crate) fn at_least_once(report: &Report, lines: u64) {
    assert_eq!(report.missing, 0, "no line is lost: {report:#?}");
    assert_eq!(report.total.seen, lines, "no line is invented: {report:#?}");
    assert_eq!((report.total.damaged, report.total.other), (0, 0), "every line is whole: {report:#?}");
    assert_eq!(report.limit_violations, 0, "no limit is broken: {:?}", report.violations);
}
