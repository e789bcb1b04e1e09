//! Senders that are silent, slow or greedy: each costs its own connection and nobody else's.

use std::io;

use super::*;

fn impatient() -> EndpointLimits {
    EndpointLimits {
        first_request: Duration::from_millis(300),
        write_stall: Duration::from_millis(300),
        body_grace: Duration::from_millis(300),
        large_record_wait: Duration::from_millis(300),
        look: Duration::from_millis(20),
        ..EndpointLimits::default()
    }
}

impl Serving {
    fn counted(&self, reason: &str) -> u64 {
        let series = format!("standpipe_source_errors_total{{reason=\"{reason}\",source=\"http\"}} ");
        let text = self.metrics.render().unwrap();
        text.lines().find_map(|line| line.strip_prefix(&series)).unwrap().parse().unwrap()
    }

    /// A connection on which these bytes were sent.
    async fn begin(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.unwrap();
        stream
    }
}

/// Waits until the other side has ended the connection.
async fn ended(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await;
    // An end with unread bytes is a reset.
    read.expect("it is ended")
        .map_or_else(|error| assert_eq!(error.kind(), io::ErrorKind::ConnectionReset), drop);
}

/// A post of one record of so many bytes.
fn large(id: &str, bytes: usize) -> Post {
    records(&[&"x".repeat(bytes)]).id(id)
}

#[tokio::test]
async fn a_connection_that_brings_no_request_is_ended() {
    let endpoint = start_with(config(), impatient()).await;
    let mut silent = endpoint.connect().await;
    let mut half = endpoint.begin(b"POST / HTTP/1.1\r\nHost: h\r\nX-").await;
    ended(&mut silent).await;
    ended(&mut half).await;
    assert_eq!(endpoint.counted("no_request"), 2);
    endpoint.stopped().await;
}

#[tokio::test]
async fn a_connection_that_drips_a_head_or_asks_without_a_key_is_ended_in_the_same_time() {
    let config = HttpSource { access_keys: vec![Secret::new("key".to_owned())], ..config() };
    let endpoint = start_with(config, impatient()).await;
    let began = std::time::Instant::now();
    let mut dripping = endpoint.begin(b"POST / HTTP/1.1\r\nX: ").await;
    while dripping.write_all(b"x").await.is_ok() && began.elapsed() < Duration::from_secs(20) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut asking = endpoint.connect().await;
    let ask = b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n";
    while asking.write_all(ask).await.is_ok() && began.elapsed() < Duration::from_secs(20) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(began.elapsed() < Duration::from_secs(20), "both are ended");
    endpoint.stopped().await;
}

