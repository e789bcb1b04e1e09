//! What a person must hear of while it happens, beside its counters: data that is lost, and files that cannot be read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::sync::Lock;

/// What is lost, and what cannot be read, of late. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Troubles(Arc<Lock<RecentTroubles>>);

#[derive(Debug, Default)]
struct RecentTroubles {
    /// By who loses, such as "sink archive", and the reason.
    losses: BTreeMap<(String, &'static str), RecentLoss>,
    /// By source, and path.
    unreadable: BTreeMap<String, BTreeMap<PathBuf, FailingFile>>,
}

/// A loss that goes on, or has just ended.
#[derive(Debug)]
struct RecentLoss {
    amount: u64,
    first: Instant,
    last: Instant,
}

#[derive(Debug)]
struct FailingFile {
    why: String,
    seen: Instant,
}

/// A loss is told for so long after the last of it.
const TOLD: Duration = Duration::from_mins(1);

/// Files that cannot be read are tried again within a minute: what was not seen for so long is gone.
const GONE: Duration = Duration::from_mins(3);

/// Most paths that are remembered of one source.
const MOST_PATHS: usize = 1_000;

impl Troubles {
    /// Notes that `who` has lost this much for `reason`.
    pub(super) fn lost(&self, who: String, reason: &'static str, amount: u64, now: Instant) {
        let mut recent = self.0.lock();
        let loss =
            recent.losses.entry((who, reason)).or_insert(RecentLoss { amount: 0, first: now, last: now });
        if now.duration_since(loss.last) > TOLD {
            (loss.amount, loss.first) = (0, now);
        }
        loss.amount = loss.amount.saturating_add(amount);
        loss.last = now;
    }

    /// Notes that a file of a source cannot be read.
    pub(super) fn unreadable(&self, source: &str, path: &Path, why: String, now: Instant) {
        let mut recent = self.0.lock();
        let files = recent.unreadable.entry(source.to_owned()).or_default();
        files.retain(|_, file| now.duration_since(file.seen) < GONE);
        if files.len() < MOST_PATHS || files.contains_key(path) {
            files.insert(path.to_owned(), FailingFile { why, seen: now });
        }
    }

    /// A file of a source can be read.
    pub(super) fn readable(&self, source: &str, path: &Path) {
        if let Some(files) = self.0.lock().unreadable.get_mut(source) {
            files.remove(path);
        }
    }

    /// The source does not run any more.
    pub(super) fn retire(&self, source: &str) {
        self.0.lock().unreadable.remove(source);
    }

    /// All of them, one a line.
    pub(super) fn lines(&self, now: Instant) -> Vec<String> {
        let recent = self.0.lock();
        let going_on = recent.losses.iter().filter(|(_, loss)| now.duration_since(loss.last) <= TOLD);
        let losses = going_on.map(|((who, reason), loss)| {
            let seconds = loss.last.duration_since(loss.first).as_secs().max(1);
            format!(
                "{who}: losing data: {} within {seconds} s; {}",
                amount(reason, loss.amount),
                advice(reason)
            )
        });
        let files = recent.unreadable.iter().filter_map(|(source, files)| {
            let mut there = files.iter().filter(|(_, file)| now.duration_since(file.seen) < GONE);
            let (path, file) = there.next()?;
            let others = match there.count() {
                0 => String::new(),
                others => format!(", and {others} more"),
            };
            let path = path.display().to_string();
            let (path, why) = (path.escape_debug(), &file.why);
            Some(format!("source {source}: cannot read `{path}`{others}: {why}"))
        });
        losses.chain(files).collect()
    }
}

fn amount(reason: &str, amount: u64) -> String {
    match reason {
        "oldest" | "corrupt" => format!("{amount} events"),
        _ => format!("{amount} bytes"),
    }
}

/// What to do about a loss.
fn advice(reason: &str) -> &'static str {
    match reason {
        "oldest" => {
            "its disk buffer is full and drops the oldest: raise `buffer.max`, see why so little is delivered, or let sources wait (`when_full = \"block\"`)"
        }
        "corrupt" => "its disk buffer was damaged: see the log, and the disk",
        "deleted_unread" => "files are deleted before they are read: keep rotated files for longer",
        "truncated_unread" => {
            "files are truncated before they are read: rotate by renaming, or keep a copy that `include` matches"
        }
        "too_large" => "files are larger than `max_inflated` when decompressed, and are skipped: raise it",
        _ => "see the log",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loss_is_told_while_it_goes_on_and_a_minute_longer() {
        let (troubles, start) = (Troubles::default(), Instant::now());
        assert!(troubles.lines(start).is_empty());
        for second in 0..=30 {
            let now = start + Duration::from_secs(second);
            troubles.lost("sink archive".to_owned(), "oldest", 10, now);
        }
        let lines = troubles.lines(start + Duration::from_mins(1));
        let [line] = lines.as_slice() else { panic!("{lines:?}") };
        assert!(
            line.starts_with("sink archive: losing data: 310 events within 30 s; its disk buffer is full"),
            "{line}"
        );
        assert!(troubles.lines(start + Duration::from_secs(91)).is_empty());
        troubles.lost("sink archive".to_owned(), "oldest", 1, start + Duration::from_secs(500));
        assert!(troubles.lines(start + Duration::from_secs(500)).concat().contains("1 events within 1 s"));
    }

    #[tokio::test(start_paused = true)]
    async fn files_that_cannot_be_read_are_told_until_they_can_or_are_gone() {
        let (troubles, now) = (Troubles::default(), Instant::now());
        for name in ["/logs/a\u{1b}.log", "/logs/b.log"] {
            troubles.unreadable("app", Path::new(name), "Permission denied".to_owned(), now);
        }
        let expected = "source app: cannot read `/logs/a\\u{1b}.log`, and 1 more: Permission denied";
        assert_eq!(troubles.lines(now), [expected]);
        troubles.readable("app", Path::new("/logs/a\u{1b}.log"));
        assert!(troubles.lines(now).concat().contains("`/logs/b.log`: Permission denied"));
        assert!(troubles.lines(now + GONE).is_empty());
        troubles.retire("app");
        assert!(troubles.lines(now).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_paths_are_remembered() {
        let (troubles, now) = (Troubles::default(), Instant::now());
        for number in 0..2 * MOST_PATHS {
            troubles.unreadable("app", Path::new(&format!("/{number}")), "no".to_owned(), now);
        }
        assert!(troubles.lines(now).concat().contains(&format!("and {} more", MOST_PATHS - 1)));
    }
}
