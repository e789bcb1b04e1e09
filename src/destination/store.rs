//! Where a queue's closed records wait: in memory, or on disk.

use std::collections::VecDeque;

use tokio::time::Instant;

use crate::buffer::MemoryBuffer;
use crate::buffer::disk::Backlog;
use crate::event::Record;

/// A queue's closed records.
#[derive(Debug)]
pub(crate) enum Store {
    /// Until they are delivered, or the process ends.
    Memory(MemoryBuffer),
    /// Until they are delivered.
    Disk(Box<OnDisk>),
}

/// Records on their way to the disk, and what is there.
#[derive(Debug, Default)]
pub(crate) struct OnDisk {
    /// Closed, and not stored yet.
    pub(crate) pending: VecDeque<Record>,
    /// What is stored and not delivered; none before the log is open.
    pub(crate) backlog: Option<Backlog>,
    /// Bytes of records that the sink has taken and that have not ended.
    pub(crate) taken: usize,
    /// Records are being read.
    pub(crate) reading: bool,
    /// The buffer has no room for the next record.
    pub(crate) full: bool,
}

impl Store {
    /// Adds a closed record.
    pub(crate) fn push(&mut self, record: Record) {
        match self {
            Self::Memory(buffer) => buffer.push(record),
            Self::Disk(disk) => disk.pending.push_back(record),
        }
    }

    /// Takes what is ready from the front, while there are at most so many records of at most so many bytes.
    pub(crate) fn take(&mut self, records: usize, bytes: usize) -> Vec<Record> {
        match self {
            Self::Memory(buffer) => buffer.take(records, bytes),
            Self::Disk(disk) => {
                let taken =
                    disk.backlog.as_mut().map(|backlog| backlog.take(records, bytes)).unwrap_or_default();
                let payload = taken.iter().map(|record| record.payload).sum();
                disk.taken = disk.taken.saturating_add(payload);
                taken
            }
        }
    }

    /// When the first event of the first record that is ready came.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        match self {
            Self::Memory(buffer) => buffer.oldest(),
            Self::Disk(disk) => disk.backlog.as_ref().and_then(Backlog::oldest),
        }
    }

    /// Bytes and records that are ready.
    pub(crate) fn ready(&self) -> (usize, usize) {
        match self {
            Self::Memory(buffer) => (buffer.bytes(), buffer.len()),
            Self::Disk(disk) => disk
                .backlog
                .as_ref()
                .map_or((0, 0), |backlog| (backlog.ready_bytes(), backlog.ready_records())),
        }
    }

    /// Whether records that come next are on their way.
    pub(crate) fn is_reading(&self) -> bool {
        matches!(self, Self::Disk(disk) if disk.reading)
    }

    /// Whether everything that was stored was taken.
    pub(crate) fn is_handed_out(&self) -> bool {
        match self {
            Self::Memory(buffer) => buffer.is_empty(),
            Self::Disk(disk) => disk
                .backlog
                .as_ref()
                .is_some_and(|backlog| backlog.ready_records() == 0 && backlog.unread().is_none()),
        }
    }

    /// Whether everything that was stored has ended.
    pub(crate) fn is_drained(&self) -> bool {
        match self {
            Self::Memory(buffer) => buffer.is_empty(),
            Self::Disk(disk) => disk.backlog.as_ref().is_some_and(Backlog::is_drained),
        }
    }

    pub(crate) fn is_on_disk(&self) -> bool {
        matches!(self, Self::Disk(_))
    }

    pub(crate) fn disk(&mut self) -> Option<&mut OnDisk> {
        match self {
            Self::Memory(_) => None,
            Self::Disk(disk) => Some(disk),
        }
    }
}
