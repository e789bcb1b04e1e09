//! Records that wait in memory: they are gone with the process, and their sources know it.

use prometheus::IntGauge;

use super::ready::ReadyRecords;
use crate::buffer::{RecordFifo, RequestRoom};
use crate::destination::count::ByteCount;
use crate::event::Record;
use crate::metrics::gauge;

/// A destination's records in memory.
#[derive(Debug)]
pub(crate) struct MemoryStorage {
    records: RecordFifo,
    /// Bytes accepted and not ended: in the open record, here, and in requests.
    held: ByteCount,
    /// Of these, bytes that the sink has not taken.
    waiting: ByteCount,
    /// The same, over all destinations of the sink.
    buffer_bytes: IntGauge,
}

impl MemoryStorage {
    pub(crate) fn new(buffer_bytes: IntGauge) -> Self {
        Self {
            records: RecordFifo::default(),
            held: ByteCount::default(),
            waiting: ByteCount::default(),
            buffer_bytes,
        }
    }

    pub(crate) fn accept(&mut self, len: usize, payload: usize) {
        self.held.add(payload);
        self.waiting.add(len);
        self.buffer_bytes.add(gauge(len));
    }

    pub(crate) fn push(&mut self, record: Record) {
        self.records.push((), record);
    }

    pub(crate) fn take_request(&mut self, room: RequestRoom) -> Vec<Record> {
        let taken = self.records.take_request(room);
        self.taken(taken)
    }

    pub(crate) fn take_fitting(&mut self, room: RequestRoom) -> Vec<Record> {
        let taken = self.records.take_fitting(room);
        self.taken(taken)
    }

    pub(crate) fn release(&mut self, payload: usize) {
        self.held.sub(payload);
    }

    pub(crate) fn ready(&self) -> ReadyRecords {
        ReadyRecords {
            records: self.records.len(),
            bytes: self.records.bytes(),
            oldest: self.records.oldest(),
        }
    }

    pub(crate) fn is_taken(&self) -> bool {
        self.records.is_empty()
    }

    pub(crate) fn is_drained(&self) -> bool {
        self.held.get() == 0 && self.records.is_empty()
    }

    pub(crate) fn held(&self) -> usize {
        self.held.get()
    }

    /// Whether all that is held waits here.
    pub(crate) fn nothing_under_way(&self) -> bool {
        self.held.get() <= self.waiting.get()
    }

    fn taken(&mut self, records: Vec<Record>) -> Vec<Record> {
        let bytes = records.iter().map(|record| record.len).sum();
        self.waiting.sub(bytes);
        self.buffer_bytes.sub(gauge(bytes));
        records
    }
}
