//! One chunk on a worker thread: decoded events are routed and written, destination by destination.

use std::sync::Arc;

use bytes::Bytes;

use super::destination::{NoDestination, Outlet};
use crate::batch::{Output, TooLarge};
use crate::deadletter::Content;
use crate::event::{Block, Borders, Buffers, Event, Events, Message, Origin, Timestamp, Wants};
use crate::route::{Decision, Plan, Router, SinkSet};

/// What a worker keeps between chunks.
#[derive(Debug)]
pub(super) struct Sorter {
    router: Arc<Router>,
    outlets: Arc<[Arc<Outlet>]>,
    outputs: Vec<Output>,
    wants: Wants,
    /// The plan of the last origin, which most chunks share.
    plan: Option<(Arc<Origin>, Plan)>,
    unescaped: Vec<u8>,
}

/// What became of a chunk.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    /// Written events, in order.
    pub(super) segments: Vec<Segment>,
    /// Events that at least one sink takes.
    pub(super) routed: u64,
    /// Events that no sink takes, by the route that dropped them.
    pub(super) filtered: Vec<(Option<usize>, u64)>,
    /// What goes to the dead letters.
    pub(super) unfit: Vec<Unfit>,
}

/// Written events of one origin for one sink.
#[derive(Debug)]
pub(super) struct Segment {
    /// The sink's place.
    pub(super) outlet: usize,
    /// Where the events come from.
    pub(super) origin: Arc<Origin>,
    /// The events.
    pub(super) blocks: Vec<Block>,
}

/// Bytes for the dead letters.
#[derive(Debug)]
pub(super) struct Unfit {
    /// The sink that cannot take the event; none: the payload cannot be decoded.
    pub(super) outlet: Option<usize>,
    /// Why.
    pub(super) reason: &'static str,
    /// Where it comes from.
    pub(super) origin: Arc<Origin>,
    /// The bytes.
    pub(super) bytes: Bytes,
    /// What they are.
    pub(super) content: Content,
    /// How many events they hold.
    pub(super) events: u64,
    /// The time of the one event.
    pub(super) timestamp: Option<Timestamp>,
    /// Its id.
    pub(super) id: Option<String>,
    /// Where the events end, where newlines do not say so.
    pub(super) ends: Vec<u32>,
}

impl Sorter {
    /// A worker's sorter.
    #[must_use]
    pub(super) fn new(router: Arc<Router>, outlets: Arc<[Arc<Outlet>]>, buffers: &Arc<Buffers>) -> Self {
        let envelopes = outlets.iter().any(|outlet| outlet.encoder.wants_envelopes());
        let events = outlets.iter().any(|outlet| !outlet.encoder.wants_envelopes());
        let outputs = outlets.iter().map(|_| Output::new(Arc::clone(buffers))).collect();
        let wants = Wants { events, envelopes };
        Self { router, outlets, outputs, wants, plan: None, unescaped: Vec::new() }
    }

    /// Begins a chunk that was read at `read_at`.
    pub(super) fn begin(&mut self, read_at: Timestamp) -> Sorting<'_> {
        Sorting { sorter: self, read_at, sorted: Sorted::default() }
    }
}

/// A chunk being sorted.
#[derive(Debug)]
pub(super) struct Sorting<'a> {
    sorter: &'a mut Sorter,
    read_at: Timestamp,
    sorted: Sorted,
}

impl Sorting<'_> {
    /// Ends the chunk.
    #[must_use]
    pub(super) fn finish(mut self) -> Sorted {
        self.end_segment();
        self.sorted
    }

    fn end_segment(&mut self) {
        let Some((origin, _)) = &self.sorter.plan else { return };
        for (index, (outlet, output)) in self.sorter.outlets.iter().zip(&mut self.sorter.outputs).enumerate()
        {
            let blocks = output.take(&outlet.encoder);
            if !blocks.is_empty() {
                let origin = Arc::clone(origin);
                self.sorted.segments.push(Segment { outlet: index, origin, blocks });
            }
        }
    }

    fn fixed(&self) -> Option<Decision> {
        self.sorter.plan.as_ref().and_then(|(_, plan)| plan.fixed())
    }

    fn decide(&mut self, message: Message<'_>) -> Option<Decision> {
        let (_, plan) = self.sorter.plan.as_ref()?;
        Some(match message {
            Message::Raw(bytes) => plan.decide(bytes),
            Message::Escaped(text) if !text.contains('\\') => plan.decide(text.as_bytes()),
            Message::Escaped(text) => {
                self.sorter.unescaped.clear();
                crate::batch::unescape(text, &mut self.sorter.unescaped);
                plan.decide(&self.sorter.unescaped)
            }
        })
    }

    fn filter(&mut self, route: Option<usize>, events: u64) {
        match self.sorted.filtered.iter_mut().find(|(known, _)| *known == route) {
            Some((_, count)) => *count = count.saturating_add(events),
            None => self.sorted.filtered.push((route, events)),
        }
    }

    fn unfit(&mut self, reason: &'static str, bytes: &[u8]) {
        let unfit = Unfit::new(reason, self.origin_now(), Bytes::copy_from_slice(bytes));
        self.sorted.unfit.push(unfit);
    }

    /// An event, or an envelope, that is too large for a sink.
    fn too_large(&mut self, outlet: usize, content: Content, bytes: Bytes, event: Option<&Event<'_>>) {
        let timestamp = event.map(|event| event.timestamp.unwrap_or(self.read_at));
        let id = event.and_then(|event| event.id.map(str::to_owned));
        let unfit = Unfit::new(TOO_LARGE, self.origin_now(), bytes);
        self.sorted.unfit.push(Unfit { outlet: Some(outlet), content, timestamp, id, ..unfit });
    }

    fn origin_now(&self) -> Arc<Origin> {
        self.sorter.plan.as_ref().map(|(origin, _)| Arc::clone(origin)).unwrap_or_default()
    }

    fn write_lines(&mut self, sinks: SinkSet, lines: &Bytes, count: u64) {
        for index in sinks.iter() {
            let Some((outlet, output)) = pair(&self.sorter.outlets, &mut self.sorter.outputs, index) else {
                continue;
            };
            let mut too_large = Vec::new();
            outlet
                .encoder
                .lines((lines, count), self.read_at, output, &mut |line| too_large.push(line.to_vec()));
            for line in too_large {
                let event = Event { message: Message::Raw(b""), timestamp: None, id: None, part: None };
                self.too_large(index, Content::Message, line.into(), Some(&event));
            }
        }
    }

    fn write_event(&mut self, sinks: SinkSet, event: &Event<'_>) {
        for index in sinks.iter() {
            let Some((outlet, output)) = pair(&self.sorter.outlets, &mut self.sorter.outputs, index) else {
                continue;
            };
            if outlet.encoder.wants_envelopes() {
                continue;
            }
            if outlet.encoder.event(event, self.read_at, output) == Err(TooLarge) {
                let bytes = crate::batch::message_bytes(event.message);
                self.too_large(index, Content::Message, bytes.into(), Some(event));
            }
        }
    }
}

