//! Roles that standpipe assumes: to put to a stream, to read a stream, to read a bucket.

use std::sync::Arc;

use super::draft::{PlanDraft, PlanPhase};
use super::resource::ResourceKind;
use super::statements::{StatementBuilder, alias, allow, by_role, document, through};
use super::storage::queue;
use super::streams::data_key;
use crate::access::policy::document::{Comparison, PolicyDocument, Principals, Statement};
use crate::config::topology::{AwsAccount, BucketReader, RoleAssumer};

/// The role that puts to the Firehose stream. Firehose has no resource policies, so that another account comes by a role.
pub(super) fn writer(draft: &mut PlanDraft<'_>) {
    let (Some(writer), Some(stream)) = (&draft.topology.writer, &draft.topology.stream) else { return };
    let arn = stream.account.place.delivery_stream(&stream.name);
    let puts = allow("StandpipePutsToTheStream", ["firehose:PutRecordBatch"]).on([arn]);
    let description = format!("standpipe puts to Firehose stream {}", stream.name);
    let role = AssumedRole {
        id: "Writer",
        sid: "StandpipeBecomesTheWriter",
        description,
        permissions: document([puts]),
    };
    assumed(draft, writer, &stream.account, role);
}

/// The role that reads the Kinesis stream, and the table of its leases.
pub(super) fn consumer(draft: &mut PlanDraft<'_>) {
    let topology = draft.topology;
    let (Some(consumer), Some(kinesis)) = (&topology.consumer, &topology.kinesis) else { return };
    let place = &kinesis.account.place;
    let table = consumer.lease_table.clone();
    draft.add(
        PlanPhase::Free,
        &kinesis.account,
        "Leases",
        &[],
        ResourceKind::LeaseTable { name: table.clone() },
    );
    let reads = [
        "kinesis:DescribeStreamSummary",
        "kinesis:ListShards",
        "kinesis:GetShardIterator",
        "kinesis:GetRecords",
    ];
    let leases = [
        "dynamodb:DescribeTable",
        "dynamodb:Scan",
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "dynamodb:UpdateItem",
        "dynamodb:DeleteItem",
    ];
    let mut statements = vec![
        allow("StandpipeReadsTheStream", reads).on([place.stream(&kinesis.name)]),
        allow("StandpipeKeepsItsLeases", leases).on([place.table(&table)]),
    ];
    if let Some(name) = &consumer.fan_out {
        let subscribes = ["kinesis:DescribeStreamConsumer", "kinesis:SubscribeToShard"];
        statements.extend([
            allow("StandpipeRegistersItsConsumer", ["kinesis:RegisterStreamConsumer"])
                .on([place.stream(&kinesis.name)]),
            // When it will be registered, nobody knows.
            allow("StandpipeSubscribes", subscribes).on([place.stream_consumer(&kinesis.name, name, "*")]),
        ]);
    }
    statements.extend(data_key(topology, kinesis, "StandpipeDecryptsRecords", "kms:Decrypt"));
    let role = AssumedRole {
        id: "Consumer",
        sid: "StandpipeBecomesTheConsumer",
        description: format!("standpipe reads Kinesis stream {}", kinesis.name),
        permissions: document(statements),
    };
    assumed(draft, &consumer.assumer, &kinesis.account, role);
}

/// Roles that read objects of buckets, and queues that tell of them.
pub(super) fn readers(draft: &mut PlanDraft<'_>) {
    let topology = draft.topology;
    for reader in &topology.readers {
        let is_own = topology.bucket.as_ref().is_some_and(|bucket| bucket.name == reader.bucket);
        let account = &reader.bucket_account;
        if let Some(name) = reader.queue.as_ref().filter(|_| !is_own) {
            let place = &account.place;
            let queue_id = queue(draft, PlanPhase::Free, account, name, &reader.bucket);
            let id = format!("Notification {}", reader.bucket);
            if !draft.has(account, &id) {
                let kind = ResourceKind::Notification {
                    bucket: reader.bucket.clone(),
                    queue: place.queue(name).to_string(),
                    prefix: reader.prefix.clone(),
                };
                draft.add(PlanPhase::Free, account, &id, &[queue_id], kind);
            }
        }
        let id = format!("Reader {}", reader.assumer.name);
        let role = AssumedRole {
            id: &id,
            sid: "StandpipeBecomesTheReader",
            description: format!("standpipe reads objects of bucket {}", reader.bucket),
            permissions: reads(&topology.name, reader),
        };
        assumed(draft, &reader.assumer, account, role);
    }
}

