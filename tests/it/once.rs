//! `run --once`: it ends, whatever holds it up, and its exit code is true.

use std::process::Output;

use crate::standin::{Faults, Lines, Refusal};
use crate::world::{FILE_SOURCE, MESSAGE_SINK, RUN, World, at_least_once, exactly_once};

const LIMITS: &str = "[limits]\nmemory = \"16MiB\"\nshutdown = \"1s\"\n";

/// More than memory holds.
const LINES: u64 = 150_000;

fn run(world: &World, input: &[u8]) -> Output {
    world.run(&["run", "--once", "-c", world.config_path().to_str().unwrap()], input)
}

#[track_caller]
fn ends_with(output: &Output, code: i32) -> String {
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{words}");
    words
}

/// A file of more than memory holds is given up, and delivered by the next run.
fn gives_up(more: &str, faults: fn(&mut Faults)) {
    let world = World::new();
    world.config(&format!("{LIMITS}{FILE_SOURCE}{MESSAGE_SINK}{more}"));
    world.standin.faults(faults);
    world.write("app.log", 0..LINES);
    let words = ends_with(&run(&world, b""), 75);
    assert!(words.contains("giving up: nothing was delivered for `limits.shutdown`"), "{words}");
    world.standin.faults(|faults| *faults = Faults::default());
    ends_with(&run(&world, b""), 0);
    at_least_once(&world.standin.report(), LINES);
}

#[test]
fn a_sink_that_is_denied_is_given_up_with_more_to_read_than_memory_holds() {
    gives_up("", |faults| faults.refusal = Some(Refusal::AccessDenied));
}

#[test]
fn a_sink_that_hangs_is_given_up_with_more_to_read_than_the_disk_buffer_holds() {
    gives_up("buffer = { type = \"disk\", max = \"8MiB\" }\n", |faults| faults.hang = true);
}

#[test]
fn dead_letters_at_their_limit_are_given_up() {
    let world = World::new();
    let state = "[state]\ndir = \"@DIR/state\"\nmax_dead_letters = \"1MiB\"\n";
    world.config(&format!("{LIMITS}{state}{FILE_SOURCE}{MESSAGE_SINK}"));
    world.standin.faults(|faults| faults.poison = Some("r0".to_owned()));
    world.write("app.log", 0..LINES);
    let words = ends_with(&run(&world, b""), 75);
    assert!(words.contains("giving up"), "{words}");
}

#[test]
fn standard_input_that_is_lost_is_said_to_be() {
    for (lines, more) in [(1_000, ""), (LINES, "")] {
        let world = World::new();
        world.config(&format!("{LIMITS}[sources.input]\ntype = \"stdin\"\n{MESSAGE_SINK}{more}"));
        world.standin.faults(|faults| faults.refusal = Some(Refusal::AccessDenied));
        let words = ends_with(&run(&world, &Lines::of_run(RUN).text(0..lines)), 1);
        assert!(words.contains("events of standard input are lost"), "{words}");
        assert!(lines > 1_000 || words.contains("\"lines\":1000"), "{words}");
        assert!(!words.contains("read or sent again"), "{words}");
    }
}

#[test]
fn standard_input_in_a_disk_buffer_is_not_lost() {
    let world = World::new();
    let buffer = "buffer = { type = \"disk\", max = \"1GiB\" }\n";
    world.config(&format!("{LIMITS}[sources.input]\ntype = \"stdin\"\n{MESSAGE_SINK}{buffer}"));
    world.standin.faults(|faults| faults.refusal = Some(Refusal::AccessDenied));
    world.standin.expect(RUN, 1_000);
    let words = ends_with(&run(&world, &Lines::of_run(RUN).text(0..1_000)), 75);
    assert!(!words.contains("lost"), "{words}");
    world.standin.faults(|faults| *faults = Faults::default());
    ends_with(&run(&world, b""), 0);
    exactly_once(&world.standin.report(), 1_000);
}

#[test]
fn a_long_run_says_how_far_it_is() {
    let world = World::new();
    world.config(&format!("{}{FILE_SOURCE}{MESSAGE_SINK}", LIMITS.replace("1s", "11s")));
    world.standin.faults(|faults| faults.refusal = Some(Refusal::AccessDenied));
    world.write("app.log", 0..LINES);
    let words = ends_with(&run(&world, b""), 75);
    let said = words.lines().find(|line| line.contains("\"message\":\"in progress\"")).expect(&words);
    assert!(said.contains("\"delivered\":0") && !said.contains("\"read\":0,"), "{said}");
}
