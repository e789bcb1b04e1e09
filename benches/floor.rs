//! The floor: what the protocol itself demands of each byte, on this machine, in CPU seconds per GB of lines.
//!
//! Plain records: base64, SHA-256 of the base64 for the signature, AES-256-GCM of it in TLS-sized pieces. For payloads that come
//! gzipped: inflating them. The kernel's part (reading, sending) is not in it. `cargo bench --bench floor`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a tool that prints"
)]

use std::hint::black_box;
use std::time::Instant;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use base64_simd::STANDARD;
use libdeflater::{CompressionLvl, Compressor, Decompressor};

/// What a request carries.
const PAYLOAD: usize = 4_000_000;

/// The largest piece that TLS encrypts at once.
const TLS_RECORD: usize = 16 * 1024;

const RUNS: usize = 20;

fn main() {
    let lines = lines();
    let encoded = STANDARD.encode_to_string(&lines);
    let body = encoded.as_bytes();
    let mut out = Vec::with_capacity(encoded.len());
    let base64 = measure(|| {
        out.clear();
        STANDARD.encode_append(&lines, &mut out);
    });
    let sha256 = measure(|| {
        black_box(digest(&SHA256, body));
    });
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; 32]).unwrap());
    let mut sealed = body.to_vec();
    let aes = measure(|| {
        for piece in sealed.chunks_mut(TLS_RECORD) {
            let nonce = Nonce::assume_unique_for_key([1; 12]);
            drop(black_box(key.seal_in_place_separate_tag(nonce, Aad::empty(), piece).unwrap()));
        }
    });
    let newlines = measure(|| {
        black_box(memchr::memchr_iter(b'\n', &lines).count());
    });
    print("base64", base64);
    print("SHA-256 of the base64", sha256);
    print("AES-256-GCM of the base64", aes);
    print("floor of plain records", base64 + sha256 + aes);
    print("(counting newlines)", newlines);
    for level in [1, 6] {
        let gzipped = gzip(&lines, level);
        let deflate = measure(|| {
            black_box(gzip(&lines, level));
        });
        let inflate = measure(|| {
            let mut inflated = vec![0; lines.len()];
            Decompressor::new().gzip_decompress(&gzipped, &mut inflated).unwrap();
            black_box(inflated);
        });
        let ratio = lines.len() as f64 / gzipped.len() as f64;
        print(&format!("deflate, level {level} ({ratio:.1} times smaller)"), deflate);
        print(&format!("inflate of that (level {level})"), inflate);
    }
}

/// The least of several runs, in seconds per GB of payload.
fn measure(mut work: impl FnMut()) -> f64 {
    let run = |_| {
        let before = Instant::now();
        work();
        before.elapsed().as_secs_f64()
    };
    let least = (0..RUNS).map(run).fold(f64::INFINITY, f64::min);
    least / (PAYLOAD as f64 / 1e9)
}

fn print(what: &str, seconds: f64) {
    println!("{what:44} {seconds:6.3} s/GB");
}

fn gzip(bytes: &[u8], level: i32) -> Vec<u8> {
    let mut compressor = Compressor::new(CompressionLvl::new(level).unwrap());
    let mut out = vec![0; compressor.gzip_compress_bound(bytes.len())];
    let len = compressor.gzip_compress(bytes, &mut out).unwrap();
    out.truncate(len);
    out
}

/// Lines like an access log's, of about 250 bytes.
fn lines() -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(1);
    let mut text = Vec::with_capacity(PAYLOAD + 512);
    while text.len() < PAYLOAD {
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
    text.truncate(PAYLOAD);
    text
}
