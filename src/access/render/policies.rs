//! The policies as JSON, and a page that says of each who may do what.

use super::needs::{self, heading};
use super::text::{RenderedFile, add, name, numbered};
use crate::access::plan::{AccessPlan, PlanStage, PlannedResource, ResourceDocument};

/// The page, and a file a policy.
pub(super) fn files(plan: &AccessPlan) -> Vec<RenderedFile> {
    let file = |path: String, text: String| RenderedFile { path, text, is_script: false };
    let mut files = vec![file("README.md".to_owned(), page(plan))];
    for (number, stage) in numbered(plan) {
        for resource in &stage.resources {
            for attached in resource.documents() {
                let text = format!("{}\n", attached.document.to_pretty_json());
                files.push(file(path(number, stage, resource, attached), text));
            }
        }
        for by_hand in &stage.by_hand {
            let path = format!("{}/{}.json", name(number, stage), by_hand.file);
            files.push(file(path, format!("{}\n", by_hand.document.to_pretty_json())));
        }
    }
    files
}

fn path(
    number: usize,
    stage: &PlanStage,
    resource: &PlannedResource,
    attached: ResourceDocument<'_>,
) -> String {
    format!("{}/{}-{}.json", name(number, stage), resource.id, attached.part.as_str())
}

/// The order of creation, and a table a policy.
fn page(plan: &AccessPlan) -> String {
    let mut text = format!("# Who may do what\n\nRegion {}. In this order:\n", plan.region);
    for (number, stage) in numbered(plan) {
        let account = &stage.account;
        let owner = account.owner.as_deref().unwrap_or("the account's administrators");
        add(
            &mut text,
            format!(
                "\n## Step {number}: account {} ({}), by {owner}\n\n",
                account.name, account.place.account
            ),
        );
        for (index, resource) in stage.resources.iter().enumerate() {
            add(&mut text, format!("{}. {}\n", index + 1, resource.title()));
        }
        for resource in &stage.resources {
            for attached in resource.documents() {
                text.push_str(&table(resource, attached, &path(number, stage, resource, attached)));
            }
        }
        for by_hand in &stage.by_hand {
            let path = format!("{}/{}.json", name(number, stage), by_hand.file);
            add(&mut text, format!("\nBy hand: {} They are in [{path}]({path}).\n", by_hand.what));
        }
    }
    text
}

fn table(resource: &PlannedResource, attached: ResourceDocument<'_>, path: &str) -> String {
    let title = resource.title();
    let heading = heading(attached.part);
    let mut text = format!("\n### {title}: {heading}\n\n[{path}]({path})\n\n");
    if attached.document.statements.is_empty() {
        text.push_str("Nobody.\n");
        return text;
    }
    text.push_str("| why | who | where | when | what | want |\n|---|---|---|---|---|---|\n");
    for wants in needs::of(resource, attached) {
        let cells = [&wants.why, &wants.who, &wants.place, &wants.when, &wants.what, &wants.want];
        let cells: Vec<String> =
            cells.iter().map(|cell| cell.replace('|', "\\|").replace('*', "\\*")).collect();
        add(&mut text, format!("| {} |\n", cells.join(" | ")));
    }
    text
}
