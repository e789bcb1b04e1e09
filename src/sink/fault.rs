//! Refusals that no quota explains: the same share of what is sent, whatever the rate. Pure.
//!
//! A suspected share is tested by sending at two rates in turn. A quota refuses less, or nothing, at the lower one; a fault refuses as
//! much. In turn, because others that share a quota change their rates too: what changes slowly is the same for both rates.

use std::time::Duration;

use tokio::time::Instant;

use super::step::RateStep;

/// What a fault refuses, and the trial of what may be one.
#[derive(Debug)]
pub(super) struct FaultEstimate {
    /// Of the records, from 0 to 1.
    share: f64,
    trial: Option<Trial>,
    /// What was answered since the last trial.
    seen: Tally,
    /// When a trial ended last.
    tried: Instant,
}

/// Answers, and how many of them were refusals.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    units: f64,
    refused: f64,
}

/// Whether as many are refused at a lower rate.
#[derive(Debug)]
struct Trial {
    /// What a fault that is known refuses, and what was refused before the trial.
    known: f64,
    before: f64,
    high: Tally,
    low: Tally,
    /// The higher rate.
    rate: f64,
    is_low: bool,
    /// The second step at a rate counts. In the first, a quota's second may be used up, or saved, from before.
    is_second: bool,
}

/// What a trial says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum TrialVerdict {
    /// There is none: the step is judged as any other.
    None,
    /// Not known yet: the next step is to have this rate.
    Open(f64),
    /// A lower rate helps: this one.
    Quota(f64),
    /// A lower rate does not help: the higher one of the trial.
    Fault(f64),
}

/// A larger share is left to the quota.
const MOST: f64 = 0.75;

/// The lower rate of a trial, of the higher one.
const LOW: f64 = 0.5;

/// At the lower rate a fault refuses more than this part of what is refused at the higher one, and a quota less.
const FAULT_LEAST: f64 = 0.6;

/// So many refusals more or less than that decide; or, when a fault would have refused [`ENOUGH`], what there is.
const EVIDENCE: f64 = 2.0;
const ENOUGH: f64 = 12.0;

/// What was seen before a trial counts in it as this many answers at the higher rate, and is of the last [`MEMORY`].
const PRIOR: f64 = 20.0;
const MEMORY: f64 = 100.0;

/// A known fault is tried again after this many seconds: a quota may hide behind it.
const AGAIN: f64 = 30.0;

/// Refusals are beyond a fault's share if they exceed it by this many standard deviations: without a limit, and with one.
const SURE_FREE: f64 = 4.0;
const SURE: f64 = 3.0;

/// The number of answers that a fault's share is taken to be known from.
const KNOWN_FROM: f64 = 100.0;

/// The parts of a difference by which the share follows it: down, and up where chance explains it.
const FOLLOW_DOWN: f64 = 0.5;
const FOLLOW_UP: f64 = 0.1;

/// A smaller share is none.
const NO_FAULT: f64 = 0.01;

impl FaultEstimate {
    /// None is known.
    pub(super) fn new(now: Instant) -> Self {
        Self { share: 0.0, trial: None, seen: Tally::default(), tried: now }
    }

    /// Of the records, from 0 to 1.
    pub(super) fn share(&self) -> f64 {
        self.share
    }

    /// What was refused beyond the fault's share and chance, of what the fault leaves, from 0 to 1.
    pub(super) fn excess(&self, step: &RateStep, is_limited: bool) -> f64 {
        let beyond = step.share() - self.share;
        let sure = if is_limited { SURE } else { SURE_FREE };
        if beyond > sure * self.deviation(step) { beyond / (1.0 - self.share) } else { 0.0 }
    }

    fn deviation(&self, step: &RateStep) -> f64 {
        (self.share * (1.0 - self.share) * (1.0 / step.units() + 1.0 / KNOWN_FROM)).sqrt()
    }

    /// The share may change. Above the quota only downwards: its refusals must not be taken for more of the fault.
    pub(super) fn follow(&mut self, step: &RateStep, is_below_quota: bool) {
        let (beyond, deviation) = (step.share() - self.share, self.deviation(step));
        if beyond < -2.0 * deviation {
            self.know(self.share + FOLLOW_DOWN * beyond);
        } else if is_below_quota && beyond < deviation {
            self.know(self.share + FOLLOW_UP * beyond);
        }
    }

