//! What is to be done, for people and for machines.

use serde_json::{Value, json};

use super::changes::{AspectDifference, ChangeAction, PlannedChange};
use super::compare::lines;
use super::removals::{PlannedRemoval, RemovalAction};

/// The word of an action.
struct ActionWord {
    text: &'static str,
    /// Its colour on a terminal, as the code of an escape sequence.
    code: &'static str,
}

const fn word(action: &ChangeAction) -> ActionWord {
    let (text, code) = match action {
        ChangeAction::Create => ("create", "32"),
        ChangeAction::Change(_) => ("change", "33"),
        ChangeAction::Keep => ("keep", "2"),
        ChangeAction::Unseen(_) => ("unseen", "31"),
        ChangeAction::ByHand(_) => ("hand", "35"),
    };
    ActionWord { text, code }
}

const fn removal_word(removal: &RemovalAction) -> ActionWord {
    let (text, code) = match removal {
        RemovalAction::Delete(_) => ("delete", "31"),
        RemovalAction::Leave(_) => ("leave", "33"),
        RemovalAction::Gone => ("gone", "2"),
        RemovalAction::Unseen(_) => ("unseen", "31"),
    };
    ActionWord { text, code }
}

fn line(word: &ActionWord, title: &str, more: &str, colour: bool) -> String {
    let ActionWord { text: word, code } = word;
    let word = if colour { format!("\u{1b}[{code}m{word:6}\u{1b}[0m") } else { format!("{word:6}") };
    format!("  {word}  {title}{more}\n")
}

/// A change in a line, with the aspects that differ below it.
#[must_use]
pub fn show_change(change: &PlannedChange<'_>, is_foreign: bool, colour: bool) -> String {
    let more = match &change.action {
        ChangeAction::Unseen(why) | ChangeAction::ByHand(why) => format!(": {why}"),
        ChangeAction::Change(_) if is_foreign => " (it existed before this topology)".to_owned(),
        ChangeAction::Create | ChangeAction::Change(_) | ChangeAction::Keep => String::new(),
    };
    let mut text = line(&word(&change.action), &change.resource.title(), &more, colour);
    if let ChangeAction::Change(differences) = &change.action {
        for difference in differences {
            text.push_str(&show_difference(difference, colour));
        }
    }
    text
}

fn show_difference(difference: &AspectDifference, colour: bool) -> String {
    let AspectDifference { aspect, found, wanted } = difference;
    let is_document = wanted.is_object() || found.as_ref().is_some_and(Value::is_object);
    if !is_document {
        let found = found.as_ref().map_or_else(|| "nothing".to_owned(), said);
        return format!("            {aspect}: {found} -> {}\n", said(wanted));
    }
    let mut text = format!("            {aspect}:\n");
    for line in lines(found.as_ref(), wanted) {
        let code = match line.chars().next() {
            Some('-') => "31",
            Some('+') => "32",
            _ => "0",
        };
        let line = if colour { format!("\u{1b}[{code}m{line}\u{1b}[0m") } else { line };
        text.extend(["              ", &line, "\n"]);
    }
    text
}

fn said(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) if text.is_empty() => "\"\"".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// A removal in a line.
#[must_use]
pub fn show_removal(removal: &PlannedRemoval<'_>, colour: bool) -> String {
    let more = match &removal.action {
        RemovalAction::Delete(Some(what)) => format!(", {what}"),
        RemovalAction::Leave(why) | RemovalAction::Unseen(why) => format!(": {why}"),
        RemovalAction::Delete(None) | RemovalAction::Gone => String::new(),
    };
    line(&removal_word(&removal.action), &removal.resource.title(), &more, colour)
}

/// A change for machines.
#[must_use]
pub fn change_json(change: &PlannedChange<'_>) -> Value {
    let mut json = json!({
        "account": change.stage.account.name,
        "id": change.resource.id,
        "resource": change.resource.title(),
        "action": word(&change.action).text,
    });
    match &change.action {
        ChangeAction::Unseen(why) | ChangeAction::ByHand(why) => add(&mut json, "why", why.as_str().into()),
        ChangeAction::Change(differences) => {
            let one = |it: &AspectDifference| json!({ "aspect": it.aspect, "found": it.found, "wanted": it.wanted });
            add(&mut json, "differences", differences.iter().map(one).collect());
        }
        ChangeAction::Create | ChangeAction::Keep => {}
    }
    json
}

/// A removal for machines.
#[must_use]
pub fn removal_json(removal: &PlannedRemoval<'_>) -> Value {
    let mut json = json!({
        "account": removal.stage.account.name,
        "id": removal.resource.id,
        "resource": removal.resource.title(),
        "action": removal_word(&removal.action).text,
    });
    match &removal.action {
        RemovalAction::Leave(why) | RemovalAction::Unseen(why) | RemovalAction::Delete(Some(why)) => {
            add(&mut json, "why", why.as_str().into());
        }
        RemovalAction::Delete(None) | RemovalAction::Gone => {}
    }
    json
}

fn add(json: &mut Value, key: &str, value: Value) {
    if let Value::Object(members) = json {
        members.insert(key.to_owned(), value);
    }
}
