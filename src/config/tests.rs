//! What users write, and what becomes of it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::event::Timestamp;

/// A source and a sink, so that a case need only show what it is about.
const BASE: &str = r#"
[sources.app]
type = "stdin"
[sinks.out]
type = "directory"
path = "out"
"#;

struct World {
    folder: TempDir,
    files: Vec<PathBuf>,
    environment: BTreeMap<String, String>,
}

impl World {
    fn new(text: &str) -> Self {
        let world =
            Self { folder: tempfile::tempdir().unwrap(), files: Vec::new(), environment: BTreeMap::new() };
        world.file("standpipe.toml", text)
    }

    fn file(mut self, name: &str, text: &str) -> Self {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        self.files.push(path);
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    #[track_caller]
    fn config(&self) -> Config {
        load(&self.files, &self.environment).unwrap_or_else(|errors| panic!("{errors}"))
    }

    /// The error lines, with the folder's name left out.
    fn errors(&self) -> Vec<String> {
        match load(&self.files, &self.environment) {
            Ok(_) => Vec::new(),
            Err(errors) => {
                errors.to_string().lines().map(|line| without_position(&self.plain(line))).collect()
            }
        }
    }

    #[track_caller]
    fn warnings(&self) -> Vec<String> {
        let checked = inspect(&self.files, &self.environment).unwrap_or_else(|errors| panic!("{errors}"));
        let text = |warning: &Warning| Warning { place: None, ..warning.clone() }.to_string();
        checked.warnings.iter().map(|warning| self.plain(&text(warning))).collect()
    }

    fn plain(&self, line: &str) -> String {
        line.replace(&format!("{}/", self.folder.path().display()), "")
    }
}

/// A line without the position in its file, which `mistakes` looks at.
fn without_position(line: &str) -> String {
    let position = regex::Regex::new(r"^([\w./]+\.(?:toml|yaml|json)):\d+:\d+").unwrap();
    position.replace(line, "$1").into_owned()
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    assert_eq!(World::new(text).errors(), expected, "{text}");
}

/// Checks the errors of keys added to a good configuration.
#[track_caller]
fn check_with_base(text: &str, expected: &[&str]) {
    check(&format!("{BASE}{text}"), expected);
}

#[track_caller]
fn check_variable(name: &str, value: &str, expected: &[&str]) {
    let world = World::new(BASE).variable(name, value);
    assert_eq!(world.errors(), expected, "{name}={value}");
}

#[track_caller]
fn check_warnings(text: &str, expected: &[&str]) {
    assert_eq!(World::new(text).warnings(), expected, "{text}");
}

#[test]
fn all_mistakes_come_at_once_in_the_order_of_the_keys() {
    check(
        r#"
[limits]
memory = "1MiB"
memry = 1
[sources.app]
type = "file"
include = "x"
rescan = 10
[sources."b d"]
type = "fil"
[sinks.archive]
type = "firehose"
lingr = "1s"
max_concurrency = 0
"#,
        &[
            "standpipe.toml: limits.memory: found `1MiB`, expected `8MiB` to `1TiB`",
            "standpipe.toml: limits.memry: unknown key; did you mean `memory`?",
            "standpipe.toml: sources.app.include: found `x`, expected a list: `[\"x\"]`",
            "standpipe.toml: sources.app.rescan: found `10`, expected a duration with its unit, such as `500ms`, `1s`, `5m` or `1h30m`",
            "standpipe.toml: sources.\"b d\": is not a valid name; use 1 to 64 letters, digits, `_` and `-`",
            "standpipe.toml: sources.\"b d\".type: found `fil`, expected `file`, `stdin`, `firehose_http`, `cloudwatch_logs`, `kinesis`, `s3`, `fluent_forward` or `journald`",
            "standpipe.toml: sinks.archive.stream: missing; give it a value such as `logs-{owner}`",
            "standpipe.toml: sinks.archive.max_concurrency: found `0`, expected a whole number from 1 to 1024",
            "standpipe.toml: sinks.archive.lingr: unknown key; did you mean `linger`?",
        ],
    );
}

#[test]
fn an_unknown_key_far_from_all_others_names_them() {
    check_with_base(
        "[state]\nqqq = 1\n",
        &["standpipe.toml: state.qqq: unknown key; known are `dir` and `max_dead_letters`"],
    );
}

#[test]
fn a_sink_is_not_taken_for_a_source() {
    let text = "[sources.app]\ntype = \"stdin\"\n[sinks._app]\ntype = \"directory\"\npath = \"out\"\n";
    check(
        text,
        &[
            "standpipe.toml: sinks._app: begins with `_`, which marks the dead letters of a source; use another name",
        ],
    );
}

#[test]
fn a_source_is_not_taken_for_a_sink() {
    for kind in ["s3", "cloudwatch_logs", "kinesis", "stdin"] {
        check(
            &format!("[sources.app]\ntype = \"stdin\"\n[sinks.b]\ntype = \"{kind}\"\n"),
            &[&format!(
                "standpipe.toml: sinks.b.type: found `{kind}`, which is a type of source; expected `firehose` or `directory`"
            )],
        );
    }
}

#[test]
fn a_consumer_of_a_stream_is_of_one_source() {
    let source = |name: &str, fan_out: &str| {
        let arn = "arn:aws:kinesis:eu-west-1:222222222222:stream/cwl";
        format!("[sources.{name}]\ntype = \"kinesis\"\nstream_arn = \"{arn}\"\nfan_out = \"{fan_out}\"\n")
    };
    let two = |second: &str| {
        let sink = "[sinks.b]\ntype = \"directory\"\npath = \"x\"\n";
        World::new(&format!("{}{}{sink}", source("one", "a"), source("two", second)))
    };
    let config = two("standpipe_2.b-c").config();
    let SourceConfig::Kinesis(stream) = &config.sources["two"] else { panic!("{config:?}") };
    assert_eq!(stream.fan_out.as_deref(), Some("standpipe_2.b-c"));
    let used = "sources.two.fan_out: `a` is already used by `sources.one.fan_out` for the same stream";
    for (second, expected) in [
        ("a", used),
        ("a b", "sources.two.fan_out: found `a b`, expected a consumer's name"),
        ("a/b", "sources.two.fan_out: found `a/b`, expected a consumer's name"),
    ] {
        let errors = two(second).errors();
        assert!(errors.len() == 1 && errors[0].contains(expected), "{second}: {errors:?}");
    }
}

#[test]
fn streams_are_read_as_their_keys_say() {
    let source = |keys: &str| {
        let arn = "stream_arn = \"arn:aws:kinesis:eu-west-1:222222222222:stream/cwl\"";
        let keys = if keys.contains("stream_arn") { keys.to_owned() } else { format!("{arn}\n{keys}") };
        format!(
            "[sources.stream]\ntype = \"kinesis\"\n{keys}\n[sinks.b]\ntype = \"directory\"\npath = \"x\"\n"
        )
    };
    let read = |keys: &str| {
        let config = World::new(&source(keys)).config();
        let SourceConfig::Kinesis(stream) = &config.sources["stream"] else { panic!("{config:?}") };
        stream.clone()
    };
    let plain = read("");
    assert_eq!((plain.start, plain.region()), (StreamStart::Beginning, "eu-west-1"));
    assert!(plain.leases.is_none() && plain.decoding.format == Format::Envelope);
    assert_eq!(read("start = \"1970-01-01T00:00:01Z\"").start, StreamStart::At(Timestamp(1_000)));
    let shared = read(
        "profile = \"p\"\nca_file = \"/ca\"\nassume_role = { arn = \"arn:aws:iam::222222222222:role/r\" }\n\
         leases = { table = \"abc\", ca_file = \"/other\" }",
    );
    let leases = shared.leases.unwrap();
    assert_eq!((leases.table.as_str(), leases.failover), ("abc", Duration::from_secs(10)));
    // The profile is the stream's; its roles are for the stream alone.
    assert_eq!(leases.aws.profile.as_deref(), Some("p"));
    assert_eq!((leases.aws.ca_file, leases.aws.assume_role.len()), (Some("/other".into()), 0));
    let wrong = |keys: &str, expected: &str| {
        let errors = World::new(&source(keys)).errors();
        assert!(errors.len() == 1 && errors[0].contains(expected), "{keys}: {errors:?}");
    };
    wrong("stream_arn = \"cwl\"", "expected the ARN of a Kinesis stream");
    wrong("stream_arn = \"arn:aws:kinesis:eu-west-1:222222222222:stream/cwl/consumer/a:1\"", "stream_arn");
    wrong("stream_arn = \"arn:aws:firehose:eu-west-1:222222222222:deliverystream/cwl\"", "stream_arn");
    wrong("start = \"now\"", "expected `beginning`, `end`, or a time");
    wrong("format = \"cri\"", "format: found `cri`, expected `envelope` or `lines`");
    wrong("leases = { failover = \"10s\" }", "leases.table: missing");
    wrong("leases = { table = \"a/b\" }", "leases.table: found `a/b`");
    wrong("leases = { table = \"abc\", failover = \"10ms\" }", "leases.failover");
    let two = |leases: &str| {
        let other = "[sources.two]\ntype = \"kinesis\"\nstream_arn = \"arn:aws:kinesis:eu-west-1:222222222222:stream/b\"\n";
        World::new(&format!("{}{other}leases = {leases}\n", source("leases = { table = \"abc\" }")))
    };
    for same in ["{ table = \"abc\" }", "{ table = \"abc\", region = \"eu-west-1\", failover = \"3s\" }"] {
        let errors = two(same).errors();
        let expected = "sources.two.leases.table: `abc` is already used by `sources.stream.leases.table`, and a table has the leases of one source; name another table";
        assert!(errors.len() == 1 && errors[0].contains(expected), "{same}: {errors:?}");
    }
    for another in [
        "{ table = \"abd\" }",
        "{ table = \"abc\", region = \"eu-west-2\" }",
        "{ table = \"abc\", profile = \"p\" }",
    ] {
        two(another).config();
    }
}

#[test]
fn sources_are_held_to_what_they_can_do() {
    let sink = "[sinks.out]\ntype = \"directory\"\npath = \"out\"\n";
    let cases = [
        (
            "[sources.a]\ntype = \"file\"\ninclude = [\"/a[\"]\n",
            "sources.a.include[0]: found `/a[`, which is not a glob: unclosed character class; missing ']'",
        ),
        (
            "[sources.a]\ntype = \"file\"\ninclude = [\"/a/[x/y].log\"]\n",
            "sources.a.include[0]: found `/a/[x/y].log`, in which a `/` is within `[..]` or after a `\\`; write it by itself",
        ),
        (
            "[sources.a]\ntype = \"stdin\"\nmax_line = \"1MiB\"\n",
            "sources.a.max_line: found `1MiB`, expected `1KiB` to `1000KiB`",
        ),
        (
            "[sources.a]\ntype = \"stdin\"\nformat = \"envelope\"\nmultiline = { start = \"x\" }\n",
            "sources.a.multiline: needs the `format` `lines`, `docker` or `cri`; remove it",
        ),
        (
            "[sources.a]\ntype = \"stdin\"\nmultiline = { start = \"(\" }\n",
            "sources.a.multiline.start: found `(`, which is not a regular expression: unclosed group",
        ),
        (
            "[sources.a]\ntype = \"stdin\"\n[sources.b]\ntype = \"stdin\"\n",
            "sources.b.type: source `a` already reads standard input; remove one of them",
        ),
        (
            "[sources.a]\ntype = \"firehose_http\"\ntimeout = \"180s\"\n",
            "sources.a.timeout: found `180s`, expected `100ms` to `2m59s`",
        ),
        (
            "[sources.a]\ntype = \"firehose_http\"\nlisten = \"localhost:1\"\n",
            "sources.a.listen: found `localhost:1`, expected an address and port such as `127.0.0.1:8443` or `[::]:8443`",
        ),
        (
            "[sources.a]\ntype = \"firehose_http\"\nlisten = \"0.0.0.0:9598\"\n",
            "sources.a.listen: `0.0.0.0:9598` is already used by `server.listen`; choose another port",
        ),
        (
            "[sources.a]\ntype = \"firehose_http\"\ntls = { cert = \"x\" }\n",
            "sources.a.tls.key: missing; give it a value such as `/etc/standpipe/tls.key`",
        ),
        (
            "[sources.a]\ntype = \"firehose_http\"\nformat = \"cri\"\n",
            "sources.a.format: found `cri`, expected `envelope`, `lines` or `cloudtrail`",
        ),
    ];
    for (text, expected) in cases {
        check(&format!("{text}{sink}"), &[&format!("standpipe.toml: {expected}")]);
    }
}

/// Checks the one error of a Firehose sink with these keys.
#[track_caller]
fn check_firehose(keys: &str, expected: &str) {
    let text = format!("[sources.app]\ntype = \"stdin\"\n[sinks.out]\ntype = \"firehose\"\n{keys}\n");
    check(&text, &[&format!("standpipe.toml: sinks.out.{expected}")]);
}

#[test]
fn sinks_are_held_to_the_limits_of_the_service() {
    let role = "arn:aws:iam::222222222222:role/w";
    let cases = [
        (
            "stream = \"a b\"",
            "stream: found `a b`, expected a stream name of at most 64 letters, digits and `_.-`, or fields such as `{owner}`",
        ),
        (
            "stream = \"logs-{ownr}\"",
            "stream: `logs-{ownr}` names an unknown field `{ownr}`; did you mean `{owner}`?",
        ),
        (
            "stream = \"s\"\nregion = \"us_east_1\"",
            "region: found `us_east_1`, expected a region such as `us-east-1`",
        ),
        (
            "stream = \"s\"\nassume_role = { arn = \"arn:aws:iam::2:role/w\" }",
            "assume_role.arn: found `arn:aws:iam::2:role/w`, expected a role's ARN such as `arn:aws:iam::222222222222:role/standpipe-writer`",
        ),
        (
            &format!("stream = \"s\"\nassume_role = {{ arn = \"{role}\", external_id = \"x\" }}"),
            "assume_role.external_id: found `x`, expected 2 to 1224 characters of letters, digits and `_+=,.@:/-`",
        ),
        (
            &format!(
                "stream = \"s\"\nassume_role = [{{ arn = \"{role}\", duration = \"12h\" }}, {{ arn = \"{role}\", duration = \"2h\" }}]"
            ),
            "assume_role[1].duration: found `2h`, expected `15m` to `1h`",
        ),
        (
            &format!("stream = \"s\"\nassume_role = {{ arn = \"{role}\", session_name = \"a b\" }}"),
            "assume_role.session_name: found `a b`, expected a session name of 2 to 64 letters, digits and `_+=,.@-`, or fields such as `{host}`",
        ),
        (
            "stream = \"s\"\nendpoint_url = \"https://me:pw@x\"",
            "endpoint_url: found a URL with a user or password, expected one without",
        ),
        (
            "stream = \"s\"\nendpoint_url = \"https://x\"\nuse_fips = true",
            "use_fips: cannot be combined with `endpoint_url`; remove one of them",
        ),
    ];
    for (text, expected) in cases {
        check_firehose(text, expected);
    }
}

#[test]
fn sinks_write_what_can_be_read_again() {
    let cases = [
        (
            "stream = \"s\"\ncompression = \"lz4\"",
            "compression: found `lz4`, expected `none`, `gzip` or `zstd`",
        ),
        (
            "stream = \"s\"\ncompression = { type = \"zstd\", level = 7 }",
            "compression.level: found `7`, expected a whole number from 1 to 6",
        ),
        (
            "stream = \"s\"\ncompression = { type = \"gzip\", level = 13 }",
            "compression.level: found `13`, expected a whole number from 1 to 12",
        ),
        (
            "stream = \"s\"\ncompression = { type = \"none\", level = 3 }",
            "compression.level: unknown key; known are `type`",
        ),
        (
            "stream = \"s\"\nencoding = \"message\"\nfields = { a = \"b\" }",
            "fields: needs the `encoding` `json`; remove it",
        ),
        (
            "stream = \"s\"\nfields = { message = \"b\" }",
            "fields: `message` is a field that standpipe itself writes; use another name",
        ),
        ("stream = \"s\"\nfields = { a = 7 }", "fields.a: found `7`, expected a string; put it in quotes"),
        (
            "stream = \"s\"\nencoding = \"envelope\"",
            "encoding: found `envelope`, but `app` leads here and has a `format` other than `envelope`; use `json` or `message`, or let a route lead it elsewhere",
        ),
    ];
    for (text, expected) in cases {
        check_firehose(text, expected);
    }
}

#[test]
fn envelopes_are_neither_lines_nor_compressed_again() {
    check(
        "[sources.app]\ntype = \"stdin\"\nformat = \"envelope\"\n[sinks.out]\ntype = \"directory\"\npath = \"o\"\nencoding = \"envelope\"\npacking = \"lines\"\ncompression = \"gzip\"\n",
        &[
            "standpipe.toml: sinks.out.packing: found `lines`, expected `event`: gzipped envelopes are not lines",
            "standpipe.toml: sinks.out.compression: envelopes are already gzipped; use `none`",
        ],
    );
}

#[test]
fn more_sinks_than_routes_can_tell_apart_are_refused() {
    let sink = |number| format!("[sinks.s{number}]\ntype = \"directory\"\npath = \"o\"\n");
    let text =
        |n_sinks| format!("[sources.app]\ntype = \"stdin\"\n{}", (0..n_sinks).map(sink).collect::<String>());
    check(&text(MAX_SINKS), &[]);
    check(
        &text(MAX_SINKS + 1),
        &[
            "standpipe.toml: sinks: found 65 sinks, expected at most 64; one sink serves many streams with a name such as `logs-{owner}`",
        ],
    );
}

#[test]
fn routes_name_what_is_there_and_lead_somewhere() {
    check_with_base(
        "[[routes]]\nfrom = [\"ap\"]\nto = [\"archive\"]\n[[routes]]\nto = [\"out\"]\ndrop = true\n[[routes]]\nwhen = { owner = [\"1\"], mesage = \"x\" }\n[[routes]]\nfrom = []\nto = [\"out\", \"out\"]\n",
        &[
            "standpipe.toml: routes[0].from[0]: found `ap`, expected the name of a source; did you mean `app`?",
            "standpipe.toml: routes[0].to[0]: found `archive`, expected the name of a sink; known are `out`",
            "standpipe.toml: routes[1].drop: found `true` together with `to`, expected only one of them",
            "standpipe.toml: routes[2].when.owner[0]: found `1`, expected an account id of 12 digits, or a glob",
            "standpipe.toml: routes[2].when.mesage: unknown key; did you mean `message`?",
            "standpipe.toml: routes[2]: names no sink; give it a `to` such as `[\"archive\"]`, or `drop = true`",
            "standpipe.toml: routes[3].from: found an empty list, expected at least one item",
            "standpipe.toml: routes[3].to: `out` is listed twice; list it once",
        ],
    );
}

#[test]
fn a_broken_source_is_not_unknown_to_routes_as_well() {
    check(
        "[sources.app]\ntype = \"fil\"\n[sinks.out]\ntype = \"directory\"\npath = \"o\"\n[[routes]]\nfrom = [\"app\"]\nto = [\"out\"]\n",
        &[
            "standpipe.toml: sources.app.type: found `fil`, expected `file`, `stdin`, `firehose_http`, `cloudwatch_logs`, `kinesis`, `s3`, `fluent_forward` or `journald`",
        ],
    );
}

#[test]
fn files_that_cannot_be_read_are_named_without_their_text() {
    let world = World::new("access_keys = [\"s3cret\n").file("b.ini", "").file("c.json", "{");
    let errors = world.errors();
    assert_eq!(errors.len(), 3, "{errors:?}");
    assert_eq!(errors[0], "standpipe.toml: access_keys: found no `]` at the end of the list, expected one");
    assert!(!errors[0].contains("s3cret"), "{errors:?}");
    assert_eq!(
        errors[1],
        "b.ini: found a file of no known format, expected a name that ends in `.toml`, `.yaml`, `.yml` or `.json`"
    );
    assert_eq!(errors[2], "c.json: ends too early; expected every `{`, `[` and `\"` to be closed");
    let missing = load(&[PathBuf::from("/nowhere.toml")], &BTreeMap::new()).unwrap_err();
    assert!(missing.to_string().starts_with("/nowhere.toml: cannot be read: No such file"), "{missing}");
}

#[test]
fn later_files_override_earlier_ones_in_any_format() {
    let config = World::new(BASE)
        .file("b.yaml", "limits:\n  memory: 10MiB\nsinks:\n  out:\n    linger: 5s\n")
        .file(
            "c.json",
            r#"{"limits": {"memory": 16777216}, "sinks": {"two": {"type": "directory", "path": "p"}}}"#,
        )
        .config();
    assert_eq!(config.limits.memory, 16 << 20);
    assert_eq!(config.sinks["out"].linger, Duration::from_secs(5));
    assert_eq!(config.sinks.len(), 2);
}

#[test]
fn a_mistake_names_the_file_it_stands_in() {
    let world = World::new(BASE).file("b.yaml", "sinks:\n  out:\n    linger: 1\n    packng: x\nserver:\n");
    assert_eq!(
        world.errors(),
        [
            "b.yaml: sinks.out.linger: found `1`, expected a duration with its unit, such as `500ms`, `1s`, `5m` or `1h30m`",
            "b.yaml: sinks.out.packng: unknown key; did you mean `packing`?",
        ]
    );
}

#[test]
fn a_glob_with_alternatives_is_one_item_of_a_variable() {
    let text = "[sources.files]\ntype = \"file\"\ninclude = [\"/a\"]\n[sinks.out]\ntype = \"firehose\"\nregion = \"us-east-1\"\nstream = \"s\"\n";
    let config = World::new(text)
        .variable("STANDPIPE__SOURCES__FILES__INCLUDE", "/x/{a,b{c,d}}.log, /y/*.log")
        .variable("STANDPIPE__SOURCES__FILES__FOLLOW_LINKS", "true")
        .config();
    let SourceConfig::File(files) = &config.sources["files"] else { panic!("{config:?}") };
    assert_eq!(files.include, ["/x/{a,b{c,d}}.log", "/y/*.log"]);
    assert_eq!(files.follow_links, FollowLinks::Always);
}

#[test]
fn follow_links_is_a_word_or_a_flag() {
    for (written, expected) in [
        ("\"same_owner\"", Some(FollowLinks::SameOwner)),
        ("true", Some(FollowLinks::Always)),
        ("false", Some(FollowLinks::Never)),
        ("\"true\"", None),
        ("\"owner\"", None),
        ("1", None),
    ] {
        let text = format!(
            "[sources.files]\ntype = \"file\"\ninclude = [\"/a\"]\nfollow_links = {written}\n[sinks.out]\ntype = \"firehose\"\nregion = \"us-east-1\"\nstream = \"s\"\n"
        );
        let world = World::new(&text);
        let Some(expected) = expected else {
            let errors = world.errors();
            assert!(
                errors.len() == 1 && errors[0].contains("expected `\"same_owner\"`, `true` or `false`"),
                "{errors:?}"
            );
            continue;
        };
        let config = world.config();
        let SourceConfig::File(files) = &config.sources["files"] else { panic!("{config:?}") };
        assert_eq!(files.follow_links, expected);
    }
}

#[test]
fn variables_set_values_of_every_type() {
    let text = "[sources.My-App]\ntype = \"firehose_http\"\n[sources.files]\ntype = \"file\"\ninclude = [\"/a\"]\n[sinks.out]\ntype = \"firehose\"\nstream = \"s\"\n[[routes]]\nto = [\"out\"]\n";
    let config = World::new(text)
        .variable("STANDPIPE__SOURCES__MY_APP__ACCESS_KEYS", "one, two")
        .variable("STANDPIPE__SOURCES__MY_APP__TLS", r#"{ cert = "c", key = "k" }"#)
        .variable("STANDPIPE__SOURCES__MY_APP__MAX_CONNECTIONS", "7")
        .variable("STANDPIPE__SOURCES__FILES__INCLUDE", r#"["/a,b", "/c"]"#)
        .variable("STANDPIPE__SOURCES__FILES__EXCLUDE", "")
        .variable("STANDPIPE__SINKS__OUT__USE_FIPS", "true")
        .variable("STANDPIPE__SINKS__OUT__LINGER", "2s")
        .variable("STANDPIPE__SINKS__OUT__FIELDS", r#"{"env": "prod"}"#)
        .variable("STANDPIPE__SINKS__OUT__COMPRESSION__TYPE", "gzip")
        .variable("STANDPIPE__SINKS__OUT__COMPRESSION__LEVEL", "9")
        .variable("STANDPIPE__SINKS__OUT__ASSUME_ROLE__ARN", "arn:aws:iam::222222222222:role/${ROLE}")
        .variable("STANDPIPE__ROUTES__0__FROM", "files")
        .variable("STANDPIPE__LIMITS__MEMORY", "8388608")
        .variable("ROLE", "writer")
        .config();
    let SourceConfig::FirehoseHttp(http) = &config.sources["My-App"] else { panic!("{config:?}") };
    let keys: Vec<&str> = http.access_keys.iter().map(Secret::expose).collect();
    assert_eq!(keys, ["one", "two"]);
    assert!(http.tls.is_some());
    assert_eq!(http.max_connections, 7);
    let SourceConfig::File(files) = &config.sources["files"] else { panic!("{config:?}") };
    assert_eq!(files.include, ["/a,b", "/c"]);
    assert_eq!(files.exclude, [""; 0]);
    let sink = &config.sinks["out"];
    let SinkKind::Firehose(firehose) = &sink.kind else { panic!("{config:?}") };
    assert!(firehose.aws.use_fips);
    assert_eq!(firehose.aws.assume_role[0].arn.to_string(), "arn:aws:iam::222222222222:role/writer");
    assert_eq!(sink.compression, Compression::Gzip(9));
    assert_eq!(sink.fields, [("env".to_owned(), "prod".to_owned())]);
    assert_eq!(config.routes[0].from, ["files"]);
    assert_eq!(config.limits.memory, 8 << 20);
}

#[test]
fn a_whole_configuration_may_come_from_variables() {
    let environment = [
        ("STANDPIPE__SOURCES__IN__TYPE", "stdin"),
        ("STANDPIPE__SINKS__OUT__TYPE", "directory"),
        ("STANDPIPE__SINKS__OUT__PATH", "out"),
        ("STANDPIPE__ROUTES", r#"[{ to = ["out"] }]"#),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let config = load(&[], &environment).unwrap();
    assert_eq!(config.routes.len(), 1);
}

#[test]
fn variables_that_match_nothing_are_mistakes() {
    check_variable(
        "STANDPIPE__SINKS__OUT__LINGR",
        "1s",
        &["STANDPIPE__SINKS__OUT__LINGR: sinks.out.lingr: unknown key; did you mean `linger`?"],
    );
    check_variable(
        "STANDPIPE__SINKS__OUTT__LINGER",
        "1s",
        &[
            "STANDPIPE__SINKS__OUTT__LINGER: sinks.outt: is not in any configuration file; did you mean `out`?",
        ],
    );
    check_variable(
        "STANDPIPE__LIMITS__WORKERS",
        "many",
        &["STANDPIPE__LIMITS__WORKERS: limits.workers: found `many`, expected a whole number from 1 to 256"],
    );
    check_variable(
        "STANDPIPE_LIMITS__MEMORY",
        "8MiB",
        &[
            "STANDPIPE_LIMITS__MEMORY: matches no key; separate levels by two underscores: `STANDPIPE__LIMITS__MEMORY`",
        ],
    );
    check_variable(
        "STANDPIPE_SINKS_OUT_MAX_DESTINATIONS",
        "1",
        &[
            "STANDPIPE_SINKS_OUT_MAX_DESTINATIONS: matches no key; separate levels by two underscores: `STANDPIPE__SINKS__OUT__MAX_DESTINATIONS`",
        ],
    );
    check_variable(
        "STANDPIPE_LOGS",
        "debug",
        &["STANDPIPE_LOGS: matches no key; did you mean `STANDPIPE_LOG`?"],
    );
    check_variable("STANDPIPE__ROUTES__0__TO", "out", &[]);
    check_variable(
        "STANDPIPE__ROUTES__1__TO",
        "out",
        &[
            "STANDPIPE__ROUTES__1__TO: routes[1]: is out of range: the list has length 0, and items are numbered from 0",
        ],
    );
    check_variable(
        "STANDPIPE__",
        "",
        &["STANDPIPE__: is not a key; write an override like `STANDPIPE__LIMITS__MEMORY`"],
    );
}

#[test]
fn variables_of_the_surroundings_are_none_of_ours() {
    check_variable("STANDPIPE_LOG", "debug", &[]);
    check_variable("STANDPIPE_LOG", "warning", &[]);
    check_variable(
        "STANDPIPE_LOG",
        "dbug",
        &[
            "STANDPIPE_LOG: found `dbug`, expected error, warn, info, debug, trace or off; did you mean `debug`?",
        ],
    );
    check_variable("STANDPIPES", "1", &[]);
    check_variable("STANDPIPE_SERVICE_HOST", "10.0.0.1", &[]);
    check_variable("STANDPIPE_PORT", "tcp://10.0.0.1:9598", &[]);
    check_variable("STANDPIPE_PORT_9598_TCP_ADDR", "10.0.0.1", &[]);
}

#[test]
fn a_dollar_stands_for_variables_and_files() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, "from-file\n").unwrap();
    let text = format!(
        "[sources.app]\ntype = \"stdin\"\n[sinks.out]\ntype = \"directory\"\npath = \"a$$b$c${{NAME}}-${{NONE:-d}}-${{EMPTY:-e}}-${{file:{}}}\"\n",
        secret.display()
    );
    let config = World::new(&text).variable("NAME", "n$$").variable("EMPTY", "").config();
    let SinkKind::Directory(directory) = &config.sinks["out"].kind else { panic!("{config:?}") };
    assert_eq!(directory.path, Path::new("a$b$cn$$-d-e-from-file"));
}

#[test]
fn what_a_dollar_stands_for_must_be_there() {
    let text = "[sources.app]\ntype = \"stdin\"\n[sinks.out]\ntype = \"directory\"\npath = \"${NMAE}\"\nlinger = \"${A B}\"\nidle = \"${IDLE\"\nstream = \"${file:/nowhere/x}\"\n[limits]\nmemory = \"${NAME}\"\n";
    let world = World::new(text).variable("NAME", "secretive");
    assert_eq!(
        world.errors(),
        [
            "standpipe.toml: sinks.out.idle: `${` has no `}`; write `$$` for a dollar itself",
            "standpipe.toml: sinks.out.linger: `${..}` holds neither `NAME`, `NAME:-default` nor `file:/path`; write `$$` for a dollar itself",
            "standpipe.toml: sinks.out.path: environment variable `NMAE` is not set; did you mean `NAME`?",
            "standpipe.toml: sinks.out.stream: `/nowhere/x` cannot be read: No such file or directory (os error 2); make it, or let standpipe's user read it",
            "standpipe.toml: limits.memory: found the value of `${NAME}`, expected a size such as `64MiB`, `1000KiB`, `5MB` or a number of bytes",
        ]
    );
}

#[test]
fn what_a_variable_holds_is_in_no_error() {
    for value in
        ["\"{x${SECRET}}\"", "\"${SECRET}{\"", "\"{${SECRET}\"", "[\"${SECRET}\"]", "{ ${SECRET} = 1 }"]
    {
        let text = format!(
            "[sources.app]\ntype = \"file\"\ninclude = [\"/a[${{SECRET}}\"]\nmultiline = {{ start = \"(${{SECRET}}\" }}\n\
             [sinks.out]\ntype = \"firehose\"\nregion = {value}\nstream = {value}\nendpoint_url = {value}\n"
        );
        let world = World::new(&text).variable("SECRET", "hunter2hunter2");
        let errors = load(&world.files, &world.environment).map(drop).unwrap_err().with_excerpts();
        assert!(!errors.contains("hunter2"), "{errors}");
    }
}

#[test]
fn secrets_are_never_shown() {
    let text = |keys: &str| {
        format!(
            "[sources.app]\ntype = \"firehose_http\"\naccess_keys = {keys}\n[sinks.out]\ntype = \"directory\"\npath = \"o\"\n"
        )
    };
    for keys in
        ["\"s3cret\"", "{ s3cret = 1 }", "[[\"s3cret\"]]", "[\"\"]", "[\"${S3CRET:-}\"]", "[\"${s3cret!}\"]"]
    {
        let world = World::new(&text(keys));
        let errors = load(&world.files, &world.environment).map(drop).unwrap_err().with_excerpts();
        assert!(!errors.contains("s3cret"), "{errors}");
    }
    let good = World::new(&text("[\"s3cret\"]"));
    assert!(!format!("{:?} {:?}", good.config(), good.warnings()).contains("s3cret"));
}

#[test]
fn relative_globs_are_made_absolute() {
    let text = "[sources.app]\ntype = \"file\"\ninclude = [\"./logs/*.log\", \"../x.log\", \"/var/**\"]\nexclude = [\"*.tmp\", \"old/*\", \"**/x/*\"]\n[sinks.out]\ntype = \"directory\"\npath = \"o\"\n";
    let config = World::new(text).config();
    let SourceConfig::File(file) = &config.sources["app"] else { panic!("{config:?}") };
    let here = std::env::current_dir().unwrap();
    let escaped = |path: &Path| globset::escape(path.to_str().unwrap());
    let (here, above) = (escaped(&here), escaped(here.parent().unwrap()));
    let expected = [format!("{here}/logs/*.log"), format!("{above}/x.log"), "/var/**".to_owned()];
    assert_eq!(file.include, expected);
    assert_eq!(file.exclude, ["*.tmp".to_owned(), format!("{here}/old/*"), "**/x/*".to_owned()]);
}

#[test]
fn what_is_probably_not_meant_is_warned_of() {
    check_warnings(BASE, &[]);
    check_warnings(
        "[sources.a]\ntype = \"firehose_http\"\nlisten = \"0.0.0.0:1\"\n[sources.b]\ntype = \"stdin\"\n[sinks.out]\ntype = \"firehose\"\nstream = \"{owner}\"\nca_file = \"/nowhere\"\npacking = \"event\"\ncompression = \"gzip\"\n[sinks.two]\ntype = \"directory\"\npath = \"o\"\n[[routes]]\nfrom = [\"a\"]\nto = [\"out\"]\n",
        &[
            "sources.a.access_keys: is empty and `0.0.0.0:1` is not loopback: anyone who reaches it may send; set one, such as `openssl rand -hex 32` makes",
            "sources.a.tls: is missing and `0.0.0.0:1` is not loopback: keys and logs arrive unencrypted; set it, or let a load balancer end TLS",
            "sources.b: reaches no sink, so nothing it reads is delivered; add a route",
            "sinks.out.compression: compresses each event separately, which saves little; `packing = \"lines\"` packs many",
            "sinks.out.ca_file: `/nowhere` cannot be read here: No such file or directory (os error 2)",
            "sinks.two: no route leads here; name it in a route's `to`",
        ],
    );
    check_warnings(
        &BASE.replace("path = \"out\"", "path = \"out\"\nstream = \"{owner}\""),
        &[
            "sinks.out.stream: uses `{owner}`, which events of `app` lack: they go to the dead letters; take it out, or let a route lead those elsewhere",
        ],
    );
}

#[test]
fn routes_that_can_never_match_are_warned_of() {
    let check = |routes: &str, expected: &[&str]| check_warnings(&format!("{BASE}{routes}"), expected);
    let settled =
        |index| format!("routes[{index}]: can never match: earlier routes take all its events; move it up");
    check(
        "[[routes]]\nto = [\"out\"]\n[[routes]]\nto = [\"out\"]\nwhen = { message = \"x\" }\n",
        &[&settled(1)],
    );
    check("[[routes]]\nto = [\"out\"]\n[[routes]]\ndrop = true\n", &[&settled(1)]);
    check(
        "[[routes]]\ndrop = true\nwhen = { message = \"x\" }\n[[routes]]\ndrop = true\nwhen = { message = \"x\" }\n[[routes]]\nto = [\"out\"]\n",
        &[&settled(1)],
    );
    check(
        "[[routes]]\nfrom = [\"app\"]\ndrop = true\n[[routes]]\nto = [\"out\"]\n",
        &[
            "sources.app: reaches no sink, so nothing it reads is delivered; add a route",
            "sinks.out: no route leads here; name it in a route's `to`",
            &settled(1),
        ],
    );
    check(
        "[[routes]]\nto = [\"out\"]\nwhen = { owner = [\"111122223333\"], file = [\"/x\"], attributes = { a = [\"b\"] } }\n",
        &[
            "routes[0].when.owner: can never match events of `app`, which have no owner (their `format` is not `envelope`)",
            "routes[0].when.file: can never match events of `app`, which have no file",
            "routes[0].when.attributes: can never match events of `app`, which have no common attributes (they do not come from Firehose)",
        ],
    );
}

#[test]
fn a_directory_within_what_feeds_it_is_refused() {
    let text = |include: &str, exclude: &str| {
        format!(
            "[sources.app]\ntype = \"file\"\ninclude = [\"{include}\"]\nexclude = [{exclude}]\n[sinks.out]\ntype = \"directory\"\npath = \"/srv/logs/out\"\n"
        )
    };
    let wrong = "standpipe.toml: sinks.out.path: is within what `sources.app.include` says, so that `app` would ship what it has shipped before; write elsewhere, or exclude it there";
    check(&text("/srv/logs/**", ""), &[wrong]);
    check(&text("/srv/*/out/**/out-*", ""), &[wrong]);
    check(&text("/srv/logs/*.log", ""), &[]);
    check(&text("/srv/logs/**", "\"/srv/logs/out/**\""), &[]);
    check(&text("/srv/logs/**", "\"out-*\""), &[]);
    let of_another = "[sources.in]\ntype = \"stdin\"\n[[routes]]\nfrom = [\"in\"]\nto = [\"out\"]\n";
    check(&format!("{}{of_another}", text("/srv/logs/**", "")), &[]);
}

#[test]
fn two_directories_that_feed_each_other_are_refused() {
    let text = "[sources.a]\ntype = \"file\"\ninclude = [\"/srv/a/**\"]\n[sources.b]\ntype = \"file\"\ninclude = [\"/srv/b/**\"]\n[sinks.a]\ntype = \"directory\"\npath = \"/srv/a\"\n[sinks.b]\ntype = \"directory\"\npath = \"/srv/b\"\n[[routes]]\nfrom = [\"a\"]\nto = [\"b\"]\n[[routes]]\nfrom = [\"b\"]\nto = [\"a\"]\n";
    let errors = World::new(text).errors();
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(
        errors[0].starts_with("standpipe.toml: sinks.a.path: is within what `sources.a.include`"),
        "{errors:?}"
    );
}

#[test]
fn a_source_that_excludes_all_it_includes_is_warned_of() {
    let text = |include: &str, exclude: &str| {
        format!(
            "[sources.app]\ntype = \"file\"\ninclude = [\"{include}\"]\nexclude = [\"{exclude}\"]\n[sinks.out]\ntype = \"directory\"\npath = \"o\"\n"
        )
    };
    let warning = [
        "sources.app.exclude: shuts out every file that `include` names, so that nothing is read; take that glob out",
    ];
    for (include, exclude) in [
        ("/var/log/*.log", "*.log"),
        ("/var/log/*.log", "*"),
        ("/var/log/a.log", "a.*"),
        ("/var/log/*.log", "/var/log/**"),
        ("/var/log/*.log", "/var/log/*.log"),
    ] {
        check_warnings(&text(include, exclude), &warning);
    }
    for (include, exclude) in [("/var/log/*.log", "*.tmp"), ("/var/logs/*.log", "/var/log/**")] {
        check_warnings(&text(include, exclude), &[]);
    }
}

#[test]
fn a_warning_says_where_its_key_is_written() {
    let text = "[sources.app]\ntype = \"stdin\"\n[sinks.out]\ntype = \"firehose\"\nstream = \"s\"\nregion = \"us-esat-1\"\n\
                [sinks.spare]\ntype = \"directory\"\npath = \"o\"\n[[routes]]\nto = [\"out\"]\n";
    let world = World::new(text);
    let checked = inspect(&world.files, &world.environment).unwrap();
    let shown: Vec<String> =
        checked.warnings.iter().map(|warning| world.plain(&warning.to_string())).collect();
    assert!(shown[0].starts_with("standpipe.toml:6:1: sinks.out.region: `us-esat-1`"), "{shown:?}");
    assert!(shown[1].starts_with("standpipe.toml:7:8: sinks.spare: no route leads here"), "{shown:?}");
    let variable = ("STANDPIPE__SINKS__OUT__REGION".to_owned(), "mars-1".to_owned());
    let checked = inspect(&world.files, &BTreeMap::from([variable])).unwrap();
    let first = checked.warnings[0].to_string();
    assert!(first.starts_with("STANDPIPE__SINKS__OUT__REGION: sinks.out.region: `mars-1`"), "{first}");
}

#[test]
fn a_region_that_is_not_known_is_warned_of() {
    let text = |keys: &str| {
        format!("[sources.app]\ntype = \"stdin\"\n[sinks.out]\ntype = \"firehose\"\nstream = \"s\"\n{keys}\n")
    };
    check_warnings(&text("region = \"us-east-1\""), &[]);
    check_warnings(&text("region = \"eu-{source}-1\""), &[]);
    check_warnings(&text("region = \"mars-1\"\nendpoint_url = \"http://127.0.0.1:1\""), &[]);
    check_warnings(
        &text(
            "region = \"us-esat-1\"\nassume_role = { arn = \"arn:aws:iam::222222222222:role/w\", region = \"mars-1\" }",
        ),
        &[
            "sinks.out.region: `us-esat-1` is no region that standpipe knows; did you mean `us-east-1`?",
            "sinks.out.assume_role.region: `mars-1` is no region that standpipe knows; if it is new, that is no mistake",
        ],
    );
}

#[test]
fn a_file_that_holds_no_certificate_is_warned_of() {
    let world = World::new(BASE).file("b.toml", "");
    let empty = world.files[1].display().to_string();
    let text = format!(
        "[sources.app]\ntype = \"stdin\"\n[sinks.out]\ntype = \"firehose\"\nstream = \"s\"\nca_file = \"{empty}\"\n"
    );
    let warnings = World::new(&text).warnings();
    assert_eq!(
        warnings,
        [format!("sinks.out.ca_file: `{empty}` holds no certificate in PEM; `run` does not start with it")]
    );
}

#[test]
fn secrets_that_every_user_may_read_are_warned_of() {
    let text = "[sources.app]\ntype = \"firehose_http\"\naccess_keys = [\"s3cret-of-16-letters\"]\n[sinks.out]\ntype = \"directory\"\npath = \"o\"\n";
    let world = World::new(text);
    let allow = |mode| fs::set_permissions(&world.files[0], fs::Permissions::from_mode(mode)).unwrap();
    allow(0o644);
    assert_eq!(
        world.warnings(),
        [
            "sources.app.access_keys: is in `standpipe.toml`, which every user can read; `chmod o-r standpipe.toml`"
        ]
    );
    allow(0o640);
    assert_eq!(world.warnings(), [""; 0]);
}

#[test]
fn an_access_key_that_can_be_guessed_is_warned_of_and_a_blank_one_refused() {
    let text = |keys: &str| {
        format!(
            "[sources.app]\ntype = \"firehose_http\"\naccess_keys = {keys}\n[sinks.out]\ntype = \"directory\"\npath = \"o\"\n"
        )
    };
    let short = "is shorter than 16 characters, and can be guessed; make one with `openssl rand -hex 32`";
    check_warnings(
        &text("[\"0123456789abcdef\", \"a\", \"  0123456789abcde  \"]"),
        &[
            &format!("sources.app.access_keys[1]: {short}"),
            &format!("sources.app.access_keys[2]: {short}"),
            "sources.app.access_keys: is in `standpipe.toml`, which every user can read; `chmod o-r standpipe.toml`",
        ],
    );
    for blank in ["\" \"", "\"\\t\\n\"", "\"\""] {
        let errors = World::new(&text(&format!("[{blank}]"))).errors();
        assert!(
            errors[0].contains("access_keys[0]: expected a string") && errors[0].contains("not blank"),
            "{errors:?}"
        );
    }
}

/// The folder of the configuration files that are shipped.
fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name)
}

#[test]
fn every_shipped_file_loads() {
    let names = [
        "standpipe.toml",
        "quickstart.toml",
        "examples/agent.toml",
        "examples/subscriptions.toml",
        "examples/sidecar.toml",
        "examples/cloudtrail.toml",
        "examples/fluent-forward.toml",
    ];
    let environment = BTreeMap::from([(
        "STANDPIPE_ACCESS_KEYS".to_owned(),
        "an-access-key-of-16,an-access-key-of-17".to_owned(),
    )]);
    for name in names {
        let needs_key = name.ends_with("subscriptions.toml");
        let environment = if needs_key { environment.clone() } else { BTreeMap::new() };
        let checked = inspect(&[shipped(name)], &environment).unwrap_or_else(|errors| panic!("{errors}"));
        let meant = |warning: &Warning| warning.key.ends_with("tls.cert") || warning.key.ends_with("tls.key");
        let warnings: Vec<String> =
            checked.warnings.iter().filter(|warning| !meant(warning)).map(ToString::to_string).collect();
        assert_eq!(warnings, [""; 0], "{name}");
    }
}

#[test]
fn the_documented_settings_are_the_defaults() {
    let required = r#"
[sources.app]
type = "file"
include = ["/var/log/app/*.log"]
[sources.subscriptions]
type = "firehose_http"
[sources.input]
type = "stdin"
[sources.containers]
type = "fluent_forward"
[sources.pull]
type = "cloudwatch_logs"
log_groups = ["/aws/lambda/*"]
[sources.trail]
type = "s3"
queue_url = "https://sqs.us-east-1.amazonaws.com/222222222222/trail"
[sources.stream]
type = "kinesis"
stream_arn = "arn:aws:kinesis:us-east-1:222222222222:stream/cwl"
[sources.system]
type = "journald"
[sinks.archive]
type = "firehose"
stream = "logs"
[sinks.local]
type = "directory"
path = "./out"
"#;
    let documented = load(&[shipped("standpipe.toml")], &BTreeMap::new()).unwrap();
    assert_eq!(format!("{documented:#?}"), format!("{:#?}", World::new(required).config()));
}

#[test]
fn every_key_that_is_read_is_documented_and_every_example_is_good() {
    let text = fs::read_to_string(shipped("standpipe.toml")).unwrap();
    let is_setting = |line: &str| line.starts_with(|c: char| c.is_ascii_lowercase() || c == '[');
    let lines: Vec<&str> = text
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| is_setting(rest)).unwrap_or(line))
        .collect();
    let world = World::new(&lines.join("\n"));
    world.config();

