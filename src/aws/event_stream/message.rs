//! A message of an event stream, and its headers, which say what it is. Pure.

use bytes::Bytes;
use serde_json::Value;

/// A message of an event stream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum StreamMessage {
    /// An event.
    Event {
        /// What kind of event.
        kind: String,
        /// What it holds.
        payload: Bytes,
    },
    /// The service ends the stream with an error.
    Refusal {
        /// The error's code, bare.
        code: String,
        /// The service's words.
        message: String,
    },
}

/// Those that say what a message is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MessageHeaders<'a> {
    message_type: Option<&'a str>,
    event_type: Option<&'a str>,
    exception_type: Option<&'a str>,
    error_code: Option<&'a str>,
    error_message: Option<&'a str>,
}

/// So much of a payload that is no JSON is told.
const SHOWN: usize = 200;

impl<'a> MessageHeaders<'a> {
    /// None: these are no headers.
    pub(super) fn read(mut bytes: &'a [u8]) -> Option<Self> {
        let mut headers = Self::default();
        while let Some((length, rest)) = bytes.split_first() {
            let (name, rest) =
                rest.split_at_checked(usize::from(*length)).filter(|(name, _)| !name.is_empty())?;
            let (value, rest) = value(rest)?;
            bytes = rest;
            let Some(text) = value else { continue };
            match name {
                b":message-type" => headers.message_type = Some(text),
                b":event-type" => headers.event_type = Some(text),
                b":exception-type" => headers.exception_type = Some(text),
                b":error-code" => headers.error_code = Some(text),
                b":error-message" => headers.error_message = Some(text),
                _ => {}
            }
        }
        Some(headers)
    }

    /// The message that these are the headers of; none: they do not say which.
    pub(super) fn message(&self, payload: Bytes) -> Option<StreamMessage> {
        Some(match self.message_type? {
            "event" => StreamMessage::Event { kind: self.event_type?.to_owned(), payload },
            "exception" => {
                StreamMessage::Refusal { code: self.exception_type?.to_owned(), message: words(&payload) }
            }
            "error" => {
                let message = self.error_message.unwrap_or_default().to_owned();
                StreamMessage::Refusal { code: self.error_code?.to_owned(), message }
            }
            _ => return None,
        })
    }
}

/// A header's value, if it is a text, and what follows it.
fn value(bytes: &[u8]) -> Option<(Option<&str>, &[u8])> {
    let (kind, rest) = bytes.split_first()?;
    let length = match kind {
        // True and false.
        0 | 1 => 0,
        2 => 1,
        3 => 2,
        4 => 4,
        // A number, and a time.
        5 | 8 => 8,
        9 => 16,
        // Bytes, and a text.
        6 | 7 => {
            let (length, rest) = rest.split_first_chunk()?;
            let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            let text = if *kind == 7 { Some(std::str::from_utf8(value).ok()?) } else { None };
            return Some((text, rest));
        }
        _ => return None,
    };
    Some((None, rest.get(length..)?))
}

/// What an exception says.
fn words(payload: &[u8]) -> String {
    let said: Option<Value> = serde_json::from_slice(payload).ok();
    let said =
        said.and_then(|said| Some(said.get("message").or_else(|| said.get("Message"))?.as_str()?.to_owned()));
    said.unwrap_or_else(|| String::from_utf8_lossy(payload).chars().take(SHOWN).collect())
}
