//! What cannot be known is said, and decides nothing.

use super::{attached, caller};
use crate::access::policy::decision::{AccessDecision, PolicyType, UnknownFact};
use crate::access::policy::{
    AccessRequest, ApplicablePolicies, LimitingPolicies, NamedPolicy, ReadPolicy, ResourcePolicies, evaluate,
};
use crate::access::policy::{Evaluation, RequestContext};

const ALLOW: &str = r#"{"Effect": "Allow", "Action": "*", "Resource": "*"}"#;
const FROM_HOME: &str = r#"{"Sid": "Home", "Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}}"#;
const NOT_FROM_HOME: &str = r#"{"Sid": "Home", "Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {"NotIpAddress": {"aws:SourceIp": "203.0.113.0/24"}}}"#;

fn ask(
    context: RequestContext,
    identity: Option<Vec<NamedPolicy>>,
    resource: ResourcePolicies,
) -> Evaluation {
    let request = AccessRequest {
        caller: caller("arn:aws:iam::111111111111:user/carlos"),
        action: "s3:GetObject".to_owned(),
        resource: "arn:aws:s3:::bucket/key".to_owned(),
        owner: "222222222222".to_owned(),
        context,
    };
    let policies = ApplicablePolicies {
        identity,
        resource,
        boundary: LimitingPolicies::Absent,
        service_control: LimitingPolicies::Absent,
        resource_control: LimitingPolicies::Absent,
        session: LimitingPolicies::Unseen,
    };
    evaluate(&request, &policies)
}

#[expect(clippy::unnecessary_wraps, reason = "it stands for policies that were seen")]
fn seen(statements: &str) -> Option<Vec<NamedPolicy>> {
    Some(attached("p", statements))
}

fn granted() -> ResourcePolicies {
    ResourcePolicies::Optional(seen(
        r#"{"Effect": "Allow", "Principal": {"AWS": "111111111111"}, "Action": "*", "Resource": "*"}"#,
    ))
}

#[track_caller]
fn check(answer: &Evaluation, expected: &str) {
    assert_eq!(answer.to_string(), expected);
}

#[test]
fn a_key_that_is_not_known_leaves_it_open() {
    let open = RequestContext::open;
    check(
        &ask(open(), seen(FROM_HOME), granted()),
        "cannot tell: statement 1 `Home` of p asks for `aws:SourceIp`, which is unknown here",
    );
    check(
        &ask(open(), seen(&format!("{ALLOW}, {NOT_FROM_HOME}")), granted()),
        "cannot tell: statement 2 `Home` of p asks for `aws:SourceIp`, which is unknown here",
    );
    let home = || open().with("aws:SourceIp", ["203.0.113.9"]);
    check(
        &ask(home(), seen(FROM_HOME), granted()),
        "allowed by statement 1 `Home` of p and statement 1 of p",
    );
    assert!(
        ask(RequestContext::default(), seen(FROM_HOME), granted()).to_string().starts_with("not allowed: ")
    );
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
    assert!(ask(RequestContext::open(), seen(&statements), granted()).is_allowed());
    assert!(ask(RequestContext::open(), seen(&format!("{ALLOW}, {other}")), granted()).is_allowed());
}

#[test]
fn a_variable_whose_key_is_not_known_leaves_it_open() {
    let own =
        r#"{"Effect": "Allow", "Action": "*", "Resource": "arn:aws:s3:::bucket/${aws:PrincipalTag/team}"}"#;
    check(
        &ask(RequestContext::open(), seen(own), granted()),
        "cannot tell: statement 1 of p asks for `aws:PrincipalTag/team`, which is unknown here",
    );
}

#[test]
fn policies_that_were_not_seen_leave_it_open_unless_the_other_side_decides() {
    check(
        &ask(RequestContext::default(), None, granted()),
        "cannot tell: the caller's policies could not be seen",
    );
    check(
        &ask(RequestContext::default(), None, ResourcePolicies::Optional(seen(""))),
        "not allowed: the resource's policy: no statement allows anything like it",
    );
    check(
        &ask(RequestContext::default(), seen(ALLOW), ResourcePolicies::Required(None)),
        "cannot tell: the resource's policy could not be seen",
    );
    let denied = ResourcePolicies::Optional(seen(
        r#"{"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"}"#,
    ));
    check(&ask(RequestContext::default(), None, denied), "denied by statement 1 of p");
}

