//! Decoded events are routed, and encoded for the sinks that they go to.

use std::sync::Arc;

use bytes::Bytes;

use super::encoded::{EncodedChunk, EncodedSegment, LETTER_BYTES, SEGMENT_BYTES, Undeliverable, count};
use super::ids;
use super::open_job::SourceDecoder;
use super::parsing::{MessageParser, ParseScratch};
use super::step::StepMemory;
use crate::batch::{Output, TooLarge};
use crate::deadletter::LetterContent;
use crate::destination::registry::RunningSink;
use crate::event::{
    AckGuard, Buffers, Event, Events, LONGEST_ID, Message, Origin, PlaceId, Timestamp, Wants,
};
use crate::route::{Decision, Filtered, Plan, Router, SinkSet};
use crate::tap::ChunkTaps;

/// What a worker keeps between chunks.
#[derive(Debug)]
pub(crate) struct WorkerState {
    router: Arc<Router>,
    sinks: Arc<[Arc<RunningSink>]>,
    outputs: Vec<Output>,
    wants: Wants,
    /// Whether a sink wants an id for each event, or a route takes a sample by them.
    wants_ids: bool,
    /// The plan of the last origin, which most chunks share.
    pub(super) plan: Option<(Arc<Origin>, Plan)>,
    pub(super) unescaped: Vec<u8>,
    parsing: ParseScratch,
}

impl WorkerState {
    /// A worker's state.
    #[must_use]
    pub(crate) fn new(router: Arc<Router>, sinks: Arc<[Arc<RunningSink>]>, buffers: &Arc<Buffers>) -> Self {
        let envelopes = sinks.iter().any(|sink| sink.encoder.wants_envelopes());
        let events = sinks.iter().any(|sink| !sink.encoder.wants_envelopes());
        let outputs = sinks.iter().map(|_| Output::new(Arc::clone(buffers))).collect();
        let wants = Wants { events, envelopes };
        let wants_ids = router.samples() || sinks.iter().any(|sink| sink.encoder.wants_ids());
        Self {
            router,
            sinks,
            outputs,
            wants,
            wants_ids,
            plan: None,
            unescaped: Vec::new(),
            parsing: ParseScratch::default(),
        }
    }

    /// Begins a step of a chunk that was read at `read_at`.
    pub(crate) fn begin<'a>(&'a mut self, read_at: Timestamp, memory: StepMemory<'a>) -> Routing<'a> {
        Routing {
            state: self,
            read_at,
            memory,
            costs: EventCosts::default(),
            has_costs: false,
            chunk_id: None,
            oldest: Timestamp(i64::MIN),
            at: 0,
            parser: None,
            taps: None,
            encoded: EncodedChunk::default(),
        }
    }
}

/// A step of a chunk's way: as much of it as there is room for.
#[derive(Debug)]
pub(crate) struct Routing<'a> {
    pub(super) state: &'a mut WorkerState,
    pub(super) read_at: Timestamp,
    memory: StepMemory<'a>,
    costs: EventCosts,
    /// Whether they are those of the present origin.
    has_costs: bool,
    /// The id of the chunk's first byte, where ids are wanted.
    chunk_id: Option<PlaceId>,
    /// An event whose own time is before this is too old.
    oldest: Timestamp,
    /// Where what is told next begins.
    at: u64,
    /// How messages are read.
    parser: Option<&'a MessageParser>,
    /// Who looks at the events; nobody, nearly always.
    pub(super) taps: Option<ChunkTaps>,
    pub(super) encoded: EncodedChunk,
}

/// What an event of the present origin takes, over all sinks.
#[derive(Clone, Copy, Debug, Default)]
struct EventCosts {
    /// Sinks that write it.
    copies: u64,
    /// Bytes beside the message.
    around: u64,
    /// Whether runs of lines stay where they were read.
    keeps_lines: bool,
}

impl<'a> Routing<'a> {
    /// The same for the chunk of this ack guard, which is of a source with this name: so that messages are read, events have ids, and
    /// old ones are left out.
    #[must_use]
    pub(crate) fn of_chunk(mut self, source: &'a SourceDecoder, name: &str, ack: &AckGuard) -> Self {
        self.chunk_id = self.state.wants_ids.then(|| ids::of_chunk(name, ack));
        self.parser = source.parser.as_ref();
        self.oldest = source.oldest(self.read_at);
        self
    }

