//! The bucket: whether Firehose may write to it, whose its objects are, and whom it tells of them.

use serde_json::Value;

use super::keys::{KeyRequest, ObservedKey, through};
use super::observed::{ObservedPlan, ObservedResource};
use super::permission::{PermissionCheck, PolicyHolder, PolicySources, TargetPolicies, all, service_context};
use super::policy_fix::{ForeignPolicy, PolicyFix};
use super::stream;
use crate::access::live::{Prerequisite, ResourceState, extra};
use crate::access::plan::ResourceKind;
use crate::access::policy::{RequestContext, RequestPrincipal};
use crate::access::report::{Hop, HopFinding, Severity};
use crate::config::topology::{AwsAccount, FirehoseStream, LogBucket};

/// What Firehose does with objects, and with the bucket; with another account's, it hands objects over.
/// Sources: <https://docs.aws.amazon.com/firehose/latest/dev/controlling-access.html#using-iam-s3> and
/// <https://docs.aws.amazon.com/firehose/latest/dev/cross-account-delivery-s3.html>.
const OBJECT: [&str; 4] = ["s3:PutObject", "s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObjectAcl"];
const BUCKET: [&str; 3] = ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"];

/// The bucket, if there is one.
pub(super) fn hop(view: ObservedPlan<'_>) -> Option<Hop> {
    let bucket = view.topology.bucket.as_ref()?;
    let item = view.find(&bucket.account, |kind| matches!(kind, ResourceKind::Bucket { .. }))?;
    let name = format!("bucket {} of {}", bucket.name, bucket.account.name);
    let findings =
        match item.there("bucket", "Firehose has nowhere to write to, and keeps records for a day at most") {
            Err(missing) => vec![*missing],
            Ok(state) => {
                let mut findings = vec![HopFinding::ok("bucket", format!("{} exists", item.title()))];
                if let Some(stream) = &view.topology.stream {
                    findings.extend(target(view, bucket, stream));
                    findings.extend(written(view, bucket, item, stream));
                    findings.push(ownership(bucket, item, stream, state));
                }
                findings.push(public(item, state));
                findings.extend(key(view, bucket, item, state));
                findings.extend(told(view, bucket, item, state));
                findings
            }
        };
    Some(Hop { name, findings })
}

/// Whether the stream writes to this bucket.
fn target(view: ObservedPlan<'_>, bucket: &LogBucket, stream: &FirehoseStream) -> Option<HopFinding> {
    const CHECK: &str = "stream_bucket";
    let item = view.find(&stream.account, |kind| matches!(kind, ResourceKind::DeliveryStream(_)))?;
    let found = item.text("bucket")?;
    let wanted = bucket.account.place.bucket(&bucket.name).to_string();
    if found == wanted {
        return None;
    }
    let finding = HopFinding::failure(CHECK, format!("stream `{}` writes to `{found}`", stream.name));
    let fix = item.repair("let it write to the bucket", &["bucket"]);
    Some(finding.why("objects do not arrive in this bucket").fix(fix))
}

/// Whether Firehose's role may write, by what its own account and the bucket say.
fn written<'a>(
    view: ObservedPlan<'a>,
    bucket: &'a LogBucket,
    item: ObservedResource<'a>,
    stream: &FirehoseStream,
) -> Vec<HopFinding> {
    const WHY: &str = "Firehose cannot write objects without it, and keeps records for a day at most";
    let is_stream = |kind: &ResourceKind| matches!(kind, ResourceKind::DeliveryStream(_));
    let role = view.find(&stream.account, is_stream).and_then(|stream| view.role(stream.text("role")?));
    let Some(holder) = role.filter(|role| role.state().is_some()).and_then(PolicyHolder::of) else {
        return vec![HopFinding::new("put_objects", Severity::Skipped, "the stream's role was not checked")];
    };
    let is_other = stream.account.name != bucket.account.name;
    let place = &bucket.account.place;
    let (prefix, fix) = stream::prefix(view).unwrap_or_else(|| (bucket.prefix.clone(), None));
    let mut context: RequestContext = encryption(service_context(), view);
    if is_other {
        context = context.with("s3:x-amz-acl", ["bucket-owner-full-control"]);
    }
    let ask = |action: &'static str, resource: String| PermissionCheck {
        caller: holder.caller.clone(),
        action,
        resource,
        owner: place.account.clone(),
        context: context.clone(),
        holder: Some(&holder),
        of: TargetPolicies::Optional(PolicySources::of(item, "policy")),
    };
    let object = place.object(&bucket.name, &format!("{prefix}2026/11/22/01/standpipe")).to_string();
    let of_objects: Vec<_> =
        OBJECT.iter().take(if is_other { 4 } else { 3 }).map(|action| ask(action, object.clone())).collect();
    let arn = place.bucket(&bucket.name).to_string();
    let of_bucket: Vec<_> = BUCKET.iter().map(|action| ask(action, arn.clone())).collect();
    let mut put = all("put_objects", WHY, &of_objects);
    match (fix, put.level) {
        (Some(fix), Severity::Failure) => put = put.fix(fix),
        (Some(fix), _) => {
            let seen = format!("the stream writes below `{prefix}`, not below `{}`", bucket.prefix);
            let differs = HopFinding::warning("stream_prefix", seen).fix(fix);
            return vec![differs, put, all("find_bucket", WHY, &of_bucket)];
        }
        (None, _) => {}
    }
    vec![put, all("find_bucket", WHY, &of_bucket)]
}

