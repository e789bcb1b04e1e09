//! A receiver of decoded events that writes down what it is told.

use std::sync::Arc;

use bytes::Bytes;

use super::{Decoder, Scratch};
use crate::config::{Decoding, Format, TooLong};
use crate::event::{Event, Events, Message, Origin, Part, Wants};

pub(crate) fn config(format: Format) -> Decoding {
    Decoding { format, multiline: None, max_line: 1_000, too_long: TooLong::Split, max_inflated: 1 << 20 }
}

pub(crate) fn decode_with(config: &Decoding, payload: &[u8]) -> SeenEvents {
    let mut seen = SeenEvents::default();
    decode_into(config, payload, &mut seen);
    seen
}

pub(crate) fn decode_into(config: &Decoding, payload: &[u8], seen: &mut SeenEvents) {
    let origin = Arc::new(Origin { source: Arc::from("test"), ..Origin::default() });
    let payload = Bytes::copy_from_slice(payload);
    Decoder::new(config).decode(&mut Scratch::default(), &origin, &payload, seen);
}

/// Everything told, one text each: `timestamp id message`, `lines ..`, `envelope ..`, `undecodable reason ..`.
#[derive(Debug)]
pub(crate) struct SeenEvents {
    told: Vec<String>,
    pub(crate) wants: Wants,
    pub(crate) origins: Vec<Arc<Origin>>,
    pub(crate) envelopes: Vec<Bytes>,
    /// Those of single events, as they stood in the payload.
    pub(crate) messages: Vec<String>,
    /// Of each single event.
    pub(crate) parts: Vec<Option<Part>>,
    /// How many events had bad characters.
    pub(crate) repaired: u64,
}

impl Default for SeenEvents {
    fn default() -> Self {
        Self {
            told: Vec::new(),
            wants: Wants { events: true, envelopes: false },
            origins: Vec::new(),
            envelopes: Vec::new(),
            messages: Vec::new(),
            parts: Vec::new(),
            repaired: 0,
        }
    }
}

impl SeenEvents {
    pub(crate) fn told(&self) -> &[String] {
        &self.told
    }
}

impl Events for SeenEvents {
    fn wants(&self) -> Wants {
        self.wants
    }

    fn origin(&mut self, origin: &Arc<Origin>) {
        self.origins.push(Arc::clone(origin));
    }

    fn lines(&mut self, lines: &Bytes, count: u64) {
        assert_eq!(memchr::memchr_iter(b'\n', lines).count() as u64, count);
        assert!(lines.ends_with(b"\n") && !lines.windows(2).any(|pair| pair == b"\r\n"));
        self.told.extend(
            lines[..lines.len() - 1]
                .split(|byte| *byte == b'\n')
                .map(|line| String::from_utf8_lossy(line).into_owned()),
        );
    }

    fn event(&mut self, event: Event<'_>) {
        self.parts.push(event.part);
        let message = match event.message {
            Message::Raw(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Message::Escaped(inside) => inside.to_owned(),
        };
        let timestamp = event.timestamp.map(|timestamp| format!("{} ", timestamp.0)).unwrap_or_default();
        let id = event.id.map(|id| format!("{id} ")).unwrap_or_default();
        self.told.push(format!("{timestamp}{id}{message}"));
        self.messages.push(message);
    }

    fn envelope(&mut self, gzipped: &Bytes) {
        self.envelopes.push(gzipped.clone());
    }

    fn repaired(&mut self, events: u64) {
        self.repaired += events;
    }

    fn undecodable(&mut self, reason: &'static str, payload: &[u8]) {
        self.told.push(format!("undecodable {reason} {}", String::from_utf8_lossy(payload)));
    }
}
