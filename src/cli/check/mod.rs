//! `standpipe check`: reads the configuration, and shows what will run as a tree. No network.

mod branch;
mod common;
mod routes;
mod sinks;
mod sources;
mod steps;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;

use serde_json::{Value, json};

use self::branch::Branch;
use super::{configuration, exit};
use crate::config::{Checked, Config, Problem, Warning, WarningPlace, inspect, show_duration, show_size};

/// How `check` tells what it finds.
#[derive(Clone, Copy, Debug, Default)]
pub struct CheckOutput {
    /// As JSON, without the pipeline.
    pub json: bool,
    /// A warning is an error.
    pub deny_warnings: bool,
}

/// Writes the pipeline to `out` and warnings to `err`, or all errors to `err`; returns the exit code.
///
/// # Errors
/// When `out` or `err` cannot be written.
pub fn run(
    files: &[PathBuf],
    environment: &BTreeMap<String, String>,
    output: CheckOutput,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<u8> {
    let code = |warnings: &[Warning]| {
        if output.deny_warnings && !warnings.is_empty() { exit::CONFIG } else { exit::DONE }
    };
    if output.json {
        let (code, found) = match inspect(files, environment) {
            Ok(Checked { warnings, .. }) => (code(&warnings), found(&[], &warnings)),
            Err(errors) => (exit::CONFIG, found(errors.problems(), &[])),
        };
        writeln!(out, "{found:#}")?;
        out.flush()?;
        return Ok(code);
    }
    let Some(checked) = configuration(files, environment, err)? else { return Ok(exit::CONFIG) };
    for branch in pipeline(&checked.config) {
        write!(out, "{}", branch.shown())?;
    }
    out.flush()?;
    for warning in &checked.warnings {
        writeln!(err, "warning: {warning}")?;
    }
    Ok(code(&checked.warnings))
}

/// Everything that was found, for machines.
fn found(errors: &[Problem], warnings: &[Warning]) -> Value {
    let one = |origin: &str, place: Option<(usize, usize)>, key: &str, text: &str| {
        json!({ "origin": origin, "line": place.map(|(line, _)| line), "column": place.map(|(_, column)| column),
            "key": key, "message": text })
    };
    let error =
        |problem: &Problem| one(&problem.origin, problem.line_and_column(), &problem.key, &problem.text);
    let warning = |warning: &Warning| {
        let WarningPlace { origin, line_and_column } = warning.place.clone().unwrap_or_default();
        one(&origin, line_and_column, &warning.key, &warning.text)
    };
    let errors: Vec<Value> = errors.iter().map(error).collect();
    let warnings: Vec<Value> = warnings.iter().map(warning).collect();
    json!({ "valid": errors.is_empty(), "errors": errors, "warnings": warnings })
}

fn pipeline(config: &Config) -> [Branch; 3] {
    let limits = &config.limits;
    let process = vec![
        Branch::leaf(format!("metrics and health on {}", config.server.listen)),
        Branch::leaf(format!(
            "state in {}, up to {} of dead letters for each sink and source",
            config.state.dir.display(),
            show_size(config.state.max_dead_letters)
        )),
        Branch::leaf(format!(
            "{} of memory, {} to drain, {} workers",
            show_size(limits.memory),
            show_duration(limits.shutdown),
            limits.workers
        )),
    ];
    let sources =
        config.sources.iter().map(|(name, source)| sources::of_source(name, source, config)).collect();
    let sinks = config.sinks.iter().map(|(name, sink)| sinks::of_sink(name, sink)).collect();
    [
        Branch { line: "process".to_owned(), below: process },
        Branch { line: "sources".to_owned(), below: sources },
        Branch { line: "sinks".to_owned(), below: sinks },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"
[server]
listen = "127.0.0.1:9598"
[limits]
workers = 2
shutdown = "5m"
[sources.app]
type = "file"
include = ["/var/log/app/*.log"]
exclude = ["*.tmp"]
multiline = { start = '^\d', timeout = "500ms" }
[sources.subs]
type = "firehose_http"
access_keys = ["${KEY}"]
[sinks.archive]
type = "firehose"
region = "us-east-1"
stream = "logs-{source}"
assume_role = { arn = "arn:aws:iam::222222222222:role/w", external_id = "example" }
compression = { type = "gzip", level = 9 }
fields = { env = "prod" }
[sinks.local]
type = "directory"
path = "./out"
buffer = { type = "disk", max = "1GiB", when_full = "drop_oldest" }
[[routes]]
from = ["subs"]
when = { owner = ["111122223333"], message = 'DEBUG' }
drop = true
[[routes]]
to = ["archive"]
"#;

    const TREE: &str = "\
process
├── metrics and health on 127.0.0.1:9598
├── state in /var/lib/standpipe, up to 1GiB of dead letters for each sink and source
└── 64MiB of memory, 5m to drain, 2 workers
sources
├── app (file)
│   ├── include /var/log/app/*.log
│   ├── exclude *.tmp
│   ├── new files from the beginning, rescan every 10s, at most 1024 open
│   ├── format lines, joined from `^\\d` within 500ms, events over 1000KiB are split
│   └── routes[1] → archive
└── subs (firehose_http)
    ├── listens on http://127.0.0.1:8443, 1 access key
    ├── at most 256 connections, idle up to 1h8m20s, a request waits up to 2m30s
    ├── format envelope, events over 1000KiB are split
    ├── routes[0] when owner is 111122223333 and message matches `DEBUG` → dropped
    └── routes[1] → archive
sinks
├── archive (firehose)
│   ├── stream logs-{source} in us-east-1
│   ├── as arn:aws:iam::222222222222:role/w, session standpipe-{host}, for 1h, external id
│   ├── at most 16 requests at once, 3s to connect, 30s for an answer
│   ├── json, many lines per record, gzip level 9, linger 1s, events over a record are split
│   ├── adds env=\"prod\"
│   └── buffer in memory, at most 100 destinations, idle ones close after 5m
└── local (directory)
    ├── in ./out as local
    ├── json, many lines per record, not compressed, linger 1s, events over a record are split
    └── buffer on disk up to 1GiB, then the oldest are dropped, at most 100 destinations, idle ones close after 5m
";

    fn checked(text: &str, environment: &[(&str, &str)]) -> (u8, String, String) {
        checked_with(text, environment, CheckOutput::default())
    }

    fn checked_with(text: &str, environment: &[(&str, &str)], output: CheckOutput) -> (u8, String, String) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("standpipe.toml");
        std::fs::write(&file, text).unwrap();
        let environment =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = run(std::slice::from_ref(&file), &environment, output, &mut out, &mut err).unwrap();
        let err = String::from_utf8(err).unwrap().replace(&file.display().to_string(), "standpipe.toml");
        (code, String::from_utf8(out).unwrap(), err)
    }

    #[test]
    fn a_good_configuration_is_shown_as_a_tree_with_warnings_after_it() {
        let (code, out, err) = checked(CONFIG, &[("KEY", "s3cret-of-16-letters")]);
        assert_eq!(code, 0, "{err}");
        assert_eq!(out, TREE);
        let warnings = "\
warning: standpipe.toml:22:8: sinks.local: no route leads here; name it in a route's `to`
";
        assert_eq!(err, warnings);
    }

    #[test]
    fn what_a_source_adds_is_shown_with_its_steps_and_routes() {
        let added = "metadata = [\"ec2\", \"kubernetes\"]\nfields = { team = \"orders\", zone = \"{ec2.zone:-none}\" }\n";
        let text =
            CONFIG.replace("exclude = [\"*.tmp\"]\n", &format!("exclude = [\"*.tmp\"]\n{added}")).replace(
                "[[routes]]\nto",
                "[[routes]]\nfrom = [\"app\"]\nwhen = { ec2.tags.stage = [\"prod\"] }\nto",
            );
        let (code, out, err) = checked(&text, &[("KEY", "s3cret-of-16-letters")]);
        assert_eq!(code, 0, "{err}");
        for line in [
            "│   ├── knows where it runs from ec2, kubernetes\n",
            "│   ├── adds team=\"orders\", zone=\"{ec2.zone:-none}\"\n",
            "│   └── routes[1] when ec2.tags.stage is prod → archive\n",
        ] {
            assert!(out.contains(line), "{line}{out}");
        }
    }

    #[test]
    fn a_bad_configuration_exits_78_and_shows_nothing_but_its_errors() {
        let (code, out, err) = checked("[sources.app]\ntype = \"file\"\n", &[]);
        assert_eq!((code, out.as_str()), (78, ""));
        let errors = "\
standpipe.toml:1:10: sources.app.include: missing; give it a value such as `[\"/var/log/app/*.log\"]`
standpipe.toml: sinks: missing; there must be at least one, such as `[sinks.archive]`
";
        assert_eq!(err, errors);
    }

    #[test]
    fn a_warning_is_an_error_where_it_is_denied() {
        let denied = CheckOutput { deny_warnings: true, ..CheckOutput::default() };
        let environment = [("KEY", "s3cret-of-16-letters")];
        assert_eq!(checked_with(CONFIG, &environment, denied).0, 78);
        assert_eq!(checked(CONFIG, &environment).0, 0);
    }

    #[test]
    fn machines_get_every_finding_with_its_place() {
        let output = CheckOutput { json: true, deny_warnings: false };
        let (code, out, err) = checked_with("[sources.app]\ntype = \"file\"\n", &[], output);
        let found: Value = serde_json::from_str(&out).unwrap();
        assert_eq!((code, err.as_str(), &found["valid"]), (78, "", &json!(false)));
        let first = &found["errors"][0];
        assert_eq!((&first["line"], &first["column"]), (&json!(1), &json!(10)), "{found:#}");
        assert_eq!(first["key"], "sources.app.include");
        assert!(first["origin"].as_str().unwrap().ends_with("standpipe.toml"));
        let (code, out, _) = checked_with(CONFIG, &[("KEY", "s3cret-of-16-letters")], output);
        let found: Value = serde_json::from_str(&out).unwrap();
        assert_eq!((code, &found["valid"], &found["errors"]), (0, &json!(true), &json!([])));
        let warning = &found["warnings"][0];
        assert_eq!((&warning["key"], &warning["line"]), (&json!("sinks.local"), &json!(22)), "{found:#}");
        assert!(!out.contains("s3cret"));
    }
}
