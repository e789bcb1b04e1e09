//! A `CloudFormation` template for each account, in YAML.

use super::template::{TemplateValue, json, quoted};
use super::text::{RenderedFile, add, annotated, comments, head, name, numbered};
use super::values::{QUEUE_RETENTION, QUEUE_VISIBILITY, account_filter, s3_destination};
use super::yaml;
use crate::access::plan::{
    AccessPlan, DeliveryStream, KeyUse, PlanStage, PlannedResource, ResourceKind, SubscriptionFilter,
    selection,
};
use crate::access::policy::document::PolicyDocument;

/// One template a stage.
pub(super) fn files(plan: &AccessPlan) -> Vec<RenderedFile> {
    numbered(plan)
        .map(|(number, stage)| RenderedFile {
            path: format!("{}.yaml", name(number, stage)),
            text: template(plan, number, stage),
            is_script: false,
        })
        .collect()
}

fn template(plan: &AccessPlan, number: usize, stage: &PlanStage) -> String {
    let file = format!("{}.yaml", name(number, stage));
    let topology = plan.tags.last().map_or("standpipe", |(_, name)| name);
    let how = format!(
        "aws cloudformation deploy --region {} --stack-name {topology}-{} --template-file {file} --capabilities CAPABILITY_NAMED_IAM",
        plan.region,
        name(number, stage)
    );
    let mut lines = head(plan, number, stage, &how);
    let is_left = |resource: &&PlannedResource| matches!(resource.kind, ResourceKind::Notification { .. });
    for left in stage.resources.iter().filter(is_left).map(PlannedResource::title) {
        lines.retain(|line| line.trim_start() != left);
    }
    let mut text = comments(&lines);
    for resource in &stage.resources {
        if let ResourceKind::Notification { bucket, queue, prefix } = &resource.kind {
            text.push_str(&comments(&[format!(
                "By hand: bucket `{bucket}` is to tell {queue} of every object created below `{prefix}`; a template cannot change a bucket that exists. The cli format does it."
            )]));
        }
    }
    text.push_str("AWSTemplateFormatVersion: \"2010-09-09\"\n");
    let account = &stage.account;
    let description = format!("Logs between accounts: {} ({})", account.name, account.place.account);
    add(&mut text, format!("Description: {}\n", quoted(&description)));
    text.push_str("Resources:\n");
    let mut any = false;
    for resource in &stage.resources {
        let parts = parts(plan, stage, resource);
        any |= !parts.is_empty();
        for (index, (id, part)) in parts.iter().enumerate() {
            if index == 0 {
                text.extend(annotated(resource).lines().map(|line| format!("  {line}\n")));
            }
            add(&mut text, format!("  {id}:{}", yaml::below(part, 2)));
        }
    }
    if !any {
        // A template has at least one resource.
        text.push_str("  Nothing:\n    Type: \"AWS::CloudFormation::WaitConditionHandle\"\n");
    }
    text
}

/// What is given up with the stack, and what stays.
#[derive(Clone, Copy)]
enum DeletionPolicy {
    /// Data would be lost with it.
    Kept,
    /// It can be made again.
    Made,
}

