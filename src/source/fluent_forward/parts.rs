//! Lines that Docker sends in parts, joined: each part is a message, and the last one says that it is.

use tokio::time::Instant;

use super::ledger::PendingChunks;
use super::limits::{OPEN_LINES, PARTS_WAIT};
use crate::event::Held;
use crate::msgpack::{FrameSpan, PackError, PackReader, PackToken, put_array, put_map, put_str};
use crate::sync::Lock;

/// Memory of the lines in parts of all connections of a source.
#[derive(Debug)]
pub(super) struct PartsMemory {
    held: Lock<Held>,
    most: u64,
}

impl PartsMemory {
    pub(super) const fn new(held: Held, most: u64) -> Self {
        Self { held: Lock::new(held), most }
    }

    /// Takes so much more; whether there is too much now.
    fn take(&self, bytes: usize) -> bool {
        let mut held = self.held.lock();
        let bytes = held.bytes().saturating_add(bytes as u64);
        held.resize(bytes);
        bytes > self.most
    }

    fn give_back(&self, bytes: usize) {
        let mut held = self.held.lock();
        let bytes = held.bytes().saturating_sub(bytes as u64);
        held.resize(bytes);
    }
}

/// The open lines of one connection.
#[derive(Debug)]
pub(super) struct PartsJoiner<'a> {
    memory: &'a PartsMemory,
    /// A line is joined up to so many bytes; what follows is another event.
    longest: usize,
    open: Vec<OpenLine>,
}

#[derive(Debug)]
struct OpenLine {
    id: Vec<u8>,
    /// Everything of its message that stands before the fields.
    head: Vec<u8>,
    /// Fields of the first part that are the same in each, and how many they are.
    fields: Vec<u8>,
    n_fields: u32,
    text: Vec<u8>,
    chunks: PendingChunks,
    since: Instant,
}

/// A line whose parts are joined, as a message.
#[derive(Debug)]
pub(super) struct JoinedLine {
    pub(super) message: Vec<u8>,
    pub(super) chunks: PendingChunks,
}

/// What a message says of the part that it holds.
#[derive(Debug, Default)]
struct LinePart<'a> {
    id: &'a [u8],
    is_last: bool,
    text: &'a [u8],
    fields: Vec<u8>,
    n_fields: u32,
}

impl<'a> PartsJoiner<'a> {
    pub(super) const fn new(memory: &'a PartsMemory, longest: usize) -> Self {
        Self { memory, longest, open: Vec::new() }
    }

    /// Whether no line is open.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Takes a message that may hold a part of a line, and what its chunk is to be answered with. What is whole now is added to
    /// `joined`. Gives both back where the message is none.
    pub(super) fn take(
        &mut self,
        message: &[u8],
        span: &FrameSpan,
        chunks: PendingChunks,
        joined: &mut Vec<JoinedLine>,
    ) -> Option<PendingChunks> {
        let Ok(Some((head, part))) = LinePart::read(message, span) else { return Some(chunks) };
        let LinePart { id, is_last, text, fields, n_fields } = part;
        let at = self.open.iter().position(|line| line.id == id).unwrap_or_else(|| {
            if self.open.len() >= OPEN_LINES {
                self.close(0, joined);
            }
            let (chunks, since) = (chunks.none(), Instant::now());
            let line = OpenLine { id: id.to_vec(), head, fields, n_fields, text: Vec::new(), chunks, since };
            self.memory.take(line.bytes());
            self.open.push(line);
            self.open.len() - 1
        });
        let Some(line) = self.open.get_mut(at) else { return Some(chunks) };
        line.text.extend_from_slice(text);
        line.chunks.append(chunks);
        line.since = Instant::now();
        let has_too_much = self.memory.take(text.len());
        if is_last || has_too_much || line.text.len() >= self.longest {
            self.close(at, joined);
        }
        None
    }

    /// Ends the lines that have waited for long.
    pub(super) fn expire(&mut self, now: Instant, joined: &mut Vec<JoinedLine>) {
        let is_old = |line: &OpenLine| now.saturating_duration_since(line.since) >= PARTS_WAIT;
        while let Some(at) = self.open.iter().position(is_old) {
            self.close(at, joined);
        }
    }

    /// Ends all lines.
    pub(super) fn close_all(&mut self, joined: &mut Vec<JoinedLine>) {
        while !self.open.is_empty() {
            self.close(0, joined);
        }
    }

    fn close(&mut self, at: usize, joined: &mut Vec<JoinedLine>) {
        let mut line = self.open.remove(at);
        self.memory.give_back(line.bytes());
        let mut message = std::mem::take(&mut line.head);
        put_map(&mut message, line.n_fields.saturating_add(1));
        message.append(&mut line.fields);
        put_str(&mut message, b"log");
        put_str(&mut message, &line.text);
        joined.push(JoinedLine { message, chunks: line.chunks });
    }
}

impl Drop for PartsJoiner<'_> {
    fn drop(&mut self) {
        self.open.iter().for_each(|line| self.memory.give_back(line.bytes()));
    }
}

impl OpenLine {
    fn bytes(&self) -> usize {
        let around = self.id.len().saturating_add(self.head.len()).saturating_add(self.fields.len());
        around.saturating_add(self.text.len())
    }
}

impl<'a> LinePart<'a> {
    /// Reads a message of one entry: what stands before its fields, and the part. None: it is whole.
    fn read(message: &'a [u8], span: &FrameSpan) -> Result<Option<(Vec<u8>, Self)>, PackError> {
        let [tag_at, _, record_at, _] = span.starts;
        let mut reader = PackReader::from(message, record_at);
        let PackToken::Map(pairs) = reader.token()? else { return Ok(None) };
        let (mut part, mut is_part) = (Self::default(), false);
        for _ in 0..pairs {
            let begin = reader.at();
            let key = reader.text()?;
            let value_at = reader;
            let value = reader.text().unwrap_or_default();
            match key {
                b"partial_message" => is_part = value == b"true",
                b"partial_id" => part.id = value,
                b"partial_last" => part.is_last = value == b"true",
                b"partial_ordinal" => {}
                b"log" => part.text = value,
                _ => {
                    reader = value_at;
                    reader.skip()?;
                    part.fields.extend_from_slice(message.get(begin..reader.at()).unwrap_or_default());
                    part.n_fields = part.n_fields.saturating_add(1);
                    continue;
                }
            }
            reader = value_at;
            reader.skip()?;
        }
        if !is_part || part.id.is_empty() {
            return Ok(None);
        }
        let mut head = Vec::new();
        put_array(&mut head, 3);
        head.extend_from_slice(message.get(tag_at..record_at).unwrap_or_default());
        Ok(Some((head, part)))
    }
}
