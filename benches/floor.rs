//! The floor: what the protocol itself demands of each byte, on this machine, in CPU seconds per GB.
//!
//! Plain records: base64, SHA-256 of the base64 for the signature, AES-256-GCM of it in TLS-sized pieces. For payloads that come
//! gzipped: decoding their base64 and inflating them. The kernel's part (reading, sending) is not in it.
//!
//! All lines go through each part one request's worth after the other, as they do in the daemon: 4 MB again and again would be
//! in the cache already.
//!
//! `cargo bench --bench floor -- [--json] [--lines FILE]`; without a file, lines like an access log's.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a tool that prints"
)]

use std::fs::File;
use std::hint::black_box;
use std::io::Read;
use std::path::PathBuf;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use base64_simd::STANDARD;
use clap::Parser;
use libdeflater::{CompressionLvl, Compressor, Decompressor};
use rustix::time::{ClockId, clock_gettime};

/// Measures the floor.
#[derive(Parser)]
struct Arguments {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// The lines to measure with; the first 128 MB are used.
    #[arg(long)]
    lines: Option<PathBuf>,
    /// What cargo gives every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What a request carries.
const PAYLOAD: usize = 4_000_000;

/// What a record carries: it is compressed by itself.
const RECORD: usize = 998_400;

/// The largest piece that TLS encrypts at once.
const TLS_RECORD: usize = 16 * 1024;

/// So much of the lines is used.
const LINES: usize = 32 * PAYLOAD;

/// Compressing and inflating look at so much, which is enough of what takes so long.
const FEWER: usize = 4 * PAYLOAD;

const RUNS: usize = 5;

/// A part's name, and what it costs in seconds per GB.
type Part = (&'static str, f64);

fn main() {
    let arguments = Arguments::parse();
    let lines = arguments.lines.map_or_else(access_log, read);
    let mut parts = records(&lines);
    let fewer = lines.get(..FEWER).unwrap_or(&lines);
    parts.extend(gzipped_records(fewer));
    parts.extend(envelopes(fewer));
    if arguments.json {
        let text: Vec<String> = parts.iter().map(|(name, cost)| format!("\"{name}\": {cost:.4}")).collect();
        println!("{{{}}}", text.join(", "));
    } else {
        for (name, cost) in parts {
            println!("{name:44} {cost:6.3} s/GB");
        }
    }
}

/// Plain records, for each GB of them.
fn records(lines: &[u8]) -> Vec<Part> {
    let bodies: Vec<String> = lines.chunks(PAYLOAD).map(|lines| STANDARD.encode_to_string(lines)).collect();
    let mut out = Vec::with_capacity(PAYLOAD * 2);
    let base64 = measure(lines.len(), || {
        for payload in lines.chunks(PAYLOAD) {
            out.clear();
            STANDARD.encode_append(payload, &mut out);
        }
    });
    let sha256 = measure(lines.len(), || {
        for body in &bodies {
            black_box(digest(&SHA256, body.as_bytes()));
        }
    });
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; 32]).unwrap());
    let mut bodies: Vec<Vec<u8>> = bodies.into_iter().map(String::into_bytes).collect();
    let aes = measure(lines.len(), || {
        for piece in bodies.iter_mut().flat_map(|body| body.chunks_mut(TLS_RECORD)) {
            let nonce = Nonce::assume_unique_for_key([1; 12]);
            drop(black_box(key.seal_in_place_separate_tag(nonce, Aad::empty(), piece).unwrap()));
        }
    });
    let newlines = measure(lines.len(), || {
        black_box(memchr::memchr_iter(b'\n', lines).count());
    });
    vec![
        ("base64", base64),
        ("SHA-256 of the base64", sha256),
        ("AES-256-GCM of the base64", aes),
        ("records", base64 + sha256 + aes),
        ("(counting newlines)", newlines),
    ]
}

/// Records that are compressed, for each GB before compression.
fn gzipped_records(lines: &[u8]) -> Vec<Part> {
    let records: Vec<&[u8]> = lines.chunks(RECORD).collect();
    let deflate = |level: i32| {
        let mut compressor = Compressor::new(CompressionLvl::new(level).unwrap());
        let mut out = vec![0; compressor.gzip_compress_bound(RECORD)];
        measure_each(&records, lines.len(), |record| {
            black_box(compressor.gzip_compress(record, &mut out).unwrap());
        })
    };
    vec![("deflate, level 1", deflate(1)), ("deflate, level 6", deflate(6))]
}

/// Events that are inflated between two looks at the clock.
const INFLATED: usize = 1_000;

