//! A policy that cannot be read, or seen, is never taken for none: no yes, and no command that puts another in its place.

use serde_json::{Value, json};

use super::model::Model;
use crate::access::live::{AccountAccess, Observation, extra};
use crate::access::report::{HopFinding, HopReport, Severity, tree};
use crate::access::verify::examine;

const BUCKET: &str = "bucket org-logs of archive";

/// What no parser of today knows.
fn tomorrow() -> Value {
    json!({ "Sid": "Tomorrow", "Effect": "Allow", "Principal": { "AWS": "333333333333" }, "Action": "s3:GetObject",
        "Resource": "*", "Condition": { "StringMatches": { "s3:prefix": "x" } } })
}

fn look(model: &Model) -> HopReport {
    examine(&model.topology, &model.plan, &model.seen)
}

#[track_caller]
fn finding<'r>(report: &'r HopReport, hop: &str, check: &str) -> &'r HopFinding {
    let found = report.hops.iter().find(|it| it.name.starts_with(hop));
    let hop = found.unwrap_or_else(|| panic!("{hop}: {}", tree(report, false)));
    hop.findings.iter().find(|it| it.check == check).unwrap()
}

#[track_caller]
fn cannot_tell(report: &HopReport, hop: &str, check: &str, part: &str) {
    let told = tree(report, false);
    let found = finding(report, hop, check);
    assert_eq!(found.level, Severity::Warning, "{told}");
    assert!(found.seen.contains("cannot tell") && found.seen.contains(part), "{told}");
    let fix = found.fix.as_ref().unwrap();
    assert!(!fix.text.is_empty() && fix.calls.is_empty(), "nothing is replaced: {told}");
    assert_eq!(report.first_failure().map(|(hop, _)| &hop.name), None, "{told}");
}

#[test]
fn a_statement_that_cannot_be_read_is_never_a_yes() {
    let mut model = Model::perfect("basic");
    model.add("archive", "Bucket", "policy", tomorrow());
    let part = "statement 2 of the policy of bucket `org-logs` cannot be read: `Statement[1].Condition.StringMatches`: \
                unknown condition operator `StringMatches`";
    cannot_tell(&look(&model), BUCKET, "put_objects", part);
}

#[test]
fn a_denial_beside_what_cannot_be_read_is_a_failure_that_no_command_writes_over() {
    let mut model = Model::perfect("basic");
    model.add("archive", "Bucket", "policy", tomorrow());
    let freeze = json!({ "Sid": "Freeze", "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "*" });
    model.add("archive", "Bucket", "policy", freeze);
    let report = look(&model);
    let (hop, found) = report.first_failure().unwrap();
    assert_eq!((hop.name.as_str(), found.check), (BUCKET, "put_objects"));
    assert!(found.seen.contains("denied by statement 3 `Freeze`"), "{}", found.seen);
    let fix = found.fix.as_ref().unwrap();
    assert!(fix.calls.is_empty() && fix.text.contains("by hand"), "{fix:?}");
}

#[test]
fn what_others_are_granted_is_not_written_over() {
    let mut model = Model::perfect("basic");
    let policy = json!({ "Version": "2012-10-17", "Statement": [tomorrow()] });
    model.set("archive", "Destination", "policy", policy);
    cannot_tell(&look(&model), "destination ", "destination_policy", "StringMatches");
}

#[test]
fn a_boundary_that_is_not_seen_or_read_is_not_taken_for_none() {
    let arn = "arn:aws:iam::222222222222:policy/boundary";
    let set = |model: &mut Model| model.set("archive", "StreamRole", extra::BOUNDARY_ARN, json!(arn));
    let mut unseen = Model::perfect("basic");
    set(&mut unseen);
    let reason = json!({ extra::BOUNDARY: "`iam:GetPolicy`: AccessDenied: no" });
    unseen.set("archive", "StreamRole", extra::UNSEEN, reason);
    cannot_tell(
        &look(&unseen),
        BUCKET,
        "put_objects",
        "the permissions boundary of role `standpipe-firehose` cannot be read: `iam:GetPolicy`",
    );
    let mut odd = Model::perfect("basic");
    set(&mut odd);
    odd.set("archive", "StreamRole", extra::BOUNDARY, json!({ "Version": "2030-01-01", "Statement": [] }));
    cannot_tell(&look(&odd), BUCKET, "put_objects", "2030-01-01");
}

#[test]
fn policies_that_could_not_be_listed_are_not_taken_for_none() {
    let mut model = Model::perfect("basic");
    model.unset("archive", "StreamRole", extra::OTHERS);
    cannot_tell(
        &look(&model),
        BUCKET,
        "put_objects",
        "the other policies of role `standpipe-firehose` cannot be read",
    );
}

#[test]
fn who_saw_nothing_of_an_account_is_told_so_and_has_no_yes() {
    let mut model = Model::perfect("basic");
    model.seen.accounts.insert("app".to_owned(), AccountAccess::Denied("no credentials".to_owned()));
    for look in model.seen.resources.values_mut() {
        *look = Observation::Unseen("no".to_owned());
    }
    let report = look(&model);
    assert!(report.first_failure().is_none() && !report.is_ok());
    assert_eq!(report.to_json()["ok"], json!(false));
    assert_eq!(report.to_json()["unseen_accounts"], json!(["app", "archive"]));
    assert!(tree(&report, false).ends_with("nothing could be seen of 2 accounts: app, archive\n"));
    assert!(look(&Model::perfect("basic")).is_ok());
}
