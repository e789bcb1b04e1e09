//! Knows every line that was accepted: which are missing, doubled, damaged or late, and what AWS would bill.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::ops::Range;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::lines::{Found, find};
use super::traffic::Traffic;

/// What a test asks about.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Report {
    /// Everything accepted, over all streams.
    pub(crate) total: StreamReport,
    /// By `account/stream`.
    pub(crate) streams: BTreeMap<String, StreamReport>,
    /// Lines expected and not accepted yet.
    pub(crate) missing: u64,
    /// Calls for `PutRecordBatch`, however they ended.
    pub(crate) calls: u64,
    /// Records refused one by one.
    pub(crate) refused_records: u64,
    /// Requests beyond the service's limits, which a correct sender never makes.
    pub(crate) limit_violations: u64,
    /// The first few of them, in words.
    pub(crate) violations: Vec<String>,
    /// Connections accepted.
    pub(crate) connections: u64,
    /// Accepted calls by the ARN that signed them.
    pub(crate) principals: BTreeMap<String, PrincipalReport>,
    /// Answers other than 200, by code; connections cut count as `Cut`.
    pub(crate) errors: BTreeMap<String, u64>,
    /// Roles assumed.
    pub(crate) assumed: u64,
    /// From each line's writing to its request's arrival, where lines were written so many a second.
    pub(crate) delay: Option<Delay>,
    /// Lines accepted in calls whose answer was lost on purpose: a sender has to send them again.
    pub(crate) unanswered: u64,
    /// What each access key sent, second by second.
    pub(crate) traffic: BTreeMap<String, Traffic>,
}

/// Delays in milliseconds.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Delay {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Delay {
    fn of(delays: &[Duration]) -> Option<Self> {
        let mut sorted = delays.to_vec();
        sorted.sort_unstable();
        let at = |hundredth: usize| sorted.get((sorted.len() * hundredth / 100).min(sorted.len() - 1));
        let milliseconds = |hundredth| at(hundredth).map(|delay| delay.as_secs_f64() * 1e3);
        sorted.last()?;
        Some(Self { p50: milliseconds(50)?, p99: milliseconds(99)?, max: milliseconds(100)? })
    }
}

/// What one principal did.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct PrincipalReport {
    pub(crate) calls: u64,
    /// Distinct access keys it signed with.
    pub(crate) keys: u64,
    /// The account it belongs to.
    pub(crate) account: String,
}

/// What one stream holds.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct StreamReport {
    /// Distinct whole lines.
    pub(crate) seen: u64,
    pub(crate) duplicates: u64,
    /// Lines that came after one with a higher number.
    pub(crate) out_of_order: u64,
    /// Numbered lines with other bytes than they were made of.
    pub(crate) damaged: u64,
    /// Lines that are not numbered ones.
    pub(crate) other: u64,
    pub(crate) records: u64,
    /// Of the duplicates, those of each run.
    pub(crate) doubled: BTreeMap<u32, u64>,
    /// Bytes of the records, inflated where they were compressed.
    pub(crate) payload_bytes: u64,
    /// Bytes of the records as they came.
    pub(crate) record_bytes: u64,
    /// The same, each record rounded up to 5 KiB.
    pub(crate) billed_bytes: u64,
}

impl StreamReport {
    /// Billed bytes for each payload byte.
    #[expect(clippy::cast_precision_loss, reason = "a ratio")]
    pub(crate) fn bill(&self) -> f64 {
        self.billed_bytes as f64 / self.payload_bytes.max(1) as f64
    }
}

impl Report {
    /// The stream of this name, in whatever account; an empty report when nothing came.
    pub(crate) fn stream(&self, name: &str) -> StreamReport {
        let ends = |key: &&String| key.rsplit('/').next() == Some(name);
        self.streams.keys().find(ends).and_then(|key| self.streams.get(key)).cloned().unwrap_or_default()
    }
}

/// A record that was accepted, for tests that look at bytes.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) stream: String,
    pub(crate) data: Bytes,
}

/// Records of one call that are to be accepted, looked at before the oracle is locked.
#[derive(Debug, Default)]
pub(crate) struct Examined {
    found: Vec<Found>,
    records: u64,
    payload_bytes: u64,
    record_bytes: u64,
    billed_bytes: u64,
}

impl Examined {
    /// How many lines there are.
    pub(crate) fn lines(&self) -> u64 {
        self.found.len() as u64
    }

