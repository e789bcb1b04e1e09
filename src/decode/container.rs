//! Container runtimes' lines: Docker's json-file and Kubernetes' CRI. Partial ones are joined, stream by stream.
//!
//! With multiline, a line that matches begins an event and ends the open ones of every stream; others continue the event of
//! their own stream. So a chunk may be cut before any such line, and events do not depend on where chunks are cut.

use std::sync::Arc;
use std::time::Duration;

use memchr::memrchr;
use regex::bytes::Regex;

use super::escapes::{strip_escaped_newline, unescape};
use super::json::Scanner;
use super::lines::{self, LineFraming};
use super::long::LengthLimit;
use crate::config;
use crate::event::{Event, Events, Field, Framing, Message, Origin, Timestamp};

/// Which runtime wrote the lines.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ContainerRuntime {
    Docker,
    Cri,
}

/// How container lines become events.
#[derive(Clone, Debug)]
pub(crate) struct Container {
    pub(crate) runtime: ContainerRuntime,
    pub(crate) limit: LengthLimit,
    pub(crate) multiline: Option<config::Multiline>,
}

/// How long a partial line waits for the rest. Runtimes write it at once, unless the container was killed between.
const PATIENCE: Duration = Duration::from_secs(5);

/// One line of the runtime's.
#[derive(Clone, Copy)]
struct ContainerLine<'a> {
    /// Where it begins.
    at: u64,
    stream: usize,
    timestamp: Option<Timestamp>,
    text: Message<'a>,
    /// Whether the next line of the stream goes on with the same message.
    partial: bool,
}

/// Standard output, standard error, and anything else.
const STREAMS: usize = 3;

/// What the runtimes call the first two.
const NAMES: [&str; 2] = ["stdout", "stderr"];

/// What is gathered of one stream's event.
#[derive(Debug, Default)]
struct OpenEvent {
    text: Vec<u8>,
    /// Where its first line begins.
    at: u64,
    timestamp: Option<Timestamp>,
    /// Which event was begun first; none: nothing is open.
    begun: Option<u64>,
    /// Whether the last line was partial.
    mid: bool,
}

/// The open events of all streams.
#[derive(Debug, Default)]
pub(crate) struct Joiner {
    streams: [OpenEvent; STREAMS],
    begun: u64,
    origins: StreamOrigins,
}

/// The origins of a file's streams, made when the first event of each comes.
#[derive(Debug, Default)]
struct StreamOrigins {
    file: Arc<Origin>,
    streams: [Option<Arc<Origin>>; NAMES.len()],
}

impl StreamOrigins {
    /// From now on, events are of this file.
    fn set(&mut self, file: &Arc<Origin>) {
        if !Arc::ptr_eq(&self.file, file) {
            *self = Self { file: Arc::clone(file), streams: Default::default() };
        }
    }

    /// The origin of a stream's events. What is neither output nor errors is of the file alone.
    fn of(&mut self, stream: usize) -> &Arc<Origin> {
        let (Some(origin), Some(name)) = (self.streams.get_mut(stream), NAMES.get(stream)) else {
            return &self.file;
        };
        origin.get_or_insert_with(|| Arc::new(Origin::clone(&self.file).with(Field::Stream, *name)))
    }
}

impl Container {
    /// Decodes whole lines that came from `origin`. `long` is a buffer for an event that is cut. Returns where the lines begin that are
    /// left for later, with the open events in `joiner`.
    pub(crate) fn decode<E: Events>(
        &self,
        joiner: &mut Joiner,
        long: &mut Vec<u8>,
        origin: &Arc<Origin>,
        (payload, before): (&[u8], u64),
        events: &mut E,
    ) -> Option<usize> {
        joiner.origins.set(origin);
        let mut at = 0;
        for line in lines::each(payload) {
            let is_joined = joiner.bytes() > 0;
            let fits = if is_joined {
                events.fits(line.len().saturating_add(joiner.bytes()), 1)
            } else {
                events.fits_message(Message::Raw(line))
            };
            if !fits {
                return Some(at);
            }
            let begin = before.saturating_add(at as u64);
            at += line.len();
            if let Some(line) = self.parse(line) {
                self.take(ContainerLine { at: begin, ..line }, joiner, long, events);
            } else {
                events.origin(origin);
                events.undecodable(self.label(), line);
            }
        }
        self.flush(joiner, long, true, events);
        joiner.shrink();
        None
    }

