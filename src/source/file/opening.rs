//! Opening files, few at a time.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use tokio::time::Instant;
use tracing::warn;

use super::content::FileContent;
use super::descriptors::is_exhausted;
use super::identity::FileKey;
use super::setup::FileSetup;
use super::table::{FileNo, FileTable};
use super::tracked::{NameState, TrackedFile};

/// What came of opening a file.
#[derive(Debug)]
pub(super) enum OpenOutcome {
    /// It is open.
    Open,
    /// It is tried again later.
    Later,
    /// Its path leads elsewhere by now, or nowhere.
    NameLost(PathBuf),
    /// It has no name that it could be opened by.
    Nameless,
}

/// Opens a file unless it is open.
pub(super) fn open(setup: &FileSetup, files: &mut FileTable, no: FileNo, now: Instant) -> OpenOutcome {
    let Some(file) = files.get(no) else { return OpenOutcome::Later };
    if file.content.is_none() {
        if file.name == NameState::Gone {
            return OpenOutcome::Nameless;
        }
        while files.open() >= setup.descriptors.most() {
            if !files.close_one() {
                files.wake_at(no, now.checked_add(WITHOUT_DESCRIPTOR));
                return OpenOutcome::Later;
            }
        }
        let outcome = open_path(setup, files, no);
        if !matches!(outcome, OpenOutcome::Open) {
            return outcome;
        }
    }
    files.used(no);
    OpenOutcome::Open
}

fn open_path(setup: &FileSetup, files: &mut FileTable, no: FileNo) -> OpenOutcome {
    let opened = loop {
        let Some(file) = files.get(no) else { return OpenOutcome::Later };
        match open_unnoticed(file.real_path()) {
            // A file that was read gives way.
            Err(error) if is_exhausted(&error) && files.close_one() => {}
            opened => break opened.and_then(|opened| Ok((FileKey::of(&opened.metadata()?), opened))),
        }
    };
    let Some(file) = files.get_mut(no) else { return OpenOutcome::Later };
    match opened {
        Ok((key, opened)) if key == file.key => match FileContent::new(opened, !setup.is_object()) {
            Ok(content) => {
                if file.failures > 0 {
                    setup.metrics().readable(&file.path);
                }
                file.is_compressed = Some(content.is_compressed());
                (file.content, file.failures) = (Some(content), 0);
                return OpenOutcome::Open;
            }
            Err(error) => fail(setup, files, no, "open", &error),
        },
        // Something else has its name now.
        Ok(_) => return OpenOutcome::NameLost(file.path.clone()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return OpenOutcome::NameLost(file.path.clone());
        }
        Err(error) => fail(setup, files, no, "open", &error),
    }
    OpenOutcome::Later
}

/// Opens a file for one look.
pub(super) fn open_aside(file: &TrackedFile) -> io::Result<FileContent> {
    let opened = open_unnoticed(file.real_path())?;
    if FileKey::of(&opened.metadata()?) != file.key {
        return Err(io::ErrorKind::NotFound.into());
    }
    FileContent::new(opened, !file.is_plain())
}

/// Counts and says that a file cannot be used, and tries again later.
pub(super) fn fail(
    setup: &FileSetup,
    files: &mut FileTable,
    no: FileNo,
    what: &'static str,
    error: &io::Error,
) {
    setup.metrics().error(what);
    files.close(no);
    let Some(file) = files.get_mut(no) else { return };
    if file.failures == 0 {
        warn!(path = %file.path.display(), %error, "cannot {what} file; trying again later. {}", advice(error));
    }
    if file.failures > 0 {
        setup.metrics().unreadable(&file.path, format!("{error}; {}", advice(error)));
    }
    file.failures = file.failures.saturating_add(1);
    let wait = RETRY.saturating_mul(1 << file.failures.min(6));
    if !setup.once {
        files.wake_at(no, Instant::now().checked_add(wait));
    }
}

/// What to do about a file or folder that cannot be read.
pub(super) fn advice(error: &io::Error) -> &'static str {
    if is_exhausted(error) {
        "raise the limit of open descriptors (`LimitNOFILE`, `ulimit -n`), or lower `max_open`"
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        "standpipe's user needs permission to read it, and to enter the folders it is in"
    } else {
        "see to the file system that it is on"
    }
}

/// Opens a file so that reading it does not change when it was last read, which would be written to the disk each time: for its
/// owner and root, <https://man7.org/linux/man-pages/man2/open.2.html>, `O_NOATIME`.
fn open_unnoticed(path: &Path) -> io::Result<File> {
    match open_real(path, OFlags::NOATIME) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => open_real(path, OFlags::empty()),
        opened => opened,
    }
}

/// Opens a path that leads over no link: one that came to be on it since it was looked at is not followed. Nor does it wait for a
/// writer, should a pipe have taken the file's place.
fn open_real(path: &Path, flags: OFlags) -> io::Result<File> {
    let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOFOLLOW;
    match openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS) {
        // Old kernels do not have the call, and some containers forbid it.
        Err(Errno::NOSYS | Errno::PERM) => Ok(rustix::fs::open(path, flags, Mode::empty())?.into()),
        opened => Ok(opened?.into()),
    }
}

/// How long to wait when all descriptors are taken by files that must stay open.
const WITHOUT_DESCRIPTOR: Duration = Duration::from_millis(200);

/// The first wait before a file is tried again; doubled each time, to a minute.
const RETRY: Duration = Duration::from_secs(1);
