//! Every kind of mistake: where it is said to be, what was found, and what to do.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::inspect;

/// Files in a folder, read one over the other.
struct Mistakes {
    folder: TempDir,
    files: Vec<PathBuf>,
}

impl Mistakes {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |(name, bytes): &(&str, &[u8])| {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            path
        };
        let files = files.iter().map(write).collect();
        Self { folder, files }
    }

    /// What is said, and what is said on a terminal, with the folder's name left out.
    #[track_caller]
    fn said(&self) -> (String, String) {
        let errors = inspect(&self.files, &BTreeMap::new()).map(drop).unwrap_err();
        let folder = format!("{}/", self.folder.path().display());
        (errors.to_string().replace(&folder, ""), errors.with_excerpts().replace(&folder, ""))
    }
}

#[track_caller]
fn check_files(files: &[(&str, &[u8])], expected: &[&str]) {
    let (said, _) = Mistakes::new(files).said();
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
}

#[track_caller]
fn check(name: &str, text: &str, expected: &[&str]) {
    check_files(&[(name, text.as_bytes())], expected);
}

/// A good source and sink in four lines each.
const GOOD: &str = "[sources.app]\ntype = \"stdin\"\n[sinks.out]\ntype = \"directory\"\npath = \"o\"\n";
const GOOD_YAML: &str =
    "sources:\n  app:\n    type: stdin\nsinks:\n  out:\n    type: directory\n    path: o\n";

#[test]
fn a_mistake_names_line_and_column_in_each_format() {
    check(
        "c.toml",
        &format!("{GOOD}lingr = \"1s\"\nlinger = 1\n[limits]\nmemory = \"1B\"\n"),
        &[
            "c.toml:9:10: limits.memory: found `1B`, expected `8MiB` to `1TiB`",
            "c.toml:7:10: sinks.out.linger: found `1`, expected a duration with its unit, such as `500ms`, `1s`, `5m` or `1h30m`",
            "c.toml:6:1: sinks.out.lingr: unknown key; did you mean `linger`?",
        ],
    );
    check(
        "c.yaml",
        &format!("{GOOD_YAML}    lingr: 1s\n    max_destinations: 0 # none\n"),
        &[
            "c.yaml:9:23: sinks.out.max_destinations: found `0`, expected a whole number from 1 to 10000",
            "c.yaml:8:5: sinks.out.lingr: unknown key; did you mean `linger`?",
        ],
    );
    check(
        "c.json",
        "{\n  \"sources\": {\"app\": {\"type\": \"stdin\"}},\n  \"sinks\": {\"out\": {\"type\": \"directory\", \"pth\": \"o\"}}\n}",
        &[
            "c.json:3:13: sinks.out.path: missing; give it a value such as `./out`",
            "c.json:3:42: sinks.out.pth: unknown key; did you mean `path`?",
        ],
    );
}

#[test]
fn a_value_of_another_type_is_shown_as_it_should_be() {
    let file = "[sources.app]\ntype = \"file\"\ninclude = \"/x\"\n[sinks.out]\ntype = \"firehose\"\nstream = \"s\"\nassume_role = \"arn:aws:iam::222222222222:role/w\"\n[[routes]]\nto = \"out\"\n[[routes]]\nto = [\"out\", \"ou\"]\n";
    check(
        "c.toml",
        file,
        &[
            "c.toml:3:11: sources.app.include: found `/x`, expected a list: `[\"/x\"]`",
            "c.toml:7:15: sinks.out.assume_role: found `arn:aws:iam::222222222222:role/w`, expected a table: `{ arn = \"arn:aws:iam::222222222222:role/w\" }`",
            "c.toml:9:6: routes[0].to: found `out`, expected a list: `[\"out\"]`",
            "c.toml:11:14: routes[1].to[1]: found `ou`, expected the name of a sink; did you mean `out`?",
        ],
    );
}

