//! The rate that a destination's quota allows, learned from what it refuses. Pure: time is an argument.
//!
//! Without refusals there is no limit. Firehose's quotas are per second and stream, and say nothing but "slow down"
//! (<https://docs.aws.amazon.com/firehose/latest/dev/limits.html>), so the rate is found as congestion control finds it: in steps
//! of a second of sending, each judged by the answers to what was sent in it. A step with refusals brings the rate down to what was
//! accepted, and a little below; one without brings it up again by a little, sooner to where it was refused before. Small rates
//! grow faster than large ones, so that senders that share a quota come to equal shares.
//!
//! Refusals that stay as many however far the rate falls are no quota but a fault: they are only sent again.

use std::time::Duration;

use tokio::time::Instant;

use crate::limits::{BILLING_STEP, TARGET_RECORD_BYTES};

/// What a request carried, or what of it was refused.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Load {
    /// Payload bytes.
    pub(super) bytes: f64,
    /// Records.
    pub(super) records: f64,
}

/// How a request was refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Refusal {
    /// Records of it, or none.
    Records,
    /// The call as a whole.
    Call,
}

/// The rate of one destination: none until something is refused.
#[derive(Debug)]
pub(super) struct RateLimit {
    limit: Option<Limit>,
    step: Step,
    /// The share that is refused whatever the rate, from 0 to 1.
    independent: f64,
    /// How often refusals were taken for a fault, and were a quota's after all: the next trial asks for more.
    misjudged: i32,
    /// When something was accepted last, and the rate then.
    accepted: (Instant, Option<f64>),
    /// Smoothed, in seconds.
    latency: f64,
    /// Most requests under way.
    concurrency: f64,
}

#[derive(Debug)]
struct Limit {
    /// Payload bytes a second.
    rate: f64,
    /// Where it was last refused.
    ceiling: f64,
    /// The next request may go at this time.
    next: Instant,
    /// Requests of this step went as soon as they might: the limit was felt.
    felt: bool,
    /// Steps without refusals, since the last with.
    clean: u32,
    /// Whether refusals become fewer as the rate falls.
    trial: Option<Trial>,
}

/// What was refused at a rate that has fallen since.
#[derive(Clone, Copy, Debug)]
struct Trial {
    rate: f64,
    /// From 0 to 1.
    accepted: f64,
    /// Sent since.
    records: f64,
}

/// What was sent since the last change, and how it was answered.
#[derive(Debug)]
struct Step {
    start: Instant,
    last_sent: Instant,
    sent: Load,
    refused: Load,
    /// The most records that were refused or accepted only together.
    unit: f64,
}

/// How much sending a step judges, in seconds: the quota's second, but for the gap between two requests.
const STEP: f64 = 0.9;

/// Fewer records than this tell nothing of a rate.
const STEP_RECORDS: f64 = 10.0;

/// A step with more than this refused, or more than [`MUCH`] of so many records, ends after [`SHORT_STEP`] seconds.
const MANY: f64 = 0.5;
const MANY_RECORDS: f64 = 60.0;
const SHORT_STEP: f64 = 0.3;

/// Refusals alone for so many seconds, and two latencies, are an outage and tell nothing of a quota.
const OUTAGE: f64 = 10.0;

/// The first rate is what was sent, as if it had been in so many seconds at least: too high a rate is left sooner than too low a one.
const BURST: f64 = 0.25;

/// A request carries so many seconds of the rate, or more where latency and concurrency ask for it.
const SPAN: (f64, f64) = (0.1, 0.8);

/// So many records make a request at least, while they are not smaller than [`LEAST_RECORD`].
const RECORDS_A_REQUEST: usize = 4;

/// Records are not cut smaller than five of Firehose's billing steps: what a record's last step lacks would cost too much.
const LEAST_RECORD: usize = 5 * BILLING_STEP;

/// Where more than [`MUCH`] was refused the rate falls by as much, but no more than [`MOST_CUT`] at once (the second
/// where it was [`NEARLY_ALL`]), and by [`BELOW`] more:
/// that ends an overload. Where it was less the rate falls by [`GAIN`] of it: to answer chance as loudly would drive senders that
/// share a quota apart.
const MUCH: f64 = 0.15;
const MOST_CUT: (f64, f64) = (0.3, 0.5);
const NEARLY_ALL: f64 = 0.8;
const BELOW: f64 = 0.03;
const GAIN: f64 = 1.0;

/// Growth in a step of a rate of [`SLOW`] bytes a second; less by [`FLATTER`] for each e-fold above, down to [`LEAST_GROWTH`].
const GROWTH: f64 = 0.04;
const FLATTER: f64 = 0.005;
const LEAST_GROWTH: f64 = 0.02;
const SLOW: f64 = 131_072.0;

/// After so many steps without refusals growth doubles with each, up to [`MOST_GROWTH`].
const HURRY: u32 = 8;
const MOST_GROWTH: f64 = 0.25;

/// A rate that no destination reaches is no limit.
const NO_LIMIT: f64 = 1e9;

