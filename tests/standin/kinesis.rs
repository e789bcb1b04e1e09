//! A Kinesis stream, to be read: `ListShards`, `GetShardIterator` and `GetRecords` as the service answers them, with its limits, and with
//! what goes wrong.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use base64_simd::STANDARD;
use bytes::Bytes;
use http::Response;
use http::request::Parts;
use serde_json::{Value, json};
use standpipe::event::Timestamp;

use super::errors::AwsError;
use super::fan_out::FanOut;
use super::settings::HOME;
use super::sigv4;
use super::state::State;

const TARGET: &str = "Kinesis_20131202.";

/// A record.
#[derive(Clone, Debug)]
struct Record {
    sequence: u64,
    time: i64,
    key: String,
    size: usize,
    /// In base64, as it is read again and again.
    data: String,
}

/// A shard.
#[derive(Clone, Debug, Default)]
struct Shard {
    parents: Vec<u64>,
    first: u64,
    records: Vec<Record>,
    is_closed: bool,
    /// When it was, in milliseconds since 1970.
    closed: i64,
    is_trimmed: bool,
    /// Somebody has read it to its end.
    is_read: bool,
    /// When it was asked for records, in the last second.
    calls: VecDeque<Instant>,
}

/// A stream, and what goes wrong with it.
#[derive(Debug, Default)]
pub(crate) struct Kinesis {
    shards: BTreeMap<u64, Shard>,
    next: u64,
    /// So many calls for records are throttled next.
    pub(crate) throttles: u32,
    /// So many lists of shards are throttled next.
    pub(crate) list_throttles: u32,
    /// So many iterators have expired next.
    pub(crate) expired: u32,
    /// So many pages without records come next.
    pub(crate) empty_pages: u32,
    /// So many calls for records are answered 500 next.
    pub(crate) failures: u32,
    /// The stream may not be read, with this code.
    pub(crate) refused: Option<&'static str>,
    /// Records a page; 0: as many as are asked for.
    pub(crate) page: usize,
    /// Of this shard, no records may be read.
    pub(crate) refused_shard: Option<u64>,
    /// So many pages do not tell how to go on.
    pub(crate) cut_pages: u32,
    /// A closed shard does not tell what came of it.
    pub(crate) hides_children: bool,
    /// Calls beyond five a second and shard.
    pub(crate) too_many: u64,
    /// What nobody should do.
    pub(crate) violations: Vec<String>,
    /// The one operation that is refused; none: all are.
    pub(crate) refused_operation: Option<&'static str>,
    pub(crate) fan_out: FanOut,
}

/// Of one answer. Source: <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html>.
const MOST_BYTES: usize = 10 << 20;

/// The name of the shard of this number.
pub(crate) fn shard_id(number: u64) -> String {
    format!("shardId-{number:012}")
}

/// The stream that there is.
pub(crate) fn stream_arn() -> String {
    format!("arn:aws:kinesis:us-east-1:{HOME}:stream/cwl")
}

fn sequence_text(number: u64) -> String {
    format!("49{number:054}")
}

impl Kinesis {
    /// Adds so many shards.
    pub(crate) fn open(&mut self, shards: usize) {
        for _ in 0..shards {
            self.add(Vec::new());
        }
    }

    fn add(&mut self, parents: Vec<u64>) -> u64 {
        let number = self.shards.len() as u64;
        self.next += 1;
        self.shards.insert(number, Shard { parents, first: self.next, ..Shard::default() });
        number
    }

    /// Puts a record to a shard; gives its sequence number.
    pub(crate) fn put(&mut self, shard: u64, key: &str, data: &[u8]) -> String {
        self.next += 1;
        let shard = self.shards.get_mut(&shard).unwrap();
        assert!(!shard.is_closed, "a test puts to a closed shard");
        let record = Record {
            sequence: self.next,
            time: Timestamp::now().0,
            key: key.to_owned(),
            size: data.len(),
            data: STANDARD.encode_to_string(data),
        };
        shard.records.push(record);
        sequence_text(self.next)
    }

    /// Puts a record to the open shards in turn.
    pub(crate) fn put_in_turn(&mut self, data: &[u8]) {
        let open = self.open_shards();
        self.put(open[usize::try_from(self.next).unwrap() % open.len()], "k", data);
    }

