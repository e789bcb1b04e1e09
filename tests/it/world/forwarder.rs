//! A sender of the Fluent Forward protocol, with as much of `MessagePack` as it writes.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use standpipe::msgpack::{PackReader, PackToken};

/// A connection to the source.
pub(crate) struct Forwarder {
    stream: Box<dyn ForwarderStream>,
    /// What was read and not taken yet.
    unread: Vec<u8>,
}

/// Either end of a connection.
pub(crate) trait ForwarderStream: Read + Write + Send {
    /// How long a read waits.
    fn wait_for(&self, time: Option<Duration>) -> io::Result<()>;
}

impl ForwarderStream for TcpStream {
    fn wait_for(&self, time: Option<Duration>) -> io::Result<()> {
        self.set_read_timeout(time)
    }
}

impl ForwarderStream for UnixStream {
    fn wait_for(&self, time: Option<Duration>) -> io::Result<()> {
        self.set_read_timeout(time)
    }
}

impl ForwarderStream for rustls::StreamOwned<rustls::ClientConnection, TcpStream> {
    fn wait_for(&self, time: Option<Duration>) -> io::Result<()> {
        self.sock.wait_for(time)
    }
}

/// Longer than any answer takes.
const LONG: Duration = Duration::from_mins(2);

impl Forwarder {
    /// Connects to an address, or to `unix:` and a path.
    pub(crate) fn to(address: &str) -> Self {
        Self::try_to(address).unwrap()
    }

    pub(crate) fn try_to(address: &str) -> io::Result<Self> {
        Ok(match address.strip_prefix("unix:") {
            Some(path) => Self::over(UnixStream::connect(path)?),
            None => Self::over(TcpStream::connect(address)?),
        })
    }

    pub(crate) fn over(stream: impl ForwarderStream + 'static) -> Self {
        Self { stream: Box::new(stream), unread: Vec::new() }
    }

    pub(crate) fn send(&mut self, message: &[u8]) {
        self.try_send(message).unwrap();
    }

    pub(crate) fn try_send(&mut self, message: &[u8]) -> io::Result<()> {
        self.stream.write_all(message)?;
        self.stream.flush()
    }

    /// Sends a message, and waits for the answer to its chunk.
    pub(crate) fn deliver(&mut self, message: &[u8], chunk: &str) -> io::Result<()> {
        self.try_send(message)?;
        let answer = self.answer(LONG)?;
        assert_eq!(answer.as_deref(), Some(chunk));
        Ok(())
    }

    /// The chunk that the next answer is for; none: the other side has ended the connection.
    pub(crate) fn answer(&mut self, time: Duration) -> io::Result<Option<String>> {
        let Some(answer) = self.value(time)? else { return Ok(None) };
        let mut reader = PackReader::new(&answer);
        assert_eq!(reader.token(), Ok(PackToken::Map(1)));
        assert_eq!(reader.text(), Ok(&b"ack"[..]));
        Ok(Some(String::from_utf8(reader.text().unwrap().to_vec()).unwrap()))
    }

    /// The next whole value.
    pub(crate) fn value(&mut self, time: Duration) -> io::Result<Option<Vec<u8>>> {
        self.stream.wait_for(Some(time))?;
        loop {
            let mut reader = PackReader::new(&self.unread);
            if !self.unread.is_empty() && reader.skip().is_ok() {
                let end = reader.at();
                return Ok(Some(self.unread.drain(..end).collect()));
            }
            let mut piece = [0; 4096];
            match self.stream.read(&mut piece)? {
                0 => return Ok(None),
                len => self.unread.extend_from_slice(&piece[..len]),
            }
        }
    }

    /// Waits until the other side has ended the connection.
    pub(crate) fn ended(mut self) {
        self.stream.wait_for(Some(LONG)).unwrap();
        let mut rest = Vec::new();
        // It may be reset: there may be more to be read.
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
        }
    }
}

/// How a message holds its entries.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mode {
    Forward,
    Packed,
    Gzip,
    Zstd,
}

/// A message with an entry for each line, and a chunk's id.
pub(crate) fn message(mode: Mode, tag: &str, lines: &[u8], chunk: Option<&str>) -> Vec<u8> {
    let entries: Vec<Vec<u8>> = lines
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| [&[0x92][..], &unsigned(1_700_000_000), &map(&[("log", text(line))])].concat())
        .collect();
    let packed = entries.concat();
    let list = match mode {
        Mode::Forward => {
            let count = u32::try_from(entries.len()).unwrap().to_be_bytes();
            [&[0xdd][..], &count, &packed].concat()
        }
        Mode::Packed => bin(&packed),
        Mode::Gzip => bin(&gzip(&packed)),
        Mode::Zstd => {
            bin(&ruzstd::encoding::compress_to_vec(&*packed, ruzstd::encoding::CompressionLevel::Fastest))
        }
    };
    let mut option = vec![("size", vec![1])];
    option.extend(chunk.map(|chunk| ("chunk", text(chunk.as_bytes()))));
    [&[0x93][..], &text(tag.as_bytes()), &list, &map(&option)].concat()
}

/// A message as Docker's driver sends it: one line, with these fields beside it.
pub(crate) fn docker(tag: &str, line: &[u8], fields: &[(&str, &str)], chunk: Option<&str>) -> Vec<u8> {
    let mut record: Vec<_> = fields.iter().map(|(name, value)| (*name, text(value.as_bytes()))).collect();
    record.push(("log", text(line)));
    let option: Vec<_> = chunk.map(|chunk| ("chunk", text(chunk.as_bytes()))).into_iter().collect();
    [&[0x94][..], &text(tag.as_bytes()), &unsigned(1_700_000_000), &map(&record), &map(&option)].concat()
}

/// The fields that Docker gives every line of a container.
pub(crate) const WEB: [(&str, &str); 3] = [
    ("container_id", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
    ("container_name", "/web"),
    ("source", "stdout"),
];

pub(crate) fn text(text: &[u8]) -> Vec<u8> {
    let len = u32::try_from(text.len()).unwrap().to_be_bytes();
    match text.len() {
        0..32 => [&[0xa0 | len[3]][..], text].concat(),
        32..256 => [&[0xd9, len[3]][..], text].concat(),
        _ => [&[0xdb][..], &len, text].concat(),
    }
}

pub(crate) fn bin(bytes: &[u8]) -> Vec<u8> {
    let len = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    [&[0xc6][..], &len, bytes].concat()
}

fn unsigned(number: u32) -> Vec<u8> {
    [&[0xce][..], &number.to_be_bytes()].concat()
}

fn map(pairs: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut out = vec![0x80 | u8::try_from(pairs.len()).unwrap()];
    for (name, value) in pairs {
        out.extend(text(name.as_bytes()));
        out.extend_from_slice(value);
    }
    out
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
