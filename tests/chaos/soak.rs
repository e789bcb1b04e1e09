//! A soak: plain lines at half of full speed for long; once it has warmed up, memory and descriptors have to stay flat.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::arena::{Arena, End, Flow};
use crate::arguments::Arguments;
use crate::daemon::Daemon;
use crate::oracle;
use crate::story::pause;
use crate::verdict::Verdict;

/// How long full speed is measured, and how long the pace may settle afterwards.
const MEASURE: Duration = Duration::from_secs(10);
/// Lines that may be on their way at full speed.
const AHEAD: u64 = 400_000;
/// Lines in a file: a gigabyte, so that files are rotated as often as busy hosts do it, every few seconds, and not oftener.
const ROTATE: u64 = 4_000_000;
/// Bytes of a line with its newline, on average.
const LINE: f64 = 263.0;
/// The part of the time that is not judged: buffers that are used again are made, and the allocator's heap takes its shape.
const WARM_UP: f64 = 0.2;
/// The longest warm-up.
const LONGEST_WARM_UP: Duration = Duration::from_mins(10);
/// Most that the last third of what is judged may differ from the first, in parts of it.
const FLAT: f64 = 0.05;

/// Resident MiB and open descriptors at one moment.
type Sample = (f64, f64);

/// Runs for as many minutes as asked.
pub(crate) fn run(arguments: &Arguments) -> Verdict {
    let arena = Arc::new(Arena::build(arguments, 1, Flow::Plain));
    arena.start();
    let rate = arguments.rate.unwrap_or_else(|| measure(&arena) / 2.0);
    arena.story.tell(&format!("{rate:.1} MB/s for {} minutes", arguments.minutes));
    let writer = spawn_writer(&arena, rate);
    pause(MEASURE);
    let length = Duration::from_secs_f64(arguments.minutes * 60.0);
    let warm_up = length.mul_f64(WARM_UP).min(LONGEST_WARM_UP);
    sample(&arena, warm_up);
    arena.story.tell("warmed up; from here on it is judged");
    let samples = sample(&arena, length.saturating_sub(warm_up));
    arena.halt.store(true, Ordering::Release);
    if writer.join().is_err() {
        arena.trouble("the writer panicked".to_owned());
    }
    judge(&arena, &samples);
    drain(&arena);
    if arena.is_lost() { Verdict::Broken } else { Verdict::Held }
}

/// MB a second, when as much is written as is taken.
fn measure(arena: &Arena) -> f64 {
    let since = Instant::now();
    let mut written = 0;
    while since.elapsed() < MEASURE && !arena.is_lost() {
        written = Arena::lock(&arena.files).append(2_000);
        while written > AHEAD + arena.standin.report().total().seen && since.elapsed() < MEASURE {
            pause(Duration::from_millis(5));
        }
    }
    Arena::lock(&arena.ledger).files = written;
    let rate = megabytes(arena.standin.report().total().payload_bytes) / since.elapsed().as_secs_f64();
    arena.story.tell(&format!("full speed here: {rate:.1} MB/s"));
    rate
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// Writes at this pace, and rotates; files that arrived are removed.
fn spawn_writer(arena: &Arc<Arena>, rate: f64) -> JoinHandle<()> {
    const BURST: u64 = 200;
    let arena = Arc::clone(arena);
    let gap = Duration::from_secs_f64(200.0 * LINE / (rate.max(0.01) * 1e6));
    thread::spawn(move || {
        let (mut next, mut in_file) = (Instant::now(), 0);
        while !arena.is_over() {
            let mut files = Arena::lock(&arena.files);
            let mut lines = files.append(BURST);
            in_file += BURST;
            if in_file >= ROTATE {
                in_file = 0;
                lines = files.rotate();
                files.expire(oracle::arrived(&arena, &["logs"]));
            }
            drop(files);
            Arena::lock(&arena.ledger).files = lines;
            next += gap;
            pause(next.saturating_duration_since(Instant::now()));
        }
    })
}

/// Looks once a second, and tells what it saw once a minute.
fn sample(arena: &Arena, length: Duration) -> Vec<Sample> {
    let since = Instant::now();
    let mut samples = Vec::new();
    while since.elapsed() < length && !arena.is_lost() {
        pause(Duration::from_secs(1));
        if let Some(daemon) = &mut *Arena::lock(&arena.daemon)
            && let Some((memory, descriptors)) = Daemon::size(daemon.pid)
        {
            samples.push((
                megabytes(memory) * 1e6 / f64::from(1 << 20),
                f64::from(u32::try_from(descriptors).unwrap()),
            ));
        }
        if samples.len() % 60 == 0
            && let Some((memory, descriptors)) = samples.last()
        {
            let behind = Arena::lock(&arena.ledger).files.saturating_sub(arena.standin.report().total().seen);
            arena.story.tell(&format!(
                "{memory:.1} MiB resident, {descriptors} descriptors, {behind} lines on their way"
            ));
        }
    }
    samples
}

fn judge(arena: &Arena, samples: &[Sample]) {
    let third = samples.len() / 3;
    if third == 0 {
        return arena.trouble("there are too few samples".to_owned());
    }
    let (first, last) = (mean(&samples[..third]), mean(&samples[samples.len() - third..]));
    arena.story.tell(&format!(
        "mean of the first and of the last third of what is judged: {:.1} and {:.1} MiB, {:.1} and {:.1} descriptors",
        first.0, last.0, first.1, last.1
    ));
    if (last.0 - first.0).abs() > first.0 * FLAT {
        arena.trouble("memory is not flat".to_owned());
    }
    // A file more or less is open around a rotation.
    if (last.1 - first.1).abs() > 2.0 {
        arena.trouble("descriptors are not flat".to_owned());
    }
}

#[expect(clippy::cast_precision_loss, reason = "a mean")]
fn mean(samples: &[Sample]) -> Sample {
    let count = samples.len() as f64;
    let sum = samples.iter().fold((0.0, 0.0), |sum, sample| (sum.0 + sample.0, sum.1 + sample.1));
    (sum.0 / count, sum.1 / count)
}

/// All that was written has arrived, once.
fn drain(arena: &Arena) {
    let written = Arena::lock(&arena.ledger).files;
    let since = Instant::now();
    while oracle::arrived(arena, &["logs"]) < written && !arena.is_lost() {
        if since.elapsed() > MEASURE * 12 {
            arena.trouble("not everything arrives".to_owned());
        }
        pause(Duration::from_millis(100));
    }
    let code = arena.end(End::Stop);
    let report = arena.standin.report().total();
    arena.story.tell(&format!(
        "{} of {written} lines arrived, {} doubled, exit {code:?}",
        report.seen, report.duplicates
    ));
    if code != Some(0) || report.duplicates > 0 || report.damaged + report.other > 0 {
        arena.trouble(format!("{report:?}, exit {code:?}"));
    }
}
