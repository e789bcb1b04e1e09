//! Where a destination's closed records wait, in memory or on disk. No I/O is done here, and no lock taken: the queue's covers it.
//!
//! Both kinds have the same interface. Bytes are *held* from [`accept`](Storage::accept) on, while their sources wait for them:
//! in memory until they have ended, on disk until they are stored.

pub(crate) mod disk;
mod memory;
mod ready;

use std::sync::Arc;

use tokio::sync::Notify;

pub(crate) use self::disk::DiskStorage;
pub(crate) use self::memory::MemoryStorage;
pub(crate) use self::ready::ReadyRecords;
use super::shares::MemoryShares;
use crate::buffer::RequestRoom;
use crate::event::Record;
use crate::metrics::SinkMetrics;

/// A destination's closed records.
#[derive(Debug)]
pub(crate) enum Storage {
    /// Until they are delivered, or the process ends.
    Memory(MemoryStorage),
    /// Until they are delivered.
    Disk(Box<DiskStorage>),
}

/// Where a destination keeps its records.
#[derive(Clone, Copy, Debug)]
pub(crate) enum StorageOptions {
    /// In memory.
    Memory,
    /// On disk, with at most so many bytes of them in memory as well.
    Disk {
        /// The most bytes.
        most_in_memory: usize,
    },
}

impl Storage {
    /// A storage with nothing in it. `changed` is told when the log's cursor may move.
    pub(crate) fn new(
        options: StorageOptions,
        shares: &Arc<MemoryShares>,
        metrics: &SinkMetrics,
        changed: &Arc<Notify>,
    ) -> Self {
        match options {
            StorageOptions::Memory => Self::Memory(MemoryStorage::new(metrics.buffer_bytes.clone())),
            StorageOptions::Disk { most_in_memory } => {
                let storage = DiskStorage::new(Arc::clone(shares), most_in_memory, Arc::clone(changed));
                Self::Disk(Box::new(storage))
            }
        }
    }

    /// Notes bytes that come in, which [`push`](Self::push) brings once their record is closed: as they are, and before compression.
    pub(crate) fn accept(&mut self, len: usize, payload: usize) {
        match self {
            Self::Memory(memory) => memory.accept(len, payload),
            Self::Disk(disk) => disk.accept(payload),
        }
    }

    /// Adds a closed record, whose bytes were accepted.
    pub(crate) fn push(&mut self, record: Record) {
        match self {
            Self::Memory(memory) => memory.push(record),
            Self::Disk(disk) => disk.push(record),
        }
    }

    /// Takes what a new request carries: at least a record, if one is ready.
    pub(crate) fn take_request(&mut self, room: RequestRoom) -> Vec<Record> {
        match self {
            Self::Memory(memory) => memory.take_request(room),
            Self::Disk(disk) => disk.take_request(room),
        }
    }

    /// Takes what is ready and fits into a request that has this room left.
    pub(crate) fn take_fitting(&mut self, room: RequestRoom) -> Vec<Record> {
        match self {
            Self::Memory(memory) => memory.take_fitting(room),
            Self::Disk(disk) => disk.take_fitting(room),
        }
    }

    /// Records of so many bytes before compression, which were taken, have ended.
    pub(crate) fn release(&mut self, payload: usize) {
        match self {
            Self::Memory(memory) => memory.release(payload),
            Self::Disk(disk) => disk.release(payload),
        }
    }

    /// Bytes that have not ended; and of these, bytes that are on disk and not in memory.
    pub(crate) fn pending(&self) -> (u64, u64) {
        match self {
            Self::Memory(memory) => (memory.held() as u64, 0),
            Self::Disk(disk) => disk.not_ended(),
        }
    }

    /// What the sink could take now.
    pub(crate) fn ready(&self) -> ReadyRecords {
        match self {
            Self::Memory(memory) => memory.ready(),
            Self::Disk(disk) => disk.ready(),
        }
    }

    /// Whether records that come next are on their way.
    pub(crate) fn is_reading(&self) -> bool {
        match self {
            Self::Memory(_) => false,
            Self::Disk(disk) => disk.is_reading(),
        }
    }

    /// Whether the sink has taken every closed record that it will ever be given.
    pub(crate) fn is_taken(&self) -> bool {
        match self {
            Self::Memory(memory) => memory.is_taken(),
            Self::Disk(disk) => disk.is_taken(),
        }
    }

    /// Whether everything that was accepted has ended.
    pub(crate) fn is_drained(&self) -> bool {
        match self {
            Self::Memory(memory) => memory.is_drained(),
            Self::Disk(disk) => disk.is_drained(),
        }
    }

    /// Bytes whose sources wait for them.
    pub(crate) fn held(&self) -> usize {
        match self {
            Self::Memory(memory) => memory.held(),
            Self::Disk(disk) => disk.held(),
        }
    }

    /// Whether nothing is under way that would free memory by itself.
    pub(crate) fn nothing_under_way(&self) -> bool {
        match self {
            Self::Memory(memory) => memory.nothing_under_way(),
            Self::Disk(disk) => disk.nothing_under_way(),
        }
    }

    /// Whether the sink closes the open record, rather than who stores it.
    pub(crate) fn is_closed_by_sink(&self) -> bool {
        match self {
            Self::Memory(_) => true,
            Self::Disk(disk) => disk.is_broken(),
        }
    }

    /// The most bytes that may be held before sources wait. What goes to disk frees its memory even while the destination fails, as long as
    /// it gets there.
    pub(crate) fn most_held(&self, shares: &MemoryShares, failing: bool) -> usize {
        match self {
            Self::Memory(_) => shares.most_held(failing),
            Self::Disk(disk) => shares.most_held(failing && disk.is_broken()),
        }
    }

    /// Whether there is no room for the next record, however little is held.
    pub(crate) fn is_full(&self) -> bool {
        match self {
            Self::Memory(_) => false,
            Self::Disk(disk) => disk.is_full(),
        }
    }

    /// Whether sources that can wait where they are had better wait; none: leave it as it is. `working`: the destination takes records,
    /// and its input goes on.
    pub(crate) fn throttles(&self, working: bool) -> Option<bool> {
        match self {
            Self::Memory(_) => None,
            Self::Disk(disk) => disk.throttles(working),
        }
    }

    /// What is on disk; none: records are in memory.
    pub(crate) fn disk(&self) -> Option<&DiskStorage> {
        match self {
            Self::Memory(_) => None,
            Self::Disk(disk) => Some(disk),
        }
    }

    /// The same, to be changed.
    pub(crate) fn disk_mut(&mut self) -> Option<&mut DiskStorage> {
        match self {
            Self::Memory(_) => None,
            Self::Disk(disk) => Some(disk),
        }
    }
}
