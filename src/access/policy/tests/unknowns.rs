//! What cannot be known is said, and decides nothing.

use super::{attached, caller};
use crate::access::policy::answer::{Decision, Side, Unknown};
use crate::access::policy::evaluate::{Attached, Limit, Policies, Request, Resource, evaluate};
use crate::access::policy::{Answer, Context};

const ALLOW: &str = r#"{"Effect": "Allow", "Action": "*", "Resource": "*"}"#;
const FROM_HOME: &str = r#"{"Sid": "Home", "Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}}"#;
const NOT_FROM_HOME: &str = r#"{"Sid": "Home", "Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {"NotIpAddress": {"aws:SourceIp": "203.0.113.0/24"}}}"#;

fn ask(context: Context, identity: Option<Vec<Attached>>, resource: Resource) -> Answer {
    let request = Request {
        caller: caller("arn:aws:iam::111111111111:user/carlos"),
        action: "s3:GetObject".to_owned(),
        resource: "arn:aws:s3:::bucket/key".to_owned(),
        owner: "222222222222".to_owned(),
        context,
    };
    let policies = Policies {
        identity,
        resource,
        boundary: Limit::Absent,
        service_control: Limit::Absent,
        resource_control: Limit::Absent,
        session: Limit::Unseen,
    };
    evaluate(&request, &policies)
}

#[expect(clippy::unnecessary_wraps, reason = "it stands for policies that were seen")]
fn seen(statements: &str) -> Option<Vec<Attached>> {
    Some(attached("p", statements))
}

fn granted() -> Resource {
    Resource::Optional(seen(
        r#"{"Effect": "Allow", "Principal": {"AWS": "111111111111"}, "Action": "*", "Resource": "*"}"#,
    ))
}

#[track_caller]
fn check(answer: &Answer, expected: &str) {
    assert_eq!(answer.to_string(), expected);
}

#[test]
fn a_key_that_is_not_known_leaves_it_open() {
    let open = Context::open;
    check(
        &ask(open(), seen(FROM_HOME), granted()),
        "cannot tell: statement 1 `Home` of p asks for `aws:SourceIp`, which is not known here",
    );
    check(
        &ask(open(), seen(&format!("{ALLOW}, {NOT_FROM_HOME}")), granted()),
        "cannot tell: statement 2 `Home` of p asks for `aws:SourceIp`, which is not known here",
    );
    let home = || open().with("aws:SourceIp", ["203.0.113.9"]);
    check(
        &ask(home(), seen(FROM_HOME), granted()),
        "allowed by statement 1 `Home` of p and statement 1 of p",
    );
    assert!(ask(Context::default(), seen(FROM_HOME), granted()).to_string().starts_with("not allowed: "));
}

#[test]
fn a_key_that_does_not_matter_is_not_asked_for() {
    let other = FROM_HOME.replace(r#""Action": "*""#, r#""Action": "ec2:*""#);
    let statements = format!(
        "{ALLOW}, {}",
        NOT_FROM_HOME
            .replace("arn:aws:s3", "x")
            .replace(r#""Resource": "*""#, r#""Resource": "arn:aws:s3:::other""#)
    );
    assert!(ask(Context::open(), seen(&statements), granted()).is_allowed());
    assert!(ask(Context::open(), seen(&format!("{ALLOW}, {other}")), granted()).is_allowed());
}

#[test]
fn a_variable_whose_key_is_not_known_leaves_it_open() {
    let own =
        r#"{"Effect": "Allow", "Action": "*", "Resource": "arn:aws:s3:::bucket/${aws:PrincipalTag/team}"}"#;
    check(
        &ask(Context::open(), seen(own), granted()),
        "cannot tell: statement 1 of p asks for `aws:PrincipalTag/team`, which is not known here",
    );
}

#[test]
fn policies_that_were_not_seen_leave_it_open_unless_the_other_side_decides() {
    check(&ask(Context::default(), None, granted()), "cannot tell: the caller's policies could not be seen");
    check(
        &ask(Context::default(), None, Resource::Optional(seen(""))),
        "not allowed: the resource's policy: no statement allows anything like it",
    );
    check(
        &ask(Context::default(), seen(ALLOW), Resource::Required(None)),
        "cannot tell: the resource's policy could not be seen",
    );
    let denied =
        Resource::Optional(seen(r#"{"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"}"#));
    check(&ask(Context::default(), None, denied), "denied by statement 1 of p");
}

#[test]
fn a_canonical_id_leaves_it_open() {
    let resource = Resource::Optional(seen(
        r#"{"Effect": "Allow", "Principal": {"CanonicalUser": "79a5"}, "Action": "*", "Resource": "*"}"#,
    ));
    check(
        &ask(Context::default(), seen(ALLOW), resource),
        "cannot tell: statement 1 of p names a canonical id, and whose it is is not known here",
    );
}

#[test]
fn limits_that_nobody_looked_at_are_said_with_the_answer() {
    let request = Request {
        caller: caller("arn:aws:sts::111111111111:assumed-role/app/i-1"),
        action: "s3:GetObject".to_owned(),
        resource: "*".to_owned(),
        owner: "111111111111".to_owned(),
        context: Context::default(),
    };
    let policies = Policies { identity: seen(ALLOW), ..Policies::default() };
    let answer = evaluate(&request, &policies);
    assert!(matches!(answer.decision, Decision::Allowed { .. }));
    let unseen =
        [Side::Boundary, Side::Session, Side::ServiceControl, Side::ResourceControl].map(Unknown::Unseen);
    assert_eq!(answer.unknowns, unseen);
}
