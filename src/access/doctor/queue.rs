//! Whether a queue that announces objects can be read, and is set up as it should be. The buckets are known from its messages alone.

use serde_json::{Value, json};

use super::call_error::advice;
use crate::access::doctor::role::document;
use crate::access::policy::document::{Negatable, Statement};
use crate::access::report::{Fix, HopFinding, MissingPolicy, Severity};
use crate::arn::Arn;
use crate::aws::{ApiCall, ApiClient, AwsService, CallError, CallOptions, ObjectRequest};
use crate::config::{ListingFeed, ObjectFeed, QueueFeed, S3Source};
use crate::event::Origin;

/// What a reader of a queue does.
const ACTIONS: [&str; 4] =
    ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes"];

/// Looks at what a source of objects needs.
pub(super) async fn check(source: &S3Source, origin: &Origin) -> Vec<HopFinding> {
    let whose = format!("source `{}`", origin.source);
    let mut findings = Vec::new();
    let feed = match &source.feed {
        ObjectFeed::Queue(feed) => feed,
        ObjectFeed::Listing(feed) => {
            of_bucket(&whose, source, feed, origin, &mut findings).await;
            return findings;
        }
    };
    match ApiClient::with(&whose, &feed.aws, feed.region().map(str::to_owned), origin).await {
        Ok(client) => of_queue(&client.at(Some(feed.endpoint().to_owned())), feed, &mut findings).await,
        Err(error) => findings.push(unusable(&CallError::from(error))),
    }
    match ApiClient::with(&whose, &source.aws, None, origin).await {
        Ok(client) => findings.extend(principal(&client, "its buckets").await.err()),
        Err(error) => findings.push(unusable(&CallError::from(error))),
    }
    let is_well = !findings.iter().any(|finding| finding.level == Severity::Failure);
    if is_well {
        let seen = "its buckets are known from the messages alone, and were not looked at";
        findings.push(HopFinding::new("buckets", Severity::Skipped, seen));
    }
    findings
}

fn unusable(refused: &CallError) -> HopFinding {
    HopFinding::failure("endpoint", refused.to_string()).fix(advice(refused))
}

/// Lists some objects of a bucket that is listed, and reads one.
async fn of_bucket(
    whose: &str,
    source: &S3Source,
    feed: &ListingFeed,
    origin: &Origin,
    findings: &mut Vec<HopFinding>,
) {
    let client = match ApiClient::with(whose, &source.aws, None, origin).await {
        Ok(client) => client.at(source.aws.endpoint_url.clone()),
        Err(error) => return findings.push(unusable(&CallError::from(error))),
    };
    let client = match &source.bucket_owner {
        Some(owner) => client.owning(owner),
        None => client,
    };
    let principal = match principal(&client, "its bucket").await {
        Ok(principal) => principal,
        Err(failure) => return findings.push(failure),
    };
    findings.push(HopFinding::ok("credentials", format!("found: `{principal}`")));
    let ListingFeed { bucket, prefix, .. } = feed;
    let mut input = json!({ "Bucket": bucket, "Prefix": prefix, "MaxKeys": 100 });
    if let Some(members) = input.as_object_mut().filter(|_| source.requester_pays) {
        members.insert("RequestPayer".to_owned(), "requester".into());
    }
    let call = ApiCall::new(AwsService::S3, "ListObjectsV2", input);
    let answer = client.call_with(&call, CallOptions::default()).await;
    let readable = answer.as_ref().ok().and_then(readable);
    findings.push(match answer {
        Ok(listed) if listed.get("Contents").is_some() => {
            HopFinding::ok("bucket", format!("`s3://{bucket}/{prefix}` can be listed"))
        }
        Ok(_) => HopFinding::warning("bucket", format!("`s3://{bucket}/{prefix}` can be listed, and holds no object"))
            .fix("correct `prefix`, if there should be some"),
        Err(refused) => {
            let denied = refused.code().is_some_and(|code| code.contains("AccessDenied") || code == "403");
            let failure = HopFinding::failure("bucket", format!("`s3://{bucket}/{prefix}`: {refused}"))
                .why("what is not listed is not read");
            if denied {
                failure.fix(format!("allow `s3:ListBucket` on the bucket itself (`arn:aws:s3:::{bucket}`, without `/*`) to `{principal}`"))
            } else {
                failure.fix(advice(&refused))
            }
        }
    });
    if let Some(key) = readable {
        findings.push(of_object(&client, source, bucket, &key, &principal).await);
    }
}

