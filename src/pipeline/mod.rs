//! The data's way: what sources hand over is decoded, routed, written and given to destinations, on worker threads.

pub(crate) mod intake;
pub(crate) mod process;
pub(crate) mod worker;

pub use self::intake::{CommitSlot, Intake, Job, Jobs, OrderedLane, WhenFullDestination};
