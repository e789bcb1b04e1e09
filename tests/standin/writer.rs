//! Writes numbered lines to files: at once, or so many a second with the time of each, so that its delay can be told.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::lines::Lines;
use super::state::State;

/// What to write: the lines of run 1, from 0 on.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Writing {
    /// The file; with several, `{}` in it is their number.
    path: String,
    lines: u64,
    /// The files are written to in turn.
    #[serde(default = "one")]
    files: u64,
    /// So many lines at a time.
    #[serde(default = "one")]
    group: u64,
    /// Bytes of each line with its newline; otherwise about 257.
    #[serde(default)]
    line_bytes: Option<usize>,
    /// Lines a second over all files; otherwise as fast as can be.
    #[serde(default)]
    per_second: Option<u32>,
}

fn one() -> u64 {
    1
}

impl Writing {
    /// Writes in a thread of its own when it takes its time, else before it returns.
    pub(crate) fn start(self, state: &Arc<State>) -> io::Result<()> {
        state.oracle().expect(1, self.lines);
        let mut files = self.open()?;
        let Some(rate) = self.per_second else {
            return self.groups().try_for_each(|(file, numbers)| self.write(&mut files[file], numbers));
        };
        let state = Arc::clone(state);
        thread::spawn(move || self.write_slowly(&mut files, rate, &state).unwrap());
        Ok(())
    }

    fn write_slowly(&self, files: &mut [File], rate: u32, state: &State) -> io::Result<()> {
        let begun = Instant::now();
        for (file, numbers) in self.groups() {
            let due = Duration::from_secs(numbers.start) / rate;
            #[expect(clippy::disallowed_methods, reason = "a pace is what was asked for")]
            thread::sleep(due.saturating_sub(begun.elapsed()));
            state.oracle().written(numbers.clone(), Instant::now());
            self.write(&mut files[file], numbers)?;
        }
        Ok(())
    }

    /// Which file is given which lines, in order.
    fn groups(&self) -> impl Iterator<Item = (usize, Range<u64>)> + use<> {
        let Self { lines, files, group, .. } = *self;
        (0..lines.div_ceil(group)).map(move |turn| {
            let start = turn * group;
            (usize::try_from(turn % files).unwrap_or(0), start..lines.min(start + group))
        })
    }

    fn write(&self, file: &mut File, numbers: Range<u64>) -> io::Result<()> {
        file.write_all(&Lines::of_run(1).of_bytes(self.line_bytes).text(numbers))
    }

    fn open(&self) -> io::Result<Vec<File>> {
        let path = |number: u64| PathBuf::from(self.path.replace("{}", &number.to_string()));
        (0..self.files)
            .map(|number| OpenOptions::new().create(true).append(true).open(path(number)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::standin::lines::{Found, find};
    use crate::standin::settings::Settings;

    #[track_caller]
    fn check(json: &str, sizes: &[usize]) {
        let folder = tempfile::tempdir().unwrap();
        let state = Arc::new(State::new(&Settings::default(), String::new()));
        let json = json.replace("DIR", folder.path().to_str().unwrap());
        serde_json::from_str::<Writing>(&json).unwrap().start(&state).unwrap();
        for (number, size) in sizes.iter().enumerate() {
            let text = std::fs::read(folder.path().join(format!("{number}.log"))).unwrap();
            let mut whole = 0;
            find(&text, |found| whole += usize::from(matches!(found, Found::Whole { run: 1, .. })));
            assert_eq!(whole, *size, "whole lines in file {number}");
        }
    }

    #[test]
    fn lines_go_to_the_files_in_turn() {
        check(r#"{"path":"DIR/0.log","lines":5}"#, &[5]);
        check(r#"{"path":"DIR/{}.log","lines":7,"files":2,"group":2}"#, &[4, 3]);
        check(r#"{"path":"DIR/{}.log","lines":4,"files":2,"line_bytes":10240}"#, &[2, 2]);
    }

    #[test]
    fn lines_are_of_the_size_asked_for() {
        for bytes in [50, 257, 10_240] {
            let text = Lines::of_run(1).of_bytes(Some(bytes)).text(99..102);
            assert!(text.split_inclusive(|byte| *byte == b'\n').all(|line| line.len() == bytes));
        }
    }
}
