//! Whether a request is allowed, from all the policies that have a say.
//!
//! Sources:
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic_policy-eval-denyallow.html> and
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic-cross-account.html>.

use super::caller::{GrantReach, RequestPrincipal};
use super::context::RequestContext;
use super::decision::{AccessDecision, Evaluation, MissingAllow, MissingReason, PolicyType, UnknownFact};
use super::document::{Negatable, PolicyDocument};
use super::request::{AccessRequest, ApplicablePolicies, LimitingPolicies, NamedPolicy, ResourcePolicies};
use super::statement::StatementQuery;
use super::truth::Truth;
use super::verdict::PolicyVerdict;

/// Decides on a request.
#[must_use]
pub fn evaluate(request: &AccessRequest, policies: &ApplicablePolicies) -> Evaluation {
    let home = RequestContext::default().with("aws:ResourceAccount", [request.owner.clone()]);
    let context = request.context.clone().and(request.caller.context()).and(home);
    let question = StatementQuery {
        caller: &request.caller,
        action: &request.action,
        resource: &request.resource,
        context: &context,
        side: PolicyType::Identity,
        bounded: matches!(policies.boundary, LimitingPolicies::Seen(_)),
    };
    PolicyVerdicts::of(request, policies, question).decide()
}

/// Parses a document, and asks it about the first action and resource it names, as a policy of both sides: for fuzzing.
#[must_use]
pub fn examine(data: &[u8]) -> Option<Evaluation> {
    let document: PolicyDocument = std::str::from_utf8(data).ok()?.parse().ok()?;
    let first = document.statements.first()?;
    let one = |element: Option<&Negatable<Vec<String>>>| element?.written().first().cloned();
    let request = AccessRequest {
        caller: RequestPrincipal::User("arn:aws:iam::111111111111:user/u".parse().ok()?),
        action: one(Some(&first.actions))?,
        resource: one(first.resources.as_ref()).unwrap_or_else(|| "*".to_owned()),
        owner: "222222222222".to_owned(),
        context: RequestContext::open(),
    };
    let attached = vec![NamedPolicy::new("it", document)];
    let resource = ResourcePolicies::Required(Some(attached.clone()));
    let policies = ApplicablePolicies { identity: Some(attached), resource, ..ApplicablePolicies::default() };
    Some(evaluate(&request, &policies))
}

/// What each side says.
struct PolicyVerdicts<'a> {
    request: &'a AccessRequest,
    /// Its word is needed even within its account.
    required: bool,
    identity: PolicyVerdict,
    resource: PolicyVerdict,
    /// What limits the identity: its boundary and its session's policies.
    limits: Vec<PolicyVerdict>,
    /// What organizations say.
    control: Vec<PolicyVerdict>,
    unseen: Vec<UnknownFact>,
}

impl<'a> PolicyVerdicts<'a> {
    fn of(request: &'a AccessRequest, policies: &ApplicablePolicies, question: StatementQuery<'_>) -> Self {
        let (required, resource) = match &policies.resource {
            ResourcePolicies::Optional(seen) => {
                (false, PolicyVerdict::of(PolicyType::Resource, seen.as_deref(), question))
            }
            ResourcePolicies::Required(seen) => {
                (true, PolicyVerdict::of(PolicyType::Resource, seen.as_deref(), question))
            }
            ResourcePolicies::Unsupported => (false, PolicyVerdict::unsupported(request)),
        };
        // The root user may do all in its account; no policy is attached to it.
        let identity = if matches!(request.caller, RequestPrincipal::Root(_)) {
            PolicyVerdict::free(PolicyType::Identity)
        } else {
            PolicyVerdict::of(PolicyType::Identity, policies.identity.as_deref(), question)
        };
        let mut sides = Self {
            request,
            required,
            identity,
            resource,
            limits: Vec::new(),
            control: Vec::new(),
            unseen: Vec::new(),
        };
        let (has_boundary, has_session) = match request.caller {
            RequestPrincipal::User(_) => (true, false),
            RequestPrincipal::Session { .. } | RequestPrincipal::FederatedUser { .. } => (true, true),
            RequestPrincipal::Root(_)
            | RequestPrincipal::Service { .. }
            | RequestPrincipal::Federated { .. }
            | RequestPrincipal::Anonymous => (false, false),
        };
        let has_account = request.caller.account().is_some();
        let boundary = sides.limit(PolicyType::Boundary, has_boundary, &policies.boundary, question);
        let session = sides.limit(PolicyType::Session, has_session, &policies.session, question);
        sides.limits = boundary.into_iter().chain(session).collect();
        let service =
            sides.limit(PolicyType::ServiceControl, has_account, &policies.service_control, question);
        let resource = sides.limit(PolicyType::ResourceControl, true, &policies.resource_control, question);
        sides.control = service.into_iter().chain(resource).collect();
        sides
    }

