//! Tries to break standpipe: the real binary between random faults, kills and stops, and an oracle that knows every line.
//!
//! `cargo test --test chaos` runs what fits into every test run; `make chaos` and `make soak` run the modes for longer. Everything
//! at random comes from one seed, which is printed first and last.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a tool for tests: it may stop at once, and it prints a story"
)]

mod actors;
mod arena;
mod arguments;
mod daemon;
mod disk;
mod files;
mod input;
mod kills;
mod ledger;
mod oracle;
mod plan;
mod run;
mod soak;
mod standin;
mod story;
mod verdict;
mod world;

use std::process::ExitCode;

use arguments::{Arguments, Buffer, Mode};
use verdict::Verdict;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let verdicts = match arguments.mode {
        Some(Mode::Plan) => vec![run::run(&arguments, arguments.seed.unwrap_or_else(story::clock_seed))],
        Some(Mode::Kills) => vec![kills::run(&arguments, arguments.seed.unwrap_or_else(story::clock_seed))],
        Some(Mode::Soak) => vec![soak::run(&arguments)],
        None => tests(&arguments),
    };
    Verdict::sum_up(&verdicts)
}

/// What every run of the tests tries.
fn tests(arguments: &Arguments) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    let mut test = |name: &str, buffer: Buffer, body: fn(&Arguments) -> Verdict| {
        if arguments.selects(name) {
            println!("\ntest {name}");
            verdicts.push(body(&arguments.for_a_test(buffer)));
        }
    };
    test("nothing_is_lost_in_a_fixed_storm", Buffer::Memory, |arguments| run::run(arguments, FIXED_SEED));
    test("nothing_is_lost_in_the_storm_of_the_day", Buffer::Disk, |arguments| {
        run::run(arguments, story::seed_of_the_day())
    });
    test("kills_in_a_row_lose_nothing_in_memory", Buffer::Memory, |arguments| {
        kills::run(arguments, FIXED_SEED)
    });
    test("kills_in_a_row_lose_nothing_on_disk", Buffer::Disk, |arguments| kills::run(arguments, FIXED_SEED));
    verdicts
}

/// A seed whose plan holds kills, stops, faults of every kind and a full disk.
const FIXED_SEED: u64 = 7;
