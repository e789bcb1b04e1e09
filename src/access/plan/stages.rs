//! The order of accounts: each account's part in one piece wherever that can be.

use std::sync::Arc;

use super::draft::{DraftResource, PlanDraft, PlanPhase};
use super::resource::PlanStage;
use crate::config::topology::AwsAccount;

/// Groups what was worked out by account.
///
/// Only filters wait for another account's destination, and only a stream for another account's bucket. So an account comes
/// twice if it owns the bucket of another account's stream, and subscribes its log groups to that stream as well.
pub(super) fn stages(draft: PlanDraft<'_>) -> Vec<PlanStage> {
    let PlanDraft { topology, parts, by_hand } = draft;
    let mut stages: Vec<PlanStage> = Vec::new();
    let mut parts: Vec<DraftResource> = parts;
    // Stable: what was worked out first stays first within its phase.
    parts.sort_by_key(|part| part.phase);
    let destination = topology.destination.as_ref().map(|destination| destination.account.name.clone());
    for DraftResource { phase, account, resource } in parts {
        let after = match phase {
            PlanPhase::Store | PlanPhase::Stream | PlanPhase::Free => None,
            PlanPhase::Send => {
                stages.iter().position(|stage| Some(&stage.account.name) == destination.as_ref())
            }
        };
        let own = stages.iter().rposition(|stage| stage.account.name == account.name);
        match own.filter(|own| after.is_none_or(|after| *own >= after)).and_then(|own| stages.get_mut(own)) {
            Some(stage) => stage.resources.push(resource),
            None => stages.push(PlanStage { account, resources: vec![resource], by_hand: Vec::new() }),
        }
    }
    for (account, by_hand) in by_hand {
        stage_of(&mut stages, &account).by_hand.push(by_hand);
    }
    for stage in &mut stages {
        drop_needs_of_others(stage);
    }
    stages
}

/// The account's last stage; an empty one for an account that has only things to do by hand.
fn stage_of<'s>(stages: &'s mut Vec<PlanStage>, account: &Arc<AwsAccount>) -> &'s mut PlanStage {
    let found = stages.iter().rposition(|stage| stage.account.name == account.name);
    let index = found.unwrap_or_else(|| {
        stages.push(PlanStage { account: Arc::clone(account), resources: Vec::new(), by_hand: Vec::new() });
        stages.len() - 1
    });
    #[expect(clippy::indexing_slicing, reason = "the index was found, or is that of what was just pushed")]
    &mut stages[index]
}

/// What stands in an earlier stage is there already.
fn drop_needs_of_others(stage: &mut PlanStage) {
    let ids: Vec<String> = stage.resources.iter().map(|resource| resource.id.clone()).collect();
    for resource in &mut stage.resources {
        resource.needs.retain(|need| ids.contains(need));
    }
}
