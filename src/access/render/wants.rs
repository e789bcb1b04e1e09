//! The five questions about each statement: who, where, when, what, and what is wanted.

use crate::access::plan::{Attached, Kind, Part, Resource};
use crate::access::policy::document::{Condition, Element, Principals, Statement};

/// A statement's answers.
pub(super) struct Wants {
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
pub(super) fn of(resource: &Resource, attached: Attached<'_>) -> Vec<Wants> {
    let is_key = matches!(resource.kind, Kind::Key { .. });
    let place = |statement: &Statement| match &statement.resources {
        None => "the role itself".to_owned(),
        Some(_) if is_key => "this key".to_owned(),
        Some(resources) => list(resources),
    };
    let answers = |statement: &Statement| Wants {
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
pub(super) fn lines(resource: &Resource, attached: Attached<'_>) -> Vec<String> {
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
fn subject(resource: &Resource) -> String {
    match &resource.kind {
        Kind::Role { name, .. } => format!("role {name}"),
        Kind::RolePolicy { role, .. } => format!("role {role}"),
        Kind::ManagedPolicy { .. } => "whatever standpipe runs as: attach this policy to it".to_owned(),
        Kind::Key { .. }
        | Kind::LogGroup { .. }
        | Kind::Bucket { .. }
        | Kind::Notification { .. }
        | Kind::Queue { .. }
        | Kind::DeliveryStream(_)
        | Kind::DataStream { .. }
        | Kind::LeaseTable { .. }
        | Kind::Destination { .. }
        | Kind::LogsPolicy { .. }
        | Kind::Filter(_)
        | Kind::AccountFilter { .. } => "nobody".to_owned(),
    }
}

fn principals(principals: &Element<Principals>) -> String {
    let named = match principals.written() {
        Principals::Everyone => "everyone".to_owned(),
        Principals::Named(kinds) => {
            let all: Vec<&str> = kinds.values().flatten().map(String::as_str).collect();
            all.join(", ")
        }
    };
    not(principals, named)
}

fn list(values: &Element<Vec<String>>) -> String {
    not(values, values.written().join(", "))
}

fn not<T>(element: &Element<T>, named: String) -> String {
    match element {
        Element::Is(_) => named,
        Element::Not(_) => format!("all but {named}"),
    }
}

fn when(conditions: &[Condition]) -> String {
    if conditions.is_empty() {
        return "always".to_owned();
    }
    let one = |condition: &Condition| {
        format!("{} {} {}", condition.key, condition.operator, condition.values.join(" or "))
    };
    conditions.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// What a part is called in a heading.
pub(super) const fn heading(part: Part) -> &'static str {
    match part {
        Part::Trust => "who may assume it",
        Part::Permissions => "what it may do",
        Part::Policy => "who may use it",
    }
}
