//! `standpipe decode`: any payload to NDJSON.
//!
//! A payload may be compressed by gzip or zstd, or in base64, or both. It may be subscription envelopes, a `CloudTrail` log file, an object of
//! Firehose's backup, the body of a Firehose HTTP request, or a Lambda event; each may hold the others.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::config::{Decoding, Format, TooLong};
use crate::decode::{self, Decoder, Scratch};
use crate::event::{Charset, Event, Events, Message, Origin, Timestamp, Wants};

/// Decodes each file (`-` or none: `stdin`) to `out`, one JSON object a line. What cannot be decoded is said on `err`.
///
/// Returns the exit code: 0, or 1 when something could not be decoded, read or written.
pub fn run(files: &[PathBuf], stdin: &mut impl Read, out: &mut impl Write, err: &mut impl Write) -> u8 {
    let stdin_alone = [PathBuf::from("-")];
    let files = if files.is_empty() { &stdin_alone } else { files };
    let mut printer =
        Printer { out: BufWriter::new(out), stopped: None, origin: Arc::default(), failures: Vec::new() };
    let mut failed = false;
    for file in files {
        let name = if file == Path::new("-") { "standard input".into() } else { file.to_string_lossy() };
        match read(file, stdin) {
            Ok(payload) => payload_to(&mut printer, &Bytes::from(payload)),
            Err(error) => printer.failures.push(format!("cannot be read: {error}")),
        }
        for failure in printer.failures.drain(..) {
            failed = true;
            // Nothing is left to say it on.
            writeln!(err, "standpipe: `{name}` {failure}").ok();
        }
    }
    let flushed = printer.out.flush();
    match printer.stopped.map_or(flushed, Err) {
        Ok(()) => u8::from(failed),
        // Whoever reads has read enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => 0,
        Err(error) => {
            writeln!(err, "standpipe: cannot write: {error}").ok();
            1
        }
    }
}

/// Most bytes that one payload may inflate to: twice what a source takes by default, and beyond what AWS writes.
const MAX_INFLATED: usize = 128 << 20;

/// Most bytes of one file, which may hold many payloads.
const MAX_FILE: u64 = 256 << 20;

fn read(file: &Path, stdin: &mut impl Read) -> io::Result<Vec<u8>> {
    if file == Path::new("-") {
        return read_bounded(stdin);
    }
    read_bounded(&mut File::open(file)?)
}

fn read_bounded(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut payload = Vec::new();
    from.take(MAX_FILE + 1).read_to_end(&mut payload)?;
    if payload.len() as u64 > MAX_FILE {
        let text = format!("it is larger than {} MiB; split it, or give it piece by piece", MAX_FILE >> 20);
        return Err(io::Error::other(text));
    }
    Ok(payload)
}

/// The keys that tell what a JSON object is.
#[derive(Deserialize)]
struct Shape<'a> {
    #[serde(rename = "logEvents", borrow)]
    envelope: Option<&'a RawValue>,
    #[serde(rename = "Records", borrow)]
    cloudtrail: Option<&'a RawValue>,
    /// A Firehose HTTP request.
    records: Option<Vec<Data>>,
    /// A line of Firehose's backup.
    #[serde(rename = "rawData")]
    raw_data: Option<String>,
    /// An event as a Lambda function gets it.
    awslogs: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    data: String,
}

fn payload_to<W: Write>(printer: &mut Printer<W>, payload: &Bytes) {
    match decode::unpack(payload, MAX_INFLATED) {
        Ok(text) => text_to(printer, &text, false),
        Err(reason) => printer.fail(reason),
    }
}

/// Decodes each JSON value of the text. One `inside` another payload that is no container itself is printed as it is.
fn text_to<W: Write>(printer: &mut Printer<W>, text: &str, inside: bool) {
    for value in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>() {
        match value {
            Ok(value) => value_to(printer, value.get(), inside),
            Err(error) => return printer.fail_at(&error),
        }
        if printer.stopped.is_some() {
            return;
        }
    }
}

