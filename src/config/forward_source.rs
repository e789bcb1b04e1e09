//! What a source of messages of the Fluent Forward protocol is made of.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::secret::Secret;

/// Where a source of messages listens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ForwardListen {
    /// An address.
    Tcp(SocketAddr),
    /// A socket in the file system.
    Unix(PathBuf),
}

impl ForwardListen {
    /// Whether only this host reaches it.
    #[must_use]
    pub const fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

impl fmt::Display for ForwardListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Somebody who may send.
#[derive(Clone, Debug)]
pub struct ForwardUser {
    /// The name.
    pub name: String,
    /// The password.
    pub password: Secret,
}

/// What the message of an event is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RecordAs {
    /// `log` or `message` where the record has nothing else that events do not tell anyway; or else the record as JSON.
    Auto,
    /// `log`, or else `message`, whatever the record has beside it; the record as JSON where it has neither.
    Message,
    /// The record as JSON.
    Json,
}
