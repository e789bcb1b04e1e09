//! Compressed files are decompressed one after another: however many there are, one at a time takes memory for it.

use tracing::warn;

use super::compressed_text::CompressedText;
use super::content::FileContent;
use super::outcome::ReadOutcome;
use super::setup::FileSetup;
use super::table::{FileNo, FileTable};
use super::tracked::TrackedFile;
use crate::event::Held;
use crate::source::file::position::Mark;
use crate::source::framer::Upcoming;

/// Whose turn it is.
pub(super) struct DecompressionTurn {
    file: Option<FileNo>,
    held: Held,
}

impl DecompressionTurn {
    pub(super) fn new(setup: &FileSetup) -> Self {
        Self { file: None, held: setup.intake.standing() }
    }

    /// Whether a file may be read now. A compressed one waits while another one is halfway.
    pub(super) fn may_read(&mut self, files: &mut FileTable, no: FileNo) -> bool {
        let is_compressed = files.get(no).is_some_and(|file| !file.is_plain());
        if !is_compressed || self.file == Some(no) {
            return true;
        }
        if let Some(other) = self.file.and_then(|other| files.get_mut(other)) {
            let goes_on = other.is_queued || is_busy(other);
            if let Some(text) = text_of(other)
                && text.is_halfway()
            {
                if goes_on {
                    return false;
                }
                // Its destination takes nothing, or it cannot be read: it begins again when it can go on.
                text.rewind();
            }
        }
        self.file = Some(no);
        true
    }

    /// Whether a file may not be read until what was read of another one has arrived.
    pub(super) fn waits(&self, files: &FileTable, no: FileNo) -> bool {
        let is_compressed = files.get(no).is_some_and(|file| !file.is_plain());
        let other = self.file.filter(|other| *other != no).and_then(|other| files.get(other));
        is_compressed && other.is_some_and(|other| !other.is_queued && is_busy(other))
    }

    /// When a file that may not be read is looked at again.
    pub(super) fn later(&self, files: &FileTable, no: FileNo) -> ReadOutcome {
        if self.waits(files, no) { ReadOutcome::Blocked } else { ReadOutcome::More }
    }

    /// Charges the memory that decompressing takes.
    pub(super) fn charge(&mut self, files: &mut FileTable) {
        let Some(no) = self.file else { return };
        let memory = files.get_mut(no).and_then(text_of).map_or(0, |text| text.memory());
        if self.held.bytes() != memory as u64 {
            self.held.resize(memory as u64);
        }
    }
}

/// Nothing is to be read of a file now: a compressed one gives back what it does not need. Says so if it was not read to its end, and
/// notes its size if it was.
pub(super) fn rest(setup: &FileSetup, file: &mut TrackedFile, upcoming: Upcoming) {
    let mark = file.progress().map(|progress| progress.mark);
    let Some(text) = text_of(file) else { return };
    if let Some(mark) = mark {
        text.rest(mark.offset.saturating_sub(u64::from(mark.tail.len)));
    }
    if let Some(why) = text.broken().map(str::to_owned) {
        let label = text.compression().name();
        report(setup, file, &why, label);
        return;
    }
    let size = file.size;
    if let Some(progress) = file.progress_mut()
        && upcoming == Upcoming::Nothing
        && progress.mark.size != size
    {
        progress.pass(Mark { size, ..progress.mark });
    }
}

fn report(setup: &FileSetup, file: &mut TrackedFile, why: &str, label: &str) {
    if std::mem::replace(&mut file.is_broken_reported, true) {
        return;
    }
    if let Some(progress) = file.progress() {
        progress.account.is_partial();
    }
    warn!(path = %file.path.display(), why, "compressed file is damaged; read as far as it could be decompressed");
    setup.metrics().error(label);
}

fn is_busy(file: &TrackedFile) -> bool {
    file.progress().is_some_and(|progress| progress.lane.is_busy())
}

fn text_of(file: &mut TrackedFile) -> Option<&mut CompressedText> {
    file.content.as_mut().and_then(FileContent::compressed_mut)
}
