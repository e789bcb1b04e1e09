//! Records that wait on disk: the one place that knows where each of them is. The task in [`disk`](crate::destination::disk) asks it
//! what to do next, does that with the files, and tells what came of it.
//!
//! ```text
//! push ─▶ pending ─next_batch─▶ being stored ─stored─▶ in the file, and while memory allows
//!            ▲                       │                 and none before it has to be read:  ready ─take_request─▶ with the sink
//!            └──────put_back─────────┘                    └──next_read─▶ being read ─loaded─▶ │
//! ```
//!
//! What is behind `stored` is the [`Backlog`]'s: up to where the log was delivered, and what of it is still to be.
//!
//! While the log cannot be written, the sink takes what is pending from memory, once everything in the log is taken. Its sources are told
//! when it is delivered, as if there were no disk.

use std::sync::Arc;

use tokio::sync::Notify;

use super::ready::ReadyRecords;
use crate::buffer::disk::{
    Backlog, Evicted, LoadedRange, LogContents, LogPosition, OutOfOrderAck, SegmentRange, StoredAt,
};
use crate::buffer::{RecordFifo, RequestRoom};
use crate::destination::count::ByteCount;
use crate::destination::shares::MemoryShares;
use crate::event::{AckGuard, CommitTurn, Record};
use crate::limits::TARGET_REQUEST_BYTES;

/// A destination's records on their way to the disk, and there.
#[derive(Debug)]
pub(crate) struct DiskStorage {
    shares: Arc<MemoryShares>,
    /// The most bytes in memory of records that are on disk, whatever the shares say.
    most_in_memory: usize,
    /// Told when a record of the log has ended, and its cursor may move.
    changed: Arc<Notify>,
    /// Once the log is open, `backlog` is what is in it.
    log: LogCondition,
    /// Closed records that are not stored yet.
    pending: RecordFifo,
    /// Bytes accepted and not stored: in the open record, in `pending`, and being stored.
    unstored: ByteCount,
    /// What is stored and has not ended.
    backlog: Backlog,
    /// Bytes of records that the sink has taken and that have not ended.
    taken: ByteCount,
    /// Records are being read.
    reading: bool,
    /// The buffer has no room for the next record.
    full: bool,
}

/// What can be done with the log.
#[derive(Clone, Copy, Debug)]
enum LogCondition {
    /// It is not open yet.
    Opening,
    /// And cannot be.
    CannotBeOpened,
    /// It is read and written.
    Works,
    /// It is read.
    CannotBeWritten,
}

/// Records that are to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadRequest {
    /// Where they are.
    pub(crate) range: SegmentRange,
    /// About how many bytes of them.
    pub(crate) bytes: usize,
}

/// Bytes that one sync covers at the most, so that what waits for it does not wait for ever more.
const BATCH: usize = 16 * 1024 * 1024;

/// With more than this to be read back, files are no longer made to wait: they might be rotated away.
const FAR_BEHIND: u64 = 64 * 1024 * 1024;

impl DiskStorage {
    pub(crate) fn new(shares: Arc<MemoryShares>, most_in_memory: usize, changed: Arc<Notify>) -> Self {
        Self {
            shares,
            most_in_memory,
            log: LogCondition::Opening,
            pending: RecordFifo::default(),
            unstored: ByteCount::default(),
            backlog: Backlog::new(&LogContents::default(), Arc::clone(&changed)),
            changed,
            taken: ByteCount::default(),
            reading: false,
            full: false,
        }
    }
}

/// What every storage does.
impl DiskStorage {
    pub(crate) fn accept(&mut self, payload: usize) {
        self.unstored.add(payload);
    }

    pub(crate) fn push(&mut self, record: Record) {
        self.pending.push((), record);
    }

    pub(crate) fn take_request(&mut self, room: RequestRoom) -> Vec<Record> {
        if self.gives_pending() {
            let taken = self.pending.take_request(room);
            return self.taken_unstored(taken);
        }
        let taken = self.backlog.take_request(room);
        self.taken(taken)
    }

    pub(crate) fn take_fitting(&mut self, room: RequestRoom) -> Vec<Record> {
        if self.gives_pending() {
            let taken = self.pending.take_fitting(room);
            return self.taken_unstored(taken);
        }
        let taken = self.backlog.take_fitting(room);
        self.taken(taken)
    }

