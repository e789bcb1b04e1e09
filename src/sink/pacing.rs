//! How much a destination is given at once, and how long to wait after a refusal. Pure: time and chance are arguments.

use std::time::Duration;

use tokio::time::Instant;

use super::rate::RateLimit;
use super::step::{RefusedBy, RequestLoad};
use crate::limits::TARGET_REQUEST_BYTES;

/// The window of requests under way, which grows by one a round trip and halves when one fails; the rate, which refusals teach;
/// and the pauses of an outage.
#[derive(Debug)]
pub(super) struct Pacing {
    window: f64,
    most: f64,
    rate: RateLimit,
    /// Refusals or failures of whole requests in a row.
    failures: u32,
    /// Whether one of them was refused as too much.
    throttled: bool,
    /// Whether anything was ever accepted.
    proven: bool,
    /// Requests sent before this are of the window that was already cut.
    cut_at: Option<Instant>,
    /// Requests sent before this failed of the cause that was already counted.
    failed_at: Option<Instant>,
}

/// What the next request may carry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Room {
    /// As much as the service takes.
    Full,
    /// Limited payload bytes, in records of a limited size.
    Bytes {
        /// The most payload bytes.
        most: usize,
        /// Records are not much larger than this.
        record: usize,
    },
    /// One record, not much larger than this: it shows as well as many whether the destination works again.
    One(usize),
}

impl Room {
    /// The same, within another limit: so many payload bytes, in records that are not much larger than `size`.
    pub(super) fn within(self, bytes: usize, size: usize) -> Self {
        match self {
            Self::Full if bytes >= TARGET_REQUEST_BYTES => Self::Full,
            Self::Full => Self::Bytes { most: bytes, record: size },
            Self::Bytes { most, record } => Self::Bytes { most: most.min(bytes), record: record.min(size) },
            Self::One(record) => Self::One(record.min(size)),
        }
    }

    /// Payload bytes of the request: what else fits may be added.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Full => TARGET_REQUEST_BYTES,
            Self::Bytes { most, .. } => most,
            Self::One(_) => 0,
        }
    }
}

/// The first delay after a refused request; doubles with each refusal in a row.
const BASE: Duration = Duration::from_millis(100);

/// The longest delay after refused requests: an outage costs a few requests a minute, and is over soon after its end.
const CAP: Duration = Duration::from_secs(20);

/// More whole requests in a row than this have to fail before a small one is tried: at any time, and where none was ever accepted
/// and a full one may be more than the quota's second.
const OUTAGE: u32 = 8;
const FIRST_OUTAGE: u32 = 1;

/// The longest delay before a refused record is sent again.
const RECORD_CAP: Duration = Duration::from_secs(5);

/// The first wait while held for a person to fix something; doubles with each try.
const FIRST_HOLD: Duration = Duration::from_secs(5);

/// The longest.
const LONGEST_HOLD: Duration = Duration::from_mins(1);

impl Pacing {
    /// A window that may grow to `most` requests.
    pub(super) fn new(most: usize, now: Instant) -> Self {
        let most = f64::from(u32::try_from(most.max(1)).unwrap_or(u32::MAX));
        let rate = RateLimit::new(most, now);
        Self {
            window: most.min(4.0),
            most,
            rate,
            failures: 0,
            throttled: false,
            proven: false,
            cut_at: None,
            failed_at: None,
        }
    }

    /// How many requests may be under way.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and the most")]
    pub(super) fn window(&self) -> usize {
        if self.is_out() { 1 } else { self.window as usize }
    }

    /// How many requests in a row failed as a whole.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether the last requests failed as a whole.
    pub(super) fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// Whether enough requests failed that the destination seems not to work at all.
    fn is_out(&self) -> bool {
        self.failures > self.outage()
    }

    /// More whole requests in a row than this have to fail before it is an outage.
    fn outage(&self) -> u32 {
        if self.throttled && !self.proven { FIRST_OUTAGE } else { OUTAGE }
    }

    /// The payload bytes a second that the destination takes, once refusals have taught it.
    pub(super) fn rate(&self) -> Option<f64> {
        self.rate.rate()
    }

    /// When the next request may go, if the rate says so.
    pub(super) fn next(&self) -> Option<Instant> {
        if self.is_out() { None } else { self.rate.next() }
    }

    /// What the next request may carry.
    pub(super) fn room(&self) -> Room {
        match self.rate.request() {
            _ if self.is_out() => Self::one(),
            Some(most) => Room::Bytes { most, record: self.rate.record(most) },
            None => Room::Full,
        }
    }

    /// For a destination that may not work at all.
    pub(super) fn one() -> Room {
        Room::One(RateLimit::least_record())
    }

    /// Whether there is nothing to send, although more might be sent.
    pub(super) fn idle(&mut self, is_idle: bool, now: Instant) {
        self.rate.idle(is_idle, now);
    }

