//! What the steps between decoding and routing cost, in bytes of lines a second, beside the same without them.
//!
//! `cargo bench --bench steps` runs all of them. `quiet` lines hold nothing that the known patterns find, and much that looks like it:
//! times, numbers, ids. Each `access` line has an address of IPv4. Each of `objects` is a JSON object of as many bytes as a quiet line.

#![expect(clippy::unwrap_used, reason = "a tool")]

#[path = "instructions/src/writer.rs"]
mod writer;

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use standpipe::batch::ObjectMessage;
use standpipe::config::{
    Action, Decoding, Encoding, Format, NamedPattern, OwnPattern, Redaction, ReplaceWith, Route,
    RouteThrottle, Template, TooLong, When,
};
use standpipe::decode::{Decoder, ObjectText, Scratch, json_object};
use standpipe::event::{
    Charset, Event, Events, Field, LONGEST_ID, Message, Origin, PlaceId, Timestamp, Wants,
};
use standpipe::route::{Decision, LimitedEvent, Plan, Router, sample_hash};
use standpipe::steps::{RedactScratch, Redacting, Redactor};

use self::writer::{READ_AT, Writer};

fn main() {
    divan::main();
}

const KINDS: [&str; 2] = ["quiet", "access"];

const KINDS_AND_OBJECTS: [&str; 3] = ["quiet", "access", "objects"];

/// Lines of a chunk of about a mebibyte.
const LINES: usize = 5_000;

#[divan::bench(args = KINDS)]
fn message(bencher: Bencher<'_, '_>, kind: &str) {
    run(bencher, kind, Writer::new(Encoding::Message, false), None);
}

#[divan::bench(args = KINDS)]
fn message_redacted(bencher: Bencher<'_, '_>, kind: &str) {
    run(bencher, kind, Writer::new(Encoding::Message, false), Some(&named()));
}

#[divan::bench(args = KINDS_AND_OBJECTS)]
fn json(bencher: Bencher<'_, '_>, kind: &str) {
    run(bencher, kind, Writer::new(Encoding::Json, false), None);
}

#[divan::bench(args = KINDS)]
fn json_redacted(bencher: Bencher<'_, '_>, kind: &str) {
    run(bencher, kind, Writer::new(Encoding::Json, false), Some(&named()));
}

#[divan::bench(args = KINDS)]
fn json_redacted_by_a_pattern_of_ones_own(bencher: Bencher<'_, '_>, kind: &str) {
    let pattern = OwnPattern {
        name: "national-id".into(),
        regex: regex::bytes::Regex::new(r"\b[0-9]{3}-[0-9]{2}-[0-9]{4}\b").unwrap(),
        least: 11,
        with: ReplaceWith::Text,
    };
    let redaction = Redaction { patterns: vec![pattern], ..Redaction::default() };
    run(bencher, kind, Writer::new(Encoding::Json, false), Some(&redaction));
}

/// Messages that are objects, written as such: to be compared with `json` of quiet lines, and of the same as strings.
#[divan::bench]
fn json_parsed(bencher: Bencher<'_, '_>) {
    parsed(bencher, None);
}

/// The same, with a field looked for.
#[divan::bench]
fn json_parsed_for_a_field(bencher: Bencher<'_, '_>) {
    parsed(bencher, Some("ts"));
}

#[divan::bench(args = KINDS)]
fn json_with_ids(bencher: Bencher<'_, '_>, kind: &str) {
    run(bencher, kind, Writer::new(Encoding::Json, true), None);
}

/// Events told one by one, as where a route looks at messages: what limits are compared with.
#[divan::bench(args = KINDS)]
fn json_one_by_one(bencher: Bencher<'_, '_>, kind: &str) {
    run_limited(bencher, kind, None, None);
}

/// A sample of all, so that as much is written.
#[divan::bench(args = KINDS)]
fn json_sampled(bencher: Bencher<'_, '_>, kind: &str) {
    run_limited(bencher, kind, Some(1.0), None);
}

