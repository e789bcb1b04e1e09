//! Mistakes that show only when parts of a topology are seen together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::types::{AwsAccount, KmsKey, RoleAssumer, SubscriptionScope, Topology};
use crate::arn::Arn;
use crate::config::problem::Notes;

/// Most filters of one log group.
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html>.
const MAX_FILTERS: usize = 2;

pub(super) fn check(topology: &Topology, notes: &Notes) {
    ids(topology, notes);
    keys(topology, notes);
    targets(topology, notes);
    filters(topology, notes);
    roles(topology, notes);
    readers(topology, notes);
}

fn ids(topology: &Topology, notes: &Notes) {
    let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
    for account in &topology.accounts {
        if let Some(other) = taken.insert(&account.place.account, &account.name) {
            let text = format!("is the id of `{other}` already; list each account once");
            notes.problem_at(&format!("accounts.{}.id", account.name), text);
        }
    }
}

/// A key encrypts what belongs to its own account and region.
fn keys(topology: &Topology, notes: &Notes) {
    for key in &topology.keys {
        let Some(arn) = key.arn.as_ref().and_then(|arn| arn.parse::<Arn>().ok()) else { continue };
        let place = &key.account.place;
        if arn.account != place.account || arn.region != place.region {
            let text = format!("is not in account {} and region {}", place.account, place.region);
            notes.problem_at(&format!("keys.{}.arn", key.name), text);
        }
    }
    let check = |table: String, account: &Arc<AwsAccount>, key: Option<&Arc<KmsKey>>| {
        if let Some(key) = key.filter(|key| key.account.name != account.name) {
            let text = format!(
                "`{}` is a key of account `{}`, but this is in `{}`; use a key of the same account",
                key.name, key.account.name, account.name
            );
            notes.problem_at(&format!("{table}.kms_key"), text);
        }
    };
    if let Some(bucket) = &topology.bucket {
        check("bucket".to_owned(), &bucket.account, bucket.key.as_ref());
    }
    if let Some(stream) = &topology.stream {
        check("stream".to_owned(), &stream.account, stream.key.as_ref());
    }
    if let Some(kinesis) = &topology.kinesis {
        check("kinesis".to_owned(), &kinesis.account, kinesis.key.as_ref());
    }
    for (index, groups) in topology.log_groups.iter().enumerate() {
        check(format!("log_groups[{index}]"), &groups.account, groups.key.as_ref());
    }
    for (index, reader) in topology.readers.iter().enumerate() {
        check(format!("readers[{index}]"), &reader.bucket_account, reader.key.as_ref());
    }
}

/// Each part has what it leads to.
fn targets(topology: &Topology, notes: &Notes) {
    let lacks = |is: bool, table: &str, text: &str| {
        if is {
            notes.problem_at(table, text);
        }
    };
    let (stream, kinesis) = (topology.stream.is_none(), topology.kinesis.is_none());
    let no_bucket = topology.bucket.is_none() && !stream;
    lacks(no_bucket, "stream", "has nowhere to write to; describe its bucket in `[bucket]`");
    lacks(
        topology.writer.is_some() && stream,
        "writer",
        "has no stream to write to; describe it in `[stream]`",
    );
    lacks(
        topology.consumer.is_some() && kinesis,
        "consumer",
        "has no stream to read; describe it in `[kinesis]`",
    );
    let target = topology.logs_target().map(|target| target.account.name.clone());
    let is_straight = |account: &AwsAccount| target.as_ref() == Some(&account.name);
    let senders = topology.subscriptions.iter().enumerate().filter(|_| topology.destination.is_none());
    for (index, subscription) in senders.filter(|(_, subscription)| !is_straight(&subscription.account)) {
        let text = format!(
            "account `{}` has nowhere to send to; describe a destination in `[destination]`",
            subscription.account.name
        );
        notes.problem_at(&format!("subscriptions[{index}]"), text);
    }
}

/// Filters of one log group have names of their own, and are few.
fn filters(topology: &Topology, notes: &Notes) {
    let mut of_groups: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    let mut of_accounts: BTreeSet<&str> = BTreeSet::new();
    for (index, subscription) in topology.subscriptions.iter().enumerate() {
        let key = format!("subscriptions[{index}]");
        let account = subscription.account.name.as_str();
        let groups = match &subscription.scope {
            SubscriptionScope::Groups(groups) => groups,
            // Which ones match is not known here.
            SubscriptionScope::Matching(_) => continue,
            SubscriptionScope::Account { .. } => {
                if !of_accounts.insert(account) {
                    let text = format!(
                        "account `{account}` already has a subscription for the whole account; AWS allows one"
                    );
                    notes.problem_at(&key, text);
                }
                continue;
            }
        };
        for group in groups {
            let names = of_groups.entry((account, group)).or_default();
            if names.contains(&subscription.name.as_str()) {
                let text = format!(
                    "`{group}` already has a filter `{}`; give another `filter_name`",
                    subscription.name
                );
                notes.problem_at(&key, text);
            } else if names.len() == MAX_FILTERS {
                notes.problem_at(
                    &key,
                    format!("`{group}` already has {MAX_FILTERS} filters, the most that AWS allows"),
                );
            }
            names.push(&subscription.name);
        }
    }
}

