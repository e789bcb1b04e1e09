//! What a resource of a plan should be, aspect by aspect.

use serde_json::{Value, json};

use super::ResourceState;
use crate::access::plan::{
    DeliveryStream, KeyUse, PlannedResource, ResourceKind, SubscriptionFilter, selection,
};
use crate::access::policy::PolicyDocument;
use crate::access::render::{QUEUE_RETENTION, QUEUE_VISIBILITY};

/// The aspects that a plan wants of a resource. A key that the plan makes is named by its alias, any other by its ARN.
#[must_use]
pub fn desired(resource: &PlannedResource) -> ResourceState {
    match &resource.kind {
        ResourceKind::Key { policy, .. } => {
            ResourceState::from([("state", "Enabled".into()), ("policy", document(policy))])
        }
        ResourceKind::LogGroup { retention, key, stream, .. } => {
            // Where the topology does not say, what its owner set stays.
            let mut state = encrypted(key.as_ref());
            state.extend(stream.as_ref().map(|stream| ("logStream", json!(stream))));
            state.extend(retention.map(|days| ("retentionInDays", days.into())));
            state
        }
        ResourceKind::Bucket { policy, key, queue, prefix, .. } => {
            let mut state = ResourceState::from([
                ("publicAccessBlock", true.into()),
                ("ownership", "BucketOwnerEnforced".into()),
                ("kmsKey", key_name(key.as_ref())),
                ("policy", document(policy)),
            ]);
            state.extend(queue.as_ref().map(|queue| ("notification", notification(queue, prefix))));
            state
        }
        ResourceKind::Notification { queue, prefix, .. } => {
            ResourceState::from([("notification", notification(queue, prefix))])
        }
        ResourceKind::Queue { policy, .. } => ResourceState::from([
            ("messageRetentionPeriod", QUEUE_RETENTION.into()),
            ("visibilityTimeout", QUEUE_VISIBILITY.into()),
            ("policy", document(policy)),
        ]),
        ResourceKind::Role { trust, permissions, .. } => {
            ResourceState::from([("trust", document(trust)), ("permissions", document(permissions))])
        }
        ResourceKind::RolePolicy { policy, .. } | ResourceKind::ManagedPolicy { policy, .. } => {
            ResourceState::from([("permissions", document(policy))])
        }
        ResourceKind::DeliveryStream(stream) => delivery_stream(stream),
        ResourceKind::DataStream { key, .. } => {
            let mut state = encrypted(key.as_ref());
            state.insert("status", "ACTIVE".into());
            state
        }
        ResourceKind::LeaseTable { .. } => ResourceState::from([("status", "ACTIVE".into())]),
        ResourceKind::Destination { target, role, policy, .. } => {
            let mut state = ResourceState::from([("target", json!(target)), ("role", json!(role))]);
            if !policy.statements.is_empty() {
                state.insert("policy", document(policy));
            }
            state
        }
        ResourceKind::LogsPolicy { policy, .. } => ResourceState::from([("policy", document(policy))]),
        ResourceKind::Filter(wanted) => filter(wanted),
        ResourceKind::AccountFilter { filter: wanted, exclude } => {
            let mut state = filter(wanted);
            state.insert("selection", selection(exclude).into());
            state
        }
    }
}

fn delivery_stream(stream: &DeliveryStream) -> ResourceState {
    let mut state = encrypted(stream.key.as_ref());
    state.extend([
        ("status", "ACTIVE".into()),
        ("role", json!(stream.role)),
        ("bucket", json!(stream.bucket)),
        ("prefix", json!(stream.prefix)),
        ("errorLogGroup", json!(stream.errors)),
    ]);
    state
}

/// With a key, if one is wanted.
fn encrypted(key: Option<&KeyUse>) -> ResourceState {
    key.iter().map(|key| ("kmsKey", key_name(Some(key)))).collect()
}

fn filter(filter: &SubscriptionFilter) -> ResourceState {
    ResourceState::from([
        ("pattern", json!(filter.pattern)),
        ("destination", json!(filter.to)),
        ("role", json!(filter.role)),
    ])
}

/// What a bucket tells a queue: of one, as S3 gives it.
fn notification(queue: &str, prefix: &str) -> Value {
    json!({ "queue": queue, "events": ["s3:ObjectCreated:*"], "prefix": prefix })
}

fn key_name(key: Option<&KeyUse>) -> Value {
    match key {
        None => Value::Null,
        Some(KeyUse::Made { alias, .. }) => json!(alias),
        Some(KeyUse::Given(arn)) => json!(arn),
    }
}

fn document(document: &PolicyDocument) -> Value {
    // A document is objects, lists and strings.
    serde_json::from_str(&document.to_json()).unwrap_or_default()
}
