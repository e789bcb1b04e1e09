//! A queue of SQS: messages are shown, hidden for a while, and deleted.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use serde_json::{Value, json};

use super::errors::AwsError;
use super::sigv4;
use super::state::State;

const TARGET: &str = "AmazonSQS.";

/// How often a call that waits looks for messages whose time is over.
const LOOK: Duration = Duration::from_millis(100);

/// A message that is not deleted.
#[derive(Debug)]
struct Message {
    number: u64,
    body: String,
    /// How many lines the object has that it announces.
    lines: u64,
    shows: Instant,
    receives: u64,
    handle: String,
}

/// The only queue, whatever its URL.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    messages: Vec<Message>,
    sent: u64,
    handles: u64,
}

impl Queue {
    /// Announces an object of so many lines, as S3 does.
    pub(crate) fn announce(&mut self, bucket: &str, key: &str, etag: &str, lines: u64) {
        self.sent += 1;
        let object = json!({ "key": key, "eTag": etag });
        let record = json!({ "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
            "s3": { "bucket": { "name": bucket }, "object": object } });
        self.messages.push(Message {
            number: self.sent,
            body: json!({ "Records": [record] }).to_string(),
            lines,
            shows: Instant::now(),
            receives: 0,
            handle: String::new(),
        });
    }

    /// Lines of objects that were announced to somebody who has not said that they are done.
    pub(crate) fn unsettled(&self) -> u64 {
        self.messages.iter().filter(|message| message.receives > 0).map(|message| message.lines).sum()
    }

    fn receive(&mut self, input: &Value, now: Instant) -> Value {
        let most = usize::try_from(input["MaxNumberOfMessages"].as_u64().unwrap_or(1)).unwrap();
        let hidden = Duration::from_secs(input["VisibilityTimeout"].as_u64().unwrap_or(30));
        let mut shown = Vec::new();
        for message in self.messages.iter_mut().filter(|message| message.shows <= now).take(most) {
            self.handles += 1;
            message.receives += 1;
            message.handle = format!("{}-{}", message.number, self.handles);
            message.shows = now + hidden;
            shown.push(json!({
                "MessageId": message.number.to_string(),
                "ReceiptHandle": message.handle,
                "Body": message.body,
                "Attributes": { "ApproximateReceiveCount": message.receives.to_string() },
            }));
        }
        if shown.is_empty() { json!({}) } else { json!({ "Messages": shown }) }
    }

    fn place(&self, entry: &Value) -> Option<usize> {
        let handle = entry["ReceiptHandle"].as_str()?;
        self.messages.iter().position(|message| message.handle == handle)
    }

    fn hide(&mut self, entry: &Value, now: Instant) -> Option<()> {
        let hidden = entry["VisibilityTimeout"].as_u64()?;
        let place = self.place(entry)?;
        self.messages[place].shows = now + Duration::from_secs(hidden);
        Some(())
    }

    fn delete(&mut self, entry: &Value) -> Option<()> {
        let place = self.place(entry)?;
        self.messages.remove(place);
        Some(())
    }
}

/// Does something with each entry of a batch.
fn batch(input: &Value, mut act: impl FnMut(&Value) -> Option<()>) -> Value {
    let (mut successful, mut failed) = (Vec::new(), Vec::new());
    for entry in input["Entries"].as_array().into_iter().flatten() {
        let id = &entry["Id"];
        match act(entry) {
            Some(()) => successful.push(json!({ "Id": id })),
            None => {
                failed.push(json!({ "Id": id, "SenderFault": true, "Code": "ReceiptHandleIsInvalid" }));
            }
        }
    }
    json!({ "Successful": successful, "Failed": failed })
}

/// Whether a call is one.
pub(crate) fn is_meant(parts: &Parts) -> bool {
    parts.headers.get("x-amz-target").is_some_and(|is| is.as_bytes().starts_with(TARGET.as_bytes()))
}

/// Answers it. Waits here for messages as long as it is asked to.
pub(crate) async fn answer(state: &State, parts: &Parts, body: &[u8]) -> Response<Bytes> {
    match call(state, parts, body).await {
        Ok(reply) => Response::builder()
            .header("content-type", "application/x-amz-json-1.0")
            .body(Bytes::from(reply.to_string()))
            .unwrap(),
        Err(error) => error.json(),
    }
}

async fn call(state: &State, parts: &Parts, body: &[u8]) -> Result<Value, AwsError> {
    sigv4::verify(state, parts, body, "sqs")?;
    let input: Value =
        serde_json::from_slice(body).map_err(|_| AwsError::new(400, "SerializationException", "not JSON"))?;
    let operation = parts.headers["x-amz-target"].to_str().unwrap().strip_prefix(TARGET).unwrap();
    let now = Instant::now();
    Ok(match operation {
        "ReceiveMessage" => receive(state, &input).await,
        "ChangeMessageVisibility" => {
            let invalid = || AwsError::new(400, "ReceiptHandleIsInvalid", "The receipt handle is invalid.");
            state.queue().hide(&input, now).ok_or_else(invalid)?;
            json!({})
        }
        "ChangeMessageVisibilityBatch" => {
            let mut queue = state.queue();
            batch(&input, |entry| queue.hide(entry, now))
        }
        "DeleteMessageBatch" => {
            let mut queue = state.queue();
            batch(&input, |entry| queue.delete(entry))
        }
        "GetQueueAttributes" => {
            json!({ "Attributes": { "RedrivePolicy": r#"{"maxReceiveCount":"1000"}"# } })
        }
        _ => return Err(AwsError::new(400, "UnsupportedOperation", operation)),
    })
}

async fn receive(state: &State, input: &Value) -> Value {
    let until = Instant::now() + Duration::from_secs(input["WaitTimeSeconds"].as_u64().unwrap_or(0));
    loop {
        let now = Instant::now();
        let shown = state.queue().receive(input, now);
        if shown["Messages"].is_array() || now >= until {
            return shown;
        }
        tokio::time::sleep(LOOK.min(until - now)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_hidden_while_somebody_has_it_and_comes_again_until_it_is_deleted() {
        let mut queue = Queue::default();
        queue.announce("b", "k", "e", 7);
        assert_eq!(queue.unsettled(), 0);
        let begin = Instant::now();
        let asked = json!({ "MaxNumberOfMessages": 10, "VisibilityTimeout": 20 });
        let handle_at = |queue: &mut Queue, seconds: u64| {
            let shown = queue.receive(&asked, begin + Duration::from_secs(seconds));
            shown["Messages"][0]["ReceiptHandle"].as_str().map(str::to_owned)
        };
        let first = handle_at(&mut queue, 0).unwrap();
        assert_eq!(queue.unsettled(), 7);
        assert_eq!(handle_at(&mut queue, 19), None);
        let entry = |handle: &str| json!({ "Id": "0", "ReceiptHandle": handle, "VisibilityTimeout": 20 });
        assert_eq!(queue.hide(&entry(&first), begin + Duration::from_secs(10)), Some(()));
        assert_eq!(handle_at(&mut queue, 29), None);
        let second = handle_at(&mut queue, 30).unwrap();
        let both = json!({ "Entries": [entry(&first), entry(&second)] });
        let deleted = batch(&both, |entry| queue.delete(entry));
        assert_eq!(deleted["Successful"].as_array().unwrap().len(), 1);
        assert_eq!(deleted["Failed"].as_array().unwrap().len(), 1);
        assert_eq!((queue.unsettled(), handle_at(&mut queue, 90)), (0, None));
    }
}
