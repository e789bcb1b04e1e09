//! Configuration: files and environment in, checked values out.
//!
//! The `config` crate reads the values of a file, and `spots` where they stand. Files and overrides make one tree of values, each with
//! where it was written; `${..}` is replaced in it; then it is walked table by table, and every mistake is noted on the way, so that
//! all of them come at once, each with its line and column.

mod aws_connection;
mod aws_types;
mod cloudwatch_logs;
mod decoding;
mod decoding_types;
mod document;
mod enrichment;
mod enrichment_types;
mod excerpt;
mod expand;
mod flow;
mod flow_test_types;
mod flow_tests;
mod fluent_forward;
mod forward_source;
mod journald;
mod key;
mod kinesis;
mod label;
mod layers;
mod listing;
mod log_filter;
mod loops;
mod misfit;
mod parse;
mod parse_types;
mod problem;
mod pull_source;
mod recording;
mod redact;
mod redact_types;
mod regions;
mod relations;
mod routes;
mod s3;
mod schema;
mod secret;
mod section;
mod shape;
mod sink_types;
mod sinks;
mod sources;
mod spots;
mod strays;
mod stream_source;
mod template;
mod tls;
pub mod topology;
mod tree;
mod types;
mod units;
mod values;
mod variables;
mod warnings;
mod when_words;

#[cfg(test)]
mod mistakes;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

pub use document::DEFAULT_FILE;
pub use log_filter::{LOG_VARIABLE, log_filter};
pub use problem::{Errors, Problem, WarningPlace};
pub use secret::Secret;
pub use template::{session_name, stream_name};
pub use types::*;
pub use warnings::Warning;

pub(crate) use flow::legs;
pub(crate) use units::{parse_duration, show_duration, show_size};

use problem::{Notes, nearest};
use section::Section;
use strays::Strays;
use values::{address, count, duration, path, size};

/// Reads and checks a configuration: `files` in order, later ones over earlier ones, and the environment over them.
pub fn load(files: &[PathBuf], environment: &BTreeMap<String, String>) -> Result<Config, Errors> {
    inspect(files, environment).map(|checked| checked.config)
}

/// A configuration without errors, and what is to be said about it.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The configuration.
    pub config: Config,
    /// What is allowed and yet is probably not meant.
    pub warnings: Vec<Warning>,
}

/// Does what [`load`] does, and looks for what is probably not meant.
pub fn inspect(files: &[PathBuf], environment: &BTreeMap<String, String>) -> Result<Checked, Errors> {
    let notes = Notes::default();
    match read(files, environment, &notes) {
        Some(config) if !notes.has_problems() => {
            let warnings = warnings::warnings(&config, &notes);
            Ok(Checked { config, warnings })
        }
        _ => Err(notes.into_errors()),
    }
}

/// A JSON Schema of the configuration, with the words of the documented settings.
#[must_use]
pub fn schema() -> serde_json::Value {
    schema::schema(&|root| drop(config(root)), include_str!("../../config/standpipe.toml"))
}

fn read(files: &[PathBuf], environment: &BTreeMap<String, String>, notes: &Notes) -> Option<Config> {
    let mut tree = layers::read(files, notes);
    if notes.has_problems() {
        // What a file that cannot be read lacks is not to be reported too.
        return None;
    }
    variables::lay_over(&mut tree, environment, notes);
    let mut expansion = expand::VariableExpansion::new(environment, notes);
    expansion.expand(&mut tree, "");
    let named = expansion.into_named();
    let config = config(Section::root(notes, tree));
    variables::check_unmatched(environment, &named, notes);
    if let Some(config) = &config {
        relations::check_flow(config, notes);
        enrichment::check_names(config, notes);
        loops::check_loops(config, notes);
    }
    config
}

