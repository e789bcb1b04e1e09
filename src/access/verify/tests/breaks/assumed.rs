//! Roles that standpipe assumes: the writer, the consumer, the reader.

use serde_json::{Value, json};

use super::{Break, Model, broken};
use crate::access::live::{Observation, Prerequisite, extra};

const WRITER: &str = "writer standpipe-writer of archive";
const HOST: &str = "writer logs-writer of archive";
const CONSUMER: &str = "consumer standpipe-consumer of archive";
const READER: &str = "reader cross-role-for-cloudtrail of trail";
const LOG_READER: &str = "log reader standpipe-log-reader of app";
const READER_ROLE: &str = "ReaderCrossRoleForCloudtrailRole";
const KEY: &str = "arn:aws:kms:eu-central-1:000000000000:key/1234abcd-12ab-34cd-56ef-1234567890ab";

#[rustfmt::skip] // One break a line.
pub(super) fn writers() -> Vec<Break> {
    let at = (WRITER, "assume_role");
    vec![
        broken("basic", "writer's role deleted", |it| it.lose("archive", "WriterRole"), (WRITER, "role"), &["role `standpipe-writer` does not exist"]),
        broken("basic", "wrong external id", |it| trust(it, r#""example""#, r#""exampel""#), at, &["`sts:ExternalId` by `StringEquals` `exampel`, and the request has `example`"]),
        broken("basic", "trust for another account", |it| trust(it, "111111111111", "999999999999"), at, &["names the principal `arn:aws:iam::999999999999:root`"]),
        broken("basic", "trust for a user that was deleted", |it| trust(it, "arn:aws:iam::111111111111:root", "AROAEXAMPLEEXAMPLE00"), at, &["is the remains of a deleted user or role"]),
        broken("basic", "policy to assume the role missing", |it| it.lose("app", "WriterIdentity"), at, &["policy `assume-standpipe-writer` does not exist"]),
        broken("basic", "policy to assume another role", |it| it.edit("app", "WriterIdentity", "permissions", "role/standpipe-writer", "role/other"), at, &["role/other"]),
        broken("basic", "put permission missing", |it| may(it, "firehose:PutRecordBatch", "firehose:PutRecord"), (WRITER, "put"), &["`firehose:PutRecordBatch`"]),
        broken("basic", "put permission for another account's stream", |it| may(it, "222222222222", "111111111111"), (WRITER, "put"), &["another account"]),
        broken("basic", "writer's own policy denies", |it| it.add("archive", "WriterRole", "permissions", deny("firehose:*")), (WRITER, "put"), &["denied by statement 2 `Never`"]),
        broken("three-accounts", "trust for another role of the account", |it| trust_of_host(it, "app-host", "other-host"), (HOST, "assume_role"), &["aws:PrincipalArn", "other-host"]),
        broken("three-accounts", "host's policy missing", |it| it.unset("app", "WriterIdentity", "permissions"), (HOST, "assume_role"), &["the caller has no policy"]),
        broken("three-accounts", "host's boundary without sts:AssumeRole", host_bounded, (HOST, "assume_role"), &["permissions boundary"]),
        broken("three-accounts", "another policy of the host denies", |it| it.other("app", "WriterIdentity", "guard", &deny("sts:AssumeRole")), (HOST, "assume_role"), &["denied by statement 1 `Never` of policy `guard` of role `app-host`"]),
    ]
}

fn trust(it: &mut Model, from: &str, to: &str) {
    it.edit("archive", "WriterRole", "trust", from, to);
}

fn trust_of_host(it: &mut Model, from: &str, to: &str) {
    it.edit("archive", "WriterRole", "trust", from, to);
}

fn may(it: &mut Model, from: &str, to: &str) {
    it.edit("archive", "WriterRole", "permissions", from, to);
}

fn deny(action: &str) -> Value {
    json!({ "Sid": "Never", "Effect": "Deny", "Action": action, "Resource": "*" })
}

fn host_bounded(it: &mut Model) {
    let only = json!({ "Effect": "Allow", "Action": "logs:*", "Resource": "*" });
    let policy = json!({ "Version": "2012-10-17", "Statement": [only] });
    it.set("app", "WriterIdentity", extra::BOUNDARY, policy);
    it.set(
        "app",
        "WriterIdentity",
        extra::BOUNDARY_ARN,
        json!("arn:aws-us-gov:iam::111111111111:policy/boundary"),
    );
}

#[rustfmt::skip] // One break a line.
pub(super) fn consumers() -> Vec<Break> {
    vec![
        broken("organization", "consumer's role deleted", |it| it.lose("archive", "ConsumerRole"), (CONSUMER, "role"), &["does not exist"]),
        broken("organization", "consumer may not read", |it| reads(it, "kinesis:GetRecords", "kinesis:PutRecords"), (CONSUMER, "read"), &["`kinesis:GetRecords`"]),
        broken("organization", "consumer may not decrypt", |it| reads(it, "kms:Decrypt", "kms:Encrypt"), (CONSUMER, "decrypt"), &["`kms:Decrypt`"]),
        broken("organization", "consumer may not keep leases", |it| reads(it, "dynamodb:UpdateItem", "dynamodb:Query"), (CONSUMER, "lease"), &["`dynamodb:UpdateItem`"]),
        broken("organization", "lease table missing", |it| it.lose("archive", "Leases"), (CONSUMER, "lease_table"), &["table `standpipe-cwl` does not exist"]),
        broken("sample", "consumer may not subscribe", |it| reads(it, "kinesis:SubscribeToShard", "kinesis:PutRecord"), (CONSUMER, "subscribe"), &["`kinesis:SubscribeToShard`"]),
        broken("sample", "consumer may not register", |it| reads(it, "kinesis:RegisterStreamConsumer", "kinesis:PutRecord"), (CONSUMER, "subscribe"), &["`kinesis:RegisterStreamConsumer`"]),
        broken("sample", "consumer's external id wrong", |it| it.edit("archive", "ConsumerRole", "trust", r#""example""#, r#""other""#), (CONSUMER, "assume_role"), &["sts:ExternalId"]),
    ]
}

fn reads(it: &mut Model, from: &str, to: &str) {
    it.edit("archive", "ConsumerRole", "permissions", from, to);
}

#[rustfmt::skip] // One break a line.
pub(super) fn readers() -> Vec<Break> {
    vec![
        broken("trail", "reader's role deleted", |it| it.lose("trail", READER_ROLE), (READER, "role"), &["does not exist"]),
        broken("trail", "reader's role trusts another role", |it| it.edit("trail", READER_ROLE, "trust", "role/collector", "role/other"), (READER, "assume_role"), &["aws:PrincipalArn"]),
        broken("trail", "collector may assume another role", |it| it.edit("archive", "ReaderCrossRoleForCloudtrailIdentity", "permissions", "000000000000", "999999999999"), (READER, "assume_role"), &["another account"]),
        broken("trail", "s3:List* on objects alone", list_on_objects, (READER, "list_bucket"), &["its objects, not the bucket itself"]),
        broken("trail", "s3:ListBucket missing", |it| object(it, "s3:ListBucket", "s3:ListAllMyBuckets"), (READER, "list_bucket"), &["`s3:ListBucket`"]),
        broken("trail", "s3:GetObject missing", |it| object(it, "s3:GetObject", "s3:HeadObject"), (READER, "read_objects"), &["`s3:GetObject`"]),
        broken("trail", "ARN of objects without /*", |it| object(it, "my-cloudtrail-bucket/AWSLogs/000000000000/CloudTrail/*", "my-cloudtrail-bucket"), (READER, "read_objects"), &["add `/*`"]),
        broken("trail", "objects below another prefix", |it| object(it, "AWSLogs/000000000000", "AWSLogs/999999999999"), (READER, "read_objects"), &["999999999999"]),
        broken("trail", "reader without kms:Decrypt", |it| object(it, "kms:Decrypt", "kms:Encrypt"), (READER, "decrypt"), &["`kms:Decrypt`", KEY]),
        broken("trail", "key that exists disabled", |it| key(it, "Disabled"), (READER, "decrypt"), &["is Disabled"]),
        broken("trail", "key that exists to be deleted", |it| key(it, "PendingDeletion"), (READER, "decrypt"), &["is PendingDeletion"]),
        broken("trail", "bucket's policy denies the reader", denied, (READER, "read_objects"), &["denied by statement 1 `Never` of the policy of bucket `my-cloudtrail-bucket`"]),
        broken("trail", "reader may not receive", |it| object(it, "sqs:ReceiveMessage", "sqs:SendMessage"), (READER, "receive"), &["`sqs:ReceiveMessage`"]),
        broken("trail", "queue deleted", |it| it.lose("trail", "QueueTrail"), (READER, "queue"), &["queue `trail` does not exist"]),
        broken("trail", "queue's policy missing", |it| it.unset("trail", "QueueTrail", "policy"), (READER, "queue_policy"), &["`sqs:SendMessage`", "no policy"]),
        broken("trail", "notification removed", |it| it.unset("trail", "NotificationMyCloudtrailBucket", "notification"), (READER, "notification"), &["notifies `arn:aws:sqs:eu-central-1:000000000000:trail` of nothing"]),
        broken("trail", "notification of another prefix", |it| it.edit("trail", "NotificationMyCloudtrailBucket", "notification", "CloudTrail/", "Config/"), (READER, "notification"), &["Config/"]),
        broken("sample", "nobody may assume the reader", |it| it.lose("archive", "ReaderStandpipeReaderIdentity"), ("reader standpipe-reader of app", "assume_role"), &["policy `assume-standpipe-reader` does not exist"]),
    ]
}

fn object(it: &mut Model, from: &str, to: &str) {
    it.edit("trail", READER_ROLE, "permissions", from, to);
}

fn list_on_objects(it: &mut Model) {
    object(it, r#""arn:aws:s3:::my-cloudtrail-bucket""#, r#""arn:aws:s3:::my-cloudtrail-bucket/*""#);
}

fn key(it: &mut Model, state: &str) {
    it.prerequisite("trail", &Prerequisite::Key(KEY.to_owned())).insert("state", json!(state));
}

fn denied(it: &mut Model) {
    let statement = json!({ "Sid": "Never", "Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": "*" });
    let id = Prerequisite::Bucket("my-cloudtrail-bucket".to_owned()).id();
    assert!(matches!(it.seen.resources.get(&("trail".to_owned(), id.clone())), Some(Observation::Found(_))));
    it.add("trail", &id, "policy", statement);
}

#[rustfmt::skip] // One break a line.
pub(super) fn log_readers() -> Vec<Break> {
    vec![
        broken("pull", "log reader's role deleted", |it| it.lose("app", "LogReaderStandpipeLogReaderRole"), (LOG_READER, "role"), &["does not exist"]),
        broken("pull", "log reader's role trusts another role", |it| it.edit("app", "LogReaderStandpipeLogReaderRole", "trust", "role/collector", "role/other"), (LOG_READER, "assume_role"), &["aws:PrincipalArn"]),
        broken("pull", "nobody may assume the log reader", |it| it.lose("archive", "LogReaderStandpipeLogReaderIdentity"), (LOG_READER, "assume_role"), &["policy `assume-standpipe-log-reader` of role `collector` does not exist"]),
        broken("pull", "log groups cannot be listed", |it| logs(it, "logs:DescribeLogGroups", "logs:DescribeLogStreams"), (LOG_READER, "list_log_groups"), &["`logs:DescribeLogGroups`"]),
        broken("pull", "listing is allowed for the wanted log groups alone", |it| logs(it, "log-group:*", "log-group:/aws/lambda/*"), (LOG_READER, "list_log_groups"), &["`logs:DescribeLogGroups`"]),
        broken("pull", "events cannot be filtered", |it| logs(it, "logs:FilterLogEvents", "logs:GetLogEvents"), (LOG_READER, "read_log_events"), &["`logs:FilterLogEvents`"]),
        broken("pull", "log groups of another name", |it| logs(it, "log-group:/app/orders:*", "log-group:/app/order:*"), (LOG_READER, "read_log_events"), &["/app/orders"]),
        broken("pull", "log groups without their streams", |it| logs(it, "log-group:/app/orders:*", "log-group:/app/orders"), (LOG_READER, "read_log_events"), &["/app/orders"]),
        broken("pull", "log groups of another account", |it| logs(it, "111111111111:log-group:/aws", "999999999999:log-group:/aws"), (LOG_READER, "read_log_events"), &["/aws/lambda/"]),
    ]
}

fn logs(it: &mut Model, from: &str, to: &str) {
    it.edit("app", "LogReaderStandpipeLogReaderRole", "permissions", from, to);
}
