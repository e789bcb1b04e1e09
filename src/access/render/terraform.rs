//! A Terraform module for each account, and a root that calls them in order with a provider for each.

use super::hcl::{self, HclItem, block, raw, text};
use super::template::TemplateValue;
use super::text::{RenderedFile, annotated, comments, head, name, numbered};
use super::values::{QUEUE_RETENTION, QUEUE_VISIBILITY, account_filter};
use crate::access::plan::{
    AccessPlan, DeliveryStream, ERROR_STREAM, KeyUse, PlanStage, PlannedResource, ResourceKind,
    SubscriptionFilter, selection,
};
use crate::access::policy::document::PolicyDocument;

/// The root, and a module a stage.
pub(super) fn files(plan: &AccessPlan) -> Vec<RenderedFile> {
    let file = |path: String, text: String| RenderedFile { path, text, is_script: false };
    let root = file("main.tf".to_owned(), root(plan));
    let modules = numbered(plan)
        .map(|(number, stage)| file(format!("{}/main.tf", name(number, stage)), module(plan, number, stage)));
    [root].into_iter().chain(modules).collect()
}

/// Where the provider comes from.
fn requirements(items: impl IntoIterator<Item = HclItem>) -> String {
    let aws = TemplateValue::map([("source", "hashicorp/aws".into()), ("version", ">= 6.0".into())]);
    let providers = block("required_providers", [raw("aws", hcl::expression(&aws, 4))]);
    let items: Vec<HclItem> = items.into_iter().chain([providers]).collect();
    hcl::top("terraform", &items)
}

fn root(plan: &AccessPlan) -> String {
    let mut all = requirements([text("required_version", ">= 1.3")]);
    let mut known: Vec<&str> = Vec::new();
    for stage in &plan.stages {
        let account = &stage.account;
        if known.contains(&account.name.as_str()) {
            continue;
        }
        known.push(&account.name);
        let mut items = vec![text("alias", &account.name), text("region", &plan.region)];
        items.extend(account.profile.as_ref().map(|profile| text("profile", profile)));
        // Credentials of another account are refused before anything is done.
        items.push(raw("allowed_account_ids", format!("[\"{}\"]", account.place.account)));
        let tags = plan.tags.iter().map(|(key, value)| (key.clone(), TemplateValue::from(value))).collect();
        items.push(block("default_tags", [raw("tags", hcl::expression(&TemplateValue::Map(tags), 4))]));
        all.push('\n');
        all.push_str(&hcl::top("provider \"aws\"", &items));
    }
    for (number, stage) in numbered(plan) {
        let name = name(number, stage);
        let mut items = vec![text("source", &format!("./{name}"))];
        if number > 1
            && let Some(before) = plan.stages.get(number - 2)
        {
            items.push(raw("depends_on", format!("[module.{}]", label(number - 1, before))));
        }
        let aws = format!("{{\n    aws = aws.{}\n  }}", stage.account.name);
        items.push(raw("providers", aws));
        all.push('\n');
        all.push_str(&hcl::top(&format!("module \"{}\"", label(number, stage)), &items));
    }
    all
}

/// What a module is called: a name begins with a letter.
fn label(number: usize, stage: &PlanStage) -> String {
    format!("step_{}", name(number, stage).replace('-', "_"))
}

fn module(plan: &AccessPlan, number: usize, stage: &PlanStage) -> String {
    let mut all =
        comments(&head(plan, number, stage, "terraform init && terraform apply, in the folder above."));
    all.push('\n');
    all.push_str(&requirements([]));
    for resource in &stage.resources {
        all.push('\n');
        all.push_str(&annotated(resource));
        let blocks = blocks(resource);
        for (index, TerraformBlock { kind, mut items, name }) in blocks.into_iter().enumerate() {
            if index > 0 {
                all.push('\n');
            } else {
                items.extend(depends_on(stage, resource));
            }
            all.push_str(&hcl::top(&format!("resource \"{kind}\" \"{name}\""), &items));
        }
    }
    all
}

