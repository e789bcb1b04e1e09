//! Roles that standpipe assumes: whether it may, and whether they may do what they are for.

use serde_json::Value;

use super::ask::{Ask, Holder, Of, Sources, all, context};
use super::bucket::{notification, policy, queue_told};
use super::keys::{Key, Use, through};
use super::senders::failed;
use super::view::{Item, View, unseen};
use crate::access::doctor::{Finding, Hop, Level};
use crate::access::live::{Beside, Look};
use crate::access::plan::Kind;
use crate::access::policy::Context;
use crate::config::topology::{Account, Assumer, Reader};

/// Who puts to the Firehose stream, if anybody does.
pub(super) fn writer(view: View<'_>) -> Option<Hop> {
    let (writer, stream) = (view.topology.writer.as_ref()?, view.topology.stream.as_ref()?);
    let arn = stream.account.place.delivery_stream(&stream.name).to_string();
    let findings = assumed(view, writer, &stream.account, |holder| {
        let put = ask(holder, "firehose:PutRecordBatch", &arn, &stream.account, Of::Nothing);
        vec![all("put", "standpipe holds records until it may put them", &[put])]
    });
    Some(Hop { name: format!("writer {} of {}", writer.name, stream.account.name), findings })
}

/// Who reads the Kinesis stream, if anybody does.
pub(super) fn consumer(view: View<'_>) -> Option<Hop> {
    const READS: [&str; 4] = [
        "kinesis:DescribeStreamSummary",
        "kinesis:ListShards",
        "kinesis:GetShardIterator",
        "kinesis:GetRecords",
    ];
    const LEASES: [&str; 6] = [
        "dynamodb:DescribeTable",
        "dynamodb:Scan",
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "dynamodb:UpdateItem",
        "dynamodb:DeleteItem",
    ];
    let (consumer, kinesis) = (view.topology.consumer.as_ref()?, view.topology.kinesis.as_ref()?);
    let account: &Account = &kinesis.account;
    let stream = account.place.stream(&kinesis.name).to_string();
    let table = account.place.table(&consumer.lease_table).to_string();
    let mut findings = assumed(view, &consumer.assumer, account, |holder| {
        let item = view.find(account, |kind| matches!(kind, Kind::DataStream { .. }));
        let of_stream = || Of::Optional(Sources::of_stream(item));
        let of_table = || Of::Optional(Sources::none());
        let reads: Vec<_> =
            READS.iter().map(|action| ask(holder, action, &stream, account, of_stream())).collect();
        let leases: Vec<_> =
            LEASES.iter().map(|action| ask(holder, action, &table, account, of_table())).collect();
        let reads = all("read", "standpipe cannot read the stream without it", &reads);
        let leases = all("lease", "workers share the stream by leases in the table", &leases);
        let decrypts = item.and_then(|item| item.text("kmsKey")).and_then(|name| {
            let context =
                through(account, "kinesis").with("kms:EncryptionContext:aws:kinesis:arn", [stream.as_str()]);
            decrypts(view, holder, account, (name, context))
        });
        std::iter::once(reads).chain(decrypts).chain([leases]).collect()
    });
    if let Some(item) = view.find(account, |kind| matches!(kind, Kind::LeaseTable { .. })) {
        findings.push(lease_table(item));
    }
    Some(Hop { name: format!("consumer {} of {}", consumer.assumer.name, account.name), findings })
}

fn lease_table(item: Item<'_>) -> Finding {
    const CHECK: &str = "lease_table";
    let why = "workers share the stream by leases in it, and keep there how far they have read";
    match item.there(CHECK, why) {
        Err(missing) => *missing,
        Ok(state) => {
            let status = state.get("status").and_then(Value::as_str).unwrap_or_default();
            let seen = format!("{} is {status}", item.title());
            if matches!(status, "ACTIVE" | "UPDATING") {
                Finding::ok(CHECK, seen)
            } else {
                Finding::failure(CHECK, seen).why(why).fix("wait until it is ACTIVE")
            }
        }
    }
}

