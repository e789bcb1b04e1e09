//! Lines, containers and envelopes: tables of cases, and properties against a model.

use std::sync::Arc;
use std::time::Duration;

use base64_simd::STANDARD;
use bytes::Bytes;
use proptest::prelude::*;
use regex::bytes::Regex;
use serde_json::{Value, json};

use super::testing::{SeenEvents, config, decode_into, decode_with};
use super::{Decoder, Scratch, Undecoded, framing, gzip};
use crate::config::{Decoding, Format, Multiline, TooLong};
use crate::event::{Field, Part, Piece, Wants};

fn multiline(format: Format, start: &str) -> Decoding {
    let multiline = Multiline { start: Regex::new(start).unwrap(), timeout: Duration::from_secs(1) };
    Decoding { multiline: Some(multiline), ..config(format) }
}

#[track_caller]
fn check(config: &Decoding, payload: impl AsRef<[u8]>, expected: &[&str]) {
    assert_eq!(decode_with(config, payload.as_ref()).told(), expected);
}

#[test]
fn a_decoder_is_shared_and_scratch_moves_between_threads() {
    fn shared<T: Send + Sync>() {}
    fn moved<T: Send>() {}
    shared::<Decoder>();
    moved::<Scratch>();
}

#[test]
fn a_line_is_an_event_whatever_ends_it() {
    let lines = config(Format::Lines);
    check(&lines, "a\nb\n", &["a", "b"]);
    check(&lines, "a\n\nb", &["a", "", "b"]);
    check(&lines, "a\r\nb\rc\r\n\r\n", &["a", "b\rc", ""]);
    check(&lines, "\n", &[""]);
    check(&lines, "", &[]);
    check(&lines, b"\xff\0\n", &["\u{fffd}\0"]);
    check(&lines, gzip::deflate(b"a\nb\n"), &["a", "b"]);
}

#[test]
fn a_line_too_long_is_split_cut_or_refused() {
    let with = |too_long| Decoding { max_line: 4, too_long, ..config(Format::Lines) };
    check(&with(TooLong::Split), "abcdef\ngh\n", &["abcd", "ef", "gh"]);
    check(&with(TooLong::Split), "abcd\r\nefgh\n", &["abcd", "efgh"]);
    check(&with(TooLong::DeadLetter), "abcdef\ngh\n", &["undecodable too_long abcdef", "gh"]);
    check(&with(TooLong::Truncate), "abcdef\ngh\n", &["a…[truncated 5 bytes]", "gh"]);
}

/// What a chunk tells that begins or ends within an event: `message@offset`, with `!` where it is the last part.
#[track_caller]
fn check_piece(config: &Decoding, payload: &str, before: u64, goes_on: bool, expected: &[&str]) {
    let mut seen = SeenEvents::default();
    let payload = Bytes::copy_from_slice(payload.as_bytes());
    let piece = Piece { before, goes_on, ..Piece::default() };
    let undecoded = Undecoded::new(payload, piece);
    Decoder::new(config).decode_some(&mut Scratch::default(), &Arc::default(), undecoded, &mut seen);
    let mark = |part: Part| format!("@{}{}", part.offset, if part.last { "!" } else { "" });
    let told: Vec<String> = seen
        .told()
        .iter()
        .zip(&seen.parts)
        .map(|(told, part)| format!("{told}{}", part.map(mark).unwrap_or_default()))
        .collect();
    assert_eq!(told, expected);
}

#[test]
fn parts_of_a_line_say_where_they_belong_across_chunks() {
    let lines = Decoding { max_line: 4, ..config(Format::Lines) };
    check_piece(&lines, "abcd", 0, true, &["abcd@0"]);
    check_piece(&lines, "efgh", 4, true, &["efgh@4"]);
    check_piece(&lines, "ij\nk\n", 8, false, &["ij@8!", "k"]);
    check_piece(&lines, "\nk\n", 8, false, &["@8!", "k"]);
    check_piece(&lines, "x\nabcd", 0, true, &["x", "abcd@0"]);
    check_piece(&lines, "ij\nx\nabcd", 8, true, &["ij@8!", "x", "abcd@0"]);
    check_piece(&lines, "abcdefghi\nj\n", 4, false, &["abcd@4", "efgh@8", "i@12!", "j"]);
    check_piece(&lines, "abcdef\ng\n", 0, false, &["abcd@0", "ef@4!", "g"]);
}

#[test]
fn a_chunk_that_ends_within_an_event_is_known() {
    let lines = framing(&config(Format::Lines));
    assert!(lines.goes_on(b"abc", b"d\n") && lines.goes_on(b"x\nabc", b""));
    assert!(!lines.goes_on(b"abc\n", b"d"));
    let joined = framing(&multiline(Format::Lines, "^[0-9]"));
    assert!(!joined.goes_on(b"1 a\n b\n", b"2 c\n"));
    assert!(joined.goes_on(b"1 a\n b\n", b" c\n") && joined.goes_on(b"1 a\n b", b"c\n"));
}

