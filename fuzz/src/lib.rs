//! What holds for any bytes: one function a parser, each of which panics where it does not hold.
//!
//! The fuzz targets call these with what the engine makes up; the tests call them with what is stored in `corpus`.

mod envelope;
mod event_stream;
mod journald;
mod seen;

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use standpipe::access::policy::{PolicyDocument, examine};
use standpipe::ack::Listing;
use standpipe::batch::{BUFFER_BYTES, Encoder, Output};
use standpipe::buffer::disk::recover;
use standpipe::config::{
    self, Action, Buffer, Compression, DirectorySink, Encoding, Format, Packing, RecordAs, SinkConfig,
    SinkKind, Template, TooLong,
};
use standpipe::decode::framing;
use standpipe::event::{Buffers, Event, Events, Origin, Timestamp, Wants};
use standpipe::msgpack::{PackError, PackReader, PackScan};
use standpipe::source::firehose_http::{BodyError, BodyScanner};

pub use envelope::envelope;
pub use event_stream::event_stream;
pub use journald::journald;

use seen::{Seen, Told, decode, decoding};

/// A check of one parser.
pub type Check = fn(&[u8]);

/// All of them, by their targets' names.
pub const ALL: [(&str, Check); 12] = [
    ("envelope", envelope),
    ("firehose_http_body", firehose_http_body),
    ("cloudtrail", cloudtrail),
    ("container", container),
    ("forward", forward),
    ("journald", journald),
    ("event_stream", event_stream),
    ("checkpoint", checkpoint),
    ("config", config),
    ("decode_any", decode_any),
    ("segment", segment),
    ("policy", policy),
];

/// A body is read alike in pieces of any size, and as serde reads it where that finds a request in it.
///
/// The first byte is the size of the pieces.
pub fn firehose_http_body(bytes: &[u8]) {
    #[derive(Deserialize)]
    struct Request {
        records: Vec<Record>,
    }
    #[derive(Deserialize)]
    struct Record {
        data: String,
    }
    let Some((size, body)) = bytes.split_first() else { return };
    let whole = read_body(body, usize::MAX);
    let pieces = read_body(body, usize::from(*size).max(1));
    assert_eq!(whole, pieces, "the size of the pieces matters");
    let Some(request) = serde_json::from_slice::<Request>(body).ok().filter(|_| has_objects(body)) else {
        return;
    };
    match whole {
        Ok(data) => {
            let expected: Vec<_> =
                request.records.into_iter().map(|record| record.data.into_bytes()).collect();
            // An escaped half of a surrogate pair stands for nothing in base64, and is read in its own way.
            assert!(data == expected || body.windows(2).any(|pair| pair == b"\\u"), "serde reads other data");
        }
        Err(error) => assert!(error.to_string().contains("too deep"), "serde reads it: {error}"),
    }
}

/// Whether the request and its records are objects: serde reads structures from arrays too.
fn has_objects(body: &[u8]) -> bool {
    let Ok(request) = serde_json::from_slice::<Value>(body) else { return false };
    let records = request.get("records").and_then(Value::as_array);
    records.is_some_and(|records| records.iter().all(Value::is_object))
}

fn read_body(body: &[u8], size: usize) -> Result<Vec<Vec<u8>>, BodyError> {
    let mut scanner = BodyScanner::default();
    let mut found = Vec::new();
    for mut piece in body.chunks(size) {
        while let Some(data) = scanner.next(&mut piece)? {
            found.push(data.to_vec());
        }
    }
    scanner.finish()?;
    Ok(found)
}

