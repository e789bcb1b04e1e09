//! Which bucket a source lists, as the checkpoint file keeps it: what of it is done stands in a file of its own.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::done::{self, DoneSummary};
use crate::ack::LocalPosition;
use crate::event::Timestamp;

/// What of a bucket is listed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ListedBucket {
    /// The bucket.
    pub bucket: String,
    /// What keys begin with.
    pub prefix: String,
    /// The name of the file with what is done, below the state directory's folder of them.
    pub(super) file: String,
}

/// As it stands in the checkpoint file.
#[derive(Serialize)]
struct StoredBucket<'a> {
    source: &'a str,
    #[serde(flatten)]
    position: &'a ListedBucket,
}

impl ListedBucket {
    /// The file with what is done, for this state directory; none: the checkpoint file names none that could be.
    #[must_use]
    pub fn done_file(&self, state: &Path) -> Option<PathBuf> {
        // Whatever was written there, no file elsewhere is meant.
        let file = Path::new(&self.file);
        let is_name = file.file_name() == Some(file.as_os_str());
        let is_done = file.extension().is_some_and(|extension| extension == "done");
        (is_name && is_done).then(|| state.join(done::FOLDER).join(file))
    }

    /// Counts what is done, and changes nothing.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn done(&self, state: &Path) -> io::Result<DoneSummary> {
        self.done_file(state).map_or_else(|| Ok(DoneSummary::default()), |path| done::summary(&path))
    }
}

impl LocalPosition for ListedBucket {
    const KIND: &'static str = "bucket";

    /// Nothing moves here: what is done is in its file.
    type Mark = ();

    fn advance(&mut self, (): (), _: Timestamp) {}

    fn to_json(&self, source: &str) -> serde_json::Result<Box<RawValue>> {
        to_raw_value(&StoredBucket { source, position: self })
    }

    fn from_json(json: &RawValue) -> Option<Self> {
        serde_json::from_str(json.get()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_read_as_it_was_written_and_names_no_file_elsewhere() {
        let named = |file: &str| ListedBucket {
            bucket: "b".to_owned(),
            prefix: "AWSLogs/".to_owned(),
            file: file.to_owned(),
        };
        let bucket = named("0123.done");
        assert_eq!(ListedBucket::from_json(&bucket.to_json("s\"").unwrap()), Some(bucket.clone()));
        let state = Path::new("/state");
        assert_eq!(bucket.done_file(state).unwrap(), Path::new("/state/objects/0123.done"));
        for file in ["../../etc/x.done", "checkpoints.json", ""] {
            assert_eq!(named(file).done_file(state), None, "{file}");
        }
    }
}