    let notes = Notes::default();
    let tree = layers::read(&world.files, &notes);
    let mut documented = BTreeSet::new();
    keys(&tree, "", &mut documented);
    assert!(config(Section::root(&notes, tree)).is_some());
    let read: BTreeSet<String> = notes.known_keys().iter().map(|key| general(key)).collect();
    let missing: Vec<&String> = read.difference(&documented).collect();
    assert!(missing.is_empty(), "config/standpipe.toml lacks {missing:?}");
}

/// Collects the dotted keys of a tree, with `*` for the names of sources and sinks.
fn keys(node: &tree::Node, path: &str, all: &mut BTreeSet<String>) {
    match &node.value {
        tree::Written::Table(table) => {
            for (name, below) in table {
                keys(below, &key::join(path, name), all);
            }
        }
        tree::Written::List(items) => {
            for (index, item) in items.iter().enumerate() {
                keys(item, &key::item(path, index), all);
            }
        }
        tree::Written::Nothing
        | tree::Written::Flag(_)
        | tree::Written::Integer(_)
        | tree::Written::Float(_)
        | tree::Written::Text(_)
        | tree::Written::Broken => {}
    }
    all.insert(general(path));
}

fn general(key: &str) -> String {
    let parts: Vec<&str> = key
        .split('.')
        .enumerate()
        .map(|(index, part)| {
            let is_name = index == 1 && (key.starts_with("sources.") || key.starts_with("sinks."));
            if is_name { "*" } else { part.split('[').next().unwrap() }
        })
        .collect();
    parts.join(".")
}

