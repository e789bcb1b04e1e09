//! Which objects of a bucket are done, for a source that lists it: a hash for each of the days that are still listed, in a file of the
//! state directory that is appended to.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};

use crate::sync::Lock;

/// The memory of one source.
pub(super) struct DoneObjects {
    path: PathBuf,
    /// The lock covers a look or a change.
    table: Lock<DoneTable>,
    /// Held through a write.
    writing: Lock<()>,
}

#[derive(Debug, Default)]
struct DoneTable {
    /// By the day since 1970.
    days: BTreeMap<i64, DoneDay>,
    /// Everything before this day is done.
    floor: i64,
    /// Everything that changed last before this time is done, in milliseconds since 1970.
    since: i64,
    /// What is to be appended to the file.
    unwritten: Vec<u8>,
    /// The file is to be written anew, without the days that are done.
    is_to_be_rewritten: bool,
}

/// What a file says, for people.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct DoneSummary {
    /// How many objects are remembered.
    pub objects: u64,
    /// What changed last before this time is done, or was not wanted, in milliseconds since 1970.
    pub before: i64,
}

/// Eight bytes for each object.
#[derive(Debug, Default)]
struct DoneDay {
    sorted: Vec<u64>,
    fresh: HashSet<u64>,
}

/// The folder of the state directory with what is done.
pub(super) const FOLDER: &str = "objects";

/// So many are kept unsorted.
const FRESH: usize = 4_096;

/// A record of the file: a number and a hash.
const RECORD: usize = 16;

/// Hashes that say what else the number is.
const FLOOR: u64 = 0;
const SINCE: u64 = 1;

impl DoneDay {
    fn contains(&self, hash: u64) -> bool {
        self.fresh.contains(&hash) || self.sorted.binary_search(&hash).is_ok()
    }

    fn insert(&mut self, hash: u64) {
        self.fresh.insert(hash);
        if self.fresh.len() >= FRESH {
            self.sorted.extend(self.fresh.drain());
            self.sorted.sort_unstable();
            self.sorted.dedup();
        }
    }

    fn all(&self) -> impl Iterator<Item = u64> {
        self.sorted.iter().copied().chain(self.fresh.iter().copied())
    }
}

impl DoneObjects {
    /// Reads the file, whose name is made from `of`; without one, everything before `since` is done.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub(super) fn open(folder: &Path, of: &str, since: i64) -> io::Result<Self> {
        let path = folder.join(file_name(of));
        let mut table = DoneTable::default();
        match fs::read(&path) {
            Ok(bytes) => table.read(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                (table.since, table.floor) = (since, since.div_euclid(super::sweep::DAY));
            }
            Err(error) => return Err(error),
        }
        table.is_to_be_rewritten = true;
        Ok(Self { path, table: Lock::new(table), writing: Lock::default() })
    }

    /// The hash of an object's key and content.
    pub(super) fn hash(key: &str, etag: &str) -> u64 {
        hash_of(&[key.as_bytes(), &[0], etag.as_bytes()].concat())
    }

    /// The first day that is listed, and the time before which nothing is read.
    pub(super) fn bounds(&self) -> (i64, i64) {
        let table = self.table.lock();
        (table.floor, table.since)
    }

    pub(super) fn contains(&self, day: i64, hash: u64) -> bool {
        let table = self.table.lock();
        day < table.floor || table.days.get(&day).is_some_and(|done| done.contains(hash))
    }

    /// An object is done.
    pub(super) fn insert(&self, day: i64, hash: u64) {
        let mut table = self.table.lock();
        table.days.entry(day).or_default().insert(hash);
        table.append(day, hash);
    }

    /// Everything before this day is done, and listed no more.
    pub(super) fn set_floor(&self, floor: i64) {
        let mut table = self.table.lock();
        if floor > table.floor {
            table.floor = floor;
            table.days = table.days.split_off(&floor);
            table.is_to_be_rewritten = true;
        }
    }

    /// How much memory it takes, about.
    pub(super) fn memory(&self) -> u64 {
        let table = self.table.lock();
        table.days.values().map(|day| (day.sorted.capacity() * 8 + day.fresh.capacity() * 16) as u64).sum()
    }

    /// Writes what is not in the file. Blocks.
    ///
    /// # Errors
    /// When it cannot be written; it is then tried again with what comes later.
    pub(super) fn save(&self) -> io::Result<()> {
        let _writing = self.writing.lock();
        let (bytes, is_all) = {
            let mut table = self.table.lock();
            if table.is_to_be_rewritten {
                (table.all(), true)
            } else {
                (std::mem::take(&mut table.unwritten), false)
            }
        };
        if bytes.is_empty() {
            return Ok(());
        }
        let written = if is_all { replace(&self.path, &bytes) } else { append(&self.path, &bytes) };
        if written.is_err() {
            // What was torn is cut off by writing all of it anew.
            self.table.lock().is_to_be_rewritten = true;
        }
        written
    }
}

