//! Journals of systemd, shown: how far each was delivered.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::error::StateCommandError;
use super::rows::table_or_none;
use crate::ack::{CheckpointEntry, Checkpoints};
use crate::cli::table;
use crate::event::Timestamp;
use crate::source::journald::JournaldPosition;

/// The position of one source's journal.
pub(super) struct ShownJournal {
    pub(super) source: Arc<str>,
    position: JournaldPosition,
}

impl ShownJournal {
    pub(super) fn json(&self) -> Value {
        json!({
            "source": &*self.source,
            "cursor": &*self.position.cursor,
            "delivered_to": self.position.time().map(Timestamp::to_rfc3339),
        })
    }

    fn row(&self, now: Timestamp) -> Vec<String> {
        let age = self.position.time().map_or_else(|| "nothing yet".to_owned(), |time| table::age(time, now));
        vec![self.source.to_string(), age, self.position.cursor.to_string()]
    }
}

/// The positions of all sources, or of one.
pub(super) fn read(dir: &Path, source: Option<&str>) -> Result<Vec<ShownJournal>, StateCommandError> {
    let of_journal = |entry: CheckpointEntry| {
        let position = entry.position::<JournaldPosition>()?;
        Some(ShownJournal { source: entry.source, position })
    };
    let mut found: Vec<_> = Checkpoints::list(dir)?.entries.into_iter().filter_map(of_journal).collect();
    found.retain(|journal| source.is_none_or(|source| *journal.source == *source));
    found.sort_by(|a, b| a.source.cmp(&b.source));
    Ok(found)
}

/// A table, where there are any.
pub(super) fn table(journals: &[ShownJournal], out: &mut impl Write) -> Result<(), StateCommandError> {
    if journals.is_empty() {
        return Ok(());
    }
    writeln!(out, "\njournals")?;
    let now = Timestamp::now();
    let mut rows = vec![table::row(["source", "delivered up to", "cursor"])];
    rows.extend(journals.iter().map(|journal| journal.row(now)));
    table_or_none(&rows, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_is_shown_with_how_far_it_was_delivered() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::open(dir.path()).unwrap();
        let cursor = "s=1;i=2;b=3;m=4;t=644cd70294040;x=5";
        let position = JournaldPosition { cursor: cursor.into(), ..JournaldPosition::default() };
        let _account = checkpoints.begin("system", position);
        checkpoints.save().unwrap();
        let shown = read(dir.path(), Some("system")).unwrap();
        let [journal] = shown.as_slice() else { panic!("{}", shown.len()) };
        let expected =
            json!({ "source": "system", "cursor": cursor, "delivered_to": "2025-11-30T10:36:41.000Z" });
        assert_eq!(journal.json(), expected);
        let mut out = Vec::new();
        table(&shown, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("journals") && text.contains("system") && text.contains(cursor), "{text}");
        assert!(read(dir.path(), Some("other")).unwrap().is_empty());
    }
}
