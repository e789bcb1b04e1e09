//! Questions to the policies that were seen, and what is said of the answers.

use crate::access::live::{ResourceState, extra};
use crate::access::plan::ResourceKind;
use crate::access::policy::{
    AccessDecision, AccessRequest, ApplicablePolicies, Evaluation, LimitingPolicies, NamedPolicy,
    PolicyDocument, PolicyType, RequestContext, RequestPrincipal, ResourcePolicies, StatementRef, evaluate,
};
use crate::access::report::{Fix, HopFinding};
use crate::arn::Arn;
use crate::config::topology::AwsAccount;

use super::observed::{ObservedResource, document};
use super::policy_fix::{ForeignPolicy, PolicyFix};

/// Policies of one side, and how each is put right.
#[derive(Clone, Debug, Default)]
pub(super) struct PolicySources<'a> {
    /// None: they were not seen.
    found: Option<Vec<PolicySource<'a>>>,
    /// Where what is missing belongs.
    home: Option<PolicyFix<'a>>,
}

/// A policy that was seen.
#[derive(Clone, Debug)]
struct PolicySource<'a> {
    name: String,
    document: PolicyDocument,
    remedy: PolicyFix<'a>,
}

/// A role, with what was seen of its policies.
#[derive(Clone, Debug)]
pub(super) struct PolicyHolder<'a> {
    pub(super) caller: RequestPrincipal,
    identity: PolicySources<'a>,
    boundary: Option<PolicySource<'a>>,
}

/// A request of a kind that logs need.
#[derive(Clone, Debug)]
pub(super) struct PermissionCheck<'a> {
    pub(super) caller: RequestPrincipal,
    pub(super) action: &'static str,
    pub(super) resource: String,
    /// The id of the account that owns it.
    pub(super) owner: String,
    pub(super) context: RequestContext,
    /// The caller's own policies; none for a service.
    pub(super) holder: Option<&'a PolicyHolder<'a>>,
    pub(super) of: TargetPolicies<'a>,
}

/// The policies of what is asked for.
#[derive(Clone, Debug)]
pub(super) enum TargetPolicies<'a> {
    /// Its service knows none.
    Nothing,
    /// Within its account either side is enough.
    Optional(PolicySources<'a>),
    /// It has to allow.
    Required(PolicySources<'a>),
}

impl<'a> PolicySources<'a> {
    /// The policy of a resource of the plan.
    pub(super) fn of(item: ObservedResource<'a>, aspect: &'static str) -> Self {
        let home = Some(PolicyFix::Planned(item, aspect));
        let Some(state) = item.state() else { return Self { found: None, home } };
        let remedy = PolicyFix::Planned(item, aspect);
        let source = state.get(aspect).and_then(document).map(|document| PolicySource {
            name: cited(item, aspect),
            document,
            remedy,
        });
        Self { found: Some(source.into_iter().collect()), home }
    }

    /// The policy of a Kinesis stream, which no plan puts.
    pub(super) fn of_stream(item: Option<ObservedResource<'a>>) -> Self {
        let policy = item.and_then(|item| Some((item, item.state()?.get("policy")?)));
        let Some((item, policy)) = policy else { return Self::default() };
        let found = Self { found: Some(Vec::new()), home: None };
        let Some(document) = document(policy) else { return found };
        let arn = item.text(extra::ARN).unwrap_or_default().to_owned();
        found.with(
            cited(item, "policy"),
            document,
            PolicyFix::Foreign(item.account(), ForeignPolicy::Stream(arn)),
        )
    }

    /// One policy, or that there is none.
    pub(super) fn one(name: &str, document: Option<PolicyDocument>, home: PolicyFix<'a>) -> Self {
        let source = |document| PolicySource { name: name.to_owned(), document, remedy: home.clone() };
        Self { found: Some(document.map(source).into_iter().collect()), home: Some(home) }
    }

    /// There are none.
    pub(super) fn none() -> Self {
        Self { found: Some(Vec::new()), home: None }
    }

    /// With one more.
    pub(super) fn with(mut self, name: String, document: PolicyDocument, remedy: PolicyFix<'a>) -> Self {
        self.found.get_or_insert_default().push(PolicySource { name, document, remedy });
        self
    }

    fn attached(&self) -> Option<Vec<NamedPolicy>> {
        let sources = self.found.as_ref()?;
        let attached = |source: &PolicySource<'_>| NamedPolicy {
            name: source.name.clone(),
            document: source.document.clone(),
        };
        Some(sources.iter().map(attached).collect())
    }

    fn fix(&self, denial: Option<&StatementRef>) -> Option<Fix> {
        match denial {
            None => self.home.as_ref().map(|remedy| remedy.fix(None)),
            Some(cite) => {
                let source = self.found.iter().flatten().find(|source| source.name == cite.policy)?;
                Some(source.remedy.fix(Some((&source.document, cite.number))))
            }
        }
    }
}

