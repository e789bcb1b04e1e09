//! Records as gzip members or Zstandard frames.

use std::cell::RefCell;

use bytes::Bytes;
use libdeflater::{CompressionLvl, Compressor};
use zstd::zstd_safe;

use crate::config::Compression;

/// What a thread needs to compress records of up to about a megabyte, kept from one to the next: three times that, which the kernel
/// would otherwise map, zero and unmap for each record.
struct CompressionScratch {
    compression: Compression,
    compressor: RecordCompressor,
    joined: Vec<u8>,
    out: Vec<u8>,
}

enum RecordCompressor {
    Gzip(Compressor),
    Zstd(zstd::bulk::Compressor<'static>),
}

thread_local! {
    static SCRATCH: RefCell<Option<CompressionScratch>> = const { RefCell::new(None) };
}

/// Compresses the pieces of a record into one gzip member, or one frame of Zstandard.
///
/// `None` would be a fault of the library, which is given the room that it asks for; or nothing is to be compressed.
pub(super) fn compressed(parts: &[Bytes], compression: Compression) -> Option<Bytes> {
    SCRATCH.with_borrow_mut(|scratch| match scratch {
        Some(scratch) if scratch.compression == compression => scratch.compressed(parts),
        _ => scratch.insert(CompressionScratch::new(compression)?).compressed(parts),
    })
}

impl CompressionScratch {
    fn new(compression: Compression) -> Option<Self> {
        let compressor = match compression {
            Compression::None => return None,
            Compression::Gzip(level) => {
                let known = CompressionLvl::new(i32::from(level)).unwrap_or_default();
                RecordCompressor::Gzip(Compressor::new(known))
            }
            Compression::Zstd(level) => {
                RecordCompressor::Zstd(zstd::bulk::Compressor::new(i32::from(level)).ok()?)
            }
        };
        Some(Self { compression, compressor, joined: Vec::new(), out: Vec::new() })
    }

    fn compressed(&mut self, parts: &[Bytes]) -> Option<Bytes> {
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
        let bound = match &mut self.compressor {
            RecordCompressor::Gzip(gzip) => gzip.gzip_compress_bound(input.len()),
            RecordCompressor::Zstd(_) => zstd_safe::compress_bound(input.len()),
        };
        if self.out.len() < bound {
            self.out.resize(bound, 0);
        }
        let out = self.out.as_mut_slice();
        let len = match &mut self.compressor {
            RecordCompressor::Gzip(gzip) => gzip.gzip_compress(input, out).ok()?,
            RecordCompressor::Zstd(zstd) => zstd.compress_to_buffer(input, out).ok()?,
        };
        self.out.get(..len).map(Bytes::copy_from_slice)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(parts: &[&[u8]]) {
        let parts: Vec<Bytes> = parts.iter().map(|part| Bytes::copy_from_slice(part)).collect();
        for level in [1, 6, 12] {
            let mut read = Vec::new();
            let member = compressed(&parts, Compression::Gzip(level)).unwrap();
            flate2::read::GzDecoder::new(&*member).read_to_end(&mut read).unwrap();
            assert_eq!(read, parts.concat());
        }
        for level in [1, 3, 6] {
            let frame = compressed(&parts, Compression::Zstd(level)).unwrap();
            // By what others wrote, as whoever reads it does.
            let mut read = Vec::new();
            ruzstd::decoding::StreamingDecoder::new(&*frame).unwrap().read_to_end(&mut read).unwrap();
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

    proptest! {
        #[test]
        fn any_record_reads_back_as_it_was(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..2_000), 1..4)) {
            let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            check(&parts);
        }
    }

    #[test]
    fn what_is_not_to_be_compressed_has_no_compressor() {
        assert!(compressed(&[Bytes::new()], Compression::None).is_none());
    }
}
