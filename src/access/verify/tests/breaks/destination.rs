//! The destination, and the role that writes to the stream.

use serde_json::{Value, json};

use super::{Break, Model, broken};
use crate::access::live::{Prerequisite, extra};

const HOP: &str = "destination delivery-test-destination of archive";
const ORGANIZATION: &str = "destination all-logs of archive";

pub(super) fn breaks() -> Vec<Break> {
    [policies(), targets(), trusts(), permissions(), kinesis()].into_iter().flatten().collect()
}

#[rustfmt::skip] // One break a line.
fn policies() -> Vec<Break> {
    let at = (HOP, "destination_policy");
    vec![
        broken("basic", "destination policy for another account", |it| policy(it, "111111111111", "999999999999"), at, &["account app (111111111111)", "names the principal `999999999999`"]),
        broken("basic", "destination policy missing", |it| it.unset("archive", "Destination", "policy"), at, &["the resource has no policy"]),
        broken("basic", "destination policy without the action", |it| policy(it, "PutSubscriptionFilter", "PutDestination"), at, &["names the action `logs:PutDestination`"]),
        broken("basic", "destination policy for another destination", |it| policy(it, "destination:delivery-test-destination", "destination:other"), at, &["destination:other"]),
        broken("basic", "destination policy for another region", |it| policy(it, "ap-northeast-1", "us-east-1"), at, &["another region"]),
        broken("basic", "destination policy denies", |it| it.add("archive", "Destination", "policy", never("logs:*")), at, &["denied by statement 2 `Never`"]),
        broken("organization", "organization id wrong", |it| policy(it, "o-a1b2c3d4e5", "o-zzzzzzzzzz"), (ORGANIZATION, "destination_policy"), &["aws:PrincipalOrgID", "o-zzzzzzzzzz"]),
    ]
}

fn policy(it: &mut Model, from: &str, to: &str) {
    it.edit("archive", "Destination", "policy", from, to);
}

fn never(action: &str) -> Value {
    json!({ "Sid": "Never", "Effect": "Deny", "Principal": "*", "Action": action, "Resource": "*" })
}

#[rustfmt::skip] // One break a line.
fn targets() -> Vec<Break> {
    vec![
        broken("basic", "destination deleted", |it| it.lose("archive", "Destination"), (HOP, "destination"), &["destination `delivery-test-destination` does not exist"]),
        broken("basic", "PassRole missing, so that the destination could not be made", no_pass, (HOP, "pass_role"), &["`iam:PassRole` on `arn:aws:iam::222222222222:role/standpipe-logs`"]),
        broken("basic", "destination to another stream", |it| it.edit("archive", "Destination", "target", "delivery-test-stream", "old"), (HOP, "destination_target"), &["deliverystream/old", "another name"]),
        broken("basic", "destination to another account's stream", |it| it.edit("archive", "Destination", "target", "222222222222", "999999999999"), (HOP, "destination_target"), &["another account"]),
        broken("basic", "destination with another account's role", |it| it.edit("archive", "Destination", "role", "222222222222", "999999999999"), (HOP, "destination_role"), &["another account"]),
        broken("basic", "role of CloudWatch Logs deleted", |it| it.lose("archive", "LogsRole"), (HOP, "destination_role"), &["role `standpipe-logs` does not exist"]),
    ]
}

fn no_pass(it: &mut Model) {
    it.lose("archive", "Destination");
    it.edit(
        "archive",
        &Prerequisite::Caller.id(),
        extra::OTHERS,
        r#""Action":"*""#,
        r#""Action":["logs:*","firehose:*"]"#,
    );
}

