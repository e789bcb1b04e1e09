//! A stand-in for S3 and SQS that does what an emulator does not: it cuts bodies, throttles, forgets who has a message, refuses to
//! delete, shows messages twice, and knows what was deleted too early.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::event::Timestamp;
use crate::sync::Lock;

/// The service.
pub(super) struct FakeAws {
    pub(super) url: String,
    state: Mutex<FakeState>,
    /// Lines that the sink has.
    pub(super) delivered: Arc<Lock<BTreeMap<String, u64>>>,
}

pub(super) struct FakeState {
    random: fastrand::Rng,
    pub(super) objects: BTreeMap<String, FakeObject>,
    messages: Vec<FakeMessage>,
    /// Of a hundred answers so many are faults of each kind.
    pub(super) faults: u8,
    /// Bodies end after so many bytes.
    pub(super) cut_after: Option<usize>,
    /// Each get answers this, as status and code.
    pub(super) refuse_gets: Option<(u16, &'static str)>,
    pub(super) refuse_lists: bool,
    pub(super) refuse_extensions: bool,
    pub(super) has_redrive: bool,
    /// So many deletions fail.
    pub(super) failing_deletions: u32,
    /// What is done at the next get, once its answer is known.
    pub(super) at_next_get: Option<Deed>,
    /// What was asked, without signatures.
    pub(super) asked: Vec<String>,
    /// What should not have happened.
    pub(super) violations: Vec<String>,
    handles: u64,
}

/// Something that is done once.
pub(super) type Deed = Box<dyn FnOnce(&mut FakeState) + Send>;

#[derive(Clone)]
pub(super) struct FakeObject {
    pub(super) body: Vec<u8>,
    pub(super) etag: String,
    pub(super) modified: Timestamp,
}

struct FakeMessage {
    body: String,
    /// Lines of the objects that it announces.
    lines: BTreeSet<String>,
    shows: Instant,
    receives: u64,
    handle: String,
    is_deleted: bool,
}

/// A request.
struct Asked {
    method: String,
    path: String,
    headers: BTreeMap<String, String>,
    body: Value,
}

/// An answer: how much of its body is sent, if not all.
struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    sent: Option<usize>,
}

impl FakeAws {
    pub(super) async fn start(seed: u64) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = FakeState {
            random: fastrand::Rng::with_seed(seed),
            objects: BTreeMap::new(),
            messages: Vec::new(),
            faults: 0,
            cut_after: None,
            refuse_gets: None,
            refuse_lists: false,
            refuse_extensions: false,
            has_redrive: false,
            failing_deletions: 0,
            at_next_get: None,
            asked: Vec::new(),
            violations: Vec::new(),
            handles: 0,
        };
        let fake = Arc::new(Self { url, state: Mutex::new(state), delivered: Arc::default() });
        let served = Arc::downgrade(&fake);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Some(fake) = served.upgrade() else { return };
                tokio::spawn(async move { drop(fake.talk(stream).await) });
            }
        });
        fake
    }

    pub(super) fn state(&self) -> MutexGuard<'_, FakeState> {
        self.state.lock().unwrap()
    }

    /// Puts an object of text, and gives what announces it.
    pub(super) fn put(&self, key: &str, body: Vec<u8>) -> Value {
        let mut state = self.state();
        let etag = format!("{:016x}", state.random.u64(..));
        state
            .objects
            .insert(key.to_owned(), FakeObject { body, etag: etag.clone(), modified: Timestamp::now() });
        json!({ "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
            "s3": { "bucket": { "name": "b" }, "object": { "key": key, "eTag": etag } } })
    }

    /// Sends a message; `lines` are what has to be delivered before it may be deleted.
    pub(super) fn send(&self, body: &Value, lines: BTreeSet<String>) {
        let message = FakeMessage {
            body: body.to_string(),
            lines,
            shows: Instant::now(),
            receives: 0,
            handle: String::new(),
            is_deleted: false,
        };
        self.state().messages.push(message);
    }

    /// How many messages are not deleted.
    pub(super) fn left(&self) -> usize {
        self.state().messages.iter().filter(|message| !message.is_deleted).count()
    }

    /// How often messages were received.
    pub(super) fn received(&self) -> u64 {
        self.state().messages.iter().map(|message| message.receives).sum()
    }

    /// How many messages are hidden.
    pub(super) fn hidden(&self) -> usize {
        let now = Instant::now();
        self.state().messages.iter().filter(|message| !message.is_deleted && message.shows > now).count()
    }

    /// From now on there are no faults, and every message shows itself.
    pub(super) fn heal(&self) {
        let mut state = self.state();
        state.faults = 0;
        let now = Instant::now();
        state.messages.iter_mut().for_each(|message| message.shows = now);
    }

    async fn talk(&self, stream: TcpStream) -> std::io::Result<()> {
        let (reader, mut writer) = stream.into_split();
        let mut reader = BufReader::new(reader);
        let mut line = String::new();
        reader.read_line(&mut line).await?;
        let mut words = line.split(' ').map(str::to_owned);
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut headers = BTreeMap::new();
        loop {
            line.clear();
            reader.read_line(&mut line).await?;
            let Some((name, value)) = line.trim().split_once(": ") else { break };
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body).await?;
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let asked = Asked { method, path, headers, body };
        let wait = asked.body.get("WaitTimeSeconds").and_then(Value::as_u64);
        let until = Instant::now() + Duration::from_millis(50 * wait.unwrap_or(0));
        let answer = loop {
            let answer = self.answer(&asked);
            let is_empty = answer.as_ref().is_some_and(|answer| answer.body == b"{}");
            if wait.is_none() || !is_empty || Instant::now() >= until {
                break answer;
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(5)) => {}
                // Whoever asked is gone.
                _ = reader.fill_buf() => return Ok(()),
            }
        };
        let Some(Answer { status, headers, body, sent }) = answer else { return Ok(()) };
        let mut head =
            format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            head.extend([name, ": ", &value, "\r\n"]);
        }
        writer.write_all(format!("{head}\r\n").as_bytes()).await?;
        writer.write_all(&body[..sent.unwrap_or(body.len())]).await?;
        writer.flush().await
    }

    /// None: the connection is cut.
    fn answer(&self, asked: &Asked) -> Option<Answer> {
        let mut state = self.state();
        let Some(target) = asked.headers.get("x-amz-target") else {
            return state.s3(asked);
        };
        let operation = target.rsplit('.').next().unwrap_or_default();
        if operation != "ReceiveMessage" {
            state.asked.push(format!("{operation} {}", asked.body));
        }
        if state.is_fault() {
            return Some(error(500, "InternalError"));
        }
        Some(match operation {
            "ReceiveMessage" => state.receive(&asked.body),
            "ChangeMessageVisibility" => state.extend(&asked.body),
            "ChangeMessageVisibilityBatch" => state.give_back(&asked.body),
            "DeleteMessageBatch" => state.delete(&asked.body, &self.delivered),
            "GetQueueAttributes" => {
                let policy = json!({ "RedrivePolicy": "{\"maxReceiveCount\":3}" });
                ok(&json!({ "Attributes": if state.has_redrive { policy } else { json!({}) } }))
            }
            _ => error(400, "InvalidAction"),
        })
    }
}

