//! Requests from one account to another, and those of services.

use super::{CASE, Case, check};

const CARLOS: &str = r#"{"Sid": "AllowS3ListRead", "Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*"},
    {"Sid": "AllowS3ProductionObjectActions", "Effect": "Allow", "Action": "s3:*Object*", "Resource": "arn:aws:s3:::Production/*"},
    {"Sid": "DenyS3Logs", "Effect": "Deny", "Action": "s3:*", "Resource": ["arn:aws:s3:::*log*", "arn:aws:s3:::*log*/*"]}"#;
const PRODUCTION: &str = r#"{"Effect": "Allow", "Action": ["s3:GetObject*", "s3:PutObject*", "s3:ReplicateObject", "s3:RestoreObject"],
    "Principal": {"AWS": "arn:aws:iam::111111111111:user/carlos"}, "Resource": "arn:aws:s3:::Production/*"}"#;

/// The user of account A puts an object into the bucket of account B.
const PUT: Case<'static> =
    Case { action: "s3:PutObject", resource: "arn:aws:s3:::Production/x", owner: "222222222222", ..CASE };

#[test]
fn both_accounts_have_to_allow_as_in_awss_example() {
    let account = &PRODUCTION.replace("arn:aws:iam::111111111111:user/carlos", "111111111111");
    let everyone = &PRODUCTION.replace("arn:aws:iam::111111111111:user/carlos", "*");
    let owners = &PRODUCTION.replace("111111111111", "222222222222");
    check(&[
        Case { rule: "both do", identity: CARLOS, on_resource: PRODUCTION, expected: "allowed", ..PUT },
        Case { rule: "the bucket's does not", identity: CARLOS, ..PUT },
        Case { rule: "the user's does not", on_resource: PRODUCTION, ..PUT },
        Case {
            rule: "the log bucket is denied",
            identity: CARLOS,
            resource: "arn:aws:s3:::Production-logs/x",
            expected: "denied",
            ..PUT
        },
        Case {
            rule: "deleting is not allowed by the bucket",
            identity: CARLOS,
            on_resource: PRODUCTION,
            action: "s3:DeleteObject",
            ..PUT
        },
        Case {
            rule: "listing buckets is about no resource",
            identity: CARLOS,
            action: "s3:ListAllMyBuckets",
            resource: "*",
            owner: "111111111111",
            expected: "allowed",
            ..PUT
        },
        Case {
            rule: "the bucket names the account",
            identity: CARLOS,
            on_resource: account,
            expected: "allowed",
            ..PUT
        },
        Case {
            rule: "the bucket names the account, and the user has no policy",
            on_resource: account,
            ..PUT
        },
        Case {
            rule: "the bucket names everyone",
            identity: CARLOS,
            on_resource: everyone,
            expected: "allowed",
            ..PUT
        },
        Case { rule: "everyone, and the user has no policy", on_resource: everyone, ..PUT },
        Case { rule: "the bucket names its own account", identity: CARLOS, on_resource: owners, ..PUT },
        Case {
            rule: "the root user needs no policy of its own",
            caller: "arn:aws:iam::111111111111:root",
            on_resource: account,
            expected: "allowed",
            ..PUT
        },
        Case { rule: "but the bucket's", caller: "arn:aws:iam::111111111111:root", ..PUT },
        Case {
            rule: "a boundary limits across accounts",
            identity: CARLOS,
            on_resource: PRODUCTION,
            boundary: r#"{"Effect": "Allow", "Action": "ec2:*", "Resource": "*"}"#,
            ..PUT
        },
        Case {
            rule: "an SCP of the caller limits",
            identity: CARLOS,
            on_resource: PRODUCTION,
            service_control: r#"{"Effect": "Deny", "Action": "s3:*", "Resource": "*"}"#,
            expected: "denied",
            ..PUT
        },
        Case {
            rule: "an RCP of the owner limits",
            identity: CARLOS,
            on_resource: PRODUCTION,
            resource_control: r#"{"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*"}"#,
            expected: "denied",
            ..PUT
        },
    ]);
}