    /// The same, looked at by these.
    #[must_use]
    pub(crate) fn tapped(mut self, taps: Option<ChunkTaps>) -> Self {
        self.taps = taps;
        self
    }

    /// How messages are read for these sinks; none: no sink wants more than the text.
    fn parser(&self, sinks: SinkSet) -> Option<&'a MessageParser> {
        let takes = |sink: &Arc<RunningSink>| sink.encoder.takes_objects();
        self.parser.filter(|_| sinks.iter().filter_map(|index| self.state.sinks.get(index)).any(takes))
    }

    /// The id of what is told now.
    pub(super) fn id(&self) -> Option<PlaceId> {
        self.chunk_id.map(|id| id.behind(self.at))
    }

    /// Ends the step.
    #[must_use]
    pub(crate) fn finish(mut self) -> EncodedChunk {
        self.end_segment();
        self.note_written();
        self.encoded
    }

    /// Counts what the outputs have taken since the last call.
    fn note_written(&mut self) {
        let taken: u64 = self.state.outputs.iter_mut().map(Output::take_taken).sum();
        self.encoded.memory = self.encoded.memory.saturating_add(taken);
    }

    fn learn_costs(&mut self) {
        (self.costs, self.has_costs) = (self.costs(), true);
    }

    fn costs(&self) -> EventCosts {
        let writes = |index: usize| {
            let fixed = self.route_all();
            match fixed {
                Some(Decision::Sinks(sinks)) => sinks.iter().any(|sink| sink == index),
                Some(Decision::Filtered(_)) => false,
                None => true,
            }
        };
        let mut costs = EventCosts { copies: 0, around: 0, keeps_lines: self.route_all().is_some() };
        for (index, (sink, output)) in self.state.sinks.iter().zip(&self.state.outputs).enumerate() {
            if sink.encoder.wants_envelopes() || !writes(index) {
                continue;
            }
            costs.copies = costs.copies.saturating_add(1);
            costs.around = costs.around.saturating_add(sink.encoder.overhead(output));
            costs.keeps_lines &= sink.encoder.keeps_lines();
        }
        costs
    }

    fn end_segment(&mut self) {
        let Some((origin, _)) = &self.state.plan else { return };
        for (index, (sink, output)) in self.state.sinks.iter().zip(&mut self.state.outputs).enumerate() {
            let blocks = output.take(&sink.encoder);
            if !blocks.is_empty() {
                let origin = Arc::clone(origin);
                self.encoded.memory = self.encoded.memory.saturating_add(SEGMENT_BYTES);
                self.encoded.segments.push(EncodedSegment { sink: index, origin, blocks });
            }
        }
    }

    /// Where all events of the origin go, if their messages do not matter.
    fn route_all(&self) -> Option<Decision> {
        self.state.plan.as_ref().and_then(|(_, plan)| plan.fixed())
    }

    /// Writes an event as each of its sinks wants it.
    fn encode(&mut self, sinks: SinkSet, event: &Event<'_>) {
        let parser = self.parser(sinks);
        let mut parsing = std::mem::take(&mut self.state.parsing);
        self.encode_parsed(sinks, event, parser, &mut parsing);
        self.state.parsing = parsing;
    }

    /// The same with a parser that is known to be wanted.
    fn encode_parsed(
        &mut self,
        sinks: SinkSet,
        event: &Event<'_>,
        parser: Option<&MessageParser>,
        parsing: &mut ParseScratch,
    ) {
        let mut buffer = [0; LONGEST_ID];
        let own_id = self.id().filter(|_| event.id.is_none()).map(|id| id.text(&mut buffer));
        let parsed = parser.and_then(|parser| parser.parse(event, parsing));
        if let Some(parser) = parser {
            self.encoded.unparsed += u64::from(parsed.is_none());
            self.encoded.untimed += u64::from(parsed.is_some_and(|parsed| parser.lacks_time(&parsed)));
        }
        let event = &Event { timestamp: parsed.and_then(|parsed| parsed.time).or(event.timestamp), ..*event };
        let with_id = Event { id: event.id.or(own_id), ..*event };
        for index in sinks.iter() {
            let Some((sink, output)) = self.state.output(index) else { continue };
            if sink.encoder.wants_envelopes() {
                continue;
            }
            let event = if sink.encoder.wants_ids() { &with_id } else { event };
            let done = match parsed {
                Some(parsed) if sink.encoder.takes_objects() => {
                    sink.encoder.object(event, parsed.object, self.read_at, output)
                }
                Some(_) | None => sink.encoder.event(event, self.read_at, output),
            };
            self.encoded.memory = self.encoded.memory.saturating_add(output.take_taken());
            if done == Err(TooLarge) {
                let bytes = crate::batch::message_bytes(event.message);
                self.too_large(index, LetterContent::Message, bytes.into(), Some(event));
            }
        }
        self.encoded.routed += 1;
    }

    /// Writes a run of lines as each of its sinks wants it.
    fn encode_lines(&mut self, sinks: SinkSet, lines: &Bytes, count: u64) {
        let first_id = self.id();
        for index in sinks.iter() {
            let read_at = self.read_at;
            let Some((sink, output)) = self.state.output(index) else { continue };
            let mut too_large = Vec::new();
            output.begin_lines(first_id.filter(|_| sink.encoder.wants_ids()));
            sink.encoder.lines((lines, count), read_at, output, &mut |line, id: Option<PlaceId>| {
                too_large.push((line.to_vec(), id));
            });
            for (line, id) in too_large {
                let mut buffer = [0; LONGEST_ID];
                let id = id.map(|id| id.text(&mut buffer));
                let event = Event { message: Message::Raw(b""), timestamp: None, id, part: None };
                self.too_large(index, LetterContent::Message, line.into(), Some(&event));
            }
        }
        self.encoded.routed += count;
        self.note_written();
    }

    /// Gives an envelope as it is to the sinks that want it so.
    fn encode_envelope(&mut self, sinks: SinkSet, gzipped: &Bytes) {
        for index in sinks.iter() {
            let Some((sink, output)) = self.state.output(index) else { continue };
            if sink.encoder.wants_envelopes() && sink.encoder.envelope(gzipped, output) == Err(TooLarge) {
                self.too_large(index, LetterContent::Envelope, gzipped.clone(), None);
            }
        }
        // It is counted as events where events are wanted too.
        if !self.state.wants.events {
            self.encoded.routed += 1;
        }
        self.note_written();
    }

    fn filter(&mut self, why: Filtered, events: u64) {
        count(&mut self.encoded.filtered, why, events);
    }

    /// An event, or an envelope, that is too large for a sink.
    fn too_large(&mut self, sink: usize, content: LetterContent, bytes: Bytes, event: Option<&Event<'_>>) {
        let timestamp = event.map(|event| event.timestamp.unwrap_or(self.read_at));
        let id = event.and_then(|event| event.id.map(str::to_owned));
        let undeliverable = Undeliverable::new(TOO_LARGE, self.origin_now(), bytes);
        let undeliverable = Undeliverable { sink: Some(sink), content, timestamp, id, ..undeliverable };
        self.give_up(undeliverable);
    }

    fn give_up(&mut self, undeliverable: Undeliverable) {
        let bytes = (undeliverable.bytes.len() as u64).saturating_add(LETTER_BYTES);
        self.encoded.memory = self.encoded.memory.saturating_add(bytes);
        self.encoded.undeliverable.push(undeliverable);
    }

    /// Routes an event, and encodes it for its sinks.
    fn take(&mut self, event: Event<'_>) {
        if event.timestamp.is_some_and(|time| time < self.oldest) {
            return self.filter(Filtered::TOO_OLD, 1);
        }
        match self.decide(&event) {
            Some(Decision::Sinks(sinks)) => self.encode(sinks, &event),
            Some(Decision::Filtered(why)) => self.filter(why, 1),
            None => self.undecodable_bytes("no_origin", &crate::batch::message_bytes(event.message)),
        }
    }

    /// Takes each of whole lines by itself.
    fn each_line(&mut self, lines: &[u8], mut take: impl FnMut(&mut Self, Event<'_>)) {
        let (mut from, first) = (0, self.at);
        for at in memchr::memchr_iter(b'\n', lines) {
            let message = Message::Raw(lines.get(from..at).unwrap_or_default());
            self.at = first.wrapping_add(from as u64);
            take(self, Event { message, timestamp: None, id: None, part: None });
            from = at.saturating_add(1);
        }
    }

    fn undecodable_bytes(&mut self, reason: &'static str, bytes: &[u8]) {
        let bytes = Bytes::copy_from_slice(bytes);
        self.give_up(Undeliverable::new(reason, self.origin_now(), bytes));
    }

    pub(super) fn origin_now(&self) -> Arc<Origin> {
        self.state.plan.as_ref().map(|(origin, _)| Arc::clone(origin)).unwrap_or_default()
    }
}

