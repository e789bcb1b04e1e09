//! What becomes of the front of contents.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::event::Piece;

/// A chunk is as long, or as much longer as its last event goes on.
pub(in crate::source::s3) const TARGET: usize = 256 << 10;

/// Where contents stand between two chunks.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::source::s3) enum CutState {
    /// Between events that stand by themselves.
    #[default]
    Between,
    /// Within `CloudTrail`'s list of records.
    Records,
    /// Behind that list, in the same object.
    Tail,
}

/// What to do with the front of the contents at hand.
#[derive(Debug, Default, PartialEq)]
pub(in crate::source::s3) struct CutPlan {
    /// So many bytes are used up.
    pub(in crate::source::s3) taken: usize,
    /// What of them goes on; empty: nothing.
    pub(in crate::source::s3) span: Range<usize>,
    /// Goes on within brackets of its own.
    pub(in crate::source::s3) is_wrapped: bool,
    /// Goes on instead.
    pub(in crate::source::s3) decoded: Option<Bytes>,
    /// How it stands to an event that is too long.
    pub(in crate::source::s3) piece: Piece,
    /// Where the contents stand behind it; none: reading cannot begin there.
    pub(in crate::source::s3) state: Option<CutState>,
    /// Why it cannot be decoded.
    pub(in crate::source::s3) refused: Option<&'static str>,
    /// So many bytes are left out, and why.
    pub(in crate::source::s3) lost: Option<(u64, &'static str)>,
}

const BEFORE: &[u8] = br#"{"Records":["#;
const AFTER: &[u8] = b"]}";

impl CutPlan {
    /// These bytes go on as they are, up to their end.
    pub(in crate::source::s3) fn of(span: Range<usize>, state: CutState) -> Self {
        Self { taken: span.end, span, state: Some(state), ..Self::default() }
    }

    /// How long the chunk is that goes on; 0: none does.
    pub(in crate::source::s3) fn len(&self) -> usize {
        match &self.decoded {
            Some(decoded) => decoded.len(),
            None if self.span.is_empty() => 0,
            None if self.is_wrapped => self.span.len() + BEFORE.len() + AFTER.len(),
            None => self.span.len(),
        }
    }

    /// The chunk.
    pub(in crate::source::s3) fn payload(&mut self, contents: &[u8]) -> Bytes {
        if let Some(decoded) = self.decoded.take() {
            return decoded;
        }
        let span = contents.get(self.span.clone()).unwrap_or_default();
        if !self.is_wrapped {
            return Bytes::copy_from_slice(span);
        }
        let mut payload = BytesMut::with_capacity(self.len());
        payload.put_slice(BEFORE);
        payload.put_slice(span);
        payload.put_slice(AFTER);
        payload.freeze()
    }
}

/// The first byte that is no white space.
pub(super) fn first_solid(text: &[u8]) -> Option<(usize, u8)> {
    let at = text.iter().position(|byte| !byte.is_ascii_whitespace())?;
    Some((at, *text.get(at)?))
}
