//! How much is written of an event, before it is.

use crate::batch::{LONGEST_ESCAPE, escaped_len};
use crate::event::Message;

/// What an event of the present origin takes, over all sinks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct EventCosts {
    /// Sinks that write it.
    pub(super) copies: u64,
    /// Of these, those that write it as JSON.
    pub(super) escaped: u64,
    /// Bytes beside the message.
    pub(super) around: u64,
    /// Whether runs of lines stay where they were read.
    pub(super) keeps_lines: bool,
}

impl EventCosts {
    /// The most bytes that are written of a message, which is read as something that is at most so many times as long.
    pub(super) fn most(self, message: Message<'_>, growth: usize) -> u64 {
        let escape = match message {
            Message::Raw(_) => LONGEST_ESCAPE,
            Message::Escaped(_) => 1,
        };
        self.with(message, message.bytes().len().saturating_mul(escape.max(growth)))
    }

    /// The bytes that are.
    pub(super) fn of(self, message: Message<'_>, growth: usize) -> u64 {
        let escaped = match message {
            Message::Raw(bytes) => escaped_len(bytes),
            Message::Escaped(inside) => inside.len(),
        };
        self.with(message, escaped.max(message.bytes().len().saturating_mul(growth)))
    }

    /// With so many bytes as JSON.
    fn with(self, message: Message<'_>, escaped: usize) -> u64 {
        let plain = (message.bytes().len() as u64).saturating_mul(self.copies.saturating_sub(self.escaped));
        let escaped = (escaped as u64).saturating_mul(self.escaped);
        plain.saturating_add(escaped).saturating_add(self.around)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_of_an_event_is_known_before() {
        let costs = EventCosts { copies: 2, escaped: 1, around: 100, keeps_lines: false };
        let check = |message, growth, most, exact| {
            assert_eq!(
                (costs.most(message, growth), costs.of(message, growth)),
                (most, exact),
                "{message:?}"
            );
        };
        check(Message::Raw(b"plain"), 1, 5 + 30 + 100, 5 + 5 + 100);
        check(Message::Raw(b"\x01\x01\""), 1, 3 + 18 + 100, 3 + 14 + 100);
        check(Message::Raw(b"\xff"), 1, 1 + 6 + 100, 1 + 3 + 100);
        check(Message::Escaped("a\\u0001"), 1, 7 + 7 + 100, 7 + 7 + 100);
        check(Message::Raw(b"a=b"), 5, 3 + 18 + 100, 3 + 15 + 100);
    }
}
