//! Envelopes of any shape, decoded and written in each encoding: what comes out is what was put in.

#![expect(clippy::panic, reason = "a receiver of events has no other way to fail its test")]

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use standpipe::batch::{BUFFER_BYTES, Encoder, Output};
use standpipe::config::{
    Buffer, Compression, Decoding, DirectorySink, Encoding, Format, Packing, SinkConfig, SinkKind, Template,
    TooLong,
};
use standpipe::decode::{Decoder, Scratch};
use standpipe::event::{Block, Borders, Buffers, Charset, Event, Events, Origin, Timestamp, Wants};

/// One event, and how it is written into the envelope.
#[derive(Clone, Debug)]
struct Sent {
    id: u64,
    timestamp: i64,
    message: String,
    /// Beside those, as a field of its own; none: `CloudWatch` Logs' own shape.
    extra: Option<Value>,
    is_number: bool,
    /// Which of the orders of the fields.
    order: usize,
}

/// How an envelope is written.
#[derive(Clone, Debug)]
struct Dress {
    group: String,
    events_first: bool,
    space: String,
    ascii: bool,
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[\\x00-\\x1f\"\\\\/é😀a]{0,150}",
        "[a-z ]{0,150}",
        "(a{0,70}[\"\\\\\n]){0,6}",
        Just(r#"{"level":"info","at":"C:\\x"}"#.to_owned()),
    ]
}

fn extras() -> impl Strategy<Value = Option<Value>> {
    let nested =
        texts().prop_map(|text| json!({"message": text, "id": [text, null, {"logEvents": [1.5, true]}]}));
    prop_oneof![Just(None), nested.prop_map(Some)]
}

fn sent() -> impl Strategy<Value = Sent> {
    let times =
        prop_oneof![1_790_000_000_000_i64..1_790_000_100_000, -1_000_000_000_000_i64..4_000_000_000_000];
    (any::<u64>(), times, texts(), extras(), any::<bool>(), 0_usize..24).prop_map(
        |(id, timestamp, message, extra, is_number, order)| {
            let is_number = is_number && extra.is_some();
            Sent { id, timestamp, message, extra, is_number, order }
        },
    )
}

fn dresses() -> impl Strategy<Value = Dress> {
    (texts(), any::<bool>(), "[ \n\t\r]{0,2}", any::<bool>()).prop_map(
        |(group, events_first, space, ascii)| {
            // An empty name is none.
            Dress { group: format!("/{group}"), events_first, space, ascii }
        },
    )
}

impl Dress {
    fn quote(&self, text: &str) -> String {
        let quoted = serde_json::to_string(text).unwrap();
        if !self.ascii {
            return quoted;
        }
        let escape = |c: char| {
            let escaped = |unit: &u16| format!("\\u{unit:04X}");
            if c.is_ascii() {
                c.to_string()
            } else {
                c.encode_utf16(&mut [0; 2]).iter().map(escaped).collect()
            }
        };
        quoted.chars().map(escape).collect()
    }

    fn object(&self, fields: &[(String, String)]) -> String {
        let space = &self.space;
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| format!("{space}{name}{space}:{space}{value}{space}"))
            .collect();
        format!("{{{}}}", fields.join(","))
    }