    /// A request goes, while others wait to be sent again. `chance` is between 0 and 1.
    pub(super) fn send(&mut self, load: RequestLoad, waiting: RequestLoad, now: Instant, chance: f64) {
        if !self.is_out() {
            self.rate.send(load.bytes, waiting.bytes, now, chance);
        }
    }

    /// A request was accepted, wholly or in part.
    pub(super) fn accepted(&mut self, now: Instant) {
        if self.is_out() && self.throttled {
            self.rate.slow_start(now);
        }
        self.throttled = false;
        self.proven = true;
        self.failures = 0;
        let more = if self.cut_at.is_none() { 1.0 } else { 1.0 / self.window };
        self.window = (self.window + more).min(self.most);
    }

    /// A request was answered, and part of it, or all, refused as too much.
    pub(super) fn answered(
        &mut self,
        sent: Instant,
        now: Instant,
        load: RequestLoad,
        refused: RequestLoad,
        by: RefusedBy,
    ) {
        self.throttled |= by == RefusedBy::Call;
        // What an outage refuses tells nothing of a rate.
        if !self.is_out() || refused.records < load.records {
            self.rate.answered(sent, now, load, refused, by);
        }
    }

    /// A request was lost or broke: halves the window, once for all requests of one window.
    pub(super) fn broke(&mut self, sent: Instant, now: Instant) {
        if self.cut_at.is_none_or(|cut| sent >= cut) {
            self.window = (self.window / 2.0).max(1.0);
            self.cut_at = Some(now);
        }
    }

    /// A whole request failed: how long to wait before the next, or `None` when there is no need, or others that were under way at
    /// the same time have said so already. `chance` is between 0 and 1.
    pub(super) fn failed(&mut self, sent: Instant, now: Instant, chance: f64) -> Option<Duration> {
        if self.failed_at.is_some_and(|failed| sent < failed) {
            return None;
        }
        self.failed_at = Some(now);
        self.failures = self.failures.saturating_add(1);
        // One lost request says little, and waits by itself; more in a row say more.
        let beyond = self.failures.saturating_sub(self.outage());
        (beyond > 0).then(|| full_jitter(BASE, CAP, beyond, chance))
    }

    /// How long a record that was refused `attempts` times waits.
    pub(super) fn record_delay(attempts: u32, chance: f64) -> Duration {
        full_jitter(BASE, RECORD_CAP, attempts, chance)
    }

    /// How long a held destination waits before its `attempts`th next try: 5 to 60 seconds, give or take a fifth.
    pub(super) fn hold_delay(attempts: u32, chance: f64) -> Duration {
        let delay = doubled(FIRST_HOLD, LONGEST_HOLD, attempts);
        delay.mul_f64(0.8 + 0.4 * chance.clamp(0.0, 1.0)).min(LONGEST_HOLD)
    }
}

/// A delay between nothing and `base` doubled `attempts - 1` times, but for a floor that keeps a retry from being immediate.
fn full_jitter(base: Duration, cap: Duration, attempts: u32, chance: f64) -> Duration {
    let most = doubled(base, cap, attempts);
    most.mul_f64(0.1 + 0.9 * chance.clamp(0.0, 1.0))
}

fn doubled(base: Duration, cap: Duration, attempts: u32) -> Duration {
    let factor = 1u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
    base.saturating_mul(factor).min(cap)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_grows_slowly_and_is_cut_once_a_round() {
        let start = Instant::now();
        let later = start + Duration::from_secs(1);
        let mut pacing = Pacing::new(16, start);
        (0..200).for_each(|_| pacing.accepted(start));
        assert_eq!(pacing.window(), 16);
        pacing.broke(start, later);
        pacing.broke(start, later);
        assert_eq!(pacing.window(), 8);
        pacing.broke(later, later);
        assert_eq!(pacing.window(), 4);
    }

    #[test]
    fn an_outage_leaves_one_record_at_growing_intervals() {
        let now = Instant::now();
        let mut pacing = Pacing::new(16, now);
        let delays: Vec<Duration> = (0..20).filter_map(|_| pacing.failed(now, now, 1.0)).collect();
        assert_eq!((pacing.window(), pacing.room()), (1, Room::One(RateLimit::least_record())));
        assert_eq!(delays.first(), Some(&BASE));
        assert_eq!(delays.last(), Some(&CAP));
        assert!(delays.is_sorted());
        pacing.accepted(now);
        assert!(!pacing.is_failing());
        assert_eq!((pacing.window(), pacing.room()), (5, Room::Full));
        assert_eq!(pacing.failed(now, now, 1.0), None, "one alone is no outage");
        let before = now.checked_sub(Duration::from_secs(1)).unwrap();
        assert_eq!(pacing.failed(before, now, 1.0), None);
    }

    #[test]
    fn a_hold_is_tried_every_5_to_60_seconds() {
        assert_eq!(Pacing::hold_delay(1, 0.5), Duration::from_secs(5));
        assert_eq!(Pacing::hold_delay(40, 1.0), Duration::from_mins(1));
    }
}
