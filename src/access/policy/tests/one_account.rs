//! Requests within one account.

use super::{CASE, Case, check};

const ALLOW: &str = r#"{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}"#;
const DENY: &str = r#"{"Effect": "Deny", "Action": "s3:*", "Resource": "*"}"#;
const OTHER: &str = r#"{"Effect": "Allow", "Action": "ec2:*", "Resource": "*"}"#;
const SESSION: &str = "arn:aws:sts::111111111111:assumed-role/app/i-1";
const ROOT: &str = "arn:aws:iam::111111111111:root";
const FEDERATED: &str = "arn:aws:sts::111111111111:federated-user/carlos";

/// A statement about all of S3.
fn grant(effect: &str, key: &str, principal: &str) -> String {
    format!(
        r#"{{"Effect": "{effect}", "{key}": {principal}, "Action": "s3:*", "Resource": "arn:aws:s3:::bucket/*"}}"#
    )
}

fn to(principal: &str) -> String {
    grant("Allow", "Principal", &format!(r#"{{"AWS": {principal}}}"#))
}

#[test]
fn what_nobody_allows_is_denied_and_a_denial_wins() {
    let both = &format!("{ALLOW}, {DENY}");
    check(&[
        Case { rule: "all is denied that nobody allows", ..CASE },
        Case { rule: "a policy of the user allows", identity: ALLOW, expected: "allowed", ..CASE },
        Case { rule: "a policy about other actions does not", identity: OTHER, ..CASE },
        Case {
            rule: "a denial wins over what the same policy allows",
            identity: both,
            expected: "denied",
            ..CASE
        },
        Case {
            rule: "whatever comes first",
            identity: &format!("{DENY}, {ALLOW}"),
            expected: "denied",
            ..CASE
        },
        Case {
            rule: "a denial by the resource wins over what the user's policy allows",
            identity: ALLOW,
            on_resource: &grant("Deny", "Principal", r#""*""#),
            expected: "denied",
            ..CASE
        },
        Case {
            rule: "a denial by the user's policy wins over what the resource allows",
            identity: DENY,
            on_resource: &to(r#""arn:aws:iam::111111111111:user/carlos""#),
            expected: "denied",
            ..CASE
        },
        Case { rule: "the root user has full access", caller: ROOT, expected: "allowed", ..CASE },
        Case {
            rule: "a resource's denial holds for the root user",
            caller: ROOT,
            on_resource: &grant("Deny", "Principal", r#""*""#),
            expected: "denied",
            ..CASE
        },
    ]);
}

#[test]
fn either_side_is_enough_for_most_resources() {
    check(&[
        Case {
            rule: "the user by ARN",
            on_resource: &to(r#""arn:aws:iam::111111111111:user/carlos""#),
            expected: "allowed",
            ..CASE
        },
        Case { rule: "another user", on_resource: &to(r#""arn:aws:iam::111111111111:user/david""#), ..CASE },
        Case {
            rule: "names have case",
            on_resource: &to(r#""arn:aws:iam::111111111111:user/Carlos""#),
            ..CASE
        },
        Case {
            rule: "one of a list",
            on_resource: &to(r#"["999999999999", "arn:aws:iam::111111111111:user/carlos"]"#),
            expected: "allowed",
            ..CASE
        },
        Case {
            rule: "everyone needs nothing else in the account",
            on_resource: &grant("Allow", "Principal", r#""*""#),
            expected: "allowed",
            ..CASE
        },
        Case { rule: "everyone, as AWS", on_resource: &to(r#""*""#), expected: "allowed", ..CASE },
        Case {
            rule: "no wildcard within a name",
            on_resource: &to(r#""arn:aws:iam::111111111111:user/*""#),
            ..CASE
        },
        Case {
            rule: "the account's ARN leaves it to the user's policies",
            on_resource: &to(&format!("\"{ROOT}\"")),
            ..CASE
        },
        Case { rule: "the account's id is the same", on_resource: &to(r#""111111111111""#), ..CASE },
        Case {
            rule: "both, the account and the user's policies",
            on_resource: &to(r#""111111111111""#),
            identity: ALLOW,
            expected: "allowed",
            ..CASE
        },
        Case {
            rule: "the role by ARN",
            caller: SESSION,
            on_resource: &to(r#""arn:aws:iam::111111111111:role/app""#),
            expected: "allowed",
            ..CASE
        },
        Case {
            rule: "the session by ARN",
            caller: SESSION,
            on_resource: &to(&format!("\"{SESSION}\"")),
            expected: "allowed",
            ..CASE
        },
        Case {
            rule: "another session of the role",
            caller: SESSION,
            on_resource: &to(r#""arn:aws:sts::111111111111:assumed-role/app/i-2""#),
            ..CASE
        },
        Case {
            rule: "no wildcard for sessions",
            caller: SESSION,
            on_resource: &to(r#""arn:aws:sts::111111111111:assumed-role/app/*""#),
            ..CASE
        },
        Case {
            rule: "a role of another account with the same name",
            caller: SESSION,
            on_resource: &to(r#""arn:aws:iam::222222222222:role/app""#),
            ..CASE
        },
        Case {
            rule: "a role in another partition",
            caller: SESSION,
            on_resource: &to(r#""arn:aws-cn:iam::111111111111:role/app""#),
            ..CASE
        },
        Case {
            rule: "what is left of a deleted role",
            caller: SESSION,
            on_resource: &to(r#""AROAIOSFODNN7EXAMPLE""#),
            ..CASE
        },
        Case {
            rule: "the federated session by ARN",
            caller: FEDERATED,
            on_resource: &to(&format!("\"{FEDERATED}\"")),
            expected: "allowed",
            ..CASE
        },
        Case {
            rule: "strangers, if everyone may",
            caller: "anonymous",
            on_resource: &grant("Allow", "Principal", r#""*""#),
            expected: "allowed",
            ..CASE
        },
        Case {
            rule: "strangers, if an account may",
            caller: "anonymous",
            on_resource: &to(r#""111111111111""#),
            ..CASE
        },
    ]);
}

#[test]
fn a_trust_policy_or_a_key_policy_has_to_allow() {
    let trust = Case {
        caller: SESSION,
        action: "sts:AssumeRole",
        resource: "arn:aws:iam::111111111111:role/writer",
        required: true,
        identity: r#"{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}"#,
        ..CASE
    };
    let by = |principal: &str| {
        format!(r#"{{"Effect": "Allow", "Principal": {{"AWS": "{principal}"}}, "Action": "sts:AssumeRole"}}"#)
    };
    check(&[
        Case { rule: "the caller's policy alone is not enough", ..trust },
        Case {
            rule: "the role itself is enough",
            identity: "",
            on_resource: &by("arn:aws:iam::111111111111:role/app"),
            expected: "allowed",
            ..trust
        },
        Case {
            rule: "the account, and the caller's policy",
            on_resource: &by("111111111111"),
            expected: "allowed",
            ..trust
        },
        Case {
            rule: "the account without the caller's policy",
            identity: "",
            on_resource: &by("111111111111"),
            ..trust
        },
        Case { rule: "another role", on_resource: &by("arn:aws:iam::111111111111:role/other"), ..trust },
        Case { rule: "another account", on_resource: &by("333333333333"), ..trust },
        Case {
            rule: "the root user needs the key policy's word as well",
            caller: ROOT,
            action: "kms:Decrypt",
            resource: "arn:aws:kms:us-east-1:111111111111:key/k",
            ..trust
        },
        Case {
            rule: "a trust policy that is about another way to assume",
            on_resource: r#"{"Effect": "Allow", "Principal": {"AWS": "111111111111"}, "Action": "sts:AssumeRoleWithWebIdentity"}"#,
            ..trust
        },
    ]);
}

#[test]
fn boundaries_and_session_policies_limit() {
    let user = &to(r#""arn:aws:iam::111111111111:user/carlos""#);
    let role = &to(r#""arn:aws:iam::111111111111:role/app""#);
    let session = &to(&format!("\"{SESSION}\""));
    let everyone = &to(r#""*""#);
    let federated = &to(&format!("\"{FEDERATED}\""));
    check(&[
        Case {
            rule: "a boundary that allows too",
            identity: ALLOW,
            boundary: ALLOW,
            expected: "allowed",
            ..CASE
        },
        Case { rule: "a boundary that does not", identity: ALLOW, boundary: OTHER, ..CASE },
        Case { rule: "a boundary allows nothing by itself", boundary: ALLOW, ..CASE },
        Case { rule: "a boundary that denies", identity: ALLOW, boundary: DENY, expected: "denied", ..CASE },
        Case {
            rule: "a user named by the resource is not limited by its boundary",
            on_resource: user,
            boundary: OTHER,
            expected: "allowed",
            ..CASE
        },
        Case { rule: "but denied by it", on_resource: user, boundary: DENY, expected: "denied", ..CASE },
        Case {
            rule: "a role named by the resource is limited by its boundary",
            caller: SESSION,
            on_resource: role,
            boundary: OTHER,
            ..CASE
        },
        Case {
            rule: "a role named by the resource, allowed by its boundary",
            caller: SESSION,
            on_resource: role,
            boundary: ALLOW,
            expected: "allowed",
            ..CASE
        },
        Case {
            rule: "a role named by the resource is limited by its session's policy",
            caller: SESSION,
            on_resource: role,
            session: OTHER,
            ..CASE
        },
        Case {
            rule: "a session named by the resource is not limited by a boundary",
            caller: SESSION,
            on_resource: session,
            boundary: OTHER,
            expected: "allowed",
            ..CASE
        },
        Case {
            rule: "nor by its own policy",
            caller: SESSION,
            on_resource: session,
            session: OTHER,
            expected: "allowed",
            ..CASE
        },
        Case {
            rule: "but denied by it",
            caller: SESSION,
            on_resource: session,
            session: DENY,
            expected: "denied",
            ..CASE
        },
        Case {
            rule: "everyone is not limited by a boundary",
            caller: SESSION,
            on_resource: everyone,
            boundary: OTHER,
            expected: "allowed",
            ..CASE
        },
        Case {
            rule: "a session policy that allows too",
            caller: SESSION,
            identity: ALLOW,
            session: ALLOW,
            expected: "allowed",
            ..CASE
        },
        Case {
            rule: "a session policy that does not",
            caller: SESSION,
            identity: ALLOW,
            session: OTHER,
            ..CASE
        },
        Case { rule: "a session policy allows nothing by itself", caller: SESSION, session: ALLOW, ..CASE },
        Case {
            rule: "a user has no session policy",
            identity: ALLOW,
            session: OTHER,
            expected: "allowed",
            ..CASE
        },
        Case {
            rule: "all three have to allow",
            caller: SESSION,
            identity: ALLOW,
            boundary: ALLOW,
            session: ALLOW,
            expected: "allowed",
            ..CASE
        },
        Case {
            rule: "a federated session named by the resource is not limited",
            caller: FEDERATED,
            on_resource: federated,
            session: OTHER,
            expected: "allowed",
            ..CASE
        },
        Case {
            rule: "the user behind a federated session is limited",
            caller: FEDERATED,
            on_resource: user,
            session: OTHER,
            ..CASE
        },
    ]);
}

#[test]
fn organizations_limit() {
    let session = &to(&format!("\"{SESSION}\""));
    check(&[
        Case {
            rule: "an SCP that allows too",
            identity: ALLOW,
            service_control: ALLOW,
            expected: "allowed",
            ..CASE
        },
        Case { rule: "an SCP that does not", identity: ALLOW, service_control: OTHER, ..CASE },
        Case {
            rule: "an SCP that denies",
            identity: ALLOW,
            service_control: DENY,
            expected: "denied",
            ..CASE
        },
        Case { rule: "an SCP allows nothing by itself", service_control: ALLOW, ..CASE },
        Case {
            rule: "an SCP limits what the resource grants",
            caller: SESSION,
            on_resource: session,
            service_control: OTHER,
            ..CASE
        },
        Case { rule: "an SCP limits the root user", caller: ROOT, service_control: OTHER, ..CASE },
        Case {
            rule: "an RCP that denies",
            identity: ALLOW,
            resource_control: &grant("Deny", "Principal", r#""*""#),
            expected: "denied",
            ..CASE
        },
        Case { rule: "an RCP that does not allow", identity: ALLOW, resource_control: OTHER, ..CASE },
        Case {
            rule: "RCPFullAWSAccess",
            identity: ALLOW,
            resource_control: &grant("Allow", "Principal", r#""*""#),
            expected: "allowed",
            ..CASE
        },
    ]);
}

#[test]
fn negated_elements() {
    let not_iam = r#"{"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}"#;
    let not_delete = r#"{"Effect": "Allow", "NotAction": "s3:DeleteBucket", "Resource": "arn:aws:s3:::*"}"#;
    let payroll = r#"{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}, {"Effect": "Deny", "Action": "s3:*",
        "NotResource": ["arn:aws:s3:::HRBucket/Payroll", "arn:aws:s3:::HRBucket/Payroll/*"]}"#;
    let mfa = r#"{"Effect": "Allow", "Action": "*", "Resource": "*"}, {"Effect": "Deny", "NotAction": "iam:*", "Resource": "*",
        "Condition": {"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}}}"#;
    check(&[
        Case { rule: "all actions but those of IAM", identity: not_iam, expected: "allowed", ..CASE },
        Case {
            rule: "and not those of IAM",
            identity: not_iam,
            action: "iam:GetUser",
            resource: "*",
            ..CASE
        },
        Case { rule: "all actions but one", identity: not_delete, expected: "allowed", ..CASE },
        Case {
            rule: "that one",
            identity: not_delete,
            action: "s3:DeleteBucket",
            resource: "arn:aws:s3:::bucket",
            ..CASE
        },
        Case {
            rule: "an action about no resource is not one about a bucket",
            identity: not_delete,
            action: "s3:ListAllMyBuckets",
            resource: "*",
            ..CASE
        },
        Case { rule: "denied but for one folder", identity: payroll, expected: "denied", ..CASE },
        Case {
            rule: "the folder",
            identity: payroll,
            resource: "arn:aws:s3:::HRBucket/Payroll/x",
            expected: "allowed",
            ..CASE
        },
        Case {
            rule: "denied but for IAM without a second factor",
            identity: mfa,
            context: &[("aws:MultiFactorAuthPresent", "false")],
            expected: "denied",
            ..CASE
        },
        Case {
            rule: "IAM without a second factor",
            identity: mfa,
            action: "iam:GetUser",
            resource: "*",
            context: &[("aws:MultiFactorAuthPresent", "false")],
            expected: "allowed",
            ..CASE
        },
        Case {
            rule: "with a second factor",
            identity: mfa,
            context: &[("aws:MultiFactorAuthPresent", "true")],
            expected: "allowed",
            ..CASE
        },
        Case { rule: "without the key, if it exists", identity: mfa, expected: "denied", ..CASE },
    ]);
}

#[test]
fn all_principals_but_some() {
    let deny = |named: &str| grant("Deny", "NotPrincipal", &format!(r#"{{"AWS": {named}}}"#));
    let full = &deny(r#"["arn:aws:iam::111111111111:user/carlos", "arn:aws:iam::111111111111:root"]"#);
    let chain = &deny(&format!(r#"["{SESSION}", "arn:aws:iam::111111111111:role/app", "{ROOT}"]"#));
    let own = Case { identity: ALLOW, ..CASE };
    check(&[
        Case { rule: "the user and its account are spared", on_resource: full, expected: "allowed", ..own },
        Case {
            rule: "another user is denied",
            on_resource: full,
            caller: "arn:aws:iam::111111111111:user/david",
            expected: "denied",
            ..own
        },
        Case {
            rule: "the user without its account may be denied",
            on_resource: &deny(r#""arn:aws:iam::111111111111:user/carlos""#),
            expected: "cannot tell",
            ..own
        },
        Case {
            rule: "the session, its role and its account are spared",
            caller: SESSION,
            on_resource: chain,
            expected: "allowed",
            ..own
        },
        Case {
            rule: "another session of the role is denied",
            caller: "arn:aws:sts::111111111111:assumed-role/app/i-2",
            on_resource: chain,
            expected: "denied",
            ..own
        },
        Case {
            rule: "the role alone does not spare its session",
            caller: SESSION,
            on_resource: &deny(r#""arn:aws:iam::111111111111:role/app""#),
            expected: "denied",
            ..own
        },
        Case {
            rule: "whoever has a boundary is denied in any case",
            on_resource: full,
            boundary: ALLOW,
            expected: "denied",
            ..own
        },
        Case {
            rule: "services that are not named are denied",
            caller: "firehose.amazonaws.com",
            on_resource: full,
            expected: "denied",
            ..own
        },
        Case {
            rule: "allowing all but some allows strangers",
            caller: "anonymous",
            on_resource: &grant("Allow", "NotPrincipal", r#"{"AWS": "222222222222"}"#),
            expected: "allowed",
            ..CASE
        },
        Case {
            rule: "but not those",
            on_resource: &grant("Allow", "NotPrincipal", r#"{"AWS": "111111111111"}"#),
            ..CASE
        },
        Case {
            rule: "AWS's advice instead: a denial by aws:PrincipalArn spares the user",
            on_resource: r#"{"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*", "Condition":
                {"ArnNotEquals": {"aws:PrincipalArn": "arn:aws:iam::111111111111:user/carlos"}}}"#,
            expected: "allowed",
            ..own
        },
        Case {
            rule: "and denies others",
            on_resource: r#"{"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*", "Condition":
                {"ArnNotEquals": {"aws:PrincipalArn": "arn:aws:iam::111111111111:user/david"}}}"#,
            expected: "denied",
            ..own
        },
    ]);
}

#[test]
fn all_conditions_and_any_value() {
    let tagged = r#"{"Effect": "Allow", "Action": "s3:*", "Resource": "*", "Condition": {
        "StringEqualsIgnoreCase": {"aws:PrincipalTag/department": ["finance", "hr"], "aws:PrincipalTag/role": ["audit"]},
        "StringEquals": {"aws:PrincipalAccount": "111111111111"}}}"#;
    let plain = r#"{"Effect": "Allow", "Action": "s3:*", "Resource": "*", "Condition": {"StringEquals": {"aws:username": "carlos"}}}"#;
    let secure = r#"{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}, {"Sid": "BooleanExample", "Effect": "Deny",
        "Action": "s3:*", "Resource": "*", "Condition": {"Bool": {"aws:SecureTransport": false}}}"#;
    let both = &[("aws:PrincipalTag/department", "HR"), ("aws:PrincipalTag/role", "audit")];
    check(&[
        Case {
            rule: "all operators and all keys hold",
            identity: tagged,
            context: both,
            expected: "allowed",
            ..CASE
        },
        Case {
            rule: "one key does not",
            identity: tagged,
            context: &[("aws:PrincipalTag/department", "hr")],
            ..CASE
        },
        Case {
            rule: "one operator does not",
            identity: tagged,
            context: both,
            caller: "arn:aws:iam::222222222222:user/carlos",
            owner: "222222222222",
            ..CASE
        },
        Case { rule: "the caller's name is a key", identity: plain, expected: "allowed", ..CASE },
        Case { rule: "a session has no user name", identity: plain, caller: SESSION, ..CASE },
        Case {
            rule: "a denial over plain HTTP",
            identity: secure,
            context: &[("aws:SecureTransport", "false")],
            expected: "denied",
            ..CASE
        },
        Case {
            rule: "no denial over TLS",
            identity: secure,
            context: &[("aws:SecureTransport", "true")],
            expected: "allowed",
            ..CASE
        },
        Case {
            rule: "keys have no case",
            identity: secure,
            context: &[("AWS:securetransport", "false")],
            expected: "denied",
            ..CASE
        },
    ]);
}