/// Plain log files are told record by record, each on one line, as serde finds them.
pub fn cloudtrail(bytes: &[u8]) {
    #[derive(Deserialize)]
    struct LogFile<'a> {
        #[serde(borrow, rename = "Records")]
        records: Vec<&'a RawValue>,
    }
    let told = decode(Format::Cloudtrail, bytes).told;
    let refused = told.iter().any(|told| matches!(told, Told::Undecodable(_)));
    assert!(!refused || told.len() == 1, "a payload is refused as a whole: {told:?}");
    // Not from the bytes: in what serde skips it does not look for UTF-8, nor for halves of surrogate pairs unless it makes a
    // value of it. And it reads structures from arrays too.
    let text = str::from_utf8(bytes).unwrap_or_default();
    if !serde_json::from_str::<Value>(text).is_ok_and(|value| value.is_object()) {
        return;
    }
    let Ok(file) = serde_json::from_str::<LogFile<'_>>(text) else { return };
    assert!(told.len() == file.records.len(), "{told:?}");
    for (told, record) in told.iter().zip(file.records) {
        let Told::Event { message, .. } = told else { panic!("{told:?}") };
        assert!(!message.contains(['\n', '\r']), "{message:?} is not one line");
        let values = [record.get(), message].map(serde_json::from_str::<Value>);
        let [expected, value] = values.map(Result::ok);
        assert_eq!(expected, value);
    }
}

/// The events of container lines do not depend on where the lines were cut into chunks.
///
/// The first byte chooses the runtime, the second how much is read at a time.
pub fn container(bytes: &[u8]) {
    let Some(([runtime, step], lines)) = bytes.split_first_chunk() else { return };
    let config = decoding(if runtime % 2 == 0 { Format::Docker } else { Format::Cri });
    let whole = seen::decode_with(&config, lines).told;
    let framing = framing(&config);
    let mut pieces = Seen::default();
    let (mut begin, mut end) = (0, 0);
    while end < lines.len() {
        end = lines.len().min(end + usize::from(*step) + 1);
        let unread = lines.get(begin..end).unwrap_or_default();
        let len = framing.whole(unread, end == lines.len());
        assert!(len <= unread.len());
        seen::decode_into(&config, unread.get(..len).unwrap_or_default(), &mut pieces);
        begin += len;
    }
    assert_eq!(whole, pieces.told);
}

/// Messages of the Forward protocol are found alike in pieces of any size; those that are whole are told, or refused, one by one as
/// together, and records are told as JSON that serde reads.
///
/// The first byte is the size of the pieces.
pub fn forward(bytes: &[u8]) {
    const MOST: usize = 1 << 16;
    let Some((size, stream)) = bytes.split_first() else { return };
    let whole = found_frames(stream, usize::MAX, MOST);
    let pieces = found_frames(stream, usize::from(*size).max(1), MOST);
    assert_eq!(whole, pieces, "the size of the pieces matters");
    let format = Format::FluentForward(RecordAs::Auto);
    let (mut at, mut by_themselves) = (0, Vec::new());
    for len in whole.0 {
        let frame = &stream[at..at + len];
        let mut reader = PackReader::new(frame);
        assert_eq!((reader.skip(), reader.at()), (Ok(()), len));
        by_themselves.extend(decode(format, frame).told);
        at += len;
    }
    assert_eq!(decode(format, &stream[..at]).told, by_themselves);
    // What is cut off breaks nothing, and a record that is told as JSON is JSON.
    for told in decode(Format::FluentForward(RecordAs::Json), stream).told {
        let Told::Event { message, .. } = told else { continue };
        assert!(serde_json::from_str::<Value>(&message).is_ok(), "{message}");
    }
}

/// The lengths of the values at the front of `stream`, and why there are no more.
fn found_frames(stream: &[u8], size: usize, most: usize) -> (Vec<usize>, Option<PackError>) {
    let (mut found, mut begin, mut end) = (Vec::new(), 0, 0);
    let mut frames = PackScan::default();
    loop {
        match frames.step(&stream[begin..end], most) {
            Ok(Some(frame)) => {
                found.push(frame.len);
                begin += frame.len;
            }
            Ok(None) if end == stream.len() => return (found, None),
            Ok(None) => end = stream.len().min(end.saturating_add(size)),
            Err(error) => return (found, Some(error)),
        }
    }
}