/// Texts that look like configuration, so that the reading gets deeper than the parser.
fn almost_toml() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        Just("[sources.a]".to_owned()),
        Just("[sinks.b]".to_owned()),
        Just("[limits]".to_owned()),
        Just("[[routes]]".to_owned()),
        Just("type = \"file\"".to_owned()),
        Just("type = \"firehose\"".to_owned()),
        ("[a-z_.\\[\\]0-9\"]{1,12}", "[0-9a-z\"'\\[\\]{}=$:, *(-]{0,16}")
            .prop_map(|(key, value)| format!("{key} = {value}")),
        (
            prop::sample::select(vec!["include", "memory", "linger", "stream", "when", "to", "assume_role"]),
            ".{0,16}"
        )
            .prop_map(|(key, value)| format!("{key} = {value:?}")),
    ];
    prop::collection::vec(line, 0..12).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #[test]
    fn no_text_panics(text in prop_oneof![".*", almost_toml()], format in 0_usize..3) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(["c.toml", "c.yaml", "c.json"][format]);
        fs::write(&file, &text).unwrap();
        match load(&[file], &BTreeMap::new()) {
            Ok(_) => {}
            Err(errors) => prop_assert!(!errors.problems().is_empty(), "an error without a line"),
        }
    }

    #[test]
    fn no_variable_panics(path in "[A-Z_0-9]{0,20}", value in ".{0,20}") {
        let environment = BTreeMap::from([(format!("STANDPIPE_{path}"), value)]);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("c.toml");
        fs::write(&file, BASE).unwrap();
        if let Err(errors) = load(&[file], &environment) {
            prop_assert!(!errors.problems().is_empty(), "an error without a line");
        }
    }
}

