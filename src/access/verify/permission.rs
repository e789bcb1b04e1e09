//! Questions to the policies that were seen, and what is said of the answers.

use serde_json::Value;

use crate::access::live::{ResourceState, extra};
use crate::access::plan::ResourceKind;
use crate::access::policy::{
    AccessDecision, AccessRequest, ApplicablePolicies, Evaluation, LimitingPolicies, NamedPolicy,
    PolicyDocument, PolicyType, ReadPolicy, RequestContext, RequestPrincipal, ResourcePolicies, StatementRef,
    UnknownFact, evaluate,
};
use crate::access::report::{Fix, HopFinding};
use crate::arn::Arn;
use crate::config::topology::AwsAccount;

use super::denial::Denial;
use super::observed::{ObservedResource, policy};
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
    policy: ReadPolicy,
    fix: PolicyFix<'a>,
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
        let fix = PolicyFix::Planned(item, aspect);
        let source = state.get(aspect).and_then(policy).map(|policy| PolicySource {
            name: cited(item, aspect),
            policy,
            fix,
        });
        Self { found: Some(source.into_iter().collect()), home }
    }

    /// The policy of a Kinesis stream, which no plan puts.
    pub(super) fn of_stream(item: Option<ObservedResource<'a>>) -> Self {
        let seen = item.and_then(|item| Some((item, item.state()?.get("policy")?)));
        let Some((item, seen)) = seen else { return Self::default() };
        let found = Self { found: Some(Vec::new()), home: None };
        let Some(policy) = policy(seen) else { return found };
        let arn = item.text(extra::ARN).unwrap_or_default().to_owned();
        let fix = PolicyFix::Foreign(item.account(), ForeignPolicy::Stream(arn));
        found.with(cited(item, "policy"), policy, fix)
    }

    /// None yet, and where what is missing belongs.
    pub(super) fn at(home: PolicyFix<'a>) -> Self {
        Self { found: Some(Vec::new()), home: Some(home) }
    }

    /// There are none.
    pub(super) fn none() -> Self {
        Self { found: Some(Vec::new()), home: None }
    }

    /// With one more.
    pub(super) fn with(mut self, name: String, policy: ReadPolicy, fix: PolicyFix<'a>) -> Self {
        self.found.get_or_insert_default().push(PolicySource { name, policy, fix });
        self
    }

    fn named(&self) -> Option<Vec<NamedPolicy>> {
        Some(self.found.as_ref()?.iter().map(PolicySource::named).collect())
    }

    fn missing(&self) -> Option<Fix> {
        self.home.as_ref().map(|home| home.missing(None))
    }

    fn denied(&self, by: &StatementRef, ask: &PermissionCheck<'_>, actions: &[&'static str]) -> Option<Fix> {
        let source = self.found.iter().flatten().find(|source| source.name == by.policy)?;
        Some(source.denied(by.number, ask, actions))
    }
}

impl<'a> PolicySource<'a> {
    /// The permissions boundary that was seen of a role or user.
    fn boundary(account: &'a AwsAccount, of: &str, state: &ResourceState) -> Option<Self> {
        let arn = state.get(extra::BOUNDARY_ARN).and_then(Value::as_str).map(str::to_owned);
        let policy = match state.get(extra::BOUNDARY).and_then(policy) {
            Some(policy) => policy,
            // There is one, and nobody saw what it says.
            None => ReadPolicy::unread(arn.as_ref().map(|_| unseen_reason(state, extra::BOUNDARY))?),
        };
        let fix = PolicyFix::Boundary { account, arn, grant: PolicyDocument::default() };
        Some(Self { name: format!("the permissions boundary of {of}"), policy, fix })
    }

    fn named(&self) -> NamedPolicy {
        NamedPolicy::new(self.name.clone(), self.policy.clone())
    }

