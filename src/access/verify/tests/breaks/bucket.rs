//! The bucket, its keys and its queue.

use serde_json::{Value, json};

use super::{Break, Model, broken};
use crate::access::live::extra;

const HOP: &str = "bucket org-logs of archive";
const GOV: &str = "bucket gov-logs of vault";

#[rustfmt::skip] // One break a line.
pub(super) fn breaks() -> Vec<Break> {
    let put = (HOP, "put_objects");
    vec![
        broken("basic", "bucket deleted", |it| it.lose("archive", "Bucket"), (HOP, "bucket"), &["bucket `org-logs` does not exist"]),
        broken("basic", "stream writes to another bucket", |it| it.edit("archive", "Stream", "bucket", "org-logs", "old-logs"), (HOP, "stream_bucket"), &["arn:aws:s3:::old-logs"]),
        broken("basic", "wrong prefix", |it| it.set("archive", "Stream", "prefix", json!("other/")), put, &["org-logs/other/", "org-logs/cwl/*"]),
        broken("basic", "objects' ARN without /*", |it| may(it, "org-logs/cwl/*", "org-logs"), put, &["add `/*`"]),
        broken("basic", "s3:PutObject missing", |it| may(it, "s3:PutObject", "s3:GetObjectAcl"), put, &["`s3:PutObject` on"]),
        broken("basic", "bucket's ARN with /*", |it| may(it, r#""arn:aws:s3:::org-logs""#, r#""arn:aws:s3:::org-logs/*""#), (HOP, "find_bucket"), &["its objects, not the bucket itself"]),
        broken("basic", "s3:GetBucketLocation missing", |it| may(it, "s3:GetBucketLocation", "s3:GetBucketAcl"), (HOP, "find_bucket"), &["`s3:GetBucketLocation`"]),
        broken("basic", "bucket's policy denies", |it| it.add("archive", "Bucket", "policy", never("s3:PutObject")), put, &["denied by statement 2 `Never` of the policy of bucket `org-logs`"]),
        broken("three-accounts", "bucket's policy for another account", |it| policy(it, "222222222222", "999999999999"), (GOV, "put_objects"), &["FirehoseOfTheOtherAccountWrites", "999999999999"]),
        broken("three-accounts", "bucket's policy removed", |it| it.unset("vault", "Bucket", "policy"), (GOV, "put_objects"), &["the resource has no policy"]),
        broken("three-accounts", "bucket's policy without the objects", |it| policy(it, "gov-logs/*", "gov-logs/AWSLogs/*"), (GOV, "put_objects"), &["gov-logs/AWSLogs/*"]),
        broken("three-accounts", "bucket's policy without the bucket", |it| policy(it, "s3:ListBucketMultipartUploads", "s3:GetBucketAcl"), (GOV, "find_bucket"), &["s3:ListBucketMultipartUploads"]),
        broken("three-accounts", "s3:PutObjectAcl missing", |it| it.edit("archive", "StreamRole", "permissions", "s3:PutObjectAcl", "s3:GetObjectAcl"), (GOV, "put_objects"), &["`s3:PutObjectAcl`"]),
        broken("three-accounts", "another access control list is asked for", acl, (GOV, "put_objects"), &["denied by statement", "`Private`"]),
        broken("basic", "only through a VPC endpoint", |it| it.add("archive", "Bucket", "policy", unless("aws:SourceVpce", "vpce-1")), put, &["denied by statement 2 `Unless`"]),
        broken("basic", "only with a header that Firehose does not send", bare_objects, put, &["denied by statement 2 `Unless`"]),
        broken("basic", "only with a second factor", second_factor, put, &["denied by statement 2 `Unless`"]),
        broken("three-accounts", "objects belong to their writer", |it| it.set("vault", "Bucket", "ownership", json!("ObjectWriter")), (GOV, "bucket_ownership"), &["ObjectWriter"]),
        broken("moto", "queue of the bucket deleted", |it| it.lose("archive", "QueueOrgLogsObjects"), (HOP, "queue"), &["queue `org-logs-objects` does not exist"]),
        broken("moto", "queue's policy for another bucket", |it| it.edit("archive", "QueueOrgLogsObjects", "policy", "s3:::org-logs", "s3:::other"), (HOP, "queue_policy"), &["aws:SourceArn"]),
        broken("moto", "queue's policy for another account's bucket", |it| it.edit("archive", "QueueOrgLogsObjects", "policy", r#""aws:SourceAccount":"222222222222""#, r#""aws:SourceAccount":"999999999999""#), (HOP, "queue_policy"), &["aws:SourceAccount"]),
        broken("moto", "bucket tells another queue", |it| it.edit("archive", "Bucket", "notification", "org-logs-objects", "old"), (HOP, "notification"), &["sqs:us-east-1:222222222222:old"]),
        broken("moto", "bucket tells nobody", |it| it.unset("archive", "Bucket", "notification"), (HOP, "notification"), &["nothing"]),
    ]
}

fn may(it: &mut Model, from: &str, to: &str) {
    it.edit("archive", "StreamRole", "permissions", from, to);
}

fn policy(it: &mut Model, from: &str, to: &str) {
    it.edit("vault", "Bucket", "policy", from, to);
}

fn never(action: &str) -> Value {
    json!({ "Sid": "Never", "Effect": "Deny", "Principal": "*", "Action": action, "Resource": "*" })
}

/// A data perimeter, such as <https://docs.aws.amazon.com/AmazonS3/latest/userguide/example-bucket-policies-vpc-endpoint.html>.
fn unless(key: &str, value: &str) -> Value {
    json!({ "Sid": "Unless", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*",
        "Condition": { "StringNotEquals": { key: value } } })
}

fn bare_objects(it: &mut Model) {
    it.set("archive", "Stream", extra::S3_KEY, Value::Null);
    it.add("archive", "Bucket", "policy", unless("s3:x-amz-server-side-encryption", "aws:kms"));
}

fn second_factor(it: &mut Model) {
    let mut statement = unless("", "");
    statement["Condition"] = json!({ "BoolIfExists": { "aws:MultiFactorAuthPresent": "false" } });
    it.add("archive", "Bucket", "policy", statement);
}

/// Firehose hands objects over to the bucket's owner, and this bucket wants none of that.
fn acl(it: &mut Model) {
    let other = json!({ "StringNotEquals": { "s3:x-amz-acl": "private" } });
    let statement = json!({ "Sid": "Private", "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject",
        "Resource": "arn:aws-us-gov:s3:::gov-logs/*", "Condition": other });
    it.add("vault", "Bucket", "policy", statement);
}

#[rustfmt::skip] // One break a line.
pub(super) fn keys() -> Vec<Break> {
    vec![
        broken("moto", "bucket's key disabled", |it| it.set("archive", "KeyLogs", "state", json!("Disabled")), (HOP, "bucket_key"), &["key `alias/standpipe-logs` is Disabled"]),
        broken("moto", "bucket's key to be deleted", |it| it.set("archive", "KeyLogs", "state", json!("PendingDeletion")), (HOP, "bucket_key"), &["is PendingDeletion"]),
        broken("moto", "KMS denied: the role may not use the key", |it| may(it, "kms:GenerateDataKey", "kms:Encrypt"), (HOP, "bucket_key"), &["`kms:GenerateDataKey`"]),
        broken("moto", "KMS denied: the key leaves nothing to its account", |it| it.edit("archive", "KeyLogs", "policy", "kms:*", "kms:Describe*"), (HOP, "bucket_key"), &["the resource's policy", "TheAccountDecidesWhoUsesItsKey"]),
        broken("moto", "KMS denied: the key denies", |it| it.add("archive", "KeyLogs", "policy", never("kms:Decrypt")), (HOP, "bucket_key"), &["denied by statement 2 `Never` of the policy of KMS key"]),
        broken("moto", "KMS denied: only through another service", |it| may(it, "s3.us-east-1.amazonaws.com", "kinesis.us-east-1.amazonaws.com"), (HOP, "bucket_key"), &["kms:ViaService"]),
        broken("three-accounts", "key's policy lacks the other account's Firehose", |it| it.edit("vault", "KeyStore", "policy", "222222222222", "999999999999"), (GOV, "bucket_key"), &["the resource's policy", "role/logs-firehose"]),
        broken("three-accounts", "key's policy lacks CloudWatch Logs", |it| it.edit("vault", "KeyStore", "policy", "logs.us-gov-west-1", "logs.us-gov-east-1"), ("/aws/lambda/orders of vault", "log_group_key"), &["CloudWatchLogsEncryptsTheseLogGroups"]),
        broken("three-accounts", "key's policy for another log group", |it| it.edit("vault", "KeyStore", "policy", "log-group:/aws/lambda/orders", "log-group:/aws/lambda/other"), ("/aws/lambda/orders of vault", "log_group_key"), &["kms:EncryptionContext:aws:logs:arn"]),
        broken("three-accounts", "log group's key disabled", |it| it.set("vault", "KeyStore", "state", json!("Disabled")), ("/aws/lambda/orders of vault", "log_group_key"), &["key `alias/logs-store` is Disabled"]),
    ]
}
