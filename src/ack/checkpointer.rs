//! Positions written where they outlive the process: asynchronous, repeated until it succeeds, and refused to who is not the owner.

use std::error::Error;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use tracing::warn;

use super::tracker::PositionTracker;
use crate::causes::with_causes;

/// Where the position of a unit is kept, such as a lease table.
pub trait Checkpointer: Send + Sync {
    /// What is kept.
    type Position: Clone + Send + Sync + 'static;

    /// Writes the position down.
    ///
    /// The same position may be written again, since the answer to a write that succeeded can be lost: who finds its own earlier
    /// write answers that it succeeded.
    ///
    /// # Errors
    /// When it was not written, or may not have been; or when another owner has the unit.
    fn checkpoint(
        &self,
        position: &Self::Position,
    ) -> impl Future<Output = Result<(), CheckpointFailure>> + Send;
}

/// Why a position was not written.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointFailure {
    /// It may work another time.
    #[error("the checkpoint could not be written")]
    Failed(#[source] Box<dyn Error + Send + Sync>),
    /// Another owner has the unit, and reads it from the last checkpoint that was written.
    #[error("another owner has taken over")]
    NotOwner,
}

/// The first pause after a failure; doubled each time.
const RETRY: Duration = Duration::from_millis(100);

/// The longest pause after a failure.
const LONGEST_RETRY: Duration = Duration::from_secs(5);

/// Writes a unit's position whenever it moved, at most once in `every`, until another owner has the unit: then the tracker is
/// revoked. Dropped before, it leaves a write under way unanswered.
pub async fn keep_checkpointed<C: Checkpointer>(
    tracker: &PositionTracker<C::Position>,
    checkpointer: &C,
    every: Duration,
) {
    let mut retry = RETRY;
    while !tracker.is_revoked() {
        tracker.moved().await;
        match write(tracker, checkpointer).await {
            Ok(()) => {
                retry = RETRY;
                sleep(every).await;
            }
            Err(CheckpointFailure::NotOwner) => tracker.revoke(),
            Err(failed @ CheckpointFailure::Failed(_)) => {
                warn!(error = with_causes(&failed), "a checkpoint is written again");
                sleep(retry.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
                retry = LONGEST_RETRY.min(retry * 2);
            }
        }
    }
}

/// Writes a unit's last position, until it succeeds or the deadline has come: for the end of a source.
///
/// [`keep_checkpointed`] of the unit must have ended before: of two writes side by side the older may come last.
///
/// # Errors
/// When it was not written by then, or another owner has the unit.
pub async fn last_checkpoint<C: Checkpointer>(
    tracker: &PositionTracker<C::Position>,
    checkpointer: &C,
    deadline: Instant,
) -> Result<(), CheckpointFailure> {
    let late = || CheckpointFailure::Failed("the deadline came first".into());
    loop {
        match timeout_at(deadline, write(tracker, checkpointer)).await {
            Ok(Err(CheckpointFailure::Failed(_))) => {}
            Ok(done) => return done,
            Err(_) => return Err(late()),
        }
        if timeout_at(deadline, sleep(RETRY)).await.is_err() {
            return Err(late());
        }
    }
}

async fn write<C: Checkpointer>(
    tracker: &PositionTracker<C::Position>,
    checkpointer: &C,
) -> Result<(), CheckpointFailure> {
    let Some((position, moves)) = tracker.unwritten() else { return Ok(()) };
    checkpointer.checkpoint(&position).await?;
    tracker.set_written(moves);
    Ok(())
}
