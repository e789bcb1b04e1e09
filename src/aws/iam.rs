//! What IAM says of a role and of a permission, for `doctor`.

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::call::{ApiCall, ApiClient, AwsService};
use super::connection::AwsConnection;
use super::probe::CallError;
use super::role::ResolvedRole;

/// What IAM's simulation says of one action on one resource.
///
/// Source: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_EvaluationResult.html>.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PolicySimulation {
    /// `allowed`, `explicitDeny` or `implicitDeny`.
    pub decision: String,
    /// The statements that decide, in words.
    pub statements: Vec<String>,
    /// Keys of conditions that were not told: what is denied for want of them may be allowed.
    pub unknown: Vec<String>,
    /// Policies of the organization do not allow it.
    pub organization_denies: bool,
    /// The permissions boundary does not allow it.
    pub boundary_denies: bool,
}

/// What IAM is to simulate.
#[derive(Clone, Copy, Debug)]
pub struct SimulatedRequest<'a> {
    /// The ARN of the user or role whose policies decide.
    pub principal: &'a str,
    /// What it asks for, such as `firehose:PutRecordBatch`.
    pub action: &'a str,
    /// Of what: an ARN.
    pub resource: &'a str,
}

impl AwsConnection {
    /// The trust policy of `role`, read by the last of `before`. Needs `iam:GetRole`, and to be of the role's account.
    pub async fn trust_policy(
        &self,
        region: Option<String>,
        before: Vec<ResolvedRole>,
        role: &ResolvedRole,
    ) -> Result<String, CallError> {
        let name = role.arn.rsplit('/').next().unwrap_or_default();
        let call = ApiCall::new(AwsService::Iam, "GetRole", json!({ "RoleName": name }));
        let output = self.iam(region, before, Some(role)).await?.call(&call).await?;
        let text = |pointer: &str| output.pointer(pointer).and_then(Value::as_str);
        let policy = text("/Role/AssumeRolePolicyDocument").filter(|_| text("/Role/Arn") == Some(&role.arn));
        let policy =
            policy.ok_or_else(|| CallError::Unusable("the caller's account has no such role".to_owned()))?;
        Ok(percent_decode_str(policy).decode_utf8_lossy().into_owned())
    }

    /// Whether a principal may do what is asked by its own policies, asked by the last of `roles`. Needs `iam:SimulatePrincipalPolicy`, and to be of the principal's account.
    pub async fn simulate(
        &self,
        region: Option<String>,
        roles: Vec<ResolvedRole>,
        asked: SimulatedRequest<'_>,
    ) -> Result<PolicySimulation, CallError> {
        let SimulatedRequest { principal, action, resource } = asked;
        let last = roles.last().cloned();
        let secure = json!({ "ContextKeyName": "aws:SecureTransport", "ContextKeyType": "boolean",
            "ContextKeyValues": ["true"] });
        let input = json!({ "PolicySourceArn": principal, "ActionNames": [action], "ResourceArns": [resource],
            "ContextEntries": [secure] });
        let call = ApiCall::new(AwsService::Iam, "SimulatePrincipalPolicy", input);
        let output = self.iam(region, roles, last.as_ref()).await?.call(&call).await?;
        PolicySimulation::read(&output)
            .ok_or_else(|| CallError::Unreadable("the simulation's answer has no result".to_owned()))
    }

    /// IAM, asked by the last of `roles`.
    ///
    /// Where `role` has an STS endpoint of its own, IAM is asked there; where Firehose alone has one, it is not asked.
    async fn iam(
        &self,
        region: Option<String>,
        roles: Vec<ResolvedRole>,
        role: Option<&ResolvedRole>,
    ) -> Result<ApiClient, CallError> {
        let own = role.and_then(|role| role.sts_endpoint_url.clone());
        if own.is_none() && self.settings().endpoint_url.is_some() {
            return Err(CallError::Unusable("the endpoint of IAM is unknown".to_owned()));
        }
        Ok(ApiClient::new(self, region, roles).await?.at(own))
    }
}

impl PolicySimulation {
    /// The one result of an answer, whichever way its members are told.
    fn read(output: &Value) -> Option<Self> {
        let result = output.pointer("/EvaluationResults/0")?;
        let text = |pointer: &str| result.pointer(pointer).and_then(Value::as_str);
        let list =
            |pointer: &str| result.pointer(pointer).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        Some(Self {
            decision: text("/EvalDecision")?.to_owned(),
            statements: list("/MatchedStatements").iter().map(statement).collect(),
            unknown: list("/MissingContextValues")
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
            organization_denies: text("/OrganizationsDecisionDetail/AllowedByOrganizations") == Some("false"),
            boundary_denies: text("/PermissionsBoundaryDecisionDetail/AllowedByPermissionsBoundary")
                == Some("false"),
        })
    }

    /// Whether it is allowed.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.decision == "allowed"
    }

    /// Whether it is denied whatever a request says of itself.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        self.decision.ends_with("Deny") && self.unknown.is_empty()
    }
}

/// A matched statement: IAM tells its policy and the line that it begins on.
fn statement(matched: &Value) -> String {
    let text = |pointer: &str| matched.pointer(pointer).and_then(Value::as_str);
    let policy = text("/SourcePolicyId").unwrap_or("unknown");
    match text("/StartPosition/Line") {
        Some(line) => format!("the statement at line {line} of policy `{policy}`"),
        None => format!("a statement of policy `{policy}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(result: &Value, expected: Option<(bool, bool)>, statements: &[&str]) {
        let read = PolicySimulation::read(&json!({ "EvaluationResults": [result] }));
        assert_eq!(read.as_ref().map(|it| (it.is_allowed(), it.is_denied())), expected, "{read:?}");
        assert_eq!(read.map(|it| it.statements).unwrap_or_default(), statements);
    }

    #[test]
    fn only_what_no_key_can_change_is_a_denial() {
        let matched = json!([{ "SourcePolicyId": "put", "StartPosition": { "Line": "3", "Column": "1" } }]);
        let third = "the statement at line 3 of policy `put`";
        let result = |decision: &str| json!({ "EvalDecision": decision, "MatchedStatements": matched });
        check(&result("allowed"), Some((true, false)), &[third]);
        check(&result("explicitDeny"), Some((false, true)), &[third]);
        check(&json!({ "EvalDecision": "implicitDeny", "MatchedStatements": "" }), Some((false, true)), &[]);
        let unknown = json!({ "EvalDecision": "implicitDeny", "MissingContextValues": ["aws:SourceIp"] });
        check(&unknown, Some((false, false)), &[]);
        check(&json!({ "EvalDecision": "somethingNew" }), Some((false, false)), &[]);
        check(&json!({}), None, &[]);
        assert_eq!(PolicySimulation::read(&json!({ "EvaluationResults": "" })), None);
    }

    #[test]
    fn a_limit_that_does_not_allow_is_told() {
        let result = json!({ "EvaluationResults": [{
            "EvalDecision": "implicitDeny",
            "OrganizationsDecisionDetail": { "AllowedByOrganizations": "false" },
            "PermissionsBoundaryDecisionDetail": { "AllowedByPermissionsBoundary": "true" },
        }] });
        let read = PolicySimulation::read(&result).unwrap();
        assert_eq!((read.organization_denies, read.boundary_denies), (true, false));
    }
}
