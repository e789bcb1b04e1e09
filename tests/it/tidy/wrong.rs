//! Small wrong sources, each of which one rule has to refuse.

/// What to call it, the rule that must refuse it, a part of what the rule says, and the files.
pub(super) struct Wrong {
    pub(super) what: &'static str,
    pub(super) rule: &'static str,
    pub(super) says: &'static str,
    pub(super) files: &'static [(&'static str, &'static str)],
}

const fn wrong(
    what: &'static str,
    rule: &'static str,
    says: &'static str,
    files: &'static [(&'static str, &'static str)],
) -> Wrong {
    Wrong { what, rule, says, files }
}

/// Files that the others import.
pub(super) const EVENT: (&str, &str) = ("src/event/mod.rs", "//! E.\npub struct Event;");
pub(super) const SINK: (&str, &str) =
    ("src/sink/mod.rs", "//! S.\npub(crate) mod offload;\npub struct Sink;");
pub(super) const OFFLOAD: (&str, &str) = ("src/sink/offload.rs", "//! O.\npub fn offload() {}");

pub(super) const WRONG: &[Wrong] = &[
    wrong(
        "a file without its sentence",
        "first line",
        "src/a.rs",
        &[("src/a.rs", "use std::fs;\n//! Late.")],
    ),
    // What may be imported.
    wrong(
        "a stage that uses another",
        "border",
        "route -> sink",
        &[SINK, ("src/route/mod.rs", "//! R.\nuse crate::sink::Sink;")],
    ),
    wrong(
        "a module in braces",
        "border",
        "src/route/mod.rs:2 imports src/sink/mod.rs",
        &[EVENT, SINK, ("src/route/mod.rs", "//! R.\nuse crate::{event, sink};")],
    ),
    wrong(
        "a name in braces in braces",
        "border",
        "src/route/mod.rs:4 imports src/sink/offload.rs",
        &[
            EVENT,
            SINK,
            OFFLOAD,
            (
                "src/route/mod.rs",
                "//! R.\nuse crate::{\n  event::Event,\n  sink::{self, offload::offload},\n};",
            ),
        ],
    ),
    wrong(
        "a path in the code",
        "border",
        "src/batch/json.rs:3 imports src/sink/mod.rs",
        &[SINK, ("src/batch/json.rs", "//! J.\nfn f() {\n  let _ = crate::sink::Sink;\n}")],
    ),
    wrong(
        "a path in a macro",
        "border",
        "batch -> sink",
        &[SINK, ("src/batch/json.rs", "//! J.\nfn f() { assert!(matches!(x, crate::sink::Sink)); }")],
    ),
    wrong(
        "a path by `super`",
        "border",
        "batch -> sink",
        &[SINK, ("src/batch/deep/json.rs", "//! J.\nuse super::super::super::sink::Sink;")],
    ),
    wrong(
        "`super` within a module of the file",
        "border",
        "batch -> sink",
        &[SINK, ("src/batch/mod.rs", "//! B.\nmod inner {\n  use super::super::sink::Sink;\n}")],
    ),
    wrong("a glob", "border", "route -> sink", &[SINK, ("src/route/mod.rs", "//! R.\nuse crate::sink::*;")]),
    wrong(
        "another name for it",
        "border",
        "src/route/mod.rs:3 imports src/sink/offload.rs",
        &[
            SINK,
            OFFLOAD,
            ("src/route/mod.rs", "//! R.\nuse crate as ours;\nuse ours::sink::offload as work;"),
        ],
    ),
    wrong(
        "a use within a function",
        "border",
        "route -> sink",
        &[SINK, ("src/route/mod.rs", "//! R.\nfn f() {\n  use crate::sink::Sink;\n}")],
    ),
    wrong(
        "what stands behind the first test",
        "border",
        "src/route/mod.rs:4 imports src/sink/mod.rs",
        &[SINK, ("src/route/mod.rs", "//! R.\n#[cfg(test)]\nmod tests;\nuse crate::sink::Sink;")],
    ),
    wrong(
        "what stands behind a use for tests",
        "border",
        "route -> sink",
        &[
            SINK,
            ("src/route/mod.rs", "//! R.\n#[cfg(test)]\nuse crate::{sink, event};\nuse crate::sink::Sink;"),
        ],
    ),
    wrong(
        "what is there without tests too",
        "border",
        "route -> sink",
        &[SINK, ("src/route/mod.rs", "//! R.\n#[cfg(any(test, feature = \"x\"))]\nuse crate::sink::Sink;")],
    ),
    wrong(
        "what does not exist in tests",
        "border",
        "route -> sink",
        &[SINK, ("src/route/mod.rs", "//! R.\n#[cfg(not(test))]\nuse crate::sink::Sink;")],
    ),
    wrong(
        "more of a stage than is allowed",
        "border",
        "pipeline -> sink",
        &[SINK, ("src/pipeline/mod.rs", "//! P.\nuse crate::sink::Sink;")],
    ),
    wrong(
        "what is allowed to a neighbour",
        "border",
        "source -> destination",
        &[
            ("src/destination/mod.rs", "//! D.\npub struct Queue;"),
            ("src/source/file.rs", "//! F.\nuse crate::destination::Queue;"),
        ],
    ),
    wrong(
        "what a neighbour passes on",
        "border",
        "src/route/mod.rs:2 imports src/sink/mod.rs",
        &[
            SINK,
            ("src/event/mod.rs", "//! E.\npub use crate::sink::Sink;"),
            ("src/route/mod.rs", "//! R.\nuse crate::event::Sink;"),
        ],
    ),
    wrong(
        "the daemon from below",
        "border",
        "pipeline -> daemon",
        &[
            ("src/daemon/mod.rs", "//! D.\npub struct Generation;"),
            ("src/pipeline/mod.rs", "//! P.\nuse crate::daemon::Generation;"),
        ],
    ),
    wrong(
        "the plumbing from below",
        "border",
        "config -> access",
        &[
            ("src/access/mod.rs", "//! A.\npub struct Arn;"),
            ("src/config/mod.rs", "//! C.\nfn f(_: &crate::access::Arn) {}"),
        ],
    ),
    wrong(
        "a folder without a row",
        "border",
        "give `kinesis` one",
        &[EVENT, ("src/kinesis/mod.rs", "//! K.\nuse crate::event::Event;")],
    ),
    wrong(
        "a leaf that grew",
        "border",
        "limits -> event",
        &[EVENT, ("src/limits.rs", "//! L.\nuse crate::event::Event;")],
    ),
    // Circles.
    wrong(
        "two files",
        "file cycle",
        "src/ack/a.rs imports src/ack/b.rs (src/ack/a.rs:2)",
        &[
            ("src/ack/a.rs", "//! A.\nuse super::b::B;\npub struct A;"),
            ("src/ack/b.rs", "//! B.\nuse crate::ack::a::A;\npub struct B;"),
        ],
    ),
    wrong(
        "three files",
        "file cycle",
        "c.rs imports src/ack/a.rs",
        &[
            ("src/ack/a.rs", "//! A.\nuse super::b;"),
            ("src/ack/b.rs", "//! B.\nuse super::c;"),
            ("src/ack/c.rs", "//! C.\nuse super::a;"),
        ],
    ),
    wrong(
        "a parent that calls its child",
        "file cycle",
        "src/ack/mod.rs imports src/ack/child.rs",
        &[
            ("src/ack/mod.rs", "//! M.\nmod child;\npub struct A;\nfn f() { child::f(); }"),
            ("src/ack/child.rs", "//! C.\nuse super::A;\npub fn f() {}"),
        ],
    ),
    wrong(
        "through what is passed on",
        "file cycle",
        "src/ack/a.rs imports src/ack/b.rs",
        &[
            ("src/ack/mod.rs", "//! M.\nmod a;\nmod b;\npub use a::A;\npub use b::*;"),
            ("src/ack/a.rs", "//! A.\nuse crate::ack::B;\npub struct A;"),
            ("src/ack/b.rs", "//! B.\nuse super::A;\npub struct B;"),
        ],
    ),
    wrong(
        "two folders, by different files",
        "folder cycle",
        "event imports sink (src/event/a.rs:2)",
        &[
            ("src/event/a.rs", "//! A.\nuse crate::sink::c;"),
            ("src/event/b.rs", "//! B."),
            ("src/sink/c.rs", "//! C."),
            ("src/sink/d.rs", "//! D.\nuse crate::event::b;"),
        ],
    ),
    wrong(
        "two folders in one",
        "folder cycle",
        "sink::x imports sink::y",
        &[
            ("src/sink/x/a.rs", "//! A.\nuse crate::sink::y::c;"),
            ("src/sink/x/b.rs", "//! B."),
            ("src/sink/y/c.rs", "//! C."),
            ("src/sink/y/d.rs", "//! D.\nuse super::super::x::b;"),
        ],
    ),
    // Who looks at the world.
    wrong(
        "a clock",
        "purity",
        "std::time::Instant::now",
        &[("src/batch/a.rs", "//! A.\nuse std::time::Instant;\nfn f() { Instant::now(); }")],
    ),
    wrong(
        "a clock by its module",
        "purity",
        "std::time::Instant::now",
        &[("src/batch/a.rs", "//! A.\nuse std::{fmt, time};\nfn f() { time::Instant::now(); }")],
    ),
    wrong(
        "our clock",
        "purity",
        "crate::event::Timestamp::now",
        &[
            ("src/event/mod.rs", "//! E.\npub struct Timestamp;"),
            ("src/route/a.rs", "//! A.\nuse crate::event::Timestamp;\nfn f() { g(Timestamp::now()); }"),
        ],
    ),
    wrong("how late it is", "purity", "elapsed", &[("src/sink/rate.rs", "//! R.\nfn f() { at.elapsed(); }")]),
    wrong("a file, in braces", "purity", "std::fs", &[("src/decode/a.rs", "//! A.\nuse std::{fmt, fs};")]),
    wrong(
        "a socket",
        "purity",
        "tokio::net::TcpStream",
        &[("src/access/policy/a.rs", "//! A.\nuse tokio::{net::TcpStream, time::Instant};")],
    ),
    wrong(
        "chance",
        "purity",
        "fastrand::u8",
        &[("src/ack/watermark.rs", "//! W.\nfn f() { fastrand::u8(..); }")],
    ),
    wrong(
        "the SDK",
        "SDK",
        "aws_sdk_firehose::Client",
        &[("src/destination/a.rs", "//! A.\nuse aws_sdk_firehose::Client;")],
    ),
    wrong(
        "the SDK's types in a signature",
        "SDK",
        "aws_smithy_types::Blob",
        &[("src/sink/a.rs", "//! A.\nfn f(_: aws_smithy_types::Blob) {}")],
    ),
    wrong(
        "the environment",
        "environment",
        "std::env::var",
        &[("src/config/a.rs", "//! A.\nuse std::env;\nfn f() { env::var(\"A\"); }")],
    ),
    wrong("printing", "print", "println", &[("src/sink/a.rs", "//! A.\nfn f() { println!(\"sent\"); }")]),
    wrong(
        "standard error",
        "print",
        "std::io::stderr",
        &[("src/sink/a.rs", "//! A.\nuse std::io::{self, Write};\nfn f() { io::stderr(); }")],
    ),
    wrong(
        "an exit",
        "print",
        "std::process::exit",
        &[("src/daemon/a.rs", "//! A.\nfn f() { std::process::exit(1); }")],
    ),
    // Names.
    wrong(
        "one name in two files",
        "one name",
        "src/ack/a.rs:2, src/sink/b.rs:3",
        &[
            ("src/ack/a.rs", "//! A.\npub(crate) struct Entry;"),
            ("src/sink/b.rs", "//! B.\nimpl A { type C = D; }\n  enum Entry {}"),
        ],
    ),
    wrong(
        "a trait and an alias",
        "one name",
        "Entry: names 2",
        &[
            ("src/ack/a.rs", "//! A.\ntrait Entry {}"),
            ("src/sink/b.rs", "//! B.\nfn f() {\n type Entry = u8;\n}"),
        ],
    ),
    wrong("a name of std", "one name", "std From", &[("src/aws/a.rs", "//! A.\nenum From { Here }")]),
    wrong(
        "a word in a name",
        "old word",
        "mend: src/a.rs:2: write `fix`",
        &[("src/a.rs", "//! A.\nfn mend_it() {}")],
    ),
    wrong("a word in a type", "old word", "plant*: src/a.rs:2", &[("src/a.rs", "//! A.\nstruct OldPlants;")]),
    wrong(
        "a word in a sentence",
        "old word",
        "morsel*: src/a.rs:1",
        &[("src/a.rs", "//! Reads in Morsels.")],
    ),
    wrong(
        "a word in a test",
        "old word",
        "hollow*",
        &[("src/a.rs", "//! A.\n#[cfg(test)]\nmod tests {\n  fn hollows() {}\n}")],
    ),
    wrong(
        "a type that was renamed",
        "old word",
        "write `DestinationQueue`",
        &[("src/a.rs", "//! A.\nstruct Feed;")],
    ),
];
