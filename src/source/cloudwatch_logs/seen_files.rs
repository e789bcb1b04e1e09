//! Ids of delivered events on disk: a folder for a log group, with a file for each bucket, that grows at its end.
//!
//! An entry has twelve bytes: the event's time as an offset from the bucket's, and the hash of its id. A torn entry at the end is cut
//! off. A bucket is halved by writing both halves beside it and removing it: of overlapping files the longer one is whole.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::seen::{BucketSpan, EventKey};

/// Bytes of an entry.
const ENTRY: usize = 12;

/// The files of one log group.
#[derive(Clone, Debug)]
pub(super) struct SeenFiles {
    dir: PathBuf,
}

/// A bucket, and the events that go into it.
pub(super) type Placed = (BucketSpan, Vec<EventKey>);

impl SeenFiles {
    pub(super) const fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// What earlier runs stored, each bucket with its number of ids. Repairs what a kill left.
    pub(super) fn open(&self) -> io::Result<Vec<(BucketSpan, usize)>> {
        let mut spans = Vec::new();
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        for entry in entries {
            let path = entry?.path();
            match path.file_name().and_then(|name| name.to_str()).and_then(span) {
                Some(span) => spans.push(span),
                None => fs::remove_file(&path)?,
            }
        }
        // The longer one of two that begin together comes first.
        spans.sort_unstable_by_key(|span| (span.from, std::cmp::Reverse(span.end)));
        let mut whole: Vec<(BucketSpan, usize)> = Vec::new();
        for span in spans {
            let path = span.path(&self.dir);
            if whole.last().is_some_and(|(before, _)| span.from < before.end) {
                fs::remove_file(&path)?;
                continue;
            }
            let bytes = fs::metadata(&path)?.len();
            let torn = bytes % ENTRY as u64;
            if torn > 0 {
                OpenOptions::new().write(true).open(&path)?.set_len(bytes - torn)?;
            }
            whole.push((span, usize::try_from(bytes / ENTRY as u64).unwrap_or(usize::MAX)));
        }
        Ok(whole)
    }

    /// The hashes in a bucket.
    pub(super) fn read(&self, span: BucketSpan) -> io::Result<Vec<u64>> {
        Ok(self.entries(span)?.into_iter().map(|key| key.hash).collect())
    }

    /// Adds to buckets, in a way that survives a kill.
    pub(super) fn append(&self, placed: &[Placed]) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        for (span, keys) in placed {
            let mut options = OpenOptions::new();
            let mut file = options.create(true).append(true).mode(0o600).open(span.path(&self.dir))?;
            let before = file.metadata()?.len();
            let written = file.write_all(&bytes(*span, keys));
            if written.is_err() {
                // Half of it would shift what comes after; it is cut off here, or at the next start.
                file.set_len(before)?;
            }
            written?;
        }
        Ok(())
    }

    /// Makes buckets survive a power cut.
    pub(super) fn sync(&self, spans: &[BucketSpan]) -> io::Result<()> {
        spans.iter().try_for_each(|span| match File::open(span.path(&self.dir)) {
            // Halved since, which syncs.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            file => file?.sync_data(),
        })
    }

    /// Makes two files of one, and says how many ids each has.
    pub(super) fn halve(&self, span: BucketSpan) -> io::Result<Option<[usize; 2]>> {
        let Some(halves) = span.halves() else { return Ok(None) };
        let keys = self.entries(span)?;
        let mut counts = [0; 2];
        for (half, count) in halves.iter().zip(&mut counts) {
            let keys: Vec<EventKey> = keys.iter().copied().filter(|key| half.holds(key.time)).collect();
            *count = keys.len();
            let temporary = self.dir.join("half");
            let mut options = OpenOptions::new();
            let mut file = options.create(true).write(true).truncate(true).mode(0o600).open(&temporary)?;
            file.write_all(&bytes(*half, &keys))?;
            file.sync_data()?;
            fs::rename(&temporary, half.path(&self.dir))?;
        }
        fs::remove_file(span.path(&self.dir))?;
        Ok(Some(counts))
    }

    /// Removes buckets.
    pub(super) fn remove(&self, spans: &[BucketSpan]) -> io::Result<()> {
        spans.iter().try_for_each(|span| match fs::remove_file(span.path(&self.dir)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        })
    }

    fn entries(&self, span: BucketSpan) -> io::Result<Vec<EventKey>> {
        let mut bytes = Vec::new();
        match File::open(span.path(&self.dir)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            file => drop(file?.read_to_end(&mut bytes)?),
        }
        let (entries, _) = bytes.as_chunks::<ENTRY>();
        Ok(entries.iter().map(|entry| key(span, *entry)).collect())
    }
}