/// A limit that is not reached.
#[divan::bench(args = KINDS)]
fn json_throttled(bencher: Bencher<'_, '_>, kind: &str) {
    let by = Template::parse("{host}").ok();
    let throttle = RouteThrottle { events: 1_000_000, per: Duration::from_millis(1), by };
    run_limited(bencher, kind, None, Some(throttle));
}

fn named() -> Redaction {
    Redaction { named: NamedPattern::ALL.to_vec(), ..Redaction::default() }
}

fn lines_decoder() -> Decoder {
    Decoder::new(&Decoding {
        format: Format::Lines,
        charset: Charset::UTF8,
        multiline: None,
        max_line: 1_000 << 10,
        too_long: TooLong::Split,
        max_inflated: 64 << 20,
    })
}

fn run(bencher: Bencher<'_, '_>, kind: &str, mut writer: Writer, redaction: Option<&Redaction>) {
    let payload = Bytes::from(lines(kind));
    let decoder = lines_decoder();
    let origin = Arc::new(Origin::new("app", "web-1").with(Field::File, "/var/log/app/a.log"));
    let (mut scratch, mut redact) = (Scratch::default(), RedactScratch::default());
    let redactor = redaction.and_then(|redaction| Redactor::new(redaction).unwrap());
    bencher.counter(BytesCount::new(payload.len())).counter(ItemsCount::new(LINES)).bench_local(|| {
        if let Some(redactor) = &redactor {
            let mut redacting = Redacting::new(&mut writer, redactor, &mut redact);
            decoder.decode(&mut scratch, &origin, &payload, &mut redacting);
        } else {
            decoder.decode(&mut scratch, &origin, &payload, &mut writer);
        }
        writer.finish()
    });
}

fn run_limited(bencher: Bencher<'_, '_>, kind: &str, sample: Option<f64>, throttle: Option<RouteThrottle>) {
    let payload = Bytes::from(lines(kind));
    let decoder = lines_decoder();
    let origin = Arc::new(Origin::new("app", "web-1").with(Field::File, "/var/log/app/a.log"));
    let (from, when, action) = (Vec::new(), When::default(), Action::To(vec!["archive".to_owned()]));
    let route = Route { from, when, action, sample, throttle };
    let plan = Router::new(&[route], &["archive"]).unwrap().plan(&origin);
    let writer = Writer::new(Encoding::Json, false);
    let mut limited = LimitedWriter { writer, plan, now: READ_AT, at: 0 };
    let mut scratch = Scratch::default();
    bencher.counter(BytesCount::new(payload.len())).counter(ItemsCount::new(LINES)).bench_local(|| {
        limited.now.0 += 1;
        decoder.decode(&mut scratch, &origin, &payload, &mut limited);
        limited.writer.finish()
    });
}

fn parsed(bencher: Bencher<'_, '_>, field: Option<&'static str>) {
    let payload = Bytes::from(lines("objects"));
    let decoder = lines_decoder();
    let origin = Arc::new(Origin::new("app", "web-1").with(Field::File, "/var/log/app/a.log"));
    let mut parsing = ParsingWriter { writer: Writer::new(Encoding::Json, false), field };
    let mut scratch = Scratch::default();
    bencher.counter(BytesCount::new(payload.len())).counter(ItemsCount::new(LINES)).bench_local(|| {
        decoder.decode(&mut scratch, &origin, &payload, &mut parsing);
        parsing.writer.finish()
    });
}

/// Writes messages as the objects that they are.
struct ParsingWriter {
    writer: Writer,
    field: Option<&'static str>,
}

impl Events for ParsingWriter {
    fn wants(&self) -> Wants {
        self.writer.wants()
    }

    fn origin(&mut self, origin: &Arc<Origin>) {
        self.writer.origin(origin);
    }

    fn lines(&mut self, lines: &Bytes, _: u64) {
        let mut from = 0;
        for at in memchr::memchr_iter(b'\n', lines) {
            let message = Message::Raw(lines.get(from..at).unwrap_or_default());
            self.event(Event { message, timestamp: None, id: None, part: None });
            from = at + 1;
        }
    }