    const fn label(&self) -> &'static str {
        match self.runtime {
            ContainerRuntime::Docker => "docker",
            ContainerRuntime::Cri => "cri",
        }
    }

    fn parse<'a>(&self, line: &'a [u8]) -> Option<ContainerLine<'a>> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        match self.runtime {
            ContainerRuntime::Docker => docker(line),
            ContainerRuntime::Cri => cri(line),
        }
    }

    fn start(&self) -> Option<&Regex> {
        self.multiline.as_ref().map(|multiline| &multiline.start)
    }

    fn take<E: Events>(
        &self,
        line: ContainerLine<'_>,
        joiner: &mut Joiner,
        long: &mut Vec<u8>,
        events: &mut E,
    ) {
        let Some(open) = joiner.streams.get(line.stream) else { return };
        if self.multiline.is_none() && !open.mid && !line.partial {
            let event = Event { message: line.text, timestamp: line.timestamp, id: None, part: None };
            events.origin(joiner.origins.of(line.stream));
            events.at(line.at);
            return self.limit.apply(event, long, events);
        }
        let begins = !open.mid && self.start().is_some_and(|start| matches(start, line.text));
        if begins {
            self.flush(joiner, long, false, events);
        }
        joiner.add(line, self.runtime);
        if self.multiline.is_none() && !line.partial {
            self.tell(line.stream, joiner, long, events);
        }
    }

    /// Tells the open events in the order in which they were begun; those in the middle of a message only with `all`.
    fn flush<E: Events>(&self, joiner: &mut Joiner, long: &mut Vec<u8>, all: bool, events: &mut E) {
        while let Some(stream) = joiner.oldest(all) {
            self.tell(stream, joiner, long, events);
        }
    }

    fn tell<E: Events>(&self, stream: usize, joiner: &mut Joiner, long: &mut Vec<u8>, events: &mut E) {
        let Some(open) = joiner.streams.get_mut(stream) else { return };
        events.origin(joiner.origins.of(stream));
        events.at(open.at);
        let message = match (self.runtime, str::from_utf8(&open.text)) {
            (ContainerRuntime::Docker, Ok(inside)) => Message::Escaped(inside),
            (ContainerRuntime::Docker, Err(_)) | (ContainerRuntime::Cri, _) => Message::Raw(&open.text),
        };
        let event = Event { message, timestamp: open.timestamp, id: None, part: None };
        self.limit.apply(event, long, events);
        open.text.clear();
        open.begun = None;
        open.mid = false;
    }
}

impl Joiner {
    fn add(&mut self, line: ContainerLine<'_>, runtime: ContainerRuntime) {
        let Some(open) = self.streams.get_mut(line.stream) else { return };
        if open.begun.is_none() {
            open.begun = Some(self.begun);
            (open.timestamp, open.at) = (line.timestamp, line.at);
            self.begun = self.begun.wrapping_add(1);
        } else if !open.mid {
            open.text.extend_from_slice(match runtime {
                ContainerRuntime::Docker => b"\\n",
                ContainerRuntime::Cri => b"\n",
            });
        }
        open.text.extend_from_slice(match line.text {
            Message::Raw(text) => text,
            Message::Escaped(inside) => inside.as_bytes(),
        });
        open.mid = line.partial;
    }

    /// How much of open events it holds.
    pub(crate) fn bytes(&self) -> usize {
        self.streams.iter().map(|open| open.text.len()).sum()
    }

