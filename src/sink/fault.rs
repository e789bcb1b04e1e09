//! Refusals that no quota explains: the same share of what is sent, whatever the rate. Pure.
//!
//! A suspected share is tested by lowering the rate. A quota then refuses less, or nothing; a fault refuses as much as before. Wald's
//! sequential test decides between the two: each answer is evidence, and the trial ends when there is enough of it. A trial that
//! reaches no end is taken for a quota.

use std::time::Duration;

use tokio::time::Instant;

use super::step::RateStep;

/// What a fault refuses, and the trial of what may be one.
#[derive(Debug)]
pub(super) struct FaultEstimate {
    /// Of the records, from 0 to 1.
    share: f64,
    trial: Option<Trial>,
    /// When a trial ended last.
    tried: Instant,
}

/// Whether as many are refused at a lower rate.
#[derive(Debug)]
struct Trial {
    /// What was refused at the higher rate, and of that by a fault that is known.
    before: f64,
    known: f64,
    /// The higher rate; none where there was no limit.
    rate: Option<f64>,
    /// Answers at the lower rate, and how many of them were refusals.
    units: f64,
    refused: f64,
    /// Seconds of sending at the lower rate. The first step does not count: the quota's second may have been used up before it.
    seconds: Option<f64>,
}

/// What a trial says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum TrialVerdict {
    /// There is none, or it ended: the step is judged as any other.
    Quota,
    /// Not known yet: the rate stays as it is.
    Open,
    /// The lower rate does not help: this is the one to go back to.
    Fault(Option<f64>),
}

/// A larger share is left to the quota.
const MOST: f64 = 0.6;

/// At the lower rate a fault refuses at least the first share of what it refused before, and a quota at most the second. What it
/// refused before made it a suspect, and is likely too much.
const FAULT_LEAST: f64 = 0.65;
const QUOTA_MOST: f64 = 0.4;

/// The evidence that decides for either. A fault has to be surer, since the rate no longer follows its refusals.
const FAULT_EVIDENCE: f64 = 5.0;
const QUOTA_EVIDENCE: f64 = 4.0;

/// The least length of a trial that finds a fault, in seconds: others that share a quota may be slower to give way.
const FAULT_SECONDS: f64 = 1.5;

/// After this many seconds without enough evidence it is taken for a quota.
const TRIAL_SECONDS: f64 = 20.0;

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
        Self { share: 0.0, trial: None, tried: now }
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
            self.share += FOLLOW_DOWN * beyond;
        } else if is_below_quota && beyond < deviation {
            self.share += FOLLOW_UP * beyond;
        }
        self.forget_little();
    }

    fn forget_little(&mut self) {
        if self.share < NO_FAULT {
            self.share = 0.0;
        }
    }

    /// Whether it is time to try again what is known.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.share > 0.0 && now.duration_since(self.tried) > Duration::from_secs_f64(AGAIN)
    }

    /// The rate was lowered because such a share was refused. `rate` is the one to go back to.
    pub(super) fn try_lower(&mut self, refused: f64, rate: Option<f64>) {
        if refused > self.share && refused < MOST {
            self.trial = Some(Trial::new(refused, self.share, rate));
        }
    }

    /// The rate was lowered to try a known fault again.
    pub(super) fn try_again(&mut self, rate: Option<f64>) {
        self.trial = Some(Trial::new(self.share, 0.0, rate));
    }

    /// What was sent at the lower rate is evidence.
    pub(super) fn judge(&mut self, step: &RateStep, now: Instant) -> TrialVerdict {
        let Some(trial) = &mut self.trial else { return TrialVerdict::Quota };
        trial.add(step);
        let (evidence, seconds) = (trial.evidence(), trial.seconds.unwrap_or(0.0));
        let is_possible = step.share() <= MOST;
        let is_fault = is_possible && evidence > FAULT_EVIDENCE && seconds > FAULT_SECONDS;
        if !is_fault && is_possible && evidence > -QUOTA_EVIDENCE && seconds < TRIAL_SECONDS {
            return TrialVerdict::Open;
        }
        let (share, rate) = (trial.refused / trial.units.max(1.0), trial.rate);
        // What is less at the lower rate was the quota's.
        if is_fault || trial.known < self.share {
            self.share = if is_fault { share } else { share.min(self.share) };
        }
        (self.trial, self.tried) = (None, now);
        self.forget_little();
        if is_fault { TrialVerdict::Fault(rate) } else { TrialVerdict::Quota }
    }
}

impl Trial {
    fn new(before: f64, known: f64, rate: Option<f64>) -> Self {
        Self { before, known, rate, units: 0.0, refused: 0.0, seconds: None }
    }

