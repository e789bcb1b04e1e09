//! Names of rotated files: which files of a folder follow one another. Pure.

/// What the names of files have in common that follow one another: what is before the number or date, and what is behind it.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct FileSeries {
    before: String,
    behind: String,
}

impl FileSeries {
    /// The series of a name with a date anywhere, or with a number behind a dot at its end: `app-20261122.log`, `app.log.3`. None: nothing
    /// in the name tells that another file follows this one. A short number elsewhere does not: `worker-1.log` and `worker-2.log` may be
    /// written side by side.
    pub(super) fn of(name: &str) -> Option<Self> {
        let series = |before: &str, behind: &str| {
            let (before, behind) = (before.to_owned(), behind.to_owned());
            (!before.is_empty()).then_some(Self { before, behind })
        };
        if let Some((before, number)) = name.rsplit_once('.')
            && (matches!(number, "old" | "bak" | "prev") || is_number(number))
            && date(name).is_none()
        {
            return series(before, "");
        }
        let (at, end) = date(name)?;
        let before = name.get(..at)?.trim_end_matches(SEPARATORS);
        series(before, name.get(end..)?)
    }

    /// Whether a file with this name follows those of the series, or is the one that they were rotated from.
    pub(super) fn has(&self, name: &str) -> bool {
        let is_origin = name.strip_prefix(self.before.as_str()) == Some(self.behind.as_str());
        is_origin || Self::of(name).as_ref() == Some(self)
    }
}

const SEPARATORS: [char; 3] = ['.', '-', '_'];

fn is_number(text: &str) -> bool {
    (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Where the first date in a name begins and ends: a run of digits, separators and letters of times with at least six digits, which
/// begins with a year.
fn date(name: &str) -> Option<(usize, usize)> {
    let is_of_date = |c: char| c.is_ascii_digit() || matches!(c, '-' | '_' | ':' | '.' | 'T' | 'Z' | '+');
    let begins = |at: usize| {
        let is_behind_separator = name.get(..at).is_some_and(|before| before.ends_with(SEPARATORS));
        is_behind_separator
            && name.get(at..).is_some_and(|rest| rest.starts_with("19") || rest.starts_with("20"))
    };
    let at = name.char_indices().map(|(at, _)| at).find(|at| begins(*at))?;
    let rest = name.get(at..)?;
    let len = rest.find(|c| !is_of_date(c)).unwrap_or(rest.len());
    let run = rest.get(..len)?.trim_end_matches(SEPARATORS);
    let digits = run.bytes().filter(u8::is_ascii_digit).count();
    (digits >= 6).then(|| (at, at.saturating_add(run.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_follow_one_another_have_one_series() {
        for names in [
            ["app.log.1", "app.log.2", "app.log"],
            ["app.log-20261122", "app.log-20261123", "app.log"],
            ["app-20261122.log", "app-20261123.log", "app.log"],
            ["app.2026-11-22.log", "app.2026-11-23.log", "app.log"],
            ["app-2026-11-22T01.log", "app-2026-11-22T02.log", "app.log"],
            ["app_2026-11-22_01.txt", "app_2026-11-22_02.txt", "app.txt"],
            ["syslog.1", "syslog.old", "syslog"],
            ["web-1-2026-11-22.log", "web-1-2026-11-23.log", "web-1.log"],
        ] {
            let [first, second, origin] = names;
            let series = FileSeries::of(first).unwrap_or_else(|| panic!("{first}"));
            for name in [first, second, origin] {
                assert!(series.has(name), "{series:?} has {name}");
            }
            assert_eq!(FileSeries::of(origin), None, "{origin}");
        }
    }

    #[test]
    fn files_that_may_be_written_side_by_side_have_none_in_common() {
        for name in
            ["app.log", "worker-1.log", "job-3f2a.log", "a", "20261122", ".1", "x-201.log", "v1.20.log"]
        {
            assert_eq!(FileSeries::of(name), None, "{name}");
        }
        let series = FileSeries::of("web-1-2026-11-22.log").unwrap();
        for name in ["web-2-2026-11-23.log", "web-2.log", "web-1.txt", "web-1-2026-11-23.txt", "web.log"] {
            assert!(!series.has(name), "{name}");
        }
        assert!(!FileSeries::of("app.log.1").unwrap().has("app.log.1.gz"));
    }
}
