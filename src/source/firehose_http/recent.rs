//! Which requests are known by their id: those in flight, and those that ended of late.

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use super::request_state::RequestState;
use crate::sync::Lock;

/// A request's id and the ARN of the stream that sent it.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct RequestKey {
    pub(super) id: Box<str>,
    pub(super) source_arn: Box<str>,
}

/// The known requests; bounded in number and age.
#[derive(Debug, Default)]
pub(super) struct RecentRequests {
    /// The lock covers a look-up, and now and then a sweep over at most [`MOST`] entries.
    entries: Lock<HashMap<RequestKey, KnownRequest>>,
}

#[derive(Debug)]
struct KnownRequest {
    state: Arc<RequestState>,
    begun: Instant,
    seen: Instant,
}

/// Most requests known at once.
const MOST: usize = 4_096;

/// How long a request is known after it was last seen.
const MEMORY: Duration = Duration::from_mins(10);

impl RecentRequests {
    /// The account of a request, opened if it is not known.
    pub(super) fn state(&self, key: &RequestKey, now: Instant) -> Arc<RequestState> {
        let mut entries = self.entries();
        if let Some(entry) = entries.get_mut(key)
            && !entry.is_stale(now)
        {
            entry.seen = now;
            return Arc::clone(&entry.state);
        }
        if entries.len() >= MOST {
            sweep(&mut entries, now);
        }
        let state = Arc::new(RequestState::default());
        // When every known request is in flight, a new one is not remembered: a retry of it is then a request of its own.
        if entries.len() < MOST {
            entries.insert(key.clone(), KnownRequest { state: Arc::clone(&state), begun: now, seen: now });
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
    fn is_idle(&self) -> bool {
        self.state.outcome().is_some()
    }

    fn is_stale(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.seen) > MEMORY && self.is_idle()
    }
}

/// Drops what is stale; if that is little, the oldest quarter of what has ended, so that sweeps are seldom.
fn sweep(entries: &mut HashMap<RequestKey, KnownRequest>, now: Instant) {
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

    fn key(id: usize) -> RequestKey {
        RequestKey { id: id.to_string().into(), source_arn: "arn".into() }
    }

    #[test]
    fn a_request_is_known_by_id_and_stream_for_a_while() {
        let (recent, now) = (RecentRequests::default(), Instant::now());
        let first = recent.state(&key(1), now);
        assert!(Arc::ptr_eq(&first, &recent.state(&key(1), now + MEMORY)));
        assert!(!Arc::ptr_eq(
            &first,
            &recent.state(&RequestKey { source_arn: "other".into(), ..key(1) }, now)
        ));
        assert!(!Arc::ptr_eq(&first, &recent.state(&key(1), now + MEMORY * 3)));
    }

    #[test]
    fn a_forgotten_request_is_new() {
        let (recent, now) = (RecentRequests::default(), Instant::now());
        let first = recent.state(&key(1), now);
        recent.forget(&key(1));
        assert!(!Arc::ptr_eq(&first, &recent.state(&key(1), now)));
    }

    #[test]
    fn the_oldest_ended_requests_make_room_and_those_in_flight_stay() {
        let (recent, now) = (RecentRequests::default(), Instant::now());
        let first = recent.state(&key(0), now);
        let reader = first.begin().unwrap();
        for id in 1..MOST * 2 {
            recent.state(&key(id), now + Duration::from_millis(id as u64));
        }
        assert!(recent.entries().len() <= MOST);
        assert!(Arc::ptr_eq(&first, &recent.state(&key(0), now)));
        drop(reader);
    }
}