fn config(mut root: Section<'_>) -> Option<Config> {
    let notes = root.notes;
    let server = server(&mut root);
    let state = state(&mut root);
    let limits = limits(&mut root);
    let strays = Strays::find(&mut root);
    let redaction = root.table("redact").and_then(|section| redact::redaction(section, None));
    let redaction = redaction.map(Arc::new);
    let source = |_: &str, section: Section<'_>| sources::source(section, redaction.as_ref());
    let sources = named(&mut root, "sources", &strays.sources, source);
    let sinks = named(&mut root, "sinks", &strays.sinks, sinks::sink);
    let sources_read = sources.read;
    let names = routes::Names { sources: sources.names, sinks: sinks.names };
    let (mut sources, mut steps) = (BTreeMap::new(), BTreeMap::new());
    for (name, (source, of_source)) in sources_read {
        steps.insert(name.clone(), of_source);
        sources.insert(name, source);
    }
    relations::check_sources(server.as_ref(), &sources, notes);
    relations::check_sinks(names.sinks.len(), notes);
    let routes = root.tables("routes").and_then(|tables| {
        let n_routes = tables.len();
        let routes: Vec<Route> =
            tables.into_iter().filter_map(|table| routes::route(table, &names)).collect();
        (routes.len() == n_routes).then_some(routes)
    });
    let tests = root.tables("tests").and_then(|tables| {
        let n_tests = tables.len();
        let tests: Vec<FlowTest> =
            tables.into_iter().filter_map(|table| flow_tests::flow_test(table, &names)).collect();
        (tests.len() == n_tests).then_some(tests)
    });
    root.finish();
    let whole = names.sources.len() == sources.len() && names.sinks.len() == sinks.read.len();
    whole.then_some(())?;
    let limits = limits?;
    for decoding in sources.values_mut().filter_map(SourceConfig::decoding_mut) {
        decoding.max_inflated = decoding.max_inflated.min(limits.most_inflated());
    }
    let (server, state, routes, sinks, tests) = (server?, state?, routes?, sinks.read, tests?);
    Some(Config { server, state, limits, sources, steps, sinks, routes, tests })
}

fn server(root: &mut Section<'_>) -> Option<Server> {
    let mut section = root.table_or_empty("server")?;
    let listen = section.or("listen", ([127, 0, 0, 1], 9_598).into(), address);
    section.finish();
    Some(Server { listen })
}

fn state(root: &mut Section<'_>) -> Option<State> {
    let mut section = root.table_or_empty("state")?;
    let dir = section.or("dir", PathBuf::from("/var/lib/standpipe"), path);
    let max_dead_letters = section.or("max_dead_letters", 1 << 30, size(1 << 20..=1 << 50));
    section.finish();
    Some(State { dir, max_dead_letters })
}

fn limits(root: &mut Section<'_>) -> Option<Limits> {
    let mut section = root.table_or_empty("limits")?;
    let second = Duration::from_secs(1);
    let limits = Limits {
        memory: section.or("memory", 64 << 20, size(8 << 20..=1 << 40)),
        shutdown: section.or("shutdown", 30 * second, duration(second..=3_600 * second)),
        workers: section.optional("workers", count(1..=256)).unwrap_or_else(n_cores),
    };
    section.finish();
    Some(limits)
}

fn n_cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Named tables: those that were written, and those that could be read.
struct NamedTables<T> {
    names: BTreeSet<String>,
    read: BTreeMap<String, T>,
}

fn named<'n, T>(
    root: &mut Section<'n>,
    key: &'static str,
    strays: &BTreeSet<String>,
    read: impl Fn(&str, Section<'n>) -> Option<T>,
) -> NamedTables<T> {
    let mut all = NamedTables { names: strays.clone(), read: BTreeMap::new() };
    let missing = !root.has(key);
    let Some(section) = root.table_or_empty(key) else { return all };
    let tables = section.named_tables();
    if tables.is_empty() && strays.is_empty() {
        let lack = if missing { "missing" } else { "empty" };
        let example = if key == "sources" { "[sources.app]" } else { "[sinks.archive]" };
        root.problem(key, format!("{lack}; there must be at least one, such as `{example}`"));
    }
    let in_files: Vec<String> = tables
        .iter()
        .filter(|(_, section)| section.as_ref().is_some_and(|section| !section.is_from_environment()))
        .map(|(name, _)| name.clone())
        .collect();
    for (name, section) in tables {
        all.names.insert(name.clone());
        let Some(section) = section else { continue };
        if !sources::is_name(&name) {
            section.problem_here("is not a valid name; use 1 to 64 letters, digits, `_` and `-`");
        }
        if section.is_from_environment() && !section.has("type") {
            section.problem_here(unknown_override(&name, &in_files));
            continue;
        }
        if let Some(value) = read(&name, section) {
            all.read.insert(name, value);
        }
    }
    all
}

/// A variable that sets a key of a table that is in no file, and is not made whole by other variables.
fn unknown_override(name: &str, in_files: &[String]) -> String {
    match nearest(name, in_files.iter().map(String::as_str)) {
        Some(near) => format!("is not in any configuration file; did you mean `{near}`?"),
        None => "is not in any configuration file, and has no `type`".to_owned(),
    }
}
