//! Which log groups there are: the patterns of the configuration, and what the service lists. Pure.

use std::collections::BTreeSet;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::position::ListingPosition;
use crate::config::PullStart;
use crate::source::SourceError;

/// A log group, as the service lists it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct ListedGroup {
    /// Its name.
    pub(super) name: String,
    /// Its ARN, without `:*`.
    pub(super) arn: String,
    /// When it was created, in milliseconds since 1970.
    pub(super) created: i64,
}

impl ListedGroup {
    /// The account that it belongs to.
    pub(super) fn owner(&self) -> &str {
        self.arn.split(':').nth(4).unwrap_or_default()
    }
}

/// The names of log groups that are wanted.
#[derive(Clone, Debug)]
pub(super) struct GroupPatterns {
    set: GlobSet,
    prefixes: BTreeSet<String>,
}

impl GroupPatterns {
    /// Patterns in which `*` stands for any characters.
    ///
    /// # Errors
    /// When one is no glob.
    pub(super) fn new(patterns: &[String]) -> Result<Self, SourceError> {
        let mut set = GlobSetBuilder::new();
        for pattern in patterns {
            let wrong = |source| SourceError::Glob { pattern: pattern.clone(), source };
            set.add(GlobBuilder::new(pattern).literal_separator(false).build().map_err(wrong)?);
        }
        let wrong = |source| SourceError::Glob { pattern: patterns.join("`, `"), source };
        let all: BTreeSet<String> = patterns.iter().map(|pattern| literal_head(pattern).to_owned()).collect();
        let covers = |short: &String, long: &String| long != short && long.starts_with(short.as_str());
        let is_covered = |long: &String| all.iter().any(|short| covers(short, long));
        let prefixes = all.iter().filter(|prefix| !is_covered(prefix)).cloned().collect();
        Ok(Self { set: set.build().map_err(wrong)?, prefixes })
    }

    /// What names of wanted groups begin with: one list has to be made of each.
    pub(super) fn prefixes(&self) -> impl Iterator<Item = &str> {
        self.prefixes.iter().map(String::as_str)
    }

    /// Whether a group of this name is wanted.
    pub(super) fn matches(&self, name: &str) -> bool {
        self.set.is_match(name)
    }
}

/// What every name that matches begins with.
fn literal_head(pattern: &str) -> &str {
    let is_literal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/' | '#');
    pattern.find(|c| !is_literal(c)).and_then(|end| pattern.get(..end)).unwrap_or(pattern)
}

/// Agents may send what is older than the log group that they make, by so much.
const BACK_DATED: i64 = 2 * 3_600_000;

/// The service takes no event that is older than this.
const OLDEST_EVENT: i64 = 14 * 24 * 3_600_000;

/// A group may be listed so long after it was created.
const LISTED_LATE: i64 = 120_000;

/// From when on a source reads.
pub(super) fn started(start: PullStart, now: i64) -> i64 {
    match start {
        PullStart::Now => now,
        PullStart::Ago(ago) => now.saturating_sub(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX)),
        PullStart::At(time) => time.0,
    }
    .max(0)
}

/// From when on a log group is read that was found in a list at `now`: one that is new since the last list is read from its
/// beginning, one that nobody asked for before from `start` as of now.
pub(super) fn begin(start: PullStart, before: Option<&ListingPosition>, created: i64, now: i64) -> i64 {
    match before {
        Some(before) if created >= before.listed.saturating_sub(LISTED_LATE) => {
            created.saturating_sub(BACK_DATED).max(before.started)
        }
        _ => started(start, now).max(created.saturating_sub(OLDEST_EVENT)),
    }
    .max(0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::event::Timestamp;

    #[track_caller]
    fn check(patterns: &[&str], prefixes: &[&str], wanted: &[&str], others: &[&str]) {
        let patterns: Vec<String> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        let patterns = GroupPatterns::new(&patterns).unwrap();
        assert_eq!(patterns.prefixes().collect::<Vec<_>>(), prefixes);
        assert!(wanted.iter().all(|name| patterns.matches(name)), "{wanted:?}");
        assert!(!others.iter().any(|name| patterns.matches(name)), "{others:?}");
    }

    #[test]
    fn a_pattern_is_listed_by_what_names_begin_with() {
        check(&["/aws/lambda/*"], &["/aws/lambda/"], &["/aws/lambda/a", "/aws/lambda/a/b"], &["/aws/ecs"]);
        check(&["/a/{b,c}-?", "/a/b*"], &["/a/"], &["/a/b-1", "/a/bx", "/a/c-2"], &["/a/c"]);
        check(&["app", "app-2"], &["app"], &["app", "app-2"], &["app-3", "xapp"]);
        check(&["*"], &[""], &["anything"], &[]);
        check(&["*", "/aws/*"], &[""], &["anything"], &[]);
    }

    #[test]
    fn a_pattern_that_is_none_is_named() {
        let error = GroupPatterns::new(&["/a/[".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("/a/["), "{error}");
    }

    #[test]
    fn a_group_begins_where_its_first_event_can_be_that_was_asked_for() {
        const HOUR: i64 = 3_600_000;
        let now = 1_000 * HOUR;
        let ago = PullStart::Ago(Duration::from_hours(5));
        assert_eq!(begin(PullStart::Now, None, 7, now), now);
        assert_eq!(begin(ago, None, 7, now), now - 5 * HOUR);
        assert_eq!(begin(PullStart::At(Timestamp(HOUR)), None, now, now), now - OLDEST_EVENT);
        // Created since the last list.
        let before = ListingPosition { started: 900 * HOUR, listed: 999 * HOUR };
        assert_eq!(begin(PullStart::Now, Some(&before), now - 10, now), now - 10 - BACK_DATED);
        let before = ListingPosition { started: now - HOUR, ..before };
        assert_eq!(begin(PullStart::Now, Some(&before), now - 10, now), now - HOUR);
        // There long before, and wanted only now.
        assert_eq!(begin(PullStart::Now, Some(&before), 7, now), now);
    }

    #[test]
    fn the_owner_stands_in_the_arn() {
        let arn = "arn:aws:logs:us-east-1:111111111111:log-group:/a".to_owned();
        assert_eq!(ListedGroup { arn, ..ListedGroup::default() }.owner(), "111111111111");
    }
}
