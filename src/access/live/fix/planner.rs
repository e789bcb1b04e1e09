//! What knows how to make and to fix the resources of a plan.

use serde_json::Value;

use crate::access::live::{ObservedState, ResourceState};
use crate::access::plan::{AccessPlan, PlanStage};

/// Knows how to make and to fix what a stage of a plan holds, from what was seen.
#[derive(Clone, Copy, Debug)]
pub struct CallPlanner<'a> {
    /// The plan: its tags are put on what is made.
    pub plan: &'a AccessPlan,
    /// The stage whose resources are made.
    pub stage: &'a PlanStage,
    /// What was seen: the ids of keys, and what has to stay as it is.
    pub seen: &'a ObservedState,
}

/// An aspect that is a string.
pub(super) fn text(state: &ResourceState, aspect: &str) -> String {
    state.get(aspect).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// An input with more in it.
pub(super) fn with<const N: usize>(mut input: Value, more: [(&str, Option<Value>); N]) -> Value {
    if let Value::Object(input) = &mut input {
        input.extend(more.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
    }
    input
}
