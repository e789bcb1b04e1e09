//! What was sent in about a second, and how it was answered: what a change of rate is judged by.

use tokio::time::Instant;

/// What a request carried, or what of it was refused.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct RequestLoad {
    /// Payload bytes.
    pub(super) bytes: f64,
    /// Records.
    pub(super) records: f64,
}

/// How a request was refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum RefusedBy {
    /// Records of it, or none.
    Records,
    /// The call as a whole.
    Call,
}

impl RequestLoad {
    /// So many payload bytes in so many records.
    #[expect(clippy::cast_precision_loss, reason = "a request's size")]
    pub(super) fn new(bytes: usize, records: usize) -> Self {
        Self { bytes: bytes as f64, records: records as f64 }
    }

    fn add(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.records += other.records;
    }
}

/// The requests sent since the last change of rate that are answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct RateStep {
    start: Instant,
    last_sent: Instant,
    sent: RequestLoad,
    refused: RequestLoad,
    /// The most records that were refused only together.
    unit: f64,
    calls: f64,
    /// Since when there is nothing to send, although more might be sent, and for how many seconds that was so.
    idle_since: Option<Instant>,
    idle: f64,
    /// Bytes that wait to be sent again, the same times seconds, and until when.
    waiting: f64,
    waited: f64,
    until: Instant,
}

/// How much sending a step judges, in seconds: the quota's second, but for the gap between two requests.
const STEP: f64 = 0.9;

/// Fewer refusals and acceptances than this tell nothing of a rate.
const STEP_UNITS: f64 = 8.0;

/// The most records of one call that count as answers of their own: those beyond a quota are refused together.
const CALL_UNITS: f64 = 4.0;

/// A step ends after [`SHORT_STEP`] seconds if more than the share [`MANY`] of at least [`MANY_UNITS`] answers are refusals.
const MANY: f64 = 0.3;
const MANY_UNITS: f64 = 24.0;
const SHORT_STEP: f64 = 0.3;

/// A sender keeps up if it had nothing to send for this share of a step, and what waited to be sent again was no more than is accepted in
/// so many seconds, and a record in so many.
const IDLE: f64 = 0.2;
const SOON: f64 = 0.25;
const RETRY: f64 = 2.5;

/// A step counts as at least this many seconds.
const BURST: f64 = 0.25;

impl RateStep {
    /// Nothing was sent yet.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            start: now,
            last_sent: now,
            sent: RequestLoad::default(),
            refused: RequestLoad::default(),
            unit: 1.0,
            calls: 0.0,
            idle_since: None,
            idle: 0.0,
            waiting: 0.0,
            waited: 0.0,
            until: now,
        }
    }

    /// Takes the step, and begins the next one at `start`.
    pub(super) fn next(&mut self, start: Instant) -> Self {
        let Self { idle_since, waiting, until, .. } = *self;
        std::mem::replace(self, Self { idle_since, waiting, until, ..Self::new(start) })
    }

    /// Whether there is nothing to send, although more might be sent.
    pub(super) fn idle(&mut self, is_idle: bool, now: Instant) {
        let since = self.idle_since.map_or(now, |since| since.max(self.start));
        self.idle += now.duration_since(since).as_secs_f64();
        self.idle_since = is_idle.then_some(now);
    }

    /// A request leaves, while so many bytes wait to be sent again.
    pub(super) fn sends(&mut self, waiting: f64, now: Instant) {
        self.idle(false, now);
        self.waits(waiting, now);
    }

    fn waits(&mut self, waiting: f64, now: Instant) {
        self.waited += self.waiting * now.duration_since(self.until.max(self.start)).as_secs_f64();
        (self.waiting, self.until) = (waiting, now);
    }

    /// Whether the sender sent what there was, and had time left: its rate is that of its input, whatever its limit.
    pub(super) fn keeps_up(&self) -> bool {
        let seconds = self.until.duration_since(self.start).as_secs_f64();
        let accepted = self.sent.bytes - self.refused.bytes;
        let record = self.sent.bytes / self.sent.records.max(1.0);
        self.idle > IDLE * seconds && self.waited <= SOON * accepted + RETRY * record
    }

    /// A request that was sent at `sent` has its answer. Those of an earlier rate tell nothing of this one.
    pub(super) fn answered(
        &mut self,
        sent: Instant,
        now: Instant,
        load: RequestLoad,
        refused: RequestLoad,
        by: RefusedBy,
    ) {
        self.waits(self.waiting + refused.bytes, now);
        if sent < self.start {
            return;
        }
        self.sent.add(load);
        self.refused.add(refused);
        self.calls += 1.0;
        self.last_sent = self.last_sent.max(sent);
        if by == RefusedBy::Call {
            self.unit = self.unit.max(refused.records);
        }
    }

    /// Whether anything was refused.
    pub(super) fn has_refusals(&self) -> bool {
        self.refused.records > 0.0
    }

    /// The share of the records that was refused, from 0 to 1.
    pub(super) fn share(&self) -> f64 {
        self.refused.records / self.sent.records.max(1.0)
    }

    /// Answers that are independent of each other: records, or calls where those are refused.
    pub(super) fn units(&self) -> f64 {
        (self.sent.records / self.unit).min(CALL_UNITS * self.calls).max(1.0)
    }

    /// Seconds of sending.
    pub(super) fn seconds(&self) -> f64 {
        self.last_sent.duration_since(self.start).as_secs_f64()
    }

    /// Seconds from `start` to its last request.
    pub(super) fn seconds_since(&self, start: Instant) -> f64 {
        self.last_sent.duration_since(start).as_secs_f64()
    }

    /// Payload bytes sent a second.
    pub(super) fn rate(&self) -> f64 {
        (self.sent.bytes / self.seconds().max(BURST)).max(1.0)
    }

    /// Whether it tells enough without the request that is answered now, and was sent at `sent`.
    pub(super) fn is_over(&self, sent: Instant) -> bool {
        let seconds = sent.duration_since(self.start).as_secs_f64();
        let short = seconds > SHORT_STEP && self.share() > MANY && self.units() >= MANY_UNITS;
        (seconds >= STEP || short) && (self.units() >= STEP_UNITS || !self.has_refusals())
    }
}
