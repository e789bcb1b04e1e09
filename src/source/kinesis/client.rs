//! The calls to Kinesis, and what their refusals mean.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::lease::HashRange;
use super::place::{RecordPlace, SequenceNumber};
use super::shards::{ListedShard, ShardGraph};
use crate::aws::{ApiCall, ApiClient, AwsService, CallError, CallOptions, EventStream, principal_in};
use crate::event::Timestamp;

/// Reads one stream.
#[derive(Debug)]
pub(super) struct KinesisClient {
    client: ApiClient,
    stream_arn: Arc<str>,
    deadline: Duration,
}

/// Where reading of a shard begins.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum IteratorStart {
    /// With its oldest record.
    TrimHorizon,
    /// With the first record that came at this time or later.
    At(Timestamp),
    /// With this record.
    With(RecordPlace),
    /// After this record.
    After(SequenceNumber),
}

/// Why a call failed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{message}")]
pub(super) struct StreamFault {
    pub(super) kind: StreamFaultKind,
    /// The call, what was said, and what to do.
    pub(super) message: String,
}

/// What follows from a refusal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum StreamFaultKind {
    /// Too many calls, or too much was read.
    Throttled,
    /// It may work a moment later.
    Passing,
    /// The iterator is too old.
    Expired,
    /// The consumer is subscribed to the shard elsewhere, or was a moment ago.
    Taken,
    /// The stream or the shard does not exist.
    Gone,
    /// The service does not take what it was asked, such as a number that it does not know.
    Refused,
    /// A permission is missing.
    Denied,
    /// The stream's key cannot be used.
    Key,
    /// There are no credentials, or they are refused.
    Credentials,
}

/// A consumer that is registered.
#[derive(Clone, Debug)]
pub(super) struct StreamConsumer {
    pub(super) arn: Arc<str>,
    /// Whether it may subscribe by now.
    pub(super) is_active: bool,
}

/// Where reading begins, in the service's words.
struct StartWords {
    kind: &'static str,
    time: Option<Value>,
    sequence: Option<Value>,
}

impl IteratorStart {
    fn words(&self) -> StartWords {
        let words = |kind, time, sequence| StartWords { kind, time, sequence };
        match self {
            Self::TrimHorizon => words("TRIM_HORIZON", None, None),
            Self::At(time) => words("AT_TIMESTAMP", Some(seconds(*time)), None),
            Self::With(place) => words("AT_SEQUENCE_NUMBER", None, Some(json!(&**place.sequence.text()))),
            Self::After(sequence) => words("AFTER_SEQUENCE_NUMBER", None, Some(json!(&**sequence.text()))),
        }
    }
}

impl StreamFaultKind {
    /// As metrics have it.
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::Passing => "unavailable",
            Self::Expired => "expired_iterator",
            Self::Taken => "subscription_taken",
            Self::Gone => "gone",
            Self::Refused => "refused",
            Self::Denied => "access_denied",
            Self::Key => "kms",
            Self::Credentials => "credentials",
        }
    }

    /// Whether it does not pass by itself.
    pub(super) const fn needs_somebody(self) -> bool {
        matches!(self, Self::Gone | Self::Refused | Self::Denied | Self::Key | Self::Credentials)
    }
}

impl KinesisClient {
    pub(super) const fn new(client: ApiClient, stream_arn: Arc<str>, deadline: Duration) -> Self {
        Self { client, stream_arn, deadline }
    }

    pub(super) const fn stream_arn(&self) -> &Arc<str> {
        &self.stream_arn
    }

    /// An iterator, to be used within five minutes.
    pub(super) async fn iterator(&self, shard: &str, start: &IteratorStart) -> Result<String, StreamFault> {
        let mut input = json!({ "StreamARN": &*self.stream_arn, "ShardId": shard });
        let StartWords { kind, time, sequence } = start.words();
        set(&mut input, "ShardIteratorType", Some(kind.into()));
        set(&mut input, "Timestamp", time);
        set(&mut input, "StartingSequenceNumber", sequence);
        let answer = self.call("GetShardIterator", input).await?;
        let iterator = answer.get("ShardIterator").and_then(Value::as_str);
        iterator.map(str::to_owned).ok_or_else(|| self.unreadable("GetShardIterator"))
    }

    /// At most `limit` records, as they came.
    pub(super) async fn records(&self, iterator: &str, limit: usize) -> Result<Bytes, StreamFault> {
        let input = json!({ "StreamARN": &*self.stream_arn, "ShardIterator": iterator, "Limit": limit });
        let call = ApiCall::new(AwsService::Kinesis, "GetRecords", input);
        let answered = self.client.call_bytes(&call, CallOptions::once(self.deadline)).await;
        answered.map_err(|error| fault(&call, &self.stream_arn, error))
    }