    /// How many records each shard has.
    pub(crate) fn records_by_shard(&self) -> Vec<usize> {
        self.shards.values().map(|shard| shard.records.len()).collect()
    }

    /// Puts each piece of a text as a record, to the open shards in turn; a piece has so many lines.
    pub(crate) fn put_lines(&mut self, text: &[u8], lines: usize) {
        let open = self.open_shards();
        let all: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
        for (number, piece) in all.chunks(lines).enumerate() {
            self.put(open[number % open.len()], &format!("key-{number}"), &piece.concat());
        }
    }

    pub(crate) fn open_shards(&self) -> Vec<u64> {
        self.shards.iter().filter(|(_, shard)| !shard.is_closed).map(|(number, _)| *number).collect()
    }

    /// Splits a shard in two; gives their numbers.
    pub(crate) fn split(&mut self, shard: u64) -> [u64; 2] {
        self.close(shard);
        [self.add(vec![shard]), self.add(vec![shard])]
    }

    /// Merges two shards into one; gives its number.
    pub(crate) fn merge(&mut self, shards: [u64; 2]) -> u64 {
        for shard in shards {
            self.close(shard);
        }
        self.add(shards.to_vec())
    }

    fn close(&mut self, shard: u64) {
        let shard = self.shards.get_mut(&shard).unwrap();
        (shard.is_closed, shard.closed) = (true, Timestamp::now().0);
    }

    /// The stream keeps nothing of a closed shard any more.
    pub(crate) fn trim(&mut self, shard: u64) {
        self.shards.get_mut(&shard).unwrap().is_trimmed = true;
    }

    fn list(&self, input: &Value) -> Value {
        let shard = |(number, shard): (&u64, &Shard)| {
            let mut listed = json!({
                "ShardId": shard_id(*number),
                "HashKeyRange": { "StartingHashKey": "0", "EndingHashKey": "340282366920938463463374607431768211455" },
                "SequenceNumberRange": { "StartingSequenceNumber": sequence_text(shard.first) },
            });
            for (name, parent) in ["ParentShardId", "AdjacentParentShardId"].into_iter().zip(&shard.parents) {
                listed[name] = shard_id(*parent).into();
            }
            if shard.is_closed {
                listed["SequenceNumberRange"]["EndingSequenceNumber"] = sequence_text(u64::MAX).into();
            }
            listed
        };
        let from = match input["ShardFilter"]["Type"].as_str() {
            Some("FROM_TIMESTAMP") => milliseconds(&input["ShardFilter"]["Timestamp"]),
            _ => 0,
        };
        let is_listed = |shard: &Shard| !shard.is_trimmed && (!shard.is_closed || shard.closed >= from);
        let listed: Vec<Value> =
            self.shards.iter().filter(|(_, shard)| is_listed(shard)).map(shard).collect();
        json!({ "Shards": listed })
    }

    fn iterator(&self, input: &Value) -> Result<Value, AwsError> {
        let kind = input["ShardIteratorType"].as_str().unwrap_or_default();
        let wanted = input["StartingSequenceNumber"].as_str().unwrap_or_default();
        let (number, place) = self.place(input, kind, wanted, &input["Timestamp"])?;
        Ok(json!({ "ShardIterator": format!("{number}/{place}") }))
    }

    /// A shard, and how many of its records are before where reading is to begin.
    pub(super) fn place(
        &self,
        input: &Value,
        kind: &str,
        wanted: &str,
        time: &Value,
    ) -> Result<(u64, usize), AwsError> {
        let number = input["ShardId"].as_str().and_then(number_of).ok_or_else(no_shard)?;
        let shard = self.shards.get(&number).filter(|shard| !shard.is_trimmed).ok_or_else(no_shard)?;
        let known = |text: &str| {
            let sequence = text.strip_prefix("49").and_then(|digits| digits.parse::<u64>().ok());
            sequence.ok_or_else(|| AwsError::invalid_argument("StartingSequenceNumber is not valid"))
        };
        let after = |sequence: u64| shard.records.partition_point(|record| record.sequence < sequence);
        let place = match kind {
            "TRIM_HORIZON" => 0,
            "LATEST" => shard.records.len(),
            "AT_SEQUENCE_NUMBER" => after(known(wanted)?),
            "AFTER_SEQUENCE_NUMBER" => after(known(wanted)? + 1),
            "AT_TIMESTAMP" => {
                let at = milliseconds(time);
                if at > Timestamp::now().0 {
                    return Err(AwsError::invalid_argument("the timestamp is in the future"));
                }
                shard.records.partition_point(|record| record.time < at)
            }
            other => return Err(AwsError::invalid_argument(format!("no type of iterators: {other}"))),
        };
        Ok((number, place))
    }

