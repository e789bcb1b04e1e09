//! The rate that a destination's quota allows, learned from what it refuses. Pure: time and chance are arguments.
//!
//! Without refusals there is no limit. Firehose's quotas are per second and stream, and say nothing but "slow down"
//! (<https://docs.aws.amazon.com/firehose/latest/dev/limits.html>), so the rate is found as congestion control finds it: in steps
//! of a second of sending, each judged by the answers to what was sent in it.
//!
//! Every step adds to the rate and takes off what was refused, so that a small share of refusals balances the growth. All who share
//! a quota see the same share refused; growth is relatively less at a higher rate; so shares come to be equal, as in Kelly's
//! proportional fairness (<https://www.jstor.org/stable/3010473>).
//!
//! Refusals whatever the rate come from a fault of the service, and a lower rate would only hold data up. Three rules tell them from a
//! quota's:
//!
//! 1. Who keeps up needs no lower rate. A step in which the sender had time left, and little waited to be sent again, changes nothing
//!    (see [`RateStep::keeps_up`]): what it sends is its input, whatever its limit. Above a quota what waits grows, and soon it no longer
//!    keeps up.
//! 2. What was accepted of late may be sent again. Where the rate has been far below that for a moment, or is the least there is, a quota
//!    refuses nothing: what is still refused is a fault's share (see [`FaultEstimate`]). Steps are judged by the refusals beyond it, and
//!    the rate multiplies until there are some. Where nothing is refused, it was a quota that refused before.
//! 3. A rate that multiplies goes on doing so while little is refused.

use std::time::Duration;

use tokio::time::Instant;

use super::fault::FaultEstimate;
use super::step::{RateStep, RefusedBy, RequestLoad};
use crate::limits::{BILLING_STEP, TARGET_RECORD_BYTES};

/// The rate of one destination: none until something is refused.
#[derive(Debug)]
pub(super) struct RateLimit {
    limit: Option<TokenBucket>,
    /// Since when there has been none.
    unlimited: Instant,
    step: RateStep,
    /// The step before sent all there was.
    kept_up: bool,
    fault: FaultEstimate,
    last_accepted: LastAccepted,
    /// Smoothed, in seconds.
    latency: f64,
    /// Most requests under way.
    concurrency: f64,
}

/// A token bucket.
#[derive(Debug)]
struct TokenBucket {
    /// Payload bytes a second.
    rate: f64,
    /// The next request may go at this time.
    next: Instant,
    /// Requests of this step went as soon as they might: the limit was felt.
    felt: bool,
    /// What went without refusals since the last step with one.
    clean: CleanSteps,
    /// The rate before the last cut.
    ceiling: f64,
    /// The highest rate that was accepted of late.
    accepted: f64,
    /// Since when the rate is so far below that a quota refuses nothing.
    low_since: Option<Instant>,
    /// The rate multiplies with each step, until more than a little is refused.
    doubling: bool,
}

/// When something was accepted last, and the rate then.
#[derive(Clone, Copy, Debug)]
struct LastAccepted {
    at: Instant,
    rate: Option<f64>,
}

/// Steps in a row without a refusal.
#[derive(Clone, Copy, Debug, Default)]
struct CleanSteps {
    steps: f64,
    /// Answers in them.
    units: f64,
}

/// Seconds, beside two latencies, of nothing but refusals that make an outage: these tell nothing of a quota.
const OUTAGE: f64 = 10.0;

/// A request carries at least this many seconds of the rate, and more where latency and concurrency ask for it.
const LEAST_SPAN: f64 = 0.03;

/// It carries at most this many seconds of the rate.
const MOST_SPAN: f64 = 0.8;

/// Requests are sized so that the latency uses the concurrency divided by this: the rest stays free.
const SPARE: f64 = 1.1;

/// The fewest records of a request, as long as they are not too small.
const RECORDS_A_REQUEST: usize = 4;

/// Records are cut so that there are this many a second, and chance says little of who is refused; but not smaller than one billing
/// step: with lines of 250 bytes these are billed 2 to 3 % more than they hold.
const RECORDS_A_SECOND: f64 = 40.0;

/// Smaller records than five billing steps are made for this only: what a record's last step lacks is paid for.
const LEAST_RECORD: usize = 5 * BILLING_STEP;

/// The rate tried first, in bytes a second, where calls were refused until a small one was accepted.
const SLOW_START: f64 = 262_144.0;