#[test]
fn a_source_of_objects_says_what_is_wrong_with_it() {
    let check = |keys: &str, expected: &[&str]| {
        let text = format!(
            "[sources.trail]\ntype = \"s3\"\n{keys}\n[sinks.b]\ntype = \"directory\"\npath = \"x\"\n"
        );
        let expected: Vec<String> =
            expected.iter().map(|text| format!("standpipe.toml: sources.trail.{text}")).collect();
        assert_eq!(World::new(&text).errors(), expected, "{keys}");
    };
    let url = "queue_url = \"https://sqs.us-east-1.amazonaws.com/222222222222/q\"";
    let with = |keys: &str| format!("{url}\n{keys}");
    check(
        "",
        &[
            "queue_url: missing; give it a value such as `https://sqs.us-east-1.amazonaws.com/222222222222/trail`",
        ],
    );
    check(
        "queue_url = \"trail\"",
        &[
            "queue_url: found `trail`, expected a queue's URL such as `https://sqs.us-east-1.amazonaws.com/222222222222/trail`",
        ],
    );
    check(
        &with("bucket = \"logs\""),
        &[
            "bucket: cannot be combined with `queue_url`, whose messages name their buckets; remove one of them",
        ],
    );
    check("bucket = \"logs\"\nstart = \"7d\"\nlookback = \"3d\"\nlayout = \"alb\"", &[]);
    check(
        "bucket = \"logs\"\nlayout = \"flt\"",
        &["layout: found `flt`, expected `cloudtrail`, `alb`, `vpc_flow`, `firehose` or `flat`"],
    );
    check(
        "bucket = \"logs\"\nstart = \"7x\"",
        &["start: found `7x`, expected `beginning`, `now`, or a duration such as `7d`"],
    );
    check("bucket = \"b\"", &["bucket: found `b`, expected a bucket's name"]);
    check(&with("backup_of = \"lines\""), &["backup_of: needs the `format` `firehose_backup`; remove it"]);
    check(
        &with("format = \"cloudtrail\"\nmultiline = { start = \"x\" }"),
        &["multiline: needs the `format` `lines`; remove it"],
    );
    let role = "assume_role = { arn = \"arn:aws:iam::{owner}:role/r\" }";
    let of_events = "assume_role: uses `{owner}`, which depends on events; only `{source}` and `{host}` are known before any is read";
    check(&with(role), &[of_events]);
    check(&with(&format!("queue = {{ {role} }}")), &[&format!("queue.{of_events}")]);
    check(&with("bucket_owner = \"1\""), &["bucket_owner: found `1`, expected an account id of 12 digits"]);
}

