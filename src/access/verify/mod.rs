//! Explains what was seen of a topology: hop by hop, in the order that a log passes, with the fix of what fails.
//!
//! Pure. Each permission is asked of the policies as they were seen, not as they are wanted: what differs from the plan and is enough
//! passes, and only what really keeps logs from passing is a failure.

mod permission;
mod assumed;
mod bucket;
mod counts;
mod denial;
mod destination;
mod policy_fix;
mod keys;
mod log_readers;
mod senders;
mod stream;
mod vended;
mod observed;

#[cfg(test)]
mod tests;

use self::observed::ObservedPlan;
use super::live::{AccountAccess, Observation, ObservedState};
use super::plan::AccessPlan;
use super::report::{Hop, HopFinding, HopReport, Severity};
use crate::config::topology::Topology;

/// Explains what was seen of a topology's plan.
#[must_use]
pub fn examine(topology: &Topology, plan: &AccessPlan, seen: &ObservedState) -> HopReport {
    let view = ObservedPlan { topology, plan, seen };
    let mut hops = vec![accounts(view)];
    hops.extend(vended::hops(view));
    hops.extend(senders::hops(view));
    hops.extend(destination::hop(view));
    hops.extend(assumed::writer(view));
    hops.extend(stream::firehose(view));
    hops.extend(bucket::hop(view));
    hops.extend(stream::kinesis(view));
    hops.extend(assumed::consumer(view));
    hops.extend(assumed::readers(view));
    hops.extend(log_readers::hops(view));
    HopReport { hops, unseen_accounts: unseen_accounts(view) }
}

/// The accounts of which nothing could be seen: without credentials, or without leave to look at anything.
fn unseen_accounts(view: ObservedPlan<'_>) -> Vec<String> {
    let is_unseen = |name: &String| {
        if matches!(view.seen.accounts.get(name), Some(AccountAccess::Denied(_))) {
            return true;
        }
        let mut looks = view.seen.resources.iter().filter(|((of, _), _)| of == name).map(|(_, look)| look);
        let is_blind = |look: &Observation| matches!(look, Observation::Unseen(_));
        looks.next().is_some_and(is_blind) && looks.all(is_blind)
    };
    let names = view.topology.accounts.iter().map(|account| &account.name);
    names.filter(|name| is_unseen(name)).cloned().collect()
}

/// Whose credentials there were.
fn accounts(view: ObservedPlan<'_>) -> Hop {
    let mut findings: Vec<HopFinding> = Vec::new();
    for account in &view.topology.accounts {
        let id = &account.place.account;
        let name = &account.name;
        findings.push(match view.seen.accounts.get(name) {
            Some(AccountAccess::As(arn)) => HopFinding::ok("credentials", format!("{name} ({id}): `{arn}`")),
            Some(AccountAccess::Denied(reason)) => {
                HopFinding::warning("credentials", format!("{name} ({id}): {reason}"))
                    .why("nothing in this account can be checked")
                    .fix(format!("name a `profile` for `[accounts.{name}]`, or let its owner run this"))
            }
            None => {
                HopFinding::new("credentials", Severity::Skipped, format!("{name} ({id}) was not checked"))
            }
        });
    }
    findings.push(HopFinding::new(
        "organization",
        Severity::Skipped,
        "service and resource control policies of organizations are not checked: they may deny what seems to be allowed",
    ));
    Hop { name: "accounts".to_owned(), findings }
}
