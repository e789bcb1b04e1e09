//! Rates from counters: a short ring of samples. Pure: the time is an argument.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Rates are measured over so many seconds.
pub const RATE_SECONDS: u64 = 10;

/// So many samples are kept: one a second, and the one before the first second.
const MOST_SAMPLES: usize = 11;

/// Samples are no closer together than this.
const APART: Duration = Duration::from_millis(900);

/// A sample that is older says nothing of now: the process was stopped, or nobody looked.
const STALE: Duration = Duration::from_secs(2 * RATE_SECONDS);

/// The latest samples of `N` counters.
#[derive(Clone, Debug)]
pub struct RateWindow<const N: usize> {
    /// In the order of time; at most one a second.
    samples: VecDeque<CounterSample<N>>,
}

#[derive(Clone, Copy, Debug)]
struct CounterSample<const N: usize> {
    at: Instant,
    counts: [u64; N],
}

impl<const N: usize> Default for RateWindow<N> {
    fn default() -> Self {
        Self { samples: VecDeque::new() }
    }
}

impl<const N: usize> RateWindow<N> {
    /// Notes what the counters say now, unless the last sample is too close.
    pub fn sample(&mut self, now: Instant, counts: [u64; N]) {
        let last = self.samples.back().map(|sample| now.duration_since(sample.at));
        match last {
            Some(passed) if passed < APART => return,
            Some(passed) if passed > STALE => self.samples.clear(),
            Some(_) | None => {}
        }
        self.samples.push_back(CounterSample { at: now, counts });
        while self.samples.len() > MOST_SAMPLES {
            self.samples.pop_front();
        }
    }

    /// What each counter grows by in a second; none: that is not known yet.
    #[must_use]
    pub fn per_second(&self) -> Option<[f64; N]> {
        let (first, last) = (self.samples.front()?, self.samples.back()?);
        let seconds = last.at.duration_since(first.at).as_secs_f64();
        if seconds <= 0.0 {
            return None;
        }
        let mut rates = [0.0; N];
        for ((rate, before), after) in rates.iter_mut().zip(first.counts).zip(last.counts) {
            *rate = count(after.saturating_sub(before)) / seconds;
        }
        Some(rates)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
const fn count(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_that_of_the_last_seconds_and_is_not_told_before_there_is_one() {
        let (mut window, start) = (RateWindow::<2>::default(), Instant::now());
        assert_eq!(window.per_second(), None);
        window.sample(start, [0, 0]);
        assert_eq!(window.per_second(), None);
        for second in 1..=30 {
            window.sample(start + Duration::from_secs(second), [second * 100, 7]);
            // What comes between two seconds takes no room.
            window.sample(start + Duration::from_secs(second) + Duration::from_millis(100), [0, 0]);
        }
        assert_eq!(window.per_second(), Some([100.0, 0.0]));
        assert_eq!(window.samples.len(), 11);
        for second in 31..=41 {
            window.sample(start + Duration::from_secs(second), [3_000, 7]);
        }
        assert_eq!(window.per_second(), Some([0.0, 0.0]), "what was before is forgotten");
    }

    #[test]
    fn after_a_gap_the_rate_begins_anew() {
        let (mut window, start) = (RateWindow::<1>::default(), Instant::now());
        window.sample(start, [0]);
        window.sample(start + Duration::from_mins(1), [6_000]);
        assert_eq!(window.per_second(), None);
        window.sample(start + Duration::from_secs(61), [6_001]);
        assert_eq!(window.per_second(), Some([1.0]));
    }
}
