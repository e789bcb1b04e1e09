//! Which events of a log group were delivered: their ids, as long as they can be read again. Pure; `seen_files` has them on disk.
//!
//! An id is kept as 64 bits of a hash, by the time of its event: in buckets of at most an hour, halved when they have many. A poll
//! goes from the past to the present, so that it needs one bucket after the other; only a few are in memory.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};

/// The longest span of a bucket, in milliseconds.
const LONGEST: i64 = 3_600_000;

/// A bucket that has more ids is halved, if it can be.
const MOST: usize = 64 << 10;

/// An event, as it is remembered.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct EventKey {
    /// The event's time, in milliseconds since 1970.
    pub(super) time: i64,
    /// Of its time and its id.
    pub(super) hash: u64,
}

impl EventKey {
    /// The key of an event with this id, as it stands in a page.
    pub(super) fn of(time: i64, id: &[u8]) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(&time.to_le_bytes());
        context.update(id);
        let hash = context.finish().as_ref().first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
        Self { time, hash }
    }
}

/// The span of a bucket: from its first millisecond to the one after its last.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct BucketSpan {
    pub(super) from: i64,
    pub(super) end: i64,
}

impl BucketSpan {
    /// The hour that a time is in.
    fn hour_of(time: i64) -> Self {
        let from = time.div_euclid(LONGEST).saturating_mul(LONGEST);
        Self { from, end: from.saturating_add(LONGEST) }
    }

    /// Its file in the folder of its log group.
    pub(super) fn path(self, dir: &Path) -> PathBuf {
        dir.join(format!("{}-{}", self.from, self.end))
    }

    /// Both halves; none of a single millisecond.
    pub(super) fn halves(self) -> Option<[Self; 2]> {
        let middle = self.from.midpoint(self.end);
        let halves = [Self { end: middle, ..self }, Self { from: middle, ..self }];
        halves.iter().all(|half| half.from < half.end).then_some(halves)
    }

    pub(super) const fn holds(self, time: i64) -> bool {
        self.from <= time && time < self.end
    }
}

#[derive(Debug)]
struct Bucket {
    span: BucketSpan,
    /// Ids in its file.
    stored: usize,
    /// The same in order, if they are in memory.
    ids: Option<Vec<u64>>,
    /// When it was needed last.
    used: u64,
}

/// The ids of one log group.
#[derive(Debug, Default)]
pub(super) struct SeenIds {
    /// By their first millisecond; none overlaps another.
    buckets: BTreeMap<i64, Bucket>,
    /// Of events that are on their way, or were delivered and are still to be stored.
    pending: HashSet<EventKey>,
    uses: u64,
}

impl SeenIds {
    /// What an earlier run stored.
    pub(super) fn stored_before(files: impl IntoIterator<Item = (BucketSpan, usize)>) -> Self {
        let bucket =
            |(span, stored): (BucketSpan, usize)| (span.from, Bucket { span, stored, ids: None, used: 0 });
        Self { buckets: files.into_iter().map(bucket).collect(), ..Self::default() }
    }

    /// Buckets that have to be read before these times can be asked about.
    pub(super) fn missing(&mut self, times: impl IntoIterator<Item = i64>) -> Vec<BucketSpan> {
        self.uses += 1;
        let (uses, mut missing, mut last) = (self.uses, Vec::new(), None);
        for time in times {
            if last.is_some_and(|span: BucketSpan| span.holds(time)) {
                continue;
            }
            let Some(bucket) = find(&mut self.buckets, time) else { continue };
            last = Some(bucket.span);
            if bucket.ids.is_none() && bucket.used != uses {
                missing.push(bucket.span);
            }
            bucket.used = uses;
        }
        missing
    }

    /// Puts the ids of a bucket into memory.
    pub(super) fn load(&mut self, span: BucketSpan, mut ids: Vec<u64>) {
        ids.sort_unstable();
        if let Some(bucket) = self.buckets.get_mut(&span.from) {
            bucket.ids = Some(ids);
        }
    }

    /// Notes that an event goes on its way, unless it was seen before; its bucket has to be in memory.
    pub(super) fn is_new(&mut self, key: EventKey) -> bool {
        let known = find(&mut self.buckets, key.time).and_then(|bucket| bucket.ids.as_ref());
        let is_known = known.is_some_and(|ids| ids.binary_search(&key.hash).is_ok());
        !is_known && self.pending.insert(key)
    }

