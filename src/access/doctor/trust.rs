//! What a role's trust policy, where it can be read, says of whoever was denied.

use crate::access::policy::{
    AccessDecision, AccessRequest, ApplicablePolicies, Evaluation, NamedPolicy, PolicyType, ReadPolicy,
    RequestContext, RequestPrincipal, ResourcePolicies, UnknownFact, evaluate,
};
use crate::access::report::{HopFinding, Severity};
use crate::arn::Arn;
use crate::aws::{CallError, ResolvedRole};

/// What is said of the trust policy of `role`, given to `caller`, whose ARN is as STS gives it.
pub(super) fn check(role: &ResolvedRole, caller: &str, policy: Result<String, CallError>) -> HopFinding {
    const CHECK: &str = "trust_policy";
    let unseen =
        |why: String| HopFinding::new(CHECK, Severity::Skipped, format!("it could not be read: {why}"));
    let policy = match policy {
        Ok(text) => ReadPolicy::of(&text),
        Err(refused) => return unseen(refused.to_string()),
    };
    let Some(answer) = judge(role, caller, policy) else {
        return unseen(format!("`{caller}` is not a user or role"));
    };
    let seen = answer.decision.to_string();
    match &answer.decision {
        AccessDecision::Missing { gaps } if gaps.iter().any(|gap| gap.side == PolicyType::Resource) => {
            HopFinding::failure(CHECK, seen).fix("put the statement above into it")
        }
        AccessDecision::Denied { .. } => {
            HopFinding::failure(CHECK, seen).fix("remove the denial, or exempt the caller")
        }
        AccessDecision::Undecided { on, .. } if on.iter().any(is_of_trust) => {
            HopFinding::warning(CHECK, seen)
                .fix("see whether the trust policy lets the caller in: it is not known here")
        }
        AccessDecision::Missing { .. }
        | AccessDecision::Undecided { .. }
        | AccessDecision::Allowed { .. } => HopFinding::ok(
            CHECK,
            format!("it is not the obstacle ({seen}): the caller's own policies are, or its organization's"),
        ),
    }
}

/// Whether it is the trust policy that keeps it from being known.
fn is_of_trust(fact: &UnknownFact) -> bool {
    match fact {
        UnknownFact::Unseen(side) => *side == PolicyType::Resource,
        UnknownFact::Key { cite, .. }
        | UnknownFact::CanonicalUser { cite }
        | UnknownFact::NotPrincipal { cite } => cite.side == PolicyType::Resource,
        UnknownFact::Unread { .. } => true,
    }
}

/// Whether the trust policy lets the caller in; the caller's own policies are not seen.
fn judge(role: &ResolvedRole, caller: &str, policy: ReadPolicy) -> Option<Evaluation> {
    let caller = RequestPrincipal::from_arn(&caller.parse().ok()?)?;
    let owner = role.arn.parse::<Arn>().ok()?.account;
    let context = RequestContext::open()
        .with("sts:ExternalId", role.external_id.as_deref())
        .with("sts:RoleSessionName", [role.session_name.as_str()]);
    let resource = role.arn.clone();
    let request = AccessRequest { caller, action: "sts:AssumeRole".to_owned(), resource, owner, context };
    let name = format!("the trust policy of `{}`", role.arn);
    let policies = ApplicablePolicies {
        resource: ResourcePolicies::Required(Some(vec![NamedPolicy::new(name, policy)])),
        ..ApplicablePolicies::default()
    };
    Some(evaluate(&request, &policies))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[track_caller]
    fn said(statement: &str, level: Severity, part: &str) {
        let role = ResolvedRole {
            arn: "arn:aws:iam::222222222222:role/writer".to_owned(),
            external_id: Some("exampel".to_owned()),
            session_name: "standpipe-h".to_owned(),
            region: None,
            duration: Duration::from_hours(1),
            sts_endpoint_url: None,
        };
        let policy = format!(r#"{{"Version": "2012-10-17", "Statement": [{statement}]}}"#);
        let finding = check(&role, "arn:aws:sts::111111111111:assumed-role/app/i-1", Ok(policy));
        assert_eq!(finding.level, level, "{}", finding.seen);
        assert!(finding.seen.contains(part), "it says `{part}`: {}", finding.seen);
    }

    #[test]
    fn the_statement_at_fault_is_named() {
        let by = |principal: &str, action: &str, condition: &str| {
            format!(
                r#"{{"Sid": "S", "Effect": "Allow", "Principal": {{"AWS": "{principal}"}}, "Action": "{action}", "Condition": {{{condition}}}}}"#
            )
        };
        let role = "arn:aws:iam::111111111111:role/app";
        let external = r#""StringEquals": {"sts:ExternalId": "example"}"#;
        said(
            &by(role, "sts:AssumeRole", external),
            Severity::Failure,
            "asks for `sts:ExternalId` by `StringEquals` `example`, and the request has `exampel`",
        );
        said(
            &by("arn:aws:iam::111111111111:role/other", "sts:AssumeRole", ""),
            Severity::Failure,
            "names the principal `arn:aws:iam::111111111111:role/other`, not",
        );
        said(
            &by(role, "sts:AssumeRoleWithSAML", ""),
            Severity::Failure,
            "names the action `sts:AssumeRoleWithSAML`, not `sts:AssumeRole`",
        );
        said(
            &by(role, "sts:AssumeRole", "").replace("Allow", "Deny"),
            Severity::Failure,
            "denied by statement 1 `S`",
        );
        said(&by(role, "sts:AssumeRole", ""), Severity::Ok, "the caller's policies could not be seen");
        said("{}", Severity::Warning, "`Statement[0]`: `Effect` is missing");
    }

    #[test]
    fn a_policy_that_cannot_be_read_is_said() {
        let role = ResolvedRole {
            arn: "r".to_owned(),
            external_id: None,
            session_name: String::new(),
            region: None,
            duration: Duration::ZERO,
            sts_endpoint_url: None,
        };
        let refused = CallError::Answered { code: "AccessDenied".to_owned(), message: "no".to_owned() };
        assert_eq!(check(&role, "c", Err(refused)).level, Severity::Skipped);
    }
}
