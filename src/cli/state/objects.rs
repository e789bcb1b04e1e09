//! Objects of S3, shown: how far each that is under way was delivered, and how many of a bucket that is listed are done.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::error::StateCommandError;
use super::rows::table_or_none;
use crate::ack::{CheckpointEntry, Checkpoints};
use crate::cli::table;
use crate::event::Timestamp;
use crate::source::s3::{DoneSummary, ListedBucket, ObjectPosition};

/// What is kept of objects.
#[derive(Default)]
pub(super) struct ShownObjects {
    objects: Vec<ShownObject>,
    buckets: Vec<ShownBucket>,
}

/// An object that was read in part.
struct ShownObject {
    source: Arc<str>,
    position: ObjectPosition,
}

/// A bucket that is listed.
struct ShownBucket {
    source: Arc<str>,
    listed: ListedBucket,
    done: DoneSummary,
}

impl ShownObject {
    fn name(&self) -> String {
        format!("s3://{}/{}", self.position.bucket, self.position.key)
    }

    fn json(&self) -> Value {
        json!({
            "source": &*self.source,
            "object": self.name(),
            "delivered_to_byte": self.position.mark.offset,
            "moved": Timestamp(self.position.time).to_rfc3339(),
        })
    }
}

impl ShownBucket {
    fn name(&self) -> String {
        format!("s3://{}/{}", self.listed.bucket, self.listed.prefix)
    }

    fn json(&self) -> Value {
        json!({
            "source": &*self.source,
            "listed": self.name(),
            "objects_done": self.done.objects,
            "late_objects_since": Timestamp(self.done.before).to_rfc3339(),
        })
    }
}

impl ShownObjects {
    /// Those of all sources, or of one.
    pub(super) fn read(dir: &Path, source: Option<&str>) -> Result<Self, StateCommandError> {
        let mut shown = Self::default();
        let is_wanted = |entry: &CheckpointEntry| source.is_none_or(|source| *entry.source == *source);
        for entry in Checkpoints::list(dir)?.entries.into_iter().filter(is_wanted) {
            if let Some(position) = entry.position::<ObjectPosition>() {
                shown.objects.push(ShownObject { source: Arc::clone(&entry.source), position });
            }
            if let Some(listed) = entry.position::<ListedBucket>() {
                let failed = |source| StateCommandError::Read { path: dir.to_owned(), source };
                let done = listed.done(dir).map_err(failed)?;
                shown.buckets.push(ShownBucket { source: entry.source, listed, done });
            }
        }
        shown.objects.sort_by_key(|object| (Arc::clone(&object.source), object.name()));
        shown.buckets.sort_by_key(|bucket| (Arc::clone(&bucket.source), bucket.name()));
        Ok(shown)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.buckets.is_empty()
    }

    /// The sources that have some.
    pub(super) fn sources(&self) -> impl Iterator<Item = String> {
        let of_objects = self.objects.iter().map(|object| object.source.to_string());
        of_objects.chain(self.buckets.iter().map(|bucket| bucket.source.to_string()))
    }

    pub(super) fn objects_json(&self) -> Vec<Value> {
        self.objects.iter().map(ShownObject::json).collect()
    }

    pub(super) fn buckets_json(&self) -> Vec<Value> {
        self.buckets.iter().map(ShownBucket::json).collect()
    }

    /// A table of each kind that there is; nothing where there is none.
    pub(super) fn tables(&self, out: &mut impl Write) -> Result<(), StateCommandError> {
        let now = Timestamp::now();
        if !self.objects.is_empty() {
            writeln!(out, "\nobjects under way")?;
            let mut rows = vec![table::row(["source", "object", "delivered to byte", "moved ago"])];
            rows.extend(self.objects.iter().map(|object| {
                let ObjectPosition { mark, time, .. } = &object.position;
                let (offset, age) = (mark.offset.to_string(), table::age(Timestamp(*time), now));
                vec![object.source.to_string(), object.name(), offset, age]
            }));
            table_or_none(&rows, out)?;
        }
        if !self.buckets.is_empty() {
            writeln!(out, "\nlisted buckets")?;
            let mut rows = vec![table::row(["source", "listed", "objects done", "late objects since"])];
            rows.extend(self.buckets.iter().map(|bucket| {
                let age = table::age(Timestamp(bucket.done.before), now);
                vec![bucket.source.to_string(), bucket.name(), bucket.done.objects.to_string(), age]
            }));
            table_or_none(&rows, out)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::ack::LocalPosition;

    #[test]
    fn an_object_under_way_is_shown_with_how_far_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::open(dir.path()).unwrap();
        let written = r#"{"bucket":"b","key":"a\u001bb.log","etag":"e","mark":{"offset":1048576,"state":"between","is_plain":true},"time":1796000000000}"#;
        let position =
            ObjectPosition::from_json(&RawValue::from_string(written.to_owned()).unwrap()).unwrap();
        let _account = checkpoints.begin("trail", position);
        checkpoints.save().unwrap();
        let shown = ShownObjects::read(dir.path(), Some("trail")).unwrap();
        assert_eq!(
            shown.objects_json(),
            [json!({
                "source": "trail",
                "object": "s3://b/a\u{1b}b.log",
                "delivered_to_byte": 1_048_576,
                "moved": "2026-11-30T00:53:20.000Z",
            })]
        );
        let mut out = Vec::new();
        shown.tables(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("objects under way") && text.contains(r"s3://b/a\u{1b}b.log"), "{text}");
        assert!(text.contains("1048576") && !text.contains('\u{1b}'), "{text}");
        assert!(ShownObjects::read(dir.path(), Some("other")).unwrap().is_empty());
    }
}
