//! Shows that each rule can fail, and that none does where nothing is wrong.

use std::collections::BTreeSet;

use super::tree::Tree;
use super::wrong::{EVENT, OFFLOAD, SINK, WRONG, Wrong};
use super::{RULES, borders, judge, rule};

/// Right sources, that each rule has to let pass.
const RIGHT: &[(&str, &[(&str, &str)])] = &[
    (
        "what is allowed",
        &[
            EVENT,
            SINK,
            OFFLOAD,
            ("src/limits.rs", "//! L.\npub const MOST: usize = 1;"),
            ("src/batch/mod.rs", "//! B.\nuse crate::{event::Event, limits::MOST};"),
            ("src/pipeline/mod.rs", "//! P.\nuse crate::sink::offload::offload;"),
        ],
    ),
    (
        "what passes on its children",
        &[
            ("src/ack/mod.rs", "//! M.\nmod a;\nmod b;\npub use a::A;\npub(crate) use b::*;"),
            ("src/ack/a.rs", "//! A.\npub struct A;"),
            ("src/ack/b.rs", "//! B.\nuse super::A;\npub struct B(A);"),
        ],
    ),
    (
        "a path that says who may see it",
        &[
            ("src/ack/mod.rs", "//! M.\nmod a;\nfn f() { a::f(); }"),
            ("src/ack/a.rs", "//! A.\npub(in crate::ack) fn f() {}"),
        ],
    ),
    (
        "tests, which may know everything",
        &[
            SINK,
            (
                "src/route/mod.rs",
                "//! R.\n#[cfg(test)]\nmod tests;\n#[cfg(test)]\n#[path = \"other_tests.rs\"]\nmod more;",
            ),
            ("src/route/tests.rs", "//! T.\nuse crate::sink::Sink;\nstruct Sink;"),
            ("src/route/other_tests.rs", "//! T.\nuse crate::sink::Sink;"),
            (
                "src/batch/mod.rs",
                "//! B.\n#[cfg(all(test, unix))]\n/// Why.\nmod tests {\n  use crate::sink::Sink;\n  struct Sink;\n}\n\
             struct B { #[cfg(test)] sink: crate::sink::Sink, b: u8 }\n\
             fn f() { #[cfg(test)] let now = std::time::Instant::now(); }\n\
             #[cfg(test)]\nconst fn g(_: crate::sink::Sink) {}",
            ),
        ],
    ),
    (
        "words in comments and strings, which import nothing",
        &[
            SINK,
            (
                "src/route/mod.rs",
                "//! R, beside [`crate::sink::Sink`].\n// crate::sink::Sink\nconst A: &str = r#\"use crate::sink::Sink; {\"#;\n\
             /* use crate::sink; /* println!() */ */\nfn f<'static_sink>(_: &'static str, _: char) { g('{', '\"', b'\\''); }",
            ),
        ],
    ),
    (
        "time and the terminal as arguments",
        &[
            (
                "src/batch/a.rs",
                "//! A.\nuse std::time::{Duration, Instant};\nuse tokio::time::Instant as Tick;\nfn f(_: Instant, _: Tick) {}",
            ),
            ("src/cli/a.rs", "//! A.\nfn f() { println!(\"{}\", std::env::args().count()); }"),
            ("src/aws/a.rs", "//! A.\nuse aws_config::SdkConfig;\nfn f() { std::env::var(\"A\"); }"),
            ("src/sink/firehose/a.rs", "//! A.\nuse aws_sdk_firehose::Client;\nuse aws_lc_rs::digest;"),
            ("src/deadletter/a.rs", "//! A.\nuse aws_lc_rs::digest;"),
        ],
    ),
    (
        "names that are not types, or not ours",
        &[
            (
                "src/ack/a.rs",
                "//! A.\nimpl Iterator for A { type Item = u8; }\nimpl Iterator for B { type Item = u8; }\nstruct A;",
            ),
            (
                "src/ack/b.rs",
                "//! B.\ntrait C { type Item; }\nfn f() -> impl Fn() { let Entry = 1; }\nconst UNION: u8 = a.union(b);",
            ),
        ],
    ),
    (
        "words that only look like old ones",
        &[("src/a.rs", "//! Amended on the fly, pending; recommended at the opening of the aggregate.")],
    ),
];

fn tree(files: &[(&str, &str)]) -> Tree {
    Tree::new(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())))
}

#[test]
fn each_rule_refuses_what_is_wrong() {
    let nothing = BTreeSet::new();
    for Wrong { what, rule: name, says, files } in WRONG {
        let found = (rule(name).find)(&tree(files), &nothing);
        let words: Vec<String> =
            found.iter().map(|breach| format!("{}: {}", breach.key, breach.words)).collect();
        assert!(
            words.iter().any(|words| words.contains(says)),
            "{what}: `{name}` says {words:#?}, not `{says}`"
        );
    }
    let lines = |count: usize| format!("//! A.\n{}", "fn f() {}\n\n".repeat(count));
    let body = |count: usize| format!("//! A.\nfn f() {{\n{}}}", "g();\n// Why.\n\n".repeat(count));
    for (name, text) in [("long file", lines(400)), ("long function", body(61))] {
        assert_eq!((rule(name).find)(&tree(&[("src/a.rs", &text)]), &nothing).len(), 1, "{name}");
    }
    let tested: BTreeSet<&str> =
        WRONG.iter().map(|wrong| wrong.rule).chain(["long file", "long function"]).collect();
    assert_eq!(tested, RULES.iter().map(|rule| rule.name).collect(), "each rule is shown to fail");
    let unused = borders::unused(&tree(&[EVENT]));
    assert!(unused.iter().any(|breach| breach.key == "cli -> daemon"), "{unused:?}");
}

#[test]
fn no_rule_refuses_what_is_right() {
    let nothing = BTreeSet::new();
    let tests = "#[cfg(test)]\nmod tests {\n  fn f() {}\n}\n".repeat(300);
    let long = [
        ("src/a.rs", format!("//! A.\n{}{tests}", "fn f() {}\n".repeat(399))),
        ("src/b.rs", format!("//! A.\nfn f() {{\n{}}}", "g(\n// Why.\n\n1);\n".repeat(30))),
    ];
    let long = long.each_ref().map(|(path, text)| (*path, text.as_str()));
    for (what, files) in RIGHT.iter().copied().chain([("as long as may be", &long[..])]) {
        for rule in RULES {
            let found = (rule.find)(&tree(files), &nothing);
            assert!(found.is_empty(), "{what}: `{}` says {found:#?}", rule.name);
        }
    }
}

#[test]
fn what_is_known_must_still_be_there() {
    let known = BTreeSet::from(["src/a.rs".to_owned()]);
    let found = (rule("first line").find)(&tree(&[("src/a.rs", "fn f() {}")]), &known);
    judge("first line", &known, &found);
    let gone = std::panic::catch_unwind(|| judge("first line", &known, &[]));
    assert!(gone.is_err(), "what is in order has to leave the list");
}
