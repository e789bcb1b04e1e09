//! What stands around a payload's JSON: gzip once or twice, base64. Told by the bytes themselves, never by a name.

use bytes::Bytes;

use super::gzip::{self, Inflater};
use super::repair::BYTE_ORDER_MARK;
use super::zstd;

/// Buffers that payloads are inflated into.
#[derive(Default)]
pub(crate) struct InflateBuffers {
    pub(crate) inflater: Inflater,
    first: Vec<u8>,
    second: Vec<u8>,
}

/// A buffer above this is given back after the payload that needed it.
const KEEP: usize = 2 << 20;

/// Why the layers cannot be taken off.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NotOpened {
    /// For this reason, as a metric's label.
    Refused(&'static str),
    /// There is no memory for it now.
    NoRoom,
}

impl From<gzip::InflateError> for NotOpened {
    fn from(error: gzip::InflateError) -> Self {
        match error {
            gzip::InflateError::NoRoom => Self::NoRoom,
            gzip::InflateError::Corrupt | gzip::InflateError::TooLarge => Self::Refused(error.reason()),
        }
    }
}

impl InflateBuffers {
    /// Takes the buffer that holds an opened payload's first `len` bytes.
    pub(crate) fn take(&mut self, place: OpenedPlace, len: usize) -> Bytes {
        let buffer = match place {
            OpenedPlace::First => &mut self.first,
            OpenedPlace::Second => &mut self.second,
        };
        let mut bytes = std::mem::take(buffer);
        bytes.truncate(len);
        Bytes::from(bytes)
    }

    /// Takes back what was taken, unless somebody still reads it.
    pub(crate) fn give_back(&mut self, opened: Bytes) {
        if opened.is_unique() && self.first.capacity() < opened.len() {
            self.first = opened.into();
        }
    }

    pub(crate) fn shrink(&mut self) {
        for buffer in [&mut self.first, &mut self.second] {
            if buffer.capacity() > KEEP {
                *buffer = Vec::new();
            }
        }
    }
}

/// Which buffer holds an opened payload.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OpenedPlace {
    First,
    Second,
}

/// A payload with its layers taken off.
pub(crate) struct OpenedPayload<'a> {
    pub(crate) bytes: &'a [u8],
    /// The buffer that holds it; none: it was not inflated.
    pub(crate) place: Option<OpenedPlace>,
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

/// The frames of Zstandard that a payload is, or holds in base64.
pub(crate) fn zstd_in(payload: &Bytes) -> Option<Bytes> {
    if zstd::is_zstd(payload) {
        return Some(payload.clone());
    }
    let text = payload.trim_ascii();
    let frames = if text.starts_with(ZSTD_IN_BASE64) { base64(text)? } else { return None };
    zstd::is_zstd(&frames).then(|| Bytes::from(frames))
}

/// How the first bytes of a frame of Zstandard look in base64.
const ZSTD_IN_BASE64: &[u8] = b"KLUv/";

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

/// Takes off gzip, once or twice; `may_take` is asked before it takes so many bytes.
pub(crate) fn open<'a>(
    bare: &'a Bytes,
    max: usize,
    buffers: &'a mut InflateBuffers,
    may_take: &mut dyn FnMut(usize) -> bool,
) -> Result<OpenedPayload<'a>, NotOpened> {
    if !gzip::is_gzip(bare) {
        return Ok(OpenedPayload { bytes: bare, place: None, gz: None });
    }
    let InflateBuffers { inflater, first, second } = buffers;
    let len = inflater.inflate(bare, max, first, may_take)?;
    let inner = first.get(..len).unwrap_or_default();
    if !gzip::is_gzip(inner) {
        let place = Some(OpenedPlace::First);
        return Ok(OpenedPayload { bytes: inner, place, gz: Some(bare.clone()) });
    }
    // Both are in memory side by side.
    let len = inflater.inflate(inner, max.saturating_sub(len), second, may_take)?;
    let innermost = second.get(..len).unwrap_or_default();
    if gzip::is_gzip(innermost) {
        return Err(NotOpened::Refused("gzip"));
    }
    if !may_take(inner.len()) {
        return Err(NotOpened::NoRoom);
    }
    let place = Some(OpenedPlace::Second);
    Ok(OpenedPayload { bytes: innermost, place, gz: Some(Bytes::copy_from_slice(inner)) })
}

/// Inflates lines, where they are gzipped: text does not begin as gzip does. What cannot be inflated is taken as text, unless it is to be
/// looked into.
pub(crate) fn lines(
    payload: &Bytes,
    max: usize,
    buffers: &mut InflateBuffers,
    may_be_closed: bool,
    may_take: &mut dyn FnMut(usize) -> bool,
) -> Result<Bytes, NotOpened> {
    if !gzip::is_gzip(payload) {
        let is_closed = zstd::is_zstd(payload) && !may_be_closed;
        return if is_closed { Err(NotOpened::Refused("zstd")) } else { Ok(payload.clone()) };
    }
    let mut inflated = Vec::new();
    match buffers.inflater.inflate(payload, max, &mut inflated, may_take) {
        Ok(len) => {
            inflated.truncate(len);
            Ok(Bytes::from(inflated))
        }
        Err(gzip::InflateError::Corrupt) if may_be_closed => Ok(payload.clone()),
        Err(error) => Err(error.into()),
    }
}
