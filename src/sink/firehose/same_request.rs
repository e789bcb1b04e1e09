//! Promise: the request made here is the one that the SDK would make, byte for byte but for the members' order.

use std::time::{Duration, UNIX_EPOCH};

use aws_runtime::invocation_id::DefaultInvocationIdGenerator;
use aws_sdk_firehose::Client;
use aws_sdk_firehose::config::retry::RetryConfig;
use aws_sdk_firehose::config::{BehaviorVersion, Config, Credentials, Region};
use aws_sdk_firehose::primitives::Blob;
use aws_sdk_firehose::types::Record;
use aws_smithy_async::time::StaticTimeSource;
use bytes::Bytes;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::call;
use super::request::{BodyInterceptor, PutBody};
use crate::event::Buffers;
use crate::sink::body_size::BODY_BYTES;

/// When the requests are signed.
const NOVEMBER: Duration = Duration::from_hours(489_937);

/// A request as it was on the wire.
#[derive(Debug, PartialEq)]
struct SentRequest {
    /// `POST / HTTP/1.1`
    line: String,
    /// As `name: value` in alphabetical order, the signature among them.
    headers: Vec<String>,
    body: Vec<u8>,
}

/// A client that signs at one time, with one key, for requests of one id.
fn client(endpoint: &str) -> Client {
    let credentials = Credentials::new("AKIAEXAMPLE", "secret", Some("token".to_owned()), None, "test");
    let config = Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint)
        .credentials_provider(credentials)
        .retry_config(RetryConfig::disabled())
        .time_source(StaticTimeSource::new(UNIX_EPOCH + NOVEMBER))
        .invocation_id_generator(DefaultInvocationIdGenerator::with_seed(1))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    Client::from_conf(config)
}

/// Takes one request and accepts it.
async fn receive(listener: &TcpListener) -> SentRequest {
    let (mut socket, _) = listener.accept().await.unwrap();
    let mut read = Vec::new();
    let (head, body_at) = loop {
        assert!(socket.read_buf(&mut read).await.unwrap() > 0, "the head is whole");
        if let Some(end) = memchr::memmem::find(&read, b"\r\n\r\n") {
            break (String::from_utf8(read[..end].to_vec()).unwrap(), end + 4);
        }
    };
    let (line, headers) = head.split_once("\r\n").unwrap();
    let mut headers: Vec<String> = headers.split("\r\n").map(str::to_owned).collect();
    headers.sort();
    let length = headers.iter().find_map(|header| header.strip_prefix("content-length: "));
    let end = body_at + length.expect("a length is said").parse::<usize>().unwrap();
    while read.len() < end {
        assert!(socket.read_buf(&mut read).await.unwrap() > 0, "the body is whole");
    }
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 42\r\nConnection: close\r\n\r\n{\"FailedPutCount\":0,\"RequestResponses\":[]}";
    socket.write_all(answer.as_bytes()).await.unwrap();
    SentRequest { line: line.to_owned(), headers, body: read.split_off(body_at) }
}

async fn by_the_sdk(client: &Client, stream: &str, records: &[Vec<u8>]) {
    let record = |data: &Vec<u8>| Record::builder().data(Blob::new(data.clone())).build().unwrap();
    let call = client.put_record_batch().delivery_stream_name(stream);
    call.set_records(Some(records.iter().map(record).collect())).send().await.unwrap();
}

async fn by_us(client: &Client, stream: &str, records: &[Vec<u8>]) {
    // In pieces, as lines come.
    let parts = |data: &Vec<u8>| data.chunks(1 + data.len() / 2).map(Bytes::copy_from_slice).collect();
    let records: Vec<_> = records.iter().map(parts).collect();
    let (ready_made, _written) =
        BodyInterceptor::new(PutBody::new(stream, &records, &Buffers::new(BODY_BYTES, 1)), None);
    call(client, stream, ready_made).await.unwrap();
}

#[track_caller]
fn check(stream: &str, records: &[Vec<u8>]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (theirs, ours) = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        // Each makes its first request: the id of a request is drawn.
        let (first, second) = (client(&endpoint), client(&endpoint));
        let (theirs, ()) = tokio::join!(receive(&listener), by_the_sdk(&first, stream, records));
        let (ours, ()) = tokio::join!(receive(&listener), by_us(&second, stream, records));
        (theirs, ours)
    });
    let json = |wire: &SentRequest| serde_json::from_slice::<Value>(&wire.body).unwrap();
    assert_eq!(json(&theirs), json(&ours));
    for name in ["x-amz-target: Firehose_20150804.PutRecordBatch", "content-type: application/x-amz-json-1.1"]
    {
        assert!(theirs.headers.iter().any(|header| header == name), "{:?}", theirs.headers);
    }
    assert!(theirs.headers.iter().any(|header| header.starts_with("authorization: AWS4-HMAC-SHA256 ")));
    assert!(theirs == ours, "{:#?}\nis not\n{:#?}", ours.headers, theirs.headers);
}

fn every_byte() -> Vec<u8> {
    (0..=255).collect()
}

#[test]
fn the_request_is_the_one_the_sdk_would_make() {
    check("logs", &[every_byte()]);
    check("logs", &[Vec::new()]);
    check("a", &[every_byte(), b"\n".to_vec()]);
    let longest = "A-stream.of_64-c".repeat(4);
    check(&longest, &[b"one".to_vec(), b"fo".to_vec(), b"a\nline\n".to_vec()]);
    check("logs", &vec![every_byte(); 500]);
    check("logs", &vec![vec![0xFF; 998_400]; 4]);
}
