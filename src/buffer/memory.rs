//! Records in memory: their ack guards are settled by the sink.

use std::collections::VecDeque;

use tokio::time::Instant;

use crate::event::Record;

/// A queue of records that knows its size.
#[derive(Debug, Default)]
pub struct MemoryBuffer {
    records: VecDeque<Record>,
    bytes: usize,
}

impl MemoryBuffer {
    /// Adds a record.
    pub fn push(&mut self, record: Record) {
        self.bytes = self.bytes.saturating_add(record.len);
        self.records.push_back(record);
    }

    /// Takes from the front while there are at most so many records of at most so many bytes.
    pub fn take(&mut self, mut records: usize, mut bytes: usize) -> Vec<Record> {
        let mut taken = Vec::new();
        while let Some(record) = self.records.front() {
            let (Some(fewer), Some(rest)) = (records.checked_sub(1), bytes.checked_sub(record.len)) else {
                break;
            };
            (records, bytes) = (fewer, rest);
            self.bytes = self.bytes.saturating_sub(record.len);
            taken.extend(self.records.pop_front());
        }
        taken
    }

    /// Bytes waiting.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Records waiting.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// When the first event of the first record came.
    #[must_use]
    pub fn oldest(&self) -> Option<Instant> {
        self.records.front().map(|record| record.since)
    }
}
