//! Systemd's journal: entries that `journalctl` prints in, chunks of them out.
//!
//! In:      the export format of the journal, from a child process that follows it.
//! Out:     one chunk for the entries that were read together, in one lane.
//! Full:    the pipe is not read on, so that `journalctl` waits; the journal itself is the buffer.
//! Failure: a child that cannot be started, fails or prints something else is told with its fix, and started again behind the last entry
//!          that was read.
//! Stop:    reads nothing more, and ends the child; what was not delivered is read again from the position.

mod acks;
mod buffer;
mod child;
mod command;
mod fault;
mod look;
mod position;
mod run;
mod source;
mod unreadable;
mod vacuumed;

pub use self::position::JournaldPosition;

pub(crate) use self::look::look;
pub(crate) use self::source::JournalFollower;