/// A `resource` block.
struct TerraformBlock {
    kind: &'static str,
    name: String,
    items: Vec<HclItem>,
}

/// What has to be there before. A reference says it too, but names are written out so that a file can be read by itself.
fn depends_on(stage: &PlanStage, resource: &PlannedResource) -> Option<HclItem> {
    let needed = resource.needs.iter().filter_map(|id| stage.resources.iter().find(|other| other.id == *id));
    let all: Vec<String> =
        needed.flat_map(blocks).map(|block| format!("    {}.{},\n", block.kind, block.name)).collect();
    (!all.is_empty()).then(|| raw("depends_on", format!("[\n{}  ]", all.concat())))
}

/// The blocks of one resource.
fn blocks(resource: &PlannedResource) -> Vec<TerraformBlock> {
    let name = snake(&resource.id);
    let one = |kind, items| vec![TerraformBlock { kind, name: name.clone(), items }];
    match &resource.kind {
        ResourceKind::Key { alias, policy } => key(&name, alias, policy),
        ResourceKind::LogGroup { name: group, retention, key, stream } => {
            log_group(&name, group, *retention, key.as_ref(), stream.as_deref())
        }
        ResourceKind::Bucket { name: bucket, policy, key, queue, prefix } => {
            let mut blocks = self::bucket(&name, bucket, policy, key.as_ref());
            let bucket = format!("aws_s3_bucket.{name}.id");
            blocks.extend(queue.as_ref().map(|queue| notification(&name, bucket, queue, prefix)));
            blocks
        }
        // Terraform's resource is all that the bucket tells: what it tells others has to be added by hand.
        ResourceKind::Notification { bucket, queue, prefix } => {
            vec![notification(&name, hcl::string(bucket), queue, prefix)]
        }
        ResourceKind::Queue { name: queue, policy } => self::queue(&name, queue, policy),
        ResourceKind::Role { name: role, description, trust, permissions } => {
            self::role(&name, role, description, [trust, permissions])
        }
        ResourceKind::RolePolicy { role, name, policy } => one(
            "aws_iam_role_policy",
            vec![text("name", name), text("role", role), document("policy", policy)],
        ),
        ResourceKind::ManagedPolicy { name, description, policy } => {
            let items =
                vec![text("name", name), text("description", description), document("policy", policy)];
            one("aws_iam_policy", items)
        }
        ResourceKind::DeliveryStream(stream) => {
            one("aws_kinesis_firehose_delivery_stream", delivery_stream(stream))
        }
        ResourceKind::DataStream { name, key } => one("aws_kinesis_stream", data_stream(name, key.as_ref())),
        ResourceKind::LeaseTable { name } => one("aws_dynamodb_table", table(name)),
        ResourceKind::Destination { name: destination, target, role, policy } => {
            self::destination(&name, destination, [target, role], policy)
        }
        ResourceKind::LogsPolicy { name, policy } => {
            let items = vec![text("policy_name", name), document("policy_document", policy)];
            one("aws_cloudwatch_log_resource_policy", items)
        }
        ResourceKind::Filter(filter) => one("aws_cloudwatch_log_subscription_filter", subscription(filter)),
        ResourceKind::AccountFilter { filter, exclude } => {
            one("aws_cloudwatch_log_account_policy", account_policy(filter, exclude))
        }
    }
}

/// A policy as an attribute.
fn document(name: &str, policy: &PolicyDocument) -> HclItem {
    raw(name, hcl::json(&TemplateValue::policy(policy), 2))
}

fn role(
    name: &str,
    role: &str,
    description: &str,
    [trust, permissions]: [&PolicyDocument; 2],
) -> Vec<TerraformBlock> {
    let items =
        vec![text("name", role), text("description", description), document("assume_role_policy", trust)];
    let of = raw("role", format!("aws_iam_role.{name}.name"));
    let own = vec![text("name", role), of, document("policy", permissions)];
    vec![
        TerraformBlock { kind: "aws_iam_role", name: name.to_owned(), items },
        TerraformBlock { kind: "aws_iam_role_policy", name: name.to_owned(), items: own },
    ]
}

