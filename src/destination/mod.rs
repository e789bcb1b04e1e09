//! One stream of one account: its queue, in memory or on disk, and what delivers it.
//!
//! ```text
//! worker ──push──▶ DestinationQueue ──take──▶ Delivery (crate::sink)
//!                  │ open record
//!                  │ Storage ── MemoryStorage
//!                  │         └─ DiskStorage: what is on its way to the disk, there, and read back
//!                  └───────────────▲ next_to_store, next_to_read, change_disk
//!                                  disk::run: the task that has the files
//! ```
//!
//! Read in this order: `registry` finds the queue of a destination (`key` tells them apart) and starts what delivers it
//! (`delivery`); `queue` is what pushes and takes see, and `linger` how
//! long it waits for more; `storage` is where records wait, without any I/O; `disk` is the
//! task that stores them, reads them back and makes room; `recovered` finds what an earlier run left; `overview` says how a
//! sink's destinations are.

pub(crate) mod count;
pub(crate) mod delivery;
pub(crate) mod disk;
pub(crate) mod key;
mod linger;
pub(crate) mod next;
mod overview;
mod progress;
pub(crate) mod queue;
pub(crate) mod recovered;
pub(crate) mod registry;
pub(crate) mod shares;
mod state;
pub(crate) mod storage;

#[cfg(test)]
mod tests;
