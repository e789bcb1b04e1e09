//! Records in order, and as many of them as one request may carry.

use std::collections::VecDeque;

use tokio::time::Instant;

use crate::event::Record;
use crate::limits::{MAX_REQUEST_RECORDS, TARGET_REQUEST_BYTES};

/// Records in order, each with a tag of its owner's; it knows how many bytes they have.
#[derive(Debug)]
pub(crate) struct RecordFifo<T = ()> {
    records: VecDeque<(T, Record)>,
    bytes: usize,
}

/// How many records, and bytes of them, a request still has room for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestRoom {
    /// Records.
    pub(crate) records: usize,
    /// Their bytes.
    pub(crate) bytes: usize,
}

impl RequestRoom {
    /// What a request that is not begun yet has room for.
    pub(crate) const WHOLE: Self = Self { records: MAX_REQUEST_RECORDS, bytes: TARGET_REQUEST_BYTES };

    /// What a request has room for that carries so much already.
    pub(crate) fn beside(records: usize, bytes: usize) -> Self {
        Self {
            records: Self::WHOLE.records.saturating_sub(records),
            bytes: Self::WHOLE.bytes.saturating_sub(bytes),
        }
    }

    /// What is left beside a record, if it fits.
    fn less(self, record: &Record) -> Option<Self> {
        Some(Self { records: self.records.checked_sub(1)?, bytes: self.bytes.checked_sub(record.len)? })
    }
}

impl<T> Default for RecordFifo<T> {
    fn default() -> Self {
        Self { records: VecDeque::new(), bytes: 0 }
    }
}

impl<T> RecordFifo<T> {
    /// Adds a record at the end.
    pub(crate) fn push(&mut self, tag: T, record: Record) {
        self.bytes = self.bytes.saturating_add(record.len);
        self.records.push_back((tag, record));
    }

    /// Puts records back that were taken from the front, in their order.
    pub(crate) fn put_back(&mut self, records: impl DoubleEndedIterator<Item = (T, Record)>) {
        for (tag, record) in records.rev() {
            self.bytes = self.bytes.saturating_add(record.len);
            self.records.push_front((tag, record));
        }
    }

    /// Takes what a new request carries: as much as there is room for, and the first record in any case. One that is too large for
    /// any request would otherwise stop all those behind it.
    pub(crate) fn take_request(&mut self, room: RequestRoom) -> Vec<Record> {
        let Some(first) = self.pop() else { return Vec::new() };
        let left = room.less(&first);
        let mut taken = vec![first];
        if let Some(left) = left {
            taken.extend(self.take_fitting(left));
        }
        taken
    }

    /// Takes from the front only what there is room for, if anything.
    pub(crate) fn take_fitting(&mut self, mut room: RequestRoom) -> Vec<Record> {
        let mut taken = Vec::new();
        while let Some(left) = self.records.front().and_then(|(_, record)| room.less(record)) {
            room = left;
            taken.extend(self.pop());
        }
        taken
    }

    /// Takes from the front while the tags are such.
    pub(crate) fn take_while(&mut self, is_such: impl Fn(&T) -> bool) -> Vec<Record> {
        let mut taken = Vec::new();
        while self.front().is_some_and(&is_such) {
            taken.extend(self.pop());
        }
        taken
    }

    /// The first record's tag.
    #[must_use]
    pub(crate) fn front(&self) -> Option<&T> {
        self.records.front().map(|(tag, _)| tag)
    }

    /// Bytes waiting.
    #[must_use]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Records waiting.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether nothing waits.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// When the first event of the first record came.
    #[must_use]
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.records.front().map(|(_, record)| record.since)
    }

    fn pop(&mut self) -> Option<Record> {
        let (_, record) = self.records.pop_front()?;
        let left = self.bytes.checked_sub(record.len);
        debug_assert!(left.is_some(), "more bytes are taken than were pushed");
        self.bytes = left.unwrap_or(0);
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;

    fn fifo(sizes: &[usize]) -> RecordFifo<usize> {
        let mut fifo = RecordFifo::default();
        for (index, size) in sizes.iter().enumerate() {
            let record = Record {
                parts: vec![Bytes::from(vec![b'x'; *size])],
                len: *size,
                payload: *size,
                compressed: false,
                events: 1,
                is_piece: false,
                acks: Vec::new(),
                origin: Arc::default(),
                since: Instant::now(),
            };
            fifo.push(index / 2, record);
        }
        fifo
    }

    fn sizes(records: &[Record]) -> Vec<usize> {
        records.iter().map(|record| record.len).collect()
    }

    #[tokio::test]
    async fn a_request_is_filled_up_to_what_no_longer_fits() {
        let mut fifo = fifo(&[4, 4, 4, 1]);
        assert_eq!(sizes(&fifo.take_request(RequestRoom { records: 9, bytes: 10 })), [4, 4]);
        assert_eq!(sizes(&fifo.take_request(RequestRoom { records: 1, bytes: 10 })), [4]);
        assert_eq!((fifo.bytes(), fifo.len()), (1, 1));
    }

    #[tokio::test]
    async fn a_request_is_never_empty_while_a_record_waits() {
        let mut fifo = fifo(&[50, 4, 50]);
        assert_eq!(sizes(&fifo.take_request(RequestRoom { records: 9, bytes: 10 })), [50]);
        assert_eq!(sizes(&fifo.take_request(RequestRoom { records: 9, bytes: 10 })), [4]);
        assert_eq!(sizes(&fifo.take_request(RequestRoom { records: 9, bytes: 10 })), [50]);
        assert!(fifo.take_request(RequestRoom { records: 9, bytes: 10 }).is_empty());
        assert_eq!(fifo.bytes(), 0);
    }

    #[tokio::test]
    async fn what_is_added_to_a_request_fits_into_it() {
        let mut fifo = fifo(&[4, 50]);
        assert_eq!(sizes(&fifo.take_fitting(RequestRoom { records: 9, bytes: 10 })), [4]);
        assert!(fifo.take_fitting(RequestRoom { records: 9, bytes: 10 }).is_empty());
        assert!(fifo.take_fitting(RequestRoom { records: 0, bytes: 100 }).is_empty());
    }

    #[tokio::test]
    async fn records_of_one_tag_are_taken_together() {
        let mut fifo = fifo(&[1, 2, 3]);
        assert_eq!(sizes(&fifo.take_while(|tag| *tag == 0)), [1, 2]);
        assert_eq!((fifo.front(), fifo.bytes()), (Some(&1), 3));
    }
}
