//! Records on disk until they are delivered: a log in a directory for each destination.
//!
//! In:      closed records.
//! Out:     the same, from memory or from the file, with ack guards that move the log's cursor.
//! Full:    the caller asks how many bytes there are, and what the next record takes.
//! Failure: a write or sync that failed is made again in another segment; what is damaged is put aside and passed over.
//! Stop:    the cursor is saved; a log that is delivered whole is removed.
//!
//! ```text
//! STATE/spool/SINK/DESTINATION/00000000000000000001.spool             a segment: a header, records, and a seal once it is full
//!                              cursor                                 up to where records were delivered
//!                              00000000000000000001.spool-36.corrupt  bytes that were damaged
//! ```
//!
//! A record is stored once its bytes, and for a new segment its directory, are synced. `frame.rs` has the format, [`Log`] writes,
//! [`open()`] recovers, [`LogReader`] reads, and [`Backlog`] knows what is still to be delivered.

mod backlog;
mod cursor;
mod files;
mod frame;
mod log;
mod meta;
mod open;
mod reader;
mod tracker;
mod scan;

pub use backlog::{Backlog, Evicted, EvictedRange};
pub use cursor::{LogPosition, OutOfOrderAck};
pub use files::{FileSystem, OsFileSystem};
pub use log::{AppendError, Appended, Log, StoredAt};
pub use meta::RecordMeta;
pub use open::{Damage, LogContents, LogOptions, LogSegment, OpenedLog, open};
pub use reader::{BUFFER_BYTES, LoadedRange, LoadedRecord, LogReader, SegmentRange, peek};
pub use scan::{Flaw, RecoveredSegment, recover};

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
