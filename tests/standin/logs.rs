//! `CloudWatch` Logs, to be pulled from: `DescribeLogGroups` and `FilterLogEvents` as the service answers them, with what goes wrong.

use std::collections::BTreeMap;
use std::sync::MutexGuard;

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use serde_json::{Value, json};
use standpipe::event::Timestamp;

use super::errors::AwsError;
use super::settings::HOME;
use super::sigv4;
use super::state::State;

const TARGET: &str = "Logs_20140328.";

/// An event.
#[derive(Clone, Debug)]
struct Event {
    id: u64,
    stream: String,
    message: String,
    ingested: i64,
}

/// A log group.
#[derive(Clone, Debug, Default)]
struct Group {
    created: i64,
    /// By their time.
    events: BTreeMap<i64, Vec<Event>>,
}

/// All log groups, and what goes wrong with them.
#[derive(Debug, Default)]
pub(crate) struct Logs {
    /// By account and name.
    groups: BTreeMap<(String, String), Group>,
    next: u64,
    /// So many calls for events are throttled next.
    pub(crate) throttles: u32,
    /// So many tokens are refused next.
    pub(crate) expired_tokens: u32,
    /// So many pages without events come before each page with some.
    pub(crate) empty_pages: u32,
    /// A log group that may not be read.
    pub(crate) denied: Option<String>,
    /// Events a page; 0: as many as the service gives.
    pub(crate) page: usize,
    /// Calls for events that were answered.
    pub(crate) calls: u64,
}

impl Logs {
    pub(crate) fn create(&mut self, account: &str, name: &str) {
        let group = Group { created: Timestamp::now().0, events: BTreeMap::new() };
        self.groups.insert((account.to_owned(), name.to_owned()), group);
    }

    pub(crate) fn delete(&mut self, account: &str, name: &str) {
        self.groups.remove(&(account.to_owned(), name.to_owned()));
    }

    /// Each line of a text becomes an event of this age, in milliseconds.
    pub(crate) fn put(&mut self, account: &str, name: &str, text: &[u8], age: i64) {
        let now = Timestamp::now().0;
        let group = self.groups.entry((account.to_owned(), name.to_owned())).or_default();
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            self.next += 1;
            let message = String::from_utf8(line.to_vec()).unwrap();
            let event =
                Event { id: self.next, stream: format!("stream-{}", self.next % 3), message, ingested: now };
            group.events.entry(now - age).or_default().push(event);
        }
    }

    fn list(&self, account: &str, input: &Value) -> Value {
        let prefix = input["logGroupNamePrefix"].as_str().unwrap_or_default();
        let linked = input["includeLinkedAccounts"] == true;
        let wanted = self
            .groups
            .iter()
            .filter(|((of, name), _)| (linked || of == account) && name.starts_with(prefix));
        let skip: usize = input["nextToken"].as_str().map_or(0, |token| token.parse().unwrap());
        let most = usize::try_from(input["limit"].as_u64().unwrap_or(50)).unwrap();
        let all: Vec<Value> = wanted
            .skip(skip)
            .map(|((of, name), group)| {
                json!({
                    "logGroupName": name,
                    "creationTime": group.created,
                    "arn": format!("arn:aws:logs:us-east-1:{of}:log-group:{name}:*"),
                    "logGroupArn": format!("arn:aws:logs:us-east-1:{of}:log-group:{name}"),
                    "logGroupClass": "STANDARD",
                })
            })
            .collect();
        let mut answer = json!({ "logGroups": &all[..most.min(all.len())] });
        if all.len() > most {
            answer["nextToken"] = (skip + most).to_string().into();
        }
        answer
    }

    fn filter(&mut self, account: &str, principal: &str, input: &Value) -> Result<Value, AwsError> {
        if self.throttles > 0 {
            self.throttles -= 1;
            return Err(AwsError::new(400, "ThrottlingException", "Rate exceeded"));
        }
        let (of, name) = named(account, input)?;
        if self.denied.as_ref() == Some(&name) {
            let message = format!(
                "User: {principal} is not authorized to perform: logs:FilterLogEvents on resource: \
                 arn:aws:logs:us-east-1:{of}:log-group:{name}:log-stream: because no identity-based policy allows the \
                 logs:FilterLogEvents action"
            );
            return Err(AwsError::new(400, "AccessDeniedException", message));
        }
        let token = input["nextToken"].as_str();
        if token.is_some() && self.expired_tokens > 0 {
            self.expired_tokens -= 1;
            return Err(AwsError::new(
                400,
                "InvalidParameterException",
                "The specified nextToken is invalid.",
            ));
        }
        let absent =
            || AwsError::new(400, "ResourceNotFoundException", "The specified log group does not exist.");
        let group = self.groups.get(&(of, name)).ok_or_else(absent)?;
        self.calls += 1;
        let place = token.map_or_else(|| "0/0".to_owned(), str::to_owned);
        let (empty, skip) = place.split_once('/').unwrap();
        let (empty, skip): (u32, usize) = (empty.parse().unwrap(), skip.parse().unwrap());
        if empty < self.empty_pages {
            return Ok(
                json!({ "events": [], "searchedLogStreams": [], "nextToken": format!("{}/{skip}", empty + 1) }),
            );
        }
        Ok(page(group, input, skip, self.page))
    }
}

