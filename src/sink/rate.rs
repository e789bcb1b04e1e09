//! The rate that a destination's quota allows, learned from what it refuses. Pure: time and chance are arguments.
//!
//! Without refusals there is no limit. Firehose's quotas are per second and stream, and say nothing but "slow down"
//! (<https://docs.aws.amazon.com/firehose/latest/dev/limits.html>), so the rate is found as congestion control finds it: in steps
//! of a second of sending, each judged by the answers to what was sent in it. What was refused is taken off the rate, and a little
//! more; a step without refusals adds a few percent, and more after many of them.
//!
//! Refusals that stay as many when the rate falls are no quota but a fault. They are only sent again, and steps are judged by what
//! is refused beyond them.

use std::time::Duration;

use tokio::time::Instant;

use super::step::{Load, Refusal, Step};
use crate::limits::{BILLING_STEP, TARGET_RECORD_BYTES};

/// The rate of one destination: none until something is refused.
#[derive(Debug)]
pub(super) struct RateLimit {
    limit: Option<Limit>,
    step: Step,
    /// The share that is refused whatever the rate, from 0 to 1.
    fault: f64,
    trial: Option<Trial>,
    /// When something was accepted last, and the rate then.
    accepted: (Instant, Option<f64>),
    /// Smoothed, in seconds.
    latency: f64,
    /// Most requests under way.
    concurrency: f64,
}

/// A token bucket.
#[derive(Debug)]
struct Limit {
    /// Payload bytes a second.
    rate: f64,
    /// The next request may go at this time.
    next: Instant,
    /// Requests of this step went as soon as they might: the limit was felt.
    felt: bool,
    /// Steps without refusals, since the last with.
    clean: u32,
    /// The rate before the last cut.
    ceiling: f64,
    /// The rate multiplies with each step, until the next refusal.
    doubling: bool,
}

/// Whether fewer are refused at a lower rate.
#[derive(Debug)]
struct Trial {
    /// What was refused at the higher one, from 0 to 1.
    share: f64,
    /// What was sent since the rate is lower.
    since: Option<Step>,
}

/// Refusals alone for so many seconds, and two latencies, are an outage and tell nothing of a quota.
const OUTAGE: f64 = 10.0;

/// A request carries so many seconds of the rate, or more where latency and concurrency ask for it.
const SPAN: (f64, f64) = (0.03, 0.8);

/// So much more than the concurrency that the latency asks for is left free.
const SPARE: f64 = 1.1;

/// So many records make a request at least, while they are not smaller than [`LEAST_RECORD`].
const RECORDS_A_REQUEST: usize = 4;

/// Records are not cut smaller than five of Firehose's billing steps: what a record's last step lacks would cost too much.
const LEAST_RECORD: usize = 5 * BILLING_STEP;

/// Where calls were refused until a small one was accepted, so many bytes a second are tried first.
const SLOW_START: f64 = 262_144.0;

/// No rate is less, in bytes a second.
const LEAST_RATE: f64 = 16_384.0;

/// A rate that no destination reaches is no limit.
const NO_LIMIT: f64 = 1e9;

/// What is refused beyond a fault's share is taken off the rate, and as much again, up to this.
const BELOW: f64 = 0.1;

/// One step takes no more than this off, but for the first.
const MOST_CUT: f64 = 0.5;

/// Refusals are beyond a fault's share when chance explains them by so many standard deviations: without a limit, and with one.
const SURE: (f64, f64) = (4.0, 3.0);

/// Growth in a step without refusals; below [`FAR_BELOW`] of the rate before the last cut it is [`RECOVERY`].
const GROWTH: f64 = 0.04;
const RECOVERY: f64 = 0.1;
const FAR_BELOW: f64 = 0.7;

/// After so many steps without refusals growth doubles with each, up to [`MOST_GROWTH`].
const HURRY: f64 = 14.0;
const MOST_GROWTH: f64 = 0.25;

/// Until the first refusal, and once a fault was told from a quota, a step without refusals multiplies the rate by this.
const DOUBLING: f64 = 1.5;