/// Of a quota's refusals fewer are left as the rate falls. If at this share of the rate no more was accepted, but for
/// [`CHANCE`], they are a fault; one that refuses nearly all is left to the quota.
const TRIAL: f64 = 0.45;
const CHANCE: f64 = 1.35;
const TRIAL_RECORDS: f64 = 150.0;
const MISJUDGED: i32 = 5;
const LEAST_ACCEPTED: f64 = 0.3;

/// So much more than the independent share, or as much as chance may add between these, is a quota's.
const MARGIN: (f64, f64) = (0.1, 0.2);

impl Load {
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

impl Step {
    fn new(now: Instant) -> Self {
        Self { start: now, last_sent: now, sent: Load::default(), refused: Load::default(), unit: 1.0 }
    }

    /// Seconds of sending.
    fn seconds(&self) -> f64 {
        self.last_sent.duration_since(self.start).as_secs_f64()
    }

    /// The share that was refused.
    fn share(&self) -> f64 {
        self.refused.records / self.sent.records.max(1.0)
    }

    /// The same without half of what chance may add: where there are few records, or calls, one says little.
    fn sure_share(&self) -> f64 {
        self.share() - 0.5 * self.unit.min(self.refused.records) / self.sent.records.max(1.0)
    }

    /// Whether it tells enough by now.
    fn is_over(&self, limited: bool, hasty: bool, now: Instant) -> bool {
        if self.refused.records == 0.0 && !limited {
            return self.seconds() >= STEP;
        }
        let many = if self.refused.records > MANY * self.sent.records { STEP_RECORDS } else { MANY_RECORDS };
        let short = hasty
            && self.share() > MUCH
            && self.sent.records >= many
            && now.duration_since(self.start).as_secs_f64() > SHORT_STEP;
        (self.seconds() >= STEP || short) && self.sent.records >= STEP_RECORDS
    }
}

impl RateLimit {
    /// No limit, for a destination that may have so many requests under way.
    pub(super) fn new(concurrency: f64, now: Instant) -> Self {
        Self {
            limit: None,
            step: Step::new(now),
            independent: 0.0,
            misjudged: 0,
            accepted: (now, None),
            latency: 0.0,
            concurrency,
        }
    }

    /// Payload bytes a second, once there is a limit.
    pub(super) fn rate(&self) -> Option<f64> {
        self.limit.as_ref().map(|limit| limit.rate)
    }

    /// When the next request may go, once there is a limit.
    pub(super) fn next(&self) -> Option<Instant> {
        self.limit.as_ref().map(|limit| limit.next)
    }

    /// Most payload bytes of the next request, once there is a limit.
    pub(super) fn request(&self) -> Option<usize> {
        self.rate().map(|rate| whole(rate * self.span()))
    }

    /// What records larger than a request of [`RateLimit::request`] bytes should be cut to: whole billing steps.
    pub(super) fn record(request: usize) -> usize {
        let quarter = request / RECORDS_A_REQUEST;
        (quarter / BILLING_STEP * BILLING_STEP).clamp(LEAST_RECORD, TARGET_RECORD_BYTES)
    }

    /// The size of a record that asks whether the destination works again.
    pub(super) fn least_record() -> usize {
        LEAST_RECORD
    }

    /// The seconds that a request stands for: so many that half the concurrency is enough for the latency.
    fn span(&self) -> f64 {
        (2.0 * self.latency / self.concurrency).clamp(SPAN.0, SPAN.1)
    }

    /// A request of so many payload bytes goes.
    pub(super) fn send(&mut self, bytes: f64, now: Instant) {
        let span = self.span();
        let Some(limit) = &mut self.limit else { return };
        // What was not used of the last moments may be made up for.
        let saved = Duration::from_secs_f64(span);
        limit.felt |= limit.next + saved / 2 >= now;
        let from = limit.next.max(now.checked_sub(saved).unwrap_or(now));
        limit.next = from + Duration::from_secs_f64((bytes / limit.rate).min(60.0));
    }

    /// A request sent at `sent` was answered `now`.
    pub(super) fn answered(&mut self, sent: Instant, now: Instant, load: Load, refused: Load, by: Refusal) {
        self.latency += 0.2 * (now.duration_since(sent).as_secs_f64() - self.latency);
        if sent < self.step.start {
            return;
        }
        let step = &mut self.step;
        step.sent.add(load);
        step.refused.add(refused);
        if by == Refusal::Call {
            step.unit = step.unit.max(refused.records);
        }
        step.last_sent = step.last_sent.max(sent);
        if refused.records < load.records && self.was_out(now) {
            return;
        }
        // Without a limit, refusals alone may be an outage.
        let tells = self.limit.is_some() || by == Refusal::Records;
        if tells && self.step.is_over(self.limit.is_some(), self.independent == 0.0, now) {
            let step = std::mem::replace(&mut self.step, Step::new(now));
            self.judge(&step, now);
        }
    }