impl DoneTable {
    fn read(&mut self, bytes: &[u8]) {
        let (records, _torn) = bytes.as_chunks::<RECORD>();
        for record in records {
            let (number, hash) = record.split_at(RECORD / 2);
            let number = number.first_chunk().map_or(0, |number| i64::from_le_bytes(*number));
            match hash.first_chunk().map_or(FLOOR, |hash| u64::from_le_bytes(*hash)) {
                FLOOR => self.floor = self.floor.max(number),
                SINCE => self.since = number,
                hash => self.days.entry(number).or_default().insert(hash),
            }
        }
        self.days = self.days.split_off(&self.floor);
    }

    fn append(&mut self, number: i64, hash: u64) {
        self.unwritten.extend_from_slice(&number.to_le_bytes());
        self.unwritten.extend_from_slice(&hash.to_le_bytes());
    }

    /// All of the file.
    fn all(&mut self) -> Vec<u8> {
        self.unwritten.clear();
        self.is_to_be_rewritten = false;
        let days = std::mem::take(&mut self.days);
        self.append(self.floor, FLOOR);
        self.append(self.since, SINCE);
        for (day, done) in &days {
            for hash in done.all() {
                self.append(*day, hash);
            }
        }
        self.days = days;
        std::mem::take(&mut self.unwritten)
    }
}

/// The name of the file that is made for `of`.
pub(super) fn file_name(of: &str) -> String {
    format!("{:016x}.done", hash_of(of.as_bytes()))
}

/// Counts what a file says is done; nothing, where there is none. Changes nothing, also while a source writes it.
pub(super) fn summary(path: &Path) -> io::Result<DoneSummary> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(DoneSummary::default()),
        read => read?,
    };
    let mut table = DoneTable::default();
    table.read(&bytes);
    let objects = table.days.values().map(|day| day.all().collect::<HashSet<u64>>().len() as u64).sum();
    let before = table.since.max(table.floor.saturating_mul(super::sweep::DAY));
    Ok(DoneSummary { objects, before })
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let temporary = path.with_extension("tmp");
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    fs::rename(&temporary, path)
}

fn append(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_data()
}

fn hash_of(bytes: &[u8]) -> u64 {
    let hash = digest(&SHA256, bytes).as_ref().first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
    // The smallest say something else.
    hash.max(SINCE + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_is_known_to_a_later_run_until_its_day_is_listed_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let open = || DoneObjects::open(folder.path(), "trail", 5 * super::super::sweep::DAY).unwrap();
        let done = open();
        assert_eq!(done.bounds(), (5, 5 * super::super::sweep::DAY));
        for number in 0..10_000_u64 {
            done.insert(6, DoneObjects::hash(&number.to_string(), "e"));
        }
        done.save().unwrap();
        done.insert(7, DoneObjects::hash("a", "e"));
        done.save().unwrap();
        // A write that was torn.
        let path = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        OpenOptions::new().append(true).open(&path).unwrap().write_all(&[1, 2, 3]).unwrap();

        let done = open();
        assert!((0..10_000).all(|number: u64| done.contains(6, DoneObjects::hash(&number.to_string(), "e"))));
        assert!(done.contains(7, DoneObjects::hash("a", "e")));
        assert!(!done.contains(7, DoneObjects::hash("a", "other")), "another content is another object");
        assert!(done.contains(4, DoneObjects::hash("old", "e")), "what was before the start");
        done.set_floor(7);
        done.insert(8, DoneObjects::hash("b", "e"));
        done.save().unwrap();
        assert!(fs::metadata(&path).unwrap().len() < 100, "days that are done take no room");
        let day = super::super::sweep::DAY;
        assert_eq!(summary(&path).unwrap(), DoneSummary { objects: 2, before: 7 * day });
        assert_eq!(summary(&folder.path().join("none.done")).unwrap(), DoneSummary::default());
        let done = open();
        assert_eq!(done.bounds().0, 7);
        assert!(done.contains(6, 99) && done.contains(8, DoneObjects::hash("b", "e")));
        assert!(!done.contains(8, DoneObjects::hash("c", "e")));
    }
}
