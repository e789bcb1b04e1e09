//! Events as the sink wants them written.

use std::sync::Arc;

use bytes::{BufMut, Bytes};

use super::json;
use super::message::write_message;
use super::padded_writer::PaddedWriter;
use crate::config::{Encoding, Packing, SinkConfig, TooLong};
use crate::event::{
    Block, Borders, Buffers, Clockface, Event, FieldPlace, LONGEST_ID, Message, Origin, Part, PlaceId,
    Timestamp,
};
use crate::limits::MAX_RECORD_BYTES;

/// Writes events for one sink.
#[derive(Debug)]
pub struct Encoder {
    pub(super) encoding: Encoding,
    packing: Packing,
    pub(super) too_long: TooLong,
    /// Whether each event has an id, also where it has none of its own.
    id: bool,
    /// `,"name":"value"` for each constant field.
    constants: Bytes,
}

/// An event is too large for a record, and cannot be made smaller: the sink wants such events as dead letters, or it is not its
/// message that is large.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TooLarge;

/// What is written for one destination: blocks in order.
#[derive(Debug)]
pub struct Output {
    blocks: Vec<Block>,
    /// What the next block is written into; from `buffers` once something is.
    pub(super) data: Vec<u8>,
    buffers: Arc<Buffers>,
    ends: Vec<u32>,
    events: u64,
    /// The memory that was written so far takes, in bytes.
    taken: u64,
    /// The end of each JSON object of the present origin: from the quote that closes the message, or the id.
    pub(super) after: Vec<u8>,
    pub(super) face: Clockface,
    /// The id of the next line, where lines have ids.
    line_id: Option<PlaceId>,
}

/// Room made at a time while lines are written.
const LINES_ROOM: usize = 4 * 1024;

/// How each JSON object begins: a time follows.
pub(super) const BEFORE_TIME: &[u8; 14] = b"{\"timestamp\":\"";

/// What stands between the time and the message.
pub(super) const BEFORE_MESSAGE: &[u8; 13] = b"\",\"message\":\"";

/// What stands between the message and the id.
pub(super) const BEFORE_ID: &[u8; 8] = b"\",\"id\":\"";

/// Where an event ends takes so much.
const END_BYTES: usize = size_of::<u32>();

/// What is kept of a record beside its bytes, with its place in a queue.
const RECORD_BYTES: u64 = 512;

/// A block is closed at this size, so that buffers of one size serve.
const BLOCK_BYTES: usize = 256 * 1024;

/// A block, and room behind it for the event that fills it: what [`Output::new`]'s buffers are to hold.
pub const BUFFER_BYTES: usize = BLOCK_BYTES + 64 * 1024;

impl Output {
    /// An output that takes its memory from `buffers`.
    #[must_use]
    pub fn new(buffers: Arc<Buffers>) -> Self {
        Self {
            blocks: Vec::new(),
            data: Vec::new(),
            buffers,
            ends: Vec::new(),
            events: 0,
            taken: 0,
            after: Vec::new(),
            face: Clockface::default(),
            line_id: None,
        }
    }

    /// Prepares for events of another origin.
    pub fn origin(&mut self, encoder: &Encoder, origin: &Origin) {
        self.after.clear();
        if encoder.encoding == Encoding::Json {
            encoder.write_after(origin, &mut self.after);
        }
    }

    /// Prepares for a run of lines, of which the first has this id.
    pub fn begin_lines(&mut self, id: Option<PlaceId>) {
        self.line_id = id;
    }

    /// A line of so many bytes was taken, without its newline. Returns its id.
    fn next_line(&mut self, bytes: usize) -> Option<PlaceId> {
        let id = self.line_id?;
        self.line_id = Some(id.behind(bytes as u64).behind(1));
        Some(id)
    }

    /// The memory that was written since the last call takes, in bytes.
    pub fn take_taken(&mut self) -> u64 {
        std::mem::take(&mut self.taken)
    }

    /// Takes the blocks written so far.
    pub fn take(&mut self, encoder: &Encoder) -> Vec<Block> {
        self.flush(encoder);
        std::mem::take(&mut self.blocks)
    }

    fn flush(&mut self, encoder: &Encoder) {
        if self.events == 0 {
            return;
        }
        let borders = if encoder.ends_with_newlines_only() {
            Borders::Newlines(self.events)
        } else {
            // The next block will have about as many.
            let ends = Vec::with_capacity(self.ends.len());
            Borders::Ends(std::mem::replace(&mut self.ends, ends))
        };
        self.events = 0;
        let data = self.close();
        self.blocks.push(Block { data, borders });
    }

