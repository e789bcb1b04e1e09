//! Whether a statement applies to a request, and what keeps it from that.

use super::answer::{Fault, Found, Unknown};
use super::caller::{Caller, Reach};
use super::condition::{self, Held};
use super::context::{Context, Lookup};
use super::document::{Condition, Effect, Element, Statement, Version};
use super::pattern::{Expanded, Language, Pattern};
use super::truth::Truth;

/// What statements are asked about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    pub(super) caller: &'a Caller,
    pub(super) action: &'a str,
    pub(super) resource: &'a str,
    pub(super) context: &'a Context,
    /// The caller has a permissions boundary.
    pub(super) bounded: bool,
}

/// How a statement stands to a request.
#[derive(Clone, Debug)]
pub(super) struct Match {
    pub(super) truth: Truth,
    pub(super) reach: Reach,
    /// The elements that do not cover the request.
    pub(super) faults: Vec<Fault>,
    pub(super) unknown: Vec<Unclear>,
}

/// What it would take to know, before it is said of which statement.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Unclear {
    Key(String),
    Canonical,
    Spared,
}

impl Unclear {
    pub(super) fn of(self, cite: &super::answer::Cite) -> Unknown {
        let cite = cite.clone();
        match self {
            Self::Key(key) => Unknown::Key { cite, key },
            Self::Canonical => Unknown::CanonicalUser { cite },
            Self::Spared => Unknown::NotPrincipal { cite },
        }
    }
}

/// How `statement`, of a document of `version`, stands to `question`.
pub(super) fn apply(statement: &Statement, version: Version, question: Question<'_>) -> Match {
    let language = Language { version, context: question.context };
    let mut found =
        Match { truth: Truth::Yes, reach: Reach::Account, faults: Vec::new(), unknown: Vec::new() };
    principal(statement, question, &mut found);
    action(statement, question, &mut found);
    resource(statement, question, language, &mut found);
    for condition in &statement.conditions {
        found.condition(condition, language);
    }
    if found.truth != Truth::Maybe {
        found.unknown.clear();
    }
    found
}

impl Match {
    fn and(&mut self, truth: Truth, fault: impl FnOnce() -> Fault) {
        self.truth = self.truth.min(truth);
        if truth == Truth::No {
            self.faults.push(fault());
        }
    }

    fn condition(&mut self, condition: &Condition, language: Language<'_>) {
        let Held { truth, unknown } = condition::holds(condition, language);
        self.unknown.extend(unknown.into_iter().map(Unclear::Key));
        self.and(truth, || Fault::Condition {
            operator: condition.operator,
            key: condition.key.clone(),
            wanted: condition.values.clone(),
            found: match language.context.look_up(&condition.key) {
                Lookup::Values(values) => Found::Values(values.to_vec()),
                Lookup::Absent | Lookup::Unknown => Found::Absent,
            },
        });
    }
}

fn principal(statement: &Statement, question: Question<'_>, found: &mut Match) {
    let Some(element) = &statement.principals else { return };
    let caller = question.caller;
    let (truth, unclear) = match element {
        Element::Is(principals) => {
            let meant = caller.is_in(principals);
            found.reach = meant.reach;
            (meant.truth, Unclear::Canonical)
        }
        // AWS: a denial with NotPrincipal always denies a caller with a boundary, whatever it names.
        Element::Not(_) if statement.effect == Effect::Deny && question.bounded => {
            (Truth::Yes, Unclear::Spared)
        }
        Element::Not(principals) if statement.effect == Effect::Deny => {
            (caller.is_spared(principals).not(), Unclear::Spared)
        }
        Element::Not(principals) => {
            found.reach = Reach::Direct;
            (caller.is_in(principals).truth.not(), Unclear::Canonical)
        }
    };
    if truth == Truth::Maybe {
        found.unknown.push(unclear);
    }
    found.and(truth, || Fault::Principal { caller: caller.principal(), element: element.clone() });
}

fn action(statement: &Statement, question: Question<'_>, found: &mut Match) {
    let asked = question.action.to_ascii_lowercase();
    let covers = |actions: &[String]| actions.iter().any(|action| Pattern::action(action).covers(&asked));
    let covered = match &statement.actions {
        Element::Is(actions) => covers(actions),
        Element::Not(actions) => !covers(actions),
    };
    found.and(covered.into(), || Fault::Action {
        asked: question.action.to_owned(),
        element: statement.actions.clone(),
    });
}

fn resource(statement: &Statement, question: Question<'_>, language: Language<'_>, found: &mut Match) {
    // A trust policy has none: it is about the role it belongs to.
    let Some(element) = &statement.resources else { return };
    let mut keys = Vec::new();
    let mut covers = |resources: &[String]| {
        Truth::any(resources.iter().map(|resource| match language.resource(resource) {
            Expanded::Pattern(pattern) => pattern.covers(question.resource).into(),
            Expanded::NoValue => Truth::No,
            Expanded::Unknown(key) => {
                keys.push(Unclear::Key(key));
                Truth::Maybe
            }
        }))
    };
    let truth = match element {
        Element::Is(resources) => covers(resources),
        Element::Not(resources) => covers(resources).not(),
    };
    if truth == Truth::Maybe {
        found.unknown.append(&mut keys);
    }
    found.and(truth, || Fault::Resource { asked: question.resource.to_owned(), element: element.clone() });
}
