//! Roles that read log groups without a subscription: whether standpipe may assume them, and whether they may list and read.

use super::assumed::{ask, assumed};
use super::observed::ObservedPlan;
use super::permission::{PolicyHolder, TargetPolicies, all};
use crate::access::report::{Hop, HopFinding};
use crate::config::topology::{AwsAccount, LogGroupReader};

/// Who reads log groups.
pub(super) fn hops(view: ObservedPlan<'_>) -> Vec<Hop> {
    let hop = |reader: &LogGroupReader| {
        let account = &reader.logs_account;
        let findings = assumed(view, &reader.assumer, account, |holder| reads(reader, holder));
        Hop { name: format!("log reader {} of {}", reader.assumer.name, account.name), findings }
    };
    view.topology.log_readers.iter().map(hop).collect()
}

/// What the source calls, on what the service names in its denials.
fn reads(reader: &LogGroupReader, holder: &PolicyHolder<'_>) -> Vec<HopFinding> {
    let account: &AwsAccount = &reader.logs_account;
    let streams_of = |name: &str| account.place.log_stream(name, "").to_string();
    let asks = |action: &'static str, name: &str| {
        ask(holder, action, &streams_of(name), account, TargetPolicies::Nothing)
    };
    let list = asks("logs:DescribeLogGroups", "");
    let names = reader.log_groups.iter().map(|pattern| pattern.replace('*', "standpipe"));
    let reads: Vec<_> = names.map(|name| asks("logs:FilterLogEvents", &name)).collect();
    vec![
        all(
            "list_log_groups",
            "log groups that are not listed are not read; it cannot be allowed for some of them",
            &[list],
        ),
        all("read_log_events", "log groups cannot be read without it", &reads),
    ]
}