#[test]
fn roles_are_assumed_across_accounts() {
    let assume = Case {
        caller: "arn:aws:sts::111111111111:assumed-role/app/i-1",
        action: "sts:AssumeRole",
        resource: "arn:aws:iam::222222222222:role/standpipe-writer",
        owner: "222222222222",
        required: true,
        identity: r#"{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "arn:aws:iam::222222222222:role/standpipe-writer"}"#,
        context: &[("sts:ExternalId", "example"), ("sts:RoleSessionName", "standpipe-h")],
        ..CASE
    };
    let trust = |principal: &str, condition: &str| {
        format!(
            r#"{{"Effect": "Allow", "Principal": {{"AWS": "{principal}"}}, "Action": "sts:AssumeRole", "Condition": {{{condition}}}}}"#
        )
    };
    let role = "arn:aws:iam::111111111111:role/app";
    let external = r#""StringEquals": {"sts:ExternalId": "example"}"#;
    let organization = r#""StringEquals": {"aws:PrincipalOrgID": "o-1"}"#;
    check(&[
        Case {
            rule: "the role trusts the role",
            on_resource: &trust(role, ""),
            expected: "allowed",
            ..assume
        },
        Case {
            rule: "the role trusts the account",
            on_resource: &trust("111111111111", ""),
            expected: "allowed",
            ..assume
        },
        Case {
            rule: "the role trusts the session",
            on_resource: &trust("arn:aws:sts::111111111111:assumed-role/app/i-1", ""),
            expected: "allowed",
            ..assume
        },
        Case { rule: "the role trusts another account", on_resource: &trust("333333333333", ""), ..assume },
        Case {
            rule: "the role trusts another role",
            on_resource: &trust("arn:aws:iam::111111111111:role/other", ""),
            ..assume
        },
        Case {
            rule: "the external id fits",
            on_resource: &trust(role, external),
            expected: "allowed",
            ..assume
        },
        Case {
            rule: "the external id does not fit",
            on_resource: &trust(role, external),
            context: &[("sts:ExternalId", "Example")],
            ..assume
        },
        Case {
            rule: "the external id is not given",
            on_resource: &trust(role, external),
            context: &[],
            ..assume
        },
        Case { rule: "the caller may not ask", on_resource: &trust(role, ""), identity: "", ..assume },
        Case {
            rule: "the caller may ask for another role",
            on_resource: &trust(role, ""),
            identity: r#"{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "arn:aws:iam::222222222222:role/other"}"#,
            ..assume
        },
        Case {
            rule: "the caller is of the organization",
            on_resource: &trust("*", organization),
            context: &[("aws:PrincipalOrgID", "o-1")],
            expected: "allowed",
            ..assume
        },
        Case {
            rule: "the caller is of another organization",
            on_resource: &trust("*", organization),
            context: &[("aws:PrincipalOrgID", "o-2")],
            ..assume
        },
        Case {
            rule: "tags need their own action",
            action: "sts:TagSession",
            on_resource: &trust(role, ""),
            ..assume
        },
        Case {
            rule: "whoever an identity provider vouches for needs the trust policy alone",
            caller: "https:accounts.google.com",
            action: "sts:AssumeRoleWithWebIdentity",
            identity: "",
            on_resource: r#"{"Effect": "Allow", "Principal": {"Federated": "accounts.google.com"}, "Action": "sts:AssumeRoleWithWebIdentity"}"#,
            expected: "allowed",
            ..assume
        },
        Case {
            rule: "another identity provider",
            caller: "https:www.amazon.com",
            action: "sts:AssumeRoleWithWebIdentity",
            on_resource: r#"{"Effect": "Allow", "Principal": {"Federated": "accounts.google.com"}, "Action": "sts:AssumeRoleWithWebIdentity"}"#,
            ..assume
        },
    ]);
}

