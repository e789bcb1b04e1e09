//! Files that are too old to be read: new to the source, and nothing was written to them for long.

use std::collections::HashMap;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::info;

use super::identity::{FileKey, FileTime};
use super::setup::FileSetup;

/// Files that are passed over, each told and counted once for as long as it is there.
#[derive(Default)]
pub(super) struct OldFiles {
    known: HashMap<FileKey, OldFile>,
    /// The number of the present walk.
    walk: u64,
    /// Those that were not told yet: how many, and the first.
    untold: usize,
    first: Option<PathBuf>,
}

/// A file that is passed over.
struct OldFile {
    /// When it came into being: another file may have its inode by now.
    born: Option<FileTime>,
    /// Its size at the start, where it was there then.
    size_at_start: Option<u64>,
    /// The last walk that came upon it.
    walk: u64,
}

impl OldFiles {
    /// A file is passed over, which is this; `size_at_start` where it was there before this run.
    pub(super) fn pass_over(
        &mut self,
        setup: &FileSetup,
        path: &Path,
        metadata: &Metadata,
        size_at_start: Option<u64>,
    ) {
        let (key, born) = (FileKey::of(metadata), FileTime::born(metadata));
        if let Some(file) = self.known.get_mut(&key).filter(|file| file.born == born) {
            file.walk = self.walk;
            return;
        }
        self.known.insert(key, OldFile { born, size_at_start, walk: self.walk });
        self.untold = self.untold.saturating_add(1);
        self.first.get_or_insert_with(|| path.to_owned());
        setup.metrics().file("ignored");
    }

    /// A file is read after all, which has this size now. How large it was at the start, if it was passed over since; none where what it
    /// had then is gone.
    pub(super) fn admit(&mut self, key: FileKey, born: Option<FileTime>, size: u64) -> Option<u64> {
        let file = self.known.remove(&key).filter(|file| file.born == born)?;
        file.size_at_start.filter(|at_start| *at_start <= size)
    }

    /// A walk is done: forgets those that it did not come upon, and says what is new.
    pub(super) fn walked(&mut self, setup: &FileSetup) {
        let walk = self.walk;
        self.known.retain(|_, file| file.walk == walk);
        self.walk = walk.saturating_add(1);
        if let Some(first) = self.first.take() {
            let files = std::mem::take(&mut self.untold);
            info!(
                source = %setup.name,
                files,
                first = %first.display(),
                "files are not read, since nothing was written to them for as long as `ignore_older` says"
            );
        }
    }
}

/// Whether nothing had been written to a file for longer than `age` at a moment.
pub(super) fn is_too_old(age: Option<Duration>, metadata: &Metadata, at: FileTime) -> bool {
    let Some(age) = age else { return false };
    let age = i64::try_from(age.as_nanos()).unwrap_or(i64::MAX);
    at.0.saturating_sub(FileTime::modified(metadata).0) > age
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_what_the_same_file_had_at_the_start_and_still_has() {
        let (key, born) = (FileKey { device: 1, inode: 2 }, Some(FileTime(3)));
        let admit = |born_now: Option<FileTime>, size: u64| {
            let mut old = OldFiles::default();
            old.known.insert(key, OldFile { born, size_at_start: Some(10), walk: 0 });
            old.admit(key, born_now, size)
        };
        assert_eq!(admit(born, 12), Some(10));
        assert_eq!(admit(born, 4), None, "it was emptied, and written anew");
        assert_eq!(admit(Some(FileTime(4)), 12), None, "another file has its inode");
    }
}
