//! The destination: what it leads to, who may subscribe to it, and the role that writes there.

use super::keys::{KeyRequest, ObservedKey, through};
use super::observed::{ObservedPlan, ObservedResource};
use super::permission::{
    PermissionCheck, PolicyHolder, PolicySources, TargetPolicies, all, context, service_context,
};
use super::senders::{differing, logs, pass_role, trusts};
use crate::access::live::AccountAccess;
use crate::access::plan::{ResourceKind, SubscriptionFilter};
use crate::access::policy::{AccessDecision, PolicyType, RequestContext, RequestPrincipal};
use crate::access::report::{Hop, HopFinding, Severity};
use crate::config::topology::{
    AwsAccount, DestinationTarget, LogsDestination, LogsTarget, Subscription, SubscriptionScope,
};

/// The destination, or, where filters send straight to the stream, the role that writes there; none where nothing is subscribed.
pub(super) fn hop(view: ObservedPlan<'_>) -> Option<Hop> {
    let Some(destination) = &view.topology.destination else { return straight(view) };
    let item = view.find(&destination.account, |kind| matches!(kind, ResourceKind::Destination { .. }))?;
    let name = format!("destination {} of {}", destination.name, destination.account.name);
    Some(Hop { name, findings: findings(view, destination, item) })
}

/// The role that `CloudWatch` Logs writes with for filters of the stream's own account.
fn straight(view: ObservedPlan<'_>) -> Option<Hop> {
    const CHECK: &str = "filter_role";
    let end = view.topology.logs_target()?;
    let is_filter =
        |kind: &ResourceKind| matches!(kind, ResourceKind::Filter(_) | ResourceKind::AccountFilter { .. });
    let filter = view.find(&end.account, is_filter)?;
    let (ResourceKind::Filter(SubscriptionFilter { role, .. })
    | ResourceKind::AccountFilter { filter: SubscriptionFilter { role, .. }, .. }) = &filter.resource.kind
    else {
        return None;
    };
    let role = view.role(role.as_ref()?)?;
    let there = role.there(CHECK, "CloudWatch Logs writes to the stream as this role");
    let findings = if let Err(missing) = there {
        vec![*missing]
    } else {
        let there = HopFinding::ok(CHECK, format!("{} exists", role.title()));
        std::iter::once(there).chain(of_role(view, &end, role)).collect()
    };
    Some(Hop { name: format!("{} of {}", role.title().replace('`', ""), end.account.name), findings })
}

fn findings<'a>(
    view: ObservedPlan<'a>,
    destination: &'a LogsDestination,
    item: ObservedResource<'a>,
) -> Vec<HopFinding> {
    const CHECK: &str = "destination";
    let ResourceKind::Destination { target, role, .. } = &item.resource.kind else { return Vec::new() };
    if let Err(missing) = item.there(CHECK, "filters of other accounts lead here, and cannot send") {
        return pass_role(view, item, role).into_iter().chain([*missing]).collect();
    }
    let mut findings = vec![HopFinding::ok(CHECK, format!("{} exists", item.title()))];
    findings.extend(policies(view, destination, item));
    findings.push(leads(item, target));
    let found = item.text("role").unwrap_or_default();
    if found != role {
        findings.extend(pass_role(view, item, role));
    }
    findings.extend(writer(view, destination, item, found, role));
    findings
}

fn leads(item: ObservedResource<'_>, target: &str) -> HopFinding {
    const CHECK: &str = "destination_target";
    let found = item.text("target").unwrap_or_default();
    if found == target {
        return HopFinding::ok(CHECK, format!("it leads to `{found}`"));
    }
    let seen = format!("it leads to `{found}`, not to `{target}`{}", differing(found, target));
    HopFinding::failure(CHECK, seen)
        .why("events sent to it arrive elsewhere, or nowhere")
        .fix(item.repair("let it lead to the stream", &["target"]))
}