/// The parts of one resource, by id.
fn parts(plan: &AccessPlan, stage: &PlanStage, resource: &PlannedResource) -> Vec<(String, TemplateValue)> {
    use DeletionPolicy::{Kept, Made};

    let id = &resource.id;
    let tags = tags(plan);
    let one = |kind: &str, life: DeletionPolicy, properties: TemplateValue| {
        vec![(id.clone(), part(stage, resource, kind, life, properties))]
    };
    let more = |mut parts: Vec<(String, TemplateValue)>, kind: &str, properties: TemplateValue| {
        let name = if settled(resource) == *id { format!("{id}Alias") } else { settled(resource) };
        parts.push((name, plain(kind, properties)));
        parts
    };
    match &resource.kind {
        ResourceKind::Key { alias, policy } => {
            let named = TemplateValue::map([("AliasName", alias.into()), ("TargetKeyId", reference(id))]);
            more(one("AWS::KMS::Key", Kept, key(alias, policy, tags)), "AWS::KMS::Alias", named)
        }
        ResourceKind::LogGroup { name, retention, key, stream } => {
            let group = one("AWS::Logs::LogGroup", Kept, log_group(name, *retention, key.as_ref(), tags));
            let Some(stream) = stream else { return group };
            let stream =
                TemplateValue::map([("LogGroupName", reference(id)), ("LogStreamName", stream.into())]);
            more(group, "AWS::Logs::LogStream", stream)
        }
        ResourceKind::Bucket { policy, .. } => {
            let policy = policy_of("Bucket", reference(id), policy);
            more(one("AWS::S3::Bucket", Kept, bucket(resource, tags)), "AWS::S3::BucketPolicy", policy)
        }
        ResourceKind::Notification { .. } => Vec::new(),
        ResourceKind::Queue { name, policy } => {
            let policy = policy_of("Queues", [reference(id)].into(), policy);
            more(one("AWS::SQS::Queue", Kept, queue(name, tags)), "AWS::SQS::QueuePolicy", policy)
        }
        ResourceKind::Role { name, description, trust, permissions } => {
            one("AWS::IAM::Role", Made, role(name, description, trust, permissions).with("Tags", Some(tags)))
        }
        ResourceKind::RolePolicy { role, name, policy } => {
            one("AWS::IAM::RolePolicy", Made, inline(name, policy).with("RoleName", Some(role.into())))
        }
        ResourceKind::ManagedPolicy { name, description, policy } => {
            one("AWS::IAM::ManagedPolicy", Made, managed_policy(name, description, policy))
        }
        ResourceKind::DeliveryStream(stream) => {
            one("AWS::KinesisFirehose::DeliveryStream", Made, delivery_stream(stream, tags))
        }
        ResourceKind::DataStream { name, key } => {
            one("AWS::Kinesis::Stream", Kept, data_stream(name, key.as_ref(), tags))
        }
        ResourceKind::LeaseTable { name } => one("AWS::DynamoDB::Table", Kept, table(name, tags)),
        ResourceKind::Destination { name, target, role, policy } => {
            one("AWS::Logs::Destination", Made, destination(name, target, role, policy))
        }
        ResourceKind::LogsPolicy { name, policy } => {
            one("AWS::Logs::ResourcePolicy", Made, logs_policy(name, policy))
        }
        ResourceKind::Filter(filter) => one("AWS::Logs::SubscriptionFilter", Made, subscription(filter)),
        ResourceKind::AccountFilter { filter, exclude } => {
            one("AWS::Logs::AccountPolicy", Made, account_policy(filter, exclude))
        }
    }
}

/// The policy of something that is named under a key.
fn policy_of(key: &str, what: TemplateValue, policy: &PolicyDocument) -> TemplateValue {
    TemplateValue::map([(key, what), ("PolicyDocument", TemplateValue::policy(policy))])
}

/// Makes a part that waits for what the resource needs.
fn part(
    stage: &PlanStage,
    resource: &PlannedResource,
    kind: &str,
    life: DeletionPolicy,
    properties: TemplateValue,
) -> TemplateValue {
    let needed = |id: &String| stage.resources.iter().find(|other| other.id == *id);
    // A key is referred to, which says the same.
    let is_key = |other: &&PlannedResource| matches!(other.kind, ResourceKind::Key { .. });
    let needs: Vec<TemplateValue> = resource
        .needs
        .iter()
        .filter_map(needed)
        .filter(|other| !is_key(other))
        .map(|other| TemplateValue::from(settled(other)))
        .collect();
    let mut part = TemplateValue::map([("Type", kind.into())]);
    if !needs.is_empty() {
        part = part.with("DependsOn", Some(TemplateValue::List(needs)));
    }
    if matches!(life, DeletionPolicy::Kept) {
        part = part
            .with("DeletionPolicy", Some("Retain".into()))
            .with("UpdateReplacePolicy", Some("Retain".into()));
    }
    part.with("Properties", Some(properties))
}

/// A part that waits for nothing but what it refers to.
fn plain(kind: &str, properties: TemplateValue) -> TemplateValue {
    TemplateValue::map([("Type", kind.into()), ("Properties", properties)])
}

