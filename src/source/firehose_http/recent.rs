//! Which requests are known by their id: those in flight, and those that ended of late.

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use tokio::time::Instant;

use super::remembered::RememberedBytes;
use super::request_state::RequestState;
use crate::event::{Held, RequestNames};
use crate::sync::Lock;

/// A digest of a request's id and of the ARN of the stream that sent it: as long as any other, however long they are.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct RequestKey([u8; 32]);

impl RequestKey {
    pub(super) fn new(names: &RequestNames) -> Self {
        // No header has a NUL.
        let both = [&*names.request_id, &*names.source_arn].join("\0");
        let mut key = [0; 32];
        key.iter_mut().zip(digest(&SHA256, both.as_bytes()).as_ref()).for_each(|(to, from)| *to = *from);
        Self(key)
    }
}

/// The known requests; bounded in number, age and memory.
#[derive(Debug)]
pub(super) struct RecentRequests {
    /// The lock covers a look-up, and now and then a sweep over at most [`MOST`] entries.
    entries: Lock<HashMap<RequestKey, KnownRequest>>,
    remembered: Arc<RememberedBytes>,
}

#[derive(Debug)]
struct KnownRequest {
    state: Arc<RequestState>,
    begun: Instant,
    seen: Instant,
    remembered: Arc<RememberedBytes>,
}

/// Most requests known at once.
const MOST: usize = 4_096;

/// Memory for each of them, beside the list of what was taken of one that is not done.
pub(super) const ENTRY_BYTES: u64 = 256;

/// Most memory for all of them.
const MOST_BYTES: u64 = 4 << 20;

/// How long a request is known after it was last seen.
const MEMORY: Duration = Duration::from_mins(10);

impl RecentRequests {
    /// None yet; `memory` is theirs.
    pub(super) fn new(memory: Held) -> Self {
        Self { entries: Lock::default(), remembered: RememberedBytes::new(memory) }
    }

    /// The account of a request that nobody can send again.
    pub(super) fn nameless(&self) -> Arc<RequestState> {
        RequestState::new(&self.remembered)
    }
    /// The account of a request, opened if it is not known.
    pub(super) fn state(&self, key: &RequestKey, now: Instant) -> Arc<RequestState> {
        let mut entries = self.entries();
        if let Some(entry) = entries.get_mut(key)
            && !entry.is_stale(now)
        {
            entry.seen = now;
            return Arc::clone(&entry.state);
        }
        if entries.len() >= MOST || self.remembered.bytes() >= MOST_BYTES {
            sweep(&mut entries, now);
        }
        let state = self.nameless();
        // When every known request is in flight, a new one is not remembered: a retry of it is then a request of its own.
        if entries.len() < MOST {
            entries.insert(*key, KnownRequest::new(&state, &self.remembered, now));
        }
        state
    }

    /// The age of the oldest request in flight.
    pub(super) fn lag(&self, now: Instant) -> Duration {
        let entries = self.entries();
        let begun = entries.values().filter(|entry| !entry.is_idle()).map(|entry| entry.begun).min();
        begun.map(|begun| now.saturating_duration_since(begun)).unwrap_or_default()
    }

    /// Forgets a request, so that its next delivery is taken as new.
    pub(super) fn forget(&self, key: &RequestKey) {
        self.entries().remove(key);
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<RequestKey, KnownRequest>> {
        self.entries.lock()
    }
}

impl KnownRequest {
    fn new(state: &Arc<RequestState>, remembered: &Arc<RememberedBytes>, now: Instant) -> Self {
        remembered.grow(ENTRY_BYTES);
        Self { state: Arc::clone(state), begun: now, seen: now, remembered: Arc::clone(remembered) }
    }

    fn is_idle(&self) -> bool {
        self.state.outcome().is_some()
    }

    fn is_stale(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.seen) > MEMORY && self.is_idle()
    }
}

impl Drop for KnownRequest {
    fn drop(&mut self) {
        self.remembered.shrink(ENTRY_BYTES);
    }
}

/// Drops what is stale; if that is little, the oldest quarter of what has ended, so that sweeps are seldom.
fn sweep(entries: &mut HashMap<RequestKey, KnownRequest>, now: Instant) {
    let before = entries.len();
    entries.retain(|_, entry| !entry.is_stale(now));
    if entries.len() < before / 4 * 3 {
        return;
    }
    let mut ended: Vec<Instant> =
        entries.values().filter(|entry| entry.is_idle()).map(|entry| entry.seen).collect();
    ended.sort_unstable();
    let Some(oldest) = ended.get((before / 4).min(ended.len().saturating_sub(1))).copied() else { return };
    entries.retain(|_, entry| entry.seen > oldest || !entry.is_idle());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Budget;

    fn key_of(id: usize, arn: &str) -> RequestKey {
        RequestKey::new(&RequestNames { request_id: id.to_string().into(), source_arn: arn.into() })
    }

    fn key(id: usize) -> RequestKey {
        key_of(id, "arn")
    }

    fn new() -> (RecentRequests, Instant) {
        (RecentRequests::new(Budget::new(1 << 20).keep()), Instant::now())
    }

    #[test]
    fn a_request_is_known_by_id_and_stream_for_a_while() {
        let (recent, now) = new();
        let first = recent.state(&key(1), now);
        assert!(Arc::ptr_eq(&first, &recent.state(&key(1), now + MEMORY)));
        assert!(!Arc::ptr_eq(&first, &recent.state(&key_of(1, "other"), now)));
        assert!(!Arc::ptr_eq(&first, &recent.state(&key(1), now + MEMORY * 3)));
    }

    #[test]
    fn a_forgotten_request_is_new() {
        let (recent, now) = new();
        let first = recent.state(&key(1), now);
        recent.forget(&key(1));
        assert!(!Arc::ptr_eq(&first, &recent.state(&key(1), now)));
    }

    #[test]
    fn the_oldest_ended_requests_make_room_and_those_in_flight_stay() {
        let (recent, now) = new();
        let first = recent.state(&key(0), now);
        let reader = first.begin(&Arc::default()).unwrap();
        for id in 1..MOST * 2 {
            recent.state(&key(id), now + Duration::from_millis(id as u64));
        }
        assert!(recent.entries().len() <= MOST);
        assert!(Arc::ptr_eq(&first, &recent.state(&key(0), now)));
        drop(reader);
    }

    #[test]
    fn what_is_remembered_is_charged_and_bounded() {
        let budget = Budget::new(1 << 20);
        let recent = RecentRequests::new(budget.keep());
        let now = Instant::now();
        for id in 0..100 {
            recent.state(&key(id), now);
        }
        assert_eq!(budget.used(), 100 * ENTRY_BYTES);
        // Lists of what was given up, so that retries know what to bring again.
        recent.remembered.grow(MOST_BYTES);
        recent.state(&key(100), now + Duration::from_secs(1));
        assert!(recent.entries().len() <= 76);
        recent.remembered.shrink(MOST_BYTES);
        drop(recent);
        assert_eq!(budget.used(), 0);
    }
}