/// A checkpoint file holds no more entries than lines, is whole or damaged, and is refused only as one of a later version. What is torn
/// off its end changes nothing before it.
pub fn checkpoint(bytes: &[u8]) {
    let lines = bytes.split(|byte| *byte == b'\n').count();
    let listing = match Listing::read(bytes) {
        Ok(listing) => listing,
        Err(version) => {
            let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let said = String::from_utf8_lossy(first).contains(&version.to_string());
            return assert!(version > 1 && said, "version {version} is refused");
        }
    };
    assert!(listing.entries.len() + listing.damaged <= lines + 1, "{listing:?}");
    let is_closed = String::from_utf8_lossy(bytes).lines().next_back() == Some("]}");
    assert!(is_closed || listing.damaged > 0, "a torn file is whole: {listing:?}");
    let half = bytes.get(..bytes.len() / 2).unwrap_or_default();
    let whole_lines = half.iter().rposition(|byte| *byte == b'\n').and_then(|end| half.get(..=end));
    if let Some(Ok(torn)) = whole_lines.map(Listing::read) {
        assert!(listing.entries.starts_with(&torn.entries), "{torn:?} is no beginning of {listing:?}");
    }
}

/// A configuration is accepted, and is whole then, or every mistake in it is said in words, one a line: each names the file that it
/// is in, and none shows what a variable holds.
///
/// The first byte chooses the format.
pub fn config(bytes: &[u8]) {
    /// A password, and wrong as almost any value.
    const HELD: &str = "xyzzy-4711 (";
    let Some((format, text)) = bytes.split_first() else { return };
    // What the file of a value holds is not to be looked for on this machine.
    if text.windows(5).any(|word| word == b"file:") || text.windows(5).any(|word| word == b"xyzzy") {
        return;
    }
    let extension = ["toml", "yaml", "json"][usize::from(*format) % 3];
    let Ok(folder) = tempfile::tempdir() else { return };
    let path = folder.path().join("standpipe").with_extension(extension);
    if fs::write(&path, text).is_err() {
        return;
    }
    let environment = BTreeMap::from([("SECRET".to_owned(), HELD.to_owned())]);
    match config::inspect(std::slice::from_ref(&path), &environment) {
        Ok(checked) => is_whole(&checked),
        Err(errors) => {
            let words = errors.to_string();
            assert!(!words.is_empty(), "nothing is wrong, and it is refused");
            for line in words.lines() {
                let told = line.strip_prefix(path.to_string_lossy().as_ref());
                assert!(told.is_some_and(|told| told.len() > 2), "{line:?} does not say what is wrong where");
            }
            assert!(!words.contains("xyzzy"), "what `SECRET` holds is shown: {words}");
        }
    }
}

/// Whether a configuration needs no second look.
fn is_whole(checked: &config::Checked) {
    let config = &checked.config;
    assert!(!config.sources.is_empty() && !config.sinks.is_empty(), "nothing leads anywhere");
    for route in &config.routes {
        assert!(route.from.iter().all(|name| config.sources.contains_key(name)), "{route:?}");
        if let Action::To(sinks) = &route.action {
            assert!(
                !sinks.is_empty() && sinks.iter().all(|name| config.sinks.contains_key(name)),
                "{route:?}"
            );
        }
    }
    for warning in &checked.warnings {
        assert!(!warning.key.is_empty() && !warning.text.trim().is_empty(), "{warning:?}");
    }
}

/// Whatever is decoded is written as JSON that serde reads back, one event a line; and no format breaks on any bytes.
///
/// The first byte chooses the format.
pub fn decode_any(bytes: &[u8]) {
    let Some((format, payload)) = bytes.split_first() else { return };
    let formats = [Format::Lines, Format::Docker, Format::Cri, Format::Envelope, Format::Cloudtrail];
    let format = formats[usize::from(*format) % formats.len()];
    let seen = decode(format, payload);
    let mut written = Written::new();
    seen::decode_into(&decoding(format), payload, &mut written);
    let text = written.finish();
    let messages = seen.told.iter().filter_map(|told| match told {
        Told::Event { message, .. } => Some(message),
        Told::Undecodable(_) => None,
    });
    let mut lines = text.lines();
    for message in messages {
        let line: Value = serde_json::from_str(lines.next().unwrap_or_default()).unwrap_or_default();
        assert_eq!(line.get("message").and_then(Value::as_str), Some(message.as_str()), "{line}");
    }
    assert_eq!(lines.next(), None);
}

