//! How far a file was read, and how the checkpoint file keeps it.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::content_id::ContentId;
use crate::ack::LocalPosition;
use crate::event::Timestamp;

/// A short proof of what some bytes of a file were.
///
/// Two hashes are compared only at the same length, so a file that grows keeps matching what was taken when it was small.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Fingerprint {
    /// How many bytes were hashed; at most [`Fingerprint::MOST`].
    pub len: u16,
    /// The first eight bytes of their SHA-256.
    pub hash: u64,
}

impl Fingerprint {
    /// Most bytes that a fingerprint is taken of.
    pub const MOST: usize = 1024;

    /// Of the first bytes.
    #[must_use]
    pub fn of_start(bytes: &[u8]) -> Self {
        Self::of(bytes.get(..Self::MOST).unwrap_or(bytes))
    }

    /// Of the last bytes.
    #[must_use]
    pub fn of_end(bytes: &[u8]) -> Self {
        let from = bytes.len().saturating_sub(Self::MOST);
        Self::of(bytes.get(from..).unwrap_or(bytes))
    }

    /// Whether `bytes` begin with what this was taken of.
    #[must_use]
    pub fn begins(&self, bytes: &[u8]) -> bool {
        bytes.get(..usize::from(self.len)).is_some_and(|start| Self::of(start) == *self)
    }

    /// Whether nothing was hashed, so that it proves nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn of(bytes: &[u8]) -> Self {
        let Ok(len) = u16::try_from(bytes.len()) else { return Self::default() };
        if len == 0 {
            return Self::default();
        }
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
        let hash = digest.as_ref().first_chunk().map_or(0, |first| u64::from_be_bytes(*first));
        Self { len, hash }
    }
}

/// A place in a file that reading can go on from.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Mark {
    /// Bytes before it; in plain text, for gzipped files.
    pub offset: u64,
    /// Of the bytes just before it, so that a rewritten file is not taken for the old one.
    pub tail: Fingerprint,
    /// Whether it stands inside a line that was cut as too long, the rest of which is to be left out.
    pub skipping: bool,
    /// How large the file was when the place was reached.
    pub size: u64,
}

/// Where a file is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct FileLocation {
    /// The path it was last seen at.
    pub path: PathBuf,
    /// The same without links, where that is another one.
    pub real: Option<PathBuf>,
    /// The device's number.
    pub device: u64,
    /// The inode's number.
    pub inode: u64,
}

/// What is remembered of one file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FilePosition {
    /// Where it is.
    pub location: FileLocation,
    /// The path that its events carry: the one it was first found at, before any rotation.
    pub origin: Arc<str>,
    /// What ids of its lines are made of.
    pub id: ContentId,
    /// Of its first bytes; empty while it has none.
    pub head: Fingerprint,
    /// Everything before this was acknowledged.
    pub mark: Mark,
    /// Something of it was left out, and is in the file alone.
    pub partial: bool,
    /// When the mark last moved.
    pub time: Timestamp,
}

impl LocalPosition for FilePosition {
    const KIND: &'static str = "file";

    type Mark = Mark;

    fn advance(&mut self, mark: Mark, read_at: Timestamp) {
        (self.mark, self.time) = (mark, read_at);
    }

    fn to_json(&self, source: &str) -> serde_json::Result<Box<RawValue>> {
        to_raw_value(&WrittenPosition {
            source: source.into(),
            path: WrittenPath::from(self.location.path.as_path()),
            real: self.location.real.as_deref().map(WrittenPath::from),
            origin: Box::from(&*self.origin),
            device: self.location.device,
            inode: self.location.inode,
            offset: self.mark.offset,
            size: self.mark.size,
            id: format!("{:016x}", self.id.hash),
            generation: self.id.generation,
            head: print(self.head),
            tail: print(self.mark.tail),
            skipping: self.mark.skipping,
            partial: self.partial,
            time: self.time.0,
        })
    }

