//! How a policy is put right: what it lacks, or one of its statements that denies.

use serde_json::json;

use super::observed::ObservedResource;
use crate::access::policy::PolicyDocument;
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
    /// A resource policy of `CloudWatch` Logs.
    Logs(String),
    /// The policy of a Kinesis stream, by its ARN.
    Stream(String),
}

impl PolicyFix<'_> {
    /// How to do it: without the statement that denies, counted from 1, if one does.
    pub(super) fn fix(&self, denial: Option<(&PolicyDocument, usize)>) -> Fix {
        match self {
            Self::Planned(item, aspect) => item.repair_document(aspect, denial.map(|(_, number)| number)),
            Self::Boundary { account, arn, grant } => {
                let text =
                    "let the permissions boundary allow it too: it limits what the role's own policies grant";
                let (Some(arn), Some((document, number))) = (arn, denial) else { return Fix::from(text) };
                let mut wider = without(document, number);
                wider.statements.extend(grant.statements.iter().cloned());
                let input =
                    json!({ "PolicyArn": arn, "PolicyDocument": wider.to_json(), "SetAsDefault": true });
                let call = ApiCall::new(AwsService::Iam, "CreatePolicyVersion", input);
                let at = format!("the permissions boundary `{arn}`");
                Fix::from(text).policy(at, wider).calls(account, vec![call])
            }
            Self::Foreign(account, foreign) => {
                let rest = denial.map(|(document, number)| without(document, number)).unwrap_or_default();
                let text =
                    format!("take the denial out of {}, after a look at why it is there", foreign.name());
                Fix::from(text).calls(account, vec![foreign.leave(&rest)])
            }
            Self::Ready(fix) => fix.clone(),
        }
    }
}

impl ForeignPolicy {
    fn name(&self) -> String {
        match self {
            Self::Inline { role, policy } => format!("policy `{policy}` of role `{role}`"),
            Self::Attached { role, arn } => format!("policy `{arn}`, or detach it from role `{role}`"),
            Self::Bucket(bucket) => format!("the policy of bucket `{bucket}`"),
            Self::Logs(policy) => format!("resource policy `{policy}`"),
            Self::Stream(arn) => format!("the policy of `{arn}`"),
        }
    }

    /// The call that leaves the rest of it; all of it goes when nothing is left.
    fn leave(&self, rest: &PolicyDocument) -> ApiCall {
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

/// The document less one statement, counted from 1; all of it for 0.
fn without(document: &PolicyDocument, number: usize) -> PolicyDocument {
    let kept = document.statements.iter().enumerate();
    let kept = kept.filter(|(index, _)| index.saturating_add(1) != number);
    PolicyDocument { statements: kept.map(|(_, statement)| statement.clone()).collect(), ..document.clone() }
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