    fn records(&mut self, input: &Value) -> Result<Value, AwsError> {
        let (number, place) = input["ShardIterator"]
            .as_str()
            .and_then(|text| text.split_once('/'))
            .ok_or_else(|| AwsError::invalid_argument("not an iterator"))?;
        let (number, place): (u64, usize) = (number.parse().unwrap(), place.parse().unwrap());
        self.check_pace(number)?;
        if self.refused_shard == Some(number) {
            return Err(AwsError::new(400, "AccessDeniedException", "this shard may not be read"));
        }
        if takes(&mut self.throttles) {
            return Err(throttled());
        }
        if takes(&mut self.failures) {
            return Err(AwsError::new(500, "InternalFailure", "later"));
        }
        if takes(&mut self.expired) {
            return Err(AwsError::new(400, "ExpiredIteratorException", "Iterator expired."));
        }
        self.check_order(number);
        let is_empty = takes(&mut self.empty_pages);
        let most = usize::try_from(input["Limit"].as_u64().unwrap_or(10_000)).unwrap();
        let most = if self.page == 0 { most } else { most.min(self.page) };
        let children = self.children(number);
        let shard = self.shards.get_mut(&number).unwrap();
        let end = if is_empty { place } else { shard.records.len().min(place + most) };
        let page = shard.records.get(place..end).unwrap_or_default();
        let mut bytes = 0;
        let fits = page.iter().take_while(|record| {
            bytes += record.size + record.key.len();
            bytes <= MOST_BYTES
        });
        let end = place + fits.count();
        let page = shard.records.get(place..end).unwrap_or_default();
        let records: Vec<Value> = page.iter().map(Record::shown).collect();
        let behind = shard.records.get(end).map_or(0, |next| (Timestamp::now().0 - next.time).max(1));
        let is_over = shard.is_closed && end == shard.records.len();
        shard.is_read |= is_over;
        let mut answer = json!({
            "Records": records,
            "NextShardIterator": if is_over { Value::Null } else { format!("{number}/{end}").into() },
            "MillisBehindLatest": behind,
        });
        if takes(&mut self.cut_pages) {
            answer["NextShardIterator"] = Value::Null;
        } else if is_over && !self.hides_children {
            answer["ChildShards"] = children;
        }
        Ok(answer)
    }

    /// Shards are read after those that they came from.
    pub(super) fn check_order(&mut self, number: u64) {
        let unread: Vec<u64> = self.shards[&number]
            .parents
            .iter()
            .copied()
            .filter(|parent| !self.shards[parent].is_read && !self.shards[parent].is_trimmed)
            .collect();
        if !unread.is_empty() {
            self.violations.push(format!("shard {number} is read before {unread:?}"));
        }
    }

    /// An event of up to so many records of a shard, from a place on; where it ends, and whether the shard does.
    pub(super) fn event(&mut self, number: u64, place: usize, most: usize) -> (Value, usize, bool) {
        let children = self.children(number);
        let shard = self.shards.get_mut(&number).unwrap();
        let end = shard.records.len().min(place + most);
        let page = shard.records.get(place..end).unwrap_or_default();
        let records: Vec<Value> = page.iter().map(Record::shown).collect();
        let last = end.checked_sub(1).map_or(shard.first, |last| shard.records[last].sequence);
        let behind = shard.records.get(end).map_or(0, |next| (Timestamp::now().0 - next.time).max(1));
        let is_over = shard.is_closed && end == shard.records.len();
        shard.is_read |= is_over;
        let mut event = json!({ "Records": records, "MillisBehindLatest": behind });
        if !is_over {
            event["ContinuationSequenceNumber"] = sequence_text(last).into();
        } else if !self.hides_children {
            event["ChildShards"] = children;
        }
        (event, end, is_over)
    }

