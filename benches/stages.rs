//! What the stages of decoding and writing cost, in bytes of messages a second, beside inflating the same envelope.
//!
//! `cargo bench --bench stages` runs all of them, `cargo bench --bench stages -- envelope` those with that in their name. Each
//! row is one kind of message: `plain` has nothing to escape, `access` a few quotes, `json` a quote every few bytes, `accents`
//! characters beyond ASCII.

#![expect(clippy::unwrap_used, reason = "a tool")]

#[path = "instructions/src/workload.rs"]
mod workload;
#[path = "instructions/src/writer.rs"]
mod writer;

use aws_lc_rs::digest::{SHA256, digest};
use divan::Bencher;
use divan::counter::BytesCount;
use libdeflater::{CompressionLvl, Compressor, Decompressor};
use standpipe::config::{Encoding, Format};
use standpipe::event::Events;
use standpipe_simd::{EightLanes, SixteenLanes};

use self::workload::{Counter, Finish, Stage, envelope, lines, messages, trail};
use self::writer::Writer;

fn main() {
    divan::main();
}

const KINDS: [&str; 4] = ["plain", "access", "json", "accents"];

#[divan::bench(args = KINDS)]
fn inflate(bencher: Bencher<'_, '_>, kind: &str) {
    let messages = messages(kind);
    let text = envelope(&messages);
    let gz = gzip(text.as_bytes());
    let mut out = vec![0; text.len()];
    let mut inflater = Decompressor::new();
    bencher.counter(size(&messages)).bench_local(|| inflater.gzip_decompress(&gz, &mut out).unwrap());
}

#[divan::bench(args = KINDS)]
fn envelope_scan(bencher: Bencher<'_, '_>, kind: &str) {
    let messages = messages(kind);
    decode(bencher, &messages, Format::Envelope, envelope(&messages), Counter::default());
}

#[divan::bench(args = KINDS)]
fn envelope_to_json(bencher: Bencher<'_, '_>, kind: &str) {
    let messages = messages(kind);
    decode(bencher, &messages, Format::Envelope, envelope(&messages), Writer::new(Encoding::Json, false));
}

#[divan::bench(args = KINDS)]
fn envelope_to_message(bencher: Bencher<'_, '_>, kind: &str) {
    let messages = messages(kind);
    decode(bencher, &messages, Format::Envelope, envelope(&messages), Writer::new(Encoding::Message, false));
}

#[divan::bench(args = KINDS)]
fn lines_to_json(bencher: Bencher<'_, '_>, kind: &str) {
    let messages = messages(kind);
    decode(bencher, &messages, Format::Lines, lines(&messages), Writer::new(Encoding::Json, false));
}

#[divan::bench(args = KINDS)]
fn lines_to_message(bencher: Bencher<'_, '_>, kind: &str) {
    let messages = messages(kind);
    decode(bencher, &messages, Format::Lines, lines(&messages), Writer::new(Encoding::Message, false));
}

#[divan::bench]
fn cloudtrail_to_json(bencher: Bencher<'_, '_>) {
    let (records, file) = trail();
    decode(bencher, &records, Format::Cloudtrail, file, Writer::new(Encoding::Json, false));
}

/// SHA-256 of bodies of 256 KiB: one by one with what the CPU has for it, and as many side by side as it has lanes for.
#[divan::bench(args = [1, 8, 16])]
fn sha256(bencher: Bencher<'_, '_>, lanes: usize) {
    let body = vec![b'x'; 256 << 10];
    let bencher = bencher.counter(BytesCount::new(lanes * body.len()));
    match lanes {
        8 => {
            let Some(eight) = EightLanes::detect() else { return };
            bencher.bench_local(|| eight.digests([&body; 8]));
        }
        16 => {
            let Some(sixteen) = SixteenLanes::detect() else { return };
            bencher.bench_local(|| sixteen.digests([&body; 16]));
        }
        _ => bencher.bench_local(|| digest(&SHA256, &body)),
    }
}

/// Decodes `payload` again and again, telling `events`.
fn decode<E: Events + Finish>(
    bencher: Bencher<'_, '_>,
    messages: &[String],
    format: Format,
    payload: String,
    mut events: E,
) {
    let mut stage = Stage::new(format, payload);
    bencher.counter(size(messages)).bench_local(|| {
        stage.run(&mut events);
        events.finish()
    });
}

fn size(messages: &[String]) -> BytesCount {
    BytesCount::new(messages.iter().map(String::len).sum::<usize>())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut compressor = Compressor::new(CompressionLvl::default());
    let mut out = vec![0; compressor.gzip_compress_bound(bytes.len())];
    let len = compressor.gzip_compress(bytes, &mut out).unwrap();
    out.truncate(len);
    out
}
