//! How a sink gets its records, whatever buffer holds them.

use std::future::Future;

use crate::event::Record;

/// Records waiting for a sink, in order.
pub trait RecordQueue: Send + Sync + 'static {
    /// Waits for records, and takes as many as fit into one request; `None` once the input has ended and nothing is left.
    ///
    /// Cancel-safe: nothing is taken before the wait is over.
    fn take(&self) -> impl Future<Output = Option<Vec<Record>>> + Send;

    /// Takes what is ready now and fits into a request that already holds so many records and bytes.
    fn top_up(&self, records: usize, bytes: usize) -> Vec<Record>;

    /// Waits until what was not taken, or was and is not delivered, is to be left to whoever comes next; for ever, where that
    /// does not happen. Cancel-safe.
    fn left(&self) -> impl Future<Output = ()> + Send;

    /// Whether the destination works: one that fails may hold less of the memory.
    fn set_failing(&self, failing: bool);

    /// Records that were taken have ended; so many bytes are no longer held.
    fn release(&self, bytes: usize);
}
