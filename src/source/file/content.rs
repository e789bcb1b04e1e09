//! A file's bytes at any offset; the plain text of compressed ones.

use std::fs::{File, Metadata};
use std::io;

use super::compressed_text::{CompressedText, TextCompression};
use crate::source::file::position::Fingerprint;

/// An open file.
pub(super) enum FileContent {
    Plain(File),
    Compressed(Box<CompressedText>),
}

impl FileContent {
    /// Takes an open file; it is decompressed where that is asked for and its first bytes say how.
    pub(super) fn new(file: File, may_be_compressed: bool) -> io::Result<Self> {
        if may_be_compressed {
            let first = read_at(&file, Vec::new(), 0, TextCompression::TELLING)?;
            if let Some(compression) = TextCompression::told(&first) {
                return Ok(Self::Compressed(Box::new(CompressedText::new(file, compression))));
            }
        }
        Ok(Self::Plain(file))
    }

    /// The same file, decompressed if its first bytes say how.
    pub(super) fn as_compressed(&self) -> io::Result<Option<Self>> {
        let Self::Plain(file) = self else { return Ok(None) };
        let content = Self::new(file.try_clone()?, true)?;
        Ok(content.is_compressed().then_some(content))
    }

    pub(super) fn metadata(&self) -> io::Result<Metadata> {
        match self {
            Self::Plain(file) => file.metadata(),
            Self::Compressed(text) => text.metadata(),
        }
    }

    pub(super) const fn is_compressed(&self) -> bool {
        matches!(self, Self::Compressed(_))
    }

    /// The text of a compressed file.
    pub(super) fn compressed(&self) -> Option<&CompressedText> {
        match self {
            Self::Plain(_) => None,
            Self::Compressed(text) => Some(text),
        }
    }

    pub(super) fn compressed_mut(&mut self) -> Option<&mut CompressedText> {
        match self {
            Self::Plain(_) => None,
            Self::Compressed(text) => Some(text),
        }
    }

    /// Whether it could not be decompressed to its end.
    pub(super) fn is_broken(&self) -> bool {
        self.compressed().is_some_and(|text| text.broken().is_some())
    }

    /// Reads up to `len` bytes from `offset`; fewer only at the end.
    pub(super) fn read_at(&mut self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.read_into(Vec::new(), offset, len)
    }

    /// The same into the memory of `buffer`, as far as that goes.
    pub(super) fn read_into(&mut self, buffer: Vec<u8>, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        match self {
            Self::Plain(file) => read_at(file, buffer, offset, len),
            Self::Compressed(text) => text.read_at(offset, len),
        }
    }

    /// Reads at `offset` with one call, into the memory of `buffer`, as much as it holds or the file has.
    pub(super) fn quick_read(&self, mut buffer: Vec<u8>, offset: u64) -> io::Result<Vec<u8>> {
        buffer.clear();
        if let Self::Plain(file) = self {
            match rustix::io::pread(file, rustix::buffer::spare_capacity(&mut buffer), offset) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(buffer)
    }

    /// Decompresses towards `offset`, a bounded amount. Whether it, or the end, was reached.
    pub(super) fn approach(&mut self, offset: u64) -> io::Result<bool> {
        match self {
            Self::Plain(_) => Ok(true),
            Self::Compressed(text) => text.approach(offset),
        }
    }
}

/// Where a file holds something else than NULs again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NextData {
    At(u64),
    /// Not before this, as far as it was looked.
    Beyond(u64),
    Nowhere,
}

impl FileContent {
    /// Where a plain file holds something else than NULs from `from` on. Looks at a bounded amount, and not into holes.
    pub(super) fn next_data(&self, from: u64) -> io::Result<NextData> {
        let Self::Plain(file) = self else { return Ok(NextData::At(from)) };
        let mut at = from;
        while at.saturating_sub(from) < LOOK_FOR_DATA {
            at = match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(at)) {
                Ok(data) => data,
                Err(rustix::io::Errno::NXIO) => return Ok(NextData::Nowhere),
                // Its file system does not tell.
                Err(rustix::io::Errno::INVAL) => at,
                Err(error) => return Err(error.into()),
            };
            let bytes = read_at(file, Vec::new(), at, STEP)?;
            if let Some(first) = bytes.iter().position(|byte| *byte != 0) {
                return Ok(NextData::At(at.saturating_add(first as u64)));
            }
            if bytes.is_empty() {
                return Ok(NextData::Nowhere);
            }
            at = at.saturating_add(bytes.len() as u64);
        }
        Ok(NextData::Beyond(at))
    }

    /// Where the bytes end.
    pub(super) fn end(&mut self) -> io::Result<u64> {
        match self {
            Self::Plain(file) => Ok(file.metadata()?.len()),
            Self::Compressed(text) => {
                while !text.approach(u64::MAX)? {}
                Ok(text.end())
            }
        }
    }
}

