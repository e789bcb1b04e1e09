//! Cuts the contents of an object, as they come, into chunks of whole events. Pure.
//!
//! No object is held whole: `CloudTrail`'s `{"Records":[..]}` is cut between its records, each piece in brackets of its own, and
//! envelopes are cut between one and the next. What is none of a format goes on in pieces that the decoder refuses, so that all of
//! it reaches the dead letters.

mod backup;
mod documents;
mod json;
mod plan;
mod trail;

use self::backup::BackupFramer;
use self::documents::DocumentFramer;
pub(super) use self::plan::{CutPlan, CutState, TARGET};
use self::trail::TrailFramer;
use crate::config::{Decoding, ObjectContents};
use crate::event::Framing;
use crate::source::framer::{Framer, NextFrame, Upcoming};

/// Cuts the contents of one object.
pub(super) struct ContentFramer(ContentFramerKind);

/// One for each kind of contents.
enum ContentFramerKind {
    Lines(Framer),
    Trail(TrailFramer),
    Documents(DocumentFramer),
    Backup(BackupFramer),
}

impl ContentFramer {
    /// A framer of contents that stand so at their beginning.
    pub(super) fn new(
        contents: ObjectContents,
        decoding: &Decoding,
        framing: &dyn Framing,
        state: CutState,
    ) -> Self {
        Self(match contents {
            ObjectContents::Lines => ContentFramerKind::Lines(Framer::new(decoding, framing)),
            ObjectContents::Envelopes => ContentFramerKind::Documents(DocumentFramer::default()),
            ObjectContents::Cloudtrail => ContentFramerKind::Trail(TrailFramer::new(state)),
            ObjectContents::FirehoseBackup => ContentFramerKind::Backup(BackupFramer::default()),
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
            ContentFramerKind::Lines(framer) => lines(framer, framing, contents, is_end),
            ContentFramerKind::Trail(framer) => framer.next(contents, is_end, most),
            ContentFramerKind::Documents(framer) => framer.next(contents, is_end, most),
            ContentFramerKind::Backup(framer) => framer.next(contents, is_end, most),
        }
    }
}

fn lines(framer: &mut Framer, framing: &dyn Framing, contents: &[u8], is_end: bool) -> Option<CutPlan> {
    let upcoming = if is_end { Upcoming::Nothing } else { Upcoming::More };
    match framer.next(framing, contents, upcoming) {
        NextFrame::Events { len, piece } | NextFrame::Part { len, piece } => {
            let is_border = !piece.goes_on && !framer.state().skipping;
            let state = is_border.then_some(CutState::Between);
            Some(CutPlan { piece, state, ..CutPlan::of(0..len, CutState::Between) })
        }
        NextFrame::LeftOut { len, lost, reason } => {
            Some(CutPlan { taken: len, lost: Some((lost, reason)), ..CutPlan::default() })
        }
        NextFrame::Incomplete => None,
    }
}

#[cfg(test)]
mod tests;
