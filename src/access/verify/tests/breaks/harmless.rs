//! What differs from the plan, or cannot be seen, and is no failure.

use serde_json::json;

use super::{Break, Model, broken};
use crate::access::live::{AccountAccess, Observation, Prerequisite, extra};

const BUCKET: &str = "bucket org-logs of archive";
const DESTINATION: &str = "destination delivery-test-destination of archive";

#[rustfmt::skip] // One break a line.
pub(in crate::access::verify::tests) fn harmless() -> Vec<Break> {
    vec![
        broken("basic", "pattern changed", |it| it.set("app", "FilterDeliveryTestDeliveryTestFilter", "pattern", json!("ERROR")), ("delivery-test of app", "filter_pattern"), &["`ERROR`, not ``"]),
        broken("basic", "destination open to everybody", open, (DESTINATION, "destination_policy"), &["allowed by statement 1 of"]),
        broken("basic", "a user's own policy is wider", |it| it.edit("archive", "LogsRole", "permissions", "deliverystream/delivery-test-stream", "deliverystream/*"), (DESTINATION, "destination_permissions"), &["are allowed"]),
        broken("basic", "another policy of the role is enough", elsewhere, (DESTINATION, "destination_permissions"), &["are allowed"]),
        broken("basic", "a condition that is not known", condition, (DESTINATION, "destination_policy"), &["cannot tell", "aws:SourceIp"]),
        broken("basic", "public access not blocked", |it| it.set("archive", "Bucket", "publicAccessBlock", json!(false)), (BUCKET, "public_access"), &["not blocked"]),
        broken("basic", "errors are not reported", |it| it.unset("archive", "Stream", "errorLogGroup"), ("stream delivery-test-stream of archive", "stream_errors"), &["nowhere"]),
        broken("basic", "an account is not seen", blind, ("accounts", "credentials"), &["no credentials"]),
        broken("basic", "a stream is not seen", |it| unseen(it, "archive", "Stream"), ("stream delivery-test-stream of archive", "stream"), &["could not be seen: `firehose:DescribeDeliveryStream`"]),
        broken("basic", "PassRole missing where all is made", |it| it.edit("archive", &Prerequisite::Caller.id(), extra::OTHERS, r#""Action":"*""#, r#""Action":"logs:*""#), (DESTINATION, "destination"), &["exists"]),
        broken("organization", "the stream's own policy is enough to read", stream_lets_read, ("consumer standpipe-consumer of archive", "read"), &["are allowed"]),
        broken("organization", "the stream's own policy is enough to put", stream_lets_put, ("destination all-logs of archive", "destination_permissions"), &["allowed by statement 1 `Lets` of the policy of Kinesis stream `cwl`"]),
        broken("organization", "the stream's own policy is not seen", stream_unseen, ("destination all-logs of archive", "destination_permissions"), &["cannot tell"]),
        broken("organization", "whose policies are not seen may pass the role", unseen_policies, ("/aws/vendedlogs/states/orders of app", "filter"), &["could not be seen"]),
        broken("organization", "the role that turns logging on has no policy", |it| it.unset("app", "TurnsOnStepFunctionsOrders", "permissions"), ("log delivery to /aws/vendedlogs/states/orders of app", "turns_on"), &["StepFunctions-Orders"]),
        broken("basic", "deliveries fail", |it| it.set("app", &Prerequisite::Deliveries("delivery-test".to_owned()).id(), extra::COUNTS, json!({ "delivery-test-filter": { "DeliveryErrors": 3 } })), ("delivery-test of app", "filter_delivery"), &["3 failed"]),
        broken("basic", "records are refused for the quota", |it| it.set("archive", &Prerequisite::Quota("delivery-test-stream".to_owned()).id(), extra::COUNTS, json!({ "ThrottledRecords": 3 })), ("stream delivery-test-stream of archive", "stream_quota"), &["3 records were refused"]),
        broken("basic", "what is counted is not seen", |it| unseen(it, "app", &Prerequisite::Deliveries("delivery-test".to_owned()).id()), ("delivery-test of app", "filter_delivery"), &["could not be seen"]),
        broken("moto", "a policy of the log group itself is enough", own_policy, ("log delivery to /aws/vendedlogs/states/orders of app", "logs_policy"), &["are allowed"]),
        broken("basic", "the stream sends the header that the bucket asks for", sends_header, (BUCKET, "put_objects"), &["are allowed"]),
        broken("basic", "nobody knows which header is sent", |it| it.add("archive", "Bucket", "policy", asks_for_header()), (BUCKET, "put_objects"), &["cannot tell", "s3:x-amz-server-side-encryption"]),
        broken("moto", "a bucket tells more than is wanted", |it| it.edit("archive", "Bucket", "notification", "cwl/", ""), (BUCKET, "notification"), &["below ``"]),
    ]
}

fn asks_for_header() -> serde_json::Value {
    json!({ "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "*",
        "Condition": { "StringNotEquals": { "s3:x-amz-server-side-encryption": "aws:kms" } } })
}

fn sends_header(it: &mut Model) {
    it.set("archive", "Stream", extra::S3_KEY, json!("arn:aws:kms:us-east-1:222222222222:key/1"));
    it.add("archive", "Bucket", "policy", asks_for_header());
}

fn open(it: &mut Model) {
    let statement = json!({ "Effect": "Allow", "Principal": "*", "Action": "logs:*", "Resource": "*" });
    it.set("archive", "Destination", "policy", json!({ "Version": "2012-10-17", "Statement": [statement] }));
}

fn elsewhere(it: &mut Model) {
    it.unset("archive", "LogsRole", "permissions");
    let statement = json!({ "Effect": "Allow", "Action": "firehose:Put*", "Resource": "*" });
    it.other("archive", "LogsRole", "arn:aws:iam::222222222222:policy/firehose", &statement);
}

fn condition(it: &mut Model) {
    it.edit(
        "archive",
        "Destination",
        "policy",
        r#""Effect":"Allow""#,
        r#""Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}},"Effect":"Allow""#,
    );
}

/// The stream's policy lets a role do something, whose own policy does not.
fn lets(it: &mut Model, role: &str, action: &str) {
    let arn = it.account("archive").place.role(role).to_string();
    let id = it
        .resources("archive")
        .find(|resource| resource.title() == format!("role `{role}`"))
        .unwrap()
        .id
        .clone();
    let statement = json!({ "Effect": "Allow", "Action": "dynamodb:*", "Resource": "*" });
    it.other("archive", &id, "leases", &statement);
    let statement = json!({ "Effect": "Allow", "Action": "kms:*", "Resource": "*" });
    it.other("archive", &id, "keys", &statement);
    it.unset("archive", &id, "permissions");
    let statement = json!({ "Sid": "Lets", "Effect": "Allow", "Principal": { "AWS": arn }, "Action": action, "Resource": "*" });
    it.set("archive", "Kinesis", "policy", json!({ "Version": "2012-10-17", "Statement": [statement] }));
}

fn stream_lets_read(it: &mut Model) {
    lets(it, "standpipe-consumer", "kinesis:*");
}

fn stream_lets_put(it: &mut Model) {
    lets(it, "standpipe-logs", "kinesis:PutRecord");
}

fn stream_unseen(it: &mut Model) {
    lets(it, "standpipe-logs", "kinesis:PutRecord");
    it.unset("archive", "Kinesis", "policy");
}

fn unseen_policies(it: &mut Model) {
    it.unset("app", &Prerequisite::Caller.id(), extra::OTHERS);
    unseen(it, "app", "FilterAwsVendedlogsStatesOrdersStandpipe");
}

fn blind(it: &mut Model) {
    it.seen.accounts.insert("app".to_owned(), AccountAccess::Denied("no credentials".to_owned()));
    for ((account, _), look) in &mut it.seen.resources {
        if account == "app" {
            *look = Observation::Unseen("no credentials".to_owned());
        }
    }
}

fn unseen(it: &mut Model, account: &str, id: &str) {
    let why = "`firehose:DescribeDeliveryStream`: AccessDeniedException: no".to_owned();
    it.seen.resources.insert((account.to_owned(), id.to_owned()), Observation::Unseen(why));
}

fn own_policy(it: &mut Model) {
    let policy = it.logs_policies("app").remove("standpipe-log-delivery-1").unwrap();
    it.prerequisite("app", &Prerequisite::LogGroup("/aws/vendedlogs/states/orders".to_owned()))
        .insert("policy", policy);
}
