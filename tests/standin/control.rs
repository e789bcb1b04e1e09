//! The control endpoint, for when the stand-in is a process of its own.

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::faults::Faults;
use super::fleet_control;
use super::lines::Lines;
use super::logs::ACCOUNT as LOGS_ACCOUNT;
use super::oracle::Oracle;
use super::settings::{Key, Role, Stream};
use super::state::State;
use super::stream_writer::StreamWriting;
use super::writer::Writing;

/// Where the control endpoint begins.
pub(crate) const PREFIX: &str = "/_standin/";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetFaults {
    #[serde(default)]
    stream: Option<String>,
    faults: Faults,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    run: u32,
    lines: u64,
}

/// Lines of a run that become events of a log group, of this age in milliseconds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PutLog {
    group: String,
    run: u32,
    lines: Range<u64>,
    age: i64,
}

/// Lines of a run that become an object.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PutObject {
    bucket: String,
    key: String,
    run: u32,
    lines: Range<u64>,
    gzip: bool,
    /// Whether the queue tells of it.
    announce: bool,
    /// So many gets of it go wrong.
    bad_gets: u32,
}

impl PutObject {
    fn carry_out(self, state: &State) {
        let count = self.lines.end - self.lines.start;
        let mut body = Lines::of_run(self.run).text(self.lines);
        if self.gzip {
            let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
            gzip.write_all(&body).unwrap();
            body = gzip.finish().unwrap();
        }
        let etag = state.objects().put(&self.bucket, &self.key, body, self.bad_gets);
        if self.announce {
            state.queue().announce(&self.bucket, &self.key, &etag, count);
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Numbers {
    stream: String,
    run: u32,
}

/// Answers a request below [`PREFIX`].
pub(crate) fn answer(state: &Arc<State>, path: &str, body: &[u8]) -> Response<Bytes> {
    let what = path.strip_prefix(PREFIX).unwrap_or_default();
    if let Some(what) = what.strip_prefix(fleet_control::PREFIX) {
        let told = fleet_control::answer(state, what, body);
        return told.map_or_else(bad, |told| reply(StatusCode::OK, told));
    }
    let done = match what {
        "report" => return reply(StatusCode::OK, serde_json::to_vec(&state.oracle().report()).unwrap()),
        "ca" => return reply(StatusCode::OK, state.ca.clone().into_bytes()),
        "unsettled" => {
            return reply(StatusCode::OK, state.queue().unsettled().to_string().into_bytes());
        }
        "owners" => {
            return reply(StatusCode::OK, serde_json::to_vec(&state.dynamodb().owners()).unwrap());
        }
        "records" => {
            return read(body).map_or_else(bad, |writing: StreamWriting| {
                reply(StatusCode::OK, serde_json::to_vec(&writing.start(state)).unwrap())
            });
        }
        "numbers" => {
            return read(body).map_or_else(bad, |of: Numbers| {
                let words = state.oracle().numbers(&of.stream, of.run);
                reply(StatusCode::OK, words.into_iter().flat_map(u64::to_le_bytes).collect())
            });
        }
        "faults" => read(body)
            .map(|set: SetFaults| state.change_faults(set.stream.as_deref(), |faults| *faults = set.faults)),
        "role" => read(body).map(|role: Role| state.set_role(role)),
        "key" => read(body).map(|key: Key| state.add_key(&key)),
        "stream" => read(body).map(|stream: Stream| state.add_stream(&stream)),
        "expect" => read(body).map(|expect: Expect| state.oracle().expect(expect.run, expect.lines)),
        "log" => read(body).map(|log: PutLog| {
            let text = Lines::of_run(log.run).text(log.lines);
            state.logs().put(LOGS_ACCOUNT, &log.group, &text, log.age);
        }),
        "object" => read(body).map(|object: PutObject| object.carry_out(state)),
        "write" => match read::<Writing>(body).map(|writing| writing.start(state)) {
            Ok(Err(error)) => {
                return reply(StatusCode::INTERNAL_SERVER_ERROR, error.to_string().into_bytes());
            }
            Ok(Ok(())) => Ok(()),
            Err(error) => Err(error),
        },
        "reset" => {
            *state.oracle() = Oracle::default();
            Ok(())
        }
        _ => {
            return reply(
                StatusCode::NOT_FOUND,
                b"report fleet/ unsettled owners records numbers ca faults role key stream expect log object write reset".to_vec(),
            );
        }
    };
    match done {
        Ok(()) => reply(StatusCode::OK, b"{}".to_vec()),
        Err(error) => bad(error),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the end of an error")]
fn bad(error: serde_json::Error) -> Response<Bytes> {
    reply(StatusCode::BAD_REQUEST, error.to_string().into_bytes())
}

fn read<T: DeserializeOwned>(body: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice(body)
}

fn reply(status: StatusCode, body: Vec<u8>) -> Response<Bytes> {
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(Bytes::from(body))
        .unwrap()
}