#[rustfmt::skip] // One break a line.
fn trusts() -> Vec<Break> {
    let at = (HOP, "destination_trust");
    vec![
        broken("basic", "trust for the wrong service", |it| trust(it, "logs.ap-northeast-1.amazonaws.com", "firehose.amazonaws.com"), at, &["names the principal `firehose.amazonaws.com`"]),
        broken("basic", "trust for another region's service", |it| trust(it, "logs.ap-northeast-1", "logs.us-east-1"), at, &["names the principal `logs.us-east-1.amazonaws.com`"]),
        broken("basic", "trust for another sender's logs", |it| trust(it, "ap-northeast-1:111111111111", "ap-northeast-1:999999999999"), at, &["aws:SourceArn", "111111111111:log-group"]),
        broken("basic", "trust without the destination's own account", |it| trust(it, "ap-northeast-1:222222222222", "ap-northeast-1:999999999999"), at, &["aws:SourceArn", "222222222222:log-group"]),
        broken("basic", "trust for the source account of another", source_account, at, &["aws:SourceAccount"]),
        broken("basic", "trust without sts:AssumeRole", |it| trust(it, "sts:AssumeRole", "sts:TagSession"), at, &["names the action `sts:TagSession`"]),
        broken("organization", "trust for another organization", |it| trust(it, "o-a1b2c3d4e5", "o-zzzzzzzzzz"), (ORGANIZATION, "destination_trust"), &["aws:SourceOrgID"]),
    ]
}

fn trust(it: &mut Model, from: &str, to: &str) {
    it.edit("archive", "LogsRole", "trust", from, to);
}

fn source_account(it: &mut Model) {
    trust(it, r#""StringLike":{"#, r#""StringEquals":{"aws:SourceAccount":"999999999999"},"StringLike":{"#);
}

#[rustfmt::skip] // One break a line.
fn permissions() -> Vec<Break> {
    let at = (HOP, "destination_permissions");
    vec![
        broken("basic", "an action missing", |it| may(it, "firehose:PutRecordBatch", "firehose:ListDeliveryStreams"), at, &["`firehose:PutRecordBatch`"]),
        broken("basic", "permission for another region's stream", |it| may(it, "ap-northeast-1", "us-east-1"), at, &["another region"]),
        broken("basic", "permission for another account's stream", |it| may(it, "222222222222", "111111111111"), at, &["another account"]),
        broken("basic", "policy of the role removed", |it| it.unset("archive", "LogsRole", "permissions"), at, &["the caller has no policy"]),
        broken("basic", "permissions boundary without the action", bounded, at, &["`firehose:PutRecord`", "the caller's permissions boundary: no statement allows anything like it"]),
        broken("basic", "permissions boundary denies", boundary_denies, at, &["denied by statement 2 `Never` of the permissions boundary"]),
        broken("basic", "another policy of the role denies", |it| it.other("archive", "LogsRole", "guard", &deny("firehose:*")), at, &["denied by statement 1 `Never` of policy `guard` of role `standpipe-logs`"]),
        broken("basic", "an attached policy denies", |it| it.other("archive", "LogsRole", "arn:aws:iam::222222222222:policy/guard", &deny("firehose:Put*")), at, &["denied by statement 1 `Never`", "policy/guard"]),
    ]
}

fn may(it: &mut Model, from: &str, to: &str) {
    it.edit("archive", "LogsRole", "permissions", from, to);
}

fn deny(action: &str) -> Value {
    json!({ "Sid": "Never", "Effect": "Deny", "Action": action, "Resource": "*" })
}

fn bounded(it: &mut Model) {
    let only = json!({ "Sid": "OnlyS3", "Effect": "Allow", "Action": "s3:*", "Resource": "*" });
    boundary(it, &json!([only]));
}

fn boundary_denies(it: &mut Model) {
    let all = json!({ "Sid": "All", "Effect": "Allow", "Action": "*", "Resource": "*" });
    boundary(it, &json!([all, deny("firehose:*")]));
}

fn boundary(it: &mut Model, statements: &Value) {
    let policy = json!({ "Version": "2012-10-17", "Statement": statements });
    it.set("archive", "LogsRole", extra::BOUNDARY, policy);
    it.set("archive", "LogsRole", extra::BOUNDARY_ARN, json!("arn:aws:iam::222222222222:policy/boundary"));
}

#[rustfmt::skip] // One break a line.
fn kinesis() -> Vec<Break> {
    vec![
        broken("organization", "permission to put to Kinesis missing", |it| may(it, "kinesis:PutRecord", "kinesis:ListShards"), (ORGANIZATION, "destination_permissions"), &["`kinesis:PutRecord`"]),
        broken("organization", "use of the stream's key missing", |it| may(it, "kms:GenerateDataKey", "kms:Decrypt"), (ORGANIZATION, "destination_key"), &["`kms:GenerateDataKey`"]),
    ]
}
