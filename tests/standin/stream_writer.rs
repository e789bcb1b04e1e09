//! Puts numbered lines to the Kinesis stream, as envelopes of `CloudWatch` Logs: at once, or so many lines a second with the time of each,
//! so that its delay can be told.

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::lines::Lines;
use super::state::State;

/// What to put: the lines of run 1, from 0 on.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StreamWriting {
    /// The stream has so many shards at least; they get envelopes in turn.
    shards: usize,
    lines: u64,
    /// Events an envelope.
    events: u64,
    /// Lines a second over all shards; otherwise as fast as can be.
    #[serde(default)]
    per_second: Option<u32>,
}

/// Bytes of what was put.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct StreamWritten {
    /// Lines, each with its newline.
    lines: usize,
    /// The envelopes.
    inflated: usize,
    gzipped: usize,
}

impl StreamWriting {
    /// Puts in a thread of its own when it takes its time, and tells nothing then; else before it returns.
    pub(crate) fn start(self, state: &Arc<State>) -> StreamWritten {
        state.oracle().expect(1, self.lines);
        {
            let mut kinesis = state.kinesis();
            let missing = self.shards.saturating_sub(kinesis.open_shards().len());
            kinesis.open(missing);
        }
        let Some(rate) = self.per_second else {
            let mut written = StreamWritten::default();
            for numbers in self.envelopes() {
                put(state, numbers, &mut written);
            }
            return written;
        };
        let state = Arc::clone(state);
        thread::spawn(move || self.put_slowly(rate, &state));
        StreamWritten::default()
    }

    fn put_slowly(&self, rate: u32, state: &State) {
        let begun = Instant::now();
        for numbers in self.envelopes() {
            let due = Duration::from_secs(numbers.start) / rate;
            #[expect(clippy::disallowed_methods, reason = "a pace is what was asked for")]
            thread::sleep(due.saturating_sub(begun.elapsed()));
            state.oracle().written(numbers.clone(), Instant::now());
            put(state, numbers, &mut StreamWritten::default());
        }
    }

    fn envelopes(&self) -> impl Iterator<Item = Range<u64>> + use<> {
        let Self { lines, events, .. } = *self;
        (0..lines.div_ceil(events)).map(move |turn| turn * events..lines.min((turn + 1) * events))
    }
}

/// One envelope of these lines.
fn put(state: &State, numbers: Range<u64>, written: &mut StreamWritten) {
    let first = numbers.start;
    let lines = |number| String::from_utf8(Lines::of_run(1).line(number)).unwrap();
    let messages: Vec<String> = numbers.map(lines).collect();
    let event = |(index, message): (usize, &String)| {
        let message = Value::from(&**message);
        format!(r#"{{"id":"{:056}","timestamp":1795311516505,"message":{message}}}"#, first + index as u64)
    };
    let events: Vec<String> = messages.iter().enumerate().map(event).collect();
    // In the order that the service writes.
    let envelope = format!(
        r#"{{"messageType":"DATA_MESSAGE","owner":"111111111111","logGroup":"/aws/bench","logStream":"one","subscriptionFilters":["all"],"logEvents":[{}]}}"#,
        events.join(",")
    );
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(envelope.as_bytes()).unwrap();
    let gzipped = gzip.finish().unwrap();
    written.lines += messages.iter().map(|message| message.len() + 1).sum::<usize>();
    written.inflated += envelope.len();
    written.gzipped += gzipped.len();
    state.kinesis().put_in_turn(&gzipped);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::standin::settings::Settings;

    #[test]
    fn envelopes_go_to_the_shards_in_turn() {
        let state = Arc::new(State::new(&Settings::default(), String::new()));
        let writing =
            serde_json::from_str::<StreamWriting>(r#"{"shards":2,"lines":25,"events":10}"#).unwrap();
        let written = writing.start(&state);
        assert!(written.lines > 25 * 200 && written.inflated > written.lines && written.gzipped > 0);
        assert_eq!(state.kinesis().records_by_shard(), [2, 1]);
    }
}
