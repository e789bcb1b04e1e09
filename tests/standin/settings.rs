//! Who may call, what exists, and how the stand-in is served.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::faults::Faults;

/// How a stand-in starts.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) listen: SocketAddr,
    pub(crate) tls: bool,
    /// Spoken with who asks for it by TLS.
    pub(crate) http: HttpOffer,
    pub(crate) keys: Vec<Key>,
    pub(crate) roles: Vec<Role>,
    pub(crate) streams: Vec<Stream>,
    /// Streams that were not named come to be when they are first put to.
    pub(crate) any_stream: bool,
    pub(crate) faults: Faults,
    pub(crate) seed: u64,
    /// Whether accepted records are kept whole, for small tests.
    pub(crate) keep_records: bool,
    pub(crate) scrutiny: Scrutiny,
}

impl Default for Settings {
    /// TLS on a free port, the key of [`Key::default`], and one stream `logs` in its account.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            tls: true,
            http: HttpOffer::One,
            keys: vec![Key::default()],
            roles: Vec::new(),
            streams: vec![Stream::new(HOME, "logs")],
            any_stream: false,
            faults: Faults::default(),
            seed: 1,
            keep_records: false,
            scrutiny: Scrutiny::Full,
        }
    }
}

/// The highest version of HTTP that is offered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum HttpOffer {
    One,
    Two,
}

/// How closely requests are looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Scrutiny {
    /// Signatures, limits and every line.
    Full,
    /// Their bytes are counted, for benches of the sender alone.
    CountOnly,
}

/// The account of the default key.
pub(crate) const HOME: &str = "111111111111";

/// A long-lived access key.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) account: String,
    /// The ARN of the user.
    pub(crate) principal: String,
}

impl Default for Key {
    fn default() -> Self {
        Self {
            id: "AKIASTANDINEXAMPLE00".into(),
            secret: "standin/secret/of/forty/characters/000001".into(),
            account: HOME.into(),
            principal: format!("arn:aws:iam::{HOME}:user/standpipe"),
        }
    }
}

/// A role that may be assumed.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Role {
    pub(crate) arn: String,
    #[serde(default)]
    pub(crate) external_id: Option<String>,
    /// Whom it trusts: account ids, user ARNs or role ARNs.
    pub(crate) principals: Vec<String>,
    /// How long its credentials last; less than real ones may, so that tests see them renewed.
    #[serde(default = "an_hour")]
    pub(crate) lifetime_seconds: u32,
    /// Whether it may put records.
    #[serde(default = "yes")]
    pub(crate) may_put: bool,
    /// Whether it may describe streams.
    #[serde(default = "yes")]
    pub(crate) may_describe: bool,
    /// Whether it may ask IAM to simulate its policies.
    #[serde(default)]
    pub(crate) may_simulate: bool,
}

fn an_hour() -> u32 {
    3_600
}

fn yes() -> bool {
    true
}

impl Role {
    /// A role that trusts the accounts named.
    pub(crate) fn new(arn: &str, trusts: &[&str]) -> Self {
        let principals = trusts.iter().map(ToString::to_string).collect();
        Self {
            arn: arn.into(),
            external_id: None,
            principals,
            lifetime_seconds: an_hour(),
            may_put: true,
            may_describe: true,
            may_simulate: false,
        }
    }

    /// The account in the ARN.
    pub(crate) fn account(&self) -> &str {
        self.arn.split(':').nth(4).unwrap_or_default()
    }

    /// The name in the ARN, without its path.
    pub(crate) fn name(&self) -> &str {
        self.arn.rsplit('/').next().unwrap_or_default()
    }
}

/// A delivery stream.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Stream {
    pub(crate) account: String,
    pub(crate) name: String,
    /// What a description says of it.
    #[serde(default = "active")]
    pub(crate) status: String,
    /// Where it takes records from, as a description says it.
    #[serde(default = "direct_put")]
    pub(crate) source: String,
    /// Whether a description says that it decompresses subscriptions.
    #[serde(default)]
    pub(crate) decompresses: bool,
}

fn active() -> String {
    "ACTIVE".into()
}

fn direct_put() -> String {
    "DirectPut".into()
}

impl Stream {
    pub(crate) fn new(account: &str, name: &str) -> Self {
        let (status, source) = (active(), direct_put());
        Self { account: account.into(), name: name.into(), status, source, decompresses: false }
    }
}
