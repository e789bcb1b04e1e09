//! How often the service may be asked: a rate that is halved by a throttle and grows back, as TCP's window does. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// The rate grows from nothing to its limit in so many seconds.
const RECOVERY: f64 = 60.0;

/// The rate never sinks below this part of its limit.
const LEAST: f64 = 1.0 / 64.0;

/// Throttles so close to each other answer one burst, and count once.
const ONE_BURST: Duration = Duration::from_secs(1);

/// Calls that may be made at once after a pause, in seconds of the rate.
const BURST: f64 = 0.2;

/// The calls that one source may make.
#[derive(Clone, Debug)]
pub(super) struct CallBudget {
    /// Most calls a second.
    limit: f64,
    rate: f64,
    /// Calls that may be made now.
    tokens: f64,
    counted: Instant,
    throttled: Option<Instant>,
}

impl CallBudget {
    pub(super) const fn new(limit: f64, now: Instant) -> Self {
        Self { limit, rate: limit, tokens: 1.0, counted: now, throttled: None }
    }

    /// Calls a second at present.
    pub(super) const fn rate(&self) -> f64 {
        self.rate
    }

    /// Takes one call, or says when there is one.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Instant> {
        self.grow(now);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        let missing = Duration::from_secs_f64((1.0 - self.tokens) / self.rate);
        Err(now + missing.max(Duration::from_millis(1)))
    }

    /// Gives a call back that was not made.
    pub(super) fn give_back(&mut self) {
        self.tokens += 1.0;
    }

    /// The service said that it was asked too often.
    pub(super) fn throttled(&mut self, now: Instant) {
        self.grow(now);
        if self.throttled.is_some_and(|last| now.duration_since(last) < ONE_BURST) {
            return;
        }
        self.throttled = Some(now);
        self.rate = (self.rate / 2.0).max(self.limit * LEAST);
        self.tokens = self.tokens.min(0.0);
    }

    fn grow(&mut self, now: Instant) {
        let passed = now.duration_since(self.counted).as_secs_f64();
        self.counted = now;
        self.rate = (self.rate + passed * self.limit / RECOVERY).min(self.limit);
        let most = (self.rate * BURST).max(1.0);
        self.tokens = (self.tokens + passed * self.rate).min(most);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Calls made in so many seconds by one who takes each that there is; `refused` says which are throttled.
    fn calls(budget: &mut CallBudget, from: Instant, seconds: u64, refused: impl Fn(u64) -> bool) -> u64 {
        let (mut now, mut made) = (from, 0);
        let end = from + Duration::from_secs(seconds);
        while now < end {
            match budget.take(now) {
                Ok(()) => {
                    made += 1;
                    if refused(made) {
                        budget.throttled(now);
                    }
                }
                Err(later) => now = later,
            }
        }
        made
    }

    #[test]
    fn a_budget_is_used_up_and_never_exceeded() {
        let start = Instant::now();
        let made = calls(&mut CallBudget::new(2.5, start), start, 60, |_| false);
        assert!((149..=151).contains(&made), "{made}");
    }

    #[test]
    fn a_throttle_halves_the_rate_and_it_grows_back() {
        let start = Instant::now();
        let mut budget = CallBudget::new(10.0, start);
        budget.throttled(start);
        // Others of the same burst.
        budget.throttled(start + Duration::from_millis(10));
        assert!((4.9..5.1).contains(&budget.rate()), "{}", budget.rate());
        budget.throttled(start + Duration::from_secs(2));
        assert!(budget.rate() < 2.8, "{}", budget.rate());
        calls(&mut budget, start + Duration::from_secs(2), 60, |_| false);
        assert!(budget.rate() > 9.9, "{}", budget.rate());
    }

    #[test]
    fn a_service_that_refuses_everything_is_asked_seldom_but_asked() {
        let start = Instant::now();
        let made = calls(&mut CallBudget::new(8.0, start), start, 600, |_| true);
        assert!((60..1_200).contains(&made), "{made}");
    }

    proptest! {
        #[test]
        fn no_second_has_more_calls_than_the_limit_and_a_burst(
            limit in 0.1_f64..25.0,
            waits in proptest::collection::vec((0_u64..3_000, any::<bool>()), 1..200),
        ) {
            let start = Instant::now();
            let mut budget = CallBudget::new(limit, start);
            let (mut now, mut made) = (start, Vec::new());
            for (wait, is_throttled) in waits {
                now += Duration::from_millis(wait);
                while budget.take(now).is_ok() {
                    made.push(now);
                }
                if is_throttled {
                    budget.throttled(now);
                }
            }
            for (at, first) in made.iter().enumerate() {
                let second = made[at..].iter().take_while(|call| **call < *first + Duration::from_secs(1)).count();
                let second = f64::from(u32::try_from(second).unwrap());
                prop_assert!(second <= limit + (limit * BURST).max(1.0) + 1.0, "{second} of {limit}");
            }
        }
    }
}
