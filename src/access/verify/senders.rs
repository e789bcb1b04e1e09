//! Log groups, and the filters that send their events on.

use serde_json::Value;

use super::counts;
use super::keys::{KeyRequest, ObservedKey};
use super::observed::{ObservedPlan, ObservedResource, unseen};
use super::permission::{
    PermissionCheck, PolicyHolder, PolicySources, TargetPolicies, all, context, service_context,
};
use super::policy_fix::{PolicyFix, put_policy};
use crate::access::live::{Observation, Prerequisite, ResourceState, extra};
use crate::access::plan::{ResourceKind, SubscriptionFilter};
use crate::access::policy::document::{Negatable, Statement};
use crate::access::policy::{PolicyDocument, RequestPrincipal};
use crate::access::report::{Fix, Hop, HopFinding, Severity};
use crate::arn::Arn;
use crate::aws::{ApiCall, AwsService};
use crate::config::topology::{AwsAccount, SubscriptionScope};

/// Most filters of a log group.
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html>.
const MOST_FILTERS: usize = 2;

/// A hop for each log group that is subscribed, and for each account that is as a whole.
pub(super) fn hops(view: ObservedPlan<'_>) -> Vec<Hop> {
    let mut hops = Vec::new();
    for subscription in &view.topology.subscriptions {
        let account = &subscription.account;
        match &subscription.scope {
            SubscriptionScope::Groups(groups) => {
                for group in groups {
                    let is = |kind: &ResourceKind| matches!(kind, ResourceKind::Filter(filter) if filter.group == *group && filter.name == subscription.name);
                    let Some(item) = view.find(account, is) else { continue };
                    let mut findings = group_there(view, account, group);
                    if !failed(&findings) {
                        findings.extend(of_filter(view, item));
                    }
                    hops.push(Hop { name: format!("{group} of {}", account.name), findings });
                }
            }
            // Which groups match is not looked at here.
            SubscriptionScope::Matching(_) => {}
            SubscriptionScope::Account { .. } => {
                let is = |kind: &ResourceKind| matches!(kind, ResourceKind::AccountFilter { .. });
                let Some(item) = view.find(account, is) else { continue };
                let mut findings = of_filter(view, item);
                findings.extend(selection(item));
                hops.push(Hop { name: format!("all log groups of {}", account.name), findings });
            }
        }
    }
    hops
}

pub(super) fn failed(findings: &[HopFinding]) -> bool {
    findings.iter().any(|finding| finding.level == Severity::Failure)
}

/// Whether a log group is there, and can be written.
pub(super) fn group_there<'a>(
    view: ObservedPlan<'a>,
    account: &'a AwsAccount,
    group: &str,
) -> Vec<HopFinding> {
    const CHECK: &str = "log_group";
    let beside = Prerequisite::LogGroup(group.to_owned());
    match view.prerequisite(account, &beside) {
        Some(Observation::Found(state)) => {
            let there = HopFinding::ok(CHECK, format!("log group `{group}` exists"));
            std::iter::once(there).chain(group_key(view, account, group, state)).collect()
        }
        Some(Observation::Absent) => {
            let seen = format!("log group `{group}` does not exist in account {}", account.name);
            let fix = make_group(view, account, group);
            vec![
                HopFinding::failure(CHECK, seen)
                    .why("without it there is no filter, and nothing is sent")
                    .fix(fix),
            ]
        }
        Some(Observation::Unseen(reason)) => {
            vec![unseen(CHECK, &format!("log group `{group}`"), &account.name, reason)]
        }
        None => Vec::new(),
    }
}

/// The group, and the filters that are lost with it.
fn make_group(view: ObservedPlan<'_>, account: &AwsAccount, group: &str) -> Fix {
    let is = |kind: &ResourceKind| matches!(kind, ResourceKind::LogGroup { name, .. } if name == group);
    let text = format!("make log group `{group}`, or correct its name");
    let mut fix = if let Some(item) = view.find(account, is) {
        item.create(&text)
    } else {
        let input = serde_json::json!({ "logGroupName": group });
        Fix::from(text).calls(account, vec![ApiCall::new(AwsService::Logs, "CreateLogGroup", input)])
    };
    for item in view.items(account) {
        if matches!(&item.resource.kind, ResourceKind::Filter(filter) if filter.group == group) {
            fix = fix.and(item.create("and recreate its filter"));
        }
    }
    fix
}

