//! The calls for what logs flow through: log groups, streams, destinations, filters.

use serde_json::{Value, json};

use super::planner::{CallPlanner, with};
use crate::access::plan::{
    DeliveryStream, ERROR_STREAM, KeyUse, PlannedResource, ResourceKind, SubscriptionFilter, selection,
};
use crate::access::policy::PolicyDocument;
use crate::aws::{ApiCall, AwsService, answer};

impl CallPlanner<'_> {
    pub(super) fn create_log_group(&self, name: &str) -> ApiCall {
        let input = json!({ "logGroupName": name, "tags": self.tag_map() });
        ApiCall::new(AwsService::Logs, "CreateLogGroup", input)
    }

    pub(super) fn repair_log_group(
        &self,
        resource: &PlannedResource,
        name: &str,
        aspect: &str,
    ) -> Vec<ApiCall> {
        let ResourceKind::LogGroup { retention, key, stream, .. } = &resource.kind else { return Vec::new() };
        match aspect {
            "retentionInDays" => {
                let put = |days: &u32| json!({ "logGroupName": name, "retentionInDays": days });
                retention
                    .iter()
                    .map(|days| ApiCall::new(AwsService::Logs, "PutRetentionPolicy", put(days)))
                    .collect()
            }
            "kmsKey" => {
                let Some((mut calls, arn)) = key.as_ref().map(|key| self.key_arn(key)) else {
                    return Vec::new();
                };
                let input = json!({ "logGroupName": name, "kmsKeyId": arn });
                calls.push(ApiCall::new(AwsService::Logs, "AssociateKmsKey", input));
                calls
            }
            "logStream" => {
                let make = |stream: &String| json!({ "logGroupName": name, "logStreamName": stream });
                stream
                    .iter()
                    .map(|one| ApiCall::new(AwsService::Logs, "CreateLogStream", make(one)))
                    .collect()
            }
            _ => Vec::new(),
        }
    }

    pub(super) fn create_delivery_stream(&self, stream: &DeliveryStream) -> Vec<ApiCall> {
        let (mut calls, encryption) = match &stream.key {
            None => (Vec::new(), None),
            Some(key) => {
                let (calls, arn) = self.key_arn(key);
                (calls, Some(customer_key(&arn)))
            }
        };
        let prefix = ("Prefix", (!stream.prefix.is_empty()).then(|| json!(stream.prefix)));
        let input = json!({
            "DeliveryStreamName": stream.name,
            "DeliveryStreamType": "DirectPut",
            "ExtendedS3DestinationConfiguration": with(s3_destination(stream), [prefix]),
            "Tags": self.tags("Key", "Value"),
        });
        let input = with(input, [("DeliveryStreamEncryptionConfigurationInput", encryption)]);
        calls.push(ApiCall::new(AwsService::Firehose, "CreateDeliveryStream", input));
        calls
    }

    /// What is not named in an update stays as it is.
    /// Source: <https://docs.aws.amazon.com/firehose/latest/APIReference/API_UpdateDestination.html>.
    pub(super) fn repair_delivery_stream(&self, stream: &DeliveryStream, aspect: &str) -> Vec<ApiCall> {
        match aspect {
            "role" | "bucket" | "prefix" | "errorLogGroup" => {
                // An empty one takes away what was there.
                let prefix = ("Prefix", Some(json!(stream.prefix)));
                update(stream, &with(s3_destination(stream), [prefix]))
            }
            super::extra::DECOMPRESSES => {
                update(stream, &json!({ "ProcessingConfiguration": { "Enabled": false, "Processors": [] } }))
            }
            // Its source cannot be changed.
            super::extra::SOURCE => {
                let name = json!({ "DeliveryStreamName": stream.name });
                let delete = ApiCall::new(AwsService::Firehose, "DeleteDeliveryStream", name);
                std::iter::once(delete).chain(self.create_delivery_stream(stream)).collect()
            }
            "kmsKey" => {
                let Some((mut calls, arn)) = stream.key.as_ref().map(|key| self.key_arn(key)) else {
                    return Vec::new();
                };
                let input = json!({
                    "DeliveryStreamName": stream.name,
                    "DeliveryStreamEncryptionConfigurationInput": customer_key(&arn),
                });
                calls.push(ApiCall::new(AwsService::Firehose, "StartDeliveryStreamEncryption", input));
                calls
            }
            _ => Vec::new(),
        }
    }

    pub(super) fn create_data_stream(&self, name: &str) -> Vec<ApiCall> {
        let mode = json!({ "StreamMode": "ON_DEMAND" });
        let stream = json!({ "StreamName": name, "StreamModeDetails": mode });
        let tags = json!({ "StreamName": name, "Tags": self.tag_map() });
        vec![
            ApiCall::new(AwsService::Kinesis, "CreateStream", stream),
            ApiCall::new(AwsService::Kinesis, "AddTagsToStream", tags),
        ]
    }

    pub(super) fn encrypt_data_stream(&self, name: &str, key: &KeyUse) -> Vec<ApiCall> {
        let (mut calls, arn) = self.key_arn(key);
        let input = json!({ "StreamName": name, "EncryptionType": "KMS", "KeyId": arn });
        calls.push(ApiCall::new(AwsService::Kinesis, "StartStreamEncryption", input));
        calls
    }

    pub(super) fn create_table(&self, name: &str) -> ApiCall {
        let input = json!({
            "TableName": name,
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{ "AttributeName": "leaseKey", "AttributeType": "S" }],
            "KeySchema": [{ "AttributeName": "leaseKey", "KeyType": "HASH" }],
            "Tags": self.tags("Key", "Value"),
        });
        ApiCall::new(AwsService::DynamoDb, "CreateTable", input)
    }

    pub(super) fn create_destination(&self, name: &str, target: &str, role: &str) -> Vec<ApiCall> {
        let arn = self.place().destination(name).to_string();
        let tags = json!({ "resourceArn": arn, "tags": self.tag_map() });
        vec![put_destination(name, target, role), ApiCall::new(AwsService::Logs, "TagResource", tags)]
    }
}

