//! The files of dead letters: appended, fsynced, rotated, capped.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::warn;

use super::files::{self, FolderSize};
use super::{EXTENSION, Letter};
use crate::event::Timestamp;
use crate::sync::Lock;

/// How much is kept, and in what pieces.
#[derive(Clone, Copy, Debug)]
pub struct LetterLimits {
    /// Most bytes of one sink's letters, or of one source's payloads.
    pub folder: u64,
    /// A file is closed when it holds so many bytes.
    pub file: u64,
}

impl LetterLimits {
    /// Files of 16 MiB, or of an eighth of the folder where that is less.
    #[must_use]
    pub fn new(folder: u64) -> Self {
        Self { folder, file: (folder / 8).min(16 << 20) }
    }
}

/// A file without a new letter for so long is closed, so that it can be replayed.
const QUIET: Duration = Duration::from_secs(5);

/// A file that is open for so long is closed, however many letters come.
const LONGEST: Duration = Duration::from_mins(5);

/// The folders of one state directory.
#[derive(Debug)]
pub(super) struct LetterStore {
    dir: PathBuf,
    limits: LetterLimits,
    /// The lock covers a look-up.
    folders: Lock<BTreeMap<String, Arc<Lock<LetterFolder>>>>,
}

/// One folder. Its lock keeps lines whole: it covers a write and its fsync.
#[derive(Debug, Default)]
struct LetterFolder {
    open: Option<OpenFile>,
    held: Option<FolderSize>,
}

/// The file that is appended to, locked.
#[derive(Debug)]
struct OpenFile {
    file: File,
    len: u64,
    opened: Instant,
    written: Instant,
}

impl LetterStore {
    pub(super) fn new(dir: PathBuf, limits: LetterLimits) -> Self {
        Self { dir, limits, folders: Lock::default() }
    }

    /// Cuts torn letters off the ends of files that a crash left, and keeps them aside.
    pub(super) fn recover(&self) {
        for folder in files::folders_in(&self.dir).unwrap_or_default() {
            let folder = self.dir.join(folder);
            for path in files::left_over_in(&folder).unwrap_or_default() {
                // That it stays is no harm.
                fs::remove_file(path).ok();
            }
            for path in files::files_in(&folder).unwrap_or_default() {
                if let Err(error) = recover(&path) {
                    warn!(path = %path.display(), %error, "cannot inspect a file of dead letters");
                }
            }
        }
    }

    /// Appends the letters, and returns once they are on disk.
    pub(super) fn write(&self, name: &str, letters: &[Letter<'_>]) -> io::Result<()> {
        let mut text = Vec::new();
        for letter in letters {
            letter.write(name, &mut text)?;
        }
        let folder = self.folder(name);
        let mut folder = folder.lock();
        self.make_room(name, &mut folder, text.len() as u64)?;
        let may_grow = |open: &OpenFile| open.len < self.limits.file && open.is_there();
        let mut open = match folder.open.take().filter(may_grow) {
            Some(open) => open,
            None => self.open(name, &mut folder)?,
        };
        if let Err(error) = open.append(&text) {
            // What was written of it is cut off, since it is written again to another file; a kill before that doubles it.
            open.file.set_len(open.len).ok();
            folder.held = None;
            return Err(error);
        }
        if let Some(held) = &mut folder.held {
            held.bytes = held.bytes.saturating_add(text.len() as u64);
        }
        folder.open = Some(open);
        Ok(())
    }

    /// Closes files that had nothing new for a while, and counts what each folder holds: others take files away.
    pub(super) fn tick(&self, now: Instant) -> Vec<(String, FolderSize)> {
        for name in files::folders_in(&self.dir).unwrap_or_default() {
            self.folder(&name);
        }
        let folders = self.folders.lock().clone();
        let look = |(name, folder): (String, Arc<Lock<LetterFolder>>)| {
            let mut folder = folder.lock();
            folder.open = folder.open.take().filter(|open| open.is_wanted(now));
            let held = self.survey(&name, &mut folder).ok()?;
            Some((name, held))
        };
        folders.into_iter().filter_map(look).collect()
    }

    fn folder(&self, name: &str) -> Arc<Lock<LetterFolder>> {
        let mut folders = self.folders.lock();
        Arc::clone(folders.entry(name.to_owned()).or_default())
    }

    fn survey(&self, name: &str, folder: &mut LetterFolder) -> io::Result<FolderSize> {
        let held = files::size_of(&self.dir.join(name))?;
        folder.held = Some(held);
        Ok(held)
    }

    /// What is larger than the whole limit is let in when there is nothing else, or it would wait for ever.
    fn make_room(&self, name: &str, folder: &mut LetterFolder, wanted: u64) -> io::Result<()> {
        let fits =
            |held: FolderSize| held.bytes == 0 || held.bytes.saturating_add(wanted) <= self.limits.folder;
        if folder.held.is_some_and(fits) || fits(self.survey(name, folder)?) {
            return Ok(());
        }
        let (held, limit) = (folder.held.unwrap_or_default().bytes, self.limits.folder);
        let full = format!(
            "{held} of {limit} bytes are in use: replay letters or move them away, or raise `state.max_dead_letters`"
        );
        Err(io::Error::new(ErrorKind::QuotaExceeded, full))
    }

    fn open(&self, name: &str, folder: &mut LetterFolder) -> io::Result<OpenFile> {
        let dir = self.dir.join(name);
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        let file = create_locked(&dir)?;
        for made in [&dir, &self.dir] {
            File::open(made)?.sync_all()?;
        }
        if let Some(held) = &mut folder.held {
            held.files = held.files.saturating_add(1);
        }
        let now = Instant::now();
        Ok(OpenFile { file, len: 0, opened: now, written: now })
    }
}

impl OpenFile {
    fn append(&mut self, text: &[u8]) -> io::Result<()> {
        self.file.write_all(text)?;
        self.file.sync_data()?;
        self.len = self.len.saturating_add(text.len() as u64);
        self.written = Instant::now();
        Ok(())
    }

