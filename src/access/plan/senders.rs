//! Log groups, and the filters that send their events on.

use std::sync::Arc;

use super::draft::{PlanDraft, PlanPhase, key_needs};
use super::resource::{ResourceKind, SubscriptionFilter};
use super::statements::{StatementBuilder, allow, document, logs_service};
use super::streams::{errors, logs_role, target};
use crate::access::policy::document::Comparison;
use crate::config::topology::{AwsAccount, LogsTarget, Subscription, SubscriptionScope, Topology};

/// Log groups that are made.
pub(super) fn log_groups(draft: &mut PlanDraft<'_>) {
    for groups in &draft.topology.log_groups {
        let key = draft.key_use(groups.key.as_ref());
        let needs = key_needs(key.as_ref());
        for name in &groups.names {
            if draft.log_group(&groups.account, name).is_some() {
                continue;
            }
            let id = unique(draft, &groups.account, &format!("Log Group {name}"));
            let (name, retention) = (name.clone(), groups.retention);
            let kind = ResourceKind::LogGroup { name, retention, key: key.clone(), stream: None };
            draft.add(PlanPhase::Free, &groups.account, &id, &needs, kind);
        }
    }
}

/// The filters of all who send.
pub(super) fn subscriptions(draft: &mut PlanDraft<'_>) {
    let topology = draft.topology;
    let Some(end) = topology.logs_target() else { return };
    for subscription in &topology.subscriptions {
        let is_own = subscription.account.name == end.account.name;
        match &subscription.scope {
            SubscriptionScope::Groups(groups) => {
                for group in groups {
                    let role = if is_own { None } else { sender(draft, &subscription.account, group) };
                    filter(draft, &end, subscription, group, role);
                }
            }
            // The groups that match come as groups, once they are known; what they need is made before.
            SubscriptionScope::Matching(patterns) => {
                let vended = patterns.patterns.iter().find(|pattern| may_be_vended(pattern));
                if let Some(pattern) = vended.filter(|_| !is_own) {
                    sender(draft, &subscription.account, pattern);
                }
            }
            SubscriptionScope::Account { exclude } => whole(draft, &end, subscription, exclude),
        }
    }
}

fn filter(
    draft: &mut PlanDraft<'_>,
    end: &LogsTarget,
    subscription: &Subscription,
    group: &str,
    sender: Option<String>,
) {
    let account = &subscription.account;
    let mut filter = towards(draft.topology, end, subscription, group);
    filter.role = filter.role.or_else(|| sender.map(|name| account.place.role(&name).to_string()));
    let own_group = draft.log_group(account, group).map(str::to_owned);
    let others = ["SenderRole", "LogsRole", "Stream", "Kinesis", "Destination"].map(str::to_owned);
    let needs: Vec<String> = own_group.into_iter().chain(others).collect();
    let id = unique(draft, account, &format!("Filter {group} {}", subscription.name));
    draft.add(PlanPhase::Send, account, &id, &needs, ResourceKind::Filter(filter));
}

/// Different names may have the same letters.
fn unique(draft: &PlanDraft<'_>, account: &AwsAccount, id: &str) -> String {
    let mut candidate = id.to_owned();
    let mut number = 2;
    while draft.has(account, &candidate) {
        candidate = format!("{id} {number}");
        number += 1;
    }
    candidate
}

fn whole(draft: &mut PlanDraft<'_>, end: &LogsTarget, subscription: &Subscription, exclude: &[String]) {
    let account = &subscription.account;
    let filter = towards(draft.topology, end, subscription, "");
    let mut exclude = exclude.to_vec();
    if let Some(stream) = draft.topology.stream.as_ref().filter(|it| it.account.name == account.name) {
        // What Firehose says of its own failures would be sent to Firehose for ever.
        let own = errors(stream);
        if !exclude.contains(&own) {
            exclude.push(own);
        }
    }
    let needs = ["LogsRole".to_owned(), "Stream".to_owned(), "Kinesis".to_owned(), "Destination".to_owned()];
    draft.add(
        PlanPhase::Send,
        account,
        "Account Filter",
        &needs,
        ResourceKind::AccountFilter { filter, exclude },
    );
}