    fn event(&self, event: &Sent) -> String {
        let Sent { id, timestamp, message, extra, is_number, order } = event;
        let quotes = if *is_number { "" } else { "\"" };
        let message = self.quote(message);
        let Some(extra) = extra else {
            return format!(r#"{{"id":"{id}","timestamp":{timestamp},"message":{message}}}"#);
        };
        let mut fields = vec![
            ("\"id\"".to_owned(), format!("{quotes}{id}{quotes}")),
            ("\"timestamp\"".to_owned(), timestamp.to_string()),
            (r#""m\u0065ssage""#.to_owned(), message),
            ("\"extractedFields\"".to_owned(), extra.to_string()),
        ];
        // Each of the 24 numbers is another order.
        let mut left = *order;
        for place in 0..fields.len() {
            let choices = fields.len() - place;
            fields.swap(place, place + left % choices);
            left /= choices;
        }
        self.object(&fields)
    }

    fn envelope(&self, events: &[Sent]) -> String {
        let events: Vec<_> = events.iter().map(|event| self.event(event)).collect();
        let mut fields = vec![
            ("\"messageType\"".to_owned(), "\"DATA_MESSAGE\"".to_owned()),
            ("\"owner\"".to_owned(), "\"111122223333\"".to_owned()),
            ("\"logGroup\"".to_owned(), self.quote(&self.group)),
            ("\"logStream\"".to_owned(), "\"s\"".to_owned()),
            ("\"subscriptionFilters\"".to_owned(), "[\"f\"]".to_owned()),
            ("\"logEvents\"".to_owned(), format!("[{}]", events.join(","))),
        ];
        if self.events_first {
            fields.reverse();
        }
        self.object(&fields)
    }
}

/// Writes what is decoded as one sink wants it.
struct Written {
    encoder: Encoder,
    output: Output,
    blocks: Vec<Block>,
}

impl Events for Written {
    fn wants(&self) -> Wants {
        let envelopes = self.encoder.wants_envelopes();
        Wants { events: !envelopes, envelopes }
    }

    fn origin(&mut self, origin: &Arc<Origin>) {
        self.blocks.extend(self.output.take(&self.encoder));
        self.output.origin(&self.encoder, origin);
    }

    fn lines(&mut self, _: &Bytes, _: u64) {}

    fn event(&mut self, event: Event<'_>) {
        self.encoder.event(&event, Timestamp(0), &mut self.output).unwrap();
    }

    fn envelope(&mut self, gzipped: &Bytes) {
        self.encoder.envelope(gzipped, &mut self.output).unwrap();
    }

    fn undecodable(&mut self, reason: &'static str, payload: &[u8]) {
        panic!("{reason}: {}", String::from_utf8_lossy(payload));
    }
}

/// What a sink is sent of a payload, event by event.
fn write(encoding: Encoding, payload: &[u8]) -> Vec<Vec<u8>> {
    let kind =
        SinkKind::Directory(DirectorySink { path: "out".into(), stream: Template { pieces: [].into() } });
    let encoder = Encoder::new(&SinkConfig {
        kind,
        encoding,
        id: false,
        fields: Vec::new(),
        packing: Packing::Event,
        compression: Compression::None,
        rate: None,
        linger: Duration::ZERO,
        too_long: TooLong::Split,
        max_destinations: 1,
        idle: Duration::ZERO,
        buffer: Buffer::Memory,
    });
    let output = Output::new(Buffers::new(BUFFER_BYTES, 1));
    let mut written = Written { encoder, output, blocks: Vec::new() };
    let decoder = Decoder::new(&Decoding {
        format: Format::Envelope,
        charset: Charset::UTF8,
        multiline: None,
        max_line: 1 << 20,
        too_long: TooLong::Split,
        max_inflated: 1 << 20,
    });
    let origin = Arc::new(Origin { source: "subs".into(), ..Origin::default() });
    decoder.decode(&mut Scratch::default(), &origin, &Bytes::copy_from_slice(payload), &mut written);
    let last = written.output.take(&written.encoder);
    written.blocks.extend(last);
    written.blocks.iter().flat_map(events).collect()
}

fn events(block: &Block) -> Vec<Vec<u8>> {
    let Borders::Ends(ends) = &block.borders else { panic!("events one by one have their ends listed") };
    let starts = [0].into_iter().chain(ends.iter().copied());
    starts.zip(ends).map(|(start, end)| block.data[start as usize..*end as usize].to_vec()).collect()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut gz = Vec::new();
    flate2::read::GzEncoder::new(text.as_bytes(), flate2::Compression::fast()).read_to_end(&mut gz).unwrap();
    gz
}

#[test]
fn bad_characters_leave_events_that_every_encoding_can_hold() {
    let text = b"{\"messageType\":\"DATA_MESSAGE\",\"owner\":\"1\",\"logGroup\":\"g\",\"logStream\":\"s\",\"logEvents\":[\
        {\"id\":\"1\",\"timestamp\":1,\"message\":\"good\"},{\"id\":\"2\",\"timestamp\":1,\"message\":\"a \\ud83d b\xff c\td\"}]}";
    let bad = "a \u{FFFD} b\u{FFFD} c\td";
    assert_eq!(write(Encoding::Message, text), [b"good".to_vec(), bad.as_bytes().to_vec()]);
    let objects = write(Encoding::Json, text);
    let messages =
        objects.iter().map(|line| serde_json::from_slice::<Value>(line).unwrap()["message"].clone());
    assert_eq!(messages.collect::<Vec<_>>(), ["good", bad]);
    assert_eq!(write(Encoding::Envelope, text).len(), 1);
}

proptest! {
    #[test]
    fn every_encoding_holds_what_an_envelope_held(envelopes in prop::collection::vec((dresses(), prop::collection::vec(sent(), 1..5)), 1..4), gz: bool) {
        let texts: Vec<String> = envelopes.iter().map(|(dress, events)| dress.envelope(events)).collect();
        let payload: Vec<u8> = if gz { texts.iter().flat_map(|text| gzip(text)).collect() } else { texts.concat().into() };
        let sent: Vec<(&Dress, &Sent)> =
            envelopes.iter().flat_map(|(dress, events)| events.iter().map(move |event| (dress, event))).collect();

        let messages: Vec<Vec<u8>> = sent.iter().map(|(_, event)| event.message.clone().into_bytes()).collect();
        prop_assert_eq!(write(Encoding::Message, &payload), messages);

        let objects: Vec<Value> = write(Encoding::Json, &payload).iter().map(|line| serde_json::from_slice(line).unwrap()).collect();
        let expected = sent.iter().map(|(dress, event)| json!({
            "timestamp": Timestamp(event.timestamp).to_rfc3339(),
            "message": event.message,
            "id": event.id.to_string(),
            "owner": "111122223333",
            "log_group": dress.group,
            "log_stream": "s",
            "source": "subs",
        }));
        prop_assert_eq!(objects, expected.collect::<Vec<_>>());

        let passed_on = write(Encoding::Envelope, &payload);
        let inflated = passed_on.iter().map(|gz| {
            let mut text = String::new();
            flate2::read::MultiGzDecoder::new(&gz[..]).read_to_string(&mut text).unwrap();
            text
        });
        prop_assert_eq!(inflated.collect::<Vec<_>>(), texts);
    }
}
