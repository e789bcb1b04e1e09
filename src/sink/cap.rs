//! The rate that the user sets for a sink, below what its service takes: one bucket for all of its destinations.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::limits::{BILLING_STEP, TARGET_RECORD_BYTES, TARGET_REQUEST_BYTES};

/// A cap on the payload bytes a second that leave a sink.
#[derive(Debug)]
pub struct RateCap {
    /// Bytes a second.
    rate: u64,
    /// The lock covers a look, or a sum.
    state: Mutex<CapState>,
}

#[derive(Debug)]
struct CapState {
    /// When the next request may go.
    next: Instant,
    /// When a request had to wait last.
    reached: Option<Instant>,
}

/// A request carries what the cap lets through in this time.
const SPAN: Duration = Duration::from_secs(1);

/// It carries at least this much, and a record is cut to no less: what the last billing step of a record lacks is paid for.
const LEAST: usize = 25 * BILLING_STEP;

/// What was not used of the last moments may be made up for: a timer is late.
const SAVED: Duration = Duration::from_millis(250);

impl RateCap {
    /// So many bytes a second from `now` on.
    #[must_use]
    pub fn new(rate: u64, now: Instant) -> Self {
        Self { rate: rate.max(1), state: Mutex::new(CapState { next: now, reached: None }) }
    }

    /// Bytes a second.
    #[must_use]
    pub fn rate(&self) -> u64 {
        self.rate
    }

    /// When the next request may go; none: now.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let next = (state.next > now).then_some(state.next);
        if next.is_some() {
            state.reached = Some(now);
        }
        next
    }

    /// Whether a request had to wait in the last moments: between two, the next one may go.
    #[must_use]
    pub fn is_reached(&self, now: Instant) -> bool {
        let reached = self.state.lock().unwrap_or_else(PoisonError::into_inner).reached;
        reached.is_some_and(|reached| now.duration_since(reached) < LATELY)
    }

    /// So many bytes leave.
    pub(super) fn send(&self, bytes: usize, now: Instant) {
        let nanos = (bytes as u128).saturating_mul(1_000_000_000) / u128::from(self.rate);
        let gap = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).min(LONGEST);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let from = state.next.max(now.checked_sub(SAVED).unwrap_or(now));
        state.next = from.checked_add(gap).unwrap_or(from);
    }

    /// Most payload bytes of a request.
    pub(super) fn request(&self) -> usize {
        let bytes = u128::from(self.rate).saturating_mul(SPAN.as_millis()) / 1_000;
        usize::try_from(bytes).unwrap_or(usize::MAX).clamp(LEAST, TARGET_REQUEST_BYTES)
    }

    /// The size, in whole billing steps, to which records are cut that are larger than a request.
    pub(super) fn record(&self) -> usize {
        (self.request() / BILLING_STEP * BILLING_STEP).min(TARGET_RECORD_BYTES)
    }
}

/// A cap that no request had to wait for in so long is not reached.
const LATELY: Duration = Duration::from_secs(10);

/// No request is waited for longer than this.
const LONGEST: Duration = Duration::from_hours(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_carry_a_second_and_records_fill_their_billing_steps() {
        let sizes = |rate: u64| {
            let cap = RateCap::new(rate, Instant::now());
            (cap.request(), cap.record())
        };
        assert_eq!(sizes(16 << 10), (LEAST, LEAST));
        assert_eq!(sizes(200_000), (200_000, 199_680));
        assert_eq!(sizes(5 << 20), (TARGET_REQUEST_BYTES, TARGET_RECORD_BYTES));
        assert_eq!(sizes(u64::MAX), (TARGET_REQUEST_BYTES, TARGET_RECORD_BYTES));
    }

    proptest::proptest! {
        /// Whoever sends when he may, whatever he sends, sends no more than the cap in any time, but for what was saved and one request.
        #[test]
        fn no_more_leaves_than_the_cap_lets_through(
            rate in 1_u64..50_000_000,
            sends in proptest::collection::vec((0_u64..3_000, 1_usize..5_000_000), 1..60),
        ) {
            let start = Instant::now();
            let cap = RateCap::new(rate, start);
            let mut now = start;
            let mut sent: Vec<(Instant, u128)> = Vec::new();
            for (pause, bytes) in sends {
                now += Duration::from_millis(pause);
                now = cap.next(now).unwrap_or(now);
                proptest::prop_assert_eq!(cap.next(now), None);
                cap.send(bytes, now);
                sent.push((now, bytes as u128));
            }
            for (index, (from, _)) in sent.iter().enumerate() {
                let mut total = 0;
                for (to, bytes) in &sent[index..] {
                    let time = to.duration_since(*from) + SAVED;
                    // All before the last one of the time; the last one is under way.
                    proptest::prop_assert!(
                        time >= LONGEST || total <= u128::from(rate) * time.as_nanos() / 1_000_000_000 + 1 + sent.len() as u128
                    );
                    total += bytes;
                }
            }
        }
    }
}
