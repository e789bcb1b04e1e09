//! Contents cut in pieces of any size hold the same events as all of them.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::config::{Format, TooLong};
use crate::decode::{self, Decoder, Scratch};
use crate::event::{Charset, Event, Events, Message, Origin, Wants};

/// What a decoder tells.
#[derive(Debug, Default, Eq, PartialEq)]
struct Told {
    events: Vec<String>,
    undecodable: Vec<u8>,
}

impl Events for Told {
    fn wants(&self) -> Wants {
        Wants { events: true, envelopes: false }
    }

    fn origin(&mut self, _: &Arc<Origin>) {}

    fn lines(&mut self, lines: &Bytes, _: u64) {
        let lines = std::str::from_utf8(lines).unwrap();
        self.events.extend(lines.lines().map(str::to_owned));
    }

    fn event(&mut self, event: Event<'_>) {
        self.events.push(match event.message {
            Message::Raw(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Message::Escaped(text) => text.to_owned(),
        });
    }

    fn envelope(&mut self, _: &Bytes) {}

    fn undecodable(&mut self, _: &'static str, payload: &[u8]) {
        self.undecodable.extend_from_slice(payload);
    }
}

fn decoding(format: Format) -> Decoding {
    Decoding {
        format,
        charset: Charset::UTF8,
        multiline: None,
        max_line: 1_000,
        too_long: TooLong::Split,
        max_inflated: 1 << 20,
    }
}

/// Where reading can begin: a place in the contents, and how they stand there.
type Places = Vec<(usize, CutState)>;

/// Cuts contents that come in pieces of `piece` bytes, and decodes the chunks.
fn cut(
    contents: ObjectContents,
    format: Format,
    text: &[u8],
    state: CutState,
    piece: usize,
    most: usize,
) -> (Told, Places) {
    let decoding = decoding(format);
    let (framing, decoder) = (decode::framing(&decoding), Decoder::new(&decoding));
    let mut framer = ContentFramer::new(contents, &decoding, &*framing, state);
    let (mut told, mut scratch, mut places) = (Told::default(), Scratch::default(), Places::new());
    let (mut at_hand, mut taken) = (Vec::new(), 0);
    let mut pieces: Vec<&[u8]> = text.chunks(piece).collect();
    pieces.push(&[]);
    let last = pieces.len() - 1;
    for (index, piece) in pieces.into_iter().enumerate() {
        at_hand.extend_from_slice(piece);
        while let Some(mut plan) = framer.next(&*framing, &at_hand, index == last, most) {
            assert!(plan.taken > 0 && plan.taken <= at_hand.len());
            let (len, payload) = (plan.len(), plan.payload(&at_hand));
            assert_eq!(payload.len(), len);
            if plan.refused.is_some() {
                told.undecodable.extend_from_slice(&payload);
            } else if len > 0 {
                decoder.decode_piece(&mut scratch, &Arc::default(), &payload, plan.piece, &mut told);
            }
            at_hand.drain(..plan.taken);
            taken += plan.taken;
            places.extend(plan.state.map(|state| (taken, state)));
        }
    }
    assert_eq!(at_hand, b"", "something is left over");
    (told, places)
}

#[track_caller]
fn check(contents: ObjectContents, format: Format, text: &str, events: &[&str], undecodable: &str) {
    for piece in [1, 10, 1_000] {
        let (told, _) = cut(contents, format, text.as_bytes(), CutState::Between, piece, 10_000);
        assert_eq!(told.events, events, "{text}");
        assert_eq!(String::from_utf8(told.undecodable).unwrap(), undecodable, "{text}");
    }
}

#[test]
fn a_trail_is_cut_between_its_records() {
    let trail = |text: &str, events: &[&str], undecodable: &str| {
        check(ObjectContents::Cloudtrail, Format::Cloudtrail, text, events, undecodable);
    };
    trail(r#"{"Records":[{"a":1},{"b":["}","]"]}]}"#, &[r#"{"a":1}"#, r#"{"b":["}","]"]}"#], "");
    trail(
        " { \"x\" : [1], \"Records\" : [ {\"a\":1} , {\"b\":2} ] , \"y\":{} }\n",
        &[r#"{"a":1}"#, r#"{"b":2}"#],
        "",
    );
    trail(r#"{"Records":[]}"#, &[], "");
    trail(r#"{"Records":[{"a":1}]}{"Records":[{"b":2}]}"#, &[r#"{"a":1}"#, r#"{"b":2}"#], "");
    trail(r#"{"Records":[{"a":"\\\",]}"}]}"#, &[r#"{"a":"\\\",]}"}"#], "");
    trail("", &[], "");
    trail(r#"{"logFiles":[{"Records":[1]}]}"#, &[], r#"{"logFiles":[{"Records":[1]}]}"#);
    trail("plain words", &[], "plain words");
    trail(r#"{"Records":[{"a":1},{"b":"#, &[r#"{"a":1}"#], r#"{"b":"#);
    trail(r#"{"Records":[{"a":1}"#, &[], r#"{"a":1}"#);
}

#[test]
fn envelopes_are_cut_between_one_and_the_next() {
    let envelope = |message: &str| {
        format!(
            r#"{{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"g","logStream":"s","subscriptionFilters":["f"],"logEvents":[{{"id":"1","timestamp":1,"message":"{message}"}}]}}"#
        )
    };
    let envelopes = |text: &str, events: &[&str], undecodable: &str| {
        check(ObjectContents::Envelopes, Format::Envelope, text, events, undecodable);
    };
    let (one, two) = (envelope("one}{"), envelope("two"));
    envelopes(&format!("{one}{two}"), &["one}{", "two"], "");
    envelopes(&format!("{one}\n{two}\n"), &["one}{", "two"], "");
    envelopes(&format!("{one}\nno json\n{two}"), &["one}{", "two"], "\nno json\n");
    let torn = two.get(..20).unwrap();
    envelopes(&format!("{one}{torn}"), &["one}{"], torn);
}

#[test]
fn records_that_firehose_could_not_deliver_are_taken_out_of_its_error_output() {
    let line = |record: &str| {
        let data = base64_simd::STANDARD.encode_to_string(record);
        format!(r#"{{"attemptsMade":4,"errorCode":"S3.AccessDenied","rawData":"{data}"}}"#)
    };
    let text = format!("{}\n{}", line("one\ntwo\n"), line("three"));
    check(ObjectContents::FirehoseBackup, Format::Lines, &text, &["one", "two", "three"], "");
    let text = format!("no json\n{}\n{{\"rawData\":\"no base64!\"}}\n", line("one"));
    let refused = "no json\n{\"rawData\":\"no base64!\"}\n";
    check(ObjectContents::FirehoseBackup, Format::Lines, &text, &["one"], refused);
}

#[test]
fn what_has_no_end_goes_on_in_pieces() {
    let endless = format!(r#"{{"Records":[{{"a":1}},{{"b":"{}"#, "x".repeat(5 * TARGET));
    for contents in [ObjectContents::Cloudtrail, ObjectContents::Envelopes, ObjectContents::FirehoseBackup] {
        let format =
            if contents == ObjectContents::Cloudtrail { Format::Cloudtrail } else { Format::Envelope };
        let (told, _) = cut(contents, format, endless.as_bytes(), CutState::Between, 10_000, 2 * TARGET);
        assert!(told.undecodable.len() > 5 * TARGET, "{contents:?}: {}", told.undecodable.len());
    }
}

fn trail_text() -> impl Strategy<Value = (String, Vec<String>)> {
    let record = ("[a-z\\[\\]{},:\\\\\" ]{0,20}", 0_usize..3).prop_map(|(text, nested)| {
        let mut value = serde_json::json!({ "text": text });
        for _ in 0..nested {
            value = serde_json::json!({ "Records": [value, 1] });
        }
        value.to_string()
    });
    proptest::collection::vec(proptest::collection::vec(record, 0..5), 1..4).prop_map(|files| {
        let text: Vec<String> =
            files.iter().map(|file| format!(r#"{{"Records":[{}]}}"#, file.join(","))).collect();
        (text.concat(), files.concat())
    })
}

proptest! {
    #[test]
    fn any_trail_in_any_pieces_holds_the_same_records((text, records) in trail_text(), piece in 1_usize..40) {
        let (told, _) = cut(ObjectContents::Cloudtrail, Format::Cloudtrail, text.as_bytes(), CutState::Between, piece, 1_000);
        prop_assert_eq!(told.events, records);
        prop_assert_eq!(told.undecodable, Vec::<u8>::new());
    }

    /// What is read from a place on is what the decoder was not told before it.
    #[test]
    fn reading_goes_on_from_any_place((text, records) in trail_text(), piece in 1_usize..40, pick: prop::sample::Index) {
        let contents = ObjectContents::Cloudtrail;
        let (_, places) = cut(contents, Format::Cloudtrail, text.as_bytes(), CutState::Between, piece, 1_000);
        let (at, state) = *pick.get(&places);
        let (before, _) = cut(contents, Format::Cloudtrail, &text.as_bytes()[..at], CutState::Between, piece, 1_000);
        let (after, _) = cut(contents, Format::Cloudtrail, &text.as_bytes()[at..], state, piece, 1_000);
        prop_assert_eq!([before.events, after.events].concat(), records);
    }

    #[test]
    fn no_contents_are_lost(text in "[{}\\[\\]\",:a\\n\\\\ ]{0,60}", trail: bool, piece in 1_usize..20) {
        let (contents, format) = if trail {
            (ObjectContents::Cloudtrail, Format::Cloudtrail)
        } else {
            (ObjectContents::Envelopes, Format::Envelope)
        };
        cut(contents, format, text.as_bytes(), CutState::Between, piece, 1_000);
    }
}
