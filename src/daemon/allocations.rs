//! Promise: what a worker allocates depends on how many chunks there are, not on how many events are in them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::generation::Generation;
use crate::batch::{self, Packer};
use crate::config::{self, Packing};
use crate::decode::{Decoder, Scratch};
use crate::event::{AckGuard, Acknowledge, Buffers, CommitTurn, Origin, Outcome, Timestamp};
use crate::health::{Status, Watchdog};
use crate::metrics::Metrics;
use crate::pipeline::{
    LabelledOrigins, Labeller, MessageParser, SourceDecoder, StepMemory, StepNeeds, WorkerState,
};
use crate::route::Router;
use crate::steps::{RedactScratch, Redacting, Redactor};

const CHUNKS: u64 = 20;

/// Events in a chunk; ten times as many still fit into one block.
const FEW: usize = 50;

/// A vector that grows by doubling may do so a few times more, and a longer block is copied or shared.
const MORE_A_CHUNK: u64 = 10;

struct Nobody;

impl Acknowledge for Nobody {
    fn acknowledge(&self, _number: u64, _outcome: Outcome) {}
}

/// What decoding, routing, writing and packing allocate for chunks of this payload.
fn allocations(source: &str, rest: &str, payload: &Bytes) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().display();
    let text = format!(
        "[server]\nlisten = '127.0.0.1:0'\n[state]\ndir = '{dir}'\n\
         [sources.app]\ntype = 'file'\ninclude = ['{dir}/*.log']\n{source}\n\
         [sinks.out]\ntype = 'directory'\npath = '{dir}/out'\n{rest}\n"
    );
    let path = folder.path().join("standpipe.toml");
    fs::write(&path, text).unwrap();
    let config = config::load(&[path], &BTreeMap::new()).unwrap();
    let (metrics, status, taps) = (Metrics::new(), Arc::new(Status::default()), Arc::default());
    let watchdog = Watchdog::default();
    let built = Generation::build(&config, &metrics, &status, &watchdog, &taps, &Arc::default());
    let generation = built.unwrap();
    let router = Arc::new(Router::new(&config.routes, &["out"]).unwrap());
    let mut state =
        WorkerState::new(router, Arc::clone(&generation.sinks), &Buffers::new(batch::BUFFER_BYTES, 4));
    let steps = &config.steps["app"];
    let decoder = SourceDecoder {
        decoder: Decoder::new(config.sources["app"].decoding()),
        redactor: steps.redact.as_deref().and_then(|redaction| Redactor::new(redaction).unwrap()),
        parser: steps.parse.map(|parse| MessageParser { parse, time: steps.timestamp.clone() }),
        labeller: Labeller::new(&steps.enrichment, &config, &Arc::default()),
        ignore_older: steps.ignore_older,
        metrics: Metrics::new().source("app"),
    };
    let (mut scratch, mut redact) = (Scratch::default(), RedactScratch::default());
    let mut packer = Packer::new(Packing::Lines);
    let origin = Arc::new(Origin { source: "app".into(), host: "h".into(), ..Origin::default() });
    let mut kept = LabelledOrigins::default();
    let mut work = || {
        let origin = match &decoder.labeller {
            Some(labeller) => labeller.label(Arc::clone(&origin), &mut kept),
            None => Arc::clone(&origin),
        };
        let (mut held, mut needs) = (generation.budget.charge(0), StepNeeds::default());
        let turn = (&generation.budget, CommitTurn::Now);
        let memory = StepMemory::new(turn, u64::MAX, (&mut held, 0), &mut needs);
        let ack = AckGuard::open(Arc::new(Nobody), 0);
        let mut process = state.begin(Timestamp(0), memory).of_chunk(&decoder, "app", &ack);
        if let Some(redactor) = &decoder.redactor {
            let mut redacting = Redacting::new(&mut process, redactor, &mut redact);
            decoder.decoder.decode(&mut scratch, &origin, payload, &mut redacting);
            drop(redactor.take_counts(&mut redact));
        } else {
            decoder.decoder.decode(&mut scratch, &origin, payload, &mut process);
        }
        let encoded = process.finish();
        assert!(encoded.undeliverable.is_empty(), "{:?}", encoded.undeliverable);
        for block in encoded.segments.iter().flat_map(|segment| &segment.blocks) {
            let ack = AckGuard::open(Arc::new(Nobody), 0);
            packer.push(block, &origin, ack, Instant::now(), &mut drop);
        }
        packer.close(&mut drop);
    };
    // What is kept from chunk to chunk is made first.
    (0..3).for_each(|_| work());
    allocation_counter::measure(|| (0..CHUNKS).for_each(|_| work())).count_total
}

