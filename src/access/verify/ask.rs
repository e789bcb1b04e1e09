//! Questions to the policies that were seen, and what is said of the answers.

use crate::access::doctor::{Finding, Fix};
use crate::access::live::{State, extra};
use crate::access::plan::Kind;
use crate::access::policy::{
    Answer, Arn, Attached, Caller, Cite, Context, Decision, Document, Limit, Policies, Request, Resource,
    Side, evaluate,
};
use crate::config::topology::Account;

use super::remedy::{Foreign, Remedy};
use super::view::{Item, document};

/// Policies of one side, and how each is put right.
#[derive(Clone, Debug, Default)]
pub(super) struct Sources<'a> {
    /// None: they were not seen.
    found: Option<Vec<Source<'a>>>,
    /// Where what is missing belongs.
    home: Option<Remedy<'a>>,
}

/// A policy that was seen.
#[derive(Clone, Debug)]
struct Source<'a> {
    name: String,
    document: Document,
    remedy: Remedy<'a>,
}

/// A role, with what was seen of its policies.
#[derive(Clone, Debug)]
pub(super) struct Holder<'a> {
    pub(super) caller: Caller,
    identity: Sources<'a>,
    boundary: Option<Source<'a>>,
}

/// A request of a kind that logs need.
#[derive(Clone, Debug)]
pub(super) struct Ask<'a> {
    pub(super) caller: Caller,
    pub(super) action: &'static str,
    pub(super) resource: String,
    /// The id of the account that owns it.
    pub(super) owner: String,
    pub(super) context: Context,
    /// The caller's own policies; none for a service.
    pub(super) holder: Option<&'a Holder<'a>>,
    pub(super) of: Of<'a>,
}