/// Each account of another's that subscribes is let in.
fn policies<'a>(
    view: ObservedPlan<'a>,
    destination: &'a LogsDestination,
    item: ObservedResource<'a>,
) -> Vec<HopFinding> {
    const CHECK: &str = "destination_policy";
    const WHY: &str = "AWS refuses the sender's filter without it";
    let mut findings: Vec<HopFinding> = Vec::new();
    let mut asked: Vec<(&str, bool)> = Vec::new();
    for Subscription { account, scope, .. } in &view.topology.subscriptions {
        let is_whole = matches!(scope, SubscriptionScope::Account { .. });
        if account.name == destination.account.name || asked.contains(&(&account.name, is_whole)) {
            continue;
        }
        asked.push((&account.name, is_whole));
        let both = ["logs:PutSubscriptionFilter", "logs:PutAccountPolicy"];
        let actions = both.iter().take(if is_whole { 2 } else { 1 });
        let asks: Vec<PermissionCheck<'_>> =
            actions.map(|action| subscribes(view, destination, account, item, action)).collect();
        let mut finding = all(CHECK, WHY, &asks);
        finding.seen = format!("account {} ({}): {}", account.name, account.place.account, finding.seen);
        findings.push(finding);
    }
    findings
}

/// Whether an account may subscribe: whoever it lets, or whoever looks in its name.
fn subscribes<'a>(
    view: ObservedPlan<'a>,
    destination: &LogsDestination,
    account: &AwsAccount,
    item: ObservedResource<'a>,
    action: &'static str,
) -> PermissionCheck<'a> {
    let owner = item.account();
    let ask = |caller| PermissionCheck {
        caller,
        action,
        resource: owner.place.destination(&destination.name).to_string(),
        owner: owner.place.account.clone(),
        context: organized(view, context(), "aws:PrincipalOrgID"),
        holder: None,
        of: TargetPolicies::Optional(PolicySources::of(item, "policy")),
    };
    let whole = ask(RequestPrincipal::Root(account.place.root()));
    let Some(AccountAccess::As(arn)) = view.seen.accounts.get(&account.name) else { return whole };
    let Some(caller) = arn.parse().ok().as_ref().and_then(RequestPrincipal::from_arn) else { return whole };
    let own = ask(caller);
    // The policies of the person are not the question here: only whether the destination would let this one in.
    let answer = own.answer();
    let is_barred = match &answer.decision {
        AccessDecision::Allowed { .. } => false,
        AccessDecision::Denied { .. } => true,
        AccessDecision::Missing { gaps } | AccessDecision::Undecided { gaps, .. } => {
            gaps.iter().any(|gap| gap.side == PolicyType::Resource)
        }
    };
    if whole.answer().is_allowed() || is_barred { whole } else { own }
}

/// With the organization that the topology names.
fn organized(view: ObservedPlan<'_>, context: RequestContext, key: &str) -> RequestContext {
    match &view.topology.organization {
        Some(id) => context.with(key, [id.as_str()]),
        None => context,
    }
}

/// The role that `CloudWatch` Logs writes with.
fn writer<'a>(
    view: ObservedPlan<'a>,
    destination: &'a LogsDestination,
    item: ObservedResource<'a>,
    found: &str,
    wanted: &str,
) -> Vec<HopFinding> {
    const CHECK: &str = "destination_role";
    const WHY: &str = "CloudWatch Logs writes to the stream as this role";
    let Some(role) = view.role(found) else {
        let seen = format!("it writes as `{found}`, not as `{wanted}`{}", differing(found, wanted));
        let finding = if found.contains(&format!(":{}:", destination.account.place.account)) {
            HopFinding::warning(CHECK, format!("{seen}: that one was not checked"))
        } else {
            HopFinding::failure(CHECK, seen)
        };
        return vec![finding.why(WHY).fix(item.repair("let it write as the role", &["role"]))];
    };
    if let Err(missing) = role.there(CHECK, WHY) {
        return vec![*missing];
    }
    view.topology.logs_target().map(|end| of_role(view, &end, role)).unwrap_or_default()
}

