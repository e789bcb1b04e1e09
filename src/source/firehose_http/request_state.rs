//! How far one request has come, over all its deliveries.
//!
//! Firehose sends a request again, with the same id, until it is answered 200. What was taken from an earlier delivery and not
//! given up is not taken again, so that a retry goes on where the last one stopped.

use std::sync::{Arc, MutexGuard};

use libdeflater::Crc;
use tokio::sync::Notify;

use super::remembered::RememberedBytes;
use crate::event::{AckGuard, Acknowledge, Outcome, RequestNames};
use crate::sync::Lock;

/// One request's account.
#[derive(Debug)]
pub(super) struct RequestState {
    /// The lock covers a few numbers.
    state: Lock<RecordCounts>,
    changed: Notify,
    remembered: Arc<RememberedBytes>,
}

#[derive(Debug, Default)]
struct RecordCounts {
    /// Whether a delivery is being read.
    reading: bool,
    /// Whether some delivery was read to its end.
    complete: bool,
    /// Records read so far, over all deliveries, and a checksum over them.
    read: u64,
    checksum: u32,
    /// Records taken and not yet ended.
    open: u64,
    /// Which records were taken and not given up.
    taken: BitSet,
    /// While it is under way.
    names: Option<Arc<RequestNames>>,
}

/// This delivery is not the one that the id was known for.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyMismatch;

impl RequestState {
    pub(super) fn new(remembered: &Arc<RememberedBytes>) -> Arc<Self> {
        let remembered = Arc::clone(remembered);
        Arc::new(Self { state: Lock::default(), changed: Notify::new(), remembered })
    }

    /// Begins to read a delivery. None: another one is being read.
    pub(super) fn begin(self: &Arc<Self>, names: &Arc<RequestNames>) -> Option<DeliveryReader> {
        let mut state = self.state();
        if state.reading {
            return None;
        }
        state.reading = true;
        state.names = Some(Arc::clone(names));
        let known = EarlierTries { read: state.read, checksum: state.checksum };
        Some(DeliveryReader { state: Arc::clone(self), known, next: 0, checksum: 0 })
    }

    /// How the request stands; none while something is still to come.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        self.state().outcome()
    }

    /// Waits until nothing more is to come.
    pub(super) async fn ended(&self) -> Outcome {
        loop {
            let changed = self.changed.notified();
            if let Some(outcome) = self.outcome() {
                return outcome;
            }
            changed.await;
        }
    }

    fn state(&self) -> MutexGuard<'_, RecordCounts> {
        self.state.lock()
    }

    fn change(&self, change: impl FnOnce(&mut RecordCounts)) {
        let mut state = self.state();
        change(&mut state);
        let ended = state.outcome().is_some();
        let mut freed = 0;
        if ended {
            state.names = None;
        }
        if state.outcome() == Some(Outcome::Done) {
            // All are taken: that needs no list.
            freed = state.taken.forget();
        }
        drop(state);
        self.remembered.shrink(freed);
        if ended {
            self.changed.notify_waiters();
        }
    }
}

impl Acknowledge for RequestState {
    fn acknowledge(&self, number: u64, outcome: Outcome) {
        self.change(|state| {
            debug_assert!(state.open > 0, "more records ended than were taken");
            state.open = state.open.saturating_sub(1);
            if outcome == Outcome::Abandoned {
                state.taken.clear(number);
            }
        });
    }

    fn request(&self) -> Option<Arc<RequestNames>> {
        self.state().names.clone()
    }

    fn is_awaited(&self) -> bool {
        true
    }
}

impl Drop for RequestState {
    fn drop(&mut self) {
        let freed = self.state().taken.forget();
        self.remembered.shrink(freed);
    }
}

impl RecordCounts {
    fn outcome(&self) -> Option<Outcome> {
        if self.reading || self.open > 0 {
            return None;
        }
        Some(if self.has_all() { Outcome::Done } else { Outcome::Abandoned })
    }

    fn has_all(&self) -> bool {
        self.complete && self.taken.count == self.read
    }

    fn is_taken(&self, number: u64) -> bool {
        (self.has_all() && number < self.read) || self.taken.get(number)
    }
}

/// One delivery being read. Dropped before [`DeliveryReader::complete`], the delivery was broken off.
#[derive(Debug)]
pub(super) struct DeliveryReader {
    state: Arc<RequestState>,
    known: EarlierTries,
    next: u64,
    checksum: u32,
}

/// What earlier deliveries were read to.
#[derive(Clone, Copy, Debug)]
struct EarlierTries {
    read: u64,
    checksum: u32,
}

impl DeliveryReader {
    /// How many records were read of this delivery.
    pub(super) const fn records(&self) -> u64 {
        self.next
    }

