//! A payload as text, without what it is wrapped in.

use bytes::Bytes;

use super::payload::{self, InflateBuffers, NotOpened};
use super::repair;

/// Takes gzip and base64 off a payload, whichever there are, and replaces bad characters in strings of JSON.
///
/// # Errors
/// The reason as a metric's label, as in [`Events::undecodable`](crate::event::Events::undecodable).
pub fn unpack(payload: &Bytes, max_inflated: usize) -> Result<String, &'static str> {
    let bare = payload::armoured(payload)?;
    let mut buffers = InflateBuffers::default();
    let opened =
        payload::open(&bare, max_inflated, &mut buffers, &mut |_| true).map_err(|error| match error {
            NotOpened::Refused(reason) => reason,
            NotOpened::NoRoom => "too_large",
        })?;
    let text = opened.text();
    match repair::repair(opened.bytes) {
        Some(repaired) if text.is_ok() || repaired.starts_with('{') => Ok(repaired),
        Some(_) | None => text.map(str::to_owned),
    }
}
