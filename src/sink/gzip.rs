//! Records as gzip members.

use bytes::Bytes;
use libdeflater::{CompressionLvl, Compressor};

/// Compresses the pieces of a record into one gzip member. Level 1 to 12, as libdeflate counts them.
///
/// `None` would be a fault of the library: it is given the room that it asks for.
pub(super) fn member(parts: &[Bytes], level: u8) -> Option<Bytes> {
    let level = CompressionLvl::new(i32::from(level)).unwrap_or_default();
    let mut compressor = Compressor::new(level);
    let joined;
    let input: &[u8] = match parts {
        [one] => one,
        many => {
            joined = many.concat();
            &joined
        }
    };
    let mut out = vec![0; compressor.gzip_compress_bound(input.len())];
    let len = compressor.gzip_compress(input, &mut out).ok()?;
    out.truncate(len);
    out.shrink_to_fit();
    Some(out.into())
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
    }
}
