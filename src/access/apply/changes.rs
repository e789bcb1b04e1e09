//! What is to be done to each resource, from what was seen of it.

use serde_json::Value;

use super::compare::same;
use crate::access::live::{CallPlanner, Observation, ObservedState, ResourceState, desired, extra};
use crate::access::plan::{AccessPlan, PlanStage, PlannedResource, ResourceKind};
use crate::access::policy::{ReadPolicy, UnreadPart};
use crate::aws::ApiCall;

/// What is to be done to one resource.
#[derive(Clone, Debug)]
pub struct PlannedChange<'p> {
    /// Where it is.
    pub stage: &'p PlanStage,
    /// What it is.
    pub resource: &'p PlannedResource,
    /// What is to be done.
    pub action: ChangeAction,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum ChangeAction {
    /// It is made.
    Create,
    /// These aspects are put right.
    Change(Vec<AspectDifference>),
    /// It is as it should be.
    Keep,
    /// It cannot be seen, and why.
    Unseen(String),
    /// No call can fix it; what a person has to do.
    ByHand(String),
}

/// An aspect that is not as it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct AspectDifference {
    /// Its name.
    pub aspect: &'static str,
    /// What was found; none where there is nothing.
    pub found: Option<Value>,
    /// What should be.
    pub wanted: Value,
}

/// What is to be done, in the order of the plan; `is_wanted` says in which accounts.
pub fn changes<'p>(
    plan: &'p AccessPlan,
    seen: &ObservedState,
    is_wanted: impl Fn(&PlanStage) -> bool,
) -> Vec<PlannedChange<'p>> {
    let stages = plan.stages.iter().filter(|stage| is_wanted(stage));
    let all = stages.flat_map(|stage| stage.resources.iter().map(move |resource| (stage, resource)));
    all.map(|(stage, resource)| PlannedChange { stage, resource, action: action(seen, stage, resource) })
        .collect()
}

pub(super) fn action(seen: &ObservedState, stage: &PlanStage, resource: &PlannedResource) -> ChangeAction {
    let found = match seen.look(&stage.account.name, &resource.id) {
        Some(Observation::Found(found)) => found,
        Some(Observation::Absent) => return ChangeAction::Create,
        Some(Observation::Unseen(why)) => return ChangeAction::Unseen(why.clone()),
        None => return ChangeAction::Unseen("it was not checked".to_owned()),
    };
    if let Some(hand) = by_hand(resource, found) {
        return ChangeAction::ByHand(hand);
    }
    let wanted = desired(resource);
    let is_part =
        matches!(resource.kind, ResourceKind::RolePolicy { .. } | ResourceKind::Notification { .. });
    if is_part && !wanted.keys().any(|aspect| found.contains_key(aspect)) {
        // What it is part of is there, and it is not.
        return ChangeAction::Create;
    }
    let differences = differences(resource, wanted, found);
    if let Some(hand) = differences.iter().find_map(unread) {
        return ChangeAction::ByHand(hand);
    }
    if differences.is_empty() { ChangeAction::Keep } else { ChangeAction::Change(differences) }
}

/// What is said of a policy that is there and cannot be read to its end: it is not replaced, since nobody knows what would be lost.
fn unread(difference: &AspectDifference) -> Option<String> {
    let AspectDifference { aspect, found, wanted } = difference;
    wanted.get("Statement")?;
    let there = ReadPolicy::of(&found.as_ref()?.to_string());
    let UnreadPart { reason, .. } = there.unread.first()?;
    Some(format!(
        "its {aspect} cannot all be read, and is not replaced: {reason}; put what is wanted into it by hand"
    ))
}

/// The aspects that are not as wanted.
fn differences(
    resource: &PlannedResource,
    mut wanted: ResourceState,
    state: &ResourceState,
) -> Vec<AspectDifference> {
    if matches!(resource.kind, ResourceKind::DeliveryStream(_)) {
        // Standpipe's own records would be refused otherwise.
        wanted.insert(extra::DECOMPRESSES, false.into());
    }
    let differs = |(aspect, wanted): (&'static str, Value)| {
        let found = state.get(aspect).filter(|found| !found.is_null());
        let is_same = same(found.unwrap_or(&Value::Null), &wanted);
        (!is_same).then(|| AspectDifference { aspect, found: found.cloned(), wanted })
    };
    wanted.into_iter().filter_map(differs).collect()
}

/// What no call puts right without losing something.
fn by_hand(resource: &PlannedResource, state: &ResourceState) -> Option<String> {
    let text = |aspect| state.get(aspect).and_then(Value::as_str).unwrap_or_default();
    match &resource.kind {
        ResourceKind::DeliveryStream(stream) if text(extra::SOURCE) != "DirectPut" => Some(format!(
            "its source is {}, which cannot be changed; delete the stream, or give `[stream]` another `name` than `{}`",
            text(extra::SOURCE),
            stream.name
        )),
        ResourceKind::DeliveryStream(_)
        | ResourceKind::DataStream { .. }
        | ResourceKind::LeaseTable { .. }
            if text("status").ends_with("FAILED") || text("status") == "DELETING" =>
        {
            Some(format!("it is {}; wait until it is gone, and run this again", text("status")))
        }
        ResourceKind::Key { .. }
        | ResourceKind::LogGroup { .. }
        | ResourceKind::Bucket { .. }
        | ResourceKind::Notification { .. }
        | ResourceKind::Queue { .. }
        | ResourceKind::Role { .. }
        | ResourceKind::RolePolicy { .. }
        | ResourceKind::ManagedPolicy { .. }
        | ResourceKind::DeliveryStream(_)
        | ResourceKind::DataStream { .. }
        | ResourceKind::LeaseTable { .. }
        | ResourceKind::Destination { .. }
        | ResourceKind::LogsPolicy { .. }
        | ResourceKind::Filter(_)
        | ResourceKind::AccountFilter { .. } => None,
    }
}

impl PlannedChange<'_> {
    /// The calls that do it.
    #[must_use]
    pub fn calls(&self, plan: &AccessPlan, seen: &ObservedState) -> Vec<ApiCall> {
        let fixer = CallPlanner { plan, stage: self.stage, seen };
        match &self.action {
            ChangeAction::Create => fixer.create(self.resource),
            ChangeAction::Change(differences) => {
                fixer.repairs(self.resource, differences.iter().map(|difference| difference.aspect))
            }
            ChangeAction::Keep | ChangeAction::Unseen(_) | ChangeAction::ByHand(_) => Vec::new(),
        }
    }

    /// Whether something is done.
    #[must_use]
    pub fn is_change(&self) -> bool {
        matches!(self.action, ChangeAction::Create | ChangeAction::Change(_))
    }

    /// Whether it was there before, and is not the topology's own by its tag; none where that cannot be known.
    #[must_use]
    pub fn is_foreign(&self, plan: &AccessPlan, seen: &ObservedState) -> Option<bool> {
        let Some(Observation::Found(state)) = seen.look(&self.stage.account.name, &self.resource.id) else {
            return None;
        };
        state.get(extra::TAGS).map(|tags| !is_own(plan, tags))
    }
}

/// Whether tags have the mark of the plan, which is the last of its own.
pub(super) fn is_own(plan: &AccessPlan, tags: &Value) -> bool {
    plan.tags.last().is_some_and(|(key, value)| tags.get(key).and_then(Value::as_str) == Some(value))
}
