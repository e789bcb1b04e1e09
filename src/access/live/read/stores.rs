//! Looks at keys, buckets, queues and tables.

use serde_json::{Map, Value, json};

use super::reader::{AccountReader, PageNames, ReadResult, Unread, list, note, optional, policy, tags, text};
use super::{ResourceState, extra};
use crate::access::live::NOTIFICATION_ID;
use crate::aws::AwsService;

impl AccountReader<'_> {
    pub(super) async fn key(&self, alias: &str) -> ReadResult<ResourceState> {
        let key = self.ask(AwsService::Kms, "DescribeKey", json!({ "KeyId": alias })).await?;
        let id = text(&key, "/KeyMetadata/KeyId");
        let input = json!({ "KeyId": id, "PolicyName": "default" });
        let own = self.ask(AwsService::Kms, "GetKeyPolicy", input).await?;
        let mut state = ResourceState::from([
            ("state", json!(text(&key, "/KeyMetadata/KeyState"))),
            ("policy", policy(text(&own, "/Policy"))),
            (extra::ARN, json!(text(&key, "/KeyMetadata/Arn"))),
        ]);
        let tagged = self.ask(AwsService::Kms, "ListResourceTags", json!({ "KeyId": id, "Limit": 50 })).await;
        note(&mut state, extra::TAGS, tagged.ok().map(|it| tags(list(&it, "/Tags"), "TagKey", "TagValue")));
        Ok(state)
    }

    pub(super) async fn bucket(&self, name: &str, queue: Option<&str>) -> ReadResult<ResourceState> {
        self.s3("GetBucketLocation", name).await?;
        let blocked = optional(self.s3("GetPublicAccessBlock", name).await)?;
        let is_blocked = blocked.is_some_and(|blocked| {
            let all = blocked.get("PublicAccessBlockConfiguration").and_then(Value::as_object);
            all.is_some_and(|all| all.len() == 4 && all.values().all(|one| one == "true"))
        });
        let ownership = optional(self.s3("GetBucketOwnershipControls", name).await)?.unwrap_or_default();
        let encryption = optional(self.s3("GetBucketEncryption", name).await)?.unwrap_or_default();
        let own = optional(self.s3("GetBucketPolicy", name).await)?;
        let default = "/ServerSideEncryptionConfiguration/Rules/0/ApplyServerSideEncryptionByDefault";
        let mut state = ResourceState::from([
            ("publicAccessBlock", json!(is_blocked)),
            ("kmsKey", self.key_name(encryption.pointer(&format!("{default}/KMSMasterKeyID")))),
            (extra::ARN, json!(self.place.bucket(name).to_string())),
        ]);
        note(
            &mut state,
            "ownership",
            ownership.pointer("/OwnershipControls/Rules/0/ObjectOwnership").cloned(),
        );
        note(&mut state, "policy", own.map(|own| policy(text(&own, "/Policy"))));
        if let Some(queue) = queue {
            self.told(name, queue, &mut state).await?;
        }
        let tagged = optional(self.s3("GetBucketTagging", name).await);
        let tagged = tagged.ok().map(|it| tags(list(&it.unwrap_or_default(), "/TagSet"), "Key", "Value"));
        note(&mut state, extra::TAGS, tagged);
        Ok(state)
    }

    /// Why a bucket cannot be deleted: what is in it, old versions too.
    pub(super) async fn held(&self, name: &str) -> Option<String> {
        let input = json!({ "Bucket": name, "MaxKeys": 1 });
        match self.ask(AwsService::S3, "ListObjectVersions", input).await {
            Ok(found)
                if list(&found, "/Versions").is_empty() && list(&found, "/DeleteMarkers").is_empty() =>
            {
                None
            }
            Ok(_) => Some("it is not empty".to_owned()),
            Err(Unread::Absent) => None,
            Err(Unread::Unseen(why)) => Some(format!("cannot see whether it is empty: {why}")),
        }
    }

    pub(super) async fn notification(&self, bucket: &str, queue: &str) -> ReadResult<ResourceState> {
        let mut state = ResourceState::new();
        self.told(bucket, queue, &mut state).await?;
        Ok(state)
    }

    /// What a bucket tells a queue, and all that it tells.
    async fn told(&self, bucket: &str, queue: &str, state: &mut ResourceState) -> ReadResult<()> {
        let all = self.s3("GetBucketNotificationConfiguration", bucket).await?;
        note(state, "notification", one(list(&all, "/QueueConfigurations"), queue));
        let all = if all.is_object() { all } else { json!({}) };
        state.insert(extra::NOTIFICATIONS, all);
        Ok(())
    }

    async fn s3(&self, operation: &'static str, bucket: &str) -> ReadResult<Value> {
        self.ask(AwsService::S3, operation, json!({ "Bucket": bucket })).await
    }

    pub(super) async fn queue(&self, name: &str) -> ReadResult<ResourceState> {
        let found = self.ask(AwsService::Sqs, "GetQueueUrl", json!({ "QueueName": name })).await?;
        let url = text(&found, "/QueueUrl");
        let input = json!({ "QueueUrl": url, "AttributeNames": ["All"] });
        let found = self.ask(AwsService::Sqs, "GetQueueAttributes", input).await?;
        let number =
            |name: &str| text(&found, &format!("/Attributes/{name}")).parse::<u64>().ok().map(Value::from);
        let mut state = ResourceState::from([(extra::ARN, json!(text(&found, "/Attributes/QueueArn")))]);
        note(&mut state, "messageRetentionPeriod", number("MessageRetentionPeriod"));
        note(&mut state, "visibilityTimeout", number("VisibilityTimeout"));
        let own = found.pointer("/Attributes/Policy").and_then(Value::as_str).filter(|own| !own.is_empty());
        note(&mut state, "policy", own.map(policy));
        let tagged = self.ask(AwsService::Sqs, "ListQueueTags", json!({ "QueueUrl": url })).await;
        note(&mut state, extra::TAGS, tagged.ok().map(|it| tag_map(&it, "Tags")));
        Ok(state)
    }

    pub(super) async fn table(&self, name: &str) -> ReadResult<ResourceState> {
        let found = self.ask(AwsService::DynamoDb, "DescribeTable", json!({ "TableName": name })).await?;
        let arn = text(&found, "/Table/TableArn");
        let mut state = ResourceState::from([
            ("status", json!(text(&found, "/Table/TableStatus"))),
            (extra::ARN, json!(arn)),
        ]);
        let input = Map::from_iter([("ResourceArn".to_owned(), json!(arn))]);
        let names = PageNames { items: "Tags", token: "NextToken" };
        let tagged = self.all(AwsService::DynamoDb, "ListTagsOfResource", input, names).await;
        note(&mut state, extra::TAGS, tagged.ok().map(|it| tags(&it, "Key", "Value")));
        Ok(state)
    }
}

