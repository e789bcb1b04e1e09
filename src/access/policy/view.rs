//! What one side's policies say of a request.

use super::answer::{Cite, Lack, Side, Unknown};
use super::caller::Reach;
use super::document::{Effect, Statement};
use super::evaluate::{Attached, Request};
use super::explain::strangeness;
use super::statement::{Match, Question, apply};
use super::truth::Truth;

/// What one side's policies say of a request.
pub(super) struct View {
    pub(super) side: Side,
    grants: Vec<Grant>,
    /// All is allowed, without a statement.
    free: bool,
    pub(super) denial: Option<Cite>,
    pub(super) perhaps_denied: Vec<Unknown>,
    /// What keeps the permission from being sure.
    pub(super) unclear: Vec<Unknown>,
    /// Why nothing is allowed, if nothing is.
    pub(super) lack: Lack,
}

/// A statement that allows, or might.
struct Grant {
    truth: Truth,
    reach: Reach,
    cite: Cite,
}

impl View {
    /// Of policies that were seen, or not.
    pub(super) fn of(side: Side, policies: Option<&[Attached]>, question: Question<'_>) -> Self {
        let Some(policies) = policies else {
            return Self { unclear: vec![Unknown::Unseen(side)], ..Self::silent(side, Lack::NoPolicy) };
        };
        let lack = if policies.is_empty() { Lack::NoPolicy } else { Lack::NoStatement };
        let mut view = Self::silent(side, lack);
        let mut least = f64::INFINITY;
        for Attached { name, document } in policies {
            for (index, statement) in document.statements.iter().enumerate() {
                let cite = Cite {
                    side,
                    policy: name.clone(),
                    number: index.saturating_add(1),
                    sid: statement.sid.clone(),
                };
                view.add(statement, cite, apply(statement, document.version, question), &mut least);
            }
        }
        view
    }

    /// Of a side that needs no policy.
    pub(super) fn free(side: Side) -> Self {
        Self { free: true, ..Self::silent(side, Lack::NoPolicy) }
    }

    /// Of a resource of a service that knows no policies of resources.
    pub(super) fn unsupported(request: &Request) -> Self {
        let service = request.action.split(':').next().unwrap_or_default().to_ascii_lowercase();
        Self::silent(Side::Resource, Lack::NotSupported { service, owner: request.owner.clone() })
    }

    fn silent(side: Side, lack: Lack) -> Self {
        let (grants, unclear, perhaps_denied) = (Vec::new(), Vec::new(), Vec::new());
        Self { side, grants, free: false, denial: None, perhaps_denied, unclear, lack }
    }

    fn add(&mut self, statement: &Statement, cite: Cite, found: Match, least: &mut f64) {
        let Match { truth, reach, faults, unknown } = found;
        let unknown = unknown.into_iter().map(|unclear| unclear.of(&cite));
        match (statement.effect, truth) {
            (Effect::Deny, Truth::No) => {}
            (Effect::Deny, Truth::Maybe) => self.perhaps_denied.extend(unknown),
            (Effect::Deny, Truth::Yes) => {
                self.denial.get_or_insert(cite);
            }
            (Effect::Allow, Truth::No) => {
                let strangeness = strangeness(&faults);
                if strangeness < *least {
                    *least = strangeness;
                    self.lack = Lack::Nearest { cite, faults };
                }
            }
            (Effect::Allow, Truth::Maybe | Truth::Yes) => {
                self.unclear.extend(unknown);
                self.grants.push(Grant { truth, reach, cite });
            }
        }
    }

    /// Whether anything is allowed.
    pub(super) fn any(&self) -> Truth {
        self.reaching(Reach::Account)
    }

    /// Whether something is allowed that reaches at least so far.
    pub(super) fn reaching(&self, reach: Reach) -> Truth {
        if self.free {
            return Truth::Yes;
        }
        if self.unclear == [Unknown::Unseen(self.side)] {
            return Truth::Maybe;
        }
        Truth::any(self.grants.iter().filter(|grant| reach <= grant.reach).map(|grant| grant.truth))
    }

    /// The statements that allow.
    pub(super) fn allowing(&self) -> Vec<Cite> {
        let sure = self.grants.iter().filter(|grant| grant.truth == Truth::Yes);
        sure.map(|grant| grant.cite.clone()).collect()
    }

    /// A statement that allows, when none reaches further than to the account.
    pub(super) fn delegating(&self) -> Option<Cite> {
        let further = self.grants.iter().any(|grant| Reach::Account < grant.reach);
        self.grants.first().filter(|_| !further).map(|grant| grant.cite.clone())
    }
}