#[test]
fn what_is_no_toml_is_said_with_its_fix() {
    let cases = [
        (
            "[sinks.out]\nregion = us-east-1\n",
            "2:10: sinks.out.region: found `us-east-1` without quotes, expected `\"us-east-1\"`",
        ),
        (
            "[sources.app]\ntype = file\n",
            "2:8: sources.app.type: found `file` without quotes, expected `\"file\"`",
        ),
        ("[sinks.out]\nuse_fips = True\n", "2:12: sinks.out.use_fips: found `True`, expected `true`"),
        (
            "[sources.app]\nmultiline = { start = \"^\\d+\" }\n",
            "2:26: sources.app.multiline: found `\\d`, which stands for nothing between `\"`; expected the text between `'`, where a `\\` is itself",
        ),
        (
            "[limits]\nmemory = \"8MiB\"\nworkers = 1\nmemory = \"9MiB\"\n",
            "4:1: limits.memory: found `memory` twice, first in line 2; expected it once: remove one, or join the two",
        ),
        (
            "[sinks.out]\ntype = \"directory\"\n[limits]\n[sinks.out]\n",
            "4:8: sinks.out: found `out` twice, first in line 1; expected it once: remove one, or join the two",
        ),
        (
            "[sources.app]\ninclude = [\"/a\", \"/b\"\n[sinks.out]\ntype = \"directory\"\n",
            "2:11: sources.app.include: found no `]` for this `[`, expected it at the end of the list",
        ),
        (
            "limits:\n  memory: 1\n",
            "1:7: limits: found `:`, expected `=`: in a .toml file it is `key = value`",
        ),
        (
            "[limits]\nmemory = \"8MiB\n",
            "2:1: limits.memory: found no `\"` at the end of the text, expected one",
        ),
        (
            "[limits]\nworkers = 99999999999999999999\n",
            "2:11: limits.workers: found a number that is too large, expected one of at most 64 bits",
        ),
        (
            "[sources.app]\naccess_keys = s3cret\n",
            "2:15: sources.app.access_keys: found a value without quotes, expected it in quotes (it is not shown)",
        ),
    ];
    for (text, expected) in cases {
        check("c.toml", text, &[&format!("c.toml:{expected}")]);
    }
}

#[test]
fn what_is_no_yaml_is_said_with_its_fix() {
    let indentation =
        "found another indentation than that of the lines above, expected the same number of spaces";
    let cases = [
        ("sources:\n  app:\n    type: file\n   include: [x]\n", format!("4:4: sources.app.include: {indentation}")),
        (
            "limits:\n\tmemory: 8MiB\n",
            "2:1: limits.memory: found a tab, expected spaces: YAML is indented by spaces alone".to_owned(),
        ),
        (
            "limits:\n  memory: 8MiB\n    workers: 1\n",
            "3:5: limits.memory.workers: found a `:` where no key may be, expected the indentation of the line above; a value that holds `: ` is put in quotes".to_owned(),
        ),
        (
            "sources:\n  app:\n    include: [*.log]\n",
            "3:15: sources.app.include: found a value that begins with `*`, which means something else in YAML; put the value in quotes: `\"*.log]\"`".to_owned(),
        ),
        (
            "limits:\n  memory: 8MiB\n  memory: 9MiB\n",
            "3:3: limits.memory: found `memory` twice, first in line 2; expected it once: remove one, or join the two".to_owned(),
        ),
        (
            "limits:\n  memory: 8MiB\n---\nlimits:\n",
            "3:1: found a second document, expected one a file; remove the `---`".to_owned(),
        ),
    ];
    for (text, expected) in cases {
        check("c.yaml", text, &[&format!("c.yaml:{expected}")]);
    }
}

#[test]
fn what_is_no_json_is_said_with_its_fix() {
    let no_comments = "but JSON has no comments; remove it, or write the configuration as .toml or .yaml";
    let cases = [
        ("{ // mine\n}", format!("1:3: found `//`, {no_comments}")),
        ("{\n  \"limits\": {\n    \"workers\": 1 # one\n  }\n}", format!("3:18: limits.workers: found `#`, {no_comments}")),
        (
            "{\"limits\": {\"workers\": 1,}}",
            "1:26: limits.workers: found a comma behind the last item, which JSON does not have; remove it"
                .to_owned(),
        ),
        ("{\"limits\": {workers: 1}}", "1:13: limits: found `workers` without quotes, expected `\"workers\"`".to_owned()),
        (
            "{\"limits\": {\"memory\": 8MiB}}",
            "1:24: limits.memory: found `8MiB` without quotes, expected `\"8MiB\"`".to_owned(),
        ),
        (
            "{\"limits\": {\"workers\": 1, \"workers\": 2}}",
            "1:27: limits.workers: found `workers` twice, first in line 1; expected it once: remove one, or join the two".to_owned(),
        ),
        (
            "{\"sources\": {\"a\": {\"access_keys\": [s3cret]}}}",
            "1:36: sources.a.access_keys[0]: found a value without quotes, expected it in quotes (it is not shown)".to_owned(),
        ),
    ];
    for (text, expected) in cases {
        check("c.json", text, &[&format!("c.json:{expected}")]);
    }
}