#[test]
fn parts_of_continued_lines_say_where_they_belong_across_chunks() {
    let lines = Decoding { max_line: 8, ..multiline(Format::Lines, "^[0-9]") };
    check_piece(&lines, "1 a\n b\n", 0, true, &["1 a\n b@0"]);
    check_piece(&lines, " c\n2 d\n", 7, false, &[" c@7!", "2 d"]);
    check_piece(&lines, "2 d\n", 7, false, &["2 d"]);
    check_piece(&lines, "2 d\n e\n", 7, true, &["2 d\n e@0"]);
}

#[test]
fn continued_lines_are_joined() {
    let lines = multiline(Format::Lines, "^[0-9]");
    check(&lines, "1 a\n at b\n at c\n2 d\n", &["1 a\n at b\n at c", "2 d"]);
    check(&lines, " at b\n1 a\n", &[" at b", "1 a"]);
    check(&lines, "1 a\r\n at b\r\n2", &["1 a\n at b", "2"]);
    check(&lines, "1\n\n2\n", &["1\n", "2"]);
}

fn docker(stream: &str, log: &str) -> String {
    json!({"log": log, "stream": stream, "time": "1970-01-01T00:00:01Z"}).to_string() + "\n"
}

#[test]
fn an_event_of_a_container_comes_from_its_stream() {
    let cri = |stream: &str, text: &str| format!("1970-01-01T00:00:01Z {stream} F {text}\n");
    let docker =
        [docker("stdout", "a\n"), docker("stderr", "b"), docker("stdout", "c\n"), docker("stderr", "b\n")];
    let cri = [cri("stdout", "a"), cri("stdout", "c"), cri("stderr", "bb"), cri("other", "d")];
    for (format, lines, expected) in [
        (Format::Docker, docker.concat(), ["stdout", "stdout", "stderr"].as_slice()),
        (Format::Cri, cri.concat(), &["stdout", "stdout", "stderr", ""]),
    ] {
        let seen = decode_with(&config(format), lines.as_bytes());
        let streams: Vec<&str> = seen.origins.iter().map(|origin| origin.text(Field::Stream)).collect();
        assert_eq!(streams, expected);
        assert!(seen.origins.iter().all(|origin| &*origin.source == "test"), "nothing else is lost");
        assert!(Arc::ptr_eq(&seen.origins[0], &seen.origins[1]), "it is made once");
    }
}