#[tokio::test]
async fn connections_that_never_read_do_not_keep_a_sender_out() {
    let endpoint = start(HttpSource { max_connections: 4, ..config() }).await;
    let mut hostile = Vec::new();
    for _ in 0..6 {
        hostile.push(endpoint.begin(&b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n".repeat(2_000)).await);
    }
    assert_eq!(endpoint.send(&records(&["one"])).await.status, 200);
    assert!(endpoint.counted("connections_full") >= 3);
    let issues = endpoint.status.issues().join("\n");
    assert!(issues.starts_with("source http: all 4 connections are taken"), "{issues}");
    endpoint.stopped().await;
}

#[tokio::test]
async fn who_has_sent_before_keeps_its_connection_when_places_run_out() {
    let endpoint = start(HttpSource { max_connections: 2, ..config() }).await;
    let mut sender = endpoint.connect().await;
    assert_eq!(talk(&mut sender, &records(&["one"]).bytes()).await.status, 200);
    let mut silent = Vec::new();
    for _ in 0..5 {
        silent.push(endpoint.connect().await);
        ended_or_open(&mut silent).await;
    }
    assert_eq!(talk(&mut sender, &records(&["two"]).bytes()).await.status, 200);
    endpoint.stopped().await;
}

/// All but the last were ended.
async fn ended_or_open(streams: &mut [TcpStream]) {
    if let Some((_last, others)) = streams.split_last_mut() {
        for stream in others {
            ended(stream).await;
        }
    }
}

#[tokio::test]
async fn senders_at_work_are_not_ended_for_a_newcomer() {
    let endpoint = start(HttpSource { max_connections: 1, ..config() }).await;
    endpoint.worker.will(Will::Keep);
    let reply = endpoint.send_apart(&records(&["one"]));
    endpoint.worker.has_seen(1).await;
    ended(&mut endpoint.connect().await).await;
    assert_eq!(endpoint.counted("connections_full"), 1);
    endpoint.worker.settle_kept();
    assert_eq!(reply.await.unwrap().status, 200);
    endpoint.stopped().await;
}

#[tokio::test]
async fn a_sender_that_never_reads_its_answers_is_ended() {
    let endpoint = start_with(config(), impatient()).await;
    let mut stream = endpoint.connect().await;
    assert_eq!(talk(&mut stream, &records(&["one"]).bytes()).await.status, 200);
    let ask = b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n".repeat(1_000);
    let all = async { while stream.write_all(&ask).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(20), all).await.expect("it is ended");
    assert_eq!(endpoint.counted("stalled"), 1);
    endpoint.stopped().await;
}

#[tokio::test]
async fn a_body_that_drips_is_answered_408_and_holds_nobody_up() {
    let endpoint = start_with(config(), impatient()).await;
    let mut slow = Vec::new();
    for number in 0..8 {
        let bytes = large(&number.to_string(), 1_000).bytes();
        slow.push(endpoint.begin(&bytes[..bytes.len() - 100]).await);
    }
    assert_eq!(endpoint.send(&large("good", 1_000_000)).await.status, 200);
    for stream in &mut slow {
        let reply = read_reply(stream).await;
        assert_eq!(reply.status, 408, "{reply:?}");
        assert!(reply.json()["errorMessage"].as_str().unwrap().contains("slowly"));
    }
    assert_eq!(endpoint.counted("too_slow"), 8);
    endpoint.stopped().await;
}

#[tokio::test]
async fn senders_that_stop_within_large_records_give_way_to_one_that_goes_on() {
    let limits = EndpointLimits { body_grace: Duration::from_mins(5), ..impatient() };
    let endpoint = start_with(config(), limits).await;
    let mut stopped = Vec::new();
    for number in 0..8 {
        let bytes = large(&number.to_string(), 900_000).bytes();
        stopped.push(endpoint.begin(&bytes[..bytes.len() - 10_000]).await);
    }
    let small = endpoint.send(&records(&["one"])).await;
    assert_eq!(small.status, 200, "a small record waits for none");
    assert_eq!(endpoint.send(&large("good", 900_000)).await.status, 200);
    assert_eq!(endpoint.counted("too_slow"), 1, "as many give way as have to");
    drop(stopped);
    endpoint.stopped().await;
}

#[tokio::test]
async fn a_slow_body_that_nobody_waits_for_is_taken() {
    let limits = EndpointLimits { body_grace: Duration::from_mins(5), ..impatient() };
    let endpoint = start_with(config(), limits).await;
    let bytes = large("r", 900_000).bytes();
    let (front, end) = bytes.split_at(bytes.len() - 10);
    let mut stream = endpoint.begin(front).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    stream.write_all(end).await.unwrap();
    assert_eq!(read_reply(&mut stream).await.status, 200);
    endpoint.stopped().await;
}

#[tokio::test]
async fn what_is_too_long_or_too_many_is_refused_with_the_reason() {
    let endpoint = start_with(config(), EndpointLimits { max_records: 2, ..impatient() }).await;
    for (post, expected) in [
        (records(&["one"]).id(&"x".repeat(129)), "the request id is longer than 128 bytes"),
        (
            records(&["one"]).header("X-Amz-Firehose-Source-Arn", &"x".repeat(2_049)),
            "the stream's ARN is longer than 2048 bytes",
        ),
        (records(&["one", "two", "three"]), "the body has more than 2 records"),
    ] {
        let reply = endpoint.send(&post).await;
        assert_eq!((reply.status, &reply.json()["errorMessage"]), (400, &json!(expected)));
    }
    assert_eq!(endpoint.send(&records(&["one", "two"])).await.status, 200);
    endpoint.stopped().await;
}

/// Log lines of this thread.
#[derive(Clone, Default)]
struct LogLines(Arc<Mutex<Vec<u8>>>);

impl Write for LogLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_refusal_is_logged_with_its_peer_request_and_stream() {
    let lines = LogLines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).json().finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let tls = Tls { cert: folder.path().join("tls.crt"), key: folder.path().join("tls.key") };
    std::fs::write(&tls.cert, made.cert.pem()).unwrap();
    std::fs::write(&tls.key, made.signing_key.serialize_pem()).unwrap();
    let encrypted = start(HttpSource { tls: Some(tls), ..config() }).await;
    ended(&mut encrypted.begin(b"GET / HTTP/1.1\r\n\r\n").await).await;
    assert_eq!(encrypted.counted("tls"), 1);
    let endpoint = start(HttpSource { access_keys: vec![Secret::new("key".to_owned())], ..config() }).await;
    assert_eq!(endpoint.send(&records(&["one"]).id("request-7")).await.status, 401);
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let found: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let said = |reason: &str| {
        found.iter().find(|line| line["fields"]["reason"] == reason).unwrap()["fields"].clone()
    };
    let refusal = said("unauthorized");
    assert_eq!(refusal["request_id"], "request-7");
    assert_eq!(refusal["source_arn"], "arn:aws:firehose:us-east-1:111122223333:deliverystream/s");
    for line in [refusal, said("tls")] {
        assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
    }
    endpoint.stopped().await;
    encrypted.stopped().await;
}

#[tokio::test]
async fn an_idle_connection_stays_for_as_long_as_is_set() {
    let idle_timeout = Duration::from_millis(300);
    let endpoint = start(HttpSource { idle_timeout, ..config() }).await;
    let mut stream = endpoint.connect().await;
    assert_eq!(talk(&mut stream, &records(&["one"]).bytes()).await.status, 200);
    let since = std::time::Instant::now();
    ended(&mut stream).await;
    assert!(since.elapsed() >= idle_timeout);
    endpoint.stopped().await;
}
