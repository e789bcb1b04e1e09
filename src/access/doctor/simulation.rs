//! The put permission by IAM's simulation, where the daemon's own credentials may ask for it.

use super::target::PutTarget;
use crate::access::policy::RequestPrincipal;
use crate::access::report::{Fix, HopFinding};
use crate::aws::{AwsConnection, PolicySimulation, ResolvedRole, SimulatedRequest};

/// What is needed to put.
pub(super) const PUT: &str = "firehose:PutRecordBatch";

/// Whose policies are simulated: those of the role that was assumed last, else of whoever the first credentials belong to.
///
/// A simulation knows users and roles; the ARN of a session that no setting made does not tell the path of its role.
pub(super) fn policies_of(last: Option<&ResolvedRole>, principal: &str) -> Option<String> {
    if let Some(role) = last {
        return Some(role.arn.clone());
    }
    match RequestPrincipal::from_arn(&principal.parse().ok()?)? {
        RequestPrincipal::User(arn) | RequestPrincipal::Session { role: arn, .. } => Some(arn.to_string()),
        RequestPrincipal::Root(_)
        | RequestPrincipal::FederatedUser { .. }
        | RequestPrincipal::Service { .. }
        | RequestPrincipal::Federated { .. }
        | RequestPrincipal::Anonymous => None,
    }
}

/// What the simulation says; none where it may not be asked, or gives no answer: the put itself is looked at next.
pub(super) async fn ask(
    connection: &AwsConnection,
    target: &PutTarget,
    principal: Option<String>,
    stream: &str,
) -> Option<PolicySimulation> {
    let asked = SimulatedRequest { principal: &principal?, action: PUT, resource: stream };
    connection.simulate(target.region.clone(), target.roles.clone(), asked).await.ok()
}

/// What is said of a denial; `grant` is the policy that is missing, if one is.
pub(super) fn denied(simulation: &PolicySimulation, stream: &str, grant: Fix) -> HopFinding {
    let PolicySimulation { decision, statements, organization_denies, boundary_denies, .. } = simulation;
    let by = if statements.is_empty() { "no statement allows it".to_owned() } else { statements.join(", ") };
    let (by, fix) = if *organization_denies {
        let text = "the policies of the organization do not allow it";
        (text.to_owned(), Fix::from("let the organization's service control policies allow it"))
    } else if *boundary_denies {
        let text = "the permissions boundary does not allow it";
        (text.to_owned(), Fix::from("let the permissions boundary allow it as well"))
    } else if decision == "explicitDeny" {
        let text = format!("remove the denial from {by}, after checking why it is there");
        (by, Fix::from(text))
    } else {
        (by, grant)
    };
    let seen = format!("`{PUT}` on `{stream}`: {decision} by IAM's simulation: {by}");
    HopFinding::failure("put", seen).why("standpipe holds the records until they can be put").fix(fix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn simulation(decision: &str) -> PolicySimulation {
        PolicySimulation {
            decision: decision.to_owned(),
            statements: Vec::new(),
            unknown: Vec::new(),
            organization_denies: false,
            boundary_denies: false,
        }
    }

    #[track_caller]
    fn check(simulation: &PolicySimulation, seen: &str, fix: &str) {
        let finding = denied(simulation, "s", Fix::from("grant it"));
        assert!(finding.seen.ends_with(seen), "{}", finding.seen);
        assert_eq!(finding.fix.unwrap().text, fix);
    }

    #[test]
    fn a_denial_names_what_denies_and_its_fix() {
        check(
            &simulation("implicitDeny"),
            "implicitDeny by IAM's simulation: no statement allows it",
            "grant it",
        );
        let third = "the statement at line 3 of policy `no`".to_owned();
        check(
            &PolicySimulation { statements: vec![third.clone()], ..simulation("explicitDeny") },
            &format!("explicitDeny by IAM's simulation: {third}"),
            &format!("remove the denial from {third}, after checking why it is there"),
        );
        check(
            &PolicySimulation { organization_denies: true, ..simulation("implicitDeny") },
            "the policies of the organization do not allow it",
            "let the organization's service control policies allow it",
        );
        check(
            &PolicySimulation { boundary_denies: true, ..simulation("implicitDeny") },
            "the permissions boundary does not allow it",
            "let the permissions boundary allow it as well",
        );
    }

    #[test]
    fn policies_are_those_of_a_user_or_role() {
        let check = |principal: &str, expected: Option<&str>| {
            assert_eq!(policies_of(None, principal).as_deref(), expected, "{principal}");
        };
        check("arn:aws:iam::111111111111:user/a/app", Some("arn:aws:iam::111111111111:user/a/app"));
        check("arn:aws:sts::111111111111:assumed-role/app/i-1", Some("arn:aws:iam::111111111111:role/app"));
        check("arn:aws:iam::111111111111:root", None);
        check("", None);
    }
}