/// The account and the name of the log group that is asked for.
fn named(account: &str, input: &Value) -> Result<(String, String), AwsError> {
    if let Some(name) = input["logGroupName"].as_str() {
        return Ok((account.to_owned(), name.to_owned()));
    }
    let arn = input["logGroupIdentifier"].as_str().unwrap_or_default();
    let parts: Vec<&str> = arn.splitn(7, ':').collect();
    match parts[..] {
        ["arn", "aws", "logs", _, of, "log-group", name] if !name.ends_with(":*") => {
            Ok((of.to_owned(), name.to_owned()))
        }
        _ => Err(AwsError::new(400, "InvalidParameterException", "not a log group's name or ARN")),
    }
}

/// A page of at most a megabyte and 10,000 events, both ends of the span included.
fn page(group: &Group, input: &Value, skip: usize, most: usize) -> Value {
    let (from, to) = (input["startTime"].as_i64().unwrap(), input["endTime"].as_i64().unwrap());
    let most = if most == 0 { 10_000 } else { most };
    let (mut events, mut bytes, mut token) = (Vec::new(), 0, None);
    let all = group
        .events
        .range(from..=to)
        .flat_map(|(time, events)| events.iter().map(move |event| (time, event)));
    for (number, (time, event)) in all.enumerate().skip(skip) {
        bytes += event.message.len() + 26;
        if events.len() == most || bytes > 1 << 20 {
            token = Some(format!("0/{number}"));
            break;
        }
        events.push(json!({
            "logStreamName": event.stream,
            "timestamp": time,
            "message": event.message,
            "ingestionTime": event.ingested,
            "eventId": format!("{:056}", event.id),
        }));
    }
    json!({ "events": events, "searchedLogStreams": [], "nextToken": token })
}

/// Whether a call is one.
pub(crate) fn is_meant(parts: &Parts) -> bool {
    parts.headers.get("x-amz-target").is_some_and(|is| is.as_bytes().starts_with(TARGET.as_bytes()))
}

/// Answers it.
pub(crate) fn answer(state: &State, parts: &Parts, body: &[u8]) -> Response<Bytes> {
    match call(state, parts, body) {
        Ok(reply) => Response::builder()
            .header("content-type", "application/x-amz-json-1.1")
            .body(Bytes::from(reply.to_string()))
            .unwrap(),
        Err(error) => error.json(),
    }
}

fn call(state: &State, parts: &Parts, body: &[u8]) -> Result<Value, AwsError> {
    let caller = sigv4::verify(state, parts, body, "logs")?;
    let input: Value =
        serde_json::from_slice(body).map_err(|_| AwsError::new(400, "SerializationException", "not JSON"))?;
    let operation = parts.headers["x-amz-target"].to_str().unwrap().strip_prefix(TARGET).unwrap();
    let mut logs: MutexGuard<'_, Logs> = state.logs();
    match operation {
        "DescribeLogGroups" => Ok(logs.list(&caller.account, &input)),
        "FilterLogEvents" => logs.filter(&caller.account, &caller.principal, &input),
        _ => Err(AwsError::new(404, "UnknownOperationException", operation)),
    }
}

/// The account of most log groups.
pub(crate) const ACCOUNT: &str = HOME;
