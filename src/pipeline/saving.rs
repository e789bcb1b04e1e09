//! Checkpoints to the disk, once a second.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tracing::error;

use crate::ack::Checkpoints;
use crate::status::Status;

/// Saves the checkpoints once a second.
pub(super) async fn save_often(checkpoints: Arc<Checkpoints>, status: Arc<Status>) {
    let mut clock = interval(Duration::from_secs(1));
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        save(&checkpoints, &status).await;
    }
}

/// Saves them now, if anything changed; whether they are on disk.
pub(super) async fn save(checkpoints: &Arc<Checkpoints>, status: &Status) -> bool {
    let saving = Arc::clone(checkpoints);
    let saved = tokio::task::spawn_blocking(move || saving.save()).await;
    let complaint = match saved {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(format!("cannot be saved: {error}")),
        Err(_stopped) => None,
    };
    let is_saved = complaint.is_none();
    if let Some(complaint) = &complaint {
        error!(complaint, "checkpoints");
    }
    status.complain("checkpoints", complaint);
    is_saved
}
