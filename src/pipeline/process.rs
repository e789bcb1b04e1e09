//! One chunk on a worker thread: decoded events are routed and written, destination by destination.

use std::sync::Arc;

use bytes::Bytes;

use crate::batch::{Output, TooLarge};
use crate::deadletter::LetterContent;
use crate::destination::registry::{NoDestination, RunningSink};
use crate::event::{Block, Borders, Buffers, Event, Events, Message, Origin, Timestamp, Wants};
use crate::route::{Decision, Plan, Router, SinkSet};

/// What a worker keeps between chunks.
#[derive(Debug)]
pub(crate) struct WorkerState {
    router: Arc<Router>,
    sinks: Arc<[Arc<RunningSink>]>,
    outputs: Vec<Output>,
    wants: Wants,
    /// The plan of the last origin, which most chunks share.
    plan: Option<(Arc<Origin>, Plan)>,
    unescaped: Vec<u8>,
}

/// What became of a chunk.
#[derive(Debug, Default)]
pub(crate) struct ProcessedChunk {
    /// Written events, in order.
    pub(crate) segments: Vec<Segment>,
    /// Events that at least one sink takes.
    pub(crate) routed: u64,
    /// Events that no sink takes, by the route that dropped them.
    pub(crate) filtered: Vec<(Option<usize>, u64)>,
    /// What goes to the dead letters.
    pub(crate) unfit: Vec<Unfit>,
}

/// Written events of one origin for one sink.
#[derive(Debug)]
pub(crate) struct Segment {
    /// The sink's place.
    pub(crate) sink: usize,
    /// Where the events come from.
    pub(crate) origin: Arc<Origin>,
    /// The events.
    pub(crate) blocks: Vec<Block>,
}

/// Bytes for the dead letters.
#[derive(Debug)]
pub(crate) struct Unfit {
    /// The sink that cannot take the event; none: the payload cannot be decoded.
    pub(crate) sink: Option<usize>,
    /// Why.
    pub(crate) reason: &'static str,
    /// Where it comes from.
    pub(crate) origin: Arc<Origin>,
    /// The bytes.
    pub(crate) bytes: Bytes,
    /// What they are.
    pub(crate) content: LetterContent,
    /// How many events they hold.
    pub(crate) events: u64,
    /// The time of the one event.
    pub(crate) timestamp: Option<Timestamp>,
    /// Its id.
    pub(crate) id: Option<String>,
    /// Where the events end, where newlines do not say so.
    pub(crate) ends: Vec<u32>,
}

impl WorkerState {
    /// A worker's state.
    #[must_use]
    pub(crate) fn new(router: Arc<Router>, sinks: Arc<[Arc<RunningSink>]>, buffers: &Arc<Buffers>) -> Self {
        let envelopes = sinks.iter().any(|sink| sink.encoder.wants_envelopes());
        let events = sinks.iter().any(|sink| !sink.encoder.wants_envelopes());
        let outputs = sinks.iter().map(|_| Output::new(Arc::clone(buffers))).collect();
        let wants = Wants { events, envelopes };
        Self { router, sinks, outputs, wants, plan: None, unescaped: Vec::new() }
    }

    /// Begins a chunk that was read at `read_at`.
    pub(crate) fn begin(&mut self, read_at: Timestamp) -> ChunkProcess<'_> {
        ChunkProcess { state: self, read_at, processed: ProcessedChunk::default() }
    }
}

/// A chunk being processed.
#[derive(Debug)]
pub(crate) struct ChunkProcess<'a> {
    state: &'a mut WorkerState,
    read_at: Timestamp,
    processed: ProcessedChunk,
}

