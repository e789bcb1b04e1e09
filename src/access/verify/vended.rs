//! Log groups that AWS services write: the resource policies that let them.

use super::observed::{ObservedPlan, ObservedResource, policy, unseen};
use super::permission::{PermissionCheck, PolicySources, TargetPolicies, all, service_context};
use super::policy_fix::{ForeignPolicy, PolicyFix};
use super::senders::{failed, group_there};
use crate::access::live::{Observation, Prerequisite, ResourceState, extra};
use crate::access::plan::ResourceKind;
use crate::access::policy::document::{Negatable, Statement};
use crate::access::policy::{PolicyDocument, ReadPolicy, RequestPrincipal};
use crate::access::report::{Fix, Hop, HopFinding, Severity};
use crate::aws::{ApiCall, AwsService};
use crate::config::topology::{AwsAccount, VendedLogs};

/// Most resource policies of a region of an account, and most characters of one; a policy of one log group comes besides.
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutResourcePolicy.html>.
const MOST_POLICIES: usize = 10;

/// A hop for each log group that a service writes.
pub(super) fn hops(view: ObservedPlan<'_>) -> Vec<Hop> {
    let mut hops = Vec::new();
    for vended in &view.topology.vended {
        for group in &vended.log_groups {
            let mut findings = group_there(view, &vended.account, group);
            if !failed(&findings) {
                findings.push(delivers(view, &vended.account, group));
                findings.extend(turns_on(view, vended));
            }
            hops.push(Hop { name: format!("log delivery to {group} of {}", vended.account.name), findings });
        }
    }
    hops
}

/// Whether log delivery may write to the group.
fn delivers(view: ObservedPlan<'_>, account: &AwsAccount, group: &str) -> HopFinding {
    const CHECK: &str = "logs_policy";
    const WHY: &str = "log delivery writes as a service, and only a resource policy of CloudWatch Logs allows it; the role of the logging service does not matter. Without the policy, logs stop and no error appears anywhere";
    let policies = match view.prerequisite(account, &Prerequisite::LogsPolicies) {
        Some(Observation::Found(state)) => state,
        Some(Observation::Unseen(reason)) => {
            return unseen(CHECK, "the resource policies of CloudWatch Logs", &account.name, reason);
        }
        Some(Observation::Absent) | None => {
            return HopFinding::new(CHECK, Severity::Skipped, "the resource policies were not checked");
        }
    };
    let home = fix(view, account, group, policies);
    let sources = sources(view, account, group, policies, home);
    let place = &account.place;
    let ask = |action| PermissionCheck {
        caller: RequestPrincipal::Service { names: vec!["delivery.logs.amazonaws.com".to_owned()] },
        action,
        resource: place.log_stream(group, "standpipe").to_string(),
        owner: place.account.clone(),
        context: service_context()
            .with("aws:SourceAccount", [place.account.as_str()])
            .with("aws:SourceArn", [place.log_group(group, false).to_string()]),
        holder: None,
        of: TargetPolicies::Optional(sources.clone()),
    };
    let mut finding = all(CHECK, WHY, &["logs:CreateLogStream", "logs:PutLogEvents"].map(ask));
    let n_policies = n_policies(policies);
    if finding.level == Severity::Failure && MOST_POLICIES <= n_policies {
        finding.seen = format!(
            "{}; {n_policies} resource policies are there, of {MOST_POLICIES} of 5,120 characters that a region has room for",
            finding.seen
        );
    }
    finding
}

fn n_policies(policies: &ResourceState) -> usize {
    policies.get(extra::OTHERS).and_then(|all| all.as_object()).map_or(0, serde_json::Map::len)
}

/// All policies of the region, and the group's own.
fn sources<'a>(
    view: ObservedPlan<'a>,
    account: &'a AwsAccount,
    group: &str,
    policies: &ResourceState,
    home: Fix,
) -> PolicySources<'a> {
    let mut sources = PolicySources::at(PolicyFix::Ready(home));
    let all = policies.get(extra::OTHERS).and_then(|all| all.as_object());
    for (name, value) in all.into_iter().flatten() {
        let Some(found) = policy(value) else { continue };
        let fix = PolicyFix::Foreign(account, ForeignPolicy::Logs(name.clone()));
        sources = sources.with(format!("resource policy `{name}`"), found, fix);
    }
    let own = view.prerequisite_state(account, &Prerequisite::LogGroup(group.to_owned()));
    if let Some(found) = own.and_then(|state| policy(state.get("policy")?)) {
        let name = format!("the policy of log group `{group}`");
        sources = sources.with(name.clone(), found, PolicyFix::ByHand(name));
    }
    sources
}

