//! Why a connection ends, and what is said of it.

use super::handshake::NotAdmitted;

/// Why a connection ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ConnectionEnd {
    /// The sender has said everything.
    Finished,
    /// It is gone.
    Gone,
    /// It is gone in the middle of a message.
    Aborted,
    /// The source stops.
    Stopped,
    /// The pipeline takes no more.
    Closed,
    BadMessage(&'static str),
    Json,
    TooLarge,
    TooSlow,
    /// It fell silent, in the middle of a message.
    Silent,
    /// It does not read what it is answered.
    Unread,
    NoPing,
    NotAdmitted(NotAdmitted),
}

impl ConnectionEnd {
    /// What is counted and said of it; none: nothing is wrong.
    pub(super) const fn reason(self) -> Option<(&'static str, &'static str)> {
        Some(match self {
            Self::Finished | Self::Gone | Self::Stopped | Self::Closed => return None,
            Self::Aborted => ("aborted", "it ended in the middle of a message"),
            Self::BadMessage(words) => ("bad_message", words),
            Self::Json => ("json", "it sends JSON: set the sender to the forward protocol of MessagePack"),
            Self::TooLarge => {
                ("too_large", "a message is longer than 16 MiB: set the sender to smaller chunks")
            }
            Self::TooSlow => ("too_slow", "a large message comes too slowly"),
            Self::Silent => ("stalled", "it is silent in the middle of a message"),
            Self::Unread => ("stalled", "its answers are not read"),
            Self::NoPing => ("no_ping", "no PING came in time: the sender needs the shared key"),
            Self::NotAdmitted(refusal) => ("unauthorized", refusal.words()),
        })
    }
}