/// A segment of the disk buffer gives records in their order, none of them among what is damaged; and what comes behind the last
/// one changes nothing before it.
pub fn segment(bytes: &[u8]) {
    let recovered = recover(bytes);
    let mut end = 0;
    for (record, ..) in &recovered.records {
        assert!(end <= record.start && record.start <= record.end, "{recovered:?}");
        end = record.end;
        let overlaps = |flaw: &std::ops::Range<usize>| flaw.start < record.end && record.start < flaw.end;
        assert!(!recovered.flaws.iter().any(|(flaw, _)| overlaps(flaw)), "{recovered:?}");
    }
    assert!(end <= bytes.len() && recovered.flaws.iter().all(|(flaw, _)| flaw.end <= bytes.len()));
    if end > 0 {
        assert_eq!(recover(&bytes[..end]).records, recovered.records);
    }
}

/// A policy is refused, as no JSON only if it is none, or it is decided on, and says the same when it was printed and read again.
pub fn policy(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let document: PolicyDocument = match text.parse() {
        Ok(document) => document,
        Err(error) => {
            let is_json = serde_json::from_str::<Value>(text).is_ok();
            return assert!(is_json != error.to_string().contains("not JSON"), "{error}");
        }
    };
    let printed = document.to_json();
    let read: Result<PolicyDocument, _> = printed.parse();
    assert!(read.is_ok_and(|read| read.to_json() == printed), "{printed}");
    let said = |text: &str| format!("{:?}", examine(text.as_bytes()).map(|answer| answer.decision));
    assert_eq!(said(text), said(&printed));
}

/// Writes events as a sink with `encoding = "json"` would be sent them.
struct Written {
    encoder: Encoder,
    output: Output,
}

impl Written {
    fn new() -> Self {
        let encoder = Encoder::new(&SinkConfig {
            kind: SinkKind::Directory(DirectorySink {
                path: "out".into(),
                stream: Template { pieces: [].into() },
            }),
            encoding: Encoding::Json,
            id: false,
            fields: Vec::new(),
            packing: Packing::Lines,
            compression: Compression::None,
            rate: None,
            linger: Duration::ZERO,
            too_long: TooLong::Split,
            max_destinations: 1,
            idle: Duration::ZERO,
            buffer: Buffer::Memory,
        });
        Self { encoder, output: Output::new(Buffers::new(BUFFER_BYTES, 1)) }
    }

    fn finish(mut self) -> String {
        let blocks = self.output.take(&self.encoder);
        let text = blocks.iter().flat_map(|block| block.data.iter().copied()).collect();
        String::from_utf8(text).unwrap_or_else(|error| panic!("what was written is not UTF-8: {error}"))
    }
}

impl Events for Written {
    fn wants(&self) -> Wants {
        Wants { events: true, envelopes: false }
    }

    fn origin(&mut self, origin: &Arc<Origin>) {
        self.output.origin(&self.encoder, origin);
    }

    fn lines(&mut self, lines: &Bytes, count: u64) {
        self.encoder.lines((lines, count), Timestamp(0), &mut self.output, &mut |_, _| ());
    }

    fn event(&mut self, event: Event<'_>) {
        let written = self.encoder.event(&event, Timestamp(0), &mut self.output);
        assert!(written.is_ok(), "an event is too large");
    }

    fn envelope(&mut self, _: &Bytes) {}

    fn undecodable(&mut self, _: &'static str, _: &[u8]) {}
}
