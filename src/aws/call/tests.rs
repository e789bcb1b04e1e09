//! A caller against a server of its own: what it sends, what it tries again, and whose clock it trusts.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::client::ApiClient;
use super::object::ObjectRequest;
use super::options::CallOptions;
use super::{ApiCall, AwsService};
use crate::aws::probe::{CallError, NoAnswer};

/// A server that gives these answers, one a connection, and hands on what it was asked.
fn server(answers: Vec<&'static str>) -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (asked, requests) = mpsc::sync_channel(16);
    thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                reader.read_line(&mut head).unwrap();
            }
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            reader.read_exact(&mut body).unwrap();
            asked.send(head + &String::from_utf8(body).unwrap()).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    (address, requests)
}

fn caller(address: SocketAddr) -> ApiClient {
    ApiClient::of_nobody(&format!("http://{address}"))
}

const OK: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";
const BUSY: &str = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 32\r\n\r\n{\"__type\":\"ThrottlingException\"}";
const DENIED: &str = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 34\r\n\r\n{\"__type\":\"AccessDeniedException\"}";
const SKEWED: &str = "HTTP/1.1 403 Forbidden\r\nconnection: close\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\ncontent-length: 38\r\n\r\n{\"__type\":\"InvalidSignatureException\"}";

fn list() -> ApiCall {
    ApiCall::new(AwsService::Firehose, "ListDeliveryStreams", json!({}))
}

#[tokio::test]
async fn a_request_is_signed_for_its_service_and_region() {
    let (address, requests) = server(vec![OK]);
    assert_eq!(caller(address).call(&list()).await, Ok(json!({})));
    let request = requests.recv().unwrap();
    for part in [
        "/eu-west-1/firehose/aws4_request",
        "x-amz-security-token: a-token",
        "x-amz-target: Firehose_20150804.L",
    ] {
        assert!(request.contains(part), "`{part}`: {request}");
    }
    assert!(!request.contains("a-secret"));
}

#[tokio::test]
async fn a_throttle_is_tried_again_and_a_denial_is_not() {
    let (address, requests) = server(vec![BUSY, BUSY, OK]);
    assert_eq!(caller(address).call(&list()).await, Ok(json!({})));
    assert_eq!(requests.iter().count(), 3);

    let (address, requests) = server(vec![DENIED]);
    let refused = caller(address).call(&list()).await.unwrap_err();
    assert!(matches!(refused, CallError::Answered { code, .. } if code == "AccessDeniedException"));
    assert_eq!(requests.iter().count(), 1);
}

#[tokio::test]
async fn a_clock_that_is_far_off_is_corrected_by_the_services() {
    let (address, requests) = server(vec![SKEWED, OK]);
    assert_eq!(caller(address).call(&list()).await, Ok(json!({})));
    let dates: Vec<bool> =
        requests.iter().map(|request| request.contains("x-amz-date: 20260101T0000")).collect();
    assert_eq!(dates, [false, true]);
}

#[tokio::test]
async fn a_call_takes_as_long_and_is_made_as_often_as_its_caller_says() {
    let (address, requests) = server(vec![BUSY, OK]);
    let options = CallOptions::once(Duration::from_secs(30));
    let refused = caller(address).call_with(&list(), options).await.unwrap_err();
    assert!(refused.may_pass(), "{refused}");
    assert_eq!(requests.recv().unwrap().lines().next(), Some("POST / HTTP/1.1"));
    assert!(requests.try_recv().is_err(), "it was made once");

    // Nobody answers: whoever listens has not accepted.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let options = CallOptions::once(Duration::from_millis(10));
    let late = caller(silent.local_addr().unwrap()).call_bytes(&list(), options).await.unwrap_err();
    assert!(matches!(late, CallError::Unanswered { how: NoAnswer::Other, .. }), "{late}");
}

#[tokio::test]
async fn a_bucket_of_another_region_is_asked_there_once_it_is_known() {
    const MOVED: &str = "HTTP/1.1 301 Moved Permanently\r\nconnection: close\r\nx-amz-bucket-region: eu-south-2\r\n\
                         content-length: 0\r\n\r\n";
    const MALFORMED: &str = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 103\r\n\r\n\
                             <Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-south-2</Region><Message>m</Message></Error>";
    const FOUND: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    for elsewhere in [MOVED, MALFORMED] {
        let (address, requests) = server(vec![elsewhere, FOUND, FOUND, FOUND]);
        let caller = caller(address);
        let look =
            |bucket: &str| ApiCall::new(AwsService::S3, "GetBucketTagging", json!({ "Bucket": bucket }));
        for bucket in ["b", "b", "other"] {
            assert_eq!(caller.call(&look(bucket)).await, Ok(json!({})));
        }
        drop(caller);
        let is_home = |request: String| request.contains("/eu-west-1/s3/aws4");
        let are_home: Vec<bool> = requests.iter().map(is_home).collect();
        assert_eq!(are_home, [true, false, false, true]);
    }
}

#[tokio::test]
async fn an_object_comes_in_pieces_from_the_byte_that_is_asked_for() {
    const REST: &str = "HTTP/1.1 206 Partial Content\r\nconnection: close\r\netag: \"abc\"\r\ncontent-range: bytes 7-9/10\r\n\
                        content-length: 3\r\n\r\nxyz";
    const CUT: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 9\r\n\r\nxyz";
    let (address, requests) = server(vec![REST, CUT]);
    let caller = caller(address).owning("111111111111");
    let mut request = ObjectRequest { bucket: "b", key: "a b/c+d.gz", ..ObjectRequest::default() };
    (request.from, request.if_match, request.requester_pays) = (7, Some("abc"), true);
    let mut object = caller.get_object(&request, Duration::from_secs(30)).await.unwrap();
    assert_eq!((object.from, object.length, object.etag.as_deref()), (7, Some(3), Some("abc")));
    assert_eq!(object.next().await.unwrap().as_deref(), Some(&b"xyz"[..]));
    assert_eq!(object.next().await, Ok(None));
    let asked = requests.recv().unwrap();
    for part in [
        "GET /b/a%20b/c%2Bd.gz HTTP/1.1",
        "range: bytes=7-",
        "if-match: \"abc\"",
        "x-amz-request-payer: requester",
        "x-amz-expected-bucket-owner: 111111111111",
    ] {
        assert!(asked.contains(part), "`{part}`: {asked}");
    }

    let mut object = caller.get_object(&request, Duration::from_secs(30)).await.unwrap();
    let mut read = Ok(Some(bytes::Bytes::new()));
    while let Ok(Some(_)) = read {
        read = object.next().await;
    }
    assert!(matches!(read, Err(CallError::Unanswered { .. })), "a body that is cut is no end: {read:?}");
}
