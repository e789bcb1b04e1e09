//! Whether a request is allowed, from all the policies that have a say.
//!
//! Sources:
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic_policy-eval-denyallow.html> and
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic-cross-account.html>.

use super::answer::{Answer, Decision, Gap, Lack, Side, Unknown};
use super::caller::{Caller, Reach};
use super::context::Context;
use super::document::{Document, Element};
use super::statement::Question;
use super::truth::Truth;
use super::view::View;

/// A request to AWS.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Request {
    /// Who asks.
    pub caller: Caller,
    /// For what, such as `firehose:PutRecordBatch`.
    pub action: String,
    /// Of what: an ARN, or `*` for an action that is about no resource.
    pub resource: String,
    /// The account that the resource belongs to.
    pub owner: String,
    /// What else is known of it.
    pub context: Context,
}

/// The policies that have a say, as far as they were seen.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Policies {
    /// Those of the user or role that asks, and of its groups; `None`: not seen.
    pub identity: Option<Vec<Attached>>,
    /// Those of the resource.
    pub resource: Resource,
    /// The permissions boundary.
    pub boundary: Limit,
    /// Those given when the session was made.
    pub session: Limit,
    /// The service control policies of the caller's account.
    pub service_control: Limit,
    /// The resource control policies of the owner's account.
    pub resource_control: Limit,
}

/// A policy, and where it was found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Attached {
    /// How it is to be cited, such as "policy `put` of role `writer`".
    pub name: String,
    /// What it says.
    pub document: Document,
}

/// The policies of a resource; `None` within: not seen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Resource {
    /// Within its account the word of either side is enough: buckets, queues, streams of Kinesis, destinations.
    Optional(Option<Vec<Attached>>),
    /// Nobody may without its word: trust policies of roles, policies of keys.
    Required(Option<Vec<Attached>>),
    /// The service knows none: Firehose.
    Unsupported,
}

/// Policies that allow nothing by themselves, but limit what others allow.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Limit {
    /// Nobody looked.
    #[default]
    Unseen,
    /// There are none.
    Absent,
    /// One of these has to allow.
    Seen(Vec<Attached>),
}

impl Default for Resource {
    fn default() -> Self {
        Self::Optional(None)
    }
}

/// Decides on a request.
#[must_use]
pub fn evaluate(request: &Request, policies: &Policies) -> Answer {
    let home = Context::default().with("aws:ResourceAccount", [request.owner.clone()]);
    let context = request.context.clone().and(request.caller.context()).and(home);
    let question = Question {
        caller: &request.caller,
        action: &request.action,
        resource: &request.resource,
        context: &context,
        bounded: matches!(policies.boundary, Limit::Seen(_)),
    };
    Sides::of(request, policies, question).decide()
}

/// Parses a document, and asks it about the first action and resource it names, as a policy of both sides: for fuzzing.
#[must_use]
pub fn examine(data: &[u8]) -> Option<Answer> {
    let document: Document = std::str::from_utf8(data).ok()?.parse().ok()?;
    let first = document.statements.first()?;
    let one = |element: Option<&Element<Vec<String>>>| element?.written().first().cloned();
    let request = Request {
        caller: Caller::User("arn:aws:iam::111111111111:user/u".parse().ok()?),
        action: one(Some(&first.actions))?,
        resource: one(first.resources.as_ref()).unwrap_or_else(|| "*".to_owned()),
        owner: "222222222222".to_owned(),
        context: Context::open(),
    };
    let attached = vec![Attached { name: "it".to_owned(), document }];
    let resource = Resource::Required(Some(attached.clone()));
    let policies = Policies { identity: Some(attached), resource, ..Policies::default() };
    Some(evaluate(&request, &policies))
}

/// What each side says.
struct Sides<'a> {
    request: &'a Request,
    /// Its word is needed even within its account.
    required: bool,
    identity: View,
    resource: View,
    /// What limits the identity: its boundary and its session's policies.
    limits: Vec<View>,
    /// What organizations say.
    control: Vec<View>,
    unseen: Vec<Unknown>,
}

