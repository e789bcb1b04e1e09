//! Opening files, few at a time.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::OFlags;
use tokio::time::Instant;
use tracing::warn;

use super::content::FileContent;
use super::identity::FileKey;
use super::setup::FileSetup;
use super::table::{FileNo, FileTable};
use super::tracked::NameState;

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
        if files.open() >= setup.config.max_open && !files.close_one() {
            files.wake_at(no, now.checked_add(WITHOUT_DESCRIPTOR));
            return OpenOutcome::Later;
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
    let Some(file) = files.get_mut(no) else { return OpenOutcome::Later };
    let opened = open_unnoticed(&file.path).and_then(|opened| Ok((FileKey::of(&opened.metadata()?), opened)));
    match opened {
        Ok((key, opened)) if key == file.key => {
            match FileContent::new(opened, !setup.is_object() && file.is_named_gzip()) {
                Ok(content) => {
                    if file.failures > 0 {
                        setup.metrics().readable(&file.path);
                    }
                    (file.content, file.failures) = (Some(content), 0);
                    return OpenOutcome::Open;
                }
                Err(error) => fail(setup, files, no, "open", &error),
            }
        }
        // Something else has its name now.
        Ok(_) => return OpenOutcome::NameLost(file.path.clone()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return OpenOutcome::NameLost(file.path.clone());
        }
        Err(error) => fail(setup, files, no, "open", &error),
    }
    OpenOutcome::Later
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
        warn!(path = %file.path.display(), %error, "cannot {what} file; trying again later. standpipe's user needs read permission");
    }
    if file.failures > 0 {
        setup.metrics().unreadable(&file.path, error);
    }
    file.failures = file.failures.saturating_add(1);
    let wait = RETRY.saturating_mul(1 << file.failures.min(6));
    if !setup.once {
        files.wake_at(no, Instant::now().checked_add(wait));
    }
}

/// Opens a file so that reading it does not change when it was last read, which would be written to the disk each time: for its
/// owner and root, <https://man7.org/linux/man-pages/man2/open.2.html>, `O_NOATIME`.
fn open_unnoticed(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOATIME.bits().cast_signed();
    match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => File::open(path),
        opened => opened,
    }
}

/// How long to wait when all descriptors are taken by files that must stay open.
const WITHOUT_DESCRIPTOR: Duration = Duration::from_millis(200);

/// The first wait before a file is tried again; doubled each time, to a minute.
const RETRY: Duration = Duration::from_secs(1);
