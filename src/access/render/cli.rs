//! A shell script for each account: the AWS CLI, called so that it can be run again and again.

use super::template::{TemplateValue, json};
use super::text::{RenderedFile, add, annotated, comments, head, name, numbered};
use super::values::{QUEUE_RETENTION, QUEUE_VISIBILITY, account_filter, s3_destination};
use crate::access::command::word as shell;
use crate::access::plan::{
    AccessPlan, KeyUse, PlanStage, PlannedResource, ResourceKind, SubscriptionFilter, selection,
};
use crate::access::policy::document::PolicyDocument;

/// What every script has in it.
const FUNCTIONS: &str = include_str!("functions.sh");

/// One script a stage.
pub(super) fn files(plan: &AccessPlan) -> Vec<RenderedFile> {
    numbered(plan)
        .map(|(number, stage)| RenderedFile {
            path: format!("{}.sh", name(number, stage)),
            text: script(plan, number, stage),
            is_script: true,
        })
        .collect()
}

fn script(plan: &AccessPlan, number: usize, stage: &PlanStage) -> String {
    let how = "With credentials of this account: export AWS_PROFILE, or log in, before.";
    let mut text = format!("#!/usr/bin/env bash\n{}", comments(&head(plan, number, stage, how)));
    text.push_str("# shellcheck disable=SC2034,SC2329  # not every script needs every function\n");
    text.push_str("set -euo pipefail\n\n");
    let place = &stage.account.place;
    for (key, value) in [
        ("account", &place.account),
        ("region", &place.region),
        ("partition", &place.partition().as_str().to_owned()),
    ] {
        add(&mut text, format!("{key}={value}\n"));
    }
    if let Some(profile) = &stage.account.profile {
        let line = format!(
            "[ -n \"${{AWS_ACCESS_KEY_ID:-}}\" ] || export AWS_PROFILE=\"${{AWS_PROFILE:-{profile}}}\"\n"
        );
        text.push_str(&line);
    }
    text.push_str(&tags(plan));
    text.push('\n');
    text.push_str(FUNCTIONS);
    text.push_str("\n# What follows is of this account.\n\nwhose\n");
    for resource in &stage.resources {
        text.push('\n');
        text.push_str(&annotated(resource));
        calls(resource, &mut text);
    }
    for by_hand in &stage.by_hand {
        add(&mut text, format!("\nsay hand {}\n", shell(&by_hand.what)));
        add(&mut text, format!("cat <<'JSON'\n{}\nJSON\n", by_hand.document.to_pretty_json()));
    }
    text
}

fn tags(plan: &AccessPlan) -> String {
    let words = |key: &str, value: &str| -> String {
        let all: Vec<String> =
            plan.tags.iter().map(|(tag, is)| shell(&format!("{key}={tag},{value}={is}"))).collect();
        all.join(" ")
    };
    let map: Vec<String> = plan.tags.iter().map(|(tag, is)| format!("{tag}={is}")).collect();
    format!(
        "tags=({})\nkey_tags=({})\ntag_map={}\n",
        words("Key", "Value"),
        words("TagKey", "TagValue"),
        shell(&map.join(","))
    )
}

/// The calls that make one resource.
fn calls(resource: &PlannedResource, text: &mut String) {
    match &resource.kind {
        ResourceKind::Key { alias, policy } => about("policy", policy, "key", &[alias], text),
        ResourceKind::LogGroup { name, retention, key, stream } => {
            let days = retention.map(|days| days.to_string()).unwrap_or_default();
            let key = key_arn(key.as_ref(), text);
            let stream = stream.as_deref().unwrap_or_default();
            add(text, format!("log_group {} {} {key} {}\n", shell(name), shell(&days), shell(stream)));
        }
        ResourceKind::Bucket { name, policy, key, queue, prefix } => {
            bucket(policy, key.as_ref(), text);
            call("bucket", &[name], text);
            if let Some(queue) = queue {
                notification(name, queue, prefix, text);
            }
        }
        ResourceKind::Notification { bucket, queue, prefix } => notification(bucket, queue, prefix, text),
        ResourceKind::Queue { name, policy } => {
            keep_json("attributes", &queue_attributes(policy), text);
            call("queue", &[name], text);
        }
        ResourceKind::Role { name, description, trust, permissions } => {
            keep("trust", trust, text);
            keep("permissions", permissions, text);
            call("role", &[name, description], text);
        }
        ResourceKind::RolePolicy { role, name, policy } => {
            about("permissions", policy, "role_policy", &[role, name], text);
        }
        ResourceKind::ManagedPolicy { name, description, policy } => {
            about("permissions", policy, "managed_policy", &[name, description], text);
        }
        ResourceKind::DeliveryStream(stream) => {
            keep_json("destination", &s3_destination(stream), text);
            let key = key_arn(stream.key.as_ref(), text);
            add(text, format!("delivery_stream {} {key}\n", shell(&stream.name)));
        }
        ResourceKind::DataStream { name, key } => {
            let key = key_arn(key.as_ref(), text);
            add(text, format!("data_stream {} {key}\n", shell(name)));
        }
        ResourceKind::LeaseTable { name } => call("lease_table", &[name], text),
        ResourceKind::Destination { name, target, role, policy } => {
            if policy.statements.is_empty() {
                text.push_str("document policy </dev/null\n");
            } else {
                keep("policy", policy, text);
            }
            call("destination", &[name, target, role], text);
        }
        ResourceKind::LogsPolicy { name, policy } => about("policy", policy, "logs_policy", &[name], text),
        ResourceKind::Filter(filter) => subscription(filter, text),
        ResourceKind::AccountFilter { filter, exclude } => {
            keep_json("policy", &account_filter(filter), text);
            call("account_filter", &[&filter.name, &selection(exclude)], text);
        }
    }
}

