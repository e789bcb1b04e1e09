//! A caller against a server of its own: what it sends, what it tries again, and whose clock it trusts.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use serde_json::json;

use super::*;
use crate::config::AwsSettings;

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
    let keys = Keys::new("AKIAIOSFODNN7EXAMPLE", "a-secret", Some("a-token".to_owned()), None, "test");
    ApiClient {
        http: AwsConnection::new("a test", AwsSettings::default()).unwrap().connector(),
        config: SdkConfig::builder().endpoint_url(format!("http://{address}")).build(),
        region: "eu-west-1".to_owned(),
        credentials: Arc::new(Credentials::fixed(keys)),
        owner: None,
        url: None,
        skew: AtomicI64::new(0),
    }
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
