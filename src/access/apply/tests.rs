//! What is to be done in a world as planned but for one thing.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::access::live::{AccountAccess, Observation, ObservedState, ResourceState, desired, extra};
use crate::access::plan::{AccessPlan, ResourceKind, plan};
use crate::config::topology;

fn planned(name: &str) -> AccessPlan {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/access/{name}.toml"));
    plan(&topology::load(&path, &BTreeMap::new()).unwrap()).unwrap()
}

/// A world in which all is as planned, and made by the plan.
fn perfect(plan: &AccessPlan) -> ObservedState {
    let mut seen = ObservedState::default();
    let (key, value) = plan.tags.last().unwrap();
    for stage in &plan.stages {
        seen.accounts.insert(stage.account.name.clone(), AccountAccess::As("arn".to_owned()));
        for resource in &stage.resources {
            let mut state = desired(resource);
            state.insert(extra::TAGS, json!({ key: value }));
            state.insert(extra::ARN, json!(format!("arn:{}", resource.id)));
            if matches!(resource.kind, ResourceKind::DeliveryStream(_)) {
                state.insert(extra::SOURCE, json!("DirectPut"));
                state.insert(extra::DECOMPRESSES, json!(false));
            }
            if let Some(entry) = state.get("notification") {
                let entry = json!({ "Id": "standpipe", "QueueArn": entry["queue"] });
                let other = json!({ "Id": "other", "QueueArn": "arn:other" });
                state.insert(extra::NOTIFICATIONS, json!({ "QueueConfigurations": [other, entry] }));
            }
            seen.resources
                .insert((stage.account.name.clone(), resource.id.clone()), Observation::Found(state));
        }
    }
    seen
}

fn state<'s>(seen: &'s mut ObservedState, id: &str) -> &'s mut ResourceState {
    let look = seen.resources.iter_mut().find(|((_, other), _)| other == id).unwrap().1;
    match look {
        Observation::Found(state) => state,
        Observation::Absent | Observation::Unseen(_) => panic!("{id} is there"),
    }
}

/// What is done, as `ID: action aspect..`.
fn told(plan: &AccessPlan, seen: &ObservedState) -> Vec<String> {
    let all = changes(plan, seen, |_| true);
    let one = |change: &PlannedChange<'_>| {
        let id = &change.resource.id;
        match &change.action {
            ChangeAction::Keep => None,
            ChangeAction::Create => Some(format!("{id}: create")),
            ChangeAction::Change(differences) => {
                let aspects: Vec<&str> = differences.iter().map(|it| it.aspect).collect();
                Some(format!("{id}: change {}", aspects.join(" ")))
            }
            ChangeAction::Unseen(why) => Some(format!("{id}: unseen {why}")),
            ChangeAction::ByHand(_) => Some(format!("{id}: hand")),
        }
    };
    all.iter().filter_map(one).collect()
}

#[test]
fn only_what_differs_is_changed() {
    let check = |name: &str, spoil: &dyn Fn(&mut ObservedState), expected: &[&str]| {
        let plan = planned(name);
        let mut seen = perfect(&plan);
        spoil(&mut seen);
        assert_eq!(told(&plan, &seen), expected);
    };
    for name in ["basic", "moto", "organization", "three-accounts", "trail", "pull"] {
        check(name, &|_| {}, &[]);
    }
    let set = |id: &'static str, aspect: &'static str, value: Value| {
        move |seen: &mut ObservedState| drop(state(seen, id).insert(aspect, value.clone()))
    };
    check("moto", &set("LogsRole", "trust", json!({})), &["LogsRole: change trust"]);
    check("moto", &set("Bucket", "publicAccessBlock", json!(false)), &["Bucket: change publicAccessBlock"]);
    check("moto", &set("Stream", extra::DECOMPRESSES, json!(true)), &["Stream: change decompresses"]);
    check("moto", &set("Stream", extra::SOURCE, json!("KinesisStreamAsSource")), &["Stream: hand"]);
    check("moto", &set("Stream", "status", json!("DELETING")), &["Stream: hand"]);
    let odd = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Perhaps" }] });
    check("moto", &set("Bucket", "policy", odd), &["Bucket: hand"]);
    check(
        "moto",
        &set("FilterOrdersStandpipe", "pattern", json!("")),
        &["FilterOrdersStandpipe: change pattern"],
    );
    check(
        "moto",
        &|seen| drop(state(seen, "WriterRole").remove("permissions")),
        &["WriterRole: change permissions"],
    );
    let bare = |seen: &mut ObservedState| {
        let errors = state(seen, "StreamErrors");
        errors.remove("retentionInDays");
        errors.remove("logStream");
    };
    check("moto", &bare, &["StreamErrors: change logStream retentionInDays"]);
    let part = |seen: &mut ObservedState| {
        drop(state(seen, "ReaderCrossRoleForCloudtrailIdentity").remove("permissions"));
    };
    check("trail", &part, &["ReaderCrossRoleForCloudtrailIdentity: create"]);
    let absent = |seen: &mut ObservedState| {
        for ((_, id), look) in &mut seen.resources {
            match id.as_str() {
                "Destination" => *look = Observation::Absent,
                "LogsRole" => *look = Observation::Unseen("no".to_owned()),
                _ => {}
            }
        }
    };
    check("moto", &absent, &["LogsRole: unseen no", "Destination: create"]);
}