impl FakeState {
    fn is_fault(&mut self) -> bool {
        self.random.u8(..100) < self.faults
    }

    fn s3(&mut self, asked: &Asked) -> Option<Answer> {
        let range = asked.headers.get("range").map_or("", String::as_str);
        let wanted = asked.headers.get("if-match").map(|etag| etag.trim_matches('"').to_owned());
        let (path, query) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
        self.asked.push(format!("{} {path} {query} {range}", asked.method).trim_end().to_owned());
        if query.contains("list-type=2") {
            return Some(if self.refuse_lists { s3_error(403, "AccessDenied") } else { self.list(query) });
        }
        if let Some((status, code)) = self.refuse_gets {
            return Some(s3_error(status, code));
        }
        match self.random.u8(..4) {
            0 if self.is_fault() => return Some(s3_error(503, "SlowDown")),
            1 if self.is_fault() => return None,
            _ => {}
        }
        let key = percent_encoding::percent_decode_str(path.trim_start_matches("/b/"))
            .decode_utf8_lossy()
            .into_owned();
        let Some(object) = self.objects.get(&key).cloned() else { return Some(s3_error(404, "NoSuchKey")) };
        if wanted.is_some_and(|wanted| wanted != object.etag) {
            return Some(s3_error(412, "PreconditionFailed"));
        }
        let from =
            range.strip_prefix("bytes=").and_then(|range| range.trim_end_matches('-').parse::<usize>().ok());
        let Some(body) = object.body.get(from.unwrap_or(0)..).map(<[u8]>::to_vec) else {
            return Some(s3_error(416, "InvalidRange"));
        };
        let mut headers = vec![("etag", format!("\"{}\"", object.etag))];
        headers.extend(from.map(|from| {
            let last = object.body.len().saturating_sub(1);
            ("content-range", format!("bytes {from}-{last}/{}", object.body.len()))
        }));
        let mut sent = self.cut_after.filter(|most| *most < body.len());
        if self.is_fault() {
            sent = Some(self.random.usize(..=body.len()));
        }
        let status = if from.is_some() { 206 } else { 200 };
        if let Some(then) = self.at_next_get.take() {
            then(self);
        }
        Some(Answer { status, headers, body, sent })
    }

