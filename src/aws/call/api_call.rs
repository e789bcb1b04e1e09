//! One call to AWS as plain values: made from here, printed as a command of the AWS CLI, or played on a model, it is the same.

use std::fmt;

use serde_json::Value;

/// An operation of a service, with its input.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiCall {
    /// The service.
    pub service: AwsService,
    /// The operation by its API's name, such as `PutDestinationPolicy`.
    pub operation: &'static str,
    /// Its input by the API's names; documents within are strings, as the API has them.
    pub input: Value,
}

/// A service of AWS.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum AwsService {
    /// `CloudWatch` metrics.
    CloudWatch,
    /// `DynamoDB`.
    DynamoDb,
    /// Amazon Data Firehose.
    Firehose,
    /// Identity and Access Management, the same in all regions of a partition.
    Iam,
    /// Kinesis Data Streams.
    Kinesis,
    /// The Key Management Service.
    Kms,
    /// `CloudWatch` Logs.
    Logs,
    /// S3.
    S3,
    /// The Simple Queue Service.
    Sqs,
    /// The Security Token Service.
    Sts,
}

impl AwsService {
    /// Its name in the AWS CLI.
    pub const fn cli(self) -> &'static str {
        match self {
            Self::CloudWatch => "cloudwatch",
            Self::DynamoDb => "dynamodb",
            Self::Firehose => "firehose",
            Self::Iam => "iam",
            Self::Kinesis => "kinesis",
            Self::Kms => "kms",
            Self::Logs => "logs",
            Self::S3 => "s3api",
            Self::Sqs => "sqs",
            Self::Sts => "sts",
        }
    }
}

impl ApiCall {
    /// A call.
    pub const fn new(service: AwsService, operation: &'static str, input: Value) -> Self {
        Self { service, operation, input }
    }

    /// Whether it only looks.
    #[must_use]
    pub fn is_look(&self) -> bool {
        ["Describe", "Get", "List"].iter().any(|verb| self.operation.starts_with(verb))
    }

    /// With every value in place that an earlier call's [`answer`] tells; `None` for one that `tell` does not know.
    ///
    /// `tell` gets the operation, and where the value stands in its answer as a JSON pointer.
    #[must_use]
    pub fn filled(&self, tell: &impl Fn(&str, &str) -> Option<String>) -> Option<Self> {
        Some(Self { input: fill(&self.input, tell)?, ..self.clone() })
    }

    /// The operations and paths of all [`answer`]s in its input.
    #[must_use]
    pub fn answers(&self) -> Vec<(&str, &str)> {
        fn collect<'v>(value: &'v Value, found: &mut Vec<(&'v str, &'v str)>) {
            match value {
                Value::String(text) => found.extend(answered(text)),
                Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
                Value::Object(entries) => entries.values().for_each(|item| collect(item, found)),
                Value::Null | Value::Bool(_) | Value::Number(_) => {}
            }
        }
        let mut found = Vec::new();
        collect(&self.input, &mut found);
        found
    }

    /// The permission that the call needs, such as `logs:PutDestinationPolicy`.
    #[must_use]
    pub fn action(&self) -> String {
        if self.service != AwsService::S3 {
            return format!("{}:{}", self.service.cli(), self.operation);
        }
        let renamed = S3_ACTIONS.iter().find(|(operation, _)| *operation == self.operation);
        format!("s3:{}", renamed.map_or(self.operation, |(_, action)| action))
    }
}

/// Operations of S3 whose permissions are called otherwise.
/// Source: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html>.
const S3_ACTIONS: &[(&str, &str)] = &[
    ("GetBucketEncryption", "GetEncryptionConfiguration"),
    ("GetBucketNotificationConfiguration", "GetBucketNotification"),
    ("GetPublicAccessBlock", "GetBucketPublicAccessBlock"),
    ("ListObjectVersions", "ListBucketVersions"),
    ("PutBucketEncryption", "PutEncryptionConfiguration"),
    ("PutBucketNotificationConfiguration", "PutBucketNotification"),
    ("PutPublicAccessBlock", "PutBucketPublicAccessBlock"),
];

impl fmt::Display for ApiCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.action())
    }
}

/// A value of an input that the answer of the last call of `operation` tells, at a path such as `KeyMetadata.KeyId` or
/// `Destinations[0].DestinationId`: the whole string is `${OPERATION.PATH}`.
#[must_use]
pub fn answer(operation: &str, path: &str) -> String {
    format!("${{{operation}.{path}}}")
}

/// The operation and the path of an [`answer`].
fn answered(text: &str) -> Option<(&str, &str)> {
    let (operation, path) = text.strip_prefix("${")?.strip_suffix('}')?.split_once('.')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || ".[]".contains(c);
    let is_answer = operation.chars().all(|c| c.is_ascii_alphanumeric()) && path.chars().all(plain);
    is_answer.then_some((operation, path))
}

fn fill(value: &Value, tell: &impl Fn(&str, &str) -> Option<String>) -> Option<Value> {
    Some(match value {
        Value::String(text) => match answered(text) {
            Some((operation, path)) => tell(operation, &pointer(path))?.into(),
            None => value.clone(),
        },
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| fill(item, tell)).collect::<Option<_>>()?)
        }
        Value::Object(entries) => {
            let filled = entries.iter().map(|(key, item)| Some((key.clone(), fill(item, tell)?)));
            Value::Object(filled.collect::<Option<_>>()?)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    })
}

/// `Destinations[0].DestinationId` as `/Destinations/0/DestinationId`.
fn pointer(path: &str) -> String {
    format!("/{}", path.replace(['.', '['], "/").replace(']', ""))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_one_call_answers_another_is_told() {
        let input =
            json!({ "TargetKeyId": answer("CreateKey", "KeyMetadata.KeyId"), "AliasName": "alias/a" });
        let calls = [
            ApiCall::new(AwsService::Kms, "CreateKey", json!({})),
            ApiCall::new(AwsService::Kms, "CreateAlias", input),
        ];
        let told = |operation: &str, pointer: &str| {
            (operation == "CreateKey" && pointer == "/KeyMetadata/KeyId").then(|| "k-1".to_owned())
        };
        let filled = calls.get(1).unwrap().filled(&told).unwrap();
        assert_eq!(filled.input, json!({ "TargetKeyId": "k-1", "AliasName": "alias/a" }));
        assert_eq!(calls.get(1).unwrap().filled(&|_, _| None), None);
        assert_eq!(pointer("A.Destinations[0].Id"), "/A/Destinations/0/Id");
        let variable = json!({ "Policy": "${aws:username}", "Pattern": "${a.b} and more" });
        let call = ApiCall::new(AwsService::Iam, "PutRolePolicy", variable);
        assert_eq!(call.filled(&|_, _| None).as_ref(), Some(&call), "a variable of a policy is none of ours");
    }
}
