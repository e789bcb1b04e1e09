//! Leases in a table of `DynamoDB`, shared with other processes and with the Kinesis Client Library: every write has a condition, and a
//! write whose answer was lost is known again by what it left.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::lease::{Leases, START, ShardLease, TableRow};
use super::lease_fault::{LeaseFault, LeaseFaultKind};
use super::place::ShardMark;
use crate::aws::{ApiCall, ApiClient, AwsService, CallError, CallOptions};
use crate::event::Timestamp;

/// A lease table, as one worker sees it.
#[derive(Debug)]
pub(super) struct LeaseTable {
    client: ApiClient,
    table: Arc<str>,
    worker: Arc<str>,
    deadline: Duration,
}

/// What an owner writes to its lease.
#[derive(Clone, Copy, Debug)]
pub(super) enum OwnersWrite<'a> {
    /// That it lives.
    Renewal,
    /// How far the shard was read; that is a renewal, too.
    Mark(&'a ShardMark),
}

/// What a conditional write sets and removes, and on which condition.
struct ConditionalUpdate<'a> {
    shard: &'a str,
    update: String,
    condition: &'static str,
    values: Value,
}

const KEY: &str = "leaseKey";
const FAILED_CONDITION: &str = "ConditionalCheckFailedException";
const NO_TABLE: &str = "ResourceNotFoundException";

impl LeaseTable {
    pub(super) fn new(client: ApiClient, table: Arc<str>, worker: Arc<str>, failover: Duration) -> Self {
        // A lease lasts longer than two writes that hang.
        let deadline = (failover / 3).clamp(Duration::from_millis(300), Duration::from_secs(5));
        Self { client, table, worker, deadline }
    }

    /// Makes the table, if need be, and looks whether it can be shared.
    pub(super) async fn open(&self) -> Result<(), LeaseFault> {
        let described = match self.describe().await {
            Err(CallError::Answered { code, .. }) if code == NO_TABLE => {
                self.create_table().await?;
                self.describe().await
            }
            described => described,
        };
        let described = described.map_err(|error| self.fault("DescribeTable", error))?;
        self.check_shape(&described)?;
        self.check_versions().await
    }

    /// Looks whether the table can still be shared: a fleet of version 2 may become one of version 3.
    pub(super) async fn check_versions(&self) -> Result<(), LeaseFault> {
        self.check_version(&self.table, KEY).await?;
        // Tables of versions 3.0 to 3.4 have it beside them.
        self.check_version(&format!("{}-CoordinatorState", self.table), "key").await
    }

    async fn describe(&self) -> Result<Value, CallError> {
        self.ask("DescribeTable", json!({ "TableName": &*self.table })).await
    }

    async fn create_table(&self) -> Result<(), LeaseFault> {
        let input = json!({
            "TableName": &*self.table,
            "AttributeDefinitions": [{ "AttributeName": KEY, "AttributeType": "S" }],
            "KeySchema": [{ "AttributeName": KEY, "KeyType": "HASH" }],
            "BillingMode": "PAY_PER_REQUEST",
        });
        match self.ask("CreateTable", input).await {
            Ok(_) => Ok(()),
            // Another worker was quicker.
            Err(CallError::Answered { code, .. }) if code == "ResourceInUseException" => Ok(()),
            Err(error) => Err(self.fault("CreateTable", error)),
        }
    }

    fn check_shape(&self, described: &Value) -> Result<(), LeaseFault> {
        let table = described.get("Table").unwrap_or(&Value::Null);
        let key = |value: &Value| value.get("AttributeName").and_then(Value::as_str).map(str::to_owned);
        let keys: Vec<String> =
            table.get("KeySchema").and_then(Value::as_array).into_iter().flatten().filter_map(key).collect();
        if keys != [KEY] {
            let keys = keys.join("` and `");
            return Err(self.refused(&format!("has the key `{keys}` and not `{KEY}`, so it is no lease table of version 2 of the Kinesis Client Library: name another `leases.table`")));
        }
        let status = table.get("TableStatus").and_then(Value::as_str).unwrap_or_default();
        if matches!(status, "ACTIVE" | "UPDATING") {
            return Ok(());
        }
        let message = format!("the lease table `{}` is {status}", self.table);
        Err(LeaseFault { kind: LeaseFaultKind::Passing, message })
    }

    /// A fleet of version 3 has a leader that assigns leases: who takes them by the rules of version 2 gets none there, and is in its way.
    async fn check_version(&self, table: &str, key: &str) -> Result<(), LeaseFault> {
        let input =
            json!({ "TableName": table, "Key": { (key): { "S": "Migration3.0" } }, "ConsistentRead": true });
        let answer = match self.ask("GetItem", input).await {
            Ok(answer) => answer,
            // There is none, or who may not look has no fleet of version 3 that would have said so.
            Err(CallError::Answered { .. }) if *table != *self.table => return Ok(()),
            Err(error) => return Err(self.fault("GetItem", error)),
        };
        let version = answer.pointer("/Item/cv/S").and_then(Value::as_str).unwrap_or_default();
        if version.ends_with("_3X") || version.ends_with("_3X_WITH_ROLLBACK") {
            return Err(self.refused("belongs to a fleet of version 3 of the Kinesis Client Library, whose leader gives leases to its own workers only: name another `leases.table`, or run that fleet with CLIENT_VERSION_CONFIG_COMPATIBLE_WITH_2X"));
        }
        Ok(())
    }