/// The part of a resource that comes last.
fn settled(resource: &PlannedResource) -> String {
    let id = &resource.id;
    match &resource.kind {
        ResourceKind::Queue { .. } | ResourceKind::Bucket { .. } => format!("{id}Policy"),
        ResourceKind::LogGroup { stream: Some(_), .. } => format!("{id}Stream"),
        ResourceKind::Key { .. }
        | ResourceKind::LogGroup { .. }
        | ResourceKind::Notification { .. }
        | ResourceKind::Role { .. }
        | ResourceKind::RolePolicy { .. }
        | ResourceKind::ManagedPolicy { .. }
        | ResourceKind::DeliveryStream(_)
        | ResourceKind::DataStream { .. }
        | ResourceKind::LeaseTable { .. }
        | ResourceKind::Destination { .. }
        | ResourceKind::LogsPolicy { .. }
        | ResourceKind::Filter(_)
        | ResourceKind::AccountFilter { .. } => id.clone(),
    }
}

fn key(alias: &str, policy: &PolicyDocument, tags: TemplateValue) -> TemplateValue {
    TemplateValue::map([
        ("Description", alias.into()),
        ("EnableKeyRotation", true.into()),
        ("KeyPolicy", TemplateValue::policy(policy)),
        ("Tags", tags),
    ])
}

fn log_group(name: &str, retention: Option<u32>, key: Option<&KeyUse>, tags: TemplateValue) -> TemplateValue {
    TemplateValue::map([("LogGroupName", name.into())])
        .with("RetentionInDays", retention.map(TemplateValue::from))
        .with("KmsKeyId", key.map(arn))
        .with("Tags", Some(tags))
}

fn queue(name: &str, tags: TemplateValue) -> TemplateValue {
    TemplateValue::map([
        ("QueueName", name.into()),
        ("MessageRetentionPeriod", QUEUE_RETENTION.into()),
        ("VisibilityTimeout", QUEUE_VISIBILITY.into()),
        ("SqsManagedSseEnabled", true.into()),
        ("Tags", tags),
    ])
}

fn role(
    name: &str,
    description: &str,
    trust: &PolicyDocument,
    permissions: &PolicyDocument,
) -> TemplateValue {
    TemplateValue::map([
        ("RoleName", name.into()),
        ("Description", description.into()),
        ("AssumeRolePolicyDocument", TemplateValue::policy(trust)),
        ("Policies", [inline(name, permissions)].into()),
    ])
}

fn inline(name: &str, policy: &PolicyDocument) -> TemplateValue {
    TemplateValue::map([("PolicyName", name.into()), ("PolicyDocument", TemplateValue::policy(policy))])
}

fn managed_policy(name: &str, description: &str, policy: &PolicyDocument) -> TemplateValue {
    TemplateValue::map([
        ("ManagedPolicyName", name.into()),
        ("Description", description.into()),
        ("PolicyDocument", TemplateValue::policy(policy)),
    ])
}

fn data_stream(name: &str, key: Option<&KeyUse>, tags: TemplateValue) -> TemplateValue {
    let encryption =
        key.map(|key| TemplateValue::map([("EncryptionType", "KMS".into()), ("KeyId", arn(key))]));
    let mode = TemplateValue::map([("StreamMode", "ON_DEMAND".into())]);
    TemplateValue::map([("Name", name.into()), ("StreamModeDetails", mode)])
        .with("StreamEncryption", encryption)
        .with("Tags", Some(tags))
}

fn destination(name: &str, target: &str, role: &str, policy: &PolicyDocument) -> TemplateValue {
    let policy = (!policy.statements.is_empty()).then(|| TemplateValue::from(policy.to_json()));
    TemplateValue::map([
        ("DestinationName", name.into()),
        ("TargetArn", target.into()),
        ("RoleArn", role.into()),
    ])
    .with("DestinationPolicy", policy)
}

fn logs_policy(name: &str, policy: &PolicyDocument) -> TemplateValue {
    TemplateValue::map([("PolicyName", name.into()), ("PolicyDocument", policy.to_json().into())])
}

fn account_policy(filter: &SubscriptionFilter, exclude: &[String]) -> TemplateValue {
    let selection = selection(exclude);
    let selection = (!selection.is_empty()).then(|| TemplateValue::from(selection));
    TemplateValue::map([
        ("PolicyName", (&filter.name).into()),
        ("PolicyType", "SUBSCRIPTION_FILTER_POLICY".into()),
        ("Scope", "ALL".into()),
        ("PolicyDocument", json(&account_filter(filter), 0).into()),
    ])
    .with("SelectionCriteria", selection)
}

