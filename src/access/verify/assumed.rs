//! Roles that standpipe assumes: whether it may, and whether they may do what they are for.

use serde_json::Value;

use super::bucket::{notification, policy, queue_told};
use super::keys::{KeyRequest, ObservedKey, through};
use super::observed::{ObservedPlan, ObservedResource, unseen};
use super::permission::{PermissionCheck, PolicyHolder, PolicySources, TargetPolicies, all, context};
use super::senders::failed;
use crate::access::live::{Observation, Prerequisite};
use crate::access::plan::ResourceKind;
use crate::access::policy::RequestContext;
use crate::access::report::{Hop, HopFinding, Severity};
use crate::config::topology::{AwsAccount, BucketReader, RoleAssumer};

/// Who puts to the Firehose stream, if anybody does.
pub(super) fn writer(view: ObservedPlan<'_>) -> Option<Hop> {
    let (writer, stream) = (view.topology.writer.as_ref()?, view.topology.stream.as_ref()?);
    let arn = stream.account.place.delivery_stream(&stream.name).to_string();
    let findings = assumed(view, writer, &stream.account, |holder| {
        let put = ask(holder, "firehose:PutRecordBatch", &arn, &stream.account, TargetPolicies::Nothing);
        vec![all("put", "standpipe holds records until it may put them", &[put])]
    });
    Some(Hop { name: format!("writer {} of {}", writer.name, stream.account.name), findings })
}

/// Who reads the Kinesis stream, if anybody does.
pub(super) fn consumer(view: ObservedPlan<'_>) -> Option<Hop> {
    const READS: [&str; 4] = [
        "kinesis:DescribeStreamSummary",
        "kinesis:ListShards",
        "kinesis:GetShardIterator",
        "kinesis:GetRecords",
    ];
    const SUBSCRIBES: [&str; 2] = ["kinesis:DescribeStreamConsumer", "kinesis:SubscribeToShard"];
    const LEASES: [&str; 6] = [
        "dynamodb:DescribeTable",
        "dynamodb:Scan",
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "dynamodb:UpdateItem",
        "dynamodb:DeleteItem",
    ];
    let (consumer, kinesis) = (view.topology.consumer.as_ref()?, view.topology.kinesis.as_ref()?);
    let account: &AwsAccount = &kinesis.account;
    let stream = account.place.stream(&kinesis.name).to_string();
    let table = account.place.table(&consumer.lease_table).to_string();
    let mut findings = assumed(view, &consumer.assumer, account, |holder| {
        let item = view.find(account, |kind| matches!(kind, ResourceKind::DataStream { .. }));
        let of_stream = || TargetPolicies::Optional(PolicySources::of_stream(item));
        let of_table = || TargetPolicies::Optional(PolicySources::none());
        let reads: Vec<_> =
            READS.iter().map(|action| ask(holder, action, &stream, account, of_stream())).collect();
        let leases: Vec<_> =
            LEASES.iter().map(|action| ask(holder, action, &table, account, of_table())).collect();
        let reads = all("read", "standpipe cannot read the stream without it", &reads);
        let subscribes = consumer.fan_out.as_ref().map(|name| {
            let register = ask(holder, "kinesis:RegisterStreamConsumer", &stream, account, of_stream());
            let arn = account.place.stream_consumer(&kinesis.name, name, "1").to_string();
            let of_consumer = SUBSCRIBES.map(|action| ask(holder, action, &arn, account, of_table()));
            let checks: Vec<_> = std::iter::once(register).chain(of_consumer).collect();
            all("subscribe", "standpipe cannot subscribe to shards without it", &checks)
        });
        let leases = all("lease", "workers share the stream through leases in the table", &leases);
        let decrypts = item.and_then(|item| item.text("kmsKey")).and_then(|name| {
            let context = through(context(), account, "kinesis")
                .with("kms:EncryptionContext:aws:kinesis:arn", [stream.as_str()]);
            decrypts(view, holder, account, name, context)
        });
        std::iter::once(reads).chain(subscribes).chain(decrypts).chain([leases]).collect()
    });
    if let Some(item) = view.find(account, |kind| matches!(kind, ResourceKind::LeaseTable { .. })) {
        findings.push(lease_table(item));
    }
    Some(Hop { name: format!("consumer {} of {}", consumer.assumer.name, account.name), findings })
}

