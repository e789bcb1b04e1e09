//! A new file beside those that it may be a copy of.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::content::{FileContent, first_bytes};
use super::gone::{GoneFile, GoneNo};
use super::identity::{
    Agreement, CopyVerdict, FileKey, FileTime, KnownFate, Likeness, is_rotated_name, originals,
};
use super::progress::{ReadProgress, RecentMarks};
use super::setup::FileSetup;
use super::table::{FileNo, FileTable};
use super::tracked::{NameState, TrackedFile};
use crate::event::Field;
use crate::source::file::position::{Fingerprint, Mark};

/// A new file's first bytes, hashed once for each length that is asked for.
pub(super) struct FileHead {
    pub(super) bytes: Vec<u8>,
    hashed: HashMap<u16, Fingerprint>,
}

impl FileHead {
    pub(super) fn read(content: &mut FileContent) -> io::Result<Self> {
        Ok(Self { bytes: first_bytes(content)?, hashed: HashMap::new() })
    }

    pub(super) fn begins_with(&mut self, head: Fingerprint) -> bool {
        self.of_len(head.len) == Some(head)
    }

    /// Of so many first bytes; none where there are fewer.
    pub(super) fn of_len(&mut self, len: u16) -> Option<Fingerprint> {
        let start = self.bytes.get(..usize::from(len))?;
        Some(*self.hashed.entry(len).or_insert_with(|| Fingerprint::of_start(start)))
    }

    fn is_shorter_than(&self, head: Fingerprint) -> bool {
        self.bytes.len() < usize::from(head.len)
    }
}

/// A file that is read, or was, which a new one may be a copy of.
pub(super) struct CopiedFile {
    /// Which it is.
    pub(super) which: WhichFile,
    head: Fingerprint,
    mark: Mark,
    recent: RecentMarks,
    fate: KnownFate,
    origin: Arc<str>,
    path: PathBuf,
    /// The path without links.
    real: PathBuf,
    key: FileKey,
    /// When it lost its name or its content.
    lost: Option<FileTime>,
}

/// A file that is there, or one that is gone.
#[derive(Clone, Copy, Debug)]
pub(super) enum WhichFile {
    Tracked(FileNo),
    Gone(GoneNo),
}

impl CopiedFile {
    fn gone(no: GoneNo, gone: &GoneFile) -> Self {
        Self {
            which: WhichFile::Gone(no),
            head: gone.head,
            mark: gone.mark,
            recent: gone.recent,
            fate: gone.fate,
            origin: Arc::clone(&gone.origin),
            path: gone.path.clone(),
            real: gone.real.clone(),
            key: gone.key,
            lost: Some(gone.lost),
        }
    }

    fn tracked(no: FileNo, file: &TrackedFile, progress: &ReadProgress) -> Self {
        Self {
            which: WhichFile::Tracked(no),
            head: progress.head,
            mark: progress.mark,
            recent: progress.recent,
            fate: if file.name == NameState::Gone { KnownFate::Leaving } else { KnownFate::Alive },
            origin: progress.origin.get(Field::File).cloned().unwrap_or_default(),
            path: file.path.clone(),
            real: file.real_path().to_owned(),
            key: file.key,
            lost: file.lost,
        }
    }
}

impl CopiedFile {
    /// Whether a new file was there before this one lost its name or its content.
    fn coexisted(&self, new: &TrackedFile, related: bool) -> bool {
        let Some(lost) = self.lost else { return true };
        let is_rewritten = self.fate == KnownFate::Rewritten;
        if is_rewritten && related {
            // A file that has the name of its copy was made for nothing else.
            return true;
        }
        match new.born {
            Some(born) => born < lost,
            None => is_rewritten || new.found < lost,
        }
    }
}

/// The files that a new one may be a copy of.
pub(super) fn copied_files(
    setup: &FileSetup,
    files: &FileTable,
    no: FileNo,
    first: &mut FileHead,
    now: Instant,
) -> Vec<CopiedFile> {
    let Some(new) = files.get(no) else { return Vec::new() };
    let mut copied = Vec::new();
    for gone in files.gone.alike(|len| first.of_len(len)) {
        // What is there and could not be looked into may hold still what it held.
        let may_be_there =
            |known: &&GoneFile| known.fate == KnownFate::Missing && files.by_key(known.key).is_some();
        let known = files.gone.get(gone).filter(|known| !may_be_there(known));
        copied.extend(known.map(|known| CopiedFile::gone(gone, known)));
    }
    let is_early = |head: Fingerprint, first: &FileHead| first.is_shorter_than(head);
    let since = now.checked_sub(HOLD).unwrap_or(now);
    for (gone, file) in files.gone.emptied_since(since) {
        if is_early(file.head, first)
            && is_rotated_name(new.real_path(), Path::new(&*file.origin), &file.real)
        {
            copied.push(CopiedFile::gone(gone, file));
        }
    }
    // What was there before standpipe started is no copy that is being made, unless it is compressed.
    if !new.is_late && new.is_plain() && !setup.is_object() {
        return copied;
    }
    // What is shorter than the beginning of a file of which it may be a copy is told by its name.
    let originals = originals(new.real_path()).into_iter().filter_map(|path| files.by_path(&path));
    let is_longer = |other: &FileNo| {
        files.get(*other).and_then(TrackedFile::progress).is_some_and(|known| is_early(known.head, first))
    };
    let early: Vec<FileNo> = originals.filter(is_longer).collect();
    for other in files.alike(|len| first.of_len(len)).into_iter().chain(early).filter(|other| *other != no) {
        let known = files.get(other).and_then(|file| Some((file, file.progress()?)));
        copied.extend(known.map(|(file, progress)| CopiedFile::tracked(other, file, progress)));
    }
    copied
}