fn key(span: BucketSpan, entry: [u8; ENTRY]) -> EventKey {
    let [a, b, c, d, hash @ ..] = entry;
    let time = span.from.saturating_add(i64::from(u32::from_le_bytes([a, b, c, d])));
    EventKey { time, hash: u64::from_le_bytes(hash) }
}

fn bytes(span: BucketSpan, keys: &[EventKey]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(keys.len() * ENTRY);
    for key in keys {
        let offset = u32::try_from(key.time.saturating_sub(span.from)).unwrap_or(0);
        bytes.extend_from_slice(&offset.to_le_bytes());
        bytes.extend_from_slice(&key.hash.to_le_bytes());
    }
    bytes
}

/// The span that a file's name tells.
fn span(name: &str) -> Option<BucketSpan> {
    let (from, end) = name.split_once('-')?;
    let span = BucketSpan { from: from.parse().ok()?, end: end.parse().ok()? };
    (span.from < span.end).then_some(span)
}

/// Removes the folders of log groups that nobody knows any more.
pub(super) fn remove_others(dir: &Path, known: impl Fn(&str) -> bool) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        if !path.file_name().and_then(|name| name.to_str()).is_some_and(&known) {
            fs::remove_dir_all(&path)?;
        }
    }
    Ok(())
}