fn bucket(resource: &PlannedResource, tags: TemplateValue) -> TemplateValue {
    let ResourceKind::Bucket { name, key, queue, prefix, .. } = &resource.kind else { return tags };
    let algorithm = if key.is_some() { "aws:kms" } else { "AES256" };
    let default = TemplateValue::map([("SSEAlgorithm", algorithm.into())])
        .with("KMSMasterKeyID", key.as_ref().map(arn));
    let rule = TemplateValue::map([
        ("BucketKeyEnabled", key.is_some().into()),
        ("ServerSideEncryptionByDefault", default),
    ]);
    let ownership = TemplateValue::map([("ObjectOwnership", "BucketOwnerEnforced".into())]);
    let access = TemplateValue::map([
        ("BlockPublicAcls", true.into()),
        ("IgnorePublicAcls", true.into()),
        ("BlockPublicPolicy", true.into()),
        ("RestrictPublicBuckets", true.into()),
    ]);
    let tells = queue.as_ref().map(|queue| {
        let rule = TemplateValue::map([("Name", "prefix".into()), ("Value", prefix.into())]);
        let rules = TemplateValue::map([("Rules", [rule].into())]);
        let filter = (!prefix.is_empty()).then(|| TemplateValue::map([("S3Key", rules)]));
        let one = TemplateValue::map([("Event", "s3:ObjectCreated:*".into()), ("Queue", queue.into())]);
        TemplateValue::map([("QueueConfigurations", [one.with("Filter", filter)].into())])
    });
    TemplateValue::map([
        ("BucketName", name.into()),
        ("BucketEncryption", TemplateValue::map([("ServerSideEncryptionConfiguration", [rule].into())])),
        ("OwnershipControls", TemplateValue::map([("Rules", [ownership].into())])),
        ("PublicAccessBlockConfiguration", access),
    ])
    .with("NotificationConfiguration", tells)
    .with("Tags", Some(tags))
}

fn delivery_stream(stream: &DeliveryStream, tags: TemplateValue) -> TemplateValue {
    let encryption = stream
        .key
        .as_ref()
        .map(|key| TemplateValue::map([("KeyType", "CUSTOMER_MANAGED_CMK".into()), ("KeyARN", arn(key))]));
    TemplateValue::map([
        ("DeliveryStreamName", (&stream.name).into()),
        ("DeliveryStreamType", "DirectPut".into()),
        ("ExtendedS3DestinationConfiguration", s3_destination(stream)),
    ])
    .with("DeliveryStreamEncryptionConfigurationInput", encryption)
    .with("Tags", Some(tags))
}

fn table(name: &str, tags: TemplateValue) -> TemplateValue {
    let attribute = TemplateValue::map([("AttributeName", "leaseKey".into()), ("AttributeType", "S".into())]);
    let key = TemplateValue::map([("AttributeName", "leaseKey".into()), ("KeyType", "HASH".into())]);
    TemplateValue::map([
        ("TableName", name.into()),
        ("BillingMode", "PAY_PER_REQUEST".into()),
        ("AttributeDefinitions", [attribute].into()),
        ("KeySchema", [key].into()),
    ])
    .with("Tags", Some(tags))
}

fn subscription(filter: &SubscriptionFilter) -> TemplateValue {
    TemplateValue::map([
        ("LogGroupName", (&filter.group).into()),
        ("FilterName", (&filter.name).into()),
        ("FilterPattern", (&filter.pattern).into()),
        ("DestinationArn", (&filter.to).into()),
    ])
    .with("RoleArn", filter.role.as_ref().map(TemplateValue::from))
}

fn tags(plan: &AccessPlan) -> TemplateValue {
    let one =
        |(key, value): &(String, String)| TemplateValue::map([("Key", key.into()), ("Value", value.into())]);
    TemplateValue::List(plan.tags.iter().map(one).collect())
}

fn arn(key: &KeyUse) -> TemplateValue {
    match key {
        KeyUse::Given(arn) => arn.into(),
        KeyUse::Made { id, .. } => {
            TemplateValue::map([("Fn::GetAtt", [TemplateValue::from(id), "Arn".into()].into())])
        }
    }
}

fn reference(id: &str) -> TemplateValue {
    TemplateValue::map([("Ref", id.into())])
}
