//! Records waiting for their sink, in order.
//!
//! In:      closed records.
//! Out:     as many as fit into one request.
//! Full:    the destination's gate shuts, and sources that feed it wait.
//! Failure: none; memory is admitted before.
//! Stop:    emptied by the sink, or dropped with its receipts unsettled.

mod memory;

pub use memory::MemoryBuffer;
