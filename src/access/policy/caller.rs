//! Who asks, and whether a `Principal` element means them.
//!
//! Sources: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html> and
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notprincipal.html>.

use std::collections::BTreeMap;

use super::context::RequestContext;
use super::document::{PrincipalType, Principals};
use super::truth::Truth;
use crate::arn::{AccountRegion, Arn, ResourceType, is_account};

/// Who asks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RequestPrincipal {
    /// A user.
    User(Arn),
    /// A session of a role.
    Session {
        /// The role.
        role: Arn,
        /// The session's name.
        name: String,
    },
    /// The root user of an account.
    Root(Arn),
    /// A session that a user made for somebody (`GetFederationToken`).
    FederatedUser {
        /// The session.
        session: Arn,
        /// The user.
        user: Arn,
    },
    /// A service of AWS, on its own behalf or on that of a resource.
    Service {
        /// All the names it goes by, such as `logs.amazonaws.com` and `logs.us-east-1.amazonaws.com`.
        names: Vec<String>,
    },
    /// Somebody whom an identity provider vouches for, such as at `AssumeRoleWithWebIdentity`.
    Federated {
        /// Its domain or ARN.
        provider: String,
    },
    /// Nobody in particular.
    Anonymous,
}

/// How far what a resource's policy grants to a caller goes, within one account.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum GrantReach {
    /// To the account: its own policies decide who may.
    Account,
    /// To the role or user, within the limits of a boundary and of session policies.
    Entity,
    /// To the very caller: nothing but a denial takes it back.
    Direct,
}

/// Whether an element means the caller.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct PrincipalMatch {
    pub(super) truth: Truth,
    /// Of those entries that mean the caller, the one that goes furthest.
    pub(super) reach: GrantReach,
}

impl RequestPrincipal {
    /// The caller of an ARN as `sts:GetCallerIdentity` gives it: a user, the root user, or a session.
    ///
    /// The ARN of a session does not tell the path of its role: it is taken as `/`.
    #[must_use]
    pub fn from_arn(arn: &Arn) -> Option<Self> {
        let home = AccountRegion { region: String::new(), account: arn.account.clone() };
        let of = |resource: String| Arn {
            partition: arn.partition,
            service: "iam".to_owned(),
            resource,
            ..home.root()
        };
        match (arn.service.as_str(), arn.resource_type()) {
            ("iam", ResourceType::User { .. }) => Some(Self::User(arn.clone())),
            ("iam", ResourceType::Account) => Some(Self::Root(arn.clone())),
            ("sts", ResourceType::Session { role, name }) => {
                Some(Self::Session { role: of(format!("role/{role}")), name: name.to_owned() })
            }
            ("sts", ResourceType::FederatedUser(name)) => {
                Some(Self::FederatedUser { session: arn.clone(), user: of(format!("user/{name}")) })
            }
            _ => None,
        }
    }