    pub(crate) fn release(&mut self, payload: usize) {
        self.taken.sub(payload);
    }

    pub(crate) fn ready(&self) -> ReadyRecords {
        if self.gives_pending() {
            let Self { pending, .. } = self;
            return ReadyRecords { records: pending.len(), bytes: pending.bytes(), oldest: pending.oldest() };
        }
        ReadyRecords {
            records: self.backlog.ready_records(),
            bytes: self.backlog.ready_bytes(),
            oldest: self.backlog.oldest(),
        }
    }

    pub(crate) fn is_reading(&self) -> bool {
        self.reading
    }

    pub(crate) fn is_taken(&self) -> bool {
        let is_log_taken = self.backlog.ready_records() == 0 && self.backlog.unread().is_none();
        self.is_open() && self.unstored.get() == 0 && is_log_taken
    }

    pub(crate) fn is_drained(&self) -> bool {
        self.unstored.get() == 0 && self.taken.get() == 0 && self.is_log_drained()
    }

    /// Whether nothing is under way that would free memory by itself.
    pub(crate) fn nothing_under_way(&self) -> bool {
        if self.is_broken() { self.taken.get() == 0 } else { self.held() == 0 }
    }

    pub(crate) fn held(&self) -> usize {
        self.unstored.get()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.full
    }

    /// While the destination works and the log is short, files are read no faster than it delivers, so that records need not be read
    /// back from disk. When it fails, or is far behind, everything goes to disk as fast as it comes.
    pub(crate) fn throttles(&self, working: bool) -> Option<bool> {
        let most = self.most_in_memory() / 2;
        let in_memory = self.in_memory().saturating_add(self.unstored.get());
        if !self.is_open() {
            None
        } else if !working || self.backlog.unread_bytes() > FAR_BEHIND {
            Some(false)
        } else if in_memory > most || self.backlog.unread().is_some() {
            Some(true)
        } else {
            (in_memory < most / 4 * 3).then_some(false)
        }
    }

    /// Whether the sink takes what could not be stored: it comes after what could be.
    fn gives_pending(&self) -> bool {
        self.is_broken() && self.backlog.ready_records() == 0 && self.backlog.unread().is_none()
    }

    fn taken_unstored(&mut self, records: Vec<Record>) -> Vec<Record> {
        self.unstored.sub(records.iter().map(|record| record.payload).sum());
        self.taken(records)
    }

    fn taken(&mut self, records: Vec<Record>) -> Vec<Record> {
        self.taken.add(records.iter().map(|record| record.payload).sum());
        records
    }

    /// Bytes that have not ended; and of these, bytes that have to be read back.
    pub(crate) fn not_ended(&self) -> (u64, u64) {
        let unread = self.backlog.unread_bytes();
        let in_memory = self.in_memory().saturating_add(self.unstored.get()) as u64;
        (in_memory.saturating_add(unread), unread)
    }

    /// Bytes in memory of records that are on disk.
    fn in_memory(&self) -> usize {
        self.backlog.ready_bytes().saturating_add(self.taken.get())
    }

    fn most_in_memory(&self) -> usize {
        self.shares.most_stored().min(self.most_in_memory)
    }
}

/// What the task that has the files asks and tells.
impl DiskStorage {
    /// The log is open, and this is in it. Returns how many events it still has to deliver.
    pub(crate) fn opened(&mut self, contents: &LogContents) -> u64 {
        self.backlog = Backlog::new(contents, Arc::clone(&self.changed));
        self.log = LogCondition::Works;
        self.backlog.unread_events()
    }

    /// Whether no record waits to be stored.
    pub(crate) fn has_no_pending(&self) -> bool {
        self.pending.is_empty()
    }

    /// Takes as many records as one sync may cover; none before the log is open.
    pub(crate) fn next_batch(&mut self) -> Vec<Record> {
        if !self.is_open() {
            return Vec::new();
        }
        self.pending.take_request(RequestRoom { records: usize::MAX, bytes: BATCH })
    }

    /// These records of a batch could not be stored; they are the next to try.
    pub(crate) fn put_back(&mut self, records: Vec<Record>) {
        self.pending.put_back(records.into_iter().map(|record| ((), record)));
    }

