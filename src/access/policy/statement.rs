//! Whether a statement applies to a request, and what keeps it from that.

use std::collections::BTreeMap;

use super::caller::{GrantReach, RequestPrincipal};
use super::condition::{self, ConditionResult};
use super::context::{KeyLookup, RequestContext};
use super::decision::{ContextValue, PolicyType, StatementMismatch, UnknownFact};
use super::document::{Effect, LanguageVersion, Negatable, PolicyCondition, Principals, Statement};
use super::pattern::{ExpandedPattern, PatternContext, WildcardPattern};
use super::truth::Truth;

/// What statements are asked about.
#[derive(Clone, Copy, Debug)]
pub(super) struct StatementQuery<'a> {
    pub(super) caller: &'a RequestPrincipal,
    pub(super) action: &'a str,
    pub(super) resource: &'a str,
    pub(super) context: &'a RequestContext,
    /// Whose policies are asked.
    pub(super) side: PolicyType,
    /// The caller has a permissions boundary.
    pub(super) bounded: bool,
}

/// How a statement stands to a request.
#[derive(Clone, Debug)]
pub(super) struct StatementMatch {
    pub(super) truth: Truth,
    pub(super) reach: GrantReach,
    /// The elements that do not cover the request.
    pub(super) faults: Vec<StatementMismatch>,
    pub(super) unknown: Vec<UnclearElement>,
}

/// What it would take to know, before it is said of which statement.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum UnclearElement {
    Key(String),
    Canonical,
    Spared,
}

impl UnclearElement {
    pub(super) fn of(self, cite: &super::decision::StatementRef) -> UnknownFact {
        let cite = cite.clone();
        match self {
            Self::Key(key) => UnknownFact::Key { cite, key },
            Self::Canonical => UnknownFact::CanonicalUser { cite },
            Self::Spared => UnknownFact::NotPrincipal { cite },
        }
    }
}

/// How `statement`, of a document of `version`, stands to `question`.
pub(super) fn apply(
    statement: &Statement,
    version: LanguageVersion,
    question: StatementQuery<'_>,
) -> StatementMatch {
    let language = PatternContext { version, context: question.context };
    let mut found = StatementMatch {
        truth: Truth::Yes,
        reach: GrantReach::Account,
        faults: Vec::new(),
        unknown: Vec::new(),
    };
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

impl StatementMatch {
    fn and(&mut self, truth: Truth, fault: impl FnOnce() -> StatementMismatch) {
        self.truth = self.truth.min(truth);
        if truth == Truth::No {
            self.faults.push(fault());
        }
    }

    fn condition(&mut self, condition: &PolicyCondition, language: PatternContext<'_>) {
        let ConditionResult { truth, unknown } = condition::holds(condition, language);
        self.unknown.extend(unknown.into_iter().map(UnclearElement::Key));
        self.and(truth, || StatementMismatch::Condition {
            operator: condition.operator,
            key: condition.key.clone(),
            wanted: condition.values.clone(),
            found: match language.context.look_up(&condition.key) {
                KeyLookup::Values(values) => ContextValue::Values(values.to_vec()),
                KeyLookup::Absent | KeyLookup::OneOf(_) | KeyLookup::Unknown => ContextValue::Absent,
            },
        });
    }
}

fn principal(statement: &Statement, question: StatementQuery<'_>, found: &mut StatementMatch) {
    let caller = question.caller;
    let Some(element) = &statement.principals else {
        // AWS refuses such a policy of a resource: it grants nobody anything.
        if question.side == PolicyType::Resource && statement.effect == Effect::Allow {
            let nobody = Negatable::Is(Principals::Named(BTreeMap::new()));
            let fault =
                || StatementMismatch::Principal { caller: caller.principal(), element: nobody.clone() };
            found.and(Truth::No, fault);
        }
        return;
    };
    let (truth, unclear) = match element {
        Negatable::Is(principals) => {
            let meant = caller.is_in(principals);
            found.reach = meant.reach;
            (meant.truth, UnclearElement::Canonical)
        }
        // AWS: a denial with NotPrincipal always denies a caller with a boundary, whatever it names.
        Negatable::Not(_) if statement.effect == Effect::Deny && question.bounded => {
            (Truth::Yes, UnclearElement::Spared)
        }
        Negatable::Not(principals) if statement.effect == Effect::Deny => {
            (caller.is_spared(principals).not(), UnclearElement::Spared)
        }
        Negatable::Not(principals) => {
            found.reach = GrantReach::Direct;
            (caller.is_in(principals).truth.not(), UnclearElement::Canonical)
        }
    };
    if truth == Truth::Maybe {
        found.unknown.push(unclear);
    }
    found
        .and(truth, || StatementMismatch::Principal { caller: caller.principal(), element: element.clone() });
}

fn action(statement: &Statement, question: StatementQuery<'_>, found: &mut StatementMatch) {
    let asked = question.action.to_ascii_lowercase();
    let covers =
        |actions: &[String]| actions.iter().any(|action| WildcardPattern::action(action).covers(&asked));
    let covered = match &statement.actions {
        Negatable::Is(actions) => covers(actions),
        Negatable::Not(actions) => !covers(actions),
    };
    found.and(covered.into(), || StatementMismatch::Action {
        asked: question.action.to_owned(),
        element: statement.actions.clone(),
    });
}

fn resource(
    statement: &Statement,
    question: StatementQuery<'_>,
    language: PatternContext<'_>,
    found: &mut StatementMatch,
) {
    // A trust policy has none: it is about the role it belongs to.
    let Some(element) = &statement.resources else { return };
    let mut keys = Vec::new();
    let mut covers = |resources: &[String]| {
        Truth::any(resources.iter().map(|resource| match language.resource(resource) {
            ExpandedPattern::Pattern(pattern) => pattern.covers(question.resource).into(),
            ExpandedPattern::NoValue => Truth::No,
            ExpandedPattern::Unknown(key) => {
                keys.push(UnclearElement::Key(key));
                Truth::Maybe
            }
        }))
    };
    let truth = match element {
        Negatable::Is(resources) => covers(resources),
        Negatable::Not(resources) => covers(resources).not(),
    };
    if truth == Truth::Maybe {
        found.unknown.append(&mut keys);
    }
    found.and(truth, || StatementMismatch::Resource {
        asked: question.resource.to_owned(),
        element: element.clone(),
    });
}
