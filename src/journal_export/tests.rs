//! Entries in pieces of any size, with values of any kind, and what is none.

use proptest::prelude::*;

use super::*;

const FIRST: &str = "s=cfb1fe4240e54cee95c42a14f9292c99;i=1f;b=6a1c;m=f4240;t=644cd70294040;x=79ca";

fn entry(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    put_field(&mut out, "__CURSOR", FIRST.as_bytes());
    for (name, value) in fields {
        put_field(&mut out, name, value);
    }
    end_entry(&mut out);
    out
}

/// The lengths of entries that are found when the bytes come in pieces, what is dropped, and why no more are found.
fn found(bytes: &[u8], piece: usize, most: usize) -> (Vec<usize>, usize, Option<ExportError>) {
    let (mut scan, mut begin, mut end) = (ExportScan::default(), 0, 0);
    let (mut entries, mut dropped) = (Vec::new(), 0);
    loop {
        match scan.step(&bytes[begin..end], most) {
            Ok(ScannedExport::Entry(len)) => {
                entries.push(len);
                begin += len;
            }
            Ok(ScannedExport::TooLarge { len, .. }) => {
                dropped += len;
                begin += len;
            }
            Ok(ScannedExport::More) if end == bytes.len() => return (entries, dropped, None),
            Ok(ScannedExport::More) => end = bytes.len().min(end.saturating_add(piece)),
            Err(error) => return (entries, dropped, Some(error)),
        }
    }
}

fn fields(entry: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut reader = ExportFields::from(entry, 0);
    let mut fields = Vec::new();
    while let Some(ExportField { name, value }) = reader.field().unwrap() {
        fields.push((String::from_utf8(name.to_vec()).unwrap(), value.to_vec()));
    }
    assert_eq!(reader.at(), entry.len());
    fields
}

#[test]
fn a_value_of_any_bytes_is_found_by_its_length() {
    let tricky = b"two\n\n__CURSOR=s=1\nlines\0";
    let bytes = entry(&[("MESSAGE", tricky), ("PRIORITY", b"6"), ("EMPTY", b"")]);
    assert_eq!(found(&bytes, 1, 1_000), (vec![bytes.len()], 0, None));
    let told = fields(&bytes);
    assert_eq!(told[0].0, "__CURSOR");
    assert_eq!(told[1], ("MESSAGE".to_owned(), tricky.to_vec()));
    assert_eq!(told[2..], [("PRIORITY".to_owned(), b"6".to_vec()), ("EMPTY".to_owned(), Vec::new())]);
}

#[test]
fn an_entry_that_is_too_large_is_dropped_and_the_next_one_found() {
    let large = [&[0; 5_000][..], b"\n\n"].concat();
    for value in [&large[..], "x".repeat(5_000).as_bytes()] {
        let (before, after) = (entry(&[("MESSAGE", b"before")]), entry(&[("MESSAGE", b"after")]));
        let middle = entry(&[("A", b"1"), ("MESSAGE", value), ("B", b"\n")]);
        let bytes = [&before[..], &middle, &after].concat();
        for piece in [1, 7, 1_000, usize::MAX] {
            let expected = (vec![before.len(), after.len()], middle.len(), None);
            assert_eq!(found(&bytes, piece, 1_000), expected, "pieces of {piece}");
        }
    }
}

/// A length of more than there could be costs nothing, and ends nothing before it.
#[test]
fn what_is_no_entry_is_told_as_such() {
    let good = entry(&[("MESSAGE", b"good")]);
    let check = |bad: &[u8], error| {
        let bytes = [&good[..], bad].concat();
        for piece in [1, usize::MAX] {
            assert_eq!(found(&bytes, piece, 1_000), (vec![good.len()], 0, Some(error)), "{bad:?}");
        }
    };
    check(b"-- No entries --\n", ExportError::NoCursor);
    check(b"\n", ExportError::NoCursor);
    check(b"MESSAGE=before its cursor\n", ExportError::NoCursor);
    check(b"__CURSOR=s=1\n-- Reboot --\n", ExportError::Name);
    check(&[b"__CURSOR=s=1\n", &[b'A'; 100][..]].concat(), ExportError::Name);
    check(b"__CURSOR=s=1\nMESSAGE\n\xff\xff\xff\xff\xff\xff\xff\xff", ExportError::Length);
    check(b"__CURSOR=s=1\nMESSAGE\n\x01\0\0\0\0\0\0\0ab\n", ExportError::Value);
}

#[test]
fn a_cursor_tells_its_sequence_its_number_and_its_time() {
    let bytes = entry(&[]);
    let text = JournalCursor::of_entry(&bytes).unwrap();
    assert_eq!(text, FIRST);
    let cursor = JournalCursor::parse(text).unwrap();
    assert_eq!((cursor.number, cursor.time), (31, 1_764_499_001_000_000));
    let next = JournalCursor { number: 32, ..cursor };
    assert_eq!(next.place().wrapping_sub(cursor.place()), 1);
    for none in ["", "s=;i=1;t=1", "s=1;i=g;t=1", "i=1;t=1", "s=1;i=1"] {
        assert_eq!(JournalCursor::parse(none), None, "{none}");
    }
    let strange = b"__CURSOR=s=1\x1b[2J\n\n";
    assert_eq!(JournalCursor::of_entry(strange), None);
}

proptest! {
    #[test]
    fn what_is_written_is_found_in_pieces_of_any_size(
        values in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..8),
        piece in 1_usize..50,
    ) {
        let named: Vec<(String, &[u8])> =
            values.iter().enumerate().map(|(at, value)| (format!("FIELD_{at}"), &value[..])).collect();
        let one = entry(&named.iter().map(|(name, value)| (name.as_str(), *value)).collect::<Vec<_>>());
        let bytes = [&one[..], &one].concat();
        prop_assert_eq!(found(&bytes, piece, 10_000), (vec![one.len(); 2], 0, None));
        let told = fields(&one);
        for ((name, value), (expected, bytes)) in told[1..].iter().zip(&named) {
            prop_assert_eq!((name, &value[..]), (expected, *bytes));
        }
        prop_assert_eq!(told.len(), named.len() + 1);
    }

    #[test]
    fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..300), piece in 1_usize..50) {
        let stream = [b"__CURSOR=s=1\n", &bytes[..]].concat();
        let (entries, _, error) = found(&stream, usize::MAX, 100);
        let (same, _, as_well) = found(&stream, piece, 100);
        prop_assert_eq!((entries, error), (same, as_well));
    }
}