    fn event(&mut self, event: Event<'_>) {
        let Writer { encoder, output, .. } = &mut self.writer;
        let Message::Raw(line) = event.message else { return };
        let ObjectText { text, has_breaks, field } = json_object(line, self.field).unwrap();
        assert_eq!(field.is_some(), self.field.is_some());
        encoder.object(&event, ObjectMessage { text, has_breaks }, READ_AT, output).unwrap();
    }

    fn envelope(&mut self, _: &Bytes) {}

    fn undecodable(&mut self, reason: &'static str, payload: &[u8]) {
        self.writer.undecodable(reason, payload);
    }
}

/// Writes what a route with limits lets through.
struct LimitedWriter {
    writer: Writer,
    plan: Plan,
    now: Timestamp,
    at: u64,
}

impl LimitedWriter {
    fn decide(&self, message: &[u8], at: u64) -> Decision {
        if !self.plan.is_limited() {
            return self.plan.decide(message);
        }
        let mut buffer = [0; LONGEST_ID];
        let id = sample_hash(PlaceId::new(1, at).text(&mut buffer).as_bytes());
        let event = LimitedEvent { message, id, now: self.now, continues: false };
        self.plan.decide_limited(&event, &mut |_| ())
    }
}

impl Events for LimitedWriter {
    fn wants(&self) -> Wants {
        self.writer.wants()
    }

    fn keeps_lines(&self) -> bool {
        false
    }

    fn wants_places(&self) -> bool {
        true
    }

    fn at(&mut self, offset: u64) {
        self.at = offset;
    }

    fn origin(&mut self, origin: &Arc<Origin>) {
        self.plan.renew();
        self.writer.origin(origin);
    }

    fn lines(&mut self, lines: &Bytes, _: u64) {
        let mut at = self.at;
        for line in lines.strip_suffix(b"\n").unwrap_or(lines).split(|byte| *byte == b'\n') {
            if let Decision::Sinks(_) = self.decide(line, at) {
                let message = Message::Raw(line);
                self.writer.event(Event { message, timestamp: None, id: None, part: None });
            }
            at += line.len() as u64 + 1;
        }
    }

    fn event(&mut self, event: Event<'_>) {
        self.writer.event(event);
    }

    fn envelope(&mut self, _: &Bytes) {}

    fn undecodable(&mut self, reason: &'static str, payload: &[u8]) {
        self.writer.undecodable(reason, payload);
    }
}

fn lines(kind: &str) -> String {
    let mut random = fastrand::Rng::with_seed(1);
    let mut sample = include_str!("../config/sample/access.log").lines().cycle();
    let mut text = String::new();
    for _ in 0..LINES {
        let written = if kind == "access" {
            writeln!(text, "{} trace={:032x}", sample.next().unwrap_or_default(), random.u128(..))
        } else if kind == "objects" {
            writeln!(
                text,
                r#"{{"ts":"2026-11-22T01:{:02}:{:02}.{:03}Z","level":"INFO","worker":{},"id":"{:032x}","path":"/api/v1/orders/{}","status":200,"duration_ms":{}.{},"trace":"{:032x}"}}"#,
                random.u8(..60),
                random.u8(..60),
                random.u16(..1000),
                random.u8(..),
                random.u128(..),
                random.u32(..1_000_000),
                random.u16(..3000),
                random.u16(..1000),
                random.u128(..),
            )
        } else {
            writeln!(
                text,
                "2026-11-22 01:{:02}:{:02}.{:03} INFO orders::worker[{}] id={:032x} method=GET path=/api/v1/orders/{} status=200 duration_ms={}.{:03} trace={:032x}",
                random.u8(..60),
                random.u8(..60),
                random.u16(..1000),
                random.u8(..),
                random.u128(..),
                random.u32(..1_000_000),
                random.u16(..3000),
                random.u16(..1000),
                random.u128(..),
            )
        };
        written.unwrap();
    }
    text
}
