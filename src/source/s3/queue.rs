//! The queue: messages are received, kept hidden, returned and deleted.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::aws::{ApiCall, ApiClient, AwsService, CallError, CallOptions};

/// Most messages of one call.
///
/// Source: <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html>.
pub(super) const MOST_MESSAGES: usize = 10;

/// How long a call waits for a message to come.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// A message cannot be hidden for longer than this after it was received.
///
/// Source: <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html>.
const LONGEST_HIDDEN: Duration = Duration::from_hours(12);

/// An answer is waited for so much longer than a message.
const PATIENCE: Duration = Duration::from_secs(15);

/// How often messages that could not be deleted are tried again.
const DELETE_TRIES: u32 = 4;

/// A message.
#[derive(Clone, Debug)]
pub(super) struct QueueMessage {
    pub(super) handle: String,
    pub(super) body: String,
    /// How often it was received, with this time.
    pub(super) receives: u64,
    /// When it began to be hidden, or a little before.
    pub(super) received: Instant,
}

/// A queue, with the credentials that it is read by.
#[derive(Debug)]
pub(super) struct SqsQueue {
    client: ApiClient,
    url: String,
    visibility: Duration,
}

/// What a message's extension led to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Extension {
    /// It stays hidden for so long.
    Hidden(Duration),
    /// It is another's by now, or will be.
    Lost,
}

