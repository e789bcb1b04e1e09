//! What cannot be delivered, kept on disk with the reason: one JSON object a line, fsynced before anything is told that it is done.
//!
//! `STATE/dead-letters/SINK/` holds a sink's records, `STATE/dead-letters/_SOURCE/` a source's payloads
//! that could not be decoded. The bytes stand as text where they are UTF-8 and as base64 otherwise.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use base64_simd::STANDARD;
use serde::Serialize;

use crate::event::{Origin, Timestamp};

/// Where dead letters are kept.
#[derive(Debug)]
pub struct DeadLetters {
    dir: PathBuf,
    /// The open file of each folder. The lock keeps lines whole; it covers the write and the fsync.
    open: Mutex<BTreeMap<String, File>>,
}

/// One dead letter, as it is written.
#[derive(Debug, Serialize)]
pub struct Letter<'a> {
    /// When it was given up.
    pub time_ms: i64,
    /// Why, as in the metric's label.
    pub reason: &'a str,
    /// The service's words, where it was the service that refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'a str>,
    /// The source.
    pub source: &'a str,
    /// The file's path, for local files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<&'a str>,
    /// The account, for subscription payloads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<&'a str>,
    /// The log group, for subscription payloads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_group: Option<&'a str>,
    /// The log stream, for subscription payloads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_stream: Option<&'a str>,
    /// How many bytes there are.
    pub size: usize,
    /// The bytes, when they are UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<&'a str>,
    /// The bytes in base64, when they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
}

impl<'a> Letter<'a> {
    /// A letter about these bytes.
    #[must_use]
    pub fn new(reason: &'a str, origin: &'a Origin, bytes: &'a [u8], time: Timestamp) -> Self {
        let text = std::str::from_utf8(bytes).ok();
        Self {
            time_ms: time.0,
            reason,
            error: None,
            source: &origin.source,
            file: origin.file.as_deref(),
            owner: origin.owner.as_deref(),
            log_group: origin.log_group.as_deref(),
            log_stream: origin.log_stream.as_deref(),
            size: bytes.len(),
            text,
            base64: text.is_none().then(|| STANDARD.encode_to_string(bytes)),
        }
    }
}

impl DeadLetters {
    /// The store under a state directory; nothing is made before the first letter.
    #[must_use]
    pub fn new(state: &Path) -> Self {
        Self { dir: state.join("dead-letters"), open: Mutex::new(BTreeMap::new()) }
    }

    /// Writes letters of one sink, or of a source as `_SOURCE`, and returns once they are on disk. Blocks.
    ///
    /// # Errors
    /// When they are not on disk; they must then be written again.
    pub fn write(&self, folder: &str, letters: &[Letter<'_>]) -> io::Result<()> {
        let mut text = Vec::new();
        for letter in letters {
            serde_json::to_writer(&mut text, letter)?;
            text.push(b'\n');
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut file = match open.remove(folder) {
            Some(file) => file,
            None => self.open_file(folder)?,
        };
        // A file that failed is not kept: the next try opens it anew.
        file.write_all(&text)?;
        file.sync_data()?;
        open.insert(folder.to_owned(), file);
        Ok(())
    }

    fn open_file(&self, folder: &str) -> io::Result<File> {
        let dir = self.dir.join(folder);
        fs::create_dir_all(&dir)?;
        let file = OpenOptions::new().create(true).append(true).open(dir.join("dead-letters.ndjson"))?;
        File::open(&dir)?.sync_all()?;
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_keep_the_bytes_and_where_they_came_from() {
        let state = tempfile::tempdir().unwrap();
        let store = DeadLetters::new(state.path());
        let origin = Origin { source: "app".into(), file: Some("/a.log".into()), ..Origin::default() };
        let letters = [b"text".as_slice(), b"\xff\x00"]
            .map(|bytes| Letter::new("too_large", &origin, bytes, Timestamp(7)));
        store.write("archive", &letters).unwrap();
        let text = fs::read_to_string(state.path().join("dead-letters/archive/dead-letters.ndjson")).unwrap();
        assert_eq!(
            text,
            "{\"time_ms\":7,\"reason\":\"too_large\",\"source\":\"app\",\"file\":\"/a.log\",\"size\":4,\"text\":\"text\"}\n\
             {\"time_ms\":7,\"reason\":\"too_large\",\"source\":\"app\",\"file\":\"/a.log\",\"size\":2,\"base64\":\"/wA=\"}\n"
        );
    }
}