    /// What was written, as its own memory: a full buffer as it is, a few bytes as a copy.
    fn close(&mut self) -> Bytes {
        if self.data.len() < self.data.capacity() / 2 {
            let copy = Bytes::copy_from_slice(&self.data);
            self.data.clear();
            if self.data.capacity() > BUFFER_BYTES {
                self.data = Vec::new();
            }
            return copy;
        }
        let unused = self.data.capacity().saturating_sub(self.data.len());
        self.taken = self.taken.saturating_add(unused as u64);
        self.buffers.share(std::mem::take(&mut self.data))
    }

    /// Memory to write into, if there is none yet.
    pub(super) fn prepare(&mut self) {
        if self.data.capacity() == 0 {
            self.data = self.buffers.take(BUFFER_BYTES);
        }
    }

    /// Ends the event that began at `start`.
    pub(super) fn end_event(&mut self, start: usize, encoder: &Encoder) {
        self.note(self.data.len().saturating_sub(start), 1, encoder);
        if !encoder.ends_with_newlines_only() {
            self.ends.push(u32::try_from(self.data.len()).unwrap_or(u32::MAX));
        }
        self.events = self.events.saturating_add(1);
        if self.data.len().saturating_add(self.ends.len().saturating_mul(END_BYTES)) >= BLOCK_BYTES {
            self.flush(encoder);
        }
    }

    fn note(&mut self, bytes: usize, events: u64, encoder: &Encoder) {
        let around = events.saturating_mul(encoder.around());
        self.taken = self.taken.saturating_add(bytes as u64).saturating_add(around);
    }
}

impl Encoder {
    /// The encoder of a sink.
    #[must_use]
    pub fn new(sink: &SinkConfig) -> Self {
        let mut constants = Vec::new();
        for (name, value) in &sink.fields {
            member(&mut constants, name, value);
        }
        Self {
            encoding: sink.encoding,
            packing: sink.packing,
            too_long: sink.too_long,
            id: sink.id,
            constants: constants.into(),
        }
    }

    /// Whether whole envelopes are wanted instead of events.
    #[must_use]
    pub fn wants_envelopes(&self) -> bool {
        self.encoding == Encoding::Envelope
    }

    /// Whether each event is to have an id.
    #[must_use]
    pub fn wants_ids(&self) -> bool {
        self.id && self.encoding == Encoding::Json
    }

    /// Whether a run of lines stays where it was read.
    #[must_use]
    pub fn keeps_lines(&self) -> bool {
        self.encoding == Encoding::Message && self.packing == Packing::Lines
    }

    /// The memory that an event takes beside its message and what is written around it, in bytes.
    fn around(&self) -> u64 {
        match self.packing {
            Packing::Event => RECORD_BYTES,
            Packing::Lines if self.ends_with_newlines_only() => 0,
            Packing::Lines => END_BYTES as u64,
        }
    }

    /// The memory that each event of the present origin takes beside its message, in bytes.
    #[must_use]
    pub fn overhead(&self, out: &Output) -> u64 {
        /// A time, the keys, and an id.
        const FRAME: u64 = 128;
        match self.encoding {
            Encoding::Json => (out.after.len() as u64).saturating_add(FRAME).saturating_add(self.around()),
            Encoding::Message => self.around().saturating_add(1),
            Encoding::Envelope => 0,
        }
    }

