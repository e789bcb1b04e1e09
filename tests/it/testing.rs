//! `standpipe test`: what a test says is what a run does, and a difference is shown.

use base64_simd::STANDARD;

use crate::world::{Envelope, RUN, World};

/// Two sources and two sinks, of which nothing can be reached.
const FLOW: &str = r#"
[state]
dir = "/nowhere/that/can/be/made"
[sources.app]
type = "file"
include = ["/nowhere/*.log"]
[sources.cwl]
type = "kinesis"
stream_arn = "arn:aws:kinesis:us-east-1:222222222222:stream/cwl"
[sinks.archive]
type = "firehose"
stream = "logs-{owner}"
region = "us-east-1"
ca_file = "/nowhere/ca.pem"
assume_role = [{ arn = "arn:aws:iam::333333333333:role/hop" }, { arn = "arn:aws:iam::{owner}:role/writer" }]
buffer = { type = "disk" }
[sinks.plain]
type = "directory"
path = "/nowhere/out"
encoding = "message"
[[routes]]
when = { message = "DEBUG" }
drop = true
[[routes]]
from = ["cwl"]
to = ["archive"]
[[routes]]
when = { file = ["*/kept.log"] }
to = ["plain"]
"#;

/// Runs tests; what is printed.
#[track_caller]
fn check(config: &str, code: i32, words: &[&str]) -> String {
    let world = World::new();
    std::fs::write(world.config_path(), config).unwrap();
    let output = world.run(&["test", "-c", world.config_path().to_str().unwrap()], b"");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(output.status.code(), Some(code), "{text}");
    for word in words {
        assert!(text.contains(word), "`{word}` is said:\n{text}");
    }
    text
}

/// One test about the flow.
#[track_caller]
fn check_test(test: &str, code: i32, words: &[&str]) {
    check(&format!("{FLOW}\n[[tests]]\nname = \"it\"\n{test}"), code, words);
}

#[test]
fn what_is_expected_and_comes_is_ok() {
    let envelope = STANDARD.encode_to_string(Envelope::of_lines(RUN, 0..3).gzipped());
    for test in [
        r#"source = "app"
           origin = { file = "/nowhere/kept.log" }
           lines = ["a", "DEBUG b", ""]
           expect = [{ sink = "plain", stream = "plain", events = ["a", ""] }]
           dropped = [{ route = 0 }]"#,
        r#"source = "app"
           lines = ["a", "b"]
           dropped = [{ count = 2 }]"#,
        r#"source = "app"
           payload = "a\nb\n"
           dropped = [{ count = 2 }]"#,
        r#"source = "cwl"
           origin = { owner = "444444444444", log_group = "g", log_stream = "s", region = "eu-west-1", host = "h" }
           at = "2026-11-22T01:02:03Z"
           lines = ['a "quoted" line']
           [[tests.expect]]
           sink = "archive"
           stream = "logs-444444444444"
           account = "444444444444"
           region = "us-east-1"
           events = [{ timestamp = "2026-11-22T01:02:03.000Z", message = 'a "quoted" line', owner = "444444444444", log_group = "g", log_stream = "s", region = "eu-west-1", source = "cwl" }]"#,
        r#"source = "cwl"
           payload = "no envelope"
           dead_letters = [{ sink = "_cwl", reason = "format" }]"#,
        &format!(
            "source = \"cwl\"\npayload_base64 = \"{envelope}\"\nexpect = [{{ sink = \"archive\", count = 3 }}]"
        ),
    ] {
        check_test(test, 0, &["ok      it", "1 test: 0 failed"]);
    }
}

