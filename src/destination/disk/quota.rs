//! How much a sink's disk buffer may hold, over its destinations.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::config::{Buffer, DiskBuffer, WhenFull};
use crate::overview::DiskUse;

/// The bytes of a sink's disk buffer.
#[derive(Debug)]
pub(crate) struct DiskQuota {
    max: u64,
    when_full: WhenFull,
    /// Bytes of files, and bytes reserved for what is being written.
    used: AtomicU64,
    destinations: AtomicUsize,
    freed: Notify,
}

/// Room for the first of some records.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Reservation {
    /// How many of the records.
    pub(crate) records: usize,
    /// The bytes that are reserved for them.
    pub(crate) bytes: u64,
}

/// A segment is an eighth of the buffer, within these bounds: small enough that room comes back soon, and large enough that
/// there are few files.
const LEAST_SEGMENT: u64 = 1024 * 1024;
const MOST_SEGMENT: u64 = 64 * 1024 * 1024;

impl DiskQuota {
    /// The quota of a sink. One whose buffer is in memory has no bounds for what an earlier run left on disk.
    #[must_use]
    pub(crate) fn new(buffer: Buffer) -> Self {
        let (max, when_full) = match buffer {
            Buffer::Memory => (u64::MAX, WhenFull::Block),
            Buffer::Disk(DiskBuffer { max, when_full }) => (max, when_full),
        };
        let (used, destinations) = (AtomicU64::new(0), AtomicUsize::new(0));
        Self { max, when_full, used, destinations, freed: Notify::new() }
    }

    /// What becomes of records that there is no room for.
    #[must_use]
    pub(crate) fn when_full(&self) -> WhenFull {
        self.when_full
    }

    /// Bytes at which a segment is full.
    #[must_use]
    pub(crate) fn segment_bytes(&self) -> u64 {
        (self.max / 8).clamp(LEAST_SEGMENT, MOST_SEGMENT)
    }

    /// Most bytes of records on disk that one destination keeps in memory as well: what the sink has taken cannot make room.
    #[must_use]
    pub(crate) fn most_in_memory(&self) -> usize {
        usize::try_from(self.max / 4).unwrap_or(usize::MAX)
    }

    /// How much of it is used; none: the buffer is in memory.
    #[must_use]
    pub(crate) fn disk_use(&self) -> Option<DiskUse> {
        let bytes = self.used.load(Ordering::Acquire);
        (self.max < u64::MAX).then_some(DiskUse { bytes, max_bytes: self.max })
    }

    /// A destination more.
    pub(crate) fn join(&self) {
        self.destinations.fetch_add(1, Ordering::AcqRel);
    }

    /// A destination less.
    pub(crate) fn leave(&self) {
        self.destinations.fetch_sub(1, Ordering::AcqRel);
    }

    /// Reserves room for as many records of these `sizes`, from the first on, as there is. `mine` is what the destination has
    /// already: of several, each may have as much as is left free, so that one that is dead leaves room for the others.
    #[must_use]
    pub(crate) fn reserve(&self, mine: u64, sizes: &[u64]) -> Reservation {
        let mut reserved = Reservation::default();
        let reserve = |used: u64| {
            let room = self.room(mine, used);
            let sums = sizes.iter().scan(0u64, |sum, size| {
                *sum = sum.saturating_add(*size);
                Some(*sum)
            });
            reserved = sums.take_while(|sum| *sum <= room).fold(Reservation::default(), |reserved, sum| {
                Reservation { records: reserved.records.saturating_add(1), bytes: sum }
            });
            Some(used.saturating_add(reserved.bytes))
        };
        // Never an error: there is always a next value.
        self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, reserve).ok();
        reserved
    }

    /// Gives a reservation back, once what was written is counted.
    pub(crate) fn give_back(&self, reserved: Reservation) {
        self.less(reserved.bytes);
    }

    /// A destination has so many bytes now instead of those before.
    pub(crate) fn change(&self, before: u64, now: u64) {
        if now >= before {
            self.used.fetch_add(now.saturating_sub(before), Ordering::AcqRel);
        } else {
            self.less(before.saturating_sub(now));
        }
    }

    /// Resolves when room came back after the call.
    pub(crate) fn freed(&self) -> Notified<'_> {
        self.freed.notified()
    }

    /// Whether a record of any size would fit, beside what the destination has already.
    #[must_use]
    pub(crate) fn has_room(&self, mine: u64) -> bool {
        self.room(mine, self.used.load(Ordering::Acquire)) >= 2 * LEAST_SEGMENT
    }

    fn less(&self, bytes: u64) {
        let before = self.used.fetch_sub(bytes, Ordering::AcqRel);
        debug_assert!(before >= bytes, "{bytes} bytes leave the disk buffer, and only {before} are there");
        self.freed.notify_waiters();
    }

    fn room(&self, mine: u64, used: u64) -> u64 {
        let free = self.max.saturating_sub(used);
        let several = self.destinations.load(Ordering::Acquire) > 1;
        if several { free.saturating_sub(mine) } else { free }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn quota(max: u64) -> DiskQuota {
        DiskQuota::new(Buffer::Disk(DiskBuffer { max, when_full: WhenFull::Block }))
    }

    fn reserved(records: usize, bytes: u64) -> Reservation {
        Reservation { records, bytes }
    }

    #[test]
    fn what_does_not_fit_is_not_reserved() {
        let quota = quota(10 * MIB);
        quota.join();
        assert_eq!(quota.reserve(0, &[4 * MIB, 4 * MIB, 4 * MIB]), reserved(2, 8 * MIB));
        assert_eq!(quota.reserve(0, &[4 * MIB]), reserved(0, 0));
        quota.change(0, 7 * MIB);
        quota.give_back(reserved(2, 8 * MIB));
        assert_eq!(quota.reserve(7 * MIB, &[2 * MIB, 2 * MIB]), reserved(1, 2 * MIB));
    }

    #[test]
    fn one_of_several_destinations_leaves_room_for_the_others() {
        let quota = quota(12 * MIB);
        quota.join();
        quota.join();
        let mut mine = 0;
        while let Reservation { records: 1, bytes } = quota.reserve(mine, &[MIB]) {
            mine += bytes;
        }
        assert_eq!(mine, 6 * MIB);
        assert_eq!(quota.reserve(0, &[MIB]), reserved(1, MIB));
    }

    #[test]
    fn segments_are_an_eighth_of_the_buffer_within_bounds() {
        for (max, segment) in [(8 * MIB, MIB), (80 * MIB, 10 * MIB), (u64::MAX, 64 * MIB)] {
            assert_eq!(quota(max).segment_bytes(), segment);
        }
    }
}
