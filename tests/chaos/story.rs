//! What happens and when, printed as it happens; and the harness's clock.

use std::time::{Duration, Instant};

use standpipe::event::Timestamp;

/// See the module.
pub(crate) struct Story {
    began: Instant,
}

impl Story {
    pub(crate) fn begin() -> Self {
        Self { began: Instant::now() }
    }

    /// Time since the beginning.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Tells what happens now.
    pub(crate) fn tell(&self, what: &str) {
        println!("{:8.2} s  {what}", self.elapsed().as_secs_f64());
    }
}

/// The number of the day: a failure can be run again all day.
pub(crate) fn seed_of_the_day() -> u64 {
    const DAY_MS: i64 = 24 * 60 * 60 * 1000;
    u64::try_from(Timestamp::now().0 / DAY_MS).unwrap_or_default()
}

/// Lets time pass, for actors whose pace is part of the plan.
#[expect(clippy::disallowed_methods, reason = "the pace of an actor, and no test's verdict")]
pub(crate) fn pause(duration: Duration) {
    std::thread::sleep(duration);
}