    /// Looks at one record; gzip and Zstandard are known by their magic numbers.
    pub(crate) fn add(&mut self, record: &[u8]) {
        let size = record.len() as u64;
        self.records += 1;
        self.record_bytes += size;
        self.billed_bytes += size.div_ceil(BILLING_STEP) * BILLING_STEP;
        if let Some(inflated) = inflate(record) {
            self.payload_bytes += inflated.len() as u64;
            find(&inflated, |found| self.found.push(found));
        } else {
            self.payload_bytes += size;
            find(record, |found| self.found.push(found));
        }
    }
}

const BILLING_STEP: u64 = 5_120;

/// The record's content, where it is compressed.
pub(crate) fn inflate(record: &[u8]) -> Option<Vec<u8>> {
    let mut inflated = Vec::new();
    match record {
        [0x1f, 0x8b, ..] => flate2::read::MultiGzDecoder::new(record).read_to_end(&mut inflated).ok()?,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            ruzstd::decoding::StreamingDecoder::new(record).ok()?.read_to_end(&mut inflated).ok()?
        }
        _ => return None,
    };
    Some(inflated)
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    total: Tally,
    streams: BTreeMap<String, Tally>,
    expected: BTreeMap<u32, u64>,
    principals: BTreeMap<String, (u64, BTreeSet<String>, String)>,
    kept: Vec<Kept>,
    /// When each line of run 1 was written, by its number.
    written: Vec<Instant>,
    delays: Vec<Duration>,
    /// The counters that need no counting here; the rest of it is made on demand.
    pub(crate) plain: Report,
}

impl Oracle {
    /// The run is to hold so many lines.
    pub(crate) fn expect(&mut self, run: u32, lines: u64) {
        self.expected.insert(run, lines);
    }

    /// Accepts what was examined.
    pub(crate) fn accept(&mut self, stream: &str, examined: &Examined) {
        self.total.accept(examined);
        if !self.streams.contains_key(stream) {
            self.streams.insert(stream.to_owned(), Tally::default());
        }
        if let Some(tally) = self.streams.get_mut(stream) {
            tally.accept(examined);
        }
    }

    pub(crate) fn keep(&mut self, kept: Kept) {
        self.kept.push(kept);
    }

    pub(crate) fn kept(&self) -> Vec<Kept> {
        self.kept.clone()
    }

    /// A record of so many bytes was taken unseen.
    pub(crate) fn count(&mut self, stream: &str, bytes: usize) {
        let size = bytes as u64;
        let billed_bytes = size.div_ceil(BILLING_STEP) * BILLING_STEP;
        let examined = Examined {
            records: 1,
            payload_bytes: size,
            record_bytes: size,
            billed_bytes,
            ..Examined::default()
        };
        self.accept(stream, &examined);
    }

    /// Lines of run 1 are written now, in order of their numbers.
    pub(crate) fn written(&mut self, numbers: Range<u64>, at: Instant) {
        self.written.extend(numbers.map(|_| at));
    }

    /// What was examined came in a request that arrived at this time.
    pub(crate) fn arrived(&mut self, examined: &Examined, at: Instant) {
        for found in &examined.found {
            let Found::Whole { run: 1, number } = *found else { continue };
            let written = usize::try_from(number).ok().and_then(|number| self.written.get(number));
            self.delays.extend(written.map(|written| at.duration_since(*written)));
        }
    }

    /// Counts an accepted call for who signed it.
    pub(crate) fn signed(&mut self, principal: &str, account: &str, key: &str) {
        let entry = self.principals.entry(principal.to_owned()).or_default();
        entry.0 += 1;
        entry.1.insert(key.to_owned());
        account.clone_into(&mut entry.2);
    }

    pub(crate) fn error(&mut self, code: &str) {
        *self.plain.errors.entry(code.to_owned()).or_default() += 1;
    }

    pub(crate) fn violation(&mut self, what: String) {
        self.plain.limit_violations += 1;
        if self.plain.violations.len() < 10 {
            self.plain.violations.push(what);
        }
    }

