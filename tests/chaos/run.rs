//! A run of a plan: its steps one after the other, then everything heals, all is delivered, and the oracle is asked.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::actors::Actors;
use crate::arena::{Arena, End, Flow, in_flight};
use crate::arguments::Arguments;
use crate::oracle;
use crate::plan::{self, Action, Limits, STREAMS};
use crate::story::pause;
use crate::verdict::Verdict;

/// A third of the seeds holds nothing that may double a line: then none is doubled.
pub(crate) const fn is_gentle(seed: u64) -> bool {
    seed.is_multiple_of(3)
}

/// Runs the plan of this seed.
pub(crate) fn run(arguments: &Arguments, seed: u64) -> Verdict {
    let gentle = is_gentle(seed);
    let arena = Arc::new(Arena::build(arguments, seed, if gentle { Flow::Gentle } else { Flow::Rough }));
    let limits =
        Limits { length: Duration::from_secs(arguments.seconds), gentle, small_disk: arena.disk.is_small() };
    let again = arguments.again("plan", seed);
    arena
        .story
        .tell(&format!("seed {seed}{}: {again}", if gentle { " (nothing may be doubled)" } else { "" }));
    if !limits.small_disk {
        arena.story.tell("no file system can be mounted here: a full disk is left out");
    }
    let plan = plan::make(seed, limits);
    arena.start();
    let mut actors = Actors::start(&arena, seed);
    for (at, action) in plan {
        while arena.story.elapsed() < at && !arena.is_lost() {
            pause(Duration::from_millis(10));
        }
        if arena.is_lost() {
            break;
        }
        arena.story.tell(&action.to_string());
        act(&arena, action);
    }
    settle(&arena, &mut actors);
    conclude(&arena, actors, &again)
}

fn act(arena: &Arena, action: Action) {
    match action {
        Action::Faults { stream, faults, .. } => {
            if faults.hang && arena.flow == Flow::Rough {
                // Calls that time out may be accepted all the same, when the hang ends.
                Arena::lock(&arena.ledger).explained += in_flight();
            }
            arena.standin.faults(stream, &faults);
        }
        Action::Clear { stream } => arena.standin.faults(stream, &crate::standin::Faults::default()),
        Action::Kill { down, rotate } => restart(arena, End::Kill, down, rotate),
        Action::Stop { down, rotate } => restart(arena, End::Stop, down, rotate),
        Action::Freeze(time) => {
            arena.signal("STOP");
            pause(time);
            arena.signal("CONT");
        }
        Action::Rotate => rotate_files(arena),
        Action::Compress => Arena::lock(&arena.files).compress(),
        Action::Expire => {
            let arrived = oracle::arrived(arena, &STREAMS);
            Arena::lock(&arena.files).expire(arrived);
        }
        Action::Reload => arena.reload(),
        Action::Fill => arena.disk.fill(),
        Action::Free => arena.disk.free(),
        Action::Quiet(time) => {
            arena.quiet.store(true, Ordering::Release);
            pause(time);
            arena.quiet.store(false, Ordering::Release);
        }
    }
}

fn rotate_files(arena: &Arena) {
    let lines = Arena::lock(&arena.files).rotate();
    Arena::lock(&arena.ledger).files = lines;
}

fn restart(arena: &Arena, how: End, down: Duration, rotate: bool) {
    if arena.flow == Flow::Gentle {
        // A stop at the deadline may double: so that there is none, everything works while it drains.
        arena.heal();
    }
    let code = arena.end(how);
    if how == End::Stop {
        arena
            .story
            .tell(&format!("it exited {}", code.map_or("by a signal".to_owned(), |code| code.to_string())));
    }
    if rotate {
        rotate_files(arena);
    }
    pause(down);
    if !arena.is_lost() {
        arena.start();
    }
}

/// How long nothing may arrive, when nothing is wrong any more.
const PATIENCE: Duration = Duration::from_secs(100);

