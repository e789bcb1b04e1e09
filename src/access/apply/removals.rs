//! What is taken away again: only what carries the topology's tag, or, where nothing can be tagged, is as the topology made it.

use serde_json::{Value, json};

use super::changes::is_own;
use super::compare::same;
use crate::access::live::{NOTIFICATION_ID, Observation, ObservedState, ResourceState, desired, extra};
use crate::access::plan::{AccessPlan, PlanStage, PlannedResource, ResourceKind};
use crate::aws::{ApiCall, AwsService, answer};

/// How long a key can still be saved, in days: the least that KMS takes.
/// Source: <https://docs.aws.amazon.com/kms/latest/APIReference/API_ScheduleKeyDeletion.html>.
const KEY_DAYS: u32 = 7;

/// What becomes of one resource.
#[derive(Clone, Debug)]
pub struct PlannedRemoval<'p> {
    /// Where it is.
    pub stage: &'p PlanStage,
    /// What it is.
    pub resource: &'p PlannedResource,
    /// What becomes of it.
    pub action: RemovalAction,
}

/// What becomes of a resource.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RemovalAction {
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
    plan: &'p AccessPlan,
    seen: &ObservedState,
    is_wanted: impl Fn(&PlanStage) -> bool,
    held: impl Fn(&PlanStage, &PlannedResource) -> Option<String>,
) -> Vec<PlannedRemoval<'p>> {
    let stages = plan.stages.iter().rev().filter(|stage| is_wanted(stage));
    let all = stages.flat_map(|stage| stage.resources.iter().rev().map(move |resource| (stage, resource)));
    all.map(|(stage, resource)| {
        let action = match seen.look(&stage.account.name, &resource.id) {
            Some(Observation::Found(state)) => action(plan, resource, state, || held(stage, resource)),
            Some(Observation::Absent) => RemovalAction::Gone,
            Some(Observation::Unseen(why)) => RemovalAction::Unseen(why.clone()),
            None => RemovalAction::Unseen("it was not checked".to_owned()),
        };
        PlannedRemoval { stage, resource, action }
    })
    .collect()
}

fn action(
    plan: &AccessPlan,
    resource: &PlannedResource,
    state: &ResourceState,
    held: impl Fn() -> Option<String>,
) -> RemovalAction {
    let wanted = desired(resource);
    let is_as = |aspect| {
        let wanted = wanted.get(aspect).unwrap_or(&Value::Null);
        same(state.get(aspect).unwrap_or(&Value::Null), wanted)
    };
    let as_made = |aspect, else_where: &str| {
        if is_as(aspect) { RemovalAction::Delete(None) } else { RemovalAction::Leave(else_where.to_owned()) }
    };
    match &resource.kind {
        ResourceKind::RolePolicy { .. } if !state.contains_key("permissions") => RemovalAction::Gone,
        ResourceKind::RolePolicy { .. } => as_made("permissions", "it differs from the topology"),
        ResourceKind::LogsPolicy { .. } => as_made("policy", "it differs from the topology"),
        ResourceKind::Filter(_) | ResourceKind::AccountFilter { .. } => {
            as_made("destination", "it does not lead to the topology's destination")
        }
        ResourceKind::Notification { .. } if !has_entry(state) => RemovalAction::Gone,
        ResourceKind::Notification { .. } => as_made("notification", "it differs from the topology"),
        ResourceKind::Key { .. }
        | ResourceKind::LogGroup { .. }
        | ResourceKind::Bucket { .. }
        | ResourceKind::Queue { .. }
        | ResourceKind::Role { .. }
        | ResourceKind::ManagedPolicy { .. }
        | ResourceKind::DeliveryStream(_)
        | ResourceKind::DataStream { .. }
        | ResourceKind::LeaseTable { .. }
        | ResourceKind::Destination { .. } => match state.get(extra::TAGS) {
            None => RemovalAction::Leave("its tags cannot be read, so nothing says whose it is".to_owned()),
            Some(tags) if !is_own(plan, tags) => {
                RemovalAction::Leave("it lacks the tag of this topology: it existed before".to_owned())
            }
            Some(_) => own(&resource.kind, state, held),
        },
    }
}

