//! Opening files, few at a time.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::OFlags;
use tokio::time::Instant;
use tracing::warn;

use super::content::Content;
use super::follow::{After, Follower};
use super::identity::{Fate, FileKey};
use super::table::FileNo;
use super::tail::Name;

impl Follower {
    /// Opens a file unless it is open. Whether it is open now.
    pub(super) fn open(&mut self, no: FileNo, now: Instant) -> bool {
        let Some(tail) = self.table.get(no) else { return false };
        if tail.content.is_none() {
            if tail.name == Name::Gone {
                let unread = tail.unread();
                self.depart(no, Fate::Gone, unread);
                return false;
            }
            if self.table.open() >= self.source.config.max_open && !self.table.close_one() {
                self.table.wake_at(no, now.checked_add(WITHOUT_DESCRIPTOR));
                return false;
            }
            if !self.open_path(no, now) {
                return false;
            }
        }
        self.table.used(no);
        true
    }

    fn open_path(&mut self, no: FileNo, now: Instant) -> bool {
        let is_object = self.is_object();
        let Some(tail) = self.table.get_mut(no) else { return false };
        let path = tail.path.clone();
        let opened = open_unnoticed(&path).and_then(|file| Ok((FileKey::of(&file.metadata()?), file)));
        match opened {
            Ok((key, file)) if key == tail.key => {
                match Content::new(file, !is_object && tail.is_named_gzip()) {
                    Ok(content) => {
                        (tail.content, tail.failures) = (Some(content), 0);
                        return true;
                    }
                    Err(error) => drop(self.fail(no, "open", &error)),
                }
            }
            // Something else has its name now.
            Ok(_) => self.look(&path, now),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.look(&path, now),
            Err(error) => drop(self.fail(no, "open", &error)),
        }
        false
    }

    /// Counts and says that a file cannot be used, and tries again later.
    pub(super) fn fail(&mut self, no: FileNo, what: &'static str, error: &io::Error) -> After {
        self.intake().metrics.error(what);
        self.table.close(no);
        let Some(tail) = self.table.get_mut(no) else { return After::Idle };
        if tail.failures == 0 {
            warn!(path = %tail.path.display(), %error, "cannot {what} file; it is tried again. standpipe's user needs read permission");
        }
        tail.failures = tail.failures.saturating_add(1);
        let wait = RETRY.saturating_mul(1 << tail.failures.min(6));
        if !self.source.once {
            self.table.wake_at(no, Instant::now().checked_add(wait));
        }
        After::Idle
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
