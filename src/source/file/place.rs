//! From where a file is read that was just found.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::content::{Content, first_bytes};
use super::follow::{After, Follower};
use super::identity::{Agreement, Fate, Likeness, Verdict, is_rotated_name};
use super::rotate::mark_at;
use super::table::{Departed, FileNo};
use super::tail::{Name, Progress, Recent, Stage, Tail};
use crate::event::{Field, Fingerprint, Mark};

/// A file that is read, or was, as a new one is compared with it.
struct Known {
    head: Fingerprint,
    mark: Mark,
    recent: Recent,
    fate: Fate,
    origin: Arc<str>,
    path: PathBuf,
    device: u64,
}

/// A new file's first bytes, hashed once for each length that is asked for.
struct First {
    bytes: Vec<u8>,
    hashed: HashMap<u16, Fingerprint>,
}

impl First {
    fn begins_with(&mut self, head: Fingerprint) -> bool {
        let Some(start) = self.bytes.get(..usize::from(head.len)) else { return false };
        *self.hashed.entry(head.len).or_insert_with(|| Fingerprint::of_start(start)) == head
    }

    fn is_shorter_than(&self, head: Fingerprint) -> bool {
        self.bytes.len() < usize::from(head.len)
    }
}

impl Follower {
    /// Decides from where to read a file whose content was not looked at yet.
    pub(super) fn place(&mut self, no: FileNo, now: Instant) -> io::Result<After> {
        let Some(mut first) = self.first_bytes(no)? else { return Ok(After::Idle) };
        if first.bytes.is_empty() {
            return Ok(After::Idle);
        }
        if self.resume(no, &mut first)? {
            return Ok(After::More);
        }
        let mut best = Verdict::Unrelated;
        for (index, known) in self.alike(no, &mut first, now) {
            let verdict = self.compare(no, &mut first, &known, now)?;
            if let (Verdict::Continues, Some(index)) = (verdict, index) {
                return Ok(self.adopt(no, index));
            }
            best = best.max(verdict);
        }
        match best {
            Verdict::Continues | Verdict::Covered => self.cover(no, &first.bytes),
            Verdict::Unclear => Ok(self.hold(no)),
            Verdict::Unrelated => self.place_new(no, &first.bytes),
        }
    }

    /// The files that a new one may be a copy of; those that are gone with their index among the departed.
    fn alike(&self, no: FileNo, first: &mut First, now: Instant) -> Vec<(Option<usize>, Known)> {
        let Some(new) = self.table.get(no) else { return Vec::new() };
        let is_early = |head, origin: &str, path: &Path, first: &First| {
            first.is_shorter_than(head) && is_rotated_name(&new.path, Path::new(origin), path)
        };
        let mut alike = Vec::new();
        for (index, departed) in self.table.departed.iter().enumerate() {
            let is_recent = departed.fate == Fate::Rewritten && now.duration_since(departed.since) < HOLD;
            if first.begins_with(departed.head)
                || is_recent && is_early(departed.head, &departed.origin, &departed.path, first)
            {
                alike.push((Some(index), Known::departed(departed)));
            }
        }
        // What was there before standpipe started is no copy that is being made, unless it is compressed.
        let may_copy = new.is_late || !new.is_plain() || self.is_object();
        for (_, tail) in self.table.iter().filter(|(other, _)| may_copy && *other != no) {
            let Some(progress) = tail.progress() else { continue };
            let origin = progress.origin.text(Field::File);
            if first.begins_with(progress.head) || is_early(progress.head, origin, &tail.path, first) {
                alike.push((None, Known::alive(tail, progress)));
            }
        }
        alike
    }

    /// Goes on with a file that the last run knew by this inode, if it still holds what it held.
    pub(super) fn place_known(&mut self, no: FileNo) {
        if !self.open(no, Instant::now()) {
            return;
        }
        // An error here comes back when the file's turn comes.
        let first = self.first_bytes(no).ok().flatten();
        if let Some(mut first) = first {
            self.resume(no, &mut first).ok();
        }
    }

    fn resume(&mut self, no: FileNo, first: &mut First) -> io::Result<bool> {
        let Some((key, is_plain)) = self.table.get(no).map(|tail| (tail.key, tail.is_plain())) else {
            return Ok(false);
        };
        for index in 0..self.table.departed.len() {
            let Some(departed) = self.table.departed.get(index) else { break };
            if departed.key != key || departed.fate != Fate::Missing {
                continue;
            }
            let (head, mark) = (departed.head, departed.mark);
            // Of a compressed file the next block tells: it is not to be decompressed at every start.
            let agrees =
                first.begins_with(head) && (!is_plain || self.agreement(no, mark)? == Agreement::Agrees);
            if agrees {
                self.adopt(no, index);
                return Ok(true);
            }
            if let Some(departed) = self.table.departed.get_mut(index) {
                departed.fate = Fate::Rewritten;
            }
        }
        Ok(false)
    }

