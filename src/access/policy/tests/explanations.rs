//! Answers in words: the statement, the element at fault, and what is wrong with it.

use super::{CASE, Case, attached};
use crate::access::policy::{AccessRequest, RequestContext};
use crate::access::policy::{ApplicablePolicies, LimitingPolicies, ResourcePolicies, evaluate};

#[track_caller]
fn check(case: Case<'_>, expected: &str) {
    assert_eq!(case.answer().to_string(), expected);
}

const STREAM: &str = "arn:aws:firehose:us-east-1:111111111111:deliverystream/logs";

/// A put to a stream of the caller's account.
const PUT: Case<'static> = Case { action: "firehose:PutRecordBatch", resource: STREAM, ..CASE };

fn allow(sid: &str, action: &str, resource: &str) -> String {
    format!(r#"{{"Sid": "{sid}", "Effect": "Allow", "Action": {action}, "Resource": "{resource}"}}"#)
}

#[test]
fn what_allows_or_denies_is_cited() {
    let put = allow("PutToStream", r#""firehose:PutRecordBatch""#, STREAM);
    let describe = allow("Describe", r#""firehose:Describe*""#, "*");
    check(
        Case { identity: &format!("{describe}, {put}"), ..PUT },
        "allowed by statement 2 `PutToStream` of the user's policy",
    );
    let deny = put.replace("Allow", "Deny").replace("PutToStream", "");
    check(
        Case { identity: &deny.replace(r#""Sid": "","#, ""), ..PUT },
        "denied by statement 1 of the user's policy",
    );
    let root = "arn:aws:iam::111111111111:root";
    check(Case { caller: root, ..PUT }, "allowed: it is the account's root user");
    check(PUT, "not allowed: the caller has no policy; the resource has no policy");
}

#[test]
fn the_nearest_statement_is_named_with_its_fault() {
    let far = allow("Read", r#""s3:GetObject""#, "*");
    let near = allow(
        "PutToStream",
        r#"["firehose:PutRecord", "firehose:PutRecordBatch"]"#,
        "arn:aws:firehose:us-east-1:111111111111:deliverystream/other",
    );
    let text = |fault: &str| {
        format!(
            "not allowed: the caller's policies: nearest is statement 2 `PutToStream` of the user's policy, which {fault}; the resource has no policy"
        )
    };
    let with = |statement: &str| format!("{far}, {statement}");
    check(
        Case { identity: &with(&near), ..PUT },
        &text(&format!(
            "names the resource `arn:aws:firehose:us-east-1:111111111111:deliverystream/other`, not `{STREAM}`"
        )),
    );
    check(
        Case {
            identity: &with(
                &near.replace(":111111111111:deliverystream/other", ":222222222222:deliverystream/logs"),
            ),
            ..PUT
        },
        &text(&format!(
            "names the resource `arn:aws:firehose:us-east-1:222222222222:deliverystream/logs`, not `{STREAM}` (another account)"
        )),
    );
    check(
        Case {
            identity: &with(&near.replace(
                "us-east-1:111111111111:deliverystream/other",
                "eu-west-1:111111111111:deliverystream/logs",
            )),
            ..PUT
        },
        &text(&format!(
            "names the resource `arn:aws:firehose:eu-west-1:111111111111:deliverystream/logs`, not `{STREAM}` (another region)"
        )),
    );
    check(
        Case { identity: &with(&allow("PutToStream", r#""firehose:PutRecord""#, STREAM)), ..PUT },
        &text("names the action `firehose:PutRecord`, not `firehose:PutRecordBatch`"),
    );
    check(
        Case { identity: &far, ..PUT },
        "not allowed: the caller's policies: no statement allows anything like it; the resource has no policy",
    );
}

#[test]
fn the_mistakes_that_everybody_makes_are_named() {
    let bucket = |action: &str, resource: &str, named: &str| {
        let identity = allow("Read", &format!("\"{action}\""), named);
        let case = Case { action, resource, identity: &identity, ..CASE };
        case.answer().to_string()
    };
    let text = |named: &str, asked: &str, hint: &str| {
        format!(
            "not allowed: the caller's policies: nearest is statement 1 `Read` of the user's policy, which names the resource `{named}`, not `{asked}` ({hint}); the resource has no policy"
        )
    };
    let check = |action: &str, asked: &str, named: &str, hint: &str| {
        assert_eq!(bucket(action, asked, named), text(named, asked, hint));
    };
    check("s3:ListBucket", "arn:aws:s3:::b", "arn:aws:s3:::b/*", "its objects, not the bucket itself");
    check(
        "s3:GetObject",
        "arn:aws:s3:::b/k",
        "arn:aws:s3:::b",
        "the bucket itself, not its objects: add `/*`",
    );
    check("s3:PutObject", "arn:aws:s3:::b/p/k", "arn:aws:s3:::b/p/", "not what is below it: add `*`");
    let group = "arn:aws:logs:us-east-1:111111111111:log-group:g";
    check(
        "logs:PutLogEvents",
        &format!("{group}:log-stream:s"),
        group,
        "the group, not its streams: add `:*`",
    );
    check(
        "logs:TagResource",
        group,
        &format!("{group}:*"),
        "the group's streams, not the group itself: remove `:*`",
    );
}

#[test]
fn a_trust_policy_is_explained() {
    let trust = |principal: &str, rest: &str| {
        let on_resource = &format!(
            r#"{{"Sid": "Standpipe", "Effect": "Allow", "Principal": {{"AWS": {principal}}}, "Action": "sts:AssumeRole"{rest}}}"#
        );
        let case = Case {
            caller: "arn:aws:sts::111111111111:assumed-role/app/i-1",
            action: "sts:AssumeRole",
            resource: "arn:aws:iam::222222222222:role/writer",
            owner: "222222222222",
            required: true,
            identity: r#"{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}"#,
            on_resource,
            context: &[("sts:ExternalId", "exampel")],
            ..CASE
        };
        case.answer().to_string()
    };
    let before = "not allowed: the resource's policy: nearest is statement 1 `Standpipe` of the bucket's policy, which ";
    let check = |principal: &str, rest: &str, expected: &str| {
        assert_eq!(trust(principal, rest), format!("{before}{expected}"));
    };
    let role = r#""arn:aws:iam::111111111111:role/app""#;
    check(
        r#""arn:aws:iam::111111111111:role/ap""#,
        "",
        "names the principal `arn:aws:iam::111111111111:role/ap`, not `arn:aws:iam::111111111111:role/app`",
    );
    check(
        r#"["333333333333", "444444444444", "arn:aws:iam::111111111112:role/app"]"#,
        "",
        "names the principal `arn:aws:iam::111111111112:role/app` and 2 others, not `arn:aws:iam::111111111111:role/app`",
    );
    check(
        r#""arn:aws:iam::111111111111:role/*""#,
        "",
        "names the principal `arn:aws:iam::111111111111:role/*`, not `arn:aws:iam::111111111111:role/app` (`arn:aws:iam::111111111111:role/*` means nobody: a `*` within a principal is not a wildcard)",
    );
    check(
        r#""AROAIOSFODNN7EXAMPLE""#,
        "",
        "names the principal `AROAIOSFODNN7EXAMPLE`, not `arn:aws:iam::111111111111:role/app` (`AROAIOSFODNN7EXAMPLE` is the remains of a deleted user or role: name its successor's ARN)",
    );
    check(
        role,
        r#", "Condition": {"StringEquals": {"sts:ExternalId": "example"}}"#,
        "asks for `sts:ExternalId` by `StringEquals` `example`, and the request has `exampel`",
    );
    check(
        role,
        r#", "Condition": {"Bool": {"aws:MultiFactorAuthPresent": "true"}}"#,
        "asks for `aws:MultiFactorAuthPresent` by `Bool` `true`, which the request does not carry",
    );
}

#[test]
fn a_grant_to_the_account_alone_is_explained() {
    let on_resource =
        r#"{"Effect": "Allow", "Principal": {"AWS": "111111111111"}, "Action": "*", "Resource": "*"}"#;
    check(
        Case { on_resource, ..CASE },
        "not allowed: the caller has no policy; statement 1 of the bucket's policy names the account, which leaves it to the caller's own policies",
    );
}

#[test]
fn a_service_without_policies_of_resources_says_to_assume_a_role() {
    let request = AccessRequest {
        caller: super::caller("arn:aws:iam::111111111111:user/carlos"),
        action: "firehose:PutRecordBatch".to_owned(),
        resource: "arn:aws:firehose:us-east-1:222222222222:deliverystream/logs".to_owned(),
        owner: "222222222222".to_owned(),
        context: RequestContext::default(),
    };
    let identity = Some(attached(
        "policy `all` of user `carlos`",
        r#"{"Effect": "Allow", "Action": "*", "Resource": "*"}"#,
    ));
    let policies = ApplicablePolicies {
        identity,
        resource: ResourcePolicies::Unsupported,
        boundary: LimitingPolicies::Absent,
        session: LimitingPolicies::Absent,
        service_control: LimitingPolicies::Unseen,
        resource_control: LimitingPolicies::Unseen,
    };
    assert_eq!(
        evaluate(&request, &policies).to_string(),
        "not allowed: `firehose` has no resource policies, so only identities of account 222222222222 can be allowed: \
         assume a role there; not checked: the service control policies, the resource control policies",
    );
}
