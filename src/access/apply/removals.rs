//! What is taken away again: only what carries the topology's tag, or, where nothing can be tagged, is as the topology made it.

use serde_json::{Value, json};

use super::changes::is_own;
use super::compare::same;
use crate::access::call::{Call, Service, answer};
use crate::access::live::{Look, NOTIFICATION_ID, Seen, State, desired, extra};
use crate::access::plan::{Kind, Plan, Resource, Stage};

/// How long a key can still be saved, in days: the least that KMS takes.
/// Source: <https://docs.aws.amazon.com/kms/latest/APIReference/API_ScheduleKeyDeletion.html>.
const KEY_DAYS: u32 = 7;

/// What becomes of one resource.
#[derive(Clone, Debug)]
pub struct Removal<'p> {
    /// Where it is.
    pub stage: &'p Stage,
    /// What it is.
    pub resource: &'p Resource,
    /// What becomes of it.
    pub fate: Fate,
}

/// What becomes of a resource.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fate {
    /// It is taken away; what goes with it, in words, if anything does.
    Delete(Option<String>),
    /// It stays, and why.
    Leave(String),
    /// There is nothing.
    Gone,
    /// It cannot be seen, and why.
    Unseen(String),
}

/// What becomes of each resource, the last made first. `held` tells of a bucket why it cannot go, such as for what is in it.
pub fn removals<'p>(
    plan: &'p Plan,
    seen: &Seen,
    is_wanted: impl Fn(&Stage) -> bool,
    held: impl Fn(&Stage, &Resource) -> Option<String>,
) -> Vec<Removal<'p>> {
    let stages = plan.stages.iter().rev().filter(|stage| is_wanted(stage));
    let all = stages.flat_map(|stage| stage.resources.iter().rev().map(move |resource| (stage, resource)));
    all.map(|(stage, resource)| {
        let fate = match seen.look(&stage.account.name, &resource.id) {
            Some(Look::Found(state)) => fate(plan, resource, state, || held(stage, resource)),
            Some(Look::Absent) => Fate::Gone,
            Some(Look::Unseen(why)) => Fate::Unseen(why.clone()),
            None => Fate::Unseen("it was not looked at".to_owned()),
        };
        Removal { stage, resource, fate }
    })
    .collect()
}

fn fate(plan: &Plan, resource: &Resource, state: &State, held: impl Fn() -> Option<String>) -> Fate {
    let wanted = desired(resource);
    let is_as = |aspect| {
        let wanted = wanted.get(aspect).unwrap_or(&Value::Null);
        same(state.get(aspect).unwrap_or(&Value::Null), wanted)
    };
    let as_made = |aspect, else_where: &str| {
        if is_as(aspect) { Fate::Delete(None) } else { Fate::Leave(else_where.to_owned()) }
    };
    match &resource.kind {
        Kind::RolePolicy { .. } if !state.contains_key("permissions") => Fate::Gone,
        Kind::RolePolicy { .. } => as_made("permissions", "it is not as the topology makes it"),
        Kind::LogsPolicy { .. } => as_made("policy", "it is not as the topology makes it"),
        Kind::Filter(_) | Kind::AccountFilter { .. } => {
            as_made("destination", "it leads elsewhere than the topology's")
        }
        Kind::Notification { .. } if !has_entry(state) => Fate::Gone,
        Kind::Notification { .. } => as_made("notification", "it is not as the topology makes it"),
        Kind::Key { .. }
        | Kind::LogGroup { .. }
        | Kind::Bucket { .. }
        | Kind::Queue { .. }
        | Kind::Role { .. }
        | Kind::ManagedPolicy { .. }
        | Kind::DeliveryStream(_)
        | Kind::DataStream { .. }
        | Kind::LeaseTable { .. }
        | Kind::Destination { .. } => match state.get(extra::TAGS) {
            None => Fate::Leave("its tags cannot be seen, so that nothing says whose it is".to_owned()),
            Some(tags) if !is_own(plan, tags) => {
                Fate::Leave("it has not the tag of this topology: it was there before".to_owned())
            }
            Some(_) => own(&resource.kind, state, held),
        },
    }
}

/// What becomes of what the topology made.
fn own(kind: &Kind, state: &State, held: impl Fn() -> Option<String>) -> Fate {
    let with = |what: &str| Fate::Delete(Some(what.to_owned()));
    match kind {
        Kind::Key { .. } if state.get("state").and_then(Value::as_str) == Some("PendingDeletion") => {
            Fate::Gone
        }
        Kind::Key { .. } => Fate::Delete(Some(format!(
            "after {KEY_DAYS} days, until when `kms:CancelKeyDeletion`, or `access apply`, saves it; what it encrypted is lost then"
        ))),
        Kind::Bucket { .. } => held().map_or(Fate::Delete(None), Fate::Leave),
        Kind::Role { .. } => match state.get(extra::OTHERS).and_then(Value::as_object) {
            Some(others) if !others.is_empty() => {
                let names: Vec<&str> = others.keys().map(String::as_str).collect();
                Fate::Leave(format!("others gave it policies: {}", names.join(", ")))
            }
            _ => Fate::Delete(None),
        },
        Kind::LogGroup { .. } => with("with all events in it"),
        Kind::Queue { .. } => with("with all messages in it"),
        Kind::DeliveryStream(_) | Kind::DataStream { .. } => with("with all records that wait in it"),
        Kind::Notification { .. }
        | Kind::RolePolicy { .. }
        | Kind::ManagedPolicy { .. }
        | Kind::LeaseTable { .. }
        | Kind::Destination { .. }
        | Kind::LogsPolicy { .. }
        | Kind::Filter(_)
        | Kind::AccountFilter { .. } => Fate::Delete(None),
    }
}

