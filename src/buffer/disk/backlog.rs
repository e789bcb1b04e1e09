//! What of a log is still to be delivered: records that are ready in memory, and behind them a place in the file. Does no I/O.
//!
//! Records come in as they are stored. While all before them are ready too, and memory allows, they stay in memory; otherwise
//! they are read from the file when it is their turn. However long the log is, memory holds a few words for each segment.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::cursor::{LogPosition, OutOfOrderAck};
use super::frame::SEGMENT_HEADER;
use super::open::{LogContents, LogSegment};
use super::reader::{LoadedRange, SegmentRange};
use super::stored::StoredAt;
use super::tracker::AckTracker;
use crate::buffer::{RecordFifo, RequestRoom};
use crate::event::{AckGuard, Held, Record, Timestamp};

/// The undelivered part of a log.
#[derive(Debug)]
pub(crate) struct Backlog {
    /// From the first that is not delivered whole.
    segments: VecDeque<KnownSegment>,
    /// Up to where records were made ready, or passed over.
    read: LogPosition,
    /// Records with the numbers of their segments, in order.
    ready: RecordFifo<u64>,
    tracker: Arc<AckTracker>,
    /// Records that a run before delivered beyond the place where it stopped, and how many events each holds.
    out_of_order: BTreeMap<StoredAt, u64>,
}

/// A segment, and how many of its events were made ready or passed over.
#[derive(Debug)]
struct KnownSegment {
    segment: LogSegment,
    passed: u64,
}

/// The oldest records, taken out to make room: all of one segment that the sink has not taken.
#[derive(Debug)]
pub(crate) struct Evicted {
    /// Their segment.
    pub(crate) segment: u64,
    /// Those that were in memory.
    pub(crate) records: Vec<Record>,
    /// Those behind them.
    pub(crate) unread: Option<EvictedRange>,
}

/// Evicted records that are only in the file.
#[derive(Debug)]
pub(crate) struct EvictedRange {
    /// Where they are.
    pub(crate) range: SegmentRange,
    /// How many events they hold.
    pub(crate) events: u64,
    /// For all of them.
    pub(crate) ack: AckGuard,
}

impl Backlog {
    /// What an opened log still has to deliver. `moved` is notified each time a record has ended.
    #[must_use]
    pub(crate) fn new(contents: &LogContents, moved: Arc<Notify>) -> Self {
        let LogContents { segments, delivered, out_of_order } = contents;
        let known = segments.iter().map(|segment| {
            let is_begun = segment.number == delivered.segment;
            let passed = if is_begun { delivered.events.min(segment.events) } else { 0 };
            KnownSegment { segment: *segment, passed }
        });
        let is_left = |ack: &&OutOfOrderAck| {
            (ack.segment, ack.end) > (delivered.segment, delivered.offset)
                && segments.iter().any(|segment| segment.number == ack.segment)
        };
        let at = |ack: &OutOfOrderAck| (StoredAt { segment: ack.segment, end: ack.end }, ack.events);
        Self {
            segments: known.collect(),
            read: *delivered,
            ready: RecordFifo::default(),
            tracker: AckTracker::new(*delivered, moved),
            out_of_order: out_of_order.iter().filter(is_left).map(at).collect(),
        }
    }

    /// Events that are only in the file.
    #[must_use]
    pub(crate) fn unread_events(&self) -> u64 {
        let unread: u64 =
            self.segments.iter().map(|known| known.segment.events.saturating_sub(known.passed)).sum();
        unread.saturating_sub(self.out_of_order.values().sum())
    }

    /// Up to where every record has ended. Cheaper than [`Self::delivered`], and enough to see whether it moved.
    #[must_use]
    pub(crate) fn ended(&self) -> LogPosition {
        self.tracker.position()
    }

    /// Where the last record was stored; none: all that was is delivered and forgotten.
    #[must_use]
    pub(crate) fn stored_last(&self) -> Option<StoredAt> {
        let last = self.segments.back()?.segment;
        Some(StoredAt { segment: last.number, end: last.end })
    }

