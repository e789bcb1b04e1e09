//! Mistakes that show only when parts of a configuration are seen together.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use super::aws_types::AwsSettings;
use super::flow::reached;
use super::problem::{Notes, quoted};
use super::stream_source::LeaseSettings;
use super::types::{Action, Config, Encoding, ForwardListen, KinesisSource, MAX_SINKS, Server, SourceConfig};

/// Notes addresses that two want to listen on, tables of leases and consumers that two want to have, and a second standard input.
pub(super) fn check_sources(
    server: Option<&Server>,
    sources: &BTreeMap<String, SourceConfig>,
    notes: &Notes,
) {
    check_leases(sources, notes);
    check_consumers(sources, notes);
    let mut taken: Vec<(String, SocketAddr)> = Vec::new();
    if let Some(server) = server {
        taken.push(("server.listen".to_owned(), server.listen));
    }
    let mut stdin: Option<&str> = None;
    let mut sockets: BTreeMap<&Path, &str> = BTreeMap::new();
    let mut take = |name: &str, listen: SocketAddr| {
        let key = format!("sources.{name}.listen");
        if let Some((other, _)) = taken.iter().find(|(_, address)| collide(*address, listen)) {
            notes.problem_at(&key, format!("`{listen}` is already used by `{other}`; choose another port"));
        }
        taken.push((key, listen));
    };
    for (name, source) in sources {
        match source {
            SourceConfig::FirehoseHttp(http) => take(name, http.listen),
            SourceConfig::FluentForward(forward) => {
                match &forward.listen {
                    ForwardListen::Tcp(listen) => take(name, *listen),
                    ForwardListen::Unix(path) => {
                        if let Some(first) = sockets.insert(path, name) {
                            let listen = &forward.listen;
                            notes.problem_at(
                            &format!("sources.{name}.listen"),
                            format!("`{listen}` is already used by `sources.{first}.listen`; choose another path"),
                        );
                        }
                    }
                }
            }
            SourceConfig::Stdin(_) => {
                if let Some(first) = stdin.replace(name) {
                    notes.problem_at(
                        &format!("sources.{name}.type"),
                        format!("source `{first}` already reads standard input; remove one of them"),
                    );
                }
            }
            SourceConfig::File(_)
            | SourceConfig::CloudwatchLogs(_)
            | SourceConfig::Kinesis(_)
            | SourceConfig::S3(_)
            | SourceConfig::Journald(_) => {}
        }
    }
}

/// Notes sources of streams that share a table of leases: its rows are named by their shards alone, and each stream has a first one.
fn check_leases(sources: &BTreeMap<String, SourceConfig>, notes: &Notes) {
    let mut tables: Vec<(&str, &KinesisSource, &LeaseSettings)> = Vec::new();
    for (name, source) in sources {
        let SourceConfig::Kinesis(source) = source else { continue };
        let Some(leases) = &source.leases else { continue };
        let is_same = |other: &&(&str, &KinesisSource, &LeaseSettings)| {
            let (_, of, there) = other;
            let region = |source: &KinesisSource, leases: &LeaseSettings| match &leases.aws.region {
                Some(region) => region.to_string(),
                None => source.region().to_owned(),
            };
            // Another profile or role may be of another account.
            let roles = |aws: &AwsSettings| -> Vec<String> {
                aws.assume_role.iter().map(|role| role.arn.to_string()).collect()
            };
            let (here, there_aws) = (&leases.aws, &there.aws);
            let is_there = here.endpoint_url == there_aws.endpoint_url
                && here.profile == there_aws.profile
                && roles(here) == roles(there_aws);
            there.table == leases.table && is_there && region(of, there) == region(source, leases)
        };
        if let Some((first, ..)) = tables.iter().find(is_same) {
            let table = &leases.table;
            notes.problem_at(
                &format!("sources.{name}.leases.table"),
                format!("`{table}` is already used by `sources.{first}.leases.table`, and a table has the leases of one source; name another table"),
            );
        }
        tables.push((name, source, leases));
    }
}

