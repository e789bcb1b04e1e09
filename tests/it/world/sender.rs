//! Amazon Data Firehose's side of the HTTP endpoint protocol, as `CloudWatch` Logs feeds it.

use std::io::Write;
use std::ops::Range;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use super::http::{Connection, Reply};
use super::progress;
use crate::standin::Lines;

/// The access key that tests configure.
pub(crate) const ACCESS_KEY: &str = "an-access-key-for-tests";

/// A subscription payload to be.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    pub(crate) owner: String,
    pub(crate) log_group: String,
    pub(crate) log_stream: String,
    pub(crate) messages: Vec<String>,
}

impl Envelope {
    /// Events whose messages are these lines.
    pub(crate) fn of_lines(run: u32, numbers: Range<u64>) -> Self {
        let line = |number| String::from_utf8(Lines::of_run(run).line(number)).unwrap();
        Self {
            owner: "333333333333".into(),
            log_group: "/aws/lambda/orders".into(),
            log_stream: format!("stream-{}", numbers.start),
            messages: numbers.map(line).collect(),
        }
    }

    pub(crate) fn owned_by(mut self, owner: &str) -> Self {
        owner.clone_into(&mut self.owner);
        self
    }

    /// The payload as `CloudWatch` Logs sends it: gzipped JSON.
    pub(crate) fn gzipped(&self) -> Vec<u8> {
        let event = |(index, message): (usize, &String)| json!({ "id": format!("{index:056}"), "timestamp": 1_795_311_516_505_u64, "message": message });
        gzip(&json!({
            "messageType": "DATA_MESSAGE",
            "owner": self.owner,
            "logGroup": self.log_group,
            "logStream": self.log_stream,
            "subscriptionFilters": ["all"],
            "logEvents": self.messages.iter().enumerate().map(event).collect::<Vec<_>>(),
        }))
    }

    /// What `CloudWatch` Logs sends to see whether the destination is there.
    pub(crate) fn control_message() -> Vec<u8> {
        gzip(&json!({
            "messageType": "CONTROL_MESSAGE",
            "owner": "CloudwatchLogs",
            "logGroup": "",
            "logStream": "",
            "subscriptionFilters": [],
            "logEvents": [{
                "id": "",
                "timestamp": 1_680_683_189_085_u64,
                "message": "CWL CONTROL MESSAGE: Checking health of destination Firehose.",
            }],
        }))
    }
}

fn gzip(json: &serde_json::Value) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(json.to_string().as_bytes()).unwrap();
    gzip.finish().unwrap()
}

/// One connection of Firehose's.
pub(crate) struct Sender {
    connection: Connection,
    /// Sent with each request.
    pub(crate) access_key: Option<String>,
    /// Sent with each request.
    pub(crate) source_arn: String,
}

impl Sender {
    pub(crate) fn to(address: &str) -> Self {
        Self {
            connection: Connection::to(address),
            access_key: Some(ACCESS_KEY.to_owned()),
            source_arn: "arn:aws:firehose:us-east-1:111122223333:deliverystream/subscriptions".into(),
        }
    }

    /// Posts payloads once.
    pub(crate) fn post(&mut self, request_id: &str, payloads: &[Vec<u8>]) -> std::io::Result<Reply> {
        let record = |payload: &Vec<u8>| json!({ "data": base64_simd::STANDARD.encode_to_string(payload) });
        let body = json!({
            "requestId": request_id,
            "timestamp": 1_795_311_516_505_u64,
            "records": payloads.iter().map(record).collect::<Vec<_>>(),
        });
        let mut headers = vec![
            "Content-Type: application/json".to_owned(),
            "User-Agent: Amazon Kinesis Data Firehose Agent/1.0".to_owned(),
            "X-Amz-Firehose-Protocol-Version: 1.0".to_owned(),
            format!("X-Amz-Firehose-Request-Id: {request_id}"),
            format!("X-Amz-Firehose-Source-Arn: {}", self.source_arn),
        ];
        headers.extend(self.access_key.iter().map(|key| format!("X-Amz-Firehose-Access-Key: {key}")));
        self.connection.send("POST", "/", &headers, body.to_string().as_bytes())
    }

    /// Posts payloads until they are acknowledged, as Firehose does.
    pub(crate) fn deliver(&mut self, request_id: &str, payloads: &[Vec<u8>]) {
        let mut posts = 0;
        progress("the request is acknowledged", || {
            posts += 1;
            let reply = self.post(request_id, payloads);
            match &reply {
                Ok(reply) if reply.status == 200 => {
                    acknowledges(reply, request_id);
                    Ok(())
                }
                other => Err((0, format!("post {posts}: {other:?}"))),
            }
        });
    }
}

/// The answer has the exact form that Firehose asks for.
#[track_caller]
pub(crate) fn acknowledges(reply: &Reply, request_id: &str) {
    let json: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(json.get("requestId").and_then(|id| id.as_str()), Some(request_id), "{json}");
    assert!(json.get("timestamp").is_some_and(serde_json::Value::is_number), "{json}");
}