pub(super) fn put_destination(name: &str, target: &str, role: &str) -> ApiCall {
    let input = json!({ "destinationName": name, "targetArn": target, "roleArn": role });
    ApiCall::new(AwsService::Logs, "PutDestination", input)
}

/// From single accounts to an organization AWS refuses without `forceUpdate`, which would stop the filters of vended log groups
/// that have no role yet: so it is not said.
pub(super) fn put_destination_policy(name: &str, policy: &PolicyDocument) -> ApiCall {
    let input = json!({ "destinationName": name, "accessPolicy": policy.to_json() });
    ApiCall::new(AwsService::Logs, "PutDestinationPolicy", input)
}

pub(super) fn put_logs_policy(name: &str, policy: &PolicyDocument) -> ApiCall {
    let input = json!({ "policyName": name, "policyDocument": policy.to_json() });
    ApiCall::new(AwsService::Logs, "PutResourcePolicy", input)
}

pub(super) fn put_filter(filter: &SubscriptionFilter) -> ApiCall {
    let input = json!({
        "logGroupName": filter.group,
        "filterName": filter.name,
        "filterPattern": filter.pattern,
        "destinationArn": filter.to,
    });
    let input = with(input, [("roleArn", filter.role.as_ref().map(|role| json!(role)))]);
    ApiCall::new(AwsService::Logs, "PutSubscriptionFilter", input)
}

pub(super) fn put_account_filter(filter: &SubscriptionFilter, exclude: &[String]) -> ApiCall {
    let policy = json!({
        "DestinationArn": filter.to,
        "FilterPattern": filter.pattern,
        "Distribution": "ByLogStream",
    });
    let policy = with(policy, [("RoleArn", filter.role.as_ref().map(|role| json!(role)))]);
    let input = json!({
        "policyName": filter.name,
        "policyType": "SUBSCRIPTION_FILTER_POLICY",
        "scope": "ALL",
        "policyDocument": policy.to_string(),
    });
    let criteria = (!exclude.is_empty()).then(|| selection(exclude).into());
    ApiCall::new(AwsService::Logs, "PutAccountPolicy", with(input, [("selectionCriteria", criteria)]))
}

fn s3_destination(stream: &DeliveryStream) -> Value {
    let logging = json!({
        "Enabled": true,
        "LogGroupName": stream.errors,
        "LogStreamName": ERROR_STREAM,
    });
    json!({
        "RoleARN": stream.role,
        "BucketARN": stream.bucket,
        "CloudWatchLoggingOptions": logging,
    })
}

fn customer_key(arn: &str) -> Value {
    json!({ "KeyType": "CUSTOMER_MANAGED_CMK", "KeyARN": arn })
}

/// An update names the version that it is of, and the destination.
fn update(stream: &DeliveryStream, destination: &Value) -> Vec<ApiCall> {
    const LOOK: &str = "DescribeDeliveryStream";
    let look = ApiCall::new(AwsService::Firehose, LOOK, json!({ "DeliveryStreamName": stream.name }));
    let input = json!({
        "DeliveryStreamName": stream.name,
        "CurrentDeliveryStreamVersionId": answer(LOOK, "DeliveryStreamDescription.VersionId"),
        "DestinationId": answer(LOOK, "DeliveryStreamDescription.Destinations[0].DestinationId"),
        "ExtendedS3DestinationUpdate": destination,
    });
    vec![look, ApiCall::new(AwsService::Firehose, "UpdateDestination", input)]
}
