//! How a queue is set up, and what it gives to whoever takes from it.

use std::time::Duration;

use tokio::time::Instant;

use super::storage::StorageOptions;
use crate::config::Packing;
use crate::event::Record;

/// How a queue works.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueOptions {
    /// How records are packed.
    pub(crate) packing: Packing,
    /// How long a record waits to be filled, at the most.
    pub(crate) linger: Duration,
    /// A record is billed as it is packed: it is not compressed later.
    pub(crate) is_billed_as_packed: bool,
    /// Where records are kept.
    pub(crate) storage: StorageOptions,
}

/// What is to be stored on disk now, or when to look again.
#[derive(Debug)]
pub(crate) enum NextToStore {
    /// These.
    Records(Vec<Record>),
    /// The open record is due then.
    At(Instant),
    /// Nothing.
    Wait,
    /// Nothing ever again: the input has ended, and everything that was stored is delivered.
    Ended,
}

/// What is to be sent now, or when to look again.
#[derive(Debug)]
pub(super) enum NextRequest {
    /// These.
    Take(Vec<Record>),
    /// What waits is due then.
    At(Instant),
    /// Nothing.
    Wait,
    /// Nothing ever again: the input has ended, and everything was taken.
    Ended,
}
