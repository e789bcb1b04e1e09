//! What stands around a payload's JSON: gzip once or twice, base64. Told by the bytes themselves, never by a name.

use std::borrow::Cow;

use bytes::Bytes;

use super::gzip::{self, Inflater};
use super::repair::BYTE_ORDER_MARK;

/// Buffers that payloads are inflated into.
#[derive(Default)]
pub(crate) struct InflateBuffers {
    pub(crate) inflater: Inflater,
    first: Vec<u8>,
    second: Vec<u8>,
}

/// A buffer above this is given back after the payload that needed it.
const KEEP: usize = 8 << 20;

impl InflateBuffers {
    pub(crate) fn shrink(&mut self) {
        for buffer in [&mut self.first, &mut self.second] {
            if buffer.capacity() > KEEP {
                *buffer = Vec::new();
            }
        }
    }
}

/// A payload with its layers taken off.
pub(crate) struct OpenedPayload<'a> {
    pub(crate) bytes: &'a [u8],
    /// The innermost gzip bytes, if there were any.
    pub(crate) gz: Option<Bytes>,
}

impl<'a> OpenedPayload<'a> {
    /// What it holds, as text. An error is the metric's label.
    pub(crate) fn text(&self) -> Result<&'a str, &'static str> {
        simdutf8::basic::from_utf8(self.bytes).map_err(|_| "utf8")
    }
}

/// Takes off base64: the bytes themselves where they are not in base64. An error is the metric's label.
pub(crate) fn armoured(payload: &Bytes) -> Result<Bytes, &'static str> {
    let bytes = without_mark(payload.trim_ascii());
    if bytes.is_empty() || gzip::is_gzip(bytes) || matches!(bytes.first(), Some(b'{' | b'[')) {
        return Ok(payload.slice_ref(without_mark(payload.trim_ascii_start())));
    }
    match base64(bytes) {
        // Words may be valid base64 by chance; what they hold is not.
        Some(bare) if gzip::is_gzip(&bare) || without_mark(bare.trim_ascii_start()).starts_with(b"{") => {
            Ok(Bytes::from(bare))
        }
        Some(_) | None => Err("format"),
    }
}

/// The bytes without a byte order mark before them.
fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(BYTE_ORDER_MARK.as_bytes()).map_or(bytes, <[u8]>::trim_ascii_start)
}

/// Decodes base64, wrapped or as one payload a line.
pub(crate) fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len() / 4 * 3);
    let lines = || text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let decode = |out: &mut Vec<u8>, line| base64_simd::STANDARD.decode_append(line, out);
    if lines().try_for_each(|line| decode(&mut decoded, line)).is_ok() {
        return Some(decoded);
    }
    base64_simd::forgiving_decode_to_vec(text).ok()
}

/// Takes off gzip, once or twice. An error is the metric's label.
pub(crate) fn open<'a>(
    bare: &'a Bytes,
    max: usize,
    buffers: &'a mut InflateBuffers,
) -> Result<OpenedPayload<'a>, &'static str> {
    if !gzip::is_gzip(bare) {
        return Ok(OpenedPayload { bytes: bare, gz: None });
    }
    let InflateBuffers { inflater, first, second } = buffers;
    let len = inflater.inflate(bare, max, first).map_err(gzip::InflateError::reason)?;
    let inner = first.get(..len).unwrap_or_default();
    if !gzip::is_gzip(inner) {
        return Ok(OpenedPayload { bytes: inner, gz: Some(bare.clone()) });
    }
    let len = inflater.inflate(inner, max, second).map_err(gzip::InflateError::reason)?;
    let innermost = second.get(..len).unwrap_or_default();
    if gzip::is_gzip(innermost) {
        return Err("gzip");
    }
    Ok(OpenedPayload { bytes: innermost, gz: Some(Bytes::copy_from_slice(inner)) })
}

/// Inflates lines, where they are gzipped: text does not begin as gzip does, and what cannot be inflated is taken as text.
pub(crate) fn lines<'a>(
    payload: &'a Bytes,
    max: usize,
    buffers: &mut InflateBuffers,
) -> Result<Cow<'a, Bytes>, &'static str> {
    if !gzip::is_gzip(payload) {
        return Ok(Cow::Borrowed(payload));
    }
    let mut inflated = Vec::new();
    match buffers.inflater.inflate(payload, max, &mut inflated) {
        Ok(len) => {
            inflated.truncate(len);
            Ok(Cow::Owned(Bytes::from(inflated)))
        }
        Err(gzip::InflateError::TooLarge) => Err(gzip::InflateError::TooLarge.reason()),
        Err(gzip::InflateError::Corrupt) => Ok(Cow::Borrowed(payload)),
    }
}