#[test]
fn what_differs_is_shown_and_fails() {
    let kept =
        "source = \"app\"\norigin = { file = \"/nowhere/kept.log\" }\nlines = [\"a\", \"DEBUG b\", \"c\"]\n";
    let dropped = "dropped = [{ route = 0 }]\n";
    for (test, words) in [
        // Another text, with what else there is.
        (
            format!("{kept}{dropped}expect = [{{ sink = \"plain\", events = [\"a\", \"b\"] }}]"),
            ["plain (stream plain): event 2 differs", "- b", "+ c"].as_slice(),
        ),
        // Fewer, and more.
        (
            format!("{kept}{dropped}expect = [{{ sink = \"plain\", events = [\"a\"] }}]"),
            &["plain (stream plain): expected 1 event, found 2", "+ c"],
        ),
        (
            format!("{kept}{dropped}expect = [{{ sink = \"plain\", count = 3 }}]"),
            &["expected 3 events, found 2"],
        ),
        // A field that the text cannot have.
        (
            format!(
                "{kept}{dropped}expect = [{{ sink = \"plain\", events = [{{ message = \"a\" }}, \"c\"] }}]"
            ),
            &["event 1 differs", r#"- {"message":"a"} and more"#, "+ a"],
        ),
        // Nothing was expected of this sink, or something of another.
        (format!("{kept}{dropped}"), &["plain (stream plain): found 2 events, expected none", "+ a", "+ c"]),
        (
            format!(
                "{kept}{dropped}expect = [{{ sink = \"plain\" }}, {{ sink = \"archive\", stream = \"x\" }}]"
            ),
            &["archive (stream x): expected events, found nothing"],
        ),
        (
            format!("{kept}{dropped}expect = [{{ sink = \"plain\", stream = \"y\" }}]"),
            &["plain (stream y): expected events, found events for plain (stream plain)"],
        ),
        // Drops and dead letters, both ways.
        (
            format!("{kept}expect = [{{ sink = \"plain\" }}]"),
            &["filtered by routes[0] as `dropped`: expected 0 events, found 1"],
        ),
        (
            format!("{kept}dropped = [{{ route = 0 }}, {{}}]\nexpect = [{{ sink = \"plain\" }}]"),
            &["filtered as `unrouted`: expected 1 event, found 0"],
        ),
        (
            "source = \"cwl\"\npayload = \"no envelope\"".to_owned(),
            &["dead letters of _cwl for `format`: expected 0 events, found 1"],
        ),
        (
            format!(
                "{kept}{dropped}expect = [{{ sink = \"plain\" }}]\ndead_letters = [{{ sink = \"plain\", reason = \"too_large\", count = 2 }}]"
            ),
            &["dead letters of plain for `too_large`: expected 2 events, found 0"],
        ),
    ] {
        check_test(&test, 1, &[words, &["FAILED  it", "1 test: 1 failed"]].concat());
    }
}

/// Sources and sinks of many kinds.
const KINDS: &str = r#"
[sources.docker]
type = "file"
include = ["/nowhere/*.log"]
format = "docker"
[sources.trail]
type = "file"
include = ["/nowhere/*.gz"]
format = "cloudtrail"
[sources.containers]
type = "fluent_forward"
[sources.journal]
type = "journald"
[sources.secret]
type = "file"
include = ["/nowhere/*.txt"]
parse = "logfmt"
redact = { named = ["email"], with = "mask" }
[sources.long]
type = "file"
include = ["/nowhere/*.long"]
max_line = "1KiB"
too_long = "dead_letter"
[sinks.json]
type = "directory"
path = "/nowhere/out"
stream = "{source}"
fields = { env = "prod" }
[sinks.per_container]
type = "directory"
path = "/nowhere/out"
stream = "{container}"
[[routes]]
from = ["containers", "secret"]
to = ["per_container", "json"]
[[routes]]
to = ["json"]
"#;

/// What becomes of their events; `@LONG` is a line that is too long.
const OF_KINDS: &str = r#"
[[tests]]
name = "docker"
source = "docker"
lines = ['{"log":"a line\n","stream":"stderr","time":"2026-11-22T01:02:03.000000004Z"}']
expect = [{ sink = "json", stream = "docker", events = [{ message = "a line", stream = "stderr", env = "prod" }] }]
[[tests]]
name = "cloudtrail"
source = "trail"
lines = ['{"eventID":"1","eventName":"A"}', '{"eventID":"2"}']
expect = [{ sink = "json", events = [{ id = "1" }, { id = "2" }] }]
[[tests]]
name = "containers"
source = "containers"
origin = { tag = "app.1", container = "web", stream = "stdout" }
lines = ["a line"]
expect = [
    { sink = "per_container", stream = "web", count = 1 },
    { sink = "json", events = [{ message = "a line", tag = "app.1", container = "web", stream = "stdout" }] },
]
[[tests]]
name = "the journal"
source = "journal"
at = "2026-11-22T01:02:03.004Z"
origin = { unit = "nginx.service", identifier = "nginx", priority = "3" }
lines = ["a line"]
expect = [{ sink = "json", stream = "journal", events = [{ message = "a line", timestamp = "2026-11-22T01:02:03.004Z", unit = "nginx.service", identifier = "nginx", priority = "3" }] }]
[[tests]]
name = "redacted, parsed, and without a field that a name needs"
source = "secret"
lines = ["user=a@example.com code=7"]
expect = [{ sink = "json", events = [{ message = { user = "*************" } }] }]
dead_letters = [{ sink = "per_container", reason = "missing_field" }]
[[tests]]
name = "too long"
source = "long"
lines = ["@LONG", "short"]
expect = [{ sink = "json", events = [{ message = "short" }] }]
dead_letters = [{ sink = "_long", reason = "too_long" }]
"#;

#[test]
fn a_test_sees_what_a_sink_would_be_sent() {
    let tests = OF_KINDS.replace("@LONG", &"x".repeat(2_000));
    check(&format!("{KINDS}{tests}"), 0, &["6 tests: 0 failed"]);
}

#[test]
fn what_routes_and_sources_leave_out_has_its_reason() {
    let flow = r#"
[sources.app]
type = "file"
include = ["/nowhere/*.log"]
charset = "utf-16le"
[sources.cwl]
type = "kinesis"
stream_arn = "arn:aws:kinesis:us-east-1:222222222222:stream/cwl"
ignore_older = "1d"
fields = { team = "a", zone = "{ec2.zone}" }
metadata = ["ec2"]
[sinks.json]
type = "directory"
path = "/nowhere/out"
[[routes]]
from = ["app"]
to = ["json"]
throttle = { events = 2, per = "1h" }
[[routes]]
from = ["cwl"]
when = { ec2 = { zone = ["eu-*"] } }
to = ["json"]
"#;
    let throttled = r#"
[[tests]]
name = "throttled"
source = "app"
lines = ["é", "b", "c"]
expect = [{ sink = "json", events = [{ message = "é" }, { message = "b" }] }]
dropped = [{ route = 0, reason = "throttled" }]
"#;
    let labelled = r#"
[[tests]]
name = "labelled"
source = "cwl"
origin = { ec2 = { zone = "eu-west-1a" } }
lines = ["a"]
expect = [{ sink = "json", events = [{ message = "a", team = "a", zone = "eu-west-1a" }] }]
[[tests]]
name = "elsewhere"
source = "cwl"
origin = { ec2 = { zone = "us-east-1a" } }
lines = ["a"]
dropped = [{}]
[[tests]]
name = "old"
source = "cwl"
origin = { ec2 = { zone = "eu-west-1a" } }
payload = '{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"g","logStream":"s","logEvents":[{"id":"1","timestamp":1,"message":"m"}]}'
dropped = [{ reason = "too_old" }]
"#;
    // What one test used up of a limit, the next one has.
    check(&format!("{flow}{throttled}{throttled}{labelled}"), 0, &["5 tests: 0 failed"]);
}

#[test]
fn a_file_of_tests_is_laid_over_the_configuration() {
    let world = World::new();
    std::fs::write(world.config_path(), FLOW).unwrap();
    let tests = world.path("tests.toml");
    std::fs::write(
        &tests,
        "[[tests]]\nname = \"of the file\"\nsource = \"app\"\nlines = [\"a\"]\ndropped = [{}]\n",
    )
    .unwrap();
    let config = world.config_path();
    let (config, tests) = (config.to_str().unwrap(), tests.to_str().unwrap());
    let output = world.run(&["test", "-c", config, tests], b"");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("ok      of the file"), "{text}");
}