/// Envelopes as `CloudWatch` Logs sends them: base64 for each GB of gzip, inflating for each GB of JSON. Each envelope has tables of its
/// own, so that small ones cost more a byte.
fn envelopes(lines: &[u8]) -> Vec<Part> {
    let lines: Vec<&[u8]> = lines.split(|byte| *byte == b'\n').collect();
    let (inflate, gzipped) = inflated(&lines, INFLATED);
    let (inflate_small, _) = inflated(&lines, 10);
    let small = gzipped.concat();
    let encoded = STANDARD.encode_to_string(&small);
    let mut out = Vec::with_capacity(small.len());
    let decode = measure(small.len(), || {
        out.clear();
        STANDARD.decode_append(encoded.as_bytes(), &mut out).unwrap();
    });
    vec![("base64 decoding of gzip", decode), ("inflate", inflate), ("inflate, 10 events", inflate_small)]
}

/// What inflating envelopes of so many events costs, for each GB of JSON; and the envelopes.
fn inflated(lines: &[&[u8]], events: usize) -> (f64, Vec<Vec<u8>>) {
    let plain: Vec<Vec<u8>> = lines.chunks(events).map(envelope).collect();
    let size = plain.iter().map(Vec::len).sum();
    let gzipped: Vec<Vec<u8>> = plain.iter().map(|plain| gzip(plain)).collect();
    let mut room = vec![0; plain.iter().map(Vec::len).max().unwrap()];
    let mut decompressor = Decompressor::new();
    let groups: Vec<&[Vec<u8>]> = gzipped.chunks(INFLATED / events).collect();
    let cost = measure_each(&groups, size, |group| {
        for one in *group {
            decompressor.gzip_decompress(one, &mut room).unwrap();
        }
    });
    (cost, gzipped)
}

fn envelope(lines: &[&[u8]]) -> Vec<u8> {
    let event = |(at, line): (usize, &&[u8])| {
        let message = String::from_utf8_lossy(line);
        serde_json::json!({ "id": format!("{at:056}"), "timestamp": 1_763_773_200_000_u64, "message": message })
    };
    let events: Vec<_> = lines.iter().enumerate().map(event).collect();
    let envelope =
        serde_json::json!({ "messageType": "DATA_MESSAGE", "owner": "111111111111", "logEvents": events });
    envelope.to_string().into_bytes()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut compressor = Compressor::new(CompressionLvl::new(6).unwrap());
    let mut out = vec![0; compressor.gzip_compress_bound(bytes.len())];
    let len = compressor.gzip_compress(bytes, &mut out).unwrap();
    out.truncate(len);
    out
}

/// Seconds per GB.
fn measure(bytes: usize, work: impl FnMut()) -> f64 {
    least(work) / (bytes as f64 / 1e9)
}

/// The same for work that takes so long that it would be interrupted: piece by piece, for `bytes` in all.
fn measure_each<T>(pieces: &[T], bytes: usize, mut work: impl FnMut(&T)) -> f64 {
    let seconds: f64 = pieces.iter().map(|piece| least(|| work(piece))).sum();
    seconds / (bytes as f64 / 1e9)
}

/// The least of several runs, in seconds.
fn least(mut work: impl FnMut()) -> f64 {
    let run = |_| {
        let before = cpu_seconds();
        work();
        cpu_seconds() - before
    };
    (0..RUNS).map(run).fold(f64::INFINITY, f64::min)
}

/// What this thread has cost so far: others may want the core meanwhile.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn read(path: PathBuf) -> Vec<u8> {
    let mut lines = Vec::new();
    File::open(path).unwrap().take(LINES as u64).read_to_end(&mut lines).unwrap();
    lines
}

/// Lines like an access log's, of about 250 bytes.
fn access_log() -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(1);
    let mut text = Vec::with_capacity(LINES + 512);
    while text.len() < LINES {
        let line = format!(
            "2026-11-22T01:{:02}:{:02}.{:03}Z INFO request id={:016x}{:016x} client=10.{}.{}.{} method=GET path=/api/v1/orders/{} \
             status={} bytes={} duration_ms={} agent=\"Mozilla/5.0 (X11; Linux x86_64)\" trace={:032x}\n",
            random.u8(..60),
            random.u8(..60),
            random.u16(..1000),
            random.u64(..),
            random.u64(..),
            random.u8(..),
            random.u8(..),
            random.u8(..),
            random.u32(..1_000_000),
            random.choice([200, 200, 200, 304, 404, 500]).unwrap(),
            random.u32(..90_000),
            random.u16(..3000),
            random.u128(..),
        );
        text.extend_from_slice(line.as_bytes());
    }
    text.truncate(LINES);
    text
}
