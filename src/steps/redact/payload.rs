//! Payloads that cannot be decoded, on their way to the dead letters.

use std::borrow::Cow;

use memchr::memmem;

use super::redactor::{RedactScratch, Redactor};

/// What compressed data begins with: gzip and Zstandard. Neither is in valid text.
const COMPRESSED: [&[u8]; 2] = [b"\x1f\x8b", b"\x28\xb5\x2f\xfd"];

/// The same in base64.
const COMPRESSED_BASE64: [&[u8]; 2] = [b"H4sI", b"KLUv/"];

/// Why a payload is refused that nobody could look into.
const NOT_OPENED: [&str; 2] = ["gzip", "zstd"];

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Shorter text may be a word.
const LEAST_BASE64: usize = 16;

/// A payload as text, redacted as such and as escaped text: what it is to be is not known. What could not be opened is withheld, since
/// nobody knows what is in it: data that is compressed, wherever in the payload it begins, and what is no text in base64.
pub(super) fn redacted<'p>(
    redactor: &Redactor,
    reason: &str,
    payload: &'p [u8],
    scratch: &mut RedactScratch,
) -> Cow<'p, [u8]> {
    if NOT_OPENED.contains(&reason) || is_compressed(payload) {
        return withheld(payload);
    }
    if let Some(bare) = base64(payload) {
        if str::from_utf8(&bare).is_err() || is_compressed(&bare) {
            return withheld(payload);
        }
        return match redacted(redactor, reason, &bare, scratch) {
            Cow::Owned(text) => Cow::Owned(text),
            Cow::Borrowed(_) => Cow::Borrowed(payload),
        };
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

fn withheld(payload: &[u8]) -> Cow<'static, [u8]> {
    let text = format!("[withheld: {} bytes that cannot be opened, and so not redacted]", payload.len());
    Cow::Owned(text.into_bytes())
}

fn is_compressed(payload: &[u8]) -> bool {
    let begin = trimmed(payload);
    COMPRESSED_BASE64.iter().any(|mark| begin.starts_with(mark))
        || COMPRESSED.iter().any(|mark| memmem::find(payload, mark).is_some())
}

/// Without white space around it and a byte order mark before it.
fn trimmed(payload: &[u8]) -> &[u8] {
    let text = payload.trim_ascii();
    text.strip_prefix(BYTE_ORDER_MARK).map_or(text, <[u8]>::trim_ascii)
}

/// What a payload holds that is all base64, at once or line by line.
fn base64(payload: &[u8]) -> Option<Vec<u8>> {
    let text = trimmed(payload);
    if text.len() < LEAST_BASE64 || text.contains(&b' ') {
        return None;
    }
    if let Ok(bare) = base64_simd::forgiving_decode_to_vec(text) {
        return Some(bare);
    }
    let lines = text.split(|byte| *byte == b'\n').map(|line| base64_simd::forgiving_decode_to_vec(line).ok());
    lines.collect::<Option<Vec<_>>>().map(|lines| lines.concat())
}
