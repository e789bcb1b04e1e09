//! What holds for any bytes as entries of the journal.

use standpipe::config::Format;
use standpipe::journal_export::{ExportError, ExportFields, ExportScan, ScannedExport};

use super::seen::decode;

/// Entries of the journal are found alike in pieces of any size, each of them is told by itself as with the others, and what is larger than
/// allowed is dropped without a byte of another.
///
/// The first byte is the size of the pieces.
pub fn journald(bytes: &[u8]) {
    const MOST: usize = 1 << 10;
    let Some((size, stream)) = bytes.split_first() else { return };
    let (whole, error) = found_entries(stream, usize::MAX, usize::MAX);
    let pieces = found_entries(stream, usize::from(*size).max(1), usize::MAX);
    assert_eq!((&whole, error), (&pieces.0, pieces.1), "the size of the pieces matters");
    let (mut at, mut by_themselves) = (0, Vec::new());
    for (len, _) in &whole {
        let entry = &stream[at..at + len];
        let mut fields = ExportFields::from(entry, 0);
        while fields.field().unwrap_or_else(|error| panic!("{error}: {entry:?}")).is_some() {}
        assert_eq!(fields.at(), *len, "the fields end where the entry does");
        by_themselves.extend(decode(Format::Journald, entry).told);
        at += len;
    }
    assert_eq!(decode(Format::Journald, &stream[..at]).told, by_themselves);
    // With a limit, the same entries are found, but for those that are larger.
    let bounded: Vec<_> = found_entries(stream, usize::MAX, MOST).0;
    let expected: Vec<_> = whole.iter().map(|(len, _)| (*len, *len > MOST)).collect();
    assert_eq!(bounded.get(..expected.len()), Some(expected.as_slice()));
    // What is cut off breaks nothing.
    decode(Format::Journald, stream);
}

/// The lengths of the entries at the front of `stream`, whether each is larger than `most`, and why there are no more.
fn found_entries(stream: &[u8], size: usize, most: usize) -> (Vec<(usize, bool)>, Option<ExportError>) {
    let (mut found, mut begin, mut end) = (Vec::new(), 0, 0);
    let (mut scan, mut dropped) = (ExportScan::default(), 0);
    loop {
        match scan.step(&stream[begin..end], most) {
            Ok(ScannedExport::Entry(len)) => {
                found.push((len, false));
                begin += len;
            }
            Ok(ScannedExport::TooLarge { len, ends }) => {
                dropped += len;
                begin += len;
                if ends {
                    found.push((std::mem::take(&mut dropped), true));
                }
            }
            Ok(ScannedExport::More) if end == stream.len() => return (found, None),
            Ok(ScannedExport::More) => end = stream.len().min(end.saturating_add(size)),
            Err(error) => return (found, Some(error)),
        }
    }
}
