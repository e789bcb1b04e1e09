//! A lease: what is known of a shard's reading, and who reads it, as the Kinesis Client Library keeps it in a table of `DynamoDB`. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::place::ShardMark;
use crate::event::Timestamp;

/// All leases, by their shards.
pub(super) type Leases = BTreeMap<Arc<str>, ShardLease>;

/// One lease.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct ShardLease {
    /// The shard's id.
    pub(super) shard: Arc<str>,
    /// Who reads it.
    pub(super) owner: Option<Arc<str>>,
    /// Grows with each write: a lease whose counter stands still is free.
    pub(super) counter: u64,
    /// How far it was read.
    pub(super) mark: ShardMark,
    /// From when on, where nothing was read; other readers of the table keep it, and do not know it.
    pub(super) start: Option<Timestamp>,
    /// The shards that it came from.
    pub(super) parents: Vec<Arc<str>>,
    /// The first and the last hash of its keys, as decimal numbers.
    pub(super) hashes: Option<HashRange>,
    /// Another still has to hand it over.
    pub(super) is_handed_over: bool,
}

/// The first and the last hash of a shard's partition keys.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct HashRange {
    pub(super) first: Arc<str>,
    pub(super) last: Arc<str>,
}

impl ShardLease {
    /// A lease that nobody has.
    pub(super) const fn new(shard: Arc<str>, mark: ShardMark) -> Self {
        Self {
            shard,
            owner: None,
            counter: 0,
            mark,
            start: None,
            parents: Vec::new(),
            hashes: None,
            is_handed_over: false,
        }
    }

    /// Whether all of the shard is done.
    pub(super) fn is_finished(&self) -> bool {
        self.mark == ShardMark::ShardEnd
    }

    /// Whether its owner is `worker`.
    pub(super) fn is_of(&self, worker: &str) -> bool {
        self.owner.as_deref() == Some(worker)
    }

    /// What the counter is by now, where a write that expected `counter` met another: an earlier write of `worker` was done, and its
    /// answer was lost. None: the lease is another's.
    pub(super) fn counter_after_lost_answer(&self, worker: &str, counter: u64) -> Option<u64> {
        (self.is_of(worker) && self.counter > counter && !self.is_handed_over).then_some(self.counter)
    }

    /// As a new item of the table.
    pub(super) fn item(&self) -> Value {
        let (mark, index) = self.mark.written();
        let mut item = json!({
            "leaseKey": { "S": &*self.shard },
            "leaseCounter": { "N": self.counter.to_string() },
            "checkpoint": { "S": mark },
            "checkpointSubSequenceNumber": { "N": index.to_string() },
            "ownerSwitchesSinceCheckpoint": { "N": "0" },
        });
        let Some(attributes) = item.as_object_mut() else { return item };
        if let Some(owner) = &self.owner {
            attributes.insert("leaseOwner".to_owned(), json!({ "S": &**owner }));
        }
        if let Some(start) = self.start {
            attributes.insert(START.to_owned(), json!({ "N": start.0.to_string() }));
        }
        if !self.parents.is_empty() {
            let parents: Vec<&str> = self.parents.iter().map(|parent| &**parent).collect();
            attributes.insert("parentShardId".to_owned(), json!({ "SS": parents }));
        }
        if let Some(HashRange { first, last }) = &self.hashes {
            attributes.insert("startingHashKey".to_owned(), json!({ "S": &**first }));
            attributes.insert("endingHashKey".to_owned(), json!({ "S": &**last }));
        }
        item
    }

    /// Reads an item of the table.
    pub(super) fn of(item: &Value) -> TableRow {
        let Some(attributes) = item.as_object() else { return TableRow::Foreign };
        let is_lease = text(attributes, "entityType").is_none_or(|entity| entity == "LEASE");
        let read = || {
            let index = number(attributes, "checkpointSubSequenceNumber").unwrap_or(0);
            let mark = ShardMark::read(text(attributes, "checkpoint")?, index)?;
            let hash = |name| text(attributes, name).map(Arc::from);
            let hashes = hash("startingHashKey").zip(hash("endingHashKey"));
            Some(Self {
                shard: text(attributes, "leaseKey")?.into(),
                owner: text(attributes, "leaseOwner").map(Arc::from),
                counter: number(attributes, "leaseCounter")?,
                mark,
                start: number::<i64>(attributes, START).map(Timestamp),
                parents: texts(attributes, "parentShardId"),
                hashes: hashes.map(|(first, last)| HashRange { first, last }),
                is_handed_over: attributes.contains_key("checkpointOwner"),
            })
        };
        match read().filter(|_| is_lease) {
            Some(lease) if lease.shard.contains(':') => TableRow::OfManyStreams,
            Some(lease) => TableRow::Lease(lease),
            None => TableRow::Foreign,
        }
    }
}

