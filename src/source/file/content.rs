//! A file's bytes at any offset; the plain text of gzipped ones.

use std::fs::{File, Metadata};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::sync::Arc;

use flate2::bufread::GzDecoder;

use crate::source::file::position::Fingerprint;

/// An open file.
pub(super) enum FileContent {
    Plain(File),
    Gzip(Box<GzipText>),
}

/// A gzipped file, decompressed from front to back.
pub(super) struct GzipText {
    file: Arc<File>,
    text: GzipMembers,
    /// The text at hand.
    window: Vec<u8>,
    /// Where it begins in the whole text.
    start: u64,
    ended: bool,
    /// The file is torn or corrupt: what could be decompressed is all there is, for now.
    broken: bool,
}

/// The text of gzip's members, one after the other. Zeros that pad the last one are no member, as for `gzip` itself.
struct GzipMembers(Option<GzDecoder<BufReader<Arc<File>>>>);

impl GzipMembers {
    fn new(file: Arc<File>) -> Self {
        Self(Some(GzDecoder::new(BufReader::with_capacity(32 * 1024, file))))
    }
}

impl Read for GzipMembers {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.0 {
            let read = member.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let rest = self.0.take().map(GzDecoder::into_inner);
            self.0 = rest.map(next_member).transpose()?.flatten();
        }
        Ok(0)
    }
}

/// What follows a member and the zeros behind it.
fn next_member(mut rest: BufReader<Arc<File>>) -> io::Result<Option<GzDecoder<BufReader<Arc<File>>>>> {
    let mut padding = 0;
    while padding < MOST_PADDING {
        let bytes = rest.fill_buf()?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let is_over = zeros < bytes.len();
        rest.consume(zeros);
        if is_over {
            break;
        }
        padding = padding.saturating_add(zeros);
    }
    Ok(Some(GzDecoder::new(rest)))
}

impl FileContent {
    /// Takes an open file; it is read as gzip where that is asked for and its first bytes say so.
    pub(super) fn new(file: File, may_be_gzip: bool) -> io::Result<Self> {
        if may_be_gzip && read_at(&file, Vec::new(), 0, MAGIC.len())? == MAGIC {
            let (file, text) = GzipText::rewound(file)?;
            return Ok(Self::Gzip(Box::new(GzipText {
                file,
                text,
                window: Vec::new(),
                start: 0,
                ended: false,
                broken: false,
            })));
        }
        Ok(Self::Plain(file))
    }

    /// The same file, read as gzip if its first bytes say so.
    pub(super) fn as_gzip(&self) -> io::Result<Option<Self>> {
        let Self::Plain(file) = self else { return Ok(None) };
        let content = Self::new(file.try_clone()?, true)?;
        Ok(content.is_gzip().then_some(content))
    }

    pub(super) fn metadata(&self) -> io::Result<Metadata> {
        match self {
            Self::Plain(file) => file.metadata(),
            Self::Gzip(gzip) => gzip.file.metadata(),
        }
    }

    pub(super) const fn is_gzip(&self) -> bool {
        matches!(self, Self::Gzip(_))
    }

    /// Whether decompression came upon something that is not gzip, or upon a sudden end.
    pub(super) fn is_broken(&self) -> bool {
        matches!(self, Self::Gzip(gzip) if gzip.broken)
    }

    /// Reads up to `len` bytes from `offset`; fewer only at the end.
    pub(super) fn read_at(&mut self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.read_into(Vec::new(), offset, len)
    }

    /// The same into the memory of `buffer`, as far as that goes.
    pub(super) fn read_into(&mut self, buffer: Vec<u8>, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        match self {
            Self::Plain(file) => read_at(file, buffer, offset, len),
            Self::Gzip(gzip) => gzip.read_at(offset, len),
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
            Self::Gzip(gzip) => gzip.approach(offset),
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
            Self::Gzip(gzip) => {
                while !gzip.approach(u64::MAX)? {}
                Ok(gzip.start.saturating_add(gzip.window.len() as u64))
            }
        }
    }
}

impl GzipText {
    fn rewound(file: File) -> io::Result<(Arc<File>, GzipMembers)> {
        let file = Arc::new(file);
        let text = Self::from_front(&file)?;
        Ok((file, text))
    }

    fn from_front(file: &Arc<File>) -> io::Result<GzipMembers> {
        let mut source = Arc::clone(file);
        source.seek(SeekFrom::Start(0))?;
        Ok(GzipMembers::new(source))
    }

    fn read_at(&mut self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        if offset < self.start {
            self.text = Self::from_front(&self.file)?;
            (self.start, self.ended, self.broken) = (0, false, false);
            self.window.clear();
        }
        while !self.approach(offset)? {}
        let skipped = usize::try_from(offset.saturating_sub(self.start)).unwrap_or(usize::MAX);
        self.window.drain(..skipped.min(self.window.len()));
        self.start = self.start.saturating_add(skipped as u64);
        self.fill(len)?;
        Ok(self.window.get(..len).unwrap_or(&self.window).to_vec())
    }

    fn approach(&mut self, offset: u64) -> io::Result<bool> {
        for _ in 0..STEPS {
            let end = self.start.saturating_add(self.window.len() as u64);
            if offset <= end || self.ended {
                return Ok(true);
            }
            self.start = end;
            self.window.clear();
            let step = usize::try_from(offset.saturating_sub(end)).unwrap_or(STEP).min(STEP);
            self.fill(step)?;
        }
        Ok(false)
    }