    fn denied(&self, number: usize, ask: &PermissionCheck<'_>, actions: &[&'static str]) -> Fix {
        self.fix.denied(Denial { policy: &self.policy, number, caller: &ask.caller, actions })
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
        if let Some(PolicySource { fix: PolicyFix::Boundary { grant, .. }, .. }) = &mut holder.boundary {
            *grant = policy(&item.wanted("permissions")).map(|wanted| wanted.document).unwrap_or_default();
        }
        Some(holder)
    }

    /// A role, with all policies that were seen of it as `others`.
    pub(super) fn new(account: &'a AwsAccount, role: Arn, state: Option<&ResourceState>) -> Self {
        let name = role.resource.rsplit('/').next().unwrap_or_default().to_owned();
        let caller = RequestPrincipal::Session { role, name: "standpipe".to_owned() };
        let mut identity = PolicySources::default();
        for (policy_name, value) in state.into_iter().flat_map(others) {
            let fix = if policy_name.starts_with("arn:") {
                ForeignPolicy::Attached { role: name.clone(), arn: policy_name.clone() }
            } else {
                ForeignPolicy::Inline { role: name.clone(), policy: policy_name.clone() }
            };
            let Some(policy) = policy(value) else { continue };
            let fix = PolicyFix::Foreign(account, fix);
            identity = identity.with(format!("policy `{policy_name}` of role `{name}`"), policy, fix);
        }
        let unseen = state.and_then(unseen_others);
        identity = unseen.into_iter().fold(identity, |identity, unseen| {
            let full_name = format!("the other policies of role `{name}`");
            identity.with(full_name.clone(), unseen, PolicyFix::ByHand(full_name))
        });
        let boundary =
            state.and_then(|state| PolicySource::boundary(account, &format!("role `{name}`"), state));
        Self { caller, identity, boundary }
    }

    /// A user, with all policies that were seen of it and of its groups.
    pub(super) fn user(account: &'a AwsAccount, user: Arn, state: &ResourceState) -> Self {
        let name = user.resource.rsplit('/').next().unwrap_or_default();
        let mut identity = PolicySources::default();
        for (policy_name, value) in others(state) {
            let Some(policy) = policy(value) else { continue };
            let full_name = format!("policy `{policy_name}` of user `{name}`");
            identity = identity.with(full_name.clone(), policy, PolicyFix::ByHand(full_name));
        }
        identity = unseen_others(state).into_iter().fold(identity, |identity, unseen| {
            let full_name = format!("the policies of user `{name}`");
            identity.with(full_name.clone(), unseen, PolicyFix::ByHand(full_name))
        });
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
        let boundary =
            boundary.map_or(LimitingPolicies::Absent, |source| LimitingPolicies::Seen(vec![source.named()]));
        let policies = ApplicablePolicies {
            identity: self.holder.and_then(|holder| holder.identity.named()),
            resource: match &self.of {
                TargetPolicies::Nothing => ResourcePolicies::Unsupported,
                TargetPolicies::Optional(sources) => ResourcePolicies::Optional(sources.named()),
                TargetPolicies::Required(sources) => ResourcePolicies::Required(sources.named()),
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

    /// What is said of it; `actions` are all that are needed of the same thing.
    fn finding(&self, check: &'static str, why: &str, actions: &[&'static str]) -> HopFinding {
        let Self { action, resource, .. } = self;
        let answer = self.answer();
        let who = self.caller.principal();
        let seen = format!("`{action}` on `{resource}` by `{who}`: {answer}");
        match &answer.decision {
            AccessDecision::Allowed { .. } => HopFinding::ok(check, seen),
            AccessDecision::Undecided { on, .. } => {
                HopFinding::warning(check, seen).why(why).fix(to_know(on, &who))
            }
            AccessDecision::Denied { by } => {
                let fix = self.denied(by, actions).unwrap_or_else(|| "remove the denial".into());
                HopFinding::failure(check, seen).why(why).fix(fix)
            }
            AccessDecision::Missing { gaps } => {
                let fixes = gaps.iter().filter_map(|gap| self.missing(gap.side));
                let fix = fixes.reduce(Fix::and).unwrap_or_else(|| format!("allow `{action}`").into());
                HopFinding::failure(check, seen).why(why).fix(fix)
            }
        }
    }

    fn missing(&self, side: PolicyType) -> Option<Fix> {
        match side {
            PolicyType::Identity => self.holder?.identity.missing(),
            PolicyType::Resource => self.of.sources()?.missing(),
            PolicyType::Boundary => {
                let source = self.holder?.boundary.as_ref()?;
                Some(source.fix.missing(Some(&source.policy)))
            }
            PolicyType::Session | PolicyType::ServiceControl | PolicyType::ResourceControl => None,
        }
    }

    fn denied(&self, by: &StatementRef, actions: &[&'static str]) -> Option<Fix> {
        match by.side {
            PolicyType::Identity => self.holder?.identity.denied(by, self, actions),
            PolicyType::Resource => self.of.sources()?.denied(by, self, actions),
            PolicyType::Boundary => Some(self.holder?.boundary.as_ref()?.denied(by.number, self, actions)),
            PolicyType::Session | PolicyType::ServiceControl | PolicyType::ResourceControl => None,
        }
    }
}

impl<'a> TargetPolicies<'a> {
    fn sources(&self) -> Option<&PolicySources<'a>> {
        match self {
            Self::Nothing => None,
            Self::Optional(sources) | Self::Required(sources) => Some(sources),
        }
    }
}

/// What has to be found out where nothing can be told, so that `who` is known to be let in or not.
fn to_know(on: &[UnknownFact], who: &str) -> String {
    let hint = |fact: &UnknownFact| match fact {
        UnknownFact::Unseen(side) => format!("look at {side}"),
        UnknownFact::Unread { policy, .. } => format!("read {policy} yourself"),
        UnknownFact::Key { cite, key } => {
            format!("see what such a request carries as `{key}`, or except `{who}` from {cite}")
        }
        UnknownFact::CanonicalUser { cite } => {
            format!("see whose canonical id {cite} names, or name its account instead")
        }
        UnknownFact::NotPrincipal { cite } => {
            format!("name the account of `{who}` too in {cite}, or let it test `aws:PrincipalArn`")
        }
    };
    let mut hints: Vec<String> = Vec::new();
    for fact in on {
        let hint = hint(fact);
        if !hints.contains(&hint) {
            hints.push(hint);
        }
    }
    hints.join("; ")
}

/// The policies that were seen beside one's own.
fn others(state: &ResourceState) -> impl Iterator<Item = (&String, &Value)> {
    state.get(extra::OTHERS).and_then(Value::as_object).into_iter().flatten()
}

/// What stands for policies that could not be listed: they may say anything.
fn unseen_others(state: &ResourceState) -> Option<ReadPolicy> {
    let is_seen = state.contains_key(extra::OTHERS);
    (!is_seen).then(|| ReadPolicy::unread(unseen_reason(state, extra::OTHERS)))
}

fn unseen_reason(state: &ResourceState, aspect: &str) -> String {
    let reason = state.get(extra::UNSEEN).and_then(|reasons| reasons.get(aspect)?.as_str());
    reason.unwrap_or("it was not checked").to_owned()
}

/// What is said of several questions of one kind: the worst, the first of them; or that all are allowed.
pub(super) fn all(check: &'static str, why: &str, asks: &[PermissionCheck<'_>]) -> HopFinding {
    let needed: Vec<&'static str> = asks.iter().map(|ask| ask.action).collect();
    let findings: Vec<HopFinding> = asks.iter().map(|ask| ask.finding(check, why, &needed)).collect();
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

/// What a service of AWS carries that calls as itself, or as a role that it was given: it does not come through anybody's VPC endpoint,
/// nor with a second factor, and no other service calls for it.
///
/// Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html>.
pub(super) fn service_context() -> RequestContext {
    const VPC: [&str; 8] = [
        "aws:SourceVpc",
        "aws:SourceVpcArn",
        "aws:SourceVpce",
        "aws:VpcSourceIp",
        "aws:VpceAccount",
        "aws:VpceOrgID",
        "aws:VpceOrgPaths",
        "aws:MultiFactorAuthAge",
    ];
    let absent = VPC.iter().fold(context(), |context, key| context.with::<String>(key, []));
    absent.with("aws:ViaAWSService", ["false"]).with_perhaps("aws:MultiFactorAuthPresent", &["false"])
}
