//! Shards of Kinesis streams that are read without a lease table, shown: how far each was delivered.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::error::StateCommandError;
use super::rows::table_or_none;
use crate::ack::{CheckpointEntry, Checkpoints};
use crate::cli::table;
use crate::source::kinesis::ShardPosition;

/// One shard's position.
pub(super) struct ShownShard {
    pub(super) source: Arc<str>,
    position: ShardPosition,
}

impl ShownShard {
    pub(super) fn json(&self) -> Value {
        json!({
            "source": &*self.source,
            "stream": self.position.stream(),
            "shard": self.position.shard(),
            "delivered_to": self.position.delivered_to(),
        })
    }

    fn row(&self) -> Vec<String> {
        let name = |arn: &str| arn.rsplit('/').next().unwrap_or(arn).to_owned();
        vec![
            self.source.to_string(),
            name(self.position.stream()),
            self.position.shard().to_owned(),
            self.position.delivered_to(),
        ]
    }
}

/// The positions of all sources, or of one.
pub(super) fn read(dir: &Path, source: Option<&str>) -> Result<Vec<ShownShard>, StateCommandError> {
    let of_shard = |entry: CheckpointEntry| {
        let position = entry.position::<ShardPosition>()?;
        Some(ShownShard { source: entry.source, position })
    };
    let mut found: Vec<_> = Checkpoints::list(dir)?.entries.into_iter().filter_map(of_shard).collect();
    found.retain(|shard| source.is_none_or(|source| *shard.source == *source));
    found.sort_by(|a, b| (&a.source, a.position.shard()).cmp(&(&b.source, b.position.shard())));
    Ok(found)
}

/// A table, where there are any.
pub(super) fn table(shards: &[ShownShard], out: &mut impl Write) -> Result<(), StateCommandError> {
    if shards.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nshards")?;
    let mut rows = vec![table::row(["source", "stream", "shard", "delivered up to"])];
    rows.extend(shards.iter().map(ShownShard::row));
    table_or_none(&rows, out)
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::ack::LocalPosition;

    #[test]
    fn a_shard_is_shown_with_how_far_it_was_delivered() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::open(dir.path()).unwrap();
        let stream = "arn:aws:kinesis:us-east-1:222222222222:stream/cwl";
        let written = format!(
            r#"{{"source":"cwl","stream":"{stream}","shard":"shardId-000000000001","mark":"4959","index":3}}"#
        );
        let position = ShardPosition::from_json(&RawValue::from_string(written).unwrap()).unwrap();
        let _account = checkpoints.begin("cwl", position);
        checkpoints.save().unwrap();
        let shown = read(dir.path(), Some("cwl")).unwrap();
        let [shard] = shown.as_slice() else { panic!("{}", shown.len()) };
        let expected = json!({ "source": "cwl", "stream": stream, "shard": "shardId-000000000001", "delivered_to": "4959" });
        assert_eq!(shard.json(), expected);
        let mut out = Vec::new();
        table(&shown, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.contains("cwl") && text.contains("shardId-000000000001") && text.contains("4959"),
            "{text}"
        );
        assert!(read(dir.path(), Some("other")).unwrap().is_empty());
    }
}