fn value_to<W: Write>(printer: &mut Printer<W>, value: &str, inside: bool) {
    let Ok(shape) = serde_json::from_str::<Shape<'_>>(value) else { return unknown(printer, value, inside) };
    if shape.envelope.is_some() {
        decode_to(printer, Format::Envelope, value);
    } else if shape.cloudtrail.is_some() {
        decode_to(printer, Format::Cloudtrail, value);
    } else if let Some(data) = shape.raw_data {
        record_to(printer, &data);
    } else if let Some(records) = shape.records {
        for record in &records {
            record_to(printer, &record.data);
        }
    } else if let Some(Data { data }) = shape.awslogs {
        record_to(printer, &data);
    } else {
        unknown(printer, value, inside);
    }
}

fn unknown<W: Write>(printer: &mut Printer<W>, value: &str, inside: bool) {
    if inside {
        printer.line(|out| out.write_all(value.replace(['\n', '\r'], " ").as_bytes()));
    } else {
        printer.fail("unknown");
    }
}

/// Decodes one record of a Firehose stream, given in base64. Words that are no payload become a message.
fn record_to<W: Write>(printer: &mut Printer<W>, data: &str) {
    let Ok(record) = base64_simd::forgiving_decode_to_vec(data.as_bytes()) else {
        return printer.fail("base64");
    };
    let is_payload = record.starts_with(&[0x1f, 0x8b])
        || decode::is_zstd(&record)
        || record.trim_ascii_start().starts_with(b"{");
    if !is_payload {
        let text = String::from_utf8_lossy(&record);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        return printer.line(|out| {
            out.write_all(b"{\"message\":")?;
            serde_json::to_writer(&mut *out, text)?;
            out.write_all(b"}")
        });
    }
    match decode::unpack(&Bytes::from(record), MAX_INFLATED) {
        Ok(text) => text_to(printer, &text, true),
        Err(reason) => printer.fail(reason),
    }
}

fn decode_to<W: Write>(printer: &mut Printer<W>, format: Format, value: &str) {
    let decoding = Decoding {
        format,
        charset: Charset::UTF8,
        multiline: None,
        max_line: MAX_INFLATED,
        too_long: TooLong::Split,
        max_inflated: MAX_INFLATED,
    };
    let payload = Bytes::copy_from_slice(value.as_bytes());
    Decoder::new(&decoding).decode(&mut Scratch::default(), &Arc::default(), &payload, printer);
}

/// Prints events.
struct Printer<W: Write> {
    out: BufWriter<W>,
    /// The first error in writing; nothing is written after it.
    stopped: Option<io::Error>,
    origin: Arc<Origin>,
    /// What went wrong with the present file.
    failures: Vec<String>,
}

impl<W: Write> Printer<W> {
    fn line(&mut self, write: impl FnOnce(&mut BufWriter<W>) -> io::Result<()>) {
        if self.stopped.is_none() {
            let written = write(&mut self.out).and_then(|()| self.out.write_all(b"\n"));
            self.stopped = written.err();
        }
    }

    fn fail_at(&mut self, error: &serde_json::Error) {
        let (line, column) = (error.line(), error.column());
        let what = if error.is_eof() { "ends too early" } else { "is broken" };
        self.failures.push(format!("cannot be decoded: its JSON {what}, at line {line}, column {column}"));
    }

    fn fail(&mut self, reason: &'static str) {
        let words = match reason {
            "gzip" => "cannot be decoded: its gzip is damaged",
            "zstd" => {
                "cannot be decoded: its zstd is damaged, needs a dictionary, or looks back further than 8 MiB"
            }
            "too_large" => "cannot be decoded: it inflates to more than 128 MiB",
            "utf8" => "cannot be decoded: it is not UTF-8",
            "json" => "cannot be decoded: its JSON is broken",
            "name_too_long" => "is not delivered: a name in it is longer than 512 characters",
            "base64" => "cannot be decoded: a record is not base64",
            "format" => "cannot be decoded: it is neither gzip nor zstd nor base64 nor JSON",
            _ => {
                "cannot be decoded: its JSON is neither an envelope, nor CloudTrail's, nor a Firehose backup or request"
            }
        };
        self.failures.push(words.to_owned());
    }
}

impl<W: Write> Events for Printer<W> {
    fn wants(&self) -> Wants {
        Wants { events: true, envelopes: false }
    }

