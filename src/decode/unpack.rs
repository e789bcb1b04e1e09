//! A payload as text, without what it is wrapped in.

use bytes::Bytes;

use super::gzip::InflateError;
use super::payload::{self, InflateBuffers, NotOpened};
use super::repair;
use super::zstd;

/// Takes gzip, zstd and base64 off a payload, whichever there are, and replaces bad characters in strings of JSON.
///
/// # Errors
/// The reason as a metric's label, as in [`Events::undecodable`](crate::event::Events::undecodable).
pub fn unpack(payload: &Bytes, max_inflated: usize) -> Result<String, &'static str> {
    let plain = payload::zstd_in(payload)
        .map(|frames| match zstd::inflate(&frames, max_inflated, &mut |_| true) {
            Ok(plain) => Ok(Bytes::from(plain)),
            Err(InflateError::Corrupt) => Err("zstd"),
            Err(error @ (InflateError::TooLarge | InflateError::NoRoom)) => Err(error.reason()),
        })
        .transpose()?;
    let bare = payload::armoured(plain.as_ref().unwrap_or(payload))?;
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
