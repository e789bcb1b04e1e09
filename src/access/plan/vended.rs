//! Log groups that AWS services write: the resource policies that let them, within AWS's limits.
//!
//! Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/AWS-logs-infrastructure-CWL.html>.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::{PlanDraft, PlanPhase};
use super::limits::{MAX_LOGS_POLICY, PlanError};
use super::resource::ResourceKind;
use super::statements::{StatementBuilder, allow, document};
use crate::access::policy::document::{Comparison, PolicyDocument, Principals};
use crate::arn::AccountRegion;
use crate::config::topology::VendedLogs;

/// Most resource policies that are made: half of the 10 that AWS allows in a region, since others need some too.
pub(super) const MAX_POLICIES: usize = 5;

/// Resource policies for all vended log groups of an account, and what roles need that turn logging on.
pub(super) fn vended(draft: &mut PlanDraft<'_>) -> Result<(), PlanError> {
    let topology = draft.topology;
    for account in &topology.accounts {
        let own: Vec<&VendedLogs> =
            topology.vended.iter().filter(|it| it.account.name == account.name).collect();
        let groups: BTreeSet<&str> = own.iter().flat_map(|it| &it.log_groups).map(String::as_str).collect();
        if groups.is_empty() {
            continue;
        }
        let policies = policies(&account.place, &groups)
            .ok_or_else(|| PlanError::Vended { account: account.name.clone(), n_groups: groups.len() })?;
        for (index, policy) in policies.into_iter().enumerate() {
            let number = index + 1;
            let name = format!("{}-log-delivery-{number}", topology.name);
            draft.add(
                PlanPhase::Free,
                account,
                &format!("Logs Policy {number}"),
                &[],
                ResourceKind::LogsPolicy { name, policy },
            );
        }
        for vended in own {
            turns_on(draft, vended);
        }
    }
    Ok(())
}

/// What a state machine's role, or whoever turns logging on, needs. It plays no part in writing the logs.
///
/// Source: <https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html>: none of these can be narrowed to a resource.
fn turns_on(draft: &mut PlanDraft<'_>, vended: &VendedLogs) {
    let Some(role) = &vended.role else { return };
    let id = format!("Turns On {role}");
    if draft.has(&vended.account, &id) {
        return;
    }
    let actions = [
        "logs:CreateLogDelivery",
        "logs:CreateLogStream",
        "logs:GetLogDelivery",
        "logs:UpdateLogDelivery",
        "logs:DeleteLogDelivery",
        "logs:ListLogDeliveries",
        "logs:PutLogEvents",
        "logs:PutResourcePolicy",
        "logs:DescribeResourcePolicies",
        "logs:DescribeLogGroups",
    ];
    let policy = document([allow("TheServiceTurnsLoggingOn", actions).on(["*"])]);
    let kind = ResourceKind::RolePolicy {
        role: role.rsplit('/').next().unwrap_or(role).to_owned(),
        name: format!("{}-log-delivery", draft.topology.name),
        policy,
    };
    draft.add(PlanPhase::Free, &vended.account, &id, &[], kind);
}

/// As few policies as hold all groups. When they are too many, groups of one folder are named together by a prefix, the
/// folder with the most groups first.
fn policies(place: &AccountRegion, groups: &BTreeSet<&str>) -> Option<Vec<PolicyDocument>> {
    let mut names: BTreeSet<String> = groups.iter().map(|&group| group.to_owned()).collect();
    loop {
        let packed = pack(place, &names);
        if packed.len() <= MAX_POLICIES {
            return Some(packed);
        }
        names = merge(&names)?;
    }
}

/// Fills policies one after the other.
fn pack(place: &AccountRegion, names: &BTreeSet<String>) -> Vec<PolicyDocument> {
    let empty = policy(place, &[]).to_json().len();
    let mut packed = Vec::new();
    let (mut taken, mut len): (Vec<&String>, usize) = (Vec::new(), empty);
    for name in names {
        // Quotes and a comma.
        let more = place.log_stream(name, "*").to_string().len() + 3;
        if len + more > MAX_LOGS_POLICY && !taken.is_empty() {
            packed.push(policy(place, &taken));
            taken.clear();
            len = empty;
        }
        taken.push(name);
        len += more;
    }
    packed.push(policy(place, &taken));
    packed
}

/// One policy. Log delivery writes as itself; the role of a state machine, or of whatever else logs, is not asked.
fn policy(place: &AccountRegion, names: &[&String]) -> PolicyDocument {
    let resources = names.iter().map(|name| place.log_stream(name, "*"));
    let statement = allow("LogDeliveryWritesTheseLogGroups", ["logs:CreateLogStream", "logs:PutLogEvents"])
        .by(Principals::service(["delivery.logs.amazonaws.com"]))
        .on(resources)
        .when(Comparison::StringEquals, "aws:SourceAccount", [&place.account])
        .when(Comparison::ArnLike, "aws:SourceArn", [place.all_logs()]);
    document([statement])
}

/// The names with those of the largest folder made one; none when there is no folder left to merge.
///
/// A folder has at least two names before it: `/aws/vendedlogs/*` is the widest there can be.
fn merge(names: &BTreeSet<String>) -> Option<BTreeSet<String>> {
    let mut folders: BTreeMap<&str, usize> = BTreeMap::new();
    for name in names {
        if let Some(folder) = folder(name) {
            *folders.entry(folder).or_default() += 1;
        }
    }
    let (largest, _) = folders.into_iter().max_by_key(|(folder, n_names)| (*n_names, folder.len()))?;
    let together = format!("{largest}*");
    let rest = names.iter().filter(|name| !name.starts_with(largest));
    Some(rest.cloned().chain([together]).collect())
}

/// The folder of a name, or of a folder: `/aws/vendedlogs/states/` of `/aws/vendedlogs/states/orders`.
fn folder(name: &str) -> Option<&str> {
    let inside = name.trim_end_matches('*').trim_end_matches('/');
    let (folder, _) = inside.rsplit_once('/')?;
    let (folder, _) = name.split_at_checked(folder.len() + 1)?;
    (folder.matches('/').count() >= 3).then_some(folder)
}
