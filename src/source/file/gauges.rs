//! How far behind a source's files are.

use std::time::Duration;

use tokio::time::Instant;

use super::account::AccountHandle;
use super::setup::FileSetup;
use super::shown;
use super::table::FileTable;
use super::tracked::TrackedFile;
use crate::event::Timestamp;
use crate::metrics::SourceMetrics;

/// Sets the gauges from time to time.
pub(super) struct FileGauges {
    next: Instant,
    /// Something may have happened since they were set.
    is_stale: bool,
}

impl FileGauges {
    pub(super) fn new() -> Self {
        Self { next: Instant::now(), is_stale: true }
    }

    /// When they are to be set, whether anything happens or not; none: they do not change by themselves.
    pub(super) fn wake(&self, setup: &FileSetup, is_any_blocked: bool) -> Option<Instant> {
        let metrics = setup.metrics();
        let changes = metrics.behind_bytes.get() != 0 || metrics.lag_seconds.get() > 0.0 || is_any_blocked;
        (changes || self.is_stale).then_some(self.next)
    }

    /// Sets them where it is time to.
    pub(super) fn set(&mut self, setup: &FileSetup, files: &FileTable) {
        let now = Instant::now();
        self.is_stale = now < self.next;
        if self.is_stale {
            return;
        }
        self.next = now.checked_add(PERIOD).unwrap_or(now);
        let gone = files.gone.iter().map(|(_, gone)| &gone.account);
        let followed = files.iter().filter_map(|(_, file)| Some(&file.progress()?.account));
        let oldest =
            gone.chain(followed).filter_map(|account| AccountHandle::oldest_unacknowledged(account)).min();
        let age = oldest.map_or(0, |oldest| Timestamp::now().0.saturating_sub(oldest.0).max(1));
        let lag = Duration::from_millis(u64::try_from(age).unwrap_or(0));
        setup.metrics().lag_seconds.set(lag.as_secs_f64());
        set_behind(setup.metrics(), files);
        shown::tell(setup, files);
    }
}

/// Sets how many bytes were seen and not read.
pub(super) fn set_behind(metrics: &SourceMetrics, files: &FileTable) {
    let unread = |(_, file): (_, &TrackedFile)| file.behind();
    let behind = files.iter().map(unread).fold(0, u64::saturating_add);
    metrics.behind_bytes.set(i64::try_from(behind).unwrap_or(i64::MAX));
}

/// How often gauges are set.
pub(super) const PERIOD: Duration = Duration::from_secs(1);