    /// The account it belongs to; none for services and strangers.
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        match self {
            Self::User(arn) | Self::Root(arn) => Some(&arn.account),
            Self::Session { role, .. } => Some(&role.account),
            Self::FederatedUser { user, .. } => Some(&user.account),
            Self::Service { .. } | Self::Federated { .. } | Self::Anonymous => None,
        }
    }

    /// How a policy names it: for a session, by its role.
    #[must_use]
    pub fn principal(&self) -> String {
        match self {
            Self::User(arn) | Self::Root(arn) => arn.to_string(),
            Self::Session { role, .. } => role.to_string(),
            Self::FederatedUser { session, .. } => session.to_string(),
            Self::Service { names } => names.first().cloned().unwrap_or_default(),
            Self::Federated { provider } => provider.clone(),
            Self::Anonymous => "anonymous".to_owned(),
        }
    }

    /// The keys that every request of this caller carries.
    ///
    /// Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html>.
    pub(super) fn context(&self) -> RequestContext {
        let (kind, arn) = match self {
            Self::User(arn) => ("User", arn),
            Self::Session { role, .. } => ("AssumedRole", role),
            Self::Root(arn) => ("Account", arn),
            Self::FederatedUser { session, .. } => ("FederatedUser", session),
            Self::Service { names } => {
                return RequestContext::default()
                    .with("aws:PrincipalIsAWSService", ["true"])
                    .with("aws:PrincipalServiceName", names.first())
                    .with("aws:PrincipalServiceNamesList", names);
            }
            Self::Federated { .. } | Self::Anonymous => {
                return RequestContext::default().with("aws:PrincipalIsAWSService", ["false"]);
            }
        };
        let form = arn.resource_type();
        let user_name = if let ResourceType::User { name, .. } = form { Some(name) } else { None };
        RequestContext::default()
            .with("aws:PrincipalArn", [arn.to_string()])
            .with("aws:PrincipalAccount", [arn.account.clone()])
            .with("aws:PrincipalType", [kind])
            .with("aws:PrincipalIsAWSService", ["false"])
            .with("aws:username", user_name)
    }

    /// Whether a `Principal` element means it.
    pub(super) fn is_in(&self, principals: &Principals) -> PrincipalMatch {
        let named = match principals {
            Principals::Everyone => return PrincipalMatch { truth: Truth::Yes, reach: GrantReach::Direct },
            Principals::Named(named) => named,
        };
        let entries = of(named, PrincipalType::Aws).iter();
        let known =
            entries.filter_map(|entry| self.is_entry(entry)).chain(self.is_service_or_provider(named)).max();
        match known {
            Some(reach) => PrincipalMatch { truth: Truth::Yes, reach },
            // Nothing here tells the canonical id of an account.
            None if !of(named, PrincipalType::CanonicalUser).is_empty() && self.account().is_some() => {
                PrincipalMatch { truth: Truth::Maybe, reach: GrantReach::Account }
            }
            None => PrincipalMatch { truth: Truth::No, reach: GrantReach::Account },
        }
    }

    /// Whether a denial of all but `principals` spares it: for sure when its account, its role and itself are all there; perhaps
    /// when it is there but not its account, which some services look at first.
    pub(super) fn is_spared(&self, principals: &Principals) -> Truth {
        let named = match principals {
            Principals::Everyone => return Truth::Yes,
            Principals::Named(named) => named,
        };
        let there = |reach: GrantReach| {
            of(named, PrincipalType::Aws).iter().any(|entry| self.is_entry(entry) == Some(reach))
        };
        match self {
            Self::Service { .. } | Self::Federated { .. } => {
                self.is_service_or_provider(named).is_some().into()
            }
            Self::Anonymous => there(GrantReach::Direct).into(),
            Self::Root(_) => there(GrantReach::Account).into(),
            Self::User(_) => spared([there(GrantReach::Direct), there(GrantReach::Account)]),
            Self::Session { .. } | Self::FederatedUser { .. } => {
                spared([there(GrantReach::Direct), there(GrantReach::Entity), there(GrantReach::Account)])
            }
        }
    }

    fn is_service_or_provider(&self, named: &BTreeMap<PrincipalType, Vec<String>>) -> Option<GrantReach> {
        let is = match self {
            Self::Service { names } => of(named, PrincipalType::Service)
                .iter()
                .any(|entry| names.iter().any(|name| name.eq_ignore_ascii_case(entry))),
            Self::Federated { provider } => of(named, PrincipalType::Federated).contains(provider),
            Self::User(_)
            | Self::Session { .. }
            | Self::Root(_)
            | Self::FederatedUser { .. }
            | Self::Anonymous => false,
        };
        is.then_some(GrantReach::Direct)
    }

    /// Whether one value of `AWS` means it. A wildcard within a name means nobody, and so does the id of somebody deleted.
    fn is_entry(&self, entry: &str) -> Option<GrantReach> {
        if entry == "*" {
            return Some(GrantReach::Direct);
        }
        let account = self.account()?;
        if is_account(entry) {
            return (entry == account).then_some(GrantReach::Account);
        }
        let entry: Arn = entry.parse().ok()?;
        if entry.account != account {
            return None;
        }
        let is = |own: &Arn, reach| (*own == entry).then_some(reach);
        match self {
            _ if entry.resource_type() == ResourceType::Account => is(&self.root()?, GrantReach::Account),
            Self::User(arn) => is(arn, GrantReach::Direct),
            Self::Session { role, name } => {
                is(role, GrantReach::Entity).or_else(|| is(&session(role, name)?, GrantReach::Direct))
            }
            Self::FederatedUser { session, user } => {
                is(session, GrantReach::Direct).or_else(|| is(user, GrantReach::Entity))
            }
            Self::Root(_) | Self::Service { .. } | Self::Federated { .. } | Self::Anonymous => None,
        }
    }

    /// The ARN of its account.
    fn root(&self) -> Option<Arn> {
        let own = match self {
            Self::User(arn) | Self::Root(arn) | Self::Session { role: arn, .. } => arn,
            Self::FederatedUser { user, .. } => user,
            Self::Service { .. } | Self::Federated { .. } | Self::Anonymous => return None,
        };
        Some(Arn { resource: "root".to_owned(), ..own.clone() })
    }
}

/// The ARN of a role's session, which leaves the path out.
fn session(role: &Arn, name: &str) -> Option<Arn> {
    let ResourceType::Role { name: role_name, .. } = role.resource_type() else { return None };
    let resource = format!("assumed-role/{role_name}/{name}");
    Some(Arn { service: "sts".to_owned(), resource, ..role.clone() })
}

/// All of `chain`, which begins with the caller itself: for sure; the caller alone: perhaps.
fn spared<const N: usize>(chain: [bool; N]) -> Truth {
    match chain {
        _ if chain.iter().all(|there| *there) => Truth::Yes,
        _ if chain.first() == Some(&true) => Truth::Maybe,
        _ => Truth::No,
    }
}

fn of(named: &BTreeMap<PrincipalType, Vec<String>>, kind: PrincipalType) -> &[String] {
    named.get(&kind).map_or(&[], Vec::as_slice)
}
