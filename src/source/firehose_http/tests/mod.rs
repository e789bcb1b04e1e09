//! The endpoint over real sockets, before a worker that settles, drops or keeps what it is given.

mod hostile;

use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64_simd::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;

use super::limits::EndpointLimits;
use super::recent::ENTRY_BYTES;
use super::{HttpEndpoint, serve};
use crate::config::{Decoding, Format, HttpSource, Secret, Tls, TooLong};
use crate::event::{AckGuard, Budget, Charset, Framing, Origin};
use crate::health::Status;
use crate::metrics::Metrics;
use crate::pipeline::{Intake, IntakeQueue, Job, Jobs};
use crate::source::{Stop, Stopper};

/// What the worker does with a chunk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Will {
    Settle,
    Drop,
    Keep,
}

#[derive(Debug)]
struct Whole;

impl Framing for Whole {
    fn whole(&self, bytes: &[u8], _end: bool) -> usize {
        bytes.len()
    }
}

/// What the worker has seen, and what it is to do.
struct FakeWorker {
    will: Mutex<Will>,
    seen: Mutex<Vec<(Arc<Origin>, Vec<u8>)>>,
    kept: Mutex<Vec<AckGuard>>,
    came: Notify,
}

impl FakeWorker {
    fn will(&self, will: Will) {
        *self.will.lock().unwrap() = will;
    }

    fn seen(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.iter().map(|(_, payload)| String::from_utf8_lossy(payload).into_owned()).collect()
    }

    async fn has_seen(&self, number: usize) {
        loop {
            let came = self.came.notified();
            if self.seen.lock().unwrap().len() >= number {
                return;
            }
            came.await;
        }
    }

    fn settle_kept(&self) {
        for ack in self.kept.lock().unwrap().drain(..) {
            ack.settle();
        }
    }

    fn take(&self, job: Job) {
        let Job { chunk, slot, .. } = job;
        chunk.ack.hold(chunk.held);
        // Nobody sees one half of this without the other.
        let mut seen = self.seen.lock().unwrap();
        seen.push((chunk.origin, chunk.payload.to_vec()));
        match *self.will.lock().unwrap() {
            Will::Settle => chunk.ack.settle(),
            Will::Drop => drop(chunk.ack),
            Will::Keep => self.kept.lock().unwrap().push(chunk.ack),
        }
        drop(seen);
        slot.commit(|| ());
        self.came.notify_waiters();
    }
}

/// A running endpoint.
struct Serving {
    address: SocketAddr,
    worker: Arc<FakeWorker>,
    budget: Arc<Budget>,
    metrics: Metrics,
    status: Arc<Status>,
    stopper: Stopper,
    server: JoinHandle<()>,
}

fn config() -> HttpSource {
    let decoding = Decoding {
        format: Format::Envelope,
        charset: Charset::UTF8,
        multiline: None,
        max_line: 1_000,
        too_long: TooLong::Split,
        max_inflated: 8 << 20,
    };
    HttpSource {
        listen: "127.0.0.1:0".parse().unwrap(),
        access_keys: Vec::new(),
        source_arns: Vec::new(),
        tls: None,
        decoding,
        timeout: Duration::from_mins(1),
        max_connections: 16,
        idle_timeout: Duration::from_mins(1),
    }
}

async fn start(config: HttpSource) -> Serving {
    start_with(config, EndpointLimits::default()).await
}

async fn start_with(config: HttpSource, limits: EndpointLimits) -> Serving {
    let budget = Budget::new(16 << 20);
    let (job_tx, job_rx) = crossbeam_channel::bounded::<Jobs>(4);
    let places = Arc::new(Semaphore::new(4));
    let metrics = Metrics::new();
    let intake = Intake::new(
        Arc::clone(&budget),
        IntakeQueue { jobs: job_tx, places: Arc::clone(&places) },
        Arc::new(Notify::new()),
        Arc::new(Whole),
        metrics.source("http"),
    );
    let worker = Arc::new(FakeWorker {
        will: Mutex::new(Will::Settle),
        seen: Mutex::default(),
        kept: Mutex::default(),
        came: Notify::new(),
    });
    let drains = Arc::clone(&worker);
    std::thread::spawn(move || {
        for jobs in job_rx {
            places.add_permits(1);
            for job in jobs {
                drains.take(job);
            }
        }
    });
    let (stopper, stop): (Stopper, Stop) = Stopper::new();
    let mut endpoint = HttpEndpoint::open(config, None).await.unwrap();
    endpoint.limits = limits;
    let address = endpoint.address();
    let status = Arc::<Status>::default();
    let serve = serve(endpoint, "http".into(), "host".into(), intake, Arc::clone(&status), stop);
    Serving { address, worker, budget, metrics, status, stopper, server: tokio::spawn(serve) }
}