fn data_stream(name: &str, key: Option<&KeyUse>) -> Vec<HclItem> {
    let mut items = vec![text("name", name)];
    if let Some(key) = key {
        items.push(text("encryption_type", "KMS"));
        items.push(raw("kms_key_id", arn(key)));
    }
    items.push(block("stream_mode_details", [text("stream_mode", "ON_DEMAND")]));
    items
}

fn table(name: &str) -> Vec<HclItem> {
    let key = block("attribute", [text("name", "leaseKey"), text("type", "S")]);
    vec![text("name", name), text("billing_mode", "PAY_PER_REQUEST"), text("hash_key", "leaseKey"), key]
}

fn account_policy(filter: &SubscriptionFilter, exclude: &[String]) -> Vec<HclItem> {
    let selection = selection(exclude);
    let mut items = vec![
        text("policy_name", &filter.name),
        text("policy_type", "SUBSCRIPTION_FILTER_POLICY"),
        text("scope", "ALL"),
        raw("policy_document", hcl::json(&account_filter(filter), 2)),
    ];
    items.extend((!selection.is_empty()).then(|| text("selection_criteria", &selection)));
    items
}

fn key(name: &str, alias: &str, policy: &PolicyDocument) -> Vec<TerraformBlock> {
    let items =
        vec![text("description", alias), raw("enable_key_rotation", "true"), document("policy", policy)];
    let named = vec![text("name", alias), raw("target_key_id", format!("aws_kms_key.{name}.key_id"))];
    vec![
        TerraformBlock { kind: "aws_kms_key", name: name.to_owned(), items },
        TerraformBlock { kind: "aws_kms_alias", name: name.to_owned(), items: named },
    ]
}

fn log_group(
    name: &str,
    group: &str,
    retention: Option<u32>,
    key: Option<&KeyUse>,
    stream: Option<&str>,
) -> Vec<TerraformBlock> {
    let mut items = vec![text("name", group)];
    items.extend(retention.map(|days| raw("retention_in_days", days.to_string())));
    items.extend(key.map(|key| raw("kms_key_id", arn(key))));
    let mut blocks = vec![TerraformBlock { kind: "aws_cloudwatch_log_group", name: name.to_owned(), items }];
    if let Some(stream) = stream {
        let group = raw("log_group_name", format!("aws_cloudwatch_log_group.{name}.name"));
        let items = vec![text("name", stream), group];
        blocks.push(TerraformBlock { kind: "aws_cloudwatch_log_stream", name: name.to_owned(), items });
    }
    blocks
}

fn bucket(name: &str, bucket: &str, policy: &PolicyDocument, key: Option<&KeyUse>) -> Vec<TerraformBlock> {
    let of = || raw("bucket", format!("aws_s3_bucket.{name}.id"));
    let yes = |name: &str| raw(name, "true");
    let algorithm = if key.is_some() { "aws:kms" } else { "AES256" };
    let mut default = vec![text("sse_algorithm", algorithm)];
    default.extend(key.map(|key| raw("kms_master_key_id", arn(key))));
    let rule = [
        raw("bucket_key_enabled", key.is_some().to_string()),
        block("apply_server_side_encryption_by_default", default),
    ];
    let access =
        ["block_public_acls", "ignore_public_acls", "block_public_policy", "restrict_public_buckets"];
    let owner = block("rule", [text("object_ownership", "BucketOwnerEnforced")]);
    let make = |kind, items| TerraformBlock { kind, name: name.to_owned(), items };
    vec![
        make("aws_s3_bucket", vec![text("bucket", bucket)]),
        make("aws_s3_bucket_public_access_block", [of()].into_iter().chain(access.map(yes)).collect()),
        make("aws_s3_bucket_ownership_controls", vec![of(), owner]),
        make("aws_s3_bucket_server_side_encryption_configuration", vec![of(), block("rule", rule)]),
        make("aws_s3_bucket_policy", vec![of(), document("policy", policy)]),
    ]
}