/// What encrypts a log group lets `CloudWatch` Logs use it.
///
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html>.
fn group_key<'a>(
    view: ObservedPlan<'a>,
    account: &'a AwsAccount,
    group: &str,
    state: &ResourceState,
) -> Vec<HopFinding> {
    const CHECK: &str = "log_group_key";
    const WHY: &str = "CloudWatch Logs can neither store nor send the group's events without its key";
    let Some(name) = state.get("kmsKey").and_then(Value::as_str) else { return Vec::new() };
    let key = ObservedKey::of(view, account, name);
    let usable = key.usable(CHECK, WHY);
    if usable.level == Severity::Failure {
        return vec![usable];
    }
    let arn = account.place.log_group(group, false).to_string();
    let by = KeyRequest {
        caller: logs(account),
        holder: None,
        actions: &["kms:GenerateDataKey", "kms:Decrypt"],
        context: service_context().with("kms:EncryptionContext:aws:logs:arn", [arn]),
    };
    std::iter::once(usable).chain(key.used(CHECK, WHY, &by)).collect()
}

/// `CloudWatch` Logs as it calls in a region; pages on whole accounts name it without the region.
///
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CrossAccountSubscriptions.html>.
pub(super) fn logs(account: &AwsAccount) -> RequestPrincipal {
    let place = &account.place;
    let regional = format!("logs.{}.{}", place.region, place.partition().dns_suffix());
    RequestPrincipal::Service { names: vec![regional, "logs.amazonaws.com".to_owned()] }
}

fn of_filter(view: ObservedPlan<'_>, item: ObservedResource<'_>) -> Vec<HopFinding> {
    const CHECK: &str = "filter";
    const WHY: &str = "without it, nothing from the log group is sent";
    let (ResourceKind::Filter(filter) | ResourceKind::AccountFilter { filter, .. }) = &item.resource.kind
    else {
        return Vec::new();
    };
    let state = match item.there(CHECK, WHY) {
        Ok(state) => state,
        Err(missing) => {
            let passing = filter.role.as_ref().and_then(|role| pass_role(view, item, role));
            return passing.into_iter().chain([crowded(view, item, filter, *missing)]).collect();
        }
    };
    let mut findings = vec![HopFinding::ok(CHECK, format!("{} exists", item.title()))];
    findings.push(destination(item, filter, state));
    findings.extend(pattern(item, filter, state));
    findings.extend(role(view, item, filter, state));
    if !failed(&findings) {
        findings.extend(counts::delivery(view, item, filter));
    }
    findings
}

/// A group with two filters of others has no room for this one.
fn crowded(
    view: ObservedPlan<'_>,
    item: ObservedResource<'_>,
    filter: &SubscriptionFilter,
    missing: HopFinding,
) -> HopFinding {
    let state = view.prerequisite_state(item.account(), &Prerequisite::LogGroup(filter.group.clone()));
    let others = state.and_then(|state| state.get(extra::FILTERS)?.as_object());
    let others: Vec<(&String, &Value)> = others.into_iter().flatten().collect();
    let is_missing = missing.level == Severity::Failure;
    if others.len() < MOST_FILTERS || !is_missing {
        return missing;
    }
    let named = |(name, to): &(&String, &Value)| format!("`{name}` to `{}`", to.as_str().unwrap_or_default());
    let shown: Vec<String> = others.iter().map(named).collect();
    let seen = format!("{}, and {} others are: {}", missing.seen, others.len(), shown.join(", "));
    let text = "AWS allows two filters per log group: remove the one you do not need, here the last, then create this one";
    let last = others.last().map(|(name, _)| name.as_str()).unwrap_or_default();
    let input = serde_json::json!({ "logGroupName": filter.group, "filterName": last });
    let take = ApiCall::new(AwsService::Logs, "DeleteSubscriptionFilter", input);
    let fix = Fix::from(text).calls(item.account(), vec![take]).and(item.create(text));
    HopFinding { seen, ..missing }.fix(fix)
}

