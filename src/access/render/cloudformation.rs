//! A `CloudFormation` template for each account, in YAML.

use super::tree::{Tree, json, quoted};
use super::values::{QUEUE_RETENTION, QUEUE_VISIBILITY, account_filter, s3_destination};
use super::{File, add, annotated, comments, head, name, numbered, yaml};
use crate::access::plan::{DeliveryStream, Filter, KeyUse, Kind, Plan, Resource, Stage, selection};
use crate::access::policy::document::Document;

/// One template a stage.
pub(super) fn files(plan: &Plan) -> Vec<File> {
    numbered(plan)
        .map(|(number, stage)| File {
            path: format!("{}.yaml", name(number, stage)),
            text: template(plan, number, stage),
            is_script: false,
        })
        .collect()
}

fn template(plan: &Plan, number: usize, stage: &Stage) -> String {
    let file = format!("{}.yaml", name(number, stage));
    let topology = plan.tags.last().map_or("standpipe", |(_, name)| name);
    let how = format!(
        "aws cloudformation deploy --region {} --stack-name {topology}-{} --template-file {file} --capabilities CAPABILITY_NAMED_IAM",
        plan.region,
        name(number, stage)
    );
    let mut lines = head(plan, number, stage, &how);
    let is_left = |resource: &&Resource| matches!(resource.kind, Kind::Notification { .. });
    for left in stage.resources.iter().filter(is_left).map(Resource::title) {
        lines.retain(|line| line.trim_start() != left);
    }
    let mut text = comments(&lines);
    for resource in &stage.resources {
        if let Kind::Notification { bucket, queue, prefix } = &resource.kind {
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
enum Life {
    /// Data would be lost with it.
    Kept,
    /// It can be made again.
    Made,
}

/// The parts of one resource, by id.
fn parts(plan: &Plan, stage: &Stage, resource: &Resource) -> Vec<(String, Tree)> {
    use Life::{Kept, Made};

    let id = &resource.id;
    let tags = tags(plan);
    let one = |kind: &str, life: Life, properties: Tree| {
        vec![(id.clone(), part(stage, resource, kind, life, properties))]
    };
    let more = |mut parts: Vec<(String, Tree)>, kind: &str, properties: Tree| {
        let name = if settled(resource) == *id { format!("{id}Alias") } else { settled(resource) };
        parts.push((name, plain(kind, properties)));
        parts
    };
    match &resource.kind {
        Kind::Key { alias, policy } => {
            let named = Tree::map([("AliasName", alias.into()), ("TargetKeyId", reference(id))]);
            more(one("AWS::KMS::Key", Kept, key(alias, policy, tags)), "AWS::KMS::Alias", named)
        }
        Kind::LogGroup { name, retention, key, stream } => {
            let group = one("AWS::Logs::LogGroup", Kept, log_group(name, *retention, key.as_ref(), tags));
            let Some(stream) = stream else { return group };
            let stream = Tree::map([("LogGroupName", reference(id)), ("LogStreamName", stream.into())]);
            more(group, "AWS::Logs::LogStream", stream)
        }
        Kind::Bucket { policy, .. } => {
            let policy = Tree::map([("Bucket", reference(id)), ("PolicyDocument", Tree::policy(policy))]);
            more(one("AWS::S3::Bucket", Kept, bucket(resource, tags)), "AWS::S3::BucketPolicy", policy)
        }
        Kind::Notification { .. } => Vec::new(),
        Kind::Queue { name, policy } => {
            let policy =
                Tree::map([("Queues", [reference(id)].into()), ("PolicyDocument", Tree::policy(policy))]);
            more(one("AWS::SQS::Queue", Kept, queue(name, tags)), "AWS::SQS::QueuePolicy", policy)
        }
        Kind::Role { name, description, trust, permissions } => {
            one("AWS::IAM::Role", Made, role(name, description, trust, permissions).with("Tags", Some(tags)))
        }
        Kind::RolePolicy { role, name, policy } => {
            one("AWS::IAM::RolePolicy", Made, inline(name, policy).with("RoleName", Some(role.into())))
        }
        Kind::ManagedPolicy { name, description, policy } => {
            one("AWS::IAM::ManagedPolicy", Made, managed_policy(name, description, policy))
        }
        Kind::DeliveryStream(stream) => {
            one("AWS::KinesisFirehose::DeliveryStream", Made, delivery_stream(stream, tags))
        }
        Kind::DataStream { name, key } => {
            one("AWS::Kinesis::Stream", Kept, data_stream(name, key.as_ref(), tags))
        }
        Kind::LeaseTable { name } => one("AWS::DynamoDB::Table", Kept, table(name, tags)),
        Kind::Destination { name, target, role, policy } => {
            one("AWS::Logs::Destination", Made, destination(name, target, role, policy))
        }
        Kind::LogsPolicy { name, policy } => {
            one("AWS::Logs::ResourcePolicy", Made, logs_policy(name, policy))
        }
        Kind::Filter(filter) => one("AWS::Logs::SubscriptionFilter", Made, subscription(filter)),
        Kind::AccountFilter { filter, exclude } => {
            one("AWS::Logs::AccountPolicy", Made, account_policy(filter, exclude))
        }
    }
}

/// Makes a part that waits for what the resource needs.
fn part(stage: &Stage, resource: &Resource, kind: &str, life: Life, properties: Tree) -> Tree {
    let needed = |id: &String| stage.resources.iter().find(|other| other.id == *id);
    // A key is referred to, which says the same.
    let is_key = |other: &&Resource| matches!(other.kind, Kind::Key { .. });
    let needs: Vec<Tree> = resource
        .needs
        .iter()
        .filter_map(needed)
        .filter(|other| !is_key(other))
        .map(|other| Tree::from(settled(other)))
        .collect();
    let mut part = Tree::map([("Type", kind.into())]);
    if !needs.is_empty() {
        part = part.with("DependsOn", Some(Tree::List(needs)));
    }
    if matches!(life, Life::Kept) {
        part = part
            .with("DeletionPolicy", Some("Retain".into()))
            .with("UpdateReplacePolicy", Some("Retain".into()));
    }
    part.with("Properties", Some(properties))
}

/// A part that waits for nothing but what it refers to.
fn plain(kind: &str, properties: Tree) -> Tree {
    Tree::map([("Type", kind.into()), ("Properties", properties)])
}

/// The part of a resource that comes last.
fn settled(resource: &Resource) -> String {
    let id = &resource.id;
    match &resource.kind {
        Kind::Queue { .. } | Kind::Bucket { .. } => format!("{id}Policy"),
        Kind::LogGroup { stream: Some(_), .. } => format!("{id}Stream"),
        Kind::Key { .. }
        | Kind::LogGroup { .. }
        | Kind::Notification { .. }
        | Kind::Role { .. }
        | Kind::RolePolicy { .. }
        | Kind::ManagedPolicy { .. }
        | Kind::DeliveryStream(_)
        | Kind::DataStream { .. }
        | Kind::LeaseTable { .. }
        | Kind::Destination { .. }
        | Kind::LogsPolicy { .. }
        | Kind::Filter(_)
        | Kind::AccountFilter { .. } => id.clone(),
    }
}

fn key(alias: &str, policy: &Document, tags: Tree) -> Tree {
    Tree::map([
        ("Description", alias.into()),
        ("EnableKeyRotation", true.into()),
        ("KeyPolicy", Tree::policy(policy)),
        ("Tags", tags),
    ])
}

fn log_group(name: &str, retention: Option<u32>, key: Option<&KeyUse>, tags: Tree) -> Tree {
    Tree::map([("LogGroupName", name.into())])
        .with("RetentionInDays", retention.map(Tree::from))
        .with("KmsKeyId", key.map(arn))
        .with("Tags", Some(tags))
}

fn queue(name: &str, tags: Tree) -> Tree {
    Tree::map([
        ("QueueName", name.into()),
        ("MessageRetentionPeriod", QUEUE_RETENTION.into()),
        ("VisibilityTimeout", QUEUE_VISIBILITY.into()),
        ("SqsManagedSseEnabled", true.into()),
        ("Tags", tags),
    ])
}

fn role(name: &str, description: &str, trust: &Document, permissions: &Document) -> Tree {
    Tree::map([
        ("RoleName", name.into()),
        ("Description", description.into()),
        ("AssumeRolePolicyDocument", Tree::policy(trust)),
        ("Policies", [inline(name, permissions)].into()),
    ])
}

fn inline(name: &str, policy: &Document) -> Tree {
    Tree::map([("PolicyName", name.into()), ("PolicyDocument", Tree::policy(policy))])
}

fn managed_policy(name: &str, description: &str, policy: &Document) -> Tree {
    Tree::map([
        ("ManagedPolicyName", name.into()),
        ("Description", description.into()),
        ("PolicyDocument", Tree::policy(policy)),
    ])
}

fn data_stream(name: &str, key: Option<&KeyUse>, tags: Tree) -> Tree {
    let encryption = key.map(|key| Tree::map([("EncryptionType", "KMS".into()), ("KeyId", arn(key))]));
    let mode = Tree::map([("StreamMode", "ON_DEMAND".into())]);
    Tree::map([("Name", name.into()), ("StreamModeDetails", mode)])
        .with("StreamEncryption", encryption)
        .with("Tags", Some(tags))
}

fn destination(name: &str, target: &str, role: &str, policy: &Document) -> Tree {
    let policy = (!policy.statements.is_empty()).then(|| Tree::from(policy.to_json()));
    Tree::map([("DestinationName", name.into()), ("TargetArn", target.into()), ("RoleArn", role.into())])
        .with("DestinationPolicy", policy)
}

fn logs_policy(name: &str, policy: &Document) -> Tree {
    Tree::map([("PolicyName", name.into()), ("PolicyDocument", policy.to_json().into())])
}

fn account_policy(filter: &Filter, exclude: &[String]) -> Tree {
    let selection = selection(exclude);
    let selection = (!selection.is_empty()).then(|| Tree::from(selection));
    Tree::map([
        ("PolicyName", (&filter.name).into()),
        ("PolicyType", "SUBSCRIPTION_FILTER_POLICY".into()),
        ("Scope", "ALL".into()),
        ("PolicyDocument", json(&account_filter(filter), 0).into()),
    ])
    .with("SelectionCriteria", selection)
}

fn bucket(resource: &Resource, tags: Tree) -> Tree {
    let Kind::Bucket { name, key, queue, prefix, .. } = &resource.kind else { return tags };
    let algorithm = if key.is_some() { "aws:kms" } else { "AES256" };
    let default =
        Tree::map([("SSEAlgorithm", algorithm.into())]).with("KMSMasterKeyID", key.as_ref().map(arn));
    let rule =
        Tree::map([("BucketKeyEnabled", key.is_some().into()), ("ServerSideEncryptionByDefault", default)]);
    let ownership = Tree::map([("ObjectOwnership", "BucketOwnerEnforced".into())]);
    let access = Tree::map([
        ("BlockPublicAcls", true.into()),
        ("IgnorePublicAcls", true.into()),
        ("BlockPublicPolicy", true.into()),
        ("RestrictPublicBuckets", true.into()),
    ]);
    let tells = queue.as_ref().map(|queue| {
        let rule = Tree::map([("Name", "prefix".into()), ("Value", prefix.into())]);
        let rules = Tree::map([("Rules", [rule].into())]);
        let filter = (!prefix.is_empty()).then(|| Tree::map([("S3Key", rules)]));
        let one = Tree::map([("Event", "s3:ObjectCreated:*".into()), ("Queue", queue.into())]);
        Tree::map([("QueueConfigurations", [one.with("Filter", filter)].into())])
    });
    Tree::map([
        ("BucketName", name.into()),
        ("BucketEncryption", Tree::map([("ServerSideEncryptionConfiguration", [rule].into())])),
        ("OwnershipControls", Tree::map([("Rules", [ownership].into())])),
        ("PublicAccessBlockConfiguration", access),
    ])
    .with("NotificationConfiguration", tells)
    .with("Tags", Some(tags))
}

fn delivery_stream(stream: &DeliveryStream, tags: Tree) -> Tree {
    let encryption = stream
        .key
        .as_ref()
        .map(|key| Tree::map([("KeyType", "CUSTOMER_MANAGED_CMK".into()), ("KeyARN", arn(key))]));
    Tree::map([
        ("DeliveryStreamName", (&stream.name).into()),
        ("DeliveryStreamType", "DirectPut".into()),
        ("ExtendedS3DestinationConfiguration", s3_destination(stream)),
    ])
    .with("DeliveryStreamEncryptionConfigurationInput", encryption)
    .with("Tags", Some(tags))
}

fn table(name: &str, tags: Tree) -> Tree {
    let attribute = Tree::map([("AttributeName", "leaseKey".into()), ("AttributeType", "S".into())]);
    let key = Tree::map([("AttributeName", "leaseKey".into()), ("KeyType", "HASH".into())]);
    Tree::map([
        ("TableName", name.into()),
        ("BillingMode", "PAY_PER_REQUEST".into()),
        ("AttributeDefinitions", [attribute].into()),
        ("KeySchema", [key].into()),
    ])
    .with("Tags", Some(tags))
}

fn subscription(filter: &Filter) -> Tree {
    Tree::map([
        ("LogGroupName", (&filter.group).into()),
        ("FilterName", (&filter.name).into()),
        ("FilterPattern", (&filter.pattern).into()),
        ("DestinationArn", (&filter.to).into()),
    ])
    .with("RoleArn", filter.role.as_ref().map(Tree::from))
}

fn tags(plan: &Plan) -> Tree {
    let one = |(key, value): &(String, String)| Tree::map([("Key", key.into()), ("Value", value.into())]);
    Tree::List(plan.tags.iter().map(one).collect())
}

fn arn(key: &KeyUse) -> Tree {
    match key {
        KeyUse::Given(arn) => arn.into(),
        KeyUse::Made { id, .. } => Tree::map([("Fn::GetAtt", [Tree::from(id), "Arn".into()].into())]),
    }
}

fn reference(id: &str) -> Tree {
    Tree::map([("Ref", id.into())])
}