    /// Adds a run of whole lines, without touching them where that can be.
    ///
    /// `count` is the number of lines; `too_large` receives each line that becomes a dead letter.
    pub fn lines(
        &self,
        (lines, count): (&Bytes, u64),
        read_at: Timestamp,
        out: &mut Output,
        too_large: &mut impl FnMut(&[u8], Option<PlaceId>),
    ) {
        if self.keeps_lines() && all_fit(lines) {
            out.flush(self);
            out.note(lines.len(), 0, self);
            out.blocks.push(Block { data: lines.clone(), borders: Borders::Newlines(count) });
            return;
        }
        let together = self.ends_with_newlines_only() && json::is_utf8(lines);
        let mut rest: &[u8] = lines;
        while !rest.is_empty() {
            if together {
                let (start, events) = (out.data.len(), out.events);
                rest = Self::json_lines(rest, read_at, out);
                let written = out.data.len().saturating_sub(start);
                out.note(written, out.events.saturating_sub(events), self);
            }
            if out.data.len() >= BLOCK_BYTES {
                out.flush(self);
                continue;
            }
            // What a line was too large for is not kept.
            out.data.shrink_to(BUFFER_BYTES);
            let Some(at) = memchr::memchr(b'\n', rest) else { return };
            let (line, after) = rest.split_at(at);
            let mut buffer = [0; LONGEST_ID];
            let line_id = out.next_line(line.len());
            let id = line_id.map(|id| id.text(&mut buffer));
            let event = Event { message: Message::Raw(line), timestamp: None, id, part: None };
            if self.event(&event, read_at, out) == Err(TooLarge) {
                too_large(line, line_id);
            }
            rest = after.get(1..).unwrap_or_default();
        }
    }

    /// Writes UTF-8 lines as JSON, until a block is full or a line is too large for a record. Returns those that are left.
    fn json_lines<'l>(mut lines: &'l [u8], read_at: Timestamp, out: &mut Output) -> &'l [u8] {
        out.prepare();
        let mut writer = PaddedWriter::new(&mut out.data, LINES_ROOM);
        let time = out.face.show(read_at);
        while !lines.is_empty() {
            let start = writer.at();
            if start >= BLOCK_BYTES {
                break;
            }
            writer.put_all(BEFORE_TIME);
            writer.put_all(time);
            writer.put_all(BEFORE_MESSAGE);
            let len = json::escape_line(lines, &mut writer);
            if let Some(id) = out.line_id {
                writer.put_all(BEFORE_ID);
                writer.put(id.text(&mut [0; LONGEST_ID]).as_bytes());
            }
            writer.put(&out.after);
            if writer.at().saturating_sub(start) > MAX_RECORD_BYTES {
                writer.back_to(start);
                break;
            }
            out.events = out.events.saturating_add(1);
            out.line_id = out.line_id.map(|id| id.behind(len as u64).behind(1));
            lines = lines.get(len.saturating_add(1)..).unwrap_or_default();
        }
        lines
    }

    /// Adds one event.
    ///
    /// # Errors
    /// When the event is too large for a record and is to be a dead letter.
    pub fn event(&self, event: &Event<'_>, read_at: Timestamp, out: &mut Output) -> Result<(), TooLarge> {
        if out.after.len() > MAX_RECORD_BYTES {
            return Err(TooLarge);
        }
        if self.is_surely_too_large(event) {
            return self.too_large(event, read_at, out);
        }
        out.prepare();
        let start = out.data.len();
        self.write(event, read_at, out);
        if out.data.len().saturating_sub(start) <= MAX_RECORD_BYTES {
            out.end_event(start, self);
            return Ok(());
        }
        out.data.truncate(start);
        self.too_large(event, read_at, out)
    }

    /// Adds an envelope as it is.
    ///
    /// # Errors
    /// When it is too large for a record.
    pub fn envelope(&self, gzipped: &Bytes, out: &mut Output) -> Result<(), TooLarge> {
        if gzipped.len() > MAX_RECORD_BYTES {
            return Err(TooLarge);
        }
        out.flush(self);
        out.note(gzipped.len(), 1, self);
        let end = u32::try_from(gzipped.len()).map_err(|_| TooLarge)?;
        out.blocks.push(Block { data: gzipped.clone(), borders: Borders::Ends(vec![end]) });
        Ok(())
    }

    /// JSON has no newline inside, so that its line ends are the events' ends.
    fn ends_with_newlines_only(&self) -> bool {
        self.encoding == Encoding::Json && self.packing == Packing::Lines
    }

    pub(super) fn write(&self, event: &Event<'_>, read_at: Timestamp, out: &mut Output) {
        let data = &mut out.data;
        if self.encoding != Encoding::Json {
            write_message(event.message, data);
            if let Some(Part { offset, last }) = event.part {
                let last = if last { "last " } else { "" };
                data.extend_from_slice(format!("…[{last}part, at byte {offset}]").as_bytes());
            }
            if self.packing == Packing::Lines {
                data.push(b'\n');
            }
            return;
        }
        data.extend_from_slice(BEFORE_TIME);
        data.extend_from_slice(out.face.show(event.timestamp.unwrap_or(read_at)));
        data.extend_from_slice(BEFORE_MESSAGE);
        match event.message {
            Message::Raw(bytes) => json::escape(bytes, data),
            Message::Escaped(text) => data.extend_from_slice(text.as_bytes()),
        }
        if let Some(id) = event.id {
            data.extend_from_slice(BEFORE_ID);
            data.extend_from_slice(id.as_bytes());
        }
        let mut after: &[u8] = &out.after;
        if let Some(Part { offset, last }) = event.part {
            let part = format!("\",\"part\":{{\"offset\":{offset},\"last\":{last}}}");
            data.extend_from_slice(part.as_bytes());
            after = after.get(1..).unwrap_or_default();
        }
        data.extend_from_slice(after);
    }

    /// Everything that follows the message and is the same for all events of an origin.
    fn write_after(&self, origin: &Origin, out: &mut Vec<u8>) {
        out.put_u8(b'"');
        for (field, value) in origin.fields.at(FieldPlace::BeforeSource) {
            member(out, field.name(), value);
        }
        member(out, "source", &origin.source);
        if !origin.fields.are_remote() {
            member(out, "host", &origin.host);
        }
        for (field, value) in origin.fields.at(FieldPlace::AfterHost) {
            member(out, field.name(), value);
        }
        if !origin.attributes.is_empty() {
            out.put_slice(b",\"attributes\":{");
            let mut members = Vec::new();
            for (name, value) in &*origin.attributes {
                member(&mut members, name, value);
            }
            out.put_slice(members.get(1..).unwrap_or_default());
            out.put_u8(b'}');
        }
        if let Some(labels) = &origin.labels {
            out.put_slice(labels.json().as_bytes());
        }
        out.put_slice(&self.constants);
        out.put_u8(b'}');
        if self.packing == Packing::Lines {
            out.put_u8(b'\n');
        }
    }
}