/// No rate is less, in bytes a second.
const LEAST_RATE: f64 = 16_384.0;

/// A rate that no destination reaches is no limit.
const NO_LIMIT: f64 = 1e9;

/// The first cut takes off the share that was refused, and as much again, up to this.
const BELOW: f64 = 0.1;

/// A later one takes no more than this.
const MOST_CUT: f64 = 0.5;

/// How many times the refused share is taken off: where it may be chance, and where at least [`SURE_REFUSALS`] were refused.
const CUT_UNSURE: f64 = 0.5;
const CUT_SURE: f64 = 2.0;
const SURE_REFUSALS: f64 = 4.0;

/// Each second of latency brings the factor nearer to one: the effect of a cut is seen late, and what is below the quota is lost.
const CUT_CALMER: f64 = 15.0;

/// Growth in a second: this part, the same at any rate, and one of [`FAIR_GROWTH`] at [`FAIR_RATE`] bytes a second, which is less at
/// more by [`FAIR_POWER`].
const GROWTH: f64 = 0.01;
const FAIR_GROWTH: f64 = 0.02;
const FAIR_RATE: f64 = 1e6;
const FAIR_POWER: f64 = 0.5;
const MOST_FAIR: f64 = 8.0;

/// Far below the rate before the last cut, growth is this.
const RECOVERY: f64 = 0.1;
const FAR_BELOW: f64 = 0.7;

/// After this many steps, and answers, without refusals, growth doubles with each step, up to [`MOST_GROWTH`].
const HURRY_STEPS: f64 = 10.0;
const HURRY_UNITS: f64 = 200.0;
const MOST_GROWTH: f64 = 0.25;

/// Refusals of less than this share are little: the search for a quota's rate causes as many.
const LITTLE: f64 = 0.1;

/// Until more than a little is refused, a step multiplies the rate by this: by more where a fault's share is known.
const DOUBLING: f64 = 1.5;
const DOUBLING_BESIDE_FAULT: f64 = 2.5;

/// So many standard deviations are chance.
const CHANCE: f64 = 1.5;

/// Growth is slower by this share for each second of latency: that it was too much is told late.
const SLOWER: f64 = 0.5;

/// Below this share of what was accepted of late, for so long that others who share a quota have given way too, a quota refuses nothing.
const LOW: f64 = 0.6;
const LOW_FOR: Duration = Duration::from_millis(800);

/// And for so many latencies. Where one is longer than [`SLOW_CALLS`] seconds, what others do is seen too late to tell.
const LOW_FOR_LATENCIES: f64 = 4.0;
const SLOW_CALLS: f64 = 1.0;

/// After the first cut, what was sent before it is not looked at for so long.
const SETTLED: Duration = Duration::from_millis(800);

/// What was accepted is forgotten in about so many seconds: the quota may be less now.
const LATELY: f64 = 60.0;

