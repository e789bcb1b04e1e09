//! How far shards were read, and who reads, as the checkpoint file keeps it.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::lease::ShardLease;
use super::place::ShardMark;
use crate::ack::LocalPosition;
use crate::event::Timestamp;

/// What is remembered of one shard, where no lease table is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ShardPosition {
    /// The stream's ARN.
    pub(super) stream: Arc<str>,
    pub(super) lease: ShardLease,
}

impl ShardPosition {
    /// The stream's ARN.
    #[must_use]
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// The shard's id.
    #[must_use]
    pub fn shard(&self) -> &str {
        &self.lease.shard
    }

    /// The last sequence number that was delivered, or what stands for it, such as `SHARD_END`.
    #[must_use]
    pub fn delivered_to(&self) -> String {
        self.lease.mark.written().0.to_string()
    }
}

/// Who this process is to others that share a lease table.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct WorkerIdentity {
    /// Drawn once, and kept with the state directory: a start after a kill goes on with the leases that it had.
    pub(super) id: Arc<str>,
}

#[derive(Deserialize, Serialize)]
struct WrittenShard<'a> {
    #[serde(borrow)]
    source: Cow<'a, str>,
    #[serde(borrow)]
    stream: Cow<'a, str>,
    #[serde(borrow)]
    shard: Cow<'a, str>,
    #[serde(borrow)]
    mark: Cow<'a, str>,
    #[serde(default)]
    index: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start: Option<i64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    parents: Vec<String>,
}

#[derive(Deserialize, Serialize)]
struct WrittenWorker<'a> {
    #[serde(borrow)]
    source: Cow<'a, str>,
    #[serde(borrow)]
    worker: Cow<'a, str>,
}

impl LocalPosition for ShardPosition {
    const KIND: &'static str = "shard";

    type Mark = ();

    fn advance(&mut self, (): (), _: Timestamp) {}

    fn to_json(&self, source: &str) -> serde_json::Result<Box<RawValue>> {
        let (mark, index) = self.lease.mark.written();
        to_raw_value(&WrittenShard {
            source: source.into(),
            stream: Cow::from(&*self.stream),
            shard: Cow::from(&*self.lease.shard),
            mark: mark.into(),
            index,
            start: self.lease.start.map(|start| start.0),
            parents: self.lease.parents.iter().map(ToString::to_string).collect(),
        })
    }

    fn from_json(json: &RawValue) -> Option<Self> {
        let written: WrittenShard<'_> = serde_json::from_str(json.get()).ok()?;
        let mark = ShardMark::read(&written.mark, written.index)?;
        let mut lease = ShardLease::new(written.shard.into(), mark);
        lease.start = written.start.map(Timestamp);
        lease.parents = written.parents.into_iter().map(Arc::from).collect();
        Some(Self { stream: written.stream.into(), lease })
    }
}

impl LocalPosition for WorkerIdentity {
    const KIND: &'static str = "worker";

    type Mark = ();

    fn advance(&mut self, (): (), _: Timestamp) {}

    fn to_json(&self, source: &str) -> serde_json::Result<Box<RawValue>> {
        to_raw_value(&WrittenWorker { source: source.into(), worker: Cow::from(&*self.id) })
    }

    fn from_json(json: &RawValue) -> Option<Self> {
        let written: WrittenWorker<'_> = serde_json::from_str(json.get()).ok()?;
        Some(Self { id: written.worker.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_was_written() {
        let mut lease = ShardLease::new("shardId-000000000001".into(), ShardMark::read("4959", 3).unwrap());
        let check = |lease: &ShardLease| {
            let position = ShardPosition { stream: "arn\"x".into(), lease: lease.clone() };
            assert_eq!(ShardPosition::from_json(&position.to_json("s\"").unwrap()), Some(position));
        };
        check(&lease);
        (lease.start, lease.parents) = (Some(Timestamp(7)), vec!["a".into(), "b".into()]);
        check(&lease);
        let worker = WorkerIdentity { id: "standpipe-h-1".into() };
        assert_eq!(WorkerIdentity::from_json(&worker.to_json("s").unwrap()), Some(worker));
    }
}
