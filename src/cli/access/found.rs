//! The plan of a topology with the log groups that match its subscriptions.

use std::collections::BTreeMap;

use crate::access::live::{AccountClients, matching};
use crate::access::plan::{AccessPlan, PlanError, plan as plan_of};
use crate::config::topology::Topology;

/// A plan, and what could not be found for it.
pub(super) struct FoundPlan {
    pub(super) plan: AccessPlan,
    /// Why the log groups of accounts with credentials could not be listed.
    pub(super) faults: BTreeMap<String, String>,
}

/// Lists log groups where subscriptions have patterns, and plans a filter for each that matches.
pub(super) async fn with_found(
    topology: &Topology,
    plan: AccessPlan,
    clients: &AccountClients,
) -> Result<FoundPlan, PlanError> {
    let mut found = matching(topology, clients).await;
    let mut faults = std::mem::take(&mut found.faults);
    faults.retain(|account, _| clients.caller(account).is_some());
    let plan = if found.groups.is_empty() { plan } else { plan_of(&topology.with_found(&found.names()))? };
    Ok(FoundPlan { plan, faults })
}