#[test]
fn log_groups_are_pulled_as_their_keys_say() {
    let source = |keys: &str| {
        format!(
            "[sources.pull]\ntype = \"cloudwatch_logs\"\n{keys}\n[sinks.b]\ntype = \"directory\"\npath = \"x\"\n"
        )
    };
    let pulled = |keys: &str| {
        let config = World::new(&source(keys)).config();
        let SourceConfig::CloudwatchLogs(pull) = &config.sources["pull"] else { panic!("{config:?}") };
        pull.clone()
    };
    let plain = pulled("log_groups = [\"/a/*\"]");
    assert_eq!((plain.start, plain.window, plain.calls), (PullStart::Now, Duration::from_hours(6), 2.5));
    assert!(!plain.linked_accounts);
    let start = |text: &str| pulled(&format!("log_groups = [\"/a\"]\nstart = \"{text}\"\ncalls = 25")).start;
    assert_eq!(start("7d"), PullStart::Ago(Duration::from_hours(7 * 24)));
    assert_eq!(start("1970-01-01T00:00:01Z"), PullStart::At(Timestamp(1_000)));
    let wrong = |keys: &str, expected: &str| {
        let errors = World::new(&source(keys)).errors();
        assert!(errors.len() == 1 && errors[0].contains(expected), "{keys}: {errors:?}");
    };
    wrong("", "sources.pull.log_groups: missing");
    wrong("log_groups = []", "log_groups");
    wrong("log_groups = [\"/a/[\"]", "not a glob");
    wrong(
        "log_groups = [\"a\"]\nstart = \"yesterday\"",
        "expected `now`, a duration such as `7d`, or a time",
    );
    wrong("log_groups = [\"a\"]\ncalls = 0", "a number of calls a second from 0.1 to 100");
    wrong("log_groups = [\"a\"]\nwindow = \"15d\"", "expected `1m` to `14d`");
    let role = "assume_role = { arn = \"arn:aws:iam::{owner}:role/r\" }";
    wrong(&format!("log_groups = [\"a\"]\n{role}"), "uses `{owner}`, which depends on events");
}

