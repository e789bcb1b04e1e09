//! What of a log is still to be delivered: records that are ready in memory, and behind them a place in the file. Does no I/O.
//!
//! Records come in as they are stored. While all before them are ready too, and memory allows, they stay in memory; otherwise
//! they are read from the file when it is their turn. However long the log is, memory holds a few words for each segment.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::cursor::{Ahead, Position};
use super::frame::SEGMENT_HEADER;
use super::log::Stored;
use super::open::Segment;
use super::reader::{Loaded, LoadedRecord, Part};
use super::tracker::Tracker;
use crate::event::{AckGuard, Held, Record, Timestamp};

/// The undelivered part of a log.
#[derive(Debug)]
pub struct Backlog {
    /// From the first that is not delivered whole.
    segments: VecDeque<Known>,
    /// Up to where records were made ready, or passed over.
    read: Position,
    /// Records with the numbers of their segments, in order.
    ready: VecDeque<(u64, Record)>,
    ready_bytes: usize,
    tracker: Arc<Tracker>,
    /// Records that a run before delivered beyond the place where it stopped, by segment and end; and their events.
    ahead: BTreeMap<(u64, u64), u64>,
}

/// A segment, and how many of its events were made ready or passed over.
#[derive(Debug)]
struct Known {
    segment: Segment,
    passed: u64,
}

/// The oldest records, taken out to make room.
#[derive(Debug)]
pub struct Evicted {
    /// Their segment.
    pub segment: u64,
    /// Those that were in memory.
    pub records: Vec<Record>,
    /// Those behind them that are only in the file: where, how many events, and the ack guard for all of them.
    pub unread: Option<(Part, u64, AckGuard)>,
}

impl Backlog {
    /// What an opened log still has to deliver.
    #[must_use]
    pub fn new(segments: &[Segment], delivered: Position, ahead: &[Ahead]) -> Self {
        let passed = |segment: &Segment| {
            if segment.number == delivered.segment { delivered.events.min(segment.events) } else { 0 }
        };
        let known = segments.iter().map(|segment| Known { segment: *segment, passed: passed(segment) });
        let is_known = |record: &&Ahead| segments.iter().any(|segment| segment.number == record.segment);
        let ahead = ahead
            .iter()
            .filter(|record| (record.segment, record.end) > (delivered.segment, delivered.offset));
        Self {
            segments: known.collect(),
            read: delivered,
            ready: VecDeque::new(),
            ready_bytes: 0,
            tracker: Tracker::new(delivered),
            ahead: ahead
                .filter(is_known)
                .map(|record| ((record.segment, record.end), record.events))
                .collect(),
        }
    }

    /// Events that are only in the file.
    #[must_use]
    pub fn unread_events(&self) -> u64 {
        let unread: u64 =
            self.segments.iter().map(|known| known.segment.events.saturating_sub(known.passed)).sum();
        unread.saturating_sub(self.ahead.values().sum())
    }

    /// What follows the records' ends.
    #[must_use]
    pub fn tracker(&self) -> &Arc<Tracker> {
        &self.tracker
    }

    /// Notes where a record was stored, in the order of the log. Without memory to hold it, it is read when it is its turn.
    ///
    /// Its ack guards are the caller's, who settles them: it is on disk.
    pub fn stored(&mut self, record: Record, at: Stored, held: Option<Held>) {
        let was_caught_up = self.unread().is_none();
        match self.segments.back_mut() {
            Some(known) if known.segment.number == at.segment => {
                known.segment.end = at.end;
                known.segment.events = known.segment.events.saturating_add(record.events);
            }
            _ => {
                let segment = Segment { number: at.segment, end: at.end, events: record.events };
                self.segments.push_back(Known { segment, passed: 0 });
            }
        }
        if was_caught_up && let Some(held) = held {
            self.make_ready(record, (at.segment, at.end), held);
        }
    }

    /// Takes from the front while there are at most so many records of at most so many bytes.
    pub fn take(&mut self, mut records: usize, mut bytes: usize) -> Vec<Record> {
        let mut taken = Vec::new();
        while let Some((_, record)) = self.ready.front() {
            let (Some(fewer), Some(rest)) = (records.checked_sub(1), bytes.checked_sub(record.len)) else {
                break;
            };
            (records, bytes) = (fewer, rest);
            self.ready_bytes = self.ready_bytes.saturating_sub(record.len);
            taken.extend(self.ready.pop_front().map(|(_, record)| record));
        }
        taken
    }

    /// Bytes that are ready.
    #[must_use]
    pub fn ready_bytes(&self) -> usize {
        self.ready_bytes
    }

    /// Records that are ready.
    #[must_use]
    pub fn ready_records(&self) -> usize {
        self.ready.len()
    }

    /// When the first event of the first ready record came.
    #[must_use]
    pub fn oldest(&self) -> Option<Instant> {
        self.ready.front().map(|(_, record)| record.since)
    }

    /// What is to be read next; none when every record was made ready.
    #[must_use]
    pub fn unread(&self) -> Option<Part> {
        let part = |known: &Known| {
            let Segment { number, end, .. } = known.segment;
            let from = if number == self.read.segment {
                self.read.offset.max(SEGMENT_HEADER)
            } else {
                SEGMENT_HEADER
            };
            (number >= self.read.segment && from < end).then_some(Part { segment: number, from, end })
        };
        self.segments.iter().find_map(part)
    }