    fn origin(&mut self, origin: &Arc<Origin>) {
        self.origin = Arc::clone(origin);
    }

    fn lines(&mut self, _: &Bytes, _: u64) {}

    fn event(&mut self, event: Event<'_>) {
        let origin = Arc::clone(&self.origin);
        self.line(|out| match event.message {
            // A CloudTrail record is JSON already.
            Message::Raw(record) if origin.fields.is_empty() => out.write_all(record),
            Message::Raw(_) | Message::Escaped(_) => write_event(out, &event, &origin),
        });
    }

    fn envelope(&mut self, _: &Bytes) {}

    fn undecodable(&mut self, reason: &'static str, _: &[u8]) {
        self.fail(reason);
    }
}

fn write_event(out: &mut impl Write, event: &Event<'_>, origin: &Origin) -> io::Result<()> {
    out.write_all(b"{")?;
    if let Some(timestamp) = event.timestamp {
        write!(out, "\"timestamp\":\"{}\",", rfc3339(timestamp))?;
    }
    match event.message {
        Message::Escaped(inside) => write!(out, "\"message\":\"{inside}\"")?,
        Message::Raw(bytes) => {
            out.write_all(b"\"message\":")?;
            serde_json::to_writer(&mut *out, &String::from_utf8_lossy(bytes))?;
        }
    }
    if let Some(id) = event.id {
        write!(out, ",\"id\":\"{id}\"")?;
    }
    for (field, value) in origin.fields.in_order() {
        write!(out, ",\"{field}\":")?;
        serde_json::to_writer(&mut *out, &**value)?;
    }
    out.write_all(b"}")
}

/// `2026-11-22T01:02:03.004Z`
fn rfc3339(Timestamp(milliseconds): Timestamp) -> String {
    let (days, time) = (milliseconds.div_euclid(86_400_000), milliseconds.rem_euclid(86_400_000));
    // Years are counted from March, so that the leap day comes last.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let (seconds, thousandths) = (time / 1_000, time % 1_000);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{thousandths:03}Z")
}

#[cfg(test)]
mod tests {
    use base64_simd::STANDARD;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use serde_json::json;

    use super::*;