#[test]
fn services_need_the_resources_word_alone() {
    let trust = r#"{"Effect": "Allow", "Principal": {"Service": "logs.us-east-1.amazonaws.com"}, "Action": "sts:AssumeRole",
        "Condition": {"StringLike": {"aws:SourceArn": ["arn:aws:logs:us-east-1:111111111111:*", "arn:aws:logs:us-east-1:222222222222:*"]}}}"#;
    let assume = Case {
        caller: "logs.us-east-1.amazonaws.com",
        action: "sts:AssumeRole",
        resource: "arn:aws:iam::222222222222:role/cwl",
        owner: "222222222222",
        required: true,
        on_resource: trust,
        ..CASE
    };
    let vended = r#"{"Sid": "AWSLogDeliveryWrite20150319", "Effect": "Allow", "Principal": {"Service": ["delivery.logs.amazonaws.com"]},
        "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
        "Resource": ["arn:aws:logs:us-east-1:111111111111:log-group:/aws/vendedlogs/*:log-stream:*"],
        "Condition": {"StringEquals": {"aws:SourceAccount": ["111111111111"]}, "ArnLike": {"aws:SourceArn": ["arn:aws:logs:us-east-1:111111111111:*"]}}}"#;
    let source =
        &[("aws:SourceAccount", "111111111111"), ("aws:SourceArn", "arn:aws:logs:us-east-1:111111111111:*")];
    let write = Case {
        caller: "delivery.logs.amazonaws.com",
        action: "logs:PutLogEvents",
        resource: "arn:aws:logs:us-east-1:111111111111:log-group:/aws/vendedlogs/states/x:log-stream:s",
        on_resource: vended,
        context: source,
        ..CASE
    };
    let a = &[("aws:SourceArn", "arn:aws:logs:us-east-1:111111111111:*")];
    let b = &[("aws:SourceArn", "arn:aws:logs:us-east-1:222222222222:*")];
    let c = &[("aws:SourceArn", "arn:aws:logs:us-east-1:333333333333:*")];
    check(&[
        Case { rule: "CloudWatch Logs for the sender", context: a, expected: "allowed", ..assume },
        Case {
            rule: "CloudWatch Logs' test message is for the destination's own account",
            context: b,
            expected: "allowed",
            ..assume
        },
        Case { rule: "for a third account", context: c, ..assume },
        Case { rule: "without a source", ..assume },
        Case { rule: "of another region", caller: "logs.eu-west-1.amazonaws.com", context: a, ..assume },
        Case { rule: "another service", caller: "firehose.amazonaws.com", context: a, ..assume },
        Case {
            rule: "the account is not its services",
            caller: "firehose.amazonaws.com",
            on_resource: r#"{"Effect": "Allow", "Principal": {"AWS": "222222222222"}, "Action": "sts:AssumeRole"}"#,
            ..assume
        },
        Case {
            rule: "a service is not an account",
            caller: "arn:aws:iam::222222222222:user/u",
            identity: r#"{"Effect": "Allow", "Action": "*", "Resource": "*"}"#,
            context: a,
            ..assume
        },
        Case { rule: "vended logs", expected: "allowed", ..write },
        Case {
            rule: "vended logs without the policy: a role of the state machine plays no part",
            on_resource: "",
            identity: r#"{"Effect": "Allow", "Action": "*", "Resource": "*"}"#,
            ..write
        },
        Case {
            rule: "vended logs into a group that is not covered",
            resource: "arn:aws:logs:us-east-1:111111111111:log-group:orders:log-stream:s",
            ..write
        },
        Case {
            rule: "vended logs on behalf of another account",
            context: &[
                ("aws:SourceAccount", "333333333333"),
                ("aws:SourceArn", "arn:aws:logs:us-east-1:111111111111:*"),
            ],
            ..write
        },
        Case {
            rule: "a denial for all but services spares them",
            on_resource: &format!(
                r#"{vended}, {{"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*", "Condition": {{"Bool": {{"aws:PrincipalIsAWSService": "false"}}}}}}"#
            ),
            expected: "allowed",
            ..write
        },
        Case {
            rule: "a denial for everyone is one for services",
            on_resource: &format!(
                r#"{vended}, {{"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"}}"#
            ),
            expected: "denied",
            ..write
        },
    ]);
}

#[test]
fn a_destination_lets_accounts_subscribe() {
    let identity = r#"{"Effect": "Allow", "Action": "logs:PutSubscriptionFilter",
        "Resource": ["arn:aws:logs:us-east-1:111111111111:log-group:*", "arn:aws:logs:us-east-1:222222222222:destination:d"]}"#;
    let subscribe = Case {
        action: "logs:PutSubscriptionFilter",
        resource: "arn:aws:logs:us-east-1:222222222222:destination:d",
        owner: "222222222222",
        identity,
        on_resource: r#"{"Effect": "Allow", "Principal": {"AWS": "111111111111"}, "Action": "logs:PutSubscriptionFilter",
            "Resource": "arn:aws:logs:us-east-1:222222222222:destination:d"}"#,
        ..CASE
    };
    check(&[
        Case { rule: "both sides", expected: "allowed", ..subscribe },
        Case {
            rule: "the sender's own log group",
            resource: "arn:aws:logs:us-east-1:111111111111:log-group:g:*",
            owner: "111111111111",
            on_resource: "",
            expected: "allowed",
            ..subscribe
        },
        Case { rule: "no policy on the destination", on_resource: "", ..subscribe },
        Case {
            rule: "the sender may subscribe its log groups alone",
            identity: r#"{"Effect": "Allow", "Action": "logs:PutSubscriptionFilter", "Resource": "arn:aws:logs:us-east-1:111111111111:log-group:*"}"#,
            ..subscribe
        },
        Case {
            rule: "another destination",
            resource: "arn:aws:logs:us-east-1:222222222222:destination:e",
            ..subscribe
        },
        Case { rule: "another sender", caller: "arn:aws:iam::333333333333:user/u", ..subscribe },
    ]);
}