/// With what Firehose asks S3 to encrypt an object with: what its stream says of it, and nothing where that leaves it to the bucket.
///
/// Source: `EncryptionConfiguration` of <https://docs.aws.amazon.com/firehose/latest/APIReference/API_ExtendedS3DestinationDescription.html>.
fn encryption(context: RequestContext, view: ObservedPlan<'_>) -> RequestContext {
    const ALGORITHM: &str = "s3:x-amz-server-side-encryption";
    const KEY: &str = "s3:x-amz-server-side-encryption-aws-kms-key-id";
    let is_stream = |kind: &ResourceKind| matches!(kind, ResourceKind::DeliveryStream(_));
    let stream = view.topology.stream.as_ref().and_then(|stream| view.find(&stream.account, is_stream));
    match stream.and_then(|stream| stream.state()?.get(extra::S3_KEY)) {
        Some(Value::String(key)) => context.with(ALGORITHM, ["aws:kms"]).with(KEY, [key.as_str()]),
        Some(_) => context.with::<String>(ALGORITHM, []).with::<String>(KEY, []),
        None => context,
    }
}

/// Whose the objects are.
/// Source: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/about-object-ownership.html>.
fn ownership(
    bucket: &LogBucket,
    item: ObservedResource<'_>,
    stream: &FirehoseStream,
    state: &ResourceState,
) -> HopFinding {
    const CHECK: &str = "bucket_ownership";
    let found = state.get("ownership").and_then(Value::as_str).unwrap_or("ObjectWriter");
    let seen = format!("objects are owned as {found} says");
    let fix = || item.repair("let the bucket's owner own all objects", &["ownership"]);
    match found {
        "BucketOwnerEnforced" => HopFinding::ok(CHECK, seen),
        // Firehose hands objects over when it writes to another account.
        "BucketOwnerPreferred" if stream.account.name != bucket.account.name => HopFinding::ok(CHECK, seen),
        _ if stream.account.name == bucket.account.name => HopFinding::warning(CHECK, seen)
            .why("access control lists also decide who may read objects")
            .fix(fix()),
        _ => HopFinding::failure(CHECK, seen)
            .why("objects belong to the stream's account, so the bucket's policies allow nobody to read them")
            .fix(fix()),
    }
}

fn public(item: ObservedResource<'_>, state: &ResourceState) -> HopFinding {
    const CHECK: &str = "public_access";
    if state.get("publicAccessBlock") == Some(&Value::Bool(true)) {
        return HopFinding::ok(CHECK, "public access is blocked");
    }
    HopFinding::warning(CHECK, "public access is not blocked")
        .why("one wrong policy or access control list would show logs to everybody")
        .fix(item.repair("block public access", &["publicAccessBlock"]))
}

/// The key that objects are encrypted with by default, and Firehose's use of it.
fn key(
    view: ObservedPlan<'_>,
    bucket: &LogBucket,
    item: ObservedResource<'_>,
    state: &ResourceState,
) -> Vec<HopFinding> {
    const CHECK: &str = "bucket_key";
    const WHY: &str = "every object is encrypted with it, and Firehose can write none without";
    let Some(name) = state.get("kmsKey").and_then(Value::as_str) else {
        let wanted = item.wanted("kmsKey");
        let Some(wanted) = wanted.as_str() else { return Vec::new() };
        let seen = format!("objects are not encrypted with `{wanted}` by default");
        return vec![
            HopFinding::warning(CHECK, seen).fix(item.repair("encrypt objects with the key", &["kmsKey"])),
        ];
    };
    let key = ObservedKey::of(view, &bucket.account, name);
    let usable = key.usable(CHECK, WHY);
    if usable.level == Severity::Failure {
        return vec![usable];
    }
    let is_stream = |kind: &ResourceKind| matches!(kind, ResourceKind::DeliveryStream(_));
    let stream = view.topology.stream.as_ref().and_then(|stream| view.find(&stream.account, is_stream));
    let role = stream.and_then(|stream| view.role(stream.text("role")?));
    let used = role.filter(|role| role.state().is_some()).and_then(PolicyHolder::of).and_then(|holder| {
        let arn = bucket.account.place.bucket(&bucket.name).to_string();
        let by = KeyRequest {
            caller: holder.caller.clone(),
            holder: Some(&holder),
            actions: &["kms:GenerateDataKey", "kms:Decrypt"],
            context: through(service_context(), &bucket.account, "s3")
                .with("kms:EncryptionContext:aws:s3:arn", [arn]),
        };
        key.used(CHECK, WHY, &by)
    });
    std::iter::once(usable).chain(used).collect()
}

