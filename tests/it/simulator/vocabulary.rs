//! What cases are made of: actions and resources, callers, keys and their values.

pub(super) const HOME: &str = "111111111111";
pub(super) const OTHER: &str = "222222222222";

/// What a request is about.
pub(super) struct Target {
    pub(super) action: &'static str,
    /// `@` stands for the owner's account.
    pub(super) resource: &'static str,
    pub(super) has: ResourceSide,
}

/// What policies a resource of this kind has.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum ResourceSide {
    /// Policies whose word is enough within their account.
    Enough,
    /// A policy without which nobody may.
    Needed,
    /// None.
    None,
}

pub(super) const TARGETS: [Target; 12] = [
    target("s3:GetObject", "arn:aws:s3:::org-logs/app/2026/key.gz", ResourceSide::Enough),
    target("s3:PutObject", "arn:aws:s3:::org-logs/app/2026/key.gz", ResourceSide::Enough),
    target("s3:ListBucket", "arn:aws:s3:::org-logs", ResourceSide::Enough),
    target("sqs:SendMessage", "arn:aws:sqs:us-east-1:@:trail", ResourceSide::Enough),
    target("sqs:ReceiveMessage", "arn:aws:sqs:us-east-1:@:trail", ResourceSide::Enough),
    target("kms:Decrypt", "arn:aws:kms:us-east-1:@:key/1111-2222", ResourceSide::Needed),
    target("kms:GenerateDataKey", "arn:aws:kms:us-east-1:@:key/1111-2222", ResourceSide::Needed),
    target("sts:AssumeRole", "arn:aws:iam::@:role/writer", ResourceSide::Needed),
    target("firehose:PutRecordBatch", "arn:aws:firehose:us-east-1:@:deliverystream/logs", ResourceSide::None),
    target("kinesis:GetRecords", "arn:aws:kinesis:us-east-1:@:stream/logs", ResourceSide::Enough),
    target("logs:PutSubscriptionFilter", "arn:aws:logs:us-east-1:@:destination:org", ResourceSide::Enough),
    target("sns:Publish", "arn:aws:sns:us-east-1:@:trail", ResourceSide::Enough),
];

const fn target(action: &'static str, resource: &'static str, has: ResourceSide) -> Target {
    Target { action, resource, has }
}

pub(super) const CALLERS: [&str; 7] = [
    "arn:aws:iam::111111111111:user/carlos",
    "arn:aws:iam::111111111111:user/team/ana",
    "arn:aws:sts::111111111111:assumed-role/agent/i-0abc",
    "arn:aws:sts::111111111111:assumed-role/agent/i-0abc",
    "arn:aws:sts::111111111111:federated-user/eve",
    "firehose.amazonaws.com",
    "logs.amazonaws.com",
];

/// How a key's values are compared.
#[derive(Clone, Copy)]
pub(super) enum KeyKind {
    Text,
    Arn,
    Number,
    Date,
    Truth,
    Address,
}

/// A key that any request may carry, and values of it.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) kind: KeyKind,
    pub(super) several: bool,
    /// What requests carry.
    pub(super) found: &'static [&'static str],
    /// What policies ask for beside that.
    pub(super) asked: &'static [&'static str],
}

pub(super) const KEYS: [Key; 12] = [
    key(
        "aws:PrincipalOrgID",
        KeyKind::Text,
        &["o-aaaa", "o-bbbb"],
        &["o-*", "O-AAAA", "o-a?aa", "${aws:PrincipalOrgID}"],
    ),
    key(
        "aws:RequestedRegion",
        KeyKind::Text,
        &["us-east-1", "eu-central-1"],
        &["us-*", "eu-central-?", "US-EAST-1"],
    ),
    key(
        "aws:SourceAccount",
        KeyKind::Text,
        &["111111111111", "222222222222"],
        &["1*", "${aws:PrincipalAccount}"],
    ),
    key(
        "aws:PrincipalTag/team",
        KeyKind::Text,
        &["logs", "Logs", "web"],
        &["l*", "${aws:username}", "${aws:PrincipalTag/team, 'web'}"],
    ),
    key("aws:SourceVpce", KeyKind::Text, &["vpce-1", "vpce-2"], &["vpce-*", "vpc?-1"]),
    key(
        "aws:SourceArn",
        KeyKind::Arn,
        &["arn:aws:logs:us-east-1:111111111111:log-group:app", "arn:aws:s3:::org-logs"],
        &[
            "arn:aws:logs:*:111111111111:*",
            "arn:aws:s3:::org-*",
            "arn:aws:logs:us-east-1:${aws:PrincipalAccount}:log-group:*",
            "arn:*:logs:us-east-?:1111*:log-group:app",
        ],
    ),
    key("aws:MultiFactorAuthAge", KeyKind::Number, &["0", "300", "3600"], &["300.0", "299", "-1"]),
    key(
        "aws:CurrentTime",
        KeyKind::Date,
        &["2026-01-01T00:00:00Z", "2026-06-30T12:00:00Z"],
        &["2026-01-01", "2025-12-31T23:00:00-01:00", "2027-01-01T00:00:00Z"],
    ),
    key("aws:SecureTransport", KeyKind::Truth, &["true", "false"], &["True"]),
    key(
        "aws:SourceIp",
        KeyKind::Address,
        &["203.0.113.7", "10.1.2.3", "2001:db8::1"],
        &["203.0.113.0/24", "10.0.0.0/8", "2001:db8::/32", "0.0.0.0/0"],
    ),
    several("aws:TagKeys", &["team", "cost", "env"], &["t*", "TEAM", "e?v"]),
    several("aws:CalledVia", &["athena.amazonaws.com", "kms.amazonaws.com"], &["*.amazonaws.com"]),
];

const fn key(
    name: &'static str,
    kind: KeyKind,
    found: &'static [&'static str],
    asked: &'static [&'static str],
) -> Key {
    Key { name, kind, several: false, found, asked }
}

const fn several(name: &'static str, found: &'static [&'static str], asked: &'static [&'static str]) -> Key {
    Key { name, kind: KeyKind::Text, several: true, found, asked }
}
