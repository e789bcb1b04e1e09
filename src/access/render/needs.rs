//! The five questions about each statement: who, where, when, what, and what is wanted.

use crate::access::plan::{DocumentPurpose, PlannedResource, ResourceDocument, ResourceKind};
use crate::access::policy::document::{Negatable, PolicyCondition, Principals, Statement};

/// A statement's answers.
pub(super) struct RequestNeeds {
    /// Its name, which says why.
    pub(super) why: String,
    /// Whom it is about.
    pub(super) who: String,
    /// On what.
    pub(super) place: String,
    /// Under which conditions.
    pub(super) when: String,
    /// Which actions.
    pub(super) what: String,
    /// Whether they are allowed or denied.
    pub(super) want: String,
}

/// The answers of every statement.
pub(super) fn of(resource: &PlannedResource, attached: ResourceDocument<'_>) -> Vec<RequestNeeds> {
    let is_key = matches!(resource.kind, ResourceKind::Key { .. });
    let place = |statement: &Statement| match &statement.resources {
        None => "the role itself".to_owned(),
        Some(_) if is_key => "this key".to_owned(),
        Some(resources) => list(resources),
    };
    let answers = |statement: &Statement| RequestNeeds {
        why: statement.sid.clone().unwrap_or_default(),
        who: statement.principals.as_ref().map_or_else(|| subject(resource), principals),
        place: place(statement),
        when: when(&statement.conditions),
        what: list(&statement.actions),
        want: statement.effect.to_string(),
    };
    attached.document.statements.iter().map(answers).collect()
}

/// The answers as lines of a comment.
pub(super) fn lines(resource: &PlannedResource, attached: ResourceDocument<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    for wants in of(resource, attached) {
        lines.push(format!("  {}: {}", attached.part.as_str(), wants.why));
        let rows = [
            ("who", &wants.who),
            ("where", &wants.place),
            ("when", &wants.when),
            ("what", &wants.what),
            ("want", &wants.want),
        ];
        lines.extend(rows.map(|(question, answer)| format!("    {question:<5}  {answer}")));
    }
    lines
}

/// Whom a policy without principals is about: whoever has it.
fn subject(resource: &PlannedResource) -> String {
    match &resource.kind {
        ResourceKind::Role { name, .. } => format!("role {name}"),
        ResourceKind::RolePolicy { role, .. } => format!("role {role}"),
        ResourceKind::ManagedPolicy { .. } => {
            "whatever standpipe runs as: attach this policy to it".to_owned()
        }
        ResourceKind::Key { .. }
        | ResourceKind::LogGroup { .. }
        | ResourceKind::Bucket { .. }
        | ResourceKind::Notification { .. }
        | ResourceKind::Queue { .. }
        | ResourceKind::DeliveryStream(_)
        | ResourceKind::DataStream { .. }
        | ResourceKind::LeaseTable { .. }
        | ResourceKind::Destination { .. }
        | ResourceKind::LogsPolicy { .. }
        | ResourceKind::Filter(_)
        | ResourceKind::AccountFilter { .. } => "nobody".to_owned(),
    }
}

fn principals(principals: &Negatable<Principals>) -> String {
    let named = match principals.written() {
        Principals::Everyone => "everyone".to_owned(),
        Principals::Named(kinds) => {
            let all: Vec<&str> = kinds.values().flatten().map(String::as_str).collect();
            all.join(", ")
        }
    };
    not(principals, named)
}

fn list(values: &Negatable<Vec<String>>) -> String {
    not(values, values.written().join(", "))
}

fn not<T>(element: &Negatable<T>, named: String) -> String {
    match element {
        Negatable::Is(_) => named,
        Negatable::Not(_) => format!("all but {named}"),
    }
}

fn when(conditions: &[PolicyCondition]) -> String {
    if conditions.is_empty() {
        return "always".to_owned();
    }
    let one = |condition: &PolicyCondition| {
        format!("{} {} {}", condition.key, condition.operator, condition.values.join(" or "))
    };
    conditions.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// What a part is called in a heading.
pub(super) const fn heading(part: DocumentPurpose) -> &'static str {
    match part {
        DocumentPurpose::Trust => "who may assume it",
        DocumentPurpose::Permissions => "what it may do",
        DocumentPurpose::Policy => "who may use it",
    }
}