    /// Whether a record of the segment was taken and has not ended.
    #[must_use]
    pub(crate) fn is_under_way(&self, segment: u64) -> bool {
        self.tracker.is_under_way(segment)
    }

    /// Notes where a record was stored, in the order of the log. Without memory to hold it, it is read when it is its turn.
    ///
    /// Its ack guards are the caller's, who settles them: it is on disk.
    pub(crate) fn stored(&mut self, record: Record, at: StoredAt, held: Option<Held>) {
        let was_caught_up = self.unread().is_none();
        match self.segments.back_mut() {
            Some(known) if known.segment.number == at.segment => {
                known.segment.end = at.end;
                known.segment.events = known.segment.events.saturating_add(record.events);
            }
            _ => {
                let segment = LogSegment { number: at.segment, end: at.end, events: record.events };
                self.segments.push_back(KnownSegment { segment, passed: 0 });
            }
        }
        if was_caught_up && let Some(held) = held {
            self.make_ready(record, at, held);
        }
    }

    /// Takes what a new request carries, and the first ready record in any case.
    pub(crate) fn take_request(&mut self, room: RequestRoom) -> Vec<Record> {
        self.ready.take_request(room)
    }

    /// Takes only what there is room for.
    pub(crate) fn take_fitting(&mut self, room: RequestRoom) -> Vec<Record> {
        self.ready.take_fitting(room)
    }

    /// Bytes that are ready.
    #[must_use]
    pub(crate) fn ready_bytes(&self) -> usize {
        self.ready.bytes()
    }

    /// Records that are ready.
    #[must_use]
    pub(crate) fn ready_records(&self) -> usize {
        self.ready.len()
    }

