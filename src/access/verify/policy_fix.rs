//! How a policy is put right: what it lacks, or one of its statements that denies.

use serde_json::json;

use super::denial::{Denial, Relieved};
use super::observed::ObservedResource;
use crate::access::policy::{PolicyDocument, ReadPolicy};
use crate::access::report::Fix;
use crate::arn::Arn;
use crate::arn::ResourceType;
use crate::aws::{ApiCall, AwsService};
use crate::config::topology::AwsAccount;

/// How a policy is put right.
#[derive(Clone, Debug)]
pub(super) enum PolicyFix<'a> {
    /// It is of the plan: this aspect of that resource.
    Planned(ObservedResource<'a>, &'static str),
    /// The policy that is a permissions boundary, and what it has to grant.
    Boundary { account: &'a AwsAccount, arn: Option<String>, grant: PolicyDocument },
    /// Somebody else's: nothing but a denial is taken out.
    Foreign(&'a AwsAccount, ForeignPolicy),
    /// Somebody else's, which only a person puts right; its name.
    ByHand(String),
    /// It was worked out before.
    Ready(Fix),
}

/// A policy that the plan does not make.
#[derive(Clone, Debug)]
pub(super) enum ForeignPolicy {
    /// An inline policy of a role.
    Inline { role: String, policy: String },
    /// A policy that is attached to a role.
    Attached { role: String, arn: String },
    /// The policy of a bucket.
    Bucket(String),
    /// The policy of a key, by its ARN.
    Key(String),
    /// A resource policy of `CloudWatch` Logs.
    Logs(String),
    /// The policy of a Kinesis stream, by its ARN.
    Stream(String),
}

impl PolicyFix<'_> {
    /// How to add what is missing, if it can be added; `there` is the policy as it was seen.
    pub(super) fn missing(&self, there: Option<&ReadPolicy>) -> Fix {
        match self {
            Self::Planned(item, aspect) => item.repair_document(aspect, None),
            Self::Boundary { account, arn, grant } => {
                let document = there.and_then(ReadPolicy::whole);
                boundary(account, arn.as_ref(), document, grant, BOUNDARY)
            }
            Self::Foreign(_, foreign) => Fix::from(format!("let {} allow it", foreign.name())),
            Self::ByHand(name) => Fix::from(format!("let {name} allow it")),
            Self::Ready(fix) => fix.clone(),
        }
    }

    /// How to lift a denial from whom it hits. A policy that cannot be read to its end is never replaced.
    pub(super) fn denied(&self, denial: Denial<'_>) -> Fix {
        match self {
            Self::Planned(item, aspect) => item.repair_document(aspect, Some(denial)),
            Self::Boundary { account, arn, grant } => {
                let name = arn.as_ref().map_or_else(
                    || "the permissions boundary".to_owned(),
                    |arn| format!("the permissions boundary `{arn}`"),
                );
                match denial.excepting(&name) {
                    Some(Relieved { document, text }) => {
                        boundary(account, arn.as_ref(), Some(&document), grant, &text)
                    }
                    None => Fix::from(denial.by_hand(&name)),
                }
            }
            Self::Foreign(account, foreign) => foreign.relieved(account, denial),
            Self::ByHand(name) => Fix::from(denial.by_hand(name)),
            Self::Ready(fix) => fix.clone(),
        }
    }
}

const BOUNDARY: &str =
    "let the permissions boundary allow it as well: it limits what the role's own policies grant";

/// A new version of a boundary that grants more than `document` does.
fn boundary(
    account: &AwsAccount,
    arn: Option<&String>,
    document: Option<&PolicyDocument>,
    grant: &PolicyDocument,
    text: &str,
) -> Fix {
    let (Some(arn), Some(document)) = (arn, document) else { return Fix::from(text) };
    let mut wider = document.clone();
    wider.statements.extend(grant.statements.iter().cloned());
    let input = json!({ "PolicyArn": arn, "PolicyDocument": wider.to_json(), "SetAsDefault": true });
    let call = ApiCall::new(AwsService::Iam, "CreatePolicyVersion", input);
    let at = format!("the permissions boundary `{arn}`");
    Fix::from(text).policy(at, wider).calls(account, vec![call])
}

