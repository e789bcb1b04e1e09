//! Messages of the Forward protocol in every mode, and what of a record is told.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::gzip;
use super::testing::{SeenEvents, config, decode_with};
use super::{Decoder, Scratch, Undecoded};
use crate::config::{Decoding, Format, RecordAs};
use crate::event::{Field, Part, Piece};
use crate::msgpack::{put_array, put_bin, put_map, put_str};

const TIME: &[u8] = &[0x65];

/// With 1 s and 2 ms.
const EVENT_TIME: &[u8] = &[0xd7, 0, 0, 0, 0, 1, 0, 0x1e, 0x84, 0x80];

fn how(record: RecordAs) -> Decoding {
    config(Format::FluentForward(record))
}

fn record(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    put_map(&mut out, u32::try_from(fields.len()).unwrap());
    for (name, value) in fields {
        put_str(&mut out, name.as_bytes());
        put_str(&mut out, value.as_bytes());
    }
    out
}

fn array(values: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    put_array(&mut out, u32::try_from(values.len()).unwrap());
    for value in values {
        out.extend_from_slice(value);
    }
    out
}

fn bin(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_bin(&mut out, bytes);
    out
}

const TAG: &[u8] = b"\xa3app";

/// A message of one entry.
fn message(time: &[u8], record: &[u8]) -> Vec<u8> {
    array(&[TAG, time, record])
}

fn entry(log: &str) -> Vec<u8> {
    array(&[TIME, &record(&[("log", log)])])
}

#[track_caller]
fn check(payload: &[u8], expected: &[&str]) -> SeenEvents {
    let seen = decode_with(&how(RecordAs::Auto), payload);
    assert_eq!(seen.told(), expected, "{payload:x?}");
    seen
}

#[test]
fn every_mode_tells_the_same_events() {
    let expected = ["101000 one", "101000 two", "101000 next"];
    let entries = [entry("one"), entry("two")].concat();
    let list = array(&[&entry("one"), &entry("two")]);
    let options: [&[u8]; 3] = [b"", b"\xc0", b"\x81\xa4size\x02"];
    let next = message(TIME, &record(&[("log", "next")]));
    let zstd = ruzstd::encoding::compress_to_vec(&*entries, ruzstd::encoding::CompressionLevel::Fastest);
    let two_members = [&*gzip::deflate(&entry("one")), &*gzip::deflate(&entry("two"))].concat();
    let mut text = Vec::new();
    put_str(&mut text, &entries);
    let packed = [bin(&entries), text, bin(&gzip::deflate(&entries)), bin(&two_members), bin(&zstd)];
    for option in options {
        let with_option = |list: &[u8]| {
            let parts: &[&[u8]] = if option.is_empty() { &[TAG, list] } else { &[TAG, list, option] };
            [array(parts), next.clone()].concat()
        };
        check(&with_option(&list), &expected);
        for packed in &packed {
            check(&with_option(packed), &expected);
        }
        let one = |log: &str| {
            let record = record(&[("log", log)]);
            if option.is_empty() { message(TIME, &record) } else { array(&[TAG, TIME, &record, option]) }
        };
        check(&[one("one"), one("two"), next.clone()].concat(), &expected);
    }
    check(&array(&[TAG, &bin(b"")]), &[]);
    check(&array(&[TAG, b"\x90"]), &[]);
}

