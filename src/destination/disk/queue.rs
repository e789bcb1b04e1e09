//! A queue whose records are kept on disk, as the task that stores and reads them sees it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use crate::buffer::disk::{Ahead, Backlog, Evicted, Loaded, Part, Position, Stored};
use crate::destination::queue::{DestinationQueue, Inner};
use crate::destination::store::{OnDisk, Store};
use crate::event::{AckGuard, Record};
use crate::limits::TARGET_REQUEST_BYTES;

/// What is to be stored now, or when to look again.
#[derive(Debug)]
pub(crate) enum ToStore {
    /// These.
    Records(Vec<Record>),
    /// The open record is due then.
    At(Instant),
    /// Nothing.
    Wait,
    /// Nothing ever again: the input has ended, and everything that was stored is delivered.
    Ended,
}

/// Bytes that one sync covers at the most, so that what waits for it does not wait for ever more.
const BATCH: usize = 16 * 1024 * 1024;

/// With more than this to be read back, files are no longer made to wait: they might be rotated away.
const FAR_BEHIND: u64 = 64 * 1024 * 1024;

impl DestinationQueue {
    /// The log is open: this is what it still has to deliver.
    pub(crate) fn opened(&self, backlog: Backlog) {
        self.with_disk(|_, disk| disk.backlog = Some(backlog));
        self.to_read.notify_one();
        self.changed.notify_one();
    }

    /// Ends the input, and leaves what is on disk there once everything is: another queue is to take it up.
    pub(crate) fn end_and_hand_over(&self) {
        self.with(|inner| (inner.ended, inner.hands_over) = (true, true));
        self.wake();
        self.left.notify_one();
    }

    /// Whether what there is still to deliver is on disk, and stays there.
    pub(crate) fn is_handed_over(&self) -> bool {
        self.with(|inner| inner.hands_over && inner.ended && inner.held == 0 && inner.store.is_on_disk())
    }

    /// Takes the records that are to be stored now.
    pub(crate) fn to_store(&self) -> ToStore {
        let now = Instant::now();
        self.with(|inner| {
            let linger = if inner.ended || self.stores_at_once(inner) { Duration::ZERO } else { self.linger };
            inner.close_aged(now, linger);
            let open_since = inner.packer.open_since();
            let (ended, held, drained) = (inner.ended, inner.held, inner.store.is_drained());
            let batch = inner.store.disk().map(OnDisk::take_pending).unwrap_or_default();
            match open_since {
                _ if !batch.is_empty() => ToStore::Records(batch),
                Some(since) => ToStore::At(since + linger),
                None if ended && held == 0 && drained => ToStore::Ended,
                None => ToStore::Wait,
            }
        })
    }

    /// Whether to wait for a fuller record is of no use: in a drain, or when sources wait for memory that only this can free.
    fn stores_at_once(&self, inner: &Inner) -> bool {
        let alone = matches!(&inner.store, Store::Disk(disk) if disk.pending.is_empty());
        self.shares.flushing.load(Ordering::Acquire) || (alone && self.shares.budget.is_spent())
    }

    /// These records are on disk. They stay in memory too, while there is room, and none before them has to be read.
    pub(crate) fn stored(&self, records: Vec<(Record, Stored)>) {
        let mut acks = Vec::new();
        self.with_disk(|unstored, disk| {
            let Some(backlog) = &mut disk.backlog else { return };
            for (mut record, at) in records {
                acks.append(&mut record.acks);
                *unstored = unstored.saturating_sub(record.payload);
                let kept = backlog.ready_bytes().saturating_add(disk.taken);
                let fits = kept == 0 || kept.saturating_add(record.len) <= self.most_in_memory();
                let held = fits.then(|| self.shares.budget.charge(record.len as u64));
                backlog.stored(record, at, held);
            }
        });
        // Outside of the lock: sources are told.
        acks.into_iter().for_each(AckGuard::settle);
        self.with(|inner| self.set_backpressure(inner));
        self.to_read.notify_one();
        self.changed.notify_one();
        self.left.notify_one();
    }

    /// These records could not be stored; they are the next to try. `full`: since the buffer has no room for them.
    pub(crate) fn not_stored(&self, records: Vec<Record>, full: bool) {
        self.with_disk(|_, disk| {
            records.into_iter().rev().for_each(|record| disk.pending.push_front(record));
            disk.full = full;
        });
        self.with(|inner| self.set_backpressure(inner));
    }

    /// Notes that there is room.
    pub(crate) fn has_room(&self) {
        self.with_disk(|_, disk| disk.full = false);
        self.with(|inner| self.set_backpressure(inner));
    }

    /// What is to be read now, and how many bytes of it.
    pub(crate) fn to_read(&self) -> Option<(Part, usize)> {
        self.with_disk(|_, disk| {
            let backlog = disk.backlog.as_ref()?;
            let part = backlog.unread()?;
            let kept = backlog.ready_bytes().saturating_add(disk.taken);
            let room = self.most_in_memory().saturating_sub(kept);
            disk.reading =
                kept == 0 || room >= TARGET_REQUEST_BYTES || (backlog.ready_records() == 0 && room > 0);
            disk.reading.then_some((part, room.clamp(1, TARGET_REQUEST_BYTES)))
        })
        .flatten()
    }