/// Everything heals; waits until all that was promised has arrived, and stops the daemon.
pub(crate) fn settle(arena: &Arena, actors: &mut Actors) {
    arena.story.tell("everything works again; waiting until all has arrived");
    arena.heal();
    actors.join(arena);
    let (mut furthest, mut since) = (0, Instant::now());
    while !arena.is_lost() {
        let missing = oracle::missing(arena);
        if missing.lines == 0 {
            break;
        }
        if missing.there > furthest {
            (furthest, since) = (missing.there, Instant::now());
        }
        if since.elapsed() > PATIENCE {
            arena.trouble(format!("nothing arrives any more:\n{}", missing.words.join("\n")));
        }
        pause(Duration::from_millis(200));
    }
    if !arena.is_lost() {
        let code = arena.end(End::Stop);
        if code != Some(0) {
            arena.trouble(format!("everything is delivered, and it exits {code:?}"));
        }
    }
}

/// The last look, and what is printed of the run.
pub(crate) fn conclude(arena: &Arc<Arena>, actors: Actors, again: &str) -> Verdict {
    actors.end(arena);
    let report = arena.standin.report();
    let doubled = report.total().duplicates;
    let at_most = Arena::lock(&arena.ledger).explained + report.unanswered;
    if !arena.is_lost() {
        let missing = oracle::missing(arena);
        missing.words.into_iter().for_each(|words| arena.trouble(words));
        if doubled > at_most {
            let runs = report.doubled();
            arena.trouble(format!(
                "{doubled} lines are doubled; {at_most} can be explained; by run: {runs:?}"
            ));
        }
    }
    let promised: Vec<(String, u64)> = {
        let lines = |(_, name, ranges): (_, String, Vec<std::ops::Range<u64>>)| {
            (name, ranges.into_iter().map(|range| range.end - range.start).sum())
        };
        Arena::lock(&arena.ledger).promised().into_iter().map(lines).collect()
    };
    let parts: Vec<String> = promised.iter().map(|(name, lines)| format!("{lines} of {name}")).collect();
    let promised: u64 = promised.iter().map(|(_, lines)| lines).sum();
    arena.story.tell(&format!("promised to each stream: {}", parts.join(", ")));
    arena.story.tell(&format!(
        "{promised} lines promised to each stream; {} delivered, {} dead letters, {doubled} doubled of {at_most} explained",
        report.total().seen,
        oracle::count_buried(arena),
    ));
    arena.story.tell(&format!(
        "{} calls, {} records refused, {:?}; {} scrapes that add up; at most {} MiB resident",
        report.calls,
        report.refused_records,
        report.errors,
        arena.scrapes.load(Ordering::Acquire),
        arena.peak_memory.load(Ordering::Acquire) >> 20,
    ));
    verdict(arena, again)
}

fn verdict(arena: &Arena, again: &str) -> Verdict {
    let troubles = arena.troubles();
    if troubles.is_empty() {
        arena.story.tell(&format!("nothing is lost; again: {again}"));
        return Verdict::Held;
    }
    let kept = keep(arena);
    if let Some(daemon) = &*Arena::lock(&arena.daemon) {
        println!("\n---- the last it said\n{}", daemon.recent().join("\n"));
    }
    println!("\n---- what is wrong\n{}", troubles.join("\n"));
    println!("\nThe log and the state are kept in {}\nagain: {again}", kept.display());
    Verdict::Broken
}

/// The folder without the mount, which would go with the process.
fn keep(arena: &Arena) -> std::path::PathBuf {
    let kept =
        std::env::temp_dir().join(format!("{}-kept", arena.folder.path().file_name().unwrap().display()));
    let copied = std::process::Command::new("cp").arg("-r").arg(arena.folder.path()).arg(&kept).status();
    if copied.is_ok_and(|status| status.success()) { kept } else { arena.folder.path().to_owned() }
}