    /// Bytes of the file that are still to be read.
    #[must_use]
    pub fn unread_bytes(&self) -> u64 {
        let bytes = |known: &Known| {
            let Segment { number, end, .. } = known.segment;
            let read = if number == self.read.segment { self.read.offset } else { 0 };
            if number < self.read.segment { 0 } else { end.saturating_sub(read) }
        };
        self.segments.iter().map(bytes).sum()
    }

    /// The records that were delivered beyond the place, by this run or one before.
    #[must_use]
    pub fn ahead(&self) -> Vec<Ahead> {
        let before = self.ahead.iter();
        let before = before.map(|(&(segment, end), &events)| Ahead { segment, end, events });
        self.tracker.ahead().into_iter().chain(before).collect()
    }

    /// Whether everything that was stored has ended.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.ready.is_empty() && self.unread().is_none() && self.tracker.is_idle()
    }

    /// Makes what was read ready. Returns how many events are lost, for what was damaged.
    pub fn loaded(&mut self, loaded: Loaded, mut charge: impl FnMut(usize) -> Held) -> u64 {
        let Loaded { part, to, records, .. } = loaded;
        if self.unread().is_none_or(|now| (now.segment, now.from) != (part.segment, part.from)) {
            // It was evicted meanwhile.
            return 0;
        }
        let now = (Instant::now(), Timestamp::now());
        for read in records {
            let place = (part.segment, read.end);
            if self.ahead.remove(&place).is_some() {
                self.skip(place, read.events);
                continue;
            }
            let held = charge(read.data.len());
            self.make_ready(read.into_record(now), place, held);
        }
        self.pass(part.segment, to)
    }

    /// Takes the oldest records out that the sink has not taken: those of one segment.
    pub fn evict(&mut self) -> Option<Evicted> {
        let unread = self.unread();
        let segment = self.ready.front().map(|(segment, _)| *segment).or(unread.map(|part| part.segment))?;
        let count = self.ready.partition_point(|(number, _)| *number == segment);
        let records: Vec<Record> = self.ready.drain(..count).map(|(_, record)| record).collect();
        let bytes: usize = records.iter().map(|record| record.len).sum();
        self.ready_bytes = self.ready_bytes.saturating_sub(bytes);
        let unread = unread.filter(|part| part.segment == segment).and_then(|part| {
            let known = self.segments.iter_mut().find(|known| known.segment.number == segment)?;
            let left = known.segment.events.saturating_sub(known.passed);
            known.passed = known.segment.events;
            self.read = Position { segment, offset: part.end, events: known.passed };
            let before: u64 = self
                .ahead
                .extract_if((segment, 0)..=(segment, u64::MAX), |_, _| true)
                .map(|(_, events)| events)
                .sum();
            let events = left.saturating_sub(before);
            Some((part, events, self.tracker.begin_up_to(self.read)))
        });
        Some(Evicted { segment, records, unread })
    }

    /// Up to where the log is delivered; a segment that is delivered whole, with others behind it, is passed.
    #[must_use]
    pub fn delivered(&self) -> Position {
        let position = self.tracker.position();
        let behind = self.segments.iter().find(|known| known.segment.number > position.segment);
        let ends =
            |known: &Known| known.segment.number == position.segment && position.offset < known.segment.end;
        match behind {
            Some(next) if !self.segments.iter().any(ends) => {
                Position { segment: next.segment.number, offset: SEGMENT_HEADER, events: 0 }
            }
            _ => position,
        }
    }

    /// Forgets segments that are gone.
    pub fn forget_before(&mut self, segment: u64) {
        while self.segments.pop_front_if(|known| known.segment.number < segment).is_some() {}
    }

    fn make_ready(&mut self, mut record: Record, (segment, end): (u64, u64), held: Held) {
        let Some(known) = self.segments.iter_mut().rev().find(|known| known.segment.number == segment) else {
            return;
        };
        known.passed = known.passed.saturating_add(record.events);
        self.read = Position { segment, offset: end, events: known.passed };
        let ack = self.tracker.begin(self.read, record.events);
        ack.hold(held);
        record.acks = vec![ack];
        self.ready_bytes = self.ready_bytes.saturating_add(record.len);
        self.ready.push_back((segment, record));
    }

    /// Moves over a record that was delivered by a run before.
    fn skip(&mut self, (segment, end): (u64, u64), events: u64) {
        if let Some(known) = self.segments.iter_mut().find(|known| known.segment.number == segment) {
            known.passed = known.passed.saturating_add(events);
            self.read = Position { segment, offset: end, events: known.passed };
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
        let place = Position { segment, offset: to, events: known.passed };
        if place != self.read {
            self.read = place;
            // What is lost has ended; it is nothing that was delivered.
            self.tracker.begin_up_to(place).settle();
        }
        lost
    }
}

impl LoadedRecord {
    /// The record as a sink takes it, without ack guards. `now` on both clocks.
    #[must_use]
    pub fn into_record(self, (now, wall): (Instant, Timestamp)) -> Record {
        let age = u64::try_from(wall.0.saturating_sub(self.time.0)).unwrap_or(0);
        Record {
            len: self.data.len(),
            parts: vec![self.data],
            payload: self.payload,
            compressed: self.compressed,
            events: self.events,
            acks: Vec::new(),
            origin: self.meta.origin,
            since: now.checked_sub(Duration::from_millis(age)).unwrap_or(now),
        }
    }
}
