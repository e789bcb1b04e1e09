//! Messages as the bytes they were.

use super::json;
use crate::event::Message;

/// Appends a message, unescaped.
pub(super) fn write_message(message: Message<'_>, out: &mut Vec<u8>) {
    match message {
        Message::Raw(bytes) => out.extend_from_slice(bytes),
        Message::Escaped(text) => json::unescape(text, out),
    }
}

/// The message as it was, unescaped.
#[must_use]
pub fn message_bytes(message: Message<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    write_message(message, &mut out);
    out
}