/// Does something with files on a thread for what blocks.
pub(super) async fn on_disk<T: Send + 'static>(
    files: SeenFiles,
    work: impl FnOnce(&SeenFiles) -> io::Result<T> + Send + 'static,
) -> Result<T, String> {
    let dir = files.dir().display().to_string();
    let done = tokio::task::spawn_blocking(move || work(&files)).await;
    let done = done.map_err(io::Error::other).and_then(|done| done);
    done.map_err(|error| {
        format!("ids of delivered events cannot be kept in `{dir}`: {error}; make room in the state directory, or make it writable")
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::super::seen::SeenIds;
    use super::*;

    fn keys(at: i64, ids: std::ops::Range<u64>) -> Vec<EventKey> {
        ids.map(|hash| EventKey { time: at, hash }).collect()
    }

    /// Stores events that are on their way, as a source does.
    fn store(files: &SeenFiles, seen: &mut SeenIds, keys: &[EventKey]) {
        let placed: Vec<Placed> = seen.place(keys).into_values().collect();
        files.append(&placed).unwrap();
        for (span, keys) in placed {
            if seen.stored(span, &keys)
                && let Some(counts) = files.halve(span).unwrap()
            {
                seen.halved(span, counts);
            }
        }
    }

    fn is_new(files: &SeenFiles, seen: &mut SeenIds, key: EventKey) -> bool {
        for span in seen.missing([key.time]) {
            seen.load(span, files.read(span).unwrap());
        }
        seen.is_new(key)
    }

    #[test]
    fn a_busy_hour_is_halved_until_its_parts_fit_into_memory() {
        let dir = tempfile::tempdir().unwrap();
        let files = SeenFiles::new(dir.path().join("group"));
        let mut seen = SeenIds::default();
        for minute in 0..60_u64 {
            let all = keys(i64::try_from(minute).unwrap() * 60_000, minute * 5_000..(minute + 1) * 5_000);
            assert!(all.iter().all(|key| is_new(&files, &mut seen, *key)));
            store(&files, &mut seen, &all);
        }
        assert_eq!(seen.len(), 300_000);
        let buckets = files.open().unwrap();
        assert!(buckets.len() >= 4 && buckets.iter().all(|(_, count)| *count <= 131_072), "{buckets:?}");
        while seen.unload_one() {}
        assert!(seen.bytes() < 10_000, "{}", seen.bytes());
        assert!(!is_new(&files, &mut seen, EventKey { time: 30 * 60_000, hash: 30 * 5_000 }));
        assert!(is_new(&files, &mut seen, EventKey { time: 30 * 60_000, hash: 1 }));
    }

    #[test]
    fn a_flood_of_one_millisecond_is_one_bucket() {
        let dir = tempfile::tempdir().unwrap();
        let files = SeenFiles::new(dir.path().join("group"));
        let mut seen = SeenIds::default();
        store(&files, &mut seen, &keys(7, 0..200_000));
        store(&files, &mut seen, &keys(7, 200_000..200_001));
        assert!(!is_new(&files, &mut seen, EventKey { time: 7, hash: 123_456 }));
        assert_eq!(seen.len(), 200_001);
    }

    #[test]
    fn what_a_kill_left_half_done_is_whole_after_a_start() {
        let dir = tempfile::tempdir().unwrap();
        let files = SeenFiles::new(dir.path().to_owned());
        let mut seen = SeenIds::default();
        store(&files, &mut seen, &keys(7, 0..10));
        let [(span, 10)] = files.open().unwrap()[..] else { panic!() };
        // A kill while it was halved, and one in the middle of an entry.
        let [left, _] = span.halves().unwrap();
        fs::write(left.path(dir.path()), [0; 12]).unwrap();
        fs::write(dir.path().join("half"), [0; 5]).unwrap();
        OpenOptions::new().append(true).open(span.path(dir.path())).unwrap().write_all(&[1; 7]).unwrap();
        assert_eq!(files.open().unwrap(), [(span, 10)]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(fs::metadata(span.path(dir.path())).unwrap().len(), 120);
    }

    #[test]
    fn what_lies_before_the_floor_takes_no_room() {
        let dir = tempfile::tempdir().unwrap();
        let files = SeenFiles::new(dir.path().to_owned());
        let mut seen = SeenIds::default();
        for hour in 0..24 {
            store(&files, &mut seen, &keys(hour * 3_600_000, 0..3));
        }
        files.remove(&seen.forget_before(20 * 3_600_000)).unwrap();
        assert_eq!((seen.len(), files.open().unwrap().len()), (12, 4));
    }

    proptest! {
        #[test]
        fn whatever_is_stored_unloaded_and_opened_again_each_event_is_new_once(
            steps in proptest::collection::vec((0_i64..4, 0_u64..20, 0_u8..8), 1..200),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let files = SeenFiles::new(dir.path().join("group"));
            let (mut seen, mut model, mut pending) = (SeenIds::default(), HashSet::new(), Vec::new());
            for (time, id, then) in steps {
                let key = EventKey::of(time * 2_700_000, &id.to_le_bytes());
                let was_new = is_new(&files, &mut seen, key);
                prop_assert_eq!(was_new, model.insert(key));
                if was_new {
                    pending.push(key);
                }
                match then {
                    0 => {
                        store(&files, &mut seen, &pending);
                        pending.clear();
                    }
                    1 => drop(seen.unload_one()),
                    2 => {
                        for key in pending.drain(..) {
                            model.remove(&key);
                        }
                        seen = SeenIds::stored_before(files.open().unwrap());
                    }
                    3 => {
                        if let Some((span, _)) = files.open().unwrap().last().copied()
                            && let Some(counts) = files.halve(span).unwrap()
                        {
                            seen.halved(span, counts);
                        }
                    }
                    _ => {}
                }
            }
        }
    }
}