/// Whether the role is trusted to be used, and may write.
fn of_role(view: ObservedPlan<'_>, end: &LogsTarget, role: ObservedResource<'_>) -> Vec<HopFinding> {
    vec![trust(view, end, role), permissions(view, end, role)]
        .into_iter()
        .chain(encrypts(view, end, role))
        .collect()
}

/// It trusts `CloudWatch` Logs for all who send, and for the destination's own account, from which the first message comes.
fn trust(view: ObservedPlan<'_>, end: &LogsTarget, role: ObservedResource<'_>) -> HopFinding {
    let own: &AwsAccount = &end.account;
    let mut accounts: Vec<&AwsAccount> = vec![own];
    for Subscription { account, .. } in &view.topology.subscriptions {
        if !accounts.iter().any(|known| known.name == account.name) {
            accounts.push(account);
        }
    }
    let sources: Vec<(&AwsAccount, String)> = accounts
        .into_iter()
        .map(|account| (account, account.place.log_group("standpipe", true).to_string()))
        .collect();
    let mut asks = trusts(role, &logs(own), &sources);
    for ask in &mut asks {
        ask.context = organized(view, ask.context.clone(), "aws:SourceOrgID");
    }
    let why = "CloudWatch Logs assumes it for each account that sends, and first for the destination's own";
    all("destination_trust", why, &asks)
}

fn permissions(view: ObservedPlan<'_>, end: &LogsTarget, role: ObservedResource<'_>) -> HopFinding {
    let holder = PolicyHolder::of(role);
    let kinesis = view.topology.kinesis.as_ref();
    let stream = kinesis.and_then(|kinesis| {
        view.find(&kinesis.account, |kind| matches!(kind, ResourceKind::DataStream { .. }))
    });
    let (arn, actions): (_, &[&'static str]) = match (end.stream, &view.topology.stream, kinesis) {
        (DestinationTarget::Stream, Some(stream), _) => {
            let arn = stream.account.place.delivery_stream(&stream.name);
            (arn, &["firehose:PutRecord", "firehose:PutRecordBatch"])
        }
        (DestinationTarget::Kinesis, _, Some(kinesis)) => {
            (kinesis.account.place.stream(&kinesis.name), &["kinesis:PutRecord"])
        }
        (DestinationTarget::Stream | DestinationTarget::Kinesis, _, _) => {
            return HopFinding::new("destination_permissions", Severity::Skipped, "it has no target");
        }
    };
    let asks: Vec<PermissionCheck<'_>> = holder
        .iter()
        .flat_map(|holder| actions.iter().map(move |action| (holder, *action)))
        .map(|(holder, action)| PermissionCheck {
            caller: holder.caller.clone(),
            action,
            resource: arn.to_string(),
            owner: arn.account.clone(),
            context: service_context(),
            holder: Some(holder),
            of: match end.stream {
                DestinationTarget::Stream => TargetPolicies::Nothing,
                DestinationTarget::Kinesis => TargetPolicies::Optional(PolicySources::of_stream(stream)),
            },
        })
        .collect();
    all("destination_permissions", "CloudWatch Logs puts events with this role", &asks)
}

/// The key of a Kinesis stream.
fn encrypts(view: ObservedPlan<'_>, end: &LogsTarget, role: ObservedResource<'_>) -> Option<HopFinding> {
    let kinesis = view.topology.kinesis.as_ref().filter(|_| end.stream == DestinationTarget::Kinesis)?;
    let stream = view.find(&kinesis.account, |kind| matches!(kind, ResourceKind::DataStream { .. }))?;
    let key = ObservedKey::of(view, &kinesis.account, stream.text("kmsKey")?);
    let holder = PolicyHolder::of(role)?;
    let arn = kinesis.account.place.stream(&kinesis.name).to_string();
    let by = KeyRequest {
        caller: holder.caller.clone(),
        holder: Some(&holder),
        actions: &["kms:GenerateDataKey"],
        context: through(service_context(), &kinesis.account, "kinesis")
            .with("kms:EncryptionContext:aws:kinesis:arn", [arn]),
    };
    key.used("destination_key", "records must be encrypted with the stream's key", &by)
}
