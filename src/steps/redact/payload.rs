//! Payloads that cannot be decoded, on their way to the dead letters.

use std::borrow::Cow;

use super::redactor::{RedactScratch, Redactor};

/// What compressed data begins with, as it is and in base64: gzip and Zstandard.
const COMPRESSED: [&[u8]; 4] = [b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"H4sI", b"KLUv/"];

/// A payload as text, redacted as such and as escaped text: what it is to be is not known. One that is compressed could not be opened,
/// so that nobody knows what is in it: it is withheld.
pub(super) fn redacted<'p>(
    redactor: &Redactor,
    payload: &'p [u8],
    scratch: &mut RedactScratch,
) -> Cow<'p, [u8]> {
    let begin = payload.trim_ascii_start();
    if COMPRESSED.iter().any(|mark| begin.starts_with(mark)) {
        let text = format!("[withheld: {} bytes that cannot be opened, and so not redacted]", payload.len());
        return Cow::Owned(text.into_bytes());
    }
    let plain =
        redactor.raw(payload, scratch).map_or(Cow::Borrowed(payload), |text| Cow::Owned(text.to_vec()));
    if memchr::memchr(b'\\', &plain).is_none() {
        return plain;
    }
    match redactor.escaped(&plain, scratch) {
        Some(text) => Cow::Owned(text.to_vec()),
        None => plain,
    }
}
