//! The stand-in for AWS as a process of its own, and what is asked of it over its control endpoint.

#![allow(dead_code, reason = "faults and lines are shared with the stand-in, which uses more of them")]

#[path = "../standin/faults.rs"]
mod faults;
#[path = "../standin/fleet_words.rs"]
mod fleet_words;
#[path = "../standin/lines.rs"]
mod lines;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::world::Connection;

pub(crate) use faults::{Faults, Refusal};
pub(crate) use fleet_words::{
    FleetView, LeaseTake, NewRecords, PlacedRecord, Reshard, StreamTrouble, TableTrouble, rank,
};
pub(crate) use lines::{Found, Lines, find};

/// A running stand-in; it ends when its standard input is closed, with this process at the latest.
pub(crate) struct Standin {
    child: Child,
    _input: ChildStdin,
    url: String,
    /// The key that it knows, as variables of the environment.
    pub(crate) key: Vec<(String, String)>,
    /// The lock covers one exchange.
    control: Mutex<Connection>,
}

/// The bucket whose objects a queue announces.
const ANNOUNCED_BUCKET: &str = "announced";
/// The bucket that is listed.
const LISTED_BUCKET: &str = "listed";

/// An object that is to be put.
pub(crate) struct NewObject<'a> {
    pub(crate) key: &'a str,
    pub(crate) is_announced: bool,
    pub(crate) is_gzipped: bool,
    /// So many gets of it go wrong.
    pub(crate) bad_gets: u32,
}

/// What is asked of `/_standin/report`.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Report {
    streams: BTreeMap<String, Total>,
    pub(crate) limit_violations: u64,
    pub(crate) violations: Vec<String>,
    pub(crate) unanswered: u64,
    pub(crate) calls: u64,
    pub(crate) refused_records: u64,
    pub(crate) errors: BTreeMap<String, u64>,
}

/// What a stream holds, or all of them together.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Total {
    pub(crate) seen: u64,
    pub(crate) duplicates: u64,
    pub(crate) damaged: u64,
    pub(crate) other: u64,
    pub(crate) payload_bytes: u64,
    /// Of the duplicates, those of each run.
    pub(crate) doubled: BTreeMap<u32, u64>,
}

impl Report {
    /// How many lines of each run are doubled, by stream.
    pub(crate) fn doubled(&self) -> Vec<(&String, &BTreeMap<u32, u64>)> {
        self.streams.iter().map(|(name, stream)| (name, &stream.doubled)).collect()
    }

    /// What the streams hold together: a line that is in both counts twice, and is no duplicate.
    pub(crate) fn total(&self) -> Total {
        let add = |sum: Total, stream: &Total| Total {
            seen: sum.seen + stream.seen,
            duplicates: sum.duplicates + stream.duplicates,
            damaged: sum.damaged + stream.damaged,
            other: sum.other + stream.other,
            payload_bytes: sum.payload_bytes + stream.payload_bytes,
            doubled: BTreeMap::new(),
        };
        self.streams.values().fold(Total::default(), add)
    }
}

impl Standin {
    /// Starts the stand-in that stands beside the binary, with these streams.
    pub(crate) fn start(binary: &Path, ca: &Path, streams: &[&str], seed: u64) -> Self {
        let path = beside(binary);
        assert!(path.exists(), "{} is missing: run cargo build --example standin", path.display());
        let mut command = Command::new(path);
        command.args(["--tls", "--seed", &seed.to_string(), "--ca-out"]).arg(ca);
        for stream in streams {
            command.args(["--stream", stream]);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let mut told = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = told.next().unwrap().unwrap();
        let keys = told.next().unwrap().unwrap();
        let pair = |pair: &str| pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        let key = keys.split(' ').filter_map(pair).collect();
        let control = Mutex::new(Connection::to(url.trim_start_matches("https://")));
        Self { child, _input: input, url, key, control }
    }

    /// Its address as an endpoint.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn report(&self) -> Report {
        serde_json::from_slice(&self.ask("report", "")).unwrap()
    }

    /// Sets the faults of one stream.
    pub(crate) fn faults(&self, stream: &str, faults: &Faults) {
        self.ask("faults", &json!({ "stream": stream, "faults": faults }).to_string());
    }

    /// Lines of a run become events of a log group, of this age in milliseconds.
    pub(crate) fn log(&self, group: &str, run: u32, lines: Range<u64>, age: i64) {
        let log = json!({ "group": group, "run": run, "lines": lines, "age": age });
        self.ask("log", &log.to_string());
    }

    /// Lines of a run become an object, of which so many gets go wrong; the queue tells of it, or it is only there to be listed.
    pub(crate) fn put_object(&self, object: &NewObject<'_>, run: u32, lines: Range<u64>) {
        let NewObject { key, is_announced, is_gzipped, bad_gets } = *object;
        let object = json!({
            "bucket": if is_announced { ANNOUNCED_BUCKET } else { LISTED_BUCKET },
            "key": key,
            "run": run,
            "lines": lines,
            "gzip": is_gzipped,
            "announce": is_announced,
            "bad_gets": bad_gets,
        });
        self.ask("object", &object.to_string());
    }

    /// Lines of announced objects whose messages were received and are not deleted.
    pub(crate) fn unsettled(&self) -> u64 {
        serde_json::from_slice(&self.ask("unsettled", "")).unwrap()
    }

    /// Which numbers of a run a stream accepted.
    pub(crate) fn numbers(&self, stream: &str, run: u32) -> Numbers {
        let bytes = self.ask("numbers", &json!({ "stream": stream, "run": run }).to_string());
        let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
        Numbers(bytes.chunks_exact(8).map(word).collect())
    }

    /// What the part of it answers that is about the stream and its lease table.
    pub(crate) fn fleet<O: DeserializeOwned>(&self, what: &str, body: &impl Serialize) -> O {
        let body = serde_json::to_string(body).unwrap();
        serde_json::from_slice(&self.ask(&format!("fleet/{what}"), &body)).unwrap()
    }

    fn ask(&self, what: &str, body: &str) -> Vec<u8> {
        let mut control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        let path = format!("/_standin/{what}");
        // A connection that was kept may have been closed meanwhile.
        let again = control.send("POST", &path, &[], body.as_bytes());
        let reply = again.or_else(|_| control.send("POST", &path, &[], body.as_bytes())).unwrap();
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        reply.body
    }
}

impl Drop for Standin {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// `examples/standin` of the folder that the binary is in.
fn beside(binary: &Path) -> PathBuf {
    binary.parent().unwrap_or(Path::new(".")).join("examples").join("standin")
}

/// A set of numbers, one bit each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbers(Vec<u64>);

impl Numbers {
    pub(crate) fn has(&self, number: u64) -> bool {
        let word = usize::try_from(number / 64).ok().and_then(|word| self.0.get(word));
        word.is_some_and(|word| word & 1 << (number % 64) != 0)
    }

    pub(crate) fn add(&mut self, number: u64) {
        let word = usize::try_from(number / 64).unwrap();
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (number % 64);
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// The first number that is not in the set.
    pub(crate) fn first_gap(&self) -> u64 {
        let full = self.0.iter().take_while(|word| **word == u64::MAX).count();
        let rest = self.0.get(full).map_or(0, |word| word.trailing_ones());
        full as u64 * 64 + u64::from(rest)
    }
}
