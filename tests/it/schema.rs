//! The schema says what the parser says: of every key that there is, by a validator that is not ours.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use standpipe::config;

use crate::moto::{installed, root};
use crate::world::World;

/// A source and a sink, so that a part of a configuration is a whole one.
const SOURCE: &str = "[sources.base]\ntype = \"file\"\ninclude = [\"/nowhere/*.log\"]\n";
const SINK: &str = "[sinks.base]\ntype = \"directory\"\npath = \"out\"\n";

fn base() -> String {
    format!("{SOURCE}{SINK}")
}

/// What must be there beside a documented table: for routes, what they name.
fn around(header: &str) -> String {
    let names = ["subscriptions", "app"].map(|name| SOURCE.replace("base", name)).concat();
    let names =
        format!("{names}metadata = [\"ec2\", \"ecs\", \"kubernetes\"]\nfields = {{ team = \"a\" }}\n");
    let sinks = ["archive", "local"].map(|name| SINK.replace("base", name)).concat();
    if ["[[routes]]", "[[tests]]"].contains(&header) { format!("{names}{sinks}") } else { base() }
}

/// Configurations by name.
#[derive(Default)]
struct Configurations(BTreeMap<String, String>);

impl Configurations {
    fn add(&mut self, name: &str, text: String) {
        // A name is a file's name.
        let name: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' }).collect();
        assert!(self.0.insert(format!("{:03}-{name}", self.0.len()), text).is_none());
    }

    /// What the validator says is wrong with each, empty for nothing. None: it is not installed.
    fn by_schema(&self, world: &World) -> Option<BTreeMap<String, String>> {
        let python = installed("python")?;
        let schema = world.path("standpipe.schema.json");
        fs::write(&schema, schema_text(world)).unwrap();
        let folder = world.path("configurations");
        fs::create_dir(&folder).unwrap();
        for (name, text) in &self.0 {
            fs::write(folder.join(format!("{name}.toml")), text).unwrap();
        }
        let script = root().join("tests/schema/validate.py");
        let output = Command::new(python).arg(script).arg(&schema).arg(&folder).output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{words}");
        let said = String::from_utf8(output.stdout).unwrap();
        let lines = said.lines().filter_map(|line| line.split_once(".toml\t"));
        let verdicts: BTreeMap<String, String> =
            lines.map(|(name, words)| (name.to_owned(), words.to_owned())).collect();
        assert_eq!(verdicts.len(), self.0.len(), "each is looked at");
        Some(verdicts)
    }

    /// What the parser says of them.
    fn by_parser(&self) -> BTreeMap<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("standpipe.toml");
        let in_file = regex::Regex::new(r"\$\{file:[^}]*\}").unwrap();
        let verdict = |(name, text): (&String, &String)| {
            // What stands in files of another machine.
            let text = &in_file.replace_all(text, "an-example-of-16").into_owned();
            fs::write(&path, text).unwrap();
            let environment = variables(text);
            let errors = config::inspect(std::slice::from_ref(&path), &environment).err();
            (name.clone(), errors.map(|errors| errors.to_string()).unwrap_or_default())
        };
        self.0.iter().map(verdict).collect()
    }
}

fn schema_text(world: &World) -> String {
    let output = world.run(&["schema"], b"");
    assert_eq!(output.status.code(), Some(0));
    String::from_utf8(output.stdout).unwrap()
}

/// A value for each `${NAME}` that a text takes from the environment.
fn variables(text: &str) -> BTreeMap<String, String> {
    let name = regex::Regex::new(r"\$\{(\w+)\}").unwrap();
    let value = |name: &str| if name == "BUFFER" { "{ type = 'memory' }" } else { "an-example-of-16" };
    name.captures_iter(text).map(|found| (found[1].to_owned(), value(&found[1]).to_owned())).collect()
}

/// The documented settings with every example in them, table by table: the header, and its keys.
fn documented() -> Vec<(String, Vec<String>)> {
    let text = fs::read_to_string(root().join("config/standpipe.toml")).unwrap();
    let is_setting = |line: &str| line.starts_with(|c: char| c.is_ascii_lowercase() || c == '[');
    let mut tables: Vec<(String, Vec<String>)> = Vec::new();
    for line in text.lines() {
        let line = line.strip_prefix('#').filter(|rest| is_setting(rest)).unwrap_or(line);
        if line.starts_with('[') {
            tables.push((line.to_owned(), Vec::new()));
        } else if is_setting(line) {
            tables.last_mut().unwrap().1.push(line.to_owned());
        }
    }
    assert!(tables.len() > 12, "tables are found");
    tables
}

