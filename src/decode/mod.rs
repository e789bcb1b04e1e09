//! Payload bytes to events.
//!
//! In:      a chunk's payload and its origin.
//! Out:     calls of [`Events`], in the payload's order; nothing is allocated per event.
//! Full:    a receiver that has no room for the next event is given it later: what is left of the payload is returned.
//! Failure: what cannot be decoded is told as undecodable; no byte is both that and part of an event.
//! Stop:    does not occur: a call decodes one payload, or a part of it.

mod broken_json;
mod cloudtrail;
mod container;
mod envelope;
mod envelope_head;
mod escapes;
mod extracted;
mod forward;
mod forward_origins;
mod forward_record;
mod gzip;
mod journald;
mod json;
mod lines;
mod log_events;
mod long;
mod object;
mod object_walk;
mod payload;
mod recent_origins;
mod record_json;
mod repair;
mod strings;
mod transcode;
mod unpack;
mod zstd;

#[cfg(test)]
mod forward_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use regex::bytes::Regex;

pub(crate) use self::broken_json::broken_at;
use self::cloudtrail::{TrailLeft, TrailScratch};
use self::container::{Container, ContainerRuntime, Joiner};
use self::envelope::{EnvelopeScratch, EnvelopesLeft};
use self::forward::{ForwardLeft, ForwardRecords, ForwardScratch};
use self::journald::{JournaldEntries, JournaldLeft, JournaldScratch};
use self::lines::LineScratch;
use self::long::LengthLimit;
pub(crate) use self::object::json_string;
pub use self::object::{ObjectText, json_object};
use self::payload::{InflateBuffers, NotOpened};
use self::transcode::{RawPlaces, TranscodedFraming, TranscodedLines};
pub use self::unpack::unpack;
pub(crate) use self::zstd::is_zstd;
use crate::config::{Decoding, Format};
use crate::event::{Charset, Events, Framing, Origin, Piece};

/// Decodes payloads of one format. Shared by all workers.
#[derive(Clone, Debug)]
pub struct Decoder {
    kind: DecoderKind,
    max_inflated: usize,
    /// Of lines.
    charset: Charset,
}

#[derive(Clone, Debug)]
enum DecoderKind {
    Lines(LengthLimit),
    JoinedLines(LengthLimit, Regex),
    Container(Container),
    Envelope,
    Cloudtrail,
    Forward(ForwardRecords),
    Journald(JournaldEntries),
}