/// What becomes of what the topology made.
fn own(kind: &ResourceKind, state: &ResourceState, held: impl Fn() -> Option<String>) -> RemovalAction {
    let with = |what: &str| RemovalAction::Delete(Some(what.to_owned()));
    match kind {
        ResourceKind::Key { .. } if state.get("state").and_then(Value::as_str) == Some("PendingDeletion") => {
            RemovalAction::Gone
        }
        ResourceKind::Key { .. } => RemovalAction::Delete(Some(format!(
            "after {KEY_DAYS} days, until when `kms:CancelKeyDeletion`, or `access apply`, saves it; what it encrypted is lost then"
        ))),
        ResourceKind::Bucket { .. } => held().map_or(RemovalAction::Delete(None), RemovalAction::Leave),
        ResourceKind::Role { .. } => match state.get(extra::OTHERS).and_then(Value::as_object) {
            Some(others) if !others.is_empty() => {
                let names: Vec<&str> = others.keys().map(String::as_str).collect();
                RemovalAction::Leave(format!("others attached policies to it: {}", names.join(", ")))
            }
            _ => RemovalAction::Delete(None),
        },
        ResourceKind::LogGroup { .. } => with("with all events in it"),
        ResourceKind::Queue { .. } => with("with all messages in it"),
        ResourceKind::DeliveryStream(_) | ResourceKind::DataStream { .. } => {
            with("with all records waiting in it")
        }
        ResourceKind::Notification { .. }
        | ResourceKind::RolePolicy { .. }
        | ResourceKind::ManagedPolicy { .. }
        | ResourceKind::LeaseTable { .. }
        | ResourceKind::Destination { .. }
        | ResourceKind::LogsPolicy { .. }
        | ResourceKind::Filter(_)
        | ResourceKind::AccountFilter { .. } => RemovalAction::Delete(None),
    }
}

impl PlannedRemoval<'_> {
    /// Whether something is done.
    #[must_use]
    pub fn is_change(&self) -> bool {
        matches!(self.action, RemovalAction::Delete(_))
    }

    /// The calls that take it away.
    #[must_use]
    pub fn calls(&self, seen: &ObservedState) -> Vec<ApiCall> {
        let state = match seen.look(&self.stage.account.name, &self.resource.id) {
            Some(Observation::Found(state)) if self.is_change() => state,
            Some(Observation::Found(_) | Observation::Absent | Observation::Unseen(_)) | None => {
                return Vec::new();
            }
        };
        let arn = || state.get(extra::ARN).cloned().unwrap_or_default();
        let one = |service, operation, input| vec![ApiCall::new(service, operation, input)];
        match &self.resource.kind {
            ResourceKind::Key { .. } => {
                let arn = arn();
                let id = arn.as_str().and_then(|arn| arn.rsplit("key/").next());
                let input = json!({ "KeyId": id, "PendingWindowInDays": KEY_DAYS });
                one(AwsService::Kms, "ScheduleKeyDeletion", input)
            }
            ResourceKind::LogGroup { name, .. } => {
                one(AwsService::Logs, "DeleteLogGroup", json!({ "logGroupName": name }))
            }
            ResourceKind::Bucket { name, .. } => {
                one(AwsService::S3, "DeleteBucket", json!({ "Bucket": name }))
            }
            ResourceKind::Notification { bucket, .. } => vec![without_entry(bucket, state)],
            ResourceKind::Queue { name, .. } => delete_queue(name),
            ResourceKind::Role { name, .. } => {
                let own = state.contains_key("permissions").then(|| delete_role_policy(name, name));
                let role = ApiCall::new(AwsService::Iam, "DeleteRole", json!({ "RoleName": name }));
                own.into_iter().chain([role]).collect()
            }
            ResourceKind::RolePolicy { role, name, .. } => vec![delete_role_policy(role, name)],
            ResourceKind::ManagedPolicy { .. } => delete_policy(&arn(), state),
            ResourceKind::DeliveryStream(stream) => one(
                AwsService::Firehose,
                "DeleteDeliveryStream",
                json!({ "DeliveryStreamName": stream.name }),
            ),
            ResourceKind::DataStream { name, .. } => {
                one(AwsService::Kinesis, "DeleteStream", json!({ "StreamName": name }))
            }
            ResourceKind::LeaseTable { name } => {
                one(AwsService::DynamoDb, "DeleteTable", json!({ "TableName": name }))
            }
            ResourceKind::Destination { name, .. } => {
                one(AwsService::Logs, "DeleteDestination", json!({ "destinationName": name }))
            }
            ResourceKind::LogsPolicy { name, .. } => {
                one(AwsService::Logs, "DeleteResourcePolicy", json!({ "policyName": name }))
            }
            ResourceKind::Filter(filter) => {
                let input = json!({ "logGroupName": filter.group, "filterName": filter.name });
                one(AwsService::Logs, "DeleteSubscriptionFilter", input)
            }
            ResourceKind::AccountFilter { filter, .. } => {
                let input = json!({ "policyName": filter.name, "policyType": "SUBSCRIPTION_FILTER_POLICY" });
                one(AwsService::Logs, "DeleteAccountPolicy", input)
            }
        }
    }
}

