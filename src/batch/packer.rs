//! Fills records: towards the target, never over the limit, cut at event borders only.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use crate::config::Packing;
use crate::event::{AckGuard, Block, Borders, Origin, Record};
use crate::limits::{MAX_RECORD_BYTES, TARGET_RECORD_BYTES, billed};

/// Smaller pieces are copied together; larger ones stay where they were read.
const COPY_BELOW: usize = 4 * 1024;

/// How much room is made at a time for copied pieces.
const TAIL_BYTES: usize = 64 * 1024;

/// One destination's open record.
#[derive(Debug)]
pub struct Packer {
    packing: Packing,
    open: Option<OpenRecord>,
}

/// A record being filled.
#[derive(Debug)]
struct OpenRecord {
    packing: Packing,
    parts: Vec<Bytes>,
    tail: BytesMut,
    len: usize,
    events: u64,
    acks: Vec<AckGuard>,
    origin: Arc<Origin>,
    since: Instant,
}

impl Packer {
    /// A packer with nothing in it.
    #[must_use]
    pub fn new(packing: Packing) -> Self {
        Self { packing, open: None }
    }

    /// Adds a block's events in order; `closed` receives each record that is full.
    ///
    /// Every event of the block must fit into a record by itself.
    pub fn push(
        &mut self,
        block: &Block,
        origin: &Arc<Origin>,
        ack: AckGuard,
        now: Instant,
        closed: &mut impl FnMut(Record),
    ) {
        let mut rest = BlockCursor::new(block);
        while !rest.is_empty() {
            let open = self.open.get_or_insert_with(|| OpenRecord::new(self.packing, origin, now));
            let fitting = match self.packing {
                Packing::Lines => rest.take(TARGET_RECORD_BYTES.saturating_sub(open.len)),
                Packing::Event => None,
            };
            match fitting {
                Some((piece, events)) => open.add(&piece, events, &ack),
                None if open.events == 0 => {
                    let (piece, events) = rest.take_one();
                    debug_assert!(piece.len() <= MAX_RECORD_BYTES, "an event too large for a record");
                    open.add(&piece, events, &ack);
                    self.close(closed);
                }
                None => self.close(closed),
            }
        }
        ack.settle();
    }

    /// When the open record was begun.
    #[must_use]
    pub fn open_since(&self) -> Option<Instant> {
        self.open.as_ref().map(|open| open.since)
    }

    /// Whether the open record fills its billing steps so well that a longer one could be cheaper by no more than a fiftieth.
    #[must_use]
    pub fn fills_its_steps(&self) -> bool {
        let lacks = |open: &OpenRecord| billed(open.len).saturating_sub(open.len);
        self.open.as_ref().is_some_and(|open| lacks(open) <= open.len / 50)
    }

    /// Closes the open record, if any.
    pub fn close(&mut self, closed: &mut impl FnMut(Record)) {
        if let Some(open) = self.open.take() {
            closed(open.into_record());
        }
    }
}

impl OpenRecord {
    fn new(packing: Packing, origin: &Arc<Origin>, since: Instant) -> Self {
        Self {
            packing,
            parts: Vec::new(),
            tail: BytesMut::new(),
            len: 0,
            events: 0,
            acks: Vec::new(),
            origin: Arc::clone(origin),
            since,
        }
    }

    fn add(&mut self, piece: &Bytes, events: u64, ack: &AckGuard) {
        if self.packing == Packing::Event {
            // It has one part, of one chunk: no more memory than for that.
            self.parts.reserve_exact(1);
            self.acks.reserve_exact(1);
            let is_small = piece.len() < COPY_BELOW;
            self.parts.push(if is_small { Bytes::copy_from_slice(piece) } else { piece.clone() });
        } else if piece.len() < COPY_BELOW {
            if self.tail.capacity().saturating_sub(self.tail.len()) < piece.len() {
                self.flush_tail();
                self.tail.reserve(piece.len().max(self.next_tail()));
            }
            self.tail.extend_from_slice(piece);
        } else {
            self.flush_tail();
            self.parts.push(piece.clone());
        }
        self.len = self.len.saturating_add(piece.len());
        self.events = self.events.saturating_add(events);
        if !self.acks.last().is_some_and(|last| last.same_chunk(ack)) {
            self.acks.push(ack.split());
        }
    }

    /// Room to make next: little for a record that has little, so that a quiet destination does not hold much.
    fn next_tail(&self) -> usize {
        self.len.clamp(1024, TAIL_BYTES)
    }

