//! How a sink gets its records, whatever buffer holds them.

use std::future::Future;

use crate::event::Record;

/// The records that wait for one destination, in order.
pub trait RecordQueue: Send + Sync + 'static {
    /// Waits for records, and takes as many as fit into one request. Returns `None` when the input has ended and the queue is
    /// empty.
    ///
    /// Cancel-safe: nothing is taken before the wait is over.
    fn take(&self) -> impl Future<Output = Option<Vec<Record>>> + Send;

    /// Takes the records that are ready now and still fit into a request that already has this many records and bytes.
    fn top_up(&self, records: usize, bytes: usize) -> Vec<Record>;

    /// Resolves when undelivered records are to be handed over to whoever runs next. Never resolves for a queue in memory.
    ///
    /// Cancel-safe.
    fn handed_over(&self) -> impl Future<Output = ()> + Send;

    /// Takes back a piece of a record of which other pieces may be delivered, now that what is left is handed over: whoever runs next
    /// delivers the piece, and not the whole record again.
    fn put_back(&self, piece: Record);

    /// Tells whether the destination fails at present. While it does, the queue may hold less of the memory.
    fn set_failing(&self, failing: bool);

    /// Tells whether what waits does so for the sink's own rate alone: then it is not stuck. Whether anything waits.
    fn set_capped(&self, capped: bool) -> bool;

    /// Gives back the memory of taken records that were delivered, or became dead letters.
    fn release(&self, bytes: usize);
}