impl SqsQueue {
    pub(super) const fn new(client: ApiClient, url: String, visibility: Duration) -> Self {
        Self { client, url, visibility }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    fn call(&self, operation: &'static str, mut input: Value) -> ApiCall {
        if let Some(members) = input.as_object_mut() {
            members.insert("QueueUrl".to_owned(), self.url.as_str().into());
        }
        ApiCall::new(AwsService::Sqs, operation, input)
    }

    /// Waits up to `wait` for messages.
    pub(super) async fn receive(&self, most: usize, wait: Duration) -> Result<Vec<QueueMessage>, CallError> {
        let call = self.call(
            "ReceiveMessage",
            json!({
                "MaxNumberOfMessages": most.clamp(1, MOST_MESSAGES),
                "WaitTimeSeconds": wait.as_secs(),
                "VisibilityTimeout": self.visibility.as_secs(),
                "MessageSystemAttributeNames": ["ApproximateReceiveCount"],
            }),
        );
        let received = Instant::now();
        let answer = self.client.call_with(&call, CallOptions::once(wait + PATIENCE)).await?;
        let messages = answer.get("Messages").and_then(Value::as_array);
        Ok(messages.into_iter().flatten().filter_map(|message| read(message, received)).collect())
    }

    /// Hides a message for another while.
    pub(super) async fn extend(&self, message: &QueueMessage) -> Result<Extension, CallError> {
        let left = LONGEST_HIDDEN.saturating_sub(message.received.elapsed() + PATIENCE);
        let hidden = self.visibility.min(left);
        if hidden.is_zero() {
            return Ok(Extension::Lost);
        }
        let input = json!({ "ReceiptHandle": message.handle, "VisibilityTimeout": hidden.as_secs() });
        let call = self.call("ChangeMessageVisibility", input);
        match self.client.call_with(&call, CallOptions::once(PATIENCE)).await {
            Ok(_) => Ok(Extension::Hidden(hidden)),
            Err(refused) if is_lost(refused.code()) => Ok(Extension::Lost),
            Err(refused) => Err(refused),
        }
    }

    /// Shows messages to others at once; gives how many could not be: they come back when their time is over.
    pub(super) async fn give_back(&self, handles: &[String]) -> usize {
        let mut failed = 0;
        for handles in handles.chunks(MOST_MESSAGES) {
            let members = json!({ "VisibilityTimeout": 0 });
            let call = self.batch("ChangeMessageVisibilityBatch", handles, &members);
            let answer = self.client.call_with(&call, CallOptions { deadline: PATIENCE, tries: 2 }).await;
            failed += answer.map_or(handles.len(), |answer| failures(&answer).len());
        }
        failed
    }

    /// Deletes messages of one call; gives the places of those that could not be.
    pub(super) async fn delete(&self, handles: &[String]) -> BTreeSet<usize> {
        let mut left: BTreeSet<usize> = (0..handles.len()).collect();
        for tried in 0..DELETE_TRIES {
            let (places, of_left): (Vec<usize>, Vec<String>) =
                left.iter().filter_map(|place| Some((*place, handles.get(*place)?.clone()))).unzip();
            let call = self.batch("DeleteMessageBatch", &of_left, &json!({}));
            let options = CallOptions { deadline: PATIENCE, ..CallOptions::default() };
            let Ok(answer) = self.client.call_with(&call, options).await else { return left };
            let failed = failures(&answer);
            left = failed.iter().filter_map(|(index, _)| places.get(*index).copied()).collect();
            // What was wrong with the request stays wrong.
            let is_hopeless = failed.iter().all(|(_, is_senders)| *is_senders);
            if is_hopeless {
                return left;
            }
            sleep(Duration::from_millis(100 << tried)).await;
        }
        left
    }

    /// Whether the queue takes messages aside that come back too often.
    pub(super) async fn has_redrive(&self) -> Result<bool, CallError> {
        let call = self.call("GetQueueAttributes", json!({ "AttributeNames": ["RedrivePolicy"] }));
        let answer = self.client.call_with(&call, CallOptions::once(PATIENCE)).await?;
        let policy = answer.pointer("/Attributes/RedrivePolicy").and_then(Value::as_str);
        Ok(policy.is_some_and(|policy| !policy.is_empty()))
    }

    fn batch(&self, operation: &'static str, handles: &[String], members: &Value) -> ApiCall {
        let entry = |(index, handle): (usize, &String)| {
            let mut entry = members.clone();
            if let Some(entry) = entry.as_object_mut() {
                entry.insert("Id".to_owned(), index.to_string().into());
                entry.insert("ReceiptHandle".to_owned(), handle.as_str().into());
            }
            entry
        };
        let entries: Vec<Value> = handles.iter().enumerate().map(entry).collect();
        self.call(operation, json!({ "Entries": entries }))
    }
}

/// The places of what failed in a batch, and whether the request was to blame.
fn failures(answer: &Value) -> Vec<(usize, bool)> {
    let failed = answer.get("Failed").and_then(Value::as_array).into_iter().flatten();
    let entry = |failed: &Value| {
        let index = failed.get("Id")?.as_str()?.parse().ok()?;
        Some((index, failed.get("SenderFault").and_then(Value::as_bool).unwrap_or(false)))
    };
    failed.filter_map(entry).collect()
}

fn read(message: &Value, received: Instant) -> Option<QueueMessage> {
    let text = |member: &str| Some(message.get(member)?.as_str()?.to_owned());
    let receives = message.pointer("/Attributes/ApproximateReceiveCount").and_then(Value::as_str);
    Some(QueueMessage {
        handle: text("ReceiptHandle")?,
        body: text("Body")?,
        receives: receives.and_then(|receives| receives.parse().ok()).unwrap_or(1),
        received,
    })
}

/// Whether a refusal says that the message is not ours any more.
fn is_lost(code: Option<&str>) -> bool {
    matches!(code, Some("ReceiptHandleIsInvalid" | "MessageNotInflight" | "InvalidParameterValue"))
}

/// The region that the URL of a queue of AWS's names.
pub(super) fn region_of(url: &str) -> Option<&str> {
    let host = url.split_once("://")?.1.split('/').next()?;
    let parts: Vec<&str> = host.split('.').collect();
    let at = parts.iter().position(|part| matches!(*part, "sqs" | "sqs-fips" | "queue"))?;
    let is_region = |part: &&&str| part.contains('-') && part.ends_with(|c: char| c.is_ascii_digit());
    // The first form of these URLs has the region before.
    let before = at.checked_sub(1).and_then(|before| parts.get(before));
    parts.get(at + 1).filter(is_region).or_else(|| before.filter(is_region)).copied()
}

/// Where a queue is asked: the scheme and the host of its URL.
pub(super) fn origin_of(url: &str) -> String {
    let after = url.find("://").map_or(0, |at| at + 3);
    let end = url.get(after..).and_then(|rest| rest.find('/')).map_or(url.len(), |at| after + at);
    url.get(..end).unwrap_or(url).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queues_url_names_its_region_and_its_endpoint() {
        let check = |url: &str, region: Option<&str>, origin: &str| {
            assert_eq!((region_of(url), &*origin_of(url)), (region, origin));
        };
        let own = "https://sqs.eu-west-1.amazonaws.com";
        check("https://sqs.eu-west-1.amazonaws.com/222222222222/q", Some("eu-west-1"), own);
        let china = "https://sqs.cn-north-1.amazonaws.com.cn";
        check("https://sqs.cn-north-1.amazonaws.com.cn/222222222222/q", Some("cn-north-1"), china);
        let fips = "https://sqs-fips.us-gov-west-1.amazonaws.com";
        check("https://sqs-fips.us-gov-west-1.amazonaws.com/2/q", Some("us-gov-west-1"), fips);
        let vpc = "https://vpce-0a1-b2c.sqs.us-east-2.vpce.amazonaws.com";
        check("https://vpce-0a1-b2c.sqs.us-east-2.vpce.amazonaws.com/2/q", Some("us-east-2"), vpc);
        let old = "https://us-west-1.queue.amazonaws.com";
        check("https://us-west-1.queue.amazonaws.com/2/q", Some("us-west-1"), old);
        check("http://127.0.0.1:5000/123456789012/q", None, "http://127.0.0.1:5000");
    }

    #[test]
    fn what_failed_in_a_batch_is_told_with_whose_fault_it_was() {
        let answer = json!({ "Successful": [{ "Id": "0" }], "Failed": [
            { "Id": "1", "SenderFault": false, "Code": "InternalError" },
            { "Id": "2", "SenderFault": true, "Code": "ReceiptHandleIsInvalid" } ] });
        assert_eq!(failures(&answer), [(1, false), (2, true)]);
        assert_eq!(failures(&json!({})), []);
    }
}
