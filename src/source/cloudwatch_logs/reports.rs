//! What a source tells of itself: gauges, and what is wrong.

use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use super::catalog::GroupCatalog;
use super::group::LogGroup;
use crate::event::Timestamp;
use crate::metrics::PullGauge;
use crate::overview::{SourceUnit, UnitList, UnitRank, UnitState};
use crate::pipeline::Intake;
use crate::source::lifecycle::SourceContext;

/// Gauges are set, and what is wrong is told, so often.
pub(super) const TELL_EVERY: Duration = Duration::from_secs(1);

/// What is wrong is logged again after so long.
const LOG_EVERY: Duration = Duration::from_mins(1);

/// Why a run with `--once` could not read everything.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct IncompleteRun(pub(super) String);

/// What was told, and when.
#[derive(Debug)]
pub(super) struct Reports {
    next: Instant,
    logged: Option<(String, Instant)>,
    /// The largest lateness seen, in milliseconds.
    latest: i64,
    /// Why log groups are not known.
    pub(super) unlisted: Option<String>,
}

impl Default for Reports {
    fn default() -> Self {
        Self { next: Instant::now(), logged: None, latest: 0, unlisted: None }
    }
}

impl Reports {
    /// When to tell next.
    pub(super) const fn next(&self) -> Instant {
        self.next
    }

    /// An event was ingested so long after its time, in milliseconds.
    pub(super) fn late(&mut self, lateness: i64) {
        self.latest = self.latest.max(lateness);
    }

    /// What is wrong, in words.
    pub(super) fn issue(&self, groups: &GroupCatalog, unstorable: Option<&str>) -> Option<String> {
        if let Some(problem) = unstorable {
            return Some(problem.to_owned());
        }
        if let Some(problem) = &self.unlisted {
            return Some(problem.clone());
        }
        let held = || groups.all().filter(|group| is_held(group));
        let first = held().next()?;
        let fault = first.held.as_ref().map(|held| held.fault.message.as_str()).unwrap_or_default();
        let others = match held().count() {
            1 => String::new(),
            n_held => format!(" (and {} other log groups)", n_held - 1),
        };
        Some(format!("log group `{}` cannot be read{others}: {fault}", first.listed.name))
    }

    /// Tells everything, once a second. Whether it did.
    pub(super) fn tell(
        &mut self,
        groups: &mut GroupCatalog,
        context: &SourceContext,
        window: Duration,
        unstorable: Option<&str>,
        intake: &Intake,
    ) -> bool {
        let now = Instant::now();
        if now < self.next {
            return false;
        }
        self.next = now + TELL_EVERY;
        self.gauges(groups, window, intake);
        context.status.list_units(&context.name, list(groups));
        let issue = self.issue(groups, unstorable);
        context.status.report_issue(&format!("source `{}`", context.name), issue.clone());
        let is_new = |issue: &String| {
            let known = self.logged.as_ref().filter(|(known, at)| known == issue && now < *at + LOG_EVERY);
            known.is_none()
        };
        match issue {
            Some(issue) if is_new(&issue) => {
                warn!(source = &*context.name, "{issue}");
                self.logged = Some((issue, now));
            }
            Some(_) => {}
            None => self.logged = None,
        }
        true
    }

    fn gauges(&self, groups: &mut GroupCatalog, window: Duration, intake: &Intake) {
        let now = Timestamp::now().0;
        let read = || groups.all().filter(|group| !group.is_gone());
        let oldest = groups.all().filter_map(LogGroup::oldest_unacknowledged).min();
        let lag = oldest.map_or(0, |oldest| now.saturating_sub(oldest.0).max(1));
        let poll_age = read().map(|group| group.poll_age(now)).max().unwrap_or(0);
        let (n_groups, n_held) = (read().count(), read().filter(|group| is_held(group)).count());
        let shortened = groups.all_mut().filter_map(|group| group.shortened_window(now)).min();
        let window = shortened.map_or(window.as_secs_f64(), seconds);
        intake.metrics.lag_seconds.set(seconds(lag));
        let pull = &intake.metrics.pull;
        pull.set(PullGauge::Late, seconds(self.latest));
        pull.set(PullGauge::Window, window);
        pull.set(PullGauge::PollAge, seconds(poll_age));
        pull.set(PullGauge::Groups, count(n_groups));
        pull.set(PullGauge::Held, count(n_held));
    }
}

/// The log groups, those that cannot be read and those that were polled longest ago first.
fn list(groups: &GroupCatalog) -> UnitList {
    let now = Timestamp::now().0;
    let state = |group: &LogGroup| if is_held(group) { UnitState::Unreadable } else { UnitState::Reading };
    let age = |group: &LogGroup| Some(seconds(group.poll_age(now)));
    let rank = |group: &&LogGroup| UnitRank::of(state(group), None, age(group));
    let unit = |group: &&LogGroup| SourceUnit {
        name: group.listed.name.clone(),
        state: state(group),
        behind_seconds: age(group),
        ..SourceUnit::default()
    };
    UnitList::of("log groups", groups.all().filter(|group| !group.is_gone()).collect(), rank, unit)
}

/// Whether a log group waits for more than a moment.
fn is_held(group: &LogGroup) -> bool {
    !group.is_gone() && group.held.is_some()
}

fn seconds(milliseconds: i64) -> f64 {
    Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0)).as_secs_f64()
}

fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::MAX, f64::from)
}