impl RateLimit {
    /// No limit yet. `concurrency` is the most requests that the destination may have under way.
    pub(super) fn new(concurrency: f64, now: Instant) -> Self {
        Self {
            limit: None,
            unlimited: now,
            step: RateStep::new(now),
            kept_up: false,
            fault: FaultEstimate::default(),
            last_accepted: LastAccepted { at: now, rate: None },
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

    /// The size, in whole billing steps, to which records are cut that are larger than a request of this many bytes.
    pub(super) fn record(&self, request: usize) -> usize {
        let second = self.rate().map_or(0, |rate| whole(rate / RECORDS_A_SECOND));
        let steps = |bytes: usize| bytes / BILLING_STEP * BILLING_STEP;
        let least = steps(second).clamp(BILLING_STEP, LEAST_RECORD);
        steps(request / RECORDS_A_REQUEST).clamp(least, TARGET_RECORD_BYTES)
    }

    /// The size of a record that asks whether the destination works again.
    pub(super) fn least_record() -> usize {
        LEAST_RECORD
    }

    /// The seconds of the rate that a request carries, chosen so that most of the concurrency covers the latency.
    fn span(&self) -> f64 {
        (SPARE * self.latency / self.concurrency).clamp(LEAST_SPAN, MOST_SPAN)
    }

    /// The factor by which growth is slower at this latency.
    fn slower(&self) -> f64 {
        1.0 + SLOWER * self.latency
    }

    /// Whether there is nothing to send, although more might be sent.
    pub(super) fn idle(&mut self, is_idle: bool, now: Instant) {
        self.step.idle(is_idle, now);
    }

    /// A request leaves, while as many bytes wait to be sent again. `chance`, from 0 to 1, keeps senders that share a quota from going
    /// in step.
    pub(super) fn send(&mut self, bytes: f64, waiting: f64, now: Instant, chance: f64) {
        self.step.sends(waiting, now);
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
    pub(super) fn answered(
        &mut self,
        sent: Instant,
        now: Instant,
        load: RequestLoad,
        refused: RequestLoad,
        by: RefusedBy,
    ) {
        self.latency += 0.2 * (now.duration_since(sent).as_secs_f64() - self.latency);
        // Without a limit, refusals alone may be an outage.
        let tells = self.limit.is_some() || by == RefusedBy::Records;
        if tells && self.step.is_over(sent) {
            let step = self.step.next(sent);
            self.kept_up = step.keeps_up();
            if !self.kept_up {
                self.judge(&step, now);
            }
        }
        self.step.answered(sent, now, load, refused, by);
        if refused.records < load.records {
            self.was_accepted(now);
        }
    }

    /// After an outage the rate is what it was before.
    fn was_accepted(&mut self, now: Instant) {
        let LastAccepted { at, rate } = self.last_accepted;
        let out = now.duration_since(at).as_secs_f64() > OUTAGE + 2.0 * self.latency;
        if out && self.step.has_refusals() {
            self.step.next(now);
            if let (Some(rate), Some(limit)) = (rate, &mut self.limit) {
                limit.rate = rate;
            }
        }
        self.last_accepted = LastAccepted { at: now, rate: self.rate() };
    }

    /// After many refusals of whole calls something was accepted: a small request may have been why.
    pub(super) fn slow_start(&mut self, now: Instant) {
        if self.limit.is_none() && !self.kept_up {
            self.limit = Some(TokenBucket::new(SLOW_START, 0.0, 0.0, now));
            self.step.next(now);
            self.last_accepted = LastAccepted { at: now, rate: Some(SLOW_START) };
        }
    }

    fn judge(&mut self, step: &RateStep, now: Instant) {
        let is_low = self.is_low(step, now);
        let is_searching = self.limit.as_ref().is_none_or(|limit| limit.doubling || !limit.felt);
        self.fault.follow(step, is_low, is_searching);
        if is_low && self.fault.is_tested(step) {
            return;
        }
        if is_low && self.fault.is_none() {
            self.fault.forget();
            self.limit.iter_mut().for_each(|limit| limit.accepted = limit.rate);
        }
        let excess = self.fault.excess(step, is_searching);
        let is_little = is_little(excess, step) && self.limit.as_ref().is_some_and(|limit| limit.doubling);
        if excess > 0.0 && !is_little {
            self.cut(step, excess, now);
        } else {
            self.grow(step, is_low, now);
        }
    }

    /// Whether the rate is so far below what was accepted of late that a quota refuses nothing.
    fn is_low(&mut self, step: &RateStep, now: Instant) -> bool {
        let low_for = LOW_FOR + Duration::from_secs_f64(LOW_FOR_LATENCIES * self.latency);
        let is_low = self.limit.as_mut().is_some_and(|limit| limit.is_low(step, low_for, now));
        is_low && self.latency < SLOW_CALLS
    }

    fn grow(&mut self, step: &RateStep, is_low: bool, now: Instant) {
        let (slower, is_known) = (self.slower(), self.fault.is_known());
        let Some(limit) = &mut self.limit else { return };
        if is_low && is_known {
            limit.rate = limit.rate.max(limit.accepted);
            limit.doubling = true;
        }
        let doubling = if is_known { DOUBLING_BESIDE_FAULT } else { DOUBLING };
        limit.grow(step, slower, doubling);
        if limit.rate > NO_LIMIT {
            (self.limit, self.unlimited) = (None, now);
        }
    }

    fn cut(&mut self, step: &RateStep, excess: f64, now: Instant) {
        let slower = self.slower();
        let sure = 1.0 + (CUT_SURE - 1.0) / (1.0 + CUT_CALMER * self.latency);
        let Some(limit) = &mut self.limit else { return self.first_cut(step, excess, now) };
        let many = (excess * step.units() / SURE_REFUSALS).min(1.0);
        let kept = (1.0 - excess).powf(CUT_UNSURE + (sure - CUT_UNSURE) * many).max(MOST_CUT);
        if limit.change(kept, step, slower, now) {
            self.step.next(now);
        }
    }

    fn first_cut(&mut self, step: &RateStep, excess: f64, now: Instant) {
        let kept = (1.0 - excess) * (1.0 - excess.min(BELOW));
        // The quota's bucket was full at first.
        let since = step.seconds_since(self.unlimited);
        let unfilled = step.rate() * since.max(0.25) / (since + 1.0);
        let rate = (unfilled * kept).max(SLOW_START / 2.0);
        self.limit = Some(TokenBucket::new(rate, unfilled, unfilled * (1.0 - excess), now));
        // What is under way was sent without a limit, and used up the quota's second.
        self.step.next(now + SETTLED);
    }
}

impl TokenBucket {
    /// A bucket of this rate, where `sent` bytes a second were too much, of which so many were accepted.
    fn new(rate: f64, sent: f64, accepted: f64, now: Instant) -> Self {
        Self {
            rate,
            next: now,
            felt: false,
            clean: CleanSteps::default(),
            ceiling: sent,
            accepted,
            low_since: None,
            doubling: true,
        }
    }

    /// Whether the rate has been so far below what was accepted of late for so long.
    fn is_low(&mut self, step: &RateStep, low_for: Duration, now: Instant) -> bool {
        let lately = self.accepted * (-step.seconds() / LATELY).exp();
        self.accepted = lately.max(self.rate.min(step.rate()) * (1.0 - step.share()));
        let is_low = self.rate < LOW * self.accepted || self.rate <= LEAST_RATE;
        self.low_since = is_low.then(|| self.low_since.unwrap_or(now));
        self.low_since.is_some_and(|since| now.duration_since(since) >= low_for)
    }

    /// Growth in a second.
    fn growth(&self, slower: f64) -> f64 {
        let fair = (FAIR_RATE / self.rate).powf(FAIR_POWER).min(MOST_FAIR);
        let growth = GROWTH + FAIR_GROWTH * fair;
        let is_far_below = self.rate < FAR_BELOW * self.ceiling;
        (if is_far_below { growth.max(RECOVERY) } else { growth }) / slower
    }

    /// Applies a step with refusals: keeps the share `kept` of the rate, and adds growth. Returns whether the rate fell.
    fn change(&mut self, kept: f64, step: &RateStep, slower: f64, now: Instant) -> bool {
        let change = kept * (self.growth(slower) * step.seconds().min(2.0)).exp();
        if !std::mem::take(&mut self.felt) {
            self.rate = self.rate.min(step.rate());
        }
        let before = self.rate;
        self.rate = (self.rate * change).max(LEAST_RATE);
        self.clean = CleanSteps::default();
        self.doubling = false;
        if change >= 1.0 {
            return false;
        }
        self.ceiling = before;
        self.next = self.next.max(now);
        true
    }

    /// Applies a step without refusals.
    fn grow(&mut self, step: &RateStep, slower: f64, doubling: f64) {
        if !std::mem::take(&mut self.felt) {
            return;
        }
        let CleanSteps { steps, units } = self.clean;
        // What was refused before may be again: the way up to there is no hint of more.
        if self.rate > self.ceiling {
            self.clean = CleanSteps { steps: steps + 1.0, units: units + step.units() };
        }
        let hurry = ((steps - HURRY_STEPS) / slower).min(units / HURRY_UNITS - 1.0);
        let growth = hurried(self.growth(slower), hurry) * step.seconds().min(2.0);
        let growth = growth.min(MOST_GROWTH / slower);
        self.rate *= if self.doubling { doubling.powf(1.0 / slower) } else { 1.0 + growth };
    }
}

/// Whether it may be chance that more than a little was refused.
fn is_little(excess: f64, step: &RateStep) -> bool {
    let chance = (excess * (1.0 - excess) / step.units()).sqrt();
    excess - CHANCE * chance < LITTLE
}

/// Growth that doubles with each step after the first few.
fn hurried(growth: f64, beyond: f64) -> f64 {
    growth * beyond.clamp(0.0, 16.0).exp2()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a size, and not negative")]
fn whole(bytes: f64) -> usize {
    bytes as usize
}
