//! Enhanced fan-out of a Kinesis stream: consumers, and subscriptions that send what comes to a shard, with their limits, and with what
//! goes wrong.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::request::Parts;
use http::{Response, Version};
use libdeflater::crc32;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::errors::AwsError;
use super::kinesis::{admitted, stream_arn, takes};
use super::reply::{Cut, Reply};
use super::state::State;

/// Consumers and their subscriptions, and what goes wrong with them.
#[derive(Debug)]
pub(crate) struct FanOut {
    /// How often each is still described as one that is being made, by name.
    consumers: BTreeMap<String, u32>,
    /// By consumer and shard: which subscription it is, and when it began.
    current: BTreeMap<(String, u64), (u64, Instant)>,
    /// A new consumer is described so often as one that is being made.
    pub(crate) creating: u32,
    /// So long a subscription lasts.
    pub(crate) lasts: Duration,
    /// Records an event.
    pub(crate) event: usize,
    /// So many events are cut in the middle, with their connections.
    pub(crate) cuts: u32,
    /// So many events have another checksum than they say.
    pub(crate) torn: u32,
    /// Subscriptions end with these exceptions instead of an event with records.
    pub(crate) exceptions: VecDeque<&'static str>,
    /// Subscriptions that were begun.
    pub(crate) subscribed: u64,
    /// Those of them over HTTP/2.
    pub(crate) over_http2: u64,
    /// Calls that came sooner after a subscription than they may.
    pub(crate) too_soon: u64,
    /// Bytes of events that were sent.
    pub(crate) sent: usize,
}

impl Default for FanOut {
    fn default() -> Self {
        Self {
            consumers: BTreeMap::new(),
            current: BTreeMap::new(),
            creating: 1,
            lasts: Duration::from_mins(5),
            event: 50,
            cuts: 0,
            torn: 0,
            exceptions: VecDeque::new(),
            subscribed: 0,
            over_http2: 0,
            too_soon: 0,
            sent: 0,
        }
    }
}

/// What subscribes, which is answered as nothing else is.
const SUBSCRIBE: &str = "Kinesis_20131202.SubscribeToShard";

/// After a subscription, the next one of the same consumer and shard is refused for so long.
/// Source: <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_SubscribeToShard.html>.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Something is sent so often, though nothing came.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// How often a shard is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// One subscription.
struct Subscription {
    consumer: String,
    shard: u64,
    id: u64,
    /// How many of the shard's records were sent.
    place: usize,
    ends: Instant,
    heard: Instant,
}

/// What a look at the shard gives.
enum Sending {
    Nothing,
    Event(Bytes),
    /// The last message of it.
    Last(Bytes),
    /// The beginning of a message, and the end of the connection.
    Torn(Bytes),
    End,
}

fn arn(consumer: &str) -> String {
    format!("{}/consumer/{consumer}:1764499200", stream_arn())
}

impl FanOut {
    /// Whether nobody is registered.
    pub(crate) fn is_unknown(&self, name: &str) -> bool {
        !self.consumers.contains_key(name)
    }

    /// Somebody removes a consumer; its subscriptions end.
    pub(crate) fn deregister(&mut self, name: &str) {
        self.consumers.remove(name);
        self.current.retain(|(consumer, _), _| consumer != name);
    }

    /// Somebody else subscribes to a shard in the name of a consumer.
    pub(crate) fn take(&mut self, consumer: &str, shard: u64) {
        self.subscribed += 1;
        self.current.insert((consumer.to_owned(), shard), (self.subscribed, Instant::now()));
    }

    pub(super) fn register(&mut self, input: &Value) -> Result<Value, AwsError> {
        let name = input["ConsumerName"].as_str().unwrap();
        if self.consumers.insert(name.to_owned(), self.creating).is_some() {
            return Err(AwsError::new(400, "ResourceInUseException", "the consumer exists"));
        }
        Ok(
            json!({ "Consumer": { "ConsumerName": name, "ConsumerARN": arn(name), "ConsumerStatus": "CREATING" } }),
        )
    }

    pub(super) fn describe(&mut self, input: &Value) -> Result<Value, AwsError> {
        let name = input["ConsumerName"].as_str().unwrap();
        let looks = self.consumers.get_mut(name).ok_or_else(no_consumer)?;
        let status = if takes(looks) { "CREATING" } else { "ACTIVE" };
        Ok(
            json!({ "ConsumerDescription": { "ConsumerName": name, "ConsumerARN": arn(name), "ConsumerStatus": status } }),
        )
    }

    /// Whether a consumer may subscribe to a shard by now.
    fn admit(&mut self, consumer: &str, shard: u64) -> Result<(), AwsError> {
        let current = self.current.get(&(consumer.to_owned(), shard));
        if current.is_some_and(|(_, began)| began.elapsed() < AGAIN_AFTER) {
            self.too_soon += 1;
            return Err(AwsError::new(400, "ResourceInUseException", "subscribed less than 5 seconds ago"));
        }
        Ok(())
    }
}

fn no_consumer() -> AwsError {
    AwsError::new(400, "ResourceNotFoundException", "Consumer not found")
}