impl ChunkProcess<'_> {
    /// Ends the chunk.
    #[must_use]
    pub(crate) fn finish(mut self) -> ProcessedChunk {
        self.end_segment();
        self.processed
    }

    fn end_segment(&mut self) {
        let Some((origin, _)) = &self.state.plan else { return };
        for (index, (sink, output)) in self.state.sinks.iter().zip(&mut self.state.outputs).enumerate() {
            let blocks = output.take(&sink.encoder);
            if !blocks.is_empty() {
                let origin = Arc::clone(origin);
                self.processed.segments.push(Segment { sink: index, origin, blocks });
            }
        }
    }

    fn fixed(&self) -> Option<Decision> {
        self.state.plan.as_ref().and_then(|(_, plan)| plan.fixed())
    }

    fn decide(&mut self, message: Message<'_>) -> Option<Decision> {
        let (_, plan) = self.state.plan.as_ref()?;
        Some(match message {
            Message::Raw(bytes) => plan.decide(bytes),
            Message::Escaped(text) if !text.contains('\\') => plan.decide(text.as_bytes()),
            Message::Escaped(text) => {
                self.state.unescaped.clear();
                crate::batch::unescape(text, &mut self.state.unescaped);
                plan.decide(&self.state.unescaped)
            }
        })
    }

    fn filter(&mut self, route: Option<usize>, events: u64) {
        match self.processed.filtered.iter_mut().find(|(known, _)| *known == route) {
            Some((_, count)) => *count = count.saturating_add(events),
            None => self.processed.filtered.push((route, events)),
        }
    }

    fn unfit(&mut self, reason: &'static str, bytes: &[u8]) {
        let unfit = Unfit::new(reason, self.origin_now(), Bytes::copy_from_slice(bytes));
        self.processed.unfit.push(unfit);
    }

    /// An event, or an envelope, that is too large for a sink.
    fn too_large(&mut self, sink: usize, content: LetterContent, bytes: Bytes, event: Option<&Event<'_>>) {
        let timestamp = event.map(|event| event.timestamp.unwrap_or(self.read_at));
        let id = event.and_then(|event| event.id.map(str::to_owned));
        let unfit = Unfit::new(TOO_LARGE, self.origin_now(), bytes);
        self.processed.unfit.push(Unfit { sink: Some(sink), content, timestamp, id, ..unfit });
    }

    fn origin_now(&self) -> Arc<Origin> {
        self.state.plan.as_ref().map(|(origin, _)| Arc::clone(origin)).unwrap_or_default()
    }

    fn write_lines(&mut self, sinks: SinkSet, lines: &Bytes, count: u64) {
        for index in sinks.iter() {
            let Some((sink, output)) = pair(&self.state.sinks, &mut self.state.outputs, index) else {
                continue;
            };
            let mut too_large = Vec::new();
            sink.encoder
                .lines((lines, count), self.read_at, output, &mut |line| too_large.push(line.to_vec()));
            for line in too_large {
                let event = Event { message: Message::Raw(b""), timestamp: None, id: None, part: None };
                self.too_large(index, LetterContent::Message, line.into(), Some(&event));
            }
        }
    }

    fn write_event(&mut self, sinks: SinkSet, event: &Event<'_>) {
        for index in sinks.iter() {
            let Some((sink, output)) = pair(&self.state.sinks, &mut self.state.outputs, index) else {
                continue;
            };
            if sink.encoder.wants_envelopes() {
                continue;
            }
            if sink.encoder.event(event, self.read_at, output) == Err(TooLarge) {
                let bytes = crate::batch::message_bytes(event.message);
                self.too_large(index, LetterContent::Message, bytes.into(), Some(event));
            }
        }
    }
}

const TOO_LARGE: &str = "too_large";

fn pair<'a>(
    sinks: &'a [Arc<RunningSink>],
    outputs: &'a mut [Output],
    index: usize,
) -> Option<(&'a RunningSink, &'a mut Output)> {
    Some((sinks.get(index)?, outputs.get_mut(index)?))
}

impl Events for ChunkProcess<'_> {
    fn wants(&self) -> Wants {
        self.state.wants
    }

    fn origin(&mut self, origin: &Arc<Origin>) {
        if self.state.plan.as_ref().is_some_and(|(known, _)| Arc::ptr_eq(known, origin)) {
            return;
        }
        self.end_segment();
        if self.state.plan.as_ref().is_none_or(|(known, _)| known != origin) {
            let plan = self.state.router.plan(origin);
            for (sink, output) in self.state.sinks.iter().zip(&mut self.state.outputs) {
                output.origin(&sink.encoder, origin);
            }
            self.state.plan = Some((Arc::clone(origin), plan));
        } else if let Some((known, _)) = &mut self.state.plan {
            *known = Arc::clone(origin);
        }
    }

    fn lines(&mut self, lines: &Bytes, count: u64) {
        match self.fixed() {
            Some(Decision::Sinks(sinks)) => {
                self.write_lines(sinks, lines, count);
                self.processed.routed = self.processed.routed.saturating_add(count);
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
                self.processed.routed = self.processed.routed.saturating_add(1);
            }
            Some(Decision::Filtered(route)) => self.filter(route, 1),
            None => self.unfit("no_origin", &crate::batch::message_bytes(event.message)),
        }
    }

    fn envelope(&mut self, gzipped: &Bytes) {
        let Some(Decision::Sinks(sinks)) = self.fixed().or_else(|| self.decide(Message::Raw(b""))) else {
            // Counted as events where events are wanted too.
            if !self.state.wants.events {
                self.filter(None, 1);
            }
            return;
        };
        for index in sinks.iter() {
            let Some((sink, output)) = pair(&self.state.sinks, &mut self.state.outputs, index) else {
                continue;
            };
            if sink.encoder.wants_envelopes() && sink.encoder.envelope(gzipped, output) == Err(TooLarge) {
                self.too_large(index, LetterContent::Envelope, gzipped.clone(), None);
            }
        }
        if !self.state.wants.events {
            self.processed.routed = self.processed.routed.saturating_add(1);
        }
    }

    fn undecodable(&mut self, reason: &'static str, payload: &[u8]) {
        self.unfit(reason, payload);
    }
}

impl Unfit {
    /// A payload that cannot be decoded.
    fn new(reason: &'static str, origin: Arc<Origin>, bytes: Bytes) -> Self {
        let content = LetterContent::Payload;
        Self {
            sink: None,
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
    pub(crate) fn from_segment(segment: &Segment, why: NoDestination) -> Vec<Self> {
        let unfit = |block: &Block| Self {
            sink: Some(segment.sink),
            content: LetterContent::Events,
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
