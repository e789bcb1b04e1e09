//! The plain text of a compressed file, decompressed from front to back.

use std::fs::{File, Metadata};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::sync::Arc;

use flate2::bufread::GzDecoder;

use crate::source::zstd::{self, ZstdFrames};

/// How a file is compressed, as far as standpipe reads it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum TextCompression {
    Gzip,
    Zstd,
}

impl TextCompression {
    /// So many of a file's first bytes tell.
    pub(super) const TELLING: usize = 4;

    /// How a file is compressed that begins so.
    pub(super) fn told(first: &[u8]) -> Option<Self> {
        if first.starts_with(&GZIP) {
            Some(Self::Gzip)
        } else if zstd::is_zstd(first) {
            Some(Self::Zstd)
        } else {
            None
        }
    }

    /// The metric's label.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// See the module.
pub(super) struct CompressedText {
    file: Arc<File>,
    compression: TextCompression,
    /// Halfway through the file; none: before its front, or behind its end.
    reader: Option<TextReader>,
    /// The text at hand.
    window: Vec<u8>,
    /// Where it begins in the whole text.
    start: u64,
    ended: bool,
    /// Why what could be decompressed is all there is, for now.
    broken: Option<String>,
}

enum TextReader {
    Gzip(Box<GzipMembers>),
    Zstd(Box<ZstdText>),
}

impl CompressedText {
    pub(super) fn new(file: File, compression: TextCompression) -> Self {
        Self {
            file: Arc::new(file),
            compression,
            reader: None,
            window: Vec::new(),
            start: 0,
            ended: false,
            broken: None,
        }
    }

    pub(super) fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    pub(super) const fn compression(&self) -> TextCompression {
        self.compression
    }

    /// Why it cannot be decompressed to its end, once it was tried.
    pub(super) fn broken(&self) -> Option<&str> {
        self.broken.as_deref()
    }

    /// Whether it was decompressed to somewhere between its front and its end.
    pub(super) const fn is_halfway(&self) -> bool {
        self.reader.is_some()
    }

    /// Memory that decompressing takes now, beside the text at hand.
    pub(super) fn memory(&self) -> usize {
        match &self.reader {
            Some(TextReader::Zstd(_)) => zstd::MOST_WINDOW,
            Some(TextReader::Gzip(_)) | None => 0,
        }
    }

    /// Gives back all memory. The next read decompresses from the front.
    pub(super) fn rewind(&mut self) {
        (self.reader, self.window) = (None, Vec::new());
        (self.start, self.ended, self.broken) = (0, false, None);
    }

    /// Gives back the text before `offset`, once it was read to its end.
    pub(super) fn rest(&mut self, offset: u64) {
        if self.ended {
            self.pass(offset);
            self.window.shrink_to_fit();
        }
    }

    /// Reads up to `len` bytes from `offset`; fewer only at the end.
    pub(super) fn read_at(&mut self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        if offset < self.start {
            self.rewind();
        }
        while !self.approach(offset)? {}
        self.pass(offset);
        self.fill(len)?;
        Ok(self.window.get(..len).unwrap_or(&self.window).to_vec())
    }