impl<'a> PolicySource<'a> {
    /// The permissions boundary that was seen of a role or user.
    fn boundary(account: &'a AwsAccount, of: &str, state: &ResourceState) -> Option<Self> {
        let document = document(state.get(extra::BOUNDARY)?)?;
        let arn = state.get(extra::BOUNDARY_ARN).and_then(|arn| arn.as_str()).map(str::to_owned);
        let remedy = PolicyFix::Boundary { account, arn, grant: PolicyDocument::default() };
        Some(Self { name: format!("the permissions boundary of {of}"), document, remedy })
    }
}

impl<'a> PolicyHolder<'a> {
    /// A role of the plan, or one that the plan gives a policy.
    pub(super) fn of(item: ObservedResource<'a>) -> Option<Self> {
        let (ResourceKind::Role { name, .. } | ResourceKind::RolePolicy { role: name, .. }) =
            &item.resource.kind
        else {
            return None;
        };
        let role = item.account().place.role(name);
        let mut holder = Self::new(item.account(), role, item.state());
        let own = PolicySources::of(item, "permissions");
        holder.identity.home = own.home;
        holder.identity.found = match (own.found, holder.identity.found) {
            (Some(own), others) => Some(own.into_iter().chain(others.unwrap_or_default()).collect()),
            (None, _) => None,
        };
        if let Some(PolicySource { remedy: PolicyFix::Boundary { grant, .. }, .. }) = &mut holder.boundary {
            *grant = document(&item.wanted("permissions")).unwrap_or_default();
        }
        Some(holder)
    }

    /// A role, with all policies that were seen of it as `others`.
    pub(super) fn new(account: &'a AwsAccount, role: Arn, state: Option<&ResourceState>) -> Self {
        let name = role.resource.rsplit('/').next().unwrap_or_default().to_owned();
        let caller = RequestPrincipal::Session { role, name: "standpipe".to_owned() };
        let mut identity = PolicySources::default();
        let others = state.and_then(|state| state.get(extra::OTHERS)?.as_object());
        for (policy, value) in others.into_iter().flatten() {
            let Some(document) = document(value) else { continue };
            let remedy = if policy.starts_with("arn:") {
                PolicyFix::Foreign(
                    account,
                    ForeignPolicy::Attached { role: name.clone(), arn: policy.clone() },
                )
            } else {
                PolicyFix::Foreign(
                    account,
                    ForeignPolicy::Inline { role: name.clone(), policy: policy.clone() },
                )
            };
            identity = identity.with(format!("policy `{policy}` of role `{name}`"), document, remedy);
        }
        let boundary =
            state.and_then(|state| PolicySource::boundary(account, &format!("role `{name}`"), state));
        Self { caller, identity, boundary }
    }

    /// A user, with all policies that were seen of it and of its groups.
    pub(super) fn user(account: &'a AwsAccount, user: Arn, state: &ResourceState) -> Self {
        let name = user.resource.rsplit('/').next().unwrap_or_default();
        let mut identity = PolicySources::default();
        for (policy, value) in state.get(extra::OTHERS).and_then(|all| all.as_object()).into_iter().flatten()
        {
            let Some(document) = document(value) else { continue };
            let text = format!("take the denial out of policy `{policy}`, after a look at why it is there");
            let called = format!("policy `{policy}` of user `{name}`");
            identity = identity.with(called, document, PolicyFix::Ready(Fix::from(text)));
        }
        let boundary = PolicySource::boundary(account, &format!("user `{name}`"), state);
        Self { caller: RequestPrincipal::User(user), identity, boundary }
    }

    /// The same, with its path.
    pub(super) fn at(mut self, role: Arn) -> Self {
        self.caller = RequestPrincipal::Session { role, name: "standpipe".to_owned() };
        self
    }

    /// With a policy of its own.
    pub(super) fn with(mut self, sources: PolicySources<'a>) -> Self {
        self.identity.home = sources.home;
        self.identity.found.get_or_insert_default().extend(sources.found.unwrap_or_default());
        self
    }
}

