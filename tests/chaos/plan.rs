//! What goes wrong when: drawn from a seed before the run begins, so that it can be printed and run again.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use crate::standin::{Faults, Refusal};

/// The streams.
pub(crate) const STREAMS: [&str; 2] = ["logs", "copy"];

/// One thing that is done.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// The stand-in has these faults for one stream.
    Faults { stream: &'static str, faults: Box<Faults>, words: String },
    /// The stream's faults end.
    Clear { stream: &'static str },
    /// SIGKILL, and a new start; meanwhile the files may be rotated.
    Kill { down: Duration, rotate: bool },
    /// SIGTERM, and a new start.
    Stop { down: Duration, rotate: bool },
    /// SIGSTOP, and SIGCONT.
    Freeze(Duration),
    /// The log file is renamed, and its writer goes on in a new one.
    Rotate,
    /// The oldest plain file is gzipped.
    Compress,
    /// Files that have arrived are removed.
    Expire,
    /// SIGHUP.
    Reload,
    /// The disk of the state directory is full.
    Fill,
    /// It has room again.
    Free,
    /// Nobody writes or sends anything.
    Quiet(Duration),
}

/// When, and what.
pub(crate) type Step = (Duration, Action);

/// What a plan may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) length: Duration,
    /// Nothing that may double a line.
    pub(crate) gentle: bool,
    pub(crate) small_disk: bool,
}

/// The steps in their order.
pub(crate) fn make(seed: u64, limits: Limits) -> Vec<Step> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut steps = Vec::new();
    let mut at = Duration::from_millis(800);
    while at < limits.length {
        draw(&mut rng, limits, at, &mut steps);
        at += millis(&mut rng, 200, 2_200);
    }
    steps.sort_by_key(|(at, _)| *at);
    steps
}

/// All that may go wrong, by name.
pub(crate) const KINDS: [&str; 18] = [
    "records",
    "throttles",
    "internal",
    "cut_before",
    "cut_after",
    "delay",
    "hang",
    "poison",
    "refusal",
    "kill",
    "stop",
    "freeze",
    "rotate",
    "compress",
    "expire",
    "reload",
    "fill",
    "quiet",
];

/// Which of them these steps hold.
pub(crate) fn kinds(steps: &[Step]) -> BTreeSet<&'static str> {
    steps.iter().filter_map(|(_, action)| kind(action)).collect()
}

/// None: the end of something.
fn kind(action: &Action) -> Option<&'static str> {
    Some(match action {
        Action::Faults { faults, .. } => fault(faults),
        Action::Kill { .. } => "kill",
        Action::Stop { .. } => "stop",
        Action::Freeze(_) => "freeze",
        Action::Rotate => "rotate",
        Action::Compress => "compress",
        Action::Expire => "expire",
        Action::Reload => "reload",
        Action::Fill => "fill",
        Action::Quiet(_) => "quiet",
        Action::Clear { .. } | Action::Free => return None,
    })
}

fn fault(faults: &Faults) -> &'static str {
    let is = [
        (faults.record_failures > 0.0, "records"),
        (faults.throttles > 0.0, "throttles"),
        (faults.internal > 0.0, "internal"),
        (faults.cut_before > 0.0, "cut_before"),
        (faults.cut_after > 0.0, "cut_after"),
        (faults.delay_ms > 0, "delay"),
        (faults.hang, "hang"),
        (faults.poison.is_some(), "poison"),
    ];
    is.iter().find(|(is, _)| *is).map_or("refusal", |(_, name)| name)
}

fn draw(rng: &mut fastrand::Rng, limits: Limits, at: Duration, steps: &mut Vec<Step>) {
    let down = millis(rng, 0, 1_500);
    let rotate = rng.bool();
    let action = match rng.u32(..20) {
        0..=7 => return draw_faults(rng, limits, at, steps),
        8..=10 if !limits.gentle => Action::Kill { down, rotate },
        8..=11 => Action::Stop { down, rotate },
        12 => Action::Freeze(millis(rng, 300, 2_000)),
        13 | 14 => Action::Rotate,
        15 => Action::Compress,
        16 => Action::Expire,
        17 if limits.small_disk => {
            steps.push((at + millis(rng, 1_000, 4_000), Action::Free));
            Action::Fill
        }
        18 => Action::Reload,
        _ => Action::Quiet(millis(rng, 500, 2_500)),
    };
    steps.push((at, action));
}

