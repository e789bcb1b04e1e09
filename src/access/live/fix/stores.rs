//! The calls for keys, buckets and queues.

use serde_json::{Value, json};

use super::planner::{CallPlanner, text, with};
use crate::access::live::extra;
use crate::access::plan::{KeyUse, PlannedResource, ResourceKind};
use crate::access::policy::PolicyDocument;
use crate::access::render::{QUEUE_RETENTION, QUEUE_VISIBILITY};
use crate::aws::{ApiCall, AwsService, answer};

/// The id of a bucket's entry that is this topology's; the others are left alone.
pub const NOTIFICATION_ID: &str = "standpipe";

impl CallPlanner<'_> {
    pub(super) fn create_key(&self, alias: &str, policy: &PolicyDocument) -> Vec<ApiCall> {
        let id = answer("CreateKey", "KeyMetadata.KeyId");
        let tags = self.tags("TagKey", "TagValue");
        let key = json!({ "Description": alias, "Policy": policy.to_json(), "Tags": tags });
        vec![
            ApiCall::new(AwsService::Kms, "CreateKey", key),
            ApiCall::new(AwsService::Kms, "CreateAlias", json!({ "AliasName": alias, "TargetKeyId": id })),
            ApiCall::new(AwsService::Kms, "EnableKeyRotation", json!({ "KeyId": id })),
        ]
    }

    pub(super) fn repair_key(
        &self,
        resource: &PlannedResource,
        alias: &str,
        policy: &PolicyDocument,
        aspect: &str,
    ) -> Vec<ApiCall> {
        let (mut calls, arn) =
            self.key_arn(&KeyUse::Made { id: resource.id.clone(), alias: alias.to_owned() });
        let id = arn.split_once(":key/").map_or(arn.as_str(), |(_, id)| id);
        let key = || json!({ "KeyId": id });
        match aspect {
            "policy" => {
                let input = json!({ "KeyId": id, "PolicyName": "default", "Policy": policy.to_json() });
                calls.push(ApiCall::new(AwsService::Kms, "PutKeyPolicy", input));
            }
            "state" => {
                let state = self.state(resource).map(|state| text(state, "state"));
                if state.as_deref() == Some("PendingDeletion") {
                    // The key is disabled after this.
                    calls.push(ApiCall::new(AwsService::Kms, "CancelKeyDeletion", key()));
                }
                calls.push(ApiCall::new(AwsService::Kms, "EnableKey", key()));
            }
            _ => return Vec::new(),
        }
        calls
    }

    pub(super) fn create_bucket(&self, name: &str) -> Vec<ApiCall> {
        let region = &self.place().region;
        // us-east-1 is where a bucket is made without a word, and must not be named.
        // Source: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html>.
        let place = (region != "us-east-1").then(|| json!({ "LocationConstraint": region }));
        let bucket = with(json!({ "Bucket": name }), [("CreateBucketConfiguration", place)]);
        let tagging = json!({ "Bucket": name, "Tagging": { "TagSet": self.tags("Key", "Value") } });
        vec![
            ApiCall::new(AwsService::S3, "CreateBucket", bucket),
            ApiCall::new(AwsService::S3, "PutBucketTagging", tagging),
        ]
    }

    pub(super) fn repair_bucket(&self, resource: &PlannedResource, aspect: &str) -> Vec<ApiCall> {
        let ResourceKind::Bucket { name, policy, key, queue, prefix } = &resource.kind else {
            return Vec::new();
        };
        match aspect {
            "publicAccessBlock" => {
                let blocked = json!({
                    "BlockPublicAcls": true,
                    "IgnorePublicAcls": true,
                    "BlockPublicPolicy": true,
                    "RestrictPublicBuckets": true,
                });
                vec![setting("PutPublicAccessBlock", name, "PublicAccessBlockConfiguration", &blocked)]
            }
            "ownership" => {
                let rules = json!({ "Rules": [{ "ObjectOwnership": "BucketOwnerEnforced" }] });
                vec![setting("PutBucketOwnershipControls", name, "OwnershipControls", &rules)]
            }
            "kmsKey" => self.encrypt_bucket(name, key.as_ref()),
            "policy" => vec![setting("PutBucketPolicy", name, "Policy", &policy.to_json().into())],
            "notification" => {
                let put = |queue: &String| self.put_notification(resource, name, queue, prefix);
                queue.iter().map(put).collect()
            }
            _ => Vec::new(),
        }
    }

    fn encrypt_bucket(&self, bucket: &str, key: Option<&KeyUse>) -> Vec<ApiCall> {
        let (mut calls, default) = match key.map(|key| self.key_arn(key)) {
            None => (Vec::new(), json!({ "SSEAlgorithm": "AES256" })),
            Some((calls, arn)) => (calls, json!({ "SSEAlgorithm": "aws:kms", "KMSMasterKeyID": arn })),
        };
        let rule =
            json!({ "ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": key.is_some() });
        let rules = json!({ "Rules": [rule] });
        calls.push(setting("PutBucketEncryption", bucket, "ServerSideEncryptionConfiguration", &rules));
        calls
    }

    /// What the bucket tells others stays: S3 knows no call that adds one entry.
    pub(super) fn put_notification(
        &self,
        resource: &PlannedResource,
        bucket: &str,
        queue: &str,
        prefix: &str,
    ) -> ApiCall {
        let known = self.state(resource).and_then(|state| state.get(extra::NOTIFICATIONS));
        let mut all = known.and_then(Value::as_object).cloned().unwrap_or_default();
        let others = all.get("QueueConfigurations").and_then(Value::as_array).into_iter().flatten();
        let others = others.filter(|one| one.get("Id").and_then(Value::as_str) != Some(NOTIFICATION_ID));
        let filter = (!prefix.is_empty()).then(|| {
            let rule = json!({ "Name": "prefix", "Value": prefix });
            json!({ "Key": { "FilterRules": [rule] } })
        });
        let own = json!({ "Id": NOTIFICATION_ID, "QueueArn": queue, "Events": ["s3:ObjectCreated:*"] });
        let queues: Vec<Value> = others.cloned().chain([with(own, [("Filter", filter)])]).collect();
        all.insert("QueueConfigurations".to_owned(), queues.into());
        let all = Value::Object(all);
        setting("PutBucketNotificationConfiguration", bucket, "NotificationConfiguration", &all)
    }

    pub(super) fn create_queue(&self, name: &str, policy: &PolicyDocument) -> ApiCall {
        let attributes = json!({
            "MessageRetentionPeriod": QUEUE_RETENTION.to_string(),
            "VisibilityTimeout": QUEUE_VISIBILITY.to_string(),
            "SqsManagedSseEnabled": "true",
            "Policy": policy.to_json(),
        });
        let input = json!({ "QueueName": name, "Attributes": attributes, "tags": self.tag_map() });
        ApiCall::new(AwsService::Sqs, "CreateQueue", input)
    }
}

fn setting(operation: &'static str, bucket: &str, key: &str, value: &Value) -> ApiCall {
    ApiCall::new(AwsService::S3, operation, json!({ "Bucket": bucket, key: value }))
}

pub(super) fn repair_queue(name: &str, policy: &PolicyDocument, aspect: &str) -> Vec<ApiCall> {
    let (attribute, value) = match aspect {
        "messageRetentionPeriod" => ("MessageRetentionPeriod", QUEUE_RETENTION.to_string()),
        "visibilityTimeout" => ("VisibilityTimeout", QUEUE_VISIBILITY.to_string()),
        "policy" => ("Policy", policy.to_json()),
        _ => return Vec::new(),
    };
    let url = answer("GetQueueUrl", "QueueUrl");
    vec![
        ApiCall::new(AwsService::Sqs, "GetQueueUrl", json!({ "QueueName": name })),
        ApiCall::new(
            AwsService::Sqs,
            "SetQueueAttributes",
            json!({ "QueueUrl": url, "Attributes": { attribute: value } }),
        ),
    ]
}
