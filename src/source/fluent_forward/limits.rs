//! What a source lets a sender do, beside what the configuration says. docs/containers.md has the table.

use std::time::Duration;

/// Bytes of a message, as it comes: fluentd's chunks have 8 MiB, Fluent Bit's 2.
pub(super) const MOST_MESSAGE: usize = 16 << 20;

/// As much of messages as any connection may hold.
pub(super) const SMALL: usize = 64 << 10;

/// What a connection begins with.
pub(super) const FIRST_READ: usize = 4 << 10;

/// A handshake's message has at most so many bytes.
pub(super) const MOST_HANDSHAKE: usize = 16 << 10;

/// A handshake has to be over within so long.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(10);

/// A sender that is silent for so long in the middle of a message is given up.
pub(super) const SILENCE: Duration = Duration::from_secs(30);

/// An answer that its sender does not read for so long is given up with its connection.
pub(super) const WRITE_STALL: Duration = Duration::from_secs(10);

/// A message larger than [`SMALL`] that others wait for may take so long to arrive, however large it is.
pub(super) const LARGE_GRACE: Duration = Duration::from_secs(2);

/// Bytes a second that it has to bring beyond that.
pub(super) const LARGE_RATE: u64 = 64 << 10;

/// How often a connection in the middle of something is looked at.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// At a stop, what has arrived is still read: for so long, and so many bytes of a connection.
pub(super) const LAST_READS: Duration = Duration::from_secs(1);
pub(super) const LAST_BYTES: usize = 4 << 20;

/// A line in parts waits for the next one for so long.
pub(super) const PARTS_WAIT: Duration = Duration::from_secs(5);

/// Of a line in parts, its tag, its id and its other fields may have so many bytes: they are held until its last part.
pub(super) const MOST_LABELS: usize = 16 << 10;

/// Lines in parts that are open at once on a connection: a container writes two at most.
pub(super) const OPEN_LINES: usize = 16;

/// Memory that a batch takes while it is under way, beside its bytes.
pub(super) const BATCH_OVERHEAD: usize = 512;
