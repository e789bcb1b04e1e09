//! Events of a page as subscription envelopes, the form in which `CloudWatch` Logs would have sent them: one for each log stream.
//!
//! Of each event that is new, the bytes are copied once, still escaped, from the page; what was seen before is not touched.

use std::collections::HashMap;
use std::io::Write as _;

use serde_json::Value;

use super::page::PageEvent;

/// Where the events of a log group come from, as it is written in each of their envelopes.
#[derive(Clone, Debug)]
pub(super) struct GroupEnvelope {
    before_stream: Box<[u8]>,
}

const BEFORE_EVENTS: &[u8] = br#","subscriptionFilters":[],"logEvents":["#;
const AFTER_EVENTS: &[u8] = b"]}";
const BEFORE_ID: &[u8] = br#"{"id":"#;
const BEFORE_TIME: &[u8] = br#","timestamp":"#;
const BEFORE_MESSAGE: &[u8] = br#","message":"#;

/// Room for an event beside its id and message.
const AROUND: usize = BEFORE_ID.len() + BEFORE_TIME.len() + 20 + BEFORE_MESSAGE.len() + 2;

impl GroupEnvelope {
    pub(super) fn new(owner: &str, log_group: &str) -> Self {
        let (owner, log_group) = (Value::from(owner), Value::from(log_group));
        let text =
            format!(r#"{{"messageType":"DATA_MESSAGE","owner":{owner},"logGroup":{log_group},"logStream":"#);
        Self { before_stream: text.into_bytes().into() }
    }

    /// Writes the envelopes of these events, which stand in this page.
    pub(super) fn write(&self, page: &[u8], events: &[PageEvent]) -> Vec<u8> {
        let mut streams: HashMap<&[u8], Vec<&PageEvent>> = HashMap::new();
        let mut order: Vec<&[u8]> = Vec::new();
        for event in events {
            let stream = event.stream.of(page);
            let of_stream = streams.entry(stream).or_default();
            if of_stream.is_empty() {
                order.push(stream);
            }
            of_stream.push(event);
        }
        let mut out = Vec::with_capacity(self.bytes(page, events, order.iter().copied()));
        for stream in order {
            out.extend_from_slice(&self.before_stream);
            out.extend_from_slice(or_empty(stream));
            out.extend_from_slice(BEFORE_EVENTS);
            for event in streams.get(stream).into_iter().flatten() {
                write_event(&mut out, page, event);
            }
            // The comma after the last event.
            out.pop();
            out.extend_from_slice(AFTER_EVENTS);
        }
        out
    }

    /// So many bytes are written, or a few less.
    fn bytes<'a>(&self, page: &[u8], events: &[PageEvent], streams: impl Iterator<Item = &'a [u8]>) -> usize {
        let of = |event: &PageEvent| event.id.of(page).len() + event.message.of(page).len() + AROUND;
        let head = self.before_stream.len() + BEFORE_EVENTS.len() + AFTER_EVENTS.len();
        events.iter().map(of).sum::<usize>() + streams.map(|stream| stream.len().max(2) + head).sum::<usize>()
    }
}

fn write_event(out: &mut Vec<u8>, page: &[u8], event: &PageEvent) {
    out.extend_from_slice(BEFORE_ID);
    out.extend_from_slice(or_empty(event.id.of(page)));
    out.extend_from_slice(BEFORE_TIME);
    // Writing to memory does not fail.
    write!(out, "{}", event.timestamp).ok();
    out.extend_from_slice(BEFORE_MESSAGE);
    out.extend_from_slice(or_empty(event.message.of(page)));
    out.extend_from_slice(b"},");
}

fn or_empty(value: &[u8]) -> &[u8] {
    if value.is_empty() { b"\"\"" } else { value }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::page::LogPage;
    use super::*;

    #[test]
    fn each_stream_has_an_envelope_with_its_events_in_order() {
        let event = |id: &str, stream: &str, message: &str| json!({"eventId": id, "logStreamName": stream, "message": message, "timestamp": 7});
        let events = [event("1", "a\"b", "x\ny"), event("2", "c", ""), event("3", "a\"b", "\u{e9}")];
        let page = json!({"events": events}).to_string();
        let found = LogPage::scan(page.as_bytes()).unwrap();
        let written = GroupEnvelope::new("111111111111", "/g").write(page.as_bytes(), &found.events);
        let envelopes: Vec<Value> =
            serde_json::Deserializer::from_slice(&written).into_iter().map(Result::unwrap).collect();
        let of = |stream: &str, events: Value| {
            json!({
                "messageType": "DATA_MESSAGE", "owner": "111111111111", "logGroup": "/g", "logStream": stream,
                "subscriptionFilters": [], "logEvents": events,
            })
        };
        let first = json!([
            {"id": "1", "timestamp": 7, "message": "x\ny"},
            {"id": "3", "timestamp": 7, "message": "\u{e9}"},
        ]);
        assert_eq!(
            envelopes,
            [of("a\"b", first), of("c", json!([{"id": "2", "timestamp": 7, "message": ""}]))]
        );
        assert!(written.capacity() - written.len() < 200, "{}", written.capacity() - written.len());
    }

    #[test]
    fn what_an_event_lacks_is_empty() {
        let page = br#"{"events":[{"timestamp":-5}]}"#;
        let written = GroupEnvelope::new("1", "g").write(page, &LogPage::scan(page).unwrap().events);
        let text = String::from_utf8(written).unwrap();
        assert!(text.ends_with(r#""logStream":"","subscriptionFilters":[],"logEvents":[{"id":"","timestamp":-5,"message":""}]}"#), "{text}");
    }
}
