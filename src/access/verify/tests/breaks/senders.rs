//! Log groups, filters, and log delivery.

use serde_json::{Value, json};

use super::{Break, Model, broken};
use crate::access::live::{Prerequisite, extra};

const FILTER: &str = "FilterDeliveryTestDeliveryTestFilter";
const BASIC: &str = "delivery-test of app";
const VENDED: &str = "/aws/vendedlogs/states/orders";
const DELIVERY: &str = "log delivery to /aws/vendedlogs/states/orders of app";

#[rustfmt::skip] // One break a line.
pub(super) fn breaks() -> Vec<Break> {
    vec![
        broken("straight", "role of straight filters deleted", |it| it.lose("archive", "LogsRole"), ("role standpipe-logs of archive", "filter_role"), &["role `standpipe-logs` does not exist"]),
        broken("straight", "role of straight filters trusts another region", |it| it.edit("archive", "LogsRole", "trust", "logs.us-east-1", "logs.us-west-2"), ("role standpipe-logs of archive", "destination_trust"), &["logs.us-west-2"]),
        broken("straight", "role of straight filters may not put", |it| it.edit("archive", "LogsRole", "permissions", "deliverystream/logs", "deliverystream/other"), ("role standpipe-logs of archive", "destination_permissions"), &["deliverystream/other"]),
        broken("basic", "filter removed", |it| it.lose("app", FILTER), (BASIC, "filter"), &["`delivery-test-filter`", "does not exist"]),
        broken("basic", "log group missing", |it| it.lose_group("app", "delivery-test"), (BASIC, "log_group"), &["log group `delivery-test` does not exist", "app"]),
        broken("three-accounts", "log group of the plan missing", |it| it.lose_group("vault", "/aws/lambda/orders"), ("/aws/lambda/orders of vault", "log_group"), &["does not exist in account"]),
        broken("basic", "filter to another destination", |it| lead(it, "destination:other"), (BASIC, "filter_destination"), &["destination:other`, not to", "another name"]),
        broken("basic", "filter to another account", |it| it.edit("app", FILTER, "destination", "222222222222", "999999999999"), (BASIC, "filter_destination"), &["another account"]),
        broken("basic", "filter to another region", |it| it.edit("app", FILTER, "destination", "ap-northeast-1", "us-east-1"), (BASIC, "filter_destination"), &["another region"]),
        broken("basic", "two filters of others are there", two_others, (BASIC, "filter"), &["2 others are: `a` to", "`b` to"]),
        broken("three-accounts", "own filter without a role", |it| it.set("archive", "FilterAwsLambdaOrdersLogs", "role", Value::Null), ("/aws/lambda/orders of archive", "filter_role"), &["names no role", "role/logs-logs"]),
        broken("organization", "vended filter without a role", |it| it.set("app", "FilterAwsVendedlogsStatesOrdersStandpipe", "role", Value::Null), ("/aws/vendedlogs/states/orders of app", "filter_role"), &["role/standpipe-sender"]),
        broken("organization", "role missing and not to be passed", no_role_and_no_pass, ("/aws/vendedlogs/states/orders of app", "pass_role"), &["`iam:PassRole` on", "role/standpipe-sender", "no statement allows anything like it"]),
        broken("organization", "role missing and not to be passed by a user", no_role_and_a_user, ("/aws/vendedlogs/states/orders of app", "pass_role"), &["`iam:PassRole` on", "by `arn:aws-cn:iam::111111111111:user/me`"]),
        broken("organization", "sender's role deleted", |it| it.lose("app", "SenderRole"), ("/aws/vendedlogs/states/orders of app", "filter_role"), &["role `standpipe-sender` does not exist"]),
        broken("organization", "sender's role trusts another account's logs", |it| it.edit("app", "SenderRole", "trust", "111111111111", "999999999999"), ("/aws/vendedlogs/states/orders of app", "filter_role"), &["LogsOfThisAccountAlone", "aws:SourceArn"]),
        broken("organization", "sender's role may not write the group", |it| it.edit("app", "SenderRole", "permissions", "states/orders:*", "states/other:*"), ("/aws/vendedlogs/states/orders of app", "filter_role"), &["LogsSendsOnVendedLogs"]),
        broken("organization", "account's filter removed", |it| it.lose("archive", "AccountFilter"), ("all log groups of archive", "filter"), &["of the account does not exist"]),
        broken("organization", "account's filter to another stream", |it| it.edit("archive", "AccountFilter", "destination", "stream/cwl", "stream/old"), ("all log groups of archive", "filter_destination"), &["stream/old"]),
        broken("sample", "Firehose's own errors are sent to it", |it| it.set("archive", "AccountFilter", "selection", json!("")), ("all log groups of archive", "filter_selection"), &["/aws/kinesisfirehose/delivery-test-stream"]),
    ]
}