    fn children(&self, of: u64) -> Value {
        let child = |(number, shard): (&u64, &Shard)| {
            let parents: Vec<String> = shard.parents.iter().copied().map(shard_id).collect();
            json!({ "ShardId": shard_id(*number), "ParentShards": parents,
                "HashKeyRange": { "StartingHashKey": "0", "EndingHashKey": "9" } })
        };
        self.shards.iter().filter(|(_, shard)| shard.parents.contains(&of)).map(child).collect()
    }

    /// Five calls a second for all who read a shard; a machine so busy that calls come closer together than they were made is no fault of theirs.
    fn check_pace(&mut self, number: u64) -> Result<(), AwsError> {
        let (shard, now) = (self.shards.get_mut(&number).ok_or_else(no_shard)?, Instant::now());
        while shard.calls.front().is_some_and(|first| now - *first > Duration::from_millis(700)) {
            shard.calls.pop_front();
        }
        shard.calls.push_back(now);
        if shard.calls.len() > 5 {
            self.too_many += 1;
            return Err(throttled());
        }
        Ok(())
    }
}

impl Record {
    fn shown(&self) -> Value {
        json!({
            "SequenceNumber": sequence_text(self.sequence),
            "ApproximateArrivalTimestamp": format!("{}.{:03}", self.time / 1_000, self.time % 1_000).parse::<f64>().unwrap(),
            "Data": self.data,
            "PartitionKey": self.key,
        })
    }
}

/// Of a number of seconds, as it is written.
fn milliseconds(seconds: &Value) -> i64 {
    let text = format!("{:.3}", seconds.as_f64().unwrap());
    text.replace('.', "").parse().unwrap()
}

pub(super) fn takes(count: &mut u32) -> bool {
    let some = *count > 0;
    *count -= u32::from(some);
    some
}

fn number_of(id: &str) -> Option<u64> {
    id.strip_prefix("shardId-")?.parse().ok()
}

fn no_shard() -> AwsError {
    AwsError::new(400, "ResourceNotFoundException", "Shard not found")
}

fn throttled() -> AwsError {
    AwsError::new(400, "ProvisionedThroughputExceededException", "Rate exceeded for shard")
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

/// Who asks for what, if they may.
pub(super) fn admitted(state: &State, parts: &Parts, body: &[u8]) -> Result<(String, Value), AwsError> {
    let caller = sigv4::verify(state, parts, body, "kinesis")?;
    let input: Value =
        serde_json::from_slice(body).map_err(|_| AwsError::new(400, "SerializationException", "not JSON"))?;
    let operation = parts.headers["x-amz-target"].to_str().unwrap().strip_prefix(TARGET).unwrap();
    let kinesis = state.kinesis();
    let is_refused = kinesis.refused_operation.is_none_or(|refused| refused == operation);
    if let Some(code) = kinesis.refused.filter(|_| is_refused) {
        let message = format!(
            "User: {} is not authorized to perform: kinesis:{operation} on resource: {}",
            caller.principal,
            stream_arn()
        );
        return Err(AwsError::new(400, code, message));
    }
    if input["StreamARN"].as_str().is_some_and(|arn| arn != stream_arn()) {
        return Err(AwsError::new(400, "ResourceNotFoundException", "Stream not found"));
    }
    Ok((operation.to_owned(), input))
}

fn call(state: &State, parts: &Parts, body: &[u8]) -> Result<Value, AwsError> {
    let (operation, input) = admitted(state, parts, body)?;
    let mut kinesis = state.kinesis();
    match operation.as_str() {
        "ListShards" if takes(&mut kinesis.list_throttles) => {
            Err(AwsError::new(400, "LimitExceededException", "Rate exceeded"))
        }
        "ListShards" => Ok(kinesis.list(&input)),
        "GetShardIterator" => kinesis.iterator(&input),
        "GetRecords" => kinesis.records(&input),
        "DescribeStreamConsumer" => kinesis.fan_out.describe(&input),
        "RegisterStreamConsumer" => kinesis.fan_out.register(&input),
        _ => Err(AwsError::new(404, "UnknownOperationException", operation)),
    }
}