#[test]
fn a_source_of_forward_messages_says_where_it_listens_and_who_may_send() {
    let with = |keys: &str| {
        format!(
            "[sources.c]\ntype = \"fluent_forward\"\n{keys}\n[sinks.b]\ntype = \"directory\"\npath = \"x\"\n"
        )
    };
    let forward = |keys: &str| {
        let config = World::new(&with(keys)).config();
        let SourceConfig::FluentForward(forward) = &config.sources["c"] else { panic!("{config:?}") };
        forward.as_ref().clone()
    };
    let usual = forward("");
    assert_eq!((usual.listen.to_string().as_str(), usual.shared_key.is_none()), ("127.0.0.1:24224", true));
    for listen in ["unix:/run/fluent.sock", "unix:///run/fluent.sock"] {
        assert_eq!(forward(&format!("listen = {listen:?}")).listen.to_string(), "unix:/run/fluent.sock");
    }
    let admits = forward("shared_key = \"s3cret\"\nusers = { ann = \"passw0rd\" }\nrecord = \"json\"");
    assert_eq!((admits.users[0].name.as_str(), admits.users[0].password.expose()), ("ann", "passw0rd"));
    assert!(!format!("{admits:?}").contains("s3cret") && !format!("{admits:?}").contains("passw0rd"));
    assert_eq!(admits.decoding.format, Format::FluentForward(RecordAs::Json));
    let wrong = |keys: &str, expected: &str| {
        let errors = World::new(&with(keys)).errors();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].contains(expected), "{errors:?}");
        assert!(!errors[0].contains("s3cret"), "{errors:?}");
    };
    let place = "expected `unix:` and an absolute path, or an address such as `127.0.0.1:24224`";
    wrong("listen = \"unix:fluent.sock\"", place);
    wrong("listen = \"unix:/\"", place);
    wrong("listen = \"24224\"", place);
    wrong("users = { ann = \"s3cret\" }", "users: needs a `shared_key`");
    wrong("shared_key = [\"s3cret\"]", "shared_key: expected a string");
    wrong("shared_key = \"k\"\nusers = { ann = 4711 }", "users.ann: expected a string");
    wrong("listen = \"unix:/a\"\ntls = { cert = \"c\", key = \"k\" }", "tls: has no use on a unix socket");
    wrong("record = \"log\"", "expected `auto`, `message` or `json`");
    let two = with("listen = \"unix:/a\"") + "[sources.d]\ntype = \"fluent_forward\"\nlisten = \"unix:/a\"\n";
    assert!(World::new(&two).errors()[0].contains("`unix:/a` is already used by `sources.c.listen`"));
    let public = World::new(&with("listen = \"0.0.0.0:24224\""));
    let warnings = inspect(&public.files, &BTreeMap::new()).unwrap().warnings;
    let keys: Vec<&str> = warnings.iter().map(|warning| warning.key.as_str()).collect();
    assert_eq!(keys, ["sources.c.shared_key", "sources.c.tls"]);
}

