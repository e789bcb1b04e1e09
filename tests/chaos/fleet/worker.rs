//! One of the fleet: a standpipe with a state directory of its own, between its ends and starts.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::daemon::{Daemon, Ended, Launch};
use crate::input::Tap;

/// How it fares. Times are those of the story.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum WorkerState {
    Running,
    /// Until then.
    Frozen(Duration),
    /// A signal is to end it, after which it is down for so long.
    Ending(WorkerEnd, Duration),
    /// Until then.
    Down(Duration),
}

/// How it is ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum WorkerEnd {
    Kill,
    Stop,
}

/// See the module.
pub(super) struct Worker {
    launch: Launch,
    /// The process, and its standard input, which nobody reads.
    process: Option<(Daemon, Tap)>,
    pub(super) state: WorkerState,
    /// The name by which the table has it, once it is known.
    name: Option<String>,
}

impl Worker {
    /// One that is down, and has a folder of its own below `folder`.
    pub(super) fn new(
        letter: char,
        folder: &Path,
        binary: &Path,
        env: &[(String, String)],
        config: &str,
    ) -> Self {
        let home = folder.join(letter.to_string());
        fs::create_dir(&home).unwrap();
        let path = home.join("standpipe.toml");
        fs::write(&path, config.replace("@HOME", &home.display().to_string())).unwrap();
        let secrets = env.iter().filter(|(name, _)| name == "AWS_SECRET_ACCESS_KEY");
        let launch = Launch {
            binary: binary.to_owned(),
            home,
            config: path,
            env: env.to_vec(),
            descriptors: None,
            secrets: secrets.map(|(_, value)| value.clone()).collect(),
        };
        Self { launch, process: None, state: WorkerState::Down(Duration::ZERO), name: None }
    }

    pub(super) fn start(&mut self) {
        self.process = Some(Daemon::start(&self.launch));
        self.state = WorkerState::Running;
    }

    pub(super) fn signal(&self, name: &str) {
        if let Some((daemon, _)) = &self.process {
            daemon.signal(name);
        }
    }

    pub(super) fn has_ended(&mut self) -> bool {
        self.process.as_mut().is_some_and(|(daemon, _)| daemon.has_ended())
    }

    /// What is left of a process that has ended.
    pub(super) fn end(&mut self, patience: Duration) -> Option<Ended> {
        let (daemon, tap) = self.process.take()?;
        daemon.wait(patience, Some(tap))
    }

    pub(super) fn daemon(&self) -> Option<&Daemon> {
        self.process.as_ref().map(|(daemon, _)| daemon)
    }

    /// The name by which the table has it; none: it never ran.
    pub(super) fn name(&mut self) -> Option<String> {
        if self.name.is_none() {
            let files = ["checkpoints.json", "checkpoints.journal-0", "checkpoints.journal-1"];
            self.name = files.iter().find_map(|file| worker_name(&self.launch.home.join("state").join(file)));
        }
        self.name.clone()
    }

    pub(super) fn home(&self) -> &PathBuf {
        &self.launch.home
    }
}

fn worker_name(file: &Path) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let (_, rest) = text.split_once("\"worker\":\"")?;
    Some(rest.split_once('"')?.0.to_owned())
}

/// What each is to do; all have the same.
pub(super) const CONFIG: &str = r#"
[server]
listen = "127.0.0.1:0"

[state]
dir = "@HOME/state"

[limits]
memory = "32MiB"
shutdown = "100s"

[sources.stream]
type = "kinesis"
stream_arn = "arn:aws:kinesis:us-east-1:111111111111:stream/cwl"
endpoint_url = "@URL"
ca_file = "@CA"
format = "lines"
leases = { table = "standpipe-cwl", failover = "1s", endpoint_url = "@URL", ca_file = "@CA" }

[sinks.archive]
type = "firehose"
region = "us-east-1"
endpoint_url = "@URL"
ca_file = "@CA"
stream = "logs"
encoding = "message"
linger = "100ms"
# A call that is answered late is not made again.
request_timeout = "5m"
"#;
