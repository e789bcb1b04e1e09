//! Streams, the roles that write to and from them, and the destination before them.

use std::sync::Arc;

use super::draft::{PlanDraft, PlanPhase, key_needs};
use super::resource::{DeliveryStream, ERROR_STREAM, ResourceKind};
use super::statements::{StatementBuilder, alias, allow, document, logs_service, through};
use super::storage::{BUCKET_ACTIONS, OBJECT_ACTIONS, objects};
use crate::access::policy::document::{Comparison, PolicyDocument, Principals, Statement};
use crate::config::topology::{
    AwsAccount, DestinationTarget, FirehoseStream, KinesisStream, LogBucket, LogsDestination,
    SubscriptionScope, Topology,
};

/// How long Firehose's errors are kept, in days.
const ERROR_DAYS: u32 = 30;

/// The Firehose stream, the role it writes as, and the log group of its errors.
pub(super) fn delivery_stream(draft: &mut PlanDraft<'_>) {
    let topology = draft.topology;
    let (Some(stream), Some(bucket)) = (&topology.stream, &topology.bucket) else { return };
    let account = &stream.account;
    let group = errors(stream);
    let (retention, report) = (Some(ERROR_DAYS), Some(ERROR_STREAM.to_owned()));
    let kind = ResourceKind::LogGroup { name: group.clone(), retention, key: None, stream: report };
    let errors = draft.add(PlanPhase::Stream, account, "Stream Errors", &[], kind);
    let name = format!("{}-firehose", topology.name);
    let role = ResourceKind::Role {
        name: name.clone(),
        description: format!("Firehose stream {} writes to bucket {}", stream.name, bucket.name),
        trust: document([firehose(account)]),
        permissions: writes(topology, stream, bucket),
    };
    let role = draft.add(PlanPhase::Stream, account, "Stream Role", &[], role);
    let key = draft.key_use(stream.key.as_ref());
    let mut needs = vec![errors, role, "Bucket".to_owned()];
    needs.extend(key_needs(key.as_ref()));
    let stream = DeliveryStream {
        name: stream.name.clone(),
        role: account.place.role(&name).to_string(),
        bucket: bucket.account.place.bucket(&bucket.name).to_string(),
        prefix: bucket.prefix.clone(),
        errors: group,
        key,
    };
    draft.add(PlanPhase::Stream, account, "Stream", &needs, ResourceKind::DeliveryStream(stream));
}

/// The log group that a stream reports errors to, as the console names it.
pub(crate) fn errors(stream: &FirehoseStream) -> String {
    format!("/aws/kinesisfirehose/{}", stream.name)
}

/// Firehose says the id of the stream's account as external id.
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CreateFirehoseStreamDestination.html>.
fn firehose(account: &AwsAccount) -> Statement {
    allow("FirehoseOfThisAccountAlone", ["sts:AssumeRole"])
        .by(Principals::service(["firehose.amazonaws.com"]))
        .when(Comparison::StringEquals, "sts:ExternalId", [&account.place.account])
}

fn writes(topology: &Topology, stream: &FirehoseStream, bucket: &LogBucket) -> PolicyDocument {
    let is_other = stream.account.name != bucket.account.name;
    let place = &stream.account.place;
    let arn = bucket.account.place.bucket(&bucket.name);
    let [abort, get, put] = OBJECT_ACTIONS;
    let objects_allowed = if is_other {
        // An object written for another account: its owner gets all rights to it.
        allow("FirehoseWritesObjects", [abort, get, put, "s3:PutObjectAcl"])
    } else {
        allow("FirehoseWritesObjects", [abort, get, put])
    };
    let mut statements = vec![
        objects_allowed.on([objects(bucket)]),
        allow("FirehoseFindsTheBucket", BUCKET_ACTIONS).on([&arn]),
        allow("FirehoseReportsItsErrors", ["logs:PutLogEvents"])
            .on([place.log_stream(&errors(stream), ERROR_STREAM)]),
    ];
    if let Some(key) = &bucket.key {
        // With a bucket key, S3 asks with the bucket's ARN for most objects.
        let context = [arn.to_string(), objects(bucket).to_string()];
        let statement = allow("FirehoseEncryptsObjects", ["kms:Decrypt", "kms:GenerateDataKey"]);
        let alias = (!is_other).then(|| alias(&topology.name, key));
        let statement = through(statement, key, alias, "s3");
        statements.push(statement.when(Comparison::StringLike, "kms:EncryptionContext:aws:s3:arn", context));
    }
    document(statements)
}

/// The Kinesis stream.
pub(super) fn data_stream(draft: &mut PlanDraft<'_>) {
    let Some(kinesis) = &draft.topology.kinesis else { return };
    let key = draft.key_use(kinesis.key.as_ref());
    let needs = key_needs(key.as_ref());
    let kind = ResourceKind::DataStream { name: kinesis.name.clone(), key };
    draft.add(PlanPhase::Stream, &kinesis.account, "Kinesis", &needs, kind);
}

