//! The service manager, systemd or one like it: told when standpipe is ready, reloads and stops, how it is, and that it lives.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use crate::health::Status;
use crate::health::Watchdog;
use crate::metrics::Metrics;

/// What is being done, for the service manager's eyes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Phase {
    /// Before anything runs.
    Starting,
    /// So many sources and sinks run.
    Running {
        /// Sources.
        sources: usize,
        /// Sinks.
        sinks: usize,
    },
    /// What ran with the old configuration is drained.
    Reloading,
    /// What was read is drained.
    Stopping,
}

/// Who is told. Without one every call does nothing.
#[derive(Debug)]
pub(crate) struct ServiceManager {
    /// The lock covers a look, or a change.
    phase: Mutex<Phase>,
    /// Whether what is to turn turns.
    pub(crate) watchdog: Watchdog,
    /// A sign of life is expected within this time.
    interval: Option<Duration>,
}

/// How often the service manager is told how it is.
const TELL: Duration = Duration::from_secs(1);

/// So much more time is asked for each second of a drain; the drain has its own deadline.
const MORE_TIME_MICROS: u32 = 10_000_000;

impl ServiceManager {
    /// The service manager that started this process, if any.
    #[must_use]
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            phase: Mutex::new(Phase::Starting),
            watchdog: Watchdog::default(),
            interval: sd_notify::watchdog_enabled(),
        })
    }

    /// How often a loop has to come round for an activity that is looked at twice as often as the watchdog looks.
    #[must_use]
    pub(crate) fn round(&self) -> Duration {
        self.interval.map_or(TELL, |interval| TELL.min(interval / 4)).max(Duration::from_millis(1))
    }

    /// Everything runs.
    pub(crate) fn ready(&self, sources: usize, sinks: usize) {
        self.enter(Phase::Running { sources, sinks });
        tell(&[NotifyState::Ready]);
    }

    /// A new configuration is looked at, and what ran before is drained; [`Self::ready`] says that it is over.
    pub(crate) fn reloading(&self) {
        self.enter(Phase::Reloading);
        // Without the time the service manager would take it for an error.
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            tell(&[NotifyState::Reloading, now]);
        }
    }

    /// The end has begun.
    pub(crate) fn stopping(&self) {
        self.enter(Phase::Stopping);
        tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(MORE_TIME_MICROS)]);
    }

    fn enter(&self, phase: Phase) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    fn phase(&self) -> Phase {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells how it is, and that it lives, for ever.
    pub(crate) async fn run(self: Arc<Self>, status: Arc<Status>, metrics: Metrics) {
        let mut tell_clock = clock(TELL);
        let half = self.interval.map(|interval| (interval / 2).max(Duration::from_millis(1)));
        let mut life_clock = clock(half.unwrap_or(TELL));
        let mut told = String::new();
        loop {
            tokio::select! {
                _ = tell_clock.tick() => {}
                _ = life_clock.tick(), if half.is_some() => {
                    if self.watchdog.all_progressed() {
                        tell(&[NotifyState::Watchdog]);
                    }
                    continue;
                }
            }
            status.look(Instant::now());
            let phase = self.phase();
            if matches!(phase, Phase::Reloading | Phase::Stopping) {
                tell(&[NotifyState::ExtendTimeoutUsec(MORE_TIME_MICROS)]);
            }
            let mut issues = status.issues();
            issues.extend(metrics.troubles());
            let words = words(&phase, &issues, metrics.in_flight());
            if words != told {
                tell(&[NotifyState::Status(&words)]);
                told = words;
            }
        }
    }
}

fn clock(every: Duration) -> Interval {
    let mut clock = interval(every);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    clock
}

/// One line for `systemctl status`.
fn words(phase: &Phase, issues: &[String], in_flight: i64) -> String {
    let words = match phase {
        Phase::Starting => "starting".to_owned(),
        Phase::Reloading => format!("reloading: {in_flight} events left to drain"),
        Phase::Stopping => format!("stopping: {in_flight} events left to drain"),
        Phase::Running { sources, sinks } => match issues {
            [] => format!("delivering: sources {sources}, sinks {sinks}"),
            [only] => format!("needs attention: {only}"),
            [first, others @ ..] => format!("needs attention: {first}; and {} more", others.len()),
        },
    };
    // A line is all that fits.
    words.replace('\n', " ")
}

fn tell(states: &[NotifyState<'_>]) {
    // Without a service manager there is nobody to tell.
    sd_notify::notify(states).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(phase: &Phase, issues: &[&str], expected: &str) {
        let issues: Vec<String> = issues.iter().map(|&issue| issue.to_owned()).collect();
        assert_eq!(words(phase, &issues, 7), expected);
    }

    #[test]
    fn the_status_is_one_line_of_what_matters_most() {
        let running = Phase::Running { sources: 2, sinks: 1 };
        check(&running, &[], "delivering: sources 2, sinks 1");
        check(&running, &["archive: held\nfor access"], "needs attention: archive: held for access");
        check(&running, &["a: x", "b: y", "c: z"], "needs attention: a: x; and 2 more");
        check(&Phase::Reloading, &["a: x"], "reloading: 7 events left to drain");
        check(&Phase::Stopping, &[], "stopping: 7 events left to drain");
    }
}
