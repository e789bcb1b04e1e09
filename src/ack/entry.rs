//! One line of the checkpoint file.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::event::{FilePosition, Fingerprint, Mark, Place, Timestamp};

/// What the checkpoints say of one file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// The source's name.
    pub source: Arc<str>,
    /// How far its file is done.
    pub position: FilePosition,
}

/// The entry as it is written, beside the checksum of exactly that text.
#[derive(Deserialize, Serialize)]
struct Line<'a> {
    sum: String,
    #[serde(borrow)]
    file: &'a RawValue,
}

#[derive(Deserialize, Serialize)]
struct Written {
    source: Box<str>,
    path: WrittenPath,
    origin: Box<str>,
    device: u64,
    inode: u64,
    offset: u64,
    size: u64,
    head: String,
    tail: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    skipping: bool,
    /// Milliseconds since 1970.
    time: i64,
}

/// Paths are bytes; those that are text are written as text.
#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum WrittenPath {
    Text(String),
    Bytes(Vec<u8>),
}

impl Entry {
    /// The entry as one line without its newline.
    pub(super) fn to_line(&self) -> serde_json::Result<String> {
        let file = serde_json::value::to_raw_value(&Written::from(self))?;
        serde_json::to_string(&Line { sum: sum(file.get()), file: &file })
    }

    /// Reads a line; none when it is torn or was changed.
    pub(super) fn from_line(line: &str) -> Option<Self> {
        let line: Line<'_> = serde_json::from_str(line).ok()?;
        if line.sum != sum(line.file.get()) {
            return None;
        }
        let written: Written = serde_json::from_str(line.file.get()).ok()?;
        written.try_into().ok()
    }
}

impl From<&Entry> for Written {
    fn from(entry: &Entry) -> Self {
        let FilePosition { place, origin, head, mark, time } = &entry.position;
        Self {
            source: Box::from(&*entry.source),
            path: WrittenPath::from(place.path.as_path()),
            origin: Box::from(&**origin),
            device: place.device,
            inode: place.inode,
            offset: mark.offset,
            size: mark.size,
            head: print(*head),
            tail: print(mark.tail),
            skipping: mark.skipping,
            time: time.0,
        }
    }
}

/// A fingerprint that does not read as one.
struct BadFingerprint;

impl TryFrom<Written> for Entry {
    type Error = BadFingerprint;

    fn try_from(written: Written) -> Result<Self, BadFingerprint> {
        let path = PathBuf::from(written.path);
        Ok(Self {
            source: written.source.into(),
            position: FilePosition {
                place: Place { path, device: written.device, inode: written.inode },
                origin: written.origin.into(),
                head: parse(&written.head).ok_or(BadFingerprint)?,
                mark: Mark {
                    offset: written.offset,
                    tail: parse(&written.tail).ok_or(BadFingerprint)?,
                    skipping: written.skipping,
                    size: written.size,
                },
                time: Timestamp(written.time),
            },
        })
    }
}

impl From<&Path> for WrittenPath {
    fn from(path: &Path) -> Self {
        path.to_str().map_or_else(
            || Self::Bytes(path.as_os_str().as_bytes().to_vec()),
            |text| Self::Text(text.to_owned()),
        )
    }
}

impl From<WrittenPath> for PathBuf {
    fn from(path: WrittenPath) -> Self {
        match path {
            WrittenPath::Text(text) => Self::from(text),
            WrittenPath::Bytes(bytes) => Self::from(OsString::from_vec(bytes)),
        }
    }
}

/// A fingerprint as text: JSON's numbers do not hold 64 bits everywhere.
fn print(fingerprint: Fingerprint) -> String {
    format!("{}:{:016x}", fingerprint.len, fingerprint.hash)
}

fn parse(text: &str) -> Option<Fingerprint> {
    let (len, hash) = text.split_once(':')?;
    let len = len.parse().ok().filter(|len| usize::from(*len) <= Fingerprint::MOST)?;
    Some(Fingerprint { len, hash: u64::from_str_radix(hash, 16).ok()? })
}

fn sum(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    let first = digest.as_ref().first_chunk().map_or(0, |first| u32::from_be_bytes(*first));
    format!("{first:08x}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_entry_comes_back_as_it_was(
            path in proptest::collection::vec(1_u8.., 1..40),
            origin in ".*",
            numbers in any::<[u64; 5]>(),
            len in 0_u16..=1024,
            skipping in any::<bool>(),
        ) {
            let [device, inode, offset, size, hash] = numbers;
            let entry = Entry {
                source: "app".into(),
                position: FilePosition {
                    place: Place { path: OsString::from_vec(path).into(), device, inode },
                    origin: origin.into(),
                    head: Fingerprint { len, hash },
                    mark: Mark { offset, tail: Fingerprint { len, hash: !hash }, skipping, size },
                    time: Timestamp(i64::from(len)),
                },
            };
            let line = entry.to_line().unwrap();
            prop_assert!(!line.contains('\n'));
            prop_assert_eq!(Entry::from_line(&line), Some(entry));
        }

        #[test]
        fn no_line_is_too_strange(line in ".*") {
            prop_assert_eq!(Entry::from_line(&line), None);
        }
    }
}
