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

/// A stop may take longer than half of this.
const SHORT: Duration = Duration::from_mins(2);

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

    pub(super) const fn visibility(&self) -> Duration {
        self.visibility
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
        let since = Instant::now();
        let answer = self.client.call_with(&call, CallOptions::once(wait + PATIENCE)).await?;
        let messages = answer.get("Messages").and_then(Value::as_array);
        Ok(messages.into_iter().flatten().filter_map(|message| read(message, since)).collect())
    }

    /// Hides a message for another while.
    pub(super) async fn extend(&self, message: &QueueMessage) -> Result<Extension, CallError> {
        let Some(hidden) = hidden_for(self.visibility, message.received.elapsed()) else {
            return Ok(Extension::Lost);
        };
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
        self.hide(handles, Duration::ZERO).await
    }

    /// Keeps messages hidden for another while, if otherwise they might show themselves within a stop.
    pub(super) async fn keep_for_a_stop(&self, handles: &[String]) {
        // Half of a message's time is left at the least, or it would have been extended.
        if self.visibility < SHORT {
            self.hide(handles, self.visibility).await;
        }
    }

    async fn hide(&self, handles: &[String], hidden: Duration) -> usize {
        let mut failed = 0;
        for handles in handles.chunks(MOST_MESSAGES) {
            let members = json!({ "VisibilityTimeout": hidden.as_secs() });
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

/// For how long a message can be hidden once more, that was received so long ago; none: no longer.
fn hidden_for(visibility: Duration, age: Duration) -> Option<Duration> {
    let left = LONGEST_HIDDEN.saturating_sub(age.saturating_add(PATIENCE));
    // The service knows whole seconds, of which none would show the message.
    Some(Duration::from_secs(visibility.min(left).as_secs())).filter(|hidden| !hidden.is_zero())
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

fn read(message: &Value, since: Instant) -> Option<QueueMessage> {
    let text = |member: &str| Some(message.get(member)?.as_str()?.to_owned());
    let count = message.pointer("/Attributes/ApproximateReceiveCount").and_then(Value::as_str);
    Some(QueueMessage {
        handle: text("ReceiptHandle")?,
        body: text("Body")?,
        receives: count.and_then(|count| count.parse().ok()).unwrap_or(1),
        received: since,
    })
}

/// Whether a refusal says that the message is not ours any more.
fn is_lost(code: Option<&str>) -> bool {
    matches!(code, Some("ReceiptHandleIsInvalid" | "MessageNotInflight" | "InvalidParameterValue"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_hidden_for_as_long_as_the_service_allows_and_never_shown_by_mistake() {
        let (minutes, hours) = (Duration::from_mins, Duration::from_hours);
        let check = |age: Duration, hidden| assert_eq!(hidden_for(minutes(5), age), hidden, "{age:?}");
        check(Duration::ZERO, Some(minutes(5)));
        check(hours(11), Some(minutes(5)));
        check(hours(12).saturating_sub(minutes(2)), Some(Duration::from_secs(105)));
        check(hours(12).saturating_sub(Duration::from_millis(15_900)), None);
        check(hours(12), None);
        check(hours(13), None);
        for age in (0..=43_200_u64).step_by(7).map(Duration::from_secs) {
            let until = age + hidden_for(minutes(5), age).unwrap_or_default();
            assert!(until <= hours(12), "{age:?}: hidden until {until:?}");
        }
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