    fn oldest(&self, all: bool) -> Option<usize> {
        let open = self.streams.iter().enumerate().filter(|(_, open)| all || !open.mid);
        let begun = open.filter_map(|(stream, open)| Some((open.begun?, stream)));
        begun.min().map(|(_, stream)| stream)
    }

    fn shrink(&mut self) {
        for open in &mut self.streams {
            open.text.shrink_to(1 << 20);
        }
    }
}

/// `{"log":"text\n","stream":"stdout","time":"2026-11-22T01:02:03.004Z"}`
fn docker(line: &[u8]) -> Option<ContainerLine<'_>> {
    let mut scanner = Scanner::new(str::from_utf8(line).ok()?);
    let (mut log, mut stream, mut timestamp) = (None, "", None);
    scanner
        .object(|scanner, name| {
            match (name, scanner.peek()) {
                ("log", Some(b'"')) => log = Some(scanner.string()?),
                ("stream", Some(b'"')) => stream = scanner.string()?,
                ("time", Some(b'"')) => timestamp = Timestamp::from_any_rfc3339(scanner.string()?),
                _ => drop(scanner.value()?),
            }
            Ok(())
        })
        .ok()?;
    if scanner.peek().is_some() {
        return None;
    }
    let log = log?;
    let whole = strip_escaped_newline(log);
    let text = Message::Escaped(whole.unwrap_or(log));
    Some(ContainerLine { at: 0, stream: stream_number(stream), timestamp, text, partial: whole.is_none() })
}

/// `2026-11-22T01:02:03.004Z stdout F text`
fn cri(line: &[u8]) -> Option<ContainerLine<'_>> {
    let mut fields = line.splitn(4, |byte| *byte == b' ');
    let mut word = || fields.next().and_then(|field| str::from_utf8(field).ok());
    let timestamp = Timestamp::from_any_rfc3339(word()?)?;
    let stream = word()?;
    let tags = word()?;
    let partial = match tags.split_once(':').map_or(tags, |(first, _)| first) {
        "P" => true,
        "F" => false,
        _ => return None,
    };
    let text = fields.next().unwrap_or_default();
    let text = if partial { text } else { text.strip_suffix(b"\r").unwrap_or(text) };
    Some(ContainerLine {
        at: 0,
        stream: stream_number(stream),
        timestamp: Some(timestamp),
        text: Message::Raw(text),
        partial,
    })
}

fn stream_number(name: &str) -> usize {
    NAMES.iter().position(|known| *known == name).unwrap_or(NAMES.len())
}

fn matches(start: &Regex, text: Message<'_>) -> bool {
    match text {
        Message::Raw(text) => start.is_match(text),
        Message::Escaped(inside) => start.is_match(unescape(inside).as_bytes()),
    }
}

impl Framing for Container {
    fn whole(&self, bytes: &[u8], end: bool) -> usize {
        if end {
            return bytes.len();
        }
        let lines_end = memrchr(b'\n', bytes).map_or(0, |at| at + 1);
        let mut mid = [false; STREAMS];
        let (mut at, mut whole) = (0, 0);
        for line in lines::each(bytes.get(..lines_end).unwrap_or_default()) {
            let parsed = self.parse(line);
            let between = mid == [false; STREAMS];
            let begins = |start| parsed.is_some_and(|parsed| matches(start, parsed.text));
            if between && self.start().is_some_and(begins) {
                whole = at;
            }
            at += line.len();
            if let Some(parsed) = parsed
                && let Some(mid) = mid.get_mut(parsed.stream)
            {
                *mid = parsed.partial;
            }
            if self.multiline.is_none() && mid == [false; STREAMS] {
                whole = at;
            }
        }
        // The runtime's own words around each line count too: twice as much is surely enough.
        let bound = LengthLimit { max: self.limit.max.saturating_mul(2), ..self.limit };
        if whole == 0 && bytes.len() > bound.max { LineFraming(bound).whole(bytes, false) } else { whole }
    }

    fn patience(&self) -> Option<Duration> {
        Some(self.multiline.as_ref().map_or(PATIENCE, |multiline| multiline.timeout))
    }
}
