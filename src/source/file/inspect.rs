//! What is next for a file.

use std::io;
use std::time::Duration;

use tokio::time::Instant;

use super::compare::agreement;
use super::identity::Agreement;
use super::setup::FileSetup;
use super::table::{FileNo, FileTable};
use super::tracked::{NameState, TrackedFile};
use crate::source::file::position::Mark;
use crate::source::framer::Upcoming;

/// Whether a file is to be opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Readiness {
    Ready,
    /// Not until it changes or its time comes.
    Waits,
    /// Its destination takes nothing.
    Blocked,
    /// It is empty, and has no name.
    Gone,
}

/// What is to be done with an open file.
#[derive(Debug)]
pub(super) enum NextStep {
    /// Nothing, until it changes or its time comes.
    Wait,
    /// Nothing is known of its content: where to read it from has to be found out.
    FileLocation,
    /// It does not hold what was read of it. So many bytes that were seen in it were not read.
    Emptied {
        at_risk: u64,
    },
    /// There is nothing to read now.
    Park(Upcoming),
    /// It is an object that is larger than any may be.
    PassOver {
        unread: u64,
    },
    Read(ReadPlan),
}

/// What to read of a file.
#[derive(Debug)]
pub(super) struct ReadPlan {
    pub(super) mark: Mark,
    pub(super) len: usize,
    pub(super) unread: u64,
    pub(super) upcoming: Upcoming,
    /// Bytes that were seen and not read, should the file turn out to have been emptied.
    pub(super) at_risk: u64,
}

/// Whether a file is to be opened now.
pub(super) fn readiness(setup: &FileSetup, files: &mut FileTable, no: FileNo, now: Instant) -> Readiness {
    let Some(file) = files.get_mut(no) else { return Readiness::Waits };
    let progress = file.progress();
    if progress.is_some_and(|progress| progress.lane.is_blocked()) {
        return Readiness::Blocked;
    }
    if progress.is_none() && file.is_empty_now(now) {
        if file.name != NameState::Gone {
            return Readiness::Waits;
        }
        if file.content.is_none() || file.upcoming(now, &setup.timeouts()) == Upcoming::Nothing {
            return Readiness::Gone;
        }
        let next = file.next_read(now, &setup.timeouts());
        files.wake_at(no, next);
        return Readiness::Waits;
    }
    if file.content.is_none() && is_incomplete(setup, file, now) {
        // Whether it is compressed shows when something is in it.
        let at = file.changed.checked_add(SETTLED);
        files.wake_at(no, at);
        return Readiness::Waits;
    }
    Readiness::Ready
}

/// What is to be done with an open file. Looks at how large it is.
pub(super) fn next_step(
    setup: &FileSetup,
    files: &mut FileTable,
    no: FileNo,
    now: Instant,
) -> io::Result<NextStep> {
    let Some(at_risk) = refresh(setup, files, no, now)? else { return Ok(NextStep::Wait) };
    let Some(file) = files.get_mut(no) else { return Ok(NextStep::Wait) };
    let Some(mark) = file.progress().map(|progress| progress.mark) else { return Ok(NextStep::FileLocation) };
    if is_refilled(file, mark) {
        return Ok(NextStep::Emptied { at_risk });
    }
    Ok(plan(setup, file, now, mark, at_risk))
}

/// Looks at an open file's size. Returns how many bytes it was known to hold unread; none when it must not be read yet.
fn refresh(setup: &FileSetup, files: &mut FileTable, no: FileNo, now: Instant) -> io::Result<Option<u64>> {
    let Some(file) = files.get_mut(no) else { return Ok(None) };
    let Some(content) = &file.content else { return Ok(None) };
    let metadata = content.metadata()?;
    let at_risk = file.unread();
    let is_compressed = content.is_compressed();
    file.seen(metadata.len(), now);
    let has_changed = file.learn_modified(&metadata) && is_compressed;
    if has_changed {
        file.changed = now;
    }
    let settled_at = file.changed.checked_add(SETTLED);
    if has_changed && !setup.once {
        // It is decompressed from the front again when it is complete.
        files.close(no);
        files.wake_at(no, settled_at);
        return Ok(None);
    }
    let is_read = file.is_plain() && file.progress().is_some() && file.unread() == 0;
    if !is_read && is_incomplete(setup, file, now) {
        files.wake_at(no, settled_at);
        return Ok(None);
    }
    Ok(Some(at_risk))
}

/// Whether a file that has nothing to read was written to all the same, and does not hold what was read of it.
fn is_refilled(file: &mut TrackedFile, mark: Mark) -> bool {
    if !std::mem::take(&mut file.is_doubtful) || file.unread() > 0 {
        return false;
    }
    // An error comes back with the next read.
    agreement(file, mark).is_ok_and(|agreement| agreement == Agreement::Differs)
}

/// How much to read of a file that is followed; or that nothing is to be read.
fn plan(setup: &FileSetup, file: &TrackedFile, now: Instant, mark: Mark, at_risk: u64) -> NextStep {
    let upcoming = file.upcoming(now, &setup.timeouts());
    if file.is_foreign {
        return NextStep::Park(upcoming);
    }
    let lane = file.progress().map(|progress| &*progress.lane);
    let usual = setup.intake.block(lane, BLOCK).max(file.read_len);
    if !file.is_plain() {
        if mark.size == file.size {
            return NextStep::Park(upcoming);
        }
        return NextStep::Read(ReadPlan { mark, len: usual, unread: u64::MAX, upcoming, at_risk });
    }
    if file.size < mark.offset {
        return NextStep::Emptied { at_risk };
    }
    let unread = file.unread();
    // What is written where nothing was changes nothing that could be seen without reading.
    let is_same = file.unwritten.is_none() && file.no_event_at == Some((file.size, upcoming));
    if unread == 0 || is_same {
        return NextStep::Park(upcoming);
    }
    let is_object = setup.is_object();
    if is_object && unread > setup.config.decoding.max_inflated as u64 {
        return NextStep::PassOver { unread };
    }
    let most = if is_object { usize::MAX } else { usual };
    let len = usize::try_from(unread).unwrap_or(usize::MAX).min(most);
    NextStep::Read(ReadPlan { mark, len, unread, upcoming, at_risk })
}

/// Whether more is written to a file that can only be read when it is complete.
fn is_incomplete(setup: &FileSetup, file: &TrackedFile, now: Instant) -> bool {
    let has_to_be_complete = setup.is_object() || !file.is_plain();
    has_to_be_complete && !setup.once && file.quiet(now) < SETTLED
}

/// Most bytes read at once, where an event is not longer.
pub(super) const BLOCK: usize = 1024 * 1024;

/// How long a compressed file, or an object, has to be quiet before it is taken to be complete.
const SETTLED: Duration = Duration::from_millis(if cfg!(test) { 100 } else { 2000 });