impl PermissionCheck<'_> {
    /// What the policies say.
    pub(super) fn answer(&self) -> Evaluation {
        let request = AccessRequest {
            caller: self.caller.clone(),
            action: self.action.to_owned(),
            resource: self.resource.clone(),
            owner: self.owner.clone(),
            context: self.context.clone(),
        };
        let boundary = self.holder.and_then(|holder| holder.boundary.as_ref());
        let boundary = boundary.map_or(LimitingPolicies::Absent, |source| {
            LimitingPolicies::Seen(vec![NamedPolicy {
                name: source.name.clone(),
                document: source.document.clone(),
            }])
        });
        let policies = ApplicablePolicies {
            identity: self.holder.and_then(|holder| holder.identity.attached()),
            resource: match &self.of {
                TargetPolicies::Nothing => ResourcePolicies::Unsupported,
                TargetPolicies::Optional(sources) => ResourcePolicies::Optional(sources.attached()),
                TargetPolicies::Required(sources) => ResourcePolicies::Required(sources.attached()),
            },
            boundary,
            // What organizations say is not looked at, which is said once.
            session: LimitingPolicies::Absent,
            service_control: LimitingPolicies::Absent,
            resource_control: LimitingPolicies::Absent,
        };
        let mut answer = evaluate(&request, &policies);
        if let AccessDecision::Missing { gaps } = &mut answer.decision {
            // Within one account either side would do: what is meant to allow it is the caller's.
            let by_identity = gaps.iter().any(|gap| gap.side == PolicyType::Identity);
            let is_own = self.caller.account() == Some(&self.owner);
            let either = by_identity && is_own && !matches!(self.of, TargetPolicies::Required(_));
            gaps.retain(|gap| !either || gap.side != PolicyType::Resource);
        }
        answer
    }

    /// What is said of it.
    fn finding(&self, check: &'static str, why: &str) -> HopFinding {
        let Self { action, resource, .. } = self;
        let answer = self.answer();
        let who = self.caller.principal();
        let seen = format!("`{action}` on `{resource}` by `{who}`: {answer}");
        match &answer.decision {
            AccessDecision::Allowed { .. } => HopFinding::ok(check, seen),
            AccessDecision::Undecided { .. } => HopFinding::warning(check, seen).why(why),
            AccessDecision::Denied { by } => {
                let fix = self.fix(by.side, Some(by)).unwrap_or_else(|| "take the denial out".into());
                HopFinding::failure(check, seen).why(why).fix(fix)
            }
            AccessDecision::Missing { gaps } => {
                let fixes = gaps.iter().filter_map(|gap| self.fix(gap.side, None));
                let fix = fixes.reduce(Fix::and).unwrap_or_else(|| format!("allow `{action}`").into());
                HopFinding::failure(check, seen).why(why).fix(fix)
            }
        }
    }

    fn fix(&self, side: PolicyType, denial: Option<&StatementRef>) -> Option<Fix> {
        match side {
            PolicyType::Identity => self.holder?.identity.fix(denial),
            PolicyType::Resource => match &self.of {
                TargetPolicies::Nothing => None,
                TargetPolicies::Optional(sources) | TargetPolicies::Required(sources) => sources.fix(denial),
            },
            PolicyType::Boundary => {
                let source = self.holder?.boundary.as_ref()?;
                Some(source.remedy.fix(Some((&source.document, denial.map_or(0, |cite| cite.number)))))
            }
            PolicyType::Session | PolicyType::ServiceControl | PolicyType::ResourceControl => None,
        }
    }
}

/// What is said of several questions of one kind: the worst, the first of them; or that all are allowed.
pub(super) fn all(check: &'static str, why: &str, asks: &[PermissionCheck<'_>]) -> HopFinding {
    let findings: Vec<HopFinding> = asks.iter().map(|ask| ask.finding(check, why)).collect();
    let worst = findings.iter().map(|finding| finding.level).max();
    let first = findings.iter().find(|finding| Some(finding.level) == worst).cloned();
    let Some(first) = first else { return HopFinding::ok(check, "nothing is asked for") };
    if first.level != crate::access::report::Severity::Ok || asks.len() == 1 {
        return first;
    }
    let mut actions: Vec<String> = asks.iter().map(|ask| format!("`{}`", ask.action)).collect();
    actions.dedup();
    let who = asks.first().map(|ask| ask.caller.principal()).unwrap_or_default();
    let are = if actions.len() == 1 { "is" } else { "are" };
    HopFinding::ok(check, format!("{} {are} allowed to `{who}`", actions.join(", ")))
}

/// How a document of the plan is cited.
fn cited(item: ObservedResource<'_>, aspect: &str) -> String {
    match (&item.resource.kind, aspect) {
        (_, "trust") => format!("the trust policy of {}", item.title()),
        (ResourceKind::Role { name, .. }, _) => format!("policy `{name}` of role `{name}`"),
        (
            ResourceKind::RolePolicy { .. }
            | ResourceKind::ManagedPolicy { .. }
            | ResourceKind::LogsPolicy { .. },
            _,
        ) => item.title(),
        _ => format!("the policy of {}", item.title()),
    }
}

/// What every request by HTTPS carries; nothing else is known.
pub(super) fn context() -> RequestContext {
    RequestContext::open().with("aws:SecureTransport", ["true"])
}