/// The key of an object that holds something, and is not in an archive.
fn readable(listed: &Value) -> Option<String> {
    let text = |object: &Value, name: &str| object.get(name).and_then(Value::as_str).map(str::to_owned);
    let is_archived = |object: &Value| {
        text(object, "StorageClass").is_some_and(|class| matches!(class.as_str(), "GLACIER" | "DEEP_ARCHIVE"))
    };
    let objects = listed.get("Contents").and_then(Value::as_array).into_iter().flatten();
    let mut whole =
        objects.filter(|object| text(object, "Size").is_some_and(|size| size != "0") && !is_archived(object));
    let written = text(whole.next()?, "Key")?.replace('+', " ");
    Some(percent_encoding::percent_decode_str(&written).decode_utf8_lossy().into_owned())
}

/// Asks for an object, and reads none of it.
async fn of_object(
    client: &ApiClient,
    source: &S3Source,
    bucket: &str,
    key: &str,
    principal: &str,
) -> HopFinding {
    let name = format!("`s3://{bucket}/{key}`");
    let request = ObjectRequest { bucket, key, requester_pays: source.requester_pays, ..Default::default() };
    let Err(refused) = client.get_object(&request, source.aws.request_timeout).await else {
        return HopFinding::ok("object", format!("{name} can be read"));
    };
    match refused.code() {
        Some("NoSuchKey" | "404") => HopFinding::ok("object", format!("{name} was removed meanwhile")),
        Some("InvalidObjectState") => {
            HopFinding::warning("object", format!("{name} is in an archive")).fix("restore it, to read it")
        }
        Some(code) if code.contains("AccessDenied") || code == "403" => {
            let failure = HopFinding::failure("object", format!("{name}: {refused}"));
            failure.why("objects are listed, and cannot be read").fix(format!("allow `s3:GetObject` on the objects (`arn:aws:s3:::{bucket}/*`, not the bucket itself) to `{principal}`, and `kms:Decrypt` on their key if KMS encrypts them, in the key's policy too if it is another account's"))
        }
        Some(_) | None => HopFinding::failure("object", format!("{name}: {refused}")).fix(advice(&refused)),
    }
}

/// Who reads; or why nobody does.
async fn principal(client: &ApiClient, what: &str) -> Result<String, HopFinding> {
    client.prove().await.map_err(|refused| {
        let why = format!("{what} cannot be read without credentials");
        HopFinding::failure("credentials", refused.to_string()).why(why).fix(advice(&refused))
    })
}

async fn of_queue(client: &ApiClient, feed: &QueueFeed, findings: &mut Vec<HopFinding>) {
    let principal = match principal(client, "its queue").await {
        Ok(principal) => principal,
        Err(failure) => return findings.push(failure),
    };
    findings.push(HopFinding::ok("credentials", format!("found: `{principal}`")));
    let input = json!({ "QueueUrl": feed.url, "AttributeNames": ["All"] });
    let call = ApiCall::new(AwsService::Sqs, "GetQueueAttributes", input);
    match client.call_with(&call, CallOptions::default()).await {
        Ok(answer) => findings.extend(of_attributes(&feed.url, &answer)),
        Err(refused) => findings.push(of_refusal(feed, &principal, &refused)),
    }
}

fn of_refusal(feed: &QueueFeed, principal: &str, refused: &CallError) -> HopFinding {
    const WHY: &str = "without its messages, the source knows of no object";
    let failure = HopFinding::failure("queue", format!("`{}`: {refused}", feed.url)).why(WHY);
    match refused.code() {
        Some(code) if code.contains("AccessDenied") || code == "403" => failure.fix(grant(feed, principal)),
        Some(code) if code.contains("QueueDoesNotExist") || code.contains("NonExistentQueue") => {
            failure.fix("correct `queue_url`, or create the queue")
        }
        Some(_) | None => failure.fix(advice(refused)),
    }
}

fn grant(feed: &QueueFeed, principal: &str) -> Fix {
    let mut parts = feed.url.rsplit('/');
    let (name, account) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let region = feed.region().unwrap_or("REGION");
    let queue = format!("arn:{}:sqs:{region}:{account}:{name}", partition(principal));
    let mut statement = Statement::allow("StandpipeQueue", ACTIONS);
    statement.resources = Some(Negatable::Is(vec![queue.clone()]));
    Fix {
        text: format!(
            "allow {} on `{queue}` to `{principal}`",
            ACTIONS.map(|action| format!("`{action}`")).join(", ")
        ),
        policies: vec![MissingPolicy {
            at: format!("a policy of `{principal}`"),
            document: document(statement),
        }],
        ..Fix::default()
    }
}

