//! Whose the first credentials are, and whether each role can be assumed.

use std::time::Duration;

use super::call_error::advice;
use crate::access::policy::document::{Comparison, Negatable, PolicyCondition, Principals, Statement};
use crate::access::policy::{PolicyDocument, RequestPrincipal};
use crate::access::report::{Fix, HopFinding, MissingPolicy};
use crate::arn::Arn;
use crate::arn::ResourceType;
use crate::aws::{CallError, ResolvedRole};

/// What is said of a failed assumption of `role` by `caller`, whose ARN is as STS gives it.
pub(super) fn denied(role: &ResolvedRole, caller: &str, refused: &CallError) -> HopFinding {
    const CHECK: &str = "assume_role";
    let CallError::Credentials { message, fix } = refused else {
        return HopFinding::failure(CHECK, refused.to_string()).fix(advice(refused));
    };
    let failure = HopFinding::failure(CHECK, message.clone())
        .why("standpipe puts records as this role, and holds them until it can be assumed");
    let Some(text) = fix else { return failure };
    let mut fix = Fix::from(text.clone());
    if let Some(caller) = caller.parse().ok().as_ref().and_then(RequestPrincipal::from_arn) {
        let side = DeniedBy::by(message);
        if side != DeniedBy::Identity {
            fix.policies.push(trust(role, &caller));
            fix.commands.extend(trust_commands(role));
        }
        if side != DeniedBy::Trust {
            let statement = may_assume(role);
            fix.commands.extend(attach(&caller.principal(), "standpipe-assume-role", &statement));
            fix.policies.push(MissingPolicy {
                at: format!("a policy of `{}`", caller.principal()),
                document: statement,
            });
        }
    }
    failure.fix(fix)
}

/// The longest session of a role that is assumed with a role's own credentials.
/// Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles.html#iam-term-role-chaining>.
const LONGEST_CHAINED: Duration = Duration::from_hours(1);

/// What is said of a first role whose session is longer than AWS gives to a caller that is a role itself.
pub(super) fn too_long(role: &ResolvedRole, caller: &str) -> Option<HopFinding> {
    if role.duration <= LONGEST_CHAINED || !caller.contains(":assumed-role/") {
        return None;
    }
    let hours = role.duration.as_secs() / 3_600;
    let seen = format!("`{}` is asked for more than an hour (about {hours} h) by `{caller}`", role.arn);
    let failure = HopFinding::failure("session_duration", seen)
        .why("AWS limits the session of a role that a role assumes to an hour");
    Some(failure.fix("remove `duration` from the first `assume_role`: standpipe renews it in time"))
}

/// Which side AWS blames in its message, where it does.
///
/// Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html>.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum DeniedBy {
    Identity,
    Trust,
    Nobody,
}

impl DeniedBy {
    fn by(message: &str) -> Self {
        if message.contains("identity-based policy") {
            Self::Identity
        } else if message.contains("resource-based policy") || message.contains("trust policy") {
            Self::Trust
        } else {
            Self::Nobody
        }
    }
}

/// The trust policy that the role needs.
fn trust(role: &ResolvedRole, caller: &RequestPrincipal) -> MissingPolicy {
    let mut statement = Statement::allow("StandpipeMayAssume", ["sts:AssumeRole"]);
    statement.principals = Some(Negatable::Is(Principals::aws([caller.principal()])));
    let external_id = role
        .external_id
        .iter()
        .map(|id| PolicyCondition::new(Comparison::StringEquals, "sts:ExternalId", [id]));
    statement.conditions = external_id.collect();
    MissingPolicy {
        at: format!("a statement of the trust policy of `{}`", role.arn),
        document: document(statement),
    }
}

fn trust_commands(role: &ResolvedRole) -> Vec<String> {
    let name = role_name(&role.arn);
    vec![
        format!("aws iam get-role --role-name {name} --query Role.AssumeRolePolicyDocument > trust.json"),
        "# put the statement into trust.json, then:".to_owned(),
        format!("aws iam update-assume-role-policy --role-name {name} --policy-document file://trust.json"),
    ]
}