fn notification(name: &str, bucket: String, queue: &str, prefix: &str) -> TerraformBlock {
    let mut items =
        vec![text("id", "standpipe"), text("queue_arn", queue), raw("events", "[\"s3:ObjectCreated:*\"]")];
    items.extend((!prefix.is_empty()).then(|| text("filter_prefix", prefix)));
    let items = vec![raw("bucket", bucket), block("queue", items)];
    TerraformBlock { kind: "aws_s3_bucket_notification", name: name.to_owned(), items }
}

fn queue(name: &str, queue: &str, policy: &PolicyDocument) -> Vec<TerraformBlock> {
    let items = vec![
        text("name", queue),
        raw("message_retention_seconds", QUEUE_RETENTION.to_string()),
        raw("visibility_timeout_seconds", QUEUE_VISIBILITY.to_string()),
        raw("sqs_managed_sse_enabled", "true"),
    ];
    let policy = vec![raw("queue_url", format!("aws_sqs_queue.{name}.url")), document("policy", policy)];
    vec![
        TerraformBlock { kind: "aws_sqs_queue", name: name.to_owned(), items },
        TerraformBlock { kind: "aws_sqs_queue_policy", name: name.to_owned(), items: policy },
    ]
}

fn delivery_stream(stream: &DeliveryStream) -> Vec<HclItem> {
    let logging = block(
        "cloudwatch_logging_options",
        [
            raw("enabled", "true"),
            text("log_group_name", &stream.errors),
            text("log_stream_name", ERROR_STREAM),
        ],
    );
    let mut s3 = vec![text("role_arn", &stream.role), text("bucket_arn", &stream.bucket)];
    s3.extend((!stream.prefix.is_empty()).then(|| text("prefix", &stream.prefix)));
    s3.push(logging);
    let mut items = vec![
        text("name", &stream.name),
        text("destination", "extended_s3"),
        block("extended_s3_configuration", s3),
    ];
    if let Some(key) = &stream.key {
        let encryption =
            [raw("enabled", "true"), text("key_type", "CUSTOMER_MANAGED_CMK"), raw("key_arn", arn(key))];
        items.push(block("server_side_encryption", encryption));
    }
    items
}

fn destination(
    name: &str,
    destination: &str,
    [target, role]: [&String; 2],
    policy: &PolicyDocument,
) -> Vec<TerraformBlock> {
    let items = vec![text("name", destination), text("target_arn", target), text("role_arn", role)];
    let mut blocks =
        vec![TerraformBlock { kind: "aws_cloudwatch_log_destination", name: name.to_owned(), items }];
    if !policy.statements.is_empty() {
        let items = vec![
            raw("destination_name", format!("aws_cloudwatch_log_destination.{name}.name")),
            document("access_policy", policy),
        ];
        blocks.push(TerraformBlock {
            kind: "aws_cloudwatch_log_destination_policy",
            name: name.to_owned(),
            items,
        });
    }
    blocks
}

fn subscription(filter: &SubscriptionFilter) -> Vec<HclItem> {
    let mut items = vec![
        text("name", &filter.name),
        text("log_group_name", &filter.group),
        text("filter_pattern", &filter.pattern),
        text("destination_arn", &filter.to),
    ];
    items.extend(filter.role.as_ref().map(|role| text("role_arn", role)));
    items
}

fn arn(key: &KeyUse) -> String {
    match key {
        KeyUse::Given(arn) => hcl::string(arn),
        KeyUse::Made { id, .. } => format!("aws_kms_key.{}.arn", snake(id)),
    }
}

/// `StreamRole` as `stream_role`.
fn snake(id: &str) -> String {
    let mut name = String::new();
    for letter in id.chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}