/// Notes sources that want to be the same consumer of a stream: each would end the other's subscriptions.
fn check_consumers(sources: &BTreeMap<String, SourceConfig>, notes: &Notes) {
    let mut consumers: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for (name, source) in sources {
        let SourceConfig::Kinesis(source) = source else { continue };
        let Some(fan_out) = &source.fan_out else { continue };
        if let Some(first) = consumers.insert((&source.stream_arn, fan_out), name) {
            notes.problem_at(
                &format!("sources.{name}.fan_out"),
                format!("`{fan_out}` is already used by `sources.{first}.fan_out` for the same stream, and each would end the other's subscriptions; choose another name"),
            );
        }
    }
}

fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let same_host = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() != 0 && a.port() == b.port() && same_host
}

/// Notes more sinks than events can be routed to.
pub(super) fn check_sinks(n_sinks: usize, notes: &Notes) {
    if n_sinks > MAX_SINKS {
        notes.problem_at(
            "sinks",
            format!("found {n_sinks} sinks, expected at most {MAX_SINKS}; one sink serves many streams with a name such as `logs-{{owner}}`"),
        );
    }
}

/// Notes sinks that re-emit envelopes, and sources that reach them and have none, or have theirs redacted.
pub(super) fn check_flow(config: &Config, notes: &Notes) {
    let wants_envelopes =
        |sink: &str| config.sinks.get(sink).is_some_and(|sink| sink.encoding == Encoding::Envelope);
    let mut wrong: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut redacted: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, source) in &config.sources {
        let is_redacted = config.steps.get(name).is_some_and(|steps| steps.redact.is_some());
        let found = match (source.has_envelopes(), is_redacted) {
            (false, _) => &mut wrong,
            (true, true) => &mut redacted,
            (true, false) => continue,
        };
        for sink in reached(config, name).into_iter().filter(|sink| wants_envelopes(sink)) {
            found.entry(sink).or_default().push(name);
        }
    }
    for (name, _) in config.steps.iter().filter(|(_, steps)| steps.ignore_older.is_some()) {
        if let Some(sink) = reached(config, name).into_iter().find(|sink| wants_envelopes(sink)) {
            let text = format!(
                "leads to `sinks.{sink}`, whose `encoding` is `envelope`: envelopes are passed on as they came, whatever is in them; use `json` or `message` there, or remove this"
            );
            notes.problem_at(&format!("sources.{name}.ignore_older"), text);
        }
    }
    for (index, route) in config.routes.iter().enumerate() {
        let Action::To(sinks) = &route.action else { continue };
        let limit = route.sample.map(|_| "sample").or(route.throttle.as_ref().map(|_| "throttle"));
        if let (Some(limit), Some(sink)) = (limit, sinks.iter().find(|sink| wants_envelopes(sink))) {
            let text = format!(
                "leads to `sinks.{sink}`, whose `encoding` is `envelope`: envelopes are passed on whole; use `json` or `message` there, or remove this"
            );
            notes.problem_at(&format!("routes[{index}].{limit}"), text);
        }
    }
    for (sink, sources) in redacted {
        let first = sources.first().copied().unwrap_or_default();
        let text = format!(
            "found `envelope`, but {} leads here and is redacted, and envelopes are passed on as they came; use `json` or `message`, or `redact = {{ named = [] }}` for `sources.{first}`",
            quoted(sources)
        );
        notes.problem_at(&format!("sinks.{sink}.encoding"), text);
    }
    for (sink, sources) in wrong {
        let sources = quoted(sources);
        notes.problem_at(
            &format!("sinks.{sink}.encoding"),
            format!("found `envelope`, but {sources} leads here and has a `format` other than `envelope`; use `json` or `message`, or let a route lead it elsewhere"),
        );
    }
}
