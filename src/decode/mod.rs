//! Payload bytes to events.
