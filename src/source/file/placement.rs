//! From where a file is read that was just found.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::time::Instant;
use tracing::warn;

use super::account::AccountHandle;
use super::compare::{FileHead, HOLD, WhichFile, agreement, agreement_in, compare, copied_files, unresumed};
use super::compressed_text::TextCompression;
use super::content::{FileContent, other_compression};
use super::gone::{GoneFile, GoneNo};
use super::identity::{Agreement, CopyVerdict, KnownFate};
use super::old::is_too_old;
use super::opening::{self, OpenOutcome};
use super::outcome::ReadOutcome;
use super::progress::{ReadProgress, mark_at};
use super::setup::FileSetup;
use super::table::{FileNo, FileTable};
use super::tracked::{NameState, ReadStage, TrackedFile};
use crate::event::{Charset, Timestamp};
use crate::source::file::position::{FilePosition, Fingerprint, Mark};

/// Decides for one open file.
pub(super) struct Placement<'a> {
    pub(super) setup: &'a FileSetup,
    pub(super) files: &'a mut FileTable,
    pub(super) no: FileNo,
    pub(super) now: Instant,
}

impl Placement<'_> {
    /// Decides from where to read a file whose content was not looked at yet.
    pub(super) fn resume_at(&mut self) -> io::Result<ReadOutcome> {
        let Some(mut first) = self.head()? else { return Ok(ReadOutcome::Idle) };
        if first.bytes.is_empty() {
            return Ok(ReadOutcome::Idle);
        }
        if self.is_compressed_after_all(&first)? {
            return Ok(ReadOutcome::More);
        }
        if self.resume(&mut first)? {
            return Ok(ReadOutcome::More);
        }
        if !self.resume_alike(&mut first) {
            return Ok(ReadOutcome::More);
        }
        let mut best = CopyVerdict::Unrelated;
        for known in copied_files(self.setup, self.files, self.no, &mut first, self.now) {
            let Some(file) = self.files.get_mut(self.no) else { break };
            let verdict = compare(self.setup, file, &mut first, &known, self.now)?;
            match (verdict, known.which) {
                (CopyVerdict::Continues, WhichFile::Gone(gone)) => return Ok(self.adopt(gone)),
                (CopyVerdict::Covered, WhichFile::Tracked(other)) if !self.is_within(other)? => {}
                _ => best = best.max(verdict),
            }
        }
        match best {
            CopyVerdict::Continues | CopyVerdict::Covered => self.cover(&first),
            CopyVerdict::Unclear => Ok(self.hold()),
            CopyVerdict::Unrelated => self.place_new(&first),
        }
    }

    /// Goes on with a file that the last run knew by this inode, if it still holds what it held.
    pub(super) fn resume_stored(&mut self) -> io::Result<bool> {
        let Some(mut first) = self.head()? else { return Ok(false) };
        self.resume(&mut first)
    }

    /// Looks into files that the last run knew and that this one may be a copy of: only if they hold what they held is it none. Whether
    /// the file is still open after that.
    fn resume_alike(&mut self, first: &mut FileHead) -> bool {
        for other in unresumed(self.files, self.no, first) {
            if matches!(opening::open(self.setup, self.files, other, self.now), OpenOutcome::Open) {
                let (setup, now) = (self.setup, self.now);
                // An error here comes back when the file is read.
                Placement { setup, files: self.files, no: other, now }.resume_stored().ok();
            }
        }
        self.content().is_some()
    }

    fn resume(&mut self, first: &mut FileHead) -> io::Result<bool> {
        let Some(key) = self.files.get(self.no).map(|file| file.key) else { return Ok(false) };
        let missing = |gone: &(GoneNo, &GoneFile)| gone.1.fate == KnownFate::Missing;
        let known: Vec<(GoneNo, Fingerprint, Mark)> = self
            .files
            .gone
            .of_key(key)
            .filter(missing)
            .map(|(no, gone)| (no, gone.head, gone.mark))
            .collect();
        for (gone, head, mark) in known {
            if head.is_empty() && mark.offset == 0 {
                self.resume_unread(gone);
            } else if self.still_holds(first, head, mark)? {
                self.adopt(gone);
                return Ok(true);
            } else {
                self.files.gone.set_rewritten(gone);
            }
        }
        Ok(false)
    }

    /// Takes over what is remembered of a file that the last run read nothing of: whatever is in it now is new.
    fn resume_unread(&mut self, gone: GoneNo) {
        let Some(gone) = self.files.gone.take(gone) else { return };
        let Some(file) = self.files.get_mut(self.no) else { return };
        // Should it have another name by now, or be old, it is read all the same.
        (file.start, file.wanted, file.is_stranger) = (0, true, false);
        if file.path != gone.path {
            file.origin = Some(PathBuf::from(&*gone.origin));
        }
        gone.account.moved(file.location());
        if let Some(other) = file.unread_account.replace(gone.account) {
            other.forget();
        }
    }

    /// Whether the file holds what was read of it.
    fn still_holds(&mut self, first: &mut FileHead, head: Fingerprint, mark: Mark) -> io::Result<bool> {
        let Some(file) = self.files.get_mut(self.no) else { return Ok(false) };
        // Of a compressed file the next block tells: it is not to be decompressed at every start.
        Ok(first.begins_with(head) && (!file.is_plain() || agreement(file, mark)? == Agreement::Agrees))
    }

    fn head(&mut self) -> io::Result<Option<FileHead>> {
        let first = self.content().map(FileHead::read).transpose()?;
        let is_object = self.setup.is_object();
        if let (Some(first), Some(file)) = (&first, self.files.get_mut(self.no)) {
            file.is_foreign = !is_object && file.is_plain() && other_compression(&first.bytes).is_some();
        }
        Ok(first)
    }

    /// Whether a file that was opened while it was empty turned out to be compressed.
    fn is_compressed_after_all(&mut self, first: &FileHead) -> io::Result<bool> {
        let is_object = self.setup.is_object();
        let Some(file) = self.files.get_mut(self.no) else { return Ok(false) };
        if is_object || !file.is_plain() || TextCompression::told(&first.bytes).is_none() {
            return Ok(false);
        }
        let Some(content) = file.content.as_ref().map_or(Ok(None), FileContent::as_compressed)? else {
            return Ok(false);
        };
        (file.is_compressed, file.content) = (Some(true), Some(content));
        Ok(true)
    }

    /// A file that is compressed in a way that is not read is left alone.
    fn pass_foreign(&mut self, first: &FileHead) -> io::Result<ReadOutcome> {
        if let Some(file) = self.files.get(self.no) {
            let how = other_compression(&first.bytes).unwrap_or_default();
            warn!(path = %file.path.display(), how, "compressed file is not read: standpipe reads gzip and zstd. exclude it, or decompress it");
        }
        self.setup.metrics().error("compressed");
        let outcome = self.cover(first)?;
        self.leave_out();
        Ok(outcome)
    }

    fn content(&mut self) -> Option<&mut FileContent> {
        self.files.get_mut(self.no)?.content.as_mut()
    }

    /// Reads a file on in the stead of one that is gone.
    fn adopt(&mut self, gone: GoneNo) -> ReadOutcome {
        let Some(file) = self.files.get(self.no) else { return ReadOutcome::Idle };
        let location = file.location();
        let Some(gone) = self.files.gone.take(gone) else { return ReadOutcome::Idle };
        if location.path != gone.path
            && let Some(file) = self.files.get_mut(self.no)
        {
            file.renamed(NameState::Rotated, Instant::now());
        }
        gone.account.moved(location);
        if let Some(account) = self.files.get_mut(self.no).and_then(|file| file.unread_account.take()) {
            account.forget();
        }
        self.follow(gone.account, gone.origin, gone.head, gone.mark);
        ReadOutcome::More
    }

    /// Whether another file holds all that this one does. What holds more is no copy of it.
    fn is_within(&mut self, other: FileNo) -> io::Result<bool> {
        if self.setup.is_object() {
            // It was compared as a whole.
            return Ok(true);
        }
        let end = self.end_mark()?;
        let Some(other) = self.files.get_mut(other) else { return Ok(false) };
        if other.content.is_some() {
            return Ok(agreement(other, end)? == Agreement::Agrees);
        }
        // Beside those that are kept open: one of them may be this one.
        let Ok(mut aside) = opening::open_aside(other) else { return Ok(false) };
        Ok(agreement_in(&mut aside, end)? == Agreement::Agrees)
    }

    /// Takes a file for a copy of what was read already.
    fn cover(&mut self, first: &FileHead) -> io::Result<ReadOutcome> {
        let mark = self.end_mark()?;
        self.begin(first, mark);
        Ok(ReadOutcome::Idle)
    }

    /// Waits until it shows whether a file is a copy.
    fn hold(&mut self) -> ReadOutcome {
        if let Some(file) = self.files.get_mut(self.no) {
            file.stage = ReadStage::Held;
            let at = file.changed.checked_add(HOLD);
            self.files.hold(self.no);
            self.files.wake_at(self.no, at);
        }
        ReadOutcome::Idle
    }

    fn place_new(&mut self, first: &FileHead) -> io::Result<ReadOutcome> {
        let Some(file) = self.files.get(self.no) else { return Ok(ReadOutcome::Idle) };
        if !file.wanted || self.is_too_old(file)? {
            let account = self.files.remove(self.no).and_then(|file| file.unread_account);
            if let Some(account) = account {
                account.forget();
            }
            return Ok(ReadOutcome::Idle);
        }
        if file.is_foreign {
            return self.pass_foreign(first);
        }
        let charset = self.setup.config.decoding.charset;
        if let Some((marked, _)) = Charset::marked(&first.bytes)
            && marked != charset
            && !self.setup.is_object()
        {
            let (is, read_as) = (marked.name(), charset.name());
            warn!(path = %file.path.display(), "file begins with the byte order mark of {is}, and is read as {read_as}: set `charset = \"{}\"` for a source of such files", is.to_lowercase());
        }
        let mark = match file.start {
            0 => Mark::default(),
            _ if !file.is_plain() => self.end_mark()?,
            // A character may be half written.
            start => self.mark_of(start - start % charset.unit() as u64)?,
        };
        self.begin(first, mark);
        if mark.offset > 0 {
            self.leave_out();
        }
        Ok(ReadOutcome::More)
    }

    /// Whether a file that is no copy was too old when it was found: the times of a compressed one are set when it is complete.
    fn is_too_old(&self, file: &TrackedFile) -> io::Result<bool> {
        let age = self.setup.config.ignore_older.filter(|_| file.is_stranger);
        match (&file.content, age) {
            (Some(content), Some(_)) => Ok(is_too_old(age, &content.metadata()?, file.found)),
            (_, None) | (None, _) => Ok(false),
        }
    }

    /// What is before the present place is not read.
    fn leave_out(&self) {
        if let Some(progress) = self.files.get(self.no).and_then(TrackedFile::progress) {
            progress.account.is_partial();
        }
    }

    fn end_mark(&mut self) -> io::Result<Mark> {
        let end = self.content().map_or(Ok(0), FileContent::end)?;
        self.mark_of(end)
    }

    fn mark_of(&mut self, offset: u64) -> io::Result<Mark> {
        let from = offset.saturating_sub(Fingerprint::MOST as u64);
        let len = usize::try_from(offset.saturating_sub(from)).unwrap_or(Fingerprint::MOST);
        let before = self.content().map_or(Ok(Vec::new()), |content| content.read_at(from, len))?;
        let reached = from.saturating_add(before.len() as u64);
        let size = self.files.get(self.no).map_or(reached, |file| file.size);
        Ok(mark_at(reached, size, &before))
    }

    /// Follows a file of which nothing is known, from `start`.
    fn begin(&mut self, first: &FileHead, start: Mark) {
        let Some(file) = self.files.get(self.no) else { return };
        let id = self.files.content_id(self.setup, file);
        let Some(file) = self.files.get_mut(self.no) else { return };
        let origin = file.origin();
        let known = file.unread_account.take();
        let id = known.as_ref().map_or(id, |known| known.id());
        let head = Fingerprint::of_start(&first.bytes);
        let position = FilePosition {
            location: file.location(),
            origin: Arc::clone(&origin),
            id,
            head,
            mark: start,
            partial: false,
            time: Timestamp::now(),
        };
        let account = match known {
            Some(account) => {
                account.restart(position);
                account
            }
            None => AccountHandle::open(self.setup, position),
        };
        self.follow(account, origin, head, start);
    }

    fn follow(&mut self, account: Arc<AccountHandle>, origin: Arc<str>, head: Fingerprint, mark: Mark) {
        let progress = ReadProgress::new(self.setup, account, origin, head, mark);
        if let Some(file) = self.files.get_mut(self.no) {
            file.follow(progress);
        }
        self.files.index(self.no);
    }
}