    /// When the first event of the first ready record came.
    #[must_use]
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.ready.oldest()
    }

    /// What is to be read next; none when every record was made ready.
    #[must_use]
    pub(crate) fn unread(&self) -> Option<SegmentRange> {
        let range = |known: &KnownSegment| {
            let LogSegment { number, end, .. } = known.segment;
            let from = if number == self.read.segment {
                self.read.offset.max(SEGMENT_HEADER)
            } else {
                SEGMENT_HEADER
            };
            (number >= self.read.segment && from < end).then_some(SegmentRange { segment: number, from, end })
        };
        self.segments.iter().find_map(range)
    }

    /// Bytes of the file that are still to be read.
    #[must_use]
    pub(crate) fn unread_bytes(&self) -> u64 {
        let bytes = |known: &KnownSegment| {
            let LogSegment { number, end, .. } = known.segment;
            let read = if number == self.read.segment { self.read.offset } else { 0 };
            if number < self.read.segment { 0 } else { end.saturating_sub(read) }
        };
        self.segments.iter().map(bytes).sum()
    }

    /// The records that were delivered beyond the place, by this run or one before.
    #[must_use]
    pub(crate) fn out_of_order(&self) -> Vec<OutOfOrderAck> {
        let before = self.out_of_order.iter();
        let before = before.map(|(at, &events)| OutOfOrderAck { segment: at.segment, end: at.end, events });
        self.tracker.out_of_order().into_iter().chain(before).collect()
    }

    /// Whether everything that was stored has ended.
    #[must_use]
    pub(crate) fn is_drained(&self) -> bool {
        self.ready.is_empty() && self.unread().is_none() && self.tracker.is_idle()
    }

    /// Makes what was read ready. Returns how many events are lost, for what was damaged.
    pub(crate) fn loaded(&mut self, loaded: LoadedRange, mut charge: impl FnMut(usize) -> Held) -> u64 {
        let LoadedRange { range, to, records, .. } = loaded;
        if !self.is_next_to_read(range) {
            // It was evicted meanwhile.
            return 0;
        }
        let (now, wall) = (Instant::now(), Timestamp::now());
        for read in records {
            let at = StoredAt { segment: range.segment, end: read.end };
            if self.out_of_order.remove(&at).is_some() {
                self.skip(at, read.events);
                continue;
            }
            let held = charge(read.data.len());
            self.make_ready(read.into_record(now, wall), at, held);
        }
        self.pass(range.segment, to)
    }

    /// Whether what is to be read next begins where this range does.
    #[must_use]
    pub(crate) fn is_next_to_read(&self, range: SegmentRange) -> bool {
        self.unread().is_some_and(|next| (next.segment, next.from) == (range.segment, range.from))
    }

    /// Takes the oldest records out that the sink has not taken: those of one segment.
    pub(crate) fn evict(&mut self) -> Option<Evicted> {
        let unread = self.unread();
        let segment = self.ready.front().copied().or(unread.map(|range| range.segment))?;
        let records = self.ready.take_while(|number| *number == segment);
        let unread =
            unread.filter(|range| range.segment == segment).and_then(|range| self.evict_unread(range));
        Some(Evicted { segment, records, unread })
    }

    fn evict_unread(&mut self, range: SegmentRange) -> Option<EvictedRange> {
        let segment = range.segment;
        let known = self.segments.iter_mut().find(|known| known.segment.number == segment)?;
        let left = known.segment.events.saturating_sub(known.passed);
        known.passed = known.segment.events;
        self.read = LogPosition { segment, offset: range.end, events: known.passed };
        let whole = StoredAt { segment, end: 0 }..=StoredAt { segment, end: u64::MAX };
        let before: u64 = self.out_of_order.extract_if(whole, |_, _| true).map(|(_, events)| events).sum();
        let ack = self.tracker.begin_up_to(self.read);
        Some(EvictedRange { range, events: left.saturating_sub(before), ack })
    }

    /// Up to where the log is delivered; a segment that is delivered whole, with others behind it, is passed.
    #[must_use]
    pub(crate) fn delivered(&self) -> LogPosition {
        let position = self.tracker.position();
        let behind = self.segments.iter().find(|known| known.segment.number > position.segment);
        let ends = |known: &KnownSegment| {
            known.segment.number == position.segment && position.offset < known.segment.end
        };
        match behind {
            Some(next) if !self.segments.iter().any(ends) => {
                LogPosition { segment: next.segment.number, offset: SEGMENT_HEADER, events: 0 }
            }
            _ => position,
        }
    }

    /// Forgets segments that are gone.
    pub(crate) fn forget_before(&mut self, segment: u64) {
        while self.segments.pop_front_if(|known| known.segment.number < segment).is_some() {}
    }

    fn make_ready(&mut self, mut record: Record, at: StoredAt, held: Held) {
        let StoredAt { segment, end } = at;
        let Some(known) = self.segments.iter_mut().rev().find(|known| known.segment.number == segment) else {
            return;
        };
        known.passed = known.passed.saturating_add(record.events);
        self.read = LogPosition { segment, offset: end, events: known.passed };
        let ack = self.tracker.begin(self.read, record.events);
        ack.hold(held);
        record.acks = vec![ack];
        self.ready.push(segment, record);
    }

    /// Moves over a record that was delivered by a run before.
    fn skip(&mut self, at: StoredAt, events: u64) {
        let StoredAt { segment, end } = at;
        if let Some(known) = self.segments.iter_mut().find(|known| known.segment.number == segment) {
            known.passed = known.passed.saturating_add(events);
            self.read = LogPosition { segment, offset: end, events: known.passed };
            self.tracker.begin(self.read, events).settle();
        }
    }

    /// Moves over what was read. Events that should have been there, up to the end of what is stored, are lost.
    fn pass(&mut self, segment: u64, to: u64) -> u64 {
        let Some(known) = self.segments.iter_mut().find(|known| known.segment.number == segment) else {
            return 0;
        };
        let at_end = to >= known.segment.end;
        let lost = if at_end { known.segment.events.saturating_sub(known.passed) } else { 0 };
        known.passed = known.passed.saturating_add(lost);
        let place = LogPosition { segment, offset: to, events: known.passed };
        if place != self.read {
            self.read = place;
            // What is lost has ended; it is nothing that was delivered.
            self.tracker.begin_up_to(place).settle();
        }
        lost
    }
}