impl Removal<'_> {
    /// Whether something is done.
    #[must_use]
    pub fn is_change(&self) -> bool {
        matches!(self.fate, Fate::Delete(_))
    }

    /// The calls that take it away.
    #[must_use]
    pub fn calls(&self, seen: &Seen) -> Vec<Call> {
        let state = match seen.look(&self.stage.account.name, &self.resource.id) {
            Some(Look::Found(state)) if self.is_change() => state,
            Some(Look::Found(_) | Look::Absent | Look::Unseen(_)) | None => return Vec::new(),
        };
        let arn = || state.get(extra::ARN).cloned().unwrap_or_default();
        let one = |service, operation, input| vec![Call::new(service, operation, input)];
        match &self.resource.kind {
            Kind::Key { .. } => {
                let arn = arn();
                let id = arn.as_str().and_then(|arn| arn.rsplit("key/").next());
                let input = json!({ "KeyId": id, "PendingWindowInDays": KEY_DAYS });
                one(Service::Kms, "ScheduleKeyDeletion", input)
            }
            Kind::LogGroup { name, .. } => {
                one(Service::Logs, "DeleteLogGroup", json!({ "logGroupName": name }))
            }
            Kind::Bucket { name, .. } => one(Service::S3, "DeleteBucket", json!({ "Bucket": name })),
            Kind::Notification { bucket, .. } => vec![without_entry(bucket, state)],
            Kind::Queue { name, .. } => vec![
                Call::new(Service::Sqs, "GetQueueUrl", json!({ "QueueName": name })),
                Call::new(
                    Service::Sqs,
                    "DeleteQueue",
                    json!({ "QueueUrl": answer("GetQueueUrl", "QueueUrl") }),
                ),
            ],
            Kind::Role { name, .. } => {
                let own = state.contains_key("permissions").then(|| delete_role_policy(name, name));
                let role = Call::new(Service::Iam, "DeleteRole", json!({ "RoleName": name }));
                own.into_iter().chain([role]).collect()
            }
            Kind::RolePolicy { role, name, .. } => vec![delete_role_policy(role, name)],
            Kind::ManagedPolicy { .. } => delete_policy(&arn(), state),
            Kind::DeliveryStream(stream) => {
                one(Service::Firehose, "DeleteDeliveryStream", json!({ "DeliveryStreamName": stream.name }))
            }
            Kind::DataStream { name, .. } => {
                one(Service::Kinesis, "DeleteStream", json!({ "StreamName": name }))
            }
            Kind::LeaseTable { name } => one(Service::DynamoDb, "DeleteTable", json!({ "TableName": name })),
            Kind::Destination { name, .. } => {
                one(Service::Logs, "DeleteDestination", json!({ "destinationName": name }))
            }
            Kind::LogsPolicy { name, .. } => {
                one(Service::Logs, "DeleteResourcePolicy", json!({ "policyName": name }))
            }
            Kind::Filter(filter) => {
                let input = json!({ "logGroupName": filter.group, "filterName": filter.name });
                one(Service::Logs, "DeleteSubscriptionFilter", input)
            }
            Kind::AccountFilter { filter, .. } => {
                let input = json!({ "policyName": filter.name, "policyType": "SUBSCRIPTION_FILTER_POLICY" });
                one(Service::Logs, "DeleteAccountPolicy", input)
            }
        }
    }
}

fn delete_role_policy(role: &str, name: &str) -> Call {
    Call::new(Service::Iam, "DeleteRolePolicy", json!({ "RoleName": role, "PolicyName": name }))
}

/// A policy goes after its old versions.
fn delete_policy(arn: &Value, state: &State) -> Vec<Call> {
    let versions = state.get(extra::VERSIONS).and_then(Value::as_array);
    let old = versions.into_iter().flatten().map(|version| {
        Call::new(Service::Iam, "DeletePolicyVersion", json!({ "PolicyArn": arn, "VersionId": version }))
    });
    old.chain([Call::new(Service::Iam, "DeletePolicy", json!({ "PolicyArn": arn }))]).collect()
}

fn entries(state: &State) -> impl Iterator<Item = &Value> {
    let all = state.get(extra::NOTIFICATIONS).and_then(|all| all.get("QueueConfigurations"));
    all.and_then(Value::as_array).into_iter().flatten()
}

fn is_entry(entry: &Value) -> bool {
    entry.get("Id").and_then(Value::as_str) == Some(NOTIFICATION_ID)
}

fn has_entry(state: &State) -> bool {
    entries(state).any(is_entry)
}

/// What the bucket tells others stays.
fn without_entry(bucket: &str, state: &State) -> Call {
    let others: Vec<Value> = entries(state).filter(|entry| !is_entry(entry)).cloned().collect();
    let mut all = state.get(extra::NOTIFICATIONS).and_then(Value::as_object).cloned().unwrap_or_default();
    all.insert("QueueConfigurations".to_owned(), others.into());
    let input = json!({ "Bucket": bucket, "NotificationConfiguration": all });
    Call::new(Service::S3, "PutBucketNotificationConfiguration", input)
}