const TOO_LARGE: &str = "too_large";

impl WorkerState {
    fn output(&mut self, sink: usize) -> Option<(&RunningSink, &mut Output)> {
        Some((self.sinks.get(sink)?, self.outputs.get_mut(sink)?))
    }
}

impl Events for Routing<'_> {
    fn wants(&self) -> Wants {
        self.state.wants
    }

    fn keeps_lines(&self) -> bool {
        self.costs.keeps_lines
    }

    fn fits(&self, bytes: usize, events: u64) -> bool {
        let EventCosts { copies, around, .. } = self.costs;
        let written = self.encoded.memory;
        let bytes = bytes.saturating_mul(self.parser.map_or(1, MessageParser::growth));
        let more = (bytes as u64).saturating_mul(copies).saturating_add(events.saturating_mul(around));
        written == 0 && events <= 1 || written.saturating_add(more) <= self.memory.room
    }

    fn may_take(&mut self, bytes: usize) -> bool {
        self.memory.may_take(bytes as u64)
    }

    fn wants_places(&self) -> bool {
        self.chunk_id.is_some()
    }

    fn at(&mut self, offset: u64) {
        self.at = offset;
    }

    fn keeps_beside(&mut self, bytes: usize) {
        self.encoded.memory = self.encoded.memory.saturating_add(bytes as u64);
    }

    fn origin(&mut self, origin: &Arc<Origin>) {
        if self.state.plan.as_ref().is_some_and(|(known, _)| Arc::ptr_eq(known, origin)) {
            if !self.has_costs {
                self.renew_keys();
                self.learn_costs();
            }
            return;
        }
        self.end_segment();
        if self.state.plan.as_ref().is_none_or(|(known, _)| !known.is_like(origin)) {
            let plan = self.state.router.plan(origin);
            for (sink, output) in self.state.sinks.iter().zip(&mut self.state.outputs) {
                output.origin(&sink.encoder, origin);
            }
            self.state.plan = Some((Arc::clone(origin), plan));
        } else if let Some((known, _)) = &mut self.state.plan {
            *known = Arc::clone(origin);
            self.renew_keys();
        }
        self.learn_costs();
    }

    fn event(&mut self, event: Event<'_>) {
        if self.taps.is_some() {
            self.tap_event(&event);
        }
        self.take(event);
    }

    fn lines(&mut self, lines: &Bytes, count: u64) {
        if self.taps.is_some() {
            self.tap_lines(lines, count);
        }
        match self.route_all() {
            Some(Decision::Sinks(sinks)) => match self.parser(sinks) {
                None => self.encode_lines(sinks, lines, count),
                Some(parser) => {
                    let mut parsing = std::mem::take(&mut self.state.parsing);
                    self.each_line(lines, |routing, event| {
                        routing.encode_parsed(sinks, &event, Some(parser), &mut parsing);
                    });
                    self.state.parsing = parsing;
                }
            },
            Some(Decision::Filtered(why)) => self.filter(why, count),
            None => self.each_line(lines, Self::take),
        }
    }

    fn envelope(&mut self, gzipped: &Bytes) {
        if self.taps.is_some() && !self.state.wants.events {
            self.tap_event(&Event { message: Message::Raw(gzipped), timestamp: None, id: None, part: None });
        }
        match self.decide(&Event { message: Message::Raw(b""), timestamp: None, id: None, part: None }) {
            Some(Decision::Sinks(sinks)) => self.encode_envelope(sinks, gzipped),
            // It is counted as events where events are wanted too.
            _ if self.state.wants.events => {}
            Some(Decision::Filtered(why)) => self.filter(why, 1),
            None => self.filter(Filtered::UNROUTED, 1),
        }
    }

    fn repaired(&mut self, events: u64) {
        self.encoded.repaired = self.encoded.repaired.saturating_add(events);
    }

    fn undecodable(&mut self, reason: &'static str, payload: &[u8]) {
        self.undecodable_bytes(reason, payload);
    }
}
