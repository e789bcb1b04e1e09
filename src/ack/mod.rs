//! What is done, in order: acknowledgements move positions, and positions are kept on disk.
//!
//! In:      [`Outcome`](crate::event::Outcome)s of chunks, in any order, from any thread.
//! Out:     `checkpoints.json` and its journal in the state directory.
//! Full:    never; an account holds one mark for each chunk under way, and chunks are bounded by the memory budget.
//! Failure: a failed save keeps everything to be saved again; a torn file is cut back to its whole entries.
//! Stop:    the pipeline saves once more when everything has drained.

mod account;
mod checkpointer;
mod checkpoints;
mod entry;
mod fault;
mod journal;
mod snapshot;
mod tracker;
mod watermark;

pub use account::LocalAccount;
pub use checkpointer::{CheckpointFailure, Checkpointer, keep_checkpointed, last_checkpoint};
pub use checkpoints::Checkpoints;
pub use entry::{CheckpointEntry, LocalPosition};
pub use fault::CheckpointError;
pub use snapshot::Listing;
pub use tracker::PositionTracker;
pub use watermark::Watermark;
