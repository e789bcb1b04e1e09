//! Log groups that were pulled, shown: how far each was read.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::error::StateCommandError;
use super::rows::table_or_none;
use crate::ack::{CheckpointEntry, Checkpoints};
use crate::cli::table;
use crate::event::Timestamp;
use crate::source::cloudwatch_logs::GroupPosition;

/// One log group's position.
pub(super) struct ShownGroup {
    pub(super) source: Arc<str>,
    position: GroupPosition,
}

impl ShownGroup {
    pub(super) fn json(&self) -> Value {
        json!({
            "source": &*self.source,
            "log_group": self.position.group,
            "read_to": self.position.read_to().to_rfc3339(),
            "late_events_from": self.position.floor().to_rfc3339(),
        })
    }

    fn row(&self, now: Timestamp) -> Vec<String> {
        vec![
            self.source.to_string(),
            self.position.group.clone(),
            table::age(self.position.read_to(), now),
            table::age(self.position.floor(), now),
        ]
    }
}

/// The positions of all sources, or of one.
pub(super) fn read(dir: &Path, source: Option<&str>) -> Result<Vec<ShownGroup>, StateCommandError> {
    let entries = Checkpoints::list(dir)?.entries.into_iter();
    let of_group = |entry: CheckpointEntry| {
        let position = entry.position::<GroupPosition>()?;
        Some(ShownGroup { source: entry.source, position })
    };
    let mut found: Vec<_> = entries.filter_map(of_group).collect();
    found.retain(|group| source.is_none_or(|source| *group.source == *source));
    found.sort_by(|a, b| (&a.source, &a.position.group).cmp(&(&b.source, &b.position.group)));
    Ok(found)
}

pub(super) fn table(groups: &[ShownGroup], out: &mut impl Write) -> Result<(), StateCommandError> {
    let now = Timestamp::now();
    let mut rows = vec![table::row(["source", "log group", "delivered up to", "late events since"])];
    rows.extend(groups.iter().map(|group| group.row(now)));
    table_or_none(&rows, out)
}