    fn limit(
        &mut self,
        side: PolicyType,
        applies: bool,
        limit: &LimitingPolicies,
        question: StatementQuery<'_>,
    ) -> Option<PolicyVerdict> {
        match limit {
            _ if !applies => None,
            LimitingPolicies::Absent => None,
            LimitingPolicies::Unseen => {
                self.unseen.push(UnknownFact::Unseen(side));
                None
            }
            LimitingPolicies::Seen(policies) => Some(PolicyVerdict::of(side, Some(policies), question)),
        }
    }

    fn decide(self) -> Evaluation {
        let all = || [&self.identity, &self.resource].into_iter().chain(&self.limits).chain(&self.control);
        let relevant = || all().filter(|view| self.has_say(view.side));
        let denial = relevant().find_map(|view| view.denial.clone());
        let decision = match (denial, self.truth()) {
            (Some(by), _) => AccessDecision::Denied { by },
            (None, Truth::No) => AccessDecision::Missing { gaps: self.gaps() },
            (None, truth) => {
                let unsure: Vec<_> = relevant().flat_map(|view| view.perhaps_denied.clone()).collect();
                if truth == Truth::Yes && unsure.is_empty() {
                    AccessDecision::Allowed { by: relevant().flat_map(PolicyVerdict::allowing).collect() }
                } else {
                    let unclear =
                        relevant().filter(|_| truth == Truth::Maybe).flat_map(|view| view.unclear.clone());
                    let mut on: Vec<UnknownFact> = Vec::new();
                    for fact in unsure.into_iter().chain(unclear) {
                        if !on.contains(&fact) {
                            on.push(fact);
                        }
                    }
                    AccessDecision::Undecided { on, gaps: self.gaps() }
                }
            }
        };
        Evaluation { decision, unknowns: self.unseen }
    }

    /// Services and strangers have no policies of their own.
    fn has_say(&self, side: PolicyType) -> bool {
        side != PolicyType::Identity || self.request.caller.account().is_some()
    }

    fn is_same_account(&self) -> bool {
        self.request.caller.account() == Some(&self.request.owner)
    }

    fn truth(&self) -> Truth {
        let limits = Truth::all(self.limits.iter().map(PolicyVerdict::any));
        let identity = self.identity.any().min(limits);
        let own = if self.request.caller.account().is_none() {
            self.resource.any()
        } else if self.is_same_account() {
            let direct = self.resource.reaching(GrantReach::Direct);
            let entity = self.resource.reaching(GrantReach::Entity).min(limits);
            let delegated = if self.required { self.resource.any().min(identity) } else { identity };
            Truth::any([direct, entity, delegated])
        } else {
            self.resource.any().min(identity)
        };
        Truth::all(self.control.iter().map(PolicyVerdict::any)).min(own)
    }

    /// Those who do not allow it, and whose word would make a difference.
    fn gaps(&self) -> Vec<MissingAllow> {
        let identity = self.gap(&self.identity).filter(|_| self.has_say(PolicyType::Identity));
        let resource = self.gap(&self.resource);
        let (identity, resource) = match (self.is_same_account(), self.required) {
            // Either would do: so both are missing, or none is.
            (true, false) if identity.is_some() && resource.is_some() => (identity, resource),
            (true, false) => (None, None),
            (true, true) if resource.is_some() => (None, resource),
            (true, true) | (false, _) => (identity, resource),
        };
        let others = self.limits.iter().chain(&self.control).filter_map(|view| self.gap(view));
        identity.into_iter().chain(resource).chain(others).collect()
    }

    fn gap(&self, view: &PolicyVerdict) -> Option<MissingAllow> {
        let side = view.side;
        if view.any() == Truth::No {
            return Some(MissingAllow { side, lack: view.lack.clone() });
        }
        // In its own account a grant to the account is no more than leave to grant.
        let delegated = side == PolicyType::Resource && self.is_same_account() && !self.required;
        let cite = view.delegating().filter(|_| delegated)?;
        Some(MissingAllow { side, lack: MissingReason::Delegated { cite } })
    }
}