fn bucket(policy: &PolicyDocument, key: Option<&KeyUse>, text: &mut String) {
    let blocked = TemplateValue::map([
        ("BlockPublicAcls", true.into()),
        ("IgnorePublicAcls", true.into()),
        ("BlockPublicPolicy", true.into()),
        ("RestrictPublicBuckets", true.into()),
    ]);
    keep_json("access", &blocked, text);
    let rule = TemplateValue::map([("ObjectOwnership", "BucketOwnerEnforced".into())]);
    keep_json("ownership", &TemplateValue::map([("Rules", [rule].into())]), text);
    let arn = match key {
        None => None,
        Some(KeyUse::Given(arn)) => Some(arn.as_str()),
        Some(KeyUse::Made { alias, .. }) => {
            call("key_arn", &[alias], text);
            Some("$key_arn")
        }
    };
    let algorithm = if arn.is_some() { "aws:kms" } else { "AES256" };
    let default = TemplateValue::map([("SSEAlgorithm", algorithm.into())])
        .with("KMSMasterKeyID", arn.map(TemplateValue::from));
    let rule = TemplateValue::map([
        ("ApplyServerSideEncryptionByDefault", default),
        ("BucketKeyEnabled", arn.is_some().into()),
    ]);
    let rules = json(&TemplateValue::map([("Rules", [rule].into())]), 0);
    // Without quotes around the mark, the shell puts the key's ARN in.
    add(text, format!("document encryption <<JSON\n{rules}\nJSON\n"));
    keep("policy", policy, text);
}

fn notification(bucket: &str, queue: &str, prefix: &str, text: &mut String) {
    let mut one = TemplateValue::map([
        ("Id", "standpipe".into()),
        ("QueueArn", queue.into()),
        ("Events", [TemplateValue::from("s3:ObjectCreated:*")].into()),
    ]);
    if !prefix.is_empty() {
        let rule = TemplateValue::map([("Name", "prefix".into()), ("Value", prefix.into())]);
        one = one.with(
            "Filter",
            Some(TemplateValue::map([("Key", TemplateValue::map([("FilterRules", [rule].into())]))])),
        );
    }
    keep_json("notification", &one, text);
    call("notification", &[bucket], text);
}

fn queue_attributes(policy: &PolicyDocument) -> TemplateValue {
    TemplateValue::map([
        ("MessageRetentionPeriod", QUEUE_RETENTION.to_string().into()),
        ("VisibilityTimeout", QUEUE_VISIBILITY.to_string().into()),
        ("SqsManagedSseEnabled", "true".into()),
        ("Policy", policy.to_json().into()),
    ])
}

fn subscription(filter: &SubscriptionFilter, text: &mut String) {
    let wanted = TemplateValue::map([
        ("filterPattern", (&filter.pattern).into()),
        ("destinationArn", (&filter.to).into()),
    ])
    .with("roleArn", filter.role.as_ref().map(TemplateValue::from));
    keep_json("wanted", &wanted, text);
    let role = filter.role.clone().unwrap_or_default();
    call("filter", &[&filter.group, &filter.name, &filter.pattern, &filter.to, &role], text);
}

/// The shell's word for a key's ARN; asks for it before, if the key was made here.
fn key_arn(key: Option<&KeyUse>, text: &mut String) -> String {
    match key {
        None => "''".to_owned(),
        Some(KeyUse::Given(arn)) => shell(arn),
        Some(KeyUse::Made { alias, .. }) => {
            call("key_arn", &[alias], text);
            "\"$key_arn\"".to_owned()
        }
    }
}

/// A call that takes one document.
fn about(name: &str, document: &PolicyDocument, function: &str, arguments: &[&String], text: &mut String) {
    keep(name, document, text);
    call(function, arguments, text);
}

fn keep(name: &str, document: &PolicyDocument, text: &mut String) {
    add(text, format!("document {name} <<'JSON'\n{}\nJSON\n", document.to_pretty_json()));
}

fn keep_json(name: &str, tree: &TemplateValue, text: &mut String) {
    add(text, format!("document {name} <<'JSON'\n{}\nJSON\n", json(tree, 0)));
}

fn call<S: AsRef<str>>(function: &str, arguments: &[S], text: &mut String) {
    text.push_str(function);
    for argument in arguments {
        text.push(' ');
        text.push_str(&shell(argument.as_ref()));
    }
    text.push('\n');
}
