//! KMS keys that are made, and what the owners of existing ones have to allow.

use std::sync::Arc;

use super::draft::{PlanDraft, PlanPhase};
use super::resource::ResourceKind;
use super::statements::{StatementBuilder, alias, allow, by_role, document, logs_service, via};
use crate::access::policy::document::{Comparison, Principals, Statement};
use crate::config::topology::{KmsKey, Topology};

/// Every key: made with its policy, or, if it exists, what its policy has to say.
pub(super) fn keys(draft: &mut PlanDraft<'_>) {
    let topology = draft.topology;
    for key in &topology.keys {
        let uses = uses(topology, key);
        match &key.arn {
            None => {
                let policy = document([owner(key)].into_iter().chain(uses));
                let alias = alias(&topology.name, key);
                let id = format!("Key {}", key.name);
                draft.add(phase(topology, key), &key.account, &id, &[], ResourceKind::Key { alias, policy });
            }
            Some(arn) if !uses.is_empty() => {
                let what = format!(
                    "Add these statements to the policy of the key {arn}. It is left alone here, since putting a policy replaces all of it."
                );
                let file = format!("key-{}", key.name);
                draft.by_hand(&key.account, &file, what, document(uses));
            }
            Some(_) => {}
        }
    }
}

/// Without this statement nobody could change the key any more; with it, the account's own policies decide.
/// Source: <https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html>.
fn owner(key: &KmsKey) -> Statement {
    let root = key.account.place.root().to_string();
    allow("TheAccountDecidesWhoUsesItsKey", ["kms:*"]).by(Principals::aws([root])).on(["*"])
}

fn is(one: Option<&Arc<KmsKey>>, key: &KmsKey) -> bool {
    one.is_some_and(|one| one.name == key.name)
}

fn phase(topology: &Topology, key: &KmsKey) -> PlanPhase {
    if topology.bucket.as_ref().is_some_and(|bucket| is(bucket.key.as_ref(), key)) {
        return PlanPhase::Store;
    }
    let stream = topology.stream.as_ref().is_some_and(|stream| is(stream.key.as_ref(), key));
    let kinesis = topology.kinesis.as_ref().is_some_and(|kinesis| is(kinesis.key.as_ref(), key));
    if stream || kinesis { PlanPhase::Stream } else { PlanPhase::Free }
}

/// What the key's policy has to say: whatever the account's own policies cannot.
fn uses(topology: &Topology, key: &KmsKey) -> Vec<Statement> {
    bucket(topology, key).into_iter().chain(log_groups(topology, key)).collect()
}

/// Firehose of another account encrypts what it writes.
fn bucket(topology: &Topology, key: &KmsKey) -> Option<Statement> {
    let bucket = topology.bucket.as_ref().filter(|bucket| is(bucket.key.as_ref(), key))?;
    let stream = topology.stream.as_ref().filter(|stream| stream.account.name != bucket.account.name)?;
    let actions = ["kms:Decrypt", "kms:GenerateDataKey"];
    let statement = allow("FirehoseOfTheOtherAccountEncryptsObjects", actions).on(["*"]);
    let statement = via(statement, &bucket.account.place, "s3");
    Some(by_role(statement, &stream.account, &format!("{}-firehose", topology.name)))
}

/// `CloudWatch` Logs encrypts log groups by itself.
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html>.
fn log_groups(topology: &Topology, key: &KmsKey) -> Option<Statement> {
    let place = &key.account.place;
    let named = topology.log_groups.iter().filter(|groups| is(groups.key.as_ref(), key));
    let groups: Vec<_> =
        named.flat_map(|groups| &groups.names).map(|name| place.log_group(name, false)).collect();
    if groups.is_empty() {
        return None;
    }
    let actions = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"];
    let statement = allow("CloudWatchLogsEncryptsTheseLogGroups", actions).by(logs_service(place)).on(["*"]);
    Some(statement.when(Comparison::ArnEquals, "kms:EncryptionContext:aws:logs:arn", groups))
}
