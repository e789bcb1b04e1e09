//! The calls that make a resource of a plan, and those that put one aspect of it right.
//!
//! What one call answers and a later one needs stands there as [`answer`] writes it.

mod flow;
mod identity;
mod planner;
mod stores;

#[cfg(test)]
mod tests;

use serde_json::{Value, json};

pub use self::planner::CallPlanner;
use self::planner::text;
pub use self::stores::NOTIFICATION_ID;
use super::{Observation, ResourceState, desired, extra};
use crate::access::plan::{KeyUse, PlannedResource, ResourceKind};
use crate::arn::AccountRegion;
use crate::aws::{ApiCall, AwsService, answer};

impl CallPlanner<'_> {
    /// The calls that make a resource with all of its [`desired()`] aspects, in order.
    ///
    /// A stream or table is not yet ACTIVE after them, and a role not yet known to every service.
    #[must_use]
    pub fn create(&self, resource: &PlannedResource) -> Vec<ApiCall> {
        match &resource.kind {
            ResourceKind::Key { alias, policy } => self.create_key(alias, policy),
            ResourceKind::Bucket { name, .. } => self.and_aspects(
                self.create_bucket(name),
                resource,
                &["publicAccessBlock", "ownership", "kmsKey", "policy", "notification"],
            ),
            ResourceKind::Queue { name, policy } => vec![self.create_queue(name, policy)],
            ResourceKind::Role { name, description, trust, .. } => {
                self.and_aspects(vec![self.create_role(name, description, trust)], resource, &["permissions"])
            }
            ResourceKind::ManagedPolicy { name, description, policy } => {
                vec![self.create_policy(name, description, policy)]
            }
            ResourceKind::LogGroup { name, .. } => self.and_aspects(
                vec![self.create_log_group(name)],
                resource,
                &["retentionInDays", "kmsKey", "logStream"],
            ),
            ResourceKind::DeliveryStream(stream) => self.create_delivery_stream(stream),
            ResourceKind::DataStream { name, .. } => {
                self.and_aspects(self.create_data_stream(name), resource, &["kmsKey"])
            }
            ResourceKind::LeaseTable { name } => vec![self.create_table(name)],
            ResourceKind::Destination { name, target, role, .. } => {
                self.and_aspects(self.create_destination(name, target, role), resource, &["policy"])
            }
            ResourceKind::Notification { .. }
            | ResourceKind::RolePolicy { .. }
            | ResourceKind::LogsPolicy { .. }
            | ResourceKind::Filter(_)
            | ResourceKind::AccountFilter { .. } => self.repair_all(resource),
        }
    }

    /// The calls that bring one aspect of a resource that is there to what is [`desired()`]; none where no call can, such as for a
    /// stream that is being made.
    #[must_use]
    pub fn repair(&self, resource: &PlannedResource, aspect: &str) -> Vec<ApiCall> {
        match &resource.kind {
            ResourceKind::Key { alias, policy } => self.repair_key(resource, alias, policy, aspect),
            ResourceKind::Bucket { .. } => self.repair_bucket(resource, aspect),
            ResourceKind::Notification { bucket, queue, prefix } => {
                vec![self.put_notification(resource, bucket, queue, prefix)]
            }
            ResourceKind::Queue { name, policy } => stores::repair_queue(name, policy, aspect),
            ResourceKind::Role { name, trust, permissions, .. } => match aspect {
                "trust" => vec![identity::put_trust(name, trust)],
                "permissions" => vec![identity::put_role_policy(name, name, permissions)],
                _ => Vec::new(),
            },
            ResourceKind::RolePolicy { role, name, policy } => {
                vec![identity::put_role_policy(role, name, policy)]
            }
            ResourceKind::ManagedPolicy { name, policy, .. } => {
                self.put_policy_version(resource, name, policy)
            }
            ResourceKind::LogGroup { name, .. } => self.repair_log_group(resource, name, aspect),
            ResourceKind::DeliveryStream(stream) => self.repair_delivery_stream(stream, aspect),
            ResourceKind::DataStream { name, key } => match (aspect, key) {
                ("kmsKey", Some(key)) => self.encrypt_data_stream(name, key),
                _ => Vec::new(),
            },
            ResourceKind::LeaseTable { .. } => Vec::new(),
            ResourceKind::Destination { name, target, role, policy } => match aspect {
                "policy" => vec![flow::put_destination_policy(name, policy)],
                "target" | "role" => vec![flow::put_destination(name, target, role)],
                _ => Vec::new(),
            },
            ResourceKind::LogsPolicy { name, policy } => vec![flow::put_logs_policy(name, policy)],
            ResourceKind::Filter(filter) => vec![flow::put_filter(filter)],
            ResourceKind::AccountFilter { filter, exclude } => {
                vec![flow::put_account_filter(filter, exclude)]
            }
        }
    }

    /// The calls that put several aspects right, none of them twice.
    #[must_use]
    pub fn repairs<'s>(
        &self,
        resource: &PlannedResource,
        aspects: impl IntoIterator<Item = &'s str>,
    ) -> Vec<ApiCall> {
        let mut calls: Vec<ApiCall> = Vec::new();
        for aspect in aspects {
            let more = self.repair(resource, aspect);
            // A look is made again before each call that needs its answer.
            if !more.iter().filter(|call| !call.is_look()).all(|call| calls.contains(call)) {
                calls.extend(more);
            }
        }
        calls
    }

    fn repair_all(&self, resource: &PlannedResource) -> Vec<ApiCall> {
        let state = desired(resource);
        self.repairs(resource, state.keys().copied())
    }

    /// After the calls of creation, those for aspects that it does not set, as far as they are wanted.
    fn and_aspects(
        &self,
        mut calls: Vec<ApiCall>,
        resource: &PlannedResource,
        aspects: &[&str],
    ) -> Vec<ApiCall> {
        let wanted = desired(resource);
        let aspects = aspects.iter().copied().filter(|aspect| wanted.contains_key(aspect));
        calls.extend(self.repairs(resource, aspects));
        calls
    }

    /// Where the stage is.
    fn place(&self) -> &AccountRegion {
        &self.stage.account.place
    }

    fn state(&self, resource: &PlannedResource) -> Option<&ResourceState> {
        match self.seen.look(&self.stage.account.name, &resource.id) {
            Some(Observation::Found(state)) => Some(state),
            Some(Observation::Absent | Observation::Unseen(_)) | None => None,
        }
    }

    /// The ARN of a key, and the calls that tell it, if it is not known yet.
    fn key_arn(&self, key: &KeyUse) -> (Vec<ApiCall>, String) {
        let (id, alias) = match key {
            KeyUse::Given(arn) => return (Vec::new(), arn.clone()),
            KeyUse::Made { id, alias } => (id, alias),
        };
        match self.seen.look(&self.stage.account.name, id) {
            Some(Observation::Found(state)) if state.contains_key(extra::ARN) => {
                (Vec::new(), text(state, extra::ARN))
            }
            _ => {
                let look = ApiCall::new(AwsService::Kms, "DescribeKey", json!({ "KeyId": alias }));
                (vec![look], answer("DescribeKey", "KeyMetadata.Arn"))
            }
        }
    }

    /// The plan's tags as a list of objects with these names.
    fn tags(&self, key: &str, value: &str) -> Value {
        self.plan.tags.iter().map(|(tag, is)| json!({ key: tag, value: is })).collect()
    }

    /// The plan's tags as an object.
    fn tag_map(&self) -> Value {
        let tags = self.plan.tags.iter();
        Value::Object(tags.map(|(tag, is)| (tag.clone(), is.as_str().into())).collect())
    }
}
