//! Kills in a row under load: whatever was acknowledged is there in the end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::actors::Actors;
use crate::arena::{Arena, End, Flow};
use crate::arguments::Arguments;
use crate::run::{conclude, settle};
use crate::story::pause;
use crate::verdict::Verdict;

/// Lines that have to arrive between two kills: so each falls into work. Some processes live to save their checkpoints, some not.
const BETWEEN: u64 = 500;

/// How long they may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// Kills the daemon so many times.
pub(crate) fn run(arguments: &Arguments, seed: u64) -> Verdict {
    let arena = Arc::new(Arena::build(arguments, seed, Flow::Rough));
    let again = arguments.again("kills", seed);
    arena.story.tell(&format!("{} kills, seed {seed}: {again}", arguments.kills));
    let mut rng = fastrand::Rng::with_seed(seed);
    arena.start();
    let mut actors = Actors::start(&arena, seed);
    for number in 1..=arguments.kills {
        wait_for_work(&arena);
        pause(Duration::from_millis(rng.u64(..1_500)));
        if arena.is_lost() {
            break;
        }
        if number.is_multiple_of(10) {
            arena.story.tell(&format!("kill {number}"));
        }
        arena.end(End::Kill);
        if !arena.is_lost() {
            arena.start();
        }
    }
    settle(&arena, &mut actors);
    conclude(&arena, actors, &again)
}

fn wait_for_work(arena: &Arena) {
    let arrived = || {
        let total = arena.standin.report().total();
        total.seen + total.duplicates
    };
    let (before, since) = (arrived(), Instant::now());
    while arrived() < before + BETWEEN && !arena.is_lost() {
        if since.elapsed() > PATIENCE {
            arena.trouble(format!("no {BETWEEN} lines arrived in {PATIENCE:?}"));
        }
        pause(Duration::from_millis(5));
    }
}
