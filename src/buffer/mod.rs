//! Records waiting for their sink, in order: what a destination keeps them in, without the tasks that fill and empty it.
//!
//! In:      closed records.
//! Out:     as many as fit into one request.
//! Full:    the destination's backpressure shuts, and sources that feed it wait; on disk, what the sink's `when_full` says.
//! Failure: none in memory, which is admitted before; on disk, see [`disk`].
//! Stop:    emptied by the sink, or dropped with its ack guards unsettled; what is on disk stays there.

pub mod disk;
mod fifo;

pub(crate) use fifo::{RecordFifo, RequestRoom};
