//! A receiver of decoded events that writes down what it is told.

use std::sync::Arc;

use bytes::Bytes;

use super::{Decoder, Scratch};
use crate::config::{Decoding, Format, TooLong};
use crate::event::{Charset, Event, Events, Message, Origin, Part, Wants};

pub(crate) fn config(format: Format) -> Decoding {
    Decoding {
        format,
        charset: Charset::UTF8,
        multiline: None,
        max_line: 1_000,
        too_long: TooLong::Split,
        max_inflated: 1 << 20,
    }
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
    /// Where it was said that what follows begins.
    pub(crate) places: Vec<u64>,
    /// How many events had bad characters.
    pub(crate) repaired: u64,
    /// How many bytes a step has room for; none: lines stay where they are, and all have room.
    pub(crate) room: Option<usize>,
    written: usize,
    /// How many bytes may be taken for payloads.
    pub(crate) may_take: usize,
    /// Whether what is refused is wanted as it was opened.
    pub(crate) opens_refused: bool,
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
            places: Vec::new(),
            opens_refused: false,
            repaired: 0,
            room: None,
            written: 0,
            may_take: usize::MAX,
        }
    }
}

impl SeenEvents {
    pub(crate) fn told(&self) -> &[String] {
        &self.told
    }

    /// A receiver with so much room in each step, and so many bytes for payloads.
    pub(crate) fn with_room(room: Option<usize>, may_take: usize) -> Self {
        Self { room, may_take, ..Self::default() }
    }

    pub(crate) fn begin_step(&mut self) {
        self.written = 0;
    }

    fn note(&mut self, bytes: usize) {
        self.written += bytes + 1;
    }
}

impl Events for SeenEvents {
    fn wants(&self) -> Wants {
        self.wants
    }

    fn keeps_lines(&self) -> bool {
        self.room.is_none()
    }

    fn fits(&self, bytes: usize, events: u64) -> bool {
        let room = self.room.unwrap_or(usize::MAX);
        let more = bytes.saturating_add(usize::try_from(events).unwrap());
        self.written == 0 && events <= 1 || self.written.saturating_add(more) <= room
    }

    fn may_take(&mut self, bytes: usize) -> bool {
        let left = self.may_take.checked_sub(bytes);
        self.may_take = left.unwrap_or(self.may_take);
        left.is_some()
    }

    fn opens_refused(&self) -> bool {
        self.opens_refused
    }

    fn wants_places(&self) -> bool {
        true
    }

    fn at(&mut self, offset: u64) {
        self.places.push(offset);
    }

    fn origin(&mut self, origin: &Arc<Origin>) {
        self.origins.push(Arc::clone(origin));
    }

    fn lines(&mut self, lines: &Bytes, count: u64) {
        assert_eq!(memchr::memchr_iter(b'\n', lines).count() as u64, count);
        self.note(lines.len());
        assert!(lines.ends_with(b"\n") && !lines.windows(2).any(|pair| pair == b"\r\n"));
        self.told.extend(
            lines[..lines.len() - 1]
                .split(|byte| *byte == b'\n')
                .map(|line| String::from_utf8_lossy(line).into_owned()),
        );
    }

    fn event(&mut self, event: Event<'_>) {
        self.note(crate::batch::message_bytes(event.message).len());
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
        self.note(payload.len());
        self.told.push(format!("undecodable {reason} {}", String::from_utf8_lossy(payload)));
    }
}
