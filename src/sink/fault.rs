//! Refusals that no quota explains: those at a rate far below what was accepted of late. Pure.
//!
//! They are known as a share of what is sent, which is forgotten unless it is seen again: a quota may hide behind it.

use super::step::RateStep;

/// What a fault refuses, whatever the rate.
#[derive(Debug, Default)]
pub(super) struct FaultEstimate {
    /// Answers where no quota refuses anything, and how many of them were refusals.
    units: f64,
    refused: f64,
    /// Steps in which they came.
    steps: u32,
}

/// Where a quota refuses nothing, refusals of a larger share are a fault's. With less there is none worth a look: those who share a quota
/// cause as many for each other.
const NEXT_TO_NONE: f64 = 0.07;

/// A larger share is left to the quota.
const MOST: f64 = 0.6;

/// The share is known from so many answers, in so many steps, and from no more answers than so many.
const KNOWN_FROM: f64 = 40.0;
const KNOWN_FROM_STEPS: u32 = 2;
const MOST_UNITS: f64 = 200.0;

/// It is forgotten in about so many seconds of sending at a limit.
const KNOWN_FOR: f64 = 30.0;

/// Refusals are beyond the share, or less, if they differ from it by so many standard deviations.
const SURE: f64 = 3.0;

/// Beyond it by so many, where the rate is not searched for: others who share a quota pay for what is taken for chance.
const LIKELY: f64 = 1.0;

impl FaultEstimate {
    /// Of the records, from 0 to 1.
    fn share(&self) -> f64 {
        if self.has_enough() { self.refused / self.units } else { 0.0 }
    }

    fn has_enough(&self) -> bool {
        self.units >= KNOWN_FROM && self.steps >= KNOWN_FROM_STEPS
    }

    /// Whether it is not known yet, and may come to be.
    pub(super) fn is_tested(&self, step: &RateStep) -> bool {
        !self.has_enough() && step.share() < MOST
    }

    /// Whether a fault's share is known.
    pub(super) fn is_known(&self) -> bool {
        self.share() > 0.0
    }

    /// Whether it is known that there is none worth a look.
    pub(super) fn is_none(&self) -> bool {
        let share = self.share();
        self.has_enough() && share - (share * (1.0 - share) / self.units).sqrt() < NEXT_TO_NONE
    }

    /// Nothing is known.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// The standard deviation of what chance makes of the share.
    fn doubt(&self, step: &RateStep) -> f64 {
        let share = self.share();
        (share * (1.0 - share) * (1.0 / step.units() + 1.0 / (self.units + 1.0))).sqrt()
    }

    /// What was refused beyond the fault's share and chance, of what the fault leaves, from 0 to 1.
    pub(super) fn excess(&self, step: &RateStep, is_searching: bool) -> f64 {
        let beyond = step.share() - self.share();
        let chance = self.doubt(step) * if is_searching { SURE } else { LIKELY };
        if beyond > chance { beyond / (1.0 - self.share()) } else { 0.0 }
    }

    /// The share follows what is refused where no quota refuses anything, and what is surely less anywhere. `is_searching`: the rate is
    /// not at a limit, and what is known stays so.
    pub(super) fn follow(&mut self, step: &RateStep, is_below_quota: bool, is_searching: bool) {
        if !is_below_quota && !self.has_enough() {
            self.forget();
        }
        let forgotten = if is_searching { 1.0 } else { (-step.seconds() / KNOWN_FOR).exp() };
        let kept = forgotten.min(MOST_UNITS / (self.units + 1.0));
        (self.units, self.refused) = (self.units * kept, self.refused * kept);
        let is_less = step.share() + SURE * self.doubt(step) < self.share();
        if is_less || (is_below_quota && step.share() < MOST) {
            self.units += step.units();
            self.refused += step.units() * step.share();
            self.steps = self.steps.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::step::{RefusedBy, RequestLoad};
    use std::time::Duration;
    use tokio::time::Instant;

    /// Two seconds of a hundred calls of four records, of which this share was refused.
    fn step(share: f64) -> RateStep {
        let start = Instant::now();
        let mut step = RateStep::new(start);
        let sent = start + Duration::from_secs(2);
        for _ in 0..100 {
            let refused = RequestLoad { bytes: 4_000.0 * share, records: 4.0 * share };
            step.answered(sent, sent, RequestLoad::new(4_000, 4), refused, RefusedBy::Records);
        }
        step
    }

    /// What is beyond the fault after ten steps of which this share was refused.
    #[track_caller]
    fn check(share: f64, is_below_quota: bool, is_fault: bool) {
        let mut fault = FaultEstimate::default();
        (0..10).for_each(|_| fault.follow(&step(share), is_below_quota, false));
        let is_explained = !fault.is_none() && fault.excess(&step(share), false) <= 0.0;
        assert_eq!(is_explained, is_fault, "{share}");
    }

    #[test]
    fn what_is_refused_far_below_what_was_accepted_is_a_faults() {
        for share in [0.15, 0.3, 0.55] {
            check(share, true, true);
            check(share, false, false);
        }
    }

    #[test]
    fn what_the_search_for_a_rate_causes_and_nearly_all_are_left_to_the_quota() {
        check(0.05, true, false);
        check(0.9, true, false);
    }

    #[test]
    fn one_step_says_little() {
        let mut fault = FaultEstimate::default();
        fault.follow(&step(0.3), true, false);
        assert!(!fault.is_known() && fault.is_tested(&step(0.3)));
        fault.follow(&step(0.3), true, false);
        assert!(fault.is_known());
    }

    #[test]
    fn a_share_that_becomes_less_or_is_not_seen_again_is_forgotten() {
        let excess = |fault: &FaultEstimate, share| fault.excess(&step(share), true);
        let mut fault = FaultEstimate::default();
        (0..10).for_each(|_| fault.follow(&step(0.5), true, false));
        assert!(excess(&fault, 0.5) <= 0.0 && excess(&fault, 0.9) > 0.0);
        (0..10).for_each(|_| fault.follow(&step(0.1), false, false));
        assert!(excess(&fault, 0.5) > 0.3);
        let mut fault = FaultEstimate::default();
        (0..10).for_each(|_| fault.follow(&step(0.5), true, false));
        (0..120).for_each(|_| fault.follow(&step(0.8), false, true));
        assert!(excess(&fault, 0.5) <= 0.0, "it is not at a limit");
        (0..120).for_each(|_| fault.follow(&step(0.8), false, false));
        assert!(excess(&fault, 0.5) > 0.3);
    }
}