impl Serving {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn send(&self, post: &Post) -> HttpReply {
        talk(&mut self.connect().await, &post.bytes()).await
    }

    fn send_apart(&self, post: &Post) -> JoinHandle<HttpReply> {
        let (address, bytes) = (self.address, post.bytes());
        tokio::spawn(async move { talk(&mut TcpStream::connect(address).await.unwrap(), &bytes).await })
    }

    async fn stopped(self) {
        self.stopper.stop();
        self.server.await.unwrap();
    }
}

/// A request in the making.
#[derive(Clone)]
struct Post {
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

fn records(data: &[&str]) -> Post {
    let records: Vec<Value> =
        data.iter().map(|data| json!({"data": STANDARD.encode_to_string(data)})).collect();
    Post {
        headers: vec![
            ("X-Amz-Firehose-Protocol-Version", "1.0".to_owned()),
            (
                "X-Amz-Firehose-Source-Arn",
                "arn:aws:firehose:us-east-1:111122223333:deliverystream/s".to_owned(),
            ),
            ("Content-Type", "application/json".to_owned()),
        ],
        body: serde_json::to_vec(&json!({"requestId": "in-body", "timestamp": 1, "records": records}))
            .unwrap(),
    }
}

impl Post {
    fn id(self, id: &str) -> Self {
        self.header("X-Amz-Firehose-Request-Id", id)
    }

    fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.to_owned()));
        self
    }

    fn gzipped(mut self) -> Self {
        self.body = gzip(&self.body);
        self.header("Content-Encoding", "gzip")
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"POST /any/path HTTP/1.1\r\nHost: h\r\n".to_vec();
        for (name, value) in &self.headers {
            write!(bytes, "{name}: {value}\r\n").unwrap();
        }
        write!(bytes, "Content-Length: {}\r\n\r\n", self.body.len()).unwrap();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

#[derive(Debug)]
struct HttpReply {
    status: u16,
    head: String,
    body: String,
}

impl HttpReply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

async fn talk<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, request: &[u8]) -> HttpReply {
    stream.write_all(request).await.unwrap();
    read_reply(stream).await
}

async fn read_reply<S: AsyncRead + Unpin>(stream: &mut S) -> HttpReply {
    let mut read = Vec::new();
    let head_len = loop {
        if let Some(at) = memchr::memmem::find(&read, b"\r\n\r\n") {
            break at + 4;
        }
        assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0, "no answer");
    };
    let head = String::from_utf8(read[..head_len].to_vec()).unwrap().to_lowercase();
    let after = head.split("content-length: ").nth(1).unwrap();
    let len: usize = after.split("\r\n").next().unwrap().parse().unwrap();
    while read.len() < head_len + len {
        assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0, "half an answer");
    }
    let body = String::from_utf8(read[head_len..].to_vec()).unwrap();
    HttpReply { status: head.split(' ').nth(1).unwrap().parse().unwrap(), head, body }
}

#[tokio::test]
async fn a_delivered_request_is_answered_in_the_exact_form() {
    let endpoint = start(config()).await;
    let reply = endpoint.send(&records(&["one", "", "two"]).id("r-1")).await;
    assert_eq!(reply.status, 200);
    assert!(reply.head.contains("\r\ncontent-type: application/json\r\n"), "{}", reply.head);
    assert!(!reply.head.contains("content-encoding"), "{}", reply.head);
    let body = reply.json();
    assert_eq!(body["requestId"], "r-1");
    assert!(body["timestamp"].is_u64());
    assert_eq!(body.as_object().unwrap().len(), 2);
    assert_eq!(endpoint.worker.seen(), ["one", "two"]);
    assert_eq!(endpoint.budget.used(), ENTRY_BYTES, "the request is remembered, and nothing else is held");
    endpoint.stopped().await;
}