    fn first_bytes(&mut self, no: FileNo) -> io::Result<Option<First>> {
        let Some(content) = self.content(no) else { return Ok(None) };
        Ok(Some(First { bytes: first_bytes(content)?, hashed: HashMap::new() }))
    }

    fn content(&mut self, no: FileNo) -> Option<&mut Content> {
        self.table.get_mut(no)?.content.as_mut()
    }

    fn compare(&mut self, no: FileNo, first: &mut First, known: &Known, now: Instant) -> io::Result<Verdict> {
        let Some(tail) = self.table.get(no) else { return Ok(Verdict::Unrelated) };
        let settled = self.source.once || tail.quiet(now) >= HOLD;
        if known.head.is_empty() || known.mark.offset == 0 {
            return Ok(Verdict::Unrelated);
        }
        if !first.begins_with(known.head) {
            // Too short to tell; a copy grows beyond that in no time.
            return Ok(if settled { Verdict::Unrelated } else { Verdict::Unclear });
        }
        let likeness = Likeness {
            fate: known.fate,
            agreement: Agreement::Agrees,
            related: is_rotated_name(&tail.path, Path::new(&*known.origin), &known.path),
            remounted: tail.path == known.path && tail.key.device != known.device,
            strong: known.mark.offset >= STRONG,
            gzipped: !tail.is_plain(),
            held: matches!(tail.stage, Stage::Held),
            settled,
        };
        let size = tail.size;
        let mut agreement = self.agreement(no, known.mark)?;
        if self.is_object() {
            let is_same = known.mark.offset == size && agreement == Agreement::Agrees;
            return Ok(if is_same { Verdict::Covered } else { Verdict::Unrelated });
        }
        if agreement == Agreement::Shorter && settled {
            agreement = self.agreement_before(no, known, size)?;
        }
        Ok(Likeness { agreement, ..likeness }.verdict())
    }

    /// Whether a copy that ends before the known file's mark agrees with it at an earlier one.
    fn agreement_before(&mut self, no: FileNo, known: &Known, size: u64) -> io::Result<Agreement> {
        let earlier =
            known.recent.iter().flatten().filter(|mark| mark.offset <= size).max_by_key(|mark| mark.offset);
        let Some(mark) = earlier else { return Ok(Agreement::Differs) };
        Ok(match self.agreement(no, *mark)? {
            Agreement::Agrees => Agreement::Shorter,
            Agreement::Differs | Agreement::Shorter => Agreement::Differs,
        })
    }

    /// Whether a file holds the bytes that a mark stands behind.
    pub(super) fn agreement(&mut self, no: FileNo, mark: Mark) -> io::Result<Agreement> {
        let Some(content) = self.content(no) else { return Ok(Agreement::Differs) };
        let len = usize::from(mark.tail.len);
        let before = content.read_at(mark.offset.saturating_sub(len as u64), len)?;
        if before.len() < len {
            return Ok(Agreement::Shorter);
        }
        let agrees = Fingerprint::of_end(&before) == mark.tail;
        Ok(if agrees { Agreement::Agrees } else { Agreement::Differs })
    }

    /// Reads a file on in the stead of one that is gone.
    fn adopt(&mut self, no: FileNo, index: usize) -> After {
        let departed = self.table.departed.swap_remove(index);
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
        let size = self.table.get(no).map_or(reached, |tail| tail.size);
        Ok(mark_at(reached, size, &before))
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

impl Known {
    fn departed(departed: &Departed) -> Self {
        Self {
            head: departed.head,
            mark: departed.mark,
            recent: departed.recent,
            fate: departed.fate,
            origin: Arc::clone(&departed.origin),
            path: departed.path.clone(),
            device: departed.key.device,
        }
    }

    fn alive(tail: &Tail, progress: &Progress) -> Self {
        Self {
            head: progress.head,
            mark: progress.mark,
            recent: progress.recent,
            fate: Fate::Alive,
            origin: progress.origin.get(Field::File).cloned().unwrap_or_default(),
            path: tail.path.clone(),
            device: tail.key.device,
        }
    }
}

/// How long a possible copy has to be quiet before it is taken for a file of its own.
const HOLD: Duration = Duration::from_millis(if cfg!(test) { 300 } else { 3000 });

/// How long a compressed file, or an object, has to be quiet before it is taken to be complete.
pub(super) const SETTLED: Duration = Duration::from_millis(if cfg!(test) { 100 } else { 2000 });

/// Where beginning and end of so many bytes agree, it is no banner.
const STRONG: u64 = 2 * Fingerprint::MOST as u64;
