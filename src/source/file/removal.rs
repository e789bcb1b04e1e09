//! Files are removed once all of them was delivered for long, and their writers have left them.
//!
//! A file goes only if its position says that its last byte is acknowledged, and that is written down; if it did not change since; and
//! if nobody is expected to write to it. It is open when it loses its name, and is then read to its end as any file that somebody
//! removed: what a late writer adds is not lost.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, openat, openat2, unlinkat};
use rustix::io::Errno;
use tokio::time::Instant;
use tracing::{info, warn};

use super::compare::FileHead;
use super::delivered::DeliveredFile;
use super::discovery::Discovery;
use super::identity::FileTime;
use super::listing::dir_of;
use super::opening::OpenOutcome;
use super::series::FileSeries;
use super::setup::FileSetup;
use super::table::{FileNo, FileTable};
use super::tracked::{NameState, TrackedFile};

/// Removes files from time to time.
pub(super) struct FileRemoval {
    after: Option<Duration>,
    next: Instant,
    /// Folders in which nothing can be removed, as was said.
    refused: BTreeSet<PathBuf>,
}

impl FileRemoval {
    pub(super) fn new(setup: &FileSetup) -> Self {
        // What is read once is not waited for.
        let after = setup.config.remove_after.filter(|_| !setup.once);
        Self { after, next: Instant::now(), refused: BTreeSet::new() }
    }

    /// When it is to be run next; none: nothing is removed.
    pub(super) fn next(&self) -> Option<Instant> {
        self.after.map(|_| self.next)
    }

    /// Looks at all files, and removes those whose time has come.
    pub(super) fn run(&mut self, setup: &FileSetup, files: &mut FileTable, discovery: &mut Discovery) {
        let (Some(after), now) = (self.after, Instant::now()) else { return };
        if now < self.next {
            return;
        }
        self.next = now.checked_add((after / 4).clamp(SHORTEST, LONGEST)).unwrap_or(now);
        let all: Vec<FileNo> = files.iter().map(|(no, _)| no).collect();
        let mut due: BTreeMap<PathBuf, Vec<FileNo>> = BTreeMap::new();
        for no in all {
            let Some(file) = files.get_mut(no) else { continue };
            if note_delivered(file, now).is_some_and(|since| now.duration_since(since) >= after) {
                due.entry(dir_of(&file.path).to_owned()).or_default().push(no);
            }
        }
        for (dir, due) in due {
            let newest = Newest::of(&dir, due.iter().filter_map(|no| files.get(*no)));
            for no in due {
                let is_left = files.get(no).is_some_and(|file| is_left(setup, file, &newest));
                let may_go = is_left && discovery.is_one_of_ours(files, no);
                if may_go && !self.remove(setup, files, discovery, no) {
                    // Where one cannot be removed, the others are left until the next time.
                    break;
                }
            }
        }
    }

    /// Removes a file if it may go. False: its folder does not allow it.
    fn remove(
        &mut self,
        setup: &FileSetup,
        files: &mut FileTable,
        discovery: &mut Discovery,
        no: FileNo,
    ) -> bool {
        if !matches!(discovery.open(files, no, Instant::now()), OpenOutcome::Open) {
            return true;
        }
        let Some(path) = files.get(no).map(|file| file.path.clone()) else { return true };
        let dir = dir_of(&path);
        let unlinked = unlink(files, no, &path);
        match &unlinked {
            Ok(false) => {}
            Ok(true) => {
                info!(source = %setup.name, path = %path.display(), "file removed: all of it was delivered, and it did not change since");
                setup.metrics().file("removed");
                self.refused.remove(dir);
                files.unname(&path);
                files.set_nameless(no);
            }
            Err(error) => {
                setup.metrics().error("remove");
                if self.refused.insert(dir.to_owned()) {
                    warn!(path = %path.display(), %error, "cannot remove file that was delivered; trying again. {}", advice(error));
                }
            }
        }
        !unlinked.is_err_and(|error| is_of_folder(&error))
    }
}

/// Notes whether all of a file is delivered, and since when that is so of what it is now.
fn note_delivered(file: &mut TrackedFile, now: Instant) -> Option<Instant> {
    if !is_delivered(file) {
        file.delivered = None;
    } else if file.delivered.is_none_or(|delivered| !delivered.has_size(file.size)) {
        // What is there is looked at once; whether that is so still, when it is about to be removed.
        let metadata = fs::symlink_metadata(&file.path).ok();
        let delivered = metadata.map(|metadata| DeliveredFile::new(&metadata, now));
        file.delivered = delivered.filter(|delivered| delivered.is_of(file.key, file.size));
    }
    file.delivered.map(DeliveredFile::since)
}

/// Whether all of a file was read and delivered, and its position says so. A file that is reached by a link is never removed.
fn is_delivered(file: &TrackedFile) -> bool {
    let Some(progress) = file.progress() else { return false };
    let is_read = if file.is_plain() {
        progress.mark.offset == file.size
    } else {
        progress.mark.size == file.size && !file.is_broken_reported
    };
    is_read
        && file.name != NameState::Gone
        && file.real.is_none()
        && !file.is_foreign
        && progress.account.is_delivered_up_to(progress.mark)
}

/// The time of the last change to any file of a series in one folder.
struct Newest(Vec<(FileSeries, Option<(String, FileTime)>)>);