#[tokio::test]
async fn a_body_comes_in_any_pieces() {
    let endpoint = start(config()).await;
    for post in [records(&["one", "two"]), records(&["three"]).gzipped()] {
        let mut stream = endpoint.connect().await;
        stream.set_nodelay(true).unwrap();
        for byte in post.bytes() {
            stream.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        let reply = read_reply(&mut stream).await;
        assert_eq!((reply.status, &reply.json()["requestId"]), (200, &json!("in-body")));
    }
    assert_eq!(endpoint.worker.seen(), ["one", "two", "three"]);
    endpoint.stopped().await;
}

#[tokio::test]
async fn what_is_not_base64_is_kept_as_it_came() {
    let endpoint = start(config()).await;
    let mut post = records(&[]);
    post.body = br#"{"records":[{"data":"!not base64!"},{"data":"b25l"}]}"#.to_vec();
    assert_eq!(endpoint.send(&post).await.status, 200);
    assert_eq!(endpoint.worker.seen(), ["!not base64!", "one"]);
    endpoint.stopped().await;
}

#[tokio::test]
async fn common_attributes_are_part_of_the_origin() {
    let endpoint = start(config()).await;
    let name = "X-Amz-Firehose-Common-Attributes";
    endpoint.send(&records(&["one"]).header(name, r#"{"commonAttributes":{"team":"a"}}"#)).await;
    assert_eq!(endpoint.send(&records(&["two"]).header(name, "{")).await.status, 200);
    let seen = endpoint.worker.seen.lock().unwrap().clone();
    assert_eq!(*seen[0].0.attributes, [("team".into(), "a".into())]);
    assert_eq!((&*seen[0].0.source, &*seen[0].0.host), ("http", "host"));
    assert!(seen[1].0.attributes.is_empty());
    endpoint.stopped().await;
}

#[tokio::test]
async fn what_may_not_be_taken_is_refused_with_a_reason() {
    let config = HttpSource {
        access_keys: ["old", "new"].map(|key| Secret::new(key.to_owned())).to_vec(),
        source_arns: vec!["arn:aws:firehose:*:111122223333:deliverystream/*".to_owned()],
        ..config()
    };
    let endpoint = start(config).await;
    let key = "X-Amz-Firehose-Access-Key";
    let good = records(&["one"]).id("r").header(key, "old");
    let malformed = Post { body: b"{\"records\":[{\"data\":\"b25l\"},".to_vec(), ..good.clone() };
    let cases = [
        (200, good.clone()),
        (200, good.clone().header(key, "new").id("r2")),
        (401, good.clone().header(key, "other")),
        (403, good.clone().header("X-Amz-Firehose-Source-Arn", "arn:aws:firehose:r:1:deliverystream/s")),
        (400, good.clone().header("Content-Encoding", "br")),
        (400, good.clone().id("r3").header("Content-Encoding", "gzip")),
        (400, malformed.id("r4")),
    ];
    for (status, post) in cases {
        let reply = endpoint.send(&post).await;
        assert_eq!(reply.status, status, "{reply:?}");
        let body = reply.json();
        assert!(body["requestId"].as_str().unwrap().starts_with('r'));
        assert_eq!(body.get("errorMessage").is_some(), status != 200, "{body}");
        assert!(!reply.body.contains("other"), "a key is never repeated");
    }
    assert!(endpoint.metrics.render().unwrap().contains(r#"reason="unauthorized""#));
    endpoint.stopped().await;
}

#[tokio::test]
async fn a_refusal_can_be_read_by_a_sender_that_is_still_sending() {
    let endpoint = start(HttpSource { access_keys: vec![Secret::new("key".to_owned())], ..config() }).await;
    let mut post = records(&[]).id("r");
    post.body = vec![b'x'; 8 << 20];
    assert_eq!(endpoint.send(&post).await.status, 401);
    assert_eq!(endpoint.send(&post.header("X-Amz-Firehose-Access-Key", "key")).await.status, 400);
    endpoint.stopped().await;
}

#[tokio::test]
async fn load_balancers_are_answered_without_headers() {
    let endpoint = start(config()).await;
    for (line, status) in [("GET /healthz", 200), ("GET /", 200), ("GET /x", 404), ("PUT /", 405)] {
        let request = format!("{line} HTTP/1.1\r\nHost: h\r\n\r\n");
        let reply = talk(&mut endpoint.connect().await, request.as_bytes()).await;
        assert_eq!(reply.status, status, "{line}");
    }
    endpoint.stopped().await;
}

#[tokio::test]
async fn a_request_just_acknowledged_is_not_taken_again() {
    let endpoint = start(config()).await;
    let post = records(&["one", "two"]).id("r");
    for _ in 0..3 {
        assert_eq!(endpoint.send(&post).await.status, 200);
    }
    assert_eq!(endpoint.worker.seen(), ["one", "two"]);
    let other = post.header("X-Amz-Firehose-Source-Arn", "arn:aws:firehose:us-east-1:1:deliverystream/other");
    assert_eq!(endpoint.send(&other).await.status, 200);
    assert_eq!(endpoint.worker.seen().len(), 4, "another stream's id is another request");
    let reused = records(&["three", "four"]).id("r");
    assert_eq!(endpoint.send(&reused).await.status, 503, "the same id with another body");
    assert_eq!(endpoint.send(&reused).await.status, 200);
    assert_eq!(endpoint.worker.seen()[4..], ["three", "four"]);
    endpoint.stopped().await;
}

#[tokio::test]
async fn a_request_in_flight_shares_its_end_with_its_retry() {
    let endpoint = start(config()).await;
    endpoint.worker.will(Will::Keep);
    let post = records(&["one", "two"]).id("r");
    let first = endpoint.send_apart(&post);
    endpoint.worker.has_seen(2).await;
    let second = endpoint.send_apart(&post);
    tokio::task::yield_now().await;
    endpoint.worker.settle_kept();
    assert_eq!(first.await.unwrap().status, 200);
    assert_eq!(second.await.unwrap().status, 200);
    assert_eq!(endpoint.worker.seen(), ["one", "two"]);
    endpoint.stopped().await;
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_taken_up_by_its_retry() {
    let endpoint = start(HttpSource { timeout: Duration::from_millis(200), ..config() }).await;
    endpoint.worker.will(Will::Keep);
    let post = records(&["one", "two"]).id("r");
    let reply = endpoint.send(&post).await;
    assert_eq!(reply.status, 503);
    assert!(reply.json()["errorMessage"].as_str().unwrap().contains("again"));
    while endpoint.worker.seen().len() < 2 {
        endpoint.send(&post).await;
    }
    endpoint.worker.settle_kept();
    while endpoint.send(&post).await.status != 200 {}
    assert_eq!(endpoint.worker.seen(), ["one", "two"]);
    endpoint.stopped().await;
}

#[tokio::test]
async fn only_what_was_given_up_is_taken_from_the_retry() {
    let endpoint = start(config()).await;
    endpoint.worker.will(Will::Keep);
    let post = records(&["one", "two"]).id("r");
    let reply = endpoint.send_apart(&post);
    endpoint.worker.has_seen(2).await;
    let mut kept = std::mem::take(&mut *endpoint.worker.kept.lock().unwrap());
    drop(kept.pop());
    kept.pop().unwrap().settle();
    assert_eq!(reply.await.unwrap().status, 503);
    endpoint.worker.will(Will::Drop);
    assert_eq!(endpoint.send(&post).await.status, 503);
    endpoint.worker.will(Will::Settle);
    assert_eq!(endpoint.send(&post).await.status, 200);
    assert_eq!(endpoint.worker.seen(), ["one", "two", "two", "two"]);
    endpoint.stopped().await;
}

#[tokio::test]
async fn a_request_waits_for_memory_and_then_goes_on_where_it_stopped() {
    let endpoint = start(HttpSource { timeout: Duration::from_millis(200), ..config() }).await;
    let all = endpoint.budget.try_admit(16 << 20);
    let post = records(&["one", "two"]).id("r");
    assert_eq!(endpoint.send(&post).await.status, 503);
    drop(all);
    while endpoint.send(&post).await.status != 200 {}
    assert_eq!(endpoint.worker.seen(), ["one", "two"]);
    endpoint.stopped().await;
}

#[tokio::test]
async fn a_sender_that_goes_away_leaves_nothing_behind() {
    let endpoint = start(config()).await;
    let post = records(&["one", "two"]).id("r");
    let bytes = post.bytes();
    let mut stream = endpoint.connect().await;
    stream.write_all(&bytes[..bytes.len() - 10]).await.unwrap();
    endpoint.worker.has_seen(1).await;
    drop(stream);
    while endpoint.send(&post).await.status != 200 {}
    assert_eq!(endpoint.worker.seen(), ["one", "two"]);
    endpoint.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_body_fits_into_a_small_budget() {
    let endpoint = start(config()).await;
    let data = STANDARD.encode_to_string(vec![b'x'; 1_000_000]);
    let mut post = records(&[]).id("r");
    post.body = b"{\"records\":[".to_vec();
    for number in 0..49 {
        let comma = if number == 0 { "" } else { "," };
        write!(post.body, "{comma}{{\"data\":\"{data}\"}}").unwrap();
    }
    post.body.extend_from_slice(b"]}");
    assert!(post.body.len() > 62 << 20, "{}", post.body.len());
    let (first, second) = (endpoint.send_apart(&post), endpoint.send_apart(&post.clone().id("s").gzipped()));
    assert_eq!(first.await.unwrap().status, 200);
    assert_eq!(second.await.unwrap().status, 200);
    assert_eq!(endpoint.worker.seen.lock().unwrap().len(), 98);
    assert!(endpoint.budget.peak() <= 16 << 20);
    assert_eq!(
        endpoint.budget.used(),
        2 * ENTRY_BYTES,
        "two requests are remembered, and nothing else is held"
    );
    endpoint.stopped().await;
}

#[tokio::test]
async fn stopping_answers_what_is_in_flight_and_waits_for_nobody_else() {
    let endpoint = start(config()).await;
    endpoint.worker.will(Will::Keep);
    let silent = endpoint.connect().await;
    let mut half = endpoint.connect().await;
    half.write_all(b"POST / HTTP/1.1\r\nHost:").await.unwrap();
    let reply = endpoint.send_apart(&records(&["one"]).id("r"));
    endpoint.worker.has_seen(1).await;
    endpoint.stopper.stop();
    assert!(!endpoint.server.is_finished());
    endpoint.worker.settle_kept();
    assert_eq!(reply.await.unwrap().status, 200);
    endpoint.server.await.unwrap();
    drop((silent, half));
}

#[tokio::test]
async fn tls_is_served_with_the_configured_certificate() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let tls = Tls { cert: folder.path().join("tls.crt"), key: folder.path().join("tls.key") };
    std::fs::write(&tls.cert, made.cert.pem()).unwrap();
    std::fs::write(&tls.key, made.signing_key.serialize_pem()).unwrap();
    let endpoint = start(HttpSource { tls: Some(tls), ..config() }).await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
    let mut stream =
        connector.connect("localhost".try_into().unwrap(), endpoint.connect().await).await.unwrap();
    assert_eq!(talk(&mut stream, &records(&["one"]).bytes()).await.status, 200);
    assert_eq!(endpoint.worker.seen(), ["one"]);
    drop(stream);
    endpoint.stopped().await;
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_served_says_why() {
    let first = start(config()).await;
    let taken = HttpSource { listen: first.address, ..config() };
    let no_files = Tls { cert: "/nowhere/tls.crt".into(), key: "/nowhere/tls.key".into() };
    let folder = tempfile::tempdir().unwrap();
    let encrypted = Tls { cert: folder.path().join("tls.crt"), key: folder.path().join("tls.key") };
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(&encrypted.cert, made.cert.pem()).unwrap();
    let pem = made.signing_key.serialize_pem().replace(" PRIVATE KEY", " ENCRYPTED PRIVATE KEY");
    std::fs::write(&encrypted.key, pem).unwrap();
    let without_passphrase = format!("the private key in `{}` is encrypted", encrypted.key.display());
    for (config, expected) in [
        (HttpSource { tls: Some(encrypted), ..config() }, without_passphrase),
        (taken, format!("cannot listen on `{}`", first.address)),
        (HttpSource { tls: Some(no_files), ..config() }, "cannot read `/nowhere/tls.crt`".to_owned()),
        (HttpSource { source_arns: vec!["[".to_owned()], ..config() }, "cannot read a pattern".to_owned()),
    ] {
        let error = HttpEndpoint::open(config, None).await.err().unwrap();
        assert!(error.to_string().starts_with(&expected), "{error}");
    }
    first.stopped().await;
}
