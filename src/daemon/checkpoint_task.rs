//! Checkpoints to the disk: as they move, so that a kill repeats little, and once a second for good.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::error;

use crate::ack::Checkpoints;
use crate::health::Status;

/// Between two records of what moved, each of which survives a kill.
const RECORD_EVERY: Duration = Duration::from_millis(50);

/// Between two syncs, each of which survives a power cut; and after a failure.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// The checkpoints, and what is wrong with keeping them.
#[derive(Clone, Debug)]
pub(crate) struct CheckpointKeeper {
    checkpoints: Arc<Checkpoints>,
    status: Arc<Status>,
    /// The lock covers a report.
    issues: Arc<Mutex<KeepingIssues>>,
}

/// One for each of the two that work side by side, so that neither clears what the other reports.
#[derive(Debug, Default)]
struct KeepingIssues {
    recording: Option<String>,
    saving: Option<String>,
}

impl CheckpointKeeper {
    pub(crate) fn new(checkpoints: Arc<Checkpoints>, status: Arc<Status>) -> Self {
        Self { checkpoints, status, issues: Arc::default() }
    }

    /// Writes down what moved, as soon as it has, for as long as it is polled.
    pub(crate) async fn record_often(self) {
        loop {
            self.checkpoints.changed().await;
            let issue = self.attempt(Checkpoints::record).await;
            let is_recorded = issue.is_none();
            self.report(|issues| issues.recording = issue);
            sleep(if is_recorded { RECORD_EVERY } else { SYNC_EVERY }).await;
        }
    }

    /// Syncs what was written once a second, for as long as it is polled.
    pub(crate) async fn sync_often(self) {
        let mut clock = interval(SYNC_EVERY);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            clock.tick().await;
            let issue = self.attempt(Checkpoints::sync).await;
            self.report(|issues| issues.saving = issue);
        }
    }

    /// Saves them now, if anything changed; whether they are on disk.
    pub(crate) async fn save(&self) -> bool {
        let issue = self.attempt(Checkpoints::save).await;
        let is_saved = issue.is_none();
        self.report(|issues| *issues = KeepingIssues { recording: None, saving: issue });
        is_saved
    }

    async fn attempt(&self, work: fn(&Checkpoints) -> io::Result<()>) -> Option<String> {
        let checkpoints = Arc::clone(&self.checkpoints);
        // Only the end of the process cuts it short.
        let done = tokio::task::spawn_blocking(move || work(&checkpoints)).await.unwrap_or(Ok(()));
        let issue = done.err().map(|error| format!("cannot be saved: {error}"));
        if let Some(issue) = &issue {
            error!(issue, "checkpoints");
        }
        issue
    }

    fn report(&self, note: impl FnOnce(&mut KeepingIssues)) {
        let mut issues = self.issues.lock().unwrap_or_else(PoisonError::into_inner);
        note(&mut issues);
        let KeepingIssues { recording, saving } = &*issues;
        let issue = recording.as_ref().or(saving.as_ref()).cloned();
        self.status.report_issue("checkpoints", issue);
    }
}
