//! Who may do what: the cases of `tests/policy/decisions.ndjson`.
//!
//! What a line leaves out: a user of account 111111111111 asks for an object of a bucket of that account, no policy says a word,
//! and so it is not allowed. Policies are lists of statements, in the newer language.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{CASE, Case};
use crate::access::policy::decision::AccessDecision;

/// One line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    group: String,
    rule: String,
    expected: String,
    caller: Option<String>,
    action: Option<String>,
    resource: Option<String>,
    owner: Option<String>,
    #[serde(default)]
    required: bool,
    #[serde(default)]
    context: BTreeMap<String, String>,
    #[serde(default)]
    identity: Vec<Value>,
    #[serde(default)]
    on_resource: Vec<Value>,
    #[serde(default)]
    boundary: Vec<Value>,
    #[serde(default)]
    session: Vec<Value>,
    #[serde(default)]
    service_control: Vec<Value>,
    #[serde(default)]
    resource_control: Vec<Value>,
}

fn rows() -> Vec<Row> {
    let text = include_str!("../../../../tests/policy/decisions.ndjson");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Every case of a group decides as it is written.
#[track_caller]
fn check(group: &str) {
    let rows = rows();
    let of_group: Vec<_> = rows.iter().filter(|row| row.group == group).collect();
    assert!(!of_group.is_empty(), "no case of `{group}`");
    for row in of_group {
        row.check();
    }
}

impl Row {
    #[track_caller]
    fn check(&self) {
        let joined =
            |statements: &[Value]| statements.iter().map(Value::to_string).collect::<Vec<_>>().join(",");
        let context: Vec<_> =
            self.context.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let answer = Case {
            caller: self.caller.as_deref().unwrap_or(CASE.caller),
            action: self.action.as_deref().unwrap_or(CASE.action),
            resource: self.resource.as_deref().unwrap_or(CASE.resource),
            owner: self.owner.as_deref().unwrap_or(CASE.owner),
            context: &context,
            identity: &joined(&self.identity),
            on_resource: &joined(&self.on_resource),
            required: self.required,
            boundary: &joined(&self.boundary),
            session: &joined(&self.session),
            service_control: &joined(&self.service_control),
            resource_control: &joined(&self.resource_control),
        }
        .answer();
        let found = match answer.decision {
            AccessDecision::Allowed { .. } => "allowed",
            AccessDecision::Denied { .. } => "denied",
            AccessDecision::Missing { .. } => "not allowed",
            AccessDecision::Undecided { .. } => "cannot tell",
        };
        assert_eq!(found, self.expected, "{}: {answer}", self.rule);
    }
}

#[test]
fn every_case_has_a_test_and_a_rule_of_its_own() {
    let rows = rows();
    let mut rules: Vec<_> = rows.iter().map(|row| (&row.group, &row.rule)).collect();
    rules.sort();
    rules.dedup();
    assert_eq!(rules.len(), rows.len());
    let own = include_str!("decisions.rs");
    for row in &rows {
        assert!(own.contains(&format!("check(\"{}\")", row.group)), "`{}` has no test", row.group);
    }
}

#[test]
fn a_destination_lets_accounts_subscribe() {
    check("a destination lets accounts subscribe");
}

#[test]
fn both_accounts_have_to_allow_as_in_awss_example() {
    check("both accounts have to allow as in awss example");
}

#[test]
fn roles_are_assumed_across_accounts() {
    check("roles are assumed across accounts");
}

#[test]
fn services_need_the_resources_word_alone() {
    check("services need the resources word alone");
}

#[test]
fn a_trust_policy_or_a_key_policy_has_to_allow() {
    check("a trust policy or a key policy has to allow");
}

#[test]
fn all_conditions_and_any_value() {
    check("all conditions and any value");
}

#[test]
fn all_principals_but_some() {
    check("all principals but some");
}

#[test]
fn boundaries_and_session_policies_limit() {
    check("boundaries and session policies limit");
}

#[test]
fn either_side_is_enough_for_most_resources() {
    check("either side is enough for most resources");
}

#[test]
fn negated_elements() {
    check("negated elements");
}

#[test]
fn organizations_limit() {
    check("organizations limit");
}

#[test]
fn what_nobody_allows_is_denied_and_a_denial_wins() {
    check("what nobody allows is denied and a denial wins");
}
