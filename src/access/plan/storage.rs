//! The bucket at the end, and queues that are told of its objects.

use std::sync::Arc;

use super::draft::{PlanDraft, PlanPhase, key_needs, logical};
use super::resource::ResourceKind;
use super::statements::{StatementBuilder, allow, by_role, document, no_plain_http};
use crate::access::policy::document::{Comparison, PolicyDocument, Principals, Statement};
use crate::arn::Arn;
use crate::config::topology::{AwsAccount, LogBucket};

/// What Firehose does with objects.
/// Source: <https://docs.aws.amazon.com/firehose/latest/dev/controlling-access.html#using-iam-s3>.
pub(super) const OBJECT_ACTIONS: [&str; 3] = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"];

/// What Firehose does with the bucket.
pub(super) const BUCKET_ACTIONS: [&str; 3] =
    ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"];

/// The bucket and what it has.
pub(super) fn bucket(draft: &mut PlanDraft<'_>) {
    let Some(bucket) = &draft.topology.bucket else { return };
    let account = &bucket.account;
    let mut needs = Vec::new();
    let queue = bucket.queue.as_ref().map(|name| {
        needs.push(queue(draft, PlanPhase::Store, account, name, &bucket.name));
        account.place.queue(name).to_string()
    });
    let key = draft.key_use(bucket.key.as_ref());
    needs.extend(key_needs(key.as_ref()));
    let policy = policy(draft, bucket);
    let (name, prefix) = (bucket.name.clone(), bucket.prefix.clone());
    draft.add(
        PlanPhase::Store,
        account,
        "Bucket",
        &needs,
        ResourceKind::Bucket { name, policy, key, queue, prefix },
    );
}

/// All objects that Firehose writes.
pub(super) fn objects(bucket: &LogBucket) -> Arn {
    bucket.account.place.object(&bucket.name, &format!("{}*", bucket.prefix))
}

/// Firehose writes as a role, never as the service itself. Within one account that role's own policy is enough; between two,
/// the bucket has to agree.
fn policy(draft: &PlanDraft<'_>, bucket: &LogBucket) -> PolicyDocument {
    let place = &bucket.account.place;
    let arn = place.bucket(&bucket.name);
    let mut statements = vec![no_plain_http(&arn, &place.object(&bucket.name, "*"))];
    let stream = draft.topology.stream.as_ref();
    if let Some(stream) = stream.filter(|stream| stream.account.name != bucket.account.name) {
        let role = format!("{}-firehose", draft.topology.name);
        let by = |statement: Statement| by_role(statement, &stream.account, &role);
        // An object written by another account: its owner gets all rights to it.
        let [abort, get, put] = OBJECT_ACTIONS;
        let actions = [abort, get, put, "s3:PutObjectAcl"];
        statements.push(by(allow("FirehoseOfTheOtherAccountWrites", actions).on([objects(bucket)])));
        statements.push(by(allow("FirehoseOfTheOtherAccountFindsTheBucket", BUCKET_ACTIONS).on([arn])));
    }
    document(statements)
}

/// A queue that a bucket of the same account tells of objects; made once. Gives its id.
pub(super) fn queue(
    draft: &mut PlanDraft<'_>,
    phase: PlanPhase,
    account: &Arc<AwsAccount>,
    name: &str,
    bucket: &str,
) -> String {
    let id = format!("Queue {name}");
    if draft.has(account, &id) {
        return logical(&id);
    }
    let place = &account.place;
    let statement = allow("TheBucketTellsOfItsObjects", ["sqs:SendMessage"])
        .by(Principals::service(["s3.amazonaws.com"]))
        .on([place.queue(name)])
        .when(Comparison::StringEquals, "aws:SourceAccount", [&place.account])
        .when(Comparison::ArnEquals, "aws:SourceArn", [place.bucket(bucket)]);
    draft.add(
        phase,
        account,
        &id,
        &[],
        ResourceKind::Queue { name: name.to_owned(), policy: document([statement]) },
    )
}