impl ForeignPolicy {
    /// Without a denial, as far as that can be.
    fn relieved(&self, account: &AwsAccount, denial: Denial<'_>) -> Fix {
        let name = self.name();
        let relieved = match self {
            Self::Inline { .. } => denial.without(&name),
            Self::Attached { .. } => denial.policy.whole().map(|document| self.detached(document)),
            Self::Bucket(_) | Self::Key(_) | Self::Logs(_) | Self::Stream(_) => denial.excepting(&name),
        };
        match relieved {
            Some(Relieved { document, text }) => Fix::from(text).calls(account, vec![self.put(&document)]),
            None => Fix::from(denial.by_hand(&name)),
        }
    }

    /// A policy that others may have too is not changed, but leaves this role, with all that it says.
    fn detached(&self, document: &PolicyDocument) -> Relieved {
        let mut actions: Vec<String> = Vec::new();
        for action in document.statements.iter().flat_map(|statement| statement.actions.written()) {
            let action = format!("`{action}`");
            if !actions.contains(&action) {
                actions.push(action);
            }
        }
        let text = format!(
            "remove the denial from {}, after checking why it is there: with the policy goes all that it says of {}",
            self.name(),
            actions.join(", ")
        );
        Relieved { document: PolicyDocument::default(), text }
    }

    fn name(&self) -> String {
        match self {
            Self::Inline { role, policy } => format!("policy `{policy}` of role `{role}`"),
            Self::Attached { role, arn } => format!("policy `{arn}`, or detach it from role `{role}`"),
            Self::Bucket(bucket) => format!("the policy of bucket `{bucket}`"),
            Self::Key(key) => format!("the policy of key `{key}`"),
            Self::Logs(policy) => format!("resource policy `{policy}`"),
            Self::Stream(arn) => format!("the policy of `{arn}`"),
        }
    }

    /// The call that puts what is left of it; all of it goes when nothing is.
    fn put(&self, rest: &PolicyDocument) -> ApiCall {
        let is_empty = rest.statements.is_empty();
        let document = rest.to_json();
        match self {
            Self::Inline { role, policy } if is_empty => ApiCall::new(
                AwsService::Iam,
                "DeleteRolePolicy",
                json!({ "RoleName": role, "PolicyName": policy }),
            ),
            Self::Inline { role, policy } => put_role_policy(role, policy, rest),
            // Others may have it too: it is not changed.
            Self::Attached { role, arn } => ApiCall::new(
                AwsService::Iam,
                "DetachRolePolicy",
                json!({ "RoleName": role, "PolicyArn": arn }),
            ),
            Self::Bucket(bucket) if is_empty => {
                ApiCall::new(AwsService::S3, "DeleteBucketPolicy", json!({ "Bucket": bucket }))
            }
            Self::Bucket(bucket) => ApiCall::new(
                AwsService::S3,
                "PutBucketPolicy",
                json!({ "Bucket": bucket, "Policy": document }),
            ),
            Self::Key(key) => {
                let input = json!({ "KeyId": key, "PolicyName": "default", "Policy": document });
                ApiCall::new(AwsService::Kms, "PutKeyPolicy", input)
            }
            Self::Logs(policy) if is_empty => {
                ApiCall::new(AwsService::Logs, "DeleteResourcePolicy", json!({ "policyName": policy }))
            }
            Self::Logs(policy) => {
                let input = json!({ "policyName": policy, "policyDocument": document });
                ApiCall::new(AwsService::Logs, "PutResourcePolicy", input)
            }
            Self::Stream(arn) if is_empty => {
                ApiCall::new(AwsService::Kinesis, "DeleteResourcePolicy", json!({ "ResourceARN": arn }))
            }
            Self::Stream(arn) => {
                let input = json!({ "ResourceARN": arn, "Policy": document });
                ApiCall::new(AwsService::Kinesis, "PutResourcePolicy", input)
            }
        }
    }
}

/// The call that puts an inline policy of a role or a user.
pub(super) fn put_policy(of: &Arn, policy: &str, document: &PolicyDocument) -> ApiCall {
    if let ResourceType::User { name, .. } = of.resource_type() {
        let input = json!({ "UserName": name, "PolicyName": policy, "PolicyDocument": document.to_json() });
        return ApiCall::new(AwsService::Iam, "PutUserPolicy", input);
    }
    put_role_policy(of.resource.rsplit('/').next().unwrap_or_default(), policy, document)
}

/// The call that puts an inline policy of a role.
fn put_role_policy(role: &str, policy: &str, document: &PolicyDocument) -> ApiCall {
    let input = json!({ "RoleName": role, "PolicyName": policy, "PolicyDocument": document.to_json() });
    ApiCall::new(AwsService::Iam, "PutRolePolicy", input)
}
