//! How far the journal was delivered, as the checkpoint file keeps it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use crate::ack::LocalPosition;
use crate::event::Timestamp;
use crate::journal_export::JournalCursor;

/// The last entry that was delivered.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct JournaldPosition {
    /// Its cursor, as `journalctl` takes it; empty: none was yet.
    pub cursor: Box<str>,
    /// All that the journal had at this time was delivered.
    pub complete_to: Timestamp,
}

#[derive(Deserialize, Serialize)]
struct WrittenCursor<'a> {
    #[serde(borrow)]
    source: Cow<'a, str>,
    #[serde(borrow)]
    cursor: Cow<'a, str>,
    #[serde(default)]
    complete_to: i64,
}

impl JournaldPosition {
    /// When the entry was written, where its cursor tells that.
    #[must_use]
    pub fn time(&self) -> Option<Timestamp> {
        JournalCursor::parse(&self.cursor).map(written)
    }
}

impl LocalPosition for JournaldPosition {
    const KIND: &'static str = "journald";

    /// The cursor of the last entry of a chunk.
    type Mark = Box<str>;

    fn advance(&mut self, cursor: Box<str>, _: Timestamp) {
        self.cursor = cursor;
    }

    fn to_json(&self, source: &str) -> serde_json::Result<Box<RawValue>> {
        let (cursor, complete_to) = (Cow::from(&*self.cursor), self.complete_to.0);
        to_raw_value(&WrittenCursor { source: source.into(), cursor, complete_to })
    }

    fn from_json(json: &RawValue) -> Option<Self> {
        let written: WrittenCursor<'_> = serde_json::from_str(json.get()).ok()?;
        Some(Self { cursor: written.cursor.into(), complete_to: Timestamp(written.complete_to) })
    }
}

/// When the entry of a cursor was written.
pub(super) fn written(cursor: JournalCursor) -> Timestamp {
    Timestamp(cursor.milliseconds())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_was_written_and_tells_its_time() {
        let cursor = "s=1;i=2;b=3;m=4;t=644cd70294040;x=\"".into();
        let position = JournaldPosition { cursor, complete_to: Timestamp(5) };
        let json = position.to_json("s\"").unwrap();
        assert_eq!(JournaldPosition::from_json(&json), Some(position.clone()));
        assert_eq!(position.time(), Some(Timestamp(1_764_499_001_000)));
        assert_eq!(JournaldPosition::default().time(), None);
    }
}