    /// Something was accepted. After an outage the rate is what it was before.
    fn was_out(&mut self, now: Instant) -> bool {
        let (at, rate) = std::mem::replace(&mut self.accepted, (now, None));
        let out = self.step.refused.records > 0.0
            && now.duration_since(at).as_secs_f64() > OUTAGE + 2.0 * self.latency;
        if out {
            self.step = Step::new(now);
            match (rate, &mut self.limit) {
                (Some(rate), Some(limit)) => limit.rate = rate,
                _ => self.limit = None,
            }
        }
        self.accepted = (now, self.rate());
        out
    }

    fn judge(&mut self, step: &Step, now: Instant) {
        let share = step.share();
        let beyond = self.beyond_independent(step);
        if step.refused.records > 0.0 && (self.independent == 0.0 || beyond > 0.0) {
            self.refused(step, share, beyond, now);
        } else {
            self.independent +=
                0.2 * (share - self.independent) * f64::from(u8::from(self.independent > 0.0));
            if self.independent < 0.01 {
                self.independent = 0.0;
            }
            self.clean();
        }
    }

    /// The share refused beyond what is refused whatever the rate, as far as chance does not explain it.
    fn beyond_independent(&self, step: &Step) -> f64 {
        if self.independent == 0.0 {
            return step.sure_share();
        }
        let chance = (self.independent * (1.0 - self.independent) * step.unit / step.sent.records).sqrt();
        let beyond = step.share() - self.independent;
        if beyond < (3.0 * chance).clamp(MARGIN.0, MARGIN.1) {
            0.0
        } else {
            beyond / (1.0 - self.independent)
        }
    }

    fn refused(&mut self, step: &Step, share: f64, beyond: f64, now: Instant) {
        let kept = if beyond > MUCH {
            let most = if beyond > NEARLY_ALL { MOST_CUT.1 } else { MOST_CUT.0 };
            (1.0 - beyond.min(most)) * (1.0 - BELOW)
        } else {
            1.0 - GAIN * beyond.max(BELOW)
        };
        let accepted = 1.0 - share;
        let Some(limit) = &mut self.limit else {
            let rate = (step.sent.bytes / step.seconds().max(BURST)).max(1.0);
            let trial = Some(Trial { rate, accepted, records: 0.0 });
            let limit = Limit { rate: rate * kept, ceiling: rate, next: now, felt: false, clean: 0, trial };
            self.limit = Some(limit);
            if self.independent > 0.0 {
                self.independent = 0.0;
                self.misjudged = (self.misjudged + 1).min(MISJUDGED);
            }
            return;
        };
        if !limit.felt {
            // It was less than the rate that was too much.
            limit.rate = limit.rate.min(step.sent.bytes / step.seconds().max(BURST));
            limit.trial = None;
        }
        let alike = |trial: &Trial| (trial.accepted / CHANCE..trial.accepted * CHANCE).contains(&accepted);
        let trial = limit.trial.filter(alike);
        let mut trial = trial.unwrap_or(Trial { rate: limit.rate, accepted, records: 0.0 });
        trial.records += step.sent.records;
        trial.accepted += (accepted - trial.accepted) * step.sent.records / trial.records;
        let fell = limit.rate <= trial.rate * TRIAL.powi(1 + self.misjudged);
        let tried = fell && trial.records >= TRIAL_RECORDS;
        if tried && accepted > LEAST_ACCEPTED {
            self.independent = share;
            self.limit = None;
            return;
        }
        // Who is refused below the old ceiling makes room for others.
        let below = limit.rate < limit.ceiling;
        limit.ceiling = if below { limit.rate * f64::midpoint(1.0, kept) } else { limit.rate };
        limit.rate *= kept;
        // What was saved up would be refused too.
        limit.next = limit.next.max(now);
        limit.felt = false;
        limit.clean = 0;
        limit.trial = Some(trial);
    }

    /// A step without refusals, or with no more than there are at any rate.
    fn clean(&mut self) {
        let Some(limit) = &mut self.limit else { return };
        limit.trial = None;
        if !std::mem::take(&mut limit.felt) {
            return;
        }
        limit.clean = limit.clean.saturating_add(1);
        // Late answers tell late that it was too much.
        let slow = (GROWTH - FLATTER * (limit.rate / SLOW).ln()).max(LEAST_GROWTH) / (1.0 + self.latency);
        let below = limit.ceiling / limit.rate - 1.0;
        let growth = if below > 2.0 * BELOW { below / 2.0 } else { hurried(slow, limit.clean) };
        limit.rate *= 1.0 + growth.min(MOST_GROWTH);
        if limit.rate > NO_LIMIT {
            self.limit = None;
            self.misjudged = 0;
        }
    }
}

/// Growth that doubles with each step after the first few.
fn hurried(growth: f64, clean: u32) -> f64 {
    growth * f64::from(1u32 << clean.saturating_sub(HURRY).min(16))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a size, and not negative")]
fn whole(bytes: f64) -> usize {
    bytes as usize
}
