//! An event, written as each of its sinks wants it.

use super::parsing::{MessageParser, ParseScratch, ParsedMessage};
use super::routing::Routing;
use crate::batch::TooLarge;
use crate::deadletter::LetterContent;
use crate::event::{Event, LONGEST_ID};
use crate::route::SinkSet;

impl Routing<'_> {
    /// Writes an event as each of its sinks wants it.
    #[inline]
    pub(super) fn encode(&mut self, sinks: SinkSet, event: &Event<'_>) {
        let parser = self.parser(sinks);
        if parser.is_none() && self.id().is_none() {
            // Nearly always: nothing is made of the event.
            sinks.iter().for_each(|sink| self.encode_for(sink, event, event, None));
            self.encoded.routed += 1;
            return;
        }
        let mut parsing = std::mem::take(&mut self.state.parsing);
        self.encode_parsed(sinks, event, parser, &mut parsing);
        self.state.parsing = parsing;
    }

    /// The same with a parser that is known to be wanted.
    pub(super) fn encode_parsed(
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
        sinks.iter().for_each(|sink| self.encode_for(sink, event, &with_id, parsed));
        self.encoded.routed += 1;
    }

    /// Writes an event, which some sinks want with its id, as this sink wants it.
    #[inline]
    fn encode_for(
        &mut self,
        index: usize,
        event: &Event<'_>,
        with_id: &Event<'_>,
        parsed: Option<ParsedMessage<'_>>,
    ) {
        let read_at = self.read_at;
        let Some((sink, output)) = self.state.output(index) else { return };
        if sink.encoder.wants_envelopes() {
            return;
        }
        let event = if sink.encoder.wants_ids() { with_id } else { event };
        let done = match parsed {
            Some(parsed) if sink.encoder.takes_objects() => {
                sink.encoder.object(event, parsed.object, read_at, output)
            }
            Some(_) | None => sink.encoder.event(event, read_at, output),
        };
        let taken = output.take_taken();
        self.encoded.memory = self.encoded.memory.saturating_add(taken);
        if done == Err(TooLarge) {
            let bytes = crate::batch::message_bytes(event.message);
            self.too_large(index, LetterContent::Message, bytes.into(), Some(event));
        }
    }
}
