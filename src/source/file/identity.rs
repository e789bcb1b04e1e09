//! Which file a file is: whether one that was not seen before is a copy of one that was. Pure.
//!
//! A rename keeps device and inode. `copytruncate`, `gzip` and `zstd` do not: they leave a new inode with the old content. Such a
//! file is read on from where the old one was read to, if its content agrees there as well as at its beginning. Two files
//! that only begin alike, such as with the same banner, are both read: a line twice is better than a line never.
//!
//! A copy is made while there is something to copy. A file that came into being after the old one had lost its name, or its
//! content, is none, whatever is in it: a job that runs anew writes what it wrote before.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::event::Timestamp;

/// Device and inode.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct FileKey {
    pub(super) device: u64,
    pub(super) inode: u64,
}

impl FileKey {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// A moment by the clock of files, in nanoseconds since 1970.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct FileTime(pub(super) i64);

impl FileTime {
    pub(super) fn now() -> Self {
        Self(Timestamp::now().0.saturating_mul(1_000_000))
    }

    /// A moment that was before this one by any clock of files: they tick some hundred times a second.
    pub(super) const fn surely_before(self) -> Self {
        Self(self.0.saturating_sub(20_000_000))
    }

    /// When a file came into being; none where its file system does not tell.
    pub(super) fn born(metadata: &Metadata) -> Option<Self> {
        let age = metadata.created().ok()?.duration_since(UNIX_EPOCH).ok()?;
        i64::try_from(age.as_nanos()).ok().map(Self)
    }

    /// When a file was last written to, by its own account.
    pub(super) fn modified(metadata: &Metadata) -> Self {
        let seconds = metadata.mtime().saturating_mul(1_000_000_000);
        Self(seconds.saturating_add(metadata.mtime_nsec()))
    }

    /// When a file was last written to, truncated, renamed or unlinked.
    pub(super) fn changed(metadata: &Metadata) -> Self {
        let seconds = metadata.ctime().saturating_mul(1_000_000_000);
        Self(seconds.saturating_add(metadata.ctime_nsec()))
    }
}

/// What became of a file that was read before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum KnownFate {
    /// It is still there.
    Alive,
    /// It has no name any more, and is read to its end.
    Leaving,
    /// Its inode was emptied or holds something else.
    Rewritten,
    /// It was not there when standpipe started.
    Missing,
    /// It went away while standpipe ran.
    Gone,
}

/// Whether the new file holds, at the place the old one was read to, what the old one held there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Agreement {
    Agrees,
    Differs,
    /// It does not reach that place.
    Shorter,
}

/// What a new file and a known one have in common, beside how they begin.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "a row of a table of facts")]
pub(super) struct Likeness {
    pub(super) fate: KnownFate,
    pub(super) agreement: Agreement,
    /// The new one's name is what a rotation makes of the old one's.
    pub(super) related: bool,
    /// Same name, in the same folder or another.
    pub(super) same_name: bool,
    /// Same path, other device: the file system was mounted anew.
    pub(super) remounted: bool,
    /// So much agrees that names do not matter.
    pub(super) strong: bool,
    /// The new one is compressed, so that nobody writes lines to it.
    pub(super) compressed: bool,
    /// The new one was there before the old one lost its name or its content.
    pub(super) coexisted: bool,
    /// The new one has not grown for a while.
    pub(super) settled: bool,
}

/// What to do with the new file, as far as one known file goes.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum CopyVerdict {
    /// It has nothing to do with the old one.
    Unrelated,
    /// It may be a copy that the old one is about to be emptied for: wait.
    Unclear,
    /// It is a copy of what is, or was, read through the old one.
    Covered,
    /// It is the old one: read on.
    Continues,
}

