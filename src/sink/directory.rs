//! What Firehose would leave in S3, in a local folder: for trials and tests.
//!
//! Each request becomes one object, `YYYY/MM/DD/HH/STREAM-1-YYYY-MM-DD-HH-MM-SS-ID`, with the records one after the other. An
//! object is written aside, fsynced and renamed, so that it is there whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::time::Instant;

use super::answer::{Answer, Hold};
use super::send_order::ReservedSend;
use super::service::{RecordParts, ServiceReply, SinkService};
use crate::event::Timestamp;

/// A folder that objects are written to.
#[derive(Debug)]
pub struct Directory {
    target: Arc<ObjectFolder>,
}

#[derive(Debug)]
struct ObjectFolder {
    path: PathBuf,
    stream: String,
    /// What an object's name ends with.
    extension: &'static str,
}

impl Directory {
    /// The folder `path`, with objects named after `stream`, which end with `extension`.
    #[must_use]
    pub fn new(path: PathBuf, stream: String, extension: &'static str) -> Self {
        Self { target: Arc::new(ObjectFolder { path, stream, extension }) }
    }
}

impl SinkService for Directory {
    async fn put(&self, records: Vec<RecordParts>, reserved: ReservedSend) -> ServiceReply {
        let _written = reserved.wait().await;
        let sent = Instant::now();
        let target = Arc::clone(&self.target);
        let write = move || target.write(&records, Timestamp::now());
        let answer = match tokio::task::spawn_blocking(write).await {
            Ok(Ok(())) => Answer::Accepted(Vec::new()),
            Ok(Err(error)) => {
                let message = format!("cannot write to `{}`: {error}", self.target.path.display());
                Answer::TryLater { outcome: "failed", message }
            }
            Err(error) => Answer::TryLater { outcome: "failed", message: error.to_string() },
        };
        ServiceReply { answer, sent }
    }

    fn refresh_credentials(&self, _: &Hold) {}

    fn request_bytes(&self, _payload: usize) -> usize {
        0
    }

    fn billed(&self, record: usize) -> usize {
        crate::limits::billed(record)
    }
}

impl ObjectFolder {
    fn write(&self, records: &[RecordParts], now: Timestamp) -> io::Result<()> {
        let time = now.to_rfc3339();
        let folder = self.path.join(time.get(..13).unwrap_or_default().replace(['-', 'T'], "/"));
        fs::create_dir_all(&folder)?;
        let second = time.get(..19).unwrap_or_default().replace(['T', ':'], "-");
        let name = format!("{}-1-{second}-{:016x}{}", self.stream, fastrand::u64(..), self.extension);
        let aside = folder.join(format!(".{name}.partial"));
        write_synced(&aside, records).inspect_err(|_| {
            // The rest of a failed write is of no use; that it stays is no harm.
            fs::remove_file(&aside).ok();
        })?;
        fs::rename(&aside, folder.join(name))?;
        File::open(&folder)?.sync_all()
    }
}

fn write_synced(path: &Path, records: &[RecordParts]) -> io::Result<()> {
    let mut file = io::BufWriter::with_capacity(256 * 1024, File::create(path)?);
    for part in records.iter().flatten() {
        file.write_all(part)?;
    }
    file.into_inner()?.sync_all()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn an_object_holds_the_records_of_a_request() {
        let out = tempfile::tempdir().unwrap();
        let directory = Directory::new(out.path().to_owned(), "logs".into(), "");
        let record = |text: &'static str| vec![Bytes::from_static(text.as_bytes())];
        directory.target.write(&[record("a\n"), record("b\n")], Timestamp(1_795_309_323_004)).unwrap();
        let hour = out.path().join("2026/11/22/01");
        let names: Vec<_> = fs::read_dir(hour).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(names.len(), 1);
        let name = names[0].file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("logs-1-2026-11-22-01-02-03-"), "{name}");
        assert_eq!(fs::read(&names[0]).unwrap(), b"a\nb\n");
    }
}