#[test]
fn a_file_in_another_encoding_is_said_to_be_so() {
    let bom = |text: &str| [b"\xEF\xBB\xBF", text.as_bytes()].concat();
    let json = "{\"sources\":{\"app\":{\"type\":\"stdin\"}},\"sinks\":{\"out\":{\"type\":\"directory\",\"path\":\"o\"}}}";
    for (name, text) in [("c.toml", GOOD), ("c.yaml", GOOD_YAML), ("c.json", json)] {
        let world = Mistakes::new(&[(name, &bom(text))]);
        assert!(inspect(&world.files, &BTreeMap::new()).is_ok(), "a byte order mark in {name}");
    }
    let utf16: Vec<u8> = "\u{feff}[limits]\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let why =
        "found UTF-16 text, expected UTF-8; save it anew, in PowerShell with `Set-Content -Encoding utf8`";
    check_files(&[("c.toml", &utf16)], &[&format!("c.toml:1:1: {why}")]);
    check_files(&[("c.toml", &utf16[2..])], &[&format!("c.toml:1:1: {why}")]);
    check_files(
        &[("c.yaml", b"a: 1\nb: caf\xE9\n")],
        &["c.yaml:2:7: found the byte 0xE9, which is not UTF-8; save the file as UTF-8"],
    );
}

#[test]
fn a_table_in_the_wrong_place_is_one_mistake() {
    check(
        "c.toml",
        "[source.app]\ntype = \"stdin\"\n[sinks.out]\ntype = \"directory\"\npath = \"o\"\n[[routes]]\nfrom = [\"app\"]\nto = [\"out\"]\n",
        &["c.toml:1:2: source: unknown key; did you mean `sources`?"],
    );
    check(
        "c.yaml",
        "sources:\napp:\n  type: stdin\nsinks:\n  out:\n    type: directory\n    path: o\nroutes:\n  - from: [app]\n    to: [out]\n",
        &[
            "c.yaml:2:1: app: found beside `sources`, expected in it: indent it further, or call it `sources.app`",
        ],
    );
}

#[test]
fn files_that_do_not_go_together_are_both_named() {
    let first = "[sources.app]\ntype = \"file\"\ninclude = [\"/x\"]\n[sinks.out]\ntype = \"directory\"\npath = \"o\"\n";
    let second = "[sources.app]\ntype = \"stdin\"\n[sinks.out]\ntype = \"firehose\"\n";
    let world = Mistakes::new(&[("a.toml", first.as_bytes()), ("b.toml", second.as_bytes())]);
    let folder = world.folder.path().display();
    let (said, _) = world.said();
    assert_eq!(
        said.replace(&format!("{folder}/"), "").lines().collect::<Vec<_>>(),
        [
            "a.toml:3:1: sources.app.include: unknown key for the `type` that b.toml:2 sets; known are `type`, `ignore_older`, `format`, `multiline`, `max_line`, `too_long`, `max_inflated`, `redact`, `parse`, `timestamp`, `metadata` and `fields`",
            "a.toml:4:8: sinks.out.stream: missing for the `type` that b.toml:4 sets; give it a value such as `logs-{owner}`",
            "a.toml:6:1: sinks.out.path: unknown key for the `type` that b.toml:4 sets; known are `type`, `stream`, `region`, `profile`, `assume_role`, `endpoint_url`, `ca_file`, `use_fips`, `use_dual_stack`, `connect_timeout`, `request_timeout`, `max_concurrency`, `encoding`, `id`, `fields`, `packing`, `compression`, `linger`, `rate`, `too_long`, `max_destinations`, `idle` and `buffer`",
        ],
    );
}

#[test]
fn a_file_that_cannot_be_read_says_what_to_do() {
    let check = |path: &str, expected: &str| {
        let errors = inspect(&[PathBuf::from(path)], &BTreeMap::new()).map(drop).unwrap_err();
        assert_eq!(errors.to_string(), expected);
    };
    check(
        "/nowhere.toml",
        "/nowhere.toml: cannot be read: No such file or directory (os error 2); make it, or name another with `-c FILE`",
    );
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("c.toml");
    fs::create_dir(&folder).unwrap();
    let folder = folder.to_str().unwrap();
    check(folder, &format!("{folder}: cannot be read: Is a directory (os error 21); name a file in it"));
}