    /// A consumer of the stream by its name; none: it is not registered.
    pub(super) async fn consumer(&self, name: &str) -> Result<Option<StreamConsumer>, StreamFault> {
        const OPERATION: &str = "DescribeStreamConsumer";
        let input = json!({ "StreamARN": &*self.stream_arn, "ConsumerName": name });
        let call = ApiCall::new(AwsService::Kinesis, OPERATION, input);
        let answered = self.client.call_with(&call, CallOptions::once(self.deadline)).await;
        match answered.map_err(|error| fault(&call, &consumer_arn(&self.stream_arn, name), error)) {
            Ok(answer) => {
                let text = |name: &str| answer.pointer(name).and_then(Value::as_str);
                let consumer = text("/ConsumerDescription/ConsumerARN").map(|arn| StreamConsumer {
                    arn: arn.into(),
                    is_active: text("/ConsumerDescription/ConsumerStatus") == Some("ACTIVE"),
                });
                consumer.ok_or_else(|| self.unreadable(OPERATION)).map(Some)
            }
            Err(fault) if fault.kind == StreamFaultKind::Gone => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Registers a consumer; one that is registered already is not changed.
    pub(super) async fn register_consumer(&self, name: &str) -> Result<(), StreamFault> {
        let input = json!({ "StreamARN": &*self.stream_arn, "ConsumerName": name });
        match self.call("RegisterStreamConsumer", input).await {
            Err(fault) if fault.kind != StreamFaultKind::Taken => Err(fault),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Subscribes a consumer to a shard, for five minutes at most. The service sends something every few seconds, be it nothing new.
    pub(super) async fn subscribe(
        &self,
        consumer: &str,
        shard: &str,
        start: &IteratorStart,
    ) -> Result<EventStream, StreamFault> {
        let StartWords { kind, time, sequence } = start.words();
        let mut position = json!({ "Type": kind });
        set(&mut position, "Timestamp", time);
        set(&mut position, "SequenceNumber", sequence);
        let input = json!({ "ConsumerARN": consumer, "ShardId": shard, "StartingPosition": position });
        let call = ApiCall::new(AwsService::Kinesis, SUBSCRIBE, input);
        let answered = self.client.stream(&call, self.deadline, self.deadline.max(SILENCE)).await;
        answered.map_err(|error| fault(&call, consumer, error))
    }

    /// Why a consumer's subscription has ended.
    pub(super) fn cut_off(consumer: &str, error: CallError) -> StreamFault {
        fault(&ApiCall::new(AwsService::Kinesis, SUBSCRIBE, Value::Null), consumer, error)
    }

    /// All shards.
    pub(super) async fn shards(&self) -> Result<ShardGraph, StreamFault> {
        self.list(json!({ "StreamARN": &*self.stream_arn })).await
    }

    /// Those to which records came at this time or later, or may come.
    pub(super) async fn shards_from(&self, time: Timestamp) -> Result<ShardGraph, StreamFault> {
        let filter = json!({ "Type": "FROM_TIMESTAMP", "Timestamp": seconds(time) });
        self.list(json!({ "StreamARN": &*self.stream_arn, "ShardFilter": filter })).await
    }

    async fn list(&self, mut input: Value) -> Result<ShardGraph, StreamFault> {
        let mut shards = Vec::new();
        loop {
            let answer = self.call("ListShards", input).await?;
            let listed = answer.get("Shards").and_then(Value::as_array);
            let listed = listed.ok_or_else(|| self.unreadable("ListShards"))?;
            shards.extend(listed.iter().filter_map(shard));
            match answer.get("NextToken").and_then(Value::as_str) {
                // A token knows which stream it is of, and the service takes no other word about that.
                Some(token) => input = json!({ "NextToken": token }),
                None => return Ok(ShardGraph::new(shards)),
            }
        }
    }

    async fn call(&self, operation: &'static str, input: Value) -> Result<Value, StreamFault> {
        let call = ApiCall::new(AwsService::Kinesis, operation, input);
        let answered = self.client.call_with(&call, CallOptions::once(self.deadline)).await;
        answered.map_err(|error| fault(&call, &self.stream_arn, error))
    }

    pub(super) fn unreadable(&self, operation: &str) -> StreamFault {
        let message = format!("the answer to kinesis:{operation} for `{}` cannot be read", self.stream_arn);
        StreamFault { kind: StreamFaultKind::Passing, message }
    }
}

/// What subscribes.
const SUBSCRIBE: &str = "SubscribeToShard";

/// A subscription that says nothing for so long is cut off: the library of the service takes it for one, too.
const SILENCE: Duration = Duration::from_secs(35);

/// A consumer's ARN, as policies name it: the time when it was registered follows, which nobody knows before.
fn consumer_arn(stream_arn: &str, name: &str) -> String {
    format!("{stream_arn}{CONSUMER}{name}:*")
}

/// Kinesis takes seconds with a fraction.
fn seconds(time: Timestamp) -> Value {
    let (seconds, rest) = (time.0.div_euclid(1_000), time.0.rem_euclid(1_000));
    format!("{seconds}.{rest:03}").parse::<f64>().map_or(Value::Null, Value::from)
}

fn set(input: &mut Value, name: &str, value: Option<Value>) {
    if let (Some(input), Some(value)) = (input.as_object_mut(), value) {
        input.insert(name.to_owned(), value);
    }
}

fn shard(listed: &Value) -> Option<ListedShard> {
    let text = |pointer: &str| listed.pointer(pointer).and_then(Value::as_str);
    let parents = [text("/ParentShardId"), text("/AdjacentParentShardId")];
    Some(ListedShard {
        id: text("/ShardId")?.into(),
        parents: parents.into_iter().flatten().map(Arc::from).collect(),
        hashes: HashRange {
            first: text("/HashKeyRange/StartingHashKey")?.into(),
            last: text("/HashKeyRange/EndingHashKey")?.into(),
        },
        first: SequenceNumber::new(text("/SequenceNumberRange/StartingSequenceNumber")?)?,
        is_closed: text("/SequenceNumberRange/EndingSequenceNumber").is_some(),
    })
}

fn fault(call: &ApiCall, stream: &str, error: CallError) -> StreamFault {
    let action = call.action();
    match error {
        CallError::Answered { code, message } => {
            let kind = kind(&code);
            let fix = fix(kind, &action, stream, &message);
            StreamFault { kind, message: format!("{action} of `{stream}`: {code}: {message}{fix}") }
        }
        CallError::Credentials { message, fix } => {
            let fix = fix.map(|fix| format!("; {fix}")).unwrap_or_default();
            StreamFault { kind: StreamFaultKind::Credentials, message: format!("{message}{fix}") }
        }
        CallError::Unanswered { message, .. }
        | CallError::Unreadable(message)
        | CallError::Unusable(message) => {
            StreamFault { kind: StreamFaultKind::Passing, message: format!("{action}: {message}") }
        }
    }
}

/// Source: the service's model, and the codes that all services have in common
/// (<https://docs.aws.amazon.com/kinesis/latest/APIReference/CommonErrors.html>).
fn kind(code: &str) -> StreamFaultKind {
    match code {
        "ExpiredIteratorException" => StreamFaultKind::Expired,
        "ResourceInUseException" => StreamFaultKind::Taken,
        "ResourceNotFoundException" => StreamFaultKind::Gone,
        "AccessDeniedException" | "AccessDenied" | "OptInRequired" => StreamFaultKind::Denied,
        "KMSDisabledException"
        | "KMSInvalidStateException"
        | "KMSAccessDeniedException"
        | "KMSNotFoundException"
        | "KMSOptInRequired" => StreamFaultKind::Key,
        "InvalidArgumentException" | "ValidationException" | "ValidationError" => StreamFaultKind::Refused,
        "ExpiredToken"
        | "ExpiredTokenException"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "SignatureDoesNotMatch"
        | "InvalidSignatureException"
        | "IncompleteSignature"
        | "MissingAuthenticationToken"
        | "NotAuthorized" => StreamFaultKind::Credentials,
        "ProvisionedThroughputExceededException" | "LimitExceededException" | "RequestLimitExceeded" => {
            StreamFaultKind::Throttled
        }
        _ if code.contains("Throttl") => StreamFaultKind::Throttled,
        _ => StreamFaultKind::Passing,
    }
}

fn fix(kind: StreamFaultKind, action: &str, stream: &str, said: &str) -> String {
    let who = || principal_in(said).map_or_else(|| "the caller".to_owned(), |who| format!("`{who}`"));
    match kind {
        StreamFaultKind::Denied => {
            let policy = if stream.contains(CONSUMER) { "consumer's" } else { "stream's" };
            format!(
                "; allow {} `{action}` on `{stream}`, and in another account also in the {policy} policy",
                who()
            )
        }
        StreamFaultKind::Key => {
            format!("; the stream's key of KMS has to be enabled, and to allow {} `kms:Decrypt`", who())
        }
        StreamFaultKind::Credentials => "; check the credentials of the source".to_owned(),
        StreamFaultKind::Gone => "; correct `stream_arn`, or create the stream".to_owned(),
        StreamFaultKind::Taken => {
            "; the consumer was subscribed to the shard a moment ago, or is elsewhere: give each reader of the stream a `fan_out` of its own, or `leases` that they share"
                .to_owned()
        }
        StreamFaultKind::Throttled if action == "kinesis:RegisterStreamConsumer" => {
            "; a stream has up to 20 consumers, or 50 with On-demand Advantage: deregister one, or leave `fan_out` out"
                .to_owned()
        }
        StreamFaultKind::Throttled
        | StreamFaultKind::Passing
        | StreamFaultKind::Expired
        | StreamFaultKind::Refused => String::new(),
    }
}

/// Within the ARN of a consumer.
const CONSUMER: &str = "/consumer/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_it_means_and_what_to_do() {
        use StreamFaultKind::{Credentials, Denied, Expired, Gone, Key, Passing, Refused, Taken, Throttled};
        let said = "User: arn:aws:sts::1:assumed-role/r/s is not authorized to perform: kinesis:GetRecords";
        let check = |code: &str, message: &str, kind: StreamFaultKind, fix: &str| {
            let error = CallError::Answered { code: code.into(), message: message.into() };
            let call = ApiCall::new(AwsService::Kinesis, "GetRecords", json!({}));
            let fault = fault(&call, "arn:x", error);
            assert_eq!(fault.kind, kind, "{fault}");
            assert!(fault.message.contains(code) && fault.message.contains(fix), "{fault}");
            let is_held = matches!(kind, Credentials | Denied | Gone | Key | Refused);
            assert_eq!(kind.needs_somebody(), is_held);
        };
        check(
            "AccessDeniedException",
            said,
            Denied,
            "allow `arn:aws:sts::1:assumed-role/r/s` `kinesis:GetRecords` on `arn:x`",
        );
        check("KMSAccessDeniedException", "no", Key, "`kms:Decrypt`");
        check("KMSDisabledException", "no", Key, "enabled");
        check("KMSThrottlingException", "later", Throttled, "");
        check("ProvisionedThroughputExceededException", "Rate exceeded", Throttled, "");
        check("ExpiredIteratorException", "old", Expired, "");
        check("ResourceNotFoundException", "gone", Gone, "`stream_arn`");
        check("InvalidArgumentException", "no", Refused, "");
        check("ExpiredTokenException", "old", Credentials, "credentials");
        check("InternalFailure", "later", Passing, "");
        check("500", "status 500", Passing, "");
        check("ResourceInUseException", "in use", Taken, "`fan_out` of its own");
    }

    #[test]
    fn a_refusal_of_a_consumer_names_its_permission_and_its_arn() {
        let check = |operation, code: &str, fix: &str| {
            let error = CallError::Answered { code: code.into(), message: "no".into() };
            let call = ApiCall::new(AwsService::Kinesis, operation, json!({}));
            let message = fault(&call, &consumer_arn("arn:aws:kinesis:r:1:stream/s", "c"), error).message;
            assert!(message.contains(fix), "{message}");
        };
        let policy = "`kinesis:SubscribeToShard` on `arn:aws:kinesis:r:1:stream/s/consumer/c:*`, and in another account also in the consumer's policy";
        check(SUBSCRIBE, "AccessDeniedException", policy);
        check("RegisterStreamConsumer", "LimitExceededException", "20 consumers");
    }

    #[test]
    fn reading_begins_where_it_is_told() {
        let sequence = SequenceNumber::new("495").unwrap();
        let place = RecordPlace { sequence: sequence.clone(), index: 3 };
        let check = |start: IteratorStart, kind: &str, time: Value, number: Value| {
            let words = start.words();
            assert_eq!((words.kind, words.time.unwrap_or_default()), (kind, time));
            assert_eq!(words.sequence.unwrap_or_default(), number);
        };
        check(IteratorStart::TrimHorizon, "TRIM_HORIZON", Value::Null, Value::Null);
        check(IteratorStart::At(Timestamp(1_500)), "AT_TIMESTAMP", json!(1.5), Value::Null);
        check(IteratorStart::With(place), "AT_SEQUENCE_NUMBER", Value::Null, json!("495"));
        check(IteratorStart::After(sequence), "AFTER_SEQUENCE_NUMBER", Value::Null, json!("495"));
    }

    #[test]
    fn a_shard_is_read_from_its_list() {
        let merged = json!({ "ShardId": "shardId-2", "ParentShardId": "shardId-0", "AdjacentParentShardId": "shardId-1",
            "HashKeyRange": { "StartingHashKey": "0", "EndingHashKey": "340" },
            "SequenceNumberRange": { "StartingSequenceNumber": "4959", "EndingSequenceNumber": "4960" } });
        let found = shard(&merged).unwrap();
        assert_eq!((found.parents.len(), found.is_closed, &*found.hashes.last), (2, true, "340"));
        assert_eq!(shard(&json!({ "ShardId": "shardId-2" })), None);
    }
}