#[test]
fn a_run_of_no_tests_or_of_wrong_ones_does_not_pass() {
    check(FLOW, 1, &["there are no tests"]);
    for (test, words) in [
        (
            "source = \"ap\"\nlines = [\"a\"]",
            "tests[0].source: found `ap`, expected the name of a source; did you mean `app`?",
        ),
        ("source = \"app\"", "found none of `lines`, `payload` and `payload_base64`"),
        ("source = \"app\"\nlines = [\"a\"]\npayload = \"b\"", "found several of `lines`"),
        ("source = \"app\"\npayload_base64 = \"*\"", "expected base64"),
        ("source = \"app\"\nlines = [\"a\"]\nat = \"noon\"", "tests[0].at: found `noon`, expected a time"),
        ("source = \"app\"\nlines = [\"a\"]\nexpect = [{ sink = \"plan\" }]", "did you mean `plain`?"),
        ("source = \"app\"\nlines = [\"a\"]\nexpct = []", "unknown key; did you mean `expect`?"),
        ("source = \"app\"\nlines = [\"a\"]\norigin = { ownr = \"1\" }", "did you mean `owner`?"),
        (
            "source = \"app\"\nlines = [\"a\"]\ndead_letters = [{ sink = \"_ap\", reason = \"x\" }]",
            "expected the name of a sink",
        ),
    ] {
        check_test(test, 78, &[words]);
    }
}

#[test]
fn the_tests_of_the_example_pass() {
    let example = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples/tested.toml");
    check(&std::fs::read_to_string(example).unwrap(), 0, &["4 tests: 0 failed"]);
}