const TOO_LARGE: &str = "too_large";

fn pair<'a>(
    outlets: &'a [Arc<Outlet>],
    outputs: &'a mut [Output],
    index: usize,
) -> Option<(&'a Outlet, &'a mut Output)> {
    Some((outlets.get(index)?, outputs.get_mut(index)?))
}

impl Events for Sorting<'_> {
    fn wants(&self) -> Wants {
        self.sorter.wants
    }

    fn origin(&mut self, origin: &Arc<Origin>) {
        if self.sorter.plan.as_ref().is_some_and(|(known, _)| Arc::ptr_eq(known, origin)) {
            return;
        }
        self.end_segment();
        if self.sorter.plan.as_ref().is_none_or(|(known, _)| known != origin) {
            let plan = self.sorter.router.plan(origin);
            for (outlet, output) in self.sorter.outlets.iter().zip(&mut self.sorter.outputs) {
                output.origin(&outlet.encoder, origin);
            }
            self.sorter.plan = Some((Arc::clone(origin), plan));
        } else if let Some((known, _)) = &mut self.sorter.plan {
            *known = Arc::clone(origin);
        }
    }

    fn lines(&mut self, lines: &Bytes, count: u64) {
        match self.fixed() {
            Some(Decision::Sinks(sinks)) => {
                self.write_lines(sinks, lines, count);
                self.sorted.routed = self.sorted.routed.saturating_add(count);
            }
            Some(Decision::Filtered(route)) => self.filter(route, count),
            None => {
                let mut from = 0;
                for at in memchr::memchr_iter(b'\n', lines) {
                    let message = Message::Raw(lines.get(from..at).unwrap_or_default());
                    self.event(Event { message, timestamp: None, id: None, part: None });
                    from = at.saturating_add(1);
                }
            }
        }
    }

    fn event(&mut self, event: Event<'_>) {
        match self.fixed().or_else(|| self.decide(event.message)) {
            Some(Decision::Sinks(sinks)) => {
                self.write_event(sinks, &event);
                self.sorted.routed = self.sorted.routed.saturating_add(1);
            }
            Some(Decision::Filtered(route)) => self.filter(route, 1),
            None => self.unfit("no_origin", &crate::batch::message_bytes(event.message)),
        }
    }

    fn envelope(&mut self, gzipped: &Bytes) {
        let Some(Decision::Sinks(sinks)) = self.fixed().or_else(|| self.decide(Message::Raw(b""))) else {
            // Counted as events where events are wanted too.
            if !self.sorter.wants.events {
                self.filter(None, 1);
            }
            return;
        };
        for index in sinks.iter() {
            let Some((outlet, output)) = pair(&self.sorter.outlets, &mut self.sorter.outputs, index) else {
                continue;
            };
            if outlet.encoder.wants_envelopes() && outlet.encoder.envelope(gzipped, output) == Err(TooLarge) {
                self.too_large(index, Content::Envelope, gzipped.clone(), None);
            }
        }
        if !self.sorter.wants.events {
            self.sorted.routed = self.sorted.routed.saturating_add(1);
        }
    }

    fn undecodable(&mut self, reason: &'static str, payload: &[u8]) {
        self.unfit(reason, payload);
    }
}

impl Unfit {
    /// A payload that cannot be decoded.
    fn new(reason: &'static str, origin: Arc<Origin>, bytes: Bytes) -> Self {
        let content = Content::Payload;
        Self {
            outlet: None,
            reason,
            origin,
            bytes,
            content,
            events: 1,
            timestamp: None,
            id: None,
            ends: Vec::new(),
        }
    }

    /// A whole segment whose sink has no place for it.
    #[must_use]
    pub(super) fn from_segment(segment: &Segment, why: NoDestination) -> Vec<Self> {
        let unfit = |block: &Block| Self {
            outlet: Some(segment.outlet),
            content: Content::Events,
            events: block.events(),
            ends: match &block.borders {
                Borders::Newlines(_) => Vec::new(),
                Borders::Ends(ends) => ends.clone(),
            },
            ..Self::new(why.reason(), Arc::clone(&segment.origin), block.data.clone())
        };
        segment.blocks.iter().map(unfit).collect()
    }
}