fn read_at(file: &File, mut bytes: Vec<u8>, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    bytes.clear();
    bytes.reserve_exact(len);
    while bytes.len() < len {
        let at = offset.saturating_add(bytes.len() as u64);
        // Into memory that nobody wrote to before: zeroing it first would cost as much as finding the newlines.
        match rustix::io::pread(file, rustix::buffer::spare_capacity(&mut bytes), at) {
            Ok(0) => break,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    bytes.truncate(len);
    Ok(bytes)
}

/// The first bytes, as far as a fingerprint goes, without NULs that text may yet take the place of.
pub(super) fn first_bytes(content: &mut FileContent) -> io::Result<Vec<u8>> {
    let was_halfway = content.compressed().is_some_and(CompressedText::is_halfway);
    let mut bytes = content.read_at(0, Fingerprint::MOST)?;
    if let Some(text) = content.compressed_mut()
        && !was_halfway
        && text.is_halfway()
    {
        // Many are looked at before one of them is read.
        text.rewind();
    }
    if bytes.last() == Some(&0) && content.next_data(bytes.len() as u64)? == NextData::Nowhere {
        bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last.saturating_add(1)));
    }
    Ok(bytes)
}

/// How a file is compressed that begins so, if standpipe does not read that.
pub(super) fn other_compression(first: &[u8]) -> Option<&'static str> {
    let begins = |magic: &[u8]| first.starts_with(magic);
    let is_bzip2 =
        begins(b"BZh") && first.get(4..10).is_some_and(|block| block == BZIP2_BLOCK || block == BZIP2_END);
    match first {
        _ if is_bzip2 => Some("bzip2"),
        _ if begins(b"\xFD7zXZ\0") => Some("xz"),
        _ if begins(&[0x04, 0x22, 0x4D, 0x18]) => Some("lz4"),
        _ if begins(&[0x1F, 0x9D]) => Some("compress"),
        _ if begins(b"PK\x03\x04") || begins(b"PK\x05\x06") => Some("zip"),
        _ if begins(b"7z\xBC\xAF\x27\x1C") => Some("7z"),
        _ if begins(b"LZIP\x01") => Some("lzip"),
        _ if begins(b"\x89LZO\0\r\n\x1A\n") => Some("lzop"),
        _ if begins(b"\xFF\x06\0\0sNaPpY") => Some("snappy"),
        _ => None,
    }
}

/// What a block of bzip2, and its end, begin with: <https://en.wikipedia.org/wiki/Bzip2#File_format>.
const BZIP2_BLOCK: [u8; 6] = [0x31, 0x41, 0x59, 0x26, 0x53, 0x59];
const BZIP2_END: [u8; 6] = [0x17, 0x72, 0x45, 0x38, 0x50, 0x90];

/// Looked at in one step.
const STEP: usize = 256 * 1024;

/// As much is looked through for something else than NULs in one turn.
const LOOK_FOR_DATA: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use std::io::{Seek, SeekFrom, Write};

    use super::*;

    #[test]
    fn a_compression_is_told_by_the_first_bytes() {
        #[track_caller]
        fn check(first: &[u8], expected: Option<&str>) {
            assert_eq!(other_compression(first), expected);
        }
        check(b"BZh91AY&SY\x01", Some("bzip2"));
        check(b"BZh9\x17rE8P\x90\0", Some("bzip2"));
        check(b"\xFD7zXZ\0\0\x04", Some("xz"));
        check(b"\x04\x22\x4D\x18d", Some("lz4"));
        check(b"\x1F\x9D\x90", Some("compress"));
        check(b"PK\x03\x04\x14", Some("zip"));
        check(b"7z\xBC\xAF\x27\x1C\0\x04", Some("7z"));
        check(b"LZIP\x01\x0C", Some("lzip"));
        check(b"\x89LZO\0\r\n\x1A\n\x10", Some("lzop"));
        check(b"\xFF\x06\0\0sNaPpY\0", Some("snappy"));
        for text in [b"BZh9 is a line\n".as_slice(), b"PK\n", b"7z a file\n", b"LZIP\n", b""]
            .into_iter()
            .chain([&b"\x1F\x8B\x08"[..], b"\x28\xB5\x2F\xFD\x04"])
        {
            check(text, None);
        }
    }

    #[test]
    fn data_is_found_after_holes_and_written_nuls() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[0; 10_000]).unwrap();
        file.set_len(3 << 30).unwrap();
        let content = FileContent::Plain(file.try_clone().unwrap());
        assert_eq!(content.next_data(5).unwrap(), NextData::Nowhere);
        assert_eq!(content.next_data(4 << 30).unwrap(), NextData::Nowhere);
        file.seek(SeekFrom::Start((2 << 30) + 5)).unwrap();
        file.write_all(b"text").unwrap();
        let content = FileContent::Plain(file);
        let found = |from: u64| content.next_data(from).unwrap();
        assert_eq!(found(found_beyond(&content, 5)), NextData::At((2 << 30) + 5));
        assert_eq!(found((2 << 30) + 6), NextData::At((2 << 30) + 6));
        assert_eq!(found((2 << 30) + 9), NextData::Nowhere);
    }

    /// The place from which a last look finds what there is.
    fn found_beyond(content: &FileContent, from: u64) -> u64 {
        match content.next_data(from).unwrap() {
            NextData::Beyond(at) => found_beyond(content, at),
            NextData::At(_) | NextData::Nowhere => from,
        }
    }
}