/// The destination, if there is one, and the role that `CloudWatch` Logs writes with to what is behind it.
pub(super) fn destination(draft: &mut PlanDraft<'_>) {
    let topology = draft.topology;
    let Some(end) = topology.logs_target() else { return };
    if topology.destination.is_none() && !topology.has_straight_filters(&end) {
        return;
    }
    let Some((target, permissions, behind)) = target(topology, end.stream) else { return };
    let account = &end.account;
    let name = logs_role(topology);
    let description = match &topology.destination {
        Some(destination) => {
            format!("CloudWatch Logs puts what is sent to destination {}", destination.name)
        }
        None => "CloudWatch Logs puts what log groups of this account send".to_owned(),
    };
    let role = ResourceKind::Role {
        name: name.clone(),
        description,
        trust: document([senders(topology, account)]),
        permissions: document(permissions),
    };
    let role = draft.add(PlanPhase::Stream, account, "Logs Role", &[], role);
    let Some(destination) = &topology.destination else { return };
    let kind = ResourceKind::Destination {
        name: destination.name.clone(),
        target,
        role: account.place.role(&name).to_string(),
        policy: document(subscribers(topology, destination)),
    };
    draft.add(PlanPhase::Stream, account, "Destination", &[role, behind], kind);
}

/// The name of the role that `CloudWatch` Logs writes with.
pub(super) fn logs_role(topology: &Topology) -> String {
    format!("{}-logs", topology.name)
}

/// The ARN of what a destination leads to, what may be done with it, and its id.
pub(super) fn target(
    topology: &Topology,
    stream: DestinationTarget,
) -> Option<(String, Vec<Statement>, String)> {
    Some(match stream {
        DestinationTarget::Stream => {
            let stream = topology.stream.as_ref()?;
            let arn = stream.account.place.delivery_stream(&stream.name);
            let actions = ["firehose:PutRecord", "firehose:PutRecordBatch"];
            (arn.to_string(), vec![allow("LogsPutsToTheStream", actions).on([arn])], "Stream".to_owned())
        }
        DestinationTarget::Kinesis => {
            let kinesis = topology.kinesis.as_ref()?;
            let arn = kinesis.account.place.stream(&kinesis.name);
            let mut statements = vec![allow("LogsPutsToTheStream", ["kinesis:PutRecord"]).on([&arn])];
            statements.extend(data_key(topology, kinesis, "LogsEncryptsRecords", "kms:GenerateDataKey"));
            (arn.to_string(), statements, "Kinesis".to_owned())
        }
    })
}

/// The use of a Kinesis stream's key.
pub(super) fn data_key(
    topology: &Topology,
    kinesis: &KinesisStream,
    sid: &str,
    action: &str,
) -> Option<Statement> {
    let key = kinesis.key.as_ref()?;
    let statement = through(allow(sid, [action]), key, Some(alias(&topology.name, key)), "kinesis");
    let arn = kinesis.account.place.stream(&kinesis.name);
    Some(statement.when(Comparison::StringEquals, "kms:EncryptionContext:aws:kinesis:arn", [arn]))
}

/// `CloudWatch` Logs, on behalf of those who send. The destination's own account is among them: its first message comes from there.
fn senders(topology: &Topology, own: &Arc<AwsAccount>) -> Statement {
    let trust = allow("LogsOfTheSendersAlone", ["sts:AssumeRole"]).by(logs_service(&own.place));
    if let Some(organization) = &topology.organization {
        return trust.when(Comparison::StringEquals, "aws:SourceOrgID", [organization]);
    }
    let mut sources = vec![own.place.all_logs()];
    for subscription in &topology.subscriptions {
        let source = subscription.account.place.all_logs();
        if !sources.contains(&source) {
            sources.push(source);
        }
    }
    trust.when(Comparison::StringLike, "aws:SourceArn", sources)
}

/// Who may subscribe log groups to the destination.
///
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CrossAccountSubscriptions-Firehose-Account.html> for whole
/// accounts.
fn subscribers(topology: &Topology, destination: &LogsDestination) -> Vec<Statement> {
    let arn = destination.account.place.destination(&destination.name);
    let others = || topology.subscriptions.iter().filter(|it| it.account.name != destination.account.name);
    let is_whole = |scope: &SubscriptionScope| matches!(scope, SubscriptionScope::Account { .. });
    if let Some(organization) = &topology.organization {
        let statement = if others().any(|it| is_whole(&it.scope)) {
            allow("TheOrganizationSubscribes", ["logs:PutSubscriptionFilter", "logs:PutAccountPolicy"])
        } else {
            allow("TheOrganizationSubscribes", ["logs:PutSubscriptionFilter"])
        };
        let everyone = statement.by(Principals::Everyone).on([&arn]);
        return vec![everyone.when(Comparison::StringEquals, "aws:PrincipalOrgID", [organization])];
    }
    let ids = |whole: bool| {
        let mut ids: Vec<&str> = Vec::new();
        for it in others().filter(|it| is_whole(&it.scope) == whole) {
            let id = it.account.place.account.as_str();
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        ids
    };
    let mut statements = Vec::new();
    let (groups, accounts) = (ids(false), ids(true));
    if !groups.is_empty() {
        let allowed = allow("TheseAccountsSubscribeLogGroups", ["logs:PutSubscriptionFilter"]);
        statements.push(allowed.by(Principals::aws(groups)).on([&arn]));
    }
    if !accounts.is_empty() {
        let actions = ["logs:PutSubscriptionFilter", "logs:PutAccountPolicy"];
        let allowed = allow("TheseAccountsSubscribeAsAWhole", actions);
        statements.push(allowed.by(Principals::aws(accounts)).on([&arn]));
    }
    statements
}