impl<'a> Sides<'a> {
    fn of(request: &'a Request, policies: &Policies, question: Question<'_>) -> Self {
        let (required, resource) = match &policies.resource {
            Resource::Optional(seen) => (false, View::of(Side::Resource, seen.as_deref(), question)),
            Resource::Required(seen) => (true, View::of(Side::Resource, seen.as_deref(), question)),
            Resource::Unsupported => (false, View::unsupported(request)),
        };
        // The root user may do all in its account; no policy is attached to it.
        let identity = if matches!(request.caller, Caller::Root(_)) {
            View::free(Side::Identity)
        } else {
            View::of(Side::Identity, policies.identity.as_deref(), question)
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
            Caller::User(_) => (true, false),
            Caller::Session { .. } | Caller::FederatedUser { .. } => (true, true),
            Caller::Root(_) | Caller::Service { .. } | Caller::Federated { .. } | Caller::Anonymous => {
                (false, false)
            }
        };
        let has_account = request.caller.account().is_some();
        let boundary = sides.limit(Side::Boundary, has_boundary, &policies.boundary, question);
        let session = sides.limit(Side::Session, has_session, &policies.session, question);
        sides.limits = boundary.into_iter().chain(session).collect();
        let service = sides.limit(Side::ServiceControl, has_account, &policies.service_control, question);
        let resource = sides.limit(Side::ResourceControl, true, &policies.resource_control, question);
        sides.control = service.into_iter().chain(resource).collect();
        sides
    }

    fn limit(&mut self, side: Side, applies: bool, limit: &Limit, question: Question<'_>) -> Option<View> {
        match limit {
            _ if !applies => None,
            Limit::Absent => None,
            Limit::Unseen => {
                self.unseen.push(Unknown::Unseen(side));
                None
            }
            Limit::Seen(policies) => Some(View::of(side, Some(policies), question)),
        }
    }

    fn decide(self) -> Answer {
        let all = || [&self.identity, &self.resource].into_iter().chain(&self.limits).chain(&self.control);
        let relevant = || all().filter(|view| self.has_say(view.side));
        let denial = relevant().find_map(|view| view.denial.clone());
        let decision = match (denial, self.truth()) {
            (Some(by), _) => Decision::Denied { by },
            (None, Truth::No) => Decision::Missing { gaps: self.gaps() },
            (None, truth) => {
                let unsure: Vec<_> = relevant().flat_map(|view| view.perhaps_denied.clone()).collect();
                if truth == Truth::Yes && unsure.is_empty() {
                    Decision::Allowed { by: relevant().flat_map(View::allowing).collect() }
                } else {
                    let unclear =
                        relevant().filter(|_| truth == Truth::Maybe).flat_map(|view| view.unclear.clone());
                    Decision::Undecided { on: unsure.into_iter().chain(unclear).collect(), gaps: self.gaps() }
                }
            }
        };
        Answer { decision, unknowns: self.unseen }
    }

    /// Services and strangers have no policies of their own.
    fn has_say(&self, side: Side) -> bool {
        side != Side::Identity || self.request.caller.account().is_some()
    }

    fn is_same_account(&self) -> bool {
        self.request.caller.account() == Some(&self.request.owner)
    }

    fn truth(&self) -> Truth {
        let limits = Truth::all(self.limits.iter().map(View::any));
        let identity = self.identity.any().min(limits);
        let own = if self.request.caller.account().is_none() {
            self.resource.any()
        } else if self.is_same_account() {
            let direct = self.resource.reaching(Reach::Direct);
            let entity = self.resource.reaching(Reach::Entity).min(limits);
            let delegated = if self.required { self.resource.any().min(identity) } else { identity };
            Truth::any([direct, entity, delegated])
        } else {
            self.resource.any().min(identity)
        };
        Truth::all(self.control.iter().map(View::any)).min(own)
    }

    /// Those who do not allow it, and whose word would make a difference.
    fn gaps(&self) -> Vec<Gap> {
        let identity = self.gap(&self.identity).filter(|_| self.has_say(Side::Identity));
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

    fn gap(&self, view: &View) -> Option<Gap> {
        let side = view.side;
        if view.any() == Truth::No {
            return Some(Gap { side, lack: view.lack.clone() });
        }
        // In its own account a grant to the account is no more than leave to grant.
        let delegated = side == Side::Resource && self.is_same_account() && !self.required;
        let cite = view.delegating().filter(|_| delegated)?;
        Some(Gap { side, lack: Lack::Delegated { cite } })
    }
}