fn may_assume(role: &ResolvedRole) -> PolicyDocument {
    let mut statement = Statement::allow("AssumeStandpipesRole", ["sts:AssumeRole"]);
    statement.resources = Some(Negatable::Is(vec![role.arn.clone()]));
    document(statement)
}

pub(super) fn document(statement: Statement) -> PolicyDocument {
    PolicyDocument { statements: vec![statement], ..PolicyDocument::default() }
}

/// The command that adds a policy to a user or role; none for others.
pub(super) fn attach(principal: &str, policy: &str, document: &PolicyDocument) -> Option<String> {
    let arn: Arn = principal.parse().ok()?;
    let of = match arn.resource_type() {
        ResourceType::Role { name, .. } => format!("put-role-policy --role-name {name}"),
        ResourceType::User { name, .. } => format!("put-user-policy --user-name {name}"),
        ResourceType::LogGroup { .. }
        | ResourceType::LogStream { .. }
        | ResourceType::Destination(_)
        | ResourceType::DeliveryStream(_)
        | ResourceType::Stream(_)
        | ResourceType::Consumer { .. }
        | ResourceType::Session { .. }
        | ResourceType::FederatedUser(_)
        | ResourceType::Account
        | ResourceType::Bucket(_)
        | ResourceType::Object { .. }
        | ResourceType::Key(_)
        | ResourceType::KeyAlias(_)
        | ResourceType::Queue(_)
        | ResourceType::Table(_)
        | ResourceType::Other => return None,
    };
    Some(format!("aws iam {of} --policy-name {policy} --policy-document '{}'", document.to_json()))
}

fn role_name(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(message: &str) -> CallError {
        CallError::Credentials { message: message.to_owned(), fix: Some("m".to_owned()) }
    }

    #[track_caller]
    fn check(message: &str, expected: &[&str]) {
        let role = ResolvedRole {
            arn: "arn:aws:iam::222222222222:role/a/writer".to_owned(),
            external_id: Some("example".to_owned()),
            session_name: "s".to_owned(),
            region: None,
            duration: Duration::from_hours(1),
            sts_endpoint_url: None,
        };
        let finding = denied(&role, "arn:aws:sts::111111111111:assumed-role/app/i-1", &refused(message));
        let fix = finding.fix.unwrap();
        let at: Vec<_> = fix.policies.iter().map(|missing| missing.at.as_str()).collect();
        assert_eq!(at, expected, "{message}");
        for missing in &fix.policies {
            let text = missing.document.to_json();
            assert!(text.contains("sts:AssumeRole"), "{text}");
        }
    }

    #[test]
    fn a_chain_of_roles_longer_than_an_hour_is_told_before_aws_refuses() {
        let check = |hours: u64, caller: &str, expected: bool| {
            let role = ResolvedRole {
                arn: "arn:aws:iam::222222222222:role/writer".to_owned(),
                external_id: None,
                session_name: "s".to_owned(),
                region: None,
                duration: Duration::from_hours(hours),
                sts_endpoint_url: None,
            };
            assert_eq!(too_long(&role, caller).is_some(), expected, "{hours} h by {caller}");
        };
        let role = "arn:aws:sts::111111111111:assumed-role/app/i-1";
        check(1, role, false);
        check(2, role, true);
        check(12, "arn:aws:iam::111111111111:user/app", false);
    }

    #[test]
    fn the_side_that_aws_blames_gets_the_policy() {
        let trust = "a statement of the trust policy of `arn:aws:iam::222222222222:role/a/writer`";
        let own = "a policy of `arn:aws:iam::111111111111:role/app`";
        check("because no identity-based policy allows the sts:AssumeRole action", &[own]);
        check("because no resource-based policy allows the sts:AssumeRole action", &[trust]);
        check("User: x is not authorized to perform: sts:AssumeRole", &[trust, own]);
    }
}