/// The plan's policy that covers the group; where there is no room for one more, a policy of the log group's own.
fn fix(view: ObservedPlan<'_>, account: &AwsAccount, group: &str, policies: &ResourceState) -> Fix {
    let planned = view.items(account).find(|item| covers(*item, account, group));
    let Some(item) = planned else { return Fix::default() };
    let ResourceKind::LogsPolicy { name, .. } = &item.resource.kind else { return Fix::default() };
    let all = policies.get(extra::OTHERS).and_then(|all| all.as_object());
    let is_there = all.is_some_and(|all| all.contains_key(name));
    if is_there || n_policies(policies) < MOST_POLICIES {
        return item.create(&format!(
            "put resource policy `{name}`; the service that logs, and its role, stay as they are"
        ));
    }
    let own = view.prerequisite_state(account, &Prerequisite::LogGroup(group.to_owned()));
    let text = "there is no room for one more policy of the region: put one on the log group itself, or merge others";
    let there = own.and_then(|state| policy(state.get("policy")?));
    let Some(document) = of_group(item, account, group, there.as_ref()) else { return Fix::from(text) };
    let arn = account.place.log_group(group, false).to_string();
    let input = serde_json::json!({ "resourceArn": arn, "policyDocument": document.to_json() });
    Fix::from(text)
        .policy(format!("the policy of log group `{group}`"), document)
        .calls(account, vec![ApiCall::new(AwsService::Logs, "PutResourcePolicy", input)])
}

/// What the plan's policy says, for one log group alone, beside what the group's policy says already; none where that
/// cannot be read to its end.
fn of_group(
    item: ObservedResource<'_>,
    account: &AwsAccount,
    group: &str,
    there: Option<&ReadPolicy>,
) -> Option<PolicyDocument> {
    let ResourceKind::LogsPolicy { policy, .. } = &item.resource.kind else { return None };
    let streams = account.place.log_stream(group, "*").to_string();
    let narrowed = policy
        .statements
        .iter()
        .cloned()
        .map(|statement| Statement { resources: Some(Negatable::Is(vec![streams.clone()])), ..statement });
    let narrowed = PolicyDocument { statements: narrowed.collect(), ..policy.clone() };
    match there {
        Some(there) => Some(super::observed::merged(there.whole()?, &narrowed)),
        None => Some(narrowed),
    }
}

fn covers(item: ObservedResource<'_>, account: &AwsAccount, group: &str) -> bool {
    let ResourceKind::LogsPolicy { policy, .. } = &item.resource.kind else { return false };
    let stream = account.place.log_stream(group, "*").to_string();
    let resources = policy.statements.iter().flat_map(|statement| &statement.resources);
    resources.flat_map(Negatable::written).any(|resource| match resource.strip_suffix("*:log-stream:*") {
        Some(folder) => stream.starts_with(folder),
        None => *resource == stream,
    })
}

/// What turning logging on needs; what is on stays on without it.
fn turns_on(view: ObservedPlan<'_>, vended: &VendedLogs) -> Option<HopFinding> {
    const CHECK: &str = "turns_on";
    let path = vended.role.as_ref()?;
    let role = path.rsplit('/').next().unwrap_or(path);
    let is = |kind: &ResourceKind| matches!(kind, ResourceKind::RolePolicy { role: of, name, .. } if of == role && name.ends_with("-log-delivery"));
    let item = view.find(&vended.account, is)?;
    let there = item.there(CHECK, "");
    match there {
        Ok(state) if state.contains_key("permissions") => None,
        Err(unseen) if unseen.level != Severity::Failure => Some(*unseen),
        Ok(_) | Err(_) => {
            let seen = format!("role `{role}` has no policy for turning logging on");
            let finding = HopFinding::warning(CHECK, seen).why(
                "turning logging on needs it; logging that is on stays on, and writes without this role",
            );
            Some(finding.fix(item.create("put the policy, before logging is turned on or changed")))
        }
    }
}