    /// All leases, as they were a moment ago.
    pub(super) async fn leases(&self) -> Result<Leases, LeaseFault> {
        self.scan(json!({ "TableName": &*self.table })).await
    }

    /// All leases with every write that was answered by now, for twice the price: a lease is added only where it is certain that there is
    /// none, since one that was removed would be read from its beginning.
    pub(super) async fn leases_by_now(&self) -> Result<Leases, LeaseFault> {
        self.scan(json!({ "TableName": &*self.table, "ConsistentRead": true })).await
    }

    async fn scan(&self, mut input: Value) -> Result<Leases, LeaseFault> {
        let mut leases = Leases::new();
        loop {
            let answer = self.ask("Scan", input.clone()).await.map_err(|error| self.fault("Scan", error))?;
            for item in answer.get("Items").and_then(Value::as_array).into_iter().flatten() {
                match ShardLease::of(item) {
                    TableRow::Lease(lease) => drop(leases.insert(Arc::clone(&lease.shard), lease)),
                    TableRow::OfManyStreams => {
                        return Err(self.refused("holds leases of several streams, and a source reads one: name another `leases.table`"));
                    }
                    TableRow::Foreign => {}
                }
            }
            match (answer.get("LastEvaluatedKey"), input.as_object_mut()) {
                (Some(key), Some(input)) if key.is_object() => {
                    input.insert("ExclusiveStartKey".to_owned(), key.clone());
                }
                _ => return Ok(leases),
            }
        }
    }

    async fn lease(&self, shard: &str) -> Result<Option<ShardLease>, LeaseFault> {
        let input =
            json!({ "TableName": &*self.table, "Key": { (KEY): { "S": shard } }, "ConsistentRead": true });
        let answer = self.ask("GetItem", input).await.map_err(|error| self.fault("GetItem", error))?;
        Ok(match answer.get("Item").map(ShardLease::of) {
            Some(TableRow::Lease(lease)) => Some(lease),
            _ => None,
        })
    }

    /// Adds a lease, unless somebody did; whether it was added.
    pub(super) async fn create(&self, lease: &ShardLease) -> Result<bool, LeaseFault> {
        let input = json!({
            "TableName": &*self.table,
            "Item": lease.item(),
            "ConditionExpression": "attribute_not_exists(leaseKey)",
        });
        match self.ask("PutItem", input).await {
            Ok(_) => Ok(true),
            Err(error) if error.code() == Some(FAILED_CONDITION) => Ok(false),
            Err(error) => Err(self.fault("PutItem", error)),
        }
    }

    /// Takes a lease as it was seen; gives its counter. None: another was quicker.
    pub(super) async fn take(&self, lease: &ShardLease, now: Timestamp) -> Result<Option<u64>, LeaseFault> {
        let next = lease.counter.saturating_add(1);
        let mut update = "SET leaseOwner = :me, leaseCounter = :next".to_owned();
        let mut values = json!({ ":me": { "S": &*self.worker }, ":next": number(next), ":counter": number(lease.counter) });
        if lease.owner.is_some() && !lease.is_of(&self.worker) {
            update.push_str(", ownerSwitchesSinceCheckpoint = ownerSwitchesSinceCheckpoint + :one");
            set(&mut values, ":one", number(1));
        }
        if lease.mark == ShardMark::Latest && lease.start.is_none() {
            // What comes from now on is read, whenever the first record is done.
            update.push_str(", ");
            update.push_str(START);
            update.push_str(" = :start");
            set(&mut values, ":start", json!({ "N": now.0.to_string() }));
        }
        update.push_str(" REMOVE checkpointOwner");
        let condition = "leaseCounter = :counter";
        if self.update(ConditionalUpdate { shard: &lease.shard, update, condition, values }).await? {
            return Ok(Some(next));
        }
        // It may be an earlier try of ours, whose answer was lost.
        let found = self.lease(&lease.shard).await?;
        Ok(found.filter(|found| found.is_of(&self.worker) && found.counter == next).map(|_| next))
    }

