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
mod escapes;
mod gzip;
mod json;
mod lines;
mod log_events;
mod long;
mod payload;
mod repair;
mod strings;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use regex::bytes::Regex;

use self::cloudtrail::TrailScratch;
use self::container::{Container, ContainerRuntime, Joiner};
use self::envelope::EnvelopeScratch;
use self::lines::LineScratch;
use self::long::LengthLimit;
use self::payload::InflateBuffers;
use crate::config::{Decoding, Format};
use crate::event::{Events, Framing, Origin, Piece};

/// Decodes payloads of one format. Shared by all workers.
#[derive(Clone, Debug)]
pub struct Decoder {
    kind: DecoderKind,
    max_inflated: usize,
}

#[derive(Clone, Debug)]
enum DecoderKind {
    Lines(LengthLimit),
    JoinedLines(LengthLimit, Regex),
    Container(Container),
    Envelope,
    Cloudtrail,
}

/// One worker's buffers, reused from payload to payload.
#[derive(Default)]
pub struct Scratch {
    buffers: InflateBuffers,
    envelope: EnvelopeScratch,
    cloudtrail: TrailScratch,
    lines: LineScratch,
    joiner: Joiner,
}

impl std::fmt::Debug for Scratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scratch").finish_non_exhaustive()
    }
}

impl Scratch {
    /// Gives back what an unusually large payload needed.
    fn shrink(&mut self) {
        self.buffers.shrink();
        self.envelope.shrink();
        self.cloudtrail.shrink();
        self.lines.shrink();
    }
}

impl Decoder {
    /// A decoder of the configured format.
    #[must_use]
    pub fn new(config: &Decoding) -> Self {
        let limit = LengthLimit::new(config);
        let kind = match (config.format, &config.multiline) {
            (Format::Lines, None) => DecoderKind::Lines(limit),
            (Format::Lines, Some(multiline)) => DecoderKind::JoinedLines(limit, multiline.start.clone()),
            (Format::Docker, _) => DecoderKind::Container(container(config, ContainerRuntime::Docker)),
            (Format::Cri, _) => DecoderKind::Container(container(config, ContainerRuntime::Cri)),
            (Format::Envelope, _) => DecoderKind::Envelope,
            (Format::Cloudtrail, _) => DecoderKind::Cloudtrail,
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
        self.decode_piece(scratch, origin, payload, Piece::default(), events);
    }

    /// The same of a payload that may begin or end within an event.
    pub fn decode_piece<E: Events>(
        &self,
        scratch: &mut Scratch,
        origin: &Arc<Origin>,
        payload: &Bytes,
        piece: Piece,
        events: &mut E,
    ) {
        let max = self.max_inflated;
        match &self.kind {
            DecoderKind::Envelope => {
                envelope::decode(max, &mut scratch.buffers, &mut scratch.envelope, origin, payload, events);
            }
            DecoderKind::Cloudtrail => {
                cloudtrail::decode(
                    max,
                    &mut scratch.buffers,
                    &mut scratch.cloudtrail,
                    origin,
                    payload,
                    events,
                );
            }
            DecoderKind::Lines(_) | DecoderKind::JoinedLines(..) | DecoderKind::Container(_) => {
                self.decode_lines(scratch, origin, payload, piece, events);
            }
        }
        scratch.shrink();
    }

    fn decode_lines<E: Events>(
        &self,
        scratch: &mut Scratch,
        origin: &Arc<Origin>,
        payload: &Bytes,
        piece: Piece,
        events: &mut E,
    ) {
        let plain = payload::lines(payload, self.max_inflated, &mut scratch.buffers);
        // A container's events come from one of its streams.
        if plain.is_err() || !matches!(self.kind, DecoderKind::Container(_)) {
            events.origin(origin);
        }
        let payload = match plain {
            Ok(plain) => plain,
            Err(reason) => return events.undecodable(reason, payload),
        };
        match &self.kind {
            DecoderKind::Lines(limit) => lines::decode(*limit, &mut scratch.lines, &payload, piece, events),
            DecoderKind::JoinedLines(limit, start) => {
                lines::decode_joined(*limit, start, &mut scratch.lines, &payload, piece, events);
            }
            DecoderKind::Container(container) => {
                container.decode(&mut scratch.joiner, &mut scratch.lines.long, origin, &payload, events);
            }
            DecoderKind::Envelope | DecoderKind::Cloudtrail => {}
        }
    }
}

/// Takes gzip and base64 off a payload, whichever there are, and replaces bad characters in strings of JSON.
///
/// # Errors
/// The reason as a metric's label, as in [`Events::undecodable`].
pub fn unpack(payload: &Bytes, max_inflated: usize) -> Result<String, &'static str> {
    let bare = payload::armoured(payload)?;
    let mut buffers = InflateBuffers::default();
    let opened = payload::open(&bare, max_inflated, &mut buffers)?;
    let text = opened.text();
    match repair::repair(opened.bytes) {
        Some(repaired) if text.is_ok() || repaired.starts_with('{') => Ok(repaired),
        Some(_) | None => text.map(str::to_owned),
    }
}

/// How a source cuts what it reads in the configured format.
#[must_use]
pub fn framing(config: &Decoding) -> Arc<dyn Framing> {
    let limit = LengthLimit::new(config);
    match (config.format, &config.multiline) {
        (Format::Lines, None) => Arc::new(lines::LineFraming(limit)),
        (Format::Lines, Some(multiline)) => Arc::new(lines::JoinedLineFraming::new(limit, multiline)),
        (Format::Docker, _) => Arc::new(container(config, ContainerRuntime::Docker)),
        (Format::Cri, _) => Arc::new(container(config, ContainerRuntime::Cri)),
        (Format::Envelope | Format::Cloudtrail, _) => Arc::new(WholeObject),
    }
}

fn container(config: &Decoding, runtime: ContainerRuntime) -> Container {
    Container { runtime, limit: LengthLimit::new(config), multiline: config.multiline.clone() }
}

/// Payloads that must be read whole: they may be compressed, or be one JSON value over many lines.
#[derive(Clone, Copy, Debug)]
struct WholeObject;

impl Framing for WholeObject {
    fn whole(&self, bytes: &[u8], end: bool) -> usize {
        if end { bytes.len() } else { 0 }
    }

    fn is_object(&self) -> bool {
        true
    }
}