fn lease_table(item: ObservedResource<'_>) -> HopFinding {
    const CHECK: &str = "lease_table";
    let why = "workers share the stream through leases in it, and store their positions there";
    match item.there(CHECK, why) {
        Err(missing) => *missing,
        Ok(state) => {
            let status = state.get("status").and_then(Value::as_str).unwrap_or_default();
            let seen = format!("{} is {status}", item.title());
            if matches!(status, "ACTIVE" | "UPDATING") {
                HopFinding::ok(CHECK, seen)
            } else {
                HopFinding::failure(CHECK, seen).why(why).fix("wait until it is ACTIVE")
            }
        }
    }
}

/// Who reads objects.
pub(super) fn readers(view: ObservedPlan<'_>) -> Vec<Hop> {
    let hop = |reader: &BucketReader| {
        let account = &reader.bucket_account;
        let mut findings = there(view, reader);
        if !failed(&findings) {
            findings.extend(assumed(view, &reader.assumer, account, |holder| reads(view, reader, holder)));
            findings.extend(told(view, reader));
        }
        Hop { name: format!("reader {} of {}", reader.assumer.name, account.name), findings }
    };
    view.topology.readers.iter().map(hop).collect()
}

/// Whether a bucket is there that the plan does not make.
fn there(view: ObservedPlan<'_>, reader: &BucketReader) -> Vec<HopFinding> {
    const CHECK: &str = "bucket";
    let account = &reader.bucket_account;
    let name = &reader.bucket;
    match view.prerequisite(account, &Prerequisite::Bucket(name.clone())) {
        Some(Observation::Found(_)) => vec![HopFinding::ok(CHECK, format!("bucket `{name}` exists"))],
        Some(Observation::Absent) => {
            let seen = format!("bucket `{name}` does not exist in account {}", account.name);
            vec![
                HopFinding::failure(CHECK, seen)
                    .why("there is nothing to read")
                    .fix("correct `bucket`, or let its owner make it"),
            ]
        }
        Some(Observation::Unseen(reason)) => {
            vec![unseen(CHECK, &format!("bucket `{name}`"), &account.name, reason)]
        }
        None => Vec::new(),
    }
}

/// Objects are read, and the bucket is listed.
fn reads(view: ObservedPlan<'_>, reader: &BucketReader, holder: &PolicyHolder<'_>) -> Vec<HopFinding> {
    let account: &AwsAccount = &reader.bucket_account;
    let place = &account.place;
    let bucket = place.bucket(&reader.bucket).to_string();
    let object = place.object(&reader.bucket, &format!("{}standpipe", reader.prefix)).to_string();
    let of = || TargetPolicies::Optional(policy(view, account, &reader.bucket));
    let get = ask(holder, "s3:GetObject", &object, account, of());
    let mut list = ask(holder, "s3:ListBucket", &bucket, account, of());
    list.context = list.context.with("s3:prefix", [reader.prefix.as_str()]);
    let mut findings = vec![
        all("read_objects", "objects cannot be read without it", &[get]),
        all(
            "list_bucket",
            "listing needs a permission on the bucket itself, not on its objects; without it, a missing object looks like a forbidden one",
            &[list],
        ),
    ];
    let key = reader.key.as_ref().and_then(|key| key.arn.clone()).or_else(|| used_key(view, reader));
    let context = through(context(), account, "s3").with("kms:EncryptionContext:aws:s3:arn", [object]);
    findings.extend(key.and_then(|key| decrypts(view, holder, account, &key, context)));
    if let Some(queue) = &reader.queue {
        let arn = place.queue(queue).to_string();
        let actions = [
            "sqs:ReceiveMessage",
            "sqs:DeleteMessage",
            "sqs:ChangeMessageVisibility",
            "sqs:GetQueueAttributes",
        ];
        let is = |kind: &ResourceKind| matches!(kind, ResourceKind::Queue { name, .. } if name == queue);
        let item = view.find(account, is);
        let of = || {
            TargetPolicies::Optional(
                item.map_or_else(PolicySources::none, |item| PolicySources::of(item, "policy")),
            )
        };
        let asks = actions.map(|action| ask(holder, action, &arn, account, of()));
        findings.push(all("receive", "standpipe learns of new objects from the queue", &asks));
    }
    findings
}

/// The key of a bucket as it was seen.
fn used_key(view: ObservedPlan<'_>, reader: &BucketReader) -> Option<String> {
    let account = &reader.bucket_account;
    let is =
        |kind: &ResourceKind| matches!(kind, ResourceKind::Bucket { name, .. } if *name == reader.bucket);
    let key = match view.find(account, is) {
        Some(item) => item.text("kmsKey")?,
        None => view
            .prerequisite_state(account, &Prerequisite::Bucket(reader.bucket.clone()))?
            .get("kmsKey")?
            .as_str()?,
    };
    Some(key.to_owned())
}