    fn know(&mut self, share: f64) {
        self.share = if share < NO_FAULT { 0.0 } else { share };
    }

    /// Whether it is time to try again what is known.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.share > 0.0 && now.duration_since(self.tried) > Duration::from_secs_f64(AGAIN)
    }

    /// Begins a trial below `rate`, if more was refused of late than the known fault and `least` explain. Returns the first rate.
    pub(super) fn try_lower(&mut self, rate: f64, least: f64) -> Option<f64> {
        let refused = self.seen.share();
        (refused > self.share + least && refused < MOST).then(|| self.begin(refused, self.share, rate))
    }

    /// Begins a trial of a known fault below `rate`. Returns the first rate.
    pub(super) fn try_again(&mut self, rate: f64) -> f64 {
        self.begin(self.share, 0.0, rate)
    }

    fn begin(&mut self, before: f64, known: f64, rate: f64) -> f64 {
        let high = Tally { units: PRIOR, refused: PRIOR * before };
        let trial =
            Trial { known, before, high, low: Tally::default(), rate, is_low: true, is_second: false };
        self.trial.insert(trial).next_rate()
    }

    /// What was sent is evidence. It takes more of it, by this factor, where answers are late: those who share a quota change their rates
    /// for longer.
    pub(super) fn judge(&mut self, step: &RateStep, now: Instant, slower: f64) -> TrialVerdict {
        let Some(trial) = &mut self.trial else {
            self.seen.add(step);
            self.seen.forget();
            return TrialVerdict::None;
        };
        trial.add(step);
        let (evidence, enough) = (trial.evidence() / slower, trial.low.units * trial.high.share() > ENOUGH);
        let is_possible = step.share() <= MOST && trial.all_evidence() > -EVIDENCE;
        if is_possible && evidence.abs() < EVIDENCE && !enough {
            return TrialVerdict::Open(trial.next_rate());
        }
        let (known, low, all, rate) = (trial.known, trial.low.share(), trial.share(), trial.rate);
        (self.trial, self.seen, self.tried) = (None, Tally::default(), now);
        if is_possible && evidence > 0.0 {
            self.know(all);
            return TrialVerdict::Fault(rate);
        }
        // What is less at the lower rate was the quota's.
        if known < self.share {
            self.know(low.min(self.share));
        }
        TrialVerdict::Quota(rate * LOW)
    }
}

impl Tally {
    fn add(&mut self, step: &RateStep) {
        self.units += step.units();
        self.refused += step.units() * step.share();
    }

    /// Keeps what tells of the last answers.
    fn forget(&mut self) {
        let kept = (MEMORY / self.units).min(1.0);
        self.units *= kept;
        self.refused *= kept;
    }

    fn share(&self) -> f64 {
        self.refused / self.units.max(1.0)
    }
}

impl Trial {
    fn next_rate(&self) -> f64 {
        if self.is_low { self.rate * LOW } else { self.rate }
    }

    fn add(&mut self, step: &RateStep) {
        if !std::mem::replace(&mut self.is_second, true) {
            return;
        }
        if self.is_low { &mut self.low } else { &mut self.high }.add(step);
        (self.is_low, self.is_second) = (!self.is_low, false);
    }

    /// Of all answers.
    fn share(&self) -> f64 {
        (self.high.refused + self.low.refused) / (self.high.units + self.low.units)
    }

    /// The same of both rates, against what was refused before: where a quota is well with both, neither has any.
    fn all_evidence(&self) -> f64 {
        let units = self.high.units + self.low.units - PRIOR;
        let refused = self.high.refused + self.low.refused - PRIOR * self.before;
        refused - units * (self.known + FAULT_LEAST * (self.before - self.known))
    }

