//! The calls for roles and policies.

use serde_json::{Value, json};

use super::planner::CallPlanner;
use crate::access::live::extra;
use crate::access::plan::PlannedResource;
use crate::access::policy::PolicyDocument;
use crate::aws::{ApiCall, AwsService};

/// Most versions of a managed policy. Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>.
const MOST_VERSIONS: usize = 5;

impl CallPlanner<'_> {
    pub(super) fn create_role(&self, name: &str, description: &str, trust: &PolicyDocument) -> ApiCall {
        let input = json!({
            "RoleName": name,
            "Description": description,
            "AssumeRolePolicyDocument": trust.to_json(),
            "Tags": self.tags("Key", "Value"),
        });
        ApiCall::new(AwsService::Iam, "CreateRole", input)
    }

    pub(super) fn create_policy(&self, name: &str, description: &str, policy: &PolicyDocument) -> ApiCall {
        let input = json!({
            "PolicyName": name,
            "Description": description,
            "PolicyDocument": policy.to_json(),
            "Tags": self.tags("Key", "Value"),
        });
        ApiCall::new(AwsService::Iam, "CreatePolicy", input)
    }

    /// A new version; the oldest one that is not in force makes room for it.
    pub(super) fn put_policy_version(
        &self,
        resource: &PlannedResource,
        name: &str,
        policy: &PolicyDocument,
    ) -> Vec<ApiCall> {
        let arn = self.place().managed_policy(name).to_string();
        let versions = self.state(resource).and_then(|state| state.get(extra::VERSIONS)?.as_array());
        let versions: Vec<&str> = versions.into_iter().flatten().filter_map(Value::as_str).collect();
        let mut calls = Vec::new();
        if let Some(oldest) = versions.last().filter(|_| versions.len() + 1 >= MOST_VERSIONS) {
            let input = json!({ "PolicyArn": arn, "VersionId": oldest });
            calls.push(ApiCall::new(AwsService::Iam, "DeletePolicyVersion", input));
        }
        let input = json!({ "PolicyArn": arn, "PolicyDocument": policy.to_json(), "SetAsDefault": true });
        calls.push(ApiCall::new(AwsService::Iam, "CreatePolicyVersion", input));
        calls
    }
}

pub(super) fn put_trust(role: &str, trust: &PolicyDocument) -> ApiCall {
    let input = json!({ "RoleName": role, "PolicyDocument": trust.to_json() });
    ApiCall::new(AwsService::Iam, "UpdateAssumeRolePolicy", input)
}

pub(super) fn put_role_policy(role: &str, name: &str, policy: &PolicyDocument) -> ApiCall {
    let input = json!({ "RoleName": role, "PolicyName": name, "PolicyDocument": policy.to_json() });
    ApiCall::new(AwsService::Iam, "PutRolePolicy", input)
}