    /// Events that were given up: they are new when they are read again.
    pub(super) fn forget(&mut self, keys: &[EventKey]) {
        for key in keys {
            self.pending.remove(key);
        }
    }

    /// The buckets that events belong to, made where there is none.
    pub(super) fn place(&mut self, keys: &[EventKey]) -> BTreeMap<i64, (BucketSpan, Vec<EventKey>)> {
        let mut placed: BTreeMap<i64, (BucketSpan, Vec<EventKey>)> = BTreeMap::new();
        for key in keys {
            let span = match find(&mut self.buckets, key.time) {
                Some(bucket) => bucket.span,
                None => self.make(key.time),
            };
            placed.entry(span.from).or_insert_with(|| (span, Vec::new())).1.push(*key);
        }
        placed
    }

    /// Between its neighbours, within its hour.
    fn make(&mut self, time: i64) -> BucketSpan {
        let hour = BucketSpan::hour_of(time);
        let before = self.buckets.range(..=time).next_back().map_or(hour.from, |(_, bucket)| bucket.span.end);
        let after = self.buckets.range(time..).next().map_or(hour.end, |(from, _)| *from);
        let span = BucketSpan { from: hour.from.max(before), end: hour.end.min(after) };
        self.uses += 1;
        let bucket = Bucket { span, stored: 0, ids: Some(Vec::new()), used: self.uses };
        self.buckets.insert(span.from, bucket);
        span
    }

    /// These ids are in the bucket's file. Whether it has so many that it is to be halved.
    pub(super) fn stored(&mut self, span: BucketSpan, keys: &[EventKey]) -> bool {
        self.forget(keys);
        let Some(bucket) = self.buckets.get_mut(&span.from) else { return false };
        bucket.stored = bucket.stored.saturating_add(keys.len());
        if let Some(ids) = &mut bucket.ids {
            ids.extend(keys.iter().map(|key| key.hash));
            ids.sort_unstable();
        }
        bucket.stored > MOST && span.halves().is_some()
    }

    /// A bucket's file was halved into files of so many ids.
    pub(super) fn halved(&mut self, span: BucketSpan, counts: [usize; 2]) {
        let (Some(halves), Some(_)) = (span.halves(), self.buckets.remove(&span.from)) else { return };
        for (span, stored) in halves.into_iter().zip(counts) {
            self.buckets.insert(span.from, Bucket { span, stored, ids: None, used: 0 });
        }
    }

    /// Forgets what comes before `floor`, and says which files go.
    pub(super) fn forget_before(&mut self, floor: i64) -> Vec<BucketSpan> {
        let mut gone = Vec::new();
        while let Some(first) = self.buckets.first_entry().filter(|first| first.get().span.end <= floor) {
            gone.push(first.remove().span);
        }
        gone
    }

    /// Takes the bucket out of memory that was not needed for the longest time; false: there is none.
    pub(super) fn unload_one(&mut self) -> bool {
        let loaded = self.buckets.values_mut().filter(|bucket| bucket.ids.is_some());
        let Some(oldest) = loaded.min_by_key(|bucket| bucket.used) else { return false };
        oldest.ids = None;
        true
    }

    /// How many ids are stored.
    pub(super) fn len(&self) -> usize {
        self.buckets.values().map(|bucket| bucket.stored).sum()
    }

    /// Ids in memory beside those that are on their way.
    pub(super) fn loaded(&self) -> usize {
        self.buckets.values().filter_map(|bucket| bucket.ids.as_ref()).map(Vec::len).sum()
    }

    /// Bytes in memory.
    pub(super) fn bytes(&self) -> usize {
        /// A place in the set, and its share of what is empty.
        const PLACE: usize = 2 * size_of::<EventKey>();
        let ids = self.buckets.values().filter_map(|bucket| bucket.ids.as_ref());
        let buckets = self.buckets.len().saturating_mul(2 * size_of::<Bucket>());
        ids.map(|ids| ids.capacity() * size_of::<u64>()).sum::<usize>() + self.pending.len() * PLACE + buckets
    }
}

fn find(buckets: &mut BTreeMap<i64, Bucket>, time: i64) -> Option<&mut Bucket> {
    let (_, bucket) = buckets.range_mut(..=time).next_back()?;
    Some(bucket).filter(|bucket| bucket.span.holds(time))
}