#[test]
fn a_canonical_id_leaves_it_open() {
    let resource = ResourcePolicies::Optional(seen(
        r#"{"Effect": "Allow", "Principal": {"CanonicalUser": "79a5"}, "Action": "*", "Resource": "*"}"#,
    ));
    check(
        &ask(RequestContext::default(), seen(ALLOW), resource),
        "cannot tell: statement 1 of p names a canonical id, and its owner is unknown here",
    );
}

#[test]
fn limits_that_nobody_looked_at_are_said_with_the_answer() {
    let request = AccessRequest {
        caller: caller("arn:aws:sts::111111111111:assumed-role/app/i-1"),
        action: "s3:GetObject".to_owned(),
        resource: "*".to_owned(),
        owner: "111111111111".to_owned(),
        context: RequestContext::default(),
    };
    let policies = ApplicablePolicies { identity: seen(ALLOW), ..ApplicablePolicies::default() };
    let answer = evaluate(&request, &policies);
    assert!(matches!(answer.decision, AccessDecision::Allowed { .. }));
    let unseen =
        [PolicyType::Boundary, PolicyType::Session, PolicyType::ServiceControl, PolicyType::ResourceControl]
            .map(UnknownFact::Unseen);
    assert_eq!(answer.unknowns, unseen);
}

#[test]
fn a_statement_that_cannot_be_read_may_allow_or_deny_anything() {
    let read = ReadPolicy::of(
        r#"{"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": "*", "Resource": "*"},
            {"Effect": "Perhaps", "Action": "*", "Resource": "*"},
            {"Sid": "Last", "Effect": "Deny", "Action": "s3:GetObject", "Resource": "*"}]}"#,
    );
    assert_eq!(read.whole(), None);
    let identity = vec![NamedPolicy::new("it", read.clone())];
    let open = granted;
    let answer = ask(RequestContext::open(), Some(identity), open());
    assert!(answer.to_string().starts_with("denied by statement 3 `Last` of it"), "{answer}");

    let mut without = read;
    without.document.statements.pop();
    let answer = ask(RequestContext::open(), Some(vec![NamedPolicy::new("it", without)]), open());
    let told =
        "cannot tell: statement 2 of it cannot be read: `Statement[1].Effect`: unknown effect `Perhaps`";
    assert!(answer.to_string().starts_with(told), "{answer}");

    for (text, reason) in [
        ("<policy/>", "the policy: not JSON"),
        (r#"{"Version": "2040-01-01", "Statement": []}"#, "`Version`: unknown version `2040-01-01`"),
        (r#"{"Statement": [], "Limit": 1}"#, "unknown key `Limit`"),
    ] {
        let nothing = vec![NamedPolicy::new("it", ReadPolicy::of(text))];
        let answer = ask(RequestContext::open(), Some(nothing), open()).to_string();
        assert!(
            answer.starts_with("cannot tell: it cannot be read: ") && answer.contains(reason),
            "{answer}"
        );
    }
}

#[test]
fn a_grant_of_a_resource_to_nobody_is_none() {
    let own = attached("own", ALLOW);
    let answer = ask(RequestContext::open(), Some(own.clone()), ResourcePolicies::Optional(Some(own)));
    assert!(answer.to_string().contains("names no principal"), "{answer}");
}

#[test]
fn a_truth_that_is_not_known_decides_where_it_makes_no_difference() {
    let deny = |test: &str, value: &str| {
        let condition = format!(r#"{{"{test}": {{"aws:MultiFactorAuthPresent": {value}}}}}"#);
        let denial =
            format!(r#"{{"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {condition}}}"#);
        let identity = Some(attached("it", &format!("{ALLOW}, {denial}")));
        let open = granted();
        let known = RequestContext::open().with_perhaps("aws:MultiFactorAuthPresent", &["false"]);
        let either = ask(RequestContext::open(), identity.clone(), open.clone()).decision;
        let never = ask(known, identity, open).decision;
        let word =
            |decision: &AccessDecision| decision.to_string().split([' ', ':']).next().unwrap().to_owned();
        [word(&either), word(&never)]
    };
    assert_eq!(deny("BoolIfExists", r#"["true", "false"]"#), ["denied", "denied"]);
    assert_eq!(deny("BoolIfExists", r#""false""#), ["cannot", "denied"]);
    assert_eq!(deny("Bool", r#""false""#), ["cannot", "cannot"]);
    assert_eq!(deny("Bool", r#""true""#), ["cannot", "allowed"]);
    assert_eq!(deny("Null", r#""true""#), ["cannot", "cannot"]);
}