/// A filter to the destination; in the destination's own account to what is behind it, with the same role.
fn towards(
    topology: &Topology,
    end: &LogsTarget,
    subscription: &Subscription,
    group: &str,
) -> SubscriptionFilter {
    let place = &end.account.place;
    let is_own = subscription.account.name == end.account.name;
    let straight = target(topology, end.stream).filter(|_| is_own);
    let (to, role) = if let Some((target, _, _)) = straight {
        (target, Some(place.role(&logs_role(topology)).to_string()))
    } else {
        let name = topology.destination.as_ref().map(|destination| destination.name.as_str());
        (place.destination(name.unwrap_or_default()).to_string(), None)
    };
    SubscriptionFilter {
        group: group.to_owned(),
        name: subscription.name.clone(),
        pattern: subscription.pattern.clone(),
        to,
        role,
    }
}

/// Whether an AWS service writes the group through log delivery.
fn is_vended(topology: &Topology, account: &AwsAccount, group: &str) -> bool {
    if may_be_vended(group) && group.contains('*') {
        return true;
    }
    let is_named = topology
        .vended
        .iter()
        .any(|vended| vended.account.name == account.name && vended.log_groups.iter().any(|it| it == group));
    is_named || group.starts_with(VENDED)
}

/// What the names begin with of log groups that only services write.
const VENDED: &str = "/aws/vendedlogs/";

/// Whether a pattern may be the name of such a group.
fn may_be_vended(pattern: &str) -> bool {
    let first = pattern.split('*').next().unwrap_or_default();
    first.starts_with(VENDED) || (pattern.contains('*') && VENDED.starts_with(first))
}

/// The role that a filter needs whose group is vended, if the destination is open to an organization; made once an account.
///
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/Cross-Account-Log_Subscription-Update.html>.
fn sender(draft: &mut PlanDraft<'_>, account: &Arc<AwsAccount>, group: &str) -> Option<String> {
    let topology = draft.topology;
    topology.organization.as_ref()?;
    if !is_vended(topology, account, group) {
        return None;
    }
    let name = format!("{}-sender", topology.name);
    if draft.has(account, "Sender Role") {
        return Some(name);
    }
    let place = &account.place;
    let own = topology.subscriptions.iter().filter(|it| it.account.name == account.name);
    let groups = own.clone().flat_map(|it| match &it.scope {
        SubscriptionScope::Groups(groups) => groups.as_slice(),
        SubscriptionScope::Matching(patterns) => patterns.patterns.as_slice(),
        SubscriptionScope::Account { .. } => &[],
    });
    // What a pattern allows needs no statement of its own: the role stays as it is when groups come.
    let is_matched = |group: &str| {
        own.clone()
            .any(|it| matches!(&it.scope, SubscriptionScope::Matching(patterns) if patterns.takes(group)))
    };
    let vended = groups
        .filter(|group| is_vended(topology, account, group) && (group.contains('*') || !is_matched(group)));
    let resources: Vec<_> = vended.map(|group| place.log_group(group, true)).collect();
    let trust = allow("LogsOfThisAccountAlone", ["sts:AssumeRole"]).by(logs_service(place)).when(
        Comparison::StringLike,
        "aws:SourceArn",
        [place.all_logs()],
    );
    let role = ResourceKind::Role {
        name: name.clone(),
        description: "CloudWatch Logs sends on what AWS services write to log groups".to_owned(),
        trust: document([trust]),
        permissions: document([allow("LogsSendsOnVendedLogs", ["logs:PutLogEvents"]).on(resources)]),
    };
    draft.add(PlanPhase::Free, account, "Sender Role", &[], role);
    Some(name)
}