/// The policies of what is asked for.
#[derive(Clone, Debug)]
pub(super) enum Of<'a> {
    /// Its service knows none.
    Nothing,
    /// Within its account either side is enough.
    Optional(Sources<'a>),
    /// It has to allow.
    Required(Sources<'a>),
}

impl<'a> Sources<'a> {
    /// The policy of a resource of the plan.
    pub(super) fn of(item: Item<'a>, aspect: &'static str) -> Self {
        let home = Some(Remedy::Planned(item, aspect));
        let Some(state) = item.state() else { return Self { found: None, home } };
        let remedy = Remedy::Planned(item, aspect);
        let source = state.get(aspect).and_then(document).map(|document| Source {
            name: cited(item, aspect),
            document,
            remedy,
        });
        Self { found: Some(source.into_iter().collect()), home }
    }

    /// The policy of a Kinesis stream, which no plan puts.
    pub(super) fn of_stream(item: Option<Item<'a>>) -> Self {
        let policy = item.and_then(|item| Some((item, item.state()?.get("policy")?)));
        let Some((item, policy)) = policy else { return Self::default() };
        let found = Self { found: Some(Vec::new()), home: None };
        let Some(document) = document(policy) else { return found };
        let arn = item.text(extra::ARN).unwrap_or_default().to_owned();
        found.with(cited(item, "policy"), document, Remedy::Foreign(item.account(), Foreign::Stream(arn)))
    }

    /// One policy, or that there is none.
    pub(super) fn one(name: &str, document: Option<Document>, home: Remedy<'a>) -> Self {
        let source = |document| Source { name: name.to_owned(), document, remedy: home.clone() };
        Self { found: Some(document.map(source).into_iter().collect()), home: Some(home) }
    }

    /// There are none.
    pub(super) fn none() -> Self {
        Self { found: Some(Vec::new()), home: None }
    }

    /// With one more.
    pub(super) fn with(mut self, name: String, document: Document, remedy: Remedy<'a>) -> Self {
        self.found.get_or_insert_default().push(Source { name, document, remedy });
        self
    }

    fn attached(&self) -> Option<Vec<Attached>> {
        let sources = self.found.as_ref()?;
        let attached =
            |source: &Source<'_>| Attached { name: source.name.clone(), document: source.document.clone() };
        Some(sources.iter().map(attached).collect())
    }

    fn fix(&self, denial: Option<&Cite>) -> Option<Fix> {
        match denial {
            None => self.home.as_ref().map(|remedy| remedy.fix(None)),
            Some(cite) => {
                let source = self.found.iter().flatten().find(|source| source.name == cite.policy)?;
                Some(source.remedy.fix(Some((&source.document, cite.number))))
            }
        }
    }
}

impl<'a> Source<'a> {
    /// The permissions boundary that was seen of a role or user.
    fn boundary(account: &'a Account, of: &str, state: &State) -> Option<Self> {
        let document = document(state.get(extra::BOUNDARY)?)?;
        let arn = state.get(extra::BOUNDARY_ARN).and_then(|arn| arn.as_str()).map(str::to_owned);
        let remedy = Remedy::Boundary { account, arn, grant: Document::default() };
        Some(Self { name: format!("the permissions boundary of {of}"), document, remedy })
    }
}

impl<'a> Holder<'a> {
    /// A role of the plan, or one that the plan gives a policy.
    pub(super) fn of(item: Item<'a>) -> Option<Self> {
        let (Kind::Role { name, .. } | Kind::RolePolicy { role: name, .. }) = &item.resource.kind else {
            return None;
        };
        let role = item.account().place.role(name);
        let mut holder = Self::new(item.account(), role, item.state());
        let own = Sources::of(item, "permissions");
        holder.identity.home = own.home;
        holder.identity.found = match (own.found, holder.identity.found) {
            (Some(own), others) => Some(own.into_iter().chain(others.unwrap_or_default()).collect()),
            (None, _) => None,
        };
        if let Some(Source { remedy: Remedy::Boundary { grant, .. }, .. }) = &mut holder.boundary {
            *grant = document(&item.wanted("permissions")).unwrap_or_default();
        }
        Some(holder)
    }

    /// A role, with all policies that were seen of it as `others`.
    pub(super) fn new(account: &'a Account, role: Arn, state: Option<&State>) -> Self {
        let name = role.resource.rsplit('/').next().unwrap_or_default().to_owned();
        let caller = Caller::Session { role, name: "standpipe".to_owned() };
        let mut identity = Sources::default();
        let others = state.and_then(|state| state.get(extra::OTHERS)?.as_object());
        for (policy, value) in others.into_iter().flatten() {
            let Some(document) = document(value) else { continue };
            let remedy = if policy.starts_with("arn:") {
                Remedy::Foreign(account, Foreign::Attached { role: name.clone(), arn: policy.clone() })
            } else {
                Remedy::Foreign(account, Foreign::Inline { role: name.clone(), policy: policy.clone() })
            };
            identity = identity.with(format!("policy `{policy}` of role `{name}`"), document, remedy);
        }
        let boundary = state.and_then(|state| Source::boundary(account, &format!("role `{name}`"), state));
        Self { caller, identity, boundary }
    }

    /// A user, with all policies that were seen of it and of its groups.
    pub(super) fn user(account: &'a Account, user: Arn, state: &State) -> Self {
        let name = user.resource.rsplit('/').next().unwrap_or_default();
        let mut identity = Sources::default();
        for (policy, value) in state.get(extra::OTHERS).and_then(|all| all.as_object()).into_iter().flatten()
        {
            let Some(document) = document(value) else { continue };
            let text = format!("take the denial out of policy `{policy}`, after a look at why it is there");
            let called = format!("policy `{policy}` of user `{name}`");
            identity = identity.with(called, document, Remedy::Ready(Fix::from(text)));
        }
        let boundary = Source::boundary(account, &format!("user `{name}`"), state);
        Self { caller: Caller::User(user), identity, boundary }
    }

    /// The same, with its path.
    pub(super) fn at(mut self, role: Arn) -> Self {
        self.caller = Caller::Session { role, name: "standpipe".to_owned() };
        self
    }

    /// With a policy of its own.
    pub(super) fn with(mut self, sources: Sources<'a>) -> Self {
        self.identity.home = sources.home;
        self.identity.found.get_or_insert_default().extend(sources.found.unwrap_or_default());
        self
    }
}

impl Ask<'_> {
    /// What the policies say.
    pub(super) fn answer(&self) -> Answer {
        let request = Request {
            caller: self.caller.clone(),
            action: self.action.to_owned(),
            resource: self.resource.clone(),
            owner: self.owner.clone(),
            context: self.context.clone(),
        };
        let boundary = self.holder.and_then(|holder| holder.boundary.as_ref());
        let boundary = boundary.map_or(Limit::Absent, |source| {
            Limit::Seen(vec![Attached { name: source.name.clone(), document: source.document.clone() }])
        });
        let policies = Policies {
            identity: self.holder.and_then(|holder| holder.identity.attached()),
            resource: match &self.of {
                Of::Nothing => Resource::Unsupported,
                Of::Optional(sources) => Resource::Optional(sources.attached()),
                Of::Required(sources) => Resource::Required(sources.attached()),
            },
            boundary,
            // What organizations say is not looked at, which is said once.
            session: Limit::Absent,
            service_control: Limit::Absent,
            resource_control: Limit::Absent,
        };
        let mut answer = evaluate(&request, &policies);
        if let Decision::Missing { gaps } = &mut answer.decision {
            // Within one account either side would do: what is meant to allow it is the caller's.
            let by_identity = gaps.iter().any(|gap| gap.side == Side::Identity);
            let is_own = self.caller.account() == Some(&self.owner);
            let either = by_identity && is_own && !matches!(self.of, Of::Required(_));
            gaps.retain(|gap| !either || gap.side != Side::Resource);
        }
        answer
    }

    /// What is said of it.
    fn finding(&self, check: &'static str, why: &str) -> Finding {
        let Self { action, resource, .. } = self;
        let answer = self.answer();
        let who = self.caller.principal();
        let seen = format!("`{action}` on `{resource}` by `{who}`: {answer}");
        match &answer.decision {
            Decision::Allowed { .. } => Finding::ok(check, seen),
            Decision::Undecided { .. } => Finding::warning(check, seen).why(why),
            Decision::Denied { by } => {
                let fix = self.fix(by.side, Some(by)).unwrap_or_else(|| "take the denial out".into());
                Finding::failure(check, seen).why(why).fix(fix)
            }
            Decision::Missing { gaps } => {
                let fixes = gaps.iter().filter_map(|gap| self.fix(gap.side, None));
                let fix = fixes.reduce(Fix::and).unwrap_or_else(|| format!("allow `{action}`").into());
                Finding::failure(check, seen).why(why).fix(fix)
            }
        }
    }

    fn fix(&self, side: Side, denial: Option<&Cite>) -> Option<Fix> {
        match side {
            Side::Identity => self.holder?.identity.fix(denial),
            Side::Resource => match &self.of {
                Of::Nothing => None,
                Of::Optional(sources) | Of::Required(sources) => sources.fix(denial),
            },
            Side::Boundary => {
                let source = self.holder?.boundary.as_ref()?;
                Some(source.remedy.fix(Some((&source.document, denial.map_or(0, |cite| cite.number)))))
            }
            Side::Session | Side::ServiceControl | Side::ResourceControl => None,
        }
    }
}