    /// Takes the next record. None: an earlier delivery brought it, and it is under way or done.
    ///
    /// # Errors
    /// When what earlier deliveries brought was something else.
    pub(super) fn take(&mut self, data: &[u8]) -> Result<Option<AckGuard>, BodyMismatch> {
        let number = self.next;
        self.next = number.saturating_add(1);
        let mut crc = Crc::with_initial(self.checksum);
        crc.update(data);
        crc.update(b",");
        let checksum = crc.sum();
        self.checksum = checksum;
        if self.next == self.known.read && checksum != self.known.checksum {
            return Err(BodyMismatch);
        }
        let mut state = self.state.state();
        if state.is_taken(number) {
            return Ok(None);
        }
        if self.next > state.read {
            state.read = self.next;
            state.checksum = checksum;
        }
        let grown = state.taken.set(number);
        state.open = state.open.saturating_add(1);
        drop(state);
        self.state.remembered.grow(grown);
        let owner = Arc::clone(&self.state) as Arc<dyn Acknowledge>;
        Ok(Some(AckGuard::open(owner, number)))
    }

    /// The delivery was read to its end.
    ///
    /// # Errors
    /// When an earlier delivery brought more.
    pub(super) fn complete(self) -> Result<(), BodyMismatch> {
        if self.next < self.known.read {
            return Err(BodyMismatch);
        }
        self.state.change(|state| state.complete = true);
        Ok(())
    }
}

impl Drop for DeliveryReader {
    fn drop(&mut self) {
        self.state.change(|state| state.reading = false);
    }
}

/// A set of numbers.
#[derive(Debug, Default)]
struct BitSet {
    words: Vec<u64>,
    count: u64,
}

impl BitSet {
    fn place(number: u64) -> (usize, u64) {
        (usize::try_from(number / 64).unwrap_or(usize::MAX), 1 << (number % 64))
    }

    fn get(&self, number: u64) -> bool {
        let (word, bit) = Self::place(number);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    /// Returns how many bytes more it takes.
    fn set(&mut self, number: u64) -> u64 {
        let (word, bit) = Self::place(number);
        let before = self.bytes();
        if self.words.len() <= word {
            self.words.resize(word.saturating_add(1), 0);
        }
        if let Some(word) = self.words.get_mut(word)
            && *word & bit == 0
        {
            *word |= bit;
            self.count += 1;
        }
        self.bytes().saturating_sub(before)
    }

    /// Drops the list, not the count; returns how many bytes it took.
    fn forget(&mut self) -> u64 {
        let bytes = self.bytes();
        self.words = Vec::new();
        bytes
    }

    fn bytes(&self) -> u64 {
        self.words.capacity() as u64 * 8
    }

    fn clear(&mut self, number: u64) {
        let (word, bit) = Self::place(number);
        if let Some(word) = self.words.get_mut(word)
            && *word & bit != 0
        {
            *word &= !bit;
            self.count -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new() -> (Arc<RequestState>, Arc<RequestNames>) {
        let remembered = RememberedBytes::new(crate::event::Budget::new(1).keep());
        (RequestState::new(&remembered), Arc::default())
    }

    fn take(reader: &mut DeliveryReader, data: &str) -> Option<AckGuard> {
        reader.take(data.as_bytes()).unwrap()
    }

    #[test]
    fn a_request_is_done_when_every_record_is() {
        let (progress, names) = new();
        let mut reader = progress.begin(&names).unwrap();
        let (a, b) = (take(&mut reader, "a").unwrap(), take(&mut reader, "b").unwrap());
        a.settle();
        assert!(progress.begin(&names).is_none(), "one delivery is read at a time");
        reader.complete().unwrap();
        assert_eq!(progress.outcome(), None);
        b.settle();
        assert_eq!(progress.outcome(), Some(Outcome::Done));
        let mut again = progress.begin(&names).unwrap();
        assert!(take(&mut again, "a").is_none() && take(&mut again, "b").is_none());
        again.complete().unwrap();
        assert_eq!(progress.outcome(), Some(Outcome::Done));
    }

    #[test]
    fn a_retry_takes_only_what_was_given_up_or_never_read() {
        let (progress, names) = new();
        let mut reader = progress.begin(&names).unwrap();
        let (a, b, c) = (take(&mut reader, "a"), take(&mut reader, "b"), take(&mut reader, "c"));
        a.unwrap().settle();
        drop(b);
        drop(reader);
        assert_eq!(progress.outcome(), None, "`c` is under way");
        let mut again = progress.begin(&names).unwrap();
        assert!(take(&mut again, "a").is_none());
        let b = take(&mut again, "b").unwrap();
        assert!(take(&mut again, "c").is_none());
        let d = take(&mut again, "d").unwrap();
        again.complete().unwrap();
        for ack in [b, c.unwrap(), d] {
            assert_eq!(progress.outcome(), None);
            ack.settle();
        }
        assert_eq!(progress.outcome(), Some(Outcome::Done));
    }

    #[test]
    fn another_body_under_the_same_id_is_noticed() {
        let (progress, names) = new();
        let mut reader = progress.begin(&names).unwrap();
        for data in ["a", "b"] {
            take(&mut reader, data).unwrap().settle();
        }
        reader.complete().unwrap();
        let mut other = progress.begin(&names).unwrap();
        take(&mut other, "a");
        assert!(other.take(b"x").is_err());
        drop(other);
        let mut shorter = progress.begin(&names).unwrap();
        take(&mut shorter, "a");
        assert!(shorter.complete().is_err());
    }
}