/// Roles of one account have names of their own.
fn roles(topology: &Topology, notes: &Notes) {
    let mut taken: BTreeSet<(String, String)> = BTreeSet::new();
    let mut take = |account: &AwsAccount, role: &str, key: &str| {
        if !taken.insert((account.name.clone(), role.to_owned())) {
            let text =
                format!("account `{}` already has a role `{role}`; give this one another name", account.name);
            notes.problem_at(key, text);
        }
    };
    let prefix = &topology.name;
    if let Some(stream) = &topology.stream {
        take(&stream.account, &format!("{prefix}-firehose"), "stream");
    }
    if let Some(target) = topology.logs_target() {
        let role = format!("{prefix}-logs");
        if topology.destination.is_some() {
            take(&target.account, &role, "destination");
        } else if topology.has_straight_filters(&target) {
            take(&target.account, &role, "subscriptions");
        }
    }
    if let (Some(writer), Some(stream)) = (&topology.writer, &topology.stream) {
        take(&stream.account, &writer.name, "writer.name");
    }
    if let (Some(consumer), Some(kinesis)) = (&topology.consumer, &topology.kinesis) {
        take(&kinesis.account, &consumer.assumer.name, "consumer.name");
    }
    for (index, reader) in topology.readers.iter().enumerate() {
        take(&reader.bucket_account, &reader.assumer.name, &format!("readers[{index}].name"));
    }
    for (index, reader) in topology.log_readers.iter().enumerate() {
        take(&reader.logs_account, &reader.assumer.name, &format!("log_readers[{index}].name"));
    }
    for (assumer, key) in assumers(topology) {
        let role = assumer.role.clone().unwrap_or_default();
        if taken.contains(&(assumer.account.name.clone(), role.clone())) {
            let text = format!(
                "`{role}` is a role that this topology creates; name the role that standpipe runs as"
            );
            notes.problem_at(&key, text);
        }
    }
}

/// Who assumes roles, and where that is said.
fn assumers(topology: &Topology) -> Vec<(&RoleAssumer, String)> {
    let mut assumers: Vec<(&RoleAssumer, String)> = Vec::new();
    assumers.extend(topology.writer.iter().map(|writer| (writer, "writer.role".to_owned())));
    assumers.extend(topology.consumer.iter().map(|consumer| (&consumer.assumer, "consumer.role".to_owned())));
    let readers = topology.readers.iter().enumerate();
    assumers.extend(readers.map(|(index, reader)| (&reader.assumer, format!("readers[{index}].role"))));
    let readers = topology.log_readers.iter().enumerate();
    assumers.extend(readers.map(|(index, reader)| (&reader.assumer, format!("log_readers[{index}].role"))));
    assumers
}

/// A bucket tells one queue.
fn readers(topology: &Topology, notes: &Notes) {
    let mut told: BTreeMap<&str, (&str, &AwsAccount)> = BTreeMap::new();
    let own = topology.bucket.as_ref();
    if let Some(bucket) = own {
        told.insert(&bucket.name, (bucket.queue.as_deref().unwrap_or_default(), &bucket.account));
    }
    for (index, reader) in topology.readers.iter().enumerate() {
        let key = format!("readers[{index}]");
        let queue = reader.queue.as_deref().unwrap_or_default();
        let Some((known, account)) = told.get(reader.bucket.as_str()) else {
            told.insert(&reader.bucket, (queue, &reader.bucket_account));
            continue;
        };
        if account.name != reader.bucket_account.name {
            let text = format!("`{}` is a bucket of account `{}`", reader.bucket, account.name);
            notes.problem_at(&format!("{key}.bucket_account"), text);
        }
        if !queue.is_empty() && queue != *known {
            let where_known = if own.is_some_and(|own| own.name == reader.bucket) {
                "name the same queue here and in `[bucket]`".to_owned()
            } else {
                "a bucket notifies one queue; name the same queue for all its readers".to_owned()
            };
            notes.problem_at(&format!("{key}.queue"), where_known);
        }
    }
}