#[test]
fn docker_lines_are_told_escaped_and_partial_ones_joined() {
    let plain = config(Format::Docker);
    let [out, err] = ["stdout", "stderr"].map(|stream| move |log: &str| docker(stream, log));
    check(&plain, out("say \"hi\"\n"), &[r#"1000 say \"hi\""#]);
    check(&plain, out("crlf\r\n"), &["1000 crlf"]);
    check(&plain, [out("a"), err("x\n"), out("b\n")].concat(), &["1000 x", "1000 ab"]);
    check(&plain, [out("a"), err("x")].concat(), &["1000 a", "1000 x"]);
    check(&plain, out("back\\n"), &[r"1000 back\\n"]);
    check(
        &plain,
        "{\"log\":\"a\\n\",\"attrs\":{\"x\":[1]}}\nnot json\n",
        &["a", "undecodable docker not json\n"],
    );
    let joined = multiline(Format::Docker, "^[0-9]");
    check(
        &joined,
        [out("1 a\n"), out("\tb\n"), err("e\n"), out("2\n")].concat(),
        &[r"1000 1 a\n\tb", "1000 e", "1000 2"],
    );
    check(
        &multiline(Format::Docker, "^\t"),
        [out("\ta\n"), out("b\n"), out("\tc\n")].concat(),
        &[r"1000 \ta\nb", r"1000 \tc"],
    );
}

#[test]
fn cri_lines_are_told_and_partial_ones_joined() {
    let plain = config(Format::Cri);
    let line = |rest: &str| format!("1970-01-01T00:00:01.5Z {rest}\n");
    check(&plain, line("stdout F one two"), &["1500 one two"]);
    check(&plain, line("stdout F "), &["1500 "]);
    check(&plain, line("stdout F"), &["1500 "]);
    check(
        &plain,
        [line("stdout P a "), line("stderr F:x e"), line("stdout F b")].concat(),
        &["1500 e", "1500 a b"],
    );
    check(&plain, line("stdout X a"), &["undecodable cri 1970-01-01T00:00:01.5Z stdout X a\n"]);
    let joined = multiline(Format::Cri, "^[0-9]");
    check(
        &joined,
        [line("stdout F 1"), line("stdout P at "), line("stdout F b"), line("stdout F 2")].concat(),
        &["1500 1\nat b", "1500 2"],
    );
}

#[track_caller]
fn check_whole(config: &Decoding, bytes: impl AsRef<[u8]>, expected: usize) {
    let (framing, bytes) = (framing(config), bytes.as_ref());
    assert_eq!(framing.whole(bytes, false), expected);
    assert_eq!(framing.whole(bytes, true), bytes.len());
}

#[test]
fn a_source_cuts_after_the_last_whole_event() {
    let lines = config(Format::Lines);
    check_whole(&lines, "a\nb\nc", 4);
    check_whole(&lines, "abc", 0);
    check_whole(&Decoding { max_line: 4, ..lines.clone() }, "abcde", 0);
    check_whole(&Decoding { max_line: 4, ..lines.clone() }, "abcdef", 4);
    check_whole(&Decoding { max_line: 4, too_long: TooLong::Truncate, ..lines }, "abcdef", 0);
    let joined = multiline(Format::Lines, "^[0-9]");
    check_whole(&joined, "1\n at\n2\n at\n", 6);
    check_whole(&joined, "1\n at\n2", 0);
    check_whole(&Decoding { max_line: 4, ..joined }, "1\n at\n a", 6);
    let one = docker("stdout", "a\n").len();
    check_whole(&config(Format::Docker), [docker("stdout", "a\n"), docker("stderr", "b")].concat(), one);
    check_whole(&config(Format::Docker), [docker("stderr", "b"), docker("stdout", "a\n")].concat(), 0);
    check_whole(
        &multiline(Format::Docker, "^[0-9]"),
        [docker("stdout", "1\n"), docker("stdout", "2\n")].concat(),
        docker("stdout", "1\n").len(),
    );
    check_whole(&config(Format::Envelope), "{}\n", 0);
}

/// Reads `bytes` step by step as a source would, and decodes each chunk.
fn decode_in_steps(config: &Decoding, bytes: &[u8], steps: &[usize]) -> Vec<String> {
    let framing = framing(config);
    let (mut begin, mut end, mut seen) = (0, 0, SeenEvents::default());
    for step in steps.iter().copied().chain([bytes.len()]) {
        end = bytes.len().min(end + step);
        let whole = framing.whole(&bytes[begin..end], false);
        decode_into(config, &bytes[begin..begin + whole], &mut seen);
        begin += whole;
    }
    decode_into(config, &bytes[begin..], &mut seen);
    seen.told().to_vec()
}

fn runtime_lines() -> impl Strategy<Value = (Decoding, Vec<u8>)> {
    let line = (any::<bool>(), any::<bool>(), "[0-9 a]{0,3}");
    let lines = prop::collection::vec(line, 0..12);
    (lines, any::<bool>(), any::<bool>()).prop_map(|(lines, is_docker, joined)| {
        let format = if is_docker { Format::Docker } else { Format::Cri };
        let config = if joined { multiline(format, "^[0-9]") } else { config(format) };
        let written = lines.into_iter().map(|(is_out, partial, text)| {
            let stream = if is_out { "stdout" } else { "stderr" };
            let (end, tag) = if partial { ("", "P") } else { ("\n", "F") };
            if is_docker {
                docker(stream, &(text + end))
            } else {
                format!("1970-01-01T00:00:01Z {stream} {tag} {text}\n")
            }
        });
        (config, written.collect::<String>().into_bytes())
    })
}

proptest! {
    #[test]
    fn container_events_do_not_depend_on_where_chunks_are_cut((config, bytes) in runtime_lines(), steps in prop::collection::vec(0_usize..100, 0..20)) {
        let whole = decode_with(&config, &bytes);
        prop_assert_eq!(decode_in_steps(&config, &bytes, &steps), whole.told());
    }

    #[test]
    fn line_events_do_not_depend_on_where_chunks_are_cut(text in "[0-9a\r\n]{0,60}", joined: bool, steps in prop::collection::vec(0_usize..10, 0..20)) {
        let config = if joined { multiline(Format::Lines, "^[0-9]") } else { config(Format::Lines) };
        let whole = decode_with(&config, text.as_bytes());
        prop_assert_eq!(decode_in_steps(&config, text.as_bytes(), &steps), whole.told());
    }

    #[test]
    fn lines_are_what_splitting_gives(lines in prop::collection::vec("[^\r\n]{0,20}", 0..20), crlf: bool) {
        let end = if crlf { "\r\n" } else { "\n" };
        let payload: String = lines.iter().flat_map(|line| [line, end]).collect();
        let seen = decode_with(&config(Format::Lines), payload.as_bytes());
        prop_assert_eq!(seen.told(), lines);
    }
}

fn envelope(owner: &str, messages: &[&str]) -> String {
    let events: Vec<Value> =
        messages.iter().map(|message| json!({"id": "7", "timestamp": 5, "message": message})).collect();
    json!({"messageType": "DATA_MESSAGE", "owner": owner, "logGroup": "g", "logStream": "s", "logEvents": events}).to_string()
}

#[test]
fn an_envelope_is_read_in_every_dress() {
    let (one, two) = (envelope("1", &["a\tb"]), envelope("2", &["c"]));
    let (one_gz, two_gz) = (gzip::deflate(one.as_bytes()), gzip::deflate(two.as_bytes()));
    let both = [r"5 7 a\tb", "5 7 c"];
    let dresses: Vec<Vec<u8>> = vec![
        [one.as_str(), &two].concat().into_bytes(),
        [one.as_str(), "\n", &two, "\n"].concat().into_bytes(),
        [&one_gz[..], &two_gz].concat(),
        [&one_gz[..], b"\n", &two_gz, b"\n"].concat(),
        gzip::deflate(&[&one_gz[..], &two_gz].concat()).to_vec(),
        gzip::deflate(&[one.as_str(), &two].concat().into_bytes()).to_vec(),
        STANDARD.encode_to_string([one.as_str(), &two].concat()).into_bytes(),
        STANDARD.encode_to_string([&one_gz[..], &two_gz].concat()).into_bytes(),
        [STANDARD.encode_to_string(&one_gz), STANDARD.encode_to_string(&two_gz)].join("\n").into_bytes(),
    ];
    for dress in dresses {
        check(&config(Format::Envelope), dress, &both);
    }
}

#[test]
fn what_ships_nothing_is_acknowledged() {
    let control = r#"{"messageType":"CONTROL_MESSAGE","owner":"CloudwatchLogs","logGroup":"","logStream":"","subscriptionFilters":[],"logEvents":[{"id":"","timestamp":1680683189085,"message":"CWL CONTROL MESSAGE: Checking health of destination Firehose."}]}"#;
    check(&config(Format::Envelope), control, &[]);
    check(&config(Format::Envelope), gzip::deflate(control.as_bytes()), &[]);
    let bare = r#"{"messageType":"CONTROL_MESSAGE","owner":"CloudwatchLogs"}"#;
    check(&config(Format::Envelope), bare, &[]);
    check(&config(Format::Envelope), gzip::deflate(bare.as_bytes()), &[]);
    check(&config(Format::Envelope), r#"{"messageType":"DATA_MESSAGE","logEvents":[]}"#, &[]);
    check(&config(Format::Envelope), " \n", &[]);
    check(&config(Format::Envelope), "", &[]);
}

#[test]
fn fields_come_in_any_order_type_and_number() {
    let envelope = config(Format::Envelope);
    check(
        &envelope,
        r#"{"logEvents":[{"message":"a","extractedFields":{"x":{"message":"no"}},"timestamp":"12","id":34}],"owner":1,"more":[{}]}"#,
        &["12 34 a"],
    );
    check(
        &envelope,
        r#"{"logEvents":[{"message":"a"},{"message":"b","timestamp":1.5e0,"id":null}]}"#,
        &["a", "1 b"],
    );
    // In the usual shape but for a number: too long for it, not one, or one with a fraction.
    let usual =
        |timestamp| format!(r#"{{"logEvents":[{{"id":"1","timestamp":{timestamp},"message":"a"}}]}}"#);
    check(&envelope, usual("999999999999999999"), &["999999999999999999 1 a"]);
    check(&envelope, usual("9223372036854775807"), &["9223372036854775807 1 a"]);
    check(&envelope, usual("9999999999999999999"), &["1 a"]);
    check(&envelope, usual("-7"), &["-7 1 a"]);
    check(&envelope, usual("7.9"), &["7 1 a"]);
    check(&envelope, usual("07"), &[&format!("undecodable json {}", usual("07"))]);
    check(&envelope, r#"{"log\u0045vents":[{"m\u0065ssage":"a"}]}"#, &["a"]);
    check(&envelope, r#"{"logEvents":[{"message":{"k":1}},{"message":""}]}"#, &[r#"{"k":1}"#, ""]);
}

#[test]
fn what_cannot_be_decoded_is_refused_once() {
    let envelope_config = config(Format::Envelope);
    let one = envelope("1", &["a"]);
    check(
        &envelope_config,
        format!("{one}{{\"logEvents\":[{{\"message\":\"b\"}},"),
        &["5 7 a", r#"undecodable json {"logEvents":[{"message":"b"},"#],
    );
    check(&envelope_config, format!("{one} [1] {one}"), &["5 7 a", "undecodable not_envelope [1]", "5 7 a"]);
    check(&envelope_config, r#"{"level":"info"}"#, &[r#"undecodable not_envelope {"level":"info"}"#]);
    check(
        &envelope_config,
        r#"{"logEvents":[{"id":"1"}]}"#,
        &[r#"undecodable not_envelope {"logEvents":[{"id":"1"}]}"#],
    );
    // Its bad character can be replaced, but there is more wrong with it.
    check(
        &envelope_config,
        r#"{"logEvents":[{"message":"\ud800"},]}"#,
        &[r#"undecodable json {"logEvents":[{"message":"\ud800"},]}"#],
    );
    check(&envelope_config, [one.as_bytes(), b" \xff"].concat(), &["5 7 a", "undecodable utf8 \u{fffd}"]);
    check(&envelope_config, "no base64!", &["undecodable format no base64!"]);
    let cut = &gzip::deflate(one.as_bytes())[..40];
    let told = decode_with(&envelope_config, cut);
    assert!(told.told()[0].starts_with("undecodable gzip"), "{told:?}");
    let bomb = gzip::deflate(&vec![b' '; 2 << 20]);
    let told = decode_with(&envelope_config, &bomb);
    assert!(told.told()[0].starts_with("undecodable too_large"), "{told:?}");
}

/// What an envelope with these bytes as its second message tells: its neighbours as ever, and the message with its bad characters
/// replaced.
#[track_caller]
fn check_repaired(message: &[u8], expected: &str) {
    let text = [
        br#"{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"g","logStream":"s","logEvents":[{"id":"1","timestamp":5,"message":"good1"},{"id":"2","timestamp":5,"message":""#,
        message,
        br#""},{"id":"3","timestamp":5,"message":"good3"}]}"#,
    ]
    .concat();
    let told = ["5 1 good1".to_owned(), format!("5 2 {expected}"), "5 3 good3".to_owned()];
    let next = envelope("2", &["next"]);
    for payload in
        [text.clone(), gzip::deflate(&text).to_vec(), STANDARD.encode_to_string(&text).into_bytes()]
    {
        let seen = decode_with(&config(Format::Envelope), &payload);
        assert_eq!((seen.told(), seen.repaired), (&told[..], 1));
    }
    let seen =
        decode_with(&config(Format::Envelope), &[next.as_bytes(), &text, next.as_bytes(), &text].concat());
    let half: Vec<String> = ["5 7 next".to_owned()].into_iter().chain(told).collect();
    assert_eq!((seen.told(), seen.repaired), (&[half.clone(), half].concat()[..], 2));
}

#[test]
fn a_bad_character_costs_one_character_and_no_envelope() {
    check_repaired(br"cut \ud83d", r"cut \ufffd");
    check_repaired(br"\ude00 \ud83d\u0041", r"\ufffd \ufffd\u0041");
    check_repaired(b"a\xffb", "a\u{fffd}b");
    check_repaired(b"a\tb\x01", r"a\tb\u0001");
    check_repaired(br"C:\x", r"C:\\x");
}

#[test]
fn a_byte_order_mark_before_an_envelope_is_left_out() {
    let (one, mark) = (envelope("1", &["a"]), "\u{feff}");
    let marked = [mark, &one, "\n", mark, &one].concat();
    for payload in [
        marked.clone().into_bytes(),
        [b" \n", marked.as_bytes()].concat(),
        gzip::deflate(marked.as_bytes()).to_vec(),
        STANDARD.encode_to_string(&marked).into_bytes(),
        [mark, &STANDARD.encode_to_string(&marked)].concat().into_bytes(),
    ] {
        check(&config(Format::Envelope), payload, &["5 7 a", "5 7 a"]);
    }
    check(&config(Format::Cloudtrail), format!("{mark}{{\"Records\":[{{\"a\":1}}]}}"), &[r#"{"a":1}"#]);
}

#[test]
fn an_envelope_that_was_repaired_is_passed_on_as_it_came() {
    let text = br#"{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"g","logEvents":[{"message":"\ud83d"}],"logStream":"s"}"#;
    let gz = gzip::deflate(text).to_vec();
    assert_eq!(check_passed_on(&gz, &["1"]), [&gz[..]]);
    assert_eq!(check_passed_on(text, &["1"]), [&gz[..]]);
}

#[test]
fn an_envelope_whose_names_are_longer_than_aws_allows_is_refused_alone() {
    let named = |field: &str, name: &str| {
        let mut envelope: Value = serde_json::from_str(&envelope("1", &["a"])).unwrap();
        envelope[field] = Value::from(name);
        envelope.to_string()
    };
    let one = envelope("1", &["a"]);
    for field in ["owner", "logGroup", "logStream"] {
        for longest in ["x".repeat(512), "é".repeat(512), "\"".repeat(512)] {
            check(&config(Format::Envelope), named(field, &longest), &["5 7 a"]);
            let longer = named(field, &(longest + "x"));
            let refused = format!("undecodable name_too_long {longer}");
            check(&config(Format::Envelope), &longer, &[&refused]);
            check(&config(Format::Envelope), [&*one, &longer, &one].concat(), &["5 7 a", &refused, "5 7 a"]);
            let mut seen = SeenEvents::default();
            seen.wants = Wants { events: false, envelopes: true };
            decode_into(&config(Format::Envelope), &gzip::deflate(longer.as_bytes()), &mut seen);
            assert_eq!(seen.envelopes.len(), 0, "its head alone does not pass it on");
        }
    }
}

#[test]
fn the_origin_is_told_with_its_names_unescaped() {
    let seen = decode_with(
        &config(Format::Envelope),
        br#"{"owner":12,"logGroup":"\/aws\/x","logStream":"","logEvents":[{"message":"a"}]}"#,
    );
    let [origin] = &seen.origins[..] else { panic!("one origin: {:?}", seen.origins) };
    assert_eq!(origin.text(Field::Owner), "12");
    assert_eq!(origin.text(Field::LogGroup), "/aws/x");
    assert_eq!(origin.get(Field::LogStream), None);
    assert_eq!(&*origin.source, "test");
}

#[track_caller]
fn check_passed_on(payload: &[u8], owners: &[&str]) -> Vec<Vec<u8>> {
    let mut seen = SeenEvents::default();
    seen.wants = Wants { events: false, envelopes: true };
    decode_into(&config(Format::Envelope), payload, &mut seen);
    assert_eq!(seen.told(), [] as [&str; 0]);
    let told: Vec<&str> = seen.origins.iter().map(|origin| origin.text(Field::Owner)).collect();
    assert_eq!(told, owners);
    seen.envelopes.iter().map(|envelope| envelope.to_vec()).collect()
}

#[test]
fn an_envelope_is_passed_on_as_it_came() {
    let long = "y".repeat(20_000);
    let (one, two) = (envelope("1", &["a"]), envelope("2", &[&long]));
    let (one_gz, two_gz) = (gzip::deflate(one.as_bytes()).to_vec(), gzip::deflate(two.as_bytes()).to_vec());
    assert_eq!(check_passed_on(&one_gz, &["1"]), [&one_gz[..]]);
    assert_eq!(check_passed_on(&two_gz, &["2"]), [&two_gz[..]]);
    assert_eq!(check_passed_on(one.as_bytes(), &["1"]), [&one_gz[..]]);
    assert_eq!(
        check_passed_on(&[one_gz.clone(), two_gz.clone()].concat(), &["1", "2"]),
        [one_gz.clone(), two_gz]
    );
    // serde writes the fields by name, so the events come before the owner: the head alone does not do.
    let head_first = format!(
        r#"{{"messageType":"DATA_MESSAGE","owner":"3","logGroup":"g","logStream":"s","logEvents":[{{"message":"{long}"#
    );
    let cut = gzip::deflate(head_first.as_bytes()).to_vec();
    assert_eq!(check_passed_on(&cut, &["3"]), [cut], "what follows the head is not checked");
    let control = gzip::deflate(
        br#"{"messageType":"CONTROL_MESSAGE","owner":"CloudwatchLogs","logEvents":[{"message":"x"}]}"#,
    );
    assert!(check_passed_on(&control, &[]).is_empty());
}

/// Text that needs every kind of escape.
fn texts() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[\\x00-\\x1f\"\\\\/é😀a]{0,20}", "[a-z ]{0,60}"]
}

fn quote(text: &str, ascii: bool) -> String {
    let quoted = serde_json::to_string(text).unwrap();
    if !ascii {
        return quoted;
    }
    let mut units = [0; 2];
    let escaped = quoted.chars().flat_map(|c| {
        if c.is_ascii() {
            return vec![c.to_string()];
        }
        c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect()
    });
    escaped.collect()
}

type Fields = Vec<(String, String)>;

/// An object of the fields in an order that `order` gives.
fn object(mut fields: Fields, order: u64, space: &str) -> String {
    fields.sort_by_key(|(name, _)| {
        (name.len() as u64).wrapping_mul(0x9e37_79b9).wrapping_add(name.bytes().map(u64::from).sum()) ^ order
    });
    let fields: Vec<String> =
        fields.iter().map(|(name, value)| format!("{name}{space}:{space}{value}")).collect();
    format!("{{{space}{}{space}}}", fields.join(&format!("{space},{space}")))
}

fn extra() -> impl Strategy<Value = String> {
    prop_oneof![
        texts().prop_map(|text| json!({"message": text, "logEvents": [text]}).to_string()),
        any::<f32>().prop_map(|number| json!(number).to_string()),
        Just("[[],{},null,true]".to_owned()),
    ]
}

fn log_event() -> impl Strategy<Value = String> {
    (texts(), any::<i32>(), any::<u64>(), any::<bool>(), any::<bool>(), extra(), any::<u64>()).prop_map(
        |(message, timestamp, id, ascii, number, extra, order)| {
            if order % 2 == 0 {
                // The shape that `CloudWatch` Logs writes.
                let message = quote(&message, ascii);
                return format!(r#"{{"id":"{id}","timestamp":{timestamp},"message":{message}}}"#);
            }
            let id = if number { id.to_string() } else { format!("\"{id}\"") };
            let fields = vec![
                ("\"id\"".to_owned(), id),
                ("\"timestamp\"".to_owned(), timestamp.to_string()),
                ("\"message\"".to_owned(), quote(&message, ascii)),
                ("\"extractedFields\"".to_owned(), extra),
            ];
            object(fields, order, "")
        },
    )
}

fn envelopes() -> impl Strategy<Value = String> {
    let events = prop::collection::vec(log_event(), 0..5);
    (events, texts(), texts(), any::<bool>(), extra(), any::<u64>(), "[ \n]?").prop_map(
        |(events, group, stream, ascii, extra, order, space)| {
            let fields = vec![
                ("\"messageType\"".to_owned(), "\"DATA_MESSAGE\"".to_owned()),
                ("\"owner\"".to_owned(), "\"123456789012\"".to_owned()),
                ("\"logGroup\"".to_owned(), quote(&group, ascii)),
                ("\"logStream\"".to_owned(), quote(&stream, ascii)),
                ("\"subscriptionFilters\"".to_owned(), "[\"f\"]".to_owned()),
                ("\"logEvents\"".to_owned(), format!("[{}]", events.join(","))),
                ("\"unheardOf\"".to_owned(), extra),
            ];
            object(fields, order, &space)
        },
    )
}

/// What serde finds in the same text.
fn model(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
        let value = value.unwrap();
        for event in value["logEvents"].as_array().unwrap() {
            let id = event["id"].as_str().map_or_else(|| event["id"].to_string(), str::to_owned);
            let prefix = format!("{} {id} ", event["timestamp"]);
            found.push((prefix, event["message"].as_str().unwrap().to_owned()));
        }
    }
    found
}

/// The messages of one envelope; none: it is no envelope.
fn messages(value: &Value) -> Option<Vec<String>> {
    let events = value["logEvents"].as_array()?.iter();
    events.map(|event| event["message"].as_str().map(str::to_owned)).collect()
}

proptest! {
    #[test]
    fn envelopes_hold_what_serde_finds(envelopes in prop::collection::vec(envelopes(), 1..4), gz: bool) {
        let text = envelopes.concat();
        let payload = if gz { gzip::deflate(text.as_bytes()).to_vec() } else { text.clone().into_bytes() };
        let seen = decode_with(&config(Format::Envelope), &payload);
        let expected = model(&text);
        prop_assert_eq!(seen.told().len(), expected.len());
        for (told, (prefix, message)) in seen.told().iter().zip(expected) {
            let inside = told.strip_prefix(&prefix).unwrap();
            let back: String = serde_json::from_str(&format!("\"{inside}\"")).unwrap();
            prop_assert_eq!(back, message);
        }
    }

    #[test]
    fn a_damaged_envelope_is_whole_or_refused(text in envelopes(), at: prop::sample::Index, byte: u8) {
        let mut damaged = text.into_bytes();
        *at.get_mut(&mut damaged) = byte;
        let seen = decode_with(&config(Format::Envelope), &damaged);
        let refused = seen.told().iter().filter(|told| told.starts_with("undecodable")).count();
        match serde_json::from_slice::<Value>(&damaged) {
            Ok(_) => prop_assert!(!seen.told().iter().any(|told| told.starts_with("undecodable json"))),
            // serde refuses numbers that no float can hold; as text they are JSON. What is bad in a string is replaced.
            Err(error) => prop_assert!(
                refused >= 1
                    || error.to_string().contains("out of range")
                    || error.to_string().contains("char")
                    || ["escape", "code point"].iter().any(|why| error.to_string().contains(why)),
                "{error}"
            ),
        }
    }

    #[test]
    fn an_envelope_with_bad_characters_holds_what_serde_finds_in_it_repaired(
        text in envelopes(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(vec![&b"\\ud83d"[..], b"\\ude00", b"\xff", b"\xe4\xb8", b"\t", b"\x00"])), 1..4),
    ) {
        let mut damaged = text.into_bytes();
        for (at, bytes) in damage {
            let at = at.index(damaged.len());
            damaged.splice(at..at, bytes.iter().copied());
        }
        let repaired = super::repair::repair(&damaged).unwrap();
        let seen = decode_with(&config(Format::Envelope), &damaged);
        let refused = seen.told().iter().any(|told| told.starts_with("undecodable"));
        let is_json = serde_json::from_str::<Value>(&repaired);
        if is_json.as_ref().is_err_and(|error| error.to_string().contains("out of range")) {
            return Ok(());
        }
        let messages = is_json.ok().and_then(|value| messages(&value));
        prop_assert_eq!(refused, messages.is_none(), "{:?}", seen.told());
        if let Some(expected) = messages {
            let messages = seen.messages.iter().map(|inside| serde_json::from_str(&format!("\"{inside}\"")).unwrap());
            prop_assert_eq!(messages.collect::<Vec<String>>(), expected);
        }
    }

    #[test]
    fn no_bytes_break_a_decoder(bytes in prop::collection::vec(any::<u8>(), 0..300), format in 0_usize..5) {
        let format = [Format::Lines, Format::Docker, Format::Cri, Format::Envelope, Format::Cloudtrail][format];
        decode_with(&config(format), &bytes);
    }
}

/// Decodes a payload in steps of so many bytes, of which each has room for one event at least.
fn decode_stingily(config: &Decoding, payload: &[u8], piece: Piece, room: usize) -> (SeenEvents, usize) {
    let mut seen = SeenEvents::with_room(Some(room), usize::MAX);
    let (mut scratch, mut steps) = (Scratch::default(), 0);
    let mut left = Some(Undecoded::new(Bytes::copy_from_slice(payload), piece));
    while let Some(undecoded) = left {
        seen.begin_step();
        left = Decoder::new(config).decode_some(&mut scratch, &Arc::default(), undecoded, &mut seen);
        steps += 1;
        assert!(steps < 10_000, "it makes no progress");
    }
    (seen, steps)
}

/// A payload of any format, and how it is decoded.
fn payloads() -> impl Strategy<Value = (Decoding, Vec<u8>)> {
    let text =
        || prop::collection::vec("[a-z0-9\u{0}\\\"]{0,12}(\r)?", 0..40).prop_map(|lines| lines.join("\n"));
    let lines =
        text().prop_map(|text| (Decoding { max_line: 8, ..config(Format::Lines) }, text.into_bytes()));
    let gzipped = text().prop_map(|text| (config(Format::Lines), gzip::deflate(text.as_bytes()).to_vec()));
    let joined = text().prop_map(|text| (multiline(Format::Lines, "^[0-9]"), text.into_bytes()));
    let container =
        prop::collection::vec((any::<bool>(), "[a-z]{0,9}\n?", any::<bool>()), 0..20).prop_map(|lines| {
            let line = |(is_out, log, is_whole): &(bool, String, bool)| {
                if *is_whole {
                    docker(if *is_out { "stdout" } else { "stderr" }, log)
                } else {
                    "no\n".to_owned()
                }
            };
            lines.iter().map(line).collect::<String>()
        });
    let docker = (container, any::<bool>()).prop_map(|(text, is_joined)| {
        let config = if is_joined { multiline(Format::Docker, "^[a-f]") } else { config(Format::Docker) };
        (config, text.into_bytes())
    });
    let envelopes = prop::collection::vec(
        (prop::collection::vec("[a-z]{0,9}(\\\\ud800)?", 0..9), 0..4),
        0..4,
    )
    .prop_map(|all| {
        let envelope = |(messages, kind): &(Vec<String>, i32)| {
            let events: Vec<String> = messages
                .iter()
                .map(|message| format!(r#"{{"id":"1","timestamp":2,"message":"{message}"}}"#))
                .collect();
            match kind {
                0 => "{\"a\":1}".to_owned(),
                1 => format!(r#"{{"logEvents":[{}],"messageType":"DATA_MESSAGE"}}"#, events.join(" , ")),
                _ => format!(
                    r#"{{"messageType":"DATA_MESSAGE","owner":"o","logGroup":"g","logEvents":[{}]}}"#,
                    events.join(",")
                ),
            }
        };
        let text: String = all.iter().map(envelope).collect();
        (config(Format::Envelope), gzip::deflate(text.as_bytes()).to_vec())
    });
    let trail = prop::collection::vec((prop::collection::vec("[a-z]{0,9}", 0..9), any::<bool>()), 0..4)
        .prop_map(|files| {
            let file = |(records, twice): &(Vec<String>, bool)| {
                let records: Vec<String> =
                    records.iter().map(|record| format!(r#"{{"eventID":"{record}"}}"#)).collect();
                let before = if *twice { r#""Records":[{"no":1},2],"# } else { "" };
                format!(r#"{{{before}"Records":[{}]}}"#, records.join(", "))
            };
            (config(Format::Cloudtrail), files.iter().map(file).collect::<String>().into_bytes())
        });
    prop_oneof![lines, gzipped, joined, docker, envelopes, trail]
}

proptest! {
    #[test]
    fn what_is_decoded_in_steps_is_what_is_decoded_at_once(
        (config, payload) in payloads(),
        room in 0_usize..60,
        before in 0_u64..2,
        goes_on: bool,
    ) {
        let is_lines = matches!(config.format, Format::Lines) && !gzip::is_gzip(&payload);
        let piece = if is_lines { Piece { before, inside_line: before > 0, goes_on } } else { Piece::default() };
        let (whole, steps) = decode_stingily(&config, &payload, piece, usize::MAX);
        prop_assert_eq!(steps, 1);
        let (seen, _) = decode_stingily(&config, &payload, piece, room);
        prop_assert_eq!(seen.told(), whole.told());
        // Lines are told together where there is room for all of them.
        let parts = |seen: &SeenEvents| seen.parts.iter().flatten().copied().collect::<Vec<Part>>();
        prop_assert_eq!(parts(&seen), parts(&whole));
        prop_assert_eq!(seen.repaired, whole.repaired);
    }
}

#[test]
fn very_many_tiny_events_are_told_each_once() {
    let count = 50_000;
    let events: Vec<String> = (0..count).map(|at| format!(r#"{{"message":{at}}}"#)).collect();
    let envelope =
        format!(r#"{{"messageType":"DATA_MESSAGE","logEvents":[{}],"owner":"o"}}"#, events.join(","));
    let records = format!(r#"{{"Records":[{}]}}{{"Records":[1]}}"#, events.join(","));
    for (format, payload, more) in [(Format::Envelope, envelope, 0), (Format::Cloudtrail, records, 1)] {
        let config = Decoding { max_inflated: 4 << 20, ..config(format) };
        for room in [usize::MAX, 90_000, 200_000] {
            let (seen, steps) = decode_stingily(&config, payload.as_bytes(), Piece::default(), room);
            assert_eq!(seen.told().len(), count + more, "{format:?}, {room}");
            let mut distinct = seen.told().to_vec();
            distinct.sort();
            distinct.dedup();
            assert_eq!(distinct.len(), count + more, "{format:?}, {room}");
            assert_eq!(steps > 1, room < usize::MAX);
        }
    }
}

#[test]
fn a_payload_waits_for_the_memory_that_it_inflates_to() {
    let gz = gzip::deflate(&b"a\n".repeat(50_000));
    for payload in [gz.to_vec(), [&*gz, &*gz].concat()] {
        let mut seen = SeenEvents::with_room(None, 60_000);
        let config = config(Format::Lines);
        let undecoded = Undecoded::new(Bytes::from(payload), Piece::default());
        let left =
            Decoder::new(&config).decode_some(&mut Scratch::default(), &Arc::default(), undecoded, &mut seen);
        assert!(seen.told().is_empty());
        seen.may_take = 1_000_000;
        let left = Decoder::new(&config).decode_some(
            &mut Scratch::default(),
            &Arc::default(),
            left.unwrap(),
            &mut seen,
        );
        assert!(left.is_none() && seen.told().len() >= 50_000);
    }
}

#[test]
fn compressed_lines_that_cannot_be_opened_are_no_text_where_they_are_to_be_looked_into() {
    let torn = [&gzip::deflate(b"a secret\n")[..14], &[0xff; 9]].concat();
    for (reason, payload) in [("gzip", torn), ("zstd", b"\x28\xb5\x2f\xfdx\n".to_vec())] {
        for format in [Format::Lines, Format::Docker] {
            let mut seen = SeenEvents::default();
            seen.opens_refused = true;
            decode_into(&config(format), &payload, &mut seen);
            let [told] = seen.told() else { panic!("{:?}", seen.told()) };
            assert!(told.starts_with(&format!("undecodable {reason} ")), "{told}");
        }
        let seen = decode_with(&config(Format::Lines), &payload);
        assert!(seen.told().iter().all(|told| !told.starts_with("undecodable")), "elsewhere it is text");
    }
}
