//! Promises of the policy engine; each case's name is a rule of AWS's documentation.

mod conditions;
mod decisions;
mod documents;
mod explanations;
mod patterns;
mod properties;
mod unknowns;

use super::caller::RequestPrincipal;
use super::context::RequestContext;
use super::decision::Evaluation;
use super::document::PolicyDocument;
use super::evaluate::evaluate;
use super::request::{AccessRequest, ApplicablePolicies, LimitingPolicies, NamedPolicy, ResourcePolicies};

/// A document of these statements, in the newer language.
pub(super) fn policy(statements: &str) -> PolicyDocument {
    format!(r#"{{"Version": "2012-10-17", "Statement": [{statements}]}}"#).parse().unwrap()
}

pub(super) fn attached(name: &str, statements: &str) -> Vec<NamedPolicy> {
    vec![NamedPolicy::new(name, policy(statements))]
}

/// The caller of an ARN, or of a service's name.
pub(super) fn caller(text: &str) -> RequestPrincipal {
    match text {
        "anonymous" => RequestPrincipal::Anonymous,
        _ if text.ends_with(".amazonaws.com") => RequestPrincipal::Service { names: vec![text.to_owned()] },
        _ if text.starts_with("https:") => {
            RequestPrincipal::Federated { provider: text.trim_start_matches("https:").to_owned() }
        }
        _ => RequestPrincipal::from_arn(&text.parse().unwrap()).unwrap(),
    }
}

/// One case: who asks for what, and the statements of each side. An empty text is no policy.
#[derive(Clone, Copy)]
pub(super) struct Case<'a> {
    pub(super) caller: &'a str,
    pub(super) action: &'a str,
    pub(super) resource: &'a str,
    pub(super) owner: &'a str,
    pub(super) context: &'a [(&'a str, &'a str)],
    pub(super) identity: &'a str,
    pub(super) on_resource: &'a str,
    /// The resource's word is needed even within its account.
    pub(super) required: bool,
    pub(super) boundary: &'a str,
    pub(super) session: &'a str,
    pub(super) service_control: &'a str,
    pub(super) resource_control: &'a str,
}

/// Account A's user asks for an object in account A's bucket, and nothing says a word.
pub(super) const CASE: Case<'static> = Case {
    caller: "arn:aws:iam::111111111111:user/carlos",
    action: "s3:GetObject",
    resource: "arn:aws:s3:::bucket/key",
    owner: "111111111111",
    context: &[],
    identity: "",
    on_resource: "",
    required: false,
    boundary: "",
    session: "",
    service_control: "",
    resource_control: "",
};

impl Case<'_> {
    pub(super) fn answer(&self) -> Evaluation {
        let seen = |name, statements: &str| {
            if statements.is_empty() { Vec::new() } else { attached(name, statements) }
        };
        let limit = |name, statements: &str| match statements {
            "" => LimitingPolicies::Absent,
            _ => LimitingPolicies::Seen(attached(name, statements)),
        };
        let on_resource = Some(seen("the bucket's policy", self.on_resource));
        let context = self
            .context
            .iter()
            .fold(RequestContext::default(), |context, (key, value)| context.with(key, [*value]));
        let request = AccessRequest {
            caller: caller(self.caller),
            action: self.action.to_owned(),
            resource: self.resource.to_owned(),
            owner: self.owner.to_owned(),
            context,
        };
        let policies = ApplicablePolicies {
            identity: Some(seen("the user's policy", self.identity)),
            resource: if self.required {
                ResourcePolicies::Required(on_resource)
            } else {
                ResourcePolicies::Optional(on_resource)
            },
            boundary: limit("the boundary", self.boundary),
            session: limit("the session policy", self.session),
            service_control: limit("the SCP", self.service_control),
            resource_control: limit("the RCP", self.resource_control),
        };
        evaluate(&request, &policies)
    }
}
