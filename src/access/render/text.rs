//! Files of text, and what the forms of a plan have in common.

use super::needs;
use crate::access::plan::{AccessPlan, PlanStage, PlannedResource};

/// A file.
#[derive(Clone, Debug)]
pub struct RenderedFile {
    /// Where it belongs in the folder of all.
    pub path: String,
    /// What it holds.
    pub text: String,
    /// Whether it is to be run.
    pub is_script: bool,
}

/// A stage as files are named: `2-archive`.
pub(super) fn name(number: usize, stage: &PlanStage) -> String {
    format!("{number}-{}", stage.account.name)
}

/// The stages, counted from 1.
pub(super) fn numbered(plan: &AccessPlan) -> impl Iterator<Item = (usize, &PlanStage)> {
    plan.stages.iter().enumerate().map(|(index, stage)| (index + 1, stage))
}

/// What stands at the head of a stage's file: whose it is, what comes before, what it makes, what is left to do by hand.
pub(super) fn head(plan: &AccessPlan, number: usize, stage: &PlanStage, how: &str) -> Vec<String> {
    let account = &stage.account;
    let owner = account.owner.as_deref().unwrap_or("the account's administrators");
    let of = plan.stages.len();
    let id = &account.place.account;
    let mut lines = vec![
        format!("Step {number} of {of}: account {} ({id}), {}.", account.name, plan.region),
        format!("By {owner}. {how}"),
    ];
    if let Some(before) = number.checked_sub(2).and_then(|index| plan.stages.get(index)) {
        lines.push(format!("After step {} (account {}).", number - 1, before.account.name));
    }
    lines.push("Makes, and repairs when it is run again:".to_owned());
    lines.extend(stage.resources.iter().map(|resource| format!("  {}", resource.title())));
    for by_hand in &stage.by_hand {
        lines.push(format!("By hand: {}", by_hand.what));
    }
    lines
}

/// Lines as comments; an empty line has no blank after its mark.
pub(super) fn comments(lines: &[String]) -> String {
    let comment = |line: &String| if line.is_empty() { "#\n".to_owned() } else { format!("# {line}\n") };
    lines.iter().map(comment).collect::<Vec<_>>().concat()
}

/// The title of a resource and who may do what by its policies, as comments.
pub(super) fn annotated(resource: &PlannedResource) -> String {
    let mut lines = vec![resource.title()];
    for attached in resource.documents() {
        lines.extend(needs::lines(resource, attached));
    }
    comments(&lines)
}

/// Appends to a text that is being made.
pub(super) fn add(text: &mut String, more: impl AsRef<str>) {
    text.push_str(more.as_ref());
}
