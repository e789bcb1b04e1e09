//! What stages of the core are measured with: payloads that are the same each time, and who takes what is found in them.

use std::fmt::Write;
use std::sync::Arc;

use bytes::Bytes;
use standpipe::config::{Decoding, Format, TooLong};
use standpipe::decode::{Decoder, Scratch};
use standpipe::event::{Charset, Event, Events, Field, Origin, Wants};

use crate::writer::Writer;

/// Events of one payload.
pub(crate) const EVENTS: usize = 1_000;

/// A payload, decoded again and again.
pub(crate) struct Stage {
    decoder: Decoder,
    scratch: Scratch,
    origin: Arc<Origin>,
    payload: Bytes,
}

impl Stage {
    pub(crate) fn new(format: Format, payload: impl Into<Bytes>) -> Self {
        let decoder = Decoder::new(&Decoding {
            format,
            charset: Charset::UTF8,
            multiline: None,
            max_line: 1_000 * 1_024,
            too_long: TooLong::Split,
            max_inflated: 64 << 20,
        });
        let mut origin = Origin::new("app", "collector-7");
        if matches!(format, Format::Lines | Format::Docker | Format::Cri) {
            origin.fields.set(Field::File, Some("/var/log/app/worker.log".into()));
        }
        Self { decoder, scratch: Scratch::default(), origin: Arc::new(origin), payload: payload.into() }
    }

    /// Tells `events` what is in the payload.
    pub(crate) fn run(&mut self, events: &mut impl Events) {
        self.decoder.decode(&mut self.scratch, &self.origin, &self.payload, events);
    }
}

/// Ends a payload; how much was made of it.
pub(crate) trait Finish {
    fn finish(&mut self) -> usize;
}

/// Counts events.
#[derive(Default)]
pub(crate) struct Counter(usize);

impl Finish for Counter {
    fn finish(&mut self) -> usize {
        std::mem::take(&mut self.0)
    }
}

impl Events for Counter {
    fn wants(&self) -> Wants {
        Wants { events: true, envelopes: false }
    }

    fn origin(&mut self, _: &Arc<Origin>) {}

    fn lines(&mut self, lines: &Bytes, _: u64) {
        self.0 += lines.len();
    }

    fn event(&mut self, event: Event<'_>) {
        self.0 += usize::from(event.timestamp.is_some() && event.id.is_some());
    }

    fn envelope(&mut self, _: &Bytes) {}

    fn undecodable(&mut self, reason: &'static str, _: &[u8]) {
        assert_eq!(reason, "", "the payload is decodable");
    }
}

impl Finish for Writer {
    fn finish(&mut self) -> usize {
        Self::finish(self)
    }
}

/// What an application would log.
pub(crate) fn messages(kind: &str) -> Vec<String> {
    let mut random = fastrand::Rng::with_seed(1);
    let sample = include_str!("../../../config/sample/access.log").lines().cycle();
    let message = |access: &str| match kind {
        "access" => format!("{access} trace={:032x}{:032x}", random.u128(..), random.u128(..)),
        "json" => format!(
            r#"{{"level":"INFO","time":"2026-11-22T01:02:03.{:03}Z","logger":"orders.worker","requestId":"{:032x}","order":{},"customer":"{:08x}","message":"reminder done","durationMs":{}}}"#,
            random.u16(..1000),
            random.u128(..),
            random.u32(..1_000_000),
            random.u32(..),
            random.u16(..3000),
        ),
        "accents" => format!(
            "État de la commande {} : payée par « Zoë Müller », 日本語の記録 {:032x}, durée {} ms",
            random.u32(..),
            random.u128(..),
            random.u16(..)
        ),
        _ => format!(
            "2026-11-22T01:{:02}:{:02}.{:03}Z INFO worker id={:032x} client=10.{}.{}.{} method=GET path=/api/v1/orders/{} status=200 duration_ms={} trace={:032x}",
            random.u8(..60),
            random.u8(..60),
            random.u16(..1000),
            random.u128(..),
            random.u8(..),
            random.u8(..),
            random.u8(..),
            random.u32(..1_000_000),
            random.u16(..3000),
            random.u128(..),
        ),
    };
    sample.map(message).take(EVENTS).collect()
}

/// A file of lines.
pub(crate) fn lines(messages: &[String]) -> String {
    messages.join("\n") + "\n"
}

/// An envelope as `CloudWatch` Logs writes it.
pub(crate) fn envelope(messages: &[String]) -> String {
    let mut random = fastrand::Rng::with_seed(2);
    let mut text = String::from(
        r#"{"messageType":"DATA_MESSAGE","owner":"111122223333","logGroup":"/aws/lambda/orders","logStream":"2026/09/21/[$LATEST]5d0c","subscriptionFilters":["to-standpipe"],"logEvents":["#,
    );
    let mut time = 1_795_309_323_004_u64;
    for (index, message) in messages.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let message = serde_json::to_string(message).unwrap();
        time += random.u64(..40);
        write!(
            text,
            r#"{comma}{{"id":"3912893329762066998060556{:031}","timestamp":{time},"message":{message}}}"#,
            random.u64(..)
        )
        .unwrap();
    }
    text + "]}"
}

/// A file of `CloudTrail`.
pub(crate) fn trail() -> (Vec<String>, String) {
    let records: Vec<String> = (0..EVENTS).map(cloudtrail).collect();
    let file = format!("{{\"Records\":[{}]}}", records.join(","));
    (records, file)
}

/// A record such as `CloudTrail` writes, of about 1,100 bytes.
fn cloudtrail(index: usize) -> String {
    format!(
        r#"{{"eventVersion":"1.08","userIdentity":{{"type":"AssumedRole","principalId":"AROAEXAMPLE:session-{index}","arn":"arn:aws:sts::111122223333:assumed-role/worker/session-{index}","accountId":"111122223333","sessionContext":{{"sessionIssuer":{{"type":"Role","principalId":"AROAEXAMPLE","arn":"arn:aws:iam::111122223333:role/worker","accountId":"111122223333","userName":"worker"}},"attributes":{{"creationDate":"2023-07-10T11:40:00Z","mfaAuthenticated":"false"}}}}}},"eventTime":"2023-07-10T11:42:{:02}Z","eventSource":"s3.amazonaws.com","eventName":"GetObject","awsRegion":"us-east-1","sourceIPAddress":"192.0.2.{}","userAgent":"[aws-sdk-java/2.20]","requestParameters":{{"bucketName":"orders","Host":"orders.s3.amazonaws.com","key":"2023/07/10/{index}.json"}},"responseElements":null,"additionalEventData":{{"bytesTransferredIn":0,"bytesTransferredOut":{index}}},"requestID":"RQ{index:014}","eventID":"4f1c0f5e-0000-4000-8000-{index:012}","readOnly":true,"eventType":"AwsApiCall","managementEvent":false,"recipientAccountId":"111122223333","eventCategory":"Data"}}"#,
        index % 60,
        index % 250,
    )
}