/// Configurations that are shipped or shown.
fn shown() -> Configurations {
    let mut shown = Configurations::default();
    for folder in ["config", "config/examples"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            let text = fs::read_to_string(&path).unwrap_or_default();
            let is_configuration = path.extension().is_some_and(|is| is == "toml");
            if is_configuration && !text.contains("[accounts.") {
                shown.add(&path.display().to_string(), text);
            }
        }
    }
    for (header, keys) in documented() {
        let own = format!("{header}\n{}\n", keys.join("\n"));
        shown.add(&header, format!("{}{own}", around(&header)));
    }
    let block = regex::Regex::new(r"(?s)```toml\n(.*?)```").unwrap();
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with("access.md") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap_or_default();
        for found in block.captures_iter(&text) {
            let named = [("sources", SOURCE, "app"), ("sinks", SINK, "archive"), ("sinks", SINK, "security")];
            let missing = named.iter().filter(|(kind, ..)| !found[1].contains(&format!("[{kind}.")));
            let around: String = missing.map(|(_, text, name)| text.replace("base", name)).collect();
            // A key of the whole file stands before all tables.
            shown.add(&path.display().to_string(), format!("{}\n{around}", &found[1]));
        }
    }
    assert!(shown.0.len() > 40, "{:?}", shown.0.keys());
    shown
}