/// The queue that is told of objects.
fn told(
    view: ObservedPlan<'_>,
    bucket: &LogBucket,
    item: ObservedResource<'_>,
    state: &ResourceState,
) -> Vec<HopFinding> {
    let Some(queue) = &bucket.queue else { return Vec::new() };
    let mut findings = queue_told(view, &bucket.account, queue, &bucket.name);
    findings.push(notification(item, state));
    findings
}

/// Whether a bucket tells the queue of what is wanted.
pub(super) fn notification(item: ObservedResource<'_>, state: &ResourceState) -> HopFinding {
    const CHECK: &str = "notification";
    let wanted = item.wanted("notification");
    let part =
        |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let failure = |seen: String| {
        HopFinding::failure(CHECK, seen).why("readers of the queue are not notified of new objects").fix(
            item.repair("let the bucket notify the queue; its other notifications stay", &["notification"]),
        )
    };
    let Some(found) = state.get("notification").filter(|found| !found.is_null()) else {
        return failure(format!("the bucket notifies `{}` of nothing", part(&wanted, "queue")));
    };
    if *found == wanted {
        return HopFinding::ok(CHECK, format!("the bucket notifies `{}`", part(&wanted, "queue")));
    }
    let is_wider = part(found, "queue") == part(&wanted, "queue")
        && found.get("events") == wanted.get("events")
        && part(&wanted, "prefix").starts_with(&part(found, "prefix"));
    let seen = format!(
        "the bucket notifies `{}` of {} below `{}`",
        part(found, "queue"),
        found.get("events").map(ToString::to_string).unwrap_or_default(),
        part(found, "prefix")
    );
    if is_wider { HopFinding::warning(CHECK, seen) } else { failure(seen) }
}

/// Whether a queue is there, and the bucket may send to it.
pub(super) fn queue_told(
    view: ObservedPlan<'_>,
    account: &AwsAccount,
    queue: &str,
    bucket: &str,
) -> Vec<HopFinding> {
    const WHY: &str = "S3 notifies the queue of new objects, and only the queue's policy allows it";
    let is = |kind: &ResourceKind| matches!(kind, ResourceKind::Queue { name, .. } if name == queue);
    let Some(item) = view.find(account, is) else { return Vec::new() };
    if let Err(missing) = item.there("queue", "nobody is notified of new objects") {
        return vec![*missing];
    }
    let place = &account.place;
    let ask = PermissionCheck {
        caller: RequestPrincipal::Service { names: vec!["s3.amazonaws.com".to_owned()] },
        action: "sqs:SendMessage",
        resource: place.queue(queue).to_string(),
        owner: place.account.clone(),
        context: service_context()
            .with("aws:SourceArn", [place.bucket(bucket).to_string()])
            .with("aws:SourceAccount", [place.account.as_str()]),
        holder: None,
        of: TargetPolicies::Optional(PolicySources::of(item, "policy")),
    };
    let there = HopFinding::ok("queue", format!("{} exists", item.title()));
    vec![there, all("queue_policy", WHY, &[ask])]
}

/// The policy of a bucket, which the plan makes or which is there beside it.
pub(super) fn policy<'a>(view: ObservedPlan<'a>, account: &'a AwsAccount, bucket: &str) -> PolicySources<'a> {
    let is = |kind: &ResourceKind| matches!(kind, ResourceKind::Bucket { name, .. } if name == bucket);
    if let Some(item) = view.find(account, is) {
        return PolicySources::of(item, "policy");
    }
    let state = view.prerequisite_state(account, &Prerequisite::Bucket(bucket.to_owned()));
    // What nobody saw may say anything.
    let Some(state) = state else { return PolicySources::default() };
    let Some(found) = state.get("policy").and_then(super::observed::policy) else {
        return PolicySources::none();
    };
    let fix = || PolicyFix::Foreign(account, ForeignPolicy::Bucket(bucket.to_owned()));
    PolicySources::at(fix()).with(format!("the policy of bucket `{bucket}`"), found, fix())
}
