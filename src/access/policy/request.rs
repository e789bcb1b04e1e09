//! What is decided on: a request, and the policies that have a say in it.

use super::caller::RequestPrincipal;
use super::context::RequestContext;
use super::read::ReadPolicy;

/// A request to AWS.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AccessRequest {
    /// Who asks.
    pub caller: RequestPrincipal,
    /// For what, such as `firehose:PutRecordBatch`.
    pub action: String,
    /// Of what: an ARN, or `*` for an action that is about no resource.
    pub resource: String,
    /// The account that the resource belongs to.
    pub owner: String,
    /// What else is known of it.
    pub context: RequestContext,
}

/// The policies that have a say, as far as they were seen.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ApplicablePolicies {
    /// Those of the user or role that asks, and of its groups; `None`: not seen.
    pub identity: Option<Vec<NamedPolicy>>,
    /// Those of the resource.
    pub resource: ResourcePolicies,
    /// The permissions boundary.
    pub boundary: LimitingPolicies,
    /// Those given when the session was made.
    pub session: LimitingPolicies,
    /// The service control policies of the caller's account.
    pub service_control: LimitingPolicies,
    /// The resource control policies of the owner's account.
    pub resource_control: LimitingPolicies,
}

/// A policy, and where it was found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NamedPolicy {
    /// How it is to be cited, such as "policy `put` of role `writer`".
    pub name: String,
    /// What it says, as far as it can be read.
    pub policy: ReadPolicy,
}

impl NamedPolicy {
    /// A policy, and how it is to be cited.
    pub fn new(name: impl Into<String>, policy: impl Into<ReadPolicy>) -> Self {
        Self { name: name.into(), policy: policy.into() }
    }
}

/// The policies of a resource; `None` within: not seen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ResourcePolicies {
    /// Within its account the word of either side is enough: buckets, queues, streams of Kinesis, destinations.
    Optional(Option<Vec<NamedPolicy>>),
    /// Nobody may without its word: trust policies of roles, policies of keys.
    Required(Option<Vec<NamedPolicy>>),
    /// The service knows none: Firehose.
    Unsupported,
}

/// Policies that allow nothing by themselves, but limit what others allow.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum LimitingPolicies {
    /// Nobody looked.
    #[default]
    Unseen,
    /// There are none.
    Absent,
    /// One of these has to allow.
    Seen(Vec<NamedPolicy>),
}

impl Default for ResourcePolicies {
    fn default() -> Self {
        Self::Optional(None)
    }
}
