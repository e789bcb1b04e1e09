//! Which requests are known by their id: those in flight, and those that ended of late.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::progress::Progress;

/// A request's id and the ARN of the stream that sent it.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Key {
    pub(super) id: Box<str>,
    pub(super) source_arn: Box<str>,
}

/// The known requests; bounded in number and age.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// The lock covers a look-up, and now and then a sweep over at most [`MOST`] entries.
    entries: Mutex<HashMap<Key, Entry>>,
}

#[derive(Debug)]
struct Entry {
    progress: Arc<Progress>,
    begun: Instant,
    seen: Instant,
}

/// Most requests known at once.
const MOST: usize = 4_096;

/// How long a request is known after it was last seen.
const MEMORY: Duration = Duration::from_mins(10);

impl Ledger {
    /// The account of a request, opened if it is not known.
    pub(super) fn progress(&self, key: &Key, now: Instant) -> Arc<Progress> {
        let mut entries = self.entries();
        if let Some(entry) = entries.get_mut(key)
            && !entry.is_stale(now)
        {
            entry.seen = now;
            return Arc::clone(&entry.progress);
        }
        if entries.len() >= MOST {
            sweep(&mut entries, now);
        }
        let progress = Arc::new(Progress::default());
        // When every known request is in flight, a new one is not remembered: a retry of it is then a request of its own.
        if entries.len() < MOST {
            entries.insert(key.clone(), Entry { progress: Arc::clone(&progress), begun: now, seen: now });
        }
        progress
    }

    /// The age of the oldest request in flight.
    pub(super) fn lag(&self, now: Instant) -> Duration {
        let entries = self.entries();
        let begun = entries.values().filter(|entry| !entry.is_idle()).map(|entry| entry.begun).min();
        begun.map(|begun| now.saturating_duration_since(begun)).unwrap_or_default()
    }

    /// Forgets a request, so that its next delivery is taken as new.
    pub(super) fn forget(&self, key: &Key) {
        self.entries().remove(key);
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<Key, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn is_idle(&self) -> bool {
        self.progress.outcome().is_some()
    }

    fn is_stale(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.seen) > MEMORY && self.is_idle()
    }
}

/// Drops what is stale; if that is little, the oldest quarter of what has ended, so that sweeps are seldom.
fn sweep(entries: &mut HashMap<Key, Entry>, now: Instant) {
    entries.retain(|_, entry| !entry.is_stale(now));
    if entries.len() < MOST / 4 * 3 {
        return;
    }
    let mut ended: Vec<Instant> =
        entries.values().filter(|entry| entry.is_idle()).map(|entry| entry.seen).collect();
    ended.sort_unstable();
    let Some(oldest) = ended.get((MOST / 4).min(ended.len().saturating_sub(1))).copied() else { return };
    entries.retain(|_, entry| entry.seen > oldest || !entry.is_idle());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: usize) -> Key {
        Key { id: id.to_string().into(), source_arn: "arn".into() }
    }

    #[test]
    fn a_request_is_known_by_id_and_stream_for_a_while() {
        let (ledger, now) = (Ledger::default(), Instant::now());
        let first = ledger.progress(&key(1), now);
        assert!(Arc::ptr_eq(&first, &ledger.progress(&key(1), now + MEMORY)));
        assert!(!Arc::ptr_eq(&first, &ledger.progress(&Key { source_arn: "other".into(), ..key(1) }, now)));
        assert!(!Arc::ptr_eq(&first, &ledger.progress(&key(1), now + MEMORY * 3)));
    }

    #[test]
    fn a_forgotten_request_is_new() {
        let (ledger, now) = (Ledger::default(), Instant::now());
        let first = ledger.progress(&key(1), now);
        ledger.forget(&key(1));
        assert!(!Arc::ptr_eq(&first, &ledger.progress(&key(1), now)));
    }

    #[test]
    fn the_oldest_ended_requests_make_room_and_those_in_flight_stay() {
        let (ledger, now) = (Ledger::default(), Instant::now());
        let first = ledger.progress(&key(0), now);
        let reader = first.begin().unwrap();
        for id in 1..MOST * 2 {
            ledger.progress(&key(id), now + Duration::from_millis(id as u64));
        }
        assert!(ledger.entries().len() <= MOST);
        assert!(Arc::ptr_eq(&first, &ledger.progress(&key(0), now)));
        drop(reader);
    }
}
