//! Which file a file is: whether one that was not seen before is a copy of one that was. Pure.
//!
//! A rename keeps device and inode. `copytruncate` and `gzip` do not: they leave a new inode with the old content. Such a
//! file is read on from where the old one was read to, if its content agrees there as well as at its beginning. Two files
//! that only begin alike, such as with the same banner, are both read: a line twice is better than a line never.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

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

/// What became of a file that was read before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum KnownFate {
    /// It is still there.
    Alive,
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
    /// Same path, other device: the file system was mounted anew.
    pub(super) remounted: bool,
    /// So much agrees that names do not matter.
    pub(super) strong: bool,
    /// The new one is gzipped, so that nobody writes lines to it.
    pub(super) gzipped: bool,
    /// The new one was there while the old one was, and is held back since.
    pub(super) held: bool,
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
        match (self.fate, self.agreement) {
            (KnownFate::Alive, Agreement::Agrees | Agreement::Shorter) if !self.settled => {
                CopyVerdict::Unclear
            }
            (KnownFate::Alive, Agreement::Agrees) if self.gzipped && likely => CopyVerdict::Covered,
            (KnownFate::Missing, Agreement::Agrees) if likely || self.remounted => CopyVerdict::Continues,
            (KnownFate::Rewritten, Agreement::Agrees) if likely => CopyVerdict::Continues,
            (KnownFate::Rewritten, Agreement::Shorter) if self.related && !self.settled => {
                CopyVerdict::Unclear
            }
            (KnownFate::Rewritten, Agreement::Shorter) if self.related => CopyVerdict::Covered,
            (KnownFate::Gone, Agreement::Agrees) if likely && (self.gzipped || self.held) => {
                CopyVerdict::Continues
            }
            (KnownFate::Alive | KnownFate::Missing | KnownFate::Rewritten | KnownFate::Gone, _) => {
                CopyVerdict::Unrelated
            }
        }
    }
}

/// Whether a rotation may have made `new` of a file that was first called `origin` and last `last`.
pub(super) fn is_rotated_name(new: &Path, origin: &Path, last: &Path) -> bool {
    let Some(new) = name(new) else { return false };
    let plain = new.strip_suffix(".gz").unwrap_or(new);
    let is_of = |old: &Path| {
        name(old).is_some_and(|old| plain != old && is_made_of(plain, old) || plain == old && plain != new)
    };
    // `a.log.1` makes `a.log.2`, but nothing makes `a.log`.
    let base = without_stamp(plain);
    let is_next = |old: &str| old != new && base != plain && without_stamp(old) == base;
    is_of(origin) || is_of(last) || name(last).is_some_and(is_next)
}

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
            "a.log.gz",
            "a.log.old",
        ] {
            check(new, "a.log", true);
        }
        for new in ["a.log", "b.log", "a.log.tmp", "aa.log", "a.log1x", "a.txt", "a.log.1.bz2"] {
            check(new, "a.log", false);
        }
        check("a.log.2.gz", "a.log.1", true);
        check("a.log.2", "a.log.1", true);
        check("a.log", "a.log.1", false);
        check("job-2.log", "job-1.log", false);
    }

    const SAME: Likeness = Likeness {
        fate: KnownFate::Rewritten,
        agreement: Agreement::Agrees,
        related: true,
        remounted: false,
        strong: false,
        gzipped: false,
        held: false,
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
        check(Likeness { gzipped: true, ..alive }, CopyVerdict::Covered);
        check(Likeness { gzipped: true, related: false, ..alive }, CopyVerdict::Unrelated);
        check(Likeness { agreement: Agreement::Differs, settled: false, ..alive }, CopyVerdict::Unrelated);
    }

    #[test]
    fn two_files_of_the_same_content_one_after_the_other_are_both_read() {
        let gone = Likeness { fate: KnownFate::Gone, ..SAME };
        check(gone, CopyVerdict::Unrelated);
        check(Likeness { gzipped: true, ..gone }, CopyVerdict::Continues);
        check(Likeness { held: true, ..gone }, CopyVerdict::Continues);
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
