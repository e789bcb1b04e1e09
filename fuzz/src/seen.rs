//! Decodes, and writes down what is told.

use std::sync::Arc;

use bytes::Bytes;
use standpipe::batch::message_bytes;
use standpipe::config::{Decoding, Format, TooLong};
use standpipe::decode::{Decoder, Scratch};
use standpipe::event::{Charset, Event, Events, Message, Origin, Wants};

/// One thing told of a payload.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Told {
    Event {
        /// Milliseconds since 1970.
        timestamp: Option<i64>,
        /// Still escaped.
        id: Option<String>,
        message: String,
        /// Whether the message is a string's inside, not the bytes themselves.
        escaped: bool,
    },
    Undecodable(&'static str),
}

/// Everything told, in order.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) told: Vec<Told>,
}

pub(crate) fn decoding(format: Format) -> Decoding {
    Decoding {
        format,
        charset: Charset::UTF8,
        multiline: None,
        max_line: 1 << 20,
        too_long: TooLong::Split,
        max_inflated: 1 << 20,
    }
}

pub(crate) fn decode(format: Format, payload: &[u8]) -> Seen {
    decode_with(&decoding(format), payload)
}

pub(crate) fn decode_with(config: &Decoding, payload: &[u8]) -> Seen {
    let mut seen = Seen::default();
    decode_into(config, payload, &mut seen);
    seen
}

pub(crate) fn decode_into<E: Events>(config: &Decoding, payload: &[u8], events: &mut E) {
    let origin = Arc::new(Origin { source: "fuzz".into(), ..Origin::default() });
    let payload = Bytes::copy_from_slice(payload);
    Decoder::new(config).decode(&mut Scratch::default(), &origin, &payload, events);
}

impl Events for Seen {
    fn wants(&self) -> Wants {
        Wants { events: true, envelopes: false }
    }

    fn origin(&mut self, _: &Arc<Origin>) {}

    fn lines(&mut self, lines: &Bytes, count: u64) {
        assert!(lines.ends_with(b"\n"));
        assert_eq!(lines.split(|byte| *byte == b'\n').count() as u64, count + 1);
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            self.event(Event { message: Message::Raw(line), timestamp: None, id: None, part: None });
        }
    }

    fn event(&mut self, event: Event<'_>) {
        self.told.push(Told::Event {
            timestamp: event.timestamp.map(|timestamp| timestamp.0),
            id: event.id.map(str::to_owned),
            message: String::from_utf8_lossy(&message_bytes(event.message)).into_owned(),
            escaped: matches!(event.message, Message::Escaped(_)),
        });
    }

    fn envelope(&mut self, _: &Bytes) {}

    fn undecodable(&mut self, reason: &'static str, _: &[u8]) {
        self.told.push(Told::Undecodable(reason));
    }
}
