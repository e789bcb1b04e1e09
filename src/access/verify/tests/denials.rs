//! A denial is lifted from whom logs need, and from nobody and nothing else without a word.

use serde_json::{Value, json};

use super::model::Model;
use crate::access::report::{HopFinding, tree};
use crate::access::verify::examine;

fn freeze(action: &Value) -> Value {
    json!({ "Sid": "Freeze", "Effect": "Deny", "Principal": "*", "Action": action, "Resource": "*" })
}

/// The first failure, and the model after its fix.
#[track_caller]
fn fixed(mut model: Model) -> (HopFinding, Model) {
    let report = examine(&model.topology, &model.plan, &model.seen);
    let (_, found) = report.first_failure().unwrap_or_else(|| panic!("{}", tree(&report, false)));
    let found = found.clone();
    for (account, call) in &found.fix.as_ref().unwrap().calls {
        model.run(account, call);
    }
    let report = examine(&model.topology, &model.plan, &model.seen);
    assert!(report.first_failure().is_none(), "{}", tree(&report, false));
    (found, model)
}

#[test]
fn a_guard_of_a_bucket_stays_for_all_others() {
    let mut model = Model::perfect("basic");
    model.add("archive", "Bucket", "policy", freeze(&json!(["s3:PutObject", "s3:DeleteObject"])));
    let (found, mut model) = fixed(model);
    let text = &found.fix.unwrap().text;
    for part in [
        "except `arn:aws:iam::222222222222:role/standpipe-firehose`",
        "statement 2 `Freeze`",
        "it stays for all others",
        "no longer denies this one `s3:DeleteObject`",
    ] {
        assert!(text.contains(part), "`{part}`: {text}");
    }
    let policy = model.state("archive", "Bucket")["policy"].clone();
    let statements = policy["Statement"].as_array().unwrap();
    let guard = statements.iter().find(|it| it["Sid"] == "Freeze").expect("the guard is still there");
    assert_eq!(guard["Action"], json!(["s3:PutObject", "s3:DeleteObject"]));
    let but = "arn:aws:iam::222222222222:role/standpipe-firehose";
    assert_eq!(guard["Condition"], json!({ "ArnNotEquals": { "aws:PrincipalArn": but } }));
}

#[test]
fn a_service_is_excepted_by_its_name() {
    let mut model = Model::perfect("moto");
    model.add("archive", "QueueOrgLogsObjects", "policy", freeze(&json!("sqs:*")));
    let (found, mut model) = fixed(model);
    assert!(found.fix.unwrap().text.contains("no longer denies this one `sqs:*`"));
    let policy = model.state("archive", "QueueOrgLogsObjects")["policy"].to_string();
    assert!(
        policy.contains(r#""StringNotEquals":{"aws:PrincipalServiceName":"s3.amazonaws.com"}"#),
        "{policy}"
    );
}

#[test]
fn of_a_roles_own_policy_only_what_is_needed_is_taken_out() {
    let guard = json!({ "Sid": "Guard", "Effect": "Deny", "Action": ["s3:PutObject", "s3:DeleteObject"], "Resource": "*" });
    let mut model = Model::perfect("basic");
    model.other("archive", "StreamRole", "guard", &guard);
    let (found, mut model) = fixed(model);
    let text = &found.fix.unwrap().text;
    assert!(text.contains("take `s3:PutObject` out of the denial in statement 1 `Guard`"), "{text}");
    assert!(text.contains("it still denies `s3:DeleteObject`"), "{text}");
    let left = model.state("archive", "StreamRole")["others"]["guard"]["Statement"].to_string();
    assert!(left.contains("s3:DeleteObject") && !left.contains("s3:PutObject"), "{left}");
}

#[test]
fn what_goes_with_a_denial_is_said() {
    let guard = json!({ "Sid": "Guard", "Effect": "Deny", "Action": ["s3:Put*", "s3:DeleteObject"], "Resource": "*" });
    let mut model = Model::perfect("basic");
    model.other("archive", "StreamRole", "guard", &guard);
    let (found, _) = fixed(model);
    let text = found.fix.unwrap().text;
    assert!(text.contains("nothing denies any more `s3:Put*`, `s3:DeleteObject`"), "{text}");

    let mut model = Model::perfect("basic");
    model.other("archive", "StreamRole", "arn:aws:iam::222222222222:policy/guard", &guard);
    let (found, _) = fixed(model);
    let text = found.fix.unwrap().text;
    assert!(text.contains("with the policy goes all that it says of `s3:Put*`, `s3:DeleteObject`"), "{text}");
}

#[test]
fn a_policy_of_others_is_not_shortened_to_fit() {
    let mut model = Model::perfect("basic");
    let long: Vec<String> = (0..300)
        .map(|number| format!("arn:aws:s3:::org-logs/a-folder-of-somebody-else/{number}/*"))
        .collect();
    let of_others = json!({ "Sid": "Others", "Effect": "Allow", "Principal": { "AWS": "333333333333" }, "Action": "s3:GetObject", "Resource": long });
    model.add("archive", "Bucket", "policy", of_others);
    model.add("archive", "Bucket", "policy", freeze(&json!("s3:PutObject")));
    for number in 0..60 {
        model.add("archive", "Bucket", "policy", json!({ "Sid": format!("More{number}"), "Effect": "Allow",
            "Principal": { "AWS": "333333333333" }, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::org-logs/x" }));
    }
    let report = examine(&model.topology, &model.plan, &model.seen);
    let fix = report.first_failure().unwrap().1.fix.clone().unwrap();
    assert!(fix.calls.is_empty() && fix.text.contains("by hand: with what others wrote there"), "{fix:?}");
}