    fn gzip(plain: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(plain.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(plain: &str) -> Vec<u8> {
        zstd::bulk::compress(plain.as_bytes(), 1).unwrap()
    }

    #[track_caller]
    fn check(payload: &[u8], expected_code: u8, expected: &[&str]) -> String {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = run(&[], &mut &*payload, &mut out, &mut err);
        let (out, err) = (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap());
        assert_eq!(out.lines().collect::<Vec<_>>(), expected, "{err}");
        assert_eq!(code, expected_code, "{err}");
        err
    }

    const ENVELOPE: &str = r#"{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"/g","logStream":"s","logEvents":[{"id":"7","timestamp":1795309323004,"message":"say \"hi\"\t"}]}"#;
    const EVENT: &str = r#"{"timestamp":"2026-11-22T01:02:03.004Z","message":"say \"hi\"\t","id":"7","owner":"1","log_group":"/g","log_stream":"s"}"#;
    const TRAIL: &str = r#"{"Records":[{"eventID":"a","x":1},{"eventID":"b"}]}"#;
    const RECORDS: [&str; 2] = [r#"{"eventID":"a","x":1}"#, r#"{"eventID":"b"}"#];

    #[test]
    fn a_payload_is_decoded_whatever_is_around_it() {
        let gz = gzip(ENVELOPE);
        let armoured = STANDARD.encode_to_string(&gz);
        check(ENVELOPE.as_bytes(), 0, &[EVENT]);
        check(&gz, 0, &[EVENT]);
        check(armoured.as_bytes(), 0, &[EVENT]);
        check(&[gz.clone(), gz].concat(), 0, &[EVENT, EVENT]);
        check(format!("{armoured}\n{armoured}\n").as_bytes(), 0, &[EVENT, EVENT]);
        let frames = [zstd(ENVELOPE), zstd(TRAIL)].concat();
        check(&frames, 0, &[EVENT, RECORDS[0], RECORDS[1]]);
        check(STANDARD.encode_to_string(&frames).as_bytes(), 0, &[EVENT, RECORDS[0], RECORDS[1]]);
        check(
            &[&[0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 9][..], &frames].concat(),
            0,
            &[EVENT, RECORDS[0], RECORDS[1]],
        );
        check(TRAIL.as_bytes(), 0, &RECORDS);
        check(&gzip(TRAIL), 0, &RECORDS);
        check(format!("{ENVELOPE}{TRAIL}").as_bytes(), 0, &[EVENT, RECORDS[0], RECORDS[1]]);
    }

    #[test]
    fn records_of_firehose_are_decoded_in_turn() {
        let data = STANDARD.encode_to_string(gzip(ENVELOPE));
        let words = STANDARD.encode_to_string("plain words\n");
        let frame = STANDARD.encode_to_string(zstd("{\"z\":1}\n{\"z\":2}\n"));
        let object = STANDARD.encode_to_string("{\"a\":1}\n{\"b\":2}");
        let backup =
            format!("{}\n{}\n", json!({"attemptsMade": 1, "rawData": data}), json!({"rawData": words}));
        check(backup.as_bytes(), 0, &[EVENT, r#"{"message":"plain words"}"#]);
        let request =
            json!({"requestId": "r", "timestamp": 1, "records": [{"data": data}, {"data": object}, {"data": frame}]})
                .to_string();
        let expected = [EVENT, r#"{"a":1}"#, r#"{"b":2}"#, r#"{"z":1}"#, r#"{"z":2}"#];
        check(request.as_bytes(), 0, &expected);
        check(&gzip(&request), 0, &expected);
        check(&zstd(&request), 0, &expected);
        check(json!({"awslogs": {"data": data}}).to_string().as_bytes(), 0, &[EVENT]);
    }

    #[test]
    fn what_cannot_be_decoded_is_said_and_the_rest_goes_on() {
        assert!(check(b"plain words", 1, &[]).contains("`standard input` cannot be decoded: it is neither"));
        assert!(check(br#"{"logFiles":[]}"#, 1, &[]).contains("neither an envelope"));
        assert!(check(&gzip(ENVELOPE)[..50], 1, &[]).contains("gzip is damaged"));
        assert!(check(&zstd(ENVELOPE)[..50], 1, &[]).contains("zstd is damaged"));
        assert!(
            check(format!("{ENVELOPE}{{").as_bytes(), 1, &[EVENT])
                .contains("its JSON ends too early, at line 1, column")
        );
        let broken = check(b"{\"a\": 1,\n \"b\": x}", 1, &[]);
        assert!(broken.contains("its JSON is broken, at line 2, column 7"), "{broken}");
        assert!(
            check(format!("{{\"a\":1}}{ENVELOPE}").as_bytes(), 1, &[EVENT]).contains("neither an envelope")
        );
        let folder = tempfile::tempdir().unwrap();
        let good = folder.path().join("good");
        std::fs::write(&good, ENVELOPE).unwrap();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let files = [folder.path().join("missing"), good];
        assert_eq!(run(&files, &mut io::empty(), &mut out, &mut err), 1);
        assert_eq!(String::from_utf8(out).unwrap().trim_end(), EVENT);
        assert!(String::from_utf8(err).unwrap().contains("missing` cannot be read"));
    }

    #[test]
    fn a_payload_that_inflates_too_far_is_refused() {
        let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
        let zeros = vec![b' '; 1 << 20];
        (0..129).for_each(|_| gz.write_all(&zeros).unwrap());
        let bomb = gz.finish().unwrap();
        let said = check(&bomb, 1, &[]);
        assert!(said.contains("it inflates to more than 128 MiB"), "{said}");
        let mut endless = io::repeat(b' ');
        let (mut out, mut err) = (Vec::new(), Vec::new());
        assert_eq!(run(&[], &mut endless, &mut out, &mut err), 1);
        assert!(String::from_utf8(err).unwrap().contains("it is larger than 256 MiB"));
    }

    #[test]
    fn a_closed_pipe_is_no_error() {
        struct ClosedOutput;
        impl Write for ClosedOutput {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        assert_eq!(run(&[], &mut ENVELOPE.as_bytes(), &mut ClosedOutput, &mut io::sink()), 0);
    }
}
