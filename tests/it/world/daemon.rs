//! The real binary as a process: its log, its endpoints, its end.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::http::{Reply, get};
use super::scrape::Scrape;
use super::wait::until;

/// A running standpipe; it is killed when it is dropped.
pub(crate) struct Daemon {
    child: Mutex<Child>,
    pid: u32,
    /// What it wrote to standard error so far. The lock covers one line.
    log: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
    admin: String,
}

/// How a daemon ended.
pub(crate) struct Exit {
    pub(crate) code: Option<i32>,
    pub(crate) log: Vec<String>,
}

impl Exit {
    /// It had nothing left.
    #[track_caller]
    pub(crate) fn drained(&self) {
        assert_eq!(self.code, Some(0), "it drains and exits 0:\n{}", self.log.join("\n"));
    }

    /// It stopped at the deadline.
    #[track_caller]
    pub(crate) fn undelivered(&self) {
        assert_eq!(self.code, Some(75), "it exits 75 with data undelivered:\n{}", self.log.join("\n"));
    }
}

fn command(home: &Path, env: &BTreeMap<String, String>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_standpipe"));
    command.env_clear().env("HOME", home).env("PATH", "/usr/bin:/bin").envs(env).current_dir(home);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs the program to its end.
pub(crate) fn run_to_end(
    arguments: &[&str],
    input: &[u8],
    home: &Path,
    env: &BTreeMap<String, String>,
) -> Output {
    let mut child = command(home, env).args(arguments).spawn().unwrap();
    let stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = thread::spawn(move || write_all(stdin, &input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

/// Starts the program with these arguments and no input, to be killed.
pub(crate) fn start(arguments: &[&str], home: &Path, env: &BTreeMap<String, String>) -> Child {
    command(home, env)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The same, and what it says is read.
pub(crate) fn start_told(arguments: &[&str], home: &Path, env: &BTreeMap<String, String>) -> Child {
    command(home, env)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// A program that does not read its input is no error here.
fn write_all(mut stdin: ChildStdin, input: &[u8]) {
    stdin.write_all(input).ok();
}

impl Daemon {
    pub(crate) fn spawn(config: &Path, home: &Path, env: &BTreeMap<String, String>) -> Self {
        Self::spawn_reading(config, home, env, Stdio::null())
    }

    /// The same with this standard input.
    pub(crate) fn spawn_reading(
        config: &Path,
        home: &Path,
        env: &BTreeMap<String, String>,
        stdin: Stdio,
    ) -> Self {
        let mut command = command(home, env);
        let mut child = command.args(["run", "-c"]).arg(config).stdin(stdin).spawn().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let stderr = child.stderr.take().unwrap();
        let reader = thread::spawn({
            let log = Arc::clone(&log);
            move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    log.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                }
            }
        });
        let stdout = child.stdout.take().unwrap();
        thread::spawn(move || BufReader::new(stdout).read_to_end(&mut Vec::new()));
        let pid = child.id();
        let mut daemon =
            Self { child: Mutex::new(child), pid, log, reader: Some(reader), admin: String::new() };
        daemon.admin = daemon.listening("admin endpoint listening");
        daemon
    }

    /// The address that a log line with this message tells.
    pub(crate) fn listening(&self, message: &str) -> String {
        until(message, || {
            self.must_run();
            self.log().iter().find_map(|line| address(line, message))
        })
    }

    /// Where the `firehose_http` source listens.
    pub(crate) fn endpoint(&self) -> String {
        self.listening("firehose endpoint listening")
    }

    /// Where the admin endpoints are.
    pub(crate) fn admin(&self) -> &str {
        &self.admin
    }

    /// Waits until /readyz answers 200.
    pub(crate) fn ready(&self) {
        self.until_readyz(200);
    }

    /// Waits until /readyz answers so, and returns the answer.
    pub(crate) fn until_readyz(&self, status: u16) -> Reply {
        until(&format!("/readyz says {status}"), || {
            self.must_run();
            self.get("/readyz").filter(|reply| reply.status == status)
        })
    }

    pub(crate) fn get(&self, path: &str) -> Option<Reply> {
        get(&self.admin, path).ok()
    }

    /// Scrapes /metrics. Every scrape balances, whatever is in flight.
    pub(crate) fn scrape(&self) -> Scrape {
        let scrape = until("/metrics answers", || {
            self.must_run();
            self.get("/metrics").filter(|reply| reply.status == 200).map(|reply| Scrape::parse(reply.text()))
        });
        assert_eq!(scrape.leak(), None, "{}", scrape.text);
        scrape
    }

    /// Waits until nothing is in flight, and returns what the metrics say then.
    pub(crate) fn conserved(&self) -> Scrape {
        until("nothing is in flight", || {
            let scrape = self.scrape();
            (scrape.count("sink_in_flight_events", &[]) == 0).then_some(scrape)
        })
    }

    /// Resident memory in bytes: now (`VmRSS`) or at most so far (`VmHWM`).
    pub(crate) fn memory(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_ascii_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    /// Lets the process have so many descriptors, and never more.
    pub(crate) fn limit_descriptors(&self, most: u64) {
        let pid = Pid::from_raw(self.pid.try_into().unwrap());
        prlimit(pid, Resource::Nofile, Rlimit { current: Some(most), maximum: Some(most) }).unwrap();
    }

    /// The soft and the hard limit of its descriptors.
    pub(crate) fn descriptor_limits(&self) -> (String, String) {
        let limits = fs::read_to_string(format!("/proc/{}/limits", self.pid)).unwrap();
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
        let mut limits = line.split_ascii_whitespace().map(str::to_owned);
        (limits.next().unwrap(), limits.next().unwrap())
    }

    /// Whether the process has this file open, under whatever name it was opened.
    pub(crate) fn has_open(&self, path: &Path) -> bool {
        let Ok(links) = fs::read_dir(format!("/proc/{}/fd", self.pid)) else { return false };
        links.filter_map(Result::ok).any(|link| fs::read_link(link.path()).is_ok_and(|open| open == path))
    }

    /// Everything logged so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn log_text(&self) -> String {
        self.log().join("\n")
    }

    /// The lines logged at WARN or ERROR.
    pub(crate) fn issues(&self) -> Vec<String> {
        let bad = |line: &String| line.contains("\"WARN\"") || line.contains("\"ERROR\"");
        self.log().into_iter().filter(bad).collect()
    }

    /// Fails the test when the process has ended by itself.
    #[track_caller]
    pub(crate) fn must_run(&self) {
        let ended = self.child.lock().unwrap_or_else(PoisonError::into_inner).try_wait().unwrap();
        assert!(ended.is_none(), "the daemon ended by itself ({ended:?}):\n{}", self.log_text());
    }

    /// Sends a signal such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let done = Command::new("sh").arg("-c").arg(format!("kill -{name} {}", self.pid)).status().unwrap();
        assert!(done.success(), "signal {name}");
    }

    /// How often everything was started: once, and once for each reload that was done.
    pub(crate) fn starts(&self) -> usize {
        self.log().iter().filter(|line| line.contains("\"message\":\"running\"")).count()
    }

    /// SIGHUP, and waits until the new configuration runs.
    pub(crate) fn reload(&self) {
        // It is ready before it says so in its log.
        let before = until("the configuration runs", || Some(self.starts()).filter(|starts| *starts > 0));
        self.signal("HUP");
        until("the new configuration runs", || {
            self.must_run();
            (self.starts() > before).then_some(())
        });
    }

    /// SIGTERM, and the end.
    pub(crate) fn stop(self) -> Exit {
        self.signal("TERM");
        self.wait()
    }

    /// SIGKILL, and the end.
    pub(crate) fn kill(self) {
        self.signal("KILL");
        self.wait();
    }

    /// Waits for the end.
    pub(crate) fn wait(mut self) -> Exit {
        let status = until("the daemon ends", || {
            self.child.lock().unwrap_or_else(PoisonError::into_inner).try_wait().unwrap()
        });
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        Exit { code: status.code(), log: self.log() }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner);
        // It may have ended already.
        child.kill().ok();
        child.wait().ok();
    }
}

/// The field `address` of a JSON log line with this message, wherever the formatter puts fields.
fn address(line: &str, message: &str) -> Option<String> {
    let json: serde_json::Value = serde_json::from_str(line).ok()?;
    let fields = json.get("fields").unwrap_or(&json);
    let says = fields.get("message")?.as_str()? == message;
    says.then(|| fields.get("address")?.as_str().map(str::to_owned)).flatten()
}