/// Faults of one stream or of both, and their end.
fn draw_faults(rng: &mut fastrand::Rng, limits: Limits, at: Duration, steps: &mut Vec<Step>) {
    let (faults, words) = one_fault(rng, limits.gentle);
    let longest = match &faults {
        // Dead letters stay on the small disk.
        Faults { poison: Some(_), .. } => 1_000,
        Faults { hang: true, .. } if limits.gentle => 2_500,
        _ => 6_000,
    };
    let lasts = millis(rng, 300, longest);
    let streams = match rng.u8(..3) {
        0 => &STREAMS[..1],
        1 => &STREAMS[1..],
        _ => &STREAMS[..],
    };
    for stream in streams {
        let faults = Box::new(faults.clone());
        steps.push((at, Action::Faults { stream, faults, words: words.clone() }));
        steps.push((at + lasts, Action::Clear { stream }));
    }
}

fn one_fault(rng: &mut fastrand::Rng, gentle: bool) -> (Faults, String) {
    let mut faults = Faults::default();
    let rate = f64::from(rng.u32(10..=60)) / 100.0;
    let refusals = [
        Refusal::AccessDenied,
        Refusal::Expired,
        Refusal::InvalidKms,
        Refusal::InvalidSource,
        Refusal::NotFound,
    ];
    let words = match rng.u32(..10) {
        0 => set(&mut faults.record_failures, rate, "of the records fail"),
        1 => set(&mut faults.throttles, rate, "of the calls are throttled"),
        2 => set(&mut faults.internal, rate, "of the calls end in a 500"),
        3 => set(&mut faults.cut_before, rate, "of the calls are cut before anything is accepted"),
        4 if !gentle => set(&mut faults.cut_after, rate, "of the calls are accepted, and their answers lost"),
        4 | 5 => {
            faults.delay_ms = rng.u64(50..1_500);
            format!("each call takes {} ms", faults.delay_ms)
        }
        6 => {
            faults.hang = true;
            "no call is answered".to_owned()
        }
        7 => {
            // Every few lines have it.
            let mark = format!("cache {:x}", rng.u32(..0x10));
            let words = format!("records with `{mark}` are refused for good");
            faults.poison = Some(mark);
            words
        }
        _ => {
            let refusal = refusals[rng.usize(..refusals.len())];
            faults.refusal = Some(refusal);
            format!("every call is refused: {refusal:?}")
        }
    };
    (faults, words)
}

fn set(field: &mut f64, rate: f64, words: &str) -> String {
    *field = rate;
    format!("{:.0} % {words}", rate * 100.0)
}

fn millis(rng: &mut fastrand::Rng, from: u64, to: u64) -> Duration {
    Duration::from_millis(rng.u64(from..=to))
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let also = |rotate: &bool| if *rotate { ", and a rotation meanwhile" } else { "" };
        match self {
            Self::Faults { stream, words, .. } => write!(f, "{stream}: {words}"),
            Self::Clear { stream } => write!(f, "{stream}: well again"),
            Self::Kill { down, rotate } => write!(f, "SIGKILL, down for {down:?}{}", also(rotate)),
            Self::Stop { down, rotate } => write!(f, "SIGTERM, down for {down:?}{}", also(rotate)),
            Self::Freeze(time) => write!(f, "SIGSTOP for {time:?}"),
            Self::Rotate => f.write_str("the log file is rotated"),
            Self::Compress => f.write_str("the oldest log file is gzipped"),
            Self::Expire => f.write_str("log files that arrived are removed"),
            Self::Reload => f.write_str("SIGHUP: the configuration is read anew"),
            Self::Fill => f.write_str("the disk is full"),
            Self::Free => f.write_str("the disk has room"),
            Self::Quiet(time) => write!(f, "nobody writes for {time:?}"),
        }
    }
}
