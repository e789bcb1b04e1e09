//! What users have done to events, between decoding and routing.
//!
//! In:      decoded events, as a decoder tells them.
//! Out:     the same calls of [`Events`](crate::event::Events), with what is redacted replaced.
//! Full:    what an event may grow to is asked for before it is decoded.
//! Failure: a payload that cannot be decoded is redacted as text; one that cannot be opened is withheld.
//! Stop:    does not occur: a call does one event, or one run of lines.

mod redact;

pub use self::redact::{RedactScratch, Redacting, Redactor};
