//! Streams, and the role that Firehose writes with.

use serde_json::json;

use super::{Break, Model, broken};
use crate::access::live::extra;

const HOP: &str = "stream delivery-test-stream of archive";
const KINESIS: &str = "Kinesis stream cwl of archive";

#[rustfmt::skip] // One break a line.
pub(super) fn breaks() -> Vec<Break> {
    let role = (HOP, "stream_role");
    vec![
        broken("basic", "stream deleted", |it| it.lose("archive", "Stream"), (HOP, "stream"), &["Firehose stream `delivery-test-stream` does not exist"]),
        broken("basic", "stream failed to be made", |it| it.set("archive", "Stream", "status", json!("CREATING_FAILED")), (HOP, "stream"), &["CREATING_FAILED"]),
        broken("basic", "stream with another source", |it| it.set("archive", "Stream", extra::SOURCE, json!("KinesisStreamAsSource")), (HOP, "stream_source"), &["KinesisStreamAsSource"]),
        broken("basic", "decompression on", |it| it.set("archive", "Stream", extra::DECOMPRESSES, json!(true)), (HOP, "stream_source"), &["decompression is on"]),
        broken("basic", "stream's role deleted", |it| it.lose("archive", "StreamRole"), role, &["role `standpipe-firehose` does not exist"]),
        broken("basic", "stream's role trusts the wrong service", |it| trust(it, "firehose.amazonaws.com", "logs.amazonaws.com"), role, &["names the principal `logs.amazonaws.com`"]),
        broken("basic", "stream's role asks for another account's id", |it| trust(it, "222222222222", "111111111111"), role, &["sts:ExternalId", "`222222222222`"]),
        broken("basic", "stream's role denies Firehose", denies, role, &["denied by statement 2 `Never`"]),
        broken("sample", "stream's key disabled", |it| it.set("archive", "KeyLogs", "state", json!("Disabled")), (HOP, "stream_key"), &["key `alias/standpipe-logs` is Disabled"]),
        broken("organization", "Kinesis stream deleted", |it| it.lose("archive", "Kinesis"), (KINESIS, "stream"), &["Kinesis stream `cwl` does not exist"]),
        broken("organization", "Kinesis stream's key to be deleted", |it| it.set("archive", "KeyRecords", "state", json!("PendingDeletion")), (KINESIS, "stream_key"), &["PendingDeletion"]),
        broken("organization", "Kinesis stream's own policy denies", stream_denies, ("destination all-logs of archive", "destination_permissions"), &["denied by statement 1 `Never` of the policy of Kinesis stream `cwl`"]),
    ]
}

fn stream_denies(it: &mut Model) {
    let statement = json!({ "Sid": "Never", "Effect": "Deny", "Principal": "*", "Action": "kinesis:Put*", "Resource": "*" });
    it.add("archive", "Kinesis", "policy", statement);
}

fn trust(it: &mut Model, from: &str, to: &str) {
    it.edit("archive", "StreamRole", "trust", from, to);
}

fn denies(it: &mut Model) {
    let service = json!({ "Service": "firehose.amazonaws.com" });
    let statement =
        json!({ "Sid": "Never", "Effect": "Deny", "Principal": service, "Action": "sts:AssumeRole" });
    it.add("archive", "StreamRole", "trust", statement);
}