/// What is said of several questions of one kind: the worst, the first of them; or that all are allowed.
pub(super) fn all(check: &'static str, why: &str, asks: &[Ask<'_>]) -> Finding {
    let findings: Vec<Finding> = asks.iter().map(|ask| ask.finding(check, why)).collect();
    let worst = findings.iter().map(|finding| finding.level).max();
    let first = findings.iter().find(|finding| Some(finding.level) == worst).cloned();
    let Some(first) = first else { return Finding::ok(check, "nothing is asked for") };
    if first.level != crate::access::doctor::Level::Ok || asks.len() == 1 {
        return first;
    }
    let mut actions: Vec<String> = asks.iter().map(|ask| format!("`{}`", ask.action)).collect();
    actions.dedup();
    let who = asks.first().map(|ask| ask.caller.principal()).unwrap_or_default();
    let are = if actions.len() == 1 { "is" } else { "are" };
    Finding::ok(check, format!("{} {are} allowed to `{who}`", actions.join(", ")))
}

/// How a document of the plan is cited.
fn cited(item: Item<'_>, aspect: &str) -> String {
    match (&item.resource.kind, aspect) {
        (_, "trust") => format!("the trust policy of {}", item.title()),
        (Kind::Role { name, .. }, _) => format!("policy `{name}` of role `{name}`"),
        (Kind::RolePolicy { .. } | Kind::ManagedPolicy { .. } | Kind::LogsPolicy { .. }, _) => item.title(),
        _ => format!("the policy of {}", item.title()),
    }
}

/// What every request by HTTPS carries; nothing else is known.
pub(super) fn context() -> Context {
    Context::open().with("aws:SecureTransport", ["true"])
}