/// A sink that adds a field itself.
const ADDING_SINK: &str = "[sinks.out]\ntype = \"directory\"\npath = \"o\"\nfields = { env = \"prod\" }\n";

#[test]
fn what_a_source_adds_is_seen_to() {
    let refused = |keys: &str, more: &str, expected: &[&str]| {
        let text = format!("[sources.app]\ntype = \"stdin\"\n{keys}\n{ADDING_SINK}{more}\n");
        let expected: Vec<String> = expected.iter().map(|text| format!("standpipe.toml: {text}")).collect();
        check(&text, &expected.iter().map(String::as_str).collect::<Vec<_>>());
    };
    for own in ["timestamp", "message", "id", "part", "source", "host", "attributes", "log_group", "file"] {
        let text =
            format!("sources.app.fields: `{own}` is a field that standpipe itself writes; use another name");
        refused(&format!("fields = {{ {own} = \"x\" }}"), "", &[&text]);
    }
    refused(
        "fields = { env = \"x\" }",
        "",
        &[
            "sources.app.fields: `env` is also one of the `fields` of sink `out`, which this source leads to; use another name",
        ],
    );
    refused(
        "fields = { a = \"{ec2.zone}\" }",
        "",
        &["sources.app.fields: `a` uses `{ec2.zone}`, which needs `metadata = [\"ec2\"]`"],
    );
    refused(
        "fields = { a = \"{log_group}\" }",
        "",
        &[
            "sources.app.fields: `a` uses `{log_group}`, which only an event tells, and json has it by itself; remove it",
        ],
    );
    refused(
        "fields = { a = \"{ec2.zon}\" }\nmetadata = [\"ec2\", \"gce\"]",
        "",
        &[
            "sources.app.metadata[1]: found `gce`, expected `ec2`, `ecs` or `kubernetes`",
            "sources.app.fields.a: `{ec2.zon}` names an unknown field `{ec2.zon}`; did you mean `{ec2.zone}`?",
        ],
    );
    refused(
        "fields = { team = \"x\" }",
        "[sinks.other]\ntype = \"directory\"\npath = \"p\"\nstream = \"a-{fields.teem}-{ecs.zone}\"",
        &[
            "sinks.other.stream: uses `{fields.teem}`, which no source has; did you mean `{fields.team}`?",
            "sinks.other.stream: uses `{ecs.zone}`, which no source has; add `metadata = [\"ecs\"]` to one",
        ],
    );
    refused(
        "",
        "[[routes]]\nwhen = { fields.team = [\"x\"], kubernetes.nod = [\"x\"] }\nto = [\"out\"]",
        &[
            "routes[0].when.kubernetes: names an unknown field `{kubernetes.nod}`; did you mean `{kubernetes.node}`?",
            "routes[0].when.fields.team: uses `{fields.team}`, which no source has; add it to the `fields` of one",
        ],
    );
}

#[test]
fn what_some_sources_add_and_others_do_not_is_warned_of() {
    let other = "[sources.other]\ntype = \"firehose_http\"\n";
    let named =
        "[sinks.named]\ntype = \"directory\"\npath = \"p\"\nstream = \"a-{fields.team}-{ec2.zone:-b}\"\n";
    let routes = "[[routes]]\nfrom = [\"other\"]\nwhen = { ec2.tags.team = [\"x\"] }\nto = [\"out\"]\n[[routes]]\nto = [\"named\"]\n";
    let keys = "fields = { team = \"x\" }\nmetadata = [\"ec2\"]\n";
    check_warnings(
        &format!("[sources.app]\ntype = \"stdin\"\n{keys}{other}{ADDING_SINK}{named}{routes}"),
        &[
            "sinks.named.stream: uses `{fields.team}`, which events of `other` lack: they go to the dead letters; take it out, or let a route lead those elsewhere",
            "routes[0].when.ec2.tags.team: can never match events of `other`, which have no `ec2.tags.team`",
        ],
    );
}