/// Files that the last run knew, which a new one may be a copy of, and which are there and were not looked into yet.
pub(super) fn unresumed(files: &FileTable, no: FileNo, first: &mut FileHead) -> Vec<FileNo> {
    let alike = files.gone.alike(|len| first.of_len(len)).into_iter();
    let missing =
        alike.filter_map(|gone| files.gone.get(gone).filter(|gone| gone.fate == KnownFate::Missing));
    missing.filter_map(|gone| files.by_key(gone.key)).filter(|other| *other != no).collect()
}

/// What a new file is, as far as one known file goes.
pub(super) fn compare(
    setup: &FileSetup,
    new: &mut TrackedFile,
    first: &mut FileHead,
    known: &CopiedFile,
    now: Instant,
) -> io::Result<CopyVerdict> {
    let settled = setup.once || new.quiet(now) >= HOLD;
    // What holds other bytes by now is no copy of what it held.
    let is_itself = known.fate == KnownFate::Rewritten && known.key == new.key;
    if known.head.is_empty() || known.mark.offset == 0 || is_itself {
        return Ok(CopyVerdict::Unrelated);
    }
    if !first.begins_with(known.head) {
        // Too short to tell; a copy grows beyond that in no time.
        return Ok(if settled { CopyVerdict::Unrelated } else { CopyVerdict::Unclear });
    }
    let mut agreement = agreement(new, known.mark)?;
    if setup.is_object() {
        let is_same = known.mark.offset == new.size && agreement == Agreement::Agrees;
        return Ok(if is_same { CopyVerdict::Covered } else { CopyVerdict::Unrelated });
    }
    if agreement == Agreement::Shorter && settled {
        agreement = agreement_before(new, known)?;
    }
    let related = is_rotated_name(new.real_path(), Path::new(&*known.origin), &known.real);
    let likeness = Likeness {
        fate: known.fate,
        agreement,
        related,
        same_name: new.real_path().file_name() == known.real.file_name(),
        remounted: new.path == known.path && new.key.device != known.key.device,
        strong: known.mark.offset >= STRONG,
        compressed: !new.is_plain(),
        coexisted: known.coexisted(new, related),
        settled,
    };
    Ok(likeness.verdict())
}

/// Whether a copy that ends before the known file's mark agrees with it at an earlier one.
fn agreement_before(new: &mut TrackedFile, known: &CopiedFile) -> io::Result<Agreement> {
    let earlier =
        known.recent.iter().flatten().filter(|mark| mark.offset <= new.size).max_by_key(|mark| mark.offset);
    let Some(mark) = earlier else { return Ok(Agreement::Differs) };
    Ok(match agreement(new, *mark)? {
        Agreement::Agrees => Agreement::Shorter,
        Agreement::Differs | Agreement::Shorter => Agreement::Differs,
    })
}

/// Whether a file holds the bytes that a mark stands behind.
pub(super) fn agreement(file: &mut TrackedFile, mark: Mark) -> io::Result<Agreement> {
    let Some(content) = &mut file.content else { return Ok(Agreement::Differs) };
    agreement_in(content, mark)
}

/// Whether this content is the bytes that a mark stands behind.
pub(super) fn agreement_in(content: &mut FileContent, mark: Mark) -> io::Result<Agreement> {
    let len = usize::from(mark.tail.len);
    let before = content.read_at(mark.offset.saturating_sub(len as u64), len)?;
    if before.len() < len {
        return Ok(Agreement::Shorter);
    }
    let agrees = Fingerprint::of_end(&before) == mark.tail;
    Ok(if agrees { Agreement::Agrees } else { Agreement::Differs })
}

/// How long a possible copy has to be quiet before it is taken for a file of its own.
pub(super) const HOLD: Duration = Duration::from_millis(if cfg!(test) { 300 } else { 3000 });

/// Where beginning and end of so many bytes agree, it is no banner.
const STRONG: u64 = 2 * Fingerprint::MOST as u64;