/// The queue of a bucket that the plan does not make.
fn told(view: ObservedPlan<'_>, reader: &BucketReader) -> Vec<HopFinding> {
    let account = &reader.bucket_account;
    let Some(queue) = &reader.queue else { return Vec::new() };
    let is = |kind: &ResourceKind| matches!(kind, ResourceKind::Notification { bucket, .. } if *bucket == reader.bucket);
    let Some(item) = view.find(account, is) else { return Vec::new() };
    let mut findings = queue_told(view, account, queue, &reader.bucket);
    match item.there("notification", "readers of the queue are not notified of new objects") {
        Ok(state) => findings.push(notification(item, state)),
        Err(missing) => findings.push(*missing),
    }
    findings
}

/// Whether a role may decrypt with a key, and the key can be used.
fn decrypts(
    view: ObservedPlan<'_>,
    holder: &PolicyHolder<'_>,
    account: &AwsAccount,
    name: &str,
    context: RequestContext,
) -> Option<HopFinding> {
    const CHECK: &str = "decrypt";
    const WHY: &str = "objects encrypted with this key cannot be read without it";
    let key = ObservedKey::of(view, account, name);
    let usable = key.usable(CHECK, WHY);
    if usable.level == Severity::Failure {
        return Some(usable);
    }
    let by = KeyRequest {
        caller: holder.caller.clone(),
        holder: Some(holder),
        actions: &["kms:Decrypt"],
        context,
    };
    key.used(CHECK, WHY, &by)
}

pub(super) fn ask<'a>(
    holder: &'a PolicyHolder<'a>,
    action: &'static str,
    resource: &str,
    owner: &AwsAccount,
    of: TargetPolicies<'a>,
) -> PermissionCheck<'a> {
    PermissionCheck {
        caller: holder.caller.clone(),
        action,
        resource: resource.to_owned(),
        owner: owner.place.account.clone(),
        context: context(),
        holder: Some(holder),
        of,
    }
}

/// Both sides of a role that is assumed, and then what it may do.
pub(super) fn assumed(
    view: ObservedPlan<'_>,
    assumer: &RoleAssumer,
    owner: &AwsAccount,
    may: impl FnOnce(&PolicyHolder<'_>) -> Vec<HopFinding>,
) -> Vec<HopFinding> {
    const CHECK: &str = "role";
    let is = |kind: &ResourceKind| matches!(kind, ResourceKind::Role { name, .. } if *name == assumer.name);
    let Some(role) = view.find(owner, is) else { return Vec::new() };
    if let Err(missing) = role.there(CHECK, "standpipe works as this role") {
        return vec![*missing];
    }
    let mut findings = vec![HopFinding::ok(CHECK, format!("{} exists", role.title()))];
    findings.extend(assumes(view, assumer, role));
    if let Some(holder) = PolicyHolder::of(role) {
        findings.extend(may(&holder));
    }
    findings
}

fn assumes(view: ObservedPlan<'_>, assumer: &RoleAssumer, role: ObservedResource<'_>) -> Vec<HopFinding> {
    const CHECK: &str = "assume_role";
    const WHY: &str =
        "standpipe cannot become this role: its own account must allow it, and the role must trust it";
    let own = &assumer.account;
    let policy = format!("assume-{}", assumer.name);
    let is = |kind: &ResourceKind| matches!(kind, ResourceKind::RolePolicy { name, .. } | ResourceKind::ManagedPolicy { name, .. } if *name == policy);
    let Some(identity) = view.find(own, is) else { return Vec::new() };
    let (holder, why) = if let Some(path) = &assumer.role {
        (PolicyHolder::of(identity).map(|holder| holder.at(own.place.role(path))), WHY)
    } else {
        // Whoever it is attached to: nobody is named.
        let someone = own.place.role("whatever-standpipe-runs-as");
        let holder = PolicyHolder::new(own, someone, None).with(PolicySources::of(identity, "permissions"));
        (Some(holder), "attach it to the identity that standpipe runs as")
    };
    if let Err(missing) = identity.there(CHECK, why) {
        return vec![*missing];
    }
    let Some(holder) = holder else { return Vec::new() };
    let account = role.account();
    let ResourceKind::Role { name, .. } = &role.resource.kind else { return Vec::new() };
    let arn = account.place.role(name).to_string();
    let mut ask = ask(
        &holder,
        "sts:AssumeRole",
        &arn,
        account,
        TargetPolicies::Required(PolicySources::of(role, "trust")),
    );
    ask.context = ask.context.with("sts:ExternalId", assumer.external_id.as_deref());
    vec![all(CHECK, WHY, &[ask])]
}