fn destination(item: ObservedResource<'_>, filter: &SubscriptionFilter, state: &ResourceState) -> HopFinding {
    const CHECK: &str = "filter_destination";
    let found = state.get("destination").and_then(Value::as_str).unwrap_or_default();
    if found == filter.to {
        return HopFinding::ok(CHECK, format!("it leads to `{found}`"));
    }
    let seen = format!("it leads to `{found}`, not to `{}`{}", filter.to, differing(found, &filter.to));
    HopFinding::failure(CHECK, seen)
        .why("its events arrive elsewhere, or nowhere")
        .fix(item.repair("let it lead to the destination", &["destination"]))
}

/// In what two ARNs differ, in words.
pub(super) fn differing(found: &str, wanted: &str) -> String {
    let (Ok(found), Ok(wanted)) = (found.parse::<Arn>(), wanted.parse::<Arn>()) else { return String::new() };
    let parts = [
        ("service", found.service == wanted.service),
        ("region", found.region == wanted.region),
        ("account", found.account == wanted.account),
        ("name", found.resource == wanted.resource),
    ];
    let differing: Vec<&str> = parts.iter().filter(|(_, same)| !same).map(|(part, _)| *part).collect();
    format!(" (another {})", differing.join(" and "))
}

fn pattern(
    item: ObservedResource<'_>,
    filter: &SubscriptionFilter,
    state: &ResourceState,
) -> Option<HopFinding> {
    let found = state.get("pattern").and_then(Value::as_str).unwrap_or_default();
    if found == filter.pattern {
        return None;
    }
    let seen = format!("its pattern is `{found}`, not `{}`", filter.pattern);
    let finding = HopFinding::warning("filter_pattern", seen).why("it decides which events are sent");
    Some(finding.fix(item.repair("correct the pattern, if it was not intended", &["pattern"])))
}

/// The role that `CloudWatch` Logs writes with, where the filter has to name one.
fn role(
    view: ObservedPlan<'_>,
    item: ObservedResource<'_>,
    filter: &SubscriptionFilter,
    state: &ResourceState,
) -> Vec<HopFinding> {
    const CHECK: &str = "filter_role";
    let Some(wanted) = &filter.role else { return Vec::new() };
    let found = state.get("role").and_then(Value::as_str);
    if found == Some(wanted) {
        return sender(view, filter, wanted);
    }
    let Some(found) = found else {
        let why = "CloudWatch Logs writes as this role: to a stream of its own account, and with vended log groups of an organization";
        let failure = HopFinding::failure(CHECK, format!("it names no role, and needs `{wanted}`")).why(why);
        let failure = failure.fix(item.repair("let it name the role", &["role"]));
        return pass_role(view, item, wanted).into_iter().chain([failure]).collect();
    };
    let seen = format!("it names the role `{found}`, not `{wanted}`: that one was not checked");
    let finding = HopFinding::warning(CHECK, seen);
    vec![finding.fix(item.repair("let it name the role, unless the other was intended", &["role"]))]
}

/// Whether the sender's own role is in order; the one of the destination's account is looked at there.
fn sender(view: ObservedPlan<'_>, filter: &SubscriptionFilter, arn: &str) -> Vec<HopFinding> {
    const CHECK: &str = "filter_role";
    let Some(item) = view.role(arn).filter(|_| filter.to.contains(":destination:")) else {
        return Vec::new();
    };
    let why = "CloudWatch Logs sends what services write to the group as this role";
    if let Err(missing) = item.there(CHECK, why) {
        return vec![*missing];
    }
    let account = item.account();
    let group = account.place.log_group(&filter.group, true).to_string();
    let trust = trusts(item, &logs(account), &[(account, group.clone())]);
    let holder = PolicyHolder::of(item);
    let puts = holder.as_ref().map(|holder| PermissionCheck {
        caller: holder.caller.clone(),
        action: "logs:PutLogEvents",
        resource: group,
        owner: account.place.account.clone(),
        context: service_context(),
        holder: Some(holder),
        of: TargetPolicies::Optional(PolicySources::none()),
    });
    let puts: Vec<PermissionCheck<'_>> = puts.into_iter().collect();
    vec![all(CHECK, why, &trust), all(CHECK, why, &puts)]
}