/// Tags that come as an object; without any, it may be missing.
pub(super) fn tag_map(answer: &Value, member: &str) -> Value {
    answer.get(member).filter(|tags| tags.is_object()).cloned().unwrap_or_else(|| json!({}))
}

/// What is told to a queue: by the topology's own entry, or, if that is to another queue, by whichever entry names this one.
fn one(entries: &[Value], queue: &str) -> Option<Value> {
    let to = |entry: &&Value| text(entry, "/QueueArn") == queue;
    let own = |entry: &&Value| text(entry, "/Id") == NOTIFICATION_ID;
    let entry = entries.iter().filter(to).find(own).or_else(|| entries.iter().find(to));
    let entry = entry.or_else(|| entries.iter().find(own))?;
    let rules = list(entry, "/Filter/Key/FilterRules");
    // S3 gives the rule's name back with a capital.
    let prefix = rules.iter().find(|rule| text(rule, "/Name").eq_ignore_ascii_case("prefix"));
    Some(json!({
        "queue": text(entry, "/QueueArn"),
        "events": list(entry, "/Events"),
        "prefix": prefix.map_or("", |rule| text(rule, "/Value")),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_entry_is_found_among_others() {
        let entry = |id: &str, queue: &str, rule: &str| {
            json!({ "Id": id, "QueueArn": queue, "Events": ["s3:ObjectCreated:*"],
                "Filter": { "Key": { "FilterRules": [{ "Name": rule, "Value": "p/" }] } } })
        };
        let check = |entries: &[Value], queue: Option<&str>, prefix: &str| {
            let found = one(entries, "ours");
            assert_eq!(found.as_ref().map(|found| text(found, "/queue")), queue);
            assert_eq!(found.as_ref().map_or("", |found| text(found, "/prefix")), prefix);
        };
        check(&[], None, "");
        check(&[entry("a", "other", "prefix")], None, "");
        check(&[entry("a", "other", "prefix"), entry("standpipe", "ours", "Prefix")], Some("ours"), "p/");
        check(&[entry("standpipe", "other", "suffix")], Some("other"), "");
        check(&[entry("mine", "ours", "prefix")], Some("ours"), "p/");
    }
}