impl Subscription {
    fn begin(state: &State, parts: &Parts, body: &[u8]) -> Result<Self, AwsError> {
        let (_, input) = admitted(state, parts, body)?;
        let mut kinesis = state.kinesis();
        let consumer = input["ConsumerARN"].as_str().unwrap();
        let name = consumer.rsplit('/').next().and_then(|name| name.split(':').next()).unwrap().to_owned();
        if arn(&name) != consumer || kinesis.fan_out.is_unknown(&name) {
            return Err(no_consumer());
        }
        let position = &input["StartingPosition"];
        let text = |key: &str| position[key].as_str().unwrap_or_default();
        let (shard, place) =
            kinesis.place(&input, text("Type"), text("SequenceNumber"), &position["Timestamp"])?;
        if input["DryRun"].as_bool() == Some(true) {
            return Err(AwsError::new(400, "DryRunOperationException", "it would have been subscribed"));
        }
        kinesis.fan_out.admit(&name, shard)?;
        kinesis.check_order(shard);
        kinesis.fan_out.take(&name, shard);
        kinesis.fan_out.over_http2 += u64::from(parts.version == Version::HTTP_2);
        let (id, now) = (kinesis.fan_out.subscribed, Instant::now());
        let ends = now + kinesis.fan_out.lasts;
        Ok(Self { consumer: name, shard, id, place, ends, heard: now })
    }

    /// Looks at the shard.
    fn look(&mut self, state: &State) -> Sending {
        let mut kinesis = state.kinesis();
        let key = (self.consumer.clone(), self.shard);
        if kinesis.fan_out.current.get(&key).is_none_or(|(id, _)| *id != self.id) {
            let code = if kinesis.fan_out.is_unknown(&self.consumer) {
                "ResourceNotFoundException"
            } else {
                "ResourceInUseException"
            };
            return Sending::Last(exception(code));
        }
        if Instant::now() >= self.ends {
            return Sending::End;
        }
        let most = kinesis.fan_out.event;
        let (event, end, is_over) = kinesis.event(self.shard, self.place, most);
        let is_empty = end == self.place;
        if is_empty && !is_over && self.heard.elapsed() < HEARTBEAT {
            return Sending::Nothing;
        }
        let fan_out = &mut kinesis.fan_out;
        if !is_empty && let Some(code) = fan_out.exceptions.pop_front() {
            return Sending::Last(exception(code));
        }
        let message = message(&[(":event-type", "SubscribeToShardEvent")], "event", &event.to_string());
        if !is_empty && takes(&mut fan_out.cuts) {
            return Sending::Torn(message.slice(..message.len() / 2));
        }
        if !is_empty && takes(&mut fan_out.torn) {
            let mut changed = message.to_vec();
            let middle = changed.len() / 2;
            changed[middle] ^= 1;
            return Sending::Last(changed.into());
        }
        fan_out.sent += message.len();
        (self.place, self.heard) = (end, Instant::now());
        if is_over { Sending::Last(message) } else { Sending::Event(message) }
    }

    async fn send(mut self, state: Arc<State>, to: mpsc::Sender<Result<Bytes, Cut>>) {
        let begun = message(&[(":event-type", "initial-response")], "event", "{}");
        if to.send(Ok(begun)).await.is_err() {
            return;
        }
        loop {
            // A client that has gone away is noticed by what is sent to it.
            let is_sent = match self.look(&state) {
                Sending::Nothing => {
                    sleep(LOOK).await;
                    Ok(())
                }
                Sending::Event(message) => to.send(Ok(message)).await,
                Sending::Last(message) => {
                    to.send(Ok(message)).await.ok();
                    return;
                }
                Sending::Torn(beginning) => {
                    to.send(Ok(beginning)).await.ok();
                    to.send(Err(Cut)).await.ok();
                    return;
                }
                Sending::End => return,
            };
            if is_sent.is_err() {
                return;
            }
        }
    }
}

/// Whether a call is one that subscribes.
pub(crate) fn is_meant(parts: &Parts) -> bool {
    parts.headers.get("x-amz-target").is_some_and(|is| is == SUBSCRIBE)
}

/// Answers it, for as long as the subscription lasts.
pub(crate) fn answer(state: &Arc<State>, parts: &Parts, body: &[u8]) -> Response<Reply> {
    match Subscription::begin(state, parts, body) {
        Ok(subscription) => {
            let (sender, receiver) = mpsc::channel(1);
            tokio::spawn(subscription.send(Arc::clone(state), sender));
            Response::builder()
                .header("content-type", "application/vnd.amazon.eventstream")
                .body(Reply::events(receiver))
                .unwrap()
        }
        Err(error) => Reply::of(error.json()),
    }
}

fn exception(code: &'static str) -> Bytes {
    message(&[(":exception-type", code)], "exception", &json!({ "message": "by the stand-in" }).to_string())
}

/// A message of an event stream. Source: <https://smithy.io/2.0/aws/amazon-eventstream.html>.
fn message(headers: &[(&str, &str)], kind: &str, payload: &str) -> Bytes {
    const TEXT: u8 = 7;
    let mut written = Vec::new();
    for (name, value) in
        headers.iter().chain(&[(":message-type", kind), (":content-type", "application/json")])
    {
        written.push(u8::try_from(name.len()).unwrap());
        written.extend(name.as_bytes());
        written.push(TEXT);
        written.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
        written.extend(value.as_bytes());
    }
    let length = |length: usize| u32::try_from(length).unwrap().to_be_bytes();
    let mut message = [length(written.len() + payload.len() + 16), length(written.len())].concat();
    message.extend(crc32(&message).to_be_bytes());
    message.extend([&written, payload.as_bytes()].concat());
    message.extend(crc32(&message).to_be_bytes());
    message.into()
}