/// Who reads objects.
pub(super) fn readers(view: View<'_>) -> Vec<Hop> {
    let hop = |reader: &Reader| {
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
fn there(view: View<'_>, reader: &Reader) -> Vec<Finding> {
    const CHECK: &str = "bucket";
    let account = &reader.bucket_account;
    let name = &reader.bucket;
    match view.beside(account, &Beside::Bucket(name.clone())) {
        Some(Look::Found(_)) => vec![Finding::ok(CHECK, format!("bucket `{name}` is there"))],
        Some(Look::Absent) => {
            let seen = format!("there is no bucket `{name}` in account {}", account.name);
            vec![
                Finding::failure(CHECK, seen)
                    .why("there is nothing to read")
                    .fix("correct `bucket`, or let its owner make it"),
            ]
        }
        Some(Look::Unseen(reason)) => vec![unseen(CHECK, &format!("bucket `{name}`"), &account.name, reason)],
        None => Vec::new(),
    }
}

/// Objects are read, and the bucket is listed.
fn reads(view: View<'_>, reader: &Reader, holder: &Holder<'_>) -> Vec<Finding> {
    let account: &Account = &reader.bucket_account;
    let place = &account.place;
    let bucket = place.bucket(&reader.bucket).to_string();
    let object = place.object(&reader.bucket, &format!("{}standpipe", reader.prefix)).to_string();
    let of = || Of::Optional(policy(view, account, &reader.bucket));
    let get = ask(holder, "s3:GetObject", &object, account, of());
    let mut list = ask(holder, "s3:ListBucket", &bucket, account, of());
    list.context = list.context.with("s3:prefix", [reader.prefix.as_str()]);
    let mut findings = vec![
        all("read_objects", "objects cannot be read without it", &[get]),
        all(
            "list_bucket",
            "listing is asked of the bucket itself, not of its objects; without it a missing object looks like a forbidden one",
            &[list],
        ),
    ];
    let key = reader.key.as_ref().and_then(|key| key.arn.clone()).or_else(|| used_key(view, reader));
    let context = through(account, "s3").with("kms:EncryptionContext:aws:s3:arn", [object]);
    findings.extend(key.and_then(|key| decrypts(view, holder, account, (&key, context))));
    if let Some(queue) = &reader.queue {
        let arn = place.queue(queue).to_string();
        let actions = [
            "sqs:ReceiveMessage",
            "sqs:DeleteMessage",
            "sqs:ChangeMessageVisibility",
            "sqs:GetQueueAttributes",
        ];
        let asks = actions.map(|action| ask(holder, action, &arn, account, Of::Optional(Sources::none())));
        findings.push(all("receive", "standpipe hears of new objects at the queue", &asks));
    }
    findings
}

/// The key of a bucket as it was seen.
fn used_key(view: View<'_>, reader: &Reader) -> Option<String> {
    let account = &reader.bucket_account;
    let is = |kind: &Kind| matches!(kind, Kind::Bucket { name, .. } if *name == reader.bucket);
    let key = match view.find(account, is) {
        Some(item) => item.text("kmsKey")?,
        None => {
            view.beside_state(account, &Beside::Bucket(reader.bucket.clone()))?.get("kmsKey")?.as_str()?
        }
    };
    Some(key.to_owned())
}

/// The queue of a bucket that the plan does not make.
fn told(view: View<'_>, reader: &Reader) -> Vec<Finding> {
    let account = &reader.bucket_account;
    let Some(queue) = &reader.queue else { return Vec::new() };
    let is = |kind: &Kind| matches!(kind, Kind::Notification { bucket, .. } if *bucket == reader.bucket);
    let Some(item) = view.find(account, is) else { return Vec::new() };
    let mut findings = queue_told(view, account, queue, &reader.bucket);
    match item.there("notification", "whoever waits at the queue hears nothing of new objects") {
        Ok(state) => findings.push(notification(item, state)),
        Err(missing) => findings.push(*missing),
    }
    findings
}

/// Whether a role may decrypt with a key, and the key can be used.
fn decrypts(
    view: View<'_>,
    holder: &Holder<'_>,
    account: &Account,
    (name, context): (&str, Context),
) -> Option<Finding> {
    const CHECK: &str = "decrypt";
    const WHY: &str = "what is encrypted with this key cannot be read without it";
    let key = Key::of(view, account, name);
    let usable = key.usable(CHECK, WHY);
    if usable.level == Level::Failure {
        return Some(usable);
    }
    let by = Use { caller: holder.caller.clone(), holder: Some(holder), actions: &["kms:Decrypt"], context };
    key.used(CHECK, WHY, &by)
}

fn ask<'a>(
    holder: &'a Holder<'a>,
    action: &'static str,
    resource: &str,
    owner: &Account,
    of: Of<'a>,
) -> Ask<'a> {
    Ask {
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
fn assumed(
    view: View<'_>,
    assumer: &Assumer,
    owner: &Account,
    may: impl FnOnce(&Holder<'_>) -> Vec<Finding>,
) -> Vec<Finding> {
    const CHECK: &str = "role";
    let is = |kind: &Kind| matches!(kind, Kind::Role { name, .. } if *name == assumer.name);
    let Some(role) = view.find(owner, is) else { return Vec::new() };
    if let Err(missing) = role.there(CHECK, "standpipe works as this role") {
        return vec![*missing];
    }
    let mut findings = vec![Finding::ok(CHECK, format!("{} is there", role.title()))];
    findings.extend(assumes(view, assumer, role));
    if let Some(holder) = Holder::of(role) {
        findings.extend(may(&holder));
    }
    findings
}

fn assumes(view: View<'_>, assumer: &Assumer, role: Item<'_>) -> Vec<Finding> {
    const CHECK: &str = "assume_role";
    const WHY: &str =
        "standpipe cannot become this role: its own account has to let it, and the role has to trust it";
    let own = &assumer.account;
    let policy = format!("assume-{}", assumer.name);
    let is = |kind: &Kind| matches!(kind, Kind::RolePolicy { name, .. } | Kind::ManagedPolicy { name, .. } if *name == policy);
    let Some(identity) = view.find(own, is) else { return Vec::new() };
    let (holder, why) = if let Some(path) = &assumer.role {
        (Holder::of(identity).map(|holder| holder.at(own.place.role(path))), WHY)
    } else {
        // Whoever it is attached to: nobody is named.
        let someone = own.place.role("whatever-standpipe-runs-as");
        let holder = Holder::new(own, someone, None).with(Sources::of(identity, "permissions"));
        (Some(holder), "attach it to whatever standpipe runs as")
    };
    if let Err(missing) = identity.there(CHECK, why) {
        return vec![*missing];
    }
    let Some(holder) = holder else { return Vec::new() };
    let account = role.account();
    let Kind::Role { name, .. } = &role.resource.kind else { return Vec::new() };
    let arn = account.place.role(name).to_string();
    let mut ask = ask(&holder, "sts:AssumeRole", &arn, account, Of::Required(Sources::of(role, "trust")));
    ask.context = ask.context.with("sts:ExternalId", assumer.external_id.as_deref());
    vec![all(CHECK, WHY, &[ask])]
}
