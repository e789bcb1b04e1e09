//! A record of `MessagePack` as JSON text.

use std::io::Write;

use crate::msgpack::{PackReader, PackToken};

/// A record is nested at most so deep.
const MOST_DEPTH: usize = 64;

/// As JSON it has at most so many bytes, four times what an event may have.
const MOST_BYTES: usize = 4 << 20;

/// It has no form in JSON that is as small and as flat as it has to be.
struct NoJson;

/// Writes the one value of `record`. False: it is nested too deep, or too large.
pub(super) fn write_record(record: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    let mut reader = PackReader::new(record);
    let written = write_value(&mut reader, MOST_DEPTH, out);
    written.is_ok() && out.len() <= MOST_BYTES
}

fn write_value(reader: &mut PackReader<'_>, depth: usize, out: &mut Vec<u8>) -> Result<(), NoJson> {
    if out.len() > MOST_BYTES {
        return Err(NoJson);
    }
    let token = reader.token().map_err(|_| NoJson)?;
    let below = depth.checked_sub(1).ok_or(NoJson)?;
    match token {
        PackToken::Array(items) => {
            out.push(b'[');
            for item in 0..items {
                if item > 0 {
                    out.push(b',');
                }
                write_value(reader, below, out)?;
            }
            out.push(b']');
        }
        PackToken::Map(pairs) => {
            out.push(b'{');
            for pair in 0..pairs {
                if pair > 0 {
                    out.push(b',');
                }
                write_key(reader, out)?;
                out.push(b':');
                write_value(reader, below, out)?;
            }
            out.push(b'}');
        }
        PackToken::Nil
        | PackToken::Bool(_)
        | PackToken::Unsigned(_)
        | PackToken::Negative(_)
        | PackToken::Float(_)
        | PackToken::Str(_)
        | PackToken::Bin(_)
        | PackToken::Ext(..) => write_scalar(token, out)?,
    }
    Ok(())
}

/// JSON has strings as keys, and no others.
fn write_key(reader: &mut PackReader<'_>, out: &mut Vec<u8>) -> Result<(), NoJson> {
    match reader.token().map_err(|_| NoJson)? {
        PackToken::Array(_) | PackToken::Map(_) => Err(NoJson),
        token @ (PackToken::Str(_) | PackToken::Bin(_) | PackToken::Ext(..)) => write_scalar(token, out),
        token @ (PackToken::Nil
        | PackToken::Bool(_)
        | PackToken::Unsigned(_)
        | PackToken::Negative(_)
        | PackToken::Float(_)) => {
            out.push(b'"');
            write_scalar(token, out)?;
            out.push(b'"');
            Ok(())
        }
    }
}

fn write_scalar(token: PackToken<'_>, out: &mut Vec<u8>) -> Result<(), NoJson> {
    if let PackToken::Str(bytes) | PackToken::Bin(bytes) | PackToken::Ext(_, bytes) = token
        && bytes.len() > MOST_BYTES
    {
        return Err(NoJson);
    }
    match token {
        PackToken::Bool(value) => write!(out, "{value}"),
        PackToken::Unsigned(number) => write!(out, "{number}"),
        PackToken::Negative(number) => write!(out, "{number}"),
        // Neither infinity nor what is no number has a form.
        PackToken::Float(number) if number.is_finite() => write!(out, "{number:?}"),
        PackToken::Str(text) | PackToken::Bin(text) => {
            return write_text(text, out);
        }
        PackToken::Ext(_, bytes) => {
            out.push(b'"');
            out.extend_from_slice(base64_simd::STANDARD.encode_to_string(bytes).as_bytes());
            out.push(b'"');
            Ok(())
        }
        PackToken::Nil | PackToken::Float(_) | PackToken::Array(_) | PackToken::Map(_) => {
            out.write_all(b"null")
        }
    }
    .map_err(|_| NoJson)
}

