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
//!                              cursor                                 up to where records were delivered, once a second
//!                              cursor.draft                           the same, 20 times a second and not synced
//!                              00000000000000000001.spool-36.corrupt  bytes that were damaged
//! ```
//!
//! A record is stored once its bytes, and for a new segment its directory, are synced. `frame.rs` has the format, `Log` writes,
//! `open()` recovers, `LogReader` reads, and `Backlog` knows what is still to be delivered.

mod appended;
mod backlog;
mod cursor;
mod files;
mod frame;
mod log;
mod meta;
mod open;
mod reader;
mod scan;
mod stored;
mod tracker;

pub(crate) use appended::Appended;
pub(crate) use backlog::{Backlog, Evicted, EvictedRange};
pub(crate) use cursor::{CursorDraft, CursorPlace, LogPosition, OutOfOrderAck};
pub(crate) use files::OsFileSystem;
pub(crate) use log::Log;
pub use meta::RecordMeta;
pub(crate) use open::{Damage, LogContents, LogOptions, OpenedLog, open};
pub(crate) use reader::{BUFFER_BYTES, LoadedRange, LogReader, SegmentRange, peek};
pub use scan::{Flaw, RecoveredSegment, recover};
pub(crate) use stored::StoredAt;

#[cfg(test)]
pub(crate) use open::LogSegment;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