    fn add(&mut self, step: &RateStep) {
        let Some(seconds) = &mut self.seconds else { return self.seconds = Some(0.0) };
        *seconds += step.seconds();
        self.units += step.units();
        self.refused += step.units() * step.share();
    }

    /// The logarithm of how much likelier these answers are from a fault than from a quota, of what either may refuse at its
    /// likeliest.
    fn evidence(&self) -> f64 {
        let share = self.refused / self.units.max(1.0);
        let part = |part: f64| self.known + part * (self.before - self.known);
        let fault = share.clamp(part(FAULT_LEAST), self.before);
        let quota = share.clamp(self.known, part(QUOTA_MOST)).max(0.001);
        let of_others = (self.units - self.refused) * ((1.0 - fault) / (1.0 - quota)).ln();
        self.refused * (fault / quota).ln() + of_others
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::step::{RefusedBy, RequestLoad};

    /// Two seconds of a hundred calls of four records, of which this share was refused.
    fn step(share: f64, now: Instant) -> RateStep {
        let mut step = RateStep::new(now);
        for _ in 0..100 {
            let refused = RequestLoad { bytes: 4_000.0 * share, records: 4.0 * share };
            let sent = now + Duration::from_secs(2);
            step.answered(sent, RequestLoad { bytes: 4_000.0, records: 4.0 }, refused, RefusedBy::Records);
        }
        step
    }

    #[track_caller]
    fn check(before: f64, after: f64, verdict: TrialVerdict) {
        let now = Instant::now();
        let mut fault = FaultEstimate::new(now);
        fault.try_lower(before, Some(1e6));
        let first = fault.judge(&step(before.min(MOST), now), now);
        assert_eq!(first, if before < MOST { TrialVerdict::Open } else { TrialVerdict::Quota });
        assert_eq!(fault.judge(&step(after, now), now), verdict, "{before} became {after}");
        let is_fault = verdict != TrialVerdict::Quota;
        assert_eq!(fault.excess(&step(after, now), true) > 0.0, !is_fault && after > 0.0);
    }

    #[test]
    fn what_is_refused_as_often_at_a_lower_rate_is_a_fault() {
        check(0.28, 0.28, TrialVerdict::Fault(Some(1e6)));
        check(0.15, 0.15, TrialVerdict::Fault(Some(1e6)));
        check(0.28, 0.1, TrialVerdict::Quota);
        check(0.28, 0.0, TrialVerdict::Quota);
        check(0.28, 0.8, TrialVerdict::Quota);
        check(0.8, 0.8, TrialVerdict::Quota);
    }

    #[test]
    fn few_answers_decide_nothing() {
        let now = Instant::now();
        let mut fault = FaultEstimate::new(now);
        fault.try_lower(0.1, None);
        let mut few = RateStep::new(now);
        few.answered(now, RequestLoad::new(4_000, 4), RequestLoad::default(), RefusedBy::Records);
        assert_eq!(fault.judge(&few, now), TrialVerdict::Open);
    }

    #[test]
    fn a_trial_that_comes_to_no_end_is_a_quotas() {
        let now = Instant::now();
        let mut fault = FaultEstimate::new(now);
        fault.try_lower(0.5, None);
        let mut between = RateStep::new(now);
        between.answered(
            now + Duration::from_secs(2),
            RequestLoad::new(4_000, 4),
            RequestLoad::new(1_000, 1),
            RefusedBy::Records,
        );
        let verdicts: Vec<TrialVerdict> = (0..12).map(|_| fault.judge(&between, now)).collect();
        assert!(verdicts.iter().take(10).all(|verdict| *verdict == TrialVerdict::Open), "{verdicts:?}");
        assert_eq!(verdicts.last(), Some(&TrialVerdict::Quota));
    }

    #[test]
    fn a_known_fault_is_tried_again_and_what_falls_with_the_rate_is_the_quotas() {
        let now = Instant::now();
        let mut fault = FaultEstimate::new(now);
        fault.try_lower(0.5, None);
        assert_eq!(fault.judge(&step(0.5, now), now), TrialVerdict::Open);
        assert_eq!(fault.judge(&step(0.5, now), now), TrialVerdict::Fault(None));
        let later = now + Duration::from_secs_f64(AGAIN + 1.0);
        assert!(!fault.is_due(now) && fault.is_due(later));
        fault.try_again(Some(1e6));
        assert_eq!(fault.judge(&step(0.2, later), later), TrialVerdict::Open);
        assert_eq!(fault.judge(&step(0.2, later), later), TrialVerdict::Quota);
        assert!(fault.excess(&step(0.2, later), true) <= 0.0);
        assert!(fault.excess(&step(0.5, later), true) > 0.3);
        assert!(!fault.is_due(later));
    }
}
