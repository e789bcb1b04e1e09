//! Records on their way in one request, and those that wait to be sent again.

use tokio::time::Instant;

use super::pacing::Room;
use super::record_queue::RecordQueue;
use super::service::RecordParts;
use super::split_record::split;
use super::step::RequestLoad;
use crate::event::Record;
use crate::limits::{MAX_REQUEST_RECORDS, TARGET_REQUEST_BYTES};

/// Records that are sent together.
#[derive(Debug)]
pub(super) struct PendingRequest {
    pub(super) records: Vec<Record>,
    /// How often records of it were refused one by one.
    pub(super) attempts: u32,
    /// Not mixed with others: it is a part of a request that was refused, on the way to the record at fault.
    pub(super) isolated: bool,
}

impl PendingRequest {
    pub(super) fn new(records: Vec<Record>) -> Self {
        Self { records, attempts: 0, isolated: false }
    }

    pub(super) fn bytes(&self) -> usize {
        self.records.iter().map(|record| record.len).sum()
    }

    /// When the first event of it came.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.records.iter().map(|record| record.since).min()
    }

    pub(super) fn parts(&self) -> Vec<RecordParts> {
        self.records.iter().map(|record| record.parts.clone()).collect()
    }

    /// What it carries, as pacing counts it: before compression, so that the count is the same each time it is sent.
    pub(super) fn load(&self) -> RequestLoad {
        RequestLoad::new(self.records.iter().map(|record| record.payload).sum(), self.records.len())
    }

    /// Whether both fit into one request.
    fn may_join(&self, other: &Self) -> bool {
        !self.isolated
            && !other.isolated
            && self.bytes().saturating_add(other.bytes()) <= TARGET_REQUEST_BYTES
            && self.records.len().saturating_add(other.records.len()) <= MAX_REQUEST_RECORDS
    }

    /// Keeps what there is room for, at least a record, and returns the rest, if any. Records that are too large for the room are
    /// cut.
    pub(super) fn keep(&mut self, room: Room) -> Option<Self> {
        let (bytes, size) = match room {
            Room::Full => return None,
            Room::Bytes { most, record } => (most, record),
            Room::One(record) => (0, record),
        };
        let records = std::mem::take(&mut self.records);
        self.records = records.into_iter().flat_map(|record| split(record, size)).collect();
        let mut left = bytes;
        let fits = self.records.iter().take_while(|record| {
            let fits = record.payload <= left;
            left = left.saturating_sub(record.payload);
            fits
        });
        let kept = fits.count().clamp(1, MAX_REQUEST_RECORDS).min(self.records.len());
        let others = self.records.split_off(kept);
        let rest = |records| Self { records, attempts: self.attempts, isolated: self.isolated };
        (!others.is_empty()).then(|| rest(others))
    }

    /// The two halves, to find the record at fault; `None` for a single record.
    pub(super) fn halves(mut self) -> Result<[Self; 2], Self> {
        let middle = self.records.len() / 2;
        if middle == 0 {
            return Err(self);
        }
        let second = self.records.split_off(middle);
        let half = |records| Self { records, attempts: self.attempts, isolated: true };
        Ok([half(self.records), half(second)])
    }
}

impl PendingRequest {
    /// The one record that there is, cut between its lines into requests of their own; `Err` when it cannot be cut.
    pub(super) fn cut(self) -> Result<Vec<Self>, Self> {
        let Self { records, attempts, .. } = self;
        let half = records.iter().map(|record| record.len).sum::<usize>() / 2;
        let parts: Vec<Record> = records.into_iter().flat_map(|record| split(record, half)).collect();
        if parts.len() < 2 {
            return Err(Self { records: parts, attempts, isolated: true });
        }
        Ok(parts.into_iter().map(|part| Self { records: vec![part], attempts, isolated: true }).collect())
    }
}

/// Requests to send again, each not before its time.
#[derive(Debug, Default)]
pub(super) struct RetryQueue {
    requests: Vec<(Instant, PendingRequest)>,
    bytes: usize,
}

impl RetryQueue {
    pub(super) fn push(&mut self, not_before: Instant, request: PendingRequest) {
        self.bytes = self.bytes.saturating_add(request.bytes());
        self.requests.push((not_before, request));
    }

    /// Leaves what waits to whoever runs next: whole records are on disk, and pieces of them are put there.
    pub(super) fn hand_over(&mut self, queue: &impl RecordQueue) {
        let records = std::mem::take(self).requests.into_iter().flat_map(|(_, request)| request.records);
        records.filter(|record| record.is_piece).for_each(|piece| queue.put_back(piece));
    }

    /// When the first event came of what is to be sent again.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.requests.iter().filter_map(|(_, request)| request.oldest()).min()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// What they carry.
    pub(super) fn load(&self) -> RequestLoad {
        RequestLoad::new(self.bytes, self.requests.iter().map(|(_, request)| request.records.len()).sum())
    }

    /// How many requests it takes to send them, at least.
    pub(super) fn requests(&self) -> usize {
        self.bytes.div_ceil(TARGET_REQUEST_BYTES)
    }

    /// When the next one may go.
    pub(super) fn next(&self) -> Option<Instant> {
        self.requests.iter().map(|(at, _)| *at).min()
    }

    /// The first one whose time has come, joined with others up to `most` bytes: what is refused by chance is a few
    /// records of each request, and to send them by themselves would cost a request each.
    pub(super) fn take_due(&mut self, most: usize, now: Instant) -> Option<PendingRequest> {
        let due = self.requests.iter().position(|(at, _)| *at <= now)?;
        let mut taken = self.remove(due);
        let joins = |taken: &PendingRequest, (at, other): &(Instant, PendingRequest)| {
            *at <= now && taken.bytes() < most && taken.may_join(other)
        };
        while let Some(other) = self.requests.iter().position(|other| joins(&taken, other)) {
            let other = self.remove(other);
            taken.attempts = taken.attempts.min(other.attempts);
            taken.records.extend(other.records);
        }
        Some(taken)
    }

    fn remove(&mut self, at: usize) -> PendingRequest {
        let (_, request) = self.requests.remove(at);
        let bytes = request.bytes();
        debug_assert!(self.bytes >= bytes, "{bytes} bytes leave the retries, which hold {}", self.bytes);
        self.bytes = self.bytes.saturating_sub(bytes);
        request
    }
}
