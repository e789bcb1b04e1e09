//! Who may look at the world: the clock, files, sockets, the environment, AWS, the terminal.

use super::source::Source;
use super::tokens::Kind;
use super::tree::{Meaning, Tree, named};
use super::{Breach, breach};

/// Their time and their chance are arguments.
const PURE: [&str; 12] = [
    "src/route/",
    "src/batch/",
    "src/decode/",
    "src/access/policy/",
    "src/access/plan/",
    "src/access/render/",
    "src/access/verify/",
    "src/ack/watermark.rs",
    "src/sink/pacing.rs",
    "src/sink/rate.rs",
    "src/sink/step.rs",
    "src/sink/fault.rs",
];

/// What the pure ones do not name.
const WORLD: [&str; 14] = [
    "std::env",
    "std::fs",
    "std::net",
    "std::os",
    "std::process",
    "std::thread",
    "std::io::stdin",
    "std::io::stdout",
    "std::io::stderr",
    "tokio",
    "rustix",
    "fastrand",
    "gethostname",
    "tracing",
];

/// A time that somebody else looked at is an argument.
const A_TIME: &str = "tokio::time::Instant";

/// Ends of paths that read a clock.
const CLOCKS: [&str; 3] = ["Instant::now", "Timestamp::now", "SystemTime"];

const MACROS_THAT_PRINT: [&str; 5] = ["print", "println", "eprint", "eprintln", "dbg"];

const WORDS_TO_PEOPLE: [&str; 5] = [
    "std::io::stdout",
    "std::io::stderr",
    "std::process::exit",
    "std::process::abort",
    "std::process::ExitCode",
];

pub(super) fn pure_stages(tree: &Tree) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for source in tree.production().filter(|source| is_below(source, &PURE)) {
        for (path, line) in paths(source) {
            let is_world = WORLD.iter().any(|world| begins(&path, world)) && path != A_TIME;
            if is_world || CLOCKS.iter().any(|clock| holds(&path, clock)) {
                breaches.push(breach(
                    &source.path,
                    format!("line {line} names `{path}`: take it as an argument"),
                ));
            }
        }
        for pair in source.tokens.windows(2).filter(|pair| pair[0].is(".") && pair[1].is("elapsed")) {
            breaches
                .push(breach(&source.path, format!("line {} reads the clock by `elapsed`", pair[1].line)));
        }
    }
    breaches
}

pub(super) fn only_aws_names_the_sdk(tree: &Tree) -> Vec<Breach> {
    let is_sdk = |path: &str| path.starts_with("aws_") && !path.starts_with("aws_lc_rs");
    nobody_else(tree, &["src/aws/", "src/sink/firehose/"], is_sdk, "is of the AWS SDK: ask `aws` for it")
}

pub(super) fn only_the_edge_reads_the_environment(tree: &Tree) -> Vec<Breach> {
    let is_environment = |path: &str| begins(path, "std::env");
    nobody_else(
        tree,
        &["src/main.rs", "src/cli/", "src/aws/"],
        is_environment,
        "is the environment: take it as an argument",
    )
}

pub(super) fn only_the_edge_prints_and_exits(tree: &Tree) -> Vec<Breach> {
    let edge = ["src/main.rs", "src/cli/"];
    let is_said = |path: &str| WORDS_TO_PEOPLE.iter().any(|words| begins(path, words));
    let mut breaches = nobody_else(tree, &edge, is_said, "is for `main` and `cli` alone");
    for source in tree.production().filter(|source| !is_below(source, &edge)) {
        for pair in source.tokens.windows(2).filter(|pair| pair[0].kind == Kind::Word && pair[1].is("!")) {
            if MACROS_THAT_PRINT.iter().any(|name| pair[0].is(name)) {
                let words = format!("line {} prints by `{}!`", pair[0].line, pair[0].text);
                breaches.push(breach(&source.path, words));
            }
        }
    }
    breaches
}

fn nobody_else(tree: &Tree, may: &[&str], what: impl Fn(&str) -> bool, why: &str) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for source in tree.production().filter(|source| !is_below(source, may)) {
        for (path, line) in paths(source).filter(|(path, _)| what(path)) {
            breaches.push(breach(&source.path, format!("line {line} names `{path}`, which {why}")));
        }
    }
    breaches
}

/// Every path of a file, as it is from the root of its crate.
fn paths(source: &Source) -> impl Iterator<Item = (String, usize)> {
    named(source).map(|(meaning, line)| match meaning {
        Meaning::Ours(path) => (format!("crate::{}", path.join("::")), line),
        Meaning::Other(path) => (path.join("::"), line),
    })
}

fn is_below(source: &Source, places: &[&str]) -> bool {
    places.iter().any(|place| source.path.starts_with(place))
}

/// Whether a path is this one or goes on from it.
fn begins(path: &str, with: &str) -> bool {
    path.strip_prefix(with).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Whether these names stand anywhere in a path.
fn holds(path: &str, names: &str) -> bool {
    format!("::{path}::").contains(&format!("::{names}::"))
}