/// One worker's buffers, reused from payload to payload.
#[derive(Default)]
pub struct Scratch {
    buffers: InflateBuffers,
    envelope: EnvelopeScratch,
    cloudtrail: TrailScratch,
    lines: LineScratch,
    joiner: Joiner,
    forward: ForwardScratch,
    journald: JournaldScratch,
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
        self.cloudtrail.shrink();
        self.lines.shrink();
        self.forward.record.shrink();
        self.journald.shrink();
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
            (Format::FluentForward(record), _) => {
                DecoderKind::Forward(ForwardRecords { limit, record, max_inflated: config.max_inflated })
            }
            (Format::Journald, _) => DecoderKind::Journald(JournaldEntries { limit }),
        };
        Self { kind, max_inflated: config.max_inflated, charset: config.charset }
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
        let mut left = Some(Undecoded::new(payload.clone(), piece));
        while let Some(undecoded) = left {
            left = self.decode_some(scratch, origin, undecoded, events);
        }
    }

    /// Tells as much of what is left as there is room for, at least an event where there is memory to open the payload. Returns what
    /// is still left.
    pub fn decode_some<E: Events>(
        &self,
        scratch: &mut Scratch,
        origin: &Arc<Origin>,
        undecoded: Undecoded,
        events: &mut E,
    ) -> Option<Undecoded> {
        let left = match undecoded.0 {
            PayloadState::Refused { payload, reason } => {
                events.origin(origin);
                events.undecodable(reason, &payload);
                None
            }
            PayloadState::Whole { payload, piece } => self.begin(scratch, origin, payload, piece, events),
            PayloadState::Lines { plain, before, piece } => {
                self.lines(scratch, origin, (&plain, before), piece, events)
            }
            PayloadState::Transcoded(lines) => self.transcoded(scratch, origin, lines, events),
            PayloadState::Container { plain, before, joiner } => {
                scratch.joiner = *joiner;
                self.lines(scratch, origin, (&plain, before), Piece::default(), events)
            }
            PayloadState::Envelopes(left) => {
                let Scratch { buffers, envelope, .. } = scratch;
                left.decode(buffers, envelope, origin, events).map(Box::new).map(PayloadState::Envelopes)
            }
            PayloadState::Trail(left) => {
                let Scratch { buffers, cloudtrail, .. } = scratch;
                left.decode(buffers, cloudtrail, origin, events).map(PayloadState::Trail)
            }
            PayloadState::Forward(left) => self.forward(scratch, origin, left, events),
            PayloadState::Journald(left) => self.journald(scratch, origin, left, events),
        };
        scratch.shrink();
        left.map(Undecoded)
    }

    fn begin<E: Events>(
        &self,
        scratch: &mut Scratch,
        origin: &Arc<Origin>,
        payload: Bytes,
        piece: Piece,
        events: &mut E,
    ) -> Option<PayloadState> {
        if let DecoderKind::Forward(_) = &self.kind {
            return self.forward(scratch, origin, ForwardLeft::new(payload), events);
        }
        if let DecoderKind::Journald(_) = &self.kind {
            return self.journald(scratch, origin, JournaldLeft::new(payload), events);
        }
        if !self.charset.is_utf8() {
            return match TranscodedLines::read(self.charset, &payload, piece, origin, events) {
                Some(lines) => self.transcoded(scratch, origin, lines, events),
                None => Some(PayloadState::Whole { payload, piece }),
            };
        }
        let max = self.max_inflated;
        let Scratch { buffers, envelope, cloudtrail, .. } = scratch;
        let begun = match &self.kind {
            DecoderKind::Envelope => envelope::decode(max, buffers, envelope, origin, &payload, events)
                .map(|left| left.map(Box::new).map(PayloadState::Envelopes)),
            DecoderKind::Cloudtrail => cloudtrail::decode(max, buffers, cloudtrail, origin, &payload, events)
                .map(|left| left.map(PayloadState::Trail)),
            DecoderKind::Lines(_)
            | DecoderKind::JoinedLines(..)
            | DecoderKind::Container(_)
            | DecoderKind::Forward(_)
            | DecoderKind::Journald(_) => {
                let may_be_closed = !events.opens_refused();
                let mut may_take = |bytes| events.may_take(bytes);
                match payload::lines(&payload, max, buffers, may_be_closed, &mut may_take) {
                    Ok(plain) => Ok(self.lines(scratch, origin, (&plain, 0), piece, events)),
                    Err(NotOpened::Refused(reason)) => {
                        events.origin(origin);
                        events.undecodable(reason, &payload);
                        Ok(None)
                    }
                    Err(NotOpened::NoRoom) => Err(NotOpened::NoRoom),
                }
            }
        };
        // Nothing was told of a payload that could not be opened.
        begun.unwrap_or(Some(PayloadState::Whole { payload, piece }))
    }

    fn forward<E: Events>(
        &self,
        scratch: &mut Scratch,
        origin: &Arc<Origin>,
        left: ForwardLeft,
        events: &mut E,
    ) -> Option<PayloadState> {
        let DecoderKind::Forward(records) = &self.kind else { return None };
        let Scratch { buffers, forward, .. } = scratch;
        let left = records.decode(buffers, forward, origin, left, events)?;
        Some(if left.is_untouched() {
            PayloadState::Whole { payload: left.into_payload(), piece: Piece::default() }
        } else {
            PayloadState::Forward(left)
        })
    }

    fn journald<E: Events>(
        &self,
        scratch: &mut Scratch,
        origin: &Arc<Origin>,
        left: JournaldLeft,
        events: &mut E,
    ) -> Option<PayloadState> {
        let DecoderKind::Journald(entries) = &self.kind else { return None };
        let left = entries.decode(&mut scratch.journald, origin, left, events)?;
        Some(if left.is_untouched() {
            PayloadState::Whole { payload: left.into_payload(), piece: Piece::default() }
        } else {
            PayloadState::Journald(left)
        })
    }

    fn transcoded<E: Events>(
        &self,
        scratch: &mut Scratch,
        origin: &Arc<Origin>,
        lines: TranscodedLines,
        events: &mut E,
    ) -> Option<PayloadState> {
        let mut places = RawPlaces::new(events, self.charset, &lines);
        let left = self.lines(scratch, origin, (&lines.plain, 0), lines.piece, &mut places)?;
        let PayloadState::Lines { plain, piece, .. } = left else { return Some(left) };
        Some(PayloadState::Transcoded(lines.rest(self.charset, plain, piece)))
    }

    fn lines<E: Events>(
        &self,
        scratch: &mut Scratch,
        origin: &Arc<Origin>,
        (plain, before): (&Bytes, u64),
        piece: Piece,
        events: &mut E,
    ) -> Option<PayloadState> {
        let behind = |at: usize| before.saturating_add(at as u64);
        // A container's events come from one of its streams.
        if !matches!(self.kind, DecoderKind::Container(_)) {
            events.origin(origin);
        }
        let left = match &self.kind {
            DecoderKind::Lines(limit) => {
                lines::decode(*limit, &mut scratch.lines, (plain, before), piece, events)
            }
            DecoderKind::JoinedLines(limit, start) => {
                lines::decode_joined(*limit, start, &mut scratch.lines, (plain, before), piece, events)
            }
            DecoderKind::Container(container) => {
                let Scratch { joiner, lines, .. } = scratch;
                let at = container.decode(joiner, &mut lines.long, origin, (plain, before), events)?;
                let (joiner, before) = (Box::new(std::mem::take(joiner)), behind(at));
                return Some(PayloadState::Container { plain: plain.slice(at..), before, joiner });
            }
            DecoderKind::Envelope
            | DecoderKind::Cloudtrail
            | DecoderKind::Forward(_)
            | DecoderKind::Journald(_) => None,
        };
        left.map(|left| {
            let (plain, before) = (plain.slice(left.at..), behind(left.at));
            PayloadState::Lines { plain, before, piece: left.piece }
        })
    }
}