#[test]
fn the_schema_takes_every_configuration_that_is_shown() {
    let world = World::new();
    let shown = shown();
    let mut verdicts = vec![shown.by_parser()];
    verdicts.extend(shown.by_schema(&world));
    let refused: Vec<_> = verdicts.iter().flatten().filter(|(_, words)| !words.is_empty()).collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

/// Whether a key in a table of conditions is a name that somebody else chose.
fn is_named(name: &str) -> bool {
    ["team", "zone", "stage", "cluster", "namespace", "app"].contains(&name)
}

/// Every documented key with values of wrong types, and in every table a key that there is not.
fn wrong() -> Configurations {
    let base = base();
    let mut wrong = Configurations::default();
    for (header, keys) in documented() {
        let whole = |keys: &[String]| format!("{}{header}\n{}\n", around(&header), keys.join("\n"));
        let unknown = [keys.as_slice(), &["no_such_key = 1".to_owned()]].concat();
        wrong.add(&format!("{header} unknown"), whole(&unknown));
        for (index, line) in keys.iter().enumerate() {
            let (key, value) = line.split_once('=').unwrap();
            let replaced = |value: &str| {
                let mut keys = keys.clone();
                keys[index] = format!("{key}= {value}");
                whole(&keys)
            };
            for value in ["{ no_such_key = 1 }", "-7", "[[1]]"] {
                wrong.add(&format!("{header} {key} {value}"), replaced(value));
            }
            // What stands in an inline table, and in one within it.
            for (at, _) in value.match_indices(" = ") {
                let name = value[..at].rsplit([' ', '{']).next().unwrap();
                let begin = at - name.len();
                let with = |name: &str| format!("{}{name}{}", &value[..begin], &value[at..]);
                // Names that users choose.
                let is_free = match key.trim() {
                    "fields" | "users" => true,
                    "expect" => name == "message",
                    // What `metadata` tells, and what is in it.
                    "when" | "origin" => is_named(name),
                    _ => false,
                };
                if !is_free {
                    wrong.add(&format!("{header} {key} {name} unknown"), replaced(&with("no_such_key")));
                }
            }
        }
    }
    for (name, text) in [
        ("a table that there is not", "[sourcs.a]\ntype = \"stdin\"\n"),
        ("a key of the whole that there is not", "verbose = true\n"),
        ("another type's key", "[sources.a]\ntype = \"stdin\"\nstart = \"end\"\n"),
        ("a type that there is not", "[sources.a]\ntype = \"syslog\"\n"),
        ("a sink's type", "[sources.a]\ntype = \"firehose\"\n"),
        ("no type", "[sources.a]\nformat = \"lines\"\n"),
        ("no value for what must be there", "[sources.a]\ntype = \"file\"\n"),
        ("a word that there is not", "[sinks.a]\ntype = \"directory\"\npath = \"a\"\nencoding = \"xml\"\n"),
        ("a number too large", "[limits]\nworkers = 257\n"),
        ("a size too small", "[limits]\nmemory = 1024\n"),
        ("an empty list", "[sources.a]\ntype = \"file\"\ninclude = []\n"),
        (
            "a disk's key in memory",
            "[sinks.a]\ntype = \"directory\"\npath = \"a\"\nbuffer = { type = \"memory\", max = 1 }\n",
        ),
        (
            "a flag in words",
            "[sources.a]\ntype = \"s3\"\nqueue_url = \"https://a/b/c\"\nrequester_pays = \"yes\"\n",
        ),
    ] {
        let text = if text.starts_with('[') { format!("{base}{text}") } else { format!("{text}{base}") };
        wrong.add(name, text);
    }
    assert!(wrong.0.len() > 300, "{}", wrong.0.len());
    wrong
}

#[test]
fn the_schema_refuses_what_the_parser_refuses() {
    let world = World::new();
    let wrong = wrong();
    let by_parser = wrong.by_parser();
    let Some(by_schema) = wrong.by_schema(&world) else { return };
    let differing: Vec<_> = by_parser
        .iter()
        .filter(|(name, words)| words.is_empty() || by_schema[*name].is_empty())
        .map(|(name, words)| (name, words, &by_schema[name], &wrong.0[name]))
        .collect();
    assert!(differing.is_empty(), "{differing:#?}");
}

#[test]
fn what_stands_for_a_value_of_any_type_is_taken_by_both() {
    let world = World::new();
    let base = base();
    let mut taken = Configurations::default();
    for (name, text) in [
        ("a number", "[limits]\nworkers = \"${N:-4}\"\nmemory = \"${M:-64MiB}\"\nshutdown = \"${S:-10s}\"\n"),
        ("a list", "[sources.a]\ntype = \"file\"\ninclude = \"${I:-/var/log/a.log}\"\n"),
        ("a word", "[sinks.a]\ntype = \"directory\"\npath = \"a\"\nencoding = \"${E:-json}\"\n"),
        ("a flag", "[sinks.a]\ntype = \"directory\"\npath = \"a\"\nid = \"${ID:-true}\"\n"),
        ("a table", "[sinks.a]\ntype = \"directory\"\npath = \"a\"\nbuffer = \"${BUFFER}\"\n"),
        ("a number of bytes", "[limits]\nmemory = 67108864\n"),
        ("a fraction", "[sources.a]\ntype = \"cloudwatch_logs\"\nlog_groups = [\"a\"]\ncalls = 0.5\n"),
        (
            "one role",
            "[sinks.a]\ntype = \"firehose\"\nstream = \"s\"\nassume_role = { arn = \"arn:aws:iam::222222222222:role/a\" }\n",
        ),
        (
            "two roles",
            "[sinks.a]\ntype = \"firehose\"\nstream = \"s\"\nassume_role = [{ arn = \"arn:aws:iam::222222222222:role/a\" }, { arn = \"arn:aws:iam::222222222222:role/b\" }]\n",
        ),
        (
            "a compression in one word",
            "[sinks.a]\ntype = \"directory\"\npath = \"a\"\ncompression = \"gzip\"\n",
        ),
        (
            "a compression in a table",
            "[sinks.a]\ntype = \"directory\"\npath = \"a\"\ncompression = { type = \"gzip\", level = 1 }\n",
        ),
        ("links", "[sources.a]\ntype = \"file\"\ninclude = [\"/a\"]\nfollow_links = false\n"),
    ] {
        taken.add(name, format!("{base}{text}"));
    }
    let Some(by_schema) = taken.by_schema(&world) else { return };
    let said: Vec<_> = taken
        .by_parser()
        .into_iter()
        .map(|(name, words)| (name.clone(), words, by_schema[&name].clone()))
        .filter(|(_, parser, schema)| !parser.is_empty() || !schema.is_empty())
        .collect();
    assert!(said.is_empty(), "{said:#?}");
}

#[test]
fn an_editor_is_told_what_each_key_is() {
    let world = World::new();
    let schema: Value = serde_json::from_str(&schema_text(&world)).unwrap();
    let memory = &schema["properties"]["limits"]["properties"]["memory"];
    assert_eq!(memory["default"], "64MiB");
    assert!(memory["description"].as_str().unwrap().contains("Most payload bytes"), "{memory}");
    let types = &schema["properties"]["sources"]["additionalProperties"]["anyOf"];
    let titles: BTreeSet<&str> =
        types.as_array().unwrap().iter().filter_map(|one| one["title"].as_str()).collect();
    for kind in ["file", "stdin", "kinesis", "s3"] {
        assert!(titles.contains(kind), "{titles:?}");
    }
    // No key is a riddle: each says its type, or the forms that it has.
    let mut silent = Vec::new();
    look(&schema, "", &mut silent);
    assert!(silent.is_empty(), "these say nothing of their values: {silent:#?}");
}

/// Finds keys of which nothing is said but words.
fn look(schema: &Value, path: &str, silent: &mut Vec<String>) {
    let says = ["type", "anyOf", "enum", "const", "pattern"].iter().any(|key| schema.get(key).is_some());
    if !says {
        silent.push(path.to_owned());
    }
    for (name, below) in schema["properties"].as_object().into_iter().flatten() {
        look(below, &format!("{path}.{name}"), silent);
    }
    for form in schema["anyOf"].as_array().into_iter().flatten() {
        for (name, below) in form["properties"].as_object().into_iter().flatten() {
            look(below, &format!("{path}.{name}"), silent);
        }
    }
    for key in ["items", "additionalProperties"] {
        if let Some(below) = schema.get(key).filter(|below| below.is_object()) {
            look(below, &format!("{path}.{key}"), silent);
        }
    }
}
