//! From where a file is read that was just found.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::content::{Content, first_bytes};
use super::follow::{After, Follower};
use super::identity::{Agreement, Fate, Likeness, Verdict, is_rotated_name};
use super::rotate::mark_at;
use super::table::{Departed, FileNo};
use super::tail::{Name, Stage, Tail};
use crate::event::{Fingerprint, Mark};

/// A file that is read, or was, as a new one is compared with it.
struct Known<'a> {
    head: Fingerprint,
    mark: Mark,
    fate: Fate,
    origin: &'a str,
    path: &'a Path,
    device: u64,
}

impl Follower {
    /// Decides from where to read a file whose content was not looked at yet.
    pub(super) fn place(&mut self, no: FileNo, now: Instant) -> io::Result<After> {
        let Some(first) = self.first_bytes(no)? else { return Ok(After::Idle) };
        if first.is_empty() {
            return Ok(After::Idle);
        }
        if self.resume(no, &first)? {
            return Ok(After::More);
        }
        let mut unclear = false;
        for index in 0..self.table.departed.len() {
            match self.compare_departed(no, &first, index, now)? {
                Verdict::Continues => return Ok(self.adopt(no, index)),
                Verdict::Covered => return self.cover(no, &first),
                Verdict::Unclear => unclear = true,
                Verdict::Unrelated => {}
            }
        }
        match self.compare_alive(no, &first, now)? {
            Verdict::Continues | Verdict::Covered => return self.cover(no, &first),
            Verdict::Unclear => unclear = true,
            Verdict::Unrelated => {}
        }
        if unclear {
            return Ok(self.hold(no));
        }
        self.place_new(no, &first)
    }

    /// Goes on with a file that the last run knew by this inode, if it still holds what it held.
    pub(super) fn place_known(&mut self, no: FileNo) {
        if !self.open(no, Instant::now()) {
            return;
        }
        // An error here comes back when the file's turn comes.
        let first = self.first_bytes(no).ok().flatten();
        if let Some(first) = first {
            self.resume(no, &first).ok();
        }
    }

    fn resume(&mut self, no: FileNo, first: &[u8]) -> io::Result<bool> {
        let Some(key) = self.table.get(no).map(|tail| tail.key) else { return Ok(false) };
        for index in 0..self.table.departed.len() {
            let Some(departed) = self.table.departed.get(index) else { break };
            if departed.key != key || departed.fate != Fate::Missing {
                continue;
            }
            let (head, mark) = (departed.head, departed.mark);
            if head.begins(first) && self.agreement(no, mark)? == Agreement::Agrees {
                self.adopt(no, index);
                return Ok(true);
            }
            if let Some(departed) = self.table.departed.get_mut(index) {
                departed.fate = Fate::Rewritten;
            }
        }
        Ok(false)
    }

    fn first_bytes(&mut self, no: FileNo) -> io::Result<Option<Vec<u8>>> {
        self.content(no).map(first_bytes).transpose()
    }

    fn content(&mut self, no: FileNo) -> Option<&mut Content> {
        self.table.get_mut(no)?.content.as_mut()
    }

    fn compare_departed(
        &mut self,
        no: FileNo,
        first: &[u8],
        index: usize,
        now: Instant,
    ) -> io::Result<Verdict> {
        let Some(departed) = self.table.departed.get(index) else { return Ok(Verdict::Unrelated) };
        let Departed { head, mark, fate, .. } = *departed;
        let (origin, path) = (departed.origin.clone(), departed.path.clone());
        let known = Known { head, mark, fate, origin: &origin, path: &path, device: departed.key.device };
        self.compare(no, first, &known, now)
    }

    fn compare_alive(&mut self, no: FileNo, first: &[u8], now: Instant) -> io::Result<Verdict> {
        let Some(new) = self.table.get(no) else { return Ok(Verdict::Unrelated) };
        let is_told_apart = !new.is_late && new.is_plain() && !self.is_object();
        if is_told_apart {
            return Ok(Verdict::Unrelated);
        }
        let others = self.table.iter().filter(|(other, _)| *other != no);
        let alike = others.filter_map(|(_, tail)| {
            let progress = tail.progress()?;
            let origin = progress.origin.file.clone().unwrap_or_default();
            let may_be =
                progress.head.begins(first) || is_rotated_name(&new.path, Path::new(&*origin), &tail.path);
            (may_be && !progress.head.is_empty())
                .then(|| (progress.head, progress.mark, origin, tail.path.clone(), tail.key.device))
        });
        let mut verdict = Verdict::Unrelated;
        for (head, mark, origin, path, device) in alike.collect::<Vec<_>>() {
            let known = Known { head, mark, fate: Fate::Alive, origin: &origin, path: &path, device };
            match self.compare(no, first, &known, now)? {
                Verdict::Unrelated => {}
                Verdict::Unclear => verdict = Verdict::Unclear,
                found @ (Verdict::Continues | Verdict::Covered) => return Ok(found),
            }
        }
        Ok(verdict)
    }