impl Likeness {
    pub(super) fn verdict(self) -> CopyVerdict {
        let likely = self.related || self.strong;
        let may_be_copy = self.compressed || self.coexisted;
        // What takes the old one's place, or has the name of what is made of it, is waited for until the old one was read to its end.
        let succeeds = self.related || self.same_name && self.strong;
        match (self.fate, self.agreement) {
            (KnownFate::Leaving | KnownFate::Rewritten | KnownFate::Gone, _) if !may_be_copy => {
                CopyVerdict::Unrelated
            }
            (KnownFate::Leaving, Agreement::Agrees) if succeeds || !self.settled => CopyVerdict::Unclear,
            (KnownFate::Leaving, Agreement::Shorter) if !self.settled => CopyVerdict::Unclear,
            (KnownFate::Alive, Agreement::Agrees | Agreement::Shorter) if !self.settled => {
                CopyVerdict::Unclear
            }
            (KnownFate::Alive, Agreement::Agrees) if self.compressed && likely => CopyVerdict::Covered,
            (KnownFate::Missing, Agreement::Agrees) if likely || self.remounted => CopyVerdict::Continues,
            (KnownFate::Rewritten | KnownFate::Gone, Agreement::Agrees) if likely => CopyVerdict::Continues,
            (KnownFate::Rewritten, Agreement::Shorter) if self.related && !self.settled => {
                CopyVerdict::Unclear
            }
            (KnownFate::Rewritten, Agreement::Shorter) if self.related => CopyVerdict::Covered,
            (
                KnownFate::Alive
                | KnownFate::Leaving
                | KnownFate::Missing
                | KnownFate::Rewritten
                | KnownFate::Gone,
                _,
            ) => CopyVerdict::Unrelated,
        }
    }
}

/// Whether a rotation may have made `new` of a file that was first called `origin` and last `last`.
pub(super) fn is_rotated_name(new: &Path, origin: &Path, last: &Path) -> bool {
    let Some(new) = name(new) else { return false };
    let plain = without_compression(new);
    let is_of = |old: &Path| {
        name(old).is_some_and(|old| plain != old && is_made_of(plain, old) || plain == old && plain != new)
    };
    // `a.log.1` makes `a.log.2`, but nothing makes `a.log`.
    let base = without_stamp(plain);
    let is_next = |old: &str| old != new && base != plain && without_stamp(old) == base;
    is_of(origin) || is_of(last) || name(last).is_some_and(is_next)
}

/// What the names begin with that a rotation may give to a file that was first called `origin` and last `last`, each once.
pub(super) fn rotated_prefixes(origin: &Path, last: &Path) -> Vec<String> {
    let stem = |name: &str| name.rsplit_once('.').map_or(name, |(stem, _)| stem).to_owned();
    let names = [name(origin).map(stem), name(last).map(stem)];
    let mut prefixes: Vec<String> = names.into_iter().flatten().collect();
    prefixes.extend(name(last).map(|last| without_stamp(last).to_owned()));
    prefixes.sort_unstable();
    // What begins with a longer one begins with the shorter one.
    prefixes.dedup_by(|longer, shorter| longer.starts_with(shorter.as_str()));
    prefixes
}

/// The paths in the same folder of which a rotation makes this one.
pub(super) fn originals(new: &Path) -> Vec<PathBuf> {
    let Some(name) = name(new) else { return Vec::new() };
    let plain = without_compression(name);
    let mut names: Vec<String> = Vec::new();
    if plain != name {
        names.push(plain.to_owned());
    }
    let stamps = |text: &'_ str| -> Vec<usize> {
        let separators = text.match_indices(['.', '-', '_']).map(|(at, _)| at);
        separators.filter(|at| text.get(*at..).is_some_and(is_stamp)).collect()
    };
    names.extend(stamps(plain).into_iter().filter_map(|at| plain.get(..at)).map(str::to_owned));
    if let Some((stem, extension)) = plain.rsplit_once('.') {
        let stems = stamps(stem).into_iter().filter_map(|at| stem.get(..at));
        names.extend(stems.map(|stem| format!("{stem}.{extension}")));
    }
    let base = without_stamp(plain);
    let number = plain.strip_prefix(base).and_then(|stamp| stamp.strip_prefix('.')?.parse::<u64>().ok());
    names.extend(number.and_then(|number| Some(format!("{base}.{}", number.checked_sub(1)?))));
    names.into_iter().map(|name| new.with_file_name(name)).collect()
}