/// Whether each line, with its newline, fits into a record. Looks at a newline every record's length, not at all of them.
fn all_fit(lines: &[u8]) -> bool {
    let mut rest = lines;
    while let Some(window) = rest.get(..MAX_RECORD_BYTES) {
        let Some(at) = memchr::memrchr(b'\n', window) else { return false };
        rest = rest.get(at.saturating_add(1)..).unwrap_or_default();
    }
    true
}

/// Writes `,"name":"value"`.
fn member(out: &mut Vec<u8>, name: &str, value: &str) {
    out.put_slice(b",\"");
    json::escape(name.as_bytes(), out);
    out.put_slice(b"\":\"");
    json::escape(value.as_bytes(), out);
    out.put_u8(b'"');
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{Buffer, Compression, DirectorySink, SinkKind, Template};
    use crate::event::Field;

    fn sink(encoding: Encoding, packing: Packing, too_long: TooLong) -> SinkConfig {
        SinkConfig {
            kind: SinkKind::Directory(DirectorySink {
                path: "out".into(),
                stream: Template { pieces: [].into() },
            }),
            encoding,
            id: false,
            fields: vec![("env".into(), "prod".into())],
            packing,
            compression: Compression::None,
            rate: None,
            linger: Duration::from_secs(1),
            too_long,
            max_destinations: 1,
            idle: Duration::from_secs(1),
            buffer: Buffer::Memory,
        }
    }

    fn file() -> Origin {
        Origin::new("app", "h1").with(Field::File, "/a\"b.log")
    }

    fn envelope() -> Origin {
        let origin = Origin::new("subs", "h1")
            .with(Field::Owner, "111111111111")
            .with(Field::LogGroup, "/aws/x")
            .with(Field::LogStream, "s");
        Origin { attributes: [("team".into(), "pay".into())].into(), ..origin }
    }

    /// Encodes each message as an event of its own and returns what each became.
    fn events(sink: &SinkConfig, origin: &Origin, messages: &[Message<'_>]) -> Vec<Vec<u8>> {
        let encoder = Encoder::new(sink);
        let mut out = Output::new(Buffers::new(BUFFER_BYTES, 1));
        out.origin(&encoder, origin);
        for message in messages {
            let id = origin.get(Field::Owner).is_some().then_some("42");
            let event = Event { message: *message, timestamp: None, id, part: None };
            encoder.event(&event, Timestamp(0), &mut out).unwrap();
        }
        out.take(&encoder).iter().flat_map(pieces).collect()
    }

    fn pieces(block: &Block) -> Vec<Vec<u8>> {
        match &block.borders {
            Borders::Newlines(_) => {
                block.data.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
            }
            Borders::Ends(ends) => {
                let starts = [0].into_iter().chain(ends.iter().copied());
                starts
                    .zip(ends)
                    .map(|(start, end)| block.data[start as usize..*end as usize].to_vec())
                    .collect()
            }
        }
    }

    #[track_caller]
    fn check(sink: &SinkConfig, origin: &Origin, message: Message<'_>, expected: &str) {
        let made = events(sink, origin, &[message]);
        assert_eq!(made.iter().map(|event| String::from_utf8_lossy(event)).collect::<Vec<_>>(), [expected]);
    }

    #[test]
    fn json_says_where_an_event_comes_from() {
        let sink = sink(Encoding::Json, Packing::Lines, TooLong::Split);
        check(
            &sink,
            &file(),
            Message::Raw(b"say \"hi\"\xff"),
            "{\"timestamp\":\"1970-01-01T00:00:00.000Z\",\"message\":\"say \\\"hi\\\"\u{FFFD}\",\
             \"source\":\"app\",\"host\":\"h1\",\"file\":\"/a\\\"b.log\",\"env\":\"prod\"}\n",
        );
        check(
            &sink,
            &envelope(),
            Message::Escaped("tab\\there"),
            "{\"timestamp\":\"1970-01-01T00:00:00.000Z\",\"message\":\"tab\\there\",\"id\":\"42\",\
             \"owner\":\"111111111111\",\"log_group\":\"/aws/x\",\"log_stream\":\"s\",\"source\":\"subs\",\
             \"attributes\":{\"team\":\"pay\"},\"env\":\"prod\"}\n",
        );
    }

    #[test]
    fn message_encoding_keeps_the_bytes() {
        let lines = sink(Encoding::Message, Packing::Lines, TooLong::Split);
        check(&lines, &file(), Message::Escaped("a\\tb"), "a\tb\n");
        let single = sink(Encoding::Message, Packing::Event, TooLong::Split);
        check(&single, &file(), Message::Raw(b"as it was"), "as it was");
    }

    #[test]
    fn a_part_says_where_in_its_event_it_was() {
        let write = |encoding, part| {
            let encoder = Encoder::new(&sink(encoding, Packing::Lines, TooLong::Split));
            let mut out = Output::new(Buffers::new(BUFFER_BYTES, 1));
            out.origin(&encoder, &envelope());
            let event = Event { message: Message::Raw(b"text"), timestamp: None, id: Some("42"), part };
            encoder.event(&event, Timestamp(0), &mut out).unwrap();
            String::from_utf8(out.take(&encoder)[0].data.to_vec()).unwrap()
        };
        let (first, last) = (Part { offset: 0, last: false }, Part { offset: 1_000, last: true });
        assert_eq!(write(Encoding::Message, Some(first)), "text…[part, at byte 0]\n");
        assert_eq!(write(Encoding::Message, Some(last)), "text…[last part, at byte 1000]\n");
        assert_eq!(write(Encoding::Message, None), "text\n");
        let json = write(Encoding::Json, Some(last));
        assert!(json.contains(r#""id":"42","part":{"offset":1000,"last":true},"owner":"#), "{json}");
        serde_json::from_str::<serde_json::Value>(&json).unwrap();
    }

    #[test]
    fn parts_of_parts_count_from_the_beginning() {
        let part = Some(Part { offset: 500, last: true });
        assert_eq!(Part::of(part, 30, false), Part { offset: 530, last: false });
        assert_eq!(Part::of(part, 30, true), Part { offset: 530, last: true });
        assert_eq!(Part::of(Some(Part { offset: 0, last: false }), 7, true), Part { offset: 7, last: false });
        assert_eq!(Part::of(None, 7, true), Part { offset: 7, last: true });
    }

    #[test]
    fn whole_lines_are_not_copied() {
        let encoder = Encoder::new(&sink(Encoding::Message, Packing::Lines, TooLong::Split));
        let read = Bytes::from_static(b"one\ntwo\n");
        let mut out = Output::new(Buffers::new(BUFFER_BYTES, 1));
        encoder.lines((&read, 2), Timestamp(0), &mut out, &mut |_, _| ());
        let blocks = out.take(&encoder);
        assert_eq!(blocks[0].data.as_ptr(), read.as_ptr());
        assert_eq!(blocks[0].events(), 2);
    }

    fn written(blocks: Vec<Block>) -> (u64, Vec<u8>) {
        let events = blocks.iter().map(Block::events).sum();
        (events, blocks.into_iter().flat_map(|block| block.data).collect())
    }

    /// Lines written together, and those that are too large.
    fn together(encoder: &Encoder, lines: &Bytes, origin: &Origin) -> (u64, Vec<u8>, Vec<Vec<u8>>) {
        let mut out = Output::new(Buffers::new(BUFFER_BYTES, 1));
        out.origin(encoder, origin);
        let mut unfit = Vec::new();
        let count = memchr::memchr_iter(b'\n', lines).count() as u64;
        encoder.lines((lines, count), Timestamp(7), &mut out, &mut |line, _| unfit.push(line.to_vec()));
        let (events, data) = written(out.take(encoder));
        (events, data, unfit)
    }

    /// The same, line by line.
    fn one_by_one(encoder: &Encoder, lines: &Bytes, origin: &Origin) -> (u64, Vec<u8>, Vec<Vec<u8>>) {
        let mut out = Output::new(Buffers::new(BUFFER_BYTES, 1));
        out.origin(encoder, origin);
        let mut unfit = Vec::new();
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\n").unwrap();
            let event =
                Event { message: Message::Raw(line), timestamp: Some(Timestamp(7)), id: None, part: None };
            if encoder.event(&event, Timestamp(0), &mut out).is_err() {
                unfit.push(line.to_vec());
            }
        }
        let (events, data) = written(out.take(encoder));
        (events, data, unfit)
    }

    #[track_caller]
    fn check_together(too_long: TooLong, lines: &[&[u8]]) {
        let encoder = Encoder::new(&sink(Encoding::Json, Packing::Lines, too_long));
        let lines = lines.iter().flat_map(|line| [line, &b"\n"[..]].concat()).collect();
        assert!(together(&encoder, &lines, &file()) == one_by_one(&encoder, &lines, &file()));
    }

    #[test]
    fn lines_written_together_are_the_same_as_one_by_one() {
        let quoted = "say \"hi\" ".repeat(500);
        let huge = "\"".repeat(MAX_RECORD_BYTES);
        for too_long in [TooLong::Split, TooLong::Truncate, TooLong::DeadLetter] {
            check_together(too_long, &[b"a", b"", b"b"]);
            check_together(too_long, &[b"a\xff", b"\"", b"\xc3\xa9"]);
            check_together(too_long, &[quoted.as_bytes(); 300]);
            check_together(too_long, &[b"a", huge.as_bytes(), b"b", huge.as_bytes()]);
        }
    }

    #[test]
    fn only_a_line_longer_than_a_record_is_touched() {
        let line = |len: usize| [vec![b'x'; len - 1], vec![b'\n']].concat();
        assert!(all_fit(b""));
        assert!(all_fit(&line(MAX_RECORD_BYTES)));
        assert!(all_fit(&[line(10), line(MAX_RECORD_BYTES), line(10), line(MAX_RECORD_BYTES)].concat()));
        assert!(!all_fit(&[line(10), line(MAX_RECORD_BYTES + 1), line(10)].concat()));
        assert!(!all_fit(&[line(10), line(MAX_RECORD_BYTES + 1)].concat()));
    }

    /// What becomes of an event: how many parts, each within a record's limit, or none, and nothing is written.
    fn parts_of(sink: &SinkConfig, origin: &Origin, event: &Event<'_>) -> Result<usize, TooLarge> {
        let encoder = Encoder::new(sink);
        let mut out = Output::new(Buffers::new(BUFFER_BYTES, 1));
        out.origin(&encoder, origin);
        let written = encoder.event(event, Timestamp(0), &mut out);
        let parts: Vec<Vec<u8>> = out.take(&encoder).iter().flat_map(pieces).collect();
        assert!(parts.iter().all(|part| part.len() <= MAX_RECORD_BYTES));
        assert_eq!(written.is_err(), parts.is_empty());
        written.map(|()| parts.len())
    }

    #[test]
    fn an_event_that_is_too_large_but_for_its_message_is_refused_alone() {
        let huge = "x".repeat(MAX_RECORD_BYTES);
        let (message, long) = (Message::Raw(b"short"), "y".repeat(3 * MAX_RECORD_BYTES));
        let event = |message, id| Event { message, timestamp: None, id, part: None };
        let named = |name: &str| envelope().with(Field::LogGroup, name);
        let attributed = Origin { attributes: [("k".into(), huge.as_str().into())].into(), ..envelope() };
        let deep = file().with(Field::File, "\"".repeat(4_096));
        for too_long in [TooLong::Split, TooLong::Truncate, TooLong::DeadLetter] {
            for packing in [Packing::Event, Packing::Lines] {
                let json = sink(Encoding::Json, packing, too_long);
                assert_eq!(parts_of(&json, &named(&huge), &event(message, None)), Err(TooLarge));
                assert_eq!(parts_of(&json, &attributed, &event(message, None)), Err(TooLarge));
                assert_eq!(parts_of(&json, &envelope(), &event(message, Some(&huge))), Err(TooLarge));
                assert_eq!(
                    parts_of(&json, &envelope(), &event(Message::Escaped(&long), Some(&huge))),
                    Err(TooLarge)
                );
                // What fits is written, whatever stands around it.
                let half = "x".repeat(MAX_RECORD_BYTES / 2);
                assert_eq!(parts_of(&json, &named(&half), &event(message, None)), Ok(1));
                assert_eq!(parts_of(&json, &deep, &event(message, None)), Ok(1));
                let split = parts_of(&json, &deep, &event(Message::Raw(long.as_bytes()), None));
                assert_eq!(split.is_ok_and(|parts| parts < 10), too_long != TooLong::DeadLetter);
                // The message alone has nothing around it.
                let plain = sink(Encoding::Message, packing, too_long);
                assert_eq!(parts_of(&plain, &named(&huge), &event(message, Some(&huge))), Ok(1));
            }
        }
    }

    #[test]
    fn lines_whose_metadata_is_too_large_are_refused_one_by_one() {
        let origin = file().with(Field::File, "x".repeat(MAX_RECORD_BYTES));
        for packing in [Packing::Event, Packing::Lines] {
            let encoder = Encoder::new(&sink(Encoding::Json, packing, TooLong::Split));
            let (events, data, unfit) = together(&encoder, &Bytes::from_static(b"a\n\nb\n"), &origin);
            assert_eq!((events, data.len(), unfit), (0, 0, vec![b"a".to_vec(), Vec::new(), b"b".to_vec()]));
        }
    }

    #[test]
    fn a_message_too_large_for_a_record_is_split_cut_or_refused() {
        let message = "ä\n".repeat(900_000);
        let raw = Message::Raw(message.as_bytes());
        for encoding in [Encoding::Json, Encoding::Message] {
            let parts = events(&sink(encoding, Packing::Event, TooLong::Split), &file(), &[raw]);
            assert!(parts.len() > 1 && parts.iter().all(|part| part.len() <= MAX_RECORD_BYTES));
            let cut = events(&sink(encoding, Packing::Event, TooLong::Truncate), &file(), &[raw]);
            assert!(cut.len() == 1 && cut[0].len() <= MAX_RECORD_BYTES);
            assert!(String::from_utf8(cut[0].clone()).unwrap().contains("…[truncated "));
        }
        let parts = events(&sink(Encoding::Message, Packing::Event, TooLong::Split), &file(), &[raw]);
        let mut joined = String::new();
        for part in &parts {
            let (text, mark) = std::str::from_utf8(part).unwrap().rsplit_once('…').unwrap();
            let at = joined.len();
            joined.push_str(text);
            let last = if joined.len() == message.len() { "last " } else { "" };
            assert_eq!(mark, format!("[{last}part, at byte {at}]"));
        }
        assert_eq!(joined, message);
        let parts = events(&sink(Encoding::Json, Packing::Event, TooLong::Split), &file(), &[raw]);
        let mut joined = String::new();
        for part in &parts {
            let value: serde_json::Value = serde_json::from_slice(part).unwrap();
            let at = joined.len();
            joined.push_str(value["message"].as_str().unwrap());
            let last = joined.len() == message.len();
            assert_eq!(value["part"], serde_json::json!({ "offset": at, "last": last }));
        }
        assert_eq!(joined, message);
        let encoder = Encoder::new(&sink(Encoding::Message, Packing::Event, TooLong::DeadLetter));
        let event = Event { message: raw, timestamp: None, id: None, part: None };
        assert_eq!(
            encoder.event(&event, Timestamp(0), &mut Output::new(Buffers::new(BUFFER_BYTES, 1))),
            Err(TooLarge)
        );
    }
}
