//! Where a payload is no JSON: for the person who reads its dead letter.

use std::io::{self, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use serde::de::IgnoredAny;

use super::gzip;

/// So much of the text is looked at: what reads it keeps no more than this.
const MOST: u64 = 1 << 20;

/// Where the JSON of a payload ends or goes wrong, within its first MiB; nothing for other reasons.
///
/// Bad characters that decoding replaces may be what it names.
#[must_use]
pub(crate) fn broken_at(reason: &str, payload: &[u8]) -> Option<String> {
    if reason != "json" {
        return None;
    }
    let is_plain = payload.trim_ascii_start().starts_with(b"{");
    let text: Box<dyn Read + '_> = if gzip::is_gzip(payload) {
        Box::new(MultiGzDecoder::new(payload))
    } else if is_plain {
        Box::new(payload)
    } else {
        return None;
    };
    let mut text = BufReader::new(text.take(MOST));
    let error =
        serde_json::Deserializer::from_reader(&mut text).into_iter::<IgnoredAny>().find_map(Result::err)?;
    let (line, column) = (error.line(), error.column());
    // What is beyond was not looked at.
    let is_whole = io::copy(&mut text, &mut io::sink()).is_ok() && text.into_inner().limit() > 0;
    match (error.is_eof(), is_whole) {
        (true, false) => None,
        (true, true) => Some(format!("its JSON ends too early, at line {line}, column {column}")),
        (false, _) => Some(format!("its JSON is broken at line {line}, column {column}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let expected = expected.map(str::to_owned);
        assert_eq!(broken_at("json", text.as_bytes()), expected, "{text}");
        assert_eq!(broken_at("json", &gzip::deflate(text.as_bytes())), expected, "gzipped {text}");
        assert_eq!(broken_at("gzip", text.as_bytes()), None);
    }

    #[test]
    fn the_place_of_the_fault_is_told_by_line_and_column() {
        check("{\"a\": 1}", None);
        check("{\"a\": 1,\n \"b\": x}", Some("its JSON is broken at line 2, column 7"));
        check("{\"a\": 1}{\"b\": tru", Some("its JSON ends too early, at line 1, column 17"));
        check("{\"a\": [", Some("its JSON ends too early, at line 1, column 7"));
        let long = format!("{{\"a\": \"{}\", x}}", "b".repeat(2 << 20));
        check(&long, None);
    }
}
