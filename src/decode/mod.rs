//! Payload bytes to events.
//!
//! In:      a chunk's payload and its origin.
//! Out:     calls of [`Events`], in the payload's order; nothing is allocated per event.
//! Full:    does not occur: what is told is borrowed.
//! Failure: what cannot be decoded is told as undecodable; no byte is both that and part of an event.
//! Stop:    does not occur: a call decodes one payload.

mod cloudtrail;
mod container;
mod envelope;
mod gzip;
mod json;
mod lines;
mod long;
mod payload;
mod strings;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use regex::bytes::Regex;

use self::container::{Container, Runtime};
use self::long::Limit;
use crate::config::{Decoding, Format};
use crate::event::{Events, Framing, Origin, Piece};

/// Decodes payloads of one format. Shared by all workers.
#[derive(Clone, Debug)]
pub struct Decoder {
    kind: Kind,
    max_inflated: usize,
}

#[derive(Clone, Debug)]
enum Kind {
    Lines(Limit),
    JoinedLines(Limit, Regex),
    Container(Container),
    Envelope,
    Cloudtrail,
}

/// One worker's buffers, reused from payload to payload.
#[derive(Default)]
pub struct Scratch {
    buffers: payload::Buffers,
    spans: Vec<envelope::Span>,
    records: Vec<cloudtrail::Record>,
    last_origin: Option<envelope::LastOrigin>,
    joiner: container::Joiner,
    joined: Vec<u8>,
    long: Vec<u8>,
}

impl std::fmt::Debug for Scratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scratch").finish_non_exhaustive()
    }
}

/// So many spans are kept from one payload to the next.
const KEEP_SPANS: usize = 64 << 10;

/// So much of a joined or cut message is kept.
const KEEP_BYTES: usize = 2 << 20;

impl Scratch {
    /// Gives back what an unusually large payload needed.
    fn shrink(&mut self) {
        self.buffers.shrink();
        for buffer in [&mut self.joined, &mut self.long] {
            buffer.clear();
            buffer.shrink_to(KEEP_BYTES);
        }
        self.spans.clear();
        self.spans.shrink_to(KEEP_SPANS);
        self.records.clear();
        self.records.shrink_to(KEEP_SPANS);
    }
}

impl Decoder {
    /// A decoder of the configured format.
    #[must_use]
    pub fn new(config: &Decoding) -> Self {
        let limit = Limit::new(config);
        let kind = match (config.format, &config.multiline) {
            (Format::Lines, None) => Kind::Lines(limit),
            (Format::Lines, Some(multiline)) => Kind::JoinedLines(limit, multiline.start.clone()),
            (Format::Docker, _) => Kind::Container(container(config, Runtime::Docker)),
            (Format::Cri, _) => Kind::Container(container(config, Runtime::Cri)),
            (Format::Envelope, _) => Kind::Envelope,
            (Format::Cloudtrail, _) => Kind::Cloudtrail,
        };
        Self { kind, max_inflated: config.max_inflated }
    }

    /// Tells `events` what is in a payload that came from `origin`.
    pub fn decode<E: Events>(
        &self,
        scratch: &mut Scratch,
        origin: &Arc<Origin>,
        payload: &Bytes,
        events: &mut E,
    ) {
        self.decode_piece(scratch, origin, (payload, Piece::default()), events);
    }

    /// The same of a payload that may begin or end within an event.
    pub fn decode_piece<E: Events>(
        &self,
        scratch: &mut Scratch,
        origin: &Arc<Origin>,
        (payload, piece): (&Bytes, Piece),
        events: &mut E,
    ) {
        match &self.kind {
            Kind::Envelope => envelope::decode(self.max_inflated, scratch, origin, payload, events),
            Kind::Cloudtrail => cloudtrail::decode(self.max_inflated, scratch, origin, payload, events),
            Kind::Lines(_) | Kind::JoinedLines(..) | Kind::Container(_) => {
                events.origin(origin);
                self.decode_lines(scratch, (payload, piece), events);
            }
        }
        scratch.shrink();
    }

    fn decode_lines<E: Events>(
        &self,
        scratch: &mut Scratch,
        (payload, piece): (&Bytes, Piece),
        events: &mut E,
    ) {
        let payload = match payload::lines(payload, self.max_inflated, &mut scratch.buffers) {
            Ok(plain) => plain,
            Err(reason) => return events.undecodable(reason, payload),
        };
        match &self.kind {
            Kind::Lines(limit) => lines::decode(*limit, scratch, (&payload, piece), events),
            Kind::JoinedLines(limit, start) => {
                lines::decode_joined(*limit, start, scratch, (&payload, piece), events);
            }
            Kind::Container(container) => container.decode(scratch, &payload, events),
            Kind::Envelope | Kind::Cloudtrail => {}
        }
    }
}

/// Takes gzip and base64 off a payload, whichever there are.
///
/// # Errors
/// The reason as a metric's label, as in [`Events::undecodable`].
pub fn unpack(payload: &Bytes, max_inflated: usize) -> Result<String, &'static str> {
    let bare = payload::armoured(payload)?;
    payload::open(&bare, max_inflated, &mut payload::Buffers::default()).map(|opened| opened.text.to_owned())
}

/// How a source cuts what it reads in the configured format.
#[must_use]
pub fn framing(config: &Decoding) -> Arc<dyn Framing> {
    let limit = Limit::new(config);
    match (config.format, &config.multiline) {
        (Format::Lines, None) => Arc::new(lines::Lines(limit)),
        (Format::Lines, Some(multiline)) => Arc::new(lines::JoinedLines::new(limit, multiline)),
        (Format::Docker, _) => Arc::new(container(config, Runtime::Docker)),
        (Format::Cri, _) => Arc::new(container(config, Runtime::Cri)),
        (Format::Envelope | Format::Cloudtrail, _) => Arc::new(Object),
    }
}

fn container(config: &Decoding, runtime: Runtime) -> Container {
    Container { runtime, limit: Limit::new(config), multiline: config.multiline.clone() }
}

/// Payloads that must be read whole: they may be compressed, or be one JSON value over many lines.
#[derive(Clone, Copy, Debug)]
struct Object;

impl Framing for Object {
    fn whole(&self, bytes: &[u8], end: bool) -> usize {
        if end { bytes.len() } else { 0 }
    }

    fn is_object(&self) -> bool {
        true
    }
}