impl Newest {
    /// Of the series that these files are of.
    fn of<'f>(dir: &Path, files: impl Iterator<Item = &'f TrackedFile>) -> Self {
        let mut series: Vec<(FileSeries, Option<(String, FileTime)>)> = Vec::new();
        for of_file in files.filter_map(|file| FileSeries::of(name_of(file)?)) {
            if !series.iter().any(|(known, _)| *known == of_file) {
                series.push((of_file, None));
            }
        }
        let entries = if series.is_empty() { None } else { fs::read_dir(dir).ok() };
        for entry in entries.into_iter().flatten().filter_map(Result::ok) {
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            for (_, newest) in series.iter_mut().filter(|(series, _)| series.has(name)) {
                // Of a link, the link itself.
                let Some(metadata) = entry.metadata().ok().filter(Metadata::is_file) else { continue };
                let time = FileTime::modified(&metadata);
                if newest.as_ref().is_none_or(|(_, known)| *known < time) {
                    *newest = Some((name.to_owned(), time));
                }
            }
        }
        Self(series)
    }

    /// Whether another file of the series was written to after this one.
    fn is_after(&self, name: &str, modified: FileTime) -> bool {
        let Some(series) = FileSeries::of(name) else { return false };
        let newest =
            self.0.iter().find(|(known, _)| *known == series).and_then(|(_, newest)| newest.as_ref());
        newest.is_some_and(|(newest, time)| *newest != name && *time > modified)
    }
}

/// Whether nobody is expected to write to a file: it is compressed or an object, which are complete when they are read, or another file
/// of its series was written to since.
fn is_left(setup: &FileSetup, file: &TrackedFile, newest: &Newest) -> bool {
    let is_complete = !file.is_plain() || setup.is_object();
    let is_followed = || {
        let modified = file.delivered.map(DeliveredFile::modified);
        name_of(file).zip(modified).is_some_and(|(name, modified)| newest.is_after(name, modified))
    };
    is_complete || is_followed()
}

fn name_of(file: &TrackedFile) -> Option<&str> {
    file.path.file_name().and_then(OsStr::to_str)
}

/// Takes an open file's name away, if it is what it was when it was delivered, and nothing that may have its content lacks anything.
/// Whether it did.
fn unlink(files: &mut FileTable, no: FileNo, path: &Path) -> io::Result<bool> {
    let Some(file) = files.get_mut(no) else { return Ok(false) };
    let (Some(delivered), Some(content)) = (file.delivered, &mut file.content) else { return Ok(false) };
    if !delivered.is(&content.metadata()?) {
        // It begins anew: it is what it is now for so long.
        file.delivered = None;
        return Ok(false);
    }
    let mut first = FileHead::read(content)?;
    if is_needed(files, no, &mut first) {
        return Ok(false);
    }
    let Some(name) = path.file_name() else { return Ok(false) };
    let dir = open_dir(dir_of(path))?;
    // What has the name now is looked at right before, and without following a link.
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let there = match openat(&dir, name, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(false),
        there => File::from(there?).metadata()?,
    };
    if !delivered.is(&there) {
        return Ok(false);
    }
    unlinkat(&dir, name, AtFlags::empty())?;
    Ok(true)
}

/// Opens a folder by a path without links.
fn open_dir(dir: &Path) -> io::Result<File> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat2(CWD, dir, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS) {
        // Old kernels do not have the call, and some containers forbid it.
        Err(Errno::NOSYS | Errno::PERM) => Ok(rustix::fs::open(dir, flags, Mode::empty())?.into()),
        opened => Ok(opened?.into()),
    }
}

/// Whether a file may be the only copy of something that is not delivered: of another file that begins alike, or of one that is gone
/// from its folder.
fn is_needed(files: &FileTable, no: FileNo, first: &mut FileHead) -> bool {
    let Some((file, end)) = files.get(no).and_then(|file| Some((file, file.progress()?.mark.offset))) else {
        return true;
    };
    let lacks = |other: &FileNo| {
        let progress = files.get(*other).filter(|_| *other != no).and_then(TrackedFile::progress);
        progress.is_some_and(|progress| !progress.account.has_delivered(progress.mark.offset.min(end)))
    };
    let alike = files.alike(|len| first.of_len(len));
    let dir = dir_of(&file.path);
    alike.iter().any(lacks)
        || files.gone.iter().any(|(_, gone)| dir_of(&gone.real) == dir && gone.is_incomplete())
}

/// Whether nothing in the folder can be removed, and not this file alone.
fn is_of_folder(error: &io::Error) -> bool {
    [Errno::ACCESS, Errno::ROFS].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// What to do about a file that cannot be removed.
fn advice(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::PermissionDenied {
        "standpipe's user needs permission to write to its folder, and has to own the file where the folder is sticky"
    } else if error.kind() == io::ErrorKind::ReadOnlyFilesystem {
        "make its folder writable: under systemd by `ReadWritePaths=`, in a container by a mount that is not read-only"
    } else {
        "see to the file system that it is on"
    }
}

/// How often files are looked at: a quarter of the time after which they go, but not more often, nor more seldom.
const SHORTEST: Duration = Duration::from_millis(if cfg!(test) { 10 } else { 250 });
const LONGEST: Duration = Duration::from_secs(30);