/// For each second of latency growth is slower by this share: what was too much is told late.
const SLOWER: f64 = 0.5;

/// A share refused beyond this is tried for being a fault: the first time, and where there is one already.
const TRIAL_SHARE: (f64, f64) = (0.1, 0.25);

/// One that refuses more is left to the quota.
const TRIAL_MOST: f64 = 0.6;

/// So many answers decide a trial: a quota refuses less than [`ALIKE`] of what it refused at the higher rate.
const TRIAL_UNITS: f64 = 100.0;
const ALIKE: f64 = 0.7;

/// A fault's share follows by this much of what is less than it, and of what chance explains.
const FOLLOW: (f64, f64) = (0.5, 0.1);

/// A smaller share is none.
const NO_FAULT: f64 = 0.01;

/// So much of the rate before the last cut is below the quota.
const BELOW_QUOTA: f64 = 0.95;

impl RateLimit {
    /// No limit, for a destination that may have so many requests under way.
    pub(super) fn new(concurrency: f64, now: Instant) -> Self {
        Self {
            limit: None,
            step: Step::new(now),
            fault: 0.0,
            trial: None,
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

    /// The seconds that a request stands for: so many that most of the concurrency is enough for the latency.
    fn span(&self) -> f64 {
        (SPARE * self.latency / self.concurrency).clamp(SPAN.0, SPAN.1)
    }

    /// A request of so many payload bytes goes. `chance`, from 0 to 1, keeps senders that share a quota from going in step.
    pub(super) fn send(&mut self, bytes: f64, now: Instant, chance: f64) {
        let span = self.span();
        let Some(limit) = &mut self.limit else { return };
        // What was not used of the last moments may be made up for.
        let saved = Duration::from_secs_f64(span);
        limit.felt |= limit.next + saved / 2 >= now;
        let from = limit.next.max(now.checked_sub(saved).unwrap_or(now));
        let gap = bytes / limit.rate * (0.5 + chance);
        limit.next = from + Duration::from_secs_f64(gap.min(60.0));
    }

    /// A request sent at `sent` was answered `now`.
    pub(super) fn answered(&mut self, sent: Instant, now: Instant, load: Load, refused: Load, by: Refusal) {
        self.latency += 0.2 * (now.duration_since(sent).as_secs_f64() - self.latency);
        // Without a limit, refusals alone may be an outage.
        let tells = self.limit.is_some() || by == Refusal::Records;
        if tells && self.step.is_over(sent) {
            let step = std::mem::replace(&mut self.step, Step::new(sent));
            self.judge(&step, now);
        }
        self.step.answered(sent, load, refused, by);
        if refused.records < load.records {
            self.was_accepted(now);
        }
    }

    /// After an outage the rate is what it was before.
    fn was_accepted(&mut self, now: Instant) {
        let (at, rate) = self.accepted;
        let out = now.duration_since(at).as_secs_f64() > OUTAGE + 2.0 * self.latency;
        if out && self.step.has_refusals() {
            self.step = Step::new(now);
            if let (Some(rate), Some(limit)) = (rate, &mut self.limit) {
                limit.rate = rate;
            }
        }
        self.accepted = (now, self.rate());
    }

    /// After many refusals of whole calls something was accepted: a small request may have been why.
    pub(super) fn slow_start(&mut self, now: Instant) {
        if self.limit.is_none() {
            self.limit = Some(Limit::new(SLOW_START, 0.0, now));
            self.step = Step::new(now);
            self.accepted = (now, Some(SLOW_START));
        }
    }

    fn judge(&mut self, step: &Step, now: Instant) {
        if self.try_fault(step) {
            return;
        }
        let chance = (self.fault * (1.0 - self.fault) / step.units()).sqrt();
        let beyond = step.share() - self.fault;
        self.follow_fault(beyond, chance);
        let sure = if self.limit.is_none() { SURE.0 } else { SURE.1 };
        if beyond > sure * chance {
            self.cut(step, beyond / (1.0 - self.fault), now);
        } else {
            self.grow();
        }
    }

    /// The fault's share may change. A quota's refusals must not be taken for more of it.
    fn follow_fault(&mut self, beyond: f64, chance: f64) {
        let below_quota = self.limit.as_ref().is_none_or(|limit| limit.rate < BELOW_QUOTA * limit.ceiling);
        if beyond < -2.0 * chance {
            self.fault += FOLLOW.0 * beyond;
        } else if below_quota && beyond < chance {
            self.fault += FOLLOW.1 * beyond;
        }
        if self.fault < NO_FAULT {
            self.fault = 0.0;
        }
    }

    /// Whether as many are refused at a lower rate: then it is no quota that refuses them.
    fn try_fault(&mut self, step: &Step) -> bool {
        let (Some(trial), Some(limit)) = (&mut self.trial, &mut self.limit) else { return false };
        let since = trial.since.map_or(*step, |since| since.join(step));
        if since.units() < TRIAL_UNITS {
            trial.since = Some(since);
            return false;
        }
        let (before, after) = (trial.share - self.fault, since.share() - self.fault);
        let is_quota = after < ALIKE * before || since.share() > TRIAL_MOST;
        if !is_quota {
            self.fault = since.share();
            limit.doubling = true;
        }
        // Still many: the next step down is a trial too.
        self.trial = (is_quota && after > 0.5 * before).then(|| Trial { share: since.share(), since: None });
        !is_quota
    }

    fn cut(&mut self, step: &Step, excess: f64, now: Instant) {
        let kept = (1.0 - excess) * (1.0 - excess.min(BELOW));
        let sent = step.rate();
        let first = self.limit.is_none();
        // Before there is a limit the quota's bucket is full.
        let unfilled = sent * step.seconds().max(0.25) / (step.seconds() + 1.0);
        let limit = self.limit.get_or_insert_with(|| Limit::new(unfilled, sent, now));
        if !limit.felt && !first {
            limit.rate = limit.rate.min(sent);
        }
        let worth_a_trial = if self.fault > 0.0 { TRIAL_SHARE.1 } else { TRIAL_SHARE.0 };
        if excess > worth_a_trial && !limit.doubling && step.share() < TRIAL_MOST && self.trial.is_none() {
            self.trial = Some(Trial { share: step.share(), since: None });
        }
        let (kept, least) = if first { (kept, SLOW_START / 2.0) } else { (kept.max(MOST_CUT), LEAST_RATE) };
        limit.cut_to((limit.rate * kept).max(least), now);
        limit.doubling = first;
        self.step = Step::new(now);
    }

    fn grow(&mut self) {
        let Some(limit) = &mut self.limit else { return };
        if !std::mem::take(&mut limit.felt) {
            return;
        }
        limit.clean = limit.clean.saturating_add(1);
        let slower = 1.0 + SLOWER * self.latency;
        let growth = hurried(GROWTH / slower, f64::from(limit.clean) / slower - HURRY);
        let growth = if limit.rate < FAR_BELOW * limit.ceiling { growth.max(RECOVERY) } else { growth };
        limit.rate *= if limit.doubling { DOUBLING } else { 1.0 + growth.min(MOST_GROWTH) };
        if limit.rate > NO_LIMIT {
            self.limit = None;
        }
    }
}

impl Limit {
    fn new(rate: f64, ceiling: f64, now: Instant) -> Self {
        Self { rate, next: now, felt: false, clean: 0, ceiling, doubling: true }
    }

    fn cut_to(&mut self, rate: f64, now: Instant) {
        self.ceiling = self.rate;
        self.rate = rate;
        self.next = self.next.max(now);
        self.felt = false;
        self.clean = 0;
    }
}

/// Growth that doubles with each step after the first few.
fn hurried(growth: f64, beyond: f64) -> f64 {
    growth * beyond.clamp(0.0, 16.0).exp2()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a size, and not negative")]
fn whole(bytes: f64) -> usize {
    bytes as usize
}