/// What an item of a lease table is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum TableRow {
    /// A lease of a shard.
    Lease(ShardLease),
    /// A lease of a table for several streams.
    OfManyStreams,
    /// No lease: others keep such items beside them.
    Foreign,
}

/// Where reading begins at a time, in milliseconds since 1970.
pub(super) const START: &str = "standpipeStart";

fn text<'a>(attributes: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    attributes.get(name)?.get("S")?.as_str()
}

fn number<T: std::str::FromStr>(attributes: &Map<String, Value>, name: &str) -> Option<T> {
    attributes.get(name)?.get("N")?.as_str()?.parse().ok()
}

fn texts(attributes: &Map<String, Value>, name: &str) -> Vec<Arc<str>> {
    let set = attributes.get(name).and_then(|value| value.get("SS")).and_then(Value::as_array);
    set.into_iter().flatten().filter_map(Value::as_str).map(Arc::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(item: &Value, expected: &TableRow) {
        assert_eq!(ShardLease::of(item), *expected, "{item}");
    }

    #[test]
    fn a_lease_is_read_as_it_is_written() {
        let mut lease = ShardLease::new("shardId-000000000002".into(), ShardMark::read("49590", 3).unwrap());
        check(&lease.item(), &TableRow::Lease(lease.clone()));
        lease.owner = Some("w".into());
        lease.counter = 17;
        lease.mark = ShardMark::Latest;
        lease.start = Some(Timestamp(1_700_000_000_000));
        lease.parents = vec!["shardId-000000000000".into(), "shardId-000000000001".into()];
        lease.hashes = Some(HashRange { first: "0".into(), last: "99".into() });
        check(&lease.item(), &TableRow::Lease(lease.clone()));
    }

    #[test]
    fn a_row_of_the_client_library_is_a_lease() {
        let row = json!({
            "leaseKey": { "S": "shardId-000000000001" },
            "leaseOwner": { "S": "host-1" },
            "leaseCounter": { "N": "238" },
            "checkpoint": { "S": "SHARD_END" },
            "checkpointSubSequenceNumber": { "N": "0" },
            "ownerSwitchesSinceCheckpoint": { "N": "0" },
            "childShardIds": { "SS": ["shardId-000000000002"] },
            "throughputKBps": { "N": "1.5" },
            "entityType": { "S": "LEASE" },
            "checkpointOwner": { "S": "host-0" },
        });
        let TableRow::Lease(lease) = ShardLease::of(&row) else { panic!("{row}") };
        assert!(lease.is_finished() && lease.is_of("host-1") && lease.is_handed_over && lease.counter == 238);
    }

    #[test]
    fn what_others_keep_in_the_table_is_no_lease() {
        let key = json!({ "S": "k" });
        for row in [
            json!({ "leaseKey": key }),
            json!({ "leaseKey": key, "leaseCounter": { "N": "1" } }),
            json!({ "leaseKey": key, "checkpoint": { "S": "TRIM_HORIZON" } }),
            json!({ "leaseKey": key, "leaseCounter": { "N": "1" }, "checkpoint": { "S": "once" } }),
            json!({ "leaseKey": key, "leaseCounter": { "N": "1" }, "checkpoint": { "S": "LATEST" },
                "entityType": { "S": "WORKER_METRIC_STATS" } }),
            json!([]),
        ] {
            check(&row, &TableRow::Foreign);
        }
        let many = ShardLease::new("111122223333:s:1:shardId-0".into(), ShardMark::Latest);
        check(&many.item(), &TableRow::OfManyStreams);
    }
}