/// Whether a file is named as compressed ones are that standpipe reads.
pub(crate) fn is_compressed_name(path: &Path) -> bool {
    name(path).is_some_and(|name| without_compression(name) != name)
}

fn without_compression(name: &str) -> &str {
    COMPRESSED.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name)
}

/// What names of compressed files end in.
const COMPRESSED: [&str; 2] = [".gz", ".zst"];

fn name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

/// `a.log` makes `a.log.1`, `a.log-20260101`, `a.1.log` and `a-20260101.log`.
fn is_made_of(new: &str, old: &str) -> bool {
    if new.strip_prefix(old).is_some_and(is_stamp) {
        return true;
    }
    let Some((stem, extension)) = old.rsplit_once('.') else { return false };
    let middle = new.strip_prefix(stem).and_then(|rest| rest.strip_suffix(extension)?.strip_suffix('.'));
    middle.is_some_and(is_stamp)
}

/// A separator and then digits, with what dates are written with.
fn is_stamp(text: &str) -> bool {
    text.starts_with(['.', '-', '_'])
        && text.contains(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '-' | '_' | ':' | 'T' | 'Z' | '+'))
        || matches!(text, ".old" | ".bak" | ".prev")
}

/// The name before a number or date at its end.
fn without_stamp(name: &str) -> &str {
    let trimmed =
        name.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '-' | '_' | ':' | 'T' | 'Z' | '+'));
    trimmed.strip_suffix('.').unwrap_or(trimmed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotated_name_is_known_as_one() {
        #[track_caller]
        fn check(new: &str, old: &str, expected: bool) {
            let (new, old) = (Path::new(new), Path::new(old));
            assert_eq!(is_rotated_name(new, old, old), expected);
        }
        for new in [
            "a.log.1",
            "a.log-20260101",
            "a.log.2026-01-01T00:00:00Z",
            "a.1.log",
            "a-20260101.log",
            "a.log.1.gz",
            "a.log.1.zst",
            "a.log.gz",
            "a.log.old",
        ] {
            check(new, "a.log", true);
        }
        for new in ["a.log", "b.log", "a.log.tmp", "aa.log", "a.log1x", "a.txt", "a.log.1.bz2"] {
            check(new, "a.log", false);
        }
        check("a.log.2.gz", "a.log.1", true);
        check("a.log.2.zst", "a.log.1", true);
        check("a.log.2", "a.log.1", true);
        check("a.log", "a.log.1", false);
        check("job-2.log", "job-1.log", false);
    }

    #[test]
    fn what_a_rotated_file_was_made_of_is_told_by_its_name() {
        for (new, old) in [
            ("/d/a.log.1", "/d/a.log"),
            ("/d/a.log-20260101", "/d/a.log"),
            ("/d/a.log.2026-01-01T00:00:00Z", "/d/a.log"),
            ("/d/a.1.log", "/d/a.log"),
            ("/d/a-20260101.log", "/d/a.log"),
            ("/d/a.log.1.gz", "/d/a.log"),
            ("/d/a.log.1.zst", "/d/a.log"),
            ("/d/a.log.gz", "/d/a.log"),
            ("/d/a.log.old", "/d/a.log"),
            ("/d/a.log.2", "/d/a.log.1"),
            ("/d/a.log.2.gz", "/d/a.log.1"),
        ] {
            let prefixes = rotated_prefixes(Path::new(old), Path::new(old));
            assert!(prefixes.iter().any(|prefix| name(Path::new(new)).unwrap().starts_with(prefix)), "{new}");
            assert!(originals(Path::new(new)).contains(&PathBuf::from(old)), "{new}");
            assert!(is_rotated_name(Path::new(new), Path::new(old), Path::new(old)), "{new}");
        }
        assert_eq!(originals(Path::new("/d/a.log")), Vec::<PathBuf>::new());
    }

    const SAME: Likeness = Likeness {
        fate: KnownFate::Rewritten,
        agreement: Agreement::Agrees,
        related: true,
        same_name: false,
        remounted: false,
        strong: false,
        compressed: false,
        coexisted: true,
        settled: true,
    };

    #[track_caller]
    fn check(likeness: Likeness, expected: CopyVerdict) {
        assert_eq!(likeness.verdict(), expected, "{likeness:?}");
    }

    #[test]
    fn a_copy_of_an_emptied_file_is_read_on() {
        check(SAME, CopyVerdict::Continues);
        check(Likeness { related: false, ..SAME }, CopyVerdict::Unrelated);
        check(Likeness { related: false, strong: true, ..SAME }, CopyVerdict::Continues);
        check(Likeness { agreement: Agreement::Differs, strong: true, ..SAME }, CopyVerdict::Unrelated);
        check(Likeness { agreement: Agreement::Shorter, settled: false, ..SAME }, CopyVerdict::Unclear);
        check(Likeness { agreement: Agreement::Shorter, ..SAME }, CopyVerdict::Covered);
        check(
            Likeness { agreement: Agreement::Shorter, related: false, strong: true, ..SAME },
            CopyVerdict::Unrelated,
        );
    }

    #[test]
    fn a_file_that_is_still_there_is_waited_for_and_then_both_are_read() {
        let alive = Likeness { fate: KnownFate::Alive, ..SAME };
        check(Likeness { settled: false, ..alive }, CopyVerdict::Unclear);
        check(alive, CopyVerdict::Unrelated);
        check(Likeness { compressed: true, ..alive }, CopyVerdict::Covered);
        check(Likeness { compressed: true, related: false, ..alive }, CopyVerdict::Unrelated);
        check(Likeness { agreement: Agreement::Differs, settled: false, ..alive }, CopyVerdict::Unrelated);
    }

    #[test]
    fn two_files_of_the_same_content_one_after_the_other_are_both_read() {
        for fate in [KnownFate::Gone, KnownFate::Leaving, KnownFate::Rewritten] {
            for settled in [true, false] {
                let later = Likeness { fate, settled, coexisted: false, strong: true, ..SAME };
                check(later, CopyVerdict::Unrelated);
                check(Likeness { related: false, same_name: true, ..later }, CopyVerdict::Unrelated);
            }
        }
        let gone = Likeness { fate: KnownFate::Gone, ..SAME };
        check(gone, CopyVerdict::Continues);
        check(Likeness { compressed: true, coexisted: false, ..gone }, CopyVerdict::Continues);
    }

    #[test]
    fn what_took_the_old_ones_place_goes_on_when_the_old_one_was_read_to_its_end() {
        let leaving = Likeness { fate: KnownFate::Leaving, related: false, strong: true, ..SAME };
        check(Likeness { same_name: true, ..leaving }, CopyVerdict::Unclear);
        check(Likeness { related: true, ..leaving }, CopyVerdict::Unclear);
        check(Likeness { settled: false, ..leaving }, CopyVerdict::Unclear);
        check(leaving, CopyVerdict::Unrelated);
        check(Likeness { same_name: true, strong: false, ..leaving }, CopyVerdict::Unrelated);
        check(Likeness { same_name: true, agreement: Agreement::Differs, ..leaving }, CopyVerdict::Unrelated);
        check(Likeness { fate: KnownFate::Gone, same_name: true, ..leaving }, CopyVerdict::Continues);
    }

    #[test]
    fn what_changed_while_standpipe_was_down_is_found() {
        let missing = Likeness { fate: KnownFate::Missing, ..SAME };
        check(missing, CopyVerdict::Continues);
        check(Likeness { related: false, ..missing }, CopyVerdict::Unrelated);
        check(Likeness { related: false, remounted: true, ..missing }, CopyVerdict::Continues);
        check(Likeness { agreement: Agreement::Shorter, ..missing }, CopyVerdict::Unrelated);
    }
}