/// Writes a string; what is not UTF-8 is replaced.
fn write_text(text: &[u8], out: &mut Vec<u8>) -> Result<(), NoJson> {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let mut plain = text;
    // Most text needs no escape, and is copied in runs.
    while let Some(at) = plain.iter().position(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\' | 0x80..)) {
        // Escapes may make it six times as long.
        if out.len() > MOST_BYTES {
            return Err(NoJson);
        }
        let (before, rest) = plain.split_at_checked(at).unwrap_or((plain, &[]));
        out.extend_from_slice(before);
        let [byte, after @ ..] = rest else { break };
        plain = after;
        match byte {
            b'"' | b'\\' => out.extend([b'\\', *byte]),
            b'\n' => out.extend(b"\\n"),
            b'\t' => out.extend(b"\\t"),
            b'\r' => out.extend(b"\\r"),
            0..0x20 => {
                let digit = |value: u8| HEX.get(usize::from(value)).copied().unwrap_or(b'0');
                out.extend(b"\\u00");
                out.extend([digit(byte >> 4), digit(byte & 0x0f)]);
            }
            _ => {
                let run = rest.iter().position(u8::is_ascii).unwrap_or(rest.len());
                let (run, after) = rest.split_at_checked(run).unwrap_or((rest, &[]));
                out.extend_from_slice(String::from_utf8_lossy(run).as_bytes());
                plain = after;
            }
        }
    }
    out.extend_from_slice(plain);
    out.push(b'"');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(record: &[u8], expected: Option<&str>) {
        let mut out = b"old".to_vec();
        let written = write_record(record, &mut out).then(|| String::from_utf8(out).unwrap());
        assert_eq!(written.as_deref(), expected);
        if let Some(text) = written {
            serde_json::from_str::<serde_json::Value>(&text).unwrap();
        }
    }

    #[test]
    fn a_record_is_written_as_json() {
        check(&[0x80], Some("{}"));
        check(&[0x82, 0xa1, b'a', 0x01, 0xa1, b'b', 0x92, 0xc0, 0xc3], Some(r#"{"a":1,"b":[null,true]}"#));
        check(&[0x81, 0x07, 0xff], Some(r#"{"7":-1}"#));
        check(&[0x81, 0xa1, b'a', 0xcb, 0x3f, 0xe0, 0, 0, 0, 0, 0, 0], Some(r#"{"a":0.5}"#));
        check(&[0x81, 0xa1, b'a', 0xcb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0], Some(r#"{"a":null}"#));
        check(&[0x81, 0xa1, b'a', 0xd4, 0x05, 0xff], Some(r#"{"a":"/w=="}"#));
        check(&[0x81, 0xc4, 1, b'a', 0xc4, 2, 0xff, b'b'], Some("{\"a\":\"\u{fffd}b\"}"));
        check(&[0xc1], None);
        let text = "\"\\\n\t\r\u{1}\u{7f}é😀x";
        let mut record = vec![0x81, 0xa1, b'a', 0xd9, u8::try_from(text.len()).unwrap()];
        record.extend_from_slice(text.as_bytes());
        check(&record, Some("{\"a\":\"\\\"\\\\\\n\\t\\r\\u0001\u{7f}é😀x\"}"));
    }

    #[test]
    fn a_string_that_is_too_long_takes_no_memory_before_it_is_refused() {
        let value = |kind: u8, len: usize, byte: u8| {
            let mut record = vec![0x91, kind];
            record.extend(u32::try_from(len).unwrap().to_be_bytes());
            // What stands between the length and the bytes of an extension.
            record.extend((kind == 0xc9).then_some(5));
            record.resize(record.len() + len, byte);
            record
        };
        for (kind, len, byte, most) in [
            (0xdb, MOST_BYTES * 4, 1, 16),
            (0xc6, MOST_BYTES + 1, b'x', 16),
            (0xc9, MOST_BYTES + 1, b'x', 16),
            (0xdb, MOST_BYTES, 1, MOST_BYTES + 16),
            (0xdb, MOST_BYTES, b'x', MOST_BYTES + 16),
        ] {
            let mut out = Vec::new();
            assert!(!write_record(&value(kind, len, byte), &mut out));
            assert!(out.len() <= most, "{kind:x} {len} {byte}: {} bytes", out.len());
        }
        let mut out = Vec::new();
        assert!(write_record(&value(0xdb, MOST_BYTES - 4, b'x'), &mut out));
    }

    #[test]
    fn what_is_cut_off_or_nested_too_deep_is_not_written() {
        check(&[0x81, 0xa1, b'a'], None);
        check(&[0x81, 0x90, 0x01], None);
        check(
            &[&[0x91; MOST_DEPTH - 1][..], &[0x01]].concat(),
            Some(&format!("{}1{}", "[".repeat(63), "]".repeat(63))),
        );
        check(&[&[0x91; MOST_DEPTH][..], &[0x01]].concat(), None);
    }
}
