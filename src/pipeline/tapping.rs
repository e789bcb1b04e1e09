//! What passes is offered to who looks at it: a few events of each chunk, copied.

use super::encoded::EncodedSegment;
use super::routing::Routing;
use crate::batch;
use crate::event::{Block, Borders, Event, Message};
use crate::tap::{ChunkTaps, OfferedText};

impl Routing<'_> {
    /// Offers an event.
    #[cold]
    pub(super) fn tap_event(&mut self, event: &Event<'_>) {
        let Some(mut taps) = self.taps.take() else { return };
        taps.pass(1);
        if taps.wants_more() {
            let origin = self.origin_now();
            match event.message {
                Message::Raw(bytes) => taps.offer(OfferedText::of(bytes), &origin, None, event.timestamp),
                Message::Escaped(text) => {
                    let (inside, is_cut) = OfferedText::of_escaped(text);
                    let unescaped = &mut self.state.unescaped;
                    unescaped.clear();
                    batch::unescape(inside, unescaped);
                    taps.offer(OfferedText::of(unescaped).cut(is_cut), &origin, None, event.timestamp);
                }
            }
        }
        self.taps = Some(taps);
    }

    /// Offers the first lines of a run, as many as are looked at.
    #[cold]
    pub(super) fn tap_lines(&mut self, lines: &[u8], count: u64) {
        let Some(mut taps) = self.taps.take() else { return };
        taps.pass(count);
        let origin = self.origin_now();
        for line in whole_lines(lines) {
            if !taps.wants_more() {
                break;
            }
            taps.offer(OfferedText::of(line), &origin, None, None);
        }
        self.taps = Some(taps);
    }
}

/// Offers the first events of a segment as they are written for its sink, for this stream.
pub(super) fn tap_segment(mut taps: ChunkTaps, segment: &EncodedSegment, stream: &str) {
    taps.pass(segment.blocks.iter().map(Block::events).sum());
    for block in &segment.blocks {
        match &block.borders {
            Borders::Newlines(_) => offer_all(&taps, whole_lines(&block.data), segment, stream),
            Borders::Ends(ends) => {
                let begins = std::iter::once(0).chain(ends.iter().copied());
                let events = begins.zip(ends).filter_map(|(from, to)| {
                    let event = block.data.get(usize::try_from(from).ok()?..usize::try_from(*to).ok()?)?;
                    Some(event.strip_suffix(b"\n").unwrap_or(event))
                });
                offer_all(&taps, events, segment, stream);
            }
        }
    }
}

fn offer_all<'a>(
    taps: &ChunkTaps,
    events: impl Iterator<Item = &'a [u8]>,
    segment: &EncodedSegment,
    stream: &str,
) {
    for event in events.take_while(|_| taps.wants_more()) {
        taps.offer(OfferedText::of(event), &segment.origin, Some(stream), None);
    }
}

fn whole_lines(lines: &[u8]) -> impl Iterator<Item = &[u8]> {
    lines.strip_suffix(b"\n").unwrap_or(lines).split(|byte| *byte == b'\n')
}