fn lead(it: &mut Model, to: &str) {
    it.edit("app", FILTER, "destination", "destination:delivery-test-destination", to);
}

fn two_others(it: &mut Model) {
    it.lose("app", FILTER);
    let state = it.prerequisite("app", &Prerequisite::LogGroup("delivery-test".to_owned()));
    state.insert(
        extra::FILTERS,
        json!({ "a": "arn:aws:lambda:r:1:function:f", "b": "arn:aws:lambda:r:1:function:g" }),
    );
}

fn no_role_and_no_pass(it: &mut Model) {
    it.set("app", "FilterAwsVendedlogsStatesOrdersStandpipe", "role", Value::Null);
    it.edit("app", &Prerequisite::Caller.id(), extra::OTHERS, r#""Action":"*""#, r#""Action":"logs:*""#);
}

fn no_role_and_a_user(it: &mut Model) {
    no_role_and_no_pass(it);
    it.set("app", &Prerequisite::Caller.id(), extra::ARN, json!("arn:aws-cn:iam::111111111111:user/me"));
}

#[rustfmt::skip] // One break a line.
pub(super) fn vended() -> Vec<Break> {
    vec![
        broken("moto", "resource policy deleted", |it| it.lose("app", "LogsPolicy1"), (DELIVERY, "logs_policy"), &["`logs:CreateLogStream`", "delivery.logs.amazonaws.com", "the resource has no policy"]),
        broken("moto", "vended log group missing", |it| it.lose_group("app", VENDED), (DELIVERY, "log_group"), &["does not exist in account"]),
        broken("moto", "resource policy does not cover the group", |it| narrow(it, "states/orders", "states/refunds"), (DELIVERY, "logs_policy"), &["statement 1 `LogDeliveryWritesTheseLogGroups` of resource policy `standpipe-log-delivery-1`", "states/refunds"]),
        broken("moto", "resource policy names the group and not its streams", |it| narrow(it, "states/orders:log-stream:*", "states/orders"), (DELIVERY, "logs_policy"), &["the group, not its streams"]),
        broken("moto", "resource policy for another account", |it| narrow(it, "\"111111111111\"", "\"999999999999\""), (DELIVERY, "logs_policy"), &["aws:SourceAccount", "`111111111111`"]),
        broken("moto", "resource policy for another region", |it| narrow(it, "us-east-1", "eu-west-1"), (DELIVERY, "logs_policy"), &["another region"]),
        broken("moto", "resource policy for another service", |it| narrow(it, "delivery.logs.amazonaws.com", "es.amazonaws.com"), (DELIVERY, "logs_policy"), &["names the principal `es.amazonaws.com`"]),
        broken("moto", "resource policy without an action", |it| narrow(it, "logs:PutLogEvents", "logs:GetLogEvents"), (DELIVERY, "logs_policy"), &["`logs:PutLogEvents` on"]),
        broken("moto", "ten policies already there", |it| others(it, 10, "es.amazonaws.com"), (DELIVERY, "logs_policy"), &["10 resource policies are there, of 10"]),
        broken("moto", "no document has room for more", |it| others(it, 10, &"x".repeat(4_900)), (DELIVERY, "logs_policy"), &["of 5,120 characters"]),
        broken("moto", "a resource policy denies", denied, (DELIVERY, "logs_policy"), &["denied by statement 1 `Never` of resource policy `zzz`"]),
    ]
}

/// Edits the region's policy as it is seen.
fn narrow(it: &mut Model, from: &str, to: &str) {
    it.edit("app", &Prerequisite::LogsPolicies.id(), extra::OTHERS, from, to);
}

/// Takes the own policy away, and puts many of others there.
fn others(it: &mut Model, n_others: usize, service: &str) {
    it.lose("app", "LogsPolicy1");
    let policies = it.logs_policies("app");
    for number in 0..n_others {
        let statement = json!({ "Effect": "Allow", "Principal": { "Service": service }, "Action": "logs:PutLogEvents", "Resource": "*" });
        policies
            .insert(format!("other-{number}"), json!({ "Version": "2012-10-17", "Statement": [statement] }));
    }
}

fn denied(it: &mut Model) {
    let statement =
        json!({ "Sid": "Never", "Effect": "Deny", "Principal": "*", "Action": "logs:*", "Resource": "*" });
    it.logs_policies("app")
        .insert("zzz".to_owned(), json!({ "Version": "2012-10-17", "Statement": [statement] }));
}