fn delete_queue(name: &str) -> Vec<ApiCall> {
    const LOOK: &str = "GetQueueUrl";
    let url = json!({ "QueueUrl": answer(LOOK, "QueueUrl") });
    vec![
        ApiCall::new(AwsService::Sqs, LOOK, json!({ "QueueName": name })),
        ApiCall::new(AwsService::Sqs, "DeleteQueue", url),
    ]
}

fn delete_role_policy(role: &str, name: &str) -> ApiCall {
    ApiCall::new(AwsService::Iam, "DeleteRolePolicy", json!({ "RoleName": role, "PolicyName": name }))
}

/// A policy goes after its old versions.
fn delete_policy(arn: &Value, state: &ResourceState) -> Vec<ApiCall> {
    let versions = state.get(extra::VERSIONS).and_then(Value::as_array);
    let old = versions.into_iter().flatten().map(|version| {
        ApiCall::new(
            AwsService::Iam,
            "DeletePolicyVersion",
            json!({ "PolicyArn": arn, "VersionId": version }),
        )
    });
    old.chain([ApiCall::new(AwsService::Iam, "DeletePolicy", json!({ "PolicyArn": arn }))]).collect()
}

fn entries(state: &ResourceState) -> impl Iterator<Item = &Value> {
    let all = state.get(extra::NOTIFICATIONS).and_then(|all| all.get("QueueConfigurations"));
    all.and_then(Value::as_array).into_iter().flatten()
}

fn is_entry(entry: &Value) -> bool {
    entry.get("Id").and_then(Value::as_str) == Some(NOTIFICATION_ID)
}

fn has_entry(state: &ResourceState) -> bool {
    entries(state).any(is_entry)
}

/// What the bucket tells others stays.
fn without_entry(bucket: &str, state: &ResourceState) -> ApiCall {
    let others: Vec<Value> = entries(state).filter(|entry| !is_entry(entry)).cloned().collect();
    let mut all = state.get(extra::NOTIFICATIONS).and_then(Value::as_object).cloned().unwrap_or_default();
    all.insert("QueueConfigurations".to_owned(), others.into());
    let input = json!({ "Bucket": bucket, "NotificationConfiguration": all });
    ApiCall::new(AwsService::S3, "PutBucketNotificationConfiguration", input)
}