    /// Decompresses towards `offset`, a bounded amount. Whether it, or the end, was reached.
    pub(super) fn approach(&mut self, offset: u64) -> io::Result<bool> {
        for _ in 0..STEPS {
            let end = self.end();
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

    /// Where the text ends that is at hand.
    pub(super) const fn end(&self) -> u64 {
        self.start.saturating_add(self.window.len() as u64)
    }

    /// Leaves out the text before `offset`.
    fn pass(&mut self, offset: u64) {
        let before = usize::try_from(offset.saturating_sub(self.start)).unwrap_or(usize::MAX);
        let passed = before.min(self.window.len());
        self.window.drain(..passed);
        self.start = self.start.saturating_add(passed as u64);
    }

    /// Decompresses until `len` bytes are at hand.
    fn fill(&mut self, len: usize) -> io::Result<()> {
        let missing = len.saturating_sub(self.window.len());
        if missing == 0 || self.ended {
            return Ok(());
        }
        let reader = match &mut self.reader {
            Some(reader) => reader,
            None => self.reader.insert(TextReader::at_front(&self.file, self.compression)?),
        };
        match reader.take(missing as u64).read_to_end(&mut self.window) {
            Ok(read) => self.ended = read < missing,
            Err(error) if is_damage(&error) => {
                let why = match self.compression {
                    TextCompression::Gzip => "its gzip is torn or corrupt".to_owned(),
                    TextCompression::Zstd => error.to_string(),
                };
                (self.ended, self.broken) = (true, Some(why));
            }
            Err(error) => return Err(error),
        }
        if self.ended {
            self.reader = None;
        }
        Ok(())
    }
}

impl TextReader {
    fn at_front(file: &Arc<File>, compression: TextCompression) -> io::Result<Self> {
        let mut source = Arc::clone(file);
        source.seek(SeekFrom::Start(0))?;
        let bytes = BufReader::with_capacity(INPUT, source);
        Ok(match compression {
            TextCompression::Gzip => Self::Gzip(Box::new(GzipMembers(Some(GzDecoder::new(bytes))))),
            TextCompression::Zstd => Self::Zstd(Box::new(ZstdText {
                bytes,
                frames: ZstdFrames::new(),
                text: Vec::with_capacity(OUTPUT),
                given: 0,
            })),
        })
    }
}

impl Read for TextReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(members) => members.read(buffer),
            Self::Zstd(frames) => frames.read(buffer),
        }
    }
}

fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::InvalidInput | ErrorKind::InvalidData)
}

/// The text of Zstandard's frames, one after the other.
struct ZstdText {
    bytes: BufReader<Arc<File>>,
    frames: ZstdFrames,
    /// What was unpacked last, and how much of it was given.
    text: Vec<u8>,
    given: usize,
}

impl Read for ZstdText {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.text.len() {
            self.given = 0;
            self.text.clear();
            let mut input = self.bytes.fill_buf()?;
            let (had, is_end) = (input.len(), input.is_empty());
            if is_end {
                self.frames.end();
            }
            let unpacked = self.frames.step(&mut input, &mut self.text);
            let used = had.saturating_sub(input.len());
            self.bytes.consume(used);
            unpacked.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
            if is_end && self.text.is_empty() {
                return Ok(0);
            }
        }
        let read = self.text.get(self.given..).unwrap_or_default().read(buffer)?;
        self.given = self.given.saturating_add(read);
        Ok(read)
    }
}

/// The text of gzip's members, one after the other. Zeros that pad the last one are no member, as for `gzip` itself.
struct GzipMembers(Option<GzDecoder<BufReader<Arc<File>>>>);

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

const GZIP: [u8; 2] = [0x1F, 0x8B];

/// Read of the file at once.
const INPUT: usize = 32 * 1024;

/// Unpacked of Zstandard at once.
const OUTPUT: usize = 64 * 1024;

/// Decompressed at once while looking for an offset.
const STEP: usize = 256 * 1024;

/// Steps in one turn, so that other files get theirs.
const STEPS: usize = 16;