#[tokio::test]
async fn no_event_is_allocated_for() {
    let check = |what: &str, source: &str, rest: &str, payload: fn(usize) -> Vec<u8>| {
        let count = |events| allocations(source, rest, &Bytes::from(payload(events)));
        let (few, many) = (count(FEW), count(FEW * 10));
        assert!(few > 0, "{what}: nothing is counted");
        assert!(
            many <= few + MORE_A_CHUNK * CHUNKS,
            "{what}: {few} allocations for {CHUNKS} chunks of {FEW} events, {many} for ten times as many events",
        );
    };
    let (message, json) = ("encoding = 'message'", "encoding = 'json'");
    check("lines to messages", "", message, lines);
    check("lines to json", "", json, lines);
    check("lines with `\\r\\n` to json", "", json, crlf);
    let filtered = "encoding = 'json'\n[[routes]]\nwhen = { message = 'quoted' }\nto = ['out']";
    check("lines with a route on the message", "", filtered, lines);
    check("joined lines to json", "multiline = { start = '^r' }", json, lines);
    check("docker's lines to json", "format = 'docker'", json, docker);
    check("cri's lines to json", "format = 'cri'", json, cri);
    for (what, rest) in [("messages", message), ("json", json), ("envelopes", "encoding = 'envelope'")] {
        check(&format!("envelopes to {what}"), "format = 'envelope'", rest, envelope);
    }
    let filtered = "encoding = 'message'\n[[routes]]\nwhen = { message = 'quoted' }\nto = ['out']";
    check("envelopes with a route on the message", "format = 'envelope'", filtered, envelope);
    check("CloudTrail's records to json", "format = 'cloudtrail'", json, cloudtrail);
    check("lines with ids to json", "", "encoding = 'json'\nid = true", lines);
    check("messages that are objects to json", "parse = 'json'", json, docker);
    check("logfmt to json", "parse = 'logfmt'", json, logfmt);
    let fields = "fields = { team = 'orders', where = '{source}@{host}' }";
    check("lines with fields to json", fields, json, lines);
    let redact = "redact = { named = ['email', 'ipv4'], patterns = [{ name = 'r', regex = 'r[0-9]+' }] }";
    check("redacted lines to json", redact, json, lines);
    check("redacted lines with ids to json", redact, "encoding = 'json'\nid = true", lines);
    check("redacted envelopes to json", &format!("format = 'envelope'\n{redact}"), json, envelope);
}

fn repeated(events: usize, write: impl Fn(&mut String, usize)) -> String {
    let mut text = String::new();
    (0..events).for_each(|number| write(&mut text, number));
    text
}

fn logfmt(events: usize) -> Vec<u8> {
    repeated(events, |text, at| writeln!(text, "level=info msg=\"a line\" n={at}").unwrap()).into()
}

fn lines(events: usize) -> Vec<u8> {
    repeated(events, |text, at| writeln!(text, "r{at} a \"quoted\"\tline of a log, é").unwrap()).into()
}

fn crlf(events: usize) -> Vec<u8> {
    repeated(events, |text, at| write!(text, "r{at} a \"quoted\" line\r\n").unwrap()).into()
}

fn docker(events: usize) -> Vec<u8> {
    let line = |text: &mut String, at| {
        let time = "2026-11-22T01:02:03.000000004Z";
        writeln!(text, r#"{{"log":"r{at} a \"quoted\" line\n","stream":"stdout","time":"{time}"}}"#).unwrap();
    };
    repeated(events, line).into()
}

fn cri(events: usize) -> Vec<u8> {
    let line = |text: &mut String, at| {
        writeln!(text, "2026-11-22T01:02:03.000000004Z stdout F r{at} a \"quoted\" line").unwrap();
    };
    repeated(events, line).into()
}

fn envelope(events: usize) -> Vec<u8> {
    let event = |text: &mut String, at| {
        let comma = if at == 0 { "" } else { "," };
        write!(
            text,
            r#"{comma}{{"id":"{at}","timestamp":17637732000{at:02},"message":"a \"quoted\" \u00e9"}}"#
        )
        .unwrap();
    };
    let head = r#"{"messageType":"DATA_MESSAGE","owner":"111111111111","logGroup":"g","logStream":"s","#;
    let json = format!(r#"{head}"logEvents":[{}]}}"#, repeated(events, event));
    gzip(json.as_bytes())
}

fn cloudtrail(events: usize) -> Vec<u8> {
    let event = |text: &mut String, at| {
        let comma = if at == 0 { "" } else { "," };
        write!(text, r#"{comma}{{"eventID":"{at}","eventTime":"2026-11-22T01:02:03Z","recipientAccountId":"111111111111"}}"#)
            .unwrap();
    };
    gzip(format!(r#"{{"Records":[{}]}}"#, repeated(events, event)).as_bytes())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut compressor = libdeflater::Compressor::default();
    let mut out = vec![0; compressor.gzip_compress_bound(bytes.len())];
    let len = compressor.gzip_compress(bytes, &mut out).unwrap();
    out.truncate(len);
    out
}