    fn moved_to_json(&self, _: &str) -> serde_json::Result<Box<RawValue>> {
        to_raw_value(&WrittenMove {
            offset: self.mark.offset,
            size: self.mark.size,
            tail: print(self.mark.tail),
            skipping: self.mark.skipping,
            time: self.time.0,
        })
    }

    fn from_json(json: &RawValue) -> Option<Self> {
        let written: WrittenPosition = serde_json::from_str(json.get()).ok()?;
        let (path, real) = (PathBuf::from(written.path), written.real.map(PathBuf::from));
        Some(Self {
            location: FileLocation { path, real, device: written.device, inode: written.inode },
            id: ContentId {
                // An earlier version wrote none.
                hash: u64::from_str_radix(&written.id, 16).unwrap_or(written.inode),
                generation: written.generation,
            },
            origin: written.origin.into(),
            head: parse(&written.head)?,
            mark: Mark {
                offset: written.offset,
                tail: parse(&written.tail)?,
                skipping: written.skipping,
                size: written.size,
            },
            partial: written.partial,
            time: Timestamp(written.time),
        })
    }
}

#[derive(Deserialize, Serialize)]
struct WrittenPosition {
    source: Box<str>,
    path: WrittenPath,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    real: Option<WrittenPath>,
    origin: Box<str>,
    device: u64,
    inode: u64,
    offset: u64,
    size: u64,
    #[serde(default)]
    id: String,
    #[serde(default)]
    generation: u32,
    head: String,
    tail: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    skipping: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    partial: bool,
    /// Milliseconds since 1970.
    time: i64,
}

/// What acknowledgements move: the fields of [`WrittenPosition`] with these names.
#[derive(Serialize)]
struct WrittenMove {
    offset: u64,
    size: u64,
    tail: String,
    skipping: bool,
    time: i64,
}

/// Paths are bytes; those that are text are written as text.
#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum WrittenPath {
    Text(String),
    Bytes(Vec<u8>),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_still_matches_when_the_file_grew() {
        let small = Fingerprint::of_start(b"first line\n");
        assert!(small.begins(b"first line\nsecond line\n"));
        assert!(!small.begins(b"other line\nsecond line\n"));
        assert!(!small.begins(b"first"));
    }

    #[test]
    fn only_the_nearest_bytes_count() {
        let long: Vec<u8> = (0..5000_u32).flat_map(u32::to_le_bytes).collect();
        assert_eq!(Fingerprint::of_start(&long), Fingerprint::of_start(&long[..Fingerprint::MOST]));
        assert_eq!(Fingerprint::of_end(&long), Fingerprint::of_end(&long[5000..]));
        assert_eq!(usize::from(Fingerprint::of_end(&long).len), Fingerprint::MOST);
        assert!(Fingerprint::of_end(b"").is_empty());
    }

    proptest::proptest! {
        #[test]
        fn a_position_comes_back_as_it_was(
            path in proptest::collection::vec(1_u8.., 1..40),
            origin in ".*",
            numbers in proptest::prelude::any::<[u64; 5]>(),
            len in 0_u16..=1024,
            skipping in proptest::prelude::any::<bool>(),
            is_linked in proptest::prelude::any::<bool>(),
        ) {
            let real = is_linked.then(|| OsString::from_vec(path.iter().copied().rev().collect()).into());
            let [device, inode, offset, size, hash] = numbers;
            let position = FilePosition {
                location: FileLocation { path: OsString::from_vec(path).into(), real, device, inode },
                origin: origin.into(),
                id: ContentId { hash, generation: u32::from(len) },
                head: Fingerprint { len, hash },
                mark: Mark { offset, tail: Fingerprint { len, hash: !hash }, skipping, size },
                partial: !skipping,
                time: Timestamp(i64::from(len)),
            };
            let json = position.to_json("app").unwrap();
            proptest::prop_assert!(!json.get().contains('\n'));
            proptest::prop_assert_eq!(FilePosition::from_json(&json), Some(position));
        }
    }
}