fn partition(principal: &str) -> String {
    principal.parse::<Arn>().map_or_else(|_| "aws".to_owned(), |arn| arn.partition.to_string())
}

fn of_attributes(url: &str, answer: &Value) -> Vec<HopFinding> {
    let attribute = |name: &str| answer.pointer(&format!("/Attributes/{name}")).and_then(Value::as_str);
    let count = |name: &str| attribute(name).unwrap_or("?").to_owned();
    let seen = format!(
        "`{url}` has {} messages, and {} that somebody works on",
        count("ApproximateNumberOfMessages"),
        count("ApproximateNumberOfMessagesNotVisible"),
    );
    let mut findings = vec![HopFinding::ok("queue", seen)];
    if attribute("RedrivePolicy").is_none_or(str::is_empty) {
        findings.push(
            HopFinding::warning("queue_redrive", "the queue has no redrive policy")
                .why("a message that announces nothing becomes a dead letter of standpipe's when it came for the fifth time")
                .fix("give it one: a dead-letter queue, and 5 receives"),
        );
    }
    let kept = attribute("MessageRetentionPeriod").and_then(|kept| kept.parse::<u64>().ok());
    if let Some(kept) = kept.filter(|kept| *kept < LEAST_RETENTION) {
        findings.push(
            HopFinding::warning("queue_retention", format!("the queue keeps messages for {kept} s"))
                .why("an outage that lasts longer loses what they announce")
                .fix("let it keep them for 14 days, the longest"),
        );
    }
    findings
}

/// Four days, as a queue has by itself.
const LEAST_RETENTION: u64 = 345_600;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::AwsSettings;

    #[track_caller]
    fn check(attributes: &Value, expected: &[(&str, Severity)]) {
        let findings = of_attributes("https://sqs/1/q", &json!({ "Attributes": attributes }));
        let found: Vec<_> = findings.iter().map(|finding| (finding.check, finding.level)).collect();
        assert_eq!(found, expected, "{attributes}");
    }

    #[test]
    fn a_queue_that_may_lose_messages_is_warned_of() {
        let redrive = "{\"maxReceiveCount\":5}";
        check(
            &json!({ "RedrivePolicy": redrive, "MessageRetentionPeriod": "345600" }),
            &[("queue", Severity::Ok)],
        );
        check(
            &json!({ "MessageRetentionPeriod": "60" }),
            &[
                ("queue", Severity::Ok),
                ("queue_redrive", Severity::Warning),
                ("queue_retention", Severity::Warning),
            ],
        );
    }

    #[test]
    fn an_object_is_tried_that_holds_something_and_is_at_hand() {
        let object =
            |key: &str, size: &str, class: &str| json!({ "Key": key, "Size": size, "StorageClass": class });
        let folder = object("AWSLogs%2F", "0", "STANDARD");
        let archived = object("AWSLogs%2Fold", "9", "GLACIER");
        let whole = object("AWSLogs%2Fa+b%2B", "9", "STANDARD");
        let found = |objects: &[&Value]| readable(&json!({ "Contents": objects }));
        assert_eq!(found(&[&folder, &archived, &whole]).as_deref(), Some("AWSLogs/a b+"));
        assert_eq!(found(&[&folder, &archived]), None);
        assert_eq!(readable(&json!({})), None);
    }

    #[test]
    fn a_denial_names_the_actions_and_the_queue() {
        let url = "https://sqs.eu-west-1.amazonaws.com/222222222222/trail".to_owned();
        let feed = QueueFeed { url, aws: AwsSettings::default(), visibility: Duration::ZERO };
        let denied = CallError::Answered { code: "AccessDenied".to_owned(), message: "no".to_owned() };
        let finding = of_refusal(&feed, "arn:aws:sts::1:assumed-role/r/s", &denied);
        let text = finding.fix.unwrap().text;
        assert!(
            text.contains("`sqs:DeleteMessage`") && text.contains("arn:aws:sqs:eu-west-1:222222222222:trail"),
            "{text}"
        );
        let gone = CallError::Answered { code: "QueueDoesNotExist".to_owned(), message: "no".to_owned() };
        assert!(of_refusal(&feed, "", &gone).fix.unwrap().text.contains("queue_url"));
    }
}