    /// Whether nobody removed it.
    fn is_there(&self) -> bool {
        self.file.metadata().is_ok_and(|metadata| metadata.nlink() > 0)
    }

    fn is_wanted(&self, now: Instant) -> bool {
        now.duration_since(self.written) < QUIET && now.duration_since(self.opened) < LONGEST
    }
}

/// Makes a new file whose name sorts by time, and locks it.
fn create_locked(dir: &Path) -> io::Result<File> {
    let time = Timestamp::now().to_rfc3339().replace(':', "-");
    for number in 0..1000_u32 {
        let path = dir.join(format!("{time}-{number:03}.{EXTENSION}"));
        match OpenOptions::new().create_new(true).append(true).mode(0o600).open(&path) {
            // A replay may have taken it, empty as it is, before it was locked.
            Ok(file) => match lock(&file)? {
                LockOutcome::Ours => return Ok(file),
                LockOutcome::Gone | LockOutcome::Taken => {}
            },
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("a thousand files were made within a millisecond"))
}

/// Whether a file could be locked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum LockOutcome {
    /// It is, until it is closed.
    Ours,
    /// Another process writes it, or replays it.
    Taken,
    /// It was replayed and removed since it was opened.
    Gone,
}

/// Locks a file that is still the one of its name: others remove and replace files only while they hold its lock.
pub(super) fn lock(file: &File) -> io::Result<LockOutcome> {
    match file.try_lock() {
        Ok(()) if file.metadata()?.nlink() == 0 => Ok(LockOutcome::Gone),
        Ok(()) => Ok(LockOutcome::Ours),
        Err(TryLockError::WouldBlock) => Ok(LockOutcome::Taken),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Cuts a torn last line off, and keeps it aside.
fn recover(path: &Path) -> io::Result<()> {
    // Nothing else than a file is opened to be written.
    drop(files::open(path)?);
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    if lock(&file)? != LockOutcome::Ours {
        return Ok(());
    }
    let len = file.metadata()?.len();
    let whole = whole_lines(&mut file, len)?;
    if whole == len {
        return Ok(());
    }
    let mut torn = Vec::new();
    file.seek(SeekFrom::Start(whole))?;
    file.read_to_end(&mut torn)?;
    let aside = path.with_extension("corrupt");
    keep_aside(&aside, &torn)?;
    file.set_len(whole)?;
    file.sync_all()?;
    warn!(path = %path.display(), kept = %aside.display(), bytes = torn.len(), "a torn dead letter was cut off; its event will be read again");
    Ok(())
}

/// Writes what cannot be read to a file beside, and returns once it is on disk.
pub(super) fn keep_aside(aside: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(aside)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// How many bytes at the front are whole lines.
fn whole_lines(file: &mut File, len: u64) -> io::Result<u64> {
    let mut block = vec![0; 64 << 10];
    let mut end = len;
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        let wanted = usize::try_from(end.saturating_sub(start)).unwrap_or(usize::MAX);
        let window = block.get_mut(..wanted).unwrap_or_default();
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(window)?;
        if let Some(at) = memchr::memrchr(b'\n', window) {
            return Ok(start.saturating_add(at as u64).saturating_add(1));
        }
        end = start;
    }
    Ok(0)
}

/// Replaces a file by other content, durably; either is whole after a crash. The new file is locked before it has the name.
pub(super) fn replace(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&temporary)?;
    lock(&file)?;
    write(&mut file)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    sync_folder(path)
}

/// Makes the removal or the making of a file durable.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
