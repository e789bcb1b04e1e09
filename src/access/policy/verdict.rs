//! What one side's policies say of a request.

use super::caller::GrantReach;
use super::decision::{MissingReason, PolicyType, StatementRef, UnknownFact};
use super::document::{Effect, Statement};
use super::explain::strangeness;
use super::request::{AccessRequest, NamedPolicy};
use super::statement::{StatementMatch, StatementQuery, apply};
use super::truth::Truth;

/// What one side's policies say of a request.
pub(super) struct PolicyVerdict {
    pub(super) side: PolicyType,
    grants: Vec<StatementGrant>,
    /// All is allowed, without a statement.
    free: bool,
    pub(super) denial: Option<StatementRef>,
    pub(super) perhaps_denied: Vec<UnknownFact>,
    /// What keeps the permission from being sure.
    pub(super) unclear: Vec<UnknownFact>,
    /// What cannot be seen or read at all: it may allow anything.
    unread: Vec<UnknownFact>,
    /// Why nothing is allowed, if nothing is.
    pub(super) lack: MissingReason,
}

/// A statement that allows, or might.
struct StatementGrant {
    truth: Truth,
    reach: GrantReach,
    cite: StatementRef,
}

impl PolicyVerdict {
    /// Of policies that were seen, or not.
    pub(super) fn of(
        side: PolicyType,
        policies: Option<&[NamedPolicy]>,
        question: StatementQuery<'_>,
    ) -> Self {
        let Some(policies) = policies else {
            let unseen = vec![UnknownFact::Unseen(side)];
            let silent = Self::silent(side, MissingReason::NoPolicy);
            return Self { unclear: unseen.clone(), unread: unseen, ..silent };
        };
        let lack = if policies.is_empty() { MissingReason::NoPolicy } else { MissingReason::NoStatement };
        let mut view = Self::silent(side, lack);
        let question = StatementQuery { side, ..question };
        let mut least = f64::INFINITY;
        for NamedPolicy { name, policy } in policies {
            for (number, statement) in policy.numbered() {
                let (policy_name, sid) = (name.clone(), statement.sid.clone());
                let cite = StatementRef { side, policy: policy_name, number, sid };
                view.add(statement, cite, apply(statement, policy.document.version, question), &mut least);
            }
            let unread = policy.unread.iter().cloned();
            view.unread.extend(unread.map(|part| UnknownFact::Unread { policy: name.clone(), part }));
        }
        view.perhaps_denied.extend(view.unread.iter().cloned());
        view.unclear.extend(view.unread.iter().cloned());
        view
    }

    /// Of a side that needs no policy.
    pub(super) fn free(side: PolicyType) -> Self {
        Self { free: true, ..Self::silent(side, MissingReason::NoPolicy) }
    }

    /// Of a resource of a service that knows no policies of resources.
    pub(super) fn unsupported(request: &AccessRequest) -> Self {
        let service = request.action.split(':').next().unwrap_or_default().to_ascii_lowercase();
        Self::silent(
            PolicyType::Resource,
            MissingReason::NotSupported { service, owner: request.owner.clone() },
        )
    }

    fn silent(side: PolicyType, lack: MissingReason) -> Self {
        Self {
            side,
            grants: Vec::new(),
            free: false,
            denial: None,
            perhaps_denied: Vec::new(),
            unclear: Vec::new(),
            unread: Vec::new(),
            lack,
        }
    }

    fn add(&mut self, statement: &Statement, cite: StatementRef, found: StatementMatch, least: &mut f64) {
        let StatementMatch { truth, reach, faults, unknown } = found;
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
                    self.lack = MissingReason::Nearest { cite, faults };
                }
            }
            (Effect::Allow, Truth::Maybe | Truth::Yes) => {
                self.unclear.extend(unknown);
                self.grants.push(StatementGrant { truth, reach, cite });
            }
        }
    }

    /// Whether anything is allowed.
    pub(super) fn any(&self) -> Truth {
        self.reaching(GrantReach::Account)
    }

    /// Whether something is allowed that reaches at least so far.
    pub(super) fn reaching(&self, reach: GrantReach) -> Truth {
        if self.free {
            return Truth::Yes;
        }
        let unread = if self.unread.is_empty() { Truth::No } else { Truth::Maybe };
        let grants = self.grants.iter().filter(|grant| reach <= grant.reach).map(|grant| grant.truth);
        Truth::any(grants).max(unread)
    }

    /// The statements that allow.
    pub(super) fn allowing(&self) -> Vec<StatementRef> {
        let sure = self.grants.iter().filter(|grant| grant.truth == Truth::Yes);
        sure.map(|grant| grant.cite.clone()).collect()
    }

    /// A statement that allows, when none reaches further than to the account.
    pub(super) fn delegating(&self) -> Option<StatementRef> {
        let further = self.grants.iter().any(|grant| GrantReach::Account < grant.reach);
        self.grants.first().filter(|_| !further).map(|grant| grant.cite.clone())
    }
}