    /// Writes to a lease that was ours when it had this counter; gives the next. None: it is another's.
    pub(super) async fn write(
        &self,
        shard: &str,
        counter: u64,
        write: OwnersWrite<'_>,
    ) -> Result<Option<u64>, LeaseFault> {
        let mut counter = counter;
        for _ in 0..MOST_LOST_ANSWERS {
            if self.update(self.owners_update(shard, counter, write)).await? {
                return Ok(Some(counter.saturating_add(1)));
            }
            let Some(found) = self.lease(shard).await? else { return Ok(None) };
            let Some(after) = found.counter_after_lost_answer(&self.worker, counter) else { return Ok(None) };
            // The earlier write may have been another than this; and others count from when it was done, which is longer ago than this
            // one began.
            counter = after;
        }
        Ok(None)
    }

    fn owners_update<'a>(
        &self,
        shard: &'a str,
        counter: u64,
        write: OwnersWrite<'_>,
    ) -> ConditionalUpdate<'a> {
        let next = counter.saturating_add(1);
        let mut values =
            json!({ ":me": { "S": &*self.worker }, ":next": number(next), ":counter": number(counter) });
        let update = match write {
            OwnersWrite::Renewal => "SET leaseCounter = :next".to_owned(),
            OwnersWrite::Mark(mark) => {
                let (mark, index) = mark.written();
                set(&mut values, ":mark", json!({ "S": mark }));
                set(&mut values, ":index", number(index));
                set(&mut values, ":zero", number(0));
                "SET checkpoint = :mark, checkpointSubSequenceNumber = :index, ownerSwitchesSinceCheckpoint = :zero, leaseCounter = :next \
                 REMOVE pendingCheckpoint, pendingCheckpointSubSequenceNumber, pendingCheckpointState"
                    .to_owned()
            }
        };
        let condition =
            "leaseCounter = :counter AND leaseOwner = :me AND attribute_not_exists(checkpointOwner)";
        ConditionalUpdate { shard, update, condition, values }
    }

    /// Notes what came of a shard, for those who ask its lease.
    pub(super) async fn set_children(&self, shard: &str, children: &[Arc<str>]) -> Result<(), LeaseFault> {
        if children.is_empty() {
            return Ok(());
        }
        let update = "SET childShardIds = :children".to_owned();
        let children: Vec<&str> = children.iter().map(|child| &**child).collect();
        let values = json!({ ":children": { "SS": children } });
        let condition = "attribute_exists(leaseKey)";
        self.update(ConditionalUpdate { shard, update, condition, values }).await.map(drop)
    }

    /// Gives a lease back, so that others need not wait until it is free.
    pub(super) async fn give_back(&self, shard: &str) -> Result<(), LeaseFault> {
        let update = "REMOVE leaseOwner ADD leaseCounter :one".to_owned();
        let values = json!({ ":me": { "S": &*self.worker }, ":one": number(1) });
        let condition = "leaseOwner = :me AND attribute_not_exists(checkpointOwner)";
        // Otherwise it is another's already.
        self.update(ConditionalUpdate { shard, update, condition, values }).await.map(drop)
    }

    /// Removes the lease of a shard that is done with.
    pub(super) async fn remove(&self, shard: &str) -> Result<(), LeaseFault> {
        let input = json!({ "TableName": &*self.table, "Key": { (KEY): { "S": shard } } });
        self.ask("DeleteItem", input).await.map(drop).map_err(|error| self.fault("DeleteItem", error))
    }

    /// Whether the condition held.
    async fn update(&self, update: ConditionalUpdate<'_>) -> Result<bool, LeaseFault> {
        let ConditionalUpdate { shard, update, condition, values } = update;
        let input = json!({
            "TableName": &*self.table,
            "Key": { (KEY): { "S": shard } },
            "UpdateExpression": update,
            "ConditionExpression": condition,
            "ExpressionAttributeValues": values,
        });
        match self.ask("UpdateItem", input).await {
            Ok(_) => Ok(true),
            Err(error) if error.code() == Some(FAILED_CONDITION) => Ok(false),
            Err(error) => Err(self.fault("UpdateItem", error)),
        }
    }

    /// Once: a write that is repeated may have been done.
    async fn ask(&self, operation: &'static str, input: Value) -> Result<Value, CallError> {
        let call = ApiCall::new(AwsService::DynamoDb, operation, input);
        self.client.call_with(&call, CallOptions::once(self.deadline)).await
    }

    fn fault(&self, operation: &str, error: CallError) -> LeaseFault {
        LeaseFault::of(operation, &self.table, error)
    }

    fn refused(&self, why: &str) -> LeaseFault {
        LeaseFault {
            kind: LeaseFaultKind::Refused,
            message: format!("the lease table `{}` {why}", self.table),
        }
    }
}

/// A write is tried so often whose earlier tries were done though nobody said so.
const MOST_LOST_ANSWERS: usize = 3;

fn number(number: u64) -> Value {
    json!({ "N": number.to_string() })
}

fn set(values: &mut Value, name: &str, value: Value) {
    let values: Option<&mut Map<String, Value>> = values.as_object_mut();
    if let Some(values) = values {
        values.insert(name.to_owned(), value);
    }
}
