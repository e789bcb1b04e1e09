//! The calls that make a resource of a plan, and those that put one aspect of it right.
//!
//! What one call answers and a later one needs stands there as [`answer`] writes it.

mod flow;
mod identity;
mod stores;

#[cfg(test)]
mod tests;

use serde_json::{Value, json};

pub use self::stores::NOTIFICATION_ID;
use super::{Look, Seen, State, desired, extra};
use crate::access::call::{Call, Service, answer};
use crate::access::plan::{KeyUse, Kind, Plan, Resource, Stage};
use crate::access::policy::Place;

/// Knows how to make and to fix what a stage of a plan holds, from what was seen.
#[derive(Clone, Copy, Debug)]
pub struct Fixer<'a> {
    /// The plan: its tags are put on what is made.
    pub plan: &'a Plan,
    /// The stage whose resources are made.
    pub stage: &'a Stage,
    /// What was seen: the ids of keys, and what has to stay as it is.
    pub seen: &'a Seen,
}

impl Fixer<'_> {
    /// The calls that make a resource with all of its [`desired()`] aspects, in order.
    ///
    /// A stream or table is not yet ACTIVE after them, and a role not yet known to every service.
    #[must_use]
    pub fn create(&self, resource: &Resource) -> Vec<Call> {
        match &resource.kind {
            Kind::Key { alias, policy } => self.create_key(alias, policy),
            Kind::Bucket { name, .. } => self.and_aspects(
                self.create_bucket(name),
                resource,
                &["publicAccessBlock", "ownership", "kmsKey", "policy", "notification"],
            ),
            Kind::Queue { name, policy } => vec![self.create_queue(name, policy)],
            Kind::Role { name, description, trust, .. } => {
                self.and_aspects(vec![self.create_role(name, description, trust)], resource, &["permissions"])
            }
            Kind::ManagedPolicy { name, description, policy } => {
                vec![self.create_policy(name, description, policy)]
            }
            Kind::LogGroup { name, .. } => self.and_aspects(
                vec![self.create_log_group(name)],
                resource,
                &["retentionInDays", "kmsKey", "logStream"],
            ),
            Kind::DeliveryStream(stream) => self.create_delivery_stream(stream),
            Kind::DataStream { name, .. } => {
                self.and_aspects(self.create_data_stream(name), resource, &["kmsKey"])
            }
            Kind::LeaseTable { name } => vec![self.create_table(name)],
            Kind::Destination { name, target, role, .. } => {
                self.and_aspects(self.create_destination(name, target, role), resource, &["policy"])
            }
            Kind::Notification { .. }
            | Kind::RolePolicy { .. }
            | Kind::LogsPolicy { .. }
            | Kind::Filter(_)
            | Kind::AccountFilter { .. } => self.repair_all(resource),
        }
    }

    /// The calls that bring one aspect of a resource that is there to what is [`desired()`]; none where no call can, such as for a
    /// stream that is being made.
    #[must_use]
    pub fn repair(&self, resource: &Resource, aspect: &str) -> Vec<Call> {
        match &resource.kind {
            Kind::Key { alias, policy } => self.repair_key(resource, alias, policy, aspect),
            Kind::Bucket { .. } => self.repair_bucket(resource, aspect),
            Kind::Notification { bucket, queue, prefix } => {
                vec![self.put_notification(resource, bucket, queue, prefix)]
            }
            Kind::Queue { name, policy } => stores::repair_queue(name, policy, aspect),
            Kind::Role { name, trust, permissions, .. } => match aspect {
                "trust" => vec![identity::put_trust(name, trust)],
                "permissions" => vec![identity::put_role_policy(name, name, permissions)],
                _ => Vec::new(),
            },
            Kind::RolePolicy { role, name, policy } => {
                vec![identity::put_role_policy(role, name, policy)]
            }
            Kind::ManagedPolicy { name, policy, .. } => self.put_policy_version(resource, name, policy),
            Kind::LogGroup { name, .. } => self.repair_log_group(resource, name, aspect),
            Kind::DeliveryStream(stream) => self.repair_delivery_stream(stream, aspect),
            Kind::DataStream { name, key } => match (aspect, key) {
                ("kmsKey", Some(key)) => self.encrypt_data_stream(name, key),
                _ => Vec::new(),
            },
            Kind::LeaseTable { .. } => Vec::new(),
            Kind::Destination { name, target, role, policy } => match aspect {
                "policy" => vec![flow::put_destination_policy(name, policy)],
                "target" | "role" => vec![flow::put_destination(name, target, role)],
                _ => Vec::new(),
            },
            Kind::LogsPolicy { name, policy } => vec![flow::put_logs_policy(name, policy)],
            Kind::Filter(filter) => vec![flow::put_filter(filter)],
            Kind::AccountFilter { filter, exclude } => vec![flow::put_account_filter(filter, exclude)],
        }
    }

    /// The calls that put several aspects right, none of them twice.
    #[must_use]
    pub fn repairs<'s>(&self, resource: &Resource, aspects: impl IntoIterator<Item = &'s str>) -> Vec<Call> {
        let mut calls: Vec<Call> = Vec::new();
        for aspect in aspects {
            let more = self.repair(resource, aspect);
            // A look is made again before each call that needs its answer.
            if !more.iter().filter(|call| !call.is_look()).all(|call| calls.contains(call)) {
                calls.extend(more);
            }
        }
        calls
    }

    fn repair_all(&self, resource: &Resource) -> Vec<Call> {
        let state = desired(resource);
        self.repairs(resource, state.keys().copied())
    }

    /// After the calls of creation, those for aspects that it does not set, as far as they are wanted.
    fn and_aspects(&self, mut calls: Vec<Call>, resource: &Resource, aspects: &[&str]) -> Vec<Call> {
        let wanted = desired(resource);
        let aspects = aspects.iter().copied().filter(|aspect| wanted.contains_key(aspect));
        calls.extend(self.repairs(resource, aspects));
        calls
    }

    /// Where the stage is.
    fn place(&self) -> &Place {
        &self.stage.account.place
    }

    fn state(&self, resource: &Resource) -> Option<&State> {
        match self.seen.look(&self.stage.account.name, &resource.id) {
            Some(Look::Found(state)) => Some(state),
            Some(Look::Absent | Look::Unseen(_)) | None => None,
        }
    }

    /// The ARN of a key, and the calls that tell it, if it is not known yet.
    fn key_arn(&self, key: &KeyUse) -> (Vec<Call>, String) {
        let (id, alias) = match key {
            KeyUse::Given(arn) => return (Vec::new(), arn.clone()),
            KeyUse::Made { id, alias } => (id, alias),
        };
        match self.seen.look(&self.stage.account.name, id) {
            Some(Look::Found(state)) if state.contains_key(extra::ARN) => {
                (Vec::new(), text(state, extra::ARN))
            }
            _ => {
                let look = Call::new(Service::Kms, "DescribeKey", json!({ "KeyId": alias }));
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

/// An aspect that is a string.
fn text(state: &State, aspect: &str) -> String {
    state.get(aspect).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// An input with more in it.
fn with<const N: usize>(mut input: Value, more: [(&str, Option<Value>); N]) -> Value {
    if let Value::Object(input) = &mut input {
        input.extend(more.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
    }
    input
}