/// A payload, or what is left of it.
#[derive(Debug)]
pub struct Undecoded(PayloadState);

#[derive(Debug)]
enum PayloadState {
    /// It cannot be decoded, for this reason.
    Refused {
        payload: Bytes,
        reason: &'static str,
    },
    /// Nothing was told of it.
    Whole {
        payload: Bytes,
        piece: Piece,
    },
    /// Lines that are inflated, with so many bytes before them.
    Lines {
        plain: Bytes,
        before: u64,
        piece: Piece,
    },
    /// Lines that were read from another charset.
    Transcoded(TranscodedLines),
    /// Lines of a container runtime, and the events that those before them began.
    Container {
        plain: Bytes,
        before: u64,
        joiner: Box<Joiner>,
    },
    Envelopes(Box<EnvelopesLeft>),
    Trail(TrailLeft),
    Forward(ForwardLeft),
    Journald(JournaldLeft),
}

impl Undecoded {
    /// A payload that may begin or end within an event.
    #[must_use]
    pub fn new(payload: Bytes, piece: Piece) -> Self {
        Self(PayloadState::Whole { payload, piece })
    }

    /// Whether nothing was told of it.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        matches!(self.0, PayloadState::Whole { .. })
    }

    /// A payload that its source knows to be undecodable, with the reason as a metric's label.
    #[must_use]
    pub const fn refused(payload: Bytes, reason: &'static str) -> Self {
        Self(PayloadState::Refused { payload, reason })
    }
}

/// How a source cuts what it reads in the configured format.
#[must_use]
pub fn framing(config: &Decoding) -> Arc<dyn Framing> {
    let limit = LengthLimit::new(config);
    if !config.charset.is_utf8() {
        let plain = framing(&Decoding { charset: Charset::UTF8, ..config.clone() });
        return Arc::new(TranscodedFraming {
            charset: config.charset,
            plain,
            joins: config.multiline.is_some(),
        });
    }
    match (config.format, &config.multiline) {
        (Format::Lines, None) => Arc::new(lines::LineFraming(limit)),
        (Format::Lines, Some(multiline)) => Arc::new(lines::JoinedLineFraming::new(limit, multiline)),
        (Format::Docker, _) => Arc::new(container(config, ContainerRuntime::Docker)),
        (Format::Cri, _) => Arc::new(container(config, ContainerRuntime::Cri)),
        (Format::Envelope | Format::Cloudtrail | Format::FluentForward(_) | Format::Journald, _) => {
            Arc::new(WholeObject)
        }
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
