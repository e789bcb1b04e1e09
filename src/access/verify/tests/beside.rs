//! What there is beside the resources of a plan, when all is well.

#![expect(clippy::wildcard_enum_match_arm, reason = "of many kinds of resources few are meant at a time")]

use serde_json::{Value, json};

use super::model::Model;
use crate::access::live::{Beside, State, desired, extra};
use crate::access::plan::Kind;
use crate::access::policy::Document;

impl Model {
    /// What the plan does not make.
    pub(super) fn there(&self, account: &str, what: &Beside) -> State {
        let id = &self.account(account).place.account;
        match what {
            Beside::Caller => {
                let all = json!({ "Effect": "Allow", "Action": "*", "Resource": "*" });
                let others = json!({ "all": { "Version": "2012-10-17", "Statement": [all] } });
                let arn = format!("arn:aws:sts::{id}:assumed-role/admin/me");
                State::from([(extra::ARN, json!(arn)), (extra::OTHERS, others)])
            }
            Beside::LogGroup(name) => {
                let filters = self.filters(account).filter(|filter| filter.group == *name);
                let filters: Value = filters.map(|filter| (filter.name.clone(), json!(filter.to))).collect();
                let key = self.resources(account).find_map(|resource| match &resource.kind {
                    Kind::LogGroup { name: own, .. } if own == name => desired(resource).remove("kmsKey"),
                    _ => None,
                });
                State::from([(extra::FILTERS, filters), ("kmsKey", key.unwrap_or_default())])
            }
            Beside::Deliveries(name) => {
                let filters = self.filters(account).filter(|filter| filter.group == *name);
                let counts: Value =
                    filters.map(|filter| (filter.name.clone(), json!({ "ForwardedLogEvents": 7 }))).collect();
                State::from([(extra::COUNTS, counts)])
            }
            Beside::Quota(_) => {
                let limits = json!({ "BytesPerSecondLimit": 5_242_880, "RecordsPerSecondLimit": 500_000,
                    "PutRequestsPerSecondLimit": 2_000, "ThrottledRecords": 0 });
                State::from([(extra::COUNTS, limits)])
            }
            Beside::LogsPolicies => {
                let policies = self.resources(account).filter_map(|resource| match &resource.kind {
                    Kind::LogsPolicy { name, .. } => {
                        Some((name.clone(), desired(resource).remove("policy")?))
                    }
                    _ => None,
                });
                State::from([(extra::OTHERS, policies.collect())])
            }
            Beside::Bucket(_) => State::from([("ownership", json!("BucketOwnerEnforced"))]),
            Beside::Key(arn) => {
                let stages = self.plan.stages.iter().filter(|stage| stage.account.name == account);
                let by_hand = stages.flat_map(|stage| &stage.by_hand).map(|it| it.document.clone());
                let mut policy = by_hand.reduce(|one, other| Document {
                    statements: [one.statements, other.statements].concat(),
                    ..Document::default()
                });
                let root = json!({ "AWS": format!("arn:aws:iam::{id}:root") });
                let own = json!({ "Version": "2012-10-17", "Statement": [{
                    "Sid": "Root", "Effect": "Allow", "Principal": root, "Action": "kms:*", "Resource": "*" }] });
                let own: Document = own.to_string().parse().unwrap();
                policy.get_or_insert_default().statements.extend(own.statements);
                let policy = serde_json::to_value(policy.unwrap()).unwrap();
                State::from([("state", json!("Enabled")), ("policy", policy), (extra::ARN, json!(arn))])
            }
        }
    }
}