#[test]
fn a_time_is_read_in_every_form() {
    let check = |time: &[u8], expected: &str| {
        let log = record(&[("log", "x")]);
        check(&message(time, &log), &[expected]);
        // Fluent Bit's entries have metadata beside the time.
        let with_metadata = array(&[&array(&[time, b"\x81\xa1k\xa1v"]), &log]);
        check(&array(&[TAG, &array(&[&with_metadata])]), &[expected]);
        check(&array(&[TAG, &bin(&with_metadata)]), &[expected]);
    };
    check(TIME, "101000 x");
    check(EVENT_TIME, "1002 x");
    check(&[0xc7, 8, 0, 0, 0, 0, 1, 0, 0x1e, 0x84, 0x80], "1002 x");
    check(&[0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0], "1500 x");
    check(&[0xd1, 0xff, 0], "-256000 x");
    check(&[0], "x");
    check(&[0xc0], "x");
    check(&[0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0], "x");
    check(&[0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "9223372036854775807 x");
}

#[test]
fn markers_of_groups_are_no_events() {
    let marker = |seconds: &[u8]| array(&[&array(&[seconds, b"\x80"]), &record(&[("resource", "r")])]);
    let open = [&[0xd7, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0][..], &[0xff]];
    let close = [&[0xd7, 0, 0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 0][..], &[0xfe]];
    for (open, close) in open.into_iter().zip(close) {
        let list = array(&[&marker(open), &entry("one"), &marker(close), &entry("two")]);
        check(&array(&[TAG, &list]), &["101000 one", "101000 two"]);
    }
}

#[test]
fn the_message_is_the_log_or_the_whole_record() {
    let check = |fields: &[(&str, &str)], expected: [&str; 3]| {
        for (record_as, expected) in
            [RecordAs::Auto, RecordAs::Message, RecordAs::Json].into_iter().zip(expected)
        {
            let seen = decode_with(&how(record_as), &message(b"\xc0", &record(fields)));
            assert_eq!(seen.told(), [expected], "{record_as:?} {fields:?}");
        }
    };
    check(&[("log", "x")], ["x", "x", r#"{"log":"x"}"#]);
    check(&[("message", "x")], ["x", "x", r#"{"message":"x"}"#]);
    check(&[("log", "x\r\n")], ["x", "x", r#"{"log":"x\r\n"}"#]);
    check(&[], ["{}"; 3]);
    check(&[("a", "b")], [r#"{"a":"b"}"#; 3]);
    let both = r#"{"message":"y","log":"x"}"#;
    check(&[("message", "y"), ("log", "x")], [both, "x", both]);
    let docker = [
        ("container_id", "0123456789abcdef"),
        ("container_name", "/web"),
        ("source", "stdout"),
        ("log", "x"),
    ];
    let json = r#"{"container_id":"0123456789abcdef","container_name":"/web","source":"stdout","log":"x"}"#;
    check(&docker, ["x", "x", json]);
    let label = [&docker[..], &[("team", "a")]].concat();
    let json = json.replace('}', r#","team":"a"}"#);
    check(&label, [&json, "x", &json]);
    check(
        &[("log", "x"), ("source", "syslog")],
        [r#"{"log":"x","source":"syslog"}"#, "x", r#"{"log":"x","source":"syslog"}"#],
    );
}

#[test]
fn every_record_of_a_chunk_has_a_place_of_its_own() {
    let entries = [entry("same"), entry("same"), entry("same")].concat();
    let list = array(&[&entry("same"), &entry("same")]);
    let one = message(TIME, &record(&[("log", "same")]));
    let gzipped = array(&[TAG, &bin(&gzip::deflate(&entries))]);
    let payload =
        [array(&[TAG, &list]), one.clone(), array(&[TAG, &bin(&entries)]), gzipped.clone(), one, gzipped];
    let seen = decode_with(&how(RecordAs::Auto), &payload.concat());
    let distinct: std::collections::BTreeSet<u64> = seen.places.iter().copied().collect();
    assert_eq!((seen.told().len(), distinct.len(), seen.places.len()), (13, 13, 13), "{:?}", seen.places);
}

#[test]
fn an_event_comes_from_its_tag_its_container_and_its_stream() {
    let origin_of = |fields: &[(&str, &str)]| {
        let seen = decode_with(&how(RecordAs::Message), &message(TIME, &record(fields)));
        let origin = Arc::clone(seen.origins.last().unwrap());
        [Field::Tag, Field::Container, Field::Stream].map(|field| origin.text(field).to_owned())
    };
    assert_eq!(origin_of(&[("log", "x")]), ["app", "", ""]);
    assert_eq!(
        origin_of(&[("log", "x"), ("container_name", "/web"), ("source", "stderr")]),
        ["app", "web", "stderr"]
    );
    assert_eq!(
        origin_of(&[("container_id", "0123456789abcdef"), ("stream", "stdout")]),
        ["app", "0123456789ab", "stdout"]
    );
    assert_eq!(origin_of(&[("source", "elsewhere")]), ["app", "", ""]);
    let long = "é".repeat(600);
    assert_eq!(origin_of(&[("container_name", &long)])[1].chars().count(), 128);
    // Those that come again are not made again.
    let two =
        [&record(&[("log", "a"), ("source", "stdout")])[..], &record(&[("log", "b"), ("source", "stderr")])];
    let payload: Vec<u8> = (0..100).flat_map(|at| message(TIME, two[at % 2])).collect();
    let seen = decode_with(&how(RecordAs::Auto), &payload);
    let distinct: std::collections::BTreeSet<_> = seen.origins.iter().map(Arc::as_ptr).collect();
    assert_eq!((seen.told().len(), distinct.len()), (100, 2));
}

#[test]
fn a_part_of_a_line_tells_its_place() {
    let part = |offset: &str, last: &str| {
        let fields = [("log", "x"), ("partial_id", "p"), ("partial_offset", offset), ("partial_last", last)];
        let seen = decode_with(&how(RecordAs::Auto), &message(TIME, &record(&fields)));
        assert_eq!(seen.told(), ["101000 x"]);
        seen.parts[0]
    };
    assert_eq!(part("0", "false"), Some(Part { offset: 0, last: false }));
    assert_eq!(part("16384", "true"), Some(Part { offset: 16_384, last: true }));
    assert_eq!(part("none", "true"), None);
}

#[test]
fn what_is_no_record_is_refused_alone() {
    let good = message(TIME, &record(&[("log", "good")]));
    let check = |bad: &[u8], expected: &[&str]| {
        let seen = decode_with(&how(RecordAs::Auto), &[bad, &good].concat());
        let (last, before) = seen.told().split_last().unwrap();
        let reason = |told: &String| match told.strip_prefix("undecodable ") {
            Some(refused) => format!("undecodable {}", refused.split(' ').next().unwrap_or_default()),
            None => told.clone(),
        };
        let before: Vec<String> = before.iter().map(reason).collect();
        assert_eq!(
            (before, last.as_str()),
            (expected.iter().map(|told| (*told).to_owned()).collect(), "101000 good"),
            "{bad:x?}"
        );
    };
    check(&message(TIME, b"\x07"), &["undecodable forward"]);
    check(&array(&[TAG, &array(&[b"\x01", &entry("one")])]), &["undecodable forward", "101000 one"]);
    check(
        &array(&[TAG, &bin(&[&[0x01][..], &entry("one")].concat())]),
        &["undecodable forward", "101000 one"],
    );
    check(
        &array(&[TAG, &bin(&[&entry("one")[..], &[0x92, 0x01]].concat())]),
        &["101000 one", "undecodable forward"],
    );
    check(&array(&[TAG, b"\x80", b"\x80"]), &["undecodable forward"]);
    check(&array(&[b"\x01", b"\x90"]), &["undecodable forward"]);
    check(b"\x07", &["undecodable forward"]);
    check(
        &array(&[TAG, &bin(&[&gzip::deflate(&entry("x"))[..20], &[0; 9]].concat())]),
        &["undecodable gzip"],
    );
    check(&array(&[TAG, &bin(b"\x28\xb5\x2f\xfdx")]), &["undecodable zstd"]);
    let bomb = gzip::deflate(&vec![0xc0; 2 << 20]);
    check(&array(&[TAG, &bin(&bomb)]), &["undecodable too_large"]);
    let deep = [&b"\x81\xa1a"[..], &[0x91; 100], b"\x01"].concat();
    let seen = decode_with(&how(RecordAs::Auto), &message(TIME, &deep));
    assert!(
        seen.told().len() == 1 && seen.told()[0].starts_with("undecodable too_large"),
        "{:?}",
        seen.told()
    );
}

#[test]
fn a_compressed_message_waits_for_the_memory_that_it_inflates_to() {
    let entries = entry("a line").repeat(5_000);
    let payload = Bytes::from(array(&[TAG, &bin(&gzip::deflate(&entries))]));
    let mut seen = SeenEvents::with_room(None, 10_000);
    let (decoder, mut scratch) = (Decoder::new(&how(RecordAs::Auto)), Scratch::default());
    let undecoded = Undecoded::new(payload, Piece::default());
    let left = decoder.decode_some(&mut scratch, &Arc::default(), undecoded, &mut seen).unwrap();
    assert!(left.is_whole() && seen.told().is_empty());
    seen.may_take = 1 << 20;
    assert!(decoder.decode_some(&mut scratch, &Arc::default(), left, &mut seen).is_none());
    assert_eq!(seen.told().len(), 5_000);
}

/// Messages in any mode, some of them broken.
fn messages() -> impl Strategy<Value = Vec<u8>> {
    let entries = || {
        prop::collection::vec("[a-z\n\"]{0,12}", 0..6)
            .prop_map(|logs| logs.iter().map(|log| entry(log)).collect::<Vec<_>>())
    };
    let one = "[a-z]{0,12}".prop_map(|log| message(EVENT_TIME, &record(&[("log", &log), ("k", "v")])));
    let list = entries()
        .prop_map(|entries| array(&[TAG, &array(&entries.iter().map(Vec::as_slice).collect::<Vec<_>>())]));
    let packed = entries().prop_map(|entries| array(&[TAG, &bin(&entries.concat()), b"\x80"]));
    let gzipped = entries().prop_map(|entries| array(&[TAG, &bin(&gzip::deflate(&entries.concat()))]));
    let broken = prop::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| array(&[TAG, &bin(&bytes)]));
    prop::collection::vec(prop_oneof![one, list, packed, gzipped, broken], 0..8).prop_map(|all| all.concat())
}

proptest! {
    #[test]
    fn messages_decoded_in_steps_are_those_decoded_at_once(payload in messages(), room in 1_usize..60) {
        let decoding = how(RecordAs::Auto);
        let whole = decode_with(&decoding, &payload);
        let mut seen = SeenEvents::with_room(Some(room), usize::MAX);
        let (decoder, mut scratch) = (Decoder::new(&decoding), Scratch::default());
        let mut left = Some(Undecoded::new(Bytes::from(payload), Piece::default()));
        let mut steps = 0;
        while let Some(undecoded) = left {
            seen.begin_step();
            left = decoder.decode_some(&mut scratch, &Arc::default(), undecoded, &mut seen);
            steps += 1;
            prop_assert!(steps < 1_000, "it makes no progress");
        }
        prop_assert_eq!(seen.told(), whole.told());
    }

    #[test]
    fn no_bytes_break_the_decoder_of_messages(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        decode_with(&how(RecordAs::Auto), &bytes);
        decode_with(&how(RecordAs::Json), &array(&[TAG, &bin(&bytes)]));
        decode_with(&how(RecordAs::Json), &message(TIME, &bytes));
    }
}
