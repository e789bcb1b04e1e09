//! Checkpoints to the disk, once a second.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tracing::error;

use crate::ack::Checkpoints;
use crate::health::Status;

/// Saves the checkpoints once a second.
pub(crate) async fn save_often(checkpoints: Arc<Checkpoints>, status: Arc<Status>) {
    let mut clock = interval(Duration::from_secs(1));
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        save(&checkpoints, &status).await;
    }
}

/// Saves them now, if anything changed; whether they are on disk.
pub(crate) async fn save(checkpoints: &Arc<Checkpoints>, status: &Status) -> bool {
    let saving = Arc::clone(checkpoints);
    let saved = tokio::task::spawn_blocking(move || saving.save()).await;
    let issue = match saved {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(format!("cannot be saved: {error}")),
        Err(_stopped) => None,
    };
    let is_saved = issue.is_none();
    if let Some(issue) = &issue {
        error!(issue, "checkpoints");
    }
    status.report_issue("checkpoints", issue);
    is_saved
}