#[test]
fn every_change_has_calls() {
    for name in ["basic", "moto", "organization", "three-accounts", "trail", "pull"] {
        let plan = planned(name);
        let seen = ObservedState::default();
        for stage in &plan.stages {
            for resource in &stage.resources {
                let create = PlannedChange { stage, resource, action: ChangeAction::Create };
                assert!(!create.calls(&plan, &seen).is_empty(), "{}", resource.title());
            }
        }
    }
}

#[test]
fn only_the_topologys_own_is_taken_away() {
    let plan = planned("moto");
    let action = |spoil: &dyn Fn(&mut ObservedState), id: &str, held: Option<&str>| {
        let mut seen = perfect(&plan);
        spoil(&mut seen);
        let all = removals(&plan, &seen, |_| true, |_, _| held.map(str::to_owned));
        let one = all.into_iter().find(|removal| removal.resource.id == id).unwrap();
        (one.calls(&seen), one.action)
    };
    let check = |spoil: &dyn Fn(&mut ObservedState), id: &str, operations: &[&str]| {
        let (calls, action) = action(spoil, id, None);
        let found: Vec<&str> = calls.iter().map(|call| call.operation).collect();
        assert_eq!(found, operations, "{id}: {action:?}");
    };
    let untag = |id: &'static str| {
        move |seen: &mut ObservedState| drop(state(seen, id).insert(extra::TAGS, json!({})))
    };
    check(&|_| {}, "Bucket", &["DeleteBucket"]);
    check(&|_| {}, "KeyLogs", &["ScheduleKeyDeletion"]);
    check(&|_| {}, "LogsRole", &["DeleteRolePolicy", "DeleteRole"]);
    check(&|_| {}, "QueueOrgLogsObjects", &["GetQueueUrl", "DeleteQueue"]);
    check(&|_| {}, "FilterOrdersStandpipe", &["DeleteSubscriptionFilter"]);
    check(&|_| {}, "LogsPolicy1", &["DeleteResourcePolicy"]);
    check(&untag("Bucket"), "Bucket", &[]);
    check(&|seen| drop(state(seen, "Stream").remove(extra::TAGS)), "Stream", &[]);
    check(&|seen| drop(state(seen, "LogsPolicy1").insert("policy", json!({}))), "LogsPolicy1", &[]);
    check(
        &|seen| drop(state(seen, "FilterOrdersStandpipe").insert("destination", json!("arn:other"))),
        "FilterOrdersStandpipe",
        &[],
    );
    check(&|seen| drop(state(seen, "LogsRole").insert(extra::OTHERS, json!({ "o": {} }))), "LogsRole", &[]);
    check(&|seen| drop(state(seen, "KeyLogs").insert("state", json!("PendingDeletion"))), "KeyLogs", &[]);
    assert_eq!(
        action(&|_| {}, "Bucket", Some("it is not empty")).1,
        RemovalAction::Leave("it is not empty".to_owned())
    );

    let all = removals(&plan, &perfect(&plan), |_| true, |_, _| None);
    let first = all.first().unwrap();
    assert!(
        matches!(first.resource.kind, ResourceKind::Filter(_)),
        "the last made goes first: {}",
        first.resource.title()
    );
}

#[test]
fn what_a_bucket_tells_others_stays() {
    let plan = planned("trail");
    let seen = perfect(&plan);
    let all = removals(&plan, &seen, |_| true, |_, _| None);
    let one = all.iter().find(|it| matches!(it.resource.kind, ResourceKind::Notification { .. })).unwrap();
    let calls = one.calls(&seen);
    let kept = &calls.first().unwrap().input["NotificationConfiguration"]["QueueConfigurations"];
    assert_eq!(*kept, json!([{ "Id": "other", "QueueArn": "arn:other" }]));
}

#[test]
fn a_change_is_shown_with_what_differs() {
    let plan = planned("moto");
    let mut seen = perfect(&plan);
    state(&mut seen, "LogsRole").insert("trust", json!({ "Version": "2012-10-17", "Statement": [] }));
    state(&mut seen, "StreamErrors").insert("retentionInDays", json!(7));
    let all = changes(&plan, &seen, |_| true);
    let text: String =
        all.iter().filter(|it| it.is_change()).map(|it| show_change(it, false, false)).collect();
    for part in [
        "  change  role `standpipe-logs`\n            trust:\n",
        "              -   \"Statement\": [],\n",
        "            retentionInDays: 7 -> 30\n",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn every_permission_that_is_needed_is_documented() {
    let page = include_str!("../../../docs/access.md");
    let row = |service: &str| page.lines().find(|line| line.starts_with(&format!("| `{service}:`"))).unwrap();
    for name in ["basic", "moto", "organization", "three-accounts", "trail", "pull"] {
        let plan = planned(name);
        let seen = perfect(&plan);
        let made = plan.stages.iter().flat_map(|stage| {
            stage.resources.iter().map(move |resource| PlannedChange {
                stage,
                resource,
                action: ChangeAction::Create,
            })
        });
        let made: Vec<_> = made.flat_map(|change| change.calls(&plan, &seen)).collect();
        let gone = removals(&plan, &seen, |_| true, |_, _| None);
        for call in made.into_iter().chain(gone.iter().flat_map(|removal| removal.calls(&seen))) {
            let action = call.action();
            let (service, action) = action.split_once(':').unwrap();
            let words: Vec<&str> = row(service).split(['|', ',', ' ']).collect();
            assert!(words.contains(&action), "{service}:{action}");
        }
    }
}