    /// Refusals at the lower rate beyond what lies between a quota and a fault.
    fn evidence(&self) -> f64 {
        let beyond = (self.high.share() - self.known).max(0.0);
        self.low.refused - self.low.units * (self.known + FAULT_LEAST * beyond)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::step::{RefusedBy, RequestLoad};

    /// A second of twenty calls of four records, of which this share was refused.
    fn step(share: f64, now: Instant) -> RateStep {
        let mut step = RateStep::new(now);
        for _ in 0..20 {
            let refused = RequestLoad { bytes: 4_000.0 * share, records: 4.0 * share };
            let sent = now + Duration::from_secs(1);
            step.answered(sent, RequestLoad { bytes: 4_000.0, records: 4.0 }, refused, RefusedBy::Records);
        }
        step
    }

    /// The verdict of a trial in which these shares are refused at the two rates.
    fn verdict(fault: &mut FaultEstimate, high: f64, low: f64, now: Instant) -> TrialVerdict {
        let mut rate = 0.5e6;
        for _ in 0..1_000 {
            let share = if rate < 1e6 { low } else { high };
            match fault.judge(&step(share, now), now, 1.0) {
                TrialVerdict::Open(next) => rate = next,
                verdict @ (TrialVerdict::None | TrialVerdict::Quota(_) | TrialVerdict::Fault(_)) => {
                    return verdict;
                }
            }
        }
        unreachable!("a trial comes to an end");
    }

    #[track_caller]
    fn check(high: f64, low: f64, expected: TrialVerdict) {
        let now = Instant::now();
        let mut fault = FaultEstimate::new(now);
        for _ in 0..3 {
            assert_eq!(fault.judge(&step(high, now), now, 1.0), TrialVerdict::None);
        }
        assert_eq!(fault.try_lower(1e6, 0.01), Some(0.5e6));
        assert_eq!(verdict(&mut fault, high, low, now), expected, "{high} became {low}");
        let is_fault = expected != TrialVerdict::Quota(0.5e6);
        assert_eq!(fault.excess(&step(high, now), true) > 0.0, !is_fault);
    }

    #[test]
    fn what_is_refused_as_often_at_a_lower_rate_is_a_fault() {
        for share in [0.02, 0.05, 0.28, 0.64] {
            check(share, share, TrialVerdict::Fault(1e6));
        }
        for (high, low) in [(0.02, 0.0), (0.28, 0.0), (0.28, 0.1), (0.5, 0.2), (0.28, 0.9)] {
            check(high, low, TrialVerdict::Quota(0.5e6));
        }
    }

    #[test]
    fn no_trial_begins_where_a_quota_explains_the_refusals_or_nothing_gets_through() {
        for share in [0.0, 0.05, 0.9] {
            let now = Instant::now();
            let mut fault = FaultEstimate::new(now);
            fault.judge(&step(share, now), now, 1.0);
            assert_eq!(fault.try_lower(1e6, 0.06), None, "{share}");
        }
    }

    #[test]
    fn a_trial_between_a_fault_and_a_quota_comes_to_an_end() {
        let now = Instant::now();
        let mut fault = FaultEstimate::new(now);
        fault.judge(&step(0.2, now), now, 1.0);
        assert!(fault.try_lower(1e6, 0.01).is_some());
        assert_ne!(verdict(&mut fault, 0.2, 0.12, now), TrialVerdict::None);
    }

    #[test]
    fn a_known_fault_is_tried_again_and_what_falls_with_the_rate_is_the_quotas() {
        let now = Instant::now();
        let mut fault = FaultEstimate::new(now);
        fault.judge(&step(0.5, now), now, 1.0);
        assert!(fault.try_lower(1e6, 0.01).is_some());
        assert_eq!(verdict(&mut fault, 0.5, 0.5, now), TrialVerdict::Fault(1e6));
        let later = now + Duration::from_secs_f64(AGAIN + 1.0);
        assert!(!fault.is_due(now) && fault.is_due(later));
        assert!((fault.try_again(1e6) - 0.5e6).abs() < 1.0);
        assert_eq!(verdict(&mut fault, 0.5, 0.1, later), TrialVerdict::Quota(0.5e6));
        assert!(fault.excess(&step(0.1, later), true) <= 0.0);
        assert!(fault.excess(&step(0.5, later), true) > 0.3);
        assert!(!fault.is_due(later));
    }
}
