//! What is to be done to each resource, from what was seen of it.

use serde_json::Value;

use super::compare::same;
use crate::access::call::Call;
use crate::access::live::{Fixer, Look, Seen, State, desired, extra};
use crate::access::plan::{Kind, Plan, Resource, Stage};

/// What is to be done to one resource.
#[derive(Clone, Debug)]
pub struct Change<'p> {
    /// Where it is.
    pub stage: &'p Stage,
    /// What it is.
    pub resource: &'p Resource,
    /// What is to be done.
    pub action: Action,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// It is made.
    Create,
    /// These aspects are put right.
    Change(Vec<Difference>),
    /// It is as it should be.
    Keep,
    /// It cannot be seen, and why.
    Unseen(String),
    /// No call can fix it; what a person has to do.
    ByHand(String),
}

/// An aspect that is not as it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Its name.
    pub aspect: &'static str,
    /// What was found; none where there is nothing.
    pub found: Option<Value>,
    /// What should be.
    pub wanted: Value,
}

/// What is to be done, in the order of the plan; `is_wanted` says in which accounts.
pub fn changes<'p>(plan: &'p Plan, seen: &Seen, is_wanted: impl Fn(&Stage) -> bool) -> Vec<Change<'p>> {
    let stages = plan.stages.iter().filter(|stage| is_wanted(stage));
    let all = stages.flat_map(|stage| stage.resources.iter().map(move |resource| (stage, resource)));
    all.map(|(stage, resource)| Change { stage, resource, action: action(seen, stage, resource) }).collect()
}

pub(super) fn action(seen: &Seen, stage: &Stage, resource: &Resource) -> Action {
    let found = match seen.look(&stage.account.name, &resource.id) {
        Some(Look::Found(found)) => found,
        Some(Look::Absent) => return Action::Create,
        Some(Look::Unseen(why)) => return Action::Unseen(why.clone()),
        None => return Action::Unseen("it was not looked at".to_owned()),
    };
    if let Some(hand) = by_hand(resource, found) {
        return Action::ByHand(hand);
    }
    let wanted = desired(resource);
    let is_part = matches!(resource.kind, Kind::RolePolicy { .. } | Kind::Notification { .. });
    if is_part && !wanted.keys().any(|aspect| found.contains_key(aspect)) {
        // What it is part of is there, and it is not.
        return Action::Create;
    }
    let differences = differences(resource, wanted, found);
    if differences.is_empty() { Action::Keep } else { Action::Change(differences) }
}

/// The aspects that are not as wanted.
fn differences(resource: &Resource, mut wanted: State, state: &State) -> Vec<Difference> {
    if matches!(resource.kind, Kind::DeliveryStream(_)) {
        // Standpipe's own records would be refused otherwise.
        wanted.insert(extra::DECOMPRESSES, false.into());
    }
    let differs = |(aspect, wanted): (&'static str, Value)| {
        let found = state.get(aspect).filter(|found| !found.is_null());
        let is_same = same(found.unwrap_or(&Value::Null), &wanted);
        (!is_same).then(|| Difference { aspect, found: found.cloned(), wanted })
    };
    wanted.into_iter().filter_map(differs).collect()
}

/// What no call puts right without losing something.
fn by_hand(resource: &Resource, state: &State) -> Option<String> {
    let text = |aspect| state.get(aspect).and_then(Value::as_str).unwrap_or_default();
    match &resource.kind {
        Kind::DeliveryStream(stream) if text(extra::SOURCE) != "DirectPut" => Some(format!(
            "its source is {}, which cannot be changed; delete the stream, or give `[stream]` another `name` than `{}`",
            text(extra::SOURCE),
            stream.name
        )),
        Kind::DeliveryStream(_) | Kind::DataStream { .. } | Kind::LeaseTable { .. }
            if text("status").ends_with("FAILED") || text("status") == "DELETING" =>
        {
            Some(format!("it is {}; see that it is gone, and run this again", text("status")))
        }
        Kind::Key { .. }
        | Kind::LogGroup { .. }
        | Kind::Bucket { .. }
        | Kind::Notification { .. }
        | Kind::Queue { .. }
        | Kind::Role { .. }
        | Kind::RolePolicy { .. }
        | Kind::ManagedPolicy { .. }
        | Kind::DeliveryStream(_)
        | Kind::DataStream { .. }
        | Kind::LeaseTable { .. }
        | Kind::Destination { .. }
        | Kind::LogsPolicy { .. }
        | Kind::Filter(_)
        | Kind::AccountFilter { .. } => None,
    }
}

impl Change<'_> {
    /// The calls that do it.
    #[must_use]
    pub fn calls(&self, plan: &Plan, seen: &Seen) -> Vec<Call> {
        let fixer = Fixer { plan, stage: self.stage, seen };
        match &self.action {
            Action::Create => fixer.create(self.resource),
            Action::Change(differences) => {
                fixer.repairs(self.resource, differences.iter().map(|difference| difference.aspect))
            }
            Action::Keep | Action::Unseen(_) | Action::ByHand(_) => Vec::new(),
        }
    }

    /// Whether something is done.
    #[must_use]
    pub fn is_change(&self) -> bool {
        matches!(self.action, Action::Create | Action::Change(_))
    }

    /// Whether it was there before, and is not the topology's own by its tag; none where that cannot be known.
    #[must_use]
    pub fn is_foreign(&self, plan: &Plan, seen: &Seen) -> Option<bool> {
        let Some(Look::Found(state)) = seen.look(&self.stage.account.name, &self.resource.id) else {
            return None;
        };
        state.get(extra::TAGS).map(|tags| !is_own(plan, tags))
    }
}

/// Whether tags have the mark of the plan, which is the last of its own.
pub(super) fn is_own(plan: &Plan, tags: &Value) -> bool {
    plan.tags.last().is_some_and(|(key, value)| tags.get(key).and_then(Value::as_str) == Some(value))
}
