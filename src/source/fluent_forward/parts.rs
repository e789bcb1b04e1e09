//! Lines that Docker sends in parts, joined: each part is a message, and the last one says that it is.
//!
//! A sender that waits for the answer to a part sends no other before: such a part goes on at once, and says where it belongs.

use tokio::time::Instant;

use super::ledger::PendingChunks;
use super::limits::{MOST_LABELS, OPEN_LINES, PARTS_WAIT};
use crate::event::Held;
use crate::msgpack::{PackError, PackReader, PackSpan, PackToken, put_array, put_map, put_str};
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
    /// A line is joined up to so many bytes; what follows is another part.
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
    /// Bytes of it that went on part by part.
    passed: usize,
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
        span: &PackSpan,
        chunks: PendingChunks,
        joined: &mut Vec<JoinedLine>,
    ) -> Option<PendingChunks> {
        let Ok(Some((head, part))) = LinePart::read(message, span) else { return Some(chunks) };
        let LinePart { id, is_last, text, fields, n_fields } = part;
        let is_answered = chunks.are_answered();
        let at = self.open.iter().position(|line| line.id == id).unwrap_or_else(|| {
            if self.open.len() >= OPEN_LINES {
                self.close(0, joined);
            }
            let (chunks, since) = (chunks.none(), Instant::now());
            let (id, text, passed) = (id.to_vec(), Vec::new(), 0);
            let line = OpenLine { id, head, fields, n_fields, text, passed, chunks, since };
            self.memory.take(line.bytes());
            self.open.push(line);
            self.open.len() - 1
        });
        let Some(line) = self.open.get_mut(at) else { return Some(chunks) };
        line.since = Instant::now();
        if is_answered {
            joined.push(line.pass(text, is_last, chunks));
            if is_last {
                self.close(at, joined);
            }
            return None;
        }
        line.text.extend_from_slice(text);
        line.chunks.append(chunks);
        let has_too_much = self.memory.take(text.len());
        if is_last {
            self.close(at, joined);
        } else if has_too_much || line.text.len() >= self.longest {
            let text = std::mem::take(&mut line.text);
            let chunks = line.chunks.take();
            joined.push(line.pass(&text, false, chunks));
            self.memory.give_back(text.len());
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
        if line.passed > 0 {
            let (text, chunks) = (std::mem::take(&mut line.text), line.chunks.take());
            // Each of its parts may have gone on by itself.
            joined.extend((!text.is_empty()).then(|| line.pass(&text, true, chunks)));
            return;
        }
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
    /// A part as a message of its own, with its place in the line.
    fn pass(&mut self, text: &[u8], is_last: bool, chunks: PendingChunks) -> JoinedLine {
        let mut message = self.head.clone();
        put_map(&mut message, self.n_fields.saturating_add(3));
        message.extend_from_slice(&self.fields);
        put_str(&mut message, b"log");
        put_str(&mut message, text);
        put_str(&mut message, b"partial_offset");
        put_str(&mut message, self.passed.to_string().as_bytes());
        put_str(&mut message, b"partial_last");
        put_str(&mut message, if is_last { b"true" } else { b"false" });
        self.passed = self.passed.saturating_add(text.len());
        JoinedLine { message, chunks }
    }

    fn bytes(&self) -> usize {
        let around = self.id.len().saturating_add(self.head.len()).saturating_add(self.fields.len());
        around.saturating_add(self.text.len())
    }
}

impl<'a> LinePart<'a> {
    /// Reads a message of one entry: what stands before its fields, and the part. None: it is whole, or has more
    /// beside its text than may be held, and goes on as it came.
    fn read(message: &'a [u8], span: &PackSpan) -> Result<Option<(Vec<u8>, Self)>, PackError> {
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
                    if part.fields.len() > MOST_LABELS {
                        return Ok(None);
                    }
                    continue;
                }
            }
            reader = value_at;
            reader.skip()?;
        }
        let before = message.get(tag_at..record_at).unwrap_or_default();
        let labels = part.fields.len().saturating_add(part.id.len()).saturating_add(before.len());
        if !is_part || part.id.is_empty() || labels > MOST_LABELS {
            return Ok(None);
        }
        let mut head = Vec::new();
        put_array(&mut head, 3);
        head.extend_from_slice(before);
        Ok(Some((head, part)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::event::Budget;
    use crate::msgpack::PackScan;
    use crate::source::fluent_forward::ledger::ChunkLedger;

    /// A part of a line, as Docker sends it.
    fn part(id: &str, log: &str, is_last: bool) -> Vec<u8> {
        labelled_part("tag", "/web", id, log, is_last)
    }

    fn labelled_part(tag: &str, container: &str, id: &str, log: &str, is_last: bool) -> Vec<u8> {
        let mut out = Vec::new();
        put_array(&mut out, 4);
        put_str(&mut out, tag.as_bytes());
        out.push(0x65);
        let last = if is_last { "true" } else { "false" };
        let fields = [
            ("container_name", container),
            ("log", log),
            ("partial_message", "true"),
            ("partial_id", id),
            ("partial_ordinal", "1"),
            ("partial_last", last),
            ("source", "stdout"),
        ];
        put_map(&mut out, u32::try_from(fields.len()).unwrap());
        for (name, value) in fields {
            put_str(&mut out, name.as_bytes());
            put_str(&mut out, value.as_bytes());
        }
        put_map(&mut out, 0);
        out
    }

    /// The message that the line is.
    fn whole(log: &str) -> Vec<u8> {
        let mut out = Vec::new();
        put_array(&mut out, 3);
        put_str(&mut out, b"tag");
        out.push(0x65);
        put_map(&mut out, 3);
        for text in ["container_name", "/web", "source", "stdout", "log", log] {
            put_str(&mut out, text.as_bytes());
        }
        out
    }

    /// The message that a part of the line is.
    fn passed(log: &str, offset: &str, last: &str) -> Vec<u8> {
        let mut out = whole(log);
        let fields = out.iter().position(|byte| *byte == 0x83).unwrap();
        out[fields] = 0x85;
        for text in ["partial_offset", offset, "partial_last", last] {
            put_str(&mut out, text.as_bytes());
        }
        out
    }

    struct Lines {
        budget: Arc<Budget>,
        ledger: Arc<ChunkLedger>,
        memory: PartsMemory,
    }

    impl Lines {
        fn new(most: u64) -> Self {
            let budget = Budget::new(1 << 20);
            let ledger = ChunkLedger::new(budget.keep());
            let memory = PartsMemory::new(budget.keep(), most);
            Self { budget, ledger, memory }
        }

        fn take(&self, joiner: &mut PartsJoiner<'_>, message: &[u8]) -> Vec<Vec<u8>> {
            let span = PackScan::default().step(message, 1 << 20).unwrap().unwrap();
            let mut found = Vec::new();
            let back = joiner.take(message, &span, self.ledger.pending(), &mut found);
            assert!(back.is_none(), "it is a part");
            found.into_iter().map(|line| line.message).collect()
        }
    }

    #[test]
    fn parts_of_lines_are_joined_by_their_id() {
        let lines = Lines::new(1 << 20);
        let mut joiner = PartsJoiner::new(&lines.memory, 1 << 20);
        assert!(lines.take(&mut joiner, &part("a", "one ", false)).is_empty());
        assert!(lines.take(&mut joiner, &part("b", "uno ", false)).is_empty());
        assert!(lines.take(&mut joiner, &part("a", "two ", false)).is_empty());
        assert_eq!(lines.take(&mut joiner, &part("b", "due", true)), [whole("uno due")]);
        assert_eq!(lines.take(&mut joiner, &part("a", "three", true)), [whole("one two three")]);
        assert!(joiner.is_empty() && lines.budget.used() == 0);
        let other = whole("x");
        let span = PackScan::default().step(&other, 1 << 20).unwrap().unwrap();
        assert!(joiner.take(&other, &span, lines.ledger.pending(), &mut Vec::new()).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_that_is_too_long_too_old_or_one_too_many_is_ended() {
        let lines = Lines::new(1 << 20);
        let mut joiner = PartsJoiner::new(&lines.memory, 10);
        assert!(lines.take(&mut joiner, &part("a", "123456", false)).is_empty());
        assert_eq!(lines.take(&mut joiner, &part("a", "7890", false)), [passed("1234567890", "0", "false")]);
        assert_eq!(lines.take(&mut joiner, &part("a", "end", true)), [passed("end", "10", "true")]);
        assert!(lines.take(&mut joiner, &part("b", "old", false)).is_empty());
        tokio::time::advance(PARTS_WAIT.saturating_sub(Duration::from_secs(1))).await;
        assert!(lines.take(&mut joiner, &part("c", "young", false)).is_empty());
        tokio::time::advance(Duration::from_secs(1)).await;
        let mut found = Vec::new();
        joiner.expire(Instant::now(), &mut found);
        assert_eq!(found.iter().map(|line| &line.message).collect::<Vec<_>>(), [&whole("old")]);
        for number in 0..OPEN_LINES - 1 {
            assert!(lines.take(&mut joiner, &part(&number.to_string(), "x", false)).is_empty());
        }
        assert_eq!(lines.take(&mut joiner, &part("more", "x", false)), [whole("young")]);
        drop(joiner);
        assert_eq!(lines.budget.used(), 0);
    }

    #[test]
    fn a_part_whose_sender_waits_goes_on_at_once_with_its_place() {
        let lines = Lines::new(1 << 20);
        let mut joiner = PartsJoiner::new(&lines.memory, 1 << 20);
        let queue = Arc::default();
        let mut take = |message: &[u8]| {
            let span = PackScan::default().step(message, 1 << 20).unwrap().unwrap();
            let (mut chunks, mut found) = (lines.ledger.pending(), Vec::new());
            lines.ledger.add(&mut chunks, super::super::ledger::ChunkKey::new(message), b"answer", &queue);
            assert!(joiner.take(message, &span, chunks, &mut found).is_none());
            assert!(found.len() == 1 && found[0].chunks.are_answered());
            found.remove(0).message
        };
        assert_eq!(take(&part("a", "one ", false)), passed("one ", "0", "false"));
        assert_eq!(take(&part("a", "two ", false)), passed("two ", "4", "false"));
        assert_eq!(take(&part("a", "three", true)), passed("three", "8", "true"));
        assert!(joiner.is_empty());
        drop(joiner);
        assert_eq!(lines.memory.held.lock().bytes(), 0);
    }

    #[test]
    fn a_part_with_more_labels_than_may_be_held_goes_on_as_it_came() {
        let lines = Lines::new(1 << 20);
        let mut joiner = PartsJoiner::new(&lines.memory, 1 << 20);
        let (long, small) = ("x".repeat(MOST_LABELS), "x".repeat(MOST_LABELS - 100));
        for (tag, container, id, is_taken) in [
            (&*small, "/web", "a", true),
            ("tag", &*small, "b", true),
            (&*long, "/web", "c", false),
            ("tag", &*long, "d", false),
            ("tag", "/web", &*long, false),
        ] {
            let message = labelled_part(tag, container, id, "text", false);
            let span = PackScan::default().step(&message, 1 << 20).unwrap().unwrap();
            let back = joiner.take(&message, &span, lines.ledger.pending(), &mut Vec::new());
            assert_eq!(back.is_none(), is_taken, "{} {} {}", tag.len(), container.len(), id.len());
        }
        assert!(lines.memory.held.lock().bytes() <= 2 * MOST_LABELS as u64 + 8);
    }

    #[test]
    fn lines_are_ended_where_they_take_too_much_memory() {
        let lines = Lines::new(500);
        let mut joiner = PartsJoiner::new(&lines.memory, 1 << 20);
        let long = "x".repeat(300);
        assert!(lines.take(&mut joiner, &part("a", &long, false)).is_empty());
        assert_eq!(lines.take(&mut joiner, &part("b", &long, false)), [passed(&long, "0", "false")]);
    }
}
