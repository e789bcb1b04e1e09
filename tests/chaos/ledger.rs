//! What standpipe has said it would deliver, and how many lines may be doubled.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

/// The run of the lines in the log files.
pub(crate) const FILES: u32 = 1;
/// The run of the lines on standard input.
pub(crate) const INPUT: u32 = 2;
/// The run of the events of log groups.
pub(crate) const LOGS: u32 = 3;
/// The run of the lines in objects that a queue announces.
pub(crate) const ANNOUNCED: u32 = 4;
/// The run of the lines in objects of a bucket that is listed.
pub(crate) const LISTED: u32 = 5;
/// The first sender's run; each next sender has the next.
pub(crate) const FIRST_SENDER: u32 = 10;
/// Firehose's connections.
pub(crate) const SENDERS: usize = 4;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Lines appended to files, from 0 on.
    pub(crate) files: u64,
    /// Events put to log groups, from 0 on.
    pub(crate) logs: u64,
    /// Lines put in objects that a queue announces, from 0 on.
    pub(crate) announced: u64,
    /// Lines put in objects of a bucket that is listed, from 0 on.
    pub(crate) listed: u64,
    /// Lines of requests answered 200, from 0 on, by sender.
    pub(crate) requests: [u64; SENDERS],
    /// Lines on standard input that were read by processes which exited 0.
    pub(crate) input: Vec<Range<u64>>,
    /// The next line for standard input.
    pub(crate) input_next: u64,
    /// How many processes have ended.
    pub(crate) ends: u64,
    /// Most lines that kills, stops at the deadline and lost answers may have doubled.
    pub(crate) explained: u64,
    /// What the streams held when, in lines with their duplicates.
    samples: VecDeque<(Instant, u64)>,
    /// Age of the oldest event read and not acknowledged, at the last scrape.
    pub(crate) lag: Duration,
}

const SAMPLES: usize = 4_096;

impl Ledger {
    /// Every line that has to be in each stream: a run, its name, and ranges of numbers.
    pub(crate) fn promised(&self) -> Vec<(u32, String, Vec<Range<u64>>)> {
        let mut all = vec![
            (FILES, "files".to_owned(), whole(self.files)),
            (INPUT, "standard input".to_owned(), self.input.clone()),
            (LOGS, "log groups".to_owned(), whole(self.logs)),
            (ANNOUNCED, "announced objects".to_owned(), whole(self.announced)),
            (LISTED, "listed objects".to_owned(), whole(self.listed)),
        ];
        for (sender, end) in self.requests.iter().enumerate() {
            let run = FIRST_SENDER + u32::try_from(sender).unwrap_or(0);
            all.push((run, format!("sender {sender}"), whole(*end)));
        }
        all
    }

    /// Notes what the streams hold now.
    pub(crate) fn sample(&mut self, now: Instant, lines: u64) {
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back((now, lines));
    }

    /// Lines delivered since then, of `lines` delivered by now.
    pub(crate) fn delivered_since(&self, then: Option<Instant>, lines: u64) -> u64 {
        let before = self.samples.iter().rev().find(|(at, _)| then.is_some_and(|then| *at <= then));
        lines.saturating_sub(before.map_or(0, |(_, lines)| *lines))
    }
}

fn whole(end: u64) -> Vec<Range<u64>> {
    std::iter::once(0..end).filter(|range| !range.is_empty()).collect()
}