/// Checks what is below each mistake on a terminal.
#[track_caller]
fn check_excerpts(name: &str, text: &str, expected: &str) {
    let (_, shown) = Mistakes::new(&[(name, text.as_bytes())]).said();
    let lines: Vec<&str> = shown.lines().filter(|line| line.starts_with("  ")).collect();
    assert_eq!(lines.join("\n"), expected, "{shown}");
}

#[test]
fn a_terminal_shows_the_line_with_a_mark() {
    check_excerpts(
        "c.toml",
        &format!("{GOOD}linger = 1 # second\nlingr = \"1s\"\n"),
        "  6 | linger = 1 …\n    |          ^\n  7 | lingr …\n    | ^^^^^",
    );
    check_excerpts(
        "c.toml",
        "[sinks.out]\nregion = us-east-1\n",
        "  2 | region = us-east-1\n    |          ^^^^^^^^^",
    );
    check_excerpts("c.yaml", "limits:\n\tmemory: 8MiB\n", "  2 |  memory: 8MiB\n    | ^");
    check_excerpts(
        "c.toml",
        &GOOD.replace("type = \"stdin\"", "type = \"stdin\"\nmultiline = { start = '^a(' }"),
        "  3 | … start = '^a(' …\n    |              ^",
    );
}

#[test]
fn a_terminal_shows_no_secret() {
    let texts = [
        ("c.toml", "[sources.a]\ntype = \"firehose_http\"\nacess_keys = [\"s3cret\"]\nlisten = 1\n"),
        ("c.toml", "[sources.a]\ntype = \"firehose_http\"\naccess_keys = \"s3cret\"\n"),
        ("c.toml", "[sources.a]\naccess_keys = [\n  \"s3cret\n]\n"),
        ("c.toml", "[sources.a]\nacess_keys = [\"s3cret]\n"),
        ("c.toml", "sources.a = { type = \"firehose_http\", access_keys = [\"s3cret\"], lisen = 1 }\n"),
        ("c.yaml", "sources:\n  a:\n    type: firehose_http\n    access_keys:\n    - s3cret: 1\n"),
        ("c.yaml", "sources:\n  a:\n    access_keys: [\"s3cret\"\n"),
        ("c.yaml", "sources:\n  a:\n    access_keys: @s3cret\n"),
        (
            "c.json",
            "{\"sources\": {\"a\": {\"type\": \"firehose_http\", \"acess_keys\": [\"s3cret\"], \"lisen\": 1}}}",
        ),
        ("c.json", "{\"sources\": {\"a\": {\"acess_keys\": [\"s3cret\"] \"b\"}}}"),
    ];
    for (name, text) in texts {
        let (said, shown) = Mistakes::new(&[(name, text.as_bytes())]).said();
        assert!(!said.contains("s3cret") && !shown.contains("s3cret"), "{text}\n{shown}");
    }
}

#[test]
fn what_cannot_be_redacted_by_is_refused() {
    let check_redact = |text: &str, expected: &[&str]| {
        check("c.toml", &format!("[redact]\n{text}\n{GOOD}"), expected);
    };
    check_redact(
        "named = [\"emails\"]",
        &[
            "c.toml:2:10: redact.named[0]: found `emails`, expected `aws_key`, `bearer`, `card`, `email`, `ipv4`, `ipv6`, `basic`, `jwt`, `password` or `url_password`",
        ],
    );
    check_redact(
        "named = [\"email\"]\nwith = \"hash\"",
        &[
            "c.toml:1:2: redact.key: missing, and needed by `with = \"hash\"`; give it a secret such as `${file:/run/secrets/redact}`",
        ],
    );
    check_redact(
        "patterns = [{ name = \"a\", regex = \"x*\" }]",
        &[
            "c.toml:2:35: redact.patterns[0].regex: found `x*`, which matches an empty text, and so everywhere; let it match at least one character",
        ],
    );
    check_redact(
        "patterns = [{ name = \"a\", regex = '\\w{300}' }]",
        &[
            "c.toml:2:35: redact.patterns[0].regex: found `\\w{300}`, which is too large a pattern; repeat less in it, or use `[0-9]` for `\\d` and `[A-Za-z0-9_]` for `\\w`",
        ],
    );
    check_redact(
        "patterns = [{ name = \"long-name\", regex = 'x', with = \"text\" }]",
        &[
            "c.toml:2:55: redact.patterns[0].with: a match may have 1 bytes only, and the name in its place more than 8 times as many; use `mask`, or a pattern with longer matches",
        ],
    );
    check_redact(
        "patterns = [{ name = \"email\", regex = 'xyz' }]",
        &["c.toml:2:1: redact.patterns: two patterns are named `email`; use another name"],
    );
}
