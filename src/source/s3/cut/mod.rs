//! Cuts the contents of an object, as they come, into chunks of whole events. Pure.
//!
//! No object is held whole: `CloudTrail`'s `{"Records":[..]}` is cut between its records, each piece in brackets of its own, and
//! envelopes are cut between one and the next. What is none of a format goes on in pieces that the decoder refuses, so that all of
//! it reaches the dead letters.

mod backup;
mod documents;
mod json;
mod trail;

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use self::backup::BackupCutter;
use self::documents::DocumentCutter;
use self::trail::TrailCutter;
use crate::config::{Decoding, ObjectContents};
use crate::event::{Framing, Piece};
use crate::source::framer::{Framer, NextFrame, Upcoming};

/// A chunk is as long, or as much longer as its last event goes on.
pub(super) const TARGET: usize = 256 << 10;

/// Where contents stand between two chunks.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum CutState {
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
pub(super) struct CutPlan {
    /// So many bytes are used up.
    pub(super) taken: usize,
    /// What of them goes on; empty: nothing.
    span: Range<usize>,
    /// Goes on within brackets of its own.
    is_wrapped: bool,
    /// Goes on instead.
    decoded: Option<Bytes>,
    /// How it stands to an event that is too long.
    pub(super) piece: Piece,
    /// Where the contents stand behind it; none: reading cannot begin there.
    pub(super) state: Option<CutState>,
    /// Why it cannot be decoded.
    pub(super) refused: Option<&'static str>,
    /// So many bytes are left out, and why.
    pub(super) lost: Option<(u64, &'static str)>,
}

const BEFORE: &[u8] = br#"{"Records":["#;
const AFTER: &[u8] = b"]}";

impl CutPlan {
    /// These bytes go on as they are, up to their end.
    fn of(span: Range<usize>, state: CutState) -> Self {
        Self { taken: span.end, span, state: Some(state), ..Self::default() }
    }

    /// How long the chunk is that goes on; 0: none does.
    pub(super) fn len(&self) -> usize {
        match &self.decoded {
            Some(decoded) => decoded.len(),
            None if self.span.is_empty() => 0,
            None if self.is_wrapped => self.span.len() + BEFORE.len() + AFTER.len(),
            None => self.span.len(),
        }
    }

    /// The chunk.
    pub(super) fn payload(&mut self, contents: &[u8]) -> Bytes {
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

/// Cuts the contents of one object.
pub(super) struct ContentCutter(CutterKind);

/// One for each kind of contents.
enum CutterKind {
    Lines(Framer),
    Trail(TrailCutter),
    Documents(DocumentCutter),
    Backup(BackupCutter),
}

impl ContentCutter {
    /// A cutter of contents that stand so at their beginning.
    pub(super) fn new(
        contents: ObjectContents,
        decoding: &Decoding,
        framing: &dyn Framing,
        state: CutState,
    ) -> Self {
        Self(match contents {
            ObjectContents::Lines => CutterKind::Lines(Framer::new(decoding, framing)),
            ObjectContents::Envelopes => CutterKind::Documents(DocumentCutter::default()),
            ObjectContents::Cloudtrail => CutterKind::Trail(TrailCutter::new(state)),
            ObjectContents::FirehoseBackup => CutterKind::Backup(BackupCutter::default()),
        })
    }

    /// What to do with the front of `contents`; none: more of them is needed first, or nothing is left. What is longer than `most`
    /// without an end of an event goes on in pieces.
    pub(super) fn next(
        &mut self,
        framing: &dyn Framing,
        contents: &[u8],
        is_end: bool,
        most: usize,
    ) -> Option<CutPlan> {
        if contents.is_empty() {
            return None;
        }
        match &mut self.0 {
            CutterKind::Lines(framer) => lines(framer, framing, contents, is_end),
            CutterKind::Trail(cutter) => cutter.next(contents, is_end, most),
            CutterKind::Documents(cutter) => cutter.next(contents, is_end, most),
            CutterKind::Backup(cutter) => cutter.next(contents, is_end, most),
        }
    }
}

fn lines(framer: &mut Framer, framing: &dyn Framing, contents: &[u8], is_end: bool) -> Option<CutPlan> {
    let upcoming = if is_end { Upcoming::Nothing } else { Upcoming::More };
    match framer.next(framing, contents, upcoming) {
        NextFrame::Events { len, piece } | NextFrame::Part { len, piece } => {
            let is_border = !piece.goes_on && !framer.state().skipping;
            let state = is_border.then_some(CutState::Between);
            Some(CutPlan { taken: len, span: 0..len, piece, state, ..CutPlan::default() })
        }
        NextFrame::LeftOut { len, lost, reason } => {
            Some(CutPlan { taken: len, lost: Some((lost, reason)), ..CutPlan::default() })
        }
        NextFrame::Incomplete => None,
    }
}

/// The first byte that is no white space.
fn first_solid(text: &[u8]) -> Option<(usize, u8)> {
    let at = text.iter().position(|byte| !byte.is_ascii_whitespace())?;
    Some((at, *text.get(at)?))
}

#[cfg(test)]
mod tests;
