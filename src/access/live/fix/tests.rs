//! Every kind of resource has the calls that make it, and every wanted aspect the calls that fix it.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::access::live::ObservedState;
use crate::access::plan::AccessPlan;
use crate::access::plan::plan;
use crate::config::topology;

const TOPOLOGIES: [&str; 7] = [
    "tests/access/basic.toml",
    "tests/access/moto.toml",
    "tests/access/organization.toml",
    "tests/access/three-accounts.toml",
    "tests/access/trail.toml",
    "tests/access/pull.toml",
    "config/topology.toml",
];

fn plans() -> impl Iterator<Item = AccessPlan> {
    TOPOLOGIES.into_iter().map(|path| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        plan(&topology::load(&path, &BTreeMap::new()).unwrap()).unwrap()
    })
}

/// What no call can bring about: it comes by waiting.
fn is_waited_for(kind: &ResourceKind, aspect: &str) -> bool {
    aspect == "status" || (matches!(kind, ResourceKind::LeaseTable { .. }) && aspect == "kmsKey")
}

#[test]
fn every_resource_can_be_made_and_every_aspect_fixed() {
    let seen = ObservedState::default();
    for plan in plans() {
        for stage in &plan.stages {
            let fixer = CallPlanner { plan: &plan, stage, seen: &seen };
            for resource in &stage.resources {
                let title = resource.title();
                let made = fixer.create(resource);
                assert!(made.iter().any(|call| !call.is_look()), "{title}: {made:?}");
                for aspect in desired(resource).keys().filter(|aspect| !is_waited_for(&resource.kind, aspect))
                {
                    let repaired = fixer.repair(resource, aspect);
                    assert!(repaired.iter().any(|call| !call.is_look()), "{title}, {aspect}");
                }
            }
        }
    }
}

#[test]
fn every_document_of_a_plan_is_in_the_calls_that_make_it() {
    let seen = ObservedState::default();
    for plan in plans() {
        for stage in &plan.stages {
            let fixer = CallPlanner { plan: &plan, stage, seen: &seen };
            for resource in &stage.resources {
                let inputs: Vec<Value> = fixer.create(resource).into_iter().map(|call| call.input).collect();
                let strings = strings(&inputs.into());
                for attached in resource.documents().iter().filter(|it| !it.document.statements.is_empty()) {
                    assert!(strings.contains(&attached.document.to_json()), "{}", resource.title());
                }
            }
        }
    }
}

fn strings(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().flat_map(strings).collect(),
        Value::Object(entries) => entries.values().flat_map(strings).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}

/// The operations that fix an aspect of the first resource of a plan that is `is`, as it was seen.
#[track_caller]
fn check(
    topology: &str,
    is: fn(&ResourceKind) -> bool,
    aspect: &str,
    seen: ResourceState,
    operations: &[&str],
) -> Vec<ApiCall> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(topology);
    let plan = plan(&topology::load(&path, &BTreeMap::new()).unwrap()).unwrap();
    let all = || plan.stages.iter().flat_map(|stage| stage.resources.iter().map(move |it| (stage, it)));
    let (stage, resource) = all().find(|(_, resource)| is(&resource.kind)).unwrap();
    let at = (stage.account.name.clone(), resource.id.clone());
    let seen = ObservedState {
        resources: BTreeMap::from([(at, Observation::Found(seen))]),
        ..ObservedState::default()
    };
    let calls = CallPlanner { plan: &plan, stage, seen: &seen }.repair(resource, aspect);
    assert_eq!(calls.iter().map(|call| call.operation).collect::<Vec<_>>(), operations);
    calls
}

#[test]
fn what_was_seen_decides_how_a_thing_is_fixed() {
    let key = |kind: &ResourceKind| matches!(kind, ResourceKind::Key { .. });
    let sample = "config/topology.toml";
    let arn = || (extra::ARN, json!("arn:aws:kms:r:a:key/k"));
    let state = |state: &str| ResourceState::from([("state", json!(state)), arn()]);
    check(sample, key, "state", state("Disabled"), &["EnableKey"]);
    check(sample, key, "state", state("PendingDeletion"), &["CancelKeyDeletion", "EnableKey"]);
    check(sample, key, "policy", ResourceState::from([arn()]), &["PutKeyPolicy"]);
    check(sample, key, "policy", ResourceState::new(), &["DescribeKey", "PutKeyPolicy"]);

    let managed = |kind: &ResourceKind| matches!(kind, ResourceKind::ManagedPolicy { .. });
    let versions = |ids: &[&str]| ResourceState::from([(extra::VERSIONS, json!(ids))]);
    let basic = "tests/access/basic.toml";
    check(basic, managed, "permissions", versions(&["v3", "v2", "v1"]), &["CreatePolicyVersion"]);
    let full = ["DeletePolicyVersion", "CreatePolicyVersion"];
    let calls = check(basic, managed, "permissions", versions(&["v4", "v3", "v2", "v1"]), &full);
    assert_eq!(calls.first().unwrap().input["VersionId"], "v1", "the oldest makes room");

    let bucket = |kind: &ResourceKind| matches!(kind, ResourceKind::Bucket { .. });
    let others = json!({
        "TopicConfigurations": [{ "Id": "t" }],
        "QueueConfigurations": [{ "Id": "other" }, { "Id": NOTIFICATION_ID, "QueueArn": "old" }],
    });
    let seen = ResourceState::from([(extra::NOTIFICATIONS, others)]);
    let put = "PutBucketNotificationConfiguration";
    let calls = check("tests/access/moto.toml", bucket, "notification", seen, &[put]);
    let put = &calls.first().unwrap().input["NotificationConfiguration"];
    assert_eq!(put["TopicConfigurations"], json!([{ "Id": "t" }]), "what others were told stays");
    let queues: Vec<_> = put["QueueConfigurations"].as_array().unwrap().iter().map(|it| &it["Id"]).collect();
    assert_eq!(queues, ["other", NOTIFICATION_ID]);

    let stream = |kind: &ResourceKind| matches!(kind, ResourceKind::DeliveryStream(_));
    let update = ["DescribeDeliveryStream", "UpdateDestination"];
    check(basic, stream, "prefix", ResourceState::new(), &update);
    check(basic, stream, extra::DECOMPRESSES, ResourceState::new(), &update);
    check(
        basic,
        stream,
        extra::SOURCE,
        ResourceState::new(),
        &["DeleteDeliveryStream", "CreateDeliveryStream"],
    );
}

#[test]
fn one_call_fixes_several_aspects() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/access/basic.toml");
    let plan = plan(&topology::load(&path, &BTreeMap::new()).unwrap()).unwrap();
    let seen = ObservedState::default();
    for stage in &plan.stages {
        for resource in &stage.resources {
            let fixer = CallPlanner { plan: &plan, stage, seen: &seen };
            let n_calls = |aspects: &[&str]| fixer.repairs(resource, aspects.iter().copied()).len();
            if matches!(resource.kind, ResourceKind::DeliveryStream(_)) {
                assert_eq!(n_calls(&["role", "bucket", "prefix"]), 2);
            } else if matches!(resource.kind, ResourceKind::Destination { .. }) {
                assert_eq!(n_calls(&["target", "role", "policy"]), 2);
            } else if matches!(resource.kind, ResourceKind::Filter(_)) {
                assert_eq!(n_calls(&["pattern", "destination", "role"]), 1);
            }
        }
    }
}
