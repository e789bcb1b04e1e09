//! What several forms say alike.

use super::template::TemplateValue;
use crate::access::plan::{DeliveryStream, ERROR_STREAM, SubscriptionFilter};

/// How long a queue keeps what nobody took: the longest there is, 14 days in seconds.
pub(crate) const QUEUE_RETENTION: u32 = 1_209_600;

/// How long a message is nobody else's once it is taken, in seconds.
pub(crate) const QUEUE_VISIBILITY: u32 = 300;

/// What Firehose is told of its bucket.
pub(super) fn s3_destination(stream: &DeliveryStream) -> TemplateValue {
    let prefix = (!stream.prefix.is_empty()).then(|| TemplateValue::from(&stream.prefix));
    let logging = TemplateValue::map([
        ("Enabled", true.into()),
        ("LogGroupName", (&stream.errors).into()),
        ("LogStreamName", ERROR_STREAM.into()),
    ]);
    TemplateValue::map([("RoleARN", (&stream.role).into()), ("BucketARN", (&stream.bucket).into())])
        .with("Prefix", prefix)
        .with("CloudWatchLoggingOptions", Some(logging))
}

/// What an account-wide filter is told. Each log stream goes one way, so that its order can stay.
pub(super) fn account_filter(filter: &SubscriptionFilter) -> TemplateValue {
    TemplateValue::map([
        ("DestinationArn", (&filter.to).into()),
        ("FilterPattern", (&filter.pattern).into()),
        ("Distribution", "ByLogStream".into()),
    ])
    .with("RoleArn", filter.role.as_ref().map(TemplateValue::from))
}
