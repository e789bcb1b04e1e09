//! Looks at what logs flow through: log groups, streams, destinations, filters.

use serde_json::{Map, Value, json};

use super::reader::{AccountReader, ReadResult, Unread, list, note, optional, policy, tags, text};
use super::stores::tag_map;
use super::{ResourceState, extra};
use crate::aws::AwsService;

impl AccountReader<'_> {
    pub(super) async fn log_group(&self, name: &str, stream: Option<&str>) -> ReadResult<ResourceState> {
        let found =
            self.logs("DescribeLogGroups", json!({ "logGroupNamePrefix": name }), "logGroups").await?;
        let found = named(found, "/logGroupName", name)?;
        let arn = self.place.log_group(name, false).to_string();
        let mut state =
            ResourceState::from([("kmsKey", self.key_name(found.get("kmsKeyId"))), (extra::ARN, json!(arn))]);
        note(&mut state, "retentionInDays", found.get("retentionInDays").cloned());
        if let Some(stream) = stream {
            let input = json!({ "logGroupName": name, "logStreamNamePrefix": stream });
            let streams = self.logs("DescribeLogStreams", input, "logStreams").await?;
            let is_there = named(streams, "/logStreamName", stream).is_ok();
            note(&mut state, "logStream", is_there.then(|| json!(stream)));
        }
        note(&mut state, extra::TAGS, self.logs_tags(&arn).await);
        Ok(state)
    }

    /// A log group that the plan rests on: its filters and its own policy too.
    pub(super) async fn subscribed_log_group(&self, name: &str) -> ReadResult<ResourceState> {
        let mut state = self.log_group(name, None).await?;
        let input = json!({ "logGroupName": name });
        let filters = self.logs("DescribeSubscriptionFilters", input, "subscriptionFilters").await?;
        let filters = filters
            .iter()
            .map(|filter| (text(filter, "/filterName").to_owned(), json!(text(filter, "/destinationArn"))));
        state.insert(extra::FILTERS, Value::Object(filters.collect()));
        let arn = self.place.log_group(name, false).to_string();
        let input = json!({ "resourceArn": arn, "policyScope": "RESOURCE" });
        // Regions differ in whether they know policies of a log group.
        let own = self.logs("DescribeResourcePolicies", input, "resourcePolicies").await.unwrap_or_default();
        let own = own.iter().find(|own| text(own, "/resourceArn").trim_end_matches(":*") == arn);
        note(&mut state, "policy", own.map(|own| policy(text(own, "/policyDocument"))));
        Ok(state)
    }

    async fn logs_tags(&self, arn: &str) -> Option<Value> {
        let tagged = self.ask(AwsService::Logs, "ListTagsForResource", json!({ "resourceArn": arn })).await;
        tagged.ok().map(|answer| tag_map(&answer, "tags"))
    }

    pub(super) async fn delivery_stream(&self, name: &str) -> ReadResult<ResourceState> {
        let input = || json!({ "DeliveryStreamName": name });
        let found = self.ask(AwsService::Firehose, "DescribeDeliveryStream", input()).await?;
        let stream = found.get("DeliveryStreamDescription").cloned().unwrap_or_default();
        let encryption = stream.get("DeliveryStreamEncryptionConfiguration");
        let is_own = encryption.is_some_and(|it| {
            text(it, "/KeyType") == "CUSTOMER_MANAGED_CMK" && text(it, "/Status").starts_with("ENABL")
        });
        let to =
            stream.pointer("/Destinations/0/ExtendedS3DestinationDescription").cloned().unwrap_or_default();
        let logging = to.get("CloudWatchLoggingOptions").filter(|it| it.get("Enabled") == Some(&json!(true)));
        let key = encryption.filter(|_| is_own).and_then(|it| it.get("KeyARN"));
        let mut state = ResourceState::from([
            ("status", json!(text(&stream, "/DeliveryStreamStatus"))),
            ("role", json!(text(&to, "/RoleARN"))),
            ("bucket", json!(text(&to, "/BucketARN"))),
            ("prefix", json!(text(&to, "/Prefix"))),
            ("kmsKey", self.key_name(key)),
            (extra::ARN, json!(text(&stream, "/DeliveryStreamARN"))),
            (extra::SOURCE, json!(text(&stream, "/DeliveryStreamType"))),
            (extra::DECOMPRESSES, json!(decompresses(&stream))),
        ]);
        note(&mut state, extra::S3_KEY, own_key(&to));
        note(&mut state, "errorLogGroup", logging.map(|it| json!(text(it, "/LogGroupName"))));
        let input = json!({ "DeliveryStreamName": name, "Limit": 50 });
        let tagged = self.ask(AwsService::Firehose, "ListTagsForDeliveryStream", input).await;
        note(&mut state, extra::TAGS, tagged.ok().map(|it| tags(list(&it, "/Tags"), "Key", "Value")));
        Ok(state)
    }

    pub(super) async fn data_stream(&self, name: &str) -> ReadResult<ResourceState> {
        let input = json!({ "StreamName": name });
        let found = self.ask(AwsService::Kinesis, "DescribeStreamSummary", input).await?;
        let stream = found.get("StreamDescriptionSummary").cloned().unwrap_or_default();
        let key = stream.get("KeyId").filter(|_| text(&stream, "/EncryptionType") == "KMS");
        let mut state = ResourceState::from([
            ("status", json!(text(&stream, "/StreamStatus"))),
            ("kmsKey", self.key_name(key)),
            (extra::ARN, json!(text(&stream, "/StreamARN"))),
        ]);
        note(&mut state, "policy", self.data_stream_policy(text(&stream, "/StreamARN")).await);
        let input = json!({ "StreamName": name, "Limit": 50 });
        let tagged = self.ask(AwsService::Kinesis, "ListTagsForStream", input).await;
        note(&mut state, extra::TAGS, tagged.ok().map(|it| tags(list(&it, "/Tags"), "Key", "Value")));
        Ok(state)
    }

    /// A stream's own policy, or null where it has none; not told where it may not be read.
    async fn data_stream_policy(&self, arn: &str) -> Option<Value> {
        let asked = self.ask(AwsService::Kinesis, "GetResourcePolicy", json!({ "ResourceARN": arn })).await;
        let own = optional(asked).ok()?.unwrap_or_default();
        let own = text(&own, "/Policy");
        // An empty object is none too.
        Some(if own.trim_matches(['{', '}', ' ']).is_empty() { Value::Null } else { policy(own) })
    }

    pub(super) async fn destination(&self, name: &str) -> ReadResult<ResourceState> {
        let input = json!({ "DestinationNamePrefix": name });
        let found = self.logs("DescribeDestinations", input, "destinations").await?;
        let found = named(found, "/destinationName", name)?;
        let arn = self.place.destination(name).to_string();
        let mut state = ResourceState::from([
            ("target", json!(text(&found, "/targetArn"))),
            ("role", json!(text(&found, "/roleArn"))),
            (extra::ARN, json!(arn)),
        ]);
        let own = Some(text(&found, "/accessPolicy")).filter(|own| !own.is_empty());
        note(&mut state, "policy", own.map(policy));
        note(&mut state, extra::TAGS, self.logs_tags(&arn).await);
        Ok(state)
    }

    pub(super) async fn logs_policy(&self, name: &str) -> ReadResult<ResourceState> {
        let mut all = self.logs_policies().await?;
        let own = all.remove(name).ok_or(Unread::Absent)?;
        Ok(ResourceState::from([("policy", own), (extra::OTHERS, all.into())]))
    }

    /// All resource policies of the account.
    pub(super) async fn logs_policies(&self) -> ReadResult<Map<String, Value>> {
        let all = self.logs("DescribeResourcePolicies", json!({}), "resourcePolicies").await?;
        let document = |found: &Value| policy(text(found, "/policyDocument"));
        Ok(all.iter().map(|found| (text(found, "/policyName").to_owned(), document(found))).collect())
    }

    pub(super) async fn filter(&self, group: &str, name: &str) -> ReadResult<ResourceState> {
        let input = json!({ "logGroupName": group, "filterNamePrefix": name });
        let all = self.logs("DescribeSubscriptionFilters", input, "subscriptionFilters").await?;
        let found = named(all, "/filterName", name)?;
        Ok(ResourceState::from([
            ("pattern", json!(text(&found, "/filterPattern"))),
            ("destination", json!(text(&found, "/destinationArn"))),
            ("role", found.get("roleArn").cloned().unwrap_or_default()),
        ]))
    }

    pub(super) async fn account_filter(&self, name: &str) -> ReadResult<ResourceState> {
        let input = json!({ "policyType": "SUBSCRIPTION_FILTER_POLICY" });
        let all = self.logs("DescribeAccountPolicies", input, "accountPolicies").await?;
        let found = named(all, "/policyName", name)?;
        let document = policy(text(&found, "/policyDocument"));
        Ok(ResourceState::from([
            ("pattern", json!(text(&document, "/FilterPattern"))),
            ("destination", json!(text(&document, "/DestinationArn"))),
            ("role", document.get("RoleArn").cloned().unwrap_or_default()),
            ("selection", json!(text(&found, "/selectionCriteria"))),
        ]))
    }
}

/// What a stream asks S3 to encrypt its objects with: the ARN of a key, or null where it leaves that to the bucket.
fn own_key(s3: &Value) -> Option<Value> {
    let encryption = s3.get("EncryptionConfiguration")?;
    if encryption.get("NoEncryptionConfig").is_some_and(|it| !it.is_null()) {
        return Some(Value::Null);
    }
    encryption.pointer("/KMSEncryptionConfig/AWSKMSKeyARN").cloned()
}

/// The item of this name: lists are asked for by its start.
fn named(items: Vec<Value>, pointer: &str, name: &str) -> ReadResult<Value> {
    items.into_iter().find(|item| text(item, pointer) == name).ok_or(Unread::Absent)
}

/// Whether a stream takes nothing but what `CloudWatch` Logs sends.
fn decompresses(stream: &Value) -> bool {
    let destinations = list(stream, "/Destinations").iter().filter_map(Value::as_object);
    destinations.flat_map(|destination| destination.values()).any(|to| {
        let processing = to.get("ProcessingConfiguration");
        processing.is_some_and(|it| {
            it.get("Enabled") == Some(&json!(true))
                && list(it, "/Processors").iter().any(|one| text(one, "/Type") == "Decompression")
        })
    })
}
