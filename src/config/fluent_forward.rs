//! Reads `[sources.NAME]` of type `fluent_forward`.

use std::path::Path;

use super::decoding::sized;
use super::section::{Section, expected};
use super::tls::tls;
use super::tree::Node;
use super::types::{Format, ForwardListen, ForwardSource, ForwardUser, RecordAs};
use super::values::{Parsed, choice, count, string, string_that};

/// What `record` may say.
const RECORDS: [(&str, RecordAs); 3] =
    [("auto", RecordAs::Auto), ("message", RecordAs::Message), ("json", RecordAs::Json)];

/// Where clients of the protocol connect to, on this host alone.
const USUAL: ([u8; 4], u16) = ([127, 0, 0, 1], 24_224);

/// Reads one source.
pub(super) fn source(section: &mut Section<'_>) -> Option<ForwardSource> {
    let listen = section.or("listen", ForwardListen::Tcp(USUAL.into()), listen);
    let has_key = section.has("shared_key");
    let shared_key = section.secret("shared_key");
    let has_users = section.has("users");
    let users = section.table("users").map(Section::secret_entries).unwrap_or_default();
    let users: Vec<ForwardUser> =
        users.into_iter().map(|(name, password)| ForwardUser { name, password }).collect();
    if has_users && !has_key {
        section.problem("users", "needs a `shared_key`: the protocol asks for both, or for nothing");
    }
    let self_hostname =
        section.optional("self_hostname", string_that(|name| !name.is_empty(), "a name of this host"));
    let has_tls = section.has("tls");
    if has_tls && matches!(listen, ForwardListen::Unix(_)) {
        section.problem("tls", "has no use on a unix socket, which never leaves the host; remove it");
    }
    let tls = section.table("tls").and_then(tls);
    let record = section.or("record", RecordAs::Auto, choice(&RECORDS));
    let decoding = sized(section, Format::FluentForward(record), None);
    let max_connections = section.or("max_connections", 1_024, count(1..=65_536));
    let ecs_metadata = section.optional("ecs_metadata", string);
    let source = ForwardSource {
        listen,
        shared_key,
        users,
        self_hostname,
        tls,
        decoding,
        max_connections,
        ecs_metadata,
    };
    let is_whole = source.tls.is_some() == has_tls && source.shared_key.is_some() == has_key;
    is_whole.then_some(source)
}

fn listen(node: &Node) -> Parsed<ForwardListen> {
    const WHAT: &str = "`unix:` and an absolute path, or an address such as `127.0.0.1:24224`";
    let text = string(node)?;
    if let Some(path) = text.strip_prefix("unix:") {
        // Some write it as a URL.
        let path = Path::new(path.strip_prefix("//").unwrap_or(path));
        let is_file = path.is_absolute() && path.file_name().is_some();
        return if is_file { Ok(ForwardListen::Unix(path.into())) } else { Err(expected(node, WHAT)) };
    }
    text.parse().map(ForwardListen::Tcp).map_err(|_| expected(node, WHAT))
}