/// Objects are read, and the bucket is listed: two resources. Listing on `bucket/*` would allow nothing, and without
/// `s3:ListBucket` a missing object is answered as a denied one.
fn reads(prefix: &str, reader: &BucketReader) -> PolicyDocument {
    let place = &reader.bucket_account.place;
    let objects = place.object(&reader.bucket, &format!("{}*", reader.prefix));
    let bucket = place.bucket(&reader.bucket);
    let list = allow("StandpipeListsTheBucket", ["s3:ListBucket"]).on([&bucket]);
    let list = if reader.prefix.is_empty() {
        list
    } else {
        list.when(Comparison::StringLike, "s3:prefix", [format!("{}*", reader.prefix)])
    };
    let mut statements = vec![allow("StandpipeReadsObjects", ["s3:GetObject"]).on([&objects]), list];
    if let Some(key) = &reader.key {
        let statement = allow("StandpipeDecryptsObjects", ["kms:Decrypt"]);
        let statement = through(statement, key, Some(alias(prefix, key)), "s3");
        let context = [bucket.to_string(), objects.to_string()];
        statements.push(statement.when(Comparison::StringLike, "kms:EncryptionContext:aws:s3:arn", context));
    }
    if let Some(queue) = &reader.queue {
        let actions = [
            "sqs:ReceiveMessage",
            "sqs:DeleteMessage",
            "sqs:ChangeMessageVisibility",
            "sqs:GetQueueAttributes",
        ];
        statements.push(allow("StandpipeIsToldOfObjects", actions).on([place.queue(queue)]));
    }
    document(statements)
}

/// What a role that is assumed is about.
pub(super) struct AssumedRole<'a> {
    pub(super) id: &'a str,
    pub(super) sid: &'a str,
    pub(super) description: String,
    pub(super) permissions: PolicyDocument,
}

/// Both sides: the role, which trusts the assumer, and what the assumer's own account has to allow.
pub(super) fn assumed(
    draft: &mut PlanDraft<'_>,
    assumer: &RoleAssumer,
    owner: &Arc<AwsAccount>,
    role: AssumedRole<'_>,
) {
    let AssumedRole { id, sid, description, permissions } = role;
    let trust = document([trust(assumer)]);
    let name = assumer.name.clone();
    let kind =
        ResourceKind::Role { name: name.clone(), description: description.clone(), trust, permissions };
    draft.add(PlanPhase::Free, owner, &format!("{id} Role"), &[], kind);
    let policy = document([allow(sid, ["sts:AssumeRole"]).on([owner.place.role(&name)])]);
    let policy_name = format!("assume-{name}");
    let kind = match &assumer.role {
        Some(path) => {
            let role = path.rsplit('/').next().unwrap_or(path).to_owned();
            ResourceKind::RolePolicy { role, name: policy_name, policy }
        }
        None => ResourceKind::ManagedPolicy { name: policy_name, description, policy },
    };
    draft.add(PlanPhase::Free, &assumer.account, &format!("{id} Identity"), &[], kind);
}

fn trust(assumer: &RoleAssumer) -> Statement {
    let statement = if let Some(role) = &assumer.role {
        by_role(allow("ThisRoleAlone", ["sts:AssumeRole"]), &assumer.account, role)
    } else {
        let root = assumer.account.place.root().to_string();
        allow("WhomTheOtherAccountLets", ["sts:AssumeRole"]).by(Principals::aws([root]))
    };
    match &assumer.external_id {
        Some(id) => statement.when(Comparison::StringEquals, "sts:ExternalId", [id]),
        None => statement,
    }
}