    /// Notes whether the log can be written: what is pending waits for it, or is delivered from memory.
    pub(crate) fn set_broken(&mut self, broken: bool) {
        self.log = match (self.is_open(), broken) {
            (true, true) => LogCondition::CannotBeWritten,
            (true, false) => LogCondition::Works,
            (false, true) => LogCondition::CannotBeOpened,
            (false, false) => LogCondition::Opening,
        };
    }

    /// Whether the log cannot be written.
    pub(crate) fn is_broken(&self) -> bool {
        matches!(self.log, LogCondition::CannotBeWritten | LogCondition::CannotBeOpened)
    }

    /// Whether it is known what is in the log.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.log, LogCondition::Works | LogCondition::CannotBeWritten)
    }

    /// Notes whether the buffer has room for the next record.
    pub(crate) fn set_full(&mut self, full: bool) {
        self.full = full;
    }

    /// These records are on disk. They stay in memory too, while there is room, and none before them has to be read.
    ///
    /// Returns their ack guards, to be settled without the lock: sources are told.
    pub(crate) fn stored(&mut self, records: impl Iterator<Item = (Record, StoredAt)>) -> Vec<AckGuard> {
        let mut acks = Vec::new();
        for (mut record, at) in records {
            acks.append(&mut record.acks);
            self.unstored.sub(record.payload);
            let in_memory = self.in_memory();
            let fits = in_memory == 0 || in_memory.saturating_add(record.len) <= self.most_in_memory();
            let budget = self.shares.budget();
            let held = if fits { budget.reserve(record.len as u64, CommitTurn::Now) } else { None };
            self.backlog.stored(record, at, held);
        }
        acks
    }

    /// What is to be read now: what the sink needs next, or as much as there is room for in memory.
    pub(crate) fn next_read(&mut self) -> Option<ReadRequest> {
        let range = self.backlog.unread()?;
        let in_memory = self.in_memory();
        let room = self.most_in_memory().saturating_sub(in_memory);
        let is_needed = in_memory == 0 || (self.backlog.ready_records() == 0 && room > 0);
        self.reading = is_needed || room >= TARGET_REQUEST_BYTES;
        self.reading.then_some(ReadRequest { range, bytes: room.clamp(1, TARGET_REQUEST_BYTES) })
    }

    /// These records were read. Returns how many events are lost.
    pub(crate) fn loaded(&mut self, loaded: LoadedRange) -> u64 {
        self.reading = false;
        let Self { backlog, shares, .. } = self;
        backlog.loaded(loaded, |bytes| shares.budget().charge(bytes as u64))
    }

    /// The range could not be read. Returns whether it is still to be read: it may have been evicted meanwhile.
    pub(crate) fn read_failed(&mut self, range: SegmentRange) -> bool {
        self.reading = false;
        self.backlog.is_next_to_read(range)
    }

    /// Whether the range is still to be read: it may have been evicted meanwhile.
    pub(crate) fn is_next_to_read(&self, range: SegmentRange) -> bool {
        self.backlog.is_next_to_read(range)
    }

    /// Where the last record was stored that is not delivered and forgotten.
    pub(crate) fn stored_last(&self) -> Option<StoredAt> {
        self.backlog.stored_last()
    }

    /// Takes out the oldest records that the sink has not taken.
    pub(crate) fn evict(&mut self) -> Option<Evicted> {
        self.backlog.evict()
    }

    /// Up to where every record of the log has ended.
    pub(crate) fn ended(&self) -> LogPosition {
        self.backlog.ended()
    }

    /// Up to where the log is delivered, for its cursor.
    pub(crate) fn delivered(&self) -> LogPosition {
        self.backlog.delivered()
    }

    /// What is delivered beyond that place.
    pub(crate) fn out_of_order(&self) -> Vec<OutOfOrderAck> {
        self.backlog.out_of_order()
    }

    /// Whether a record of the segment was taken and has not ended.
    pub(crate) fn is_under_way(&self, segment: u64) -> bool {
        self.backlog.is_under_way(segment)
    }

    /// Whether everything in the log has ended.
    pub(crate) fn is_log_drained(&self) -> bool {
        self.is_open() && self.backlog.is_drained()
    }

    /// Forgets segments that are gone.
    pub(crate) fn forget_before(&mut self, segment: u64) {
        self.backlog.forget_before(segment);
    }
}