    pub(crate) fn report(&self) -> Report {
        let missing = |(run, lines): (&u32, &u64)| {
            lines.saturating_sub(self.total.runs.get(run).map_or(0, |seen| seen.below(*lines)))
        };
        let principals = self.principals.iter().map(|(arn, (calls, keys, account))| {
            let report = PrincipalReport { calls: *calls, keys: keys.len() as u64, account: account.clone() };
            (arn.clone(), report)
        });
        Report {
            total: self.total.report(),
            streams: self.streams.iter().map(|(name, tally)| (name.clone(), tally.report())).collect(),
            missing: self.expected.iter().map(missing).sum(),
            principals: principals.collect(),
            delay: Delay::of(&self.delays),
            ..self.plain.clone()
        }
    }

    /// Numbers of the run that are missing, at most so many of them.
    pub(crate) fn gaps(&self, run: u32, most: usize) -> Vec<u64> {
        let lines = self.expected.get(&run).copied().unwrap_or(0);
        let seen = self.total.runs.get(&run);
        (0..lines).filter(|number| !seen.is_some_and(|seen| seen.has(*number))).take(most).collect()
    }
}

impl Oracle {
    /// Which numbers of a run were accepted by the stream of this name, 64 to a word, the lowest first.
    pub(crate) fn numbers(&self, stream: &str, run: u32) -> Vec<u64> {
        let tally = self.streams.iter().find(|(key, _)| key.rsplit('/').next() == Some(stream));
        let numbers = tally.and_then(|(_, tally)| tally.runs.get(&run));
        numbers.map(|numbers| numbers.bits.clone()).unwrap_or_default()
    }

    /// Which lines of a run came again to the stream of this name, and how often.
    pub(crate) fn again(&self, stream: &str, run: u32) -> Vec<(u64, u64)> {
        let tally = self.streams.iter().find(|(key, _)| key.rsplit('/').next() == Some(stream));
        let numbers = tally.and_then(|(_, tally)| tally.runs.get(&run));
        numbers
            .map(|numbers| numbers.again.iter().map(|(number, times)| (*number, *times)).collect())
            .unwrap_or_default()
    }
}

#[derive(Debug, Default)]
struct Tally {
    runs: BTreeMap<u32, Numbers>,
    plain: StreamReport,
}

impl Tally {
    fn accept(&mut self, examined: &Examined) {
        for found in &examined.found {
            match *found {
                Found::Whole { run, number } => self.runs.entry(run).or_default().add(number),
                Found::Damaged => self.plain.damaged += 1,
                Found::Other => self.plain.other += 1,
            }
        }
        self.plain.records += examined.records;
        self.plain.payload_bytes += examined.payload_bytes;
        self.plain.record_bytes += examined.record_bytes;
        self.plain.billed_bytes += examined.billed_bytes;
    }

    fn report(&self) -> StreamReport {
        let sum = |of: fn(&Numbers) -> u64| self.runs.values().map(of).sum();
        StreamReport {
            seen: sum(|numbers| numbers.seen),
            duplicates: sum(|numbers| numbers.duplicates),
            out_of_order: sum(|numbers| numbers.out_of_order),
            doubled: self
                .runs
                .iter()
                .map(|(run, numbers)| (*run, numbers.duplicates))
                .filter(|(_, lines)| *lines > 0)
                .collect(),
            ..self.plain.clone()
        }
    }
}

/// The numbers seen of one run, one bit each.
#[derive(Debug, Default)]
struct Numbers {
    bits: Vec<u64>,
    seen: u64,
    duplicates: u64,
    /// How often each of these came again.
    again: BTreeMap<u64, u64>,
    out_of_order: u64,
    highest: u64,
}

impl Numbers {
    fn add(&mut self, number: u64) {
        let (word, bit) = place(number);
        if word >= self.bits.len() {
            self.bits.resize((word + 1).next_power_of_two(), 0);
        }
        if self.bits[word] & bit == 0 {
            self.bits[word] |= bit;
            self.seen += 1;
        } else {
            self.duplicates += 1;
            *self.again.entry(number).or_default() += 1;
        }
        if number < self.highest {
            self.out_of_order += 1;
        }
        self.highest = self.highest.max(number);
    }

    fn has(&self, number: u64) -> bool {
        let (word, bit) = place(number);
        self.bits.get(word).is_some_and(|bits| bits & bit != 0)
    }

    /// How many numbers below this one were seen.
    fn below(&self, end: u64) -> u64 {
        if self.highest < end {
            return self.seen;
        }
        (0..end).filter(|number| self.has(*number)).count() as u64
    }
}

fn place(number: u64) -> (usize, u64) {
    (usize::try_from(number / 64).unwrap_or(usize::MAX), 1 << (number % 64))
}