    /// These records were read. Returns how many events are lost.
    pub(crate) fn loaded(&self, loaded: Loaded) -> u64 {
        let lost = self.with_disk(|_, disk| {
            disk.reading = false;
            let hold = |bytes: usize| self.shares.budget.charge(bytes as u64);
            disk.backlog.as_mut().map_or(0, |backlog| backlog.loaded(loaded, hold))
        });
        self.with(|inner| self.set_backpressure(inner));
        self.changed.notify_one();
        lost.unwrap_or(0)
    }

    /// The part could not be read. Returns whether it is still to be read.
    pub(crate) fn not_read(&self, part: Part) -> bool {
        let wanted = self.with_disk(|_, disk| {
            disk.reading = false;
            let unread = disk.backlog.as_ref().and_then(Backlog::unread);
            unread.is_some_and(|unread| (unread.segment, unread.from) == (part.segment, part.from))
        });
        self.changed.notify_one();
        wanted.unwrap_or(false)
    }

    /// Takes out the oldest records that the sink has not taken.
    pub(crate) fn evict(&self) -> Option<Evicted> {
        self.with_disk(|_, disk| disk.backlog.as_mut()?.evict()).flatten()
    }

    /// Up to where the log is delivered.
    pub(crate) fn delivered(&self) -> Position {
        let of = |disk: &mut OnDisk| disk.backlog.as_ref().map(Backlog::delivered);
        self.with_disk(|_, disk| of(disk)).flatten().unwrap_or_default()
    }

    /// What is delivered beyond that place.
    pub(crate) fn ahead(&self) -> Vec<Ahead> {
        let of = |disk: &mut OnDisk| disk.backlog.as_ref().map(Backlog::ahead);
        self.with_disk(|_, disk| of(disk)).flatten().unwrap_or_default()
    }

    /// Forgets segments that are gone.
    pub(crate) fn forget_before(&self, segment: u64) {
        self.with_disk(|_, disk| {
            if let Some(backlog) = &mut disk.backlog {
                backlog.forget_before(segment);
            }
        });
    }

    /// Whether everything that was stored has ended, and nothing waits to be.
    pub(crate) fn is_drained(&self) -> bool {
        self.with(|inner| inner.held == 0 && inner.store.is_drained())
    }

    /// Whether everything that was stored has ended.
    pub(crate) fn is_log_drained(&self) -> bool {
        self.with(|inner| inner.store.is_drained())
    }

    /// While the destination works and the log is short, files are read no faster than it delivers, so that records need not be
    /// read back from disk. When it fails, or is far behind, everything goes to disk as fast as it comes.
    pub(crate) fn set_throttled(&self, inner: &Inner) {
        let Store::Disk(disk) = &inner.store else { return };
        let Some(backlog) = &disk.backlog else { return };
        let in_memory = backlog.ready_bytes().saturating_add(disk.taken).saturating_add(inner.held);
        let most = self.most_in_memory() / 2;
        if inner.failing || inner.ended || backlog.unread_bytes() > FAR_BEHIND {
            self.backpressure.set_throttled(false);
        } else if in_memory > most || backlog.unread().is_some() {
            self.backpressure.set_throttled(true);
        } else if in_memory < most / 4 * 3 {
            self.backpressure.set_throttled(false);
        }
    }

    /// Waits until there may be something to store.
    pub(crate) async fn may_store(&self) {
        self.to_write.notified().await;
    }

    /// Waits until there may be something to read.
    pub(crate) async fn may_read(&self) {
        self.to_read.notified().await;
    }

    /// Waits until a source waits for memory; from the call on.
    pub(crate) fn memory_spent(&self) -> tokio::sync::futures::Notified<'_> {
        self.shares.budget.spent()
    }

    /// Whether the process is about to end.
    pub(crate) fn is_closing(&self) -> bool {
        self.shares.closing.load(Ordering::Acquire)
    }

    /// Of the memory for what waits, half is for records that are on disk, in equal parts, so that sources go on reading.
    fn most_in_memory(&self) -> usize {
        let destinations = self.shares.destinations.load(Ordering::Acquire).max(1);
        let total = usize::try_from(self.shares.budget.limit()).unwrap_or(usize::MAX);
        (total / 2 / destinations).min(self.disk_memory)
    }

    /// Looks at what is on its way to the disk, with the count of bytes that are not there yet.
    fn with_disk<T>(&self, look: impl FnOnce(&mut usize, &mut OnDisk) -> T) -> Option<T> {
        self.with(|inner| {
            let Inner { held, store, .. } = inner;
            store.disk().map(|disk| look(held, disk))
        })
    }
}

impl OnDisk {
    /// As many records as one sync may cover.
    fn take_pending(&mut self) -> Vec<Record> {
        // What waits for the log to be opened, or for room, is not asked for.
        if self.backlog.is_none() {
            return Vec::new();
        }
        let mut bytes = 0usize;
        let fits = |record: &&Record| {
            bytes = bytes.saturating_add(record.len);
            bytes <= BATCH
        };
        let count = self.pending.iter().take_while(fits).count();
        self.pending.drain(..count.max(1).min(self.pending.len())).collect()
    }
}