/// No tape or disk pads a file with more zeros. What follows more of them is taken for damage.
const MOST_PADDING: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use zstd::stream::Encoder;

    use super::super::content::FileContent;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    /// As `zstd` writes it, with a window of so many bits.
    fn zstd_within(text: &[u8], window: u32) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::new(), 1).unwrap();
        encoder.include_checksum(true).unwrap();
        encoder.window_log(window).unwrap();
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(text: &[u8]) -> Vec<u8> {
        zstd_within(text, 20)
    }

    fn skippable() -> Vec<u8> {
        [&[0x50, 0x2A, 0x4D, 0x18, 4, 0, 0, 0][..], b"size"].concat()
    }

    fn open(bytes: &[u8]) -> FileContent {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        FileContent::new(file, true).unwrap()
    }

    fn numbers(count: u32) -> Vec<u8> {
        (0..count).flat_map(|n| format!("{n} {}\n", n.wrapping_mul(2_654_435_761)).into_bytes()).collect()
    }

    #[test]
    fn text_is_read_at_any_offset_whether_compressed_or_not() {
        let text: Vec<u8> = (0..2_000_000_u32).flat_map(|n| (n % 251).to_le_bytes()).collect();
        let (front, back) = text.split_at(3_000_000);
        for bytes in [
            text.clone(),
            gzip(&text),
            [gzip(front), gzip(back)].concat(),
            zstd(&text),
            [skippable(), zstd(front), skippable(), zstd(b""), zstd(back), skippable()].concat(),
        ] {
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
            assert_eq!(content.end().unwrap(), 8_000_000);
            assert!(!content.is_broken());
        }
    }

    /// Reads all that can be read of a file that is not whole.
    #[track_caller]
    fn torn(bytes: &[u8], text: &[u8], expected: &str) -> usize {
        let mut content = open(bytes);
        let read = content.read_at(0, text.len() + 1).unwrap();
        assert!(text.starts_with(&read), "what was read is its beginning");
        assert!(content.compressed().unwrap().broken().unwrap().contains(expected));
        assert!(!content.compressed().unwrap().is_halfway());
        read.len()
    }

    #[test]
    fn a_torn_file_gives_what_is_whole_and_says_that_it_is_torn() {
        let text = numbers(200_000);
        let gz = gzip(&text);
        assert!(torn(&gz[..gz.len() / 2], &text, "gzip is torn") > text.len() / 3);
        let zst = zstd(&text);
        // However little is missing, and within the window that is kept back.
        for (cut, least) in [(zst.len() / 2, text.len() / 3), (zst.len() - 1, text.len() - 200_000)] {
            assert!(torn(&zst[..cut], &text, "zstd ends too early") > least, "{cut} bytes");
        }
        let two = [&zst[..], &zst[..40]].concat();
        assert_eq!(torn(&two, &text, "zstd ends too early"), text.len());
        for bytes in [gz, zst] {
            let mut content = open(&bytes);
            assert_eq!(content.read_at(0, text.len() + 1).unwrap(), text);
            assert!(!content.is_broken());
        }
    }

    #[test]
    fn what_follows_a_compressed_file_is_damage_but_for_the_zeros_that_pad_gzip() {
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
        for (behind, why) in [
            (&b"x"[..], "ends too early"),
            (b"no frame", "corrupt"),
            (&[0; 8], "corrupt"),
            (&gzip(b"a"), "corrupt"),
        ] {
            assert_eq!(torn(&[&zstd(&text)[..], behind].concat(), &text, why), text.len());
        }
    }

    #[test]
    fn a_byte_that_changed_is_damage() {
        let text = numbers(100_000);
        let mut zst = zstd(&text);
        let middle = zst.len() / 2;
        zst[middle] ^= 0x10;
        let mut content = open(&zst);
        content.read_at(0, text.len() * 2).unwrap();
        assert!(content.is_broken());
    }

    #[test]
    fn zstd_that_looks_back_too_far_or_needs_a_dictionary_is_said_to() {
        let text = numbers(1_000);
        assert_eq!(open(&zstd_within(&text, 23)).read_at(0, 100_000).unwrap(), text);
        assert_eq!(torn(&zstd_within(&text, 24), &text, "further than 8 MiB"), 0);
        assert_eq!(torn(&[zstd(&text), zstd_within(b"more", 24)].concat(), &text, "--long"), text.len());
        let with_dictionary = [0x28, 0xB5, 0x2F, 0xFD, 0x01, 0x50, 7, 1, 0, 0];
        assert_eq!(torn(&with_dictionary, b"", "needs a dictionary"), 0);
    }

    #[test]
    fn text_that_was_read_gives_its_memory_back() {
        let text = numbers(200_000);
        for bytes in [gzip(&text), zstd(&text)] {
            let mut content = open(&bytes);
            content.read_at(0, 1_000_000).unwrap();
            let halfway = content.compressed_mut().unwrap();
            assert!(halfway.is_halfway());
            halfway.rest(1_000);
            assert!(halfway.window.len() >= 1_000_000, "what is halfway keeps what it has");
            halfway.rewind();
            assert_eq!((halfway.window.capacity(), halfway.memory(), halfway.is_halfway()), (0, 0, false));
            let end = text.len() as u64;
            assert_eq!(content.read_at(end - 1_000_000, 2_000_000).unwrap(), &text[text.len() - 1_000_000..]);
            let whole = content.compressed_mut().unwrap();
            whole.rest(end - 1_000);
            assert!(whole.window.capacity() < 2_000 && !whole.is_halfway());
            assert_eq!(content.read_at(end - 1_000, 2_000).unwrap(), &text[text.len() - 1_000..]);
            assert_eq!(content.read_at(7, 1_000).unwrap(), &text[7..1_007]);
        }
    }
}
