//! Runs one stage of the core so often, for its instructions to be counted: `instructions STAGE TIMES`. Without arguments, names the
//! stages.
//!
//! One thread, and the same payload each time. Nothing of it is C, whose compiler is not that of the toolchain: payloads are not
//! inflated, and nothing is compressed, hashed or encrypted.

mod workload;
mod writer;

use std::fmt::Write;
use std::hint::black_box;

use bytes::Bytes;
use standpipe::config::{Encoding, Format, NamedPattern, RecordAs, Redaction};
use standpipe::steps::{RedactScratch, Redacting, Redactor};

use self::workload::{Counter, Finish, Stage, envelope, lines, messages, trail};
use self::writer::Writer;

/// Does a stage's work once; how much came of it.
type Work = Box<dyn FnMut() -> usize>;

/// What a stage is called, and how its work begins.
type NamedStage = (&'static str, fn() -> Work);

const STAGES: [NamedStage; 13] = [
    ("envelope: events found", || decode(Format::Envelope, envelope(&messages("plain")), Counter::default())),
    ("envelope to json, plain", || to_json(Format::Envelope, envelope(&messages("plain")))),
    ("envelope to json, json", || to_json(Format::Envelope, envelope(&messages("json")))),
    ("envelope to json, accents", || to_json(Format::Envelope, envelope(&messages("accents")))),
    ("envelope to message, plain", || to_message(Format::Envelope, envelope(&messages("plain")))),
    ("envelope to message, json", || to_message(Format::Envelope, envelope(&messages("json")))),
    ("lines to message", || to_message(Format::Lines, lines(&messages("plain")))),
    ("lines to json, access", || to_json(Format::Lines, lines(&messages("access")))),
    ("lines to json, redacted", || redacted(&messages("plain"))),
    ("docker to json", || to_json(Format::Docker, docker(&messages("access")))),
    ("cri to json", || to_json(Format::Cri, cri(&messages("access")))),
    ("cloudtrail to json", || to_json(Format::Cloudtrail, trail().1)),
    ("forward to message", || to_message(Format::FluentForward(RecordAs::Auto), forward(&messages("plain")))),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [stage, times] = &*arguments else {
        for (name, _) in STAGES {
            println!("{name}");
        }
        return;
    };
    let found = STAGES.iter().find(|(name, _)| name == stage);
    let (Some((_, begin)), Ok(times)) = (found, times.parse::<u32>()) else {
        eprintln!("`{stage}` {times}: no such stage, or no number of times");
        std::process::exit(1);
    };
    let mut work = begin();
    for _ in 0..times {
        assert!(black_box(work()) > 0, "something comes of it");
    }
}

fn to_json(format: Format, payload: impl Into<Bytes>) -> Work {
    decode(format, payload, Writer::new(Encoding::Json, false))
}

fn to_message(format: Format, payload: impl Into<Bytes>) -> Work {
    decode(format, payload, Writer::new(Encoding::Message, false))
}

fn decode(
    format: Format,
    payload: impl Into<Bytes>,
    mut events: impl standpipe::event::Events + Finish + 'static,
) -> Work {
    let mut stage = Stage::new(format, payload);
    Box::new(move || {
        stage.run(&mut events);
        events.finish()
    })
}

fn redacted(messages: &[String]) -> Work {
    let redaction = Redaction { named: NamedPattern::ALL.to_vec(), ..Redaction::default() };
    let redactor = Redactor::new(&redaction).ok().flatten().expect("the named patterns are patterns");
    let mut stage = Stage::new(Format::Lines, lines(messages));
    let (mut writer, mut scratch) = (Writer::new(Encoding::Json, false), RedactScratch::default());
    Box::new(move || {
        stage.run(&mut Redacting::new(&mut writer, &redactor, &mut scratch));
        writer.finish()
    })
}

/// A file as Docker's json-file driver writes it.
fn docker(messages: &[String]) -> String {
    let mut text = String::new();
    for message in messages {
        let log = serde_json::to_string(&format!("{message}\n")).unwrap_or_default();
        writeln!(text, r#"{{"log":{log},"stream":"stdout","time":"2026-11-22T01:02:03.004005006Z"}}"#).ok();
    }
    text
}

/// Messages as Docker's fluentd driver sends them, one for each line.
fn forward(messages: &[String]) -> Vec<u8> {
    let mut out = Vec::new();
    let text = |out: &mut Vec<u8>, text: &str| {
        let len = u16::try_from(text.len()).expect("texts are short");
        match text.len() {
            0..32 => out.push(0xa0 | len.to_be_bytes()[1]),
            32..256 => out.extend_from_slice(&[0xd9, len.to_be_bytes()[1]]),
            _ => out.extend_from_slice(&[&[0xda][..], &len.to_be_bytes()].concat()),
        }
        out.extend_from_slice(text.as_bytes());
    };
    for message in messages {
        out.push(0x94);
        text(&mut out, "0123456789ab");
        // A time, and no nanoseconds.
        out.extend_from_slice(&[0xd7, 0x00, 0x69, 0x21, 0x08, 0x50, 0, 0, 0, 0, 0x84]);
        for (name, value) in [
            ("container_id", &*"0123456789abcdef".repeat(4)),
            ("container_name", "/orders"),
            ("source", "stdout"),
            ("log", message),
        ] {
            text(&mut out, name);
            text(&mut out, value);
        }
        out.push(0x80);
    }
    out
}

/// A file as the container runtimes of Kubernetes write it.
fn cri(messages: &[String]) -> String {
    let mut text = String::new();
    for message in messages {
        writeln!(text, "2026-11-22T01:02:03.004005006Z stdout F {message}").ok();
    }
    text
}
