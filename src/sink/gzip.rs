//! Records as gzip members.

use std::cell::RefCell;

use bytes::Bytes;
use libdeflater::{CompressionLvl, Compressor};

/// What a thread needs to compress records of up to about a megabyte, kept from one to the next: three times that, which the kernel
/// would otherwise map, zero and unmap for each record.
struct GzipScratch {
    level: u8,
    compressor: Compressor,
    joined: Vec<u8>,
    out: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Option<GzipScratch>> = const { RefCell::new(None) };
}

/// Compresses the pieces of a record into one gzip member. Level 1 to 12, as libdeflate counts them.
///
/// `None` would be a fault of the library: it is given the room that it asks for.
pub(super) fn member(parts: &[Bytes], level: u8) -> Option<Bytes> {
    SCRATCH.with_borrow_mut(|scratch| match scratch {
        Some(scratch) if scratch.level == level => scratch.member(parts),
        _ => scratch.insert(GzipScratch::new(level)).member(parts),
    })
}

impl GzipScratch {
    fn new(level: u8) -> Self {
        let known = CompressionLvl::new(i32::from(level)).unwrap_or_default();
        Self { level, compressor: Compressor::new(known), joined: Vec::new(), out: Vec::new() }
    }

    fn member(&mut self, parts: &[Bytes]) -> Option<Bytes> {
        let input: &[u8] = match parts {
            [one] => one,
            many => {
                self.joined.clear();
                for part in many {
                    self.joined.extend_from_slice(part);
                }
                &self.joined
            }
        };
        let bound = self.compressor.gzip_compress_bound(input.len());
        if self.out.len() < bound {
            self.out.resize(bound, 0);
        }
        let len = self.compressor.gzip_compress(input, &mut self.out).ok()?;
        self.out.get(..len).map(Bytes::copy_from_slice)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[track_caller]
    fn check(parts: &[&[u8]]) {
        let parts: Vec<Bytes> = parts.iter().map(|part| Bytes::copy_from_slice(part)).collect();
        for level in [1, 6, 12] {
            let mut read = Vec::new();
            flate2::read::GzDecoder::new(&*member(&parts, level).unwrap()).read_to_end(&mut read).unwrap();
            assert_eq!(read, parts.concat());
        }
    }

    #[test]
    fn a_record_reads_back_as_it_was() {
        check(&[b""]);
        check(&[b"one\n"]);
        check(&[b"one\n", b"two\n", &vec![7; 100_000]]);
        check(&[b"less than the one before"]);
    }
}
