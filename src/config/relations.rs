//! Mistakes that show only when parts of a configuration are seen together.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use super::flow::reached;
use super::problem::{Notes, quoted};
use super::types::{Config, Encoding, ForwardListen, MAX_SINKS, Server, SourceConfig};

/// Notes addresses that two want to listen on, and a second standard input.
pub(super) fn check_sources(
    server: Option<&Server>,
    sources: &BTreeMap<String, SourceConfig>,
    notes: &Notes,
) {
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
                        format!("source `{first}` already reads standard input"),
                    );
                }
            }
            SourceConfig::File(_) | SourceConfig::CloudwatchLogs(_) | SourceConfig::S3(_) => {}
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

/// Notes sinks that re-emit envelopes, and sources that reach them and have none.
pub(super) fn check_flow(config: &Config, notes: &Notes) {
    let wants_envelopes =
        |sink: &str| config.sinks.get(sink).is_some_and(|sink| sink.encoding == Encoding::Envelope);
    let mut wrong: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, source) in &config.sources {
        if source.has_envelopes() {
            continue;
        }
        for sink in reached(config, name).into_iter().filter(|sink| wants_envelopes(sink)) {
            wrong.entry(sink).or_default().push(name);
        }
    }
    for (sink, sources) in wrong {
        let sources = quoted(sources);
        notes.problem_at(
            &format!("sinks.{sink}.encoding"),
            format!("found `envelope`, but {sources} leads here and has a `format` other than `envelope`"),
        );
    }
}
