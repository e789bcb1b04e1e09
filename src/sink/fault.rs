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
}

/// Refusals of less than this share are not looked into: the search for a quota's rate causes as many.
pub(super) const LITTLE: f64 = 0.1;

/// A larger share is left to the quota.
const MOST: f64 = 0.6;

/// The share is known from so many answers, and from no more than so many.
const KNOWN_FROM: f64 = 40.0;
const MOST_UNITS: f64 = 200.0;

/// It is forgotten in about so many seconds of sending.
const KNOWN_FOR: f64 = 120.0;

/// Refusals are beyond the share, or less, if they differ from it by so many standard deviations.
const SURE: f64 = 3.0;

impl FaultEstimate {
    /// Of the records, from 0 to 1.
    fn share(&self) -> f64 {
        if self.units < KNOWN_FROM || self.refused < LITTLE * self.units { 0.0 } else { self.refused / self.units }
    }

    /// Whether it is not known yet, and may come to be.
    pub(super) fn is_tested(&self, step: &RateStep) -> bool {
        self.units < KNOWN_FROM && step.share() < MOST
    }

    /// Whether a fault's share is known.
    pub(super) fn is_known(&self) -> bool {
        self.share() > 0.0
    }

    /// What chance explains.
    fn doubt(&self, step: &RateStep) -> f64 {
        let share = self.share();
        SURE * (share * (1.0 - share) * (1.0 / step.units() + 1.0 / (self.units + 1.0))).sqrt()
    }

    /// What was refused beyond the fault's share and chance, of what the fault leaves, from 0 to 1.
    pub(super) fn excess(&self, step: &RateStep) -> f64 {
        let beyond = step.share() - self.share();
        if beyond > self.doubt(step) { beyond / (1.0 - self.share()) } else { 0.0 }
    }

    /// The share follows what is refused where no quota refuses anything, and what is surely less anywhere.
    pub(super) fn follow(&mut self, step: &RateStep, is_below_quota: bool) {
        if !is_below_quota && self.units < KNOWN_FROM {
            *self = Self::default();
        }
        let kept = (-step.seconds() / KNOWN_FOR).exp().min(MOST_UNITS / (self.units + 1.0));
        (self.units, self.refused) = (self.units * kept, self.refused * kept);
        let is_less = step.share() + self.doubt(step) < self.share();
        if is_less || (is_below_quota && step.share() < MOST) {
            self.units += step.units();
            self.refused += step.units() * step.share();
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
        (0..10).for_each(|_| fault.follow(&step(share), is_below_quota));
        assert_eq!(fault.excess(&step(share)) <= 0.0, is_fault, "{share}");
    }

    #[test]
    fn what_is_refused_far_below_what_was_accepted_is_a_faults() {
        for share in [0.12, 0.3, 0.7] {
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
    fn a_share_that_becomes_less_or_is_not_seen_again_is_forgotten() {
        let mut fault = FaultEstimate::default();
        (0..10).for_each(|_| fault.follow(&step(0.5), true));
        assert!(fault.excess(&step(0.5)) <= 0.0 && fault.excess(&step(0.9)) > 0.0);
        (0..10).for_each(|_| fault.follow(&step(0.1), false));
        assert!(fault.excess(&step(0.5)) > 0.3);
        let mut fault = FaultEstimate::default();
        (0..10).for_each(|_| fault.follow(&step(0.5), true));
        (0..120).for_each(|_| fault.follow(&step(0.8), false));
        assert!(fault.excess(&step(0.5)) > 0.3);
    }
}