    fn flush_tail(&mut self) {
        if !self.tail.is_empty() {
            self.parts.push(self.tail.split().freeze());
        }
    }

    fn into_record(mut self) -> Record {
        self.flush_tail();
        Record {
            parts: self.parts,
            len: self.len,
            payload: self.len,
            compressed: false,
            events: self.events,
            is_piece: false,
            acks: self.acks,
            origin: self.origin,
            since: self.since,
        }
    }
}

/// What is left of a block.
struct BlockCursor<'a> {
    block: &'a Block,
    /// Bytes taken so far.
    from: usize,
    /// Ends taken so far, for blocks with listed ends; newlines taken so far, for others.
    taken: u64,
}

impl<'a> BlockCursor<'a> {
    fn new(block: &'a Block) -> Self {
        Self { block, from: 0, taken: 0 }
    }

    fn is_empty(&self) -> bool {
        match &self.block.borders {
            Borders::Newlines(_) => self.from >= self.block.data.len(),
            Borders::Ends(ends) => self.taken >= ends.len() as u64,
        }
    }

    fn bytes(&self) -> &'a [u8] {
        self.block.data.get(self.from..).unwrap_or_default()
    }

    /// As many events as fit into `room`, if any do.
    fn take(&mut self, room: usize) -> Option<(Bytes, u64)> {
        let rest = self.bytes();
        if rest.len() <= room {
            let (events, taken) = (self.block.events(), self.taken);
            debug_assert!(taken <= events, "{taken} of {events} events are taken");
            return Some(self.advance(rest.len(), events.saturating_sub(taken)));
        }
        match &self.block.borders {
            Borders::Newlines(_) => {
                let end = memchr::memrchr(b'\n', rest.get(..room)?)?.saturating_add(1);
                Some(self.advance(end, self.newlines_before(end)?))
            }
            Borders::Ends(ends) => {
                let left = ends.get(usize::try_from(self.taken).ok()?..)?;
                let limit = self.from.saturating_add(room);
                let events = left.partition_point(|end| *end as usize <= limit);
                let end = *left.get(events.checked_sub(1)?)? as usize;
                Some(self.advance(end.saturating_sub(self.from), events as u64))
            }
        }
    }

    /// How many of the events that are left end before `end` of the bytes that are left. Counts on the shorter side.
    fn newlines_before(&self, end: usize) -> Option<u64> {
        let (before, behind) = self.bytes().split_at_checked(end)?;
        let count = |bytes: &[u8]| memchr::memchr_iter(b'\n', bytes).count() as u64;
        if before.len() <= behind.len() {
            return Some(count(before));
        }
        let left = self.block.events().saturating_sub(self.taken);
        Some(left.saturating_sub(count(behind)))
    }

    /// The next event alone.
    fn take_one(&mut self) -> (Bytes, u64) {
        let rest = self.bytes();
        let len = match &self.block.borders {
            Borders::Newlines(_) => memchr::memchr(b'\n', rest).map(|at| at.saturating_add(1)),
            Borders::Ends(ends) => {
                let end = usize::try_from(self.taken).ok().and_then(|taken| ends.get(taken));
                end.map(|end| (*end as usize).saturating_sub(self.from))
            }
        };
        // A border that is missing can only mean that the rest is one event.
        self.advance(len.unwrap_or(rest.len()), 1)
    }

    fn advance(&mut self, len: usize, events: u64) -> (Bytes, u64) {
        let end = self.from.saturating_add(len).min(self.block.data.len());
        let piece = self.block.data.slice(self.from.min(end)..end);
        self.from = end;
        self.taken = self.taken.saturating_add(events);
        (piece, events)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use proptest::prelude::*;

    use super::*;
    use crate::event::{AckGuard, Acknowledge, Outcome};
    use crate::limits::billed;

    struct IgnoredAck;

    impl Acknowledge for IgnoredAck {
        fn acknowledge(&self, _: u64, _: Outcome) {}
    }

    fn ack() -> AckGuard {
        AckGuard::open(Arc::new(IgnoredAck), 0)
    }

    fn with_ends(events: &[Vec<u8>]) -> Block {
        let ends = events.iter().scan(0u32, |at, event| {
            *at += u32::try_from(event.len()).unwrap();
            Some(*at)
        });
        Block { borders: Borders::Ends(ends.collect()), data: events.concat().into() }
    }

    fn lines(sizes: &[usize]) -> Block {
        let data: Vec<u8> = sizes.iter().flat_map(|size| [vec![b'x'; *size], vec![b'\n']].concat()).collect();
        Block { data: data.into(), borders: Borders::Newlines(sizes.len() as u64) }
    }

    fn pack(packing: Packing, blocks: &[Block]) -> Vec<Record> {
        let mut packer = Packer::new(packing);
        let mut records = Vec::new();
        let origin = Arc::default();
        for block in blocks {
            packer.push(block, &origin, ack(), Instant::now(), &mut |record| records.push(record));
        }
        packer.close(&mut |record| records.push(record));
        records
    }

    #[track_caller]
    fn check(packing: Packing, blocks: &[Block]) -> Vec<Record> {
        let records = pack(packing, blocks);
        let sent: Vec<u8> = blocks.iter().flat_map(|block| block.data.to_vec()).collect();
        let packed: Vec<u8> = records.iter().flat_map(|record| record.parts.concat()).collect();
        assert!(sent == packed, "the bytes changed");
        let events: u64 = records.iter().map(|record| record.events).sum();
        assert_eq!(events, blocks.iter().map(Block::events).sum::<u64>());
        for record in &records {
            assert!(record.len <= MAX_RECORD_BYTES);
            assert_eq!(record.len, record.parts.iter().map(Bytes::len).sum::<usize>());
            assert!(!record.acks.is_empty());
        }
        records
    }

    #[tokio::test]
    async fn records_are_filled_and_cut_at_line_borders() {
        let block = lines(&vec![249; 20_000]);
        let records = check(Packing::Lines, &[block.clone(), block]);
        for record in &records {
            let bytes = record.parts.concat();
            assert!(bytes.ends_with(b"\n"));
            assert_eq!(record.events, memchr::memchr_iter(b'\n', &bytes).count() as u64);
        }
        let billed_bytes: usize = records.iter().map(|record| billed(record.len)).sum();
        let payload: usize = records.iter().map(|record| record.len).sum();
        assert!(billed_bytes * 100 <= payload * 102, "{billed_bytes} billed for {payload}");
    }

    #[tokio::test]
    async fn an_event_above_the_target_has_a_record_of_its_own() {
        let records = check(Packing::Lines, &[lines(&[100, MAX_RECORD_BYTES - 1, 100])]);
        assert_eq!(records.iter().map(|record| record.events).collect::<Vec<_>>(), [1, 1, 1]);
    }

    #[tokio::test]
    async fn one_event_a_record_keeps_empty_events() {
        let block = with_ends(&[b"a".to_vec(), Vec::new(), b"b".to_vec()]);
        let records = check(Packing::Event, &[block]);
        assert_eq!(records.iter().map(|record| record.len).collect::<Vec<_>>(), [1, 0, 1]);
    }

    #[tokio::test]
    async fn a_chunk_is_done_when_its_last_record_is() {
        #[derive(Default)]
        struct AckLog(Mutex<Vec<u64>>);
        impl Acknowledge for AckLog {
            fn acknowledge(&self, number: u64, _: Outcome) {
                self.0.lock().unwrap().push(number);
            }
        }
        let seen = Arc::new(AckLog::default());
        let mut packer = Packer::new(Packing::Lines);
        let mut records = Vec::new();
        let chunk = AckGuard::open(Arc::clone(&seen) as Arc<dyn Acknowledge>, 9);
        packer.push(&lines(&[600_000; 2]), &Arc::default(), chunk, Instant::now(), &mut |record| {
            records.push(record);
        });
        packer.close(&mut |record| records.push(record));
        assert_eq!(records.len(), 2);
        for record in records {
            assert!(seen.0.lock().unwrap().is_empty());
            record.acks.into_iter().for_each(AckGuard::settle);
        }
        assert_eq!(*seen.0.lock().unwrap(), [9]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_events_are_packed_whole_and_in_order(
            blocks in prop::collection::vec(prop::collection::vec(0usize..300_000, 1..12), 1..6),
            event in any::<bool>(),
        ) {
            let packing = if event { Packing::Event } else { Packing::Lines };
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let plain: Vec<Block> = blocks.iter().map(|sizes| lines(sizes)).collect();
                check(packing, &plain);
                let listed: Vec<Block> = blocks
                    .iter()
                    .map(|sizes| with_ends(&sizes.iter().map(|size| vec![b'\n'; *size]).collect::<Vec<_>>()))
                    .collect();
                check(packing, &listed);
            });
        }
    }
}