    /// Decompresses until `len` bytes are at hand.
    fn fill(&mut self, len: usize) -> io::Result<()> {
        let missing = len.saturating_sub(self.window.len());
        if missing == 0 || self.ended {
            return Ok(());
        }
        match (&mut self.text).take(missing as u64).read_to_end(&mut self.window) {
            Ok(read) => self.ended = read < missing,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData
                ) =>
            {
                (self.ended, self.broken) = (true, true);
            }
            Err(error) => return Err(error),
        }
        Ok(())
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
    let mut bytes = content.read_at(0, Fingerprint::MOST)?;
    if bytes.last() == Some(&0) && content.next_data(bytes.len() as u64)? == NextData::Nowhere {
        bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last.saturating_add(1)));
    }
    Ok(bytes)
}

/// How else than by gzip a file is compressed that begins so.
pub(super) fn other_compression(first: &[u8]) -> Option<&'static str> {
    let begins = |magic: &[u8]| first.starts_with(magic);
    let is_bzip2 =
        begins(b"BZh") && first.get(4..10).is_some_and(|block| block == BZIP2_BLOCK || block == BZIP2_END);
    match first {
        _ if is_bzip2 => Some("bzip2"),
        _ if begins(b"\xFD7zXZ\0") => Some("xz"),
        _ if begins(&[0x28, 0xB5, 0x2F, 0xFD]) => Some("zstd"),
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

pub(super) const MAGIC: [u8; 2] = [0x1F, 0x8B];

/// Decompressed at once while looking for an offset.
const STEP: usize = 256 * 1024;

/// No tape or disk pads a file with more zeros. What follows more of them is taken for damage.
const MOST_PADDING: usize = 16 << 20;

/// As much is looked through for something else than NULs in one turn.
const LOOK_FOR_DATA: u64 = 64 << 20;

/// Steps in one turn, so that other files get theirs.
const STEPS: usize = 16;

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn open(bytes: &[u8]) -> FileContent {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        FileContent::new(file, true).unwrap()
    }

    #[test]
    fn text_is_read_at_any_offset_whether_gzipped_or_not() {
        let text: Vec<u8> = (0..2_000_000_u32).flat_map(|n| (n % 251).to_le_bytes()).collect();
        let (front, back) = text.split_at(3_000_000);
        for bytes in [text.clone(), gzip(&text), [gzip(front), gzip(back)].concat()] {
            let mut content = open(&bytes);
            for (offset, len) in [
                (0, 10),
                (5, 100_000),
                (7_999_990, 100),
                (1, 3),
                (2_999_000, 2_000),
                (8_000_000, 5),
                (9_000_000, 5),
            ] {
                let from = offset.min(text.len());
                let expected = &text[from..text.len().min(from + len)];
                assert_eq!(content.read_at(offset as u64, len).unwrap(), expected, "{len} at {offset}");
            }
        }
    }

    #[test]
    fn a_compression_is_told_by_the_first_bytes() {
        #[track_caller]
        fn check(first: &[u8], expected: Option<&str>) {
            assert_eq!(other_compression(first), expected);
        }
        check(b"BZh91AY&SY\x01", Some("bzip2"));
        check(b"BZh9\x17rE8P\x90\0", Some("bzip2"));
        check(b"\xFD7zXZ\0\0\x04", Some("xz"));
        check(b"\x28\xB5\x2F\xFD\x04", Some("zstd"));
        check(b"\x04\x22\x4D\x18d", Some("lz4"));
        check(b"\x1F\x9D\x90", Some("compress"));
        check(b"PK\x03\x04\x14", Some("zip"));
        check(b"7z\xBC\xAF\x27\x1C\0\x04", Some("7z"));
        check(b"LZIP\x01\x0C", Some("lzip"));
        check(b"\x89LZO\0\r\n\x1A\n\x10", Some("lzop"));
        check(b"\xFF\x06\0\0sNaPpY\0", Some("snappy"));
        for text in [b"BZh9 is a line\n".as_slice(), b"PK\n", b"7z a file\n", b"LZIP\n", b"", b"\x1F\x8B\x08"]
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

    #[test]
    fn a_torn_gzip_file_gives_what_is_whole_and_says_that_it_is_torn() {
        let text = vec![7; 100_000];
        let whole = gzip(&text);
        let mut content = open(&whole[..whole.len() / 2]);
        let read = content.read_at(0, 200_000).unwrap();
        assert!(text.starts_with(&read));
        assert!(content.is_broken());
        let mut content = open(&whole);
        assert_eq!(content.read_at(0, 200_000).unwrap(), text);
        assert!(!content.is_broken());
    }

    #[test]
    fn zeros_behind_a_gzip_file_are_no_damage_and_anything_else_is() {
        let text = vec![7; 100_000];
        for (behind, is_broken) in
            [(vec![0; 1], false), (vec![0; 100_000], false), (b"x".to_vec(), true), (vec![0, 0, 1], true)]
        {
            let mut content = open(&[gzip(&text), behind].concat());
            assert_eq!(content.read_at(0, 200_000).unwrap(), text);
            assert_eq!(content.is_broken(), is_broken);
        }
        let mut content = open(&[gzip(b"a"), vec![0; 600], gzip(b"b")].concat());
        assert_eq!(content.read_at(0, 10).unwrap(), b"ab");
        assert!(!content.is_broken());
    }
}
