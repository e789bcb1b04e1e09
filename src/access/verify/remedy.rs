//! How a policy is put right: what it lacks, or one of its statements that denies.

use serde_json::json;

use super::view::Item;
use crate::access::call::{Call, Service};
use crate::access::doctor::Fix;
use crate::access::policy::arn::Form;
use crate::access::policy::{Arn, Document};
use crate::config::topology::Account;

/// How a policy is put right.
#[derive(Clone, Debug)]
pub(super) enum Remedy<'a> {
    /// It is of the plan: this aspect of that resource.
    Planned(Item<'a>, &'static str),
    /// The policy that is a permissions boundary, and what it has to grant.
    Boundary { account: &'a Account, arn: Option<String>, grant: Document },
    /// Somebody else's: nothing but a denial is taken out.
    Foreign(&'a Account, Foreign),
    /// It was worked out before.
    Ready(Fix),
}

/// A policy that the plan does not make.
#[derive(Clone, Debug)]
pub(super) enum Foreign {
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

impl Remedy<'_> {
    /// How to do it: without the statement that denies, counted from 1, if one does.
    pub(super) fn fix(&self, denial: Option<(&Document, usize)>) -> Fix {
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
                let call = Call::new(Service::Iam, "CreatePolicyVersion", input);
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

impl Foreign {
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
    fn leave(&self, rest: &Document) -> Call {
        let is_empty = rest.statements.is_empty();
        let document = rest.to_json();
        match self {
            Self::Inline { role, policy } if is_empty => {
                Call::new(Service::Iam, "DeleteRolePolicy", json!({ "RoleName": role, "PolicyName": policy }))
            }
            Self::Inline { role, policy } => put_role_policy(role, policy, rest),
            // Others may have it too: it is not changed.
            Self::Attached { role, arn } => {
                Call::new(Service::Iam, "DetachRolePolicy", json!({ "RoleName": role, "PolicyArn": arn }))
            }
            Self::Bucket(bucket) if is_empty => {
                Call::new(Service::S3, "DeleteBucketPolicy", json!({ "Bucket": bucket }))
            }
            Self::Bucket(bucket) => {
                Call::new(Service::S3, "PutBucketPolicy", json!({ "Bucket": bucket, "Policy": document }))
            }
            Self::Logs(policy) if is_empty => {
                Call::new(Service::Logs, "DeleteResourcePolicy", json!({ "policyName": policy }))
            }
            Self::Logs(policy) => {
                let input = json!({ "policyName": policy, "policyDocument": document });
                Call::new(Service::Logs, "PutResourcePolicy", input)
            }
            Self::Stream(arn) if is_empty => {
                Call::new(Service::Kinesis, "DeleteResourcePolicy", json!({ "ResourceARN": arn }))
            }
            Self::Stream(arn) => {
                let input = json!({ "ResourceARN": arn, "Policy": document });
                Call::new(Service::Kinesis, "PutResourcePolicy", input)
            }
        }
    }
}

/// The document less one statement, counted from 1; all of it for 0.
fn without(document: &Document, number: usize) -> Document {
    let kept = document.statements.iter().enumerate();
    let kept = kept.filter(|(index, _)| index.saturating_add(1) != number);
    Document { statements: kept.map(|(_, statement)| statement.clone()).collect(), ..document.clone() }
}

/// The call that puts an inline policy of a role or a user.
pub(super) fn put_policy(of: &Arn, policy: &str, document: &Document) -> Call {
    if let Form::User { name, .. } = of.form() {
        let input = json!({ "UserName": name, "PolicyName": policy, "PolicyDocument": document.to_json() });
        return Call::new(Service::Iam, "PutUserPolicy", input);
    }
    put_role_policy(of.resource.rsplit('/').next().unwrap_or_default(), policy, document)
}

/// The call that puts an inline policy of a role.
fn put_role_policy(role: &str, policy: &str, document: &Document) -> Call {
    let input = json!({ "RoleName": role, "PolicyName": policy, "PolicyDocument": document.to_json() });
    Call::new(Service::Iam, "PutRolePolicy", input)
}
