//! The real binary as a process: its standard input, its log, its end.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, PipeReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::input::Tap;
use crate::story::pause;

/// How the process is started.
pub(crate) struct Launch {
    pub(crate) binary: PathBuf,
    pub(crate) home: PathBuf,
    pub(crate) config: PathBuf,
    pub(crate) env: Vec<(String, String)>,
    /// Most descriptors that it may open; None: as many as this process.
    pub(crate) descriptors: Option<u64>,
    /// What its log must never hold.
    pub(crate) secrets: Vec<String>,
}

/// A running standpipe; it is killed when it is dropped.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) pid: u32,
    heard: Arc<Mutex<Heard>>,
    reader: Option<JoinHandle<()>>,
    /// The reading end of its standard input, to find what it left unread.
    unread: PipeReader,
}

/// What was read of its log. The lock covers one line.
#[derive(Default)]
struct Heard {
    admin: Option<String>,
    /// How often everything was started.
    starts: u64,
    /// How often it said of each shard that its lease was lost.
    lost: BTreeMap<String, u64>,
    recent: VecDeque<String>,
    bad: Vec<String>,
}

/// How a process ended.
pub(crate) struct Ended {
    /// None after a signal.
    pub(crate) code: Option<i32>,
    /// Whole lines of standard input that it did not read.
    pub(crate) unread: u64,
    /// What its log held that it must not.
    pub(crate) bad: Vec<String>,
}

const RECENT: usize = 40;

impl Daemon {
    /// Starts it, with the other end of its standard input.
    pub(crate) fn start(launch: &Launch) -> (Self, Tap) {
        let (reader, writer) = std::io::pipe().unwrap();
        let unread = reader.try_clone().unwrap();
        let mut command = match launch.descriptors {
            None => Command::new(&launch.binary),
            Some(most) => {
                let mut command = Command::new("prlimit");
                command.arg(format!("--nofile={most}:{most}")).arg(&launch.binary);
                command
            }
        };
        command.args(["run", "-c"]).arg(&launch.config).current_dir(&launch.home);
        command.env_clear().env("HOME", &launch.home).env("PATH", "/usr/bin:/bin");
        command.envs(launch.env.iter().map(|(name, value)| (name, value)));
        command.stdin(reader).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let pid = child.id();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let heard = Arc::new(Mutex::new(Heard::default()));
        let (secrets, log) = (launch.secrets.clone(), log_file(&launch.home));
        let listener = Arc::clone(&heard);
        let reader = Some(thread::spawn(move || listen(stderr, log, &listener, &secrets)));
        (Self { child, pid, heard, reader, unread }, Tap::open(writer))
    }

    /// Where its admin endpoints are, once it has said so.
    pub(crate) fn admin(&self) -> Option<String> {
        self.heard().admin.clone()
    }

    /// How often everything was started: once, and once for each reload that was done.
    pub(crate) fn starts(&self) -> u64 {
        self.heard().starts
    }

    /// How often it said that the lease of a shard was lost.
    pub(crate) fn lost(&self, shard: &str) -> u64 {
        self.heard().lost.get(shard).copied().unwrap_or(0)
    }

    /// Its last log lines.
    pub(crate) fn recent(&self) -> Vec<String> {
        self.heard().recent.iter().cloned().collect()
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        // It may have ended meanwhile, which is found elsewhere.
        Command::new("sh").arg("-c").arg(format!("kill -{name} {}", self.pid)).status().ok();
    }

    /// Waits for its end for so long, and kills it then; `None` when it had to.
    pub(crate) fn wait(mut self, patience: Duration, tap: Option<Tap>) -> Option<Ended> {
        let since = Instant::now();
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if since.elapsed() > patience => return None,
                None => pause(Duration::from_millis(5)),
            }
        };
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        drop(tap);
        let mut rest = Vec::new();
        // The only writer is gone: this ends.
        self.unread.read_to_end(&mut rest).unwrap();
        let unread = memchr::memchr_iter(b'\n', &rest).count() as u64;
        let bad = self.heard().bad.clone();
        Some(Ended { code: status.code(), unread, bad })
    }

    /// Resident memory of its own in bytes, which leaves out its code: a debug build has 30 MiB of it; and open descriptors.
    pub(crate) fn size(pid: u32) -> Option<(u64, usize)> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find(|line| line.starts_with("RssAnon"))?;
        let kib: u64 = line.split_ascii_whitespace().nth(1)?.parse().ok()?;
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
        Some((kib * 1024, descriptors))
    }

    fn heard(&self) -> std::sync::MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// All processes of a run write to one file.
fn log_file(home: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(home.join("standpipe.log")).unwrap()
}

fn listen(stderr: impl BufRead, mut log: File, heard: &Mutex<Heard>, secrets: &[String]) {
    for line in stderr.lines().map_while(Result::ok) {
        writeln!(log, "{line}").unwrap();
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        if line.contains("panicked at") || secrets.iter().any(|secret| line.contains(secret)) {
            heard.bad.push(line.clone());
        }
        if heard.admin.is_none() {
            heard.admin = field(&line, "address", "admin endpoint listening");
        }
        if let Some(shard) = field(&line, "shard", "a lease was lost") {
            *heard.lost.entry(shard).or_default() += 1;
        }
        heard.starts += u64::from(line.contains("\"message\":\"running\""));
        if heard.recent.len() == RECENT {
            heard.recent.pop_front();
        }
        heard.recent.push_back(line);
    }
}

/// A field of a JSON log line whose message begins like this.
fn field(line: &str, name: &str, message: &str) -> Option<String> {
    if !line.contains(message) {
        return None;
    }
    let json: serde_json::Value = serde_json::from_str(line).ok()?;
    let fields = json.get("fields").unwrap_or(&json);
    let says = fields.get("message")?.as_str()?.starts_with(message);
    says.then(|| fields.get(name)?.as_str().map(str::to_owned)).flatten()
}