    /// A page of two keys or folders.
    fn list(&self, query: &str) -> Answer {
        let parameter = |name: &str| {
            let value = query
                .split('&')
                .find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
                .unwrap_or_default();
            percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned()
        };
        let (prefix, after) = (parameter("prefix"), parameter("continuation-token"));
        let is_flat = parameter("delimiter").is_empty();
        let mut found: Vec<(String, Option<&FakeObject>)> = Vec::new();
        for (key, object) in self.objects.iter().filter(|(key, _)| key.starts_with(&prefix)) {
            let below = key.get(prefix.len()..).unwrap_or_default();
            match below.find('/').filter(|_| !is_flat) {
                None => found.push((key.clone(), Some(object))),
                Some(slash) => {
                    found.push((format!("{prefix}{}", below.get(..=slash).unwrap_or_default()), None));
                }
            }
        }
        found.dedup_by(|(one, _), (other, _)| one == other);
        found.retain(|(name, _)| *name > after);
        let is_truncated = found.len() > 2;
        found.truncate(2);
        let mut body = format!("<ListBucketResult><IsTruncated>{is_truncated}</IsTruncated>");
        for (name, object) in &found {
            let written = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
            let entry = match object {
                None => format!("<CommonPrefixes><Prefix>{written}</Prefix></CommonPrefixes>"),
                Some(FakeObject { etag, body, modified }) => format!(
                    "<Contents><Key>{written}</Key><ETag>&quot;{etag}&quot;</ETag><Size>{}</Size><LastModified>{}</LastModified></Contents>",
                    body.len(),
                    modified.to_rfc3339()
                ),
            };
            body.push_str(&entry);
        }
        let next = found.last().map_or("", |(name, _)| name);
        body.extend(["<NextContinuationToken>", next, "</NextContinuationToken></ListBucketResult>"]);
        Answer { status: 200, headers: Vec::new(), body: body.into_bytes(), sent: None }
    }

    fn receive(&mut self, body: &Value) -> Answer {
        let (now, number) = (Instant::now(), |name: &str| body[name].as_u64().unwrap());
        let most = usize::try_from(number("MaxNumberOfMessages")).unwrap();
        let hidden = Duration::from_secs(number("VisibilityTimeout"));
        let mut shown = Vec::new();
        for index in 0..self.messages.len() {
            let is_twice = self.is_fault();
            let message = &mut self.messages[index];
            if message.is_deleted || message.shows > now || shown.len() >= most {
                continue;
            }
            self.handles += 1;
            message.receives += 1;
            message.handle = format!("{index}-{}", self.handles);
            // The queue delivers at least once.
            message.shows = if is_twice { now } else { now + hidden };
            shown.push(
                json!({ "MessageId": index.to_string(), "ReceiptHandle": message.handle, "Body": message.body,
                "Attributes": { "ApproximateReceiveCount": message.receives.to_string() } }),
            );
        }
        ok(&if shown.is_empty() { json!({}) } else { json!({ "Messages": shown }) })
    }

    fn extend(&mut self, body: &Value) -> Answer {
        let handle = body["ReceiptHandle"].as_str().unwrap();
        let hidden = Duration::from_secs(body["VisibilityTimeout"].as_u64().unwrap());
        let is_lost = self.refuse_extensions || self.is_fault();
        match self.messages.iter_mut().find(|message| message.handle == handle && !message.is_deleted) {
            Some(message) if !is_lost => {
                message.shows = Instant::now() + hidden;
                ok(&json!({}))
            }
            Some(_) | None => error(400, "ReceiptHandleIsInvalid"),
        }
    }

    fn give_back(&mut self, body: &Value) -> Answer {
        for entry in body["Entries"].as_array().unwrap() {
            let handle = entry["ReceiptHandle"].as_str().unwrap();
            let message = self.messages.iter_mut().find(|message| message.handle == handle);
            if let Some(message) = message {
                message.shows = Instant::now();
            }
        }
        ok(&json!({ "Failed": [] }))
    }

    fn delete(&mut self, body: &Value, delivered: &Lock<BTreeMap<String, u64>>) -> Answer {
        let mut failed = Vec::new();
        for entry in body["Entries"].as_array().unwrap() {
            let (id, handle) = (&entry["Id"], entry["ReceiptHandle"].as_str().unwrap());
            let fails = self.failing_deletions > 0 || self.is_fault();
            self.failing_deletions = self.failing_deletions.saturating_sub(1);
            if fails {
                failed.push(json!({ "Id": id, "SenderFault": false, "Code": "InternalError" }));
                continue;
            }
            let Some(message) = self.messages.iter_mut().find(|message| message.handle == handle) else {
                failed.push(json!({ "Id": id, "SenderFault": true, "Code": "ReceiptHandleIsInvalid" }));
                continue;
            };
            message.is_deleted = true;
            let delivered = delivered.lock();
            if let Some(lost) = message.lines.iter().find(|line| !delivered.contains_key(*line)) {
                self.violations.push(format!("deleted before `{lost}` was delivered"));
            }
        }
        ok(&json!({ "Failed": failed }))
    }
}

fn ok(body: &Value) -> Answer {
    Answer { status: 200, headers: Vec::new(), body: body.to_string().into_bytes(), sent: None }
}

fn error(status: u16, code: &str) -> Answer {
    Answer { status, ..ok(&json!({ "__type": format!("com.amazonaws.sqs#{code}"), "message": "no" })) }
}

fn s3_error(status: u16, code: &str) -> Answer {
    let body = format!("<Error><Code>{code}</Code><Message>no</Message></Error>").into_bytes();
    Answer { status, headers: Vec::new(), body, sent: None }
}