/// Asks whether a service that acts for these accounts may assume a role; each account with something that it acts for.
pub(super) fn trusts<'a>(
    role: ObservedResource<'a>,
    service: &RequestPrincipal,
    sources: &[(&AwsAccount, String)],
) -> Vec<PermissionCheck<'a>> {
    let ResourceKind::Role { name, .. } = &role.resource.kind else { return Vec::new() };
    let own = role.account();
    let ask = |(account, source): &(&AwsAccount, String)| PermissionCheck {
        caller: service.clone(),
        action: "sts:AssumeRole",
        resource: own.place.role(name).to_string(),
        owner: own.place.account.clone(),
        context: service_context()
            .with("aws:SourceArn", [source.as_str()])
            .with("aws:SourceAccount", [account.place.account.as_str()]),
        holder: None,
        of: TargetPolicies::Required(PolicySources::of(role, "trust")),
    };
    sources.iter().map(ask).collect()
}

/// Whether whoever looks, and would put what is missing, may pass the role to it; nothing is said where that is not known to fail.
pub(super) fn pass_role(
    view: ObservedPlan<'_>,
    item: ObservedResource<'_>,
    role: &str,
) -> Option<HopFinding> {
    const POLICY: &str = "standpipe-pass-role";
    let account = item.account();
    let state = view.prerequisite_state(account, &Prerequisite::Caller)?;
    // Without a look at its policies nothing is known to fail.
    state.get(extra::OTHERS)?;
    let arn: Arn = state.get(extra::ARN)?.as_str()?.parse().ok()?;
    let (own, holder) = passer(account, &arn, state)?;
    let mut statement = Statement::allow("PassesTheRoleToLogs", ["iam:PassRole"]);
    statement.resources = Some(Negatable::Is(vec![role.to_owned()]));
    let document = PolicyDocument { statements: vec![statement], ..PolicyDocument::default() };
    let text = format!("allow `iam:PassRole` on `{role}` to `{own}`, then make {}", item.title());
    let give = Fix::from(text)
        .policy(format!("a policy of `{own}`"), document.clone())
        .calls(account, vec![put_policy(&own, POLICY, &document)])
        .and(item.create(""));
    let home = PolicySources::at(PolicyFix::Ready(give));
    let holder = holder.with(home);
    let ask = PermissionCheck {
        caller: holder.caller.clone(),
        action: "iam:PassRole",
        resource: role.to_owned(),
        owner: account.place.account.clone(),
        context: context(),
        holder: Some(&holder),
        of: TargetPolicies::Optional(PolicySources::none()),
    };
    let why = "the creator of a filter or destination with a role must be allowed to pass that role";
    let finding = all("pass_role", why, &[ask]);
    (finding.level == Severity::Failure).then_some(finding)
}

/// The role or user that looks, with its policies.
fn passer<'a>(account: &'a AwsAccount, arn: &Arn, state: &ResourceState) -> Option<(Arn, PolicyHolder<'a>)> {
    match RequestPrincipal::from_arn(arn)? {
        RequestPrincipal::Session { role, .. } => {
            Some((role.clone(), PolicyHolder::new(account, role, Some(state))))
        }
        RequestPrincipal::User(user) => Some((user.clone(), PolicyHolder::user(account, user, state))),
        // The root user may do everything.
        RequestPrincipal::Root(_)
        | RequestPrincipal::FederatedUser { .. }
        | RequestPrincipal::Service { .. }
        | RequestPrincipal::Federated { .. }
        | RequestPrincipal::Anonymous => None,
    }
}

/// What a filter of a whole account leaves out.
fn selection(item: ObservedResource<'_>) -> Option<HopFinding> {
    const CHECK: &str = "filter_selection";
    let found = item.state()?.get("selection").and_then(Value::as_str).unwrap_or_default();
    let wanted = item.wanted("selection");
    if wanted == found {
        return None;
    }
    let ResourceKind::AccountFilter { exclude, .. } = &item.resource.kind else { return None };
    let seen = format!("it excludes `{found}`");
    let fix = item.repair("correct what it excludes", &["selection"]);
    let loops =
        exclude.iter().find(|group| group.starts_with("/aws/kinesisfirehose/") && !found.contains(*group));
    Some(match loops {
        Some(group) => HopFinding::failure(CHECK, format!("{seen}, and not `{group}`"))
            .why("Firehose's error log would be sent to Firehose in an endless loop")
            .fix(fix),
        None => HopFinding::warning(CHECK, seen).fix(fix),
    })
}
