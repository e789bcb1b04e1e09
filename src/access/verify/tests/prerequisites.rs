//! What there is beside the resources of a plan, when all is well.

#![expect(clippy::wildcard_enum_match_arm, reason = "of many kinds of resources few are meant at a time")]

use serde_json::{Value, json};

use super::model::Model;
use crate::access::live::{Prerequisite, ResourceState, desired, extra};
use crate::access::plan::ResourceKind;
use crate::access::policy::PolicyDocument;

impl Model {
    /// What the plan does not make.
    pub(super) fn there(&self, account: &str, what: &Prerequisite) -> ResourceState {
        let id = &self.account(account).place.account;
        match what {
            Prerequisite::Caller => {
                let all = json!({ "Effect": "Allow", "Action": "*", "Resource": "*" });
                let others = json!({ "all": { "Version": "2012-10-17", "Statement": [all] } });
                let arn = format!("arn:aws:sts::{id}:assumed-role/admin/me");
                ResourceState::from([(extra::ARN, json!(arn)), (extra::OTHERS, others)])
            }
            Prerequisite::LogGroup(name) => {
                let filters = self.filters(account).filter(|filter| filter.group == *name);
                let filters: Value = filters.map(|filter| (filter.name.clone(), json!(filter.to))).collect();
                let key = self.resources(account).find_map(|resource| match &resource.kind {
                    ResourceKind::LogGroup { name: own, .. } if own == name => {
                        desired(resource).remove("kmsKey")
                    }
                    _ => None,
                });
                ResourceState::from([(extra::FILTERS, filters), ("kmsKey", key.unwrap_or_default())])
            }
            Prerequisite::Deliveries(name) => {
                let filters = self.filters(account).filter(|filter| filter.group == *name);
                let counts: Value =
                    filters.map(|filter| (filter.name.clone(), json!({ "ForwardedLogEvents": 7 }))).collect();
                ResourceState::from([(extra::COUNTS, counts)])
            }
            Prerequisite::Quota(_) => {
                let limits = json!({ "BytesPerSecondLimit": 5_242_880, "RecordsPerSecondLimit": 500_000,
                    "PutRequestsPerSecondLimit": 2_000, "ThrottledRecords": 0 });
                ResourceState::from([(extra::COUNTS, limits)])
            }
            Prerequisite::LogsPolicies => {
                let policies = self.resources(account).filter_map(|resource| match &resource.kind {
                    ResourceKind::LogsPolicy { name, .. } => {
                        Some((name.clone(), desired(resource).remove("policy")?))
                    }
                    _ => None,
                });
                ResourceState::from([(extra::OTHERS, policies.collect())])
            }
            Prerequisite::Bucket(_) => ResourceState::from([("ownership", json!("BucketOwnerEnforced"))]),
            Prerequisite::Key(arn) => {
                let stages = self.plan.stages.iter().filter(|stage| stage.account.name == account);
                let by_hand = stages.flat_map(|stage| &stage.by_hand).map(|it| it.document.clone());
                let mut policy = by_hand.reduce(|one, other| PolicyDocument {
                    statements: [one.statements, other.statements].concat(),
                    ..PolicyDocument::default()
                });
                let root = json!({ "AWS": format!("arn:aws:iam::{id}:root") });
                let own = json!({ "Version": "2012-10-17", "Statement": [{
                    "Sid": "Root", "Effect": "Allow", "Principal": root, "Action": "kms:*", "Resource": "*" }] });
                let own: PolicyDocument = own.to_string().parse().unwrap();
                policy.get_or_insert_default().statements.extend(own.statements);
                let policy = serde_json::to_value(policy.unwrap()).unwrap();
                ResourceState::from([
                    ("state", json!("Enabled")),
                    ("policy", policy),
                    (extra::ARN, json!(arn)),
                ])
            }
        }
    }
}