    fn compare(&mut self, no: FileNo, first: &[u8], known: &Known<'_>, now: Instant) -> io::Result<Verdict> {
        let Some(tail) = self.table.get(no) else { return Ok(Verdict::Unrelated) };
        let settled = self.source.once || tail.quiet(now) >= HOLD;
        let related = is_rotated_name(&tail.path, Path::new(known.origin), known.path);
        if known.head.is_empty() || known.mark.offset == 0 {
            return Ok(Verdict::Unrelated);
        }
        if !known.head.begins(first) {
            // Too short to tell; a copy grows beyond that in no time.
            let is_short = first.len() < usize::from(known.head.len);
            let is_early = is_short && related && !settled && known.fate != Fate::Gone;
            return Ok(if is_early { Verdict::Unclear } else { Verdict::Unrelated });
        }
        let is_whole = self.is_object() && known.mark.offset == tail.size;
        let likeness = Likeness {
            fate: known.fate,
            agreement: Agreement::Agrees,
            related,
            remounted: tail.path == known.path && tail.key.device != known.device,
            strong: known.mark.offset >= STRONG,
            gzipped: !tail.is_plain(),
            held: matches!(tail.stage, Stage::Held),
            settled,
        };
        let agreement = self.agreement(no, known.mark)?;
        if self.is_object() {
            let is_same = is_whole && agreement == Agreement::Agrees;
            return Ok(if is_same { Verdict::Covered } else { Verdict::Unrelated });
        }
        Ok(Likeness { agreement, ..likeness }.verdict())
    }

    /// Whether a file holds the bytes that a mark stands behind.
    pub(super) fn agreement(&mut self, no: FileNo, mark: Mark) -> io::Result<Agreement> {
        let Some(content) = self.content(no) else { return Ok(Agreement::Differs) };
        if content.is_gzip() {
            // The first block that is read tells; until then it would have to be decompressed twice.
            return Ok(Agreement::Agrees);
        }
        if content.metadata()?.len() < mark.offset {
            return Ok(Agreement::Shorter);
        }
        let len = usize::from(mark.tail.len);
        let before = content.read_at(mark.offset.saturating_sub(len as u64), len)?;
        let agrees = Fingerprint::of_end(&before) == mark.tail;
        Ok(if agrees { Agreement::Agrees } else { Agreement::Differs })
    }

    /// Reads a file on in the stead of one that is gone.
    fn adopt(&mut self, no: FileNo, index: usize) -> After {
        let departed = self.table.departed.remove(index);
        let Some(tail) = self.table.get_mut(no) else { return After::Idle };
        if tail.path != departed.path {
            tail.renamed(Name::Rotated, Instant::now());
        }
        departed.account.moved(tail.place());
        self.follow(no, departed.account, departed.origin, departed.head, departed.mark);
        After::More
    }

    /// Takes a file for a copy of what was read already.
    fn cover(&mut self, no: FileNo, first: &[u8]) -> io::Result<After> {
        let mark = self.end_mark(no)?;
        self.begin(no, first, mark);
        Ok(After::Idle)
    }

    /// Waits until it shows whether a file is a copy.
    fn hold(&mut self, no: FileNo) -> After {
        if let Some(tail) = self.table.get_mut(no) {
            tail.stage = Stage::Held;
            let at = tail.changed.checked_add(HOLD);
            self.table.hold(no);
            self.table.wake_at(no, at);
        }
        After::Idle
    }

    fn place_new(&mut self, no: FileNo, first: &[u8]) -> io::Result<After> {
        let Some(tail) = self.table.get(no) else { return Ok(After::Idle) };
        if !tail.wanted {
            self.table.remove(no);
            return Ok(After::Idle);
        }
        let mark = match tail.start {
            0 => Mark::default(),
            _ if !tail.is_plain() => self.end_mark(no)?,
            start => self.mark_of(no, start)?,
        };
        self.begin(no, first, mark);
        Ok(After::More)
    }

    fn end_mark(&mut self, no: FileNo) -> io::Result<Mark> {
        let end = self.content(no).map_or(Ok(0), Content::end)?;
        self.mark_of(no, end)
    }

    fn mark_of(&mut self, no: FileNo, offset: u64) -> io::Result<Mark> {
        let from = offset.saturating_sub(Fingerprint::MOST as u64);
        let len = usize::try_from(offset.saturating_sub(from)).unwrap_or(Fingerprint::MOST);
        let before = self.content(no).map_or(Ok(Vec::new()), |content| content.read_at(from, len))?;
        let reached = from.saturating_add(before.len() as u64);
        Ok(mark_at(reached, reached, &before))
    }

    pub(super) fn is_object(&self) -> bool {
        self.intake().framing().is_object()
    }

    /// Whether more is written to a file that can only be read when it is complete.
    pub(super) fn is_incomplete(&self, tail: &Tail, now: Instant) -> bool {
        let has_to_be_complete = self.is_object() || (tail.is_named_gzip() && !tail.is_plain());
        has_to_be_complete && !self.source.once && tail.quiet(now) < SETTLED
    }
}

/// How long a possible copy has to be quiet before it is taken for a file of its own.
const HOLD: Duration = Duration::from_millis(if cfg!(test) { 300 } else { 3000 });

/// How long a compressed file, or an object, has to be quiet before it is taken to be complete.
pub(super) const SETTLED: Duration = Duration::from_millis(if cfg!(test) { 100 } else { 2000 });

/// Where beginning and end of so many bytes agree, it is no banner.
const STRONG: u64 = 2 * Fingerprint::MOST as u64;
