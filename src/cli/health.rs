//! `standpipe health`: asks the running daemon, for a container's health check.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use super::admin_client::{DEFAULT_URL, ask};
use super::{configuration, exit};

/// Who is asked.
#[derive(Clone, Copy, Debug)]
pub enum HealthTarget<'a> {
    /// The daemon where it is by default.
    Usual,
    /// The daemon at this URL.
    Url(&'a str),
    /// The daemon of this configuration.
    Config(&'a [PathBuf]),
}

impl<'a> HealthTarget<'a> {
    /// What was named of the two; they exclude each other.
    #[must_use]
    pub fn named(url: Option<&'a str>, config: &'a [PathBuf]) -> Self {
        match url {
            Some(url) => Self::Url(url),
            None if config.is_empty() => Self::Usual,
            None => Self::Config(config),
        }
    }
}

/// Asks the daemon for /healthz, or for /readyz, and writes the answer; returns the exit code.
///
/// # Errors
/// When `out` or `err` cannot be written.
pub fn run(
    target: HealthTarget<'_>,
    environment: &BTreeMap<String, String>,
    ready: bool,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<u8> {
    let path = if ready { "/readyz" } else { "/healthz" };
    let url = match target {
        HealthTarget::Usual => DEFAULT_URL.to_owned(),
        HealthTarget::Url(url) => url.to_owned(),
        HealthTarget::Config(files) => {
            let Some(checked) = configuration(files, environment, err)? else { return Ok(exit::CONFIG) };
            format!("http://{}", reached_at(checked.config.server.listen))
        }
    };
    match ask(&url, path) {
        Ok((200, body)) => {
            out.write_all(body.as_bytes())?;
            Ok(exit::DONE)
        }
        Ok((_, body)) => {
            out.write_all(body.as_bytes())?;
            Ok(exit::FAILED)
        }
        Err(error) => {
            writeln!(err, "standpipe: no answer from {url}{path}: {error}")?;
            Ok(exit::FAILED)
        }
    }
}

/// Where this host reaches who listens there: an address that stands for all of them is reached at the loopback's.
fn reached_at(listen: SocketAddr) -> SocketAddr {
    let address: IpAddr = match listen.ip() {
        address if !address.is_unspecified() => address,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(address, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_that_listens_everywhere_is_reached_at_the_loopback() {
        for (listen, expected) in [
            ("0.0.0.0:9598", "127.0.0.1:9598"),
            ("[::]:9598", "[::1]:9598"),
            ("10.0.0.7:1", "10.0.0.7:1"),
            ("127.0.0.1:9598", "127.0.0.1:9598"),
        ] {
            assert_eq!(reached_at(listen.parse().unwrap()).to_string(), expected);
        }
    }
}
